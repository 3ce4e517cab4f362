package emulator

import (
	"context"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"time"

	"ciglio/sensor"
)

// An OPS243 answers as an OPS243-A or -C of OmniPreSense does; see package
// ciglio/sensor/ops243. The zero value works. Its fields are set before Serve.
type OPS243 struct {
	Product  string        // "" means "OPS243 Doppler"
	Serial   string        // "" means that it has only a board id, as older firmware
	Ignored  string        // a command that it does not know, such as "S2"
	Deaf     bool          // hears nothing
	Quiet    bool          // does not know BZ: prints nothing when it sees nothing
	Alert    bool          // prints an alert with broken JSON before each report
	Delay    time.Duration // before each answer
	Torn     int           // writes this many bytes at a time; 0 for whole lines
	Carrier  float64       // Hz, of the samples; 0 means 24.125 GHz
	Overload bool          // the samples reach both ends of the converter

	line line

	mu      sync.Mutex
	started time.Time
	state   ops243State
	cycles  []sensor.Cycle // reported and not yet printed
	noise   *rand.Rand
}

// ops243State is what commands change.
type ops243State struct {
	units, unitKey     string
	rate, size, count  int
	inbound, outbound  float64
	least              float64
	json, unit, speed  bool
	magnitude, time    bool
	raw, zeros, ranges bool
	decimals           int
}

// Serve answers commands until conn fails or ctx ends, and prints a report, or a
// block, every 60 ms: the first of those given to Report, or that nothing is
// seen. It begins with the sensor's defaults. It closes conn when it is an
// [io.Closer] and ctx ends.
func (x *OPS243) Serve(ctx context.Context, conn io.ReadWriter) error {
	x.Restart()
	return x.line.serve(ctx, conn, func() error {
		ctx, cancel := context.WithCancel(ctx)
		commands := make(chan string, 64)
		var working sync.WaitGroup
		defer working.Wait()
		defer close(commands)
		defer cancel()
		working.Go(func() { x.report(ctx) })
		// Apart from the reading, since a wire takes a command while an answer is
		// on its way.
		working.Go(func() {
			for c := range commands {
				x.print(x.answer(c))
			}
		})
		var command []byte
		one := make([]byte, 1)
		for {
			if _, err := conn.Read(one); err != nil {
				return err
			}
			if x.Deaf {
				continue
			}
			if command = append(command, one[0]); complete(command) {
				commands <- strings.TrimSpace(string(command))
				command = command[:0]
			}
		}
	})
}

// answer carries out a command and takes its time to answer.
func (x *OPS243) answer(c string) string {
	answer := x.obey(c)
	if answer != "" && x.Delay > 0 {
		time.Sleep(x.Delay)
	}
	return answer
}

// complete reports whether a command has ended: after two letters, or after the
// end of the line when a number follows them.
func complete(c []byte) bool {
	if c[0] == '\n' || c[0] == '\r' {
		return true
	}
	if len(c) < 2 {
		return false
	}
	switch s := string(c[:2]); s {
	case "^/", "R>", "R<", "M>", "M<", "S=", "O=", "T=", "C=":
		return c[len(c)-1] == '\n' || c[len(c)-1] == '\r'
	}
	return true
}

// Restart begins anew with the sensor's defaults, as after a loss of power.
func (x *OPS243) Restart() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.started = time.Now()
	x.state = ops243State{
		units: "m-per-sec", unitKey: "mps", rate: 10_000, size: 1024, count: 1, speed: true, decimals: 1,
		ranges: strings.HasSuffix(x.Product, "-C"),
	}
	x.noise = rand.New(rand.NewPCG(243, 1))
}

// Report queues a cycle, to be printed at its turn.
func (x *OPS243) Report(c sensor.Cycle) {
	x.mu.Lock()
	defer x.mu.Unlock()
	c.Readings = append([]sensor.Reading(nil), c.Readings...)
	x.cycles = append(x.cycles, c)
}

// Send prints bytes as they are.
func (x *OPS243) Send(b []byte) error { return x.line.write(b) }

func (x *OPS243) report(ctx context.Context) {
	tick := time.NewTicker(60 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if x.print(x.lines()) != nil {
				return
			}
		}
	}
}

func (x *OPS243) print(text string) error {
	step := len(text)
	if x.Torn > 0 {
		step = x.Torn
	}
	for text != "" {
		n := min(step, len(text))
		if err := x.line.write([]byte(text[:n])); err != nil {
			return err
		}
		text = text[n:]
	}
	return nil
}

