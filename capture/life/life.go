// Package life finds out from the pictures in the ring whether a camera still sees
// the road: whether they change, come fast enough, are sharp and are exposed.
//
// What it keeps true: it only reads the ring, keeps numbers and never a picture,
// and says nothing of what it cannot know. A finding is returned while it holds;
// how long it then stands is for the device to say.
//
//	camera_frozen    the same picture byte for byte for 5 s, or up to 8 in turn, as
//	                 from buffers that nobody fills; or for 30 s the same
//	                 pixels in four of five cells that show any texture, whatever a
//	                 text in the picture or a header of the file does. A sensor has
//	                 noise, and a road has light: pixels of a texture never stay.
//	                 A dark picture may stay the same: noise is below its steps.
//	camera_slow      fewer pictures a second than 2·v/L, with v the highest speed
//	                 that is assessed and L the length of road around the photo
//	                 position in which a vehicle is of use: from 0.7 to 1.3 times
//	                 its distance. So every vehicle gives two pictures there.
//	camera_unsharp   for a minute, fine detail below a quarter of what this camera
//	                 shows at this site in the same kind of light, its noise left
//	                 out: what was learnt at dusk holds at noon, and after a
//	                 restart ([Normal]). Or a picture of one brightness, as behind
//	                 a cover.
//	camera_exposure  for a minute, half of the picture white, or all of it dark while
//	                 the sun is more than 3° high. At night a road may be dark.
//
// The bytes and the pace are those of every frame. For the rest one picture in 5 s
// is decoded, or fewer: a look takes at most a twentieth of one processor's time. Of
// a picture of more than 8 megapixels only the mean of each block of 8 by 8 pixels is
// read, so that its fine detail is that of 16 pixels and more.
package life

import (
	"context"
	"slices"
	"sync"
	"time"

	"ciglio/capture"
	"ciglio/sensor"
)

// The codes of the findings.
const (
	Frozen   = "camera_frozen"
	Slow     = "camera_slow"
	Unsharp  = "camera_unsharp"
	Exposure = "camera_exposure"
)

// Bounds of the findings.
const (
	frozenBytes  = 5 * time.Second
	frozenPixels = 30 * time.Second
	bad          = time.Minute // that a picture must be without detail or light

	equalShare  = 0.8 // of textured cells: more is the same picture
	leastCells  = 12  // that must show texture to say so
	dim         = 24  // brightness that a dark picture hardly exceeds
	flat        = 10  // steps between bright and dark that show anything
	whiteShare  = 0.5
	detailShare = 0.25
	byDay       = 3.0 // degrees of the sun above the horizon

	lookEvery = 5 * time.Second
	costShare = 20 // a look may take one part in so many of the time

	paceWindow = 6 * time.Second
	paceLeast  = 2 * time.Second // over which a pace can be told, or by enough pictures
	paceEnough = 8
	paceSlack  = 0.95
	stale      = 5 * time.Second // without a picture others say so

	learning = 24      // looks that make a normal
	drift    = 1.00002 // by which it may change from look to look, 1.4 times a day at most
)

// Options says what is to be expected of a camera.
type Options struct {
	Model string
	// Fastest is the highest speed that is assessed, and PhotoRange the distance of
	// the photo position in metres.
	Fastest    sensor.Speed
	PhotoRange float64
	// North and East say where the camera stands, in degrees.
	North, East float64
	// Noiseless says that the camera is simulated, with pictures that hold no noise:
	// they are judged by their bytes alone. nil means a real one.
	Noiseless func() bool
	// Normal is what was learnt of the camera before; zero for nothing.
	Normal Normal
}

