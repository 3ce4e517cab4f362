package device

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"ciglio/agent/config"
	"ciglio/agent/enforce"
	"ciglio/capture"
	"ciglio/capture/displacement"
	"ciglio/capture/evidence"
	"ciglio/sensor"
	"ciglio/sensor/gate"
	"ciglio/sensor/life"
	"ciglio/sensor/port"
)

// Second is a second speed sensor, independent of the first. It confirms what
// the first measured and never replaces it.
type Second interface {
	// Run measures until ctx ends, and returns nil then.
	Run(ctx context.Context) error

	// Measure returns the speed of the vehicle of a passage; shots are the
	// pictures of the violation. It waits for what is not known yet, for as long
	// as ctx allows. An error says why there is no speed; it wraps [ErrLostEdge]
	// when an edge was lost. Only one goroutine may call it at a time.
	Measure(ctx context.Context, p sensor.Passage, shots []capture.Shot) (SecondSpeed, error)

	// Alone returns an error that wraps [ErrCompany] when the sensor saw another
	// vehicle that was in the beam during a passage whose speed it has measured, and
	// any other error when it should have seen and cannot say. It is nil for a sensor
	// that never sees more than one. It waits as Measure does.
	Alone(ctx context.Context, p sensor.Passage, s SecondSpeed) error

	// Fault says why it does not measure now; nil when it does. It may be called
	// at any time.
	Fault() error

	// Findings says what else is wrong with it, for the traffic of which Saw told. It
	// may be called at any time.
	Findings(now sensor.Mono) []sensor.Finding

	// Counters says what it has seen and dropped; zero where it counts nothing.
	Counters() gate.Counters

	// Saw tells of a vehicle that the first sensor saw go the way that is measured. It
	// does not wait.
	Saw()
}

// SecondSpeed is what a second sensor says of a vehicle.
type SecondSpeed struct {
	Speed    sensor.Speed
	U        sensor.Speed   // standard uncertainty (k = 1)
	Crossing *gate.Crossing // of contacts; nil of any other sensor
}

// What a second sensor says by its errors.
var (
	ErrLostEdge = errors.New("an edge of a contact was lost")
	ErrCompany  = gate.ErrCompany
)

const (
	// secondPatience bounds how long a violation waits for its second speed. The
	// slowest vehicle that any limit knows is off its contacts by then.
	secondPatience = 6 * time.Second
	// alonePatience bounds how long it then waits until every vehicle that was in
	// the beam has come to the contacts: half as long again as a track of 150 m
	// at 30 km/h.
	alonePatience = 30 * time.Second
)

// For how long a contact may be closed: a vehicle may stand on a loop in a jam, a
// wheel on a cable for less.
const (
	mostStanding = 10 * time.Minute
	mostPressed  = 2 * time.Minute
)

// crossedFrom is the speed from which a radar must see a vehicle that crosses the
// contacts: in a queue, whose vehicles hide each other, it need not.
const crossedFrom = 30 * sensor.KmH

// The methods of a second speed in a record.
var secondMethods = map[string]uint8{"contacts": evidence.MethodContacts, "frames": evidence.MethodDisplacement}

// errNeedsSecond says that the sensor alone proves nothing.
var errNeedsSecond = errors.New("this sensor proves nothing without a second speed")

// needsSecond says why the site must have a second sensor; nil when it has one, or
// may do without. Bytes without a check sum prove nothing alone. A sensor without
// range and angle takes two vehicles of one speed for one; what is sealed as a
// test accuses nobody, and may do without.
func (d *Device) needsSecond() error {
	switch id := d.o.Source.Identity(); {
	case d.o.Second != nil:
		return nil
	case id.Unchecked:
		return fmt.Errorf("%w: its bytes have no check sum; set second.method", errNeedsSecond)
	case !id.Separates && d.whyTest() == "":
		return fmt.Errorf("%w: it cannot tell two vehicles of one speed apart; set second.method", errNeedsSecond)
	}
	return nil
}

// checkSecond makes sure that the second speed is neither missing where the
// configuration asks for it, nor there where it does not.
func checkSecond(o Options) error {
	method := o.Config.Second.Method
	if (o.Second != nil) != (secondMethods[method] != 0) {
		return fmt.Errorf("second.method is %q, the device has a second sensor: %t", method, o.Second != nil)
	}
	return nil
}

