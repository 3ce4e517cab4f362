package track

import (
	"math"
	"time"

	"ciglio/sensor"
)

const (
	// A resolution is taken as two and a half standard deviations of the noise.
	perResolution = 2.5

	accelerationNoise = 4.0 // m/s², of a vehicle between two cycles
	sideNoise         = 0.7 // m/√s, of its place across the road: a lane change takes 3 s
	widest            = 0.2 // smallest cosine with which a speed is projected

	sidelong = 80 * math.Pi / 180

	// Without range a reading of the opposite direction costs this much of the
	// gate: it is taken only where nothing fits better.
	turned = gate / 2
)

// A noise is what the readings of a sensor scatter by, one standard deviation.
type noise struct{ speed, rng, angle float64 }

func (o Options) noise() noise {
	n := noise{
		speed: o.Resolution.Speed.MPS() / perResolution,
		rng:   float64(o.Resolution.Range) / 1000 / perResolution,
		angle: radians(o.Resolution.Angle) / perResolution,
	}
	n.speed = math.Hypot(n.speed, o.Step.MPS()/math.Sqrt(12))
	return n
}

// A sight is a reading in metres, along the road and across it.
type sight struct {
	ranged, angled bool
	direction      sensor.Direction
	speed          float64 // along the line of sight, not negative
	rng, angle     float64 // from the sensor; from the road, positive to the right
}

func (g *geometry) sight(r *sensor.Reading) sight {
	s := sight{direction: r.Direction, speed: r.Speed.MPS()}
	s.ranged = r.Has(sensor.FlagRange) && r.Range > 0
	s.rng = float64(r.Range) / 1000
	s.angled = s.ranged && r.Has(sensor.FlagAngle)
	s.angle = radians(r.Angle) + g.angle
	return s
}

// behind reports whether a reading comes from beside or behind the sensor.
func (g *geometry) behind(r *sensor.Reading) bool {
	return r.Has(sensor.FlagAngle) && math.Abs(radians(r.Angle)+g.angle) > sidelong
}

// An estimate is what a track knows of its vehicle: with range and angle the
// place and speed along the road, and the place across it; with range only the
// range and its rate; else the speed along the line of sight.
type estimate struct {
	at             sensor.Mono
	ranged, angled bool
	pos, vel       float64 // m, m/s; a positive velocity leads away
	pp, pv, vv     float64 // their covariance
	side, ss       float64 // m, m²
	signed         bool    // the sign of vel is known
}

func (g *geometry) begin(s *sight, at sensor.Mono, n noise) estimate {
	e := estimate{at: at, ranged: s.ranged, angled: s.angled, vel: s.speed, vv: n.speed * n.speed, pp: n.rng * n.rng}
	e.pos = s.rng
	if s.angled {
		e.side, e.ss = g.ground(s.rng)*math.Sin(s.angle), square(s.rng*n.angle)
		cos := g.cosine(s.rng, e.side)
		e.pos = s.rng * cos
		e.vel /= cos
	}
	switch s.direction {
	case sensor.Approaching:
		e.vel, e.signed = -e.vel, true
	case sensor.Receding:
		e.signed = true
	default:
		if s.ranged { // the ranges that follow will tell
			e.vel, e.vv = 0, e.vv+square(e.vel)
		}
	}
	return e
}

// cosine returns that of the angle between the line of sight and the road.
func (g *geometry) cosine(rng, side float64) float64 {
	return math.Sqrt(max(1-(side*side+g.height*g.height)/(rng*rng), widest*widest))
}

// ground returns the distance on the road of what is rng away from the sensor.
func (g *geometry) ground(rng float64) float64 {
	return math.Sqrt(max(rng*rng-g.height*g.height, 0))
}

// predict carries e to an instant.
func (g *geometry) predict(e *estimate, at sensor.Mono) {
	dt := at.Sub(e.at).Seconds()
	if dt <= 0 {
		return
	}
	e.at = at
	a := accelerationNoise
	if e.ranged && !e.angled { // the rate of the range falls near the closest point
		r := max(math.Abs(e.pos), 3)
		a += e.vel * e.vel * g.farthest * g.farthest / (r * r * r)
	}
	a *= a
	if e.ranged {
		e.pos += e.vel * dt
		e.pp += 2*dt*e.pv + dt*dt*e.vv + a*dt*dt*dt*dt/4
		e.pv += dt*e.vv + a*dt*dt*dt/2
	}
	e.vv += a * dt * dt
	e.ss += sideNoise * sideNoise * dt
}

// off returns how far a sight lies from a predicted estimate: for each
// dimension the difference and its variance. A dimension that one of both lacks
// has variance 0.
func (g *geometry) off(e *estimate, s *sight, n noise) (dv, vv, dp, pp, ds, ss float64) {
	cos, byCos, stretch, lean := 1.0, 0.0, 1.0, 0.0
	if e.angled {
		rng := g.reach(e)
		if s.ranged {
			rng = s.rng
		}
		cos = g.cosine(rng, e.side)
		// The cosine is as uncertain as the place across the road and the range.
		x := rng * cos
		stretch, lean = 1/cos, e.side/x
		byCos = square(e.vel/x) * (square(lean)*e.ss + square((1/cos-cos)*n.rng))
	}
	v := s.speed / cos
	if s.direction == sensor.Approaching || s.direction == sensor.DirectionUnknown && e.vel < 0 {
		v = -v
	}
	dv, vv = v-e.vel, e.vv+square(n.speed/cos)+byCos
	if e.ranged && s.direction == sensor.DirectionUnknown && square(e.vel) < 4*e.vv {
		dv, vv = 0, e.vv+square(v) // it may have either sign
	}
	if e.ranged && s.ranged {
		dp, pp = s.rng*cos-e.pos, e.pp+square(n.rng*stretch)+square(lean)*e.ss
	}
	if e.angled && s.angled {
		ds, ss = g.ground(s.rng)*math.Sin(s.angle)-e.side, e.ss+square(s.rng*n.angle)
	}
	return
}

