package plot

import (
	"bytes"
	"image"
	"image/png"
	"io"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"ciglio/sensor"
	"ciglio/sensor/doppler"
)

// push feeds a number of seconds of one line at hz, 20 dB below full scale, in
// faint noise. The first sample is of the given second.
func push(t *testing.T, s *Spectrogram, f doppler.Format, first, seconds int, hz float64) {
	t.Helper()
	rng := rand.New(rand.NewPCG(1, 2))
	i, q := make([]float32, f.Rate), make([]float32, f.Rate)
	for k := range i {
		sin, cos := math.Sincos(2 * math.Pi * hz * float64(k) / float64(f.Rate))
		i[k] = float32(0.1*cos + 1e-4*rng.NormFloat64())
		q[k] = float32(0.1*sin + 1e-4*rng.NormFloat64())
	}
	for n := first; n < first+seconds; n++ {
		b := doppler.Block{Index: uint64(n * f.Rate), At: sensor.Mono(n) * 1e9, I: i}
		if f.Complex {
			b.Q = q
		}
		if err := s.Push(b); err != nil {
			t.Fatal(err)
		}
	}
}

// decode draws a picture and reads it back.
func decode(t *testing.T, write func(io.Writer) error) *image.Paletted {
	t.Helper()
	var out bytes.Buffer
	if err := write(&out); err != nil {
		t.Fatal(err)
	}
	m, err := png.Decode(&out)
	if err != nil {
		t.Fatal(err)
	}
	return m.(*image.Paletted)
}

// brightest returns the middle of the rows of the field in which the column is
// brightest, drawings left out.
func brightest(m *image.Paletted, x int) int {
	var most uint8
	var rows []int
	for y := top; y < bottom; y++ {
		c := m.ColorIndexAt(x, y)
		if c >= levels || c < most {
			continue
		}
		if c > most {
			most, rows = c, rows[:0]
		}
		rows = append(rows, y)
	}
	return rows[len(rows)/2]
}

func count(m *image.Paletted, colour uint8, in image.Rectangle) int {
	n := 0
	for y := in.Min.Y; y < in.Max.Y; y++ {
		for x := in.Min.X; x < in.Max.X; x++ {
			if m.ColorIndexAt(x, y) == colour {
				n++
			}
		}
	}
	return n
}

func TestLineLiesAtItsFrequency(t *testing.T) {
	for _, c := range []struct {
		why   string
		f     doppler.Format
		hz    float64
		share float64 // of the height, from the top
	}{
		// Up to 400 km/h are kept: 17.9 kHz at 24.125 GHz.
		{"real, half the sampling rate is the limit", doppler.Format{Rate: 20_000}, 2500, 0.75},
		{"approaching lies above 0", doppler.Format{Rate: 20_000, Complex: true}, 5000, 0.25},
		{"receding below", doppler.Format{Rate: 20_000, Complex: true}, -5000, 0.75},
		{"fast sampling, 400 km/h is the limit", doppler.Format{Rate: 200_000, Complex: true}, 8942, 0.25},
	} {
		t.Run(c.why, func(t *testing.T) {
			s, err := NewSpectrogram(c.f, Options{})
			if err != nil {
				t.Fatal(err)
			}
			push(t, s, c.f, 0, 2, c.hz)
			y := brightest(decode(t, s.WritePNG), (left+right)/2)
			if got := float64(y-top) / float64(bottom-top); math.Abs(got-c.share) > 0.01 {
				t.Errorf("the line is at %.3f of the height, want %.3f", got, c.share)
			}
		})
	}
}

func TestPassageIsDrawnOnItsLine(t *testing.T) {
	f := doppler.Format{Rate: 20_000, Complex: true}
	for _, reasons := range [][]sensor.Reason{nil, {sensor.ReasonClipped}} {
		s, err := NewSpectrogram(f, Options{Title: "x"})
		if err != nil {
			t.Fatal(err)
		}
		push(t, s, f, 0, 4, -3000)
		s.Passage(sensor.Passage{Speed: 67 * sensor.KmH, Reasons: reasons},
			[]doppler.Point{{At: 1e9, Hz: -3000}, {At: 15e8, Hz: -3000}, {At: 2e9, Hz: -3000}})
		m := decode(t, s.WritePNG)
		colour, other := uint8(good), uint8(bad)
		if reasons != nil {
			colour, other = other, colour
		}
		// One and two of nearly four seconds: the line of the signal goes on
		// where the passage ends.
		y := brightest(m, right-50)
		from, to := left+(right-left)/4, left+(right-left)/2
		if n := count(m, colour, image.Rect(from+20, y-3, to-20, y+3)); n < 200 {
			t.Errorf("%v: %d pixels on the line", reasons, n)
		}
		if n := count(m, colour, image.Rect(to+20, y-3, right, y+3)); n > 0 {
			t.Errorf("%v: %d pixels beyond the passage", reasons, n)
		}
		if n := count(m, other, field); n > 0 {
			t.Errorf("%v: %d pixels of the other colour", reasons, n)
		}
	}
}

