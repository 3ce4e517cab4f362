package plot

import (
	"bytes"
	"encoding/base64"
	"encoding/xml"
	"flag"
	"fmt"
	"image"
	"image/png"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"ciglio/sensor"
	"ciglio/sensor/doppler"
)

var update = flag.Bool("update", false, "write the pictures in testdata anew")

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

// An element is one of a picture that was read back.
type element struct {
	XMLName  xml.Name
	Attrs    []xml.Attr `xml:",any,attr"`
	Text     string     `xml:",chardata"`
	Children []element  `xml:",any"`
}

func (e element) attr(name string) string {
	for _, a := range e.Attrs {
		if a.Name.Local == name {
			return a.Value
		}
	}
	return ""
}

// find returns the elements below e that have a name and, unless stroke is
// empty, a stroke.
func (e element) find(name, stroke string) []element {
	var all []element
	for _, c := range e.Children {
		if c.XMLName.Local == name && (stroke == "" || c.attr("stroke") == stroke) {
			all = append(all, c)
		}
		all = append(all, c.find(name, stroke)...)
	}
	return all
}

// path returns the points of the path of e that M and L lead to.
func (e element) path(t *testing.T) []point {
	t.Helper()
	var all []point
	for _, m := range regexp.MustCompile(`[ML](\S+) ([-0-9.]+)`).FindAllStringSubmatch(e.attr("d"), -1) {
		x, err1 := strconv.ParseFloat(m[1], 64)
		y, err2 := strconv.ParseFloat(m[2], 64)
		if err1 != nil || err2 != nil {
			t.Fatalf("%q is no path: %v, %v", e.attr("d"), err1, err2)
		}
		all = append(all, point{x, y})
	}
	return all
}

// draw draws a picture.
func draw(t *testing.T, write func(io.Writer) error) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := write(&out); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// decode draws a picture and reads it back.
func decode(t *testing.T, write func(io.Writer) error) element {
	t.Helper()
	var root element
	if err := xml.Unmarshal(draw(t, write), &root); err != nil {
		t.Fatal(err)
	}
	if root.XMLName.Space != "http://www.w3.org/2000/svg" || root.XMLName.Local != "svg" {
		t.Fatalf("the picture is %v", root.XMLName)
	}
	return root
}

