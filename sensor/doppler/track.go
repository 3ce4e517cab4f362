package doppler

import (
	"math"
	"time"
)

const (
	maxTracks   = 24
	maxReadings = 2048 // of one track, about 25 s

	confirmHits   = 8                      // readings that make a line a track
	confirmMisses = 3                      // frames in a row without one that end a line before
	coastTime     = 330 * time.Millisecond // the same for a track
	backMisses    = 6                      // frames without a reading that end the way back

	gateBins     = 2.5 // about the expected frequency, in a steady track
	gateMost     = 16  // at most, however fast the frequency changes
	gainPosition = 0.8 // of the filter that predicts the next reading
	gainRate     = 0.4
	levelJump    = 18 // dB from one reading to the next that are no one vehicle's

	ghostLevel = 6  // dB by which a harmonic is weaker than its vehicle
	purity     = 55 // dB below a vehicle, where converters add lines of their own
	imageLevel = 10 // dB by which an image is weaker: less is no image rejection

	toneTime = 8 * time.Second // a line as steady as only a tone is, for this long
)

// A reading is one frame's line of one vehicle.
type reading struct {
	frame   int64
	f       float32 // in bins, negative when receding
	level   float32 // dB of the vehicle
	own     float32 // dB of the line
	snr     float32 // power ratio
	power   float32
	image   float32
	clipped bool
	line    bool
	tonal   bool
}

// A track is a line followed through the frames.
type track struct {
	number    int64 // running
	confirmed bool
	f, rate   float64 // expected in the next frame, in bins and bins a frame
	level     float64 // dB of the vehicle, smoothed
	own       float64 // dB of the line, smoothed
	misses    int
	watched   int // frames since the track was confirmed in which it had a reading
	ghosts    int // of them, those in which a stronger track explained the line
	readings  []reading
}

func (t *track) first() int64 { return t.readings[0].frame }
func (t *track) last() int64  { return t.readings[len(t.readings)-1].frame }

// gate returns how far from the expected frequency a reading may lie.
func (t *track) gate() float64 {
	g := gateBins + 0.8*math.Abs(t.rate) + 0.5*float64(t.misses)
	if !t.confirmed {
		g++
	}
	return min(g, gateMost)
}

// add takes a reading into the track and predicts the next.
func (t *track) add(r reading) {
	if n := len(t.readings); n == cap(t.readings) {
		if t.readings[n/8].level > t.readings[n-n/8].level {
			t.readings = t.readings[:n-1] // it goes away: what matters was first
		} else {
			t.readings = t.readings[:copy(t.readings, t.readings[n/4:])]
		}
	}
	off := float64(r.f) - t.f
	t.f += gainPosition * off
	t.rate += gainRate * off / float64(1+t.misses)
	t.level += 0.3 * (float64(r.level) - t.level)
	t.own += 0.3 * (float64(r.own) - t.own)
	t.misses = 0
	t.readings = append(t.readings, r)
	t.f += t.rate
}

// A tracker follows every line at once.
type tracker struct {
	tracks  []*track // at most maxTracks, strongest first
	free    []*track
	ended   []*track // confirmed ones that ended in the last frame
	number  int64
	coast   int // frames of coastTime
	tone    int // frames of toneTime
	history []frame
	scratch []reading
}

// A frame keeps the peaks of one frame for the way back.
type frame struct {
	number  int64
	clipped bool
	peaks   []peak
}

func newTracker(hop time.Duration) *tracker {
	t := &tracker{
		coast:   int(coastTime / hop),
		tone:    int(toneTime / hop),
		history: make([]frame, int(12*time.Second/hop)),
		tracks:  make([]*track, 0, maxTracks+1),
		free:    make([]*track, maxTracks),
		ended:   make([]*track, 0, maxTracks),
	}
	t.scratch = make([]reading, 0, len(t.history))
	for i := range t.history {
		t.history[i].number = -1
		t.history[i].peaks = make([]peak, 0, maxPeaks)
	}
	for i := range t.free {
		t.free[i] = &track{readings: make([]reading, 0, maxReadings)}
	}
	return t
}

