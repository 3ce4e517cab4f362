package plot

import (
	"fmt"
	"image"
	"image/color"
	"io"
	"math"
	"slices"
	"time"

	"ciglio/sensor"
	"ciglio/sensor/doppler"
	"ciglio/sensor/doppler/spectrum"
)

const (

	// A frame is the shortest power of two of samples that lasts longer than
	// this, and frames begin a quarter of a frame apart, as in the chain.
	minFrame = 32 * time.Millisecond
	overlap  = 4

	maxColumns = 2 * (right - left) // of the picture in the making
	maxRows    = 4096
	highest    = 400.0 / 3.6 // m/s: nothing faster is kept

	// Levels are kept in one byte: 0 says that there is none, and 1 to 255 are
	// steps of 0.625 dB from 160 dB below full scale on.
	floorDB   = -160.0
	stepsADB  = 1.6
	darkest   = -2.0 // dB over the noise
	leastSpan = 25.0 // dB from the darkest to the brightest
	mostSpan  = 60.0
	standsOut = 15.0 // dB over the noise
	standsFor = 4    // columns in which a row must stand out to be shown
	noiseRows = 24   // on each side, whose noise is taken together
)

// A Spectrogram draws a Doppler signal.
type Spectrogram struct {
	format  doppler.Format
	options Options
	perHz   float64 // km/h
	binHz   float64
	zero    int // row of frequency 0

	spectrum *spectrum.Spectrum
	i, q     []float32
	filled   int
	next     uint64 // index of the next sample
	at       sensor.Mono
	index    uint64 // of the sample at at

	started    bool
	first      sensor.Mono
	columnTime time.Duration
	columns    int
	rows       int
	cells      []uint8 // column by column
	marks      marks
}

// NewSpectrogram returns the empty picture of a signal of the given form.
func NewSpectrogram(f doppler.Format, o Options) (*Spectrogram, error) {
	if f.Rate < 1000 || f.Rate > 1_000_000 {
		return nil, fmt.Errorf("plot: sampling rate %d Hz lies outside 1000 to 1000000 Hz", f.Rate)
	}
	if o.Carrier == 0 {
		o.Carrier = 24_125_000_000
	}
	if o.Carrier < 1e9 || o.Carrier > 1e11 || o.Angle < 0 || o.Angle > 60_000 {
		return nil, fmt.Errorf("plot: carrier %d Hz or angle %d lies outside 1 to 100 GHz and 0 to 60000 thousandths of a degree", o.Carrier, o.Angle)
	}
	mps := sensor.SpeedOfLight / (2 * float64(o.Carrier) * math.Cos(float64(o.Angle)/1000*math.Pi/180))
	s := &Spectrogram{format: f, options: o, perHz: mps * 3.6}
	size := 64
	for time.Duration(size)*time.Second/time.Duration(f.Rate) < minFrame {
		size *= 2
	}
	side := func() int { return min(size/2, int(highest/mps*float64(size)/float64(f.Rate))+1) }
	for 2*side() > maxRows {
		size /= 2
	}
	s.binHz = float64(f.Rate) / float64(size)
	s.rows = side()
	if f.Complex {
		s.zero, s.rows = s.rows, 2*s.rows
		s.q = make([]float32, size)
	}
	s.i = make([]float32, size)
	s.spectrum = spectrum.New(size, f.Complex)
	s.columnTime = s.span(size / overlap)
	s.cells = make([]uint8, maxColumns*s.rows)
	return s, nil
}

// span returns how long n samples last.
func (s *Spectrogram) span(n int) time.Duration {
	return time.Duration(int64(n) * int64(time.Second) / int64(s.format.Rate))
}

// Push adds a block of the signal. Blocks come in order; where samples are
// missing the picture stays black. The Block is not kept.
func (s *Spectrogram) Push(b doppler.Block) error {
	if s.format.Complex && len(b.I) != len(b.Q) || !s.format.Complex && b.Q != nil {
		return fmt.Errorf("plot: block %d: %d samples of I and %d of Q", b.Index, len(b.I), len(b.Q))
	}
	if !s.started {
		s.started, s.first = true, b.At
		s.next = b.Index
	}
	if b.Index != s.next {
		s.filled = 0
	}
	s.next, s.at, s.index = b.Index, b.At, b.Index
	size := len(s.i)
	for at := 0; at < len(b.I); {
		n := copy(s.i[s.filled:], b.I[at:])
		if s.format.Complex {
			copy(s.q[s.filled:], b.Q[at:at+n])
		}
		s.filled, at, s.next = s.filled+n, at+n, s.next+uint64(n)
		if s.filled == size {
			s.frame()
			s.filled = copy(s.i, s.i[size/overlap:])
			copy(s.q, s.q[min(size/overlap, len(s.q)):])
		}
	}
	return nil
}

