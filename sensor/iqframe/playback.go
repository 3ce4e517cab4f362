package iqframe

import (
	"context"
	"errors"
	"io"

	"ciglio/sensor"
	"ciglio/sensor/doppler"
	"ciglio/sensor/framing"
	"ciglio/sensor/session"
)

// ErrNoFrames says that bytes hold no frame.
var ErrNoFrames = errors.New("iqframe: no frames")

// A Playback is the signal in recorded bytes. It implements [doppler.Stream]
// and has one user at a time. Its clock is the sample clock, and starts at 0
// with the first block.
type Playback struct {
	stream Stream
	held   bool        // the block at hand has not been returned
	end    sensor.Mono // of the block before
	// Blocks that lie before those that came, and follow each other: a second of
	// them is from a firmware that was started anew, and whose first was lost.
	next  uint64 // index behind the last of them
	pairs int
}

// NewPlayback reads r up to its first frame, which sets the rate. It returns
// [ErrNoFrames] when there is none.
func NewPlayback(r io.Reader) (*Playback, error) {
	p := &Playback{held: true}
	p.stream.line = session.Replay(r, protocol())
	if err := p.read(context.Background()); err != nil {
		if errors.Is(err, io.EOF) {
			err = ErrNoFrames
		}
		return nil, err
	}
	p.stream.rate = p.stream.block.Rate
	return p, nil
}

func (p *Playback) read(ctx context.Context) error {
	f, err := p.stream.line.Next(ctx, 0)
	if err != nil {
		return err
	}
	return p.stream.block.Decode(f.Bytes)
}

// Format implements [doppler.Stream].
func (p *Playback) Format() doppler.Format { return p.stream.Format() }

// Tally implements [sensor.Tallied].
func (p *Playback) Tally() sensor.Tally { return p.stream.Tally() }

// Next implements [doppler.Stream]. A block of another rate than that of the
// first is an error, at which the recording ends.
func (p *Playback) Next(ctx context.Context) (doppler.Block, error) {
	s := &p.stream
	for {
		if !p.held {
			if err := p.read(ctx); err != nil {
				return doppler.Block{}, err
			}
		}
		p.held = false
		if s.block.Rate != s.rate {
			return doppler.Block{}, s.line.Errorf("the rate changes from %d to %d pairs a second", s.rate, s.block.Rate)
		}
		begun, due := s.begun, s.next
		if !s.accept() && !p.restarted() {
			continue
		}
		// After a new start of the firmware, and after a gap of more than a
		// second, nobody knows how much time has passed: at least none.
		at := p.end
		if gap := s.block.Index - due; begun && gap <= uint64(s.rate) {
			at = at.Add(framing.Span(gap, s.rate))
		}
		b := s.signal(at)
		p.end = at.Add(framing.Span(uint64(len(b.I)), s.rate))
		return b, nil
	}
}

// restarted reports whether the block at hand, which lies before those that
// came, shows that the firmware was started anew. Then it is accepted.
func (p *Playback) restarted() bool {
	b := &p.stream.block
	if b.Index != p.next {
		p.pairs = 0
	}
	p.pairs += len(b.I)
	p.next = b.Index + uint64(len(b.I))
	if p.pairs < p.stream.rate {
		return false
	}
	p.pairs, p.stream.begun = 0, false
	return p.stream.accept()
}
