package device

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"ciglio/agent"
	"ciglio/capture/evidence"
	"ciglio/cross/board"
	"ciglio/cross/board/boardtest"
	"ciglio/cross/board/guest"
	"ciglio/cross/simulate/emulator"
	"ciglio/cross/statement"
	"ciglio/internal/mtls"
	p "ciglio/internal/provisioning"
	"ciglio/portal"
	"ciglio/portal/keys"
	"ciglio/portal/portaltest"
)

// A story is a device from its box, the office behind it, and a Mosquitto between
// them. The office's clock, and the device's, are set by the test.
type story struct {
	*rig
	dir       string // the centre's
	mosquitto *portaltest.Mosquitto
	root      *keys.Key
	both      []evidence.Signer // laboratory and operator
	roles     []byte            // the trust bundle's table of them
	ahead     atomic.Int64      // of the office's clock, ns
}

// boxed is the configuration of a device in its box: neither calibration nor trust.
func boxed(root evidence.Hash, broker, enrolment string) string {
	return fmt.Sprintf(`[device]
id = %q
dir = "/data"
tpm = "none"
key = "/data/evidence.key"
certificate = "/data/device.crt"
calibration = "/data/none"
[provision]
root = "%v"
helper = "/run/sticks.sock"
[site]
id = "STORY-1"
road = "SP 14"
position = "12.4km"
latitude = "44.6949deg"
longitude = "11.2426deg"
heading = "90deg"
limit = "70km/h"
%s[uplink]
broker = "tls://%s"
enrolment = "https://%s"
trust = "/data/none"
ca = "/data/ca.pem"
certificate = "/data/uplink.crt"
tls_key = "/data/uplink.key"
`, deviceID, root, parts(vivid(), "110km/h"), onBoard(broker), onBoard(enrolment))
}

// onBoard is how the board reaches what listens at an address of the host's loopback.
func onBoard(address string) string {
	_, port, _ := net.SplitHostPort(address)
	return net.JoinHostPort(guest.HostAddress, port)
}

// newStory starts the office, the broker, and a board with a device as it was
// delivered.
func newStory(t *testing.T, arch string) *story {
	t.Helper()
	s := &story{rig: &rig{t: t, radar: &emulator.OPS243{Serial: "S1"}}, dir: filepath.Join(t.TempDir(), "centre")}
	root, err := portal.Init(s.dir)
	s.must(err)
	s.root, err = keys.Load(filepath.Join(s.dir, "root.key"))
	s.must(err)
	names := []string{guest.HostAddress, "127.0.0.1"}
	s.mosquitto = portaltest.NewMosquitto(t, "../../../docs", func(folder string) error {
		_, err := portal.WriteMosquitto(s.dir, folder, names, time.Now())
		return err
	})
	own := func(name string) string { return filepath.Join(portal.CAFolder(s.dir), name) }
	s.centre, err = portal.New(t.Context(), portal.Options{
		Dir: s.dir, Listen: "127.0.0.1:0", EST: "127.0.0.1:0", Names: names,
		Broker:      "tls://" + s.mosquitto.Centre,
		BrokerFiles: mtls.Files{Authority: own("believed.pem"), Certificate: own("centre.crt"), Key: own("centre.key")},
		BrokerLog:   s.mosquitto.Log,
		Now:         s.now,
	})
	s.must(err)
	s.run(s.centre.Run)
	t.Cleanup(func() {
		s.centre.Close()
		if t.Failed() {
			t.Logf("Mosquitto:\n%s", s.mosquitto.Said())
		}
	})
	s.roles = []byte("institution = \"story\"\n")
	for _, role := range []p.Role{p.Laboratory, p.Operator} {
		private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		s.must(err)
		signer, err := evidence.NewSigner(private)
		s.must(err)
		spki, err := evidence.EncodeKey(&private.PublicKey)
		s.must(err)
		s.both = append(s.both, signer)
		s.roles = fmt.Appendf(s.roles, "[[key]]\nrole = %q\nname = \"the %[1]s\"\nkey = %q\nnot_before = \"2020-01-01T00:00:00Z\"\nnot_after = \"2099-12-31T23:59:59Z\"\n",
			role, base64.StdEncoding.EncodeToString(spki))
	}
	s.powerOn(arch, vivid(), map[string]string{"/etc/ciglio/ciglio.toml": boxed(root, s.mosquitto.Devices, s.centre.ESTAddr())})
	return s
}

