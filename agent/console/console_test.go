package console

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"html"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"ciglio/agent/device"
	"ciglio/agent/journal"
	"ciglio/agent/provision"
	"ciglio/capture"
	"ciglio/capture/evidence"
	"ciglio/internal/provisioning"
	"ciglio/sensor"
	"ciglio/uplink"
	"ciglio/uplink/outbox"
	"ciglio/uplink/wire"
)

// noon is when the tests begin.
var noon = time.Date(2026, 12, 1, 12, 0, 0, 0, time.UTC)

// fakeDevice says what a test has it say. Its pictures are shown in service, as those
// of a device are: that is tested there.
type fakeDevice struct {
	mu      sync.Mutex
	status  device.Status
	service bool
	full    bool // no act can be recorded
	aimed   int  // how often it has learnt anew where it looks
	notes   []evidence.Act
	seen    []device.Seen
	sight   device.Sight
	entries []journal.Entry
	found   []sensor.Finding
	picture []byte
	signal  string
	drawn   int                     // how often the signal was drawn
	orders  map[string]evidence.Act // what comes of an order that is handed in
	held    []device.Violation
}

func (d *fakeDevice) ConsoleOrder(b []byte) (evidence.Act, error) {
	a, known := d.orders[string(b)]
	if !known {
		return evidence.Act{New: "signer"}, errors.New("order refused")
	}
	delete(d.orders, string(b))
	return a, nil
}

func (d *fakeDevice) Violations(int) ([]device.Violation, error) { return d.held, nil }

func (d *fakeDevice) Violation(k uplink.Key) (device.Violation, error) {
	for _, v := range d.held {
		if v.Key == k {
			return v, nil
		}
	}
	return device.Violation{}, fmt.Errorf("violation: %w", outbox.ErrNotFound)
}

func (d *fakeDevice) ViolationFrame(k uplink.Key, n int) ([]byte, error) {
	if v, err := d.Violation(k); err != nil || n < 0 || n >= len(v.Roles) {
		return nil, fmt.Errorf("frame: %w", outbox.ErrNotFound)
	}
	return d.picture, nil
}

func (d *fakeDevice) SelfTest(a evidence.Act) ([]sensor.Finding, error) {
	return d.found, d.Note("", a)
}

func (d *fakeDevice) Note(_ string, a evidence.Act) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.full {
		return fmt.Errorf("note: %w", outbox.ErrFull)
	}
	d.notes = append(d.notes, a)
	return nil
}

func (d *fakeDevice) Journal(f journal.Filter, before uint64, most int) (all []journal.Entry, next uint64, err error) {
	for _, e := range d.entries {
		switch {
		case before > 0 && e.Seq >= before || !f.Wants(e):
		case len(all) == most:
			return all, all[most-1].Seq, nil
		default:
			all = append(all, e)
		}
	}
	return all, 0, nil
}

func (d *fakeDevice) BeginService(time.Duration) { d.set(true) }
func (d *fakeDevice) Aimed() error               { d.aimed++; return nil }
func (d *fakeDevice) EndService()                { d.set(false) }
func (d *fakeDevice) Seen() []device.Seen        { return d.seen }
func (d *fakeDevice) Sight() device.Sight        { return d.sight }

func (d *fakeDevice) set(on bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.service = on
}

func (d *fakeDevice) InService() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.service
}

func (d *fakeDevice) ServicePicture(b []byte) (capture.Frame, bool) {
	if !d.InService() {
		return capture.Frame{Data: b}, false
	}
	return capture.Frame{Data: append(b[:0], d.picture...)}, true
}

func (d *fakeDevice) WriteSignal(w io.Writer) error {
	if d.signal == "" {
		return device.ErrNoSignal
	}
	d.drawn++
	_, err := io.WriteString(w, d.signal)
	return err
}

func (d *fakeDevice) Status() device.Status {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.status
}

// fakeSticks says what a test has it say.
type fakeSticks struct {
	now   provision.Now
	none  bool // none are taken
	force []provision.Force
}

func (s *fakeSticks) Now() (provision.Now, bool) { return s.now, !s.none }
func (s *fakeSticks) InForce() []provision.Force { return s.force }

