package device

import (
	"cmp"
	"errors"
	"slices"
	"sync"
	"time"

	"ciglio/capture"
	"ciglio/sensor"
)

// inOrder is how long a part must have been in order before what was found wrong
// with it is forgotten: a fault that comes and goes is one fault.
const inOrder = time.Minute

// The codes of what is wrong with the parts, in the order in which they are told.
const (
	findingPending = "pending"       // the first self-test is not done yet
	findingStore   = "store"         // records cannot be stored
	findingSensor  = "sensor"        // the sensor is not there, or reports a fault
	findingWiring  = "sensor_wiring" // vehicles show that its two channels are swapped
	findingAlone   = "sensor_alone"  // the sensor may not measure without a second one
	findingSecond  = "second_sensor" // the same of the second sensor
	findingCamera  = "camera"        // the camera gives no pictures; what is wrong with them: package life
)

// latecomers are the findings that say that a part is not there. Parts may start
// later than the device: what stood at the first look is forgotten at once when
// the part comes, the first time.
var latecomers = []string{findingSensor, findingAlone, findingSecond, findingCamera}

// pending is the finding before the first test.
var pending = sensor.Finding{Code: findingPending, About: "not done yet"}

// A check looks at a part, and returns everything that is wrong with it at the
// instant now. It is called every second while something stands, by several
// goroutines, and must not wait.
type check func(now sensor.Mono) []sensor.Finding

// faults is what stands against the device, since when, and what of it is
// recorded. A finding stands from the look that finds it until it has not been
// found for [inOrder]. It is safe for concurrent use.
type faults struct {
	clock  sensor.Clock
	checks []check // in the order in which their findings are told

	mu       sync.Mutex
	standing []standing  // in the order of the checks
	tested   bool        // the first test is done
	at       sensor.Mono // instant at which the last test ended
	recorded []string    // codes of the last one's findings
}

// standing is a finding that stands.
type standing struct {
	sensor.Finding
	since, seen sensor.Mono // instants of the first look that found it, and of the last
	place       int         // in the order of the checks
	late        bool        // it says that a part has not come yet
}

// test looks at the parts. It reports whether other findings stand than at the
// last test: whether they are to be recorded.
func (f *faults) test() (findings []sensor.Finding, changed bool) {
	findings = f.look()
	var codes []string
	for _, found := range findings {
		codes = append(codes, found.Code)
	}
	slices.Sort(codes)
	f.mu.Lock()
	defer f.mu.Unlock()
	changed = !f.tested || !slices.Equal(codes, f.recorded)
	f.tested, f.recorded, f.at = true, codes, f.clock.Now()
	return findings, changed
}

// last returns the instant at which the last test ended, that of the start before
// there was one: then [pending] stands.
func (f *faults) last() sensor.Mono {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.tested {
		return f.clock.Now()
	}
	return f.at
}

// retest is test for whoever records what it finds, whether it changed or not.
func (f *faults) retest() []sensor.Finding {
	findings, _ := f.test()
	return findings
}

// now returns what stands at this moment, or [pending] before the first test.
func (f *faults) now() []sensor.Finding {
	f.mu.Lock()
	tested := f.tested
	f.mu.Unlock()
	if !tested {
		return []sensor.Finding{pending}
	}
	return f.look() // it may have changed since
}

// found returns what stood at the last look.
func (f *faults) found() []sensor.Finding {
	f.mu.Lock()
	defer f.mu.Unlock()
	var all []sensor.Finding
	for _, s := range f.standing {
		all = append(all, s.Finding)
	}
	return all
}

// look asks every check and returns what stands.
func (f *faults) look() []sensor.Finding {
	now := f.clock.Now()
	var found []standing
	for _, c := range f.checks {
		for _, one := range c(now) {
			found = append(found, standing{Finding: one, since: now, seen: now, place: len(found)})
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.merge(now, found)
}

// merge adds what was found to what stands, and forgets what is over.
func (f *faults) merge(now sensor.Mono, found []standing) []sensor.Finding {
	for i, one := range found {
		at := slices.IndexFunc(f.standing, func(s standing) bool { return s.Code == one.Code })
		if at < 0 {
			one.late = !f.tested && slices.Contains(latecomers, one.Code)
			f.standing = append(f.standing, one)
			continue
		}
		s := &f.standing[at]
		s.About, s.Facts, s.seen, s.place = one.About, one.Facts, max(s.seen, now), i
	}
	f.standing = slices.DeleteFunc(f.standing, func(s standing) bool {
		return s.seen < now && (s.late || now.Sub(s.seen) >= inOrder)
	})
	slices.SortStableFunc(f.standing, func(a, b standing) int { return cmp.Compare(a.place, b.place) })
	var all []sensor.Finding
	for _, s := range f.standing {
		told := s.Finding
		if s.seen < now {
			told.Facts = append(slices.Clip(told.Facts), sensor.Fact{Key: "again", Words: "in order for less than {within}", Args: sensor.Args{"within": inOrder}})
		}
		all = append(all, told)
	}
	return all
}

// A failure is an error that a part has reported last, and when. It is safe for
// concurrent use.
type failure struct {
	clock sensor.Clock
	mu    sync.Mutex
	err   error
	at    sensor.Mono
}

// keep keeps an error; nil when the part works.
func (f *failure) keep(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err, f.at = err, f.clock.Now()
}

func (f *failure) last() (at sensor.Mono, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.at, f.err
}

// reporter returns what hears of the camera's faults: it keeps each, and calls log
// once for as long as it stays the same, whatever the number of the frame, and
// again after an hour.
func (f *failure) reporter(log func(error)) func(error) {
	var last string
	var at sensor.Mono
	return func(err error) {
		f.keep(err)
		what := err.Error()
		for _, bad := range []error{capture.ErrDamaged, capture.ErrTooLarge, capture.ErrOrder} {
			if errors.Is(err, bad) {
				what = bad.Error()
			}
		}
		if now := f.clock.Now(); what != last || now.Sub(at) >= time.Hour {
			last, at = what, now
			log(err)
		}
	}
}