// now is the office's clock.
func (s *story) now() time.Time { return time.Now().Add(time.Duration(s.ahead.Load())) }

// setClocks sets the office's clock and then the device's, which is behind the office's
// by what that takes. The function that it returns waits until the device's clock is
// past an instant.
func (s *story) setClocks(to time.Time) (past func(time.Time)) {
	s.t.Helper()
	s.ahead.Store(int64(time.Until(to)))
	s.onboard("TestSetClock", "-utc="+to.UTC().Format(time.RFC3339Nano))
	set := time.Now() // the device's clock shows more than to by now
	return func(at time.Time) {
		select {
		case <-s.t.Context().Done():
			s.t.Fatal("the test ended")
		case <-time.After(at.Sub(to) - time.Since(set)):
		}
	}
}

// command does what the office types.
func (s *story) command(args ...string) string {
	s.t.Helper()
	var stdout, stderr bytes.Buffer
	if exit := portal.Main(args, &stdout, &stderr); exit != 0 {
		s.t.Fatalf("ciglio-portal %s: %d\n%s", strings.Join(args, " "), exit, &stderr)
	}
	return stdout.String()
}

// ciglio does what the technician types.
func (s *story) ciglio(args ...string) string {
	s.t.Helper()
	return boardtest.Run(s.t, s.board, append([]string{"ciglio"}, args...)...)
}

// bundle is one that the desks have made and signed.
func (s *story) bundle(kind p.Kind, version uint64, by []evidence.Signer, files ...p.File) []byte {
	s.t.Helper()
	id, err := evidence.ParseDeviceID(deviceID)
	s.must(err)
	now := s.now().UTC().Truncate(time.Second)
	b, err := p.Make(p.Statement{Kind: kind, Version: version, Institution: "story", Devices: []evidence.DeviceID{id},
		NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(0, 0, 7)}, files)
	for _, signer := range by {
		if err == nil {
			b, err = b.Sign(signer)
		}
	}
	s.must(err)
	return b.Bytes
}

// calibration is a bundle with a statement in force from one instant to another, the
// last included.
func (s *story) calibration(version uint64, id string, from, to time.Time) []byte {
	s.t.Helper()
	core, err := agent.CoreID()
	s.must(err)
	text := statement.Calibration{ID: id, Serial: "S1", Core: core, From: from, To: to, Checked: from}.Text()
	return s.bundle(p.Calibration, version, s.both, p.File{Name: "calibration.toml", Content: text}, p.File{Name: "certificate.pdf", Content: []byte("%PDF-1.7\n")})
}

// stick plugs one in with the files, pulls it out when the device has answered, and
// returns the receipt that is on it.
func (s *story) stick(files map[string][]byte) string {
	t := s.t
	t.Helper()
	image := filepath.Join(t.TempDir(), "stick")
	s.must(board.Format(t.Context(), image, "vfat", 40<<20))
	s.must(board.PutFiles(t.Context(), image, files))
	s.must(s.board.Plug(t.Context(), board.Stick{Image: image}))
	s.wait("msg=\"stick ")
	var receipt string
	s.eventually("the receipt on the stick", func() bool {
		left, _ := board.Files(t.Context(), image) // it may be in the middle of it
		for name, content := range left {
			if strings.HasPrefix(name, "receipt-") && strings.HasSuffix(name, ".txt") { // what is written last
				receipt = string(content)
			}
		}
		return receipt != ""
	})
	s.must(s.board.Unplug(t.Context()))
	return receipt
}

