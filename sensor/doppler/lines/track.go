package lines

import (
	"math"
	"time"
)

const (
	maxTracks   = 24
	MaxReadings = 2048 // of one track, about 25 s

	ConfirmHits   = 8                      // readings that make a line a track
	confirmMisses = 3                      // frames in a row without one that end a line before
	coastTime     = 330 * time.Millisecond // the same for a track
	backMisses    = 6                      // frames without a reading that end the way back

	gateBins     = 2.5 // about the expected frequency, in a steady track
	gateMost     = 16  // at most, however fast the frequency changes
	gainPosition = 0.8 // of the filter that predicts the next reading
	gainRate     = 0.4
	levelJump    = 18 // dB from one reading to the next that are no one vehicle's

	GhostLevel = 6  // dB by which a harmonic is weaker than its vehicle
	purity     = 55 // dB below a vehicle, where converters add lines of their own
	ImageLevel = 10 // dB by which an image is weaker: less is no image rejection

	toneTime = 8 * time.Second // a line as steady as only a tone is, for this long
)

// A Reading is one frame's line of one vehicle.
type Reading struct {
	Frame   int64
	F       float32 // in bins, negative when receding
	Level   float32 // dB of the vehicle
	Own     float32 // dB of the line
	SNR     float32 // power ratio
	Power   float32
	Image   float32
	Clipped bool
	Line    bool
	Tonal   bool
}

// A Track is a line followed through the frames.
type Track struct {
	number    int64 // running
	Confirmed bool
	F, Rate   float64 // expected in the next frame, in bins and bins a frame
	Level     float64 // dB of the vehicle, smoothed
	Own       float64 // dB of the line, smoothed
	Misses    int
	Watched   int // frames since the track was confirmed in which it had a reading
	Ghosts    int // of them, those in which a stronger track explained the line
	Readings  []Reading
}

func (t *Track) First() int64 { return t.Readings[0].Frame }
func (t *Track) Last() int64  { return t.Readings[len(t.Readings)-1].Frame }

// gate returns how far from the expected frequency a reading may lie.
func (t *Track) gate() float64 {
	g := gateBins + 0.8*math.Abs(t.Rate) + 0.5*float64(t.Misses)
	if !t.Confirmed {
		g++
	}
	return min(g, gateMost)
}

// add takes a reading into the track and predicts the next.
func (t *Track) add(r Reading) {
	if n := len(t.Readings); n == cap(t.Readings) {
		if t.Readings[n/8].Level > t.Readings[n-n/8].Level {
			t.Readings = t.Readings[:n-1] // it goes away: what matters was first
		} else {
			t.Readings = t.Readings[:copy(t.Readings, t.Readings[n/4:])]
		}
	}
	off := float64(r.F) - t.F
	t.F += gainPosition * off
	t.Rate += gainRate * off / float64(1+t.Misses)
	t.Level += 0.3 * (float64(r.Level) - t.Level)
	t.Own += 0.3 * (float64(r.Own) - t.Own)
	t.Misses = 0
	t.Readings = append(t.Readings, r)
	t.F += t.Rate
}

// A Follower follows every line at once.
type Follower struct {
	Tracks  []*Track // at most maxTracks, strongest first
	free    []*Track
	Ended   []*Track // confirmed ones that ended in the last frame
	number  int64
	coast   int // frames of coastTime
	tone    int // frames of toneTime
	history []frame
	scratch []Reading
}

// A Frame keeps the peaks of one frame for the way back.
type frame struct {
	Number  int64
	Clipped bool
	Peaks   []Peak
}

func NewFollower(hop time.Duration) *Follower {
	t := &Follower{
		coast:   int(coastTime / hop),
		tone:    int(toneTime / hop),
		history: make([]frame, int(12*time.Second/hop)),
		Tracks:  make([]*Track, 0, maxTracks+1),
		free:    make([]*Track, maxTracks),
		Ended:   make([]*Track, 0, maxTracks),
	}
	t.scratch = make([]Reading, 0, len(t.history))
	t.Restart()
	for i := range t.history {
		t.history[i].Peaks = make([]Peak, 0, MaxPeaks)
	}
	for i := range t.free {
		t.free[i] = &Track{Readings: make([]Reading, 0, MaxReadings)}
	}
	return t
}

