package agent

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"

	"ciglio/sensor"
	"ciglio/sensor/doppler"
	"ciglio/sensor/track"
	"ciglio/sensor/wav"
)

const measureMore = `Prints one JSON line for each vehicle in recordings: the signal of a Doppler
radar, the bytes that a sensor sent over its serial line, the edges of contacts
in the lane, or the trace of a record. A bundle, and the folder of one, say how
their sensor was set; of a signal by itself the carrier must be given, or each
line says which one was assumed. A format is auto, which looks at the first
bytes; wav; trace, the CSV file of a record; serial bytes of a sensor: iqframe, isys4001, agd, csr or ops243, ops243@RATE
where these are samples; edges, the events of contacts; or a signal without
header: iq16le@RATE or real16le@RATE with RATE in samples a second.`

// A measured passage is one line of the output.
type measured struct {
	File      string           `json:"file"`
	Start     json.Number      `json:"start_s"`
	End       json.Number      `json:"end_s"`
	Speed     json.Number      `json:"speed_kmh"`
	U         json.Number      `json:"u_kmh"`
	Direction sensor.Direction `json:"direction"`
	Targets   int              `json:"targets"`
	Valid     bool             `json:"valid"`
	Reason    string           `json:"reason"`
	// Carrier is what the speed was computed with, for signals, and CarrierFrom
	// where that is known from: given, by the option; bundle; or assumed.
	Carrier     json.Number `json:"carrier_ghz,omitempty"`
	CarrierFrom string      `json:"carrier_from,omitempty"`
	Remarks     []string    `json:"remarks,omitempty"` // what the speed hangs on beside
}

// measure is the command `ciglio measure`: the sensor chain on recordings.
func measure(f flags) action {
	carrier := f.String("carrier", "", "transmit `frequency` of the sensor, such as 24.125GHz, in Hz, kHz, MHz or GHz; for signals, since reports hold speeds")
	angle := f.String("angle", "0deg", "`angle` between the beam and the direction of travel, 0deg to 60deg: corrects reports; a signal tells the angle itself")
	format := f.String("format", "auto", "`format` of the recordings")
	picture := f.String("plot", "", "SVG `file`, name.svg, that shows the recording and what was found in it: a spectrogram, or the readings of a sensor that reports speeds; one FILE only")
	f.Lookup("json").Usage = "accepted for the sake of scripts: the output is always JSON"
	return func(args []string, stdout, stderr io.Writer) int {
		files, exit, ok := f.parse(args)
		if !ok {
			return exit
		}
		wrong := func(err error) int {
			return f.wrong("%v", err)
		}
		if len(files) == 0 {
			return wrong(errors.New("no file given"))
		}
		var hz int64
		if *carrier != "" {
			var err error
			if hz, err = parseFrequency(*carrier); err != nil {
				return wrong(fmt.Errorf("--carrier: %w", err))
			}
		}
		mdeg, err := parseAngle(*angle)
		if err != nil {
			return wrong(fmt.Errorf("--angle: %w", err))
		}
		open, err := parseFormat(*format)
		if err != nil {
			return wrong(fmt.Errorf("--format: %w", err))
		}
		drawing, err := newDrawing(*picture, files)
		if err != nil {
			return wrong(err)
		}
		options := doppler.Options{Carrier: hz, Angle: mdeg} // carrier 0: not given
		code := exitGood
		out := json.NewEncoder(stdout)
		out.SetEscapeHTML(false)
		for _, name := range files {
			remarks, err := measureFile(name, open, options, drawing, out)
			for _, r := range remarks {
				fmt.Fprintf(stderr, "ciglio measure: %s: note: %s\n", name, r)
			}
			if err != nil {
				var path *os.PathError
				if errors.As(err, &path) && path.Path == name {
					err = path.Err // the name is told already
				}
				fmt.Fprintf(stderr, "ciglio measure: %s: %v\n", name, err)
				code = exitFailed
			}
		}
		if err := drawing.write(); err != nil {
			fmt.Fprintf(stderr, "ciglio measure: %v\n", err)
			code = exitFailed
		}
		return code
	}
}

