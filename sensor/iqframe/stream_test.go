package iqframe_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"ciglio/cross/simulate"
	"ciglio/cross/simulate/emulator"
	"ciglio/sensor"
	"ciglio/sensor/doppler"
	"ciglio/sensor/iqframe"
)

// bubbleClock is the time of a synctest bubble.
type bubbleClock struct{ start time.Time }

func (c bubbleClock) Now() sensor.Mono                  { return sensor.Mono(time.Since(c.start)) }
func (c bubbleClock) Pair() (sensor.Mono, time.Time)    { return c.Now(), time.Now() }
func (c bubbleClock) State() (sensor.ClockState, error) { return sensor.ClockState{}, nil }

const rate, pairs = 8000, 80 // a block is 10 ms

// frame is one block of silence.
func frame(t *testing.T, sequence uint32, index uint64) []byte {
	b := iqframe.Block{Rate: rate, Sequence: sequence, Index: index, I: make([]int16, pairs), Q: make([]int16, pairs)}
	out, err := b.Encode(nil)
	if err != nil {
		t.Error(err)
	}
	return out
}

func open(t *testing.T) (*iqframe.Stream, net.Conn) {
	t.Helper()
	host, device := net.Pipe()
	s, err := iqframe.NewStream(host, rate, bubbleClock{time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	return s, device
}

// sending runs send until the test has ended.
func sending(t *testing.T, device net.Conn, send func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		send()
	}()
	t.Cleanup(func() {
		device.Close()
		<-done
	})
}

// The sample clock of the sensor is wrong by some parts in a million, and its
// blocks come up to 8 ms late, at random. The instants do not show it.
func TestInstantsFollowTheSampleClock(t *testing.T) {
	for name, ppm := range map[string]int64{"right": 0, "fast": 150, "slow": -150} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, device := open(t)
				start := time.Now()
				// truth is when the first pair of a block was sampled.
				truth := func(block int64) time.Duration {
					return time.Duration(block) * 10 * time.Millisecond * time.Duration(1_000_000-ppm) / 1_000_000
				}
				const blocks = 6000 // a minute
				sending(t, device, func() {
					random := rand.New(rand.NewPCG(1, 2))
					for k := range int64(blocks) {
						late := time.Millisecond + time.Duration(random.Int64N(int64(8*time.Millisecond)))
						time.Sleep(time.Until(start.Add(truth(k+1) + late)))
						if _, err := device.Write(frame(t, uint32(k), uint64(k)*pairs)); err != nil {
							return
						}
					}
				})
				var worst, step time.Duration
				var last sensor.Mono
				for k := range int64(blocks) {
					b, err := s.Next(t.Context())
					if err != nil {
						t.Fatal(err)
					}
					// Late by the least delay of 1 ms.
					if off := time.Duration(b.At) - truth(k) - time.Millisecond; k > 200 {
						worst = max(worst, off.Abs())
						step = max(step, (b.At.Sub(last) - 10*time.Millisecond).Abs())
					}
					last = b.At
				}
				if worst > 700*time.Microsecond || step > 500*time.Microsecond {
					t.Errorf("off by %v, steps by %v", worst, step)
				}
				t.Logf("off by at most %v, steps by at most %v", worst, step)
			})
		})
	}
}

// A sensor that does not sample at the rate it says, or does not count the pairs
// that it drops, would be measured wrong.
func TestAWrongSampleClockIsAnError(t *testing.T) {
	for name, c := range map[string]struct {
		block time.Duration // true time of one
		stall time.Duration // in the middle
		want  string
	}{
		"1 % slow":            {10_100 * time.Microsecond, 0, "more slowly than 8000"},
		"1 % fast":            {9_900 * time.Microsecond, 0, "faster than 8000"},
		"pairs not counted":   {10 * time.Millisecond, 200 * time.Millisecond, "or some are lost"},
		"as good as crystals": {10*time.Millisecond + time.Microsecond, 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, device := open(t)
				start := time.Now()
				sending(t, device, func() {
					for k := range 2000 {
						due := time.Duration(k+1) * c.block
						if k > 1000 {
							due += c.stall
						}
						time.Sleep(time.Until(start.Add(due)))
						if _, err := device.Write(frame(t, uint32(k), uint64(k)*pairs)); err != nil {
							return
						}
					}
				})
				var err error
				n := 0
				for ; err == nil && n < 2000; n++ {
					_, err = s.Next(t.Context())
				}
				if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
					t.Errorf("after %d blocks: %v, want %q", n, err, c.want)
				}
				if err != nil {
					if _, err := s.Next(t.Context()); err != nil {
						t.Errorf("begins not anew: %v", err)
					}
				}
			})
		})
	}
}

func TestStreamDropsWhatIsNotNew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, device := open(t)
		sending(t, device, func() {
			defer device.Close()
			send := func(sequence uint32, index uint64) { device.Write(frame(t, sequence, index)) }
			send(5, 400)
			send(6, 480)
			send(6, 480) // twice
			send(5, 400) // back
			send(7, 520) // overlaps
			device.Write([]byte("CIQ\xa5\x01noise\x00"))
			send(9, 720)                         // two lost
			device.Write(frame(t, 10, 800)[:50]) // half
			send(11, 880)
			send(0, 0) // started anew
			send(1, 80)
		})
		for _, want := range []uint64{400, 480, 720, 880, 0, 80} {
			b, err := s.Next(t.Context())
			if err != nil || b.Index != want || len(b.I) != pairs {
				t.Fatalf("block at %d, %v, want %d", b.Index, err, want)
			}
		}
		if _, err := s.Next(t.Context()); err == nil {
			t.Error("a block after the end")
		}
		if c := s.Tally(); c.Used != 6 || c.Repeated != 3 || c.Missing != 3 || c.Bytes == 0 || c.Broken == 0 {
			t.Errorf("%+v", c)
		}
	})
}

