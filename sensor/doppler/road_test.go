package doppler

import (
	"fmt"
	"math"
	"testing"

	"ciglio/sensor"
)

// A car is a vehicle of the tests: a point on a straight way past the sensor.
type car struct {
	kmh    float64
	pass   float64 // s, closest point
	offset float64 // m
	away   bool    // seen after the closest point instead of before
	level  float64 // amplitude at 10 m; 0 means 0.1
	gain   float64 // m/s², acceleration along the way, until the closest point
}

const testLambda = sensor.SpeedOfLight / 24.125e9

// signal returns what I and Q show of cars. The beam looks one way along the
// road and falls off aside and behind.
func signal(cars ...car) (i, q sound) {
	at := func(t float64) (re, im float64) {
		for _, c := range cars {
			v := c.kmh / 3.6
			x := v * (t - c.pass)
			if d := t - c.pass; c.gain != 0 && d < 0 {
				x += c.gain / 2 * d * d
				if v+c.gain*d < 0 { // before it stood still
					continue
				}
			}
			if !c.away {
				x = -x
			}
			if x < -20 || x > 150 {
				continue
			}
			r := math.Hypot(x, c.offset)
			a := c.level
			if a == 0 {
				a = 0.1
			}
			angle := math.Atan2(c.offset, x) * 180 / math.Pi
			a *= math.Pow(10/math.Max(r, 3), 1.8) * math.Pow(10, -0.06*math.Pow(angle/20, 2)) / (1 + math.Exp((angle-85)/4))
			s, co := math.Sincos(-4 * math.Pi * r / testLambda)
			re, im = re+a*co, im+a*s
		}
		return re, im
	}
	return func(t float64) float64 { re, _ := at(t); return re }, func(t float64) float64 { _, im := at(t); return im }
}

// unbalanced adds the image that unequal channels make.
func unbalanced(i, q sound, db float64) (sound, sound) {
	e := 2 * math.Pow(10, -db/20)
	return i, func(t float64) float64 { return (1 - e) * q(t) }
}

func (c car) direction() sensor.Direction {
	if c.away {
		return sensor.Receding
	}
	return sensor.Approaching
}

// expect matches passages with cars.
func expect(t *testing.T, got []sensor.Passage, limit float64, direction bool, cars ...car) []sensor.Passage {
	t.Helper()
	found := make([]sensor.Passage, len(cars))
	used := make([]bool, len(got))
	for n, c := range cars {
		best := -1
		for k, p := range got {
			at := p.End.Seconds()
			if c.away {
				at = p.Start.Seconds()
			}
			if !used[k] && math.Abs(at-c.pass) < 1+10/(c.kmh/3.6) && math.Abs(kmh(p)-c.kmh) < 5 &&
				(best < 0 || math.Abs(kmh(p)-c.kmh) < math.Abs(kmh(got[best])-c.kmh)) {
				best = k
			}
		}
		if best < 0 {
			t.Errorf("car %d at %g km/h was missed", n, c.kmh)
			continue
		}
		p := got[best]
		used[best], found[n] = true, p
		if e := kmh(p) - c.kmh; math.Abs(e) > limit || !p.Valid() {
			t.Errorf("car %d at %g km/h: %v, error %.2f, u %v, %v", n, c.kmh, p.Speed, e, p.Budget.Total(), p.Reasons)
		}
		if want := c.direction(); direction && p.Direction != want {
			t.Errorf("car %d: direction %v, want %v", n, p.Direction, want)
		} else if !direction && p.Direction != sensor.DirectionUnknown {
			t.Errorf("car %d: direction %v of a real signal", n, p.Direction)
		}
	}
	for k, p := range got {
		if !used[k] {
			t.Errorf("an invented passage: %.2f-%.2f s %v %v targets %d %v", p.Start.Seconds(), p.End.Seconds(), p.Speed, p.Direction, p.Targets, p.Reasons)
		}
	}
	return found
}

func kmh(p sensor.Passage) float64 { return float64(p.Speed) / 100 }

func TestSpeeds(t *testing.T) {
	if testing.Short() {
		t.Skip("short: minutes of signal")
	}
	for _, v := range []float64{10, 15, 30, 50, 70, 100, 130, 160, 200} {
		for _, away := range []bool{false, true} {
			for _, offset := range []float64{2.5, 5} {
				c := car{kmh: v, pass: 1 + 250/v, offset: offset, away: away}
				i, q := signal(c)
				t.Run(fmt.Sprintf("%g km/h away %t at %g m", v, away, offset), func(t *testing.T) {
					expect(t, feed(t, 1.8*c.pass, 0.004, 1, i, q), max(0.2, 0.002*v), true, c)
				})
				t.Run(fmt.Sprintf("%g km/h away %t at %g m, real", v, away, offset), func(t *testing.T) {
					expect(t, feed(t, 1.8*c.pass, 0.004, 1, i, nil), max(0.2, 0.002*v), false, c)
				})
			}
		}
	}
}

