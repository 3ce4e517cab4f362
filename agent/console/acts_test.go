package console

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"ciglio/agent/device"
	"ciglio/capture/evidence"
	"ciglio/sensor"
)

// codes returns what was recorded, as code and outcome.
func (b *bench) codes() (all []string) {
	for _, a := range b.device.notes {
		all = append(all, a.Code+" "+a.Outcome)
	}
	return all
}

func TestPicturesOutOfServiceAreRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // a picture may wait for its turn
		b := newBench(t)
		b.device.picture = []byte("\xff\xd8picture")
		for _, role := range []Role{Technician, Officer} {
			s := b.session(role)
			if got := b.request(s, "GET", "/picture.jpg", nil); got.Code != http.StatusConflict || bytes.Contains(got.Body.Bytes(), b.device.picture) {
				t.Errorf("%s out of service: %d", role, got.Code)
			}
			b.request(s, "POST", "/service/begin", nil)
			if got := b.request(s, "GET", "/picture.jpg", nil); got.Code != http.StatusOK || !bytes.Equal(got.Body.Bytes(), b.device.picture) {
				t.Errorf("%s in service: %d", role, got.Code)
			}
			b.request(s, "POST", "/service/end", nil)
			if got := b.request(s, "GET", "/picture.jpg", nil); got.Code != http.StatusConflict {
				t.Errorf("%s after the service: %d", role, got.Code)
			}
		}
	})
}

// TestEveryActIsInTheJournal does all that can be done and wants a record of each.
func TestEveryActIsInTheJournal(t *testing.T) {
	b := newBench(t)
	code, _, _ := b.access.issue(Technician)
	s := b.request("", "POST", "/login", url.Values{"code": {code}}).Result().Cookies()[0].Value
	plan := url.Values{"reference": {"GPS 12"}, "lanes": {"1"}, "direction": {"approaching"}, "speeds": {"70"}, "repeat": {"1"}}
	for _, act := range []struct {
		path string
		form url.Values
	}{
		{"/selftest", nil}, {"/service/begin", nil}, {"/service/end", nil}, {"/service/begin", nil},
		{"/aim/done", url.Values{"lanes": {"on"}, "fixed": {"on"}}}, {"/accept/plan", plan}, {"/accept/end", nil}, {"/logout", nil},
	} {
		if got := b.request(s, "POST", act.path, act.form); got.Code >= 400 {
			t.Errorf("%s: %d", act.path, got.Code)
		}
	}
	want := []string{"session begun", "selftest ", "command begun", "command ended", "command begun", "aim failed", "accept begun", "accept failed", "session ended"}
	if got := b.codes(); !slices.Equal(got, want) {
		t.Errorf("journal = %q, want %q", got, want)
	}
	for _, a := range b.device.notes {
		if a.Actor != "technician 1" || a.Role != "technician" {
			t.Errorf("%s by %q, %q", a.Code, a.Actor, a.Role)
		}
	}
}

// TestWhatIsNotRecordedIsNotDone fills the store.
func TestWhatIsNotRecordedIsNotDone(t *testing.T) {
	b := newBench(t)
	s := b.session(Technician)
	b.device.full = true
	plan := url.Values{"reference": {"GPS 12"}, "lanes": {"1"}, "direction": {"approaching"}, "speeds": {"70"}, "repeat": {"1"}}
	for path, form := range map[string]url.Values{"/selftest": nil, "/service/begin": nil, "/accept/plan": plan} {
		if got := b.request(s, "POST", path, form); got.Code != http.StatusInsufficientStorage {
			t.Errorf("%s: %d", path, got.Code)
		}
	}
	if b.device.InService() || b.accept.copied() != nil {
		t.Error("it was done all the same")
	}
	code, _, _ := b.access.issue(Technician)
	if got := b.request("", "POST", "/login", url.Values{"code": {code}}); got.Code != http.StatusSeeOther {
		t.Errorf("who comes because the store is full is not let in: %d", got.Code)
	}
}