// confirm asks the second sensor about a violation. It returns what the record
// says of it, nil at a site without one, or the reason for which the violation
// is discarded. A second speed whose doubled uncertainty exceeds the tolerance
// confirms nothing. Where the first sensor cannot tell vehicles apart, the second
// must not have seen another.
func (d *Device) confirm(ctx context.Context, p sensor.Passage, shots []capture.Shot) (*confirmation, sensor.Reason) {
	if d.o.Second == nil {
		return nil, 0
	}
	c := d.o.Config.Second
	tolerance := enforce.Tolerance{Flat: c.Flat, Percent: int64(c.Percent)}.Of(p.Speed)
	measuring, cancel := context.WithTimeout(ctx, secondPatience)
	defer cancel()
	s, err := d.o.Second.Measure(measuring, p, shots)
	if err == nil && 2*int64(s.U) > int64(tolerance) {
		err = fmt.Errorf("second speed %v: its uncertainty %v is more than half the tolerance %v", s.Speed, s.U, tolerance)
	}
	switch {
	case errors.Is(err, ErrLostEdge):
		d.o.Log.Warn("violation without second speed", "error", err)
		return nil, sensor.ReasonLostEdge
	case err != nil:
		d.o.Log.Warn("violation without second speed", "error", err)
		return nil, sensor.ReasonSecondMissing
	case !enforce.Agree(p.Speed, s.Speed, tolerance):
		d.o.Log.Warn("second speed disagrees", "speed", p.Speed, "second", s.Speed, "tolerance", tolerance)
		return nil, sensor.ReasonSecondDisagrees
	}
	if !d.o.Source.Identity().Separates {
		waiting, cancel := context.WithTimeout(ctx, alonePatience)
		defer cancel()
		switch err := d.o.Second.Alone(waiting, p, s); {
		case errors.Is(err, ErrCompany):
			d.o.Log.Info("violation in company", "error", err)
			return nil, sensor.ReasonTwoTargets
		case err != nil:
			d.o.Log.Warn("violation that may not have been alone", "error", err)
			return nil, sensor.ReasonSecondMissing
		}
	}
	return d.confirmed(s, tolerance), 0
}

// A confirmation is what a record says of a second speed.
type confirmation struct {
	second evidence.Second
	lane   int // that the contacts tell; 0 when they do not
}

func (d *Device) confirmed(s SecondSpeed, tolerance sensor.Speed) *confirmation {
	c := d.o.Config.Second
	all := &confirmation{second: evidence.Second{Method: secondMethods[c.Method], Speed: s.Speed, Tolerance: tolerance}}
	if s.Crossing == nil {
		return all
	}
	if len(c.LanePins()) > 1 {
		all.lane = s.Crossing.Lane
	}
	all.second.Contacts = &evidence.Contacts{Marks: s.Crossing.Marks}
	for _, p := range c.Positions {
		all.second.Contacts.Positions = append(all.second.Contacts.Positions, int32(p))
	}
	return all
}

// NewSecond returns the second sensor that c names, nil for none. It opens
// nothing yet.
func NewSecond(c *config.Config, clock sensor.Clock, log *slog.Logger) (Second, error) {
	switch c.Second.Method {
	case "contacts":
		return newContacts(c, clock, log)
	case "frames":
		return newPictures(c.Second)
	}
	return nil, nil
}

// contact is an input line in operation.
type contact interface {
	sensor.Edges
	Halt() error
}

// contacts are a second sensor of loops, cables or light barriers. When a line
// is lost they are opened anew every second.
type contacts struct {
	pins  [][]string // of each lane
	open  func(name string) (contact, error)
	gate  gate.Options
	life  *life.Contacts
	clock sensor.Clock
	log   *slog.Logger

	mu    sync.Mutex
	live  *gate.Gate    // nil while a line is missing
	past  gate.Counters // of those before it
	fault error
}

func newContacts(c *config.Config, clock sensor.Clock, log *slog.Logger) (*contacts, error) {
	s := &contacts{
		pins:  c.Second.LanePins(),
		gate:  gate.Options{DistanceU: int64(c.Second.DistanceU) * 1000, Jitter: c.Second.Jitter, Maximum: min(c.Sensor.Maximum*5/4, 500*sensor.KmH)},
		clock: clock, log: log,
		fault: errors.New("contacts: not opened yet"),
	}
	s.open = func(name string) (contact, error) {
		p, err := port.OpenContact(name, c.Second.Pull)
		if err != nil {
			return nil, err
		}
		return p, nil
	}
	for _, p := range c.Second.Positions {
		s.gate.Positions = append(s.gate.Positions, int64(p))
	}
	if err := s.gate.Kind.UnmarshalText([]byte(c.Second.Kind)); err != nil {
		return nil, err
	}
	most := mostStanding
	if s.gate.Kind == gate.Axles {
		most = mostPressed
	}
	s.life = life.NewContacts(s.pins, most, c.Site.Direction == sensor.DirectionUnknown)
	s.gate.Crossed = func(x gate.Crossing) {
		if way := c.Site.Direction; x.Valid() && x.Speed >= crossedFrom && (way == sensor.DirectionUnknown || way == x.Direction) {
			s.life.Crossed()
		}
	}
	_, err := gate.NewTracker(s.gate)
	return s, err
}