// lines returns what the sensor prints of the next block.
func (x *OPS243) lines() string {
	x.mu.Lock()
	defer x.mu.Unlock()
	var c sensor.Cycle
	if len(x.cycles) > 0 {
		c, x.cycles = x.cycles[0], x.cycles[1:]
	}
	if x.state.raw {
		return x.samples(c)
	}
	ranges := ""
	if x.state.ranges {
		ranges = "\"m\",2.1\r\n" // of whatever stands there
		if x.state.json {
			ranges = `{"unit":"m","range":"2.1"}` + "\r\n"
		}
	}
	if !x.state.speed {
		return ranges
	}
	speeds, magnitudes := x.targets(c)
	switch {
	case len(speeds) > 0:
	case x.state.zeros && !x.Quiet:
		speeds, magnitudes = []string{"0.00"}, []string{"0"}
	default:
		return ranges
	}
	text := ranges + x.plain(speeds, magnitudes)
	if x.state.json {
		text = ranges + x.object(speeds, magnitudes)
	}
	if x.Alert {
		text = `{"Alert" : "speed above " limit}` + "\r\n" + text
	}
	return text
}

// targets returns what is seen of a cycle, the strongest first as given, in the
// sensor's unit. A speed above half the sampling rate folds.
func (x *OPS243) targets(c sensor.Cycle) (speeds, magnitudes []string) {
	top := float64(x.state.rate) / 4 * 299792458 / 24.125e9
	for _, r := range c.Readings {
		v := float64(r.Speed) / 360
		if r.Direction == sensor.Receding {
			v = -v
		}
		for v > top {
			v -= 2 * top
		}
		for v < -top {
			v += 2 * top
		}
		angle := x.state.inbound
		if v < 0 {
			angle = x.state.outbound
		}
		v /= math.Cos(angle * math.Pi / 180)
		if math.Abs(v) < x.state.least || len(speeds) == x.state.count {
			continue
		}
		switch x.state.unitKey {
		case "kmph":
			v *= 3.6
		case "mph":
			v *= 3600 / 1609.344
		}
		speeds = append(speeds, strconv.FormatFloat(v, 'f', x.state.decimals, 64))
		magnitudes = append(magnitudes, strconv.FormatFloat(math.Pow(10, float64(r.Level)/200), 'f', 2, 64))
	}
	return speeds, magnitudes
}

func (x *OPS243) uptime() string {
	return strconv.FormatFloat(time.Since(x.started).Seconds(), 'f', 3, 64)
}

func (x *OPS243) plain(speeds, magnitudes []string) string {
	var b strings.Builder
	for n := range speeds {
		if x.state.unit {
			fmt.Fprintf(&b, "%q,", x.state.unitKey)
		}
		if x.state.time {
			b.WriteString(x.uptime() + ",")
		}
		if x.state.magnitude {
			b.WriteString(magnitudes[n] + ",")
		}
		b.WriteString(speeds[n] + "\r\n")
	}
	return b.String()
}

func (x *OPS243) object(speeds, magnitudes []string) string {
	list := func(values []string) string {
		if len(values) == 1 {
			return strconv.Quote(values[0])
		}
		return `["` + strings.Join(values, `","`) + `"]`
	}
	var fields []string
	if x.state.unit {
		fields = append(fields, `"unit":"`+x.state.unitKey+`"`)
	}
	if x.state.time {
		fields = append(fields, `"time":"`+x.uptime()+`"`)
	}
	if x.state.magnitude {
		fields = append(fields, `"magnitude":`+list(magnitudes))
	}
	fields = append(fields, `"speed":`+list(speeds))
	return "{" + strings.Join(fields, ",") + "}\r\n"
}

// samples returns a block: a tone for each reading, in the sensor's own sense of
// turning, over a little noise.
func (x *OPS243) samples(c sensor.Cycle) string {
	carrier := x.Carrier
	if carrier == 0 {
		carrier = 24.125e9
	}
	amplitude := 400.0
	if x.Overload {
		amplitude = 4000
	}
	i, q := make([]string, x.state.size), make([]string, x.state.size)
	for k := range i {
		re, im := 2048+4*x.noise.NormFloat64(), 2060+4*x.noise.NormFloat64()
		for n, r := range c.Readings {
			hz := float64(r.Speed) / 360 * 2 * carrier / 299792458
			if r.Direction == sensor.Approaching {
				hz = -hz
			}
			phase := 2*math.Pi*hz*float64(k)/float64(x.state.rate) + float64(n)
			re += amplitude / float64(n+1) * math.Cos(phase)
			im += amplitude / float64(n+1) * math.Sin(phase)
		}
		i[k] = strconv.Itoa(int(max(0, min(re, 4095))))
		q[k] = strconv.Itoa(int(max(0, min(im, 4095))))
	}
	return `{"I":[` + strings.Join(i, ",") + "]}\r\n" + `{"Q":[` + strings.Join(q, ",") + "]}\r\n"
}

