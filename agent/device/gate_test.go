package device

import (
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"ciglio/agent/calibration"
	"ciglio/agent/trust"
	"ciglio/sensor"
)

// A keptGate is a gate whose facts a test sets.
type keptGate struct {
	*gatekeeper
	fault   error // of a camera
	full    bool
	changes int
	log     logText
}

func newKeptGate(t *testing.T) *keptGate {
	t.Helper()
	c, err := calibration.Parse(calibrationText())
	if err != nil {
		t.Fatal(err)
	}
	k := new(keptGate)
	k.gatekeeper = &gatekeeper{
		paused: func(time.Time) string { return "" },
		clock:  &fakeClock{start: time.Now()}, still: trust.Facts{Calibration: c, Core: [32]byte{2}, ClockBound: 100 * time.Millisecond},
		serial: func() string { return "S1" },
		rules:  func(time.Time) error { return nil },
		selfTest: func() []sensor.Finding {
			if k.fault == nil {
				return nil
			}
			return []sensor.Finding{{Code: findingCamera, Facts: sensor.Told(k.fault.Error())}}
		},
		tested: func() sensor.Mono { return k.gatekeeper.clock.Now() },
		seals:  func() []string { return nil }, sealFaults: func() []sensor.Finding { return nil },
		service: func(sensor.Mono) bool { return false },
		room:    func() bool { return !k.full },
		changed: func() { k.changes++ },
		log:     slog.New(slog.NewTextHandler(&k.log, nil)),
	}
	return k
}

func TestGateRemembersThatItWasClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newKeptGate(t)
		if words := g.state(); !strings.HasPrefix(words, "starting") || len(g.found()) != 1 {
			t.Errorf("before the first look: %q, %v", words, g.found())
		}
		if causes := g.look(); len(causes) != 0 || g.state() != gateOpen {
			t.Fatalf("closed: %v", causes)
		}
		time.Sleep(time.Second)
		g.fault = errors.New("camera gone")
		g.look()
		closed := g.clock.Now()
		g.fault = nil
		time.Sleep(time.Second)
		for after, want := range map[time.Duration]bool{-time.Second: false, 0: false, time.Nanosecond: true} {
			if g.passes(g.now(), closed.Add(after)) != want {
				t.Errorf("a passage that began %v after the gate was found closed passes: %t", after, !want)
			}
		}
	})
}

func TestGateTellsEachChangeOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newKeptGate(t)
		for _, step := range []struct {
			fault   error // of a camera
			full    bool
			changes int
			state   string
		}{
			{nil, false, 1, gateOpen},
			{nil, false, 1, gateOpen},
			{errors.New("camera gone"), false, 2, "gate closed: camera (camera gone)"},
			{errors.New("camera dark"), false, 2, "gate closed: camera (camera dark)"},
			{errors.New("camera dark"), true, 3, "gate closed: camera (camera dark); store_full (outbox: no room for evidence)"},
			{nil, false, 4, gateOpen},
		} {
			g.fault, g.full = step.fault, step.full
			g.look()
			if g.changes != step.changes || g.state() != step.state {
				t.Errorf("%+v: %d changes, %q", step, g.changes, g.state())
			}
		}
		if n := strings.Count(g.log.String(), "\n"); n != 4 {
			t.Errorf("%d lines of the log, want 4:\n%s", n, &g.log)
		}
	})
}

// What is sealed is judged by the clock that its record states.
func TestGateIsAskedWithTheClockOfTheRecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newKeptGate(t)
		g.look()
		m := g.now()
		m.clock = sensor.ClockState{Synchronised: true, Offset: time.Second}
		if g.passes(m, m.mono) {
			t.Error("sealed with a clock that is a second off")
		}
		if !strings.Contains(g.state(), "clock_bound") {
			t.Errorf("not told: %q", g.state())
		}
		m = g.now()
		if early := m.mono.Add(-365 * 24 * time.Hour); g.passes(m, early) {
			t.Error("measured before the calibration was in force")
		}
	})
}