// Restart forgets the frames, for a signal that begins anew.
func (t *Follower) Restart() {
	for i := range t.history {
		t.history[i].Number = -1
	}
}

// Slot returns the place in the history for a frame.
func (t *Follower) Slot(number int64) *frame {
	f := &t.history[number%int64(len(t.history))]
	f.Number, f.Peaks, f.Clipped = number, f.Peaks[:0], false
	return f
}

// Update gives the peaks of one frame to the tracks and to new ones. The tracks
// that ended are in t.ended until the next call.
func (t *Follower) Update(f *frame) {
	t.free = append(t.free, t.Ended...)
	t.Ended = t.Ended[:0]
	for i := 1; i < len(t.Tracks); i++ { // the stronger chooses first
		for j := i; j > 0 && before(t.Tracks[j], t.Tracks[j-1]); j-- {
			t.Tracks[j], t.Tracks[j-1] = t.Tracks[j-1], t.Tracks[j]
		}
	}
	alive := t.Tracks[:0]
	for _, k := range t.Tracks {
		t.follow(k, f)
		switch {
		case k.Misses == 0 && !k.Confirmed && len(k.Readings) >= ConfirmHits:
			k.Confirmed = true
			t.back(k)
			alive = append(alive, k)
		case k.Confirmed && (k.Misses > t.coast || k.sparse(f.Number, t.coast)):
			t.Ended = append(t.Ended, k)
		case !k.Confirmed && k.Misses > confirmMisses:
			t.free = append(t.free, k)
		default:
			alive = append(alive, k)
		}
	}
	t.Tracks = alive
	for i := range f.Peaks {
		p := &f.Peaks[i]
		if !p.taken && p.snr >= birthSNR && !p.line && len(t.free) > 0 && !t.explained(p.F, p.level, nil) {
			t.born(p, f)
		}
	}
}

// sparse reports whether the last readings lie so far apart that they are more
// likely noise.
func (t *Track) sparse(now int64, coast int) bool {
	n := len(t.Readings)
	return n > ConfirmHits && now-t.Readings[n-ConfirmHits].Frame > int64(coast+coast/2)
}

// weight orders tracks: the stronger comes first, and of two that are about as
// strong the one that has lasted.
func (t *Track) weight() float64 {
	return t.Level + 10*min(1, float64(len(t.Readings))/80)
}

func before(a, b *Track) bool {
	if a.Confirmed != b.Confirmed {
		return a.Confirmed
	}
	return a.weight() > b.weight()
}

func (t *Follower) born(p *Peak, f *frame) {
	k := t.free[len(t.free)-1]
	t.free = t.free[:len(t.free)-1]
	t.number++
	*k = Track{number: t.number, F: float64(p.F), Level: float64(p.level), Own: float64(p.own), Readings: k.Readings[:0]}
	k.Readings = append(k.Readings, p.reading(f))
	p.taken = true
	t.Tracks = append(t.Tracks, k)
}

func (p *Peak) reading(f *frame) Reading {
	return Reading{Frame: f.Number, F: p.F, Level: p.level, Own: p.own, SNR: p.snr, Power: p.power, Image: p.image, Clipped: f.Clipped, Line: p.line, Tonal: p.tonal}
}

