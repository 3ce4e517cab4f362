package web_test

import (
	"bytes"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"ciglio/capture/evidence"
	"ciglio/cross/browser"
	"ciglio/portal/portaltest"
	"ciglio/sensor/wav"
	"ciglio/uplink/wire"
)

// passing is the signal of a vehicle that passes, as a WAV.
func passing(t testing.TB) []byte {
	const rate, frames = 16000, 16000
	var b bytes.Buffer
	w, err := wav.NewWriter(&b, wav.Format{Rate: rate, Channels: 2, Bits: 16}, frames)
	if err != nil {
		t.Fatal(err)
	}
	left, right := make([]float32, frames), make([]float32, frames)
	phase := 0.0
	for i := range frames {
		at := float64(i)/frames*2 - 1
		phase += 2 * math.Pi * 3600 * math.Cos(at) / rate
		level := 0.5 * math.Exp(-4*at*at)
		noise := float64((i*7919)%101-50) / 5000
		left[i], right[i] = float32(level*math.Cos(phase)+noise), float32(level*math.Sin(phase)-noise)
	}
	if err := w.Write(left, right); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestSpectrogramIsDrawn shows the picture of a signal, and none where there is none.
func TestSpectrogramIsDrawn(t *testing.T) {
	s, v := violation(t, nil)
	path := "/records/" + v.ID.String()
	if w := s.get(path + "/signal.svg"); w.Code != 404 || strings.Contains(s.get(path).Body.String(), "signal.svg") {
		t.Errorf("a trace that is no signal: %d", w.Code)
	}
	d := portaltest.NewDevice(t, "one")
	signal := passing(t)
	drawn := d.Violation(t, pictures(t), signal, nil)
	s = receive(t, portaltest.NewCentre(t, d), send(d, drawn, append(pictures(t), signal)...)...)
	path = "/records/" + drawn.ID.String()
	w := s.get(path + "/signal.svg")
	if w.Code != 200 || w.Header().Get("Content-Type") != "image/svg+xml" || !strings.Contains(w.Body.String(), "<svg") || !strings.Contains(s.get(path).Body.String(), path+"/signal.svg") {
		t.Errorf("signal: %d %q", w.Code, w.Header().Get("Content-Type"))
	}
	// A browser may open it by itself: then its picture is shown, and nothing in it runs.
	policy := w.Header().Get("Content-Security-Policy")
	if !strings.Contains(w.Body.String(), `href="data:image/png`) || !strings.Contains(policy, "img-src data:") || !strings.Contains(policy, "sandbox") || strings.Contains(policy, "script-src") {
		t.Errorf("signal: policy %q", policy)
	}
}

// Who looks at the pictures of records without reading them holds up nobody's record.
func TestH04_StandingReadersHoldUpNoRecord(t *testing.T) {
	d := portaltest.NewDevice(t, "one")
	signal := passing(t)
	v := d.Violation(t, pictures(t), signal, nil)
	s := receive(t, portaltest.NewCentre(t, d), send(d, v, append(pictures(t), signal)...)...)
	path := "/records/" + v.ID.String()
	release := make(chan struct{})
	var reading sync.WaitGroup
	defer reading.Wait()
	defer close(release)
	for i := range 12 {
		h := &heldReader{ResponseRecorder: httptest.NewRecorder(), began: make(chan struct{}), release: release}
		reading.Go(func() {
			s.handler.ServeHTTP(h, httptest.NewRequest("GET", "http://127.0.0.1:8080"+path+[]string{"/signal.svg", "", "/bundle.zip"}[i%3], nil))
		})
		select {
		case <-h.began:
		case <-time.After(10 * time.Second):
			t.Fatalf("reader %d waits for those who stand still", i+1)
		}
	}
}

// A search narrows the list, its pages keep it, and what is no question is told.
func TestListsAreNarrowed(t *testing.T) {
	s, v := violation(t, nil)
	day := evidence.SiteTime(v.Record.UTC).Format(time.DateOnly)
	record := "/records/" + v.ID.String()
	for _, test := range []struct {
		name, query string
		there       bool
		says        string
	}{
		{"its day", "day=" + day, true, ""},
		{"another day", "day=2020-02-29", false, "No record fits the search."},
		{"no day", "day=2020-02-30", false, "This day is not in the calendar."},
		{"its road", "road=SP+14", true, ""},
		{"another road", "road=SP+15", false, "No record fits"},
		{"as fast", fmt.Sprintf("over=%d&day=%s", v.Record.Measurement.Assessed/100, day), true, ""},
		{"faster", fmt.Sprintf("over=%d&day=%s", v.Record.Measurement.Assessed/100+1, day), false, "No record fits"},
		{"no speed", "over=fast", false, "Write a whole number in digits."},
		{"its device", "device=" + v.Record.Device.String(), true, ""},
		{"another device", "device=" + strings.Repeat("0", 32), false, "No record fits"},
		{"no device", "device=x", false, "A device id has 32 hexadecimal digits."},
		{"its state", "state=settled&day=" + day, true, ""},
		{"another state", "state=waiting&day=" + day, false, "No record fits"},
		{"no state", "state=x", false, "Choose one of these."},
	} {
		body := s.get("/?" + test.query).Body.String()
		if strings.Contains(body, record) != test.there || !strings.Contains(body, test.says) {
			t.Errorf("%s: listed %v, want %v, and %q", test.name, !test.there, test.there, test.says)
		}
	}
	if body := s.get("/?road=SP+14&show=all").Body.String(); !strings.Contains(body, `href="/?road=SP&#43;14"`) && !strings.Contains(body, `href="/?road=SP+14"`) {
		t.Error("the other tab forgets the search")
	}
	// A day that is typed as people do is shown as browsers want it.
	if body := s.get("/?day=7.12.2026").Body.String(); !strings.Contains(body, `value="2026-12-07"`) {
		t.Error("the day that was searched for is not shown")
	}
	// A search is not made again every other second, and without a script nothing takes away
	// what is being typed.
	for query, renews := range map[string]bool{"": true, "?show=all": true, "?road=SP+14": false, "?day=x": false} {
		if body := s.get("/" + query).Body.String(); strings.Contains(body, "/assets/live.") != renews || strings.Contains(body, `http-equiv="refresh"`) {
			t.Errorf("/%s: renews %v, want %v", query, !renews, renews)
		}
	}
}

// TestBrowser looks at every page in every language, on a phone, at 200 % and on a desk.
func TestBrowser(t *testing.T) {
	d, far := portaltest.NewDevice(t, "one"), portaltest.NewDevice(t, "far")
	c := portaltest.NewCentre(t, d, far)
	all := send(d, d.Statement(t, evidence.KindCalibration, portaltest.Calibration))
	all = append(all, send(d, d.Statement(t, evidence.KindConfiguration, portaltest.Configuration))...)
	signal := passing(t)
	v := d.Violation(t, pictures(t), signal, nil)
	all = append(all, send(d, v, append(pictures(t), signal)...)...)
	for i := range 3 {
		frames := [][]byte{portaltest.Picture(t, 160, 90, 10+3*i), portaltest.Picture(t, 160, 90, 11+3*i), portaltest.Picture(t, 160, 90, 12+3*i)}
		heard := portaltest.Bytes(uint64(90+i), 9_000)
		one := d.Violation(t, frames, heard, nil)
		all = append(all, send(d, one, append(frames, heard)...)...)
	}
	for _, one := range []*portaltest.Device{d, far} {
		head := wire.Head{Device: wire.Device(one.ID), UTC: time.Now()}
		near := one == d
		health, err := wire.Health{Head: head, Boot: wire.BootID{1}, Sequence: 1, Software: "1.4.0", Measuring: near,
			Reasons: []wire.Reason{{Code: "calibration_expired", Words: "calibration A-117: expired 2026-11-30"}}[:map[bool]int{true: 0, false: 1}[near]],
			Clock:   wire.HealthClock{Source: "chrony", Synchronised: true}}.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		state, err := wire.State{Head: head, Boot: wire.BootID{1}, Sequence: 1, Online: true}.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		profile, err := wire.Profile{Head: head, Road: "SP 14", PositionM: 12340, Model: "OPS243-A", Serial: "4711", Approval: "DM 123/2025", Decree: "Prefettura 77/2026",
			Calibration: wire.ProfileCalibration{ID: "A-117", Version: 3, NotAfter: time.Date(2027, 1, 9, 23, 0, 0, 0, time.UTC)}}.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, one.Message(wire.WhatProfile, profile), one.Message(wire.WhatState, state), one.Message(wire.WhatHealth, health))
	}
	all = append(all, d.Message(wire.WhatRecord, []byte("no record")))
	s := receive(t, c, all...)
	address := "http://" + s.served(t)
	record := "/records/" + v.ID.String()
	paths := map[string]string{"overview": "/", "device": "/devices/" + d.ID.String(), "record": record, "search": "/?day=30.02.2026"}
	var visits []browser.Visit
	for _, lang := range []string{"it", "en", "de"} {
		for _, width := range []int{320, 390, 640, 1280} { // 640 is a desk at 200 %
			for name, path := range paths {
				if (width == 390 || width == 640) && lang != "it" || name == "search" && width != 320 {
					continue
				}
				visits = append(visits, browser.Visit{Name: fmt.Sprintf("%s %s %d", name, lang, width), Path: path, Language: lang, Width: width})
			}
		}
		visits = append(visits, browser.Visit{Name: "absent " + lang, Path: "/nothing", Status: http.StatusNotFound, Language: lang, Width: 320})
	}
	visits = append(visits,
		browser.Visit{Name: "dark overview", Path: "/", Language: "it", Width: 1280, Dark: true},
		browser.Visit{Name: "dark record", Path: record, Language: "it", Width: 1280, Dark: true},
		browser.Visit{Name: "printed record", Path: record, Language: "it", Width: 794, Print: true},
		browser.Visit{Name: "the language is kept, without script", Path: record, Language: "en", Width: 320, NoScript: true, Steps: []browser.Step{
			{Do: "click", Selector: ".languages a[lang=de]"},
			{Do: "click", Selector: ".brand"},
		}, Want: []string{"Überblick", "Geräte"}},
		browser.Visit{Name: "finds by the keyboard", Path: "/", Language: "en", Width: 1280, NoScript: true, Steps: []browser.Step{
			{Do: "fill", Label: "Road (optional)", Value: "SP 15"},
			{Do: "press", Value: "Enter"},
		}, Want: []string{"No record fits"}},
	)
	browser.Look(t, address, browser.Rules{}, visits)
}
