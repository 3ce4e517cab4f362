package track

import (
	"math"
	"slices"
	"sync/atomic"
	"time"

	"ciglio/sensor"
)

// A mark says something about the place of a reading in its track.
type mark uint8

const (
	markLost    mark = 1 << iota // reports before this one are missing
	markCrowded                  // another vehicle was within the resolution
	markZone                     // the speed rests on it
)

// A point is a reading as a track keeps it.
type point struct {
	at        sensor.Mono
	speed     sensor.Speed
	rng       int32
	angle     int32
	target    int32
	level     int16
	direction sensor.Direction
	flags     sensor.Flag
	marks     mark
}

// A track is one vehicle's readings.
type track struct {
	estimate
	view
	confirmed   bool
	first, last sensor.Mono // of its readings
	seen        sensor.Mono // the cycle of the last
	count       int         // readings
	points      []point
	lost        bool // reports were missing since the last reading
	crowded     bool // another vehicle was within the resolution since then
	ever        bool // crowded at any time
	simulated   bool
	cut         bool // it may have begun while nothing was reported
	toward      int  // readings that approach, and those that recede
	away        int
	slowest     sensor.Speed
	fastest     sensor.Speed
	reason      sensor.Reason // why it was ended from outside, or 0
	beside      int           // others in this cycle that a picture could confuse with it
	others      int           // the same when it was nearest to the photo position
	nearest     float64       // m, how near it was then
}

// A span is when an ended track was in the beam.
type span struct{ first, last sensor.Mono }

// Counters says what a Tracker did not use, and why.
type Counters struct {
	Cycles     int64
	Ignored    int64 // readings without speed, beyond 400 km/h, from behind the sensor, or whose instant is not within a second of their cycle's
	Overflow   int64 // readings beyond those that one cycle or all tracks can hold, passages that nobody fetched
	Backwards  int64 // cycles whose instant lies before the one of the cycle before
	Gaps       int64 // vehicles that were seen when cycles stopped coming for a while
	LoneFinals int64 // verdicts of the sensor that fit no track
}

type counters struct{ cycles, ignored, overflow, backwards, gaps, lone atomic.Int64 }

// A Tracker turns cycles into passages. It is not safe for concurrent use,
// except for Counters.
type Tracker struct {
	o        Options
	geometry geometry
	noise    noise

	live, waiting []*track // waiting ones have ended, in the order of their last readings
	free          []*track
	gone          []span // of those that left, the oldest first
	done          []sensor.Passage
	readings      []sensor.Reading
	sights        []sight
	left          []int    // readings that belong to no track yet
	rows          []*track // of the assignment in hand
	assigner      *assigner
	gauge         *gauge
	started       bool
	now           sensor.Mono // of the last cycle
	regular       bool        // cycles come when nothing is seen, too
	broken        bool        // cycles are missing before the next one
	resumed       sensor.Mono // when the next one came
	counters      counters
}

// NewTracker returns a Tracker without tracks.
func NewTracker(o Options) (*Tracker, error) {
	o = o.withDefaults()
	if err := o.check(); err != nil {
		return nil, err
	}
	t := &Tracker{
		o: o, geometry: o.geometry(), noise: o.noise(),
		live: make([]*track, 0, maxLive), waiting: make([]*track, 0, maxTracks), free: make([]*track, maxTracks),
		gone: make([]span, 0, maxTracks), readings: make([]sensor.Reading, 0, maxReadings), sights: make([]sight, 0, maxReadings),
		left: make([]int, 0, maxReadings), rows: make([]*track, 0, maxLive),
		assigner: newAssigner(), gauge: newGauge(o),
	}
	for i := range t.free {
		t.free[i] = &track{points: make([]point, 0, maxPoints)}
	}
	return t, nil
}

// Counters may be called at any time.
func (t *Tracker) Counters() Counters {
	c := &t.counters
	return Counters{
		Cycles: c.cycles.Load(), Ignored: c.ignored.Load(), Overflow: c.overflow.Load(),
		Backwards: c.backwards.Load(), Gaps: c.gaps.Load(), LoneFinals: c.lone.Load(),
	}
}

