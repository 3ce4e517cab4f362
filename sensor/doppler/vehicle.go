package doppler

import (
	"math"
	"slices"

	"ciglio/sensor"
)

const (
	// Two tracks whose closest points lie nearer than a vehicle is long, at
	// one speed, are parts of one vehicle: axles, front and rear, or the ways
	// to and from the sensor.
	vehicleLength = 12.0 // m
	partTime      = 0.3  // s, at least
	behindWay     = 18.0 // m
	stubWay       = 35.0 // m that a line of what leaves must last to be a vehicle's own
	againstReach  = 3.5  // times the offset, the same for lines that would go the other way
	roughDeficit  = 0.1  // beyond which a track without a speed says nothing of others
	besideTime    = 1.0  // s between the closest points of a vehicle and of its weaker lines
	badTime       = 3.0  // s: what gave no speed this near to a vehicle was part of it
	partSpeed     = 0.1  // share by which the speeds of parts may differ

	imageShare = 0.8 // of the strong readings that must have 10 dB of image rejection

	// Another vehicle in the beam must not be overlooked, since the wrong one
	// could be accused; one too many costs no more than a record.
	targetTime = 0.3  // s that another track must share to count as a target
	minTarget  = 0.8  // s that it must last itself
	goOn       = 0.2  // s after the end of a track: what is still there then is not part of it
	wheelReach = 5.0  // times the offset, the distance along the road in which wheels are heard
	wheelTime  = 0.4  // s about the closest point in which wheels are heard, at least
	holdTime   = 0.36 // s from the end of a track until its passage leaves: only then can it be seen what goes on without it
	afterTime  = 0.5  // s after the end of what approaches in which nothing of it is left
	keepTime   = 60   // s for which an ended track is remembered
)

// A vehicle is what is remembered of an ended track.
type vehicle struct {
	first, last int64
	root        reading // first of the track
	real        bool    // the line is no tone and has few gaps
	judged      bool    // it passed the sensor: verdict holds
	verdict     verdict
	targets     int
	f, level    float64 // last of them, in bins and dB
}

// finish judges a track that has ended and gives out its passage. A reason of 0
// means that it ended by itself.
func (p *Processor) finish(t *track, reason sensor.Reason) {
	r := t.readings
	v := vehicle{first: t.first(), last: t.last(), root: r[0], real: p.real(r)}
	if 5*t.ghosts > 3*t.watched { // a harmonic or an image of another vehicle
		return
	}
	w, passed := p.gauge.judge(r)
	switch {
	case reason != 0:
		if !passed && !p.wanders(r) {
			return
		}
		if !passed {
			w = p.cut(r)
		}
		if !slices.Contains(w.reasons, reason) {
			w.reasons = append(w.reasons, reason)
			slices.Sort(w.reasons)
		}
	case !passed:
		p.remember(v)
		return
	case p.part(w), p.wheels(t, w), len(w.reasons) > 0 && p.accompanied(w):
		p.remember(v)
		return
	}
	v.judged, v.verdict = true, w
	v.targets = p.others(t, w)
	v.f, v.level = t.f, t.level
	if reason == 0 && (p.continued(t, w) || p.crowded(v)) {
		p.held = append(p.held, v)
		return
	}
	p.give(v)
}

// crowded reports whether a track ended while a line about as strong went on
// beside it. Which of them tells the vehicle's speed shows when that one ends.
// Where the sign of the frequency tells what approaches from what leaves, that
// happens only to what leaves.
func (p *Processor) crowded(v vehicle) bool {
	f, weaker := v.f, float64(ghostLevel)
	if v.verdict.atEnd {
		if p.format.Complex {
			return false
		}
		f, weaker = v.verdict.speed/p.gauge.mps, 2*ghostLevel
	}
	for _, k := range p.tracker.tracks {
		if share := k.f / f; k.confirmed && k.first() < v.last && share > 0.8 && share < 1.25 && k.level > v.level-weaker {
			return true
		}
	}
	return false
}

// give decides on the passage of a vehicle, unless a held part of it was better.
// It leaves when holdTime is over.
func (p *Processor) give(v vehicle) {
	for _, h := range p.held {
		if len(h.verdict.reasons) < len(v.verdict.reasons) && p.together(h.verdict, v.verdict) {
			v = h
		}
	}
	p.remember(v)
	p.leaving = append(p.leaving, v)
}

