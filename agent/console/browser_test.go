package console

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"net"
	"testing"
	"time"

	"ciglio/agent/device"
	"ciglio/agent/journal"
	"ciglio/agent/provision"
	"ciglio/capture/evidence"
	"ciglio/cross/browser"
	"ciglio/internal/provisioning"
	"ciglio/sensor"
	"ciglio/uplink"
	"ciglio/uplink/wire"
)

// road is a picture of one, as a camera might give it.
func road(t *testing.T) []byte {
	m := image.NewRGBA(image.Rect(0, 0, 1280, 720))
	for y := range 720 {
		for x := range 1280 {
			c := color.RGBA{120, 160, 210, 255}
			if y > 260 {
				half := (y - 260) * 3 / 2
				c = color.RGBA{70, 110, 60, 255}
				if x > 640-half && x < 640+half {
					c = color.RGBA{90, 90, 95, 255}
				}
			}
			m.SetRGBA(x, y, c)
		}
	}
	var b bytes.Buffer
	if err := jpeg.Encode(&b, m, nil); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// atWork is a bench whose device shows all that a page can show.
func atWork(t *testing.T) *bench {
	b := newBench(t)
	oldest := noon.Add(-2 * time.Hour)
	d := b.device
	d.picture, d.service = road(t), true
	d.signal = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1600 900" width="1600" height="900"><rect width="1600" height="900" fill="#0b0f20"/><path d="M200 700L900 300" stroke="#ffe600" stroke-width="9"/></svg>`
	d.sight = device.Sight{Width: 1280, Height: 720, Photo: []device.Pixel{{X: 430, Y: 400}, {X: 850, Y: 400}},
		Lanes: [][]device.Pixel{{{X: 0, Y: 690}, {X: 600, Y: 290}, {X: 640, Y: 290}, {X: 640, Y: 700}}, {{X: 640, Y: 700}, {X: 640, Y: 290}, {X: 680, Y: 290}, {X: 1270, Y: 690}}}}
	for i := range 7 {
		s := device.Seen{Number: i + 1, At: noon.Add(time.Duration(i) * time.Minute), Speed: sensor.Speed(6950 + 310*i), U: 21, Direction: sensor.Approaching, Lane: 1 + i%2}
		if i == 3 {
			s.Reasons = []string{"two_targets", "acceleration"}
		}
		d.seen = append(d.seen, s)
	}
	d.status.Health.Measuring = false
	d.status.Health.Reasons = []wire.Reason{
		{Code: "calibration_expired", Words: "calibration A-117: expired 2026-11-30"},
		{Code: "clock_bound", Words: "clock: off by up to 140ms, allowed are 100ms"},
		{Code: device.CauseService, Words: "service: a technician works at the device"},
	}
	d.status.Calibration.NotAfter = noon.AddDate(0, 0, -1)
	d.status.ClockOff = 140 * time.Millisecond
	d.status.Health.Outbox.Unsettled, d.status.Health.Outbox.Oldest = 12, &oldest
	d.status.Findings = []sensor.Finding{unsharp}
	d.status.Uplink.Connected, d.status.Uplink.Trouble = false, "dial tcp 10.0.0.1:8883: connect: no route to host"
	d.status.Test = "simulated radar and camera"
	d.found = d.status.Findings
	for i := range 2 {
		d.held = append(d.held, device.Violation{Key: uplink.Key{Epoch: 1, Seq: uint64(70 + i)}, At: noon, Test: i == 0,
			Measured: 9123, Assessed: 8600, Limit: 7000, Direction: sensor.Approaching, Roles: []string{"before", "photo", "after"}})
	}
	for i := range 3 {
		d.entries = append(d.entries, journal.Entry{Epoch: 1, Seq: uint64(90 - i), UTC: noon, Kind: evidence.KindOperator, Words: "service begun: the gate is closed",
			Act: &evidence.Act{Actor: "technician 1", Role: "technician", Code: "command", Outcome: "begun"}})
	}
	d.entries = append(d.entries, journal.Entry{Epoch: 1, Seq: 80, UTC: noon, Kind: evidence.KindOperator, Words: "stick refused: truncated: calibration.ciglio: the bundle is cut off",
		Act: &evidence.Act{Actor: "stick", Role: "technician", Code: "provision", Outcome: "refused"}})
	b.sticks.now = provision.Now{Phase: provision.Done, Since: noon.Add(-time.Minute), Last: refusedStick()}
	b.sticks.force = []provision.Force{
		{Kind: provisioning.Calibration, Version: 7, SHA256: evidence.Hash{1, 2, 3}, NotBefore: noon.AddDate(0, -1, 0), NotAfter: noon.AddDate(0, 1, 0),
			Signers: []provision.Signer{{Role: provisioning.Laboratory, Name: "Laboratory 12"}, {Role: provisioning.Operator, Name: "Comune di Esempio"}}},
		{Kind: provisioning.Register},
		{Kind: provisioning.Site, Version: 3, Trouble: "installed site: not what was installed: its hash differs"},
	}
	return b
}

// refusedStick is the receipt of a stick with a bundle of each way, and orders.
func refusedStick() *provision.Receipt {
	older := provisioning.Refuse(provisioning.Older, "site version 2; version 3 is installed")
	older.Args = []any{"version", uint64(2), "installed", uint64(3)}
	cut := provisioning.Refuse(provisioning.Truncated, "1000 bytes, the envelope alone has 2000")
	return &provision.Receipt{
		Format: 1, At: noon.Format(time.RFC3339), Outcome: "refused", Reason: cut.Reason, Words: "calibration.ciglio: cut off", Written: true,
		Files:   []provision.ReceiptFile{{Name: "calibration.ciglio"}, {Name: "ciglio/site.ciglio"}},
		Refused: []provision.Rejected{{Name: "calibration.ciglio", Reason: cut.Reason, Fact: cut.Fact, Why: cut}, {Name: "ciglio/site.ciglio", Reason: older.Reason, Fact: older.Fact, Why: older}},
		Passed:  []provision.Passed{{Name: "other.ciglio", Code: provision.PassedForeign, Why: "it is for other devices"}},
		Unread:  []provision.Passed{{Name: "register.ciglio", Why: "read: input/output error"}},
		Orders:  []provision.ReceiptOrder{{Name: "1.order", Code: "selftest", Outcome: "done"}, {Name: "2.order", Outcome: "refused", Words: "signer"}},
	}
}

// accepted puts an acceptance into the bench: one run passed, one not, one open.
func (b *bench) accepted(ended bool) {
	a := newAcceptance(Plan{Reference: "GPS speedometer 12, certificate 7/2026", Lanes: 1, Directions: []sensor.Direction{sensor.Approaching}, Speeds: []sensor.Speed{7000}, Repeat: 3}, inOrder(), "technician 1")
	a.Runs[0].try(7050, &b.device.seen[0])
	a.Runs[1].try(7050, &b.device.seen[2])
	if ended {
		at := noon.Add(time.Hour)
		a.Ended = &at
	}
	b.accept.so = a
}

// TestBrowser looks at every page in every language, on a phone and on a desk, with
// and without scripts.
func TestBrowser(t *testing.T) {
	rules := browser.Rules{Target: 44, Letters: 16}
	for name, set := range map[string]func(*bench){
		"in-order": func(b *bench) {
			*b.device = fakeDevice{status: inOrder(), picture: b.device.picture, signal: b.device.signal, sight: b.device.sight}
		},
		"at-work":  func(b *bench) { b.accepted(false) },
		"accepted": func(b *bench) { b.accepted(true) },
	} {
		b := atWork(t)
		set(b)
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		served := make(chan error)
		go func() { served <- b.Serve(t.Context(), l) }()
		pages := []string{"/", "/live", "/aim", "/accept", "/stick", "/journal"}
		if name == "accepted" {
			pages = []string{"/accept"}
		}
		in := []browser.Cookie{{Name: sessionCookie, Value: b.session(Technician)}}
		officer := []browser.Cookie{{Name: sessionCookie, Value: b.session(Officer)}}
		var visits []browser.Visit
		for _, lang := range languages {
			for _, width := range []int{320, 1280} {
				if name == "in-order" && width != 320 {
					continue // at work there is more of everything
				}
				if name == "at-work" {
					for _, page := range []string{"/violations", "/violations/1/70"} {
						visits = append(visits, browser.Visit{Name: fmt.Sprintf("%s %s %d", page, lang, width), Path: page, Language: lang, Width: width, Cookies: officer})
					}
				}
				for _, page := range pages {
					visits = append(visits, browser.Visit{Name: fmt.Sprintf("%s %s %s %d", name, page, lang, width), Path: page, Language: lang, Width: width, Cookies: in})
				}
			}
			switch name {
			case "in-order":
				visits = append(visits,
					browser.Visit{Name: "login " + lang, Path: "/login", Language: lang, Width: 320},
					browser.Visit{Name: "login " + lang + " desk", Path: "/login", Language: lang, Width: 1280},
					browser.Visit{Name: "absent " + lang, Path: "/nothing", Status: 404, Language: lang, Width: 320, Cookies: in})
				if lang == languages[0] { // colours are the same in all
					visits = append(visits, browser.Visit{Name: "dark " + lang, Path: "/", Language: lang, Width: 320, Dark: true, Cookies: in})
				}
			case "at-work":
				if lang == languages[0] {
					visits = append(visits, browser.Visit{Name: "dark at work " + lang, Path: "/aim", Language: lang, Width: 320, Dark: true, Cookies: in})
				}
			case "accepted":
				visits = append(visits, browser.Visit{Name: "printed " + lang, Path: "/accept", Language: lang, Width: 794, Print: true, Cookies: in, Want: []string{"GPS speedometer 12"}})
			}
		}
		if name == "at-work" {
			visits = append(visits, b.journeys()...)
		}
		t.Run(name, func(t *testing.T) { browser.Look(t, "http://"+l.Addr().String(), rules, visits) })
		l.Close()
		<-served
	}
}

// TestBrowserBeforeTheFirstStick looks at the one page of a device that has not begun.
func TestBrowserBeforeTheFirstStick(t *testing.T) {
	c, err := New(Options{Now: func() time.Time { return noon }, Sticks: stationIn{provision.Now{Phase: provision.Done, Since: noon, Last: refusedStick()}},
		Lacks: func() []provisioning.Kind {
			return []provisioning.Kind{provisioning.Trust, provisioning.Calibration, provisioning.Site}
		}})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error)
	go func() { served <- c.Serve(t.Context(), l) }()
	visits := []browser.Visit{{Name: "dark", Path: "/", Language: "it", Width: 1280, Dark: true}}
	for _, lang := range languages {
		visits = append(visits, browser.Visit{Name: "waiting " + lang, Path: "/", Language: lang, Width: 320})
	}
	browser.Look(t, "http://"+l.Addr().String(), browser.Rules{Target: 44, Letters: 16}, visits)
	l.Close()
	<-served
}

