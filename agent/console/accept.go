package console

import (
	"bytes"
	"cmp"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"ciglio/agent/device"
	"ciglio/capture/evidence"
	"ciglio/internal/catalogue"
	"ciglio/internal/durable"
	"ciglio/sensor"
)

// The largest error with which a run passes: that of new and repaired instruments at a
// fixed place in article 5 of the French arrêté of 4 June 2009 on cinémomètres (JORF
// 143, 23 June 2009), of the true speed, the fraction to the device's disadvantage. No
// Italian text is known here that names one for an acceptance.
const (
	errorFlat  = 3 * sensor.KmH // up to errorFrom
	errorShare = 3              // per cent above it
	errorFrom  = 100 * sensor.KmH
)

// maxError returns the largest error at a true speed.
func maxError(v sensor.Speed) sensor.Speed {
	if v <= errorFrom {
		return errorFlat
	}
	return sensor.Speed(int64(v) * errorShare / 100)
}

// A Run is one planned passage of the reference vehicle, and what came of it.
type Run struct {
	Number    int              `json:"run"` // from 1
	Lane      int              `json:"lane"`
	Direction sensor.Direction `json:"direction"`
	Planned   sensor.Speed     `json:"planned"`
	Attempts  []Attempt        `json:"attempts"` // the last one counts, all are told
}

// An Attempt is one passage of the reference vehicle.
type Attempt struct {
	True     sensor.Speed  `json:"true"`
	Measured *device.Seen  `json:"measured"` // nil when the device did not measure it
	Error    sensor.Speed  `json:"error"`    // measured less true; may be negative
	Limit    sensor.Speed  `json:"limit"`    // that the error may have either way
	Pass     bool          `json:"pass"`     //
	Why      []failureCode `json:"why,omitempty"`
}

// A failureCode says why an attempt did not pass. It is the end of a key.
type failureCode string

const (
	notMeasured  failureCode = "not_measured"
	noSpeed      failureCode = "no_speed" // it does not stand
	tooFar       failureCode = "error"
	wrongLane    failureCode = "lane"
	wrongWay     failureCode = "direction"
	notAsPlanned failureCode = "planned" // the reference was not near the planned speed
)

// nearPlan is how far the reference may be from the planned speed: one part in so
// many, or 5 km/h.
const nearPlan = 10

func (r *Run) last() *Attempt {
	if len(r.Attempts) == 0 {
		return nil
	}
	return &r.Attempts[len(r.Attempts)-1]
}

// try judges an attempt and adds it.
func (r *Run) try(reference sensor.Speed, seen *device.Seen) {
	a := Attempt{True: reference, Measured: seen, Limit: maxError(reference)}
	fail := func(code failureCode, when bool) {
		if when {
			a.Why = append(a.Why, code)
		}
	}
	off := reference - r.Planned
	fail(notAsPlanned, max(off, -off) > max(r.Planned/nearPlan, 5*sensor.KmH))
	if seen == nil {
		fail(notMeasured, true)
	} else {
		a.Error = seen.Speed - reference
		fail(noSpeed, len(seen.Reasons) > 0)
		fail(tooFar, max(a.Error, -a.Error) > a.Limit)
		fail(wrongLane, seen.Lane != 0 && seen.Lane != r.Lane)
		fail(wrongWay, seen.Direction != r.Direction)
	}
	a.Pass = len(a.Why) == 0
	r.Attempts = append(r.Attempts, a)
}

// A Plan is what an acceptance shall show.
type Plan struct {
	Reference  string             // the reference instrument and its certificate
	Lanes      int                // 1 to 16
	Directions []sensor.Direction // of approaching and receding
	Speeds     []sensor.Speed
	Repeat     int // runs for each, 1 to 10
}

// How much the report in a record has room for.
const (
	mostRuns     = 60
	mostAttempts = 90
)

