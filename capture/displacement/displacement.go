// Package displacement measures a vehicle's speed by how far it moves on the
// road between pictures of one violation, with marks on the ground whose places
// are known. It is the second speed of a site without contacts: it only
// confirms, and needs nothing but the sealed pictures and the configuration, so
// that an expert can repeat it.
//
// # Where things are
//
// Four marks or more give the homography between the picture and the plane of
// the road (metres ahead of the foot of the camera and to its right). Inside of
// the marks, and nowhere else, the road is seen from above in cells of 5 cm by
// 10 cm. What stands on the road is not where it seems: a point at height h
// seems H/(H−h) times as far away as it is, with the camera's height H. So only
// the line where the vehicle meets the road may be measured: the tyres, and the
// shadow under it, which is the first that the eye meets coming from the camera.
//
// # The way of the vehicle
//
// The frame in which the vehicle is farthest (the first when it approaches, the
// last when it recedes) shows the road empty where it stands in all others. For
// each of the others and each column of cells, the contour is the first cell, seen
// from the camera, that differs from the empty road and goes on to for 0.4 m,
// after 0.4 m of road that does not differ. A difference that the whole road has
// (exposure) is none; the threshold is 12 of 256 levels or five times the noise.
// Columns whose contour lies within 0.5 m of the lowest are where the vehicle
// meets the road. The way is the median, over the columns that do so in both
// frames, of the difference of their contours, from the frame next to the
// farthest to the nearest; the speed is the way over the time between the starts
// of exposure, rounded down.
//
// No speed comes of fewer than three frames, of a vehicle that is not seen
// whole with bare road before it, of contours less than 0.5 m wide or that do not
// fit each other, of a way under 1 m, and of frames between that contradict it.
//
// # Uncertainty
//
// Standard uncertainty, k = 1, JCGM 100, for a way s in the time t:
//
//	edge    v/s times: one pixel at either end, and the scatter of the columns
//	marks   v/s times the root of the summed squares of what s changes by when one
//	        coordinate of one mark is off, on the ground by its uncertainty or in
//	        the picture by 1 pixel
//	height  v·0.1 m/H/√3: the contour may lie up to 0.1 m above the road, which
//	        makes the way seem longer, never shorter
//	time    v/t times the uncertainty of the interval: exposure, shutter, stamps
//
// Worked example: H = 2.6 m, a car seen at 20.0 m and 13.3 m at 480 ms between:
// 6.68 m, 50.1 km/h. A pixel is 6 cm and 3 cm of road there: edge 0.5 km/h;
// height 1.1 km/h.
//
// A rolling shutter reads near and far rows at different times: half of its
// readout belongs to the uncertainty of the interval. Lenses are taken to be
// without distortion; with one, the marks contradict each other and are refused.
//
// What is known of it: simulated roads by day with noise, changes of exposure
// and shake, and one recording without truth; see docs/second-speed.md. By
// night, a contour of head lamps on the road is one too, but nothing is known of
// how well it is measured.
package displacement

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"ciglio/capture"
	"ciglio/internal/robust"
	"ciglio/sensor"
)

// Options say where the ground is. All but MarkU and TimeU are needed.
type Options struct {
	Marks         []Mark        // 4 to 16, not in a line
	MarkU         int64         // standard uncertainty of a mark's place on the ground, in mm; 0 means 20 mm
	Width, Height int           // of the pictures in which the marks were found, in pixels
	CameraHeight  int64         // of the lens above the road, in mm, 1 m to 20 m
	TimeU         time.Duration // standard uncertainty of the time between two frames; 0 means 2 ms
}

// Meter measures on one piece of road. It is constant and safe for concurrent
// use.
type Meter struct {
	o      Options
	ground *ground
}

// Budget is the standard uncertainty (k = 1) of a displacement speed, by cause.
type Budget struct {
	Edge   sensor.Speed // of the vehicle in the pictures
	Marks  sensor.Speed // and the homography that they give
	Height sensor.Speed // of what is seen above the road
	Time   sensor.Speed // between the frames
}

// Total returns the root of the summed squares, rounded up.
func (b Budget) Total() sensor.Speed {
	var sum float64
	for _, s := range [...]sensor.Speed{b.Edge, b.Marks, b.Height, b.Time} {
		sum += float64(s) * float64(s)
	}
	return sensor.Speed(math.Ceil(math.Sqrt(sum)))
}