// inOrder is the status of a device that measures.
func inOrder() device.Status {
	return device.Status{
		At: noon, Device: "00112233445566778899aabbccddeeff",
		Site:        device.StatusSite{ID: "SP14-12", Version: 1, Road: "SP 14", Limit: 70 * sensor.KmH, Direction: sensor.Approaching, PhotoRange: 20},
		Sensor:      device.StatusPart{Model: "M1", Serial: "S1"},
		Camera:      device.StatusPart{Model: "C1"},
		Calibration: device.StatusValidity{ID: "A-117", NotBefore: noon.AddDate(0, -1, 0), NotAfter: noon.AddDate(0, 0, 41)},
		ClockOff:    3 * time.Millisecond, ClockBound: 100 * time.Millisecond,
		Uplink: device.StatusUplink{Broker: "tcp://127.0.0.1:1883", Connected: true, Since: noon.Add(-time.Hour)},
		Health: wire.Health{
			Measuring: true, Clock: wire.HealthClock{Source: "chrony", Synchronised: true},
			Outbox: wire.HealthOutbox{RoomBytes: 5e9, Bytes: 1e9},
			Counts: wire.HealthCounts{Passages: 12345, Violations: 12},
		},
	}
}

// A bench is a console whose device and time a test plays.
type bench struct {
	*Console
	t      *testing.T
	device *fakeDevice
	sticks *fakeSticks
	mu     sync.Mutex
	now    time.Time
}

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{t: t, device: &fakeDevice{status: inOrder()}, sticks: &fakeSticks{now: provision.Now{Phase: provision.Waiting, Since: noon}}, now: noon}
	var err error
	b.Console, err = New(Options{Device: b.device, Sticks: b.sticks, Now: func() time.Time {
		b.mu.Lock()
		defer b.mu.Unlock()
		return b.now
	}})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (b *bench) pass(d time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.now = b.now.Add(d)
}

// session opens one of a role and returns its cookie's value; "" for nobody.
func (b *bench) session(role Role) string {
	b.t.Helper()
	switch role {
	case Nobody:
		return ""
	case Officer:
		name, _ := b.access.admit(Caller{Name: "officer 0badcafe", Role: Officer})
		return name
	}
	code, _, err := b.access.issue(role)
	if err != nil {
		b.t.Fatal(err)
	}
	name, _, err := b.access.enter(code)
	if err != nil {
		b.t.Fatal(err)
	}
	return name
}

// request asks over the network; form makes it a POST.
func (b *bench) request(session, method, path string, form url.Values, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, "http://192.168.14.1:8421"+path, strings.NewReader(form.Encode()))
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Sec-Fetch-Site", "same-origin")
	}
	if session != "" {
		r.AddCookie(&http.Cookie{Name: sessionCookie, Value: session})
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	if i := slices.Index(header, "Host"); i >= 0 {
		r.Host = header[i+1]
	}
	w := httptest.NewRecorder()
	b.Handler().ServeHTTP(w, r)
	return w
}

// TestEveryRoleAndRoute asks every route as every role and wants the table's answer.
func TestEveryRoleAndRoute(t *testing.T) {
	path := map[string]string{"GET /{$}": "/", "GET /assets/{name}": "/assets/style.css", "POST /accept/run/{run}": "/accept/run/1",
		"GET /violations/{epoch}/{seq}": "/violations/1/7", "GET /violations/{epoch}/{seq}/{frame}": "/violations/1/7/0"}
	b := newBench(t)
	for _, route := range b.routes() {
		for _, role := range []Role{Nobody, Technician, Officer} {
			method, target, _ := strings.Cut(route.pattern, " ")
			if p, ok := path[route.pattern]; ok {
				target = p
			}
			if strings.ContainsAny(target, "{}") {
				t.Fatalf("%s: the test has no path for it", route.pattern)
			}
			got := b.request(b.session(role), method, target, url.Values{"language": {"en"}})
			toLogin := got.Code == http.StatusSeeOther && got.Header().Get("Location") == "/login"
			refused := got.Code == http.StatusForbidden && !strings.Contains(got.Body.String(), "name=\"code\"")
			switch may := slices.Contains(route.may, role); {
			case may && (refused || toLogin && target != "/logout"):
				t.Errorf("%s as %q: %d, but it may", route.pattern, role, got.Code)
			case !may && !refused && !toLogin:
				t.Errorf("%s as %q: %d, but it may not", route.pattern, role, got.Code)
			}
			if got.Code == http.StatusInternalServerError {
				t.Errorf("%s as %q: %s", route.pattern, role, got.Body)
			}
		}
	}
	for _, secret := range []string{"/code", "/calibration"} {
		if got := b.request(b.session(Technician), http.MethodPost, secret, nil); got.Code < 400 {
			t.Errorf("%s answers over the network: %d", secret, got.Code)
		}
	}
}

