// Package doppler turns the raw signal of a continuous-wave Doppler radar into
// passages, live or from a recording.
package doppler

import (
	"context"
	"fmt"

	"ciglio/sensor"
)

// A Block is a stretch of consecutive samples.
type Block struct {
	// Index is the running number of the first sample, or of the first I/Q
	// pair. A number other than the end of the block before means that samples
	// were lost.
	Index uint64
	// At is the instant of the first sample.
	At sensor.Mono
	// I and Q are the samples, full scale ±1. Both have the same length; Q is
	// nil for a real signal. A positive frequency of I + jQ is a vehicle that
	// approaches: the driver swaps the two where its sensor has it otherwise.
	I, Q []float32
}

// Format describes the samples of a [Stream].
type Format struct {
	Rate    int  // samples or I/Q pairs a second, 8,000 to 200,000
	Complex bool // I and Q; else I only
}

func (f Format) check() error {
	if f.Rate < 8000 || f.Rate > 200000 {
		return fmt.Errorf("doppler: sampling rate %d Hz lies outside 8000 to 200000 Hz", f.Rate)
	}
	return nil
}

// A Stream delivers the signal of one sensor.
type Stream interface {
	// Format returns the form of the samples. It is constant.
	Format() Format

	// Next blocks until samples are there and returns them. The Block's slices
	// are valid until the next call. It returns ctx.Err() when ctx ends, and
	// io.EOF when a recording has ended. After any other error Next may be
	// called again. Only one goroutine may call Next at a time.
	Next(ctx context.Context) (Block, error)
}

// Options tunes the chain. The zero value works: a 24.125 GHz sensor that looks
// along the road.
type Options struct {
	// Carrier is the transmit frequency in Hz, 1 to 100 GHz; zero means
	// 24.125 GHz.
	Carrier int64
	// CarrierTolerance is the half width within which the carrier is known, in
	// parts per million; zero means 100. A module that was never measured has
	// 5,000 (0.5 %). Negative is refused.
	CarrierTolerance int
	// ClockTolerance is the same for the sampling clock; zero means 50.
	ClockTolerance int
	// Angle lies between the beam and the direction of travel, in thousandths
	// of a degree, 0 to 60,000.
	Angle int
	// AngleTolerance is the half width within which Angle is known, in
	// thousandths of a degree; zero means 500.
	AngleTolerance int
	// KeepTrace adds the signal of each passage to it, as WAV.
	KeepTrace bool
	// Model and Serial name the sensor.
	Model, Serial string
	// Simulated says that the stream is no real road's.
	Simulated bool
}

func (o Options) withDefaults() Options {
	if o.Carrier == 0 {
		o.Carrier = 24_125_000_000
	}
	if o.CarrierTolerance == 0 {
		o.CarrierTolerance = 100
	}
	if o.ClockTolerance == 0 {
		o.ClockTolerance = 50
	}
	if o.AngleTolerance == 0 {
		o.AngleTolerance = 500
	}
	return o
}

func (o Options) check() error {
	switch {
	case o.Carrier < 1_000_000_000 || o.Carrier > 100_000_000_000:
		return fmt.Errorf("doppler: carrier %d Hz lies outside 1 to 100 GHz", o.Carrier)
	case o.CarrierTolerance < 0 || o.CarrierTolerance > 100_000:
		return fmt.Errorf("doppler: carrier tolerance %d ppm lies outside 0 to 100000", o.CarrierTolerance)
	case o.ClockTolerance < 0 || o.ClockTolerance > 100_000:
		return fmt.Errorf("doppler: clock tolerance %d ppm lies outside 0 to 100000", o.ClockTolerance)
	case o.Angle < 0 || o.Angle > 60_000:
		return fmt.Errorf("doppler: angle %d lies outside 0 to 60000 thousandths of a degree", o.Angle)
	case o.AngleTolerance < 0 || o.AngleTolerance > 10_000:
		return fmt.Errorf("doppler: angle tolerance %d lies outside 0 to 10000 thousandths of a degree", o.AngleTolerance)
	}
	return nil
}
