package device

import (
	"io"
	"slices"
	"sync"
	"time"

	"ciglio/capture/displacement"
	"ciglio/sensor"
)

// A Sight is what may be drawn over the camera's picture: where the lanes lie and
// where a vehicle is photographed. It has no width where the site has no marks on
// the ground, without which nobody knows.
type Sight struct {
	Width, Height int       // of the picture that the pixels are of
	Lanes         [][]Pixel // an outline of each, lane 1 first
	Photo         []Pixel   // a line across the road
}

// Pixel is a place in the picture, from its left upper corner.
type Pixel struct{ X, Y float64 }

// How far lanes are drawn, and how wide a road without lanes.
const (
	sightNear, sightFar = 4, 60 // m
	sightSide           = 5     // m
)

// Sight returns what may be drawn over the picture.
func (d *Device) Sight() Sight {
	second := d.o.Config.Second
	marks := make([]displacement.Mark, len(second.Marks))
	for i, m := range second.Marks {
		marks[i] = displacement.Mark(m)
	}
	view, err := displacement.NewView(marks)
	if err != nil || second.Picture.Width == 0 || second.Picture.Height == 0 {
		return Sight{}
	}
	s := Sight{Width: second.Picture.Width, Height: second.Picture.Height}
	line := func(to *[]Pixel, along, across float64) {
		if x, y, ok := view.Pixel(along, across); ok {
			*to = append(*to, Pixel{x, y})
		}
	}
	left, right := -float64(sightSide), float64(sightSide)
	for i, l := range d.o.Config.Sensor.Lanes {
		a, b := float64(l.Left)/1e3, float64(l.Right)/1e3
		if i == 0 {
			left, right = a, b
		}
		left, right = min(left, a), max(right, b)
		var outline []Pixel
		for along := sightNear; along <= sightFar; along++ {
			line(&outline, float64(along), a)
		}
		for along := sightFar; along >= sightNear; along-- {
			line(&outline, float64(along), b)
		}
		s.Lanes = append(s.Lanes, outline)
	}
	photo := d.o.Config.Site.PhotoRange.Metres()
	line(&s.Photo, photo, left)
	line(&s.Photo, photo, right)
	return s
}

// Seen is a vehicle that passed in service.
type Seen struct {
	Number    int              `json:"number"` // counts from 1, since the start of the program
	At        time.Time        `json:"at"`     // the end of its track, UTC
	Speed     sensor.Speed     `json:"speed"`
	U         sensor.Speed     `json:"uncertainty"` // standard, k = 1
	Direction sensor.Direction `json:"direction"`
	Lane      int              `json:"lane"` // 0 where the sensor does not tell
	Targets   int              `json:"targets"`
	Reasons   []string         `json:"reasons,omitempty"` // codes: why the speed does not stand
	passage   sensor.Passage
}

// mostSeen is how many are remembered.
const mostSeen = 50

// seen remembers the vehicles that passed in service, and no other. It is safe for
// concurrent use.
type seen struct {
	mu    sync.Mutex
	count int
	all   []Seen
}

func (s *seen) add(p sensor.Passage, at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.count++
	p.Trace = sensor.Trace{}
	var reasons []string
	for _, r := range p.Reasons {
		reasons = append(reasons, r.Code())
	}
	s.all = append(s.all, Seen{
		Number: s.count, At: at, Speed: p.Speed, U: p.Budget.Total(), Direction: p.Direction,
		Lane: p.Lane, Targets: p.Targets, Reasons: reasons, passage: p,
	})
	if n := len(s.all) - mostSeen; n > 0 {
		s.all = slices.Delete(s.all, 0, n)
	}
}

func (s *seen) list() []Seen {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.all)
}

func (s *seen) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = nil
}

// Seen returns the vehicles that have passed in the present service, the oldest
// first: the newest 50.
func (d *Device) Seen() []Seen { return d.seen.list() }

// WriteSignal draws the newest seconds of what the sensor gives as SVG. The first
// call gives [ErrNoSignal], and has the sensor's signal kept until nobody has
// called for a while.
func (d *Device) WriteSignal(w io.Writer) error {
	live, ok := d.o.Live.(*LiveSource)
	if !ok {
		return ErrNoSignal
	}
	var passages []sensor.Passage
	for _, s := range d.seen.list() {
		passages = append(passages, s.passage)
	}
	return live.link.scope.writeSVG(w, passages)
}