func TestCodesAndSessions(t *testing.T) {
	enter := func(b *bench, code string) int {
		return b.request("", "POST", "/login", url.Values{"code": {code}}).Code
	}
	for _, test := range []struct {
		name string
		does func(t *testing.T, b *bench, code string) bool
	}{
		{"the code opens a session", func(t *testing.T, b *bench, code string) bool { return enter(b, code) == http.StatusSeeOther }},
		{"blanks and dashes do not matter", func(t *testing.T, b *bench, code string) bool {
			return enter(b, " "+code[:4]+"-"+code[4:]) == http.StatusSeeOther
		}},
		{"it opens one only", func(t *testing.T, b *bench, code string) bool {
			return enter(b, code) == http.StatusSeeOther && enter(b, code) == http.StatusForbidden
		}},
		{"for ten minutes", func(t *testing.T, b *bench, code string) bool {
			b.pass(codeLives + time.Second)
			return enter(b, code) == http.StatusForbidden
		}},
		{"a new one ends the old", func(t *testing.T, b *bench, code string) bool {
			b.access.issue(Technician)
			return enter(b, code) == http.StatusForbidden
		}},
		{"without one nobody enters", func(t *testing.T, b *bench, code string) bool {
			b.access.code = nil
			return enter(b, "") == http.StatusForbidden
		}},
		{"a right code too soon after a wrong one waits", func(t *testing.T, b *bench, code string) bool {
			wrong := enter(b, "1") == http.StatusForbidden && enter(b, code) == http.StatusTooManyRequests
			b.pass(firstDelay)
			return wrong && enter(b, code) == http.StatusSeeOther
		}},
		{"each wrong one doubles the wait", func(t *testing.T, b *bench, code string) bool {
			enter(b, "1")
			b.pass(firstDelay)
			enter(b, "1")
			b.pass(firstDelay)
			return enter(b, code) == http.StatusTooManyRequests
		}},
		{"after five wrong ones it is worth nothing", func(t *testing.T, b *bench, code string) bool {
			for range codeTries {
				enter(b, "1")
				b.pass(time.Minute)
			}
			return enter(b, code) == http.StatusForbidden
		}},
		{"the wait has an end", func(t *testing.T, b *bench, _ string) bool {
			for range 100 {
				enter(b, "1")
				b.pass(longestDelay)
			}
			again, _, _ := b.access.issue(Technician)
			return enter(b, again) == http.StatusSeeOther
		}},
		{"asking for a code at the device ends the wait", func(t *testing.T, b *bench, _ string) bool {
			enter(b, "1")
			again, _, _ := b.access.issue(Technician)
			return enter(b, again) == http.StatusSeeOther
		}},
	} {
		b := newBench(t)
		code, _, err := b.access.issue(Technician)
		if err != nil {
			t.Fatal(err)
		}
		if !test.does(t, b, code) {
			t.Error(test.name)
		}
	}
}

func TestSessionsEnd(t *testing.T) {
	for _, test := range []struct {
		name string
		does func(b *bench, session string)
		want int
	}{
		{"one that is used stays", func(b *bench, s string) {
			for range 6 {
				b.pass(idle - time.Minute)
				b.request(s, "GET", "/", nil)
			}
		}, http.StatusOK},
		{"one that is not used ends", func(b *bench, s string) { b.pass(idle + time.Second) }, http.StatusSeeOther},
		{"what the page asks by itself is no use", func(b *bench, s string) {
			for range 4 {
				b.pass(idle/3 + time.Second)
				b.request(s, "GET", "/", nil, renewHeader, "1")
			}
		}, http.StatusSeeOther},
		{"none is longer than a day's work", func(b *bench, s string) {
			for range 20 {
				b.pass(idle - time.Minute)
				b.request(s, "GET", "/", nil)
			}
		}, http.StatusSeeOther},
		{"logged out", func(b *bench, s string) { b.request(s, "POST", "/logout", nil) }, http.StatusSeeOther},
		{"too many others", func(b *bench, s string) {
			for range mostSessions {
				b.pass(time.Second)
				b.session(Technician)
			}
		}, http.StatusSeeOther},
	} {
		b := newBench(t)
		s := b.session(Technician)
		test.does(b, s)
		if got := b.request(s, "GET", "/", nil); got.Code != test.want {
			t.Errorf("%s: %d, want %d", test.name, got.Code, test.want)
		}
	}
}

