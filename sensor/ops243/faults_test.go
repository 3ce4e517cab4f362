package ops243

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"ciglio/cross/simulate/bench"
	"ciglio/cross/simulate/emulator"
	"ciglio/sensor"
)

func TestNoiseCostsNoMoreThanItsLines(t *testing.T) {
	x := &emulator.OPS243{}
	bench.Run(t, x, func(ctx context.Context, c net.Conn) {
		r := mustOpen(t, ctx, c, Options{})
		before := r.Tally()
		for _, noise := range []string{"\xff\x00\x80\n", `{"unit":"mps","time":"1`, "\r\n{}{\r\n", "12.5\r\n", `{"Alert" : "speed above " limit}` + "\r\n", strings.Repeat("#", 20000) + "\n"} {
			go x.Send([]byte(noise))
			for range 3 { // noise without an end takes the report behind it along
				x.Report(cycle(at(6000, sensor.Approaching)))
			}
			for range 2 {
				got := bench.Next(t, ctx, r)
				if d := got.Readings[0].Speed - 6000; d < -1 || d > 1 {
					t.Errorf("behind %.20q: %+v", noise, got)
				}
			}
		}
		if got := r.Tally(); got.Broken-before.Broken < 6 {
			t.Errorf("%+v", got)
		}
	})
}

func TestASensorThatStartsAnewIsAnError(t *testing.T) {
	for _, mode := range []Mode{JSON, CSV, Raw} {
		t.Run(mode.String(), func(t *testing.T) {
			x := &emulator.OPS243{}
			bench.Run(t, x, func(ctx context.Context, c net.Conn) {
				r := mustOpen(t, ctx, c, Options{Mode: mode})
				x.Report(cycle(at(6000, sensor.Approaching)))
				bench.Next(t, ctx, r)
				x.Restart()
				for range 50 { // it folds 130 km/h now, and prints it plain
					x.Report(cycle(at(13000, sensor.Approaching)))
				}
				for range 50 {
					got, err := r.Next(ctx)
					if err != nil {
						if !strings.Contains(err.Error(), "started anew") {
							t.Errorf("Next = %v", err)
						}
						return
					}
					if len(got.Readings) > 0 {
						t.Fatalf("a reading of the wrong settings: %+v", got)
					}
				}
				t.Error("nothing was noticed")
			})
		})
	}
}

func TestTimeThatGoesBackIsAnError(t *testing.T) {
	x := &emulator.OPS243{Quiet: true}
	bench.Run(t, x, func(ctx context.Context, c net.Conn) {
		r := mustOpen(t, ctx, c, Options{})
		go x.Send([]byte(`{"unit":"mps","time":"105.031","magnitude":"9","speed":"17.4"}` + "\r\n" +
			`{"unit":"mps","time":"0.900","magnitude":"9","speed":"17.4"}` + "\r\n"))
		bench.Next(t, ctx, r)
		if _, err := r.Next(ctx); err == nil || !strings.Contains(err.Error(), "started anew: its time went from 1m45.031s back to 900ms") {
			t.Errorf("Next = %v", err)
		}
	})
}

func TestAnotherUnitIsAnError(t *testing.T) {
	x := &emulator.OPS243{Quiet: true}
	bench.Run(t, x, func(ctx context.Context, c net.Conn) {
		r := mustOpen(t, ctx, c, Options{})
		go x.Send([]byte(`{"unit":"mph","time":"105.031","magnitude":"9","speed":"17.4"}` + "\r\n"))
		if _, err := r.Next(ctx); err == nil || !strings.Contains(err.Error(), "a report in mph, set is mps") {
			t.Errorf("Next = %v", err)
		}
	})
}

func TestSilenceIsAnError(t *testing.T) {
	for _, mode := range []Mode{JSON, Raw} {
		synctest.Test(t, func(t *testing.T) {
			x := &emulator.OPS243{}
			here, there := net.Pipe()
			ctx, cancel := context.WithCancel(t.Context())
			var serving sync.WaitGroup
			serving.Go(func() { x.Serve(ctx, &stuck{there}) })
			synctest.Wait()
			r := mustOpen(t, ctx, here, Options{Mode: mode})
			cancel()
			serving.Wait()
			there.SetDeadline(time.Time{})
			serving.Go(func() { io.Copy(io.Discard, there) })
			begun := time.Now()
			for {
				if _, err := r.Next(t.Context()); err != nil {
					if !strings.Contains(err.Error(), "fallen silent") || time.Since(begun) > 3*time.Second {
						t.Errorf("%v: Next = %v after %v", mode, err, time.Since(begun))
					}
					break
				}
			}
			here.Close()
			serving.Wait()
		})
	}
}

// stuck is a connection that stays open when its end is closed: a sensor that
// has died, not a cable that was pulled.
type stuck struct{ net.Conn }

func (s *stuck) Close() error { return s.SetDeadline(time.Unix(1, 0)) }

func TestNextEndsWithItsContext(t *testing.T) {
	x := &emulator.OPS243{Quiet: true}
	bench.Run(t, x, func(ctx context.Context, c net.Conn) {
		r := mustOpen(t, ctx, c, Options{})
		short, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
		defer cancel()
		if _, err := r.Next(short); err != context.DeadlineExceeded {
			t.Errorf("Next = %v", err)
		}
	})
}

func TestPulledCableIsAnError(t *testing.T) {
	x := &emulator.OPS243{}
	bench.Run(t, x, func(ctx context.Context, c net.Conn) {
		r := mustOpen(t, ctx, c, Options{})
		c.Close()
		if _, err := r.Next(ctx); !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("Next = %v", err)
		}
	})
}
