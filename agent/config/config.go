// Package config reads the device's configuration: one strict TOML file in
// which every value carries its unit and an unknown key is an error.
//
// Every key is also an environment variable, CIGLIO_ with the section and the
// key in capitals, such as CIGLIO_SITE_LIMIT; it overrides the file. A Config
// prints itself with its comments, and what it prints reads back as the same
// Config.
package config

import (
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"ciglio/capture/evidence"
	"ciglio/internal/strict"
	"ciglio/sensor"
)

// Config is the whole configuration. Its tags hold what [Config.AppendText]
// prints as comments.
type Config struct {
	Device Device `toml:"device" doc:"The device itself."`
	Site   Site   `toml:"site" doc:"Where the device stands and what it enforces there; left out where a stick brings it."`
	Sensor Sensor `toml:"sensor" doc:"The speed sensor."`
	Second Second `toml:"second" doc:"The second speed, which must agree with the sensor's."`
	Camera Camera `toml:"camera" doc:"The camera: pictures as they come."`
	Seals  Seals  `toml:"seals" doc:"What watches the cabinet."`
	Clock  Clock  `toml:"clock" doc:"UTC on this machine."`
	Outbox Outbox `toml:"outbox" doc:"Records waiting on flash."`
	Uplink Uplink `toml:"uplink" doc:"The way to the centre."`

	Console   Console   `toml:"console" doc:"The technician's pages."`
	Provision Provision `toml:"provision" doc:"What is brought on a USB stick."`
}

// Device names the device and its files.
type Device struct {
	ID          string `toml:"id" doc:"device id: 32 hexadecimal digits, for life"`
	Epoch       int    `toml:"epoch" doc:"counts keys and stores of this device: one more after either was lost, then enrol it anew"`
	Dir         string `toml:"dir" doc:"folder of the outbox and the device's state"`
	TPM         string `toml:"tpm" doc:"where new keys are made: the device file of a TPM 2.0; auto for /dev/tpmrm0 if there is one; none for files"`
	Key         string `toml:"key" doc:"evidence key, PEM, readable by this user only: of the TPM, or PKCS #8"`
	Certificate string `toml:"certificate" doc:"certificate of the evidence key, PEM"`
	Calibration string `toml:"calibration" doc:"calibration statement"`
}

// Site says where the device stands and what it enforces there.
type Site struct {
	ID         string           `toml:"id" doc:"site id"`
	Version    int              `toml:"version" doc:"counts the changes of site, sensor, second, clock and the strobe's return"`
	Road       string           `toml:"road" doc:"road, as printed on the notice"`
	Position   Length           `toml:"position" doc:"distance from the start of the road"`
	Latitude   Coordinate       `toml:"latitude" doc:"north is positive"`
	Longitude  Coordinate       `toml:"longitude" doc:"east is positive"`
	Heading    Heading          `toml:"heading" doc:"way of the enforced traffic, clockwise from north"`
	TimeZone   string           `toml:"time_zone" doc:"whose calendar day the law means"`
	Limit      sensor.Speed     `toml:"limit" doc:"speed limit"`
	Direction  sensor.Direction `toml:"direction" doc:"enforced direction: approaching, receding, or unknown for both"`
	PhotoRange Length           `toml:"photo_range" doc:"distance from the device at which a vehicle is photographed"`
	Frames     int              `toml:"frames" doc:"pictures of one violation, 2 to 5"`
}

