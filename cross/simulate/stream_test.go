package simulate

import (
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"ciglio/sensor"
)

func TestStreamKeepsTheClocksPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		clock := NewClock(5 * 1e9)
		road := mustRoad(t, Scenario{Duration: 10*time.Second + 10*time.Millisecond})
		origin := clock.Now().Add(time.Second)
		s := road.Stream(clock, origin)
		index, last := uint64(0), 0
		for {
			b, err := s.Next(t.Context())
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			last = len(b.I)
			if b.Index != index || b.At != origin.Add(time.Duration(index)*50*time.Microsecond) {
				t.Fatalf("block %d at %d, want index %d", b.Index, b.At, index)
			}
			index += uint64(len(b.I))
			if late := clock.Now().Sub(origin.Add(time.Duration(index) * 50 * time.Microsecond)); late != 0 {
				t.Fatalf("block %d delivered %v after its last sample", b.Index, late)
			}
		}
		if index != 200_200 || last != 200_200%BlockSamples {
			t.Errorf("%d samples, the last block of %d; want 200200 and %d", index, last, 200_200%BlockSamples)
		}
	})
}

func TestLateReaderLosesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		clock := NewClock(0)
		s := mustRoad(t, Scenario{Duration: 10 * time.Second}).Stream(clock, 0)
		time.Sleep(3 * time.Second)
		for n := range uint64(117) { // 117 blocks are 2.9952 s
			b, err := s.Next(t.Context())
			if err != nil || b.Index != n*BlockSamples {
				t.Fatalf("block %d: index %d, %v", n, b.Index, err)
			}
		}
		if late := clock.Now(); late != 3e9 {
			t.Errorf("blocks that were due took until %v", time.Duration(late))
		}
	})
}

func TestStreamEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		clock := NewClock(0)
		s := mustRoad(t, Scenario{Duration: time.Hour}).Stream(clock, sensor.Mono(time.Hour))
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := s.Next(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v, want deadline exceeded", err)
		}
	})
}

func TestClockFollowsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := NewClock(1000)
		_, utc := c.Pair()
		time.Sleep(time.Hour)
		mono, later := c.Pair()
		if mono != sensor.Mono(1000+time.Hour) || c.Now() != mono || later.Sub(utc) != time.Hour {
			t.Errorf("after an hour: %d, %v", mono, later.Sub(utc))
		}
	})
}