// TestSeveralVehicles lets vehicles share the beam whose lines can be told apart: each
// is told with its own speed and counts the others, which a device discards as
// two_targets. Where lines cannot be told apart, see TestD09: none is told as alone.
func TestSeveralVehicles(t *testing.T) {
	if testing.Short() {
		t.Skip("short: minutes of signal")
	}
	for _, c := range []struct {
		name  string
		limit float64 // km/h
		cars  []car
	}{
		{"two that meet", 0.2, []car{{kmh: 72, pass: 8, offset: 3}, {kmh: 58, pass: 6, offset: 6, away: true}}},
		{"two that meet at one speed", 0.2, []car{{kmh: 72, pass: 8, offset: 3}, {kmh: 72, pass: 6.5, offset: 6, away: true}}},
		{"one after the other, 2 s", 0.2, []car{{kmh: 70, pass: 6, offset: 3}, {kmh: 76, pass: 8, offset: 3}}},
		{"one speed, 1.5 s", 0.2, []car{{kmh: 70, pass: 6, offset: 3}, {kmh: 70, pass: 7.5, offset: 3}}},
		{"one speed, 2 s", 0.2, []car{{kmh: 50, pass: 6, offset: 3}, {kmh: 50, pass: 8, offset: 3}}},
		{"one speed, 3 s", 0.2, []car{{kmh: 90, pass: 6, offset: 3}, {kmh: 90, pass: 9, offset: 3}}},
		// Lines less than two bins apart, 0.9 km/h, pull at each other.
		{"a column", 0.5, []car{{kmh: 53, pass: 6, offset: 3.5}, {kmh: 54, pass: 8, offset: 3.5}, {kmh: 52, pass: 9.7, offset: 3.5}, {kmh: 52.5, pass: 12.5, offset: 3.5}, {kmh: 54, pass: 14.2, offset: 3.5}}},
		{"a column that leaves", 0.6, []car{{kmh: 63, pass: 6, offset: 4, away: true}, {kmh: 68, pass: 8.5, offset: 4, away: true}}},
	} {
		i, q := signal(c.cars...)
		t.Run(c.name, func(t *testing.T) {
			for n, p := range expect(t, feed(t, 20, 0.004, 1, i, q), c.limit, true, c.cars...) {
				if p.Speed != 0 && p.Targets < 1 {
					t.Errorf("car %d: %d other targets", n, p.Targets)
				}
			}
		})
	}
}

func TestImageIsNoVehicle(t *testing.T) {
	if testing.Short() {
		t.Skip("short: minutes of signal")
	}
	for _, db := range []float64{15, 20, 25, 35} {
		c := []car{{kmh: 80, pass: 6, offset: 3}, {kmh: 95, pass: 12, offset: 5, away: true}}
		i, q := signal(c...)
		i, q = unbalanced(i, q, db)
		t.Run(fmt.Sprint(db, " dB"), func(t *testing.T) {
			for _, p := range expect(t, feed(t, 20, 0.002, 1, i, q), 0.2, true, c...) {
				if p.Targets != 0 {
					t.Errorf("%d targets beside a vehicle that is alone", p.Targets)
				}
			}
		})
	}
	t.Run("too little rejection to tell the direction", func(t *testing.T) {
		c := car{kmh: 80, pass: 6, offset: 3}
		i, q := signal(c)
		i, q = unbalanced(i, q, 6)
		expect(t, feed(t, 12, 0.002, 1, i, q), 0.2, false, c)
	})
}

func TestSpeedThatChanges(t *testing.T) {
	if testing.Short() {
		t.Skip("short: minutes of signal")
	}
	for _, c := range []car{
		{kmh: 60, pass: 10, offset: 3, gain: 0.5},
		{kmh: 50, pass: 10, offset: 3, gain: 2},
		{kmh: 40, pass: 10, offset: 3, gain: -1.5},
	} {
		i, q := signal(c)
		t.Run(fmt.Sprintf("%g m/s²", c.gain), func(t *testing.T) {
			for _, p := range feed(t, 20, 0.004, 1, i, q) {
				// In the zone, some 10 to 40 m before the closest point, it was
				// slower or faster than there.
				v := c.kmh / 3.6
				slow, fast := math.Sqrt(max(0, v*v-2*c.gain*45))*3.6, math.Sqrt(v*v-2*c.gain*5)*3.6
				if slow > fast {
					slow, fast = fast, slow
				}
				// Whoever brakes hard holds no speed for long enough.
				if !p.Valid() && c.gain > -1 || p.Valid() && kmh(p) < slow-0.5 || p.Valid() && kmh(p) > fast+0.5 {
					t.Errorf("%v (%v, u %v), want %.1f to %.1f km/h", p.Speed, p.Reasons, p.Budget, slow, fast)
				}
			}
		})
	}
}
