// Package aim finds out from the pictures in the ring whether a camera still looks
// where it was aimed: by marks in the picture that do not move, the corners of
// whatever stands at the site.
//
// What it keeps true: it only reads the ring, keeps numbers and small parts of the
// picture in which nothing moves, and says nothing of what it cannot know. A finding
// is returned while it holds; how long it then stands is for the device to say.
//
//	aim_camera   the picture has moved against its marks by more than [TurnBound]
//	             in any direction or about its middle, or has grown or shrunk by more
//	             than 2 %: by the median of the last 24 looks, of which 16 must
//	             agree. A camera that is turned is found within 3 minutes while its
//	             marks can be seen.
//	aim_covered  a part of the picture whose marks were always seen shows none of
//	             them for 25 minutes of looks by day, while the rest is in its
//	             place: a quarter of the marks, side by side.
//	aim_lost     by day no marks are found anywhere for 10 minutes, in pictures
//	             that show enough: the camera looks elsewhere, or is covered.
//
// A look reduces one picture in 5 s to 160 to 319 pixels across, or fewer pictures: it takes
// at most a twentieth of one processor's time. The marks are patches of the median of
// 24 pictures in 12 minutes, one in each of 10 by 6 parts of it, chosen by the smaller eigenvalue of
// their gradients (Shi and Tomasi), so that each tells both directions; what moved meanwhile is
// none. In a picture each is searched by normalised cross-correlation,
// which no exposure changes, to a fraction of a pixel. Shift, turn and size are those
// that most of the marks agree on: vehicles, shadows, rain on the lens and text that
// the camera writes are outvoted. Vibration is in the median.
//
// By day and by night other marks are seen, and each has its own: day is while the
// sun is more than 3° above the horizon, night while it is more than 6° below. In
// between those of the day are looked for, and where they are not seen nothing is said.
//
// The normal is learnt once and does not follow the pictures: a camera that turns by
// little a day is found as one that turns at once. Only [Watch.Renew] forgets it.
package aim

import (
	"context"
	"math"
	"slices"
	"sync"
	"time"

	"ciglio/capture"
	"ciglio/capture/life"
	"ciglio/sensor"
)

// The codes of the findings.
const (
	Turned  = "aim_camera"
	Covered = "aim_covered"
	Lost    = "aim_lost"
)

// TurnBound is the turn of the camera in degrees above which it is found.
const TurnBound = 0.5

// Bounds of the findings.
const (
	growBound = 0.02
	usualView = 60.0 // degrees across the picture, where nobody has said

	lookEvery  = 5 * time.Second
	learnEvery = 30 * time.Second // 12 minutes: what crawls, as drops on the lens do, is no mark
	costShare  = 20               // a look may take one part in so many of the time

	recent      = 24 // poses that are kept
	enough      = 16 // of them that tell
	recentLasts = 10 * time.Minute
	sway        = 2.0 // pixels of the reduced picture, of each of these against their median

	lostAfter  = 10 * time.Minute
	goneAfter  = 25 * time.Minute
	goneShare  = 0.05 // of looks, in which a mark may be found by chance
	goneMarks  = 0.25
	provenOver = 2880 // looks, 4 hours: marks that were seen in nine of ten of these are always seen
	provenIn   = 0.9
	goneWeight = 1.0 / 100

	dayFrom   = 3.0
	nightFrom = -6.0
)

// Options says what is known of a camera.
type Options struct {
	Model string
	// View is the angle across the picture in degrees; 0 for not known: then the
	// bounds are those of 60°, and the findings are in pixels.
	View float64
	// North and East say where the camera stands, in degrees.
	North, East float64
	// Normal is what was learnt of the camera before; zero for nothing.
	Normal Normal
}

// A Watch looks at the pictures in a ring. Its methods may be called at any time by
// any goroutine.
type Watch struct {
	o Options

	mu     sync.Mutex
	normal Normal
	views  [2]view // by day and by night
	at     sensor.Mono
	any    bool
	last   int         // the light of the last look
	lost   bool        // by day no marks were found
	since  sensor.Mono // instant of the first look that found none
}

// The lights, each with its own marks.
const (
	day = iota
	night
)

// A view is what is known of the pictures in one light.
type view struct {
	learning []*small    // those looked at so far, while its marks are not known
	learnt   sensor.Mono // instant of the last of them
	poses    []posedAt   // the last ones
	seen     []float64   // by the mark: share of the last looks that saw it
	looks    int         // that judged them
}

type posedAt struct {
	pose
	at sensor.Mono
}

// New returns a watch.
func New(o Options) *Watch {
	w := &Watch{o: o, normal: o.Normal}
	w.begin()
	return w
}

// begin forgets what was seen. The caller holds mu.
func (w *Watch) begin() {
	w.views, w.lost = [2]view{}, false
	for light := range w.views {
		w.views[light].begin(len(w.normal.Lights[light].Marks))
	}
}

func (v *view) begin(marks int) {
	*v = view{seen: make([]float64, marks)}
	for i := range v.seen {
		v.seen[i] = 1
	}
}

