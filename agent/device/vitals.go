package device

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"ciglio/agent/config"
	"ciglio/internal/durable"
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
	clock sensor.Clock
	log   *slog.Logger
	file  string // where the site's normal is kept
	name  string // of the sensor whose it is
	rate  int
	pace  *life.Pace
	next  uint64 // index of the sample after the last one

	mu      sync.Mutex
	monitor *life.Monitor // nil before the first samples
	kept    life.Normal   // as it is in the file
	wrong   string        // what the sample clock said last
	wrongAt sensor.Mono
}

func newVitals(c *config.Config, clock sensor.Clock, log *slog.Logger) *vitals {
	return &vitals{
		clock: clock, log: log, rate: int(c.Sensor.Rate), pace: life.NewPace(int(c.Sensor.Rate)),
		file: filepath.Join(c.Device.Dir, "radar-normal"),
		name: fmt.Sprintf("%q %q %d", c.Sensor.Model, c.Sensor.Serial, c.Sensor.Rate),
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
		text, err := os.ReadFile(v.file)
		if err == nil {
			v.kept, err = life.ParseNormal(text, v.name)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			v.log.Warn("what was learnt of the site's signal is lost", "file", v.file, "error", err)
		}
		v.monitor = life.NewMonitor(v.rate, v.kept)
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
	v.wrong, v.wrongAt = off.Error(), v.clock.Now()
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
	if len(all) == 0 && wrong != "" && now.Sub(at) <= paceStands {
		all = append(all, sensor.Finding{Code: life.CodePace, Words: "radar samples: " + wrong})
	}
	return append(m.Findings(), all...)
}

// judged reports whether enough was heard to say whether the signal is alive and
// comes at its pace.
func (v *vitals) judged() bool {
	return v.pace.Covered() > 0 || len(v.findings(v.clock.Now())) > 0
}

// keep writes what was learnt of the site to its file. Without it, a device that is
// started anew knows the physical limits alone, until it has learnt again.
func (v *vitals) keep() error {
	v.mu.Lock()
	m, kept := v.monitor, v.kept
	v.mu.Unlock()
	if m == nil {
		return nil
	}
	n := m.Normal()
	text := n.Text(v.name)
	if string(text) == string(kept.Text(v.name)) {
		return nil
	}
	if err := durable.WriteFile(v.file, text, 0o600); err != nil {
		return err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.kept = n
	return nil
}