func TestStreamErrors(t *testing.T) {
	other := iqframe.Block{Rate: 20_000, I: make([]int16, pairs), Q: make([]int16, pairs)}
	fast, err := other.Encode(nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		sends []byte
		want  string
	}{
		"another rate":            {fast, "20000 pairs a second, the configuration says 8000"},
		"nothing":                 {nil, "no block for 1s"},
		"what another baud gives": {[]byte("\x00\x80\xfe"), "bytes but no block for 1s: wrong speed"},
		"half frames":             {frame(t, 0, 80)[:60], "bytes but no block"},
		"the same block again":    {frame(t, 4, 320), "only blocks that came before"},
		"another sensor":          {[]byte("{\"speed\":\"12.3\"}\r\n"), "bytes but no block"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, device := open(t)
				sending(t, device, func() {
					_, err := device.Write(frame(t, 4, 320))
					for err == nil && len(c.sends) > 0 {
						time.Sleep(30 * time.Millisecond)
						_, err = device.Write(c.sends)
					}
				})
				if _, err := s.Next(t.Context()); err != nil {
					t.Fatal(err)
				}
				if _, err := s.Next(t.Context()); err == nil || !strings.Contains(err.Error(), c.want) {
					t.Errorf("%v, want %q", err, c.want)
				}
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
				defer cancel()
				if _, err := s.Next(ctx); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("with an end: %v", err)
				}
			})
		})
	}
	for _, rate := range []int{-1, 0, 7_999, 200_001} {
		if _, err := iqframe.NewStream(nil, rate, nil); err == nil {
			t.Errorf("rate %d was accepted", rate)
		}
	}
}

// overdriven says of each block from 3 s on that the input was overdriven.
type overdriven struct{ doppler.Stream }

func (o overdriven) Next(ctx context.Context) (doppler.Block, error) {
	b, err := o.Stream.Next(ctx)
	b.Clipped = b.Index > 3*rate
	return b, err
}

// A vehicle through the whole chain. One lost block in its passage, or a firmware
// that was started anew, ends it with its reason; an overdriven input does not
// measure.
func TestPassages(t *testing.T) {
	drop := func(from, to uint32) func(uint32, []byte) []byte {
		return func(sequence uint32, frame []byte) []byte {
			if sequence >= from && sequence < to {
				return nil
			}
			return frame
		}
	}
	for name, c := range map[string]struct {
		spoil  func(uint32, []byte) []byte
		reason sensor.Reason // 0: the passage is valid
	}{
		"whole":                    {nil, 0},
		"a block lost before it":   {drop(10, 11), 0},
		"a block lost in it":       {drop(150, 151), sensor.ReasonLostSamples},
		"every block twice":        {func(_ uint32, frame []byte) []byte { return append(frame, frame...) }, 0},
		"noise between the blocks": {func(_ uint32, frame []byte) []byte { return append(frame, "CIQ\xa5\x01\x00\xff\x03 noise"...) }, 0},
		"a bit of a block is wrong": {func(n uint32, frame []byte) []byte {
			frame[100] ^= byte(n / 150 % 2 * (1 - min(1, n%150)))
			return frame
		}, sensor.ReasonLostSamples},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				clock := bubbleClock{time.Now()}
				road, err := simulate.NewRoad(simulate.Scenario{
					Seed: 3, Duration: 8 * time.Second, Radar: simulate.Radar{Rate: rate},
					Vehicles: []simulate.Vehicle{{Speed: 72 * sensor.KmH, Direction: sensor.Approaching, Lane: 1, Passing: 4 * time.Second}},
				})
				if err != nil {
					t.Fatal(err)
				}
				s, device := open(t)
				sending(t, device, func() {
					x := emulator.IQFrame{Signal: road.Stream(clock, clock.Now()), Spoil: c.spoil}
					if c.reason == sensor.ReasonClipped {
						x.Signal = overdriven{x.Signal}
					}
					if err := x.Serve(t.Context(), device); err != nil {
						t.Error(err)
					}
					device.Close()
				})
				source, err := doppler.NewSource(s, doppler.Options{})
				if err != nil {
					t.Fatal(err)
				}
				var all []sensor.Passage
				for {
					p, err := source.Next(t.Context())
					if err != nil {
						break
					}
					all = append(all, p)
				}
				reasons := map[sensor.Reason]int{}
				valid := 0
				for _, p := range all {
					if p.Valid() {
						valid++
						if d := p.Speed - 7200; d > 100 || d < -200 {
							t.Errorf("%v", p.Speed)
						}
					}
					for _, r := range p.Reasons {
						reasons[r]++
					}
				}
				switch {
				case c.reason == 0 && (len(all) != 1 || valid != 1):
					t.Errorf("%d passages, %v", len(all), reasons)
				case c.reason != 0 && (valid != 0 || reasons[c.reason] == 0):
					t.Errorf("%d valid, %v", valid, reasons)
				}
				if n := s.Tally(); c.spoil == nil && (n.Missing != 0 || n.Repeated != 0 || n.Bytes != 0 || n.Broken != 0) {
					t.Errorf("%+v", n)
				}
			})
		})
	}
}