// Push adds a cycle. Its readings are not kept.
func (t *Tracker) Push(c sensor.Cycle) {
	t.counters.cycles.Add(1)
	if c.Anew {
		t.anew()
	}
	if t.started {
		t.advance(c.At)
	}
	if t.broken {
		t.resumed = c.At
	}
	t.started, t.broken, t.now = true, false, c.At
	t.regular = t.regular || len(c.Readings) == 0
	if c.Lost {
		for _, k := range t.live {
			k.lost = true
		}
	}
	t.sort(&c)
	for _, k := range t.live {
		t.geometry.predict(&k.estimate, c.At)
	}
	// What may become a track has what the tracks leave over: else one odd
	// reading would be the beginning of a second track of the same vehicle.
	t.give(c.At, true)
	t.give(c.At, false)
	for _, j := range t.left {
		t.born(&t.readings[j], &t.sights[j], c.At)
	}
	t.compare()
}

// give gives the readings that are left to the tracks that are confirmed, or to
// the others.
func (t *Tracker) give(at sensor.Mono, confirmed bool) {
	t.rows = t.rows[:0]
	for _, k := range t.live {
		if k.confirmed == confirmed {
			t.rows = append(t.rows, k)
		}
	}
	t.assigner.columns = len(t.left)
	for i, k := range t.rows {
		reach, wide := t.geometry.reach(&k.estimate), 10+4*math.Sqrt(k.pp)
		for n, j := range t.left {
			s := &t.sights[j]
			if k.ranged && s.ranged && math.Abs(s.rng-reach) > wide {
				*t.assigner.at(i, n) = gate
				continue
			}
			*t.assigner.at(i, n) = float32(t.geometry.distance(&k.estimate, s, t.noise, at.Sub(k.last)))
		}
	}
	t.assigner.solve(len(t.rows), len(t.left))
	for i, k := range t.rows {
		if n := t.assigner.of[i]; n >= 0 {
			j := t.left[n]
			t.geometry.update(&k.estimate, &t.sights[j], t.noise)
			k.add(&t.readings[j], at)
		}
	}
	left := t.left[:0]
	for n, j := range t.left {
		if t.assigner.row[n] < 0 {
			left = append(left, j)
		}
	}
	t.left = left
}

// sort picks the readings of a cycle that can belong to a track, and gives the
// sensor's own verdicts to theirs.
func (t *Tracker) sort(c *sensor.Cycle) {
	t.readings, t.sights, t.left = t.readings[:0], t.sights[:0], t.left[:0]
	for i := range c.Readings {
		r := c.Readings[i]
		if r.At == 0 {
			r.At = c.At
		}
		off := r.At.Sub(c.At)
		switch {
		case r.Speed <= 0 || r.Speed > highestSpeed || off > time.Second || off < -time.Second || t.geometry.behind(&r):
			t.counters.ignored.Add(1)
		case r.Has(sensor.FlagFinal):
			t.final(&r)
		case len(t.readings) == maxReadings:
			t.counters.overflow.Add(1)
		default:
			t.left = append(t.left, len(t.readings))
			t.readings = append(t.readings, r)
			t.sights = append(t.sights, t.geometry.sight(&r))
		}
	}
}

// advance ends what has ended by the instant of the next cycle.
func (t *Tracker) advance(now sensor.Mono) {
	switch gap := now.Sub(t.now); {
	case now < t.now:
		t.counters.backwards.Add(1)
		t.Break(sensor.ReasonClock)
		return
	case t.regular && (gap > coast || gap < 0): // less than 0 when the difference overflows
		t.broken = true
		for _, k := range t.live {
			if k.seen == t.now {
				t.counters.gaps.Add(1)
				k.reason = sensor.ReasonLostSamples
			}
		}
	}
	for i := 0; i < len(t.live); {
		if k := t.live[i]; now.Sub(k.last) > coast || now.Sub(k.last) < 0 && k.last < now {
			t.live = slices.Delete(t.live, i, i+1)
			t.end(k)
			continue
		}
		i++
	}
	t.leave(now)
}

// end puts a track aside until its verdict is due.
func (t *Tracker) end(k *track) {
	if !k.confirmed {
		t.free = append(t.free, k)
		return
	}
	i := len(t.waiting)
	for i > 0 && t.waiting[i-1].last > k.last {
		i--
	}
	t.waiting = slices.Insert(t.waiting, i, k)
}

// leave gives out the passages that are due.
func (t *Tracker) leave(now sensor.Mono) {
	for len(t.waiting) > 0 && now.Sub(t.waiting[0].last) >= holdTime {
		t.release()
	}
}

