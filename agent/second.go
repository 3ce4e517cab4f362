package agent

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
	"ciglio/sensor/port"
)

// Second is a second speed sensor, independent of the first. It confirms what
// the first measured and never replaces it.
type Second interface {
	// Run measures until ctx ends, and returns nil then.
	Run(ctx context.Context) error

	// Measure returns the speed of the vehicle of a passage, and its standard
	// uncertainty (k = 1); shots are the pictures of the violation. It waits for
	// what is not known yet, for as long as ctx allows. An error says why there
	// is no speed; it wraps [ErrLostEdge] when an edge was lost. Only one
	// goroutine may call it at a time.
	Measure(ctx context.Context, p sensor.Passage, shots []capture.Shot) (speed, u sensor.Speed, err error)

	// Fault says why it does not measure now; nil when it does. It may be called
	// at any time.
	Fault() error
}

// ErrLostEdge says that an edge of a contact was lost.
var ErrLostEdge = errors.New("an edge of a contact was lost")

// secondPatience bounds how long a violation waits for its second speed. The
// slowest vehicle that any limit knows is off its contacts by then.
const secondPatience = 6 * time.Second

// The methods of a second speed in a record.
var secondMethods = map[string]uint8{"contacts": 1, "frames": 2}

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
// confirms nothing.
func (d *Device) confirm(ctx context.Context, p sensor.Passage, shots []capture.Shot) (*evidence.Second, sensor.Reason) {
	if d.o.Second == nil {
		return nil, 0
	}
	ctx, cancel := context.WithTimeout(ctx, secondPatience)
	defer cancel()
	c := d.o.Config.Second
	tolerance := enforce.Tolerance{Flat: c.Flat, Percent: int64(c.Percent)}.Of(p.Speed)
	speed, u, err := d.o.Second.Measure(ctx, p, shots)
	if err == nil && 2*int64(u) > int64(tolerance) {
		err = fmt.Errorf("second speed %v: its uncertainty %v is more than half the tolerance %v", speed, u, tolerance)
	}
	switch {
	case errors.Is(err, ErrLostEdge):
		d.o.Log.Warn("violation without second speed", "error", err)
		return nil, sensor.ReasonLostEdge
	case err != nil:
		d.o.Log.Warn("violation without second speed", "error", err)
		return nil, sensor.ReasonSecondMissing
	case !enforce.Agree(p.Speed, speed, tolerance):
		d.o.Log.Warn("second speed disagrees", "speed", p.Speed, "second", speed, "tolerance", tolerance)
		return nil, sensor.ReasonSecondDisagrees
	}
	return &evidence.Second{Method: secondMethods[c.Method], Speed: speed, Tolerance: tolerance}, 0
}

// newSecond returns the second sensor that c names, nil for none. It opens
// nothing yet.
func newSecond(c *config.Config, clock sensor.Clock, log *slog.Logger) (Second, error) {
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
	pins  []string
	open  func(name string) (contact, error)
	gate  gate.Options
	clock sensor.Clock
	log   *slog.Logger

	mu    sync.Mutex
	live  *gate.Gate // nil while a line is missing
	fault error
}

func newContacts(c *config.Config, clock sensor.Clock, log *slog.Logger) (*contacts, error) {
	s := &contacts{
		pins:  c.Second.PinNames(),
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
	var lines []sensor.Edges
	for _, name := range s.pins {
		l, err := s.open(name)
		if err != nil {
			return err
		}
		defer l.Halt() // it was only read
		lines = append(lines, l)
	}
	g, err := gate.New(lines, s.clock, s.gate)
	if err != nil {
		return err
	}
	s.set(g, nil)
	return g.Run(ctx)
}

func (s *contacts) set(g *gate.Gate, fault error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.live, s.fault = g, fault
}

// Fault implements [Second].
func (s *contacts) Fault() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fault
}

// Measure implements [Second].
func (s *contacts) Measure(ctx context.Context, p sensor.Passage, _ []capture.Shot) (sensor.Speed, sensor.Speed, error) {
	s.mu.Lock()
	g, fault := s.live, s.fault
	s.mu.Unlock()
	if g == nil {
		return 0, 0, fault
	}
	c, err := g.Match(ctx, p)
	switch {
	case slices.Contains(c.Reasons, sensor.ReasonLostEdge):
		return 0, 0, ErrLostEdge
	case err != nil && len(c.Reasons) > 0:
		return 0, 0, fmt.Errorf("%w: %v", err, c.Reasons[0])
	case err != nil:
		return 0, 0, err
	}
	return c.Speed, c.U, nil
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

// Measure implements [Second].
func (s pictures) Measure(_ context.Context, p sensor.Passage, shots []capture.Shot) (sensor.Speed, sensor.Speed, error) {
	frames := make([]capture.Frame, len(shots))
	for i, s := range shots {
		frames[i] = s.Frame
	}
	r, err := s.meter.Speed(frames, p.Direction)
	return r.Speed, r.U, err
}