func TestForeignRequestsAreRefused(t *testing.T) {
	for _, test := range []struct {
		name   string
		method string
		header []string
		want   int
	}{
		{"of this page", "POST", nil, http.StatusSeeOther},
		{"a form of another site", "POST", []string{"Sec-Fetch-Site", "cross-site"}, http.StatusForbidden},
		{"a form of another origin, by an old browser", "POST", []string{"Sec-Fetch-Site", "", "Origin", "http://evil.example"}, http.StatusForbidden},
		{"a name that leads here", "GET", []string{"Host", "evil.example"}, http.StatusMisdirectedRequest},
		{"an address", "GET", []string{"Host", "[fe80::1]:8421"}, http.StatusOK},
		{"this machine", "GET", []string{"Host", "localhost:8421"}, http.StatusOK},
	} {
		b := newBench(t)
		path := map[string]string{"GET": "/", "POST": "/logout"}[test.method]
		if got := b.request(b.session(Technician), test.method, path, nil, test.header...); got.Code != test.want {
			t.Errorf("%s: %d, want %d", test.name, got.Code, test.want)
		}
	}
}

func TestCookiesAreKeptFromOthers(t *testing.T) {
	b := newBench(t)
	code, _, _ := b.access.issue(Technician)
	for _, c := range b.request("", "POST", "/login", url.Values{"code": {code}}).Result().Cookies() {
		if !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || len(c.Value) < 26 {
			t.Errorf("cookie = %v", c)
		}
	}
}

func TestLanguage(t *testing.T) {
	b := newBench(t)
	for _, test := range []struct{ accept, want string }{{"de-AT", `<html lang="de">`}, {"fr", `<html lang="it">`}, {"en", `<html lang="en">`}} {
		if got := b.request("", "GET", "/login", nil, "Accept-Language", test.accept).Body.String(); !strings.Contains(got, test.want) {
			t.Errorf("%s: no %s", test.accept, test.want)
		}
	}
	for back, want := range map[string]string{"/login": "/login", "//evil.example": "/", "https://evil.example": "/", "/\\evil.example": "/", "/\t/evil.example": "/", "/journal": "/journal", "/accept/run/1": "/", "": "/"} {
		got := b.request("", "POST", "/language", url.Values{"language": {"de"}, "back": {back}})
		if got.Code != http.StatusSeeOther || got.Header().Get("Location") != want || !strings.Contains(got.Header().Get("Set-Cookie"), "ciglio_language=de") {
			t.Errorf("back to %q: %d, %v", back, got.Code, got.Header())
		}
	}
	if got := b.request("", "POST", "/language", url.Values{"language": {"xx"}}); got.Code != http.StatusBadRequest {
		t.Errorf("a language that is none: %d", got.Code)
	}
}