// journeys are what a technician does, without a script and with the keyboard alone.
func (b *bench) journeys() []browser.Visit {
	in := []browser.Cookie{{Name: sessionCookie, Value: b.session(Technician)}}
	code, _, err := b.access.issue(Technician)
	if err != nil {
		b.t.Fatal(err)
	}
	return []browser.Visit{
		{Name: "logs in, tests, changes the language, without script", Path: "/login", Language: "en", Width: 320, NoScript: true, Steps: []browser.Step{
			{Do: "fill", Label: "One-time code", Value: code[:4] + " " + code[4:]},
			{Do: "click", Selector: "button.main"},
			{Do: "click", Selector: "button.main"},
			{Do: "click", Selector: "button[value=de]"},
		}, Want: []string{"Selbsttest jetzt", "Das Gerät misst nicht"}},
		{Name: "enters a run by the keyboard", Path: "/accept", Language: "en", Width: 320, Cookies: in, Steps: []browser.Step{
			{Do: "focus", Label: "True speed in km/h"},
			{Do: "fill", Label: "True speed in km/h", Value: "72.00"},
			{Do: "press", Value: "Tab"},
			{Do: "press", Value: "Space"},
			{Do: "press", Value: "Enter"},
		}, Want: []string{"72.00", "error too large"}},
	}
}
