package web_test

import (
	"archive/zip"
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"html"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"ciglio/capture/evidence"
	"ciglio/portal/intake"
	"ciglio/portal/portaltest"
	"ciglio/portal/register"
	"ciglio/portal/store"
	"ciglio/portal/web"
	"ciglio/uplink"
	"ciglio/uplink/wire"
)

// A site is a centre that has received messages, and its pages.
type site struct {
	t        testing.TB
	centre   *portaltest.Centre
	store    *store.Store
	register *register.File
	handler  http.Handler
}

// receive makes a site of which the intake has dealt with messages.
func receive(t testing.TB, c *portaltest.Centre, messages ...uplink.Message) *site {
	t.Helper()
	s := &site{t: t, centre: c}
	var err error
	if s.register, err = register.Open(c.Dir); err != nil {
		t.Fatal(err)
	}
	if s.store, err = store.Open(c.Dir); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.store.Close() })
	broker := portaltest.NewBroker()
	in, err := intake.New(t.Context(), intake.Options{
		Store: s.store, Register: s.register, Signer: c.Signer, Dialer: broker, ClientID: "centre", Shard: portaltest.Shard,
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- in.Run(ctx) }()
	broker.Deliver(messages...)
	cancel()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	pages, err := web.New(web.Options{Store: s.store, Register: s.register, Stats: in.Stats, Loopback: true})
	if err != nil {
		t.Fatal(err)
	}
	s.handler = pages.Handler()
	return s
}