// Sensor says which sensor measures and how it is mounted.
type Sensor struct {
	Driver  string       `toml:"driver" doc:"what speaks with the sensor: rawiq, iqframe, ops243, ops243raw, isys4001, agd, agdxor or csr"`
	Path    string       `toml:"path" doc:"rawiq: a device file or a named pipe of 16-bit little-endian pairs I, Q"`
	Port    string       `toml:"port" doc:"all but rawiq: serial port, best by its link in /dev/serial/by-id"`
	Baud    int          `toml:"baud" doc:"speed of the serial port in bits a second; 0 for what the sensor comes with"`
	Parity  string       `toml:"parity" doc:"parity of the serial port: none, even or odd; empty for what the sensor comes with"`
	Rate    Frequency    `toml:"rate" doc:"rawiq, iqframe and ops243: samples a second; 20kHz, 50kHz or 100kHz for ops243"`
	Carrier Frequency    `toml:"carrier" doc:"transmit frequency"`
	Angle   Angle        `toml:"angle" doc:"between the beam and the road"`
	Lanes   Lanes        `toml:"lanes" doc:"all that gives readings: edges of each lane, across the road from the sensor, to the right positive; empty: up to 10m away"`
	Height  Length       `toml:"height" doc:"the same: of the sensor above the bumpers"`
	Model   string       `toml:"model" doc:"as on its plate"`
	Serial  string       `toml:"serial" doc:"as on its plate and in the calibration certificate"`
	Maximum sensor.Speed `toml:"maximum" doc:"end of the certified range"`
}

// Camera says where pictures come from.
type Camera struct {
	Driver   string        `toml:"driver" doc:"how pictures come: http, MJPEG over HTTP, or v4l2, a camera with a driver in the kernel"`
	URL      string        `toml:"url" doc:"http: MJPEG stream"`
	User     string        `toml:"user" doc:"http: who asks, where the camera wants a login"`
	Password string        `toml:"password_file" doc:"http: file with that user's password on one line, not readable by others"`
	Login    string        `toml:"login" doc:"http: digest; or basic, which also allows that the password itself is sent over http, where everyone on the network can read it, to a camera that knows nothing better"`
	Path     string        `toml:"path" doc:"v4l2: device, best by its link in /dev/v4l/by-id"`
	Format   string        `toml:"format" doc:"v4l2: mjpeg, kept as it comes; or yuyv, uyvy or grey, raw and compressed here, which the record says"`
	Size     Picture       `toml:"size" doc:"v4l2: width and height of the picture"`
	Interval time.Duration `toml:"interval" doc:"v4l2: from one picture to the next"`
	Model    string        `toml:"model" doc:"as on its plate"`
	Serial   string        `toml:"serial" doc:"as on its plate"`
	View     Angle         `toml:"view" doc:"angle across the picture, by the lens: what a turn of the camera is in pixels; 0deg where nobody knows"`
	Latency  time.Duration `toml:"latency" doc:"from start of exposure to the first byte (http) or the kernel's time stamp (v4l2), as measured at mounting"`
	Slots    int           `toml:"slots" doc:"pictures kept in memory"`
	Slot     Size          `toml:"slot" doc:"largest picture"`

	Strobe         string        `toml:"strobe" doc:"output line that has a camera or a flash act, by pulses, such as GPIO23; empty for none"`
	StrobeInterval time.Duration `toml:"strobe_interval" doc:"from one pulse to the next"`
	StrobePulse    time.Duration `toml:"strobe_pulse" doc:"width of a pulse; the circuit behind the line has to bound what must never be longer"`
	StrobeReturn   string        `toml:"strobe_return" doc:"input line on which the camera says that it exposes, such as GPIO22: then a violation needs it for each of its pictures; empty for none"`
	StrobePull     string        `toml:"strobe_pull" doc:"of that line: up, down or none; empty for what the board has"`
	StrobeEdge     string        `toml:"strobe_edge" doc:"its edge with which the exposure begins: rising or falling"`
	StrobeBound    time.Duration `toml:"strobe_bound" doc:"that this edge may lie before the start of exposure, or after its end, as this program knows them: what the camera's latency is uncertain by"`
}

