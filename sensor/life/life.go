// Package life says whether the raw signal of a radar is alive: whether its two
// channels show what a radar in order shows on any road, by day and by night, and
// whether its samples come at the pace they say.
//
// # Signal
//
// A [Monitor] reads every sample of I and Q. What a quiet road leaves, and no
// vehicle hides, is noise: of a known size, in both channels, of neither alike.
// Each second gives a [Reading] of both channels:
//
//	level    the mean, as a share of full scale
//	spread   the standard deviation, likewise: noise and vehicles
//	noise    the median power at 24 frequencies in 4 stretches of 1,024 samples,
//	         as the white noise that would show it, in dB of full scale
//	rail     the share of samples at full scale
//
// A vehicle is a few lines, and broad only for the moment beside the radar: it
// lies in few of the 24 × 4 values and the median does not see it. So neither a
// quiet road nor a strong vehicle is a fault. The phase between I and Q at each
// frequency, gathered over the last 8 seconds, says whether they are independent:
// where it stays the same at most frequencies, one signal is in both channels,
// also when it is turned, weaker or filtered in one of them, or later by up to a
// quarter of a segment. What is later by more is found where its samples are the
// same but for their sign, within a minute; so is a stretch of samples of up to a
// minute that comes again and again, as from a buffer that nobody fills.
//
// A finding needs the median of the last seconds, 2 at least and 8 at most; what
// does not change for a whole second is found at once. Samples that are missing
// hide none of it, but where no 1,024 are left in a row. The physical limits below
// hold at any site. Within them the site has a normal of its own, see [Normal].
//
// # Pace
//
// A [Pace] compares the samples with the clock of this machine, see there.
//
// # Contacts
//
// [Contacts] compares the contacts in the lane with the traffic that the radar saw.
//
// All are safe for concurrent use.
package life

import (
	"math"
	"slices"
	"sync"

	"ciglio/sensor"
)

// The codes of what is found.
const (
	CodeDead       = "signal_dead"       // a channel does not change
	CodeRepeats    = "signal_repeats"    // the same samples come again and again
	CodeOverdriven = "signal_overdriven" // most samples are at full scale
	CodeLevel      = "signal_level"      // the mean is far from the middle, or from the site's own
	CodeNoise      = "signal_noise"      // too little or too much, or far from the site's own
	CodeBalance    = "signal_balance"    // one channel is far weaker
	CodeCopy       = "signal_copy"       // both channels show one signal
)

// Physical limits, which hold at every site.
const (
	step = 1.0 / 32768 // of a 16-bit converter

	// Less noise than half a step does not carry weak vehicles through the
	// converter, whose own rounding is 0.29 of a step. More than 0.15 of full scale
	// leaves less than 17 dB for vehicles.
	leastNoise = 0.5 * step
	mostNoise  = 0.15

	mostLevel   = 0.5 // of full scale: half of the range is lost on one side
	mostRail    = 0.5 // of the samples: a strong vehicle clips for a moment, not for seconds
	mostBalance = 6.0 // dB: beyond it the image of a vehicle is not 10 dB weaker than itself

	sameBins  = 0.5 // share of frequencies whose phase must stay the same for one signal in both channels
	samePhase = 0.8 // length of the mean of the phases' unit vectors; of independent noise 0.15 to 0.3
)

const (
	segments  = 4    // a second
	segment   = 1024 // samples
	bins      = 24
	firstBin  = 12 // of segment: above drifts and mains
	betweenBs = 20

	least, most = 2, 8 // seconds that a finding rests on
)

// A Reading is what one second shows, or the median of many.
type Reading struct {
	LevelI, LevelQ float64 // mean, as a share of full scale
	NoiseI, NoiseQ float64 // dB of full scale
}

// unit is what one second shows.
type unit struct {
	Reading
	rail float64 // share of samples at full scale, of the worse channel
}

