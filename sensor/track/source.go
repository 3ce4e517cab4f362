package track

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"

	"ciglio/sensor"
)

// A Source is a sensor that reports targets, in operation. It implements
// [sensor.Source].
type Source struct {
	dial func(context.Context) (sensor.Feed, error)
	o    Options

	feed    sensor.Feed
	tracker *Tracker // nil until the sensor was reached for the first time
	ended   error    // io.EOF once a recording has ended

	mu       sync.Mutex
	identity sensor.Identity
	first    sensor.Identity // as the feed said it at first
}

// NewSource returns the sensor that dial reaches. It dials nothing yet. The feed
// that dial returns is closed, where it is an [io.Closer], after an error and by
// [Source.Close].
func NewSource(dial func(context.Context) (sensor.Feed, error), o Options) (*Source, error) {
	o = o.withDefaults()
	if err := o.check(); err != nil {
		return nil, err
	}
	return &Source{dial: dial, o: o, identity: sensor.Identity{
		Model: o.Model, Serial: o.Serial, Settings: o.settings(),
		Separates: o.Separates, Simulated: o.Simulated, Unchecked: o.Unchecked,
	}}, nil
}

// Identity implements [sensor.Source]. Until the sensor was reached for the
// first time it is what the options expect; from then on it is constant. Its
// settings are those of the sensor and those of this package.
func (s *Source) Identity() sensor.Identity {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.identity
}

// Counters says what was not used, and why. It is safe to call at any time.
func (s *Source) Counters() Counters {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.tracker == nil {
		return Counters{}
	}
	return s.tracker.Counters()
}

// Next implements [sensor.Source]. A passage is returned about a second after
// the last reading of its vehicle. It reaches the sensor when it is not
// connected, which may fail: then the error says why, and the next call tries
// again. When the feed fails, the passages under way are returned by later
// calls, each with [sensor.ReasonLostSamples]. A sensor that came back with
// another model, serial number or other settings is refused until the first one
// is back.
func (s *Source) Next(ctx context.Context) (sensor.Passage, error) {
	for {
		if s.tracker != nil {
			if p, ok := s.tracker.Pop(); ok {
				return p, nil
			}
		}
		if s.ended != nil {
			return sensor.Passage{}, s.ended
		}
		if err := s.connect(ctx); err != nil {
			return sensor.Passage{}, err
		}
		cycle, err := s.feed.Next(ctx)
		switch {
		case err == nil:
			s.tracker.Push(cycle)
		case errors.Is(err, io.EOF):
			s.ended = io.EOF
			s.tracker.Flush()
			s.hangUp()
		case ctx.Err() != nil:
			return sensor.Passage{}, ctx.Err()
		default:
			s.tracker.Break(sensor.ReasonLostSamples)
			s.hangUp()
			return sensor.Passage{}, fmt.Errorf("sensor %s: %w", s.identity.Model, err)
		}
	}
}

// Close ends the connection to the sensor. It must not be called during Next.
func (s *Source) Close() error {
	s.ended = io.EOF
	return s.hangUp()
}

func (s *Source) hangUp() error {
	c, ok := s.feed.(io.Closer)
	s.feed = nil
	if !ok {
		return nil
	}
	return c.Close()
}

// connect reaches the sensor, unless it is connected.
func (s *Source) connect(ctx context.Context) error {
	if s.feed != nil {
		return nil
	}
	feed, err := s.dial(ctx)
	switch {
	case ctx.Err() != nil && err != nil:
		return ctx.Err()
	case err != nil:
		return fmt.Errorf("sensor %s: %w", s.o.Model, err)
	}
	s.feed = feed
	if err := s.admit(feed.Identity()); err != nil {
		s.hangUp()
		return err
	}
	s.o.Log.Info("sensor reached", "model", s.identity.Model, "serial", s.identity.Serial)
	return nil
}

// admit compares what the sensor says of itself with what it must say.
func (s *Source) admit(id sensor.Identity) error {
	want := s.first
	if s.tracker == nil {
		want = id
		if s.o.Model != "" {
			want.Model = s.o.Model
		}
		if s.o.Serial != "" {
			want.Serial = s.o.Serial
		}
	}
	switch {
	case id.Model != want.Model:
		return fmt.Errorf("sensor %s: the one that answers is a %s", want.Model, id.Model)
	case id.Serial != want.Serial:
		return fmt.Errorf("sensor %s %s: the one that answers has the serial number %s", want.Model, want.Serial, id.Serial)
	case !bytes.Equal(id.Settings, want.Settings):
		return fmt.Errorf("sensor %s %s: %s", id.Model, id.Serial, difference(want.Settings, id.Settings))
	case id.Separates != want.Separates || id.Simulated != want.Simulated || id.Unchecked != want.Unchecked:
		return fmt.Errorf("sensor %s %s: its abilities are not those it had", id.Model, id.Serial)
	}
	if s.tracker != nil {
		return nil
	}
	o := s.o
	o.Separates, o.Unchecked = o.Separates || id.Separates, o.Unchecked || id.Unchecked
	t, err := NewTracker(o)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.first, s.tracker = id, t
	s.first.Settings = bytes.Clone(id.Settings)
	s.identity = s.first
	s.identity.Settings = merge(id.Settings, o.settings())
	s.identity.Separates, s.identity.Unchecked = o.Separates, o.Unchecked
	s.identity.Simulated = id.Simulated || o.Simulated
	return nil
}

// merge returns the lines of two settings in order.
func merge(a, b []byte) []byte {
	all := slices.Concat(bytes.Split(a, []byte("\n")), bytes.Split(b, []byte("\n")))
	all = slices.DeleteFunc(all, func(line []byte) bool { return len(line) == 0 })
	slices.SortFunc(all, bytes.Compare)
	return append(bytes.Join(all, []byte("\n")), '\n')
}

// difference names the first line in which two settings differ.
func difference(want, got []byte) string {
	for {
		a, restA, moreA := bytes.Cut(want, []byte("\n"))
		b, restB, moreB := bytes.Cut(got, []byte("\n"))
		if !bytes.Equal(a, b) || !moreA && !moreB {
			return fmt.Sprintf("its settings changed: %q was %q", b, a)
		}
		want, got = restA, restB
	}
}
