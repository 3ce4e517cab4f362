package device

import (
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"time"

	"ciglio/agent/config"
	"ciglio/sensor"
	"ciglio/sensor/doppler"
	"ciglio/sensor/framing"
	"ciglio/sensor/life"
)

// paceStands is how long an error of the sample clock is a finding. While the pace
// is off, the next comes within it.
const paceStands = 10 * time.Second

// vitals watches the raw signal of a sensor: whether it is alive and comes at its
// pace. What it learns of the site is kept in a file. It is safe for concurrent
// use, but for push and broke, which have one user.
type vitals struct {
	clock  sensor.Clock
	learnt learnt // the site's normal
	name   string // of the sensor whose it is
	rate   int
	pace   *life.Pace
	next   uint64 // index of the sample after the last one

	mu      sync.Mutex
	monitor *life.Monitor // nil before the first samples
	wrong   *sensor.Fact  // what the sample clock said last
	wrongAt sensor.Mono
}

func newVitals(c *config.Config, clock sensor.Clock, log *slog.Logger) *vitals {
	return &vitals{
		clock: clock, rate: int(c.Sensor.Rate), pace: life.NewPace(int(c.Sensor.Rate)),
		learnt: learnt{file: filepath.Join(c.Device.Dir, "radar-normal"), log: log},
		name:   fmt.Sprintf("%q %q %d", c.Sensor.Model, c.Sensor.Serial, c.Sensor.Rate),
	}
}

// push takes a block that has just come.
func (v *vitals) push(b doppler.Block) {
	m := v.begun()
	if b.Index != v.next {
		m.Break()
	}
	v.next = b.Index + uint64(len(b.I))
	m.Push(b.I, b.Q)
	v.pace.Push(b.Index, len(b.I), v.clock.Now())
}

// begun returns the monitor, and makes it before the first samples.
func (v *vitals) begun() *life.Monitor {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.monitor == nil {
		v.monitor = life.NewMonitor(v.rate, read(&v.learnt, v.name, life.ParseNormal))
	}
	return v.monitor
}

// broke says that the stream has failed. It reports whether that was the pace of the
// samples, after which the stream goes on.
func (v *vitals) broke(err error) (pace bool) {
	v.begun().Break()
	v.pace.Break()
	var off *framing.PaceError
	if !errors.As(err, &off) {
		return false
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.wrong, v.wrongAt = &off.Fact, v.clock.Now()
	return true
}

// findings returns what is wrong with the signal.
func (v *vitals) findings(now sensor.Mono) []sensor.Finding {
	v.mu.Lock()
	m, wrong, at := v.monitor, v.wrong, v.wrongAt
	v.mu.Unlock()
	if m == nil {
		return nil
	}
	all := v.pace.Findings()
	if len(all) == 0 && wrong != nil && now.Sub(at) <= paceStands {
		all = append(all, sensor.Finding{Code: life.CodePace, About: life.AboutSamples, Facts: []sensor.Fact{*wrong}})
	}
	return append(m.Findings(), all...)
}

// judged reports whether enough was heard to say whether the signal is alive and
// comes at its pace.
func (v *vitals) judged() bool {
	return v.pace.Covered() > 0 || len(v.findings(v.clock.Now())) > 0
}

// keep writes what was learnt of the site to its file. Without it, a device that is
// started anew knows the physical limits alone, until it has learnt again. One
// goroutine may be in it at a time.
func (v *vitals) keep() error {
	v.mu.Lock()
	m := v.monitor
	v.mu.Unlock()
	if m == nil {
		return nil
	}
	n := m.Normal()
	return v.learnt.keep(n.Text(v.name))
}
