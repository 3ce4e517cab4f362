//go:build linux

package isys4001

import (
	"errors"
	"path/filepath"
	"sync"
	"testing"

	"ciglio/cross/simulate"
	"ciglio/cross/simulate/bench"
	"ciglio/cross/simulate/emulator"
	"ciglio/sensor/port"
	"ciglio/sensor/sensortest/pty"
)

// plug connects a sensor to a new line that path leads to, and returns what pulls
// the cable.
func plug(t *testing.T, x *emulator.ISYS4001, path string) (pull func()) {
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
	x := &emulator.ISYS4001{Torn: 3}
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
		for k := range 3 {
			one := car
			one.Range -= int32(2700 * k)
			x.Report(cycle(one))
			got := bench.Next(t, t.Context(), r)
			if d := got.Readings[0].Speed - car.Speed; d < -1 || d > 1 || got.Readings[0].Range != one.Range || got.Lost {
				t.Errorf("%+v, want %+v", got, one)
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
