package chain

import (
	"math"

	"ciglio/sensor/doppler/geometry"
	"ciglio/sensor/doppler/lines"
)

// Another vehicle in the beam that has no track of its own shows in two ways: as
// a faint line at another frequency, and, where both have one speed, as a second
// fall of the frequency about a closest point. Neither tells a speed, only that
// somebody was there.
const (
	companyTime  = 0.7   // s for which a line must last
	companyDrift = 0.02  // of its frequency, or two bins, from one window to the next
	companyImage = 0.3   // share that the mirror frequency of a vehicle's line may have
	companyWay   = 25.0  // m behind the near end of a vehicle, in which the rest of it is
	companyReach = 150.0 // m of road over which a vehicle may be heard

	ownBins = 4.0  // about a vehicle's own line, in which nothing else is heard
	ownPart = 0.03 // the same, of its frequency: fading, and the far end of the body
	ownWeak = 20.0 // dB by which a harmonic is weaker than its vehicle

	toneKeep   = 2.5       // s after which a line as steady as no vehicle's is a tone
	toneLevel  = 1.5       // dB, the standard deviation of its level
	toneSpeed  = 150 / 3.6 // m/s: where the tones of amplifiers are, which wander, and few vehicles
	toneWander = 0.08      // of the frequency

	// The fall of a frequency from far to near is looked at where it lies clear
	// of the plateau. A narrow beam shows its upper part only.
	fallWhole, fallUpper = 0.35, 0.9 // distance over offset, the nearest
	fallCosine           = 0.94      // the farthest
	fallBins             = 6         // below the plateau
	fallFrames           = 14        // at least
	fallClip             = 24        // eighths of an octave over the noise: 9 dB, at which a frame is cut off
	fallMean             = 21.0      // of these, the mean of a line that is there all the way
	closeWeaker          = 15        // eighths of an octave, 5.6 dB: two cars differ by less, places of one body by more
	fallBeside           = 8         // bins beside, where a line is
	fallContrast         = 12        // eighths of an octave stronger than there: else it is the spread of something large
)

// company reports whether another vehicle was in the beam with v that has no
// track of its own.
func (c *Chain) company(v *Vehicle) bool {
	return c.heardBeside(v) || c.passedToo(v) || c.passedClose(v)
}

// A run is one line in windows that follow each other.
type run struct {
	f           float64
	first, last int64
	most        float32 // power over the noise
}

// heardBeside reports whether a line at another frequency was heard during a
// vehicle's track.
func (c *Chain) heardBeside(v *Vehicle) bool {
	runs := c.runs[:0]
	least := math.Inf(-1) // at the usual pace whatever is heard may be in the beam
	if c.Stretch > 1 {
		least = c.audibleRatio()
	}
	defer func() { c.runs = runs }()
	for _, l := range c.listener.Lines {
		speed := math.Abs(float64(l.F)) * c.gauge.MPS / c.Stretch
		if l.Frame < v.Measured.First || l.Frame > v.Measured.Last || speed < c.Low || l.Image > companyImage || c.explains(v, l) {
			continue
		}
		f := float64(l.F)
		known := -1
		for i := range runs {
			if r := &runs[i]; l.Frame > r.last && l.Frame-r.last <= 2*lines.PartFrames && math.Abs(f-r.f) <= max(2, companyDrift*math.Abs(f)) {
				known = i
			}
		}
		if known < 0 {
			runs = append(runs, run{f, l.Frame, l.Frame, l.Ratio})
			continue
		}
		r := &runs[known]
		r.f, r.last, r.most = f, l.Frame, max(r.most, l.Ratio)
		if float64(r.most) > least && c.lasts(*r) && !c.isTone(f) {
			return true
		}
	}
	return false
}

// lasts reports whether a run is long enough for a vehicle, and not too long.
func (c *Chain) lasts(r run) bool {
	seconds := float64(r.last-r.first) * c.gauge.Hop
	return seconds+lines.Window*c.gauge.Hop > companyTime && seconds*math.Abs(r.f)*c.gauge.MPS < companyReach
}

