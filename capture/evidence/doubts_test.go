package evidence

import (
	"fmt"
	"math"
	"os"
	"strings"
	"testing"
	"time"

	"ciglio/sensor"
)

// doubtVectors returns bundles of records that are sealed and whole, and whose own
// fields contradict a good measurement.
func doubtVectors(t testing.TB) []bundleVector {
	var all []bundleVector
	add := func(row, name, why, words string, change func(*Record), configuration string) {
		r := violation(t)
		if configuration != "" {
			r.Configuration.SHA256 = sumOf([]byte(configuration))
		}
		change(r)
		b := bundleOf(t, r, "device")
		if configuration != "" {
			b.Configuration = []byte(configuration)
		}
		check, _, _ := strings.Cut(row, "/")
		all = append(all, bundleVector{name: name, why: why, fails: check, words: words, row: row, data: zipOf(t, b)})
	}
	one := func(row, name, why, words string, change func(*Record)) { add(row, name, why, words, change, "") }
	meas := func(row, name, why, words string, change func(*Measurement)) {
		one(row, name, why, words, func(r *Record) { change(r.Measurement) })
	}

	meas("measurement/indicated", "indicated-zero", "nothing is indicated", "truncated", func(m *Measurement) { m.Indicated, m.Assessed = 0, 0 })
	meas("measurement/assessed", "assessed-too-large", "less is taken off than stated", "less", func(m *Measurement) { m.Assessed = 5900 })
	meas("measurement/violation", "violation-at-the-limit", "not more than the limit", "no violation", func(m *Measurement) { m.Limit = 6000 })
	meas("measurement/second tolerance", "second-may-be-anything", "a second speed that may differ by 63 km/h", "confirms nothing", func(m *Measurement) {
		m.Second = &Second{Method: MethodDisplacement, Speed: 12000, Tolerance: 6300}
	})
	meas("measurement/second speed", "second-without-speed", "the method is named, and no speed", "no speed", func(m *Measurement) {
		m.Second = &Second{Method: MethodDisplacement, Tolerance: 200}
	})
	meas("measurement/contacts", "contacts-another-way", "the contacts saw it go away", "approaching", func(m *Measurement) {
		m.Second, m.Direction = confirmed(m), sensor.Receding
	})
	meas("measurement/possible", "speed-impossible", "351 km/h", "beyond every", func(m *Measurement) {
		m.Speed, m.Indicated, m.Reduction, m.Assessed = 35100, 35100, 1755, 33345
	})

	meas("times/track", "track-of-no-time", "the track ends as it begins", "track ends", func(m *Measurement) { m.End = m.Start })
	one("times/way", "track-for-ever", "a track of five minutes", "drives more", func(r *Record) {
		r.Measurement.Start -= 300e9
		r.Measurement.Photo = r.Measurement.End
		r.Mono = r.Measurement.End
	})
	one("times/trace", "trace-of-nothing", "raw data without a sample", "holds nothing", func(r *Record) { r.Trace.Samples = 0 })
	one("times/trace", "trace-of-too-much", "more samples than the raw data has bytes", "more than it has bytes", func(r *Record) { r.Trace.Samples = uint64(r.Trace.Length) + 1 })
	one("times/trace and track", "trace-later", "the trace begins after the track", "another time", func(r *Record) {
		r.Trace.First, r.Trace.Last = r.Measurement.End+1, r.Measurement.End+2
	})
	one("times/photo", "photo-before", "the photo position half a minute before", "photo position", func(r *Record) { r.Measurement.Photo -= 30e9 })
	one("times/clocks", "clock-read-before", "UTC was taken two minutes before", "clocks", func(r *Record) { r.Mono -= 120e9 })
	one("times/clocks", "clock-read-at-the-end", "UTC was taken at the end of all times", "clocks", func(r *Record) { r.Mono = math.MaxInt64 })
	one("times/calibration", "calibration-over", "the calibration ended a second before", "in force until", func(r *Record) {
		r.Calibration.NotAfter = r.UTC.Truncate(time.Second)
	})
	one("times/marks", "marks-elsewhere", "the contacts saw it a minute before", "from the track", func(r *Record) {
		r.Measurement.Second = confirmed(r.Measurement)
		for _, at := range r.Measurement.Second.Contacts.Marks {
			for i := range at {
				at[i] -= 60e9
			}
		}
	})
	one("times/pictures in order", "frames-backwards", "the last picture before the second", "picture 3", func(r *Record) { r.Frames[2].Mono = r.Frames[1].Mono - 1 })
	one("times/pictures in order", "frames-overlap", "a picture while the one before is still exposed", "picture 2", func(r *Record) {
		r.Frames[0].Exposure = 121 * time.Millisecond
	})
	one("times/pictures", "frames-outside", "the last picture three seconds later", "picture 3", func(r *Record) { r.Frames[2].Mono += 3e9 })
	one("times/pictures", "frame-of-the-photo-late", "the picture of the photo position a second after it", "picture 2", func(r *Record) {
		for i := range r.Frames {
			r.Frames[i].Mono += 1e9
		}
	})
	one("times/exposure", "exposure-of-a-minute", "a picture exposed for a minute", "exposed", func(r *Record) { r.Frames[2].Exposure = time.Minute })
	strobes := func(row, name, why, words string, after ...time.Duration) {
		one(row, name, why, words, func(r *Record) { strobe(r, after...) })
	}
	const ms = time.Millisecond
	strobes("times/strobe", "strobe-before", "the strobe came back a nanosecond too long before", "picture 1", -50*ms-1, 0, 0)
	strobes("times/strobe", "strobe-after", "the strobe came back a nanosecond too long after", "picture 3", 0, 0, 50*ms+500*time.Microsecond+1)
	one("times/strobe", "strobe-for-ever", "the strobe came back at the end of all times", "picture 3", func(r *Record) {
		strobe(r, 0, 0, 0)
		r.Frames[2].Strobe = math.MaxInt64
	})
	one("times/strobe of each", "strobe-of-some", "the strobe came back for one picture", "some have none", func(r *Record) {
		r.Frames[1].Strobe = r.Frames[1].Mono
	})
	one("times/strobe of each", "strobe-of-two", "one return of the strobe for two pictures", "picture 2", func(r *Record) {
		r.Frames[1].Mono = r.Frames[0].Mono + 40e6
		strobe(r, 20*ms, -20*ms, 0)
	})

	one("clock/simulated", "clock-simulated", "a violation by a simulated clock", "simulated", func(r *Record) { r.Clock.Source = "simulated" })
	one("clock/synchronised", "clock-never-synchronised", "nobody told the clock the time", "never", func(r *Record) {
		r.Clock.Synchronised, r.Clock.LockAge = false, 0
	})
	one("clock/uncertainty", "clock-exact", "a clock without uncertainty", "uncertainty of the clock is 0", func(r *Record) { r.Clock.Uncertainty = 0 })
	one("clock/bound", "clock-uncertain", "a clock uncertain by a second", "off by more", func(r *Record) { r.Clock.Uncertainty = time.Second })
	one("clock/bound", "clock-off", "a clock 101 ms ahead", "off by more", func(r *Record) { r.Clock.Offset = 101 * time.Millisecond })
	one("clock/bound", "clock-uncertain-for-ever", "an uncertainty that no sum holds", "off by more", func(r *Record) { r.Clock.Uncertainty = math.MaxInt64 })
	one("clock/bound", "clock-behind-for-ever", "an offset that has no opposite", "off by more", func(r *Record) { r.Clock.Offset = math.MinInt64 })
	one("clock/bound", "clock-both", "offset and uncertainty together are too much", "off by more", func(r *Record) {
		r.Clock.Offset, r.Clock.Uncertainty = -60*time.Millisecond, 21*time.Millisecond
	})
	one("clock/holdover", "clock-in-holdover", "not synchronised for half a minute, and as certain as before", "last synchronised", func(r *Record) {
		r.Clock.Synchronised = false
	})

	numbers := func(name, why string, n ...uint64) {
		one("counter/pictures counted", name, why, "count", func(r *Record) {
			for i := range r.Frames {
				r.Frames[i].Number = n[i]
			}
		})
	}
	numbers("counter-constant", "the camera's count stands still", 81_000, 81_000, 81_000)
	numbers("counter-none", "the camera's count is nothing", 0, 0, 0)
	numbers("counter-backwards", "the camera's count goes back", 81_002, 81_001, 81_000)
	numbers("counter-back-once", "the camera's count goes back once", 81_000, 80_999, 81_002)
	numbers("counter-jumps", "the camera counted a thousand pictures in 120 ms", 81_000, 81_001, 82_001)
	numbers("counter-uneven", "twenty pictures in as long as one", 81_000, 81_001, 81_021)
	numbers("counter-jumps-for-ever", "the camera's count jumps to its end", 1, 2, math.MaxInt64)

	meas("direction/known", "direction-unknown", "which way it went is unknown", "unknown", func(m *Measurement) { m.Direction = sensor.DirectionUnknown })

	meas("targets/alone", "another-target", "another vehicle in the beam", "in the beam", func(m *Measurement) { m.Targets = 1 })
	meas("targets/alone", "many-targets", "65535 other vehicles in the beam", "in the beam", func(m *Measurement) { m.Targets = math.MaxUint16 })

	one("rule/in force", "rule-not-in-force", "the day before the rule came into force", "not in force", func(r *Record) {
		r.UTC = time.Date(1992, 12, 31, 22, 59, 59, 0, time.UTC)
	})
	all[len(all)-1].fails, all[len(all)-1].words = "device key", "not valid" // no key is as old
	meas("rule/reduction", "reduction-missing", "no reduction at all", "takes", func(m *Measurement) { m.Reduction, m.Assessed = 0, 6300 })
	meas("rule/reduction", "reduction-too-small", "5 km/h where 5 per cent are more", "takes", func(m *Measurement) {
		m.Speed, m.Indicated, m.Reduction, m.Assessed, m.Limit = 13700, 13700, 684, 13016, 13000
	})
	meas("rule/reduction", "reduction-too-large", "6 km/h where the rule takes 5", "takes", func(m *Measurement) { m.Reduction, m.Assessed = 600, 5700 })
	meas("rule/limit", "limit-none", "a limit of 0", "no limit", func(m *Measurement) { m.Limit = 0 })
	meas("rule/limit", "limit-odd", "a limit of 51.37 km/h", "no limit", func(m *Measurement) { m.Limit = 5137 })
	one("rule/limit", "limit-beyond-all", "a limit of 155 km/h", "no limit", func(r *Record) {
		r.Kind, r.Body = KindTest, Body{1: "simulated sensor"}
		r.Measurement.Limit = 15500
	})

	meas("uncertainty/stated", "uncertainty-zero", "a measurement without uncertainty", "is 0", func(m *Measurement) { m.Uncertainty, m.Budget = 0, sensor.Budget{} })
	meas("uncertainty/parts", "uncertainty-too-small", "less than the noise alone", "parts", func(m *Measurement) { m.Uncertainty = 8 })
	meas("uncertainty/parts", "uncertainty-of-nothing", "no part explains it", "parts", func(m *Measurement) { m.Budget = sensor.Budget{} })
	meas("uncertainty/below the reduction", "uncertainty-beyond-the-reduction", "as likely as not below the limit", "reduction", func(m *Measurement) { m.Uncertainty = 251 })
	meas("uncertainty/below the reduction", "uncertainty-beyond-the-speed", "larger than the speed", "reduction", func(m *Measurement) { m.Uncertainty = 99_999 })

	configured := func(row, name, why, words, configuration string, change func(*Record)) {
		add(row, name, why, words, change, configuration)
	}
	nothing := func(*Record) {}
	configured("settings/limit", "settings-limit", "another limit than the configuration's", "limit", "[site]\nlimit = \"30km/h\"\n", nothing)
	configured("settings/site", "settings-site", "the configuration of another site", "another site", "[site]\nid = \"sp15-km1\"\n", nothing)
	configured("settings/direction", "settings-direction", "another direction than the configuration's", "direction", "[site]\ndirection = \"receding\"\n", nothing)
	configured("settings/range", "settings-range", "a speed beyond the approved range", "beyond", "[sensor]\nmaximum = \"63.04km/h\"\n", nothing)
	configured("settings/second", "settings-second-missing", "the configuration wants a second speed, and there is none", "second speed",
		"[second]\nmethod = \"contacts\"\n", nothing)
	configured("settings/second", "settings-second-of-another-kind", "contacts where pictures should confirm", "second speed",
		"[second]\nmethod = \"frames\"\n", func(r *Record) { r.Measurement.Second = confirmed(r.Measurement) })
	configured("settings/clock", "settings-clock", "a clock beyond the site's own bound", "off by more", "[clock]\nbound = \"500us\"\n", nothing)
	const strobed = "[camera]\nstrobe_return = \"GPIO22\"\nstrobe_bound = \"2ms\"\n"
	configured("settings/strobe", "settings-strobe-missing", "the configuration watches the strobe, and no picture has its return", "has none", strobed, nothing)
	configured("settings/strobe", "settings-strobe-late", "the strobe came back later than the site allows", "picture 2", strobed, func(r *Record) {
		strobe(r, 0, 2501*time.Microsecond, 0)
	})
	configured("settings/strobe", "settings-strobe-early", "the strobe came back earlier than the site allows", "picture 1", strobed, func(r *Record) {
		strobe(r, -2*ms-1, 0, 0)
	})

	one("software/named", "software-unnamed", "no measuring core", "measuring core", func(r *Record) { r.Software.Core = Hash{} })
	one("software/named", "binary-unnamed", "no program", "measuring core", func(r *Record) { r.Software.Binary = Hash{} })

	// Of these no row fails: they are not checked, and the verdict is not good.
	meas("rule", "rule-unknown", "a rule that no table knows", "knows no rule", func(m *Measurement) { m.Rule = "it-2099" })
	meas("rule", "rule-of-no-name", "a rule whose name is a blank", "knows no rule", func(m *Measurement) { m.Rule = " " })
	return all
}