// leave gives out the passages that were held long enough, or all.
func (p *Processor) leave(all bool) {
	for i := 0; i < len(p.leaving); {
		v := p.leaving[i]
		if !all && (float64(p.number-v.last)*p.gauge.hop < holdTime || p.undecided(v)) {
			i++
			continue
		}
		p.leaving = slices.Delete(p.leaving, i, i+1)
		p.done = append(p.done, p.passage(v.verdict, max(v.targets, p.beyond(v))+p.before(v.verdict)))
	}
}

// settle gives out held vehicles that no track continues any longer.
func (p *Processor) settle() {
	for i := 0; i < len(p.held); {
		v := p.held[i]
		given := p.part(v.verdict) || p.wheels(nil, v.verdict)
		if !given && (p.continued(nil, v.verdict) || p.crowded(v)) {
			i++
			continue
		}
		p.held = slices.Delete(p.held, i, i+1)
		if !given {
			p.give(v)
		}
	}
}

// wanders reports whether an interrupted track changed in frequency, as
// vehicles do.
func (p *Processor) wanders(r []reading) bool {
	if float64(len(r))*p.gauge.hop < minTrack {
		return false
	}
	low, high := r[0].f, r[0].f
	for _, x := range r {
		low, high = min(low, x.f), max(high, x.f)
	}
	return high-low > 3
}

// cut is the verdict on an interrupted track.
func (p *Processor) cut(r []reading) verdict {
	w := verdict{first: r[0].frame, last: r[len(r)-1].frame, sign: 1, readings: len(r)}
	if r[0].f < 0 {
		w.sign = -1
	}
	p.gauge.unfold(r, true)
	slices.Sort(p.gauge.v)
	w.speed, w.noise = huber(p.gauge.v)
	return w
}

// passes reports whether a track that goes on is a vehicle's already.
func (p *Processor) passes(t *track) bool {
	_, ok := p.gauge.judge(t.readings)
	return ok
}

// part reports whether a vehicle of this verdict was given out already.
func (p *Processor) part(w verdict) bool {
	for _, v := range p.recent {
		if v.judged && p.together(v.verdict, w) {
			return true
		}
	}
	return false
}

// wheels reports whether all that a track tells was told around the closest
// point of a stronger vehicle, or whether both have the same one: the wheels of
// a vehicle turn at every speed from zero to twice its own.
func (p *Processor) wheels(t *track, w verdict) bool {
	of := func(v verdict, stronger float64, alive bool) bool {
		if v.sign != w.sign || w.speed > 2.3*v.speed || len(v.reasons) > 0 && v.deficit > roughDeficit {
			return false
		}
		reach := wheelReach * v.tau
		around := math.Abs(float64(w.from)-v.near) < reach && math.Abs(float64(w.to)-v.near) < reach
		beside := v.atEnd == w.atEnd && math.Abs(v.near-w.near)*p.gauge.hop < besideTime
		// Of what leaves, a part that came later and is gone before the rest.
		behind := alive && !v.atEnd && !w.atEnd && w.near > v.near && (w.near-v.near)*p.gauge.hop*v.speed < behindWay
		// A real signal does not tell what comes from what goes.
		against := v.atEnd != w.atEnd && (alive && around && stronger > -ghostLevel || !alive && v.last > w.last &&
			math.Abs(float64(w.from)-v.near) < againstReach*v.tau && math.Abs(float64(w.to)-v.near) < againstReach*v.tau)
		return stronger > ghostLevel && (around || beside) || behind || against
	}
	for _, v := range p.recent {
		if v.judged && of(v.verdict, v.verdict.level-w.level, false) {
			return true
		}
	}
	for _, k := range p.tracker.tracks {
		if t == nil || k == t || !k.confirmed {
			continue
		}
		if v, ok := p.gauge.judge(k.readings); ok && of(v, stronger(k.readings, t.readings, w), true) {
			return true
		}
	}
	return false
}

// stronger returns by how many dB a track lies above another in the zone of the
// other.
func stronger(a, b []reading, w verdict) float64 {
	var sum, n float64
	for i, k := 0, 0; i < len(a) && k < len(b); {
		switch {
		case a[i].frame < b[k].frame || a[i].frame < w.from:
			i++
			continue
		case a[i].frame > b[k].frame:
			k++
			continue
		case a[i].frame > w.to:
			i = len(a)
			continue
		}
		sum, n = sum+float64(a[i].level-b[k].level), n+1
		i++
		k++
	}
	if n < minZoneN {
		return math.Inf(-1)
	}
	return sum / n
}