// levelsOf returns the levels inside a spectrogram.
func levelsOf(t *testing.T, root element) *image.Paletted {
	t.Helper()
	images := root.find("image", "")
	if len(images) != 1 {
		t.Fatalf("%d pictures inside", len(images))
	}
	text, ok := strings.CutPrefix(images[0].attr("href"), "data:image/png;base64,")
	data, err := base64.StdEncoding.DecodeString(text)
	if !ok || err != nil {
		t.Fatalf("no PNG inside: %t, %v", ok, err)
	}
	m, err := png.Decode(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	if m.Bounds().Size() != field.Size() || !strings.Contains(place(field), `x="`+images[0].attr("x")+`" y="`+images[0].attr("y")+`"`) {
		t.Errorf("the picture inside is %v, at %s, %s", m.Bounds(), images[0].attr("x"), images[0].attr("y"))
	}
	return m.(*image.Paletted)
}

// brightest returns the middle of the rows in which the column is brightest.
func brightest(m *image.Paletted, x int) int {
	var most uint8
	var rows []int
	for y := range m.Rect.Dy() {
		c := m.ColorIndexAt(x, y)
		if c == levels || c < most {
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
			y := brightest(levelsOf(t, decode(t, s.WriteSVG)), field.Dx()/2)
			if got := float64(y) / float64(field.Dy()); math.Abs(got-c.share) > 0.01 {
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
		root := decode(t, s.WriteSVG)
		colour, other, dash, words := good, bad, "", "67.00 km/h"
		if reasons != nil {
			colour, other, dash, words = bad, good, "6", "67.00 km/h\nclipped"
		}
		var lines, others []element
		for _, g := range root.find("g", "") {
			lines, others = append(lines, g.find("path", colour)...), append(others, g.find("path", other)...)
		}
		if len(lines) != 1 || len(others) != 0 {
			t.Fatalf("%v: %d lines, %d of the other colour", reasons, len(lines), len(others))
		}
		// One and two of nearly four seconds.
		p, y := lines[0].path(t), float64(top+brightest(levelsOf(t, root), field.Dx()-50))
		from, to := p[0], p[len(p)-1]
		if math.Abs(from.t-(left+(right-left)/4)) > 20 || math.Abs(to.t-(left+(right-left)/2)) > 20 || math.Abs(from.y-y) > 3 || math.Abs(to.y-y) > 3 {
			t.Errorf("%v: the line goes from %v to %v, that of the signal lies at %g", reasons, from, to, y)
		}
		if got := lines[0].attr("stroke-dasharray"); got != dash {
			t.Errorf("%v: dash %q", reasons, got)
		}
		if got := lines[0].find("title", ""); len(got) != 1 || got[0].Text != words {
			t.Errorf("%v: title %v, want %q", reasons, got, words)
		}
		var beside []string
		for _, text := range root.find("text", "") {
			if text.attr("fill") == colour {
				beside = append(beside, text.Text)
			}
		}
		if got := strings.Join(beside, "\n"); got != words {
			t.Errorf("%v: beside the line stands %q, want %q", reasons, got, words)
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
	decode(t, s.WriteSVG)
	for range 3 * maxMarks {
		line := make([]doppler.Point, 5*maxPoints)
		for i := range line { // as long as it can be drawn
			line[i] = doppler.Point{At: s.first + sensor.Mono(float64(i)/float64(len(line))*float64(s.columns)*float64(s.columnTime)), Hz: float64(i / 2 % 2 * 4000)}
		}
		s.Passage(sensor.Passage{}, line)
	}
	if len(s.marks.all) != maxMarks || len(s.marks.all[0].points) > maxPoints {
		t.Errorf("%d passages, %d points", len(s.marks.all), len(s.marks.all[0].points))
	}
	if got := len(draw(t, s.WriteSVG)); got > 10<<20 {
		t.Errorf("%d bytes of the worst picture", got)
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
	m := levelsOf(t, decode(t, s.WriteSVG))
	x := field.Dx() / 2
	if n := count(m, levels, image.Rect(x-50, 0, x+50, field.Dy())); n != 100*field.Dy() {
		t.Errorf("%d pixels of the gap are dark", n)
	}
	if n := count(m, levels, image.Rect(10, 0, 110, field.Dy())); n != 0 {
		t.Errorf("%d pixels of the signal are dark", n)
	}
	if _, _, _, alpha := m.Palette[levels].RGBA(); alpha != 0 {
		t.Error("the gap hides the paper")
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
	if err := s.WriteSVG(io.Discard); err == nil || !strings.Contains(err.Error(), "shorter than") {
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
	decode(t, s.WriteSVG)
}

func TestReadingsAreBoundedAndSigned(t *testing.T) {
	r := NewReadings(Options{})
	if err := r.WriteSVG(io.Discard); err == nil {
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
	root := decode(t, r.WriteSVG)
	if n := len(root.find("path", reading)[0].path(t)); n < 1000 || n > maxReadings {
		t.Errorf("%d dots", n)
	}
	if p := root.find("g", "")[0].find("path", good)[0].path(t); len(p) < 2 || p[0].t >= p[len(p)-1].t || p[0].y != p[len(p)-1].y {
		t.Errorf("the passage is drawn as %v", p)
	}
	if got := len(draw(t, r.WriteSVG)); got > 2<<20 {
		t.Errorf("%d bytes of the worst picture", got)
	}
}

func TestPictureIsXMLWhateverTheName(t *testing.T) {
	for _, c := range []struct{ why, title, want string }{
		{"markup", `a<b>&amp;"'` + "]]><script>.wav", `a<b>&amp;"'` + "]]><script>.wav"},
		{"blanks stay", "a  b", "a  b"},
		{"what XML cannot hold", "a\x00\x1b\xffb\uffff", "a\ufffd\ufffd\ufffdb\ufffd"},
		{"a new line", "a\nb\r", "a\nb\r"},
		{"long: the end stays", strings.Repeat("ä", 500) + ".wav", "…" + strings.Repeat("ä", (right-left)/advance-5) + ".wav"},
	} {
		r := NewReadings(Options{Title: c.title})
		r.Push(sensor.Cycle{At: 1e9})
		root := decode(t, r.WriteSVG)
		if got := root.find("text", "")[0].Text; got != c.want {
			t.Errorf("%s: %q, want %q", c.why, got, c.want)
		}
		if len(root.find("script", "")) != 0 {
			t.Errorf("%s: the title is markup", c.why)
		}
	}
}

// A point that is no number, or lies far outside, spoils no picture.
func TestLinesBeyondThePicture(t *testing.T) {
	f := doppler.Format{Rate: 20_000}
	s, err := NewSpectrogram(f, Options{})
	if err != nil {
		t.Fatal(err)
	}
	push(t, s, f, 0, 2, 3000)
	s.Passage(sensor.Passage{}, []doppler.Point{{At: 1e9, Hz: math.NaN()}, {At: 1e9, Hz: math.Inf(1)}, {At: math.MaxInt64, Hz: 1000}, {At: 1e9, Hz: 1000}})
	s.Passage(sensor.Passage{}, []doppler.Point{{Hz: math.Inf(-1)}})
	root := decode(t, s.WriteSVG)
	lines := root.find("g", "")[0].find("path", good)
	if len(lines) != 1 || len(lines[0].path(t)) != 2 || root.find("g", "")[0].attr("clip-path") != "url(#field)" {
		t.Errorf("lines %v", lines)
	}
	if y := brightest(levelsOf(t, root), field.Dx()/2); y < 10 || y > field.Dy()-10 {
		t.Errorf("the line of the signal is at %d", y)
	}
}

// One recording gives the same bytes each time. After a change that is meant:
// go test ./sensor/plot -update, and look at the pictures in testdata.
func TestSameBytesEachTime(t *testing.T) {
	readings := func() []byte {
		r := NewReadings(Options{Title: `A&B "<1>".csv`})
		for n := range 40 {
			at := sensor.Mono(n) * 1e8
			r.Push(sensor.Cycle{At: at, Readings: []sensor.Reading{{At: at, Speed: sensor.Speed(5000 + 7*n%40), Direction: sensor.Approaching}}})
		}
		r.Passage(sensor.Passage{Start: 5e8, End: 15e8, Speed: 50 * sensor.KmH, Targets: 1, Direction: sensor.Approaching})
		r.Passage(sensor.Passage{Start: 25e8, End: 3e9, Speed: 20 * sensor.KmH, Reasons: []sensor.Reason{sensor.ReasonClipped}, Direction: sensor.Receding})
		return draw(t, r.WriteSVG)
	}
	spectrogram := func() []byte {
		f := doppler.Format{Rate: 20_000, Complex: true}
		s, err := NewSpectrogram(f, Options{Title: "x"})
		if err != nil {
			t.Fatal(err)
		}
		push(t, s, f, 0, 2, 3000)
		s.Passage(sensor.Passage{Speed: 67 * sensor.KmH}, []doppler.Point{{At: 5e8, Hz: 3000}, {At: 1e9, Hz: 3000}})
		return draw(t, s.WriteSVG)
	}
	// The bytes of a PNG hang on the compression of the standard library: what
	// is kept stands without them.
	skeleton := regexp.MustCompile(`base64,[^"]*`).ReplaceAll(spectrogram(), []byte("base64,"))
	for name, got := range map[string][]byte{"readings.svg": readings(), "spectrogram.svg": skeleton} {
		golden := filepath.Join("testdata", name)
		if *update {
			if err := os.WriteFile(golden, got, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s is another picture:\n%s", name, got)
		}
	}
	if !bytes.Equal(readings(), readings()) || !bytes.Equal(spectrogram(), spectrogram()) {
		t.Error("one recording gave two pictures")
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

func TestCharts(t *testing.T) {
	values := []float64{0.1, 0.1, 0.15, 7, -7, math.Inf(1)}
	root := decode(t, func(w io.Writer) error {
		return Chart{Title: "t", X: [2]float64{-1, 1}, Y: [2]float64{0.5, 10}, LogY: true}.WriteHistogram(w, values, 20)
	})
	// One beyond the lower edge, three from 0.1 to 0.2, two beyond the upper one.
	wide, base := float64(chartField.Dx())/20, float64(chartField.Max.Y)
	high := func(n float64) float64 { return math.Log10(n/0.5) / math.Log10(20) * float64(chartField.Dy()) }
	var want strings.Builder
	for _, bar := range []struct{ at, n float64 }{{0, 1}, {11, 3}, {19, 2}} {
		fmt.Fprintf(&want, "M%.1f %gV%.1fh%.1fV%g", float64(chartField.Min.X)+bar.at*wide, base, base-high(bar.n), wide-1, base)
	}
	found := false
	for _, p := range root.find("path", "") {
		found = found || p.attr("fill") == blue && p.attr("d") == want.String()
	}
	if !found {
		t.Errorf("no bars %s in %v", want.String(), root.find("path", ""))
	}
	root = decode(t, func(w io.Writer) error {
		return Chart{X: [2]float64{1, 100}, Y: [2]float64{-1, 1}, LogX: true}.WritePoints(w,
			[]XY{{X: 10}, {X: 10}, {X: 1e6, Y: -1e9, Red: true}}, []XY{{X: 1, Y: 0.5}, {X: 100, Y: 0.5}})
	})
	middle := point{float64(chartField.Min.X+chartField.Max.X) / 2, float64(chartField.Min.Y+chartField.Max.Y) / 2}
	if p := root.find("path", blue)[0].path(t); !slices.Equal(p, []point{middle}) {
		t.Errorf("the points at 10 are drawn as %v, want %v", p, middle)
	}
	if p := root.find("path", red)[0].path(t); len(p) != 1 || !(image.Pt(int(p[0].t), int(p[0].y))).In(chartField) {
		t.Errorf("the point beyond the edge is drawn as %v", p)
	}
	if got := root.find("polygon", "")[0].attr("points"); got != "100.0,177.0 1070.0,177.0 1070.0,419.0 100.0,419.0 " {
		t.Errorf("the band is %s", got)
	}
}
