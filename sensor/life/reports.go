package life

import (
	"math"
	"slices"
	"sync"
	"time"

	"ciglio/sensor"
)

// CodeReports is the finding of reports that come too seldom or too often; see also
// [CodePace], [CodeRepeats] and [CodeLevel].
const CodeReports = "sensor_reports"

// Bounds of what [Reports] finds.
const (
	cadenceBin  = 10 * time.Second
	cadenceBins = 3 // in a row that are wrong

	sameFor     = 5 * time.Second // for which no value may stay, the level among them,
	sameReports = 20              // over so many reports
	sameBare    = 2 * time.Minute // the same of speeds in whole km/h without a level
	sameFrom    = 10 * sensor.KmH // of which something that stands has none

	ownBin    = 30 * time.Second
	ownBins   = 40 // that are kept
	ownLeast  = 10 * time.Minute
	ownJitter = 200 * time.Millisecond // by which a report on a quiet road may come later than others

	levelBlock = 500  // reports whose median is one value of the normal
	levelNow   = 200  // the last ones, which are compared with it
	levelOff   = 12.0 // dB, as the noise of a raw signal
)

// Cadence is how many cycles a second a sensor reports, whatever is on the road;
// zero for one whose protocol promises nothing.
type Cadence struct{ Least, Most float64 }

// Reports watches what a sensor says that transforms its signal itself. Of such a
// sensor the noise, the channels and the samples are not known. What is:
//
//	cadence  cycles a second, where the protocol promises them: three times 10 s
//	         outside of it
//	clock    the sensor's own, where it tells one, against this machine's: the least
//	         delays of two half minutes that lie 10 to 20 minutes apart differ by
//	         more than 0.1 % of that and 0.2 s. It is taken to be that of its
//	         samples: then a speed is wrong by the same share
//	values   that stay: a vehicle's level never does for 5 s; a speed in whole km/h
//	         without level may for two minutes. And 96 cycles, of which a quarter
//	         show changes, that come again within a minute, level and all
//	level    the median of the strongest target of the last 200 cycles that have
//	         one, against the site's own ([Levels]): 12 dB either way
//
// A radar that is deaf is seen by the contacts alone, see [Contacts]. It is safe for
// concurrent use.
type Reports struct {
	cadence Cadence

	mu     sync.Mutex
	from   sensor.Mono // of the 10 s in hand; 0 before the first cycle
	cycles int         // in them
	rates  []float64   // of those before

	last  []sensor.Reading // of the cycle before, without instants and bytes
	since sensor.Mono      // from when on the same came
	count int              // cycles since then
	held  time.Duration    // for which they stayed
	level bool             // they have one
	again hunt[shown]

	own   []paceBinned // of the sensor's clock
	told  time.Duration
	drift float64 // when found
	off   bool

	recent []float64 // dB, of the last cycles
	block  []float64 // dB, of the block in hand
	found  bool      // something was, in the block in hand
	normal Levels
}

// shown is what a cycle says of its strongest target.
type shown struct {
	speed        sensor.Speed
	direction    sensor.Direction
	level        int16
	where, angle int32
}

// NewReports returns a watch of a sensor of the given cadence, which knows the site's
// levels as far as they are in l.
func NewReports(c Cadence, l Levels) *Reports { return &Reports{cadence: c, normal: l} }

// Break says that the connection was lost: what comes does not go on.
func (r *Reports) Break() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.from, r.rates, r.own, r.off, r.last = 0, nil, nil, false, nil
	r.count, r.held = 0, 0
	r.again.breaks()
}

// Push takes a cycle that has just come. It keeps nothing of it. What the sensor
// itself calls simulated is no measure of anything.
func (r *Reports) Push(c sensor.Cycle) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.beat(c.At)
	if c.Own != 0 {
		r.compare(c.Own, c.At)
	}
	if slices.ContainsFunc(c.Readings, func(r sensor.Reading) bool { return r.Has(sensor.FlagSimulated) }) {
		c.Readings = nil
	}
	r.stays(c)
	var most *sensor.Reading
	for k := range c.Readings {
		if most == nil || c.Readings[k].Level > most.Level {
			most = &c.Readings[k]
		}
	}
	var now shown
	if most != nil {
		now = shown{most.Speed, most.Direction, most.Level, most.Range, most.Angle}
	}
	if most == nil || most.Level != 0 { // without it, what comes again is chance
		r.again.add(now, now, most == nil, int(max(10, r.cadence.Most)))
	}
	if most != nil && most.Level != 0 {
		r.learn(float64(most.Level) / 10)
	}
}

// beat counts cycles.
func (r *Reports) beat(at sensor.Mono) {
	if r.from == 0 {
		r.from, r.cycles = at, 0
	}
	if d := at.Sub(r.from); d >= cadenceBin {
		r.rates = append(r.rates, float64(r.cycles)/d.Seconds())
		r.rates = r.rates[max(0, len(r.rates)-cadenceBins):]
		r.from, r.cycles = at, 0
	}
	r.cycles++
}

