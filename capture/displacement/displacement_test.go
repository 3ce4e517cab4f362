package displacement

import (
	"bytes"
	"errors"
	"image"
	"image/jpeg"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"ciglio/capture"
	"ciglio/cross/simulate"
	"ciglio/cross/simulate/simcam"
	"ciglio/sensor"
)

// view projects a place on the road as simcam's camera does: 2.6 m up,
// turned 9.5° to the road and 4.4° down, 36° across the picture.
func view(along, across float64) (px, py float64) {
	const yaw, pitch, angle, height = 9.5 * math.Pi / 180, 4.4 * math.Pi / 180, 36 * math.Pi / 180, 2.6
	focal := simcam.Width / 2 / math.Tan(angle/2)
	sy, cy := math.Sincos(yaw)
	sp, cp := math.Sincos(pitch)
	depth := along*cp*cy + across*cp*sy + height*sp
	right := across*cy - along*sy
	up := along*sp*cy + across*sp*sy - height*cp
	return simcam.Width/2 + focal*right/depth, simcam.Height/2 - focal*up/depth
}

func marks(places ...[2]float64) []Mark {
	var all []Mark
	for _, p := range places {
		px, py := view(p[0], p[1])
		all = append(all, Mark{int32(math.Round(px * 100)), int32(math.Round(py * 100)), int32(p[0] * 1000), int32(p[1] * 1000)})
	}
	return all
}

var surveyed = [][2]float64{{10, 1.2}, {10, 4.5}, {20, 1.2}, {20, 8}, {40, 1.2}, {40, 8}}