// eventually waits until something is so.
func (s *story) eventually(what string, so func() bool) {
	s.t.Helper()
	for end := time.Now().Add(patience); !so(); {
		if time.Now().After(end) {
			s.t.Fatalf("not after %v: %s", patience, what)
		}
		select {
		case <-s.t.Context().Done():
			s.t.Fatal("the test ended")
		case <-time.After(4 * time.Second): // then ask again: a program's start is a load for the board
		}
	}
}

// A standing is what the device says of itself, as far as the story asks.
type standing struct {
	At          time.Time
	Calibration struct{ ID string }
	Uplink      struct{ Connected bool }
	Health      struct {
		Measuring bool
		Reasons   []struct{ Code, Words string }
		Counts    struct {
			Passages, Violations uint64
			Discarded            map[string]uint64
		}
	}
}

// codes are the reasons why it does not measure.
func (s *standing) codes() (codes []string) {
	for _, r := range s.Health.Reasons {
		codes = append(codes, r.Code)
	}
	return codes
}

// status asks the device; false while it cannot say.
func (s *story) status() (st standing, ok bool) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	r, err := s.board.Run(ctx, "ciglio", "status", "--json") // it fails while the device does not measure
	s.must(err)
	return st, json.Unmarshal(r.Stdout, &st) == nil
}

// stands waits until the device stands as is wanted.
func (s *story) stands(what string, so func(standing) bool) (st standing) {
	s.t.Helper()
	defer func() {
		if s.t.Failed() {
			s.t.Logf("%s: it stood %+v", what, st)
		}
	}()
	s.eventually(what, func() bool {
		var ok bool
		st, ok = s.status()
		return ok && so(st)
	})
	return st
}

// first waits for a vehicle to be recorded and its record to be receipted, and
// returns it after the centre's bundle was verified.
func (s *story) first() (entry, *evidence.Record) {
	s.t.Helper()
	of := s.violation()
	e := tests(of)[len(tests(of))-1]
	s.until("its record, receipted", func(all []entry) bool {
		return slices.ContainsFunc(all, func(x entry) bool { return x.ID == e.ID && settled(x) })
	})
	sealed, err := evidence.Open(s.verify(e, "yuyv").Record)
	s.must(err)
	return e, sealed.Record
}

