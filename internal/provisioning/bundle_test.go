package provisioning_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"ciglio/capture/evidence"
	p "ciglio/internal/provisioning"
)

// A desk holds a key of each role, and a few of nobody.
type desk struct {
	root, laboratory, operator, officer, supplier, stranger evidence.Signer
	roles, trust                                            []byte
	anchor                                                  *p.Anchor
}

var (
	now    = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)
	mine   = evidence.DeviceID{1}
	others = evidence.DeviceID{2}
)

// newSigner returns a key that is the same in each run, for messages that differ
// in nothing else.
func newSigner(t testing.TB, name string) (evidence.Signer, *ecdsa.PublicKey) {
	t.Helper()
	seed := sha256.Sum256([]byte(name))
	private, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), seed[:])
	if err != nil {
		t.Fatal(err)
	}
	s, err := evidence.NewSigner(private)
	if err != nil {
		t.Fatal(err)
	}
	return s, &private.PublicKey
}

func roleEntry(t testing.TB, role p.Role, name string) string {
	t.Helper()
	_, public := newSigner(t, name)
	spki, err := evidence.EncodeKey(public)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("[[key]]\nrole = %q\nname = %q\nkey = %q\nnot_before = \"2026-01-01T00:00:00Z\"\nnot_after = \"2026-12-31T23:59:59Z\"\n",
		role, name, base64.StdEncoding.EncodeToString(spki))
}

func trustFile(t testing.TB, root string) []byte {
	t.Helper()
	signer, public := newSigner(t, root)
	register, err := evidence.SealRegister(&evidence.Register{Sequence: 1, Issued: now}, signer)
	if err != nil {
		t.Fatal(err)
	}
	return evidence.EncodeTrust(public, register.Bytes)
}

func newDesk(t testing.TB) *desk {
	t.Helper()
	d := &desk{}
	for _, k := range []struct {
		name string
		to   *evidence.Signer
	}{{"root", &d.root}, {"laboratory", &d.laboratory}, {"operator", &d.operator}, {"officer", &d.officer}, {"supplier", &d.supplier}, {"stranger", &d.stranger}} {
		*k.to, _ = newSigner(t, k.name)
	}
	d.trust = trustFile(t, "root")
	d.roles = []byte("institution = \"example\"\n")
	for _, r := range []p.Role{p.Laboratory, p.Operator, p.Officer, p.Supplier} {
		d.roles = append(d.roles, roleEntry(t, r, string(r))...)
	}
	roles, err := p.ParseRoles(d.roles)
	if err != nil {
		t.Fatal(err)
	}
	if d.anchor, err = p.NewAnchor(d.trust, roles); err != nil {
		t.Fatal(err)
	}
	return d
}

func statement(kind p.Kind) p.Statement {
	return p.Statement{
		Kind: kind, Version: 3, Institution: "example", Devices: []evidence.DeviceID{mine},
		NotBefore: now.Add(-time.Hour).Truncate(time.Second), NotAfter: now.Add(time.Hour),
	}
}

func calibrationFiles() []p.File {
	return []p.File{{"calibration.toml", []byte("id = \"A-117\"\n")}, {"certificate.pdf", []byte("%PDF-1.7\n")}}
}

func (d *desk) make(t testing.TB, s p.Statement, files []p.File, by ...evidence.Signer) *p.Bundle {
	t.Helper()
	b, err := p.Make(s, files)
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range by {
		if b, err = b.Sign(key); err != nil {
			t.Fatal(err)
		}
	}
	return b
}

func (d *desk) calibration(t testing.TB) *p.Bundle {
	return d.make(t, statement(p.Calibration), calibrationFiles(), d.laboratory, d.operator)
}

func reason(err error) p.Reason {
	var r *p.Refusal
	if errors.As(err, &r) {
		return r.Reason
	}
	if err != nil {
		return p.Reason("other: " + err.Error())
	}
	return ""
}

