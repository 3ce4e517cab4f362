package device

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"ciglio/agent/config"
	"ciglio/sensor"
	"ciglio/sensor/agd"
	"ciglio/sensor/csr"
	"ciglio/sensor/doppler"
	"ciglio/sensor/framing"
	"ciglio/sensor/iqframe"
	"ciglio/sensor/isys4001"
	"ciglio/sensor/life"
	"ciglio/sensor/ops243"
	"ciglio/sensor/port"
	"ciglio/sensor/rawiq"
	"ciglio/sensor/session"
	"ciglio/sensor/track"
)

// A driver joins a name that sensor.driver may have with the package that speaks
// with that sensor. It gives either readings of targets or samples.
type driver struct {
	baud     int    // of a new sensor; for sensor.baud = 0
	parity   string // the same; "" for none
	readings func(context.Context, sensor.Conn, config.Sensor, sensor.Clock) (sensor.Feed, error)
	samples  func(stream, config.Sensor, sensor.Clock) (doppler.Stream, error)
	step     func(config.Sensor) sensor.Speed // of its readings; nil for 1 km/h
	cadence  life.Cadence                     // of its readings, where its protocol has one
}

// stream is a connection that is only read.
type stream interface {
	io.ReadCloser
	SetReadDeadline(time.Time) error
}

// drivers returns the table of all sensors.
func drivers() map[string]driver {
	return map[string]driver{
		"rawiq": {samples: func(s stream, c config.Sensor, clock sensor.Clock) (doppler.Stream, error) {
			return rawiq.NewStream(s, int(c.Rate), clock)
		}},
		"iqframe": {baud: 921_600, samples: func(s stream, c config.Sensor, clock sensor.Clock) (doppler.Stream, error) {
			return iqframe.NewStream(s, int(c.Rate), clock)
		}},
		"ops243":    {baud: 19_200, readings: liveOPS243(ops243.JSON), step: stepOPS243},
		"ops243raw": {baud: 230_400, readings: liveOPS243(ops243.Raw), step: constant(sensor.KmH / 10)},
		"isys4001": {baud: 115_200, cadence: life.Cadence{Least: 6, Most: 15}, step: constant(isys4001.Step), readings: func(ctx context.Context, conn sensor.Conn, c config.Sensor, clock sensor.Clock) (sensor.Feed, error) {
			return feed(isys4001.Open(ctx, conn, clock, isys4001.Options{Model: c.Model, Serial: c.Serial}))
		}},
		"agd":    {baud: 921_600, parity: "odd", readings: liveAGD(agd.CRC8), step: constant(agd.Step)},
		"agdxor": {baud: 921_600, parity: "odd", readings: liveAGD(agd.XOR), step: constant(agd.Step)},
		"csr": {baud: 9_600, cadence: life.Cadence{Least: 31, Most: 46}, readings: func(ctx context.Context, conn sensor.Conn, c config.Sensor, clock sensor.Clock) (sensor.Feed, error) {
			return feed(csr.Open(ctx, conn, clock, csr.Options{Model: c.Model, Serial: c.Serial}))
		}},
	}
}

func liveOPS243(mode ops243.Mode) func(context.Context, sensor.Conn, config.Sensor, sensor.Clock) (sensor.Feed, error) {
	return func(ctx context.Context, conn sensor.Conn, c config.Sensor, clock sensor.Clock) (sensor.Feed, error) {
		return feed(ops243.Open(ctx, conn, clock, ops243.Options{
			Model: c.Model, Serial: c.Serial, Mode: mode, Rate: int(c.Rate), Carrier: int64(c.Carrier), USB: ownUSB(c.Port),
		}))
	}
}

func constant(step sensor.Speed) func(config.Sensor) sensor.Speed {
	return func(config.Sensor) sensor.Speed { return step }
}

// stepOPS243 is that of an OPS243 that transforms its signal itself.
func stepOPS243(c config.Sensor) sensor.Speed { return ops243.Step(int(c.Rate), int64(c.Carrier)) }

func liveAGD(check agd.Check) func(context.Context, sensor.Conn, config.Sensor, sensor.Clock) (sensor.Feed, error) {
	return func(ctx context.Context, conn sensor.Conn, c config.Sensor, clock sensor.Clock) (sensor.Feed, error) {
		return feed(agd.Open(ctx, conn, clock, agd.Options{Model: c.Model, Serial: c.Serial, Check: check}))
	}
}

