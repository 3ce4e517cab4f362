package track_test

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"ciglio/cross/simulate"
	"ciglio/sensor"
	"ciglio/sensor/track"
)

// A model spoils the readings of the simulated radar as a kind of sensor does.
// Its errors are drawn anew for each road: a sensor keeps its carrier and its
// mounting.
type model struct {
	name   string
	every  time.Duration
	radar  simulate.Radar
	o      track.Options
	noise  float64 // km/h, one standard deviation
	memory float64 // correlation of the noise from one reading to the next
	rng    float64 // m; negative: no range
	angle  float64 // degrees; negative: no angle
	missed float64
	beam   float64 // degrees about the middle outside of which nothing is seen; 0: anywhere
	brakes float64 // m/s²
}

// spoil returns the sensor of one road.
func (m model) spoil(r *rand.Rand) func(*sensor.Cycle) {
	uniform := func(half float64) float64 { return half * (2*r.Float64() - 1) }
	scale := 1 + uniform(float64(m.o.CarrierTolerance)/1e6) + uniform(50e-6)
	turned := uniform(float64(max(m.o.AngleTolerance, 50)))
	noise := 0.0
	step := float64(max(m.o.Step, 1))
	return func(c *sensor.Cycle) {
		kept := c.Readings[:0]
		for _, p := range c.Readings {
			noise = m.memory*noise + math.Sqrt(1-m.memory*m.memory)*m.noise*100*r.NormFloat64()
			if r.Float64() < m.missed || m.beam > 0 && math.Abs(float64(p.Angle)-turned) > m.beam*50 {
				continue
			}
			p.Speed = sensor.Speed(step * math.Round((float64(p.Speed)*scale+noise)/step))
			p.Range += int32(1000 * max(m.rng, 0) * r.NormFloat64())
			p.Angle += int32(turned + 100*max(m.angle, 0)*r.NormFloat64())
			if m.rng < 0 {
				p.Flags &^= sensor.FlagRange | sensor.FlagAngle
			} else if m.angle < 0 {
				p.Flags &^= sensor.FlagAngle
			}
			kept = append(kept, p)
		}
		c.Readings = kept
	}
}

// TestUncertaintyIsHonest measures lone vehicles with several kinds of sensors:
// the error lies within twice the stated standard uncertainty in about 95 of a
// hundred passages or more. CIGLIO_SEEDS=n takes 2n roads of 30 vehicles each.
func TestUncertaintyIsHonest(t *testing.T) {
	middles, bounds := lanes(3, 1250)
	radar := simulate.Radar{Lanes: middles}
	turned := radar
	turned.Angle = 25
	turned.Lanes = middles[2:]
	for _, m := range []model{
		{name: "range and angle, fine", radar: radar, noise: 0.2, rng: 0.2, angle: 0.3, missed: 0.05, o: track.Options{Lanes: bounds, Step: 10}},
		{name: "range and angle, rough", radar: radar, every: 80 * time.Millisecond, noise: 0.8, rng: 0.7, angle: 1.2, missed: 0.1, o: track.Options{Lanes: bounds}},
		{name: "range and angle, readings that hang together", radar: radar, noise: 0.6, memory: 0.7, rng: 0.3, angle: 0.5, o: track.Options{Lanes: bounds, Step: 10}},
		{name: "range and angle, vehicles that brake", radar: radar, noise: 0.3, rng: 0.3, angle: 0.5, brakes: 2.5, o: track.Options{Lanes: bounds, Step: 10}},
		{name: "a carrier that was never measured", radar: radar, noise: 0.2, rng: 0.2, angle: 0.3, o: track.Options{Lanes: bounds, Step: 10, CarrierTolerance: 5000}},
		{name: "range only", radar: radar, noise: 0.3, rng: 0.3, angle: -1, missed: 0.05, o: track.Options{Lanes: bounds, Step: 10}},
		{name: "speed only", radar: radar, noise: 0.3, rng: -1, missed: 0.05, o: track.Options{Lanes: bounds, Step: 10}},
		{name: "speed only, a narrow beam", radar: radar, noise: 0.3, rng: -1, missed: 0.05, beam: 24, o: track.Options{Lanes: bounds, Step: 10, Beam: 2400}},
		{name: "speed only, whole km/h, no noise", radar: radar, every: 26 * time.Millisecond, rng: -1, o: track.Options{Lanes: bounds}},
		{name: "speed only, a beam across the road", radar: turned, every: 20 * time.Millisecond, noise: 0.5, rng: -1, beam: 10,
			o: track.Options{Lanes: bounds[2:], Step: 10, Angle: 2500, Beam: 1000}},
	} {
		t.Run(m.name, func(t *testing.T) {
			var sum result
			var reasons = map[sensor.Reason]int{}
			for seed := range roads(2) {
				r := rand.New(rand.NewPCG(seed, 4))
				s := simulate.Scenario{Seed: seed, Radar: m.radar}
				at := 6 * time.Second
				for range 30 {
					v := simulate.Vehicle{
						Speed: sensor.Speed(4000 + r.IntN(12_000)), Direction: sensor.Direction(1 + r.IntN(2)),
						Lane: 1 + r.IntN(len(m.radar.Lanes)), Passing: at,
					}
					if m.brakes > 0 {
						v.Phases = []simulate.Phase{{From: -2 * time.Second, Until: 2 * time.Second, Acceleration: m.brakes * (2*r.Float64() - 1)}}
					}
					s.Vehicles = append(s.Vehicles, v)
					at += 12 * time.Second
				}
				s.Duration = at
				m.o.Angle, m.o.Height, m.o.KeepTrace = int(100*m.radar.Angle), 1200, true
				rd := road(t, s)
				cycles := rd.Cycles(simulate.CycleOptions{Every: m.every})
				spoil := m.spoil(r)
				all := follow(t, cycles, m.o, spoil)
				res := alone(t, rd, all)
				sum.vehicles += res.vehicles
				sum.found += res.found
				sum.honest += res.honest
				sum.sum += res.sum
				sum.squares += res.squares
				for k, n := range res.reasons {
					reasons[k] += n
				}
			}
			share := float64(sum.honest) / float64(sum.found)
			mean := sum.sum / float64(sum.found)
			t.Logf("%d of %d vehicles measured, error %.2f ± %.2f km/h, %.1f %% within 2u, refused %v",
				sum.found, sum.vehicles, mean/100, math.Sqrt(sum.squares/float64(sum.found)-mean*mean)/100, 100*share, reasons)
			if share < 0.94 || sum.found < sum.vehicles/10 {
				t.Errorf("%.1f %% of %d passages are within 2u", 100*share, sum.found)
			}
		})
	}
}

// alone compares passages of vehicles that come one by one.
func alone(t *testing.T, r *simulate.Road, all []sensor.Passage) result {
	res := result{reasons: map[sensor.Reason]int{}}
	for _, v := range r.Truth() {
		res.vehicles++
		for _, p := range all {
			if v.Direction != p.Direction || p.Start > sensor.Mono(v.Leave) || p.End < sensor.Mono(v.Enter) {
				continue
			}
			for _, reason := range p.Reasons {
				res.reasons[reason]++
			}
			if !p.Valid() {
				continue
			}
			rows := zoned(t, p)
			off := float64(p.Speed - v.MeanSpeed(time.Duration(rows[0].At), time.Duration(rows[len(rows)-1].At)))
			res.found++
			res.sum, res.squares = res.sum+off, res.squares+off*off
			if math.Abs(off) <= 2*float64(p.Budget.Total()) {
				res.honest++
			}
		}
	}
	return res
}