// validateStrobe reports what is wrong with the lines of the strobe.
func (c Camera) validateStrobe(faults *Faults) {
	for _, need := range []struct {
		key string
		ok  bool
		say string
	}{
		{"strobe", c.Strobe == "" || len(strings.Fields(c.Strobe)) == 1, "want one line"},
		{"strobe_interval", c.StrobeInterval >= 5*time.Millisecond && c.StrobeInterval <= time.Second, "want 5ms to 1s"},
		{"strobe_pulse", c.StrobePulse >= 50*time.Microsecond && c.StrobePulse <= 10*time.Millisecond, "want 50us to 10ms"},
		{"strobe_pulse", 2*c.StrobePulse <= c.StrobeInterval, "want at most half of camera.strobe_interval"},
		{"strobe_return", c.StrobeReturn == "" || len(strings.Fields(c.StrobeReturn)) == 1, "want one line"},
		{"strobe_return", c.StrobeReturn == "" || c.StrobeReturn != c.Strobe, "is the line that is driven"},
		{"strobe_pull", slices.Contains([]string{"", "up", "down", "none"}, c.StrobePull), "want up, down or none"},
		{"strobe_edge", c.StrobeEdge == "rising" || c.StrobeEdge == "falling", "want rising or falling"},
		{"strobe_bound", c.StrobeBound >= time.Millisecond && c.StrobeBound <= 50*time.Millisecond && c.StrobeBound%time.Millisecond == 0, "want 1ms to 50ms in whole milliseconds: no verifier passes more"},
	} {
		if !need.ok {
			faults.Add("camera."+need.key, need.say)
		}
	}
}

// Clock says who answers for UTC, and bounds how far it may be off.
type Clock struct {
	Source string        `toml:"source" doc:"who answers for UTC: system, the kernel and its time daemon; or simulated, nobody, to try a device: all it records is then a test"`
	Bound  time.Duration `toml:"bound" doc:"offset plus twice its uncertainty above which the device does not measure"`
}

// Outbox bounds what waits on flash.
type Outbox struct {
	Quota     Size          `toml:"quota" doc:"bytes of unsettled and retained records; above it new violations are refused"`
	Reserve   Size          `toml:"reserve" doc:"part of the quota kept for records that are not violations"`
	Retention time.Duration `toml:"retention" doc:"how long settled records are kept"`
}

// Uplink says where the centre is.
type Uplink struct {
	Broker      string `toml:"broker" doc:"MQTT broker: tls://host:port; or tcp://host:port without encryption, on this machine or for a try"`
	Shard       string `toml:"shard" doc:"part of the centre's intake that serves this device"`
	Trust       string `toml:"trust" doc:"trust file: whose receipts count"`
	Enrolment   string `toml:"enrolment" doc:"where the centre renews this device's certificate, https://host:port; empty: certificates come by stick"`
	CA          string `toml:"ca" doc:"tls: certificates of the authorities whose brokers are believed, and what they have revoked, PEM"`
	Certificate string `toml:"certificate" doc:"tls: certificate that this device shows, whose common name is device.id, PEM"`
	TLSKey      string `toml:"tls_key" doc:"its key, made and kept as the evidence key is; empty: uplink.key beside that"`
}

// Provision says how sticks come in, and whom the device believes before it has
// been told.
type Provision struct {
	Root   string `toml:"root" doc:"fingerprint of the centre's root key, 64 hexadecimal digits as the centre prints it: whose first trust bundle counts; empty: that of the trust file in uplink.trust"`
	Helper string `toml:"helper" doc:"socket of the helper that mounts sticks; empty: no sticks are taken"`
	Light  string `toml:"light" doc:"output line of the lamp beside the socket for sticks, such as GPIO17; empty: none"`
}

// fingerprint reports whether a text is a SHA-256 in hexadecimal.
func fingerprint(text string) bool {
	_, err := evidence.ParseHash(strings.ToLower(text))
	return err == nil
}

// identified reports whether the device proves itself by a TLS certificate.
func (u Uplink) identified() bool { return u.Encrypted() || u.Enrolment != "" }

// Encrypted reports whether the broker is reached by TLS.
func (u Uplink) Encrypted() bool { return strings.HasPrefix(u.Broker, "tls://") }

// Console says where the technician's pages are.
type Console struct {
	Listen string `toml:"listen" doc:"address and port of the pages, such as 127.0.0.1:8421 or that of the service port, 192.168.14.1:8421; empty for no pages"`
}

// check reports what is wrong with the address: the pages are for one who stands
// at the device, and no address that others reach is one of theirs.
func (c Console) check() error {
	if c.Listen == "" {
		return nil
	}
	at, err := netip.ParseAddrPort(c.Listen)
	if err != nil {
		return fmt.Errorf("%w: want an address and a port, such as 127.0.0.1:8421", err)
	}
	if a := at.Addr(); !a.IsLoopback() && !a.IsPrivate() && !a.IsLinkLocalUnicast() {
		return fmt.Errorf("%v is no address of a service port: want loopback, private or link-local", a)
	}
	return nil
}

