// Package clock reads the clocks of the machine and says how far UTC can be
// trusted.
//
// Speeds and intervals come from CLOCK_MONOTONIC only, which [System.Now]
// returns: the clock that the kernel stamps edges and video frames with. UTC is
// read beside it and never measures anything. How good UTC is comes from the
// kernel's own account, adjtimex(2), which every time daemon keeps; reading it
// needs no privilege.
//
// [Watch] reports a UTC that jumped, which is a record of its own.
//
// A System is safe for concurrent use.
package clock

import (
	"errors"
	"fmt"
	"math"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"ciglio/sensor"
)

// System is the machine's own clock, a [sensor.Clock]. Its zero value is ready
// for use; a lock counts from the first State that saw it.
type System struct {
	// lock is the instant, plus one, at which State last found UTC
	// synchronised, or of the first State when it never did. 0: no State yet.
	lock atomic.Int64
}

var _ sensor.Clock = (*System)(nil)

// Now returns the present instant of CLOCK_MONOTONIC.
func (*System) Now() sensor.Mono {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &t); err != nil {
		// The call fails for a clock that does not exist or a bad address.
		panic(fmt.Sprintf("clock: CLOCK_MONOTONIC: %v", err))
	}
	return sensor.Mono(t.Nano())
}

const (
	pairBracket = time.Millisecond // a wider bracket is tried again
	pairTries   = 5
)

// Pair returns UTC and the monotonic instant it belongs to: the middle of two
// readings, one before and one after. When they lie more than 1 ms apart,
// because another process ran in between, it tries again, up to 5 times, and
// returns the pair with the narrowest bracket.
func (s *System) Pair() (sensor.Mono, time.Time) {
	return pair(s.Now, time.Now)
}

func pair(mono func() sensor.Mono, utc func() time.Time) (sensor.Mono, time.Time) {
	var bestMono sensor.Mono
	var bestUTC time.Time
	best := time.Duration(math.MaxInt64)
	for try := 0; try < pairTries && best > pairBracket; try++ {
		before := mono()
		now := utc()
		after := mono()
		if bracket := after.Sub(before); bracket < best {
			// Round drops the monotonic reading that time.Now adds, so that
			// differences of two UTC instants are differences of UTC.
			best, bestMono, bestUTC = bracket, before.Add(bracket/2), now.Round(0).UTC()
		}
	}
	return bestMono, bestUTC
}

// State asks the kernel how good UTC is now. Source is "adjtimex".
//
// Uncertainty is the larger of two figures the time daemon gives the kernel:
// its estimate of the error (esterror), which is a standard uncertainty
// already, and its bound (maxerror) divided by √3, the standard deviation of an
// error that may lie anywhere within the bound (JCGM 100, 4.3.7). The kernel
// lets the bound grow by 500 parts per million, 0.5 ms a second, since the
// daemon's last word. chrony gives its word every second; systemd-timesyncd
// only when it polls, up to 34 minutes apart, and so exceeds a bound of 100 ms
// between its polls.
//
// Offset is what remains of the daemon's last correction; it is 0 with daemons
// that steer the frequency alone. LockAge is the time since State last found
// UTC synchronised, or since its first call when it never did.
func (s *System) State() (sensor.ClockState, error) {
	var t unix.Timex
	if _, err := unix.Adjtimex(&t); err != nil {
		return sensor.ClockState{}, fmt.Errorf("clock: adjtimex: %w", err)
	}
	state, err := stateOf(kernel{
		Status:   t.Status,
		Offset:   int64(t.Offset),
		EstError: int64(t.Esterror),
		MaxError: int64(t.Maxerror),
	})
	if err != nil {
		return sensor.ClockState{}, err
	}
	state.LockAge = s.lockAge(s.Now(), state.Synchronised)
	return state, nil
}

// Simulated is the machine's clock, a [sensor.Clock], of which nobody knows how
// good it is and which says so: its source is "simulated". It lets a machine
// without a synchronised clock be tried. Whoever takes its state must seal what
// he records with it as a test.
type Simulated struct{ System }

// State returns the state of a clock without error, source "simulated".
func (*Simulated) State() (sensor.ClockState, error) {
	return sensor.ClockState{Source: SimulatedSource, Synchronised: true, Uncertainty: time.Millisecond}, nil
}

// SimulatedSource is the source of a clock whose word is nobody's.
const SimulatedSource = "simulated"

func (s *System) lockAge(now sensor.Mono, synchronised bool) time.Duration {
	if synchronised {
		s.lock.Store(int64(now) + 1)
		return 0
	}
	locked := s.lock.Load()
	if locked == 0 {
		return 0 // never since this program began
	}
	return max(0, now.Sub(sensor.Mono(locked-1)))
}

// kernel is the part of struct timex that State reads, with one width for
// every architecture. Errors are in µs; Offset is in ns when Status says
// STA_NANO, else in µs, and positive when the clock is behind.
type kernel struct {
	Status                     int32
	Offset, EstError, MaxError int64
}

var errKernelTime = errors.New("clock: adjtimex: negative error bound")

func stateOf(k kernel) (sensor.ClockState, error) {
	if k.EstError < 0 || k.MaxError < 0 {
		return sensor.ClockState{}, errKernelTime
	}
	unit := time.Microsecond
	if k.Status&unix.STA_NANO != 0 {
		unit = time.Nanosecond
	}
	standard := math.Ceil(float64(k.MaxError) * 1000 / math.Sqrt(3))
	return sensor.ClockState{
		Source:       "adjtimex",
		Synchronised: k.Status&(unix.STA_UNSYNC|unix.STA_CLOCKERR) == 0,
		Offset:       -time.Duration(k.Offset) * unit,
		Uncertainty:  max(time.Duration(k.EstError)*time.Microsecond, time.Duration(standard)),
	}, nil
}