func TestABundleComesBack(t *testing.T) {
	d := newDesk(t)
	made := d.calibration(t)
	b, err := p.Open(made.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	if string(b.Text()) != "id = \"A-117\"\n" || string(b.Content("certificate.pdf")) != "%PDF-1.7\n" || b.Content("other") != nil {
		t.Errorf("members %+v", b.Members)
	}
	if err := b.Judge(p.Target{Device: mine, Now: now, Anchor: d.anchor, Installed: 2}); err != nil {
		t.Error(err)
	}
	// Who signs first does not matter.
	if other := d.make(t, statement(p.Calibration), calibrationFiles(), d.operator, d.laboratory); !bytes.Equal(other.Bytes, made.Bytes) {
		t.Error("the order of signing shows")
	}
	if _, err := b.Sign(d.operator); err == nil {
		t.Error("one key signed twice")
	}
}

// Whichever bit is changed, wherever it is cut, whatever is added: it is refused.
func TestNoBitOfABundleMayChange(t *testing.T) {
	d := newDesk(t)
	good := d.calibration(t).Bytes
	passes := func(file []byte) bool {
		b, err := p.Open(file)
		return err == nil && b.Judge(p.Target{Device: mine, Now: now, Anchor: d.anchor}) == nil
	}
	if !passes(good) {
		t.Fatal("the good one is refused")
	}
	for i := range good {
		for _, bit := range []byte{1, 0x20, 0x80} {
			bad := bytes.Clone(good)
			bad[i] ^= bit
			if passes(bad) {
				t.Errorf("byte %d ^ %#x of %d passes", i, bit, len(good))
			}
		}
		if passes(good[:i]) {
			t.Errorf("the first %d bytes of %d pass", i, len(good))
		}
	}
	if passes(append(bytes.Clone(good), 0)) {
		t.Error("a byte after the end passes")
	}
}

func TestWhatIsNoBundleIsRefused(t *testing.T) {
	d := newDesk(t)
	good := string(d.calibration(t).Bytes)
	head, rest, _ := strings.Cut(good, "\n")
	envelope := func(change func(string) string) string {
		var n int
		fmt.Sscanf(head, "ciglio-bundle v1 %d", &n)
		e := change(rest[:n])
		return fmt.Sprintf("ciglio-bundle v1 %d\n%s%s", len(e), e, rest[n:])
	}
	payload := func(old, new string) string {
		return envelope(func(e string) string {
			before, at, _ := strings.Cut(e, `"payload":"`)
			text, after, _ := strings.Cut(at, `"`)
			plain, err := base64.StdEncoding.DecodeString(text)
			if err != nil || !strings.Contains(string(plain), old) {
				t.Fatalf("%v: %q is not in %s", err, old, plain)
			}
			return before + `"payload":"` + base64.StdEncoding.EncodeToString([]byte(strings.Replace(string(plain), old, new, 1))) + `"` + after
		})
	}
	for _, row := range []struct {
		name, file string
		want       p.Reason
	}{
		{"nothing at all", "", p.Truncated},
		{"the first word only", "ciglio-b", p.Truncated},
		{"the first line only", "ciglio-bundle v1 12", p.Truncated},
		{"a picture", "\xff\xd8\xff\xe0 and so on for a while", p.NoBundle},
		{"a zip", "PK\x03\x04 and so on for a while", p.NoBundle},
		{"another version of the format", strings.Replace(good, " v1 ", " v2 ", 1), p.NoBundle},
		{"line end of another system", strings.Replace(good, "\n", "\r\n", 1), p.NoBundle},
		{"a length with a leading zero", strings.Replace(good, " v1 ", " v1 0", 1), p.NoBundle},
		{"a negative length", "ciglio-bundle v1 -5\nabcde", p.NoBundle},
		{"a length of many digits", "ciglio-bundle v1 99999999999\n", p.NoBundle},
		{"an envelope larger than any", "ciglio-bundle v1 999999\n" + strings.Repeat(" ", 999999), p.TooLarge},
		{"cut off in the envelope", good[:200], p.Truncated},
		{"cut off in a member", good[:len(good)-3], p.Truncated},
		{"something after the last member", good + "x", p.Malformed},
		{"a member that was changed", good[:len(good)-1] + "x", p.Damaged},
		{"white space in the envelope", envelope(func(e string) string { return " " + e }), p.Malformed},
		{"two texts in the envelope", envelope(func(e string) string { return e + e }), p.Malformed},
		{"another payload type", envelope(func(e string) string { return strings.Replace(e, ".v1+json", ".v2+json", 1) }), p.Malformed},
		{"a key of the envelope twice", envelope(func(e string) string { return strings.Replace(e, "{", `{"payloadType":"",`, 1) }), p.Malformed},
		{"an unknown key of the envelope", envelope(func(e string) string { return strings.Replace(e, "{", `{"x":1,`, 1) }), p.Malformed},
		{"a signature twice", envelope(func(e string) string {
			before, list, _ := strings.Cut(e, `"signatures":[`)
			one, _, _ := strings.Cut(list, "},")
			return before + `"signatures":[` + one + "}," + list
		}), p.Malformed},
		{"a signature that is short", envelope(func(e string) string { return strings.Replace(e, `"sig":"`, `"sig":"AAAA`, 1) }), p.Malformed},
		{"a key id in capitals", envelope(func(e string) string { return strings.Replace(e, `"keyid":"`, `"keyid":"A`, 1) }), p.Malformed},
		{"a payload that is no base64", envelope(func(e string) string { return strings.Replace(e, `"payload":"`, `"payload":"*`, 1) }), p.Malformed},
		{"another format number", payload(`"format":1`, `"format":2`), p.Malformed},
		{"an unknown key of the payload", payload(`"format":1`, `"format":1,"x":1`), p.Malformed},
		{"a key in other letters", payload(`"version"`, `"Version"`), p.Malformed},
		{"a key twice", payload(`"version":3`, `"version":3,"version":4`), p.Malformed},
		{"version 0", payload(`"version":3`, `"version":0`), p.Malformed},
		{"a version that JSON cannot hold", payload(`"version":3`, `"version":9007199254740992`), p.Malformed},
		{"an unknown kind", payload(`"kind":"calibration"`, `"kind":"firmware"`), p.UnknownKind},
		{"no institution", payload(`"example"`, `""`), p.Malformed},
		{"an institution that is a path", payload(`"example"`, `"../example"`), p.Malformed},
		{"a device that is a wildcard", payload(`["0100`, `["*100`), p.Malformed},
		{"a device in capitals", payload(`["01000000000000000000000000000000"]`, `["0A000000000000000000000000000000"]`), p.Malformed},
		{"no device", payload(`"devices":["01000000000000000000000000000000"],`, ``), p.Malformed},
		{"devices and all devices", payload(`"not_before"`, `"all_devices":true,"not_before"`), p.Malformed},
		{"a device twice", payload(`["01000000000000000000000000000000"`, `["01000000000000000000000000000000","01000000000000000000000000000000"`), p.Malformed},
		{"a time with another zone", payload(`:00:00Z"`, `:00:00+01:00"`), p.Malformed},
		{"an end before the beginning", payload(`"not_after":"2026`, `"not_after":"2025`), p.Malformed},
		{"a member that is a path", payload(`"name":"calibration.toml"`, `"name":"../calibration.toml"`), p.Malformed},
		{"a member of another kind", payload(`"name":"calibration.toml"`, `"name":"site.toml"`), p.Malformed},
		{"a member of another type", payload(`"application/pdf"`, `"text/html"`), p.Malformed},
		{"a member of size -1", payload(`"size":13`, `"size":-1`), p.Malformed},
		{"a member larger than any", payload(`"size":13`, `"size":9999999`), p.TooLarge},
		{"a member longer than the file", payload(`"size":13`, `"size":9999`), p.Truncated},
		{"a member with another hash", payload(`"sha256":"`, `"sha256":"0`), p.Malformed},
	} {
		_, err := p.Open([]byte(row.file))
		if reason(err) != row.want {
			t.Errorf("%s: %v, want %s", row.name, err, row.want)
		}
	}
}

func TestJudge(t *testing.T) {
	d := newDesk(t)
	change := func(f func(*p.Statement)) p.Statement {
		s := statement(p.Calibration)
		f(&s)
		return s
	}
	both := []evidence.Signer{d.laboratory, d.operator}
	trustFiles := []p.File{{"trust.pem", d.trust}, {"roles.toml", d.roles}}
	foreignTrust := []p.File{{"trust.pem", trustFile(t, "stranger")}, {"roles.toml", d.roles}}
	rootOnly, err := p.NewAnchor(d.trust, nil)
	if err != nil {
		t.Fatal(err)
	}
	factory := &p.Anchor{Root: d.root.KeyID()}
	for _, row := range []struct {
		name      string
		statement p.Statement
		files     []p.File
		by        []evidence.Signer
		anchor    *p.Anchor
		now       time.Time
		installed uint64
		want      p.Reason
	}{
		{"good", statement(p.Calibration), calibrationFiles(), both, d.anchor, now, 2, ""},
		{"the first ever", statement(p.Calibration), calibrationFiles(), both, d.anchor, now, 0, ""},
		{"unsigned", statement(p.Calibration), calibrationFiles(), nil, d.anchor, now, 0, p.HalfSigned},
		{"laboratory only", statement(p.Calibration), calibrationFiles(), []evidence.Signer{d.laboratory}, d.anchor, now, 0, p.HalfSigned},
		{"operator only", statement(p.Calibration), calibrationFiles(), []evidence.Signer{d.operator}, d.anchor, now, 0, p.HalfSigned},
		{"an officer is no laboratory", statement(p.Calibration), calibrationFiles(), []evidence.Signer{d.officer, d.operator}, d.anchor, now, 0, p.HalfSigned},
		{"nor is the root", statement(p.Calibration), calibrationFiles(), []evidence.Signer{d.root, d.operator}, d.anchor, now, 0, p.HalfSigned},
		{"a stranger counts for nothing", statement(p.Calibration), calibrationFiles(), []evidence.Signer{d.stranger, d.operator}, d.anchor, now, 0, p.HalfSigned},
		{"and spoils nothing", statement(p.Calibration), calibrationFiles(), append(both, d.stranger), d.anchor, now, 0, ""},
		{"another device's", change(func(s *p.Statement) { s.Devices[0] = others }), calibrationFiles(), both, d.anchor, now, 0, p.Foreign},
		{"for both", change(func(s *p.Statement) { s.Devices = append(s.Devices, others) }), calibrationFiles(), both, d.anchor, now, 0, ""},
		{"for all devices", change(func(s *p.Statement) { s.Devices, s.AllDevices = nil, true }), calibrationFiles(), both, d.anchor, now, 0, ""},
		{"for all devices of another institution", change(func(s *p.Statement) { s.Devices, s.AllDevices, s.Institution = nil, true, "elsewhere" }), calibrationFiles(), both, d.anchor, now, 0, p.Foreign},
		{"the same version", statement(p.Calibration), calibrationFiles(), both, d.anchor, now, 3, p.Older},
		{"an older version", statement(p.Calibration), calibrationFiles(), both, d.anchor, now, 4, p.Older},
		{"its first second", statement(p.Calibration), calibrationFiles(), both, d.anchor, now.Add(-time.Hour), 0, ""},
		{"a second before", statement(p.Calibration), calibrationFiles(), both, d.anchor, now.Add(-time.Hour - time.Second), 0, p.TooEarly},
		{"its last second", statement(p.Calibration), calibrationFiles(), both, d.anchor, now.Add(time.Hour + 999*time.Millisecond), 0, ""},
		{"a second after", statement(p.Calibration), calibrationFiles(), both, d.anchor, now.Add(time.Hour + time.Second), 0, p.Expired},
		{"keys whose time is over", change(func(s *p.Statement) { s.NotAfter = now.AddDate(3, 0, 0) }), calibrationFiles(), both, d.anchor, now.AddDate(1, 0, 0), 0, p.HalfSigned},
		{"a calibration before any trust", statement(p.Calibration), calibrationFiles(), both, factory, now, 0, p.NoAnchor},
		{"a calibration where the root alone is known", statement(p.Calibration), calibrationFiles(), both, rootOnly, now, 0, p.NoAnchor},
		{"first trust, by the factory's root", statement(p.Trust), trustFiles, []evidence.Signer{d.root}, factory, now, 0, ""},
		{"first trust, by the root of a trust file", statement(p.Trust), trustFiles, []evidence.Signer{d.root}, rootOnly, now, 0, ""},
		{"first trust of another root", statement(p.Trust), foreignTrust, []evidence.Signer{d.stranger}, factory, now, 0, p.WrongRoot},
		{"first trust, not signed by its root", statement(p.Trust), trustFiles, []evidence.Signer{d.operator}, factory, now, 0, p.HalfSigned},
		{"first trust, no root configured", statement(p.Trust), trustFiles, []evidence.Signer{d.root}, nil, now, 0, p.NoAnchor},
		{"first trust, another institution's roles", change(func(s *p.Statement) { s.Kind, s.Institution = p.Trust, "elsewhere" }), trustFiles, []evidence.Signer{d.root}, factory, now, 0, p.Foreign},
		{"first trust, roles that cannot be read", statement(p.Trust), []p.File{{"trust.pem", d.trust}, {"roles.toml", []byte("x")}}, []evidence.Signer{d.root}, factory, now, 0, p.BadContent},
		{"later trust by the new root alone", statement(p.Trust), foreignTrust, []evidence.Signer{d.stranger}, d.anchor, now, 0, p.HalfSigned},
		{"a new root, by the old one", statement(p.Trust), foreignTrust, []evidence.Signer{d.root}, d.anchor, now, 0, ""},
		{"software by the supplier alone", statement(p.Software), []p.File{{"software.toml", []byte("x")}, {"ciglio", []byte("x")}}, []evidence.Signer{d.supplier}, d.anchor, now, 0, p.HalfSigned},
		{"software is not the laboratory's business", statement(p.Software), []p.File{{"software.toml", []byte("x")}, {"ciglio", []byte("x")}}, []evidence.Signer{d.laboratory, d.operator}, d.anchor, now, 0, p.HalfSigned},
	} {
		b := d.make(t, row.statement, row.files, row.by...)
		err := b.Judge(p.Target{Device: mine, Now: row.now, Anchor: row.anchor, Installed: row.installed})
		if reason(err) != row.want {
			t.Errorf("%s: %v, want %q", row.name, err, row.want)
		}
	}
}

func TestRolesRefuse(t *testing.T) {
	d := newDesk(t)
	entry := roleEntry(t, p.Laboratory, "x")
	for _, row := range []struct{ name, text, want string }{
		{"good", "institution = \"example\"\n" + entry, ""},
		{"no institution", entry, "institution"},
		{"one key under two names", "institution = \"example\"\n" + entry + strings.Replace(entry, `name = "x"`, `name = "y"`, 1), "one key counts once"},
		{"one key in two roles", "institution = \"example\"\n" + entry + strings.Replace(entry, "laboratory", "operator", 1), "one key counts once"},
		{"the root among the roles", "institution = \"example\"\n" + roleEntry(t, p.Operator, "root"), "one key counts once"},
		{"a role that is none", "institution = \"example\"\n" + strings.Replace(entry, "laboratory", "root", 1), "want laboratory"},
		{"a key that is none", "institution = \"example\"\n" + strings.Replace(entry, "key = \"M", "key = \"N", 1), "key"},
		{"an unknown key of the file", "institution = \"example\"\nx = 1\n", "unknown key x"},
		{"an end before the beginning", "institution = \"example\"\n" + strings.Replace(entry, "2026-12", "2025-12", 1), "not_after lies before"},
		{"no time", "institution = \"example\"\n" + strings.Replace(entry, "2026-12-31T23:59:59Z", "2026", 1), "not_after"},
	} {
		r, err := p.ParseRoles([]byte(row.text))
		if err == nil {
			_, err = p.NewAnchor(d.trust, r)
		}
		if (err == nil) != (row.want == "") || err != nil && !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: %v, want %q", row.name, err, row.want)
		}
	}
}

