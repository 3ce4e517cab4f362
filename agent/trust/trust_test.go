package trust

import (
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
	_ "time/tzdata"

	"ciglio/sensor"
)

var noon = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

func rome(t testing.TB) *time.Location {
	t.Helper()
	zone, err := time.LoadLocation("Europe/Rome")
	if err != nil {
		t.Fatal(err)
	}
	return zone
}

func day(year int, month time.Month, d int) time.Time {
	return time.Date(year, month, d, 0, 0, 0, 0, time.UTC)
}

// open returns facts for which the gate is open.
func open(zone *time.Location) Facts {
	always := Permit{Words: "n. 1/2026", From: noon.AddDate(-1, 0, 0)}
	return Facts{
		At: noon, Zone: zone, Road: "SP 46", Position: 7700, Core: [32]byte{2},
		Calibration: &Calibration{
			ID: "A-117", Serial: "S1", Cores: [][32]byte{{1}, {2}},
			NotBefore: noon.AddDate(0, -6, 0), NotAfter: noon.AddDate(0, 6, 0),
			Approval: always, Decree: always, Register: always,
		},
		Functional:   Functional{Words: "verbale n. 12", On: day(2026, 1, 10)},
		Register:     &Register{Taken: noon, Rows: []Row{{Serial: "S0"}, {Serial: "S1", Permit: always, Road: "S.P. 46", Position: 7650}}},
		SensorSerial: "S1",
		Clock:        sensor.ClockState{Synchronised: true, Offset: 10 * time.Millisecond, Uncertainty: 5 * time.Millisecond},
		ClockBound:   100 * time.Millisecond,
		Room:         true,
	}
}

func codes(causes []Cause) []string {
	var all []string
	for _, c := range causes {
		all = append(all, c.Code)
	}
	return all
}

