// Package trust is the gate: it says whether the device may measure now, and
// why not. It is pure: the caller gathers the facts, Check judges them, and the
// same facts always give the same answer.
//
// No violation is issued while the gate is closed. Every cause is reported, not
// only the first. docs/gate.md says of each code what it means and what to do.
//
// Days are those at the site: an act of a day is in force from its first instant
// there to its last. A functional check is good for a year, to the end of the same
// date a year later, or of 28 February for one of 29 February (art. 2963 of the
// civil code, which counts terms by years so).
package trust

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"ciglio/sensor"
)

// The codes of the causes, in the order in which they are told.
const (
	CalibrationMissing  = "calibration_missing"
	CalibrationForeign  = "calibration_foreign"
	CalibrationCore     = "calibration_core"
	CalibrationEarly    = "calibration_early"
	CalibrationExpired  = "calibration_expired"
	Approval            = "approval"
	Decree              = "decree"
	RegisterEntry       = "register"
	FunctionalCheck     = "functional_check"
	SiteMissing         = "site_missing"
	Rules               = "rules"
	ClockUnknown        = "clock_unknown"
	ClockUnsynchronised = "clock_unsynchronised"
	ClockBound          = "clock_bound"
	SelfTest            = "self_test"
	SelfTestOld         = "self_test_old"
	SensorFault         = "sensor"
	SecondFault         = "second_sensor"
	CameraFault         = "camera"
	AimDrift            = "aim"
	Cabinet             = "cabinet"
	StoreFault          = "store_fault"
	SealOpen            = "seal_open"
	SealFault           = "seal_fault"
	Software            = "software"
	StoreFull           = "store_full"
	SignUnknown         = "sign_unknown"
	Paused              = "paused"
	Service             = "service"
)

// Codes returns the code of every cause, in the order in which they are told.
func Codes() []string {
	return []string{
		CalibrationMissing, CalibrationForeign, CalibrationCore, CalibrationEarly, CalibrationExpired,
		Approval, Decree, RegisterEntry, FunctionalCheck, SiteMissing, Rules,
		ClockUnknown, ClockUnsynchronised, ClockBound,
		SelfTest, SelfTestOld, SensorFault, SecondFault, CameraFault, AimDrift, Cabinet, StoreFault,
		SealOpen, SealFault, Software, StoreFull, SignUnknown, Paused, Service,
	}
}

// SelfTestValid is for how long a self-test counts. A device in order tests itself
// every ten seconds.
const SelfTestValid = 5 * time.Minute

// Calibration is the statement that is in force for a device: the calibration
// certificate of its sensor with the approval and the decree under which it may
// be used.
type Calibration struct {
	ID        string
	Version   uint64
	Serial    string     // of the sensor it was issued for
	Cores     [][32]byte // identities of the measuring cores it was issued for
	NotBefore time.Time
	NotAfter  time.Time
	Approval  Permit // type approval or homologation
	Decree    Permit // the prefect's decree for the road; none where the site has it
	Register  Permit // the device's entry in the national register; none with a snapshot
	// Functional is the functional check of the device; none where the site has it.
	Functional Functional
	// Uncertainty bounds the standard uncertainty that the approval allows for
	// one speed; 0 means no bound.
	Uncertainty sensor.Speed
}

// A Permit is a public act with its time in force.
type Permit struct {
	Words string    // as printed on the notice; "" for none
	From  time.Time // first instant
	To    time.Time // last instant; zero while without end
}

// Functional is a yearly functional check.
type Functional struct {
	Words string    // its report; "" for none
	On    time.Time // its day at the site, as midnight UTC
}

// LastDay returns the last day on which a check counts, as midnight UTC.
func (f Functional) LastDay() time.Time {
	year, month, day := f.On.Date()
	last := time.Date(year+1, month, day, 0, 0, 0, 0, time.UTC)
	if last.Month() != month { // 29 February
		last = last.AddDate(0, 0, -1)
	}
	return last
}

// A Register is an extract of the national register of speed devices.
type Register struct {
	Version uint64
	Taken   time.Time
	Rows    []Row
}

// A Row is one device in the register, as far as the gate compares it.
type Row struct {
	Serial string
	Permit
	Road     string // "" where the row names none
	Position uint32 // metres from the start of the road
}

// near is how far the position of a register row may lie from that of the site:
// roads are marked every hundred metres.
const near = 100 // m

