package web

import (
	"fmt"
	"html/template"
	"strings"
	"time"

	"ciglio/capture/evidence"
	"ciglio/portal/store"
	"ciglio/sensor"
)

// kind names a kind of record.
func kind(k evidence.Kind) string {
	switch k {
	case evidence.KindViolation:
		return "Violation"
	case evidence.KindHeartbeat:
		return "Heartbeat"
	case evidence.KindBoot:
		return "Start"
	case evidence.KindClockStep:
		return "Clock step"
	case evidence.KindCalibration:
		return "Calibration"
	case evidence.KindConfiguration:
		return "Configuration"
	case evidence.KindKeyChange:
		return "Key change"
	case evidence.KindEviction:
		return "Eviction"
	case evidence.KindTamper:
		return "Tamper event"
	case evidence.KindOperator:
		return "Operator session"
	case evidence.KindShutdown:
		return "Shutdown"
	case evidence.KindSelfTest:
		return "Self-test"
	case evidence.KindTest:
		return "Test"
	}
	return fmt.Sprintf("Kind %d", k)
}

// place prints a position on a road, such as "SP 14, km 12.345".
func place(road string, metres uint32) string {
	return fmt.Sprintf("%s, km %d.%03d", road, metres/1000, metres%1000)
}

// whole prints a speed without decimals that are zero.
func whole(s sensor.Speed) string {
	if s%sensor.KmH == 0 {
		return fmt.Sprint(int32(s / sensor.KmH))
	}
	return decimals(s)
}

func decimals(s sensor.Speed) string { return strings.TrimSuffix(s.String(), " km/h") }

// degrees prints a coordinate in 1e-7 degrees.
func degrees(v int32) string { return fmt.Sprintf("%.7f°", float64(v)/1e7) }

// ago prints an age coarsely.
func ago(now, t time.Time) string {
	d := now.Sub(t)
	switch {
	case t.IsZero():
		return "never"
	case d < 2*time.Second:
		return "now"
	case d < 2*time.Minute:
		return fmt.Sprintf("%d s ago", int(d.Seconds()))
	case d < 2*time.Hour:
		return fmt.Sprintf("%d min ago", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h ago", int(d.Hours()))
	}
	return fmt.Sprintf("%d days ago", int(d.Hours()/24))
}

// size prints a number of bytes.
func size(n uint64) string {
	switch {
	case n < 1000:
		return fmt.Sprintf("%d bytes", n)
	case n < 1e6:
		return fmt.Sprintf("%.1f kB", float64(n)/1e3)
	}
	return fmt.Sprintf("%.1f MB", float64(n)/1e6)
}

func direction(d sensor.Direction) string {
	switch d {
	case sensor.Approaching:
		return "approaching"
	case sensor.Receding:
		return "moving away"
	}
	return "not determined"
}

// status prints how far the centre is with a record.
func status(r *store.Record) string {
	switch {
	case r.Disputed:
		return "Disputed"
	case r.State == store.Complete:
		return "Settled"
	case r.State == store.Incomplete:
		return "Pictures on their way"
	}
	return "Set aside"
}

// functions are what templates may call.
func (s *Server) functions() template.FuncMap {
	local := func(layout string) func(time.Time) string {
		return func(t time.Time) string { return t.In(s.o.Zone).Format(layout) }
	}
	return template.FuncMap{
		"kind": kind, "place": place, "whole": whole, "decimals": decimals, "degrees": degrees, "ago": ago,
		"direction": direction, "status": status,
		"less":    func(a, b sensor.Speed) sensor.Speed { return a - b },
		"size":    func(n uint32) string { return size(uint64(n)) },
		"short":   func(v fmt.Stringer) string { return v.String()[:8] },
		"asset":   func(name string) string { return "/assets/" + name + "?v=" + s.assets[name].version },
		"instant": func(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") },
		"utc":     func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05.000000 UTC") },
		"day":     local("2 January 2006"),
		"clock":   local("15:04:05.000 MST"),
		"moment":  local("2 January 2006, 15:04:05 MST"),
		"minute":  local("2 Jan 2006, 15:04:05"),
		"mark": func(c evidence.Status) string {
			switch c {
			case evidence.Pass:
				return "✓"
			case evidence.Fail:
				return "✗"
			}
			return "–"
		},
		"class": func(c evidence.Status) string { return strings.ReplaceAll(c.String(), " ", "-") },
		"micro": func(d time.Duration) string { return fmt.Sprintf("%d µs", d.Microseconds()) },
		"milli": func(d time.Duration) string { return fmt.Sprintf("%.3f ms", float64(d)/1e6) },
		"span":  func(d time.Duration) string { return d.Round(time.Second).String() },
	}
}