// DefaultPath is where the service looks for its configuration.
const DefaultPath = "/etc/ciglio/ciglio.toml"

// Default returns the configuration of a new device. What only the technician
// can know is empty, so that it does not pass [Config.Validate].
func Default() *Config {
	return &Config{
		Device: Device{
			Epoch:       1,
			Dir:         "/var/lib/ciglio",
			TPM:         "auto",
			Key:         "/var/lib/ciglio/evidence.key",
			Certificate: "/var/lib/ciglio/device.crt",
			Calibration: "/var/lib/ciglio/calibration.toml",
		},
		Site: Site{Version: 1, TimeZone: "Europe/Rome", Direction: sensor.Approaching, PhotoRange: 20e3, Frames: 3},
		Sensor: Sensor{
			Driver: "rawiq", Rate: 20e3, Carrier: 24.125e9, Maximum: 200 * sensor.KmH,
		},
		Second: defaultSecond(),
		Seals:  defaultSeals(),
		Camera: Camera{Driver: "http", Login: "digest", Format: "mjpeg", Size: Picture{1280, 720}, Interval: 40 * time.Millisecond, Slots: 96, Slot: 256 << 10,
			StrobeInterval: 40 * time.Millisecond, StrobePulse: time.Millisecond, StrobeEdge: "rising", StrobeBound: 20 * time.Millisecond},
		Clock:  Clock{Source: "system", Bound: 100 * time.Millisecond},
		Outbox: Outbox{Quota: 20 << 30, Reserve: 64 << 20, Retention: 30 * 24 * time.Hour},
		Uplink: Uplink{
			Broker: "tcp://127.0.0.1:1883", Shard: "0", Trust: "/var/lib/ciglio/trust.pem",
			CA: "/var/lib/ciglio/uplink-ca.pem", Certificate: "/var/lib/ciglio/uplink.crt",
		},
		Provision: Provision{Helper: "/run/ciglio-stick/socket"},
	}
}

var errNotPlain = errors.New("not a plain file")

