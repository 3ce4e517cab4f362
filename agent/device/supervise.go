package device

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"ciglio/agent/notify"
	"ciglio/sensor"
)

// A Supervisor is the service manager that started the program and starts it
// anew when it hangs. [notify.Socket] is one.
type Supervisor interface {
	// Send tells all of the lines at once.
	Send(lines ...string) error
	// Watchdog is how long it waits for [notify.Alive] before it takes the program
	// for hung; 0 when it does not wait.
	Watchdog() time.Duration
}

// How long measuring and housekeeping may stay at one thing. A sensor that is silent,
// unplugged or looks at an empty road makes its driver turn at least every 13
// seconds; one that is being set up answers all questions in less than 30. A
// judgement waits for the last picture, up to 25 seconds where a slow vehicle is
// photographed far away. Before a violation is sealed it waits secondPatience and
// alonePatience for the second sensor, and for flash. A look at the device waits for
// flash, too.
const (
	sensorTurn = 30 * time.Second
	judgeTurn  = time.Minute
	sealTurn   = secondPatience + alonePatience + 30*time.Second
	lookTurn   = 2 * time.Minute
)

// tellEvery is how often the supervisor hears of the device.
const tellEvery = 5 * time.Second

// supervise tells the supervisor that the device runs, in what state it is, and,
// for as long as measuring and housekeeping make progress, that it lives. Nothing that
// it asks may wait for the store or for a sensor: what waits there is what it is
// to find.
func (d *Device) supervise(ctx context.Context) error {
	s := d.o.Supervisor
	if s == nil {
		return nil
	}
	every := tellEvery
	if w := s.Watchdog(); w > 0 {
		every = min(every, w/3)
	}
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	deaf := false
	send := func(lines ...string) {
		err := s.Send(lines...)
		if err != nil && !deaf {
			d.o.Log.Warn("service manager does not hear", "error", err)
		}
		deaf = err != nil
	}
	defer send(notify.Stopping)
	lines := []string{notify.Ready}
	for told, hung := "", false; ; lines = nil {
		words, stuck := d.state(), d.stuck()
		switch {
		case stuck != "":
			words = stuck
			if !hung {
				d.o.Log.Error("device hangs", "error", stuck)
			}
		case s.Watchdog() > 0:
			lines = append(lines, notify.Alive)
		}
		hung = stuck != ""
		if words != told {
			told = words
			lines = append(lines, notify.Status(words))
		}
		if len(lines) > 0 {
			send(lines...)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
	}
}

// state says in words whether the device measures.
func (d *Device) state() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.gateWords == "" {
		return "starting: self-test not done yet"
	}
	return d.gateWords
}

// stuck says where measuring or housekeeping has come to a stand; "" when none has.
func (d *Device) stuck() string {
	now := d.o.Clock.Now()
	if d.o.Turned != nil && !d.deaf.Load() {
		if since := now.Sub(d.o.Turned()); since > sensorTurn {
			return fmt.Sprintf("the sensor's driver has not come back for %v", since.Truncate(time.Second))
		}
	}
	for _, w := range []struct {
		began *atomic.Int64
		most  time.Duration
		words string
	}{
		{&d.judging, judgeTurn, "a passage has waited for its judgement"},
		{&d.sealing, sealTurn, "a violation has waited for its second speed and the store"},
		{&d.looking, lookTurn, "the device has not looked at itself"},
	} {
		began := w.began.Load()
		if since := now.Sub(sensor.Mono(began)); began != 0 && since > w.most {
			return fmt.Sprintf("%s for %v", w.words, since.Truncate(time.Second))
		}
	}
	return ""
}
