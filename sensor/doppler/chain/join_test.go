package chain

import (
	"math"
	"testing"

	"ciglio/sensor"
	"ciglio/sensor/doppler/lines"
)

// TestPiecesOfOneLineAreJoined lets a vehicle leave at 270 km/h whose near end the
// shortest frames follow, its middle those of half the length and its far end the
// usual ones: no piece alone is long enough, and all of them give its speed. Pieces of
// two speeds, and those of frames of one length, are not joined.
func TestPiecesOfOneLineAreJoined(t *testing.T) {
	const (
		rate   = 40_000
		size   = 2048
		perHz  = sensor.SpeedOfLight / (2 * 24.125e9)
		speed  = 270 / 3.6
		offset = 3.5
		passes = 3.0 // s
	)
	for _, c := range []struct {
		why   string
		near  [3]float64 // m behind the closest point at which the usual, shorter and shortest frames begin
		far   [3]float64
		speed [3]float64 // share of the vehicle's
		want  bool
	}{
		{"three lengths", [3]float64{20, 10, 5}, [3]float64{70, 35, 25}, [3]float64{1, 1, 1}, true},
		{"two lengths", [3]float64{20, 0, 5}, [3]float64{70, 0, 25}, [3]float64{1, 1, 1}, true},
		{"another vehicle, 5 % faster", [3]float64{20, 10, 5}, [3]float64{70, 35, 25}, [3]float64{1.05, 1, 1}, false},
		{"one length", [3]float64{5, 0, 0}, [3]float64{70, 0, 0}, [3]float64{1, 1, 1}, false},
		{"the near end alone", [3]float64{0, 6, 5}, [3]float64{0, 14, 14}, [3]float64{1, 1, 1}, false},
	} {
		var chains []*Chain
		for i, pace := range []Pace{UsualPace, FastPace, RacePace} {
			k := New(pace, rate, true, size, perHz, 0, false)
			var r []lines.Reading
			for frame := int64(0); ; frame++ {
				x := speed * (float64(k.At(frame))/rate - passes)
				if x > c.far[i] {
					break
				}
				if x < c.near[i] {
					continue
				}
				cosine := x / math.Hypot(x, offset)
				level := float32(-30 - 36*math.Log10(math.Hypot(x, offset)/10))
				power := float32(math.Pow(10, float64(level)/10))
				f := -c.speed[i] * speed * cosine / perHz / k.binHz
				r = append(r, lines.Reading{Frame: frame, F: float32(f + float64(1-2*(frame%2))/16), Level: level, Own: level, SNR: power * 1e6, Power: power, Image: power / 1000})
			}
			if len(r) > 0 {
				k.keep(r)
			}
			chains = append(chains, k)
		}
		end := int64(math.Round((passes + 70/speed) * rate))
		if _, ok := chains[0].Join(chains, end, false); ok {
			t.Errorf("%s: told before the last piece is over", c.why)
		}
		v, ok := chains[0].Join(chains, end+rate/2, false)
		if ok != c.want {
			t.Errorf("%s: joined %t, want %t", c.why, ok, c.want)
		}
		if off := v.Measured.Speed/speed - 1; ok && (math.Abs(off) > 0.003 || v.Measured.AtEnd || v.Targets > 0) {
			t.Errorf("%s: %.2f km/h, %.2f %% off, at the end %t, %d other targets", c.why, v.Measured.Speed*3.6, 100*off, v.Measured.AtEnd, v.Targets)
		}
		if _, again := chains[0].Join(chains, end+rate/2, false); again {
			t.Errorf("%s: told twice", c.why)
		}
	}
}

// TestLongFramesCountWhatIsInTheBeam gives the track of a vehicle that comes from far
// away: at the usual pace all of it counts, in longer frames what is loud enough.
func TestLongFramesCountWhatIsInTheBeam(t *testing.T) {
	for _, pace := range []Pace{UsualPace, TownPace, SlowPace} {
		c := New(pace, 20_000, true, 1024, sensor.SpeedOfLight/(2*24.125e9), 0, false)
		limit := c.audibleRatio()
		var r []lines.Reading
		for frame := range int64(400) { // a tenth of the limit, then four times as much
			snr := float32(limit / 10)
			if frame >= 200 {
				snr = float32(4 * limit)
			}
			r = append(r, lines.Reading{Frame: frame, F: 100, SNR: snr})
		}
		first, last, ok := c.audible(r)
		want := int64(0)
		if pace.Stretch > 1 {
			want = 200 - audibleReach
		}
		if !ok || first < want || first > want+audibleReach || last != 399 {
			t.Errorf("%g times the usual length: from %d to %d, %t", pace.Stretch, first, last, ok)
		}
		if _, _, ok := c.audible(r[:150]); ok != (pace.Stretch <= 1) {
			t.Errorf("%g times the usual length: what is far away counts: %t", pace.Stretch, ok)
		}
	}
}