// A Result is a speed by displacement.
type Result struct {
	Speed    sensor.Speed
	U        sensor.Speed // standard uncertainty (k = 1), Budget.Total
	Budget   Budget
	Far      float64 // m: where the vehicle met the road in the farther frame
	Near     float64 // m: and in the nearest
	Interval time.Duration
}

// Why a vehicle has no speed by displacement. What is wrong with a picture is an
// error of its own.
var (
	ErrFrames     = errors.New("fewer than three frames")
	ErrTimes      = errors.New("frames out of order, or more than 10 s apart")
	ErrDirection  = errors.New("the direction of travel is unknown")
	ErrNoVehicle  = errors.New("no vehicle is seen whole on the measured road")
	ErrUnclear    = errors.New("the vehicle's line on the road is unclear")
	ErrTooShort   = errors.New("the vehicle moved too little between the frames")
	ErrContradict = errors.New("the frames contradict each other")
)

// New fits the marks. It refuses marks that lie in a line or contradict each
// other by more than three times their uncertainty.
func New(o Options) (*Meter, error) {
	if o.MarkU == 0 {
		o.MarkU = 20
	}
	if o.TimeU == 0 {
		o.TimeU = 2 * time.Millisecond
	}
	switch {
	case len(o.Marks) < 4 || len(o.Marks) > 16:
		return nil, fmt.Errorf("%d ground marks: want 4 to 16", len(o.Marks))
	case o.MarkU < 1 || o.MarkU > 1000:
		return nil, fmt.Errorf("uncertainty of %d mm of a mark: want 1 mm to 1 m", o.MarkU)
	case o.Width < 64 || o.Height < 64 || o.Width > capture.MaxDimension || o.Height > capture.MaxDimension || o.Width*o.Height > maxPixels:
		return nil, fmt.Errorf("pictures of %d by %d pixels: want at least 64 each way and at most %d in all", o.Width, o.Height, maxPixels)
	case o.CameraHeight < 1e3 || o.CameraHeight > 20e3:
		return nil, fmt.Errorf("camera %d mm above the road: want 1 m to 20 m", o.CameraHeight)
	case o.TimeU < 0 || o.TimeU > time.Second:
		return nil, fmt.Errorf("uncertainty %v of an interval: want up to 1s", o.TimeU)
	}
	g, err := newGround(o.Marks, float64(o.MarkU)/1e3, o.Width, o.Height)
	if err != nil {
		return nil, err
	}
	o.Marks = nil
	return &Meter{o: o, ground: g}, nil
}

// Residual returns how far the marks lie from where the homography puts them, in
// metres: the root of the mean square. With four marks it is 0.
func (m *Meter) Residual() float64 { return m.ground.residual }

// What the contours of one vehicle must be like.
const (
	contact = 0.5 // m: columns this close to the lowest meet the road
	run     = 5   // columns side by side, 0.5 m, that must do so
	wayMin  = 1.0 // m between two frames
	fitMax  = 0.3 // m: most columns lie this close to their median
)

// Speed measures the vehicle in the frames, which are in order of their times;
// d says which way it drives. The pictures may be anything: one that is not a
// whole JPEG of the right size is an error.
func (m *Meter) Speed(frames []capture.Frame, d sensor.Direction) (Result, error) {
	if err := check(frames, d); err != nil {
		return Result{}, err
	}
	order := slices.Clone(frames) // the farthest vehicle first
	if d == sensor.Receding {
		slices.Reverse(order)
	}
	var empty *strip
	var contours []contour
	for i, f := range order {
		pix, stride, err := decode(f.Data, m.o.Width, m.o.Height)
		if err != nil {
			return Result{}, fmt.Errorf("frame %d: %w", f.Number, err)
		}
		s := m.ground.look(pix, stride, m.o.Width, m.o.Height)
		if i == 0 {
			empty = s
			continue
		}
		contours = append(contours, s.contour(empty))
	}
	last := len(contours) - 1
	far, near := contours[0], contours[last]
	w, err := far.way(near)
	if err != nil {
		return Result{}, err
	}
	if w.metres < wayMin {
		return Result{}, ErrTooShort
	}
	seconds := func(i, k int) float64 { return order[k].At.Sub(order[i].At).Abs().Seconds() }
	r := m.result(w, far.lowest(), near.lowest(), seconds(1, last+1))
	for i := 1; i < last; i++ {
		part, err := far.way(contours[i])
		if err != nil {
			continue // what a frame between does not show contradicts nothing
		}
		// The pixels and the scatter of the whole way are those of a part, too.
		t := seconds(1, i+1)
		u := (r.U.MPS()*t + r.Budget.Edge.MPS()*seconds(1, last+1))
		if math.Abs(part.metres-w.metres*t/seconds(1, last+1)) > 3*u {
			return Result{}, ErrContradict
		}
	}
	return r, nil
}