// A Monitor watches one signal.
type Monitor struct {
	rate int

	mu     sync.Mutex
	count  int // samples of the second in hand
	i, q   channel
	window []float64
	inI    []float64 // samples of the segment in hand
	inQ    []float64
	phases []phases // of the last seconds
	now    phases
	units  []unit           // of the last seconds
	dead   []sensor.Fact    // which channels did not change in the last second
	again  hunt[[2]float32] // for the pairs, in what follows them
	laterI hunt[float32]    // for what Q has shown, without its sign, in I
	laterQ hunt[float32]    // and the other way
	normal Normal
	period period
}

// channel gathers a second of one channel.
type channel struct {
	sum       float64
	low, high float32
	rail      int
	powers    []float64 // of the noise
}

// phases is the sum of the unit vectors between I and Q at each frequency.
type phases struct {
	n      int
	re, im [bins]float64
}

// NewMonitor returns a Monitor of a signal of rate pairs a second, which knows the
// site's normal as far as it is in n.
func NewMonitor(rate int, n Normal) *Monitor {
	m := &Monitor{rate: rate, normal: n, window: make([]float64, segment)}
	for k := range m.window { // Hann, of unit power
		m.window[k] = math.Sqrt(8.0/3/segment) * 0.5 * (1 - math.Cos(2*math.Pi*(float64(k)+0.5)/segment))
	}
	m.begin()
	return m
}

// begin starts a second.
func (m *Monitor) begin() {
	m.count, m.now = 0, phases{}
	m.inI, m.inQ = m.inI[:0], m.inQ[:0]
	for _, c := range []*channel{&m.i, &m.q} {
		*c = channel{low: math.MaxFloat32, high: -math.MaxFloat32, powers: c.powers[:0]}
	}
}

// Break says that samples are missing. The second in hand goes on: a stream that
// always loses some is watched like any other.
func (m *Monitor) Break() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.inI, m.inQ = m.inI[:0], m.inQ[:0]
	m.again.breaks()
	m.laterI.breaks()
	m.laterQ.breaks()
}

// Push adds consecutive samples, full scale ±1, as many of Q as of I.
func (m *Monitor) Push(i, q []float32) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for k, x := range i {
		y := q[k]
		railX, railY := m.i.add(x), m.q.add(y)
		pair := [2]float32{x, y}
		m.again.add(pair, pair, railX || railY, m.rate)
		x0, y0 := max(x, -x), max(y, -y)
		m.laterI.add(y0, x0, railY, m.rate)
		m.laterQ.add(x0, y0, railX, m.rate)
		// The segments lie evenly in the second.
		if begins := m.count * segments / m.rate * m.rate / segments; m.count-begins < segment || len(m.inI) > 0 {
			m.inI, m.inQ = append(m.inI, float64(x)), append(m.inQ, float64(y))
			if len(m.inI) == segment {
				m.transform()
			}
		}
		if m.count++; m.count == m.rate {
			m.end()
		}
	}
}

// add adds a sample. It reports whether it is at full scale.
func (c *channel) add(x float32) (rail bool) {
	c.sum += float64(x)
	c.low, c.high = min(c.low, x), max(c.high, x)
	if rail = x >= 1-1.5*step || x <= -1+0.5*step; rail {
		c.rail++
	}
	return rail
}

// transform takes the segment in hand.
func (m *Monitor) transform() {
	for b := range bins {
		k := firstBin + b*betweenBs
		ri, ii := m.goertzel(m.inI, k)
		rq, iq := m.goertzel(m.inQ, k)
		powerI, powerQ := ri*ri+ii*ii, rq*rq+iq*iq
		m.i.powers, m.q.powers = append(m.i.powers, powerI), append(m.q.powers, powerQ)
		if size := math.Sqrt(powerI * powerQ); size > 0 {
			m.now.re[b] += (ri*rq + ii*iq) / size
			m.now.im[b] += (ii*rq - ri*iq) / size
		}
	}
	m.now.n++
	m.inI, m.inQ = m.inI[:0], m.inQ[:0]
}