// release gives out the passage that waits longest.
func (t *Tracker) release() {
	k := t.waiting[0]
	p := t.passage(k)
	t.waiting = slices.Delete(t.waiting, 0, 1)
	t.free = append(t.free, k)
	t.leftBeam(span{k.first, k.last})
	if len(t.done) == maxDone {
		t.counters.overflow.Add(1)
		return
	}
	t.done = append(t.done, p)
}

func (t *Tracker) leftBeam(s span) {
	if len(t.gone) == cap(t.gone) {
		t.gone = slices.Delete(t.gone, 0, 1)
	}
	t.gone = append(t.gone, s)
}

// Break says that the sensor was interrupted. The tracks under way end with the
// given reason.
func (t *Tracker) Break(reason sensor.Reason) {
	for _, k := range t.live {
		k.reason = reason
	}
	t.Flush()
	t.started, t.broken, t.gone = false, true, t.gone[:0]
}

// anew is Break where the sensor has started anew, in a recording. One that says
// nothing of an empty road may have seen the vehicle of its last cycle leave: then
// it is as if one recording ended and another began.
func (t *Tracker) anew() {
	for _, k := range t.live {
		if t.regular && k.seen == t.now {
			k.reason = sensor.ReasonLostSamples
		}
	}
	t.Flush()
	t.started, t.broken, t.resumed, t.gone = false, t.regular, 0, t.gone[:0]
}

// Flush says that the readings have ended. A vehicle whose measuring zone is
// complete is a passage.
func (t *Tracker) Flush() {
	for _, k := range t.live {
		if !k.confirmed {
			t.leftBeam(span{k.first, k.last})
		}
		t.end(k)
	}
	t.live = t.live[:0]
	for len(t.waiting) > 0 {
		t.release()
	}
}

// Pop returns the oldest finished passage that was not returned yet.
func (t *Tracker) Pop() (sensor.Passage, bool) {
	if len(t.done) == 0 {
		return sensor.Passage{}, false
	}
	first := t.done[0]
	t.done = slices.Delete(t.done, 0, 1)
	return first, true
}

// born begins a track. When there are too many, the one that was seen least
// goes; a confirmed one never does.
func (t *Tracker) born(r *sensor.Reading, s *sight, at sensor.Mono) {
	if len(t.live) == maxLive || len(t.free) == 0 {
		least := -1
		for i, k := range t.live {
			if !k.confirmed && (least < 0 || k.last < t.live[least].last) {
				least = i
			}
		}
		if least < 0 || t.live[least].last >= at {
			t.counters.overflow.Add(1)
			return
		}
		t.free = append(t.free, t.live[least])
		t.live = slices.Delete(t.live, least, least+1)
	}
	k := t.free[len(t.free)-1]
	t.free = t.free[:len(t.free)-1]
	*k = track{
		estimate: t.geometry.begin(s, at, t.noise), points: k.points[:0], first: r.At, last: r.At,
		slowest: r.Speed, fastest: r.Speed, nearest: math.Inf(1),
		cut: t.resumed != 0 && at.Sub(t.resumed) <= coast,
	}
	k.add(r, at)
	t.live = append(t.live, k)
}

// add keeps a reading. Of a track that lasts longer than memory does, what is
// far from the sensor goes.
func (k *track) add(r *sensor.Reading, cycle sensor.Mono) {
	k.seen = cycle
	k.count++
	k.last = max(k.last, r.At)
	k.slowest, k.fastest = min(k.slowest, r.Speed), max(k.fastest, r.Speed)
	k.simulated = k.simulated || r.Has(sensor.FlagSimulated)
	switch r.Direction {
	case sensor.Approaching:
		k.toward++
	case sensor.Receding:
		k.away++
	}
	var m mark
	if k.lost {
		m |= markLost
	}
	if k.crowded {
		m |= markCrowded
	}
	k.lost, k.crowded = false, false
	k.keep(r, k.last, m)
	k.confirmed = k.confirmed || len(k.points) >= confirmReadings
}

func (k *track) keep(r *sensor.Reading, at sensor.Mono, m mark) {
	if len(k.points) == maxPoints {
		if k.away > k.toward {
			return
		}
		k.points = slices.Delete(k.points, 0, maxPoints/4)
	}
	k.points = append(k.points, point{
		at: at, speed: r.Speed, rng: r.Range, angle: r.Angle, target: int32(min(max(r.Target, 0), math.MaxInt32)),
		level: r.Level, direction: r.Direction, flags: r.Flags, marks: m,
	})
}
