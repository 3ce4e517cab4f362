package web_test

import (
	"archive/zip"
	"bytes"
	"fmt"
	"html"
	"io"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"ciglio/capture/evidence"
	"ciglio/portal/portaltest"
	"ciglio/uplink"
	"ciglio/uplink/wire"
)

var trace = portaltest.Bytes(4, 9_000)

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
		{"a cursor that is none", "/?before=x", 404, "text/html; charset=utf-8", "There is no such page"},
		{"a negative cursor", "/?before=-1", 404, "text/html; charset=utf-8", "There is no such page"},
		{"record", record, 200, "text/html; charset=utf-8", "This evidence is genuine and complete."},
		{"record in capitals", strings.ToUpper(record), 404, "text/html; charset=utf-8", "There is no such page"},
		{"record that is not there", "/records/" + strings.Repeat("0", 64), 404, "text/html; charset=utf-8", "There is no such page"},
		{"record of a short name", "/records/00", 404, "text/html; charset=utf-8", "There is no such page"},
		{"photo", record + "/frames/2", 200, "image/jpeg", "\xff\xd8"},
		{"frame 0", record + "/frames/0", 404, "text/html; charset=utf-8", "There is no such page"},
		{"frame 4 of 3", record + "/frames/4", 404, "text/html; charset=utf-8", "There is no such page"},
		{"frame in another spelling", record + "/frames/02", 404, "text/html; charset=utf-8", "There is no such page"},
		{"trace", record + "/trace", 200, "audio/wav", string(trace[:20])},
		{"signed bytes", record + "/record.cose", 200, `application/cose; cose-type="cose-sign1"`, string(v.Bytes)},
		{"bundle", record + "/bundle.zip", 200, "application/zip", "PK"},
		{"trust file", "/trust", 200, "application/x-pem-file", "CIGLIO ROOT KEY"},
		{"device", "/devices/" + v.Record.Device.String(), 200, "text/html; charset=utf-8", "Kept here"},
		{"device that is not there", "/devices/" + strings.Repeat("0", 32), 404, "text/html; charset=utf-8", "There is no such page"},
		{"style", "/assets/staff.css", 200, "text/css; charset=utf-8", "prefers-color-scheme"},
		{"a file outside", "/assets/..%2ftemplates%2flayout.html", 404, "text/html; charset=utf-8", "There is no such page"},
		{"another page", "/admin", 404, "text/html; charset=utf-8", "There is no such page"},
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
		if body := s.get("/devices/" + d.ID.String()).Body.String(); i == 2 && !strings.Contains(body, "The device reports: segment 7 is damaged") {
			t.Errorf("%s: not on its page:\n%s", row.name, body)
		}
		if err := s.store.Close(); err != nil {
			t.Fatal(err)
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
			t.Errorf("%s: %v: %s", c.Name, c.Status, c.Words())
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
		value := "<dd>" + f.Value() + "</dd>"
		if f.Name == "device" {
			value = "/" + f.Value() + `">` + f.Value() + "</a>"
		}
		want = append(want, "<dt>"+f.Name+"</dt>", value)
	}
	for _, c := range verdict.Checks {
		want = append(want, ">"+c.Status.String()+"</span>", ">"+c.Name, c.Words())
	}
	for i, f := range v.Record.Frames {
		want = append(want, fmt.Sprintf("<b>%d · %s</b> <span>%s</span>", i+1, f.Role, evidence.Offset(f.Mono.Sub(v.Record.Measurement.Photo)).Words()))
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
