//go:build linux

package ops243

import (
	"errors"
	"path/filepath"
	"sync"
	"testing"

	"ciglio/cross/simulate"
	"ciglio/cross/simulate/bench"
	"ciglio/cross/simulate/emulator"
	"ciglio/sensor"
	"ciglio/sensor/port"
	"ciglio/sensor/sensortest/pty"
)

// plug connects a sensor to a new line that path leads to, and returns what pulls
// the cable.
func plug(t *testing.T, x *emulator.OPS243, path string) (pull func()) {
	t.Helper()
	line, err := pty.Open()
	if err != nil {
		t.Skipf("no pseudo-terminal: %v", err)
	}
	if err := line.Link(path); err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() { x.Serve(t.Context(), line.Master) })
	pull = func() {
		line.Hangup()
		serving.Wait()
	}
	t.Cleanup(pull)
	return pull
}

func TestPullingTheCableInMidPassageIsSeenAndHealed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "radar")
	x := &emulator.OPS243{Serial: "A1", Torn: 5}
	unplug := plug(t, x, path)
	var settings string
	for _, pull := range []bool{true, false} {
		conn, err := port.Dial(path, 115200, "none")
		if err != nil {
			t.Fatal(err)
		}
		r, err := Open(t.Context(), conn, simulate.NewClock(0), Options{})
		if err != nil {
			t.Fatal(err)
		}
		if s := string(r.Identity().Settings); settings != "" && s != settings {
			t.Errorf("other settings after the cable was pulled:\n%s", s)
		} else {
			settings = s
		}
		for range 3 {
			x.Report(cycle(at(13000, sensor.Approaching)))
			got := bench.Next(t, t.Context(), r)
			if d := got.Readings[0].Speed - 13000; d < -1 || d > 1 || got.Lost {
				t.Errorf("%+v, want 130 km/h", got)
			}
		}
		if pull {
			unplug()
			for err == nil {
				_, err = r.Next(t.Context())
			}
			if !errors.Is(err, port.ErrUnplugged) {
				t.Errorf("Next = %v, want unplugged", err)
			}
			plug(t, x, path)
		}
		conn.Close()
	}
}