// obey carries out a command and returns the answer.
func (x *OPS243) obey(c string) string {
	x.mu.Lock()
	defer x.mu.Unlock()
	if c == "" || c == x.Ignored {
		return ""
	}
	if strings.Contains(c, "?") {
		return x.query(c)
	}
	s := &x.state
	feature := func(on *bool, value bool) string {
		*on = value
		return fmt.Sprintf("{\"OutputFeature\":%q}\r\n", c[1:])
	}
	switch c {
	case "OJ", "Oj":
		return feature(&s.json, c == "OJ")
	case "OS", "Os":
		return feature(&s.speed, c == "OS")
	case "OM", "Om":
		return feature(&s.magnitude, c == "OM")
	case "OT", "Ot":
		return feature(&s.time, c == "OT")
	case "OU", "Ou":
		return feature(&s.unit, c == "OU")
	case "OR", "Or":
		return feature(&s.raw, c == "OR")
	case "oD", "od":
		s.ranges = c == "oD"
	case "BZ", "BV":
		s.zeros = c == "BZ"
	case "UM":
		s.units, s.unitKey = "m-per-sec", "mps"
	case "UK":
		s.units, s.unitKey = "km-per-hr", "kmph"
	case "US":
		s.units, s.unitKey = "mph", "mph"
	case "SX", "S1":
		s.rate = 10_000
	case "S2":
		s.rate = 20_000
	case "SL":
		s.rate = 50_000
	case "SC":
		s.rate = 100_000
	case "S>":
		s.size = 1024
	case "S<":
		s.size = 512
	}
	if n, ok := strings.CutPrefix(c, "F"); ok {
		s.decimals, _ = strconv.Atoi(n)
	}
	if n, err := strconv.Atoi(strings.TrimPrefix(c, "O")); err == nil {
		s.count = n
	}
	number := func(prefix string, to *float64) {
		if n, ok := strings.CutPrefix(c, prefix); ok {
			*to, _ = strconv.ParseFloat(n, 64)
		}
	}
	number("R>", &s.least)
	number("^/+", &s.inbound)
	number("^/-", &s.outbound)
	return ""
}

func (x *OPS243) query(c string) string {
	s := &x.state
	product := x.Product
	if product == "" {
		product = "OPS243 Doppler"
	}
	uptime := time.Since(x.started)
	switch c {
	case "?P":
		return fmt.Sprintf("{\"Product\":%q}\r\n", product)
	case "??":
		// The line break within Q2COUNT is the sensor's.
		return fmt.Sprintf("{\"Product\":\"OPS243\"}\r\n{\"Version\":\"1.3.1\"}\r\n{\"SamplingRate\":%d, \"resolution\":%.4f}\r\n"+
			"{\"SampleSize\":%d}\r\n{\"Clock\":\"%d\"}\r\n{\"Q2COUNT\":\"1149 (~22980 counts/sec)\r\n@t=37\"}\r\n"+
			"{\"PowerMode\":\"Continuous\"}\r\n{\"Squelch\":\"100\"}\r\n{\"RequiredMinSpeed\":\"%.3f\"}\r\n",
			s.rate, float64(s.rate)/float64(s.size)*299792458/24.125e9/2, s.size, int(uptime.Seconds()), s.least)
	case "?V":
		return "{\"Version\":\"1.3.1\"}\r\n"
	case "?U":
		return "{\"UID\":\"b2000040b7a12400d5188041\"}\r\n"
	case "?N":
		if x.Serial == "" {
			return ""
		}
		return fmt.Sprintf("{\"SerialNumber\":%q}\r\n", x.Serial)
	case "U?":
		return fmt.Sprintf("{\"Units\":%q}\r\n", s.units)
	case "^?":
		return fmt.Sprintf("{\"InboundSensorAngleDegrees\": %.2f, \"OutboundSensorAngleDegrees\": %.2f}\r\n", s.inbound, s.outbound)
	case "R?":
		return fmt.Sprintf("{\"RequiredMinSpeed\":\"%.3f\", \"RequiredMaxSpeed\":\"0.000\"}\r\n", s.least)
	}
	return ""
}