// accompanied reports whether another track goes on. A piece without a zone is
// then more likely one of its wheels or reflections than a vehicle, and so is
// one that lasts for a few metres only.
func (p *Processor) accompanied(w verdict) bool {
	if float64(w.last-w.first)*p.gauge.hop*w.speed < vehicleLength {
		return true
	}
	for _, k := range p.tracker.tracks {
		if k.confirmed && k.first() <= w.last {
			return true
		}
	}
	return false
}

// continued reports whether another track goes on with the same vehicle.
func (p *Processor) continued(t *track, w verdict) bool {
	for _, k := range p.tracker.tracks {
		if k == t || !k.confirmed || k.first() > w.last {
			continue
		}
		if v, ok := p.gauge.judge(k.readings); ok && p.together(v, w) {
			return true
		}
	}
	return false
}

// stub reports whether a is a line of what leaves, b, that ended before it
// reached the plateau.
func (p *Processor) stub(a, b verdict) bool {
	way := func(frames float64) float64 { return math.Abs(frames) * p.gauge.hop * a.speed }
	return !a.atEnd && !b.atEnd && a.sign == b.sign && a.last < b.last && a.speed < b.speed && a.speed > 0.75*b.speed &&
		way(a.near-b.near) < behindWay && way(float64(a.last)-a.near) < stubWay
}

// around reports whether w began before v and ended after it.
func (w verdict) around(v verdict) bool { return w.first < v.first && w.last > v.last }

// together reports whether two verdicts tell of one vehicle.
func (p *Processor) together(a, b verdict) bool {
	apart := math.Abs(a.near-b.near) * p.gauge.hop
	bad := len(b.reasons) > 0
	if bad && apart < badTime {
		return true
	}
	shared := min(a.to, b.to) - max(a.from, b.from)
	// One stretch of one line. In a real signal lines that meet swap pieces.
	share, alike := int64(7), 0.01
	if !p.format.Complex {
		share, alike = 5, 0.02
	}
	if a.sign == b.sign && 10*shared > share*min(a.to-a.from, b.to-b.from) && math.Abs(a.speed-b.speed) < alike*a.speed {
		return true
	}
	if a.sign == b.sign && math.Abs(a.speed-b.speed) < 0.02*a.speed && (a.around(b) || b.around(a)) {
		return true // of two vehicles at one speed, the second stays longer
	}
	if a.root.frame == b.root.frame && a.root.f == b.root.f {
		// Two tails of one line: those of two vehicles that shared it end with
		// each vehicle's own closest point.
		if a.atEnd != b.atEnd || a.atEnd && math.Abs(float64(a.last-b.last))*p.gauge.hop*a.speed < vehicleLength {
			return true
		}
	}
	if p.stub(a, b) || p.stub(b, a) {
		return true
	}
	if math.Abs(a.speed-b.speed) > partSpeed*max(a.speed, b.speed) {
		return false
	}
	if a.sign != b.sign || a.atEnd != b.atEnd {
		return apart < partTime
	}
	return apart < max(partTime, vehicleLength/a.speed)
}

// real reports whether a line has few gaps and is not as steady as a tone.
func (p *Processor) real(r []reading) bool {
	frames := r[len(r)-1].frame - r[0].frame + 1
	return float64(frames)*p.gauge.hop >= minTarget && 10*len(r) >= 6*int(frames) && !steady(r)
}

// others counts the vehicles in the beam now that ran beside a track that has
// just ended. A vehicle is rigid: far from the sensor all of it has one
// frequency, so what runs beside it at another is no part of it.
func (p *Processor) others(t *track, w verdict) int {
	n := 0
	for _, k := range p.tracker.tracks {
		if k != t && p.target(k) && p.apart(k.readings, t.readings, w) > targetTime {
			n++
		}
	}
	return n
}

// beyond counts the vehicles in the beam now that were there with v and go on
// after its end.
func (p *Processor) beyond(v vehicle) int {
	n := 0
	for _, k := range p.tracker.tracks {
		if !p.target(k) || !p.goesOn(k, v) {
			continue
		}
		if v.verdict.atEnd && float64(k.last()-v.last)*p.gauge.hop > afterTime {
			n++
			continue
		}
		if float64(v.last-k.first())*p.gauge.hop <= targetTime {
			continue
		}
		if w, ok := p.gauge.judge(k.readings); !ok || !p.together(w, v.verdict) {
			n++
		}
	}
	return n
}