// compare compares the sensor's clock with this machine's. One that goes back was
// started anew, or has ended a day.
func (r *Reports) compare(own time.Duration, at sensor.Mono) {
	if own < r.told {
		r.own, r.off = r.own[:0], false
	}
	r.told = own
	delay := time.Duration(at) - own
	if k := len(r.own); k > 0 && at.Sub(r.own[k-1].from) < ownBin {
		r.own[k-1].least = min(r.own[k-1].least, delay)
		return
	}
	r.own = append(r.own, paceBinned{at, delay})
	r.own = r.own[max(0, len(r.own)-ownBins):]
	last := len(r.own) - 2 // the last one that is complete
	r.off, r.drift = false, 0
	for k := 0; k < last; k++ {
		over := r.own[last].from.Sub(r.own[k].from)
		by := r.own[last].least - r.own[k].least
		if over < ownLeast || by.Abs() <= ownJitter+time.Duration(MostPace*float64(over)) {
			continue
		}
		if drift := -float64(by) / float64(over); math.Abs(drift) > math.Abs(r.drift) {
			r.off, r.drift = true, drift
		}
	}
}

// stays notes for how long the cycles have said the same.
func (r *Reports) stays(c sensor.Cycle) {
	equal := len(c.Readings) > 0 && slices.EqualFunc(r.last, c.Readings, func(a, b sensor.Reading) bool {
		return a.Speed == b.Speed && a.Direction == b.Direction && a.Range == b.Range && a.Angle == b.Angle && a.Level == b.Level
	})
	if equal {
		r.count, r.held = r.count+1, c.At.Sub(r.since)
		return
	}
	r.since, r.count, r.held, r.level = c.At, 1, 0, false
	r.last = append(r.last[:0], c.Readings...)
	slowest := sensor.Speed(math.MaxInt32)
	for k := range r.last {
		r.last[k].Raw = nil
		r.level = r.level || r.last[k].Level != 0
		slowest = min(slowest, r.last[k].Speed)
	}
	if !r.level && slowest < sameFrom {
		r.last = r.last[:0]
	}
}

// learn takes the level of a cycle.
func (r *Reports) learn(level float64) {
	r.recent = append(r.recent, level)
	r.recent = r.recent[max(0, len(r.recent)-levelNow):]
	if len(r.block)%10 == 0 {
		r.found = r.found || len(r.findings()) > 0
	}
	if r.block = append(r.block, level); len(r.block) == levelBlock {
		if !r.found { // a fault teaches nothing
			r.normal.learn(median(r.block))
		}
		r.block, r.found = r.block[:0], false
	}
}

// Levels returns a copy of what is known of the site.
func (r *Reports) Levels() Levels {
	r.mu.Lock()
	defer r.mu.Unlock()
	return Levels{slices.Clone(r.normal.values)}
}

// Findings returns everything that is wrong with the reports.
func (r *Reports) Findings() []sensor.Finding {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.findings()
}

func (r *Reports) findings() (all []sensor.Finding) {
	add := func(code string, fact sensor.Fact) {
		all = append(all, sensor.Finding{Code: code, About: "radar reports", Facts: []sensor.Fact{fact}})
	}
	if c := r.cadence; c.Most > 0 && len(r.rates) == cadenceBins && (slices.Max(r.rates) < c.Least || slices.Min(r.rates) > c.Most) {
		add(CodeReports, sensor.Fact{Key: "sensor_reports", Words: "{now:bare} a second come, {least:bare} to {most:bare} are in order: is the line disturbed, or the sensor set otherwise?",
			Args: sensor.Args{"now": sensor.PerSecond.Of(median(r.rates), 1), "least": sensor.PerSecond.Of(c.Least, 0), "most": sensor.PerSecond.Of(c.Most, 0)}})
	}
	if r.off {
		by := sensor.Args{"by": sensor.Percent.Of(100*math.Abs(r.drift), 2)}
		if r.drift < 0 {
			add(CodePace, sensor.Fact{Key: "sensor_pace_clock_slow", Words: "the sensor's clock runs {by} too slow by this machine's", Args: by})
		} else {
			add(CodePace, sensor.Fact{Key: "sensor_pace_clock_fast", Words: "the sensor's clock runs {by} too fast by this machine's", Args: by})
		}
	}
	switch {
	case r.count >= sameReports && (r.level && r.held >= sameFor || !r.level && r.held >= sameBare):
		add(CodeRepeats, sensor.Fact{Key: "signal_repeats_held", Words: "the same values come for {since}", Args: sensor.Args{"since": r.held.Truncate(time.Second)}})
	case r.again.found:
		add(CodeRepeats, sensor.Fact{Key: "signal_repeats_reports", Words: "the same values come again and again, every {every} reports", Args: sensor.Args{"every": r.again.later}})
	}
	if usual, known := r.normal.usual(); known && len(r.recent) == levelNow {
		if now := median(r.recent); math.Abs(now-usual) > levelOff {
			add(CodeLevel, sensor.Fact{Key: "signal_level_reports", Words: "vehicles have {now}, at this site it is {usual:bare}",
				Args: sensor.Args{"now": sensor.Decibels.Of(now, 1), "usual": sensor.Decibels.Of(usual, 1)}})
		}
	}
	return all
}