// Facts is what the device knows of itself at one instant.
type Facts struct {
	At           time.Time
	Zone         *time.Location // of the site; nil means UTC
	Unplaced     bool           // nobody has said yet where the device stands
	Road         string
	Position     uint32       // metres from the start of the road
	Calibration  *Calibration // nil when none is installed
	SensorSerial string
	Core         [32]byte          // identity of the running measuring core
	Decree       Permit            // of the site; none where no site statement is installed
	Functional   Functional        // the same
	Register     *Register         // nil when no extract is installed
	Clock        sensor.ClockState //
	ClockError   error             // the time source gave no answer
	ClockBound   time.Duration     // of the site
	SelfTest     []sensor.Finding  // what it holds against the device; none when it passed
	SelfTestAge  time.Duration     // since the last one ended
	OpenSeals    []string          // names of the seals that are open
	SealFaults   []sensor.Finding  // what keeps the seals from being watched
	Software     error             // nil when the program is the sealed one
	Room         bool              // the outbox can take a violation
	Rules        error             // why it is not known what the law takes off a speed; nil when it is
	Sign         error             // why the limit of the variable sign is not known; nil when it is, and where there is none
	Paused       string            // who has paused the device, and until when; "" for nobody
	Service      bool              // a technician works at the device
}

// A Cause is one reason why the gate is closed. Codes are constant; words name
// the fact.
type Cause struct {
	Code  string `json:"code"`
	Words string `json:"words"`
}

// causes collects what keeps the gate closed.
type causes []Cause

func (c *causes) add(code, format string, args ...any) {
	*c = append(*c, Cause{code, fmt.Sprintf(format, args...)})
}

// Check returns every cause for which the device may not measure, in a fixed
// order; none means that it may.
func Check(f Facts) []Cause {
	var all causes
	if f.Zone == nil {
		f.Zone = time.UTC
	}
	f.calibration(&all)
	f.acts(&all)
	f.functional(&all)
	if f.Unplaced {
		all.add(SiteMissing, "site: none is installed, and the configuration has none")
	}
	if f.Rules != nil {
		all.add(Rules, "rules: %v", f.Rules)
	}
	f.clock(&all)
	f.parts(&all)
	for _, seal := range f.OpenSeals {
		all.add(SealOpen, "seal %s: open, or was opened: an officer's order closes it", seal)
	}
	if len(f.SealFaults) > 0 {
		all.add(SealFault, "seals: %s", Words(f.SealFaults))
	}
	if f.Software != nil {
		all.add(Software, "software: %v", f.Software)
	}
	if !f.Room {
		all.add(StoreFull, "outbox: no room for evidence")
	}
	if f.Sign != nil {
		all.add(SignUnknown, "variable sign: %v", f.Sign)
	}
	if f.Paused != "" {
		all.add(Paused, "paused: %s", f.Paused)
	}
	if f.Service {
		all.add(Service, "service: a technician works at the device")
	}
	return all
}

// day prints the day of an instant at the site.
func (f Facts) day(t time.Time) string { return t.In(f.Zone).Format(time.DateOnly) }

func (f Facts) calibration(all *causes) {
	c := f.Calibration
	if c == nil {
		all.add(CalibrationMissing, "no calibration is installed")
		return
	}
	name := "calibration " + c.ID
	if c.Serial != f.SensorSerial {
		all.add(CalibrationForeign, "%s: issued for sensor %s, this sensor is %s", name, c.Serial, f.SensorSerial)
	}
	switch {
	case len(c.Cores) == 0:
		all.add(CalibrationCore, "%s: names no measuring core, this program's is %x", name, f.Core)
	case !slices.Contains(c.Cores, f.Core):
		all.add(CalibrationCore, "%s: not issued for this program's measuring core %x", name, f.Core)
	}
	if f.At.Before(c.NotBefore) {
		all.add(CalibrationEarly, "%s: in force from %s", name, f.day(c.NotBefore))
	}
	if f.At.After(c.NotAfter) {
		all.add(CalibrationExpired, "%s: expired %s", name, f.day(c.NotAfter))
	}
}

// permit tells why a public act is not in force; code is that of its cause.
func (f Facts) permit(all *causes, code, name string, p Permit) {
	switch {
	case p.Words == "":
		all.add(code, "%s: missing", name)
	case f.At.Before(p.From):
		all.add(code, "%s %s: in force from %s", name, p.Words, f.day(p.From))
	case !p.To.IsZero() && f.At.After(p.To):
		all.add(code, "%s %s: ended %s", name, p.Words, f.day(p.To))
	}
}

// acts judges the public acts. Each that is stated must be in force, by whatever
// statement; of the decree and of the register's entry there must be one.
func (f Facts) acts(all *causes) {
	var c Calibration
	if f.Calibration != nil {
		c = *f.Calibration
		f.permit(all, Approval, "type approval or homologation", c.Approval)
	}
	const decree, entry = "prefect's decree", "entry in the national register"
	site := f.Decree
	switch {
	case site.Words != "" && c.Decree.Words != "" && site.Words != c.Decree.Words:
		all.add(Decree, "%s: the site has %s, the calibration statement %s", decree, site.Words, c.Decree.Words)
	case site.Words == "" && f.Calibration == nil: // that is told already
	case site.Words == "":
		f.permit(all, Decree, decree, c.Decree)
	default:
		f.permit(all, Decree, decree, site)
		if c.Decree.Words != "" && (c.Decree.From != site.From || c.Decree.To != site.To) {
			f.permit(all, Decree, decree+" (calibration statement)", c.Decree)
		}
	}
	if f.Register == nil {
		if f.Calibration != nil {
			f.permit(all, RegisterEntry, entry, c.Register)
		}
		return
	}
	if c.Register.Words != "" {
		f.permit(all, RegisterEntry, entry, c.Register)
	}
	f.row(all)
}