// Load reads the file at path over the defaults, then the environment (as
// os.Environ gives it) over both, and validates the whole. What is wrong with it is
// a [*Faults], which names everything.
func Load(path string, environ []string) (*Config, error) {
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() { // a pipe would never end
		return nil, &os.PathError{Op: "read", Path: path, Err: errNotPlain}
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	c, err := Parse(text, environ)
	var faults *Faults
	if errors.As(err, &faults) {
		faults.File = path
	}
	return c, err
}

// Parse is [Load] of a text. It returns what could be read also with an error.
func Parse(text []byte, environ []string) (*Config, error) {
	c, faults := Default(), new(Faults)
	c.decode(text, faults)
	if len(faults.All) == 1 && faults.All[0].Key == "" { // no TOML: nothing is set
		return c, faults
	}
	c.environment(environ, faults)
	c.Second.tolerance()
	c.validate(faults)
	return c, faults.err()
}

// ParseStatement reads what [Config.Statement] wrote. What it does not hold is as
// in [Default].
func ParseStatement(text []byte) (*Config, error) {
	c := Default()
	if err := strict.Known(string(text), c); err != nil {
		return nil, err
	}
	return c, nil
}

// zoneEverywhere reports whether a name of a time zone means the same on every
// machine: not "Local", and none of the folders that only some of them have.
func zoneEverywhere(name string) bool {
	return name == "UTC" || strings.Contains(name, "/") && !strings.HasPrefix(name, "posix/") && !strings.HasPrefix(name, "right/")
}

// held is how long the ring holds a picture, of a camera whose interval is set.
func (c *Config) held() time.Duration {
	return time.Duration(c.Camera.Slots) * c.Camera.Interval
}

// needed is after how long a picture may be asked for. The slowest violation was at
// the photo position, and is told when it has gone 25 m beyond the end of its track
// at the latest, and a little later; its first picture was taken before.
func (c *Config) needed() time.Duration {
	const beyond, tolerance, told, spacing = 25, 5 * sensor.KmH, 400 * time.Millisecond, 240 * time.Millisecond
	way := c.Site.PhotoRange.Metres() + beyond
	return time.Duration(way/(c.Site.Limit+tolerance).MPS()*1e9) + told + time.Duration(c.Site.Frames/2)*spacing
}

// Variable returns the environment variable of a key.
func Variable(section, key string) string {
	return "CIGLIO_" + strings.ToUpper(section+"_"+key)
}

// CIGLIO_DATA and the like, which belong to other programs of the project, are
// not keys; only names with a section of this file are looked at.
func (c *Config) environment(environ []string, faults *Faults) {
	values := map[string]string{}
	for _, e := range environ {
		name, value, _ := strings.Cut(e, "=")
		values[name] = value
	}
	_ = c.each(func(section, key, _ string, v reflect.Value) error {
		name := Variable(section, key)
		if value, ok := values[name]; ok {
			if err := set(v, value); err != nil {
				faults.Add(section+"."+key, name+": "+err.Error())
			}
		}
		return nil
	})
}

// each calls f for every key in the order of the file.
func (c *Config) each(f func(section, key, doc string, v reflect.Value) error) error {
	root := reflect.ValueOf(c).Elem()
	for i := range root.NumField() {
		section := root.Type().Field(i).Tag.Get("toml")
		for j := range root.Field(i).NumField() {
			field := root.Field(i).Type().Field(j)
			if err := f(section, field.Tag.Get("toml"), field.Tag.Get("doc"), root.Field(i).Field(j)); err != nil {
				return err
			}
		}
	}
	return nil
}

func set(v reflect.Value, value string) error {
	switch p := v.Addr().Interface().(type) {
	case encoding.TextUnmarshaler:
		return p.UnmarshalText([]byte(value))
	case *time.Duration:
		d, err := time.ParseDuration(value)
		*p = d
		return err
	case *string:
		*p = value
		return nil
	case *int:
		n, err := strconv.Atoi(value)
		*p = n
		return err
	}
	panic("config: no way to set a " + v.Type().String())
}

// AppendText appends the configuration as a TOML file with comments, which
// [Parse] reads back as the same Config.
func (c *Config) AppendText(b []byte) ([]byte, error) {
	return c.appendKeys(b, func(string, string) bool { return true })
}

// MarshalJSON writes the values by section and key, spelled as in the file.
func (c *Config) MarshalJSON() ([]byte, error) {
	sections := map[string]map[string]json.RawMessage{}
	err := c.each(func(section, key, _ string, v reflect.Value) error {
		text, err := value(v)
		if sections[section] == nil {
			sections[section] = map[string]json.RawMessage{}
		}
		sections[section][key] = json.RawMessage(text)
		return err
	})
	if err != nil {
		return nil, err
	}
	return json.Marshal(sections)
}

// Statement returns the part of the configuration that a measurement depends
// on, as it is sealed into the chain: no paths, no addresses. So a sensor on
// another port of the machine is no change of the site; it is the same sensor by
// its driver, model and serial number, which it is held to when it is opened.
func (c *Config) Statement() ([]byte, error) { return c.appendKeys(nil, c.measures) }

// StatementWithoutSite is [Config.Statement] for a device whose site has a statement
// of its own.
func (c *Config) StatementWithoutSite() ([]byte, error) {
	return c.appendKeys(nil, func(section, key string) bool { return section != "site" && c.measures(section, key) })
}

// measures reports whether a measurement depends on a key. Where no strobe's return
// is watched, nothing is stated of it.
func (c *Config) measures(section, key string) bool {
	switch section {
	case "site", "second", "seals", "clock":
		return true
	case "sensor":
		return key != "path" && key != "port" && key != "baud" && key != "parity"
	case "camera":
		return c.Camera.StrobeReturn != "" && slices.Contains([]string{"strobe_return", "strobe_edge", "strobe_bound"}, key)
	}
	return false
}

func (c *Config) appendKeys(b []byte, wanted func(section, key string) bool) ([]byte, error) {
	var last string
	err := c.each(func(section, key, doc string, v reflect.Value) error {
		if !wanted(section, key) {
			return nil
		}
		if section != last {
			if len(b) > 0 {
				b = append(b, '\n')
			}
			field, _ := reflect.TypeFor[Config]().FieldByNameFunc(func(n string) bool { return strings.EqualFold(n, section) })
			b = fmt.Appendf(b, "# %s\n[%s]\n", field.Tag.Get("doc"), section)
			last = section
		}
		text, err := value(v)
		b = fmt.Appendf(b, "# %s\n%s = %s\n", doc, key, text)
		return err
	})
	return b, err
}

// value returns v as TOML spells it.
func value(v reflect.Value) (string, error) {
	switch v := v.Interface().(type) {
	case encoding.TextMarshaler:
		text, err := v.MarshalText()
		return strconv.Quote(string(text)), err
	case time.Duration:
		return strconv.Quote(v.String()), nil
	case string:
		return quote(v), nil
	case int:
		return strconv.Itoa(v), nil
	}
	panic("config: no way to print a " + v.Type().String())
}

// quote writes a TOML basic string; Go's own quoting knows escapes that TOML
// does not.
func quote(s string) string {
	b := []byte{'"'}
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b = append(b, '\\', byte(r))
		case r < 0x20 || r == 0x7f:
			b = fmt.Appendf(b, "\\u%04X", r)
		default:
			b = utf8.AppendRune(b, r)
		}
	}
	return string(append(b, '"'))
}