// Renew forgets the normal: the marks are learnt anew from the next pictures. It is
// for whoever has seen that the camera is aimed.
func (w *Watch) Renew() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.normal = Normal{}
	w.begin()
}

// Normal returns what was learnt so far, and what was known before.
func (w *Watch) Normal() Normal {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := w.normal
	for light := range n.Lights {
		n.Lights[light].Marks = slices.Clone(n.Lights[light].Marks)
	}
	return n
}

// Run looks at a picture now and then until ctx ends, and returns ctx.Err(). While
// hold says so, as when somebody works at the camera, it does not look.
func (w *Watch) Run(ctx context.Context, ring *capture.Ring, clock sensor.Clock, hold func() bool) error {
	return ring.Watch(ctx, clock, lookEvery, costShare, func(f capture.Frame, utc time.Time) {
		if !hold() {
			w.Look(f, utc)
		}
	})
}

// Look takes a picture that was taken about utc into account. It keeps no reference
// to it. What cannot be decoded says nothing.
func (w *Watch) Look(f capture.Frame, utc time.Time) {
	w.mu.Lock()
	old := w.any && f.At <= w.at
	w.mu.Unlock()
	if old {
		return
	}
	s, err := reduce(f.Data)
	if err != nil {
		return
	}
	w.look(s, f.At, utc)
}

func (w *Watch) look(s *small, at sensor.Mono, utc time.Time) {
	sun := life.Sun(utc, w.o.North, w.o.East)
	light := day
	if sun < nightFrom {
		light = night
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.any, w.at, w.last = true, at, light
	l, v := &w.normal.Lights[light], &w.views[light]
	if w.normal.none() && (w.normal.Width != s.width || w.normal.Height != s.height) {
		w.normal = Normal{Width: s.width, Height: s.height}
		w.begin()
	}
	switch {
	case w.normal.Width != s.width || w.normal.Height != s.height:
		w.lose(light == day && sun > dayFrom, at) // there are no marks of this size
		return
	case len(l.Marks) == 0:
		if light == night || sun > dayFrom {
			w.learn(l, v, s, at)
		}
		return
	}
	p, seen, ok := locate(s, l.Marks)
	w.lose(!ok && light == day && sun > dayFrom && s.contrast() >= flat, at)
	if !ok {
		return
	}
	v.poses = append(v.poses, posedAt{p.pose(), at})
	v.poses = v.poses[max(0, len(v.poses)-recent):]
	if light == day && sun > dayFrom {
		v.judge(l, seen)
	}
}

// lose notes whether the marks were looked for in vain. The caller holds mu.
func (w *Watch) lose(lost bool, at sensor.Mono) {
	if lost && !w.lost {
		w.since = at
	}
	w.lost = lost
}

// learn takes a picture into account from which marks are to be chosen. The caller
// holds mu.
func (w *Watch) learn(l *Light, v *view, s *small, at sensor.Mono) {
	if s.contrast() < flat || len(v.learning) > 0 && at.Sub(v.learnt) < learnEvery {
		return
	}
	v.learnt = at
	if v.learning = append(v.learning, s); len(v.learning) < learning {
		return
	}
	marks := learned(v.learning)
	v.learning = v.learning[learning/2:] // it was moved, or shows too little: go on
	if len(marks) >= leastMarks {
		l.Marks, l.Looks = marks, 0
		v.begin(len(marks))
	}
}

// judge counts which marks a look has seen.
func (v *view) judge(l *Light, seen []bool) {
	if l.Looks < provenOver {
		l.Looks++
		for i, s := range seen {
			if s {
				l.Marks[i].Seen++
			}
		}
		return
	}
	v.looks++
	for i, s := range seen {
		now := 0.0
		if s {
			now = 1
		}
		v.seen[i] += (now - v.seen[i]) * goneWeight
	}
}

// gone returns how many of the marks that were always seen are seen no more, side by
// side, and how many there are.
func (v *view) gone(l *Light) (gone, proven int) {
	if l.Looks < provenOver || v.looks < int(goneAfter/lookEvery) {
		return 0, 0
	}
	var away [columns * rows]bool
	for i, m := range l.Marks {
		if float64(m.Seen) < provenIn*provenOver {
			continue
		}
		proven++
		away[m.Cell] = v.seen[i] <= goneShare+math.Pow(1-goneWeight, float64(goneAfter/lookEvery))
	}
	return largest(&away), proven
}

// Findings returns what is wrong with the aim of the camera as far as the pictures up
// to the instant now tell. It never waits for one.
func (w *Watch) Findings(now sensor.Mono) (all []sensor.Finding) {
	w.mu.Lock()
	defer w.mu.Unlock()
	find := func(code, about string, fact sensor.Fact) {
		all = append(all, sensor.Finding{Code: code, About: "camera " + w.o.Model + about, Facts: []sensor.Fact{fact}})
	}
	l, v := &w.normal.Lights[w.last], &w.views[w.last]
	if p, ok := v.pose(now); ok {
		if fact, turned := w.turned(p); turned {
			find(Turned, " looks elsewhere than when it was aimed", fact)
		}
	}
	if gone, proven := v.gone(l); gone > 0 && float64(gone) >= goneMarks*float64(proven) {
		find(Covered, " is covered in part, or something stands before it", sensor.Fact{Key: "aim_covered", Words: "of {marks} marks that were always seen {gone}, side by side, are seen no more for {since}",
			Args: sensor.Args{"marks": proven, "gone": gone, "since": goneAfter}})
	}
	if w.lost && w.at.Sub(w.since) >= lostAfter {
		find(Lost, "", sensor.Fact{Key: "aim_lost", Words: "none of the marks of this site is seen for {since}: it looks elsewhere, or something covers the view",
			Args: sensor.Args{"since": w.at.Sub(w.since).Truncate(time.Minute)}})
	}
	return all
}

// pose returns the median of the last poses.
func (v *view) pose(now sensor.Mono) (p pose, ok bool) {
	var of [4][]float64
	for _, q := range v.poses {
		if now.Sub(q.at) <= recentLasts {
			for i, x := range []float64{q.right, q.down, q.turn, q.size} {
				of[i] = append(of[i], x)
			}
		}
	}
	if len(of[0]) < enough {
		return p, false
	}
	p = pose{median(of[0]), median(of[1]), median(of[2]), median(of[3])}
	alike := 0
	for _, q := range v.poses {
		if now.Sub(q.at) <= recentLasts && math.Hypot(q.right-p.right, q.down-p.down) <= sway {
			alike++
		}
	}
	return p, alike >= enough
}

// Marks returns how many marks are known by day and by night; 0 while they are learnt.
func (w *Watch) Marks() (byDay, byNight int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.normal.Lights[day].Marks), len(w.normal.Lights[night].Marks)
}