func TestMemoryIsBounded(t *testing.T) {
	f := doppler.Format{Rate: 8000}
	s, err := NewSpectrogram(f, Options{})
	if err != nil {
		t.Fatal(err)
	}
	size := len(s.cells)
	push(t, s, f, 0, 300, 1000)
	if len(s.cells) != size || s.columns > maxColumns || s.columns < maxColumns/2 {
		t.Errorf("%d cells of %d, %d columns", len(s.cells), size, s.columns)
	}
	// A week later, and then the last instant of all.
	push(t, s, f, 604_800, 1, 1000)
	if err := s.Push(doppler.Block{Index: 1 << 60, At: math.MaxInt64 - 1e10, I: make([]float32, 8000)}); err != nil {
		t.Fatal(err)
	}
	if len(s.cells) != size || s.columns > maxColumns {
		t.Errorf("%d cells of %d, %d columns", len(s.cells), size, s.columns)
	}
	decode(t, s.WritePNG)
	for range 3 * maxMarks {
		s.Passage(sensor.Passage{}, make([]doppler.Point, 5*maxPoints))
	}
	if len(s.marks.all) != maxMarks || len(s.marks.all[0].points) > maxPoints {
		t.Errorf("%d passages, %d points", len(s.marks.all), len(s.marks.all[0].points))
	}
}

func TestGapStaysDark(t *testing.T) {
	f := doppler.Format{Rate: 20_000}
	s, err := NewSpectrogram(f, Options{})
	if err != nil {
		t.Fatal(err)
	}
	push(t, s, f, 0, 2, 3000)
	push(t, s, f, 4, 2, 3000)
	m := decode(t, s.WritePNG)
	x := (left + right) / 2
	if n := count(m, paper, image.Rect(x-50, top, x+50, bottom)); n != 100*(bottom-top) {
		t.Errorf("%d pixels of the gap are dark", n)
	}
	if n := count(m, paper, image.Rect(left+10, top, left+110, bottom)); n != 0 {
		t.Errorf("%d pixels of the signal are dark", n)
	}
}