// Validate reports every value with which the device cannot work.
func (c *Config) Validate() error {
	faults := new(Faults)
	c.validate(faults)
	return faults.err()
}

// Placed reports whether the configuration says where the device stands. One that
// takes sticks may leave that to the bundle of its site: then nothing of [site] is
// given.
func (c *Config) Placed() bool { return c.Site != Default().Site }

// makeID is how a device gets its name.
const makeID = "want 32 hexadecimal digits, its own for life: make them with  od -An -N16 -tx1 /dev/urandom | tr -d ' \\n'"

func (c *Config) validate(faults *Faults) {
	if _, err := evidence.ParseDeviceID(c.Device.ID); c.Device.ID == "" {
		faults.Add("device.id", "missing: "+makeID)
	} else if err != nil {
		faults.Add("device.id", err.Error()+": "+makeID)
	}
	if _, err := time.LoadLocation(c.Site.TimeZone); err != nil {
		faults.Add("site.time_zone", err.Error())
	}
	placed := c.Placed() || c.Provision.Helper == ""
	const wantText = "want a text of 1 to 256 bytes"
	for _, need := range []struct {
		key string
		ok  bool
		say string
	}{
		{"device.epoch", c.Device.Epoch > 0, "want 1 or more"},
		{"device.dir", c.Device.Dir != "", "missing"},
		{"device.key", c.Device.Key != "", "missing: want the file of the evidence key"},
		{"device.certificate", c.Device.Certificate != "", "missing: want the file of its certificate"},
		{"device.tpm", c.Device.TPM == "auto" || c.Device.TPM == "none" || strings.HasPrefix(c.Device.TPM, "/"), "want auto, none, or the path of a device, such as /dev/tpmrm0"},
		{"site.id", evidence.Printable(c.Site.ID, evidence.MaxID), "want a text of 1 to 64 bytes"},
		{"site.version", c.Site.Version > 0, "want 1 or more"},
		{"site.road", evidence.Printable(c.Site.Road, evidence.MaxText), wantText},
		{"site.latitude", c.Site.Latitude.within(90), "want -90deg to 90deg"},
		{"site.limit", c.Site.Limit >= 5*sensor.KmH && c.Site.Limit <= 150*sensor.KmH && c.Site.Limit%(5*sensor.KmH) == 0, "want 5km/h to 150km/h in steps of 5km/h: there is no other"},
		{"site.latitude", c.Site.Latitude != 0 || c.Site.Longitude != 0, "missing, with site.longitude"},
		{"site.photo_range", c.Site.PhotoRange > 0 && c.Site.PhotoRange <= 200e3, "want more than 0m and at most 200m"},
		{"site.photo_range", c.Site.Limit == 0 || c.Site.PhotoRange.Metres() <= 10*c.Site.Limit.MPS(), "farther than a vehicle at the limit drives in 10s"},
		{"site.time_zone", zoneEverywhere(c.Site.TimeZone), "want a zone that is the same on every machine, such as Europe/Rome"},
		{"site.frames", c.Site.Frames >= 2 && c.Site.Frames <= 5, "want 2 to 5"},
		{"sensor.driver", slices.Contains(Drivers(), c.Sensor.Driver), "want one of " + strings.Join(Drivers(), ", ")},
		{"sensor.path", c.Sensor.Path == "" || c.Sensor.Driver == "rawiq", "only rawiq has one: want sensor.port"},
		{"sensor.port", c.Sensor.Port == "" || c.Sensor.Driver != "rawiq", "rawiq has none: want sensor.path"},
		{"sensor.baud", c.Sensor.Baud == 0 || c.Sensor.Driver != "rawiq", "rawiq has none"},
		{"sensor.baud", c.Sensor.Baud == 0 || c.Sensor.Baud >= 50 && c.Sensor.Baud <= 50e6, "want 0, or 50 to 50000000"},
		{"sensor.parity", slices.Contains([]string{"", "none", "even", "odd"}, c.Sensor.Parity), "want none, even or odd"},
		{"sensor.angle", c.Sensor.Samples() || c.Sensor.Angle%10 == 0, "want at most two decimals with this driver"},
		{"sensor.height", c.Sensor.Height <= 20e3, "want at most 20m"},
		{"sensor.rate", c.Sensor.Rate >= 8e3 && c.Sensor.Rate <= 200e3, "want 8kHz to 200kHz"},
		{"sensor.rate", !c.Sensor.ops243() || slices.Contains([]Frequency{20e3, 50e3, 100e3}, c.Sensor.Rate), "this driver sets 20kHz, 50kHz or 100kHz"},
		{"sensor.model", evidence.Printable(c.Sensor.Model, evidence.MaxText), wantText},
		{"sensor.serial", evidence.Printable(c.Sensor.Serial, evidence.MaxText), wantText},
		{"sensor.maximum", c.Sensor.Maximum > c.Site.Limit || c.Site.Limit > 150*sensor.KmH, "want more than the limit"},
		{"sensor.maximum", c.Sensor.Maximum <= 350*sensor.KmH, "want at most 350km/h: no verifier passes more"},
		{"sensor.maximum", !c.Sensor.Samples() && !c.Sensor.ops243() || c.Sensor.shows(c.Sensor.Maximum), "its Doppler frequency is more than 0.45 of sensor.rate: want a lower maximum or a higher rate"},
		{"camera.driver", slices.Contains([]string{"http", "v4l2"}, c.Camera.Driver), "want http or v4l2"},
		{"camera.url", c.Camera.URL == "" || c.Camera.Driver == "http", "v4l2 has none: want camera.path"},
		{"camera.user", c.Camera.User == "" || c.Camera.Driver == "http", "v4l2 has none"},
		{"camera.login", slices.Contains([]string{"digest", "basic"}, c.Camera.Login), "want digest or basic"},
		{"camera.password_file", (c.Camera.Password == "") == (c.Camera.User == ""), "want it with camera.user, or neither"},
		{"camera.path", c.Camera.Path == "" || c.Camera.Driver == "v4l2", "http has none: want camera.url"},
		{"camera.format", slices.Contains(PictureFormats(), c.Camera.Format), "want one of " + strings.Join(PictureFormats(), ", ")},
		{"camera.size", min(c.Camera.Size.Width, c.Camera.Size.Height) >= 16 && c.Camera.Size.Width%2 == 0, "want at least 16 pixels each way, and an even width"},
		{"camera.interval", c.Camera.Interval >= 5*time.Millisecond && c.Camera.Interval <= 100*time.Millisecond, "want 5ms to 100ms"},
		{"camera.view", c.Camera.View == 0 || c.Camera.View >= 2e3 && c.Camera.View <= 160e3, "want 2deg to 160deg, or 0deg"},
		{"camera.latency", c.Camera.Latency >= 0 && c.Camera.Latency <= 2*time.Second, "want 0s to 2s"},
		{"camera.slots", c.Camera.Slots >= 8 && c.Camera.Slots <= 1024, "want 8 to 1024"},
		{"camera.slot", c.Camera.Slot >= 16<<10 && c.Camera.Slot <= evidence.MaxFrame, "want 16KiB to 16MiB"},
		{"camera.slots", c.Camera.Driver != "v4l2" || !placed || c.held() >= c.needed(), fmt.Sprintf("%d pictures are %v, and one may be asked for after %v: want more, of a smaller camera.slot",
			c.Camera.Slots, c.held(), c.needed().Round(10*time.Millisecond))},
		{"camera.slots", int64(c.Camera.Slots)*int64(c.Camera.Slot) <= 256<<20, "want at most 256MiB with camera.slot"},
		{"clock.source", slices.Contains([]string{"system", "simulated"}, c.Clock.Source), "want system or simulated"},
		{"clock.bound", c.Clock.Bound > 0 && c.Clock.Bound <= 100*time.Millisecond, "want more than 0s and at most 100ms: no verifier passes a record whose clock was worse"},
		{"outbox.quota", c.Outbox.Quota >= c.Outbox.Reserve+32<<20, "want at least 32MiB more than outbox.reserve: less has no room for a violation"},
		{"outbox.reserve", c.Outbox.Reserve >= 1<<20, "want at least 1MiB"},
		{"outbox.retention", c.Outbox.Retention >= 0, "want no less than 0s"},
		{"uplink.shard", c.Uplink.Shard != "", "missing"},
		{"uplink.ca", !c.Uplink.identified() || c.Uplink.CA != "", "missing, with a broker at tls:// or uplink.enrolment"},
		{"uplink.certificate", !c.Uplink.identified() || c.Uplink.Certificate != "", "missing, with a broker at tls:// or uplink.enrolment"},
		{"uplink.tls_key", c.Uplink.TLSKey == "" || c.Uplink.TLSKey != c.Device.Key, "the evidence key seals records and nothing else: want another file"},
		{"provision.root", c.Provision.Root == "" || fingerprint(c.Provision.Root), "want 64 hexadecimal digits, as the centre prints them"},
		{"provision.light", c.Provision.Light == "" || len(strings.Fields(c.Provision.Light)) == 1, "want one line, such as GPIO17"},
	} {
		if !need.ok && (placed || !strings.HasPrefix(need.key, "site.")) {
			faults.Add(need.key, need.say)
		}
	}
	if err := c.Console.check(); err != nil {
		faults.Add("console.listen", err.Error())
	}
	c.Second.validate(faults, c.Site.Frames, len(c.Sensor.Lanes))
	c.Seals.validate(faults)
	c.Camera.validateStrobe(faults)
}