func (s *site) get(path string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest("GET", "http://127.0.0.1:8080"+path, nil)
	for i := 0; i < len(headers); i += 2 {
		if headers[i] == "Host" {
			r.Host = headers[i+1]
		}
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	s.handler.ServeHTTP(w, r)
	return w
}

var trace = portaltest.Bytes(4, 9_000)

func pictures(t testing.TB) [][]byte {
	return [][]byte{portaltest.Picture(t, 160, 90, 1), portaltest.Picture(t, 160, 90, 2), portaltest.Picture(t, 160, 90, 3)}
}

// send returns the messages of a record and its blobs.
func send(d *portaltest.Device, s *evidence.Sealed, blobs ...[]byte) []uplink.Message {
	all := []uplink.Message{d.Message(wire.WhatRecord, s.Bytes)}
	for _, blob := range blobs {
		all = append(all, d.Chunks(blob)...)
	}
	return all
}

// violation is a site with one settled violation and its statements.
func violation(t testing.TB, edit func(*evidence.Record)) (*site, *evidence.Sealed) {
	d := portaltest.NewDevice(t, "one")
	c := portaltest.NewCentre(t, d)
	all := send(d, d.Statement(t, evidence.KindCalibration, portaltest.Calibration))
	all = append(all, send(d, d.Statement(t, evidence.KindConfiguration, portaltest.Configuration))...)
	s := d.Violation(t, pictures(t), trace, edit)
	all = append(all, send(d, s, append(pictures(t), trace)...)...)
	return receive(t, c, all...), s
}

func TestPagesAnswer(t *testing.T) {
	s, v := violation(t, nil)
	record := "/records/" + v.ID.String()
	for _, row := range []struct {
		name, path string
		status     int
		media      string
		contains   string
	}{
		{"overview", "/", 200, "text/html; charset=utf-8", "SP 14, km 12.340"},
		{"every record", "/?show=all", 200, "text/html; charset=utf-8", "Calibration"},
		{"older records", "/?before=3", 200, "text/html; charset=utf-8", "no older records"},
		{"a cursor that is none", "/?before=x", 404, "text/html; charset=utf-8", "Not found"},
		{"a negative cursor", "/?before=-1", 404, "text/html; charset=utf-8", "Not found"},
		{"record", record, 200, "text/html; charset=utf-8", "This evidence is genuine and complete."},
		{"record in capitals", strings.ToUpper(record), 404, "text/html; charset=utf-8", "Not found"},
		{"record that is not there", "/records/" + strings.Repeat("0", 64), 404, "text/html; charset=utf-8", "Not found"},
		{"record of a short name", "/records/00", 404, "text/html; charset=utf-8", "Not found"},
		{"photo", record + "/frames/2", 200, "image/jpeg", "\xff\xd8"},
		{"frame 0", record + "/frames/0", 404, "text/html; charset=utf-8", "Not found"},
		{"frame 4 of 3", record + "/frames/4", 404, "text/html; charset=utf-8", "Not found"},
		{"frame in another spelling", record + "/frames/02", 404, "text/html; charset=utf-8", "Not found"},
		{"trace", record + "/trace", 200, "audio/wav", string(trace[:20])},
		{"signed bytes", record + "/record.cose", 200, `application/cose; cose-type="cose-sign1"`, string(v.Bytes)},
		{"bundle", record + "/bundle.zip", 200, "application/zip", "PK"},
		{"trust file", "/trust", 200, "application/x-pem-file", "CIGLIO ROOT KEY"},
		{"device", "/devices/" + v.Record.Device.String(), 200, "text/html; charset=utf-8", "Kept here"},
		{"device that is not there", "/devices/" + strings.Repeat("0", 32), 404, "text/html; charset=utf-8", "Not found"},
		{"style", "/assets/style.css", 200, "text/css; charset=utf-8", "prefers-color-scheme"},
		{"a file outside", "/assets/..%2ftemplates%2flayout.html", 404, "text/html; charset=utf-8", "Not found"},
		{"another page", "/admin", 404, "text/html; charset=utf-8", "Not found"},
		{"no broker", "/healthz", 503, "text/plain; charset=utf-8", "broker"},
	} {
		w := s.get(row.path)
		if w.Code != row.status || w.Header().Get("Content-Type") != row.media || !strings.Contains(w.Body.String(), row.contains) {
			t.Errorf("%s: %d %q, contains %q: %v", row.name, w.Code, w.Header().Get("Content-Type"), row.contains, strings.Contains(w.Body.String(), row.contains))
		}
		for header, want := range map[string]string{
			"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Referrer-Policy": "no-referrer",
			"Cross-Origin-Resource-Policy": "same-origin",
		} {
			if got := w.Header().Get(header); got != want {
				t.Errorf("%s: %s = %q, want %q", row.name, header, got, want)
			}
		}
		policy := w.Header().Get("Content-Security-Policy")
		if !strings.HasPrefix(policy, "default-src 'none'") || strings.Contains(policy, "unsafe") {
			t.Errorf("%s: policy %q", row.name, policy)
		}
	}
}

// Nothing on a page may come from elsewhere, or need what the policy forbids.
func TestPagesNeedNothingFromElsewhere(t *testing.T) {
	s, v := violation(t, nil)
	outside := regexp.MustCompile(`(?i)(src|href|action)="(https?:)?//|<style|style="|javascript:|\son[a-z]+="|<script>`)
	for _, path := range []string{"/", "/records/" + v.ID.String(), "/devices/" + v.Record.Device.String(), "/nowhere"} {
		body := s.get(path).Body.String()
		if found := outside.FindString(body); found != "" {
			t.Errorf("%s: %s", path, found)
		}
		if !strings.Contains(body, `<html lang="en">`) || strings.Count(body, "<h1") != 1 || !strings.Contains(body, `id="content"`) {
			t.Errorf("%s: no language, no single heading or no content mark", path)
		}
	}
}

func TestOtherSitesAreRefused(t *testing.T) {
	s, v := violation(t, nil)
	for _, row := range []struct {
		name    string
		headers []string
		want    int
	}{
		{"this machine by name", []string{"Host", "localhost:8080"}, 200},
		{"this machine by its IPv6 address", []string{"Host", "[::1]:8080"}, 200},
		{"a name that someone made point here", []string{"Host", "evil.example"}, 421},
		{"another address", []string{"Host", "192.0.2.1:8080"}, 421},
		{"a picture on another site", []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "no-cors"}, 403},
		{"a link on another site", []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate"}, 200},
	} {
		if w := s.get("/records/"+v.ID.String(), row.headers...); w.Code != row.want {
			t.Errorf("%s: %d, want %d", row.name, w.Code, row.want)
		}
	}
	r := httptest.NewRequest("POST", "http://127.0.0.1/", nil)
	w := httptest.NewRecorder()
	if s.handler.ServeHTTP(w, r); w.Code != 405 && w.Code != 404 {
		t.Errorf("POST: %d", w.Code)
	}
}

func TestHostileTextIsEscaped(t *testing.T) {
	const bad = `"><script>alert(1)</script><img src=x onerror=alert(2)>'`
	s, v := violation(t, func(r *evidence.Record) {
		r.Kind, r.Body = evidence.KindTest, evidence.Body{1: bad}
		r.Site.Road, r.Site.ID, r.Measurement.Rule = bad[:30], bad[:30], bad[:30]
		r.Calibration.Approval, r.Calibration.Decree, r.Software.Version = bad, bad, bad
	})
	d := portaltest.NewDevice(t, "one")
	head := wire.Head{Device: wire.Device(d.ID), UTC: time.Now()}
	profile, err := wire.Profile{Head: head, Road: bad, Model: bad, Serial: bad, Approval: bad}.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	health, err := wire.Health{Head: head, Boot: wire.BootID{1}, Sequence: 1, Software: bad,
		Reasons: []wire.Reason{{Code: bad, Words: bad}}, Alarms: []wire.Reason{{Code: bad, Words: bad}}}.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.store.Close(); err != nil {
		t.Fatal(err)
	}
	s = receive(t, s.centre, d.Message(wire.WhatProfile, profile), d.Message(wire.WhatHealth, health),
		d.Message(wire.WhatRecord, []byte(bad)))
	for _, path := range []string{"/", "/?show=all", "/records/" + v.ID.String(), "/devices/" + d.ID.String()} {
		w := s.get(path)
		body := w.Body.String()
		if w.Code != 200 || strings.Contains(body, "<script>alert") || strings.Contains(body, "<img src=x") {
			t.Errorf("%s: %d, text of a device became markup", path, w.Code)
		}
		if !strings.Contains(body, "&lt;script&gt;alert(1)") {
			t.Errorf("%s: the text is not there at all", path)
		}
	}
}

// What a device said last is not the present when it has gone, and what it
// complains of shows where all devices are listed.
func TestDeviceSaysHowItIs(t *testing.T) {
	d := portaltest.NewDevice(t, "one")
	c := portaltest.NewCentre(t, d)
	head := wire.Head{Device: wire.Device(d.ID), UTC: time.Now()}
	tell := func(online bool, sequence uint64, alarms ...wire.Reason) []uplink.Message {
		t.Helper()
		state, err := wire.State{Head: head, Boot: wire.BootID{1}, Sequence: sequence, Online: online}.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		health, err := wire.Health{Head: head, Boot: wire.BootID{1}, Sequence: sequence, Measuring: true, Alarms: alarms}.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		return []uplink.Message{d.Message(wire.WhatState, state), d.Message(wire.WhatHealth, health)}
	}
	for i, row := range []struct {
		name     string
		messages []uplink.Message
		has, not string
	}{
		{"connected and measuring", tell(true, 1), `<span class="state good">Yes</span>`, "when last heard"},
		{"gone", tell(false, 2), "yes when last heard", `<span class="state good">Yes</span>`},
		{"complains", tell(true, 3, wire.Reason{Code: "store_damaged", Words: "segment 7 is damaged"}), `<tr class="alarm">`, "wrongly linked"},
	} {
		s := receive(t, c, row.messages...)
		if body := s.get("/").Body.String(); !strings.Contains(body, row.has) || strings.Contains(body, row.not) {
			t.Errorf("%s: want %q and not %q in\n%s", row.name, row.has, row.not, body)
		}
		if body := s.get("/devices/" + d.ID.String()).Body.String(); i == 2 && !strings.Contains(body, "The device reports: segment 7 is damaged.") {
			t.Errorf("%s: not on its page:\n%s", row.name, body)
		}
		if err := s.store.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// The pages are read from a store that may take nothing any more.
func TestFullStoreShows(t *testing.T) {
	s, _ := violation(t, nil)
	for _, failing := range []bool{false, true} {
		pages, err := web.New(web.Options{Store: s.store, Register: s.register,
			Stats: func() intake.Stats { return intake.Stats{Connected: true, Failing: failing} }})
		if err != nil {
			t.Fatal(err)
		}
		s.handler = pages.Handler()
		if w := s.get("/healthz"); (w.Code == 503) != failing || strings.Contains(w.Body.String(), "takes nothing") != failing {
			t.Errorf("failing %v: health = %d %q", failing, w.Code, w.Body)
		}
		if body := s.get("/").Body.String(); strings.Contains(body, "Store takes nothing") != failing || strings.Contains(body, "Receiving") == failing {
			t.Errorf("failing %v: not on the overview:\n%s", failing, body)
		}
	}
}

// A network camera does not tell its exposure: nothing is said of it then.
func TestUnknownExposure(t *testing.T) {
	for exposure, want := range map[time.Duration]bool{0: false, time.Millisecond: true} {
		s, v := violation(t, func(r *evidence.Record) {
			for i := range r.Frames {
				r.Frames[i].Exposure = exposure
			}
		})
		if body := s.get("/records/" + v.ID.String()).Body.String(); strings.Contains(body, "exposure ") != want {
			t.Errorf("exposure %v: shown %v, want %v", exposure, !want, want)
		}
	}
}

func TestCompressedFramesAreShownAsSuch(t *testing.T) {
	for media, want := range map[string]bool{"image/jpeg": false, "image/jpeg;source=yuyv": true} {
		s, v := violation(t, func(r *evidence.Record) {
			for i := range r.Frames {
				r.Frames[i].MediaType = media
			}
		})
		record := "/records/" + v.ID.String()
		if w := s.get(record + "/frames/2"); w.Header().Get("Content-Type") != "image/jpeg" || !bytes.Equal(w.Body.Bytes(), pictures(t)[1]) {
			t.Errorf("%s: sent as %q", media, w.Header().Get("Content-Type"))
		}
		if body := s.get(record).Body.String(); strings.Contains(body, "compressed from yuyv") != want || !strings.Contains(body, "This evidence is genuine and complete.") {
			t.Errorf("%s: said to be compressed %t, want %t", media, !want, want)
		}
	}
}

func TestRecordSaysWhatItIs(t *testing.T) {
	test, v := violation(t, func(r *evidence.Record) {
		r.Kind, r.Body = evidence.KindTest, evidence.Body{1: "simulated"}
	})
	if body := test.get("/records/" + v.ID.String()).Body.String(); !strings.Contains(body, "It accuses nobody") {
		t.Error("a test without its banner")
	}
	d := portaltest.NewDevice(t, "one")
	open := d.Violation(t, pictures(t), trace, nil)
	s := receive(t, portaltest.NewCentre(t, d), send(d, open, pictures(t)[1])...)
	body := s.get("/records/" + open.ID.String()).Body.String()
	for _, want := range []string{"Not everything could be checked.", "This frame has not come yet", "none: Pictures on their way"} {
		if !strings.Contains(body, want) {
			t.Errorf("a record that waits for pictures: no %q", want)
		}
	}
	if w := s.get("/records/" + open.ID.String() + "/frames/1"); w.Code != 404 {
		t.Errorf("a frame that has not come: %d", w.Code)
	}
}

func TestDisputeShows(t *testing.T) {
	d := portaltest.NewDevice(t, "one")
	twin := *d
	first := d.Heartbeat(t)
	other := twin.Seal(t, func(r *evidence.Record) { r.Body[1] = uint64(7) })
	s := receive(t, portaltest.NewCentre(t, d), append(send(d, first), send(d, other)...)...)
	for path, want := range map[string]string{
		"/":                             "1 contradicting",
		"/records/" + first.ID.String(): "DISPUTED",
		"/devices/" + first.Record.Device.String(): "This device needs a person",
	} {
		if !strings.Contains(s.get(path).Body.String(), want) {
			t.Errorf("%s: no %q", path, want)
		}
	}
}

// Numbers of a chain are the device's word, and one device must not take the
// pages of all down.
func TestHugeNumbersLeaveThePagesUp(t *testing.T) {
	one, other, next := portaltest.NewDevice(t, "one"), portaltest.NewDevice(t, "other"), portaltest.NewDevice(t, "next")
	next.ID, next.Epoch = one.ID, 2
	next.Certificate.Subject.CommonName = one.ID.String()
	leap := func(r *evidence.Record) { r.Seq, r.Prev = math.MaxInt64, evidence.Hash{1} }
	c := portaltest.NewCentre(t, one, other, next)
	messages := append(send(one, one.Seal(t, leap)), send(next, next.Seal(t, leap))...)
	s := receive(t, c, append(messages, send(other, other.Heartbeat(t))...)...)
	for _, path := range []string{"/", "/devices/" + one.ID.String()} {
		if w := s.get(path); w.Code != 200 || !strings.Contains(w.Body.String(), " missing") {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
}

// A record set aside before its pictures came was never settled.
func TestOnlyRecordsInTheLogAreSettled(t *testing.T) {
	d := portaltest.NewDevice(t, "one")
	twin := *d
	first, other := d.Violation(t, pictures(t), trace, nil), twin.Heartbeat(t)
	c := portaltest.NewCentre(t, d)
	const settled = "<dt>Records settled</dt><dd>%d</dd>"
	s := receive(t, c, append(send(d, first), send(d, other)...)...)
	if body := s.get("/").Body.String(); !strings.Contains(body, fmt.Sprintf(settled, 0)) {
		t.Errorf("none is settled:\n%s", body)
	}
	if err := s.store.Close(); err != nil {
		t.Fatal(err)
	}
	s = receive(t, c, append(send(d, d.Heartbeat(t)), send(d, d.Heartbeat(t))...)...)
	if body := s.get("/").Body.String(); !strings.Contains(body, fmt.Sprintf(settled, 2)) {
		t.Errorf("two are settled:\n%s", body)
	}
}

func TestBundleVerifiesElsewhere(t *testing.T) {
	s, v := violation(t, nil)
	data := s.get("/records/" + v.ID.String() + "/bundle.zip").Body.Bytes()
	b, err := evidence.ReadBundle(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	trust, err := evidence.ParseTrust(s.get("/trust").Body.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	verdict := evidence.Verify(b, trust)
	if !verdict.OK() {
		t.Errorf("verdict: %+v", verdict.Checks)
	}
	for _, c := range verdict.Checks {
		if c.Status != evidence.Pass && c.Name != "software" && c.Name != "page" { // which nobody checks here
			t.Errorf("%s: %v: %s", c.Name, c.Status, c.Words)
		}
	}
	archive, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	f, err := archive.Open("frames/2-photo.jpg")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if photo, err := io.ReadAll(f); err != nil || !bytes.Equal(photo, pictures(t)[1]) {
		t.Errorf("the photo in the bundle is not the camera's: %v", err)
	}
}

// The verdict is of the stored bytes as they are now.
func TestDamagedBlobShows(t *testing.T) {
	s, v := violation(t, nil)
	hash := v.Record.Frames[1].SHA256.String()
	path := filepath.Join(s.centre.Dir, "blobs", hash[:2], hash[2:])
	if err := os.WriteFile(path, pictures(t)[0], 0o600); err != nil {
		t.Fatal(err)
	}
	w := s.get("/records/" + v.ID.String())
	if body := w.Body.String(); w.Code != 200 || !strings.Contains(body, "DAMAGED") || strings.Contains(body, "This evidence is genuine and complete.") {
		t.Errorf("status %d: the damage does not show", w.Code)
	}
	for _, part := range []string{"/frames/2", "/bundle.zip"} {
		if w := s.get("/records/" + v.ID.String() + part); w.Code != 500 {
			t.Errorf("%s: %d, want 500", part, w.Code)
		}
	}
}

// alter changes the database of a site behind its back.
func (s *site) alter(query string, args ...any) {
	s.t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(s.centre.Dir, "portal.db"))
	if err == nil {
		_, err = db.Exec(query, args...)
	}
	if err == nil {
		err = db.Close()
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

// Lists show no bytes that are not the record's.
func TestForeignBytesShowAsDamage(t *testing.T) {
	s, v := violation(t, nil)
	stranger := portaltest.NewDevice(t, "stranger").Violation(t, pictures(t), trace, func(r *evidence.Record) {
		r.Measurement.Speed, r.Measurement.Indicated, r.Measurement.Assessed = 9_905, 9_900, 9_400
	})
	for name, bytes := range map[string][]byte{"another record": stranger.Bytes, "no record": []byte("nothing")} {
		s.alter(`UPDATE records SET bytes = $1 WHERE id = $2`, bytes, v.ID[:])
		for _, path := range []string{"/", "/devices/" + v.Record.Device.String()} {
			w := s.get(path)
			if body := w.Body.String(); w.Code != 200 || strings.Contains(body, "99.05") ||
				!strings.Contains(body, "stored bytes are damaged") || strings.Contains(body, ">Settled</span>") {
				t.Errorf("%s, %s: %d, the damage does not show", name, path, w.Code)
			}
		}
	}
}

// The page says of a record what every verifier says, word by word.
func TestD23_ThePageSaysWhatTheVerifiersSay(t *testing.T) {
	s, v := violation(t, func(r *evidence.Record) { r.Site.Lane, r.Site.Longitude = 2, -1 })
	body := html.UnescapeString(s.get("/records/" + v.ID.String()).Body.String())
	data := s.get("/records/" + v.ID.String() + "/bundle.zip").Body.Bytes()
	b, err := evidence.ReadBundle(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	trust, err := evidence.ParseTrust(s.get("/trust").Body.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	b.Archive = nil // which only who holds the archive can speak of
	verdict := evidence.Verify(b, trust)
	want := []string{verdict.Line()}
	for _, f := range evidence.Facts(v.Record) {
		if f.Name == "device" {
			f.Value = "/" + f.Value + `">` + f.Value + "</a>"
		} else {
			f.Value = "<dd>" + f.Value + "</dd>"
		}
		want = append(want, "<dt>"+f.Name+"</dt>", f.Value)
	}
	for _, c := range verdict.Checks {
		want = append(want, ">"+c.Status.String()+"</span>", ">"+c.Name, c.Words)
	}
	for i, f := range v.Record.Frames {
		want = append(want, fmt.Sprintf("<b>%d · %s</b> <span>%s</span>", i+1, f.Role, evidence.Offset(f.Mono.Sub(v.Record.Measurement.Photo))))
	}
	for _, w := range want {
		if !strings.Contains(body, w) {
			t.Errorf("the page does not say %q", w)
		}
	}
}

// The last second of a calibration in UTC lies in the next day of the place.
func TestEndOfCalibrationHasItsClock(t *testing.T) {
	until := time.Date(2027, 1, 9, 23, 59, 59, 0, time.UTC)
	s, v := violation(t, func(r *evidence.Record) { r.Calibration.NotAfter = until })
	d := portaltest.NewDevice(t, "one")
	profile, err := wire.Profile{Head: wire.Head{Device: wire.Device(d.ID), UTC: time.Now()}, Road: "SP 14",
		Calibration: wire.ProfileCalibration{ID: "A-117", Version: 3, NotAfter: until}}.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.store.Close(); err != nil {
		t.Fatal(err)
	}
	s = receive(t, s.centre, d.Message(wire.WhatProfile, profile))
	for _, path := range []string{"/records/" + v.ID.String(), "/devices/" + d.ID.String()} {
		if !strings.Contains(s.get(path).Body.String(), "until 2027-01-10 00:59:59 CET (2027-01-09 23:59:59 UTC)") {
			t.Errorf("%s: the end is not shown with its clock and zone", path)
		}
	}
}

// A settled record is never said to wait for what was lost here.
func TestLostFrameOfSettledRecordIsSaidToBeLost(t *testing.T) {
	s, v := violation(t, nil)
	blob := func(i int) string {
		hash := v.Record.Frames[i].SHA256.String()
		return filepath.Join(s.centre.Dir, "blobs", hash[:2], hash[2:])
	}
	if err := errors.Join(os.Truncate(blob(0), 10), os.Remove(blob(1))); err != nil {
		t.Fatal(err)
	}
	body := s.get("/records/" + v.ID.String()).Body.String()
	if n := strings.Count(body, "This frame is damaged or missing here."); n != 2 || strings.Contains(body, "has not come yet") {
		t.Errorf("%d frames are said to be lost, want 2", n)
	}
}

func TestLostLogHashIsDamage(t *testing.T) {
	s, v := violation(t, nil)
	record := "/records/" + v.ID.String()
	s.alter(`DELETE FROM log_hashes`)
	if w := s.get(record); w.Code != 200 || !strings.Contains(w.Body.String(), "DAMAGED") {
		t.Errorf("page: %d, the damage does not show", w.Code)
	}
	if w := s.get(record + "/bundle.zip"); w.Code != 500 {
		t.Errorf("bundle: %d, want 500", w.Code)
	}
}

func TestPagesOfRecords(t *testing.T) {
	d := portaltest.NewDevice(t, "one")
	var all []uplink.Message
	const records = 120
	for range records {
		all = append(all, send(d, d.Heartbeat(t))...)
	}
	s := receive(t, portaltest.NewCentre(t, d), all...)
	seen := make(map[string]bool)
	link := regexp.MustCompile(`rel="next" href="([^"]+)"`)
	row := regexp.MustCompile(`/records/([0-9a-f]{64})"`)
	path, pages := "/devices/"+d.ID.String()+"?show=all", 0
	for path != "" {
		body := s.get(path).Body.String()
		for _, m := range row.FindAllStringSubmatch(body, -1) {
			if seen[m[1]] {
				t.Errorf("record %s on two pages", m[1])
			}
			seen[m[1]] = true
		}
		pages++
		path = ""
		if m := link.FindStringSubmatch(body); m != nil {
			path = strings.ReplaceAll(m[1], "&amp;", "&")
		}
	}
	if len(seen) != records || pages != 3 {
		t.Errorf("%d records on %d pages, want %d on 3", len(seen), pages, records)
	}
}

func BenchmarkRecordPage(b *testing.B) {
	s, v := violation(b, nil)
	path := "/records/" + v.ID.String()
	b.ReportAllocs()
	for b.Loop() {
		if w := s.get(path); w.Code != 200 {
			b.Fatal(fmt.Sprint(w.Code))
		}
	}
}

// A device that misses numbers is never shown as one in which nothing waits.
func TestD01_DevicePageTellsLoss(t *testing.T) {
	d := portaltest.NewDevice(t, "one")
	c := portaltest.NewCentre(t, d)
	health, err := wire.Health{
		Head: wire.Head{Device: wire.Device(d.ID), UTC: time.Now()}, Boot: wire.BootID{1}, Sequence: 1, Measuring: true,
		Alarms: []wire.Reason{{Code: "records_missing", Words: "epoch 1 numbers 6 to 10 missing"}},
		Outbox: wire.HealthOutbox{Unaccounted: 5, Missing: []wire.Numbers{{Epoch: 1, From: 6, To: 10}}},
	}.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	s := receive(t, c, d.Message(wire.WhatHealth, health))
	body := s.get("/devices/" + d.ID.String()).Body.String()
	for _, want := range []string{"The device reports: epoch 1 numbers 6 to 10 missing.", "no record that can be read", "5 numbers", "<br>epoch 1 numbers 6 to 10"} {
		if !strings.Contains(body, want) {
			t.Errorf("no %q in\n%s", want, body)
		}
	}
	if strings.Contains(body, "0 records</dd>") && strings.Contains(body, "<dt>Waiting in the device</dt><dd>0") {
		t.Error("says that nothing waits")
	}
	if body := s.get("/").Body.String(); strings.Contains(body, "0 in the device") || !strings.Contains(body, "5 unaccounted for") {
		t.Errorf("overview:\n%s", body)
	}
	if err := s.store.Close(); err != nil {
		t.Error(err)
	}
}

// A copy names the records that it cannot have whole.
func TestBackupNamesDamagedRecords(t *testing.T) {
	s, v := violation(t, nil)
	place := fmt.Sprintf("device %v epoch %d number %d: ", v.Record.Device, v.Record.Epoch, v.Record.Seq)
	backup := func() string {
		t.Helper()
		var damage *store.DamageError
		if err := store.Backup(t.Context(), s.centre.Dir, filepath.Join(t.TempDir(), "copy")); err != nil && !errors.As(err, &damage) {
			t.Fatal(err)
		} else if err == nil {
			return ""
		}
		return strings.Join(damage.Things, "\n")
	}
	if got := backup(); got != "" {
		t.Fatalf("nothing is wrong, and it names\n%s", got)
	}
	hash := v.Record.Frames[1].SHA256
	path := filepath.Join(s.centre.Dir, "blobs", hash.String()[:2], hash.String()[2:])
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if got := backup(); strings.Count(got, "\n") != 0 || !strings.HasPrefix(got, place+"frame 2: blob "+hash.String()) {
		t.Errorf("a lost picture: %s", got)
	}
	s.alter(`DELETE FROM blobs WHERE sha256 = $1`, hash[:])
	if got := backup(); got != place+"frame 2: blob "+hash.String()+" missing" {
		t.Errorf("a picture that nothing knows of: %s", got)
	}
	s.alter(`UPDATE records SET bytes = $1 WHERE id = $2`, []byte("nothing"), v.ID[:])
	if got := backup(); !strings.HasPrefix(got, place+"record "+v.ID.String()+" damaged: ") {
		t.Errorf("other bytes: %s", got)
	}
}