// TestStateSaysWhatToDo plays what may stand against a device and looks for its
// words.
func TestStateSaysWhatToDo(t *testing.T) {
	oldest := noon.Add(-2 * time.Hour)
	long := noon.Add(-73 * time.Hour)
	for _, test := range []struct {
		name   string
		change func(*device.Status)
		want   []string
	}{
		{"in order", func(*device.Status) {}, []string{"The device measures", "ends in 41 days", "±3 ms, allowed are ±100 ms", "all are settled", "12,345 vehicles measured"}},
		{"the oldest waits", func(s *device.Status) { s.Health.Outbox.Unsettled, s.Health.Outbox.Oldest = 7, &oldest }, []string{"7 wait, the oldest for 2 h"}},
		{"for days", func(s *device.Status) { s.Health.Outbox.Unsettled, s.Health.Outbox.Oldest = 7, &long }, []string{"7 wait, the oldest for 3 days", "Nothing is lost"}},
		{"a month left", func(s *device.Status) { s.Calibration.NotAfter = noon.AddDate(0, 0, 29) }, []string{"ends in 29 days", "Order the new calibration now"}},
		{"the last day but one", func(s *device.Status) { s.Calibration.NotAfter = noon.Add(25 * time.Hour) }, []string{"ends in 1 day<"}},
		{"the last day", func(s *device.Status) { s.Calibration.NotAfter = noon.Add(90 * time.Minute) }, []string{"ends today, in 1 h 30 min"}},
		{"over", func(s *device.Status) { s.Calibration.NotAfter = noon.Add(-time.Second) }, []string{"ended on 1 December 2026"}},
		{"not yet", func(s *device.Status) { s.Calibration.NotBefore = noon.AddDate(0, 0, 1) }, []string{"in force only from 2 December 2026"}},
		{"a clock near its bound", func(s *device.Status) { s.ClockOff = 60 * time.Millisecond }, []string{"Check the aerial"}},
		{"a clock that knows nothing", func(s *device.Status) { s.Health.Clock = wire.HealthClock{} }, []string{"never synchronised"}},
		{"no room", func(s *device.Status) { s.Health.Outbox.RoomBytes = 0 }, []string{"0 MB", "Connect the device to the centre"}},
		{"no centre", func(s *device.Status) { s.Uplink.Connected, s.Uplink.Trouble = false, "no route to <host>" }, []string{"not connected for 1 h", "no route to &lt;host&gt;"}},
		{"closed", func(s *device.Status) {
			s.Health.Measuring, s.Health.Reasons = false, []wire.Reason{{Code: "calibration_expired", Words: "calibration A-117: expired 2026-11-30"}}
		}, []string{"does not measure: 1 cause<", "The calibration has expired", "calibration A-117: expired 2026-11-30", "Insert the stick with the new calibration bundle"}},
		{"closed by parts: each finding is told with its own part", func(s *device.Status) {
			s.Health.Measuring, s.Health.Reasons = false, []wire.Reason{{Code: "camera", Words: "camera words"}, {Code: "second_sensor", Words: "contact words"}}
			s.Findings = []sensor.Finding{unsharp, {Code: "contact_silent", Facts: sensor.Told("contact 2 of lane 1")}, {Code: "new_code", Facts: sensor.Told("words of a new code")}}
		}, []string{"The camera is not sharp, or covered", "20 % of the detail", "A contact no longer moves", "contact 2 of lane 1", "The device has found something", "words of a new code"}},
		{"closed by the clock, as it stands", func(s *device.Status) {
			s.Health.Measuring, s.Health.Reasons = false, []wire.Reason{{Code: "clock_bound", Words: "clock words"}}
			s.ClockOff = 140 * time.Millisecond
		}, []string{"±140 ms, allowed are ±100 ms"}},
		{"a cause that no catalogue knows", func(s *device.Status) {
			s.Health.Measuring, s.Health.Reasons = false, []wire.Reason{{Code: "new_kind", Words: "something new"}}
		}, []string{"The device has found a cause", "something new"}},
		{"a finding", func(s *device.Status) {
			s.Findings = []sensor.Finding{{Code: "camera", Facts: sensor.Told("C1: unplugged")}}
		}, []string{"1 part is not in order", "C1: unplugged"}},
		{"closed by a seal that cannot be watched", func(s *device.Status) {
			s.Health.Measuring, s.Health.Reasons = false, []wire.Reason{{Code: "seal_fault", Words: "seals: door: no reading for 6s"}}
			s.SealFaults = []sensor.Finding{{Code: "seal_line", Facts: []sensor.Fact{{Key: "seal_line_silent", Args: sensor.Args{"part": sensor.Term("door"), "since": 6 * time.Second}}}}}
		}, []string{"A seal cannot be watched", "Door: no reading for 6 s"}},
		{"a test", func(s *device.Status) { s.Test = "simulated radar" }, []string{"a test and accuses nobody", "simulated radar"}},
	} {
		b := newBench(t)
		test.change(&b.device.status)
		page := b.request(b.session(Technician), "GET", "/", nil, "Accept-Language", "en").Body.String()
		for _, want := range test.want {
			if !strings.Contains(page, want) {
				t.Errorf("%s: the page does not say %q", test.name, want)
			}
		}
	}
}