// TestH07_EveryContradictionIsNamed checks that each row of the table has a vector
// that breaks it, that its check says so, and that no verdict beside it is good.
func TestH07_EveryContradictionIsNamed(t *testing.T) {
	broken := map[string]bool{}
	trust := trustFiles(t)["trust.pem"]
	for _, v := range doubtVectors(t) {
		broken[v.row] = true
		verdict := judge(v.data, trust)
		check, _, failed := strings.Cut(v.row, "/")
		want := Fail
		if !failed {
			want = NotChecked
		}
		found := false
		for _, c := range verdict.Checks {
			found = found || c.Name == check && c.Status == want
		}
		if !found || verdict.OK() {
			t.Errorf("%s: OK = %v, %+v", v.name, verdict.OK(), verdict.Checks)
		}
		if failed && verdict.Record.Record.Doubt(nil, nil) == nil && !strings.HasPrefix(v.row, "settings/") {
			t.Errorf("%s: a device would seal it", v.name)
		}
	}
	page := string(must(os.ReadFile("../../docs/evidence.md"))(t))
	for _, r := range consistency() {
		begin, end := fmt.Sprintf("\n| %s | %s | ", r.check, r.name), fmt.Sprintf(" | %s |\n", r.source)
		if _, rest, ok := strings.Cut(page, begin); !ok || !strings.Contains(rest[:strings.Index(rest, "\n")+1], end) {
			t.Errorf("docs/evidence.md has no row %q … %q", begin, end)
		}
		if !broken[r.check+"/"+r.name] {
			t.Errorf("no vector breaks %s/%s", r.check, r.name)
		}
		if r.source == "" {
			t.Errorf("%s/%s has no source", r.check, r.name)
		}
	}
	if err := violation(t).Doubt([]byte(testConfiguration), []byte(testCalibration)); err != nil {
		t.Errorf("a good record: %v", err)
	}
}