// isTone reports whether a line was heard over more road than a vehicle is, or as
// steadily as none.
func (c *Chain) isTone(f float64) bool {
	wide := 2.0
	if math.Abs(f)*c.gauge.MPS/c.Stretch > toneSpeed {
		wide = max(wide, toneWander*math.Abs(f))
	}
	var n, m, sum, squares float64
	for _, l := range c.listener.Lines {
		off := math.Abs(float64(l.F) - f)
		if off > wide {
			continue
		}
		n++
		if off <= 2 {
			m, sum, squares = m+1, sum+float64(l.Level), squares+float64(l.Level)*float64(l.Level)
		}
	}
	part := lines.PartFrames * c.gauge.Hop
	return n*part*math.Abs(f)*c.gauge.MPS > companyReach ||
		m*part > toneKeep && squares/m-sum/m*sum/m < toneLevel*toneLevel
}

// explains reports whether a line is a part of a vehicle, its harmonic or its
// image.
func (c *Chain) explains(v *Vehicle, l lines.Faint) bool {
	w := &v.Measured
	behind := (float64(l.Frame) - w.Near) * -w.Back() * c.gauge.Hop * w.Speed // m beyond the closest point
	if c.amidWheels(l.Frame, *w) || behind > 0 && behind < companyWay {
		return true
	}
	low, high := math.Inf(1), math.Inf(-1) // of the vehicle's line in the window
	for _, m := range v.trail {
		if math.Abs(float64(m.frame-l.Frame)) <= lines.Window/2+trailStep {
			low, high = min(low, float64(m.f)), max(high, float64(m.f))
		}
	}
	if low > high {
		low = c.plateau(w)
		high = low
	}
	at := func(times float64) bool {
		a, b := min(times*low, times*high), max(times*low, times*high)
		wide := max(ownBins, ownPart*max(math.Abs(a), math.Abs(b)))
		return float64(l.F) > a-wide && float64(l.F) < b+wide
	}
	weaker := w.Level - float64(l.Level)
	return at(1) || weaker > ownWeak && (at(2) || at(3) || at(-2)) || weaker > lines.ImageLevel && at(-1)
}

// plateau returns the frequency of a vehicle's line far from the sensor, in
// bins.
func (c *Chain) plateau(w *geometry.Measurement) float64 {
	return float64(w.Sign) * w.Speed / c.gauge.MPS
}

// passedToo reports whether another vehicle of the same speed passed the sensor
// while v was in the beam. Where the two share a line, the other one shows only
// in the fall of its frequency about its own closest point. It takes I and Q to
// know: in a real signal the spread of a long vehicle on its other way is there.
func (c *Chain) passedToo(v *Vehicle) bool {
	w := &v.Measured
	f := c.plateau(w)
	most := min(fallCosine, 1-fallBins/math.Abs(f))
	if !c.Complex || most < 0.75 { // too slow: the fall lies within the plateau's line
		return false
	}
	own := c.path(v)
	for _, near := range []float64{fallWhole, fallUpper} {
		for offset := 1.5; offset < 15; offset *= 1.35 {
			fall := fall{f: f, tau: offset / w.Speed / c.gauge.Hop, near: near, far: most / math.Sqrt(1-most*most)}
			for at := w.First; at < w.Last; at += 2 {
				if math.Abs(float64(at)-w.Near)*w.Speed*c.gauge.Hop < companyWay {
					continue
				}
				if c.falls(fall, at, w.Back(), own, v.first) {
					return true
				}
			}
		}
	}
	return false
}

// passedClose reports whether a line about as strong as v's fell about a closest
// point of its own while v was near: too near for the two to have lines of their own
// far from the sensor, and too strong for another place of one body.
func (c *Chain) passedClose(v *Vehicle) bool {
	w := &v.Measured
	f := c.plateau(w)
	most := min(fallCosine, 1-fallBins/math.Abs(f))
	if w.Slant || most < 0.75 { // too slow: the fall lies within the plateau's line
		return false
	}
	x := fall{f: f, tau: w.Tau, near: fallWhole, far: most / math.Sqrt(1-most*most)}
	way := w.Speed * c.gauge.Hop // m a frame
	from, to := int64(w.Near-companyWay/way), int64(w.Near+companyWay/way)
	top, strongest := int64(0), 0.0
	for at := from; at <= to; at++ {
		if s, contrast, ok := c.strengthOf(x, at, w.Back(), math.MinInt64); ok && s > strongest && contrast > fallContrast {
			top, strongest = at, s
		}
	}
	second := 0.0
	for at := from; at <= to && strongest > 0; at++ {
		if math.Abs(float64(at-top))*way < bodyRigid {
			continue
		}
		if s, contrast, ok := c.strengthOf(x, at, w.Back(), top); ok && s > second && contrast > fallContrast {
			second = s
		}
	}
	return second > 0 && strongest-second < closeWeaker
}