func TestStateAsJSON(t *testing.T) {
	b := newBench(t)
	got := b.request(b.session(Technician), "GET", "/", nil, "Accept", "application/json")
	if got.Header().Get("Content-Type") != "application/json" || !strings.Contains(got.Body.String(), `"clock_off_ns":3000000`) {
		t.Errorf("status = %s", got.Body)
	}
}

// TestEveryTextIsThereAndUsed walks the templates and the sources.
func TestEveryTextIsThereAndUsed(t *testing.T) {
	b := newBench(t)
	used := map[string]bool{}
	for name, page := range b.pages {
		for _, p := range page.Templates() {
			if p.Tree == nil {
				continue
			}
			for _, err := range b.words.Uses(p.Tree, used) {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	for _, key := range literals(t) {
		used[key] = true
	}
	composed := func(prefix string, codes ...string) {
		for _, code := range codes {
			used[prefix+code] = true
			if _, ok := b.words.Arguments(prefix + code); !ok {
				t.Errorf("%s%s is missing", prefix, code)
			}
		}
	}
	composed("level.", string(good), string(warn), string(bad))
	composed("error.", "plan_reference", "plan_lanes", "plan_repeat", "plan_direction", "plan_speeds")
	for _, key := range refusals(t) {
		composed("error.", key)
	}
	composed("why.", string(notMeasured), string(noSpeed), string(tooFar), string(wrongLane), string(wrongWay), string(notAsPlanned))
	for _, key := range b.words.Keys() { // those of codes are held by TestEveryCodeHasWords
		for _, section := range []string{"cause.", "do.", "finding.", "reason.", "refused.", "happened.", "outcome.", "refusal.", "found.", "term."} {
			used[key] = used[key] || strings.HasPrefix(key, section)
		}
	}
	for _, phase := range provision.Phases() {
		if phase != provision.Done {
			composed("stick.", string(phase))
		}
	}
	for _, g := range journalGroups {
		composed("group.", g.name)
	}
	for _, outcome := range append(provision.Outcomes(), "empty", "other") {
		composed("brought.", strings.ReplaceAll(outcome, " ", "_"))
	}
	composed("passed.", append(texts(provision.PassedCodes()), "other")...)
	composed("left.", "done", "before", "passed", "refused", "failed", "other")
	composed("signer.", "laboratory", "operator", "officer", "supplier", "root", "other")
	for kind := range provisioning.Kinds() {
		composed("kind.", string(kind))
	}
	composed("kind.", "other")
	composed("lacks.", "calibration", "trust", "site", "other")
	composed("frame.", "before", "photo", "after", "other")
	composed("order.", "malformed", "kind", "signer", "role", "device", "number", "not_yet", "expired", "clock", "place", "store", "other")
	if unused := b.words.Unused(used); len(unused) > 0 {
		t.Errorf("nobody uses %v", unused)
	}
}

// unsharp is a finding with a figure.
var unsharp = sensor.Finding{Code: "camera_unsharp", About: "camera C1 is not sharp", Facts: []sensor.Fact{{
	Key: "camera_unsharp_detail", Words: "its pictures show {detail} of the detail that is normal here. Is the lens dirty, wet or out of focus?",
	Args: sensor.Args{"detail": sensor.Percent.Of(20.4, 0)},
}}}

// TestFiguresAreInTheReadersLanguage: the sentence, its figures, their units and the
// words in it, each as its language writes it.
func TestFiguresAreInTheReadersLanguage(t *testing.T) {
	b := newBench(t)
	radar := func(key string, args sensor.Args) sensor.Finding {
		return sensor.Finding{Code: "aim_radar", About: "radar R", Facts: []sensor.Fact{{Key: key, Words: "untold", Args: args}}}
	}
	b.device.status.Findings = []sensor.Finding{
		radar("aim_radar_heading", sensor.Args{"way": sensor.Approaching, "now": sensor.Degrees.Difference(2.25, 1), "aimed": sensor.Degrees.Difference(-0.5, 1), "most": sensor.Degrees.Of(2, 0)}),
		{Code: "cabinet", Facts: []sensor.Fact{{Key: "cabinet_below", Args: sensor.Args{"gauge": sensor.Term("supply"), "now": sensor.Volts.Thousandths(9800), "least": sensor.Volts.Thousandths(11000)}}}},
		{Code: "camera_slow", Facts: []sensor.Fact{{Key: "camera_slow", Args: sensor.Args{"model": "C1", "pace": sensor.PerSecond.Of(12.5, 1), "speed": 250 * sensor.KmH,
			"zone": sensor.Metres.Of(7.5, 1), "stay": sensor.Seconds.Of(0.108, 2), "need": sensor.PerSecond.Of(18.5, 1)}}}},
	}
	for language, want := range map[string][]string{
		"en": {"Vehicles approaching: the radar sees them drive under +2.2°; when it was aimed, under −0.5°. 2° of difference", "Supply: 9800 mV, below 11 V.", "250.00 km/h is in the 7.5 m around the photo position for 0.11 s: two of it need 18.5/s."},
		"it": {"Veicoli in avvicinamento: il radar li vede andare sotto +2,2°; quando fu puntato, sotto −0,5°.", "Alimentazione: 9800 mV, sotto 11 V.", "Immagini della telecamera C1: 12,5/s. Un veicolo a 250,00 km/h resta 0,11 s nei 7,5 m"},
		"de": {"Fahrzeuge ankommend: das Radar sieht sie unter +2,2° fahren; beim Ausrichten waren es −0,5°.", "Versorgung: 9800 mV, unter 11 V.", "ist 0,11 s lang in den 7,5 m um die Fotoposition: für zwei davon braucht es 18,5/s."},
	} {
		page := html.UnescapeString(b.request(b.session(Technician), "GET", "/", nil, "Accept-Language", language).Body.String())
		for _, words := range want {
			if !strings.Contains(page, words) {
				t.Errorf("%s: the page does not say %q", language, words)
			}
		}
		if strings.Contains(page, "untold") {
			t.Errorf("%s: the page tells a finding in English", language)
		}
	}
}

// refusals returns the codes of the refusals in this package's sources.
func refusals(t *testing.T) (all []string) {
	for _, f := range sources(t) {
		ast.Inspect(f, func(n ast.Node) bool {
			c, ok := n.(*ast.CompositeLit)
			if !ok {
				return true
			}
			if name, ok := c.Type.(*ast.Ident); ok && name.Name == "refusal" {
				if l, ok := c.Elts[1].(*ast.BasicLit); ok {
					text, _ := strconv.Unquote(l.Value)
					all = append(all, text)
				}
			}
			return true
		})
	}
	if len(all) < 10 {
		t.Fatalf("only %d refusals were found", len(all))
	}
	return all
}

// literals returns the string literals of this package's sources.
func literals(t *testing.T) (all []string) {
	t.Helper()
	for _, f := range sources(t) {
		ast.Inspect(f, func(n ast.Node) bool {
			if l, ok := n.(*ast.BasicLit); ok && l.Kind == token.STRING {
				text, _ := strconv.Unquote(l.Value)
				all = append(all, text)
			}
			return true
		})
	}
	return all
}

// sources returns the files of this package that are no tests.
func sources(t *testing.T) (all []*ast.File) {
	t.Helper()
	names, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, f)
	}
	return all
}

// TestNoLettersOutsideOfTags keeps words out of templates.
func TestNoLettersOutsideOfTags(t *testing.T) {
	all, err := files.ReadDir("templates")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range all {
		text, _ := files.ReadFile("templates/" + f.Name())
		var b strings.Builder
		depth := 0
		for _, r := range strings.ReplaceAll(strings.ReplaceAll(string(text), "{{", "<"), "}}", ">") {
			switch {
			case r == '<':
				depth++
			case r == '>':
				depth--
			case depth == 0:
				b.WriteRune(r)
			}
		}
		for word := range strings.FieldsSeq(b.String()) {
			if strings.ContainsFunc(word, func(r rune) bool { return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' }) && word != "ciglio" && word != "console" && word != "code" {
				t.Errorf("%s: %q stands outside of tags", f.Name(), word)
			}
		}
	}
}

func TestConnectionsAreBounded(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "here") }))
	server.Listener = newLimited(server.Listener, 2)
	server.Start()
	defer server.Close()
	ask := func(c *http.Client) error {
		answer, err := c.Get(server.URL)
		if err == nil {
			_, err = io.ReadAll(answer.Body)
			answer.Body.Close()
		}
		return err
	}
	clients := make([]http.Client, 3)
	for i := range clients {
		clients[i].Transport = &http.Transport{}
	}
	for i := range 2 {
		if err := ask(&clients[i]); err != nil {
			t.Fatal(err)
		}
	}
	if err := ask(&clients[2]); err == nil {
		t.Error("a third connection was served")
	}
	clients[0].CloseIdleConnections()
	for began := time.Now(); time.Since(began) < 10*time.Second; { // the server notices in its own time
		if err := ask(&clients[2]); err == nil {
			return
		}
	}
	t.Error("a connection that was closed is not free again")
}

