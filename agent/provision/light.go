package provision

import (
	"context"
	"time"

	"periph.io/x/conn/v3/gpio"
)

// A Light is the lamp beside the socket for sticks: off when there is nothing to
// say, five flashes a second while a stick must stay in, steady when all is well,
// two flashes again and again when the stick was refused. Methods are safe for
// concurrent use.
type Light struct {
	pin    gpio.PinOut
	signal chan Signal // the newest that is not shown yet
}

// NewLight returns a light on a pin.
func NewLight(pin gpio.PinOut) *Light { return &Light{pin, make(chan Signal, 1)} }

// Show changes what is shown. It does not wait.
func (l *Light) Show(s Signal) {
	for {
		select {
		case l.signal <- s:
			return
		default:
		}
		select {
		case <-l.signal:
		default:
		}
	}
}

// pattern says how long the lamp is on and off in turn; nothing means for ever off,
// a single time for ever on.
func (s Signal) pattern() []time.Duration {
	switch s {
	case Busy:
		return []time.Duration{100 * time.Millisecond, 100 * time.Millisecond}
	case Good:
		return []time.Duration{time.Hour}
	case Bad:
		return []time.Duration{150 * time.Millisecond, 150 * time.Millisecond, 150 * time.Millisecond, time.Second}
	}
	return nil
}

// Run drives the lamp until ctx ends, and leaves it off. An error is one of the
// pin.
func (l *Light) Run(ctx context.Context) error {
	defer l.pin.Out(gpio.Low)
	pattern, step := Idle.pattern(), 0
	for {
		on := len(pattern) > 0 && step%2 == 0
		if err := l.pin.Out(gpio.Level(on)); err != nil {
			return err
		}
		pause := time.Hour
		if len(pattern) > 1 {
			pause = pattern[step]
			step = (step + 1) % len(pattern)
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case s := <-l.signal:
			timer.Stop()
			pattern, step = s.pattern(), 0
		case <-timer.C:
		}
	}
}
