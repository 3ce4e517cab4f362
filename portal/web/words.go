package web

import (
	"fmt"
	"html/template"
	"strings"
	"time"

	"ciglio/capture/evidence"
	"ciglio/portal/intake"
	"ciglio/portal/orders"
	"ciglio/portal/record"
	"ciglio/sensor"
	"ciglio/uplink/wire"
)

// kind names a kind of record, at the beginning of a line.
func kind(k evidence.Kind) string {
	name := k.String()
	return strings.ToUpper(name[:1]) + name[1:]
}

// whole prints a speed as a road sign does: without decimals that are zero.
func whole(s sensor.Speed) string {
	if s%sensor.KmH == 0 {
		return fmt.Sprint(int32(s / sensor.KmH))
	}
	return decimals(s)
}

func decimals(s sensor.Speed) string { return strings.TrimSuffix(s.String(), " km/h") }

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

// status prints how far the centre is with a record.
func status(state record.State, disputed bool) string {
	switch {
	case disputed:
		return "Disputed"
	case state == record.Complete:
		return "Settled"
	case state == record.Incomplete:
		return "Pictures on their way"
	}
	return "Set aside"
}

// refusedFor prints why the centre refused a message.
func refusedFor(reason string) string {
	words, known := map[intake.Reason]string{
		intake.ReasonTopic:         "not a topic of a device",
		intake.ReasonUnknownDevice: "device not in the register",
		intake.ReasonMalformed:     "not a record",
		intake.ReasonOtherDevice:   "record of another device",
		intake.ReasonUnknownKey:    "key not in the register",
		intake.ReasonForeignKey:    "key of another device or epoch",
		intake.ReasonKeyNotValid:   "key not valid at that time",
		intake.ReasonRevoked:       "key revoked",
		intake.ReasonSignature:     "signature does not match",
		intake.ReasonEquivocation:  "another record has this number",
		intake.ReasonQuota:         "too many records wait for pictures",
		intake.ReasonChunk:         "not a piece of a picture or trace",
		intake.ReasonUnannounced:   "picture or trace that no record waits for",
		intake.ReasonBehind:        "picture or trace of a record that was not taken",
		intake.ReasonChunkLength:   "picture or trace of another length",
		intake.ReasonBlobDamaged:   "picture or trace damaged on the way",
		intake.ReasonReport:        "not a report",
		intake.ReasonStoreUnable:   "the store could not take it",
		intake.ReasonReuse:         "names what another record was sent with",
		intake.ReasonAhead:         "dated later than it came",
		intake.ReasonBackdated:     "sealed with an expired key and dated back",
		intake.ReasonHeldBack:      "more than the device’s quota",
	}[intake.Reason(reason)]
	if !known {
		return reason
	}
	return words
}

// spanned prints numbers of a chain.
func spanned(s record.Span) string {
	if s.From == s.To {
		return fmt.Sprintf("epoch %d, number %d", s.Epoch, s.From)
	}
	return fmt.Sprintf("epoch %d, numbers %d to %d", s.Epoch, s.From, s.To)
}

// functions are what templates may call.
func (s *Server) functions() template.FuncMap {
	local := func(layout string) func(time.Time) string {
		return func(t time.Time) string { return t.In(s.o.Zone).Format(layout) }
	}
	return template.FuncMap{
		"kind": kind, "place": evidence.Place, "whole": whole, "decimals": decimals, "ago": ago, "facts": evidence.Facts,
		"status": status, "refusedFor": refusedFor, "ordered": ordered, "orderState": orderState, "spanned": spanned,
		"place1":  func(index uint64) uint64 { return index + 1 }, // places count from one
		"less":    func(a, b sensor.Speed) sensor.Speed { return a - b },
		"size":    func(n uint32) string { return size(uint64(n)) },
		"short":   func(v fmt.Stringer) string { return v.String()[:8] },
		"asset":   s.assets.Link,
		"instant": func(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") },
		"day":     local("2 January 2006"),
		"clock":   local("15:04:05.000 MST"),
		"moment":  evidence.Moment,
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
	}
}

// ordered says in words what an order asks for.
func ordered(k wire.OrderKind) string {
	switch k {
	case wire.OrderSelfTest:
		return "Test itself"
	case wire.OrderStatus:
		return "Say how it is"
	case wire.OrderDiagnostics:
		return "Give diagnostics"
	case wire.OrderResend:
		return "Send records again"
	case wire.OrderPause:
		return "Pause enforcement"
	case wire.OrderResume:
		return "Resume enforcement"
	case wire.OrderReopen:
		return "Reopen after a seal"
	case wire.OrderExport:
		return "Export records to a stick"
	case wire.OrderConsole:
		return "Let an officer see violations at the console"
	}
	return string(k)
}

// orderState says in words how far an order is.
func orderState(s orders.State) string {
	switch s {
	case orders.Waiting:
		return "Waits for the device"
	case orders.Done:
		return "Done"
	case orders.Failed:
		return "Failed"
	case orders.Refused:
		return "Refused"
	case orders.Expired:
		return "Expired, not executed"
	}
	return string(s)
}