// stationIn is a station of sticks that is at one point.
type stationIn struct{ now provision.Now }

func (s stationIn) Now() (provision.Now, bool) { return s.now, true }
func (s stationIn) InForce() []provision.Force { return nil }

// A device that has not begun says to anyone what it lacks and how it goes with the stick,
// and nothing else: no act, no name of it or of what is on the stick.
func TestWhatADeviceShowsBeforeItsFirstStick(t *testing.T) {
	const secret = "00112233"
	c, err := New(Options{Now: func() time.Time { return noon }, Lacks: func() []provisioning.Kind {
		return []provisioning.Kind{provisioning.Trust, provisioning.Calibration, provisioning.Site}
	},
		Sticks: stationIn{provision.Now{Phase: provision.Done, Since: noon, Trouble: secret,
			Last: &provision.Receipt{Device: secret, Outcome: "refused", Reason: provisioning.Foreign, Words: secret, Refused: []provision.Rejected{{Name: secret, Fact: secret}}}}}})
	if err != nil {
		t.Fatal(err)
	}
	ask := func(method, path string, header ...string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(method, "http://192.0.2.1"+path, strings.NewReader("language=de"))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		for i := 0; i < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		w := httptest.NewRecorder()
		c.Handler().ServeHTTP(w, r)
		return w
	}
	for language, want := range map[string][]string{
		"en": {"The device waits for a stick", "<h3>Calibration</h3>", "<h3>Site</h3>", "The trust bundle of the centre brings it", "Refused", "for another device"},
		"it": {"Il dispositivo aspetta una chiavetta", "Che cosa manca", "del laboratorio"},
		"de": {"Das Gerät wartet auf einen Stick", "Was fehlt", "des Labors"},
	} {
		w := ask("GET", "/", "Accept-Language", language)
		page := html.UnescapeString(w.Body.String())
		for _, words := range want {
			if w.Code != http.StatusOK || !strings.Contains(page, words) {
				t.Errorf("%s: %d: the page does not say %q", language, w.Code, words)
			}
		}
		if strings.Contains(page, secret) || strings.Count(page, "<form") != 1 {
			t.Errorf("%s: the page says or does more than it may:\n%s", language, page)
		}
	}
	if w := ask("GET", "/", "Accept", "application/json"); w.Code != http.StatusServiceUnavailable || w.Body.String() != `{"lacks":["trust","calibration","site"],"phase":"done"}`+"\n" {
		t.Errorf("to a program: %d %s", w.Code, w.Body)
	}
	var full Console
	for _, r := range slices.Concat(full.routes(), full.local()) {
		method, path, _ := strings.Cut(r.pattern, " ")
		path = strings.NewReplacer("{$}", "", "{run}", "1", "{epoch}", "1", "{seq}", "1", "{frame}", "1", "{name}", "1").Replace(path)
		w := ask(method, path)
		switch {
		case path == "/" || path == "/language":
		case strings.HasPrefix(path, "/assets/"), method == "POST":
			if w.Code != http.StatusNotFound {
				t.Errorf("%s: %d", r.pattern, w.Code)
			}
		case w.Code != http.StatusSeeOther || w.Header().Get("Location") != "/":
			t.Errorf("%s: %d to %q", r.pattern, w.Code, w.Header().Get("Location"))
		}
	}
	if w := ask("POST", "/language"); w.Code != http.StatusSeeOther || !strings.Contains(w.Header().Get("Set-Cookie"), "=de") {
		t.Errorf("language: %d", w.Code)
	}
}