// An Acceptance is the reference runs of a device and their outcome.
type Acceptance struct {
	Began     time.Time  `json:"began"`
	Ended     *time.Time `json:"ended,omitempty"` // absent while it runs
	By        string     `json:"by"`
	Reference string     `json:"reference"`
	Runs      []Run      `json:"runs"`
	Pass      bool       `json:"pass"` // every run has passed
	Device    string     `json:"device"`
	Site      string     `json:"site"`
	Sensor    string     `json:"sensor"`
	Statement string     `json:"calibration"`
}

// newAcceptance plans the runs: lane by lane, direction by direction, from slow to
// fast.
func newAcceptance(p Plan, s device.Status, by string) *Acceptance {
	a := &Acceptance{
		Began: s.At, By: by, Reference: p.Reference, Device: s.Device,
		Site:      s.Site.ID + " version " + strconv.Itoa(s.Site.Version),
		Sensor:    s.Sensor.Model + " " + s.Sensor.Serial,
		Statement: s.Calibration.ID + " version " + strconv.FormatUint(s.Calibration.Version, 10),
	}
	for lane := 1; lane <= p.Lanes; lane++ {
		for _, way := range p.Directions {
			for _, v := range p.Speeds {
				for range p.Repeat {
					a.Runs = append(a.Runs, Run{Number: len(a.Runs) + 1, Lane: lane, Direction: way, Planned: v, Attempts: []Attempt{}})
				}
			}
		}
	}
	return a
}

// next returns the first run that has not passed yet; 0 when all have.
func (a *Acceptance) next() int {
	for i := range a.Runs {
		if last := a.Runs[i].last(); last == nil || !last.Pass {
			return i + 1
		}
	}
	return 0
}

// tried reports whether every run has an attempt.
func (a *Acceptance) tried() bool {
	return !slices.ContainsFunc(a.Runs, func(r Run) bool { return r.last() == nil })
}

// CSV is the report for programs: one line an attempt. The same bytes are in the record.
func (a *Acceptance) CSV() []byte {
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	_ = w.Write([]string{"run", "attempt", "lane", "direction", "planned_kmh", "true_kmh", "measured_kmh", "u_kmh", "error_kmh", "limit_kmh", "pass", "why", "utc"})
	for _, r := range a.Runs {
		for i, t := range r.Attempts {
			measured, u, at, off := "", "", "", ""
			if t.Measured != nil {
				measured, u, off, at = kmh(t.Measured.Speed), kmh(t.Measured.U), kmh(t.Error), t.Measured.At.UTC().Format(time.RFC3339)
			}
			why := make([]string, len(t.Why))
			for i, code := range t.Why {
				why[i] = string(code)
			}
			_ = w.Write([]string{strconv.Itoa(r.Number), strconv.Itoa(i + 1), strconv.Itoa(r.Lane), r.Direction.String(), kmh(r.Planned),
				kmh(t.True), measured, u, off, kmh(t.Limit), yes(t.Pass), strings.Join(why, " "), at})
		}
	}
	w.Flush()
	return b.Bytes()
}

// kmh prints a speed or an error with its two decimals.
func kmh(v sensor.Speed) string { return strings.TrimSuffix(v.String(), " km/h") }

// acceptance is the one that runs, or the last that ended. It is safe for
// concurrent use.
type acceptance struct {
	mu sync.Mutex
	so *Acceptance
}

// copied returns what stands now; nil for none.
func (a *acceptance) copied() *Acceptance {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.so == nil {
		return nil
	}
	c := *a.so
	c.Runs = slices.Clone(c.Runs)
	for i := range c.Runs {
		c.Runs[i].Attempts = slices.Clone(c.Runs[i].Attempts)
	}
	return &c
}

// keepAcceptance writes one down.
func (c *Console) keepAcceptance(a *Acceptance) error {
	if c.o.Acceptance == "" {
		return nil
	}
	text, err := json.Marshal(a)
	if err != nil {
		return err
	}
	return durable.WriteFile(c.o.Acceptance, text, 0o600)
}

// mostKept is the largest file of an acceptance, in bytes: one with all attempts has a
// tenth of it.
const mostKept = 1 << 20

