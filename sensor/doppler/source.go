package doppler

import (
	"context"
	"errors"
	"fmt"
	"io"

	"ciglio/sensor"
)

// A Source is a Doppler sensor in operation: a [Stream] and the [Processor]
// that reads it. It implements [sensor.Source].
type Source struct {
	stream    Stream
	processor *Processor
	identity  sensor.Identity
	ended     error // io.EOF once the stream has ended
}

// NewSource returns the sensor whose signal is s. It reads nothing yet.
func NewSource(s Stream, o Options) (*Source, error) {
	p, err := NewProcessor(s.Format(), o)
	if err != nil {
		return nil, err
	}
	return &Source{stream: s, processor: p, identity: sensor.Identity{
		Model:     o.Model,
		Serial:    o.Serial,
		Settings:  p.Settings(),
		Simulated: o.Simulated,
	}}, nil
}

// Identity implements [sensor.Source].
func (s *Source) Identity() sensor.Identity { return s.identity }

// Wiring returns what is wrong with the two channels, as [Processor.Wiring] does.
func (s *Source) Wiring() error { return s.processor.Wiring() }

// Next implements [sensor.Source]. A passage is returned about half a second
// after the end of its track, and later where a line beside it goes on by which
// it shows whether another vehicle was in the beam. When the stream fails, the passages under way are
// returned by later calls, each with [sensor.ReasonLostSamples].
func (s *Source) Next(ctx context.Context) (sensor.Passage, error) {
	for {
		if passage, ok := s.processor.Pop(); ok {
			return passage, nil
		}
		if s.ended != nil {
			return sensor.Passage{}, s.ended
		}
		block, err := s.stream.Next(ctx)
		switch {
		case err == nil:
			if err := s.processor.Push(block); err != nil {
				return sensor.Passage{}, err
			}
		case errors.Is(err, io.EOF):
			s.ended = io.EOF
			s.processor.Flush()
		case ctx.Err() != nil:
			return sensor.Passage{}, ctx.Err()
		default:
			s.processor.Break()
			return sensor.Passage{}, fmt.Errorf("doppler: stream: %w", err)
		}
	}
}
