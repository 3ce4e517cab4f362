package doppler

import (
	"fmt"
	"math"
	"slices"
	"time"

	"ciglio/sensor"
	"ciglio/sensor/doppler/chain"
	"ciglio/sensor/doppler/geometry"
	"ciglio/sensor/doppler/spectrum"
)

const (
	// A frame of the usual pace is the shortest power of two of samples that
	// lasts longer than this: 11 Hz or less between bins, a quarter of a km/h at
	// 24 GHz, while a car that brakes hard stays within a few bins.
	minFrame = 32 * time.Millisecond

	clipLevel = 0.99995 // of full scale: the last step of 16 bits
	pieceSize = 1024    // samples that are handed on at a time

	fastest   = 360 / 3.6 // m/s, beyond which a speed is out of range
	doubtTime = 1.2       // s at the usual pace for which what has no speed waits for another chain
	awaitWay  = 25.0      // m of road behind the end of a track, and
	awaitTime = 0.3       // s for which longer frames are waited for: the pictures are kept for 0.1 s more
	pieceGap  = 60.0      // m of road on which a line may be lost between two pieces of it
)

// A Processor finds passages in a signal. It is not safe for concurrent use.
type Processor struct {
	format  Format
	options Options

	size    int            // samples of a frame at the usual pace
	chains  []*chain.Chain // the usual pace first
	balance spectrum.Balance
	wiring  *wiring // nil of a sensor with one channel
	tape    *tape

	i, q    []float32 // samples on their way to the chains
	clip    []uint8
	early   []uint8 // clip of the first frame, until all of it is there
	holding bool    // it is not yet
	started bool
	next    uint64 // index of the next sample
	origin  uint64 // index of the first since the signal was last whole
	clock   clock

	doubtful []departure // what has no speed, until no chain can find one
	awaiting []departure // what longer frames still follow, until they have told what they heard beside it
	given    []departure // what was given out lately
	done     []sensor.Passage
}

// A departure is a vehicle that a chain gave out, on its way to whoever asks.
type departure struct {
	chain.Departure
	chain      *chain.Chain
	joint      bool  // of several chains
	speechless bool  // it tells no speed that stands
	lost       bool  // the signal was interrupted
	slant      bool  // the closest point was not seen
	against    bool  // the sign and the closest point contradict each other
	until      int64 // when what is doubtful is given out
	passage    sensor.Passage
	line       []Point
}

// A clock relates sample numbers to instants, block by block.
type clock struct {
	index uint64
	at    sensor.Mono
}

// NewProcessor returns a Processor for a signal of the given format.
func NewProcessor(f Format, o Options) (*Processor, error) {
	o = o.withDefaults()
	if err := f.check(); err != nil {
		return nil, err
	}
	if err := o.check(); err != nil {
		return nil, err
	}
	p := &Processor{format: f, options: o, size: 512}
	for time.Duration(p.size)*time.Second/time.Duration(f.Rate) < minFrame {
		p.size *= 2
	}
	p.open(f.Complex)
	if len(p.chains) == 0 || p.chains[0].Stretch != 1 {
		return nil, fmt.Errorf("doppler: %d samples a second show no speed at a carrier of %d Hz", f.Rate, o.Carrier)
	}
	p.i, p.clip = make([]float32, pieceSize), make([]uint8, pieceSize)
	if f.Complex {
		p.q = make([]float32, pieceSize)
		p.wiring, p.early = newWiring(p.size), make([]uint8, 0, p.size)
	}
	if o.KeepTrace {
		p.tape = newTape(f)
	}
	return p, nil
}