func TestWhatIsNoSignal(t *testing.T) {
	if _, err := NewSpectrogram(doppler.Format{Rate: 10}, Options{}); err == nil {
		t.Error("10 samples a second were taken")
	}
	if _, err := NewSpectrogram(doppler.Format{Rate: 20_000}, Options{Carrier: -1}); err == nil {
		t.Error("a negative carrier was taken")
	}
	s, err := NewSpectrogram(doppler.Format{Rate: 20_000}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.WritePNG(io.Discard); err == nil || !strings.Contains(err.Error(), "shorter than") {
		t.Errorf("no signal: %v", err)
	}
	if err := s.Push(doppler.Block{I: make([]float32, 3), Q: make([]float32, 2)}); err == nil {
		t.Error("a block of I and Q was taken for a real signal")
	}
	bad := make([]float32, 40_000)
	for k := range bad {
		bad[k] = float32(math.NaN())
	}
	if err := s.Push(doppler.Block{I: bad}); err != nil {
		t.Fatal(err)
	}
	if err := s.Push(doppler.Block{Index: 40_000, At: -1e9, I: bad}); err != nil { // the clock goes back
		t.Fatal(err)
	}
	decode(t, s.WritePNG)
}

func TestReadingsAreBoundedAndSigned(t *testing.T) {
	r := NewReadings(Options{})
	if err := r.WritePNG(io.Discard); err == nil {
		t.Error("nothing was drawn")
	}
	for n := range 3 * maxReadings {
		d := sensor.Approaching
		if n%2 == 0 {
			d = sensor.Receding
		}
		at := sensor.Mono(n) * sensor.Mono(time.Millisecond)
		r.Push(sensor.Cycle{At: at, Readings: []sensor.Reading{{At: at, Speed: 50 * sensor.KmH, Direction: d}}})
	}
	if len(r.points) > maxReadings || len(r.points) < maxReadings/2 {
		t.Errorf("%d points", len(r.points))
	}
	above, below := 0, 0
	for _, p := range r.points {
		if p.y > 0 {
			above++
		} else {
			below++
		}
	}
	if above == 0 || below == 0 {
		t.Errorf("of two directions %d and %d points are left", above, below)
	}
	r.Passage(sensor.Passage{Start: 100e9, End: 200e9, Speed: 60 * sensor.KmH, Direction: sensor.Receding})
	if n := count(decode(t, r.WritePNG), good, field); n < 500 { // the line and its words
		t.Errorf("%d pixels of the passage", n)
	}
}

func TestTicksAreRound(t *testing.T) {
	for _, c := range []struct {
		low, high float64
		n         int
		want      string
	}{
		{0, 21, 12, "0 2 4 6 8 10 12 14 16 18 20"},
		{-0.5, 0.5, 5, "-0.4 -0.2 0.0 0.2 0.4"},
		{100_000.25, 100_000.75, 5, "100000.3 100000.4 100000.5 100000.6 100000.7"},
		{0, 16_000, 4, "0 5000 10000 15000"},
	} {
		values, decimals := axis{low: c.low, high: c.high}.ticks(c.n)
		var words []string
		for _, v := range values {
			words = append(words, number(v, decimals))
		}
		if got := strings.Join(words, " "); got != c.want {
			t.Errorf("%g to %g: %s, want %s", c.low, c.high, got, c.want)
		}
	}
}

func TestFontHasAllThatIsWritten(t *testing.T) {
	f := newFont()
	for _, r := range "0123456789 .,:;+-±×/%°()=<>|_'²?ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz" {
		if _, ok := f[r]; !ok {
			t.Errorf("no %q", r)
		}
	}
	for _, r := range sensor.Reasons() {
		for _, c := range r.Code() {
			if f[c] == ([glyphHeight]uint8{}) {
				t.Errorf("no %q of %s", c, r.Code())
			}
		}
	}
	if f['1'] != [...]uint8{0b00100, 0b01100, 0b00100, 0b00100, 0b00100, 0b00100, 0b01110, 0, 0} {
		t.Errorf("1 is %05b", f['1'])
	}
}

func TestCharts(t *testing.T) {
	values := []float64{0.1, 0.1, 0.15, 7, -7, math.Inf(1)}
	m := decode(t, func(w io.Writer) error {
		return Chart{Title: "t", X: [2]float64{-1, 1}, Y: [2]float64{0.5, 10}, LogY: true}.WriteHistogram(w, values, 20)
	})
	x := chartField.Min.X + chartField.Dx()*23/40 // the middle of 0.1 to 0.2
	high := count(m, blue, image.Rect(x, chartField.Min.Y, x+1, chartField.Max.Y))
	edge := count(m, blue, image.Rect(chartField.Min.X+5, chartField.Min.Y, chartField.Min.X+6, chartField.Max.Y))
	if want := int(math.Log10(3/0.5) / math.Log10(20) * float64(chartField.Dy())); high < want-2 || high > want+2 || edge == 0 || edge >= high {
		t.Errorf("three values are %d high, want %d; one beyond the edge %d", high, want, edge)
	}
	m = decode(t, func(w io.Writer) error {
		return Chart{X: [2]float64{1, 100}, Y: [2]float64{-1, 1}, LogX: true}.WritePoints(w,
			[]XY{{X: 10}, {X: 1e6, Y: -1e9, Red: true}}, []XY{{X: 1, Y: 0.5}, {X: 100, Y: 0.5}})
	})
	middle := image.Pt((chartField.Min.X+chartField.Max.X)/2, (chartField.Min.Y+chartField.Max.Y)/2)
	if n := count(m, blue, image.Rectangle{middle, middle}.Inset(-3)); n != 4 {
		t.Errorf("%d pixels of the point at 10", n)
	}
	if n := count(m, red, chartField); n == 0 {
		t.Error("the point beyond the edge is not drawn")
	}
	if n := count(m, paleBlue, chartField); n < chartField.Dx()*chartField.Dy()*2/5 {
		t.Errorf("%d pixels of the band", n)
	}
}