// feed keeps a driver that is nil from becoming a Feed that is not.
func feed[F sensor.Feed](f F, err error) (sensor.Feed, error) {
	if err != nil {
		return nil, err
	}
	return f, nil
}

// ownUSB reports whether a port is the sensor's own USB connection, whose
// packets are checked, and not an adapter to a serial line, whose bytes are not.
func ownUSB(name string) bool {
	target, err := filepath.EvalSymlinks(name)
	return err == nil && strings.HasPrefix(filepath.Base(target), "ttyACM")
}

// A LiveSource is a sensor in operation that may be unplugged and come back: its
// connection is opened anew for the call of Next after one that failed.
type LiveSource struct {
	sensor.Source
	link   *link
	wiring func() error // what vehicles show of its channels; nil of a sensor that measures itself
}

// NewSource returns the sensor that c names. It opens nothing yet.
func NewSource(c *config.Config, clock sensor.Clock, log *slog.Logger) (*LiveSource, error) {
	d, ok := drivers()[c.Sensor.Driver]
	if !ok {
		return nil, fmt.Errorf("sensor.driver: no %q", c.Sensor.Driver)
	}
	l := &link{config: c.Sensor, driver: d, clock: clock, log: log, fault: fmt.Errorf("sensor %s: not reached yet", c.Sensor.Model)}
	l.open, l.listen = l.serial, l.stream
	l.scope = newScope(c, clock, doppler.Format{Rate: int(c.Sensor.Rate), Complex: true})
	l.turn()
	if d.samples != nil {
		l.vitals = newVitals(c, clock, log)
		source, err := doppler.NewSource(&liveStream{link: l}, doppler.Options{
			Carrier: int64(c.Sensor.Carrier), Angle: int(c.Sensor.Angle), PhotoRange: int32(c.Site.PhotoRange), KeepTrace: true,
			Model: c.Sensor.Model, Serial: c.Sensor.Serial,
		})
		if err != nil {
			return nil, err
		}
		return &LiveSource{source, l, source.Wiring}, nil
	}
	l.reports = newReports(c, d.cadence, log)
	o := track.Options{Model: c.Sensor.Model, Serial: c.Sensor.Serial}
	if d.step != nil {
		o.Step = d.step(c.Sensor)
	}
	o.Angle, o.PhotoRange = int(c.Sensor.Angle)/10, int32(c.Site.PhotoRange)
	for _, lane := range c.Sensor.Lanes {
		o.Lanes = append(o.Lanes, track.Lane(lane))
	}
	o.Height, o.KeepTrace = int32(c.Sensor.Height), true
	source, err := track.NewSource(l.dial, o)
	return &LiveSource{source, l, nil}, err
}

// Identity implements [sensor.Source]. What has come through a pseudo-terminal is
// simulated: a program is behind it.
func (s *LiveSource) Identity() sensor.Identity {
	id := s.Source.Identity()
	id.Simulated = id.Simulated || s.link.pseudo.Load()
	return id
}

// Next implements [sensor.Source].
func (s *LiveSource) Next(ctx context.Context) (sensor.Passage, error) {
	p, err := s.Source.Next(ctx)
	s.link.turn()
	for off := new(framing.PaceError); errors.As(err, &off) && ctx.Err() == nil; { // which Findings tells
		p, err = s.Source.Next(ctx)
		s.link.turn()
	}
	if err != nil && ctx.Err() == nil {
		if s.link.driver.samples != nil { // package track names the sensor itself
			err = fmt.Errorf("sensor %s: %w", s.link.config.Model, err)
		}
		s.link.tell(err)
	}
	return p, err
}

// Fault says why the sensor does not measure now; nil when it does. It is safe
// for concurrent use.
func (s *LiveSource) Fault() error {
	s.link.mu.Lock()
	defer s.link.mu.Unlock()
	return s.link.fault
}

// Findings says what is wrong with the raw signal of a sensor, or with the reports of
// one that delivers none. It is safe for concurrent use.
func (s *LiveSource) Findings(now sensor.Mono) []sensor.Finding {
	if s.link.vitals == nil {
		return s.link.reports.watch.Findings()
	}
	all := s.link.vitals.findings(now)
	if err := s.wiring(); errors.Is(err, doppler.ErrSwapped) { // one signal in both is heard without vehicles
		all = append(all, sensor.Finding{Code: findingWiring, About: "sensor " + s.link.config.Model, Facts: []sensor.Fact{{Key: "sensor_wiring", Words: doppler.ErrSwapped.Error()}}})
	}
	return all
}