// strengthOf returns the mean power over the noise along a fall about the closest
// point in frame at, and by how much it stands above what lies beside it, in eighths
// of an octave. What is near the same fall about the frame other tells nothing.
func (c *Chain) strengthOf(x fall, at int64, back float64, other int64) (power, contrast float64, ok bool) {
	from, to := at+int64(back*x.near*x.tau), at+int64(back*x.far*x.tau)
	if from > to {
		from, to = to, from
	}
	if from < max(0, c.number-c.listener.Kept()+1) || to >= c.number {
		return 0, 0, false
	}
	n, sum, beside := 0, 0, 0
	for j := from; j <= to; j++ {
		f := x.at(float64(j-at) * back)
		if other != math.MinInt64 && math.Abs(f-x.at(float64(j-other)*back)) < ownBins {
			continue
		}
		r, ok := c.listener.Ratio(c.detector, j, f)
		above, okAbove := c.listener.Ratio(c.detector, j, f+fallBeside)
		below, okBelow := c.listener.Ratio(c.detector, j, f-fallBeside)
		if !ok || !okAbove || !okBelow {
			return 0, 0, false
		}
		n, sum, beside = n+1, sum+r, beside+(above+below)/2
	}
	if n < geometry.FallReadings || 2*n < int(to-from) {
		return 0, 0, false
	}
	return float64(sum) / float64(n), float64(sum-beside) / float64(n), true
}

// A fall is the way of a frequency about a closest point.
type fall struct {
	f         float64 // bins, the plateau
	tau       float64 // frames in which the vehicle goes as far as it passes aside
	near, far float64 // distance over offset between which it is looked at
}

// at returns the frequency so many frames before the closest point, in bins.
func (x *fall) at(frames float64) float64 { return x.f * frames / math.Hypot(frames, x.tau) }

// falls reports whether a line follows a fall about the closest point in frame
// at, whose far end lies after it (back is 1) or before it (-1). What lies near
// the vehicle's own line, which begins in frame first, tells nothing.
func (c *Chain) falls(x fall, at int64, back float64, own []float32, first int64) bool {
	from, to := at+int64(back*x.near*x.tau), at+int64(back*x.far*x.tau)
	if from > to {
		from, to = to, from
	}
	if from < max(0, c.number-c.listener.Kept()+1) || to >= c.number {
		return false
	}
	n, sum, contrast := 0, 0, 0
	for j := from; j <= to; j++ {
		u := math.Abs(float64(j-at)) / x.tau
		f := x.f * u / math.Sqrt(1+u*u)
		if i := j - first; i >= 0 && i < int64(len(own)) && (own[i] == 0 || math.Abs(f-float64(own[i])) < max(ownBins+2, 0.05*math.Abs(f))) {
			continue
		}
		r, ok := c.listener.Ratio(c.detector, j, f)
		above, okAbove := c.listener.Ratio(c.detector, j, f+fallBeside)
		below, okBelow := c.listener.Ratio(c.detector, j, f-fallBeside)
		if !ok || !okAbove || !okBelow {
			return false
		}
		n, sum, contrast = n+1, sum+min(r, fallClip), contrast+r-(above+below)/2
		if n == fallFrames && sum < n*fallClip*2/3 {
			return false // not even near it
		}
	}
	return n >= fallFrames && float64(sum) > fallMean*float64(n) && contrast > fallContrast*n
}

// path returns the frequency of a vehicle's line in each frame of its track, 0
// where it has gaps. It is valid until the next call.
func (c *Chain) path(v *Vehicle) []float32 {
	const most = 30 // frames between marks that a straight line joins
	n := int(v.last - v.first + 1)
	for cap(c.own) < n {
		c.own = make([]float32, 2*n)
	}
	path := c.own[:n]
	clear(path)
	for i := 1; i < len(v.trail); i++ {
		a, b := v.trail[i-1], v.trail[i]
		if b.frame-a.frame > most {
			continue
		}
		for j := a.frame; j <= b.frame; j++ {
			path[j-v.first] = a.f + (b.f-a.f)*float32(j-a.frame)/float32(b.frame-a.frame)
		}
	}
	return path
}