// Run implements [Second].
func (s *contacts) Run(ctx context.Context) error {
	var last string
	for ctx.Err() == nil {
		err := s.serve(ctx)
		if ctx.Err() != nil {
			break
		}
		if err.Error() != last {
			last = err.Error()
			s.log.Error("contacts fault", "error", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
	return nil
}

// serve opens the lines and measures until one fails or ctx ends.
func (s *contacts) serve(ctx context.Context) (err error) {
	defer func() { s.set(nil, err) }()
	var lanes [][]sensor.Edges
	s.life.Reset()
	for n, pins := range s.pins {
		var lines []sensor.Edges
		for i, name := range pins {
			l, err := s.open(name)
			if err != nil {
				return err
			}
			defer l.Halt() // it was only read
			lines = append(lines, watched{l, s.life, n, i})
		}
		lanes = append(lanes, lines)
	}
	g, err := gate.New(lanes, s.clock, s.gate)
	if err != nil {
		return err
	}
	s.set(g, nil)
	return g.Run(ctx)
}

// watched is a line whose edges are also told to the watch of the contacts.
type watched struct {
	sensor.Edges
	life       *life.Contacts
	lane, line int
}

// Next implements [sensor.Edges].
func (w watched) Next(ctx context.Context) (sensor.Edge, error) {
	e, err := w.Edges.Next(ctx)
	if err == nil {
		w.life.Edge(w.lane, w.line, e)
	}
	return e, err
}

// Findings implements [Second].
func (s *contacts) Findings(now sensor.Mono) []sensor.Finding { return s.life.Findings(now) }

// Counters implements [Second].
func (s *contacts) Counters() gate.Counters {
	s.mu.Lock()
	defer s.mu.Unlock()
	sum := s.past
	if s.live != nil {
		sum.Add(s.live.Counters())
	}
	return sum
}

// Saw implements [Second].
func (s *contacts) Saw() { s.life.Vehicle() }

func (s *contacts) set(g *gate.Gate, fault error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.live != nil {
		s.past.Add(s.live.Counters())
	}
	s.live, s.fault = g, fault
}

// Fault implements [Second].
func (s *contacts) Fault() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fault
}

// Measure implements [Second].
func (s *contacts) Measure(ctx context.Context, p sensor.Passage, _ []capture.Shot) (SecondSpeed, error) {
	g, err := s.running()
	if err != nil {
		return SecondSpeed{}, err
	}
	c, err := g.Match(ctx, p)
	switch {
	case slices.Contains(c.Reasons, sensor.ReasonLostEdge):
		return SecondSpeed{}, ErrLostEdge
	case err != nil && len(c.Reasons) > 0:
		return SecondSpeed{}, fmt.Errorf("%w: %v", err, c.Reasons[0])
	case err != nil:
		return SecondSpeed{}, err
	}
	return SecondSpeed{Speed: c.Speed, U: c.U, Crossing: &c}, nil
}

// Alone implements [Second].
func (s *contacts) Alone(ctx context.Context, p sensor.Passage, own SecondSpeed) error {
	g, err := s.running()
	if err != nil {
		return err
	}
	return g.Alone(ctx, p, *own.Crossing)
}

func (s *contacts) running() (*gate.Gate, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.live, s.fault
}

// pictures are a second sensor that measures in the pictures of the violation.
type pictures struct{ meter *displacement.Meter }

func newPictures(c config.Second) (pictures, error) {
	o := displacement.Options{
		MarkU: int64(c.MarkU), Width: c.Picture.Width, Height: c.Picture.Height,
		CameraHeight: int64(c.CameraHeight), TimeU: c.IntervalU,
	}
	for _, m := range c.Marks {
		o.Marks = append(o.Marks, displacement.Mark(m))
	}
	m, err := displacement.New(o)
	return pictures{m}, err
}

// Run implements [Second]. There is nothing to wait for but the end.
func (pictures) Run(ctx context.Context) error {
	<-ctx.Done()
	return nil
}

// Fault implements [Second]. The camera tells its own.
func (pictures) Fault() error { return nil }

// Findings implements [Second].
func (pictures) Findings(sensor.Mono) []sensor.Finding { return nil }

// Counters implements [Second].
func (pictures) Counters() gate.Counters { return gate.Counters{} }

// Saw implements [Second].
func (pictures) Saw() {}

// Measure implements [Second].
func (s pictures) Measure(_ context.Context, p sensor.Passage, shots []capture.Shot) (SecondSpeed, error) {
	frames := make([]capture.Frame, len(shots))
	for i, s := range shots {
		frames[i] = s.Frame
	}
	r, err := s.meter.Speed(frames, p.Direction)
	return SecondSpeed{Speed: r.Speed, U: r.U}, err
}

// Alone implements [Second]. What else the pictures show is for those to judge who
// look at them.
func (pictures) Alone(context.Context, sensor.Passage, SecondSpeed) error { return nil }