// row looks for the device in the extract of the register. A device that moved has
// several rows; one must be in force here and now.
func (f Facts) row(all *causes) {
	why := fmt.Sprintf("sensor %s is not in the extract of %s", f.SensorSerial, f.day(f.Register.Taken))
	for _, r := range f.Register.Rows {
		if r.Serial != f.SensorSerial {
			continue
		}
		var one causes
		f.permit(&one, RegisterEntry, "entry", r.Permit)
		switch {
		case len(one) > 0:
			why = one[0].Words
		case r.Road == "":
			return
		case plain(r.Road) != plain(f.Road) || max(r.Position, f.Position)-min(r.Position, f.Position) > near:
			why = fmt.Sprintf("entry %s is for %s at %d m, this site is %s at %d m", r.Words, r.Road, r.Position, f.Road, f.Position)
		default:
			return
		}
	}
	all.add(RegisterEntry, "national register: %s", why)
}

// plain returns the name of a road without what people write one way or another:
// "SP 46" and "S.P. 46" are one.
func plain(road string) string {
	return strings.ToUpper(strings.Map(func(r rune) rune {
		if r == ' ' || r == '.' || r == '-' {
			return -1
		}
		return r
	}, road))
}

// functional judges the newest functional check.
func (f Facts) functional(all *causes) {
	last := f.Functional
	if c := f.Calibration; c != nil && (last.Words == "" || c.Functional.Words != "" && c.Functional.On.After(last.On)) {
		last = c.Functional
	}
	year, month, day := f.At.In(f.Zone).Date()
	today := time.Date(year, month, day, 0, 0, 0, 0, time.UTC)
	switch {
	case last.Words == "":
		all.add(FunctionalCheck, "yearly functional check: missing")
	case today.Before(last.On):
		all.add(FunctionalCheck, "functional check %s: of %s, which lies ahead", last.Words, last.On.Format(time.DateOnly))
	case today.After(last.LastDay()):
		all.add(FunctionalCheck, "functional check %s: of %s, good until %s", last.Words, last.On.Format(time.DateOnly), last.LastDay().Format(time.DateOnly))
	}
}

func (f Facts) clock(all *causes) {
	switch {
	case f.ClockError != nil:
		all.add(ClockUnknown, "clock: %v", f.ClockError)
	case !f.Clock.Synchronised && f.Clock.LockAge == 0:
		all.add(ClockUnsynchronised, "clock: never synchronised")
	case f.Clock.Bound() > f.ClockBound:
		all.add(ClockBound, "clock: off by up to %v, allowed are %v", f.Clock.Bound(), f.ClockBound)
	}
}

// parts tells what the self-test holds against the device, by the part.
func (f Facts) parts(all *causes) {
	by := map[string][]sensor.Finding{}
	for _, found := range f.SelfTest {
		part := Part(found.Code)
		by[part] = append(by[part], found)
	}
	if found := by[SelfTest]; len(found) > 0 {
		all.add(SelfTest, "self-test: %s", Words(found))
	}
	if f.SelfTestAge > SelfTestValid {
		all.add(SelfTestOld, "self-test: the last one is %v old, at most %v", f.SelfTestAge.Truncate(time.Second), SelfTestValid)
	}
	for _, part := range []string{SensorFault, SecondFault, CameraFault, AimDrift, Cabinet, StoreFault} {
		if found := by[part]; len(found) > 0 {
			all.add(part, "%s", Words(found))
		}
	}
}

// Part returns the code of the cause under which a finding of the self-test is
// told: of the part that it is about, which its own code begins with.
func Part(finding string) string {
	for _, p := range []struct{ prefix, code string }{
		{"pending", SelfTest}, {"store", StoreFault}, {"camera", CameraFault}, {"aim", AimDrift}, {"cabinet", Cabinet},
		{"second", SecondFault}, {"contact", SecondFault},
	} {
		if strings.HasPrefix(finding, p.prefix) {
			return p.code
		}
	}
	return SensorFault
}

// Words names every finding, in their order.
func Words(findings []sensor.Finding) string {
	words := make([]string, len(findings))
	for i, f := range findings {
		words[i] = f.Words()
	}
	return strings.Join(words, "; ")
}