// goertzel returns the value of the spectrum at bin k. White noise has there the
// power of one of its samples.
func (m *Monitor) goertzel(x []float64, k int) (re, im float64) {
	sin, cos := math.Sincos(2 * math.Pi * float64(k) / segment)
	var s, before float64
	for n, v := range x {
		s, before = v*m.window[n]+2*cos*s-before, s
	}
	return s*cos - before, s * sin
}

// end ends a second.
func (m *Monitor) end() {
	n := float64(m.count)
	m.dead = stillFacts(m.i, m.q)
	switch {
	case len(m.dead) > 0 || m.again.found: // what came before says nothing of what comes behind it
		m.units, m.phases = m.units[:0], m.phases[:0]
	case m.now.n > 0:
		m.units = last(append(m.units, unit{
			Reading: Reading{LevelI: m.i.sum / n, LevelQ: m.q.sum / n, NoiseI: noise(m.i.powers), NoiseQ: noise(m.q.powers)},
			rail:    float64(max(m.i.rail, m.q.rail)) / n,
		}))
		m.phases = last(append(m.phases, m.now))
	}
	m.begin()
	var now Reading
	if len(m.units) > 0 {
		now = m.units[len(m.units)-1].Reading
	}
	m.period.add(now, len(m.findings()) == 0 && len(m.units) >= least, &m.normal)
}

func last[T any](s []T) []T { return s[max(0, len(s)-most):] }

// noise returns the level in dB of full scale of the white noise that shows these
// powers. Their median lies at ln 2 of their mean.
func noise(powers []float64) float64 {
	const floor = 1e-20
	return 10 * math.Log10(max(median(powers)/math.Ln2, floor))
}

// stillFacts says which channels did not change; nothing when both did.
func stillFacts(i, q channel) (facts []sensor.Fact) {
	stillI, stillQ := i.low == i.high, q.low == q.high
	if stillI && stillQ && stays(i) == stays(q) && (stays(i) != "at" || i.low == q.low) {
		at := sensor.Ratio.Of(float64(i.low), 3)
		switch stays(i) {
		case "zero":
			return []sensor.Fact{{Key: "signal_dead_both_zero", Words: "I and Q do not change, they stay at zero"}}
		case "rail":
			return []sensor.Fact{{Key: "signal_dead_both_rail", Words: "I and Q do not change, they stay at the rail"}}
		}
		return []sensor.Fact{{Key: "signal_dead_both_at", Words: "I and Q do not change, they stay at {at} of full scale", Args: sensor.Args{"at": at}}}
	}
	if stillI && stillQ && stays(i) == "at" && stays(q) == "at" {
		return []sensor.Fact{{Key: "signal_dead_both_apart", Words: "I and Q do not change, they stay at {i} of full scale and {q} of full scale",
			Args: sensor.Args{"i": sensor.Ratio.Of(float64(i.low), 3), "q": sensor.Ratio.Of(float64(q.low), 3)}}}
	}
	if stillI {
		facts = append(facts, stillFact("I", i))
	}
	if stillQ {
		facts = append(facts, stillFact("Q", q))
	}
	return facts
}

func stillFact(name string, c channel) sensor.Fact {
	switch stays(c) {
	case "zero":
		return sensor.Fact{Key: "signal_dead_zero", Words: "{channel} does not change, it stays at zero", Args: sensor.Args{"channel": name}}
	case "rail":
		return sensor.Fact{Key: "signal_dead_rail", Words: "{channel} does not change, it stays at the rail", Args: sensor.Args{"channel": name}}
	}
	return sensor.Fact{Key: "signal_dead_at", Words: "{channel} does not change, it stays at {at} of full scale",
		Args: sensor.Args{"channel": name, "at": sensor.Ratio.Of(float64(c.low), 3)}}
}

// stays says where a channel that does not change is: "zero", "rail" or "at" its value.
func stays(c channel) string {
	switch {
	case c.low == 0:
		return "zero"
	case c.rail > 0:
		return "rail"
	}
	return "at"
}

