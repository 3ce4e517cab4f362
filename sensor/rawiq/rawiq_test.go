package rawiq

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"ciglio/sensor"
)

// bubbleClock is the time of a synctest bubble.
type bubbleClock struct{ start time.Time }

func (c bubbleClock) Now() sensor.Mono                  { return sensor.Mono(time.Since(c.start)) }
func (c bubbleClock) Pair() (sensor.Mono, time.Time)    { return c.Now(), time.Now() }
func (c bubbleClock) State() (sensor.ClockState, error) { return sensor.ClockState{}, nil }

func TestStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		device, sender := net.Pipe()
		s, err := NewStream(device, 8000, bubbleClock{time.Now()})
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			time.Sleep(20 * time.Millisecond)
			block := make([]byte, 4*160)
			block[0], block[1], block[2], block[3] = 0x00, 0x40, 0x00, 0x80
			sender.Write(block)
			time.Sleep(20 * time.Millisecond)
			sender.Write(block)
			time.Sleep(125 * time.Microsecond)
			sender.Write([]byte{1, 2, 3, 4, 5})
			sender.Close()
		}()
		first, err := s.Next(t.Context())
		if err != nil || len(first.I) != 160 || first.I[0] != 0.5 || first.Q[0] != -1 || first.At != 0 {
			t.Fatalf("first block %v, %v", first, err)
		}
		second, err := s.Next(t.Context())
		if err != nil || second.Index != 160 || second.At != sensor.Mono(20*time.Millisecond) {
			t.Fatalf("second block index %d at %v, %v", second.Index, second.At, err)
		}
		tail, err := s.Next(t.Context())
		if err != nil || len(tail.I) != 1 || tail.At != sensor.Mono(40*time.Millisecond) {
			t.Fatalf("tail of %d pairs at %v, %v", len(tail.I), tail.At, err)
		}
		if _, err := s.Next(t.Context()); !errors.Is(err, io.EOF) {
			t.Errorf("after the end: %v", err)
		}
	})
}

// A program that was held up for a while finds what came in the meantime in the
// pipe. Pictures are chosen by the instants, so these must stay true then and
// ever after.
func TestInstantsStayTrueBehindAHeldUpReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		defer w.Close()
		s, err := NewStream(r, 8000, bubbleClock{time.Now()})
		if err != nil {
			t.Fatal(err)
		}
		block := make([]byte, 4*160)
		at := 0 // 20 ms each
		next := func(come, read int) {
			for range come {
				if _, err := w.Write(block); err != nil {
					t.Fatal(err)
				}
			}
			for range read {
				b, err := s.Next(t.Context())
				if want := sensor.Mono(at) * sensor.Mono(20*time.Millisecond); err != nil || b.At != want {
					t.Fatalf("block %d at %v, %v, want %v", at, time.Duration(b.At), err, time.Duration(want))
				}
				at++
			}
		}
		for range 100 {
			time.Sleep(20 * time.Millisecond)
			next(1, 1)
		}
		time.Sleep(600 * time.Millisecond)
		next(30, 30)
		for range 200 {
			time.Sleep(20 * time.Millisecond)
			next(1, 1)
		}
	})
}

// Bytes that the writer had to drop are missed by nobody else.
func TestLostSamplesShowByTheClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		device, sender := net.Pipe()
		defer sender.Close()
		s, err := NewStream(device, 8000, bubbleClock{time.Now()})
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			for k := 0; ; k++ {
				time.Sleep(20 * time.Millisecond)
				if k == 100 {
					time.Sleep(100 * time.Millisecond)
				}
				if _, err := sender.Write(make([]byte, 4*160)); err != nil {
					return
				}
			}
		}()
		for range 400 {
			if _, err = s.Next(t.Context()); err != nil {
				break
			}
		}
		if err == nil || !strings.Contains(err.Error(), "raw I/Q: samples come 100ms late") {
			t.Errorf("100 ms of samples are missing: %v", err)
		}
		if _, err := s.Next(t.Context()); err != nil {
			t.Errorf("and then: %v", err)
		}
		device.Close()
		time.Sleep(time.Second) // for the writer to see it
	})
}

func TestSilentStreamEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		device, sender := net.Pipe()
		defer sender.Close()
		s, err := NewStream(device, 20000, bubbleClock{time.Now()})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), silence/2)
		defer cancel()
		if _, err := s.Next(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Next = %v, want the context's end", err)
		}
	})
}

// A writer that died in the middle of a pair is an error, and what the next one
// writes begins with a whole pair.
func TestSilenceIsAnErrorAndBeginsAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		device, sender := net.Pipe()
		defer sender.Close()
		s, err := NewStream(device, 8000, bubbleClock{time.Now()})
		if err != nil {
			t.Fatal(err)
		}
		go sender.Write([]byte{1, 2, 3})
		if b, err := s.Next(t.Context()); err == nil {
			t.Fatalf("%d pairs of a broken one", len(b.I))
		}
		if _, err := s.Next(t.Context()); err == nil || s.clock.Now() != sensor.Mono(2*silence) {
			t.Errorf("after %v: %v, want an error each %v", s.clock.Now(), err, silence)
		}
		block := make([]byte, 4*160)
		block[1], block[3] = 0x40, 0x80
		go sender.Write(block)
		if b, err := s.Next(t.Context()); err != nil || len(b.I) != 160 || b.I[0] != 0.5 || b.Q[0] != -1 {
			t.Errorf("the next writer's block: %v, %v", b, err)
		}
	})
}

func TestRatesOutOfRangeAreRefused(t *testing.T) {
	for _, rate := range []int{-1, 0, 7_999, 200_001} {
		if _, err := NewStream(nil, rate, nil); err == nil {
			t.Errorf("rate %d was accepted", rate)
		}
	}
}
