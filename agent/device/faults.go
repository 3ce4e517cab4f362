package device

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"ciglio/capture"
	"ciglio/sensor"
)

// faults is what is wrong with the parts of the device. The parts report what
// fails, and look asks those that tell themselves. It is safe for concurrent use.
type faults struct {
	clock  sensor.Clock
	store  func() error // why records cannot be stored; nil when they can
	sensor func() error // why the sensor does not measure; nil when it does, or does not tell
	alone  func() error // why the sensor may not measure without another; nil when it may
	second func() error // why the second sensor does not measure; nil when it does, or there is none
	ring   *capture.Ring
	radar  func() string // the sensor's model
	camera string        // the camera's model

	mu       sync.Mutex
	tested   bool  // the first self-test is done
	finding  error // what it found last
	reported failure
	picture  failure
}

// A failure is an error that a part has reported, and when.
type failure struct {
	err error
	at  sensor.Mono
}

// sensorFailed keeps an error of the sensor; nil when it measures.
func (f *faults) sensorFailed(err error) { f.keep(&f.reported, err) }

// cameraFailed keeps an error of the camera or one of its pictures.
func (f *faults) cameraFailed(err error) { f.keep(&f.picture, err) }

func (f *faults) keep(in *failure, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	*in = failure{err, f.clock.Now()}
}

// test looks at the parts. It reports whether another finding is to be recorded
// than the last one.
func (f *faults) test() (finding error, changed bool) {
	finding = f.look()
	f.mu.Lock()
	defer f.mu.Unlock()
	changed = !f.tested || (finding == nil) != (f.finding == nil)
	f.tested, f.finding = true, finding
	return finding, changed
}

// now returns what is wrong at this moment, [errSelfTestPending] before the
// first test.
func (f *faults) now() error {
	f.mu.Lock()
	tested := f.tested
	f.mu.Unlock()
	if !tested {
		return errSelfTestPending
	}
	return f.look() // it may have changed since
}

// look returns what is wrong with the store, the sensors or the camera at this
// moment.
func (f *faults) look() error {
	now := f.clock.Now()
	f.mu.Lock()
	reported, picture := f.reported, f.picture
	f.mu.Unlock()
	if err := f.store(); err != nil {
		return fmt.Errorf("records cannot be stored: %w", err)
	}
	if err := f.sensor(); err != nil {
		return err
	}
	if err := f.alone(); err != nil {
		return fmt.Errorf("sensor %s: %w", f.radar(), err)
	}
	if reported.err != nil && now.Sub(reported.at) <= patience {
		return fmt.Errorf("sensor %s: %w", f.radar(), reported.err)
	}
	if err := f.second(); err != nil {
		return fmt.Errorf("second sensor: %w", err)
	}
	if newest, ok := f.ring.Newest(); !ok || now.Sub(newest) > patience {
		if picture.err != nil && picture.at >= newest {
			return picture.err
		}
		return fmt.Errorf("camera %s gives no pictures", f.camera)
	}
	return nil
}

// cameraReporter returns what hears of the camera's faults: it keeps each, and
// calls log once for as long as it stays the same, whatever the number of the
// frame, and again after an hour.
func (f *faults) cameraReporter(log func(error)) func(error) {
	var last string
	var at sensor.Mono
	return func(err error) {
		f.cameraFailed(err)
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