// Findings returns everything that is wrong with the signal, as the last seconds
// show it.
func (m *Monitor) Findings() []sensor.Finding {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.findings()
}

// aboutSignal is what the findings of the raw signal are about.
const aboutSignal = "radar signal"

func (m *Monitor) findings() []sensor.Finding {
	switch {
	case len(m.dead) > 0:
		return []sensor.Finding{{Code: CodeDead, About: aboutSignal, Facts: m.dead}}
	case m.again.found:
		return []sensor.Finding{{Code: CodeRepeats, About: aboutSignal, Facts: []sensor.Fact{{Key: "signal_repeats_after", Words: "the same samples come again and again, every {every}",
			Args: sensor.Args{"every": m.ms(m.again.later)}}}}}
	case len(m.units) < least:
		return nil
	}
	var all []sensor.Finding
	add := func(code string, facts ...sensor.Fact) {
		if len(facts) > 0 {
			all = append(all, sensor.Finding{Code: code, About: aboutSignal, Facts: facts})
		}
	}
	of := func(value func(unit) float64) float64 {
		values := make([]float64, len(m.units))
		for i, u := range m.units {
			values[i] = value(u)
		}
		return median(values)
	}
	if rail := of(func(u unit) float64 { return u.rail }); rail > mostRail {
		add(CodeOverdriven, sensor.Fact{Key: "signal_overdriven", Words: "{share} of the samples are at full scale", Args: sensor.Args{"share": sensor.Percent.Of(100*rail, 0)}})
		return all // which hides the rest
	}
	now := Reading{
		LevelI: of(func(u unit) float64 { return u.LevelI }), LevelQ: of(func(u unit) float64 { return u.LevelQ }),
		NoiseI: of(func(u unit) float64 { return u.NoiseI }), NoiseQ: of(func(u unit) float64 { return u.NoiseQ }),
	}
	usual, known := m.normal.Reading()
	add(CodeLevel, levelFacts(now, usual, known)...)
	if noise := noiseFacts(now, usual, known); len(noise) > 0 {
		add(CodeNoise, noise...)
	} else {
		add(CodeBalance, balanceFacts(now, usual, known)...)
	}
	switch same := m.same(); {
	case float64(same) >= sameBins*bins:
		add(CodeCopy, sensor.Fact{Key: "signal_copy_phase", Words: "I and Q show one signal, at {same} of {all} frequencies with the same phase", Args: sensor.Args{"same": same, "all": bins}})
	case m.laterQ.found:
		add(CodeCopy, sensor.Fact{Key: "signal_copy_later", Words: "I and Q show one signal, in {channel} {later} later", Args: sensor.Args{"channel": "Q", "later": m.ms(m.laterQ.later)}})
	case m.laterI.found:
		add(CodeCopy, sensor.Fact{Key: "signal_copy_later", Words: "I and Q show one signal, in {channel} {later} later", Args: sensor.Args{"channel": "I", "later": m.ms(m.laterI.later)}})
	}
	return all
}

// ms is the time of so many samples.
func (m *Monitor) ms(samples int) sensor.Figure {
	return sensor.Milliseconds.Of(1000*float64(samples)/float64(m.rate), 0)
}

// same returns at how many frequencies the phase between I and Q stays the same.
func (m *Monitor) same() (n int) {
	var all phases
	for _, p := range m.phases {
		all.n += p.n
		for b := range bins {
			all.re[b] += p.re[b]
			all.im[b] += p.im[b]
		}
	}
	for b := range bins {
		if math.Hypot(all.re[b], all.im[b]) > samePhase*float64(all.n) {
			n++
		}
	}
	return n
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	if n := len(sorted); n%2 == 1 {
		return sorted[n/2]
	} else if n > 0 {
		return (sorted[n/2-1] + sorted[n/2]) / 2
	}
	return 0
}