// Ready reports whether the sensor was reached, and its signal heard for long enough
// to be judged. It is safe for concurrent use.
func (s *LiveSource) Ready() bool {
	return s.Fault() == nil && (s.link.vitals == nil || s.link.vitals.judged())
}

// Covered is the instant up to which the samples are known to have come at their
// pace, see [life.Pace.Covered]; the present for a sensor that measures itself. It is safe
// for concurrent use.
func (s *LiveSource) Covered() sensor.Mono {
	if s.link.vitals == nil {
		return s.link.clock.Now()
	}
	return s.link.vitals.pace.Covered()
}

// Keep writes down what was learnt of the site. One goroutine may be in it at a time.
func (s *LiveSource) Keep() error {
	if s.link.vitals == nil {
		return s.link.reports.keep()
	}
	return s.link.vitals.keep()
}

// Tally says what became of what came from the sensor. It is safe for concurrent use.
func (s *LiveSource) Tally() sensor.Tally { return s.link.tally.Tally() }

// Tracks says what became of its readings. It is safe for concurrent use.
func (s *LiveSource) Tracks() track.Counters {
	if tracked, ok := s.Source.(*track.Source); ok {
		return tracked.Counters()
	}
	return track.Counters{}
}

// Turned is when the driver last came back with something, or with an error. It
// is safe for concurrent use.
func (s *LiveSource) Turned() sensor.Mono { return sensor.Mono(s.link.turned.Load()) }

// Close closes the connection. Nobody may be in Next.
func (s *LiveSource) Close() { s.link.close() }

// A link is the way to one sensor.
type link struct {
	config  config.Sensor
	driver  driver
	clock   sensor.Clock
	log     *slog.Logger
	open    func() (sensor.Conn, error) // the serial port
	listen  func() (stream, error)      // what samples come from
	conn    io.Closer                   // nil while it is closed
	before  port.LineErrors             // when it was opened
	turned  atomic.Int64                // instant at which the driver last came back
	tally   session.Totals
	scope   *scope
	vitals  *vitals     // of a raw signal; nil for a sensor that gives readings
	reports *reports    // of the other; nil for the first
	pseudo  atomic.Bool // the port was a pseudo-terminal, once

	mu    sync.Mutex
	fault error // nil while the sensor reports
}

func (l *link) turn() { l.turned.Store(int64(l.clock.Now())) }

func (l *link) tell(fault error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if fault == nil && l.fault != nil {
		l.log.Info("sensor reports", "driver", l.config.Driver, "model", l.config.Model, "serial", l.config.Serial)
	}
	l.fault = fault
}

// close gives the connection up, and says what went wrong on its line.
func (l *link) close() {
	if l.conn == nil {
		return
	}
	if c, ok := l.conn.(*port.Conn); ok {
		if now, ok := c.LineErrors(); ok && now != l.before {
			l.log.Warn("errors on the sensor's line", "port", l.config.Port,
				"frame", now.Frame-l.before.Frame, "parity", now.Parity-l.before.Parity,
				"overrun", now.Overrun-l.before.Overrun, "break", now.Break-l.before.Break)
		}
	}
	l.conn.Close() // of what has failed: there is nothing to say of it
	l.conn = nil
}

// serial implements open.
func (l *link) serial() (sensor.Conn, error) {
	baud := cmp.Or(l.config.Baud, l.driver.baud)
	parity := cmp.Or(l.config.Parity, l.driver.parity, "none")
	c, err := port.Dial(l.config.Port, baud, parity)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%w; %s", err, portsHere())
	}
	if err != nil {
		return nil, err
	}
	l.before, _ = c.LineErrors()
	if c.Pseudo() {
		l.pseudo.Store(true)
	}
	return c, nil
}

// portsHere says which serial ports there are.
func portsHere() string {
	ports, err := port.List()
	if err != nil || len(ports) == 0 {
		return "this machine has no serial port"
	}
	names := make([]string, len(ports))
	for i, p := range ports {
		names[i] = p.Path
	}
	return "this machine has " + strings.Join(names, ", ")
}