// measureFile measures one recording. It returns what is to be said of it that no
// passage has said.
func measureFile(name string, open func(*bufio.Reader, int64) (recorded, error), o doppler.Options, d *drawing, out *json.Encoder) ([]string, error) {
	in, err := newInput(name)
	if err != nil {
		return nil, err
	}
	p := &printer{out: out, name: name, from: "given"}
	if o.Carrier == 0 && in.sealed != nil {
		o.Carrier, p.from = int64(in.sealed.Sensor.Carrier), "bundle"
	} else if o.Carrier == 0 {
		o.Carrier, p.from = assumedCarrier, "assumed"
	}
	stated, err := in.stated(open, o.Carrier)
	if err != nil {
		return nil, err
	}
	r, f, err := in.openRecorded(open, o.Carrier)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	p.remarks = append(in.remarks, stated...)
	if r.hangs {
		p.carrier = o.Carrier
		if p.from == "assumed" {
			p.remark("carrier %s assumed, as none was given: every speed hangs on it; say --carrier", gigahertz(o.Carrier))
		}
	}
	if r.trace {
		p.remark("a trace has the readings of one vehicle: whether others were in the beam is not told")
		if in.sealed == nil {
			p.remark("angle %sdeg taken, as no record says it: every speed hangs on it", json.Number(fmt.Sprint(float64(o.Angle)/1000)))
		}
	}
	switch {
	case r.feed != nil:
		err := measureFeed(d.feed(name, r.feed), in.tracking(r, o.Angle), func(passage sensor.Passage) error {
			d.passage(passage)
			return p.print(passage)
		})
		return p.unsaid(), err
	case r.signal != nil:
		if in.sealed != nil {
			o.Angle, o.PhotoRange = int(in.sealed.Sensor.Angle), int32(in.sealed.Site.PhotoRange)
		}
		signal := &ending{Stream: r.signal}
		err := measureSignal(signal, d.signal(name, signal, &o), o, p.print)
		lasts := float64(signal.samples) / float64(r.signal.Format().Rate) // s
		switch {
		case err != nil:
		case signal.samples == 0:
			err = errors.New("holds no samples: an empty recording, not an empty road")
		case lasts < shortestSignal:
			err = fmt.Errorf("holds %d samples, %.2f ms of signal: less than the %.0f ms in which a vehicle could be seen, not an empty road",
				signal.samples, 1000*lasts, 1000*shortestSignal)
		}
		if s, ok := r.signal.(*samples); ok {
			if err == nil && s.still() {
				err = fmt.Errorf("holds one value from its first sample to its last (%d): no signal of a radar, not an empty road", s.index)
			}
			if !in.twice { // it could not be looked at before
				return append(p.unsaid(), s.file.Remarks()...), err
			}
		}
		return p.unsaid(), err
	}
	for _, passage := range r.passages {
		if err := p.print(passage); err != nil {
			return p.unsaid(), err
		}
	}
	return p.unsaid(), nil
}

// shortestSignal is less than one frame of package doppler.
const shortestSignal = 0.032 // s

// gigahertz prints a frequency exact to the hertz.
func gigahertz(hz int64) string {
	return strings.TrimRight(strings.TrimRight(fmt.Sprintf("%d.%09d", hz/1e9, hz%1e9), "0"), ".") + "GHz"
}

// measureSignal reads a signal to its end. Seen is the same signal.
func measureSignal(signal *ending, seen doppler.Stream, o doppler.Options, print func(sensor.Passage) error) error {
	source, err := doppler.NewSource(seen, o)
	if err != nil {
		return err
	}
	for {
		p, err := source.Next(context.Background())
		switch {
		case err == nil:
			if err := print(p); err != nil {
				return err
			}
		case errors.Is(err, io.EOF):
			return nil
		case signal.failed == nil:
			return err
		case signal.told: // what came since are the passages that it cut
			return signal.failed
		default:
			signal.told = true
		}
	}
}

// ending is a recorded signal that ends at its first error.
type ending struct {
	doppler.Stream
	samples int // so far
	failed  error
	told    bool // the error has been seen
}

func (e *ending) Next(ctx context.Context) (doppler.Block, error) {
	if e.failed != nil {
		return doppler.Block{}, e.failed
	}
	b, err := e.Stream.Next(ctx)
	if err != nil && !errors.Is(err, io.EOF) {
		e.failed = err
	}
	e.samples += len(b.I)
	return b, err
}

// measureFeed reads the reports of a sensor to their end.
func measureFeed(feed sensor.Feed, o track.Options, print func(sensor.Passage) error) error {
	id := feed.Identity()
	o.Separates, o.Unchecked, o.Simulated = id.Separates, id.Unchecked, id.Simulated
	tracker, err := track.NewTracker(o)
	if err != nil {
		return err
	}
	for cycles := 0; ; cycles++ {
		c, failed := feed.Next(context.Background())
		switch {
		case failed == nil:
			tracker.Push(c)
		case errors.Is(failed, io.EOF):
			tracker.Flush()
		default:
			tracker.Break(sensor.ReasonLostSamples)
			tracker.Flush()
		}
		for p, ok := tracker.Pop(); ok; p, ok = tracker.Pop() {
			if err := print(p); err != nil {
				return err
			}
		}
		switch {
		case failed == nil:
		case !errors.Is(failed, io.EOF):
			return failed
		case cycles == 0:
			return errors.New("holds no report of this format")
		default:
			return nil
		}
	}
}