// A Watch looks at the pictures in a ring. Run and Findings may be called at any
// time by any goroutine.
type Watch struct {
	ring *capture.Ring
	o    Options

	mu      sync.Mutex
	any     bool        // a picture was looked at
	held    *look       // the first of those that show the same
	since   sensor.Mono // its instant
	last    *look
	at      sensor.Mono // instant of the last one
	normals [2]normal   // of dark and of bright pictures
	width   int         // pixels of the pictures that they are of
	height  int
	normal  float64 // that the last look was compared with, 0 for none
	unsharp spell
	flat    spell
	white   spell
	dark    spell
}

// A spell is a state that lasts.
type spell struct {
	on   bool
	from sensor.Mono
}

func (s *spell) set(on bool, at sensor.Mono) {
	if on && !s.on {
		s.from = at
	}
	s.on = on
}

// lasts reports whether the state has held for at least d until t.
func (s *spell) lasts(t sensor.Mono, d time.Duration) bool { return s.on && t.Sub(s.from) >= d }

// A normal is the detail that a camera usually shows.
type normal struct {
	looks []float64 // of the first, while they are few
	value float64   // 0 until it is learned
}

// New returns a watch of the pictures in a ring.
func New(ring *capture.Ring, o Options) *Watch {
	n := o.Normal
	return &Watch{ring: ring, o: o, width: n.Width, height: n.Height, normals: [2]normal{{value: n.Dark}, {value: n.Bright}}}
}

// Run looks at a picture now and then until ctx ends, and returns ctx.Err().
func (w *Watch) Run(ctx context.Context, clock sensor.Clock) error {
	return w.ring.Watch(ctx, clock, lookEvery, costShare, w.Look)
}

// Look takes a picture that was taken about utc into account. It keeps no reference
// to it. What cannot be decoded says nothing.
func (w *Watch) Look(f capture.Frame, utc time.Time) {
	w.mu.Lock()
	seen := w.any && f.At <= w.at
	w.mu.Unlock()
	if seen {
		return
	}
	l, err := see(f.Data)
	if err != nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.any, w.last, w.at = true, l, f.At
	if w.held == nil || !same(w.held, l) {
		w.held, w.since = l, f.At
	}
	dark := l.high <= dim
	w.dark.set(dark && Sun(utc, w.o.North, w.o.East) > byDay, f.At)
	w.white.set(l.white >= whiteShare, f.At)
	w.flat.set(!dark && l.white < whiteShare && l.high-l.low < flat, f.At)
	w.unsharp.set(w.blurred(l), f.At)
}

// same reports whether two looks are of one picture, as far as that can be told.
func same(a, b *look) bool {
	textured, share := a.same(b)
	return textured >= leastCells && share >= equalShare
}

// blurred compares a look with the normal of its kind of light, and learns from it
// when it is not blurred. The caller holds mu.
func (w *Watch) blurred(l *look) bool {
	w.normal = 0
	if l.high-l.low < flat || l.white >= whiteShare {
		return false // that is another finding, or night
	}
	if l.width != w.width || l.height != w.height {
		w.width, w.height, w.normals = l.width, l.height, [2]normal{} // others show another detail
	}
	n := &w.normals[0]
	if l.mean >= 64 {
		n = &w.normals[1]
	}
	if n.value == 0 {
		if n.looks = append(n.looks, l.detail); len(n.looks) >= learning {
			slices.Sort(n.looks)
			n.value, n.looks = n.looks[learning/2], nil
		}
		return false
	}
	w.normal = n.value
	switch {
	case l.detail < detailShare*n.value:
		return true
	case l.detail > n.value:
		n.value *= drift
	default:
		n.value /= drift
	}
	return false
}