// resumeAcceptance goes on with the one that was kept. One that cannot be read, or is of
// another device, place, sensor or calibration than there is now, is over: its runs
// say nothing of what stands there.
func (c *Console) resumeAcceptance() {
	if c.o.Acceptance == "" {
		return
	}
	a, err := readAcceptance(c.o.Acceptance)
	if err == nil {
		now := newAcceptance(Plan{}, c.o.Device.Status(), "")
		if a.Device != now.Device || a.Site != now.Site || a.Sensor != now.Sensor || a.Statement != now.Statement {
			err = errors.New("it is of another device, place, sensor or calibration")
		}
	}
	switch {
	case err == nil:
		c.accept.so = a
	case !errors.Is(err, fs.ErrNotExist):
		c.o.Log.Warn("acceptance not resumed", "file", c.o.Acceptance, "error", err)
	}
}

func readAcceptance(file string) (*Acceptance, error) {
	text, err := durable.ReadAtMost(file, mostKept)
	if err != nil {
		return nil, err
	}
	a := &Acceptance{}
	if err := json.Unmarshal(text, a); err != nil {
		return nil, err
	}
	attempts := 0
	for i := range a.Runs {
		if a.Runs[i].Number != i+1 {
			return nil, fmt.Errorf("run %d in place %d", a.Runs[i].Number, i+1)
		}
		attempts += len(a.Runs[i].Attempts)
	}
	if n := len(a.Runs); n == 0 || n > mostRuns || attempts > mostAttempts {
		return nil, fmt.Errorf("%d runs, %d attempts", n, attempts)
	}
	return a, nil
}

// readPlan reads the form of a plan.
func readPlan(r *http.Request) (p Plan, err error) {
	wrong := func(field string) (Plan, error) { return Plan{}, refusal{http.StatusBadRequest, "plan_" + field} }
	if p.Reference = strings.TrimSpace(r.PostFormValue("reference")); !evidence.Printable(p.Reference, 200) {
		return wrong("reference")
	}
	if p.Lanes, err = strconv.Atoi(r.PostFormValue("lanes")); err != nil || p.Lanes < 1 || p.Lanes > 16 {
		return wrong("lanes")
	}
	if p.Repeat, err = strconv.Atoi(r.PostFormValue("repeat")); err != nil || p.Repeat < 1 || p.Repeat > 10 {
		return wrong("repeat")
	}
	for _, way := range []sensor.Direction{sensor.Approaching, sensor.Receding} {
		if slices.Contains(r.PostForm["direction"], way.String()) {
			p.Directions = append(p.Directions, way)
		}
	}
	if len(p.Directions) == 0 {
		return wrong("direction")
	}
	for text := range strings.FieldsFuncSeq(r.PostFormValue("speeds"), func(r rune) bool { return r == ' ' || r == ';' || r == ',' }) {
		v, err := sensor.ParseSpeed(text + "km/h")
		if err != nil || v < 5*sensor.KmH || v > 300*sensor.KmH {
			return wrong("speeds")
		}
		p.Speeds = append(p.Speeds, v)
	}
	slices.Sort(p.Speeds)
	p.Speeds = slices.Compact(p.Speeds)
	if len(p.Speeds) == 0 || p.Lanes*len(p.Directions)*len(p.Speeds)*p.Repeat > mostRuns {
		return wrong("speeds")
	}
	return p, nil
}

// acceptPlan begins an acceptance.
func (c *Console) acceptPlan(w http.ResponseWriter, r *http.Request, who Caller) error {
	p, err := readPlan(r)
	if err != nil {
		return err
	}
	c.accept.mu.Lock()
	defer c.accept.mu.Unlock()
	if c.accept.so != nil && c.accept.so.Ended == nil {
		return refusal{http.StatusConflict, "accept_runs"}
	}
	a := newAcceptance(p, c.o.Device.Status(), who.Name)
	words := fmt.Sprintf("acceptance begun: %d runs, reference %s", len(a.Runs), p.Reference)
	if err := c.note(who, words, evidence.Act{Code: "accept", Subject: "reference runs", Outcome: "begun"}); err != nil {
		return err
	}
	if err := c.keepAcceptance(a); err != nil {
		return err
	}
	c.o.Device.BeginService(serviceLasts)
	c.accept.so = a
	return c.done(w, r, "/accept")
}