func TestMaxError(t *testing.T) {
	for v, want := range map[sensor.Speed]sensor.Speed{
		30 * sensor.KmH: 300, 100 * sensor.KmH: 300, 100*sensor.KmH + 1: 300, 110 * sensor.KmH: 330, 13099: 392, 200 * sensor.KmH: 600,
	} {
		if got := maxError(v); got != want {
			t.Errorf("at %v: %v, want %v", v, got, want)
		}
	}
}

func TestAttempts(t *testing.T) {
	seen := func(v sensor.Speed) *device.Seen {
		return &device.Seen{Number: 1, Speed: v, Direction: sensor.Approaching, Lane: 1}
	}
	change := func(s *device.Seen, f func(*device.Seen)) *device.Seen { f(s); return s }
	for _, test := range []struct {
		name      string
		reference sensor.Speed
		seen      *device.Seen
		want      []failureCode
	}{
		{"exact", 7000, seen(7000), nil},
		{"the largest error upwards", 7000, seen(7300), nil},
		{"a hundredth more", 7000, seen(7301), []failureCode{tooFar}},
		{"the largest error downwards", 7000, seen(6700), nil},
		{"a hundredth less", 7000, seen(6699), []failureCode{tooFar}},
		{"not measured", 7000, nil, []failureCode{notMeasured}},
		{"the reference drove 10 per cent off the plan", 7700, seen(7700), nil},
		{"more than that", 7701, seen(7701), []failureCode{notAsPlanned}},
		{"another lane", 7000, change(seen(7000), func(s *device.Seen) { s.Lane = 2 }), []failureCode{wrongLane}},
		{"a sensor that tells no lane", 7000, change(seen(7000), func(s *device.Seen) { s.Lane = 0 }), nil},
		{"another direction", 7000, change(seen(7000), func(s *device.Seen) { s.Direction = sensor.Receding }), []failureCode{wrongWay}},
		{"no direction", 7000, change(seen(7000), func(s *device.Seen) { s.Direction = sensor.DirectionUnknown }), []failureCode{wrongWay}},
		{"a speed that does not stand", 7000, change(seen(7000), func(s *device.Seen) { s.Reasons = []string{"clipped"} }), []failureCode{noSpeed}},
	} {
		r := Run{Number: 1, Lane: 1, Direction: sensor.Approaching, Planned: 7000}
		r.try(test.reference, test.seen)
		if got := r.last(); !slices.Equal(got.Why, test.want) || got.Pass != (test.want == nil) {
			t.Errorf("%s: %v, pass %v, want %v", test.name, got.Why, got.Pass, test.want)
		}
	}
}

func TestPlansAreChecked(t *testing.T) {
	right := func() url.Values {
		return url.Values{"reference": {"GPS 12, certificate 7"}, "lanes": {"2"}, "direction": {"approaching", "receding"}, "speeds": {"90, 50 70;50"}, "repeat": {"2"}}
	}
	for _, test := range []struct {
		name, field, value string
		runs               int
	}{
		{"as planned: two lanes, two directions, three speeds, twice", "lanes", "2", 24},
		{"no reference", "reference", " ", 0},
		{"a reference that hides something", "reference", "GPS\u202e12", 0},
		{"no lane", "lanes", "0", 0},
		{"lanes that are no number", "lanes", "x", 0},
		{"no direction", "direction", "sideways", 0},
		{"no speed", "speeds", " , ", 0},
		{"a speed that no road has", "speeds", "301", 0},
		{"a speed with a sign", "speeds", "-50", 0},
		{"too many runs", "repeat", "6", 0},
		{"a half run", "repeat", "1.5", 0},
	} {
		b := newBench(t)
		form := right()
		form.Set(test.field, test.value)
		got := b.request(b.session(Technician), "POST", "/accept/plan", form)
		a := b.accept.copied()
		switch {
		case test.runs == 0 && (got.Code != http.StatusBadRequest || a != nil || b.device.InService()):
			t.Errorf("%s: %d", test.name, got.Code)
		case test.runs > 0 && (a == nil || len(a.Runs) != test.runs || !b.device.InService()):
			t.Errorf("%s: %d, %+v", test.name, got.Code, a)
		}
	}
}