// distance returns that of a sight from a predicted estimate, squared, in
// standard deviations; at least gate when they do not belong together. since is
// the time from the track's last reading.
func (g *geometry) distance(e *estimate, s *sight, n noise, since time.Duration) float64 {
	dv, vv, dp, pp, ds, ss := g.off(e, s, n)
	if e.ranged && s.ranged {
		d := dv*dv/vv + dp*dp/pp
		if ss > 0 {
			d += ds * ds / ss
		}
		return d
	}
	before, now := math.Abs(e.vel), s.speed
	d := square(now-before) / vv
	opposite := e.signed && s.direction != sensor.DirectionUnknown && (s.direction == sensor.Approaching) != (e.vel < 0)
	if opposite {
		return d + turned
	}
	if d < gate/2 {
		return d
	}
	// Near the closest point the speed along the line of sight falls, or rises
	// where the vehicle leaves, with the cosine of the angle: by v²/y a second
	// at most. What can be that belongs to the track if nothing fits better.
	falls := now < before
	if e.signed && falls != (e.vel < 0) {
		return d
	}
	fall := square(max(now, before)) / max(g.nearest, 3) * since.Seconds()
	if off := math.Abs(now - before); off < fall {
		d = min(d, gate*(0.5+0.45*off/fall))
	}
	return d
}

// update takes a sight into a predicted estimate.
func (g *geometry) update(e *estimate, s *sight, n noise) {
	dv, vv, dp, pp, ds, ss := g.off(e, s, n)
	if !e.ranged || !s.ranged {
		now := math.Copysign(s.speed, e.vel)
		if e.angled {
			now = e.vel + dv
		}
		if square(now-e.vel) > gate*vv { // the fall near the closest point
			e.vv = vv
		}
		k := e.vv / (e.vv + n.speed*n.speed)
		e.vel += k * (now - e.vel)
		e.vv *= 1 - k
	} else {
		kp, kv, before := e.pp/pp, e.pv/pp, e.vv
		e.pos += kp * dp
		e.vel += kv * dp
		e.vv -= kv * e.pv
		e.pv -= kv * e.pp
		e.pp -= kp * e.pp
		// The speed anew, with what the place has told of it.
		dv -= kv * dp
		vv += e.vv - before
		kp, kv = e.pv/vv, e.vv/vv
		e.pos += kp * dv
		e.vel += kv * dv
		e.pp -= kp * e.pv
		e.pv -= kp * e.vv
		e.vv -= kv * e.vv
	}
	if ss > 0 {
		k := e.ss / ss
		e.side += k * ds
		e.ss -= k * e.ss
	}
	if s.direction != sensor.DirectionUnknown {
		e.signed = true
	}
	g.widen(e, s, n)
}

// widen adds the dimensions that a track did not have yet.
func (g *geometry) widen(e *estimate, s *sight, n noise) {
	if s.ranged && !e.ranged || s.angled && !e.angled {
		signed, down := e.signed, e.vel < 0
		*e = g.begin(s, e.at, n)
		if e.signed = signed; signed && down != (e.vel < 0) {
			e.vel = -e.vel
		}
	}
}

// A view is a vehicle as the sensor sees it.
type view struct{ rate, reach, bearing float64 } // m/s, m, radians

func (g *geometry) view(e *estimate) view {
	return view{g.rate(e), g.reach(e), math.Atan2(e.side, e.pos)}
}

// near reports whether two vehicles lie within the resolution of a sensor in
// everything that it tells of both.
func near(a, b *track, r *Resolution) bool {
	switch {
	case math.Abs(a.rate-b.rate) >= r.Speed.MPS(),
		a.signed && b.signed && (a.vel < 0) != (b.vel < 0),
		a.ranged && b.ranged && math.Abs(a.reach-b.reach) >= float64(r.Range)/1000,
		a.angled && b.angled && math.Abs(a.bearing-b.bearing) >= radians(r.Angle):
		return false
	}
	return true
}

// rate returns the speed along the line of sight, reach the distance.
func (g *geometry) rate(e *estimate) float64 {
	if !e.angled {
		return math.Abs(e.vel)
	}
	return math.Abs(e.vel) * g.cosine(g.reach(e), e.side)
}

func (g *geometry) reach(e *estimate) float64 {
	if !e.angled {
		return e.pos
	}
	return math.Hypot(e.pos, math.Hypot(e.side, g.height))
}

// beside reports whether two vehicles are so near each other that a picture
// could show either: in one lane, or the lane is not told, within a vehicle's
// length along the road.
func beside(a, b *track) bool {
	const length, lane = 8.0, 1.8
	if !a.ranged || !b.ranged {
		return true
	}
	return math.Abs(a.pos-b.pos) < length && !(a.angled && b.angled && math.Abs(a.side-b.side) > lane)
}

func square(x float64) float64 { return x * x }
