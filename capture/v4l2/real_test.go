//go:build linux

package v4l2

import (
	"context"
	"errors"
	"flag"
	"slices"
	"strconv"
	"testing"
	"time"

	"ciglio/sensor/clock"
)

var realDevice = flag.String("camera", "", "TestRealCamera: device of a camera that gives yuyv of 320x180 at 10 frames a second")

// TestRealCamera takes frames of a camera of this machine, with every layout that
// its kernel may know. The tests of cross/board run it on an emulated board.
func TestRealCamera(t *testing.T) {
	if *realDevice == "" {
		t.Skip("needs a camera: -camera /dev/video0")
	}
	for _, l := range layouts() {
		t.Run(strconv.Itoa(l.buffer), func(t *testing.T) {
			const interval = 100 * time.Millisecond
			system := new(clock.System)
			c, err := New(system, Options{Path: *realDevice, Format: YUYV, Width: 320, Height: 180, Interval: interval, Latency: 90 * time.Millisecond})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			c.layouts = []layout{l}
			first := next(t, c)
			var between []time.Duration
			last := first
			for range 20 {
				f := next(t, c)
				if f.Damaged || f.Number <= last.Number || f.At <= last.At || system.Now().Sub(f.At) > time.Second {
					t.Errorf("frame %d at %v after %d at %v, damaged %t", f.Number, f.At, last.Number, last.At, f.Damaged)
				}
				between = append(between, f.At.Sub(last.At)/time.Duration(max(1, f.Number-last.Number)))
				last = f
			}
			slices.Sort(between)
			if m := between[len(between)/2]; (m - interval).Abs() > interval/10 {
				t.Errorf("%v between frames, want %v", m, interval)
			}
			t.Logf("%d frames lost of %d; between two %v to %v", last.Number-first.Number-20, last.Number-first.Number, between[0], between[len(between)-1])

			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(interval/4, cancel)
			for err == nil { // one may be there already
				_, err = c.Next(ctx)
			}
			if !errors.Is(err, context.Canceled) {
				t.Errorf("cancelled: %v", err)
			}
			next(t, c) // the stream goes on
		})
	}
}