// TestAcceptance drives a whole one, with a run that has to be repeated.
func TestAcceptance(t *testing.T) {
	b := newBench(t)
	s := b.session(Technician)
	post := func(path string, form url.Values) int { return b.request(s, "POST", path, form).Code }
	attempt := func(vehicle, reference string) url.Values {
		return url.Values{"vehicle": {vehicle}, "true": {reference}}
	}
	for _, p := range []string{"/accept/run/1", "/accept/end"} {
		if got := post(p, attempt("0", "70")); got != http.StatusConflict {
			t.Errorf("%s before the plan: %d", p, got)
		}
	}
	if got := post("/accept/plan", url.Values{"reference": {"GPS 12"}, "lanes": {"1"}, "direction": {"approaching"}, "speeds": {"70 90"}, "repeat": {"1"}}); got != http.StatusSeeOther {
		t.Fatal(got)
	}
	b.device.seen = []device.Seen{
		{Number: 1, At: noon, Speed: 7412, U: 20, Direction: sensor.Approaching},
		{Number: 2, At: noon, Speed: 7105, U: 20, Direction: sensor.Approaching},
		{Number: 3, At: noon, Speed: 9020, U: 20, Direction: sensor.Approaching},
	}
	for _, test := range []struct {
		name, path, vehicle, reference string
		want                           int
	}{
		{"too far off", "/accept/run/1", "1", "71", http.StatusSeeOther},
		{"the same vehicle again", "/accept/run/1", "1", "74", http.StatusConflict},
		{"repeated, with a comma", "/accept/run/1", "2", "70,5", http.StatusSeeOther},
		{"a vehicle that never was", "/accept/run/2", "9", "90", http.StatusBadRequest},
		{"a true speed that is none", "/accept/run/2", "3", "fast", http.StatusBadRequest},
		{"a run that is not planned", "/accept/run/3", "3", "90", http.StatusNotFound},
		{"the second", "/accept/run/2", "3", "90.00", http.StatusSeeOther},
		{"another plan meanwhile", "/accept/plan", "", "", http.StatusBadRequest},
	} {
		if got := post(test.path, attempt(test.vehicle, test.reference)); got != test.want {
			t.Errorf("%s: %d, want %d", test.name, got, test.want)
		}
	}
	if got := post("/accept/end", nil); got != http.StatusSeeOther || b.device.InService() {
		t.Errorf("end: %d, in service %v", got, b.device.InService())
	}
	last := b.device.notes[len(b.device.notes)-1]
	rows, err := csv.NewReader(bytes.NewReader(last.Answer)).ReadAll()
	if err != nil || last.Code != "accept" || last.Outcome != "done" || last.Media != "text/csv" {
		t.Fatalf("act = %+v, %v", last, err)
	}
	want := []string{
		"run,attempt,lane,direction,planned_kmh,true_kmh,measured_kmh,u_kmh,error_kmh,limit_kmh,pass,why,utc",
		"1,1,1,approaching,70.00,71.00,74.12,0.20,3.12,3.00,no,error,2026-12-01T12:00:00Z",
		"1,2,1,approaching,70.00,70.50,71.05,0.20,0.55,3.00,yes,,2026-12-01T12:00:00Z",
		"2,1,1,approaching,90.00,90.00,90.20,0.20,0.20,3.00,yes,,2026-12-01T12:00:00Z",
	}
	for i, w := range want {
		if got := strings.Join(rows[i], ","); got != w {
			t.Errorf("row %d = %s, want %s", i, got, w)
		}
	}
	page := b.request(s, "GET", "/accept", nil, "Accept-Language", "en").Body.String()
	for _, w := range []string{"Passed: every run", "71.05", "0.55", "±3.00", "GPS 12"} {
		if !strings.Contains(page, w) {
			t.Errorf("the report does not say %q", w)
		}
	}
	if got := b.request(s, "GET", "/accept.csv", nil).Body.Bytes(); !bytes.Equal(got, last.Answer) {
		t.Error("the CSV is not what was signed")
	}
}