// open makes the chains, for two channels or for one.
func (p *Processor) open(cplx bool) {
	o := p.options
	angle := float64(o.Angle) / 1000 * math.Pi / 180
	perHz := sensor.SpeedOfLight / (2 * float64(o.Carrier)) // m/s
	p.chains = p.chains[:0]
	for _, s := range []chain.Pace{chain.UsualPace, chain.TownPace, chain.SlowPace, chain.FastPace, chain.RacePace} {
		if s.Steady && !cplx { // two vehicles of a real signal share a line too easily
			continue
		}
		if c := chain.New(s, p.format.Rate, cplx, p.size, perHz, angle, o.Observe != nil); c != nil {
			p.chains = append(p.chains, c)
		}
	}
	if cplx && len(p.chains) > 0 {
		p.chains[0].Balance = &p.balance
	}
}

// rewire goes over to one channel, or back to two. What is under way ends.
func (p *Processor) rewire() {
	p.end(0)
	p.given, p.balance = p.given[:0], spectrum.Balance{}
	p.origin = p.next
	p.open(!p.wiring.one)
}

// Wiring returns what is wrong with the two channels of the sensor,
// [ErrOneChannel] or [ErrSwapped], and nil when nothing is. It may be called at
// any time, by any goroutine.
func (p *Processor) Wiring() error { return p.wiring.fault() }

// Settings returns what the result depends on, as canonical text of one
// "name = value" a line.
func (p *Processor) Settings() []byte {
	return fmt.Appendf(nil, "rate_hz = %d\ncomplex = %t\nframe = %d\ncarrier_hz = %d\ncarrier_tolerance_ppm = %d\nclock_tolerance_ppm = %d\nangle_mdeg = %d\n",
		p.format.Rate, p.format.Complex, p.size, p.options.Carrier, p.options.CarrierTolerance, p.options.ClockTolerance, p.options.Angle)
}

// Push adds samples. The Block is not kept. Samples that are no numbers count
// as clipped. When samples are missing before the Block, Push does what
// [Processor.Break] does first.
func (p *Processor) Push(b Block) error {
	if p.format.Complex && len(b.I) != len(b.Q) || !p.format.Complex && b.Q != nil {
		return fmt.Errorf("doppler: block %d: %d samples of I and %d of Q", b.Index, len(b.I), len(b.Q))
	}
	if !p.started || b.Index != p.next {
		p.Break()
		p.started, p.next, p.origin, p.holding = true, b.Index, b.Index, p.format.Complex
		if p.tape != nil {
			p.tape.restart(b.Index)
		}
	}
	p.clock = clock{index: b.Index, at: b.At}
	for at := 0; at < len(b.I); {
		// Pieces end where those of other block lengths do: what a chain has
		// learned of the channels applies from the same sample on.
		into := int((p.next - p.origin) % pieceSize)
		if into == 0 && !p.holding && p.wiring != nil && p.wiring.turned() {
			p.rewire()
		}
		n := min(len(b.I)-at, pieceSize-into)
		if p.holding {
			n = min(n, p.size-len(p.early))
		}
		i, clip, q := p.i[:n], p.clip[:n], p.q
		p.take(i, b.I[at:at+n], clip, false)
		if p.format.Complex {
			q = p.q[:n]
			p.take(q, b.Q[at:at+n], clip, true)
		}
		if b.Clipped {
			for k := range clip {
				clip[k] = 1
			}
		}
		if p.tape != nil {
			p.tape.write(i, q)
		}
		at += n
		p.next += uint64(n)
		if p.wiring != nil {
			p.wiring.add(i, q)
		}
		if p.holding {
			if p.early = append(p.early, clip...); len(p.early) == p.size {
				p.release()
			}
			continue
		}
		if into == 0 {
			p.balance.Use()
		}
		p.measure(i, q, clip)
	}
	return nil
}

// release hands on the samples of the first frame, which tell whether the channels
// are two signals or one.
func (p *Processor) release() {
	p.holding = false
	if p.wiring.turned() {
		p.open(!p.wiring.one)
	}
	n := len(p.early)
	p.measure(p.wiring.i[:n], p.wiring.q[:n], p.early)
	p.early = p.early[:0]
}