// readAttempt reads the form of an attempt.
func (c *Console) readAttempt(r *http.Request) (reference sensor.Speed, seen *device.Seen, err error) {
	text := strings.ReplaceAll(strings.TrimSpace(r.PostFormValue("true")), ",", ".")
	if reference, err = sensor.ParseSpeed(text + "km/h"); err != nil || reference < 5*sensor.KmH || reference > 300*sensor.KmH {
		return 0, nil, refusal{http.StatusBadRequest, "attempt_true"}
	}
	number, err := strconv.Atoi(r.PostFormValue("vehicle"))
	if err != nil {
		return 0, nil, refusal{http.StatusBadRequest, "attempt_vehicle"}
	}
	if number == 0 { // the device has not measured it
		return reference, nil, nil
	}
	all := c.o.Device.Seen()
	i := slices.IndexFunc(all, func(s device.Seen) bool { return s.Number == number })
	if i < 0 {
		return 0, nil, refusal{http.StatusBadRequest, "attempt_vehicle"}
	}
	return reference, &all[i], nil
}

// acceptRun adds an attempt to a run.
func (c *Console) acceptRun(w http.ResponseWriter, r *http.Request, who Caller) error {
	reference, seen, err := c.readAttempt(r)
	if err != nil {
		return err
	}
	c.accept.mu.Lock()
	defer c.accept.mu.Unlock()
	a := c.accept.so
	if a == nil || a.Ended != nil {
		return refusal{http.StatusConflict, "accept_none"}
	}
	if !c.o.Device.InService() {
		return refusal{http.StatusConflict, "not_in_service"}
	}
	n, err := strconv.Atoi(r.PathValue("run"))
	if err != nil || n < 1 || n > len(a.Runs) {
		return errAbsent
	}
	attempts := 0
	for i := range a.Runs {
		attempts += len(a.Runs[i].Attempts)
		if seen != nil && slices.ContainsFunc(a.Runs[i].Attempts, func(t Attempt) bool {
			return t.Measured != nil && t.Measured.Number == seen.Number && t.Measured.At.Equal(seen.At)
		}) {
			return refusal{http.StatusConflict, "attempt_twice"}
		}
	}
	if attempts >= mostAttempts {
		return refusal{http.StatusConflict, "attempt_many"}
	}
	c.keepService()
	run := &a.Runs[n-1]
	run.try(reference, seen)
	if err := c.keepAcceptance(a); err != nil {
		run.Attempts = run.Attempts[:len(run.Attempts)-1]
		return err
	}
	return c.done(w, r, "/accept")
}

// acceptEnd ends it: its report goes into the chain, passed or not.
func (c *Console) acceptEnd(w http.ResponseWriter, r *http.Request, who Caller) error {
	c.accept.mu.Lock()
	defer c.accept.mu.Unlock()
	a := c.accept.so
	if a == nil || a.Ended != nil {
		return refusal{http.StatusConflict, "accept_none"}
	}
	pass := a.tried() && a.next() == 0
	outcome, words := "failed", "not passed"
	if pass {
		outcome, words = "done", "passed"
	}
	passed := 0
	for _, r := range a.Runs {
		if last := r.last(); last != nil && last.Pass {
			passed++
		}
	}
	words = fmt.Sprintf("%s: %d of %d runs, each within 3 km/h up to 100 km/h and 3 %% above", words, passed, len(a.Runs))
	act := evidence.Act{Code: "accept", Subject: cmp.Or(a.Reference, "reference runs"), New: words, Outcome: outcome, Answer: a.CSV(), Media: "text/csv"}
	if err := c.note(who, "acceptance ended: "+words, act); err != nil {
		return err
	}
	ended := c.o.Device.Status().At
	a.Ended, a.Pass = &ended, pass
	// The chain has it. Should this fail it is under way again after a restart, and is
	// ended once more.
	if err := c.keepAcceptance(a); err != nil {
		c.o.Log.Error("end of the acceptance not kept", "error", err)
	}
	c.o.Device.EndService()
	return c.done(w, r, "/accept")
}