// A printer prints the passages of one recording.
type printer struct {
	out     *json.Encoder
	name    string
	carrier int64  // 0 where no speed hangs on it
	from    string // where it is known from
	remarks []string
	said    bool // with a passage
}

// unsaid returns the remarks when no passage has said them.
func (p *printer) unsaid() []string {
	if p.said {
		return nil
	}
	return p.remarks
}

func (p *printer) remark(format string, args ...any) {
	p.remarks = append(p.remarks, fmt.Sprintf(format, args...))
}

func (p *printer) print(passage sensor.Passage) error {
	codes := make([]string, len(passage.Reasons))
	for i, r := range passage.Reasons {
		codes[i] = r.Code()
	}
	hundredths := func(s sensor.Speed) json.Number {
		return json.Number(fmt.Sprintf("%d.%02d", s/sensor.KmH, s%sensor.KmH))
	}
	seconds := func(m sensor.Mono) json.Number { return json.Number(fmt.Sprintf("%.3f", m.Seconds())) }
	m := measured{
		File:      p.name,
		Start:     seconds(passage.Start),
		End:       seconds(passage.End),
		Speed:     hundredths(passage.Speed),
		U:         hundredths(passage.Budget.Total()),
		Direction: passage.Direction,
		Targets:   passage.Targets,
		Valid:     passage.Valid(),
		Reason:    strings.Join(codes, ","),
		Remarks:   p.remarks,
	}
	if p.carrier != 0 {
		m.Carrier, m.CarrierFrom = json.Number(strings.TrimSuffix(gigahertz(p.carrier), "GHz")), p.from
	}
	p.said = true
	return p.out.Encode(m)
}

// samples is the signal of a recording without instants. Its clock starts at 0
// with the first sample.
type samples struct {
	file   *wav.Reader
	format doppler.Format
	index  uint64
	i, q   []float32
	first  [2]float32 // sample of each channel
	moved  bool       // another sample came since
}

func newSamples(file *wav.Reader, f doppler.Format) *samples {
	s := &samples{file: file, format: f, i: make([]float32, 4096)}
	if f.Complex {
		s.q = make([]float32, 4096)
	}
	return s
}

// Format implements [doppler.Stream].
func (s *samples) Format() doppler.Format { return s.format }

// Next implements [doppler.Stream].
func (s *samples) Next(ctx context.Context) (doppler.Block, error) {
	if err := ctx.Err(); err != nil {
		return doppler.Block{}, err
	}
	n, err := s.file.Read(s.i, s.q)
	if err != nil {
		return doppler.Block{}, err
	}
	rate := uint64(s.format.Rate)
	at := sensor.Mono(s.index/rate*1e9 + s.index%rate*1e9/rate)
	b := doppler.Block{Index: s.index, At: at, I: s.i[:n]}
	if s.format.Complex {
		b.Q = s.q[:n]
	}
	if s.index == 0 && n > 0 {
		s.first[0] = b.I[0]
		if s.format.Complex {
			s.first[1] = b.Q[0]
		}
	}
	differs := func(first float32) func(float32) bool { return func(v float32) bool { return v != first } }
	s.moved = s.moved || slices.ContainsFunc(b.I, differs(s.first[0])) || slices.ContainsFunc(b.Q, differs(s.first[1]))
	s.index += uint64(n)
	return b, nil
}

// still reports whether each channel has held one value from the first sample on, as
// no radar in order does, whose noise is never nothing.
func (s *samples) still() bool { return s.index > 0 && !s.moved }

// parseFrequency reads a frequency with its unit, such as 24.125GHz, exact to
// the hertz.
func parseFrequency(text string) (int64, error) {
	for _, u := range []struct {
		unit string
		hz   float64
	}{{"GHz", 1e9}, {"MHz", 1e6}, {"kHz", 1e3}, {"Hz", 1}} {
		if number, ok := strings.CutSuffix(text, u.unit); ok {
			v, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
			if err != nil || !(v >= 0 && v*u.hz < 1e15) {
				break
			}
			return int64(math.Round(v * u.hz)), nil
		}
	}
	return 0, fmt.Errorf("%q: want a frequency such as 24.125GHz", text)
}

// parseAngle reads an angle such as 22.5deg into thousandths of a degree.
func parseAngle(text string) (int, error) {
	number, ok := strings.CutSuffix(text, "deg")
	v, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
	if !ok || err != nil || !(v >= 0 && v <= 60) {
		return 0, fmt.Errorf("%q: want 0deg to 60deg", text)
	}
	return int(math.Round(v * 1000)), nil
}
