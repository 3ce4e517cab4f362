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
// alonePatience for the second sensor, coverPatience for the sensor's time base, and
// for flash. A look at the device waits for
// flash, too.
const (
	sensorTurn = 30 * time.Second
	judgeTurn  = time.Minute
	sealTurn   = secondPatience + alonePatience + coverPatience + 30*time.Second
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
		words, stuck := d.gate.state(), d.progress.stuck(d.o.Clock.Now(), d.o.Live)
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

// progress is how far measuring and housekeeping have come.
type progress struct {
	judging atomic.Int64 // instant at which the passage in hand was taken; 0 when there is none
	sealing atomic.Int64 // the same of the violation in hand
	looking atomic.Int64 // instant at which the device last began to look at itself; 0 before
	deaf    atomic.Bool  // the sensor is not listened to any more
}

// stuck says where one of them, or the sensor's driver, has come to a stand; ""
// when none has.
func (p *progress) stuck(now sensor.Mono, live Live) string {
	if live != nil && !p.deaf.Load() {
		if since := now.Sub(live.Turned()); since > sensorTurn {
			return fmt.Sprintf("the sensor's driver has not come back for %v", since.Truncate(time.Second))
		}
	}
	for _, w := range []struct {
		began *atomic.Int64
		most  time.Duration
		words string
	}{
		{&p.judging, judgeTurn, "a passage has waited for its judgement"},
		{&p.sealing, sealTurn, "a violation has waited for its second speed and the store"},
		{&p.looking, lookTurn, "the device has not looked at itself"},
	} {
		began := w.began.Load()
		if since := now.Sub(sensor.Mono(began)); began != 0 && since > w.most {
			return fmt.Sprintf("%s for %v", w.words, since.Truncate(time.Second))
		}
	}
	return ""
}