// frame adds the levels of one frame to its column.
func (s *Spectrogram) frame() {
	size := len(s.i)
	middle := s.at + sensor.Mono(s.span(int(int64(s.next-s.index))-size/2))
	since := middle.Sub(s.first)
	if since < 0 { // the clock went back
		return
	}
	for since/s.columnTime >= maxColumns {
		s.halve()
	}
	column := int(since / s.columnTime)
	s.columns = max(s.columns, column+1)
	cells := s.cells[column*s.rows : (column+1)*s.rows]
	power := s.spectrum.Compute(s.i, s.q)
	if s.format.Complex { // whose rows begin at the negative frequency that is the highest shown
		power = power[size/2-s.zero:]
	}
	for row := range cells {
		db := 10 * math.Log10(float64(power[row])+1e-30)
		if math.IsNaN(db) {
			db = 0
		}
		cells[row] = max(cells[row], uint8(min(max((db-floorDB)*stepsADB, 1), 255)))
	}
}

// halve joins each two columns, of which the stronger level counts.
func (s *Spectrogram) halve() {
	for c := range maxColumns / 2 {
		a, b := s.cells[2*c*s.rows:][:s.rows], s.cells[(2*c+1)*s.rows:][:s.rows]
		to := s.cells[c*s.rows:][:s.rows]
		for row := range to {
			to[row] = max(a[row], b[row])
		}
	}
	clear(s.cells[maxColumns/2*s.rows:])
	s.columnTime *= 2
	s.columns = (s.columns + 1) / 2
}

// Passage draws a passage in, with the line that it rests on: what a
// [doppler.Options.Observe] is told.
func (s *Spectrogram) Passage(p sensor.Passage, line []doppler.Point) {
	points := make([]point, len(line))
	for i, l := range line {
		points[i] = point{l.At.Seconds(), l.Hz}
	}
	s.marks.add(p, points)
}

// WriteSVG writes the picture. It is an error when there was not one whole
// frame of signal.
func (s *Spectrogram) WriteSVG(w io.Writer) error {
	if s.columns == 0 {
		return fmt.Errorf("plot: the signal is shorter than %v", s.span(len(s.i)))
	}
	noise := s.noise()
	low, high := s.reach(noise)
	hz := axis{low, high, bottom, top}
	kmh := axis{low * s.perHz, high * s.perHz, bottom, top}
	begin := s.first.Seconds()
	x := axis{begin, begin + float64(s.columns)*s.columnTime.Seconds(), left, right}
	span := s.brightest(noise)
	p := newPage(width, height, field, s.options.Title, paper)
	if err := p.image(field, s.paint(x, hz, noise, span)); err != nil {
		return err
	}
	s.marks.draw(p, x, hz)
	surround(p, s.options.Title, x, kmh, &hz)
	legend(p, left)
	s.bar(p, span, noise)
	return p.write(w)
}

// reach returns the frequencies that the picture shows: somewhat more than the
// lines drawn in and what else stands out for a while, or all when there is no
// line.
func (s *Spectrogram) reach(noise []float64) (low, high float64) {
	most := float64(s.rows-s.zero) * s.binHz
	for _, k := range s.marks.all {
		for _, p := range k.points {
			low, high = min(low, p.y), max(high, p.y)
		}
	}
	if low == 0 && high == 0 {
		if s.format.Complex {
			return -most, most
		}
		return 0, most
	}
	for row := range s.rows {
		loud := 0
		for c := range s.columns {
			if float64(s.cells[c*s.rows+row]) > noise[row]+standsOut*stepsADB {
				loud++
			}
		}
		if loud >= standsFor {
			hz := float64(row-s.zero) * s.binHz
			low, high = min(low, hz), max(high, hz)
		}
	}
	low, high = 1.3*low, 1.3*high
	if s.format.Complex {
		low, high = min(low, -0.3*high), max(high, -0.3*low)
	} else {
		low, high = 0, max(high, -low)
	}
	return max(low, -most), min(high, most)
}

// noise returns the noise of each row in steps: the median over time, and of
// that the median over the rows about, so that a constant line stays visible.
func (s *Spectrogram) noise() []float64 {
	own := make([]uint8, s.rows)
	for row := range own {
		var count [256]int
		n := 0
		for c := range s.columns {
			if v := s.cells[c*s.rows+row]; v > 0 {
				count[v]++
				n++
			}
		}
		for v, sum := 0, 0; v < 256; v++ {
			if sum += count[v]; 2*sum >= n && n > 0 {
				own[row] = uint8(v)
				break
			}
		}
	}
	all := make([]float64, s.rows)
	for row := range all {
		about := slices.Clone(own[max(row-noiseRows, 0):min(row+noiseRows+1, s.rows)])
		slices.Sort(about)
		all[row] = float64(about[len(about)/2])
	}
	return all
}