func TestEveryReasonHasWords(t *testing.T) {
	for _, r := range p.Reasons() {
		if w := r.Words(); w == string(r) || len(w) < 20 {
			t.Errorf("%s: %q", r, w)
		}
	}
}

// FuzzOpen: what opens has one spelling.
func FuzzOpen(f *testing.F) {
	d := newDesk(f)
	good := d.calibration(f).Bytes
	f.Add(good)
	f.Add(d.make(f, statement(p.Trust), []p.File{{"trust.pem", d.trust}, {"roles.toml", d.roles}}, d.root).Bytes)
	r := rand.New(rand.NewPCG(1, 1))
	for range 8 {
		bad := bytes.Clone(good)
		bad[r.IntN(len(bad))] ^= 1
		f.Add(bad)
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		b, err := p.Open(file)
		if err != nil {
			if reason(err) == "" || strings.HasPrefix(string(reason(err)), "other") {
				t.Fatalf("not a refusal: %v", err)
			}
			return
		}
		files := []p.File{}
		for _, m := range b.Members {
			files = append(files, p.File{Name: m.Name, Content: b.Content(m.Name)})
		}
		again, err := p.Make(b.Statement, files)
		if err != nil {
			t.Fatalf("what opens cannot be made: %v", err)
		}
		if len(b.Signatures) == 0 && !bytes.Equal(again.Bytes, file) {
			t.Errorf("a second spelling of one bundle: %q and %q", again.Bytes, file)
		}
		b.Judge(p.Target{Device: mine, Now: now, Anchor: d.anchor})
	})
}
