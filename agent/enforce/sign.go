package enforce

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"ciglio/sensor"
)

// What a [Sign] says when it has no limit.
var (
	ErrSignUnknown = errors.New("what it shows is not known")
	ErrSignChanged = errors.New("it changed while the vehicle passed, or within the grace time before")
)

// A Sign is a variable sign as its source tells it. A limit counts only when it has
// been shown without a break from the grace time before a passage to its end: who
// passes the sign as it changes could not have read it. It is safe for concurrent
// use.
type Sign struct {
	grace time.Duration
	most  time.Duration // that may pass between two words of the source

	mu     sync.Mutex
	shows  sensor.Speed // 0 while it is not known
	since  sensor.Mono
	heard  sensor.Mono
	failed string // why it is not known
}

// NewSign returns a sign of which nothing is known. Its source tells what it shows
// at least once in the given time.
func NewSign(grace, most time.Duration) *Sign {
	return &Sign{grace: grace, most: most, failed: "no word of it yet"}
}

// Show takes what the sign shows at an instant, or why that is not known.
func (s *Sign) Show(at sensor.Mono, limit sensor.Speed, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	broken := s.shows != 0 && at.Sub(s.heard) > s.most
	s.heard = at
	switch {
	case err != nil:
		s.shows, s.failed = 0, err.Error()
	case limit <= 0:
		s.shows, s.failed = 0, "it shows no limit"
	case limit != s.shows || broken:
		s.shows, s.since, s.failed = limit, at, ""
	}
}

// Known returns why the limit is not known at an instant; nil when it is.
func (s *Sign) Known(at sensor.Mono) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.known(at)
}

func (s *Sign) known(at sensor.Mono) error {
	switch {
	case s.shows == 0:
		return fmt.Errorf("%w: %s", ErrSignUnknown, s.failed)
	case at.Sub(s.heard) > s.most:
		return fmt.Errorf("%w: no word of it for %v", ErrSignUnknown, at.Sub(s.heard).Truncate(time.Millisecond))
	}
	return nil
}

// Limit returns what the sign showed for a passage from one instant to another, and
// since when. It is asked at the instant now.
func (s *Sign) Limit(from, to, now sensor.Mono) (sensor.Speed, sensor.Mono, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.known(max(now, to)); err != nil {
		return 0, 0, err
	}
	if from.Sub(s.since) < s.grace {
		return 0, 0, ErrSignChanged
	}
	return s.shows, s.since, nil
}