// Findings returns what is wrong with the pictures at the instant now. It never
// waits for one.
func (w *Watch) Findings(now sensor.Mono) (all []sensor.Finding) {
	camera := "camera " + w.o.Model
	find := func(code, about string, fact sensor.Fact) {
		all = append(all, sensor.Finding{Code: code, About: camera + about, Facts: []sensor.Fact{fact}})
	}
	since, newest, ok := w.ring.Still()
	if !ok || now.Sub(newest) > stale {
		return nil // it gives no pictures at all
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	noiseless := w.o.Noiseless != nil && w.o.Noiseless()
	dark := w.any && w.last.high <= dim
	switch {
	case dark:
	case newest.Sub(since) >= frozenBytes:
		find(Frozen, " is frozen", sensor.Fact{Key: "camera_frozen_bytes", Words: "it gives the same pictures again, byte for byte, for {since}",
			Args: sensor.Args{"since": seconds(newest.Sub(since))}})
	case w.any && !noiseless && w.at.Sub(w.since) >= frozenPixels:
		find(Frozen, " is frozen", sensor.Fact{Key: "camera_frozen_pixels", Words: "the road has not changed in any pixel for {since}, only a text in the picture or a header may have",
			Args: sensor.Args{"since": seconds(w.at.Sub(w.since))}})
	}
	if len(all) == 0 {
		if pace, need, known := w.pace(newest); known && pace < paceSlack*need {
			zone := zoneShare * w.o.PhotoRange
			all = append(all, sensor.Finding{Code: Slow, Facts: []sensor.Fact{{Key: "camera_slow", Words: "camera {model} gives {pace:bare} pictures a second: a vehicle of {speed} is in the {zone} around the photo position for {stay}, and two pictures of it there need {need:bare} a second",
				Args: sensor.Args{"model": w.o.Model, "pace": sensor.PerSecond.Of(pace, 1), "speed": w.o.Fastest, "zone": sensor.Metres.Of(zone, 1),
					"stay": sensor.Seconds.Of(zone/w.o.Fastest.MPS(), 2), "need": sensor.PerSecond.Of(need, 1)}}}})
		}
	}
	switch {
	case w.flat.lasts(w.at, bad):
		find(Unsharp, " shows nothing", sensor.Fact{Key: "camera_unsharp_flat", Words: "the whole picture has one brightness ({low} to {high} of 255). Is the lens covered, or in fog?",
			Args: sensor.Args{"low": int(w.last.low), "high": int(w.last.high)}})
	case w.unsharp.lasts(w.at, bad):
		find(Unsharp, " is not sharp", sensor.Fact{Key: "camera_unsharp_detail", Words: "its pictures show {detail} of the detail that is normal here. Is the lens dirty, wet or out of focus?",
			Args: sensor.Args{"detail": sensor.Percent.Of(100*w.last.detail/w.normal, 0)}})
	}
	switch {
	case w.white.lasts(w.at, bad):
		find(Exposure, " is overexposed", sensor.Fact{Key: "camera_exposure_white", Words: "{white} of the picture is white", Args: sensor.Args{"white": sensor.Percent.Of(100*w.last.white, 0)}})
	case w.dark.lasts(w.at, bad):
		find(Exposure, " is dark by day", sensor.Fact{Key: "camera_exposure_dark", Words: "95 % of the picture is below {below} of 255. Is the lens covered, or the exposure set for the night?",
			Args: sensor.Args{"below": int(w.last.high) + 1}})
	}
	return all
}

// zoneShare is the length of road around the photo position in which a vehicle is
// of use, of the distance of that position.
const zoneShare = 0.6

// pace returns how many pictures a second come and are needed, and whether that can
// be told: a camera that stands still gives none, and it is not the pace. In the
// dark pictures may be the same, and all count.
func (w *Watch) pace(newest sensor.Mono) (pace, need float64, known bool) {
	pictures, over := w.ring.Pace(newest.Add(-paceWindow), w.any && w.last.high <= dim)
	if pictures < 2 || over < paceLeast && pictures < paceEnough || w.o.PhotoRange <= 0 {
		return 0, 0, false
	}
	return float64(pictures-1) / over.Seconds(), 2 * w.o.Fastest.MPS() / (zoneShare * w.o.PhotoRange), true
}

func seconds(d time.Duration) sensor.Figure { return sensor.Seconds.Of(d.Seconds(), 0) }