func TestLargestReportFitsIntoARecord(t *testing.T) {
	a := &Acceptance{}
	at := noon
	for i := range mostRuns {
		r := Run{Number: i + 1, Lane: 16, Direction: sensor.Approaching, Planned: 30000}
		attempts := 1
		if i < mostAttempts-mostRuns {
			attempts = 2
		}
		for range attempts {
			r.try(20000, &device.Seen{Speed: 25000, U: 10000, Lane: 1, Direction: sensor.Receding, Reasons: []string{"two_targets"}, At: at})
		}
		a.Runs = append(a.Runs, r)
	}
	if n := len(a.CSV()); n > evidence.MaxAnswer {
		t.Errorf("%d bytes, a record takes %d", n, evidence.MaxAnswer)
	}
}

func TestAim(t *testing.T) {
	standing := device.Seen{Direction: sensor.Approaching}
	lame := device.Seen{Direction: sensor.Approaching, Reasons: []string{"too_few_readings"}}
	for _, test := range []struct {
		name string
		set  func(*fakeDevice)
		good bool
	}{
		{"five of five", func(d *fakeDevice) { d.seen = slices.Repeat([]device.Seen{standing}, 5) }, true},
		{"four of five", func(d *fakeDevice) { d.seen = append(slices.Repeat([]device.Seen{standing}, 4), lame) }, true},
		{"four", func(d *fakeDevice) { d.seen = slices.Repeat([]device.Seen{standing}, 4) }, false},
		{"three of five", func(d *fakeDevice) { d.seen = append(slices.Repeat([]device.Seen{standing}, 3), lame, lame) }, false},
		{"no direction", func(d *fakeDevice) { d.seen = slices.Repeat([]device.Seen{{}}, 5) }, false},
		{"a camera out of order", func(d *fakeDevice) {
			d.seen = slices.Repeat([]device.Seen{standing}, 5)
			d.status.Findings = []sensor.Finding{{Code: "camera_unsharp"}}
		}, false},
		{"turned, which is why it is aimed", func(d *fakeDevice) {
			d.seen = slices.Repeat([]device.Seen{standing}, 5)
			d.status.Findings = []sensor.Finding{{Code: "aim_camera"}}
		}, true},
		{"a sensor out of order", func(d *fakeDevice) {
			d.seen = slices.Repeat([]device.Seen{standing}, 5)
			d.status.Findings = []sensor.Finding{{Code: "signal_dead"}}
		}, false},
		{"no self-test yet", func(d *fakeDevice) {
			d.seen = slices.Repeat([]device.Seen{standing}, 5)
			d.status.Findings = []sensor.Finding{{Code: "pending"}}
		}, false},
		{"other parts out of order, which aiming does not turn", func(d *fakeDevice) {
			d.seen = slices.Repeat([]device.Seen{standing}, 5)
			for _, code := range []string{"store", "cabinet", "contact_silent", "second_sensor"} {
				d.status.Findings = append(d.status.Findings, sensor.Finding{Code: code})
			}
		}, true},
	} {
		b := newBench(t)
		b.device.service = true
		test.set(b.device)
		s := b.session(Technician)
		page := b.request(s, "GET", "/aim", nil, "Accept-Language", "en").Body.String()
		if got := strings.Contains(page, "Not every line is good"); got == test.good {
			t.Errorf("%s: the page says otherwise", test.name)
		}
		if got := b.request(s, "POST", "/aim/done", url.Values{"lanes": {"on"}}); got.Code != http.StatusBadRequest {
			t.Errorf("%s: ended without confirmation: %d", test.name, got.Code)
		}
		b.request(s, "POST", "/aim/done", url.Values{"lanes": {"on"}, "fixed": {"on"}})
		want := map[bool]string{true: "aim done", false: "aim failed"}[test.good]
		if got := b.codes(); len(got) == 0 || got[len(got)-1] != want || b.device.InService() {
			t.Errorf("%s: %q, want %s", test.name, got, want)
		}
		if anew := b.device.aimed == 1; anew != test.good {
			t.Errorf("%s: it learnt anew where it looks: %t", test.name, anew)
		}
		if words := b.device.notes[len(b.device.notes)-1].New; len(words) > evidence.MaxText {
			t.Errorf("%s: %d bytes of words", test.name, len(words))
		}
	}
}

