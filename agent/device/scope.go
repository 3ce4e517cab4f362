package device

import (
	"errors"
	"io"
	"slices"
	"sync"
	"time"

	"ciglio/agent/config"
	"ciglio/sensor"
	"ciglio/sensor/doppler"
	"ciglio/sensor/plot"
)

// How much a scope keeps, and for how long after somebody has looked last.
const (
	scopeSpan    = 10 * time.Second
	scopeSamples = 1 << 18 // 2 MiB of I and Q
	scopeCycles  = 4096
	scopeWatched = 15 * time.Second
)

// ErrNoSignal says that there is nothing to draw yet.
var ErrNoSignal = errors.New("the sensor has given nothing since somebody looks")

// A scope keeps the newest seconds of what the sensor gives, while somebody looks,
// and nothing else. What it costs the measuring goroutine is one copy. It is safe for concurrent
// use.
type scope struct {
	clock   sensor.Clock
	format  doppler.Format // of a signal
	options plot.Options

	mu      sync.Mutex
	asked   sensor.Mono // when somebody looked last; 0 for never
	blocks  []doppler.Block
	samples int
	cycles  []sensor.Cycle
}

func newScope(c *config.Config, clock sensor.Clock, format doppler.Format) *scope {
	return &scope{clock: clock, format: format, options: plot.Options{
		Title: c.Sensor.Model, Carrier: int64(c.Sensor.Carrier), Angle: int(c.Sensor.Angle),
	}}
}

// watched reports whether somebody looks; what is kept goes when nobody does. The
// caller holds mu.
func (s *scope) watched() bool {
	if s.asked != 0 && s.clock.Now().Sub(s.asked) <= scopeWatched {
		return true
	}
	s.blocks, s.samples, s.cycles = nil, 0, nil
	return false
}

// push takes a block of the signal that has just come.
func (s *scope) push(b doppler.Block) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.watched() {
		return
	}
	b.I, b.Q = slices.Clone(b.I), slices.Clone(b.Q)
	s.blocks = append(s.blocks, b)
	s.samples += len(b.I)
	most := min(scopeSamples, int(scopeSpan.Seconds()*float64(s.format.Rate)))
	drop := 0
	for drop < len(s.blocks)-1 && s.samples > most {
		s.samples -= len(s.blocks[drop].I)
		drop++
	}
	s.blocks = slices.Delete(s.blocks, 0, drop)
}

// hear takes a cycle of readings that has just come.
func (s *scope) hear(c sensor.Cycle) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.watched() {
		return
	}
	c.Readings = slices.Clone(c.Readings)
	s.cycles = append(s.cycles, c)
	drop := max(0, len(s.cycles)-scopeCycles)
	for drop < len(s.cycles)-1 && c.At.Sub(s.cycles[drop].At) > scopeSpan {
		drop++
	}
	s.cycles = slices.Delete(s.cycles, 0, drop)
}

// writeSVG draws what is kept, with the passages.
func (s *scope) writeSVG(w io.Writer, passages []sensor.Passage) error {
	s.mu.Lock()
	s.asked = s.clock.Now()
	blocks, cycles := slices.Clone(s.blocks), slices.Clone(s.cycles)
	s.mu.Unlock()
	switch {
	case len(blocks) > 0:
		picture, err := plot.NewSpectrogram(s.format, s.options)
		if err != nil {
			return err
		}
		for _, b := range blocks {
			if err := picture.Push(b); err != nil {
				return err
			}
		}
		return picture.WriteSVG(w)
	case len(cycles) > 0:
		picture := plot.NewReadings(s.options)
		for _, c := range cycles {
			picture.Push(c)
		}
		for _, p := range passages {
			if p.End >= cycles[0].At {
				picture.Passage(p)
			}
		}
		return picture.WriteSVG(w)
	}
	return ErrNoSignal
}
