package ops243

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"ciglio/sensor"
	"ciglio/sensor/framing"
	"ciglio/sensor/session"
)

const (
	// answerTime is how long an answer is waited for: a line of samples that is
	// under way takes that long at 57,600 baud.
	answerTime = time.Second
	// tries is how often a question is put. An answer may be torn by a report.
	tries = 3
	// settle is how long the sensor gets for a command, unless it says at once
	// that it has done it.
	settle = 50 * time.Millisecond
	// slowest is the least speed reported, in m/s. What is slower is people,
	// leaves and rain.
	slowest = 1
)

// protocol is what package session needs to know.
func protocol() session.Protocol {
	return session.Protocol{
		Name: "ops243", Size: maxLine, Judge: framing.Lines(maxLine, false),
		Answer: answerTime, Tries: tries, Streams: true,
	}
}

// rateCommand returns the command of a sampling rate.
func rateCommand(rate int) (string, error) {
	switch rate {
	case 20_000:
		return "S2", nil
	case 50_000:
		return "SL", nil
	case 100_000:
		return "SC", nil
	}
	return "", fmt.Errorf("ops243: sampling rate %d, want 20000, 50000 or 100000", rate)
}

// commands returns what sets the sensor, in order. The unit comes before the
// filter, which is in that unit; what starts the reports comes last.
func commands(o Options, model string) []string {
	rate, _ := rateCommand(o.Rate)
	all := []string{
		"PA",           // measuring, not idle
		"UM",           // m/s
		rate,           // samples a second
		"^/+0", "^/-0", // no angle correction, approaching and receding
		"R|",                         // both directions
		"R>" + strconv.Itoa(slowest), // least speed
		"K-", "Y-", "On", "Oc", "Of", // no averages, maxima, objects, spectra
		"F3", "OJ", "OS", "OM", "OT", "OU", // three decimals; JSON with speed, magnitude, time, unit
	}
	if model == "OPS243-C" {
		all = append(all, "GS", "od") // Doppler only, no ranges
	}
	switch o.Mode {
	case JSON:
		all = append(all, "S>", "O4", "BZ", "Or")
	case CSV:
		all = append(all, "S>", "O1", "BZ", "Ou", "Oj", "Or")
	case Raw:
		all = append(all, "S<", "BV", "Os", "Ot", "Om", "Ou")
	}
	return all
}

// prepare brings the sensor into the state that the options ask for, and r.identity
// to what it says of itself.
func (r *Radar) prepare(ctx context.Context, o Options) error {
	product, err := r.hello(ctx)
	if err != nil {
		return err
	}
	model, err := r.model(product, o.Model)
	if err != nil {
		return err
	}
	for _, c := range commands(o, model) {
		if err := r.command(ctx, c); err != nil {
			return err
		}
	}
	read, err := r.readBack(ctx, o)
	if err != nil {
		return err
	}
	serial, err := r.serial(ctx, o.Serial)
	if err != nil {
		return err
	}
	read["product"], read["mode"] = product, o.Mode.String()
	if o.Mode == Raw {
		read["carrier_hz"] = strconv.FormatInt(o.Carrier, 10)
	}
	r.identity = sensor.Identity{Model: model, Serial: serial, Settings: read.Text(), Unchecked: !o.USB}
	if o.Mode == Raw {
		return r.command(ctx, "OR")
	}
	return nil
}

// hello asks the sensor who it is. It is the first thing asked, and so says what
// is wrong with the line.
func (r *Radar) hello(ctx context.Context) (string, error) {
	if err := r.line.Send([]byte("\n")); err != nil { // ends a command that was cut off
		return "", err
	}
	answer, err := r.ask(ctx, "?P", "Product")
	return answer["Product"], err
}