// dial opens the port anew and sets the sensor up.
func (l *link) dial(ctx context.Context) (sensor.Feed, error) {
	l.close()
	c, err := l.open()
	if err != nil {
		return nil, err
	}
	l.conn = c
	f, err := l.driver.readings(ctx, c, l.config, l.clock)
	if err != nil {
		l.close()
		return nil, notEnded(err)
	}
	l.tally.Follow(f)
	l.reports.watch.Break()
	return &liveFeed{f, l}, nil
}

// liveFeed gives its port up when it fails.
type liveFeed struct {
	sensor.Feed
	link *link
}

// Next implements [sensor.Feed]. A sensor on the road has no end.
func (f *liveFeed) Next(ctx context.Context) (sensor.Cycle, error) {
	c, err := f.Feed.Next(ctx)
	f.link.turn()
	switch {
	case err == nil:
		f.link.tell(nil)
		f.link.scope.hear(c)
		f.link.reports.watch.Push(c)
	case ctx.Err() == nil:
		f.link.close()
	}
	return c, notEnded(err)
}

func notEnded(err error) error {
	if errors.Is(err, io.EOF) {
		return errors.New("the sensor's stream has ended")
	}
	return err
}

// liveStream is the signal of a sensor whose connection is opened anew after it
// failed.
type liveStream struct {
	link  *link
	inner doppler.Stream // nil while it is closed
}

// Format implements [doppler.Stream].
func (s *liveStream) Format() doppler.Format {
	return doppler.Format{Rate: int(s.link.config.Rate), Complex: true}
}

// Next implements [doppler.Stream].
func (s *liveStream) Next(ctx context.Context) (doppler.Block, error) {
	if s.inner == nil {
		c, err := s.link.listen()
		if err == nil {
			s.inner, err = s.link.driver.samples(c, s.link.config, s.link.clock)
		}
		if err != nil {
			s.link.close()
			return doppler.Block{}, err
		}
		s.link.tally.Follow(s.inner)
	}
	b, err := s.inner.Next(ctx)
	s.link.turn()
	switch {
	case err == nil:
		s.link.tell(nil)
		s.link.vitals.push(b)
		s.link.scope.push(b)
	case ctx.Err() != nil:
	case s.link.vitals.broke(err): // the stream goes on
	case !s.link.samePipe():
		s.link.close()
		s.inner = nil
	}
	return b, notEnded(err)
}

// How frames are fetched from an SPI slave: in transfers that every kernel
// allows, and again after a pause while it has none.
const (
	spiSpeed    = 10_000_000 // bits a second
	spiTransfer = 1024
	spiPause    = time.Millisecond
)

// stream opens what samples come from.
func (l *link) stream() (stream, error) {
	switch {
	case l.config.Driver == "rawiq":
		f, err := openSensor(l.config.Path)
		if err != nil {
			return nil, err
		}
		l.conn = f
		if port.IsPseudo(f) {
			l.pseudo.Store(true)
		}
		return f, nil
	case port.IsSPI(l.config.Port):
		c, err := port.DialSPI(l.config.Port, cmp.Or(l.config.Baud, spiSpeed))
		if err != nil {
			return nil, err
		}
		l.conn = c
		r, err := iqframe.NewSPI(c, spiTransfer, spiPause)
		return spiStream{r, c}, err
	}
	c, err := l.open()
	if err != nil {
		return nil, err
	}
	l.conn = c
	return c, nil
}

// spiStream reads frames and closes their slave.
type spiStream struct {
	*iqframe.SPI
	io.Closer
}

// samePipe reports whether the sensor's path leads to the named pipe that is
// open. It stays open then: its writer would be told that nobody reads.
func (l *link) samePipe() bool {
	f, ok := l.conn.(*os.File)
	if !ok {
		return false
	}
	open, err := f.Stat()
	if err != nil || open.Mode()&os.ModeNamedPipe == 0 {
		return false
	}
	now, err := os.Stat(l.config.Path)
	return err == nil && os.SameFile(open, now)
}

// openSensor opens the stream of samples. A recording in a plain file is
// refused: it would pass for a road.
func openSensor(path string) (*os.File, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	mode := os.O_RDONLY
	switch {
	case info.Mode().IsRegular() || info.IsDir():
		return nil, fmt.Errorf("%s is a plain file or folder; recordings are for ciglio measure", path)
	case info.Mode()&os.ModeNamedPipe != 0:
		mode = os.O_RDWR // so that it does not end whenever its writer does
	}
	return os.OpenFile(path, mode|syscall.O_NONBLOCK, 0)
}