// TestStory is that of a device from its box to its first record, and of the night in
// which its calibration ends: a stick, enrolment over TLS, Debian's Mosquitto, the
// acceptance, a record with its pictures at the centre, nothing from midnight on, and
// a new stick. What docs/technician.md tells on a desk is here a whole board's: its
// kernel mounts the stick, and its clock is set.
func TestStory(t *testing.T) {
	boardtest.Need(t, boardtest.All)
	began := time.Now()
	told := func(what string) { t.Logf("%4.0f s: %s", time.Since(began).Seconds(), what) }
	s := newStory(t, "arm-7")
	told("the board runs")

	// The box. The device knows its name and the fingerprint of the root.
	helper, err := s.board.Go(guest.Command{Args: []string{"ciglio", "stick", "helper", "--socket", "/run/sticks.sock", "--dir", "/run/mounts"}})
	s.must(err)
	s.service, err = s.board.Go(guest.Command{Args: []string{"ciglio", "run"}, Env: []string{boardtest.MemoryLimit(t)}})
	s.must(err)
	s.wait("not provisioned")
	told("the device waits for a stick")

	// The stick. The calibration ends with a day at the site, within the next 25 hours.
	year, month, day := evidence.SiteTime(s.now().Add(time.Hour)).Date()
	midnight := evidence.SiteDay(year, month, day+1)
	last := midnight.Add(-time.Second) // what is later than the last whole second is no more of the day
	trust, err := os.ReadFile(portal.TrustFile(s.dir))
	s.must(err)
	receipt := s.stick(map[string][]byte{
		"trust.ciglio":       s.bundle(p.Trust, 1, []evidence.Signer{s.root}, p.File{Name: "trust.pem", Content: trust}, p.File{Name: "roles.toml", Content: s.roles}),
		"calibration.ciglio": s.calibration(1, "OLD", midnight.AddDate(0, 0, -2), last),
	})
	if !strings.Contains(receipt, "trust version 1 is in force") || !strings.Contains(receipt, "calibration version 1 is in force") {
		t.Fatalf("the stick's receipt: %s", receipt)
	}
	told("the stick is taken")

	// The certificate, over TLS, for a code and the fingerprint of the authority.
	code, _, _ := strings.Cut(s.command("enrol", "--dir", s.dir, "--device", deviceID, "--code"), "\n")
	authority := regexp.MustCompile(`(?m)^SHA-256 ([0-9a-f]{64})$`).FindStringSubmatch(s.command("authority", "--dir", s.dir))
	if authority == nil {
		t.Fatal("the centre does not say the SHA-256 of its authority")
	}
	groups := regexp.MustCompile(`(?:[0-9a-f]{4} ){7}[0-9a-f]{4}`)
	read := groups.FindString(s.ciglio("key", "enrol", "--code", code, "--authority", authority[1]))

	// The office compares the eight groups, and enters the evidence key.
	request, answer := filepath.Join(t.TempDir(), "request.json"), filepath.Join(t.TempDir(), "answer.pem")
	if shown := groups.FindString(s.command("request", "--dir", s.dir, "--out", request)); shown == "" || shown != read {
		t.Fatalf("the technician reads %q, the office %q", read, shown)
	}
	rootKey := filepath.Join(s.dir, "root.key")
	var looked struct{ Hash string }
	s.must(json.Unmarshal([]byte(s.command("root", "--key", rootKey, "--request", request, "--json")), &looked))
	s.command("root", "--key", rootKey, "--request", request, "--accept", looked.Hash, "--answer", answer)
	s.command("install", "--dir", s.dir, "--request", request, "--answer", answer)
	trust, err = os.ReadFile(portal.TrustFile(s.dir))
	s.must(err)
	s.trust, err = evidence.ParseTrust(trust)
	s.must(err)
	s.stands("connected, and measuring", func(st standing) bool { return st.Uplink.Connected && st.Health.Measuring })
	if said := s.mosquitto.Said(); !strings.Contains(said, "as "+deviceID) {
		t.Errorf("Mosquitto does not say that the device has connected:\n%s", said)
	}
	told("enrolled, connected, the gate open")

	// The acceptance. What passes meanwhile is measured, and no evidence.
	before := len(tests(s.records()))
	s.ciglio("accept", "--plan", "GPS-12, certificate 7", "--speeds", "92", "--repeat", "2")
	for run, last := 1, 0; run <= 2; {
		s.pass(speeding)
		s.eventually("the vehicle is listed", func() bool {
			var all []struct {
				Number  int
				Reasons []string
			}
			s.must(json.Unmarshal([]byte(s.ciglio("accept", "--vehicles", "--json")), &all))
			for _, v := range all {
				if v.Number > last && run <= 2 {
					last = v.Number
					if len(v.Reasons) == 0 { // a busy board may have read the radar late
						s.ciglio("accept", "--run", fmt.Sprint(run), "--true", "92.1km/h", "--vehicle", fmt.Sprint(v.Number))
						run++
					}
					return true
				}
			}
			return false
		})
	}
	if said := s.ciglio("accept", "--end"); !strings.HasSuffix(strings.TrimSpace(said), "\npassed") {
		t.Errorf("the acceptance: %s", said)
	}
	if n := len(tests(s.records())); n != before {
		t.Errorf("%d records of vehicles after the acceptance, %d before it", n, before)
	}
	s.stands("measuring again", func(st standing) bool { return st.Health.Measuring })
	told("accepted")

	// The first record.
	_, record := s.first()
	if record.Calibration.ID != "OLD" || len(record.Frames) == 0 {
		t.Errorf("under calibration %q, with %d pictures", record.Calibration.ID, len(record.Frames))
	}
	told("the first record is verified and receipted")

	// The evening: what is a violation still becomes a record.
	s.setClocks(midnight.Add(-10 * time.Minute))
	s.stands("measuring in the evening", func(st standing) bool { return st.Health.Measuring && st.At.After(midnight.Add(-11*time.Minute)) })
	s.first()
	told("a record of the evening")

	// Midnight. The photo position of the first vehicle of the new day is reached in its
	// first second, before the device has looked at its gate again and says why; another
	// one passes after that.
	at := s.stands("measuring before midnight", func(st standing) bool { return st.Health.Measuring })
	past := s.setClocks(midnight.Add(-20 * time.Second))
	past(midnight.Add(time.Second - passing))
	s.pass(speeding)
	late := s.stands("the vehicle of the first second is judged", func(st standing) bool { return st.Health.Counts.Passages > at.Health.Counts.Passages })
	told(fmt.Sprintf("what was discarded, after the vehicle of the first second: %v", late.Health.Counts.Discarded))
	s.stands("the gate is closed, for the calibration alone", func(st standing) bool {
		return !st.Health.Measuring && slices.Equal(st.codes(), []string{"calibration_expired"})
	})
	s.pass(speeding)
	after := s.stands("the vehicle after it is judged", func(st standing) bool { return st.Health.Counts.Passages > late.Health.Counts.Passages })
	if after.Health.Counts.Violations != at.Health.Counts.Violations || after.Health.Counts.Discarded["gate"] == 0 {
		t.Errorf("violations before midnight %d, then %+v", at.Health.Counts.Violations, after.Health.Counts)
	}
	closed := regexp.MustCompile(`time=(\S+) .*msg="gate closed.*calibration OLD`).FindSubmatch(s.service.Stderr())
	if closed == nil {
		t.Fatal("the device does not say that its gate was closed")
	}
	if stamp, err := time.Parse(time.RFC3339Nano, string(closed[1])); err != nil || stamp.Before(last) {
		t.Errorf("the gate was closed at %q, %v; the calibration ends at %v", closed[1], err, last.UTC())
	} else {
		told(fmt.Sprintf("the gate was closed %v after the last whole second of the day", stamp.Sub(last)))
	}
	s.eventually("the centre's page of the device says why", func() bool {
		page, _ := s.get("/devices/" + deviceID)
		return bytes.Contains(page, []byte("calibration OLD: expired"))
	})
	if said := s.ciglio("journal", "--dir", outbox); !strings.Contains(said, "clock step") {
		t.Errorf("the journal: %s", said)
	}

	told("the reason is on the centre's page")

	// The new stick, and measuring again by itself.
	receipt = s.stick(map[string][]byte{"calibration.ciglio": s.calibration(2, "NEW", midnight, midnight.AddDate(1, 0, 0).Add(-time.Second))})
	if !strings.Contains(receipt, "calibration version 2 is in force") {
		t.Fatalf("the stick's receipt: %s", receipt)
	}
	told("the new stick is taken")
	s.stands("measuring under the new calibration", func(st standing) bool { return st.Health.Measuring && st.Calibration.ID == "NEW" })
	told("measuring again")
	_, record = s.first()
	if record.Calibration.ID != "NEW" {
		t.Errorf("under calibration %q", record.Calibration.ID)
	}
	told("a record under the new calibration")

	// Of all that, in one chain at the centre.
	all := s.until("everything receipted", func(all []entry) bool { return !slices.ContainsFunc(all, unsettled) })
	for i, e := range all {
		if e.Seq != uint64(i)+1 {
			t.Errorf("record %d in place %d", e.Seq, i+1)
		}
	}
	s.stop()
	s.must(helper.Signal(15))
	for _, e := range tests(all) {
		data, _ := s.get("/records/" + e.ID + "/bundle.zip")
		b, err := evidence.ReadBundle(bytes.NewReader(data), int64(len(data)))
		s.must(err)
		sealed, err := evidence.Open(b.Record)
		s.must(err)
		if r := sealed.Record; r.Calibration.ID == "OLD" && r.UTC.After(last) {
			t.Errorf("record %d of %v was issued under a calibration that ended at %v", r.Seq, r.UTC, last)
		}
	}
	told("the end")
}