// brightest returns the level over the noise that all but one cell in 2,000
// stay below, in dB: the bright end of the colours.
func (s *Spectrogram) brightest(noise []float64) float64 {
	var count [256]int
	n := 0
	for at, v := range s.cells[:s.columns*s.rows] {
		if v > 0 {
			count[uint8(max(0, float64(v)-noise[at%s.rows]))]++
			n++
		}
	}
	v := 255
	for sum := 0; v > 0 && sum < n/2000; v-- {
		sum += count[v]
	}
	return min(max(float64(v)/stepsADB, leastSpan), mostSpan)
}

// paint returns the field with the levels. What was not recorded is the colour
// behind the last level.
func (s *Spectrogram) paint(x, hz axis, noise []float64, span float64) *image.Paletted {
	m := image.NewPaletted(image.Rect(0, 0, field.Dx(), field.Dy()), palette())
	rows := make([][2]int, field.Dy())
	for i := range rows {
		a := hz.value(float64(field.Min.Y+i+1))/s.binHz + float64(s.zero)
		b := hz.value(float64(field.Min.Y+i))/s.binHz + float64(s.zero)
		from := min(max(int(math.Round(a)), 0), s.rows-1)
		rows[i] = [2]int{from, min(max(int(math.Round(b)), from+1), s.rows)}
	}
	steps := levels / (span - darkest) / stepsADB
	for px := range field.Dx() {
		begin := (x.value(float64(field.Min.X+px)) - x.low) / s.columnTime.Seconds()
		column := min(int(begin), s.columns-1)
		cells := s.cells[column*s.rows:][:s.rows]
		for i, r := range rows {
			var sum, n float64
			for row := r[0]; row < r[1]; row++ {
				if cells[row] > 0 {
					sum += float64(cells[row]) - noise[row]
					n++
				}
			}
			colour := uint8(levels)
			if n > 0 {
				colour = uint8(min(max((sum/n-darkest*stepsADB)*steps, 0), levels-1))
			}
			m.SetColorIndex(px, i, colour)
		}
	}
	return m
}

const levels = 200 // steps of the colour map

// ramp is the colour map, from the noise to the strongest line: dark to bright,
// so that it reads in grey as well.
var ramp = [...]color.RGBA{
	{8, 10, 24, 255}, {26, 30, 72, 255}, {32, 66, 120, 255}, {34, 108, 146, 255},
	{52, 150, 158, 255}, {112, 194, 168, 255}, {186, 226, 190, 255}, {246, 252, 232, 255},
}

// palette returns the colours of the levels and, last, that of what was not
// recorded, which lets the paper through.
func palette() color.Palette {
	p := make(color.Palette, 0, levels+1)
	for i := range levels {
		at := float64(i) / (levels - 1) * float64(len(ramp)-1)
		k := min(int(at), len(ramp)-2)
		mix := func(a, b uint8) uint8 { return uint8(math.Round(float64(a) + (at-float64(k))*(float64(b)-float64(a)))) }
		a, b := ramp[k], ramp[k+1]
		p = append(p, color.RGBA{mix(a.R, b.R), mix(a.G, b.G), mix(a.B, b.B), 255})
	}
	return append(p, color.RGBA{})
}

// bar draws the colours and what they mean.
func (s *Spectrogram) bar(p *page, span float64, noise []float64) {
	box := image.Rect(right-300, legendAt-8, right, legendAt+8)
	p.add(`<linearGradient id="levels">`)
	for i, c := range ramp {
		p.add(`<stop offset="%.3f" stop-color="#%02x%02x%02x"/>`, float64(i)/float64(len(ramp)-1), c.R, c.G, c.B)
	}
	p.add(`</linearGradient>`)
	p.add(`<rect %s fill="url(#levels)" stroke="%s"/>`, place(box), dim)
	db := axis{darkest, span, box.Min.X, box.Max.X}
	values, decimals := db.ticks(4)
	for _, v := range values {
		p.text(int(math.Round(db.at(v))), box.Max.Y+14, "middle", ink, number(v, decimals))
	}
	quiet := slices.Clone(noise)
	slices.Sort(quiet)
	p.text(box.Min.X-16, legendAt, "end", ink, fmt.Sprintf("dB over the noise, %s dB of full scale in %s Hz",
		number(quiet[len(quiet)/2]/stepsADB+floorDB, 0), number(s.binHz, 1)))
}