// Drivers returns the names that sensor.driver may have.
func Drivers() []string {
	return []string{"rawiq", "iqframe", "ops243", "ops243raw", "isys4001", "agd", "agdxor", "csr"}
}

// PictureFormats returns the names that camera.format may have.
func PictureFormats() []string { return []string{"mjpeg", "yuyv", "uyvy", "grey"} }

// Samples reports whether the sensor gives samples, in which this program finds
// the vehicles, and not readings of targets that the sensor found.
func (s Sensor) Samples() bool { return s.Driver == "rawiq" || s.Driver == "iqframe" }

// ops243 reports whether the sensor takes samples at sensor.rate and tells
// speeds of them.
func (s Sensor) ops243() bool { return s.Driver == "ops243" || s.Driver == "ops243raw" }

// shows reports whether the sampling rate shows a speed: its Doppler frequency
// must lie clear of half the rate, beyond which it would pass for another speed
// in the other direction.
func (s Sensor) shows(v sensor.Speed) bool {
	doppler := 2 * v.MPS() * float64(s.Carrier) / sensor.SpeedOfLight
	return doppler <= 0.45*float64(s.Rate)
}

func (c Coordinate) within(degrees int64) bool {
	return int64(c) >= -degrees*1e7 && int64(c) <= degrees*1e7
}