func check(frames []capture.Frame, d sensor.Direction) error {
	if len(frames) < 3 {
		return ErrFrames
	}
	if d != sensor.Approaching && d != sensor.Receding {
		return ErrDirection
	}
	for i, f := range frames[1:] {
		if gap := f.At.Sub(frames[i].At); gap <= 0 || gap > 10*time.Second {
			return ErrTimes
		}
	}
	return nil
}

// A way is how far the columns of a contour moved.
type way struct {
	metres  float64
	u       float64 // m, by the scatter of the columns
	columns float64 // middle of them
}

// way returns how far c lies beyond near, which is of a later place on the way
// to the camera.
func (c contour) way(near contour) (way, error) {
	far, low := c.lowest(), near.lowest()
	if math.IsNaN(far) || math.IsNaN(low) {
		return way{}, ErrNoVehicle
	}
	var ways, columns []float64
	for col := range c {
		if c[col] >= 0 && near[col] >= 0 && c[col] <= far+contact/rowSize && near[col] <= low+contact/rowSize {
			ways = append(ways, (c[col]-near[col])*rowSize)
			columns = append(columns, float64(col))
		}
	}
	if len(ways) < run {
		return way{}, ErrUnclear
	}
	m := robust.Upper(ways)
	off := make([]float64, len(ways))
	close := 0
	for i, w := range ways {
		off[i] = math.Abs(w - m)
		if off[i] <= fitMax {
			close++
		}
	}
	if close*3 < len(ways)*2 {
		return way{}, ErrUnclear
	}
	// Neighbouring columns are not independent: a quarter of them counts.
	return way{m, 1.4826 * robust.Upper(off) / math.Sqrt(max(1, float64(len(ways))/4)), robust.Upper(columns)}, nil
}

// lowest returns where a vehicle meets the road: the lowest row at which run
// columns side by side have all begun, within contact of each other.
// It is NaN when there is none, or when as many are cut.
func (c contour) lowest() float64 {
	lowest := math.NaN()
	for i := run; i <= len(c); i++ {
		window := c[i-run : i]
		low, high := slices.Min(window), slices.Max(window) // NaN when any is
		switch {
		case high == cut:
			return math.NaN()
		case low >= 0 && high-low <= contact/rowSize && !(high >= lowest):
			lowest = high
		}
	}
	return lowest
}

// result makes a speed of a way between two rows.
func (m *Meter) result(w way, far, near, seconds float64) Result {
	g := m.ground
	x0, y := g.place(far, w.columns)
	x1, _ := g.place(near, w.columns)
	v := w.metres / seconds
	share := func(metres float64) sensor.Speed { return up(v * metres / w.metres) }
	r := Result{
		Speed: sensor.SpeedFromMPS(v),
		Budget: Budget{
			Edge:   share(math.Hypot(w.u, math.Hypot(g.rowGrain(x0, y), g.rowGrain(x1, y)))),
			Marks:  share(g.wayU(x0, y, x1, y)),
			Height: up(v * 0.1 / (float64(m.o.CameraHeight) / 1e3) / math.Sqrt(3)),
			Time:   up(v * m.o.TimeU.Seconds() / seconds),
		},
		Far: x0, Near: x1, Interval: time.Duration(seconds * 1e9),
	}
	r.U = r.Budget.Total()
	return r
}

// up converts metres per second, rounding up.
func up(mps float64) sensor.Speed {
	return sensor.Speed(math.Ceil(min(mps*360, math.MaxInt32)))
}