// model returns the model that the product name stands for. A name without a
// letter is that of the series: it fits both models.
func (r *Radar) model(product, want string) (string, error) {
	model := product
	switch {
	case strings.HasPrefix(product, "OPS243-"), !strings.HasPrefix(product, "OPS243"):
	case product == "OPS243 Doppler": // UM-003-A page 7
		model = "OPS243-A"
	case want != "":
		model = want
	default:
		model = "OPS243"
	}
	if want == "" {
		want = "OPS243"
		if model == "OPS243-A" || model == "OPS243-C" {
			want = model
		}
	}
	if model != want {
		return "", r.line.Model(product, want)
	}
	return model, nil
}

// serial asks for the serial number, or the board id, which older firmware has
// in its place.
func (r *Radar) serial(ctx context.Context, want string) (string, error) {
	var said string
	for _, q := range [...]struct{ command, key string }{{"?N", "SerialNumber"}, {"?U", "UID"}} {
		answer, err := r.ask(ctx, q.command, q.key)
		if err != nil && !errors.Is(err, framing.ErrSilence) {
			return "", err
		}
		if said = answer[q.key]; said != "" {
			break
		}
	}
	return said, r.line.Serial(said, want)
}

// readBack asks for the settings, compares them, and returns those that do not
// change by themselves.
func (r *Radar) readBack(ctx context.Context, o Options) (session.Settings, error) {
	size := strconv.Itoa(r.size)
	read := make(session.Settings)
	for _, q := range [...]struct{ command, key, name, want string }{
		{"??", "SamplingRate", "sampling_rate", strconv.Itoa(o.Rate)},
		{"??", "SampleSize", "sample_size", size},
		{"U?", "Units", "units", "m-per-sec"},
		{"^?", "InboundSensorAngleDegrees", "angle_correction_inbound", "0"},
		{"^?", "OutboundSensorAngleDegrees", "angle_correction_outbound", "0"},
		{"R?", "RequiredMinSpeed", "least_speed", strconv.Itoa(slowest)},
		{"?V", "Version", "firmware", ""},
	} {
		answer, err := r.ask(ctx, q.command, q.key)
		if err != nil {
			return nil, err
		}
		got := answer[q.key]
		if q.want != "" {
			if err := r.line.Compare(q.name, got, q.want); err != nil {
				return nil, err
			}
		}
		read[q.name] = got
		if top := answer["RequiredMaxSpeed"]; top != "" {
			if r.line.Compare("", top, "0") != nil && above(o.Rate, top) {
				return nil, r.line.Errorf("the sensor drops what is faster than %.40s m/s, want no such filter", top)
			}
			read["highest_speed"] = top
		}
	}
	return read, nil
}

// above reports whether the sensor can measure more than the given speed in m/s.
func above(rate int, top string) bool {
	v, err := strconv.ParseFloat(top, 64)
	return err != nil || v < float64(rate)*speedOfLight/(4*defaultCarrier)
}

// command sends a command and gives the sensor time for it.
func (r *Radar) command(ctx context.Context, c string) error {
	_, err := r.reply(ctx, "", c, 1, settle, func(map[string]string) bool { return true })
	if errors.Is(err, framing.ErrSilence) {
		return nil
	}
	return err
}

// ask sends a question until a reply has the key.
func (r *Radar) ask(ctx context.Context, command, key string) (map[string]string, error) {
	return r.reply(ctx, key+" ("+command+")", command, tries, answerTime, func(values map[string]string) bool { return values[key] != "" })
}

// reply sends a command until a reply fits; reports in between are dropped. LF
// ends it, which a command of two letters does not need and does not mind.
func (r *Radar) reply(ctx context.Context, name, command string, tries int, wait time.Duration, fits func(map[string]string) bool) (map[string]string, error) {
	var values map[string]string
	_, err := r.line.Ask(ctx, session.Question{
		Name: name, Bytes: []byte(command + "\n"), Tries: tries, Wait: wait,
		Sort: func(f framing.Frame) (session.Kind, error) {
			l, err := ParseLine(f.Bytes)
			switch {
			case err != nil:
				return session.Unfit, nil
			case l.Kind == Blank:
				return session.Nothing, nil
			case l.Kind == Reply && fits(l.Values):
				values = l.Values
				return session.Answer, nil
			}
			return session.Other, nil
		},
	})
	return values, err
}