// TestAcceptanceGoesOnAfterARestart starts the console anew at each place of one.
func TestAcceptanceGoesOnAfterARestart(t *testing.T) {
	file := filepath.Join(t.TempDir(), "acceptance.json")
	again := func(status device.Status) *bench {
		b := newBench(t)
		b.device.status, b.device.service, b.o.Acceptance = status, true, file
		b.resumeAcceptance()
		return b
	}
	b := again(inOrder())
	post := func(path string, form url.Values) {
		t.Helper()
		if got := b.request(b.session(Technician), "POST", path, form); got.Code != http.StatusSeeOther {
			t.Fatalf("%s: %d", path, got.Code)
		}
	}
	post("/accept/plan", url.Values{"reference": {"GPS 12"}, "lanes": {"1"}, "direction": {"approaching"}, "speeds": {"70 90"}, "repeat": {"1"}})
	for i, speed := range []sensor.Speed{7012, 9020} {
		b = again(inOrder())
		// After a restart vehicles are counted from 1 again.
		b.device.seen = []device.Seen{{Number: 1, At: noon.Add(time.Duration(i) * time.Hour), Speed: speed, U: 20, Direction: sensor.Approaching}}
		post(fmt.Sprintf("/accept/run/%d", i+1), url.Values{"vehicle": {"1"}, "true": {[]string{"70", "90"}[i]}})
	}
	kept, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	b = again(inOrder())
	whole := b.accept.copied()
	post("/accept/end", nil)
	rows := strings.Split(strings.TrimSpace(string(b.device.notes[0].Answer)), "\n")
	if len(rows) != 3 || b.device.notes[0].Outcome != "done" || whole.next() != 0 {
		t.Errorf("report = %q, %+v", rows, b.device.notes[0])
	}
	if a := again(inOrder()).accept.copied(); a == nil || a.Ended == nil || !a.Pass {
		t.Errorf("after its end: %+v", a)
	}

	other := inOrder()
	other.Calibration.Version++
	for _, test := range []struct {
		name   string
		status device.Status
		text   string
	}{
		{"under another calibration", other, string(kept)},
		{"a file that was cut", inOrder(), string(kept[:len(kept)/2])},
		{"an empty file", inOrder(), ""},
		{"without runs", inOrder(), strings.Replace(string(kept), `"runs":[`, `"others":[`, 1)},
		{"a run in another's place", inOrder(), strings.Replace(string(kept), `"run":2`, `"run":1`, 1)},
		{"larger than any", inOrder(), string(kept) + strings.Repeat(" ", mostKept)},
	} {
		if err := os.WriteFile(file, []byte(test.text), 0o600); err != nil {
			t.Fatal(err)
		}
		if a := again(test.status).accept.copied(); a != nil {
			t.Errorf("%s: %+v", test.name, a)
		}
	}
	// What cannot be written down is not done.
	b = again(inOrder())
	b.o.Acceptance = filepath.Join(file, "nowhere")
	if got := b.request(b.session(Technician), "POST", "/accept/plan", url.Values{"reference": {"GPS 12"}, "lanes": {"1"}, "direction": {"approaching"}, "speeds": {"70"}, "repeat": {"1"}}); got.Code != http.StatusInternalServerError || b.accept.copied() != nil {
		t.Errorf("a folder that is not there: %d", got.Code)
	}
}
