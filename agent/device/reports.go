package device

import (
	"fmt"
	"log/slog"
	"path/filepath"

	"ciglio/agent/config"
	"ciglio/sensor/life"
)

// reports watches a sensor that transforms its signal itself. What it learns of the
// site is kept in a file.
type reports struct {
	watch  *life.Reports
	learnt learnt // the site's levels
	name   string // of the sensor whose they are
}

func newReports(c *config.Config, cadence life.Cadence, log *slog.Logger) *reports {
	r := &reports{
		learnt: learnt{file: filepath.Join(c.Device.Dir, "radar-levels"), log: log},
		name:   fmt.Sprintf("%q %q", c.Sensor.Model, c.Sensor.Serial),
	}
	r.watch = life.NewReports(cadence, read(&r.learnt, r.name, life.ParseLevels))
	return r
}

// keep writes what was learnt to the file. One goroutine may be in it at a time.
func (r *reports) keep() error {
	l := r.watch.Levels()
	if l.Len() == 0 {
		return nil
	}
	return r.learnt.keep(l.Text(r.name))
}
