//go:build linux

package clock

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"ciglio/sensor"
)

func TestStateFromKernel(t *testing.T) {
	tests := []struct {
		name string
		in   kernel
		want sensor.ClockState
	}{
		{"bound alone, as timesyncd leaves it", kernel{Status: unix.STA_NANO, MaxError: 50_000},
			sensor.ClockState{Synchronised: true, Uncertainty: 28_867_514}},
		{"estimate larger than the bound's share", kernel{EstError: 2000, MaxError: 2000},
			sensor.ClockState{Synchronised: true, Uncertainty: 2 * time.Millisecond}},
		{"perfect clock is uncertain by nothing", kernel{}, sensor.ClockState{Synchronised: true}},
		{"offset in microseconds, clock behind", kernel{Offset: 1500},
			sensor.ClockState{Synchronised: true, Offset: -1500 * time.Microsecond}},
		{"offset in nanoseconds, clock ahead", kernel{Status: unix.STA_NANO, Offset: -1500},
			sensor.ClockState{Synchronised: true, Offset: 1500}},
		{"never synchronised, the kernel's default", kernel{Status: unix.STA_UNSYNC, EstError: 16_000_000, MaxError: 16_000_000},
			sensor.ClockState{Uncertainty: 16 * time.Second}},
		{"hardware fault is not synchronised", kernel{Status: unix.STA_CLOCKERR}, sensor.ClockState{}},
		{"largest value of a 32-bit kernel", kernel{MaxError: 1<<31 - 1, EstError: 1<<31 - 1},
			sensor.ClockState{Synchronised: true, Uncertainty: 2147483647 * time.Microsecond}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			test.want.Source = "adjtimex"
			got, err := stateOf(test.in)
			if err != nil || got != test.want {
				t.Errorf("state = %+v, %v; want %+v", got, err, test.want)
			}
		})
	}
	if _, err := stateOf(kernel{MaxError: -1}); !errors.Is(err, errKernelTime) {
		t.Errorf("negative bound: error %v, want %v", err, errKernelTime)
	}
}

func TestLockAgeCountsFromTheLastLock(t *testing.T) {
	var s System
	steps := []struct {
		name string
		at   sensor.Mono
		sync bool
		want time.Duration
	}{
		{"first look, not locked", 0, false, 0},
		{"never locked has no age", 5e9, false, 0},
		{"locked", 6e9, true, 0},
		{"holdover", 16e9, false, 10 * time.Second},
		{"longer holdover", 3606e9, false, time.Hour},
		{"locked again", 3607e9, true, 0},
	}
	for _, step := range steps {
		if got := s.lockAge(step.at, step.sync); got != step.want {
			t.Errorf("%s: lock age %v, want %v", step.name, got, step.want)
		}
	}
}

func TestPairKeepsTheNarrowestBracket(t *testing.T) {
	readings := []sensor.Mono{0, 9e6, 20e6, 23e6, 30e6, 37e6, 40e6, 48e6, 50e6, 58e6}
	next := func() sensor.Mono { m := readings[0]; readings = readings[1:]; return m }
	utc := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	calls := 0
	mono, got := pair(next, func() time.Time { calls++; return utc.Add(time.Duration(calls)) })
	if mono != 21_500_000 || !got.Equal(utc.Add(2)) || calls != pairTries {
		t.Errorf("pair = %d, %v after %d tries; want the second bracket's middle, 21500000, after %d", mono, got, calls, pairTries)
	}
}

func TestPairStopsAtAGoodBracket(t *testing.T) {
	mono, calls := sensor.Mono(0), 0
	_, _ = pair(func() sensor.Mono { mono += 1000; return mono }, func() time.Time { calls++; return time.Time{} })
	if calls != 1 {
		t.Errorf("%d tries, want 1", calls)
	}
}

func TestSystemClockOfThisMachine(t *testing.T) {
	var s System
	a := s.Now()
	mono, utc := s.Pair()
	b := s.Now()
	if mono < a || mono > b {
		t.Errorf("pair at %d lies outside of %d to %d", mono, a, b)
	}
	if utc.Location() != time.UTC || utc != utc.Round(0) {
		t.Errorf("UTC %v carries a zone or a monotonic reading", utc)
	}
	state, err := s.State()
	if err != nil {
		t.Skipf("adjtimex is not allowed here: %v", err)
	}
	if state.Source != "adjtimex" || state.Uncertainty < 0 || state.LockAge < 0 {
		t.Errorf("state = %+v", state)
	}
}

// fakeClock is a clock whose UTC can be stepped.
type fakeClock struct {
	mu    sync.Mutex
	start time.Time
	ahead time.Duration
	drift float64 // seconds a second
}

func (c *fakeClock) Now() sensor.Mono { return sensor.Mono(time.Since(c.start)) }

func (c *fakeClock) Pair() (sensor.Mono, time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	m := c.Now()
	return m, c.start.Add(time.Duration(float64(m)*(1+c.drift)) + c.ahead).Round(0)
}

func (c *fakeClock) State() (sensor.ClockState, error) { return sensor.ClockState{}, nil }

func (c *fakeClock) step(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ahead += d
}

func TestStepIsReportedOnce(t *testing.T) {
	tests := []struct {
		name  string
		step  time.Duration
		drift float64
		want  bool
	}{
		{"forward, as after the first lock", 3 * time.Hour, 0, true},
		{"backward", -2 * time.Second, 0, true},
		{"just above the threshold", StepThreshold + time.Millisecond, 0, true},
		{"at the threshold", StepThreshold, 0, false},
		{"small correction", -100 * time.Millisecond, 0, false},
		{"fastest slew of chrony is no step", 0, 0.083, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := &fakeClock{start: time.Now(), drift: test.drift}
				ctx, cancel := context.WithCancel(t.Context())
				var steps []Step
				done := make(chan error)
				w := NewWatcher(c)
				go func() { done <- w.Run(ctx, time.Second, func(s Step) { steps = append(steps, s) }) }()
				time.Sleep(10*time.Second + time.Millisecond)
				c.step(test.step)
				time.Sleep(time.Hour)
				cancel()
				if err := <-done; !errors.Is(err, context.Canceled) {
					t.Errorf("error %v, want canceled", err)
				}
				if !test.want {
					if len(steps) != 0 {
						t.Errorf("steps = %+v, want none", steps)
					}
					return
				}
				if len(steps) != 1 || steps[0].Size != test.step || steps[0].At != 11e9 ||
					steps[0].After.Sub(steps[0].Before) != test.step {
					t.Errorf("steps = %+v, want one of %v noticed at 11 s", steps, test.step)
				}
			})
		})
	}
}

func BenchmarkNow(b *testing.B) {
	var s System
	b.ReportAllocs()
	for b.Loop() {
		s.Now()
	}
}