func TestGate(t *testing.T) {
	zone := rome(t)
	for _, c := range []struct {
		name   string
		change func(*Facts)
		want   []string
	}{
		{"all in order", func(*Facts) {}, nil},
		{"no calibration: the acts that it states are unknown, and told with it", func(f *Facts) { f.Calibration = nil }, []string{CalibrationMissing}},
		{"certificate of another sensor", func(f *Facts) { f.Calibration.Serial = "S2" }, []string{CalibrationForeign}},
		{"certificate of another core", func(f *Facts) { f.Core = [32]byte{3} }, []string{CalibrationCore}},
		{"certificate of no core", func(f *Facts) { f.Calibration.Cores = nil }, []string{CalibrationCore}},
		{"last instant of the certificate", func(f *Facts) { f.At = f.Calibration.NotAfter }, nil},
		{"one nanosecond after it", func(f *Facts) { f.At = f.Calibration.NotAfter.Add(1) }, []string{CalibrationExpired}},
		{"first instant", func(f *Facts) { f.Functional.On = day(2025, 7, 1); f.At = f.Calibration.NotBefore }, nil},
		{"one nanosecond before it", func(f *Facts) { f.Functional.On = day(2025, 7, 1); f.At = f.Calibration.NotBefore.Add(-1) }, []string{CalibrationEarly}},
		{"no approval", func(f *Facts) { f.Calibration.Approval = Permit{} }, []string{Approval}},
		{"decree not yet in force", func(f *Facts) { f.Calibration.Decree.From = noon.Add(1) }, []string{Decree}},
		{"decree on its last instant", func(f *Facts) { f.Calibration.Decree.To = noon }, nil},
		{"decree ended", func(f *Facts) { f.Calibration.Decree.To = noon.Add(-1) }, []string{Decree}},
		{"decree of the site alone", func(f *Facts) { f.Decree, f.Calibration.Decree = f.Calibration.Decree, Permit{} }, nil},
		{"the same decree twice", func(f *Facts) { f.Decree = f.Calibration.Decree }, nil},
		{"two decrees", func(f *Facts) { f.Decree = Permit{Words: "n. 2/2026", From: noon.Add(-1)} }, []string{Decree}},
		{"one decree with two ends, of which one is past", func(f *Facts) { f.Decree = f.Calibration.Decree; f.Calibration.Decree.To = noon.Add(-1) }, []string{Decree}},
		{"no decree anywhere", func(f *Facts) { f.Calibration.Decree = Permit{} }, []string{Decree}},
		{"struck off, by the calibration statement", func(f *Facts) { f.Calibration.Register.To = noon.Add(-time.Hour) }, []string{RegisterEntry}},
		{"no entry but in the extract", func(f *Facts) { f.Calibration.Register = Permit{} }, nil},
		{"no entry and no extract", func(f *Facts) { f.Calibration.Register, f.Register = Permit{}, nil }, []string{RegisterEntry}},
		{"not in the extract", func(f *Facts) { f.Register.Rows[1].Serial = "S2" }, []string{RegisterEntry}},
		{"a row that is not yet valid", func(f *Facts) { f.Register.Rows[1].From = noon.Add(1) }, []string{RegisterEntry}},
		{"a row that ended", func(f *Facts) { f.Register.Rows[1].To = noon.Add(-1) }, []string{RegisterEntry}},
		{"a row of another road", func(f *Facts) { f.Register.Rows[1].Road = "SP 47" }, []string{RegisterEntry}},
		{"a row 100 m away", func(f *Facts) { f.Register.Rows[1].Position = 7800 }, nil},
		{"a row 101 m away", func(f *Facts) { f.Register.Rows[1].Position = 7801 }, []string{RegisterEntry}},
		{"a row without a place", func(f *Facts) { f.Register.Rows[1].Road, f.Register.Rows[1].Position = "", 0 }, nil},
		{"moved here: an old row and a good one", func(f *Facts) {
			f.Register.Rows = append(f.Register.Rows, f.Register.Rows[1])
			f.Register.Rows[1].To = noon.Add(-1)
		}, nil},
		{"no functional check", func(f *Facts) { f.Functional = Functional{} }, []string{FunctionalCheck}},
		{"the newer functional check counts", func(f *Facts) {
			f.Functional.On, f.Calibration.Functional = day(2020, 1, 1), Functional{"verbale", day(2026, 5, 1)}
		}, nil},
		{"an older one takes nothing away", func(f *Facts) { f.Calibration.Functional = Functional{"verbale", day(2020, 1, 1)} }, nil},
		{"a functional check of tomorrow", func(f *Facts) { f.Functional.On = day(2026, 6, 2) }, []string{FunctionalCheck}},
		{"clock at its bound", func(f *Facts) { f.Clock.Offset = -90 * time.Millisecond }, nil},
		{"clock beyond it, behind UTC", func(f *Facts) { f.Clock.Offset = -90*time.Millisecond - 1 }, []string{ClockBound}},
		{"clock uncertain", func(f *Facts) { f.Clock.Uncertainty = time.Second }, []string{ClockBound}},
		{"holdover within the bound", func(f *Facts) { f.Clock.Synchronised, f.Clock.LockAge = false, time.Hour }, nil},
		{"never locked", func(f *Facts) { f.Clock.Synchronised = false }, []string{ClockUnsynchronised}},
		{"no time source", func(f *Facts) { f.ClockError = errors.New("gone") }, []string{ClockUnknown}},
		{"a self-test as old as may be", func(f *Facts) { f.SelfTestAge = SelfTestValid }, nil},
		{"a self-test one nanosecond too old", func(f *Facts) { f.SelfTestAge = SelfTestValid + 1 }, []string{SelfTestOld}},
		{"two seals open", func(f *Facts) { f.OpenSeals = []string{"door", "lens"} }, []string{SealOpen, SealOpen}},
		{"other software", func(f *Facts) { f.Software = errors.New("not the sealed one") }, []string{Software}},
		{"outbox full", func(f *Facts) { f.Room = false }, []string{StoreFull}},
		{"every cause is told, in order", func(f *Facts) {
			f.Calibration, f.Room, f.Functional = nil, false, Functional{}
			f.SelfTest = []sensor.Finding{{Code: "camera_slow", Facts: sensor.Told("x")}, {Code: "pending", Facts: sensor.Told("y")}, {Code: "signal_dead", Facts: sensor.Told("z")}}
		}, []string{CalibrationMissing, FunctionalCheck, SelfTest, SensorFault, CameraFault, StoreFull}},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := open(zone)
			c.change(&f)
			causes := Check(f)
			if got := codes(causes); !slices.Equal(got, c.want) {
				t.Errorf("causes = %q, want %q", causes, c.want)
			}
			for _, cause := range causes {
				if strings.Contains(cause.Words, "%!") || cause.Words == "" || strings.ContainsRune(cause.Words, '\n') {
					t.Errorf("words of %s: %q", cause.Code, cause.Words)
				}
			}
		})
	}
}