func roadside(t testing.TB) *Meter {
	t.Helper()
	m, err := New(Options{Marks: marks(surveyed...), Width: simcam.Width, Height: simcam.Height, CameraHeight: 2600})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// handClock is set by hand: a camera behind it skips what lies before.
type handClock struct {
	sensor.Clock
	now sensor.Mono
}

func (c *handClock) Now() sensor.Mono { return c.now }

// A studio takes the frames of many vehicles on one road.
type studio struct {
	camera *simcam.Camera
	clock  *handClock
	rng    *rand.Rand
}

func newStudio(t testing.TB, seed uint64, vehicles []simulate.Vehicle) *studio {
	t.Helper()
	last := vehicles[len(vehicles)-1].Passing
	road, err := simulate.NewRoad(simulate.Scenario{Seed: seed, Duration: last + time.Minute, Vehicles: vehicles})
	if err != nil {
		t.Fatal(err)
	}
	s := &studio{clock: &handClock{}, rng: rand.New(rand.NewPCG(seed, 1))}
	s.camera = simcam.New(road, s.clock, 0)
	return s
}

const photoRange = 25.0 // m

// shots takes three frames 240 ms apart about the photo position, as
// the device does; each has noise, an exposure and a shake of its own.
func (s *studio) shots(t testing.TB, v simulate.Vehicle, spoil bool) []capture.Frame {
	t.Helper()
	away := time.Duration(photoRange / v.Speed.MPS() * 1e9)
	if v.Direction == sensor.Approaching {
		away = -away
	}
	photo := uint64((v.Passing + away + simcam.Interval/2) / simcam.Interval)
	var frames []capture.Frame
	for number := photo - 3; number <= photo+3; {
		s.clock.now = sensor.Mono(number)*sensor.Mono(simcam.Interval) + sensor.Mono(simcam.Exposure)
		f, err := s.camera.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if f.Number < number {
			continue
		}
		f.Data = bytes.Clone(f.Data)
		if spoil {
			f.Data = spoilt(t, f.Data, s.rng)
		}
		frames = append(frames, f)
		number += 3
	}
	return frames
}

// spoilt gives a picture what weather and electronics do: noise of 3 levels, an
// exposure 4 % off, and a shake of up to a pixel.
func spoilt(t testing.TB, b []byte, rng *rand.Rand) []byte {
	t.Helper()
	p, err := jpeg.Decode(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	y := p.(*image.YCbCr)
	gain, was := 1+0.04*rng.NormFloat64(), slices.Clone(y.Y)
	shift := rng.IntN(3) - 1 + y.YStride*(rng.IntN(3)-1)
	for i := range y.Y {
		from := min(max(i+shift, 0), len(was)-1)
		y.Y[i] = uint8(min(max(float64(was[from])*gain+3*rng.NormFloat64()+0.5, 0), 255))
	}
	var out bytes.Buffer
	if err := jpeg.Encode(&out, y, &jpeg.Options{Quality: 80}); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// TestErrorsOnTheSimulatedRoad measures vehicles of every class, both ways, from
// 40 to 200 km/h. CIGLIO_PASSES=n measures n of them instead of 24.
func TestErrorsOnTheSimulatedRoad(t *testing.T) {
	if testing.Short() {
		t.Skip("renders pictures")
	}
	passes := 24
	if n, err := strconv.Atoi(os.Getenv("CIGLIO_PASSES")); err == nil {
		passes = n
	}
	m := roadside(t)
	const batch = 24 // vehicles on one road
	var errs, shares, widths []float64
	why := map[string]int{}
	for seed := range (passes + batch - 1) / batch {
		rng := rand.New(rand.NewPCG(uint64(seed), 2))
		var vehicles []simulate.Vehicle
		for i := range min(batch, passes-seed*batch) {
			vehicles = append(vehicles, simulate.Vehicle{
				Speed:     40*sensor.KmH + sensor.Speed(rng.IntN(16000)),
				Direction: []sensor.Direction{sensor.Approaching, sensor.Receding}[i%2],
				Lane:      1,
				Class:     simulate.Class(rng.IntN(3)),
				Passing:   time.Duration(i+1)*41*time.Second + time.Duration(rng.Int64N(int64(simcam.Interval))),
			})
		}
		s := newStudio(t, uint64(seed), vehicles)
		for _, v := range vehicles {
			frames := s.shots(t, v, true)
			r, err := m.Speed(frames, v.Direction)
			if err != nil {
				why[err.Error()]++
				continue
			}
			e := float64(r.Speed) - float64(v.Speed)
			errs = append(errs, 100*e/float64(v.Speed))
			shares = append(shares, math.Abs(e)/float64(r.U))
			widths = append(widths, 100*float64(r.U)/float64(v.Speed))
			if testing.Verbose() {
				t.Logf("%v %v %v: %+.2f %%, U %.2f %%, %v, %.1f to %.1f m", v.Speed, v.Direction, v.Class, errs[len(errs)-1], widths[len(widths)-1], r.Budget, r.Far, r.Near)
			}
		}
	}
	if len(errs) == 0 {
		t.Fatalf("no speed at all: %v", why)
	}
	mean, square, within := 0.0, 0.0, 0
	for i, e := range errs {
		mean += e / float64(len(errs))
		square += e * e / float64(len(errs))
		if shares[i] <= 2 {
			within++
		}
	}
	worst := max(slices.Max(errs), -slices.Min(errs))
	t.Logf("%d of %d measured, error mean %+.2f %%, root mean square %.2f %%, worst %.2f %%; U %.2f to %.2f %%; within 2·U %d; refused %v",
		len(errs), passes, mean, math.Sqrt(square), worst, slices.Min(widths), slices.Max(widths), within, why)
	if len(errs)*10 < passes*9 {
		t.Errorf("only %d of %d measured", len(errs), passes)
	}
	if within*20 < len(errs)*19 || worst > 8 {
		t.Errorf("worst error %.2f %%, %d of %d within 2·U", worst, within, len(errs))
	}
}

func TestWhatGivesNoSpeed(t *testing.T) {
	if testing.Short() {
		t.Skip("renders pictures")
	}
	m := roadside(t)
	car := simulate.Vehicle{Speed: 80 * sensor.KmH, Direction: sensor.Approaching, Lane: 1, Passing: 30 * time.Second}
	s := newStudio(t, 1, []simulate.Vehicle{car})
	frames := s.shots(t, car, false)
	if _, err := m.Speed(frames, sensor.Approaching); err != nil {
		t.Fatal(err)
	}
	last := frames[2]
	late, cut, small := frames[2], frames[2], frames[2]
	late.At = frames[1].At
	cut.Data = cut.Data[:len(cut.Data)/2]
	var grey bytes.Buffer
	if err := jpeg.Encode(&grey, image.NewGray(image.Rect(0, 0, 640, 480)), nil); err != nil {
		t.Fatal(err)
	}
	small.Data = grey.Bytes()
	broken := frames[2]
	broken.Data = bytes.Clone(broken.Data)
	for i := len(broken.Data) / 3; i < len(broken.Data)-2; i++ {
		if broken.Data[i] != 0xFF && broken.Data[i-1] != 0xFF {
			broken.Data[i] = byte(i * 7 % 251)
		}
	}
	still := func(f capture.Frame, at sensor.Mono) capture.Frame { f.At = at; return f }
	contradicts := still(frames[1], frames[0].At+1)
	for _, c := range []struct {
		name   string
		frames []capture.Frame
		d      sensor.Direction
		want   error
	}{
		{"two frames", frames[1:], sensor.Approaching, ErrFrames},
		{"no frames", nil, sensor.Approaching, ErrFrames},
		{"no direction", frames, sensor.DirectionUnknown, ErrDirection},
		{"two frames of one instant", []capture.Frame{frames[0], frames[1], late}, sensor.Approaching, ErrTimes},
		{"the wrong way", frames, sensor.Receding, nil},
		{"a vehicle that stands", []capture.Frame{frames[0], frames[1], still(frames[1], last.At)}, sensor.Approaching, ErrTooShort},
		{"no vehicle", []capture.Frame{frames[0], still(frames[0], frames[1].At), still(frames[0], last.At)}, sensor.Approaching, ErrNoVehicle},
		{"the vehicle stood and then moved", []capture.Frame{frames[0], contradicts, frames[1], last}, sensor.Approaching, ErrContradict},
		{"half a picture", []capture.Frame{frames[0], frames[1], cut}, sensor.Approaching, nil},
		{"a picture of another size", []capture.Frame{frames[0], frames[1], small}, sensor.Approaching, errSize},
	} {
		r, err := m.Speed(c.frames, c.d)
		if err == nil || r != (Result{}) || c.want != nil && !errors.Is(err, c.want) {
			t.Errorf("%s: %+v, %v, want error %v", c.name, r, err, c.want)
		}
	}
	// What decodes to rubbish may be refused or measured, but never far off
	// without its saying so; here it must only not panic.
	_, err := m.Speed([]capture.Frame{frames[0], frames[1], broken}, sensor.Approaching)
	t.Logf("rubbish: %v", err)
}

func TestMarks(t *testing.T) {
	m := roadside(t)
	if m.Residual() > 0.001 {
		t.Errorf("residual %.4f m of exact marks", m.Residual())
	}
	for _, p := range [][2]float64{{15, 3}, {30, 6}, {38, 2}} {
		px, py := view(p[0], p[1])
		if x, y, _ := m.ground.toRoad.pixel(px, py); math.Hypot(x-p[0], y-p[1]) > 0.01 {
			t.Errorf("%v lies at %.3f, %.3f", p, x, y)
		}
	}
	good := marks(surveyed...)
	change := func(f func([]Mark) []Mark) []Mark { return f(slices.Clone(good)) }
	for _, c := range []struct {
		name  string
		marks []Mark
		ok    bool
	}{
		{"six exact marks", good, true},
		{"four are enough", marks([2]float64{10, 1.2}, [2]float64{10, 4.5}, [2]float64{40, 8}, [2]float64{40, 1.2}), true},
		{"three", good[:3], false},
		{"none", nil, false},
		{"seventeen", slices.Concat(good, good, good)[:17], false},
		{"all in a line", marks([2]float64{10, 1.2}, [2]float64{20, 1.2}, [2]float64{30, 1.2}, [2]float64{40, 1.2}), false},
		{"four times the same", []Mark{good[0], good[0], good[0], good[0]}, false},
		{"one 1 m off on the ground", change(func(m []Mark) []Mark { m[2].Along += 1000; return m }), false},
		{"one 20 pixels off", change(func(m []Mark) []Mark { m[3].Y += 2000; return m }), false},
		{"one outside of the picture", change(func(m []Mark) []Mark { m[0].X = -1; return m }), false},
		{"one beyond the hills", change(func(m []Mark) []Mark { m[0].Along = math.MaxInt32; return m }), false},
		{"two exchanged", change(func(m []Mark) []Mark { m[0].X, m[1].X = m[1].X, m[0].X; return m }), false},
		{"a piece of road too short", marks([2]float64{20, 1}, [2]float64{20, 4}, [2]float64{22, 1}, [2]float64{22, 4}), false},
	} {
		_, err := New(Options{Marks: c.marks, Width: simcam.Width, Height: simcam.Height, CameraHeight: 2600})
		if (err == nil) != c.ok {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestOptionsAreChecked(t *testing.T) {
	good := Options{Marks: marks(surveyed...), Width: simcam.Width, Height: simcam.Height, CameraHeight: 2600}
	for name, change := range map[string]func(*Options){
		"no height of the camera":  func(o *Options) { o.CameraHeight = 0 },
		"camera under the road":    func(o *Options) { o.CameraHeight = -2600 },
		"no size":                  func(o *Options) { o.Width = 0 },
		"more than can be decoded": func(o *Options) { o.Width, o.Height = 8192, 8192 },
		"negative uncertainty":     func(o *Options) { o.MarkU = -1 },
		"negative time":            func(o *Options) { o.TimeU = -1 },
	} {
		o := good
		change(&o)
		if _, err := New(o); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// TestBudgetFollowsItsCauses states what each part of the budget
// answers to.
func TestBudgetFollowsItsCauses(t *testing.T) {
	o := Options{Marks: marks(surveyed...), Width: simcam.Width, Height: simcam.Height, CameraHeight: 2600}
	budget := func(o Options) Budget {
		m, err := New(o)
		if err != nil {
			t.Fatal(err)
		}
		return m.result(way{metres: 6.68, columns: 20}, 200, 66, 0.24).Budget
	}
	base := budget(o)
	// 100.2 km/h: 0.1 m of 2.6 m by √3 is 2.22 %, 2 ms of 240 ms 0.83 %.
	if base.Height != 223 || base.Time != 84 {
		t.Errorf("budget %+v, want 2.23 km/h of height and 0.84 km/h of time", base)
	}
	poor := o
	poor.MarkU, poor.TimeU, poor.CameraHeight = 100, 10*time.Millisecond, 5200
	b := budget(poor)
	if b.Marks <= base.Marks || b.Time != 418 || b.Height != 112 || b.Edge != base.Edge {
		t.Errorf("budget %+v of poorer marks and stamps with a higher camera, was %+v", b, base)
	}
}

func BenchmarkSpeed(b *testing.B) {
	m := roadside(b)
	car := simulate.Vehicle{Speed: 80 * sensor.KmH, Direction: sensor.Approaching, Lane: 1, Passing: 30 * time.Second}
	frames := newStudio(b, 1, []simulate.Vehicle{car}).shots(b, car, false)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := m.Speed(frames, sensor.Approaching); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkDecode is the part that the standard library has in it.
func BenchmarkDecode(b *testing.B) {
	car := simulate.Vehicle{Speed: 80 * sensor.KmH, Direction: sensor.Approaching, Lane: 1, Passing: 30 * time.Second}
	frames := newStudio(b, 1, []simulate.Vehicle{car}).shots(b, car, false)
	for b.Loop() {
		for _, f := range frames {
			if _, err := jpeg.Decode(bytes.NewReader(f.Data)); err != nil && !errors.Is(err, io.EOF) {
				b.Fatal(err)
			}
		}
	}
}
