// Package bench puts a driver and the emulator of its sensor on one line, in
// fake time, for the tests of drivers.
package bench

import (
	"context"
	"io"
	"net"
	"sync"
	"testing"
	"testing/synctest"

	"ciglio/sensor"
)

// Sensor is an emulator that answers on a line until ctx ends.
type Sensor interface {
	Serve(ctx context.Context, conn io.ReadWriter) error
}

// Run connects a test to a sensor in a bubble of package synctest. The line is
// closed when the test returns.
func Run(t *testing.T, s Sensor, test func(ctx context.Context, c net.Conn)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		here, there := net.Pipe()
		ctx, cancel := context.WithCancel(t.Context())
		var serving sync.WaitGroup
		serving.Go(func() { s.Serve(ctx, there) })
		synctest.Wait()
		test(ctx, here)
		cancel()
		here.Close()
		serving.Wait()
	})
}

// Next returns the next cycle with readings, of at most 1,000.
func Next(t *testing.T, ctx context.Context, f sensor.Feed) sensor.Cycle {
	t.Helper()
	for range 1000 {
		c, err := f.Next(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if len(c.Readings) > 0 {
			return c
		}
	}
	t.Fatal("no readings in 1000 cycles")
	return sensor.Cycle{}
}