// TestYearlyCheckByTheDay walks over the edges of the year in steps of a second.
func TestYearlyCheckByTheDay(t *testing.T) {
	zone := rome(t)
	for _, c := range []struct {
		name     string
		on, last time.Time
		end      string // first second after it
	}{
		{"a plain year", day(2025, 6, 10), day(2026, 6, 10), "2026-06-11T00:00:00+02:00"},
		{"29 February", day(2028, 2, 29), day(2029, 2, 28), "2029-03-01T00:00:00+01:00"},
		{"28 February before a leap year", day(2027, 2, 28), day(2028, 2, 28), "2028-02-29T00:00:00+01:00"},
		{"ends in the night in which summer begins", day(2025, 3, 29), day(2026, 3, 29), "2026-03-30T00:00:00+02:00"},
		{"ends in the night in which summer ends", day(2025, 10, 25), day(2026, 10, 25), "2026-10-26T00:00:00+01:00"},
		{"ends with a leap second, which UTC repeats", day(2015, 12, 31), day(2016, 12, 31), "2017-01-01T00:00:00+01:00"},
	} {
		check := Functional{Words: "verbale", On: c.on}
		if !check.LastDay().Equal(c.last) {
			t.Errorf("%s: last day %v", c.name, check.LastDay())
		}
		end, err := time.Parse(time.RFC3339, c.end)
		if err != nil {
			t.Fatal(err)
		}
		for off, closed := range map[time.Duration]bool{-time.Second: false, -1: false, 0: true, time.Second: true, -23 * time.Hour: false, -364 * 24 * time.Hour: false} {
			f := open(zone)
			f.At, f.Functional = end.Add(off), check
			if got := slices.Contains(codes(Check(f)), FunctionalCheck); got != closed {
				t.Errorf("%s, %v from its end: closed %t", c.name, off, got)
			}
		}
		first := open(zone)
		y, m, d := c.on.Date()
		first.Functional, first.At = check, time.Date(y, m, d, 0, 0, 0, 0, zone)
		if slices.Contains(codes(Check(first)), FunctionalCheck) {
			t.Errorf("%s: it does not count on its own day", c.name)
		}
		if first.At = first.At.Add(-1); !slices.Contains(codes(Check(first)), FunctionalCheck) {
			t.Errorf("%s: it counts before its day", c.name)
		}
	}
}

// A fault is one violated fact: what it does to the facts, and the cause of it.
type fault struct {
	code   string
	broken func(*Facts)
}

func faults() []fault {
	with := func(code string) func(*Facts) {
		return func(f *Facts) { f.SelfTest = append(f.SelfTest, sensor.Finding{Code: code, Facts: sensor.Told(code)}) }
	}
	return []fault{
		{CalibrationForeign, func(f *Facts) { f.Calibration.Serial = "S9" }},
		{CalibrationCore, func(f *Facts) { f.Calibration.Cores = [][32]byte{{9}} }},
		{CalibrationEarly, func(f *Facts) { f.Calibration.NotBefore = f.At.Add(1) }},
		{CalibrationExpired, func(f *Facts) { f.Calibration.NotAfter = f.At.Add(-1) }},
		{Approval, func(f *Facts) { f.Calibration.Approval.To = f.At.Add(-1) }},
		{Decree, func(f *Facts) { f.Calibration.Decree = Permit{} }},
		{RegisterEntry, func(f *Facts) { f.Register.Rows = nil }},
		{FunctionalCheck, func(f *Facts) { f.Functional.On = day(2020, 2, 29) }},
		{SiteMissing, func(f *Facts) { f.Unplaced = true }},
		{Rules, func(f *Facts) { f.Rules = errors.New("none is in force") }},
		{ClockUnknown, func(f *Facts) { f.ClockError = errors.New("gone") }},
		{ClockUnsynchronised, func(f *Facts) { f.Clock = sensor.ClockState{} }},
		{ClockBound, func(f *Facts) { f.Clock.Offset = time.Second }},
		{SelfTest, with("pending")},
		{SelfTestOld, func(f *Facts) { f.SelfTestAge = time.Hour }},
		{SensorFault, with("signal_noise")},
		{SecondFault, with("contact_silent")},
		{CameraFault, with("camera_frozen")},
		{AimDrift, with("aim_angle")},
		{Cabinet, with("cabinet")},
		{StoreFault, with("store")},
		{SealOpen, func(f *Facts) { f.OpenSeals = append(f.OpenSeals, "door") }},
		{SealFault, func(f *Facts) { f.SealFaults = []sensor.Finding{{Code: "seal_line", Facts: sensor.Told("no line")}} }},
		{Software, func(f *Facts) { f.Software = errors.New("other") }},
		{StoreFull, func(f *Facts) { f.Room = false }},
		{SignUnknown, func(f *Facts) { f.Sign = errors.New("no answer") }},
		{Paused, func(f *Facts) { f.Paused = "by an order" }},
		{Service, func(f *Facts) { f.Service = true }},
	}
}