// goesOn reports whether a track that was there with v is there without it.
func (p *Processor) goesOn(k *track, v vehicle) bool {
	return k.misses <= 2 && k.first() <= v.last && float64(k.last()-v.last)*p.gauge.hop > goOn
}

// undecided reports whether a track goes on of which it will show whether it is
// another vehicle: behind one of the same speed, a vehicle has a line of its own
// only when the first is past.
func (p *Processor) undecided(v vehicle) bool {
	for _, k := range p.tracker.tracks {
		if k.confirmed && p.goesOn(k, v) && v.verdict.atEnd && (k.f > 0) == (v.f > 0) &&
			(float64(k.last()-k.first())*p.gauge.hop < minTarget || float64(k.last()-v.last)*p.gauge.hop <= afterTime) {
			return true
		}
	}
	return false
}

// target reports whether a track in progress may be a vehicle of its own.
func (p *Processor) target(k *track) bool {
	return k.confirmed && 5*k.ghosts <= 3*k.watched && p.real(k.readings)
}

// apart returns for how many seconds two tracks ran side by side, at different
// frequencies and not around the closest point of one, where its wheels are.
func (p *Processor) apart(a, b []reading, w verdict) float64 {
	n := 0
	for i, k := 0, 0; i < len(a) && k < len(b); {
		switch {
		case a[i].frame < b[k].frame:
			i++
			continue
		case a[i].frame > b[k].frame:
			k++
			continue
		}
		if math.Abs(float64(a[i].f-b[k].f)) > 4 && !p.amidWheels(a[i].frame, w) {
			n++
		}
		i++
		k++
	}
	return float64(n) * p.gauge.hop
}

func (p *Processor) amidWheels(frame int64, w verdict) bool {
	return math.Abs(float64(frame)-w.near) < max(wheelTime/p.gauge.hop, wheelReach*w.tau)
}

// before counts the vehicles that were in the beam during a track and have
// left it.
func (p *Processor) before(w verdict) int {
	n := 0
	for _, v := range p.held {
		if !p.together(v.verdict, w) && float64(min(v.last, w.last)-max(v.first, w.first))*p.gauge.hop >= targetTime {
			n++
		}
	}
	for _, v := range p.recent {
		from, to := max(v.first, w.first), min(v.last, w.last)
		if v.judged {
			if !p.together(v.verdict, w) && float64(to-from)*p.gauge.hop >= targetTime {
				n++
			}
			continue
		}
		for from < to && p.amidWheels(to, w) {
			to--
		}
		for from < to && p.amidWheels(from, w) {
			from++
		}
		if v.real && (v.root.frame != w.root.frame || v.root.f != w.root.f) && float64(to-from)*p.gauge.hop >= targetTime {
			n++
		}
	}
	return n
}

// remember keeps a track for as long as it can matter.
func (p *Processor) remember(v vehicle) {
	oldest := v.last - int64(keepTime/p.gauge.hop)
	p.recent = slices.DeleteFunc(p.recent, func(o vehicle) bool { return o.last < oldest })
	p.recent = append(p.recent, v)
}

// passage turns a verdict into what the sensor reports.
func (p *Processor) passage(w verdict, targets int) sensor.Passage {
	o := p.options
	angle := float64(o.Angle) / 1000 * math.Pi / 180
	// The half widths a, of which nothing else is known, give a/√3.
	uniform := w.speed / math.Sqrt(3)
	side := math.Tan(angle) * float64(o.AngleTolerance) / 1000 * math.Pi / 180
	q := sensor.Passage{
		Start: p.instant(w.first),
		End:   p.instant(w.last),
		Speed: sensor.SpeedFromMPS(w.speed),
		Budget: sensor.Budget{
			Noise:        up(w.noise),
			Angle:        up(math.Hypot(uniform*side, w.speed*w.deficit)),
			Carrier:      up(uniform * float64(o.CarrierTolerance) / 1e6),
			Clock:        up(uniform * float64(o.ClockTolerance) / 1e6),
			Acceleration: up(w.change),
		},
		Targets:  targets,
		Readings: w.readings,
		Reasons:  w.reasons,
	}
	if p.format.Complex && w.image >= imageShare {
		q.Direction = sensor.Approaching
		if w.sign < 0 {
			q.Direction = sensor.Receding
		}
	}
	if p.tape != nil {
		q.Trace = p.trace(w)
	}
	return q
}

// up converts an uncertainty, which is rounded up.
func up(mps float64) sensor.Speed { return sensor.Speed(math.Ceil(math.Min(mps, 1e4) * 360)) }