// measure hands samples to the chains.
func (p *Processor) measure(i, q []float32, clip []uint8) {
	if p.wiring != nil {
		switch {
		case !p.wiring.one:
			p.balance.Apply(i, q)
		case p.wiring.second:
			i, q = q, nil
		default:
			q = nil
		}
	}
	for _, c := range p.chains {
		c.Push(i, q, clip)
		p.collect(c)
	}
	p.join(false)
	p.decide(false)
}

// take copies samples and marks those that touch full scale.
func (p *Processor) take(to, from []float32, clip []uint8, more bool) {
	for k, v := range from {
		c := uint8(0)
		if more {
			c = clip[k]
		}
		if !(v < clipLevel && v > -clipLevel) {
			c = 1
			if !(v <= 1) {
				v = 1
			}
			if v < -1 {
				v = -1
			}
		}
		to[k], clip[k] = v, c
	}
}

// collect gives out what left a chain, if it is of that chain's pace and was not
// given out by another. What has no speed waits: another chain may find it.
func (p *Processor) collect(c *chain.Chain) {
	for n := range c.Out {
		v := &c.Out[n]
		if speed := v.Measured.Speed / c.Stretch; speed >= c.Low && speed <= c.High {
			p.depart(c, v, false)
		}
	}
}

// depart gives out a vehicle that left a chain, or that was joined of what several
// followed.
func (p *Processor) depart(c *chain.Chain, v *chain.Vehicle, joint bool) {
	w := v.Measured
	speed := w.Speed / c.Stretch
	d := departure{Departure: c.Depart(v), chain: c, joint: joint, lost: slices.Contains(w.Reasons, sensor.ReasonLostSamples)}
	if p.known(&d) {
		return
	}
	targets := v.Targets
	if p.heard(&d, targets) {
		return
	}
	for _, other := range p.chains {
		if other != c {
			targets = max(targets, other.Beside(&d.Departure))
		}
	}
	if len(w.Reasons) == 0 && (p.contradicted(&d) || c.Steady && w.Change > geometry.MostChange*w.Speed) {
		w.Reasons = append(w.Reasons, sensor.ReasonUncertain)
	}
	d.speechless = len(w.Reasons) > 0
	if joint && d.speechless { // the pieces have told as much
		return
	}
	d.passage, d.against = p.passage(c, w, targets)
	for _, r := range v.Line {
		d.line = append(d.line, Point{p.instant(r.At), r.Hz})
	}
	switch {
	case d.lost:
		p.give(d)
	case w.Slant: // a part of the way, unless no other part comes
		d.slant, d.until = true, d.To+int64((geometry.SlantWait/speed+chain.HoldTime)*float64(p.format.Rate))
		p.doubtful = append(p.doubtful, d)
	case !d.passage.Valid():
		d.until = d.To + int64(2*doubtTime*p.longest(speed)*float64(p.format.Rate))
		p.doubtful = append(p.doubtful, d)
	case c.Steady: // unless it comes at the usual pace
		d.until = d.To + int64(doubtTime*float64(p.format.Rate))
		p.doubtful = append(p.doubtful, d)
	case targets == 0 && p.followed(&d):
		d.until = d.To + int64((awaitWay/speed+awaitTime)*float64(p.format.Rate))
		p.awaiting = append(p.awaiting, d)
	default:
		p.give(d)
	}
}

// longest returns by how much the frames last longer than at the usual pace in which
// a vehicle of that speed is looked for.
func (p *Processor) longest(speed float64) float64 {
	stretch := 1.0
	for _, c := range p.chains {
		if speed >= c.Low && speed <= c.High {
			stretch = max(stretch, c.Stretch)
		}
	}
	return stretch
}

// followed reports whether longer frames, which hear weaker vehicles, still follow the
// same line: what they heard beside it they tell when they are done with it.
func (p *Processor) followed(d *departure) bool {
	return slices.ContainsFunc(p.chains, func(c *chain.Chain) bool {
		return c.Stretch > d.chain.Stretch && d.Speed >= c.Low && d.Speed <= c.High && c.Follows(&d.Departure)
	})
}

