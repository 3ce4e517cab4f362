package life

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"ciglio/sensor"
)

// A reporter plays a sensor that transforms its signal itself: a vehicle of 4 s each
// so many seconds, else an empty road.
type reporter struct {
	watch  *Reports
	random *rand.Rand
	every  time.Duration // from cycle to cycle
	gap    time.Duration // between vehicles
	level  float64       // dB of a vehicle; 0 for a sensor that tells none
	clock  float64       // share by which the sensor's own clock is fast
	own    bool          // it tells its own clock,
	told   time.Duration // and this
	spoil  func(n int, c *sensor.Cycle)
	now    sensor.Mono
	begun  sensor.Mono // of the vehicle
	speed  float64     // km/h
	n      int
}

func newReporter(c Cadence, l Levels) *reporter {
	return &reporter{watch: NewReports(c, l), random: rand.New(rand.NewPCG(1, 2)), every: 75 * time.Millisecond, gap: 5 * time.Second, level: 40, now: sensor.Mono(time.Hour)}
}

// play plays a time, and returns after how long the codes were found first; negative
// for never.
func (r *reporter) play(d time.Duration, code string) time.Duration {
	begun, found := r.now, time.Duration(-1)
	for ; r.now.Sub(begun) < d; r.now = r.now.Add(r.every) {
		c := sensor.Cycle{At: r.now.Add(time.Duration(r.random.IntN(30)) * time.Millisecond)}
		if r.now.Sub(r.begun) > r.gap+4*time.Second {
			r.begun, r.speed = r.now, 40+30*r.random.Float64()
		}
		if t := r.now.Sub(r.begun); t < 4*time.Second {
			one := sensor.Reading{At: c.At, Direction: sensor.Approaching, Speed: sensor.Speed(r.speed+0.5*r.random.NormFloat64()) * sensor.KmH}
			if r.level != 0 {
				one.Level = int16(10 * (r.level + 3*r.random.NormFloat64()))
				one.Speed = sensor.Speed(100*r.speed + 20*r.random.NormFloat64())
			}
			c.Readings = []sensor.Reading{one}
		}
		if r.own && len(c.Readings) > 0 {
			c.Own = r.told
		}
		if r.spoil != nil {
			r.spoil(r.n, &c)
		}
		r.n++
		r.told += time.Duration(float64(r.every) * (1 + r.clock))
		r.watch.Push(c)
		if found < 0 && code != "" && strings.Contains(strings.Join(codes(r.watch.Findings()), "+"), code) {
			found = r.now.Sub(begun)
		}
	}
	return found
}

func (r *reporter) finds() string { return strings.Join(codes(r.watch.Findings()), "+") }