// acceptCSV sends the report for programs.
func (c *Console) acceptCSV(w http.ResponseWriter, r *http.Request, _ Caller) error {
	a := c.accept.copied()
	if a == nil {
		return errAbsent
	}
	w.Header().Set("Content-Type", "text/csv; charset=utf-8")
	w.Header().Set("Content-Disposition", `attachment; filename="acceptance.csv"`)
	w.Write(a.CSV())
	return nil
}

type acceptView struct {
	liveView
	Begun, Ended, Pass bool
	Verdict            string
	Report             []link // facts of the report: a name and its words
	Runs               []runView
	Next               *runView
	Lanes              int
	Tried              bool
}

type runView struct {
	Number          int
	Lane, Direction string
	Planned, True   string
	Measured, Error string
	Limit           string
	State           level
	Words           string
	Why             []string
}

func (c *Console) acceptPage(w http.ResponseWriter, r *http.Request, who Caller) error {
	c.keepService()
	a := c.accept.copied()
	if wantsJSON(r) {
		if a == nil {
			return refusal{http.StatusConflict, "accept_none"}
		}
		return writeJSON(w, http.StatusOK, a)
	}
	v := c.view(r, who)
	s := c.o.Device.Status()
	page := acceptView{liveView: c.liveOf(v), Lanes: max(1, s.Site.Lanes)}
	if a != nil {
		c.fillAccept(&page, a)
	}
	return c.show(w, http.StatusOK, "accept", page)
}

func (c *Console) fillAccept(page *acceptView, a *Acceptance) {
	t := teller{c, page.words}
	page.Begun, page.Ended, page.Pass, page.Tried = true, a.Ended != nil, a.Pass, a.tried()
	for i := range a.Runs {
		page.Runs = append(page.Runs, t.run(&a.Runs[i]))
	}
	if n := a.next(); n > 0 && !page.Ended {
		page.Next = &page.Runs[n-1]
	}
	page.Report = []link{
		{Path: t.text("accept.began"), Words: t.text("state.at", "at", a.Began)},
		{Path: t.text("state.device"), Words: a.Device},
		{Path: t.text("accept.site"), Words: a.Site},
		{Path: t.text("accept.sensor"), Words: a.Sensor},
		{Path: t.text("fact.calibration"), Words: a.Statement},
		{Path: t.text("accept.reference"), Words: a.Reference},
		{Path: t.text("accept.by"), Words: a.By},
		{Path: t.text("accept.limits"), Words: t.text("accept.limits_are")},
	}
	if page.Ended {
		page.Report = slices.Insert(page.Report, 1, link{Path: t.text("accept.ended"), Words: t.text("state.at", "at", *a.Ended)})
		page.Verdict = t.text("accept.failed")
		if a.Pass {
			page.Verdict = t.text("accept.passed")
		}
	}
}

// run puts a run into the reader's words, by its last attempt.
func (t teller) run(r *Run) runView {
	speed := func(v sensor.Speed) string { return t.decimals(number(int64(v), 2)) }
	v := runView{Number: r.Number, Lane: strconv.Itoa(r.Lane), Direction: t.text(directionKey(r.Direction)), Planned: speed(r.Planned),
		True: "–", Measured: "–", Error: "–", Limit: "–", State: warn, Words: t.text("run.open")}
	last := r.last()
	if last == nil {
		return v
	}
	v.True, v.Limit, v.State, v.Words = speed(last.True), "±"+speed(last.Limit), bad, t.text("run.failed")
	if last.Measured != nil {
		v.Measured, v.Error = speed(last.Measured.Speed), speed(last.Error)
	}
	if last.Pass {
		v.State, v.Words = good, t.text("run.passed")
	}
	for _, code := range last.Why {
		v.Why = append(v.Why, t.text("why."+string(code)))
	}
	return v
}

func (t teller) decimals(n catalogue.Number) string { return t.text("live.number", "v", n) }