// slot returns the place in the history for a frame.
func (t *tracker) slot(number int64) *frame {
	f := &t.history[number%int64(len(t.history))]
	f.number, f.peaks, f.clipped = number, f.peaks[:0], false
	return f
}

// update gives the peaks of one frame to the tracks and to new ones. The tracks
// that ended are in t.ended until the next call.
func (t *tracker) update(f *frame) {
	t.free = append(t.free, t.ended...)
	t.ended = t.ended[:0]
	for i := 1; i < len(t.tracks); i++ { // the stronger chooses first
		for j := i; j > 0 && before(t.tracks[j], t.tracks[j-1]); j-- {
			t.tracks[j], t.tracks[j-1] = t.tracks[j-1], t.tracks[j]
		}
	}
	alive := t.tracks[:0]
	for _, k := range t.tracks {
		t.follow(k, f)
		switch {
		case k.misses == 0 && !k.confirmed && len(k.readings) >= confirmHits:
			k.confirmed = true
			t.back(k)
			alive = append(alive, k)
		case k.confirmed && (k.misses > t.coast || k.sparse(f.number, t.coast)):
			t.ended = append(t.ended, k)
		case !k.confirmed && k.misses > confirmMisses:
			t.free = append(t.free, k)
		default:
			alive = append(alive, k)
		}
	}
	t.tracks = alive
	for i := range f.peaks {
		p := &f.peaks[i]
		if !p.taken && p.snr >= birthSNR && !p.line && len(t.free) > 0 && !t.explained(p.f, p.level, nil) {
			t.born(p, f)
		}
	}
}

// sparse reports whether the last readings lie so far apart that they are more
// likely noise.
func (t *track) sparse(now int64, coast int) bool {
	n := len(t.readings)
	return n > confirmHits && now-t.readings[n-confirmHits].frame > int64(coast+coast/2)
}

// weight orders tracks: the stronger comes first, and of two that are about as
// strong the one that has lasted.
func (t *track) weight() float64 {
	return t.level + 10*min(1, float64(len(t.readings))/80)
}

func before(a, b *track) bool {
	if a.confirmed != b.confirmed {
		return a.confirmed
	}
	return a.weight() > b.weight()
}

func (t *tracker) born(p *peak, f *frame) {
	k := t.free[len(t.free)-1]
	t.free = t.free[:len(t.free)-1]
	t.number++
	*k = track{number: t.number, f: float64(p.f), level: float64(p.level), own: float64(p.own), readings: k.readings[:0]}
	k.readings = append(k.readings, p.reading(f))
	p.taken = true
	t.tracks = append(t.tracks, k)
}

func (p *peak) reading(f *frame) reading {
	return reading{frame: f.number, f: p.f, level: p.level, own: p.own, snr: p.snr, power: p.power, image: p.image, clipped: f.clipped, line: p.line, tonal: p.tonal}
}

// choose returns the peak that fits a prediction best: near it in frequency and
// in level.
func choose(peaks []peak, f, gate, own float64, shared bool) *peak {
	var best *peak
	least := math.Inf(1)
	for i := range peaks {
		p := &peaks[i]
		off := math.Abs(float64(p.f) - f)
		if off > gate || p.taken && !shared || (p.f < 0) != (f < 0) {
			continue
		}
		dl := (float64(p.own) - own) / 12
		if 12*math.Abs(dl) > levelJump {
			continue
		}
		if miss := off*off/(gate*gate) + dl*dl; miss < least {
			best, least = p, miss
		}
	}
	return best
}

func (t *tracker) follow(k *track, f *frame) {
	p := choose(f.peaks, k.f, k.gate(), k.own, false)
	if p == nil {
		k.misses++
		k.rate *= 0.8
		k.f += k.rate
		return
	}
	p.taken = true
	k.add(p.reading(f))
	if !k.confirmed {
		return
	}
	k.watched++
	if t.explained(p.f, p.level, k) {
		k.ghosts++
	}
}

