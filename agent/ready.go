package agent

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"time"

	"ciglio/agent/calibration"
	"ciglio/agent/config"
	"ciglio/agent/provision"
	"ciglio/agent/trust"
	"ciglio/capture/evidence"
	p "ciglio/internal/provisioning"
	"ciglio/sensor"
)

// neverMeasures leads to why a device measures nothing although its settings are
// good in themselves.
const neverMeasures = "a device with it never measures: "

// A readiness says why a device that runs with some settings measures nothing, though
// each is good in itself, and what is to be known beside.
type readiness struct {
	Never []config.Fault `json:"never"` // keeps it from measuring, today and for as long as nothing is changed
	Notes []string       `json:"notes"`
}

// ready looks at what the settings name. It opens no device. Of a file that is no
// TOML there are no settings, c is nil, and nothing is said beside its fault.
func ready(c *config.Config, now time.Time) readiness {
	r := readiness{Never: []config.Fault{}, Notes: []string{}}
	if c == nil {
		return r
	}
	zone, err := time.LoadLocation(c.Site.TimeZone)
	if err != nil { // told as a fault of the settings
		zone = time.UTC
	}
	never := func(key, format string, args ...any) {
		r.Never = append(r.Never, config.Fault{Key: key, Words: fmt.Sprintf(format, args...)})
	}
	note := func(format string, args ...any) { r.Notes = append(r.Notes, fmt.Sprintf(format, args...)) }
	simulated := c.Clock.Source == "simulated"
	if simulated {
		note("clock.source is simulated: all that the device records is a test, and no violation")
	}
	if pseudo := pseudoTerminal(c.Sensor.Path + c.Sensor.Port); pseudo != "" {
		simulated = true
		note("%s is a pseudo-terminal, behind which is a program: all that the device records is a test, and no violation", pseudo)
	}
	if why := aloneProvesNothing(c.Sensor, simulated); why != "" && c.Second.Method == "none" {
		never("second.method", `none, and sensor.driver is %s: %s, and proves nothing alone. Write "contacts" or "frames", or take a sensor that tells range or angle (isys4001, agd, agdxor)`, c.Sensor.Driver, why)
	}
	if _, err := provision.Peek(provisionedDir(c), p.Site); !c.Placed() && c.Provision.Helper != "" && err != nil {
		note("site: none: the device measures nothing until a stick has brought the bundle of its site")
	}
	sticks := helperOf(c) // nil where a device waits for the stick with what it lacks
	switch text, from, err := lies(c, p.Calibration, c.Device.Calibration, maxStatement); {
	case errors.Is(err, errLacks) && sticks == nil:
		note("device.calibration: %s: not there yet: the device waits for the stick that brings the calibration of its sensor, and measures nothing until then", from)
	case errors.Is(err, errLacks) && errors.Is(sticks, fs.ErrPermission):
		note("device.calibration: %s: not there yet: the device waits for the stick that brings it, if the helper for sticks is there (%v: not looked at)", from, sticks)
	case errors.Is(err, errLacks):
		never("device.calibration", "%s: no such file: write the calibration statement of sensor %s there, as docs/operation.md shows it, or start the helper for sticks, which brings it", from, c.Sensor.Serial)
	case errors.Is(err, fs.ErrPermission):
		note("device.calibration: %v: whether it is in force was not looked at", err)
	case err != nil:
		never("device.calibration", "%v", err)
	default:
		statement, err := calibration.Parse(text)
		if err != nil {
			never("device.calibration", "%s: %v", from, err)
			break
		}
		core, err := CoreID()
		if err != nil {
			never("device.calibration", "%v", err)
			break
		}
		for _, cause := range trust.Check(trust.Facts{
			At: now, Zone: zone, Calibration: statement, SensorSerial: cmp.Or(c.Sensor.Serial, statement.Serial), Core: core, Room: true,
			Clock: sensor.ClockState{Synchronised: true}, ClockBound: c.Clock.Bound, // the doctor looks at the clock
		}) {
			never("device.calibration", "%s: %s: install the statement of this sensor that is in force today", from, cause.Words)
		}
	}
	text, from, err := lies(c, p.Trust, c.Uplink.Trust, evidence.MaxTrust+1)
	if err == nil {
		if _, err = evidence.ParseTrust(text); err != nil {
			err = fmt.Errorf("%s: %w", from, err)
		}
	}
	switch {
	case errors.Is(err, errLacks) && sticks == nil:
		note("uplink.trust: %s: not there yet: the device waits for the stick that brings the centre's trust file", from)
	case errors.Is(err, errLacks):
		note("uplink.trust: %s: not there yet: enrol the device at the centre and copy the centre's trust.pem there; without it the service does not start", c.Uplink.Trust)
	case errors.Is(err, fs.ErrPermission):
		note("uplink.trust: %v: not looked at", err)
	case err != nil:
		never("uplink.trust", "%v: copy the centre's trust.pem there", err)
	}
	return r
}

// errLacks says that something is neither installed nor in its file.
var errLacks = errors.New("neither installed nor in its file")

// lies returns what the service would take of a kind, and where it has it from: as
// [statement] does, beside a service that may run. It opens no store.
func lies(c *config.Config, kind p.Kind, path string, most int64) (text []byte, from string, err error) {
	b, err := provision.Peek(provisionedDir(c), kind)
	if err == nil {
		return b.Text(), fmt.Sprintf("installed %s version %d", kind, b.Version), nil
	}
	if !errors.Is(err, provision.ErrNotInstalled) {
		return nil, path, err
	}
	if text, err = readPlain(path, most); errors.Is(err, fs.ErrNotExist) {
		err = errLacks
	}
	return text, path, err
}

// pseudoTerminal returns what a port is when it is a pseudo-terminal, else "".
func pseudoTerminal(port string) string {
	target, err := filepath.EvalSymlinks(port)
	if port == "" || err != nil || !strings.HasPrefix(target, "/dev/pts/") {
		return ""
	}
	return target
}

// aloneProvesNothing says why the speeds of a sensor count only with a second
// speed; "" when they count alone. What is recorded as a test may be alone.
func aloneProvesNothing(s config.Sensor, test bool) string {
	usb := false
	if target, err := filepath.EvalSymlinks(s.Port); err == nil {
		usb = strings.HasPrefix(filepath.Base(target), "ttyACM")
	}
	switch s.Driver {
	case "csr":
		return "its bytes have no check sum"
	case "ops243", "ops243raw":
		if !usb {
			return "its bytes have no check sum"
		}
	case "rawiq", "iqframe":
	default: // it separates them, or there is no such driver
		return ""
	}
	if test {
		return ""
	}
	return "it cannot tell two vehicles of one speed apart"
}