// told returns the causes of what is broken. A clock that gives no answer has no
// bound.
func told(broken []fault) []string {
	has := func(code string) bool {
		return slices.ContainsFunc(broken, func(b fault) bool { return b.code == code })
	}
	return slices.DeleteFunc(Codes(), func(code string) bool { return !has(code) || code == ClockBound && has(ClockUnknown) })
}

func TestEveryFactAloneAndInPairs(t *testing.T) {
	zone, all := rome(t), faults()
	seen := map[string]bool{CalibrationMissing: true} // tested in the table above
	for i, a := range all {
		seen[a.code] = true
		f := open(zone)
		a.broken(&f)
		if got := codes(Check(f)); !slices.Equal(got, []string{a.code}) {
			t.Errorf("%s alone: %q", a.code, got)
		}
		for _, b := range all[i+1:] {
			if strings.HasPrefix(a.code, "clock_") && strings.HasPrefix(b.code, "clock_") {
				continue // of the clock the worst is told
			}
			f := open(zone)
			a.broken(&f)
			b.broken(&f)
			if got, want := codes(Check(f)), told([]fault{a, b}); !slices.Equal(got, want) {
				t.Errorf("%s and %s: %q", a.code, b.code, got)
			}
		}
	}
	for _, code := range Codes() {
		if !seen[code] {
			t.Errorf("nothing breaks %s", code)
		}
	}
}

// TestFactsRestoredOneByOne breaks any number of facts and mends them in any order:
// the causes are always those that are broken, and none when all are mended.
func TestFactsRestoredOneByOne(t *testing.T) {
	zone := rome(t)
	for seed := range uint64(300) {
		random := rand.New(rand.NewPCG(seed, 1))
		broken := faults()
		random.Shuffle(len(broken), func(i, j int) { broken[i], broken[j] = broken[j], broken[i] })
		broken = slices.DeleteFunc(broken[:1+random.IntN(len(broken))], func(f fault) bool {
			return f.code == ClockUnsynchronised || f.code == ClockBound && random.IntN(2) == 0
		})
		for ; ; broken = broken[1:] {
			f := open(zone)
			for _, b := range broken {
				b.broken(&f)
			}
			if got, want := codes(Check(f)), told(broken); !slices.Equal(got, want) {
				t.Fatalf("seed %d, %d broken: %q, want %q", seed, len(broken), got, want)
			}
			if len(broken) == 0 {
				break
			}
		}
	}
}

func TestFindingsBelongToAPart(t *testing.T) {
	for finding, want := range map[string]string{
		"pending": SelfTest, "store": StoreFault, "sensor": SensorFault, "sensor_wiring": SensorFault, "signal_copy": SensorFault,
		"sensor_pace": SensorFault, "second_sensor": SecondFault, "contact_closed": SecondFault, "camera": CameraFault,
		"camera_slow": CameraFault, "camera_strobe": CameraFault, "aim_angle": AimDrift, "something new": SensorFault,
	} {
		if got := Part(finding); got != want {
			t.Errorf("%s is told as %s, want %s", finding, got, want)
		}
	}
}