// explained reports whether a stronger track makes a line at f: a harmonic of
// its frequency, or its image at the mirror frequency.
func (t *tracker) explained(f, level float32, self *track) bool {
	for _, k := range t.tracks {
		if k == self || !k.confirmed || k.misses > 0 {
			continue
		}
		r := &k.readings[len(k.readings)-1]
		if r.level >= level+purity {
			return true
		}
		if r.level >= level+imageLevel && math.Abs(float64(f+r.f)) < 2.5 {
			return true
		}
		if r.level < level+ghostLevel {
			continue
		}
		order := math.Round(math.Abs(float64(f / r.f)))
		off := math.Abs(math.Abs(float64(f)) - order*math.Abs(float64(r.f)))
		if order >= 2 && off < max(2, 0.015*math.Abs(float64(f))) && off < 0.15*math.Abs(float64(r.f)) {
			return true
		}
	}
	return false
}

// back goes the way back from the first reading of a new track and takes up
// the weaker peaks that were not enough to begin one. Two vehicles of one speed
// share their line until the first leaves, so peaks of other tracks count too.
func (t *tracker) back(k *track) {
	n := float64(len(k.readings))
	var sx, sy, sxx, sxy float64
	for _, r := range k.readings {
		x, y := float64(r.frame-k.first()), float64(r.f)
		sx, sy, sxx, sxy = sx+x, sy+y, sxx+x*x, sxy+x*y
	}
	way := track{confirmed: true, f: float64(k.readings[0].f), level: float64(k.readings[0].level), own: float64(k.readings[0].own), readings: t.scratch[:0]}
	if d := n*sxx - sx*sx; d > 0 {
		way.rate = -(n*sxy - sx*sy) / d
	}
	way.f += way.rate
	for at := k.first() - 1; at >= 0 && way.misses <= backMisses && len(way.readings) < cap(way.readings); at-- {
		f := &t.history[at%int64(len(t.history))]
		if f.number != at {
			break
		}
		if p := choose(f.peaks, way.f, way.gate(), way.own, true); p != nil {
			way.add(p.reading(f))
			continue
		}
		way.misses++
		way.rate *= 0.8
		way.f += way.rate
	}
	m := len(way.readings)
	k.readings = k.readings[:len(k.readings)+m]
	copy(k.readings[m:], k.readings)
	for i, r := range way.readings {
		k.readings[m-1-i] = r
	}
}

// steady reports whether the last readings are as steady as those of a tone: a
// vehicle's line wanders by more than the noise, and its level changes.
func (t *tracker) steady(k *track) bool {
	return k.confirmed && k.misses == 0 && len(k.readings) >= t.tone && steady(k.readings[len(k.readings)-t.tone:])
}

func steady(recent []reading) bool {
	var f, ff, l, ll, inverse float64
	for _, r := range recent {
		df, dl := float64(r.f-recent[0].f), float64(r.level-recent[0].level)
		f, ff, l, ll = f+df, ff+df*df, l+dl, ll+dl*dl
		inverse += 1 / math.Sqrt(float64(r.snr))
	}
	n := float64(len(recent))
	sdF, sdL := math.Sqrt(max(ff/n-f*f/n/n, 0)), math.Sqrt(max(ll/n-l*l/n/n, 0))
	return sdF < 0.1+0.6*inverse/n && sdL < 0.5+6*inverse/n
}

// drop ends a track without giving it out.
func (t *tracker) drop(k *track) {
	for i, c := range t.tracks {
		if c == k {
			t.tracks = append(t.tracks[:i], t.tracks[i+1:]...)
			t.free = append(t.free, k)
			return
		}
	}
}

// endAll ends every track.
func (t *tracker) endAll() {
	t.free = append(t.free, t.ended...)
	t.ended = t.ended[:0]
	for _, k := range t.tracks {
		if k.confirmed {
			t.ended = append(t.ended, k)
		} else {
			t.free = append(t.free, k)
		}
	}
	t.tracks = t.tracks[:0]
}