// heard reports whether a vehicle is one that awaits what longer frames tell, and adds
// the other targets that they count. Where it is another that shared the beam, they are
// two.
func (p *Processor) heard(d *departure, targets int) bool {
	known := false
	for i := range p.awaiting {
		a := &p.awaiting[i]
		switch {
		case p.same(d, a):
			a.passage.Targets, known = max(a.passage.Targets, targets), true
		case d.Sign == a.Sign && p.seconds(float64(min(d.HeardTo, a.HeardTo)-max(d.HeardFrom, a.HeardFrom))) > chain.TargetTime*d.chain.Stretch:
			a.passage.Targets = max(a.passage.Targets, 1)
		}
	}
	return known
}

// contradicted reports whether a chain of longer or shorter frames has another speed
// for the same vehicle: then it is not known which of them is right.
func (p *Processor) contradicted(d *departure) bool {
	for _, c := range p.chains {
		if c != d.chain && c.Contradicts(&d.Departure) {
			return true
		}
	}
	return false
}

func (p *Processor) give(d departure) {
	if p.options.Observe != nil {
		p.options.Observe(d.passage, d.line)
	}
	if p.wiring != nil && (d.against || d.passage.Direction != sensor.DirectionUnknown) && d.passage.Valid() {
		p.wiring.count(d.against)
	}
	p.done = append(p.done, d.passage)
	d.passage, d.line = sensor.Passage{}, nil
	p.given = slices.DeleteFunc(p.given, func(g departure) bool { return p.seconds(d.Near-g.Near) > chain.KeepTime })
	p.given = append(p.given, d)
}

// decide gives out what has waited long enough, or all, unless another chain
// has given it out meanwhile.
func (p *Processor) decide(all bool) {
	now := int64(p.next - p.origin)
	for i := 0; i < len(p.awaiting); {
		d := p.awaiting[i]
		if !all && now < d.until && d.passage.Targets == 0 && p.followed(&d) {
			i++
			continue
		}
		p.awaiting = slices.Delete(p.awaiting, i, i+1)
		p.give(d)
	}
	for i := 0; i < len(p.doubtful); {
		d := p.doubtful[i]
		if !all && now < d.until {
			i++
			continue
		}
		p.doubtful = slices.Delete(p.doubtful, i, i+1)
		if !p.known(&d) {
			p.give(d)
		}
	}
}

func (p *Processor) seconds(samples float64) float64 { return samples / float64(p.format.Rate) }

// known reports whether another chain has given out the same vehicle.
func (p *Processor) known(d *departure) bool {
	return slices.ContainsFunc(p.given, func(g departure) bool { return p.same(d, &g) })
}

// same reports whether two departures are one vehicle. Of interrupted ones nothing but
// the time is sure.
func (p *Processor) same(d, g *departure) bool {
	if d.lost && min(d.To, g.To) > max(d.From, g.From) {
		return true
	}
	if math.Abs(d.Speed-g.Speed) > chain.SameSpeed*d.Speed {
		return false
	}
	// Where the image is strong, another chain may follow it instead of the line.
	image := (d.chain.Steady || g.chain.Steady) && math.Abs(d.Speed-g.Speed) < chain.InsideSpeed*d.Speed &&
		math.Abs(p.seconds(d.Near-g.Near)) < chain.PartTime
	if d.chain.Complex && d.Sign != g.Sign && !image {
		return false
	}
	// What one chain tells twice, it has told apart.
	two := d.chain != g.chain || d.joint != g.joint
	if two && math.Abs(p.seconds(d.Near-g.Near)) < max(chain.PartTime, chain.VehicleLength/d.Speed) {
		return true
	}
	// Of two tracks of one vehicle, that of the longer frames holds the other, and
	// one without a speed is a piece of that with one.
	if shared := min(d.To, g.To) - max(d.From, g.From); (two || d.speechless) && 2*shared > min(d.To-d.From, g.To-g.From) {
		return true
	}
	// A piece of a way, before or after the rest of it.
	gap := max(d.From-g.To, g.From-d.To)
	return (d.slant || g.slant) && p.seconds(float64(gap)) < pieceGap/d.Speed
}

