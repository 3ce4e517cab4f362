package agent

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"strconv"
	"strings"

	"ciglio/sensor"
	"ciglio/sensor/doppler"
	"ciglio/sensor/wav"
)

const measureUsage = `usage: ciglio measure [--carrier 24.125GHz] [--angle 0deg] [--format auto] FILE...

Prints one JSON line for each vehicle in recordings of a Doppler radar.

  --carrier F   transmit frequency of the sensor, in Hz, kHz, MHz or GHz
  --angle A     between the beam and the direction of travel, 0deg to 60deg
  --format F    auto, wav, or a headerless signal: iq16le@RATE or real16le@RATE
                with RATE in samples a second
  --json        accepted for the sake of scripts: the output is always JSON
`

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
}

// measure is the command `ciglio measure`: the sensor chain on recordings.
func measure(args []string, stdout, stderr io.Writer) int {
	var carrier, angle, format string
	var help bool
	flags := flag.NewFlagSet("measure", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.StringVar(&carrier, "carrier", "24.125GHz", "")
	flags.StringVar(&angle, "angle", "0deg", "")
	flags.StringVar(&format, "format", "auto", "")
	flags.Bool("json", true, "")
	wrong := func(err error) int {
		fmt.Fprintf(stderr, "ciglio measure: %v\n%s", err, measureUsage)
		return 2
	}
	var files []string
	for rest := args; ; { // flags may stand before, between and after files
		err := flags.Parse(rest)
		if errors.Is(err, flag.ErrHelp) {
			help = true
			break
		}
		if err != nil {
			return wrong(err)
		}
		used := len(rest) - flags.NArg()
		rest = flags.Args()
		if used > 0 && args[len(args)-len(rest)-1] == "--" {
			files = append(files, rest...)
			break
		}
		if len(rest) == 0 {
			break
		}
		files, rest = append(files, rest[0]), rest[1:]
	}
	if help {
		fmt.Fprint(stdout, measureUsage)
		return 0
	}
	if len(files) == 0 {
		return wrong(errors.New("no file given"))
	}
	hz, err := parseFrequency(carrier)
	if err != nil {
		return wrong(fmt.Errorf("--carrier: %w", err))
	}
	mdeg, err := parseAngle(angle)
	if err != nil {
		return wrong(fmt.Errorf("--angle: %w", err))
	}
	raw, err := parseRawFormat(format)
	if err != nil {
		return wrong(fmt.Errorf("--format: %w", err))
	}
	options := doppler.Options{Carrier: hz, Angle: mdeg}
	code := 0
	out := json.NewEncoder(stdout)
	out.SetEscapeHTML(false)
	for _, name := range files {
		if err := measureFile(name, raw, options, out); err != nil {
			fmt.Fprintf(stderr, "ciglio measure: %s: %v\n", name, err)
			code = 1
		}
	}
	return code
}

func measureFile(name string, raw *doppler.Format, o doppler.Options, out *json.Encoder) error {
	f, err := os.Open(name)
	if err != nil {
		var path *os.PathError
		if errors.As(err, &path) {
			return path.Err
		}
		return err
	}
	defer f.Close()
	var signal *recorded
	if raw != nil {
		r, err := newRaw(f, *raw)
		if err != nil {
			return err
		}
		signal = r
	} else {
		r, err := wav.NewReader(f)
		if err != nil {
			return fmt.Errorf("%w (captured serial bytes cannot be measured yet; a headerless signal needs --format)", err)
		}
		signal = newRecorded(r.Read, doppler.Format{Rate: r.Format().Rate, Complex: r.Format().Channels == 2})
	}
	source, err := doppler.NewSource(signal, o)
	if err != nil {
		return err
	}
	for {
		p, err := source.Next(context.Background())
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			if signal.failed != nil { // what follows are the passages it cut
				for {
					p, next := source.Next(context.Background())
					if next != nil {
						return signal.failed
					}
					if err := print(out, name, p); err != nil {
						return err
					}
				}
			}
			return err
		}
		if err := print(out, name, p); err != nil {
			return err
		}
	}
}

func print(out *json.Encoder, name string, p sensor.Passage) error {
	codes := make([]string, len(p.Reasons))
	for i, r := range p.Reasons {
		codes[i] = r.Code()
	}
	hundredths := func(s sensor.Speed) json.Number {
		return json.Number(fmt.Sprintf("%d.%02d", s/sensor.KmH, s%sensor.KmH))
	}
	seconds := func(m sensor.Mono) json.Number { return json.Number(fmt.Sprintf("%.3f", m.Seconds())) }
	return out.Encode(measured{
		File:      name,
		Start:     seconds(p.Start),
		End:       seconds(p.End),
		Speed:     hundredths(p.Speed),
		U:         hundredths(p.Budget.Total()),
		Direction: p.Direction,
		Targets:   p.Targets,
		Valid:     p.Valid(),
		Reason:    strings.Join(codes, ","),
	})
}

// recorded is the stream of a recording. Its clock starts at 0 with the first
// sample.
type recorded struct {
	read   func(i, q []float32) (int, error)
	format doppler.Format
	index  uint64
	i, q   []float32
	failed error // why the recording ended early
}

func newRecorded(read func(i, q []float32) (int, error), f doppler.Format) *recorded {
	r := &recorded{read: read, format: f, i: make([]float32, 4096)}
	if f.Complex {
		r.q = make([]float32, 4096)
	}
	return r
}

// newRaw reads 16-bit little-endian samples without a header.
func newRaw(r io.Reader, f doppler.Format) (*recorded, error) {
	channels := 1
	if f.Complex {
		channels = 2
	}
	samples, err := wav.NewRawReader(r, wav.Format{Rate: f.Rate, Channels: channels, Bits: 16})
	if err != nil {
		return nil, err
	}
	return newRecorded(samples.Read, f), nil
}

func (r *recorded) Format() doppler.Format { return r.format }

func (r *recorded) Next(ctx context.Context) (doppler.Block, error) {
	if err := ctx.Err(); err != nil {
		return doppler.Block{}, err
	}
	if r.failed != nil {
		return doppler.Block{}, r.failed
	}
	n, err := r.read(r.i, r.q)
	if err != nil {
		if !errors.Is(err, io.EOF) {
			r.failed = err
		}
		return doppler.Block{}, err
	}
	rate := uint64(r.format.Rate)
	at := sensor.Mono(r.index/rate*1e9 + r.index%rate*1e9/rate)
	b := doppler.Block{Index: r.index, At: at, I: r.i[:n]}
	if r.format.Complex {
		b.Q = r.q[:n]
	}
	r.index += uint64(n)
	return b, nil
}

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

// parseRawFormat returns nil for formats that describe themselves.
func parseRawFormat(text string) (*doppler.Format, error) {
	if text == "auto" || text == "wav" {
		return nil, nil
	}
	kind, rate, _ := strings.Cut(text, "@")
	n, err := strconv.Atoi(rate)
	if err != nil || kind != "iq16le" && kind != "real16le" {
		return nil, fmt.Errorf("%q: want auto, wav, iq16le@RATE or real16le@RATE", text)
	}
	return &doppler.Format{Rate: n, Complex: kind == "iq16le"}, nil
}
