package simulate

import (
	"context"
	"io"
	"time"

	"ciglio/sensor"
	"ciglio/sensor/doppler"
)

// BlockSamples is the number of samples or I/Q pairs in a block of a [Stream]: 25.6 ms at
// the usual 20,000 a second. The last block may be shorter.
const BlockSamples = 512

// A Stream is the radar's signal of a road, a [doppler.Stream]. The end of the
// road's duration is its io.EOF. One goroutine may call Next at a time.
type Stream struct {
	road   *Road
	clock  sensor.Clock // nil: not paced
	origin sensor.Mono
	total  uint64 // samples in the road
	index  uint64 // of the next sample to deliver
	gen    *generator
	have   int // samples of the chunk not delivered yet, at its end
	ci, cq [chunk]float32
	i, q   [BlockSamples]float32
}

var _ doppler.Stream = (*Stream)(nil)

// Stream returns the signal in real time: the road starts when the clock reads
// origin, and each block is delivered when its last sample is over. Waiting
// goes through package time. A reader that is late gets the blocks it missed at
// once; none is lost.
func (r *Road) Stream(clock sensor.Clock, origin sensor.Mono) *Stream {
	s := r.Unpaced(origin)
	s.clock = clock
	return s
}

// Unpaced returns the signal as fast as it is read, for tests and files. The
// first sample is stamped origin.
func (r *Road) Unpaced(origin sensor.Mono) *Stream {
	rate := uint64(r.scenario.Radar.Rate)
	d := uint64(r.scenario.Duration)
	second := uint64(time.Second)
	return &Stream{road: r, origin: origin, gen: newGenerator(r),
		total: d/second*rate + d%second*rate/second}
}

// Samples returns how many samples or I/Q pairs the whole road has.
func (s *Stream) Samples() uint64 { return s.total }

// Format implements [doppler.Stream].
func (s *Stream) Format() doppler.Format {
	return doppler.Format{Rate: s.road.scenario.Radar.Rate, Complex: !s.road.scenario.Radar.Real}
}

// at returns the instant of a sample.
func (s *Stream) at(index uint64) sensor.Mono {
	rate := uint64(s.road.scenario.Radar.Rate)
	return s.origin + sensor.Mono(index/rate*1e9+index%rate*1e9/rate)
}

// Next implements [doppler.Stream].
func (s *Stream) Next(ctx context.Context) (doppler.Block, error) {
	if err := ctx.Err(); err != nil {
		return doppler.Block{}, err
	}
	n := int(min(BlockSamples, s.total-s.index))
	if n == 0 {
		return doppler.Block{}, io.EOF
	}
	if s.clock != nil {
		if err := Until(ctx, s.clock, s.at(s.index+uint64(n))); err != nil {
			return doppler.Block{}, err
		}
	}
	block := doppler.Block{Index: s.index, At: s.at(s.index), I: s.i[:n], Q: s.q[:n]}
	s.read(block.I, block.Q)
	if s.road.scenario.Radar.Real {
		block.Q = nil
	}
	return block, nil
}

// read delivers the next samples, whatever their number.
func (s *Stream) read(i, q []float32) {
	for len(i) > 0 {
		if s.have == 0 {
			s.gen.fill(&s.ci, &s.cq)
			s.have = chunk
		}
		n := copy(i, s.ci[chunk-s.have:])
		copy(q, s.cq[chunk-s.have:chunk-s.have+n])
		i, q = i[n:], q[n:]
		s.have -= n
		s.index += uint64(n)
	}
}

// Until waits for an instant of a clock that follows package time. It returns
// ctx.Err() when ctx ends first.
func Until(ctx context.Context, clock sensor.Clock, at sensor.Mono) error {
	for {
		left := at.Sub(clock.Now())
		if left <= 0 {
			return nil
		}
		timer := time.NewTimer(left)
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-timer.C:
		}
	}
}