func TestReportsOfASensorInOrder(t *testing.T) {
	for _, c := range []struct {
		name string
		set  func(*reporter)
	}{
		{"levels, dense traffic", func(r *reporter) { r.gap = 0 }},
		{"levels, a vehicle in five minutes", func(r *reporter) { r.gap = 5 * time.Minute }},
		{"its own clock", func(r *reporter) { r.own, r.clock = true, 0.0005 }},
		{"whole km/h without level, 38 a second", func(r *reporter) { r.level, r.every = 0, 26*time.Millisecond }},
		{"a column of one speed without level for a minute and a half", func(r *reporter) {
			r.level, r.every = 0, 26*time.Millisecond
			r.spoil = func(n int, c *sensor.Cycle) {
				if c.Readings = nil; n/3460%2 == 0 {
					c.Readings = []sensor.Reading{{Speed: 50 * sensor.KmH, Direction: sensor.Receding}}
				}
			}
		}},
		{"a test target of the sensor's own", func(r *reporter) {
			r.spoil = func(_ int, c *sensor.Cycle) {
				c.Readings = []sensor.Reading{{Speed: 5000, Level: 400, Flags: sensor.FlagSimulated}}
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newReporter(Cadence{6, 50}, Levels{})
			c.set(r)
			for range 5 {
				r.play(20*time.Minute, "")
				if found := r.watch.Findings(); len(found) > 0 {
					t.Fatalf("at %v: %v", r.now, found)
				}
			}
		})
	}
}

func TestReportsThatAreWrong(t *testing.T) {
	for _, c := range []struct {
		name  string
		spoil func(*reporter)
		code  string
		words string
		most  time.Duration // until it is found
	}{
		{"two of three are lost", func(r *reporter) { r.every *= 3 }, CodeReports, "radar reports: 4.4 a second come, 6 to 15", 50 * time.Second},
		{"twice as many", func(r *reporter) { r.every /= 2 }, CodeReports, "26.6 a second come", 50 * time.Second},
		{"its clock is 0.3 % fast", func(r *reporter) { r.clock = 0.003 }, CodePace, "clock runs 0.3", 12 * time.Minute},
		{"its clock is 0.3 % slow", func(r *reporter) { r.clock = -0.003 }, CodePace, "% too slow", 12 * time.Minute},
		{"one report for ever", func(r *reporter) {
			r.spoil = func(_ int, c *sensor.Cycle) { c.Readings = []sensor.Reading{{Speed: 5012, Level: 412, Range: 30000}} }
		}, CodeRepeats, "the same values come for ", 6 * time.Second},
		{"one speed for ever, without level", func(r *reporter) {
			r.spoil = func(_ int, c *sensor.Cycle) { c.Readings = []sensor.Reading{{Speed: 5000}} }
		}, CodeRepeats, "the same values come for ", 122 * time.Second},
		{"twenty seconds again and again", func(r *reporter) {
			var kept []sensor.Reading
			begun := r.n
			r.spoil = func(n int, c *sensor.Cycle) {
				if n -= begun; n < 266 {
					kept = append(kept, sensor.Reading{Speed: sensor.Speed(5000 + n), Level: int16(400 + n%7)})
				}
				c.Readings = kept[n%266 : n%266+1]
			}
		}, CodeRepeats, "again and again, every 266 reports", 2 * time.Minute},
		{"levels 15 dB lower", func(r *reporter) { r.level -= 15 }, CodeLevel, "at this site it is 4", 2 * time.Minute},
		{"levels 15 dB higher", func(r *reporter) { r.level += 15 }, CodeLevel, "vehicles have 5", 2 * time.Minute},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newReporter(Cadence{6, 15}, Levels{})
			r.own = true
			r.play(2*time.Hour, "")
			if got := r.finds(); got != "" {
				t.Fatalf("in order: %s", got)
			}
			c.spoil(r)
			if took := r.play(15*time.Minute, c.code); took < 0 || took > c.most {
				t.Errorf("found after %v, want at most %v", took, c.most)
			}
			if words := fmt.Sprint(r.watch.Findings()); !strings.Contains(words, c.words) {
				t.Errorf("finds %s, want %q", words, c.words)
			}
			r.watch.Break() // the connection comes back, and what was learnt stays
			r.spoil, r.level, r.clock, r.every = nil, 40, 0, 75*time.Millisecond
			r.play(20*time.Minute, "")
			if got := r.finds(); got != "" {
				t.Errorf("in order again: %s", got)
			}
		})
	}
}

// What is wrong from some time on never becomes normal, and what was learnt holds after
// a restart.
func TestLevelsAreKept(t *testing.T) {
	r := newReporter(Cadence{}, Levels{})
	r.play(time.Hour, "")
	r.level -= 20
	r.play(24*time.Hour, "")
	if r.finds() != CodeLevel {
		t.Fatalf("a day of weak vehicles: %q", r.finds())
	}
	l := r.watch.Levels()
	kept, err := ParseLevels(l.Text("one"), "one")
	if err != nil || kept.Len() != l.Len() || kept.Len() < leastValues {
		t.Fatalf("%d values of %d, %v", kept.Len(), l.Len(), err)
	}
	again := newReporter(Cadence{}, kept)
	again.level = r.level
	if took := again.play(5*time.Minute, CodeLevel); took < 0 {
		t.Error("not found after a restart")
	}
	if other, err := ParseLevels(l.Text("one"), "other"); err != nil || other.Len() != 0 {
		t.Errorf("of another sensor: %d values, %v", other.Len(), err)
	}
	for _, bad := range []string{"", "ciglio radar normal 1\none\n", headLevels + "\none\nNaN\n", headLevels + "\none\n1e9\n", headLevels + "\none\nx\n"} {
		if _, err := ParseLevels([]byte(bad), "one"); err == nil {
			t.Errorf("%q was read", bad)
		}
	}
}

func FuzzLevels(f *testing.F) {
	f.Add([]byte(headLevels + "\none\n40.25\n-3.00\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		l, err := ParseLevels(text, "one")
		if err != nil {
			return
		}
		again, err := ParseLevels(l.Text("one"), "one")
		if err != nil || again.Len() != l.Len() {
			t.Fatalf("%v: %v", l, err)
		}
		for i, v := range l.values {
			if math.Abs(v-again.values[i]) > 0.0051 {
				t.Errorf("value %d: %v became %v", i, v, again.values[i])
			}
		}
	})
}