// Break says that the signal was interrupted. Passages under way end with
// [sensor.ReasonLostSamples].
func (p *Processor) Break() {
	p.end(sensor.ReasonLostSamples)
	for _, c := range p.chains {
		c.Restart()
	}
	if p.wiring != nil {
		p.wiring.restart()
	}
	p.started, p.given = false, p.given[:0]
}

// Flush says that the signal has ended. A vehicle whose measuring zone is
// complete is a passage.
func (p *Processor) Flush() { p.end(0) }

func (p *Processor) end(reason sensor.Reason) {
	if p.holding {
		p.release()
	}
	for _, c := range p.chains {
		c.End(reason)
		p.collect(c)
	}
	if reason == 0 {
		p.join(true)
	}
	p.decide(true)
}

// join gives out the vehicles that only several chains together could measure.
func (p *Processor) join(ended bool) {
	for c := p.chains[0]; ; {
		v, ok := c.Join(p.chains, int64(p.next-p.origin), ended)
		if !ok {
			return
		}
		p.depart(c, &v, true)
	}
}

// Pop returns the oldest finished passage that was not returned yet.
func (p *Processor) Pop() (sensor.Passage, bool) {
	if len(p.done) == 0 {
		return sensor.Passage{}, false
	}
	first := p.done[0]
	p.done = slices.Delete(p.done, 0, 1)
	return first, true
}

// instant returns when a sample was, counted from the start of the signal.
func (p *Processor) instant(sample int64) sensor.Mono {
	return p.clock.at + sensor.Mono(p.span(int64(p.origin)+sample-int64(p.clock.index)))
}

// span returns how long n samples last.
func (p *Processor) span(n int64) time.Duration {
	whole, rest := n/int64(p.format.Rate), n%int64(p.format.Rate)
	return time.Duration(whole)*time.Second + time.Duration(rest)*time.Second/time.Duration(p.format.Rate)
}

// passage turns a measurement into what the sensor reports, and says whether its two
// witnesses of the direction contradict each other.
func (p *Processor) passage(c *chain.Chain, w geometry.Measurement, targets int) (q sensor.Passage, against bool) {
	o := p.options
	speed := w.Speed / c.Stretch
	// The half widths a, of which nothing else is known, give a/√3.
	uniform := speed / math.Sqrt(3)
	q = sensor.Passage{
		Start: p.instant(c.At(w.First)),
		End:   p.instant(c.At(w.Last)),
		Speed: sensor.SpeedFromMPS(speed),
		Budget: sensor.Budget{
			Noise:        up(w.Noise / c.Stretch),
			Angle:        up(speed * w.Deficit),
			Carrier:      up(uniform * float64(o.CarrierTolerance) / 1e6),
			Clock:        up(uniform * float64(o.ClockTolerance) / 1e6),
			Acceleration: up(w.Change / c.Stretch),
		},
		Targets:  targets,
		Readings: w.Readings,
		Reasons:  w.Reasons,
	}
	if !w.Slant && len(w.Reasons) == 0 { // the closest point was seen
		way := float64(o.PhotoRange) / 1000 / speed * float64(p.format.Rate)
		q.Photo = p.instant(int64(c.Place(w.Near) + w.Back()*way))
	}
	if speed > fastest && !slices.Contains(q.Reasons, sensor.ReasonOutOfRange) {
		q.Reasons = append(q.Reasons, sensor.ReasonOutOfRange)
		slices.Sort(q.Reasons)
	}
	if c.Complex {
		q.Direction, against = p.wiring.judge(&w)
	}
	if p.tape != nil {
		q.Trace = p.trace(c, w)
	}
	return q, against
}

// up converts an uncertainty, which is rounded up.
func up(mps float64) sensor.Speed { return sensor.Speed(math.Ceil(math.Min(mps, 1e4) * 360)) }
