package roadside

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"ciglio/capture/evidence"
	"ciglio/cross/board/boardtest"
	"ciglio/cross/budget"
	"ciglio/cross/simulate"
	"ciglio/cross/simulate/simcam"
	stored "ciglio/portal/record"
	"ciglio/sensor"
	"ciglio/uplink/mqtt"
)

var update = flag.Bool("update", false, "write the figures of docs/board.md anew")

// TestHourOfTrafficLeavesNothingOpen runs device and centre for an hour of fake
// time, with a violation every ten seconds and a network that breaks off every
// five minutes. What is open then must be what was open at first.
func TestHourOfTrafficLeavesNothingOpen(t *testing.T) {
	limits, err := budget.Load()
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		network := newPipeNetwork()
		centre := startCentre(t, filepath.Join(dir, "portal"), network)
		clock := simulate.NewClock(sensor.Mono(time.Hour))
		c := settings(evidence.DeviceID{4, 5, 6}, filepath.Join(dir, "device"))
		c.Camera.Slots, c.Camera.Slot = 200, 16<<10
		dialer, err := mqtt.New(mqtt.Options{Open: network.Dial})
		if err != nil {
			t.Fatal(err)
		}
		side, err := newRoadside(filepath.Join(dir, "portal"), c, parts{
			clock: clock, source: &tenSeconds{clock}, camera: &steadyCamera{clock: clock, pictures: simcam.Noise(17, 64, 48)},
			dialer: dialer, log: slog.New(slog.DiscardHandler), say: func(string, ...any) {},
		})
		if err != nil {
			t.Fatal(err)
		}
		defer side.outbox.Close()
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- side.device.Run(ctx) }()

		time.Sleep(4*time.Minute + 5*time.Second)
		synctest.Wait()
		descriptors, goroutines := open(t)
		for range 11 {
			time.Sleep(time.Minute)
			network.cut()
			time.Sleep(30 * time.Second)
			network.mend()
			time.Sleep(3*time.Minute + 30*time.Second)
		}
		synctest.Wait()
		moreDescriptors, moreGoroutines := open(t)
		moreDescriptors -= descriptors
		moreGoroutines -= goroutines
		for name, more := range map[string]int{"descriptors.more": moreDescriptors, "goroutines.more": moreGoroutines} {
			if err := limits.Check(name, int64(more)); err != nil {
				t.Errorf("%v, beside %d descriptors and %d goroutines", err, descriptors, goroutines)
			}
		}
		counts := side.device.Counts()
		if counts.Violations < 300 || side.outbox.Stats().Unsettled > 2 {
			t.Errorf("%+v, %d unsettled", counts, side.outbox.Stats().Unsettled)
		}
		boardtest.Figure(t, *update, "open after an hour of traffic, device and centre in one process",
			fmt.Sprintf("%d descriptors (%+d), %d goroutines (%+d); %d violations, network broken off 11 times",
				descriptors+moreDescriptors, moreDescriptors, goroutines+moreGoroutines, moreGoroutines, counts.Violations))
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		centre.stop()
	})
}

// open counts what this process has open, but for the connections that read the centre's
// database: they come when two read at once, stay, and are eight at most.
func open(t *testing.T) (descriptors, goroutines int) {
	t.Helper()
	runtime.GC() // closes what nobody has any more
	files, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if to, err := os.Readlink("/proc/self/fd/" + f.Name()); err == nil && strings.HasPrefix(filepath.Base(to), stored.DatabaseName) {
			continue
		}
		descriptors++
	}
	return descriptors, runtime.NumGoroutine()
}

// tenSeconds is a sensor with an offender every ten seconds.
type tenSeconds struct{ clock sensor.Clock }

func (*tenSeconds) Identity() sensor.Identity { return (*rush)(nil).Identity() }

func (s *tenSeconds) Next(ctx context.Context) (sensor.Passage, error) {
	select {
	case <-ctx.Done():
		return sensor.Passage{}, ctx.Err()
	case <-time.After(10 * time.Second):
	}
	end := s.clock.Now()
	return sensor.Passage{
		Start: end.Add(-time.Second), End: end, Speed: 150 * sensor.KmH, Direction: sensor.Approaching, Readings: 30,
		Budget: sensor.Budget{Noise: 3},
		Trace:  sensor.Trace{Format: "audio/wav", Data: bytes.Repeat([]byte("trace "), 1000), Samples: 1, First: end.Add(-time.Second), Last: end},
	}, nil
}