// Pose is how a camera looks against the marks of its site.
type Pose struct {
	Right, Down float64 // pixels of the camera's picture by which the road has moved in it
	Turn        float64 // degrees clockwise, of the picture about its middle
	Size        float64 // of things in it against before: 1 for the same
}

// Pose returns the median of the last looks; false while they do not tell.
func (w *Watch) Pose(now sensor.Mono) (Pose, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	p, ok := w.views[w.last].pose(now)
	return w.large(p), ok
}

// large returns a pose in pixels of the camera's picture.
func (w *Watch) large(p pose) Pose {
	scale := float64(scaleOf(w.normal.Width))
	return Pose{p.right * scale, p.down * scale, p.turn * 180 / math.Pi, p.size}
}

// degree returns the pixels of the camera's picture that a degree takes in its middle.
func (w *Watch) degree() float64 {
	view := w.o.View
	if view == 0 {
		view = usualView
	}
	return float64(w.normal.Width) / 2 / math.Tan(view/2*math.Pi/180) * math.Pi / 180
}

// turned says how a pose is beyond its bounds, and whether it is.
func (w *Watch) turned(small pose) (sensor.Fact, bool) {
	p, degree := w.large(small), w.degree()
	shift := math.Hypot(p.Right, p.Down)
	moved := func(pixels float64) sensor.Figure { return sensor.Pixels.Difference(pixels, 0) }
	switch {
	case shift > TurnBound*degree && w.o.View != 0:
		return sensor.Fact{Key: "aim_camera_moved", Words: "the picture has moved by {shift:bare} pixels ({right:bare} to the right, {down:bare} down), which is {angle}; {most} is in order",
			Args: sensor.Args{"shift": sensor.Pixels.Of(shift, 0), "right": moved(p.Right), "down": moved(p.Down),
				"angle": sensor.Degrees.Of(shift/degree, 1), "most": sensor.Degrees.Of(TurnBound, 1)}}, true
	case shift > TurnBound*degree:
		return sensor.Fact{Key: "aim_camera_pixels", Words: "the picture has moved by {shift:bare} pixels ({right:bare} to the right, {down:bare} down); {most:bare} are in order",
			Args: sensor.Args{"shift": sensor.Pixels.Of(shift, 0), "right": moved(p.Right), "down": moved(p.Down), "most": sensor.Pixels.Of(TurnBound*degree, 0)}}, true
	case math.Abs(p.Turn) > TurnBound:
		return sensor.Fact{Key: "aim_camera_turned", Words: "the picture has turned about its middle by {turn}, {most} is in order",
			Args: sensor.Args{"turn": sensor.Degrees.Difference(p.Turn, 1), "most": sensor.Degrees.Of(TurnBound, 1)}}, true
	case math.Abs(p.Size-1) > growBound:
		return sensor.Fact{Key: "aim_camera_size", Words: "things in it are {size} of the size that they had, {least:bare} to {most:bare} is in order: has the lens been zoomed, or the camera moved?",
			Args: sensor.Args{"size": sensor.Percent.Of(100*p.Size, 1), "least": sensor.Percent.Of(100*(1-growBound), 0), "most": sensor.Percent.Of(100*(1+growBound), 0)}}, true
	}
	return sensor.Fact{}, false
}