// choose returns the peak that fits a prediction best: near it in frequency and
// in level.
func choose(peaks []Peak, f, gate, own float64, shared bool) *Peak {
	var best *Peak
	least := math.Inf(1)
	for i := range peaks {
		p := &peaks[i]
		off := math.Abs(float64(p.F) - f)
		if off > gate || p.taken && !shared || (p.F < 0) != (f < 0) {
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

func (t *Follower) follow(k *Track, f *frame) {
	p := choose(f.Peaks, k.F, k.gate(), k.Own, false)
	if p == nil {
		k.Misses++
		k.Rate *= 0.8
		k.F += k.Rate
		return
	}
	p.taken = true
	k.add(p.reading(f))
	if !k.Confirmed {
		return
	}
	k.Watched++
	if t.explained(p.F, p.level, k) {
		k.Ghosts++
	}
}

// explained reports whether a stronger track makes a line at f: a harmonic of
// its frequency, or its image at the mirror frequency.
func (t *Follower) explained(f, level float32, self *Track) bool {
	for _, k := range t.Tracks {
		if k == self || !k.Confirmed || k.Misses > 0 {
			continue
		}
		r := &k.Readings[len(k.Readings)-1]
		if r.Level >= level+purity {
			return true
		}
		if r.Level >= level+ImageLevel && math.Abs(float64(f+r.F)) < 2.5 {
			return true
		}
		if r.Level < level+GhostLevel {
			continue
		}
		order := math.Round(math.Abs(float64(f / r.F)))
		off := math.Abs(math.Abs(float64(f)) - order*math.Abs(float64(r.F)))
		if order >= 2 && off < max(2, 0.015*math.Abs(float64(f))) && off < 0.15*math.Abs(float64(r.F)) {
			return true
		}
	}
	return false
}

// back goes the way back from the first reading of a new track and takes up
// the weaker peaks that were not enough to begin one. Two vehicles of one speed
// share their line until the first leaves, so peaks of other tracks count too.
func (t *Follower) back(k *Track) {
	n := float64(len(k.Readings))
	var sx, sy, sxx, sxy float64
	for _, r := range k.Readings {
		x, y := float64(r.Frame-k.First()), float64(r.F)
		sx, sy, sxx, sxy = sx+x, sy+y, sxx+x*x, sxy+x*y
	}
	way := Track{Confirmed: true, F: float64(k.Readings[0].F), Level: float64(k.Readings[0].Level), Own: float64(k.Readings[0].Own), Readings: t.scratch[:0]}
	if d := n*sxx - sx*sx; d > 0 {
		way.Rate = -(n*sxy - sx*sy) / d
	}
	way.F += way.Rate
	for at := k.First() - 1; at >= 0 && way.Misses <= backMisses && len(way.Readings) < cap(way.Readings); at-- {
		f := &t.history[at%int64(len(t.history))]
		if f.Number != at {
			break
		}
		if p := choose(f.Peaks, way.F, way.gate(), way.Own, true); p != nil {
			way.add(p.reading(f))
			continue
		}
		way.Misses++
		way.Rate *= 0.8
		way.F += way.Rate
	}
	m := len(way.Readings)
	k.Readings = k.Readings[:len(k.Readings)+m]
	copy(k.Readings[m:], k.Readings)
	for i, r := range way.Readings {
		k.Readings[m-1-i] = r
	}
}

// Steady reports whether the last readings are as steady as those of a tone: a
// vehicle's line wanders by more than the noise, and its level changes.
func (t *Follower) Steady(k *Track) bool {
	return k.Confirmed && k.Misses == 0 && len(k.Readings) >= t.tone && Steady(k.Readings[len(k.Readings)-t.tone:])
}

func Steady(recent []Reading) bool {
	var f, ff, l, ll, inverse float64
	for _, r := range recent {
		df, dl := float64(r.F-recent[0].F), float64(r.Level-recent[0].Level)
		f, ff, l, ll = f+df, ff+df*df, l+dl, ll+dl*dl
		inverse += 1 / math.Sqrt(float64(r.SNR))
	}
	n := float64(len(recent))
	sdF, sdL := math.Sqrt(max(ff/n-f*f/n/n, 0)), math.Sqrt(max(ll/n-l*l/n/n, 0))
	return sdF < 0.1+0.6*inverse/n && sdL < 0.5+6*inverse/n
}

// Drop ends a track without giving it out.
func (t *Follower) Drop(k *Track) {
	for i, c := range t.Tracks {
		if c == k {
			t.Tracks = append(t.Tracks[:i], t.Tracks[i+1:]...)
			t.free = append(t.free, k)
			return
		}
	}
}

// EndAll ends every track.
func (t *Follower) EndAll() {
	t.free = append(t.free, t.Ended...)
	t.Ended = t.Ended[:0]
	for _, k := range t.Tracks {
		if k.Confirmed {
			t.Ended = append(t.Ended, k)
		} else {
			t.free = append(t.free, k)
		}
	}
	t.Tracks = t.Tracks[:0]
}
