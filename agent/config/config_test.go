package config

import (
	"encoding"
	"encoding/json"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"ciglio/sensor"
)

const minimal = `
[device]
id = "00112233445566778899aabbccddeeff"
[site]
id = "SP14-12"
road = "SP 14"
limit = "70km/h"
latitude = "44.4949deg"
[sensor]
model = "M1"
serial = "S1"
`

func TestPrintedConfigReadsBack(t *testing.T) {
	c, err := Parse([]byte(minimal), nil)
	if err != nil {
		t.Fatal(err)
	}
	c.Site.Position, c.Site.Longitude, c.Sensor.Angle = 12_345_678, -113_412_345, -22_500
	c.Sensor.Lanes = Lanes{{-3500, -25}, {1200, 4700}}
	printed, err := c.AppendText(nil)
	if err != nil {
		t.Fatal(err)
	}
	back, err := Parse(printed, nil)
	if err != nil {
		t.Fatalf("%v in\n%s", err, printed)
	}
	if !reflect.DeepEqual(c, back) {
		t.Errorf("read back %+v, printed %+v", back, c)
	}
	if !strings.Contains(string(printed), "# speed limit\nlimit = \"70km/h\"\n") {
		t.Errorf("no comment above the limit in\n%s", printed)
	}
}

func TestEnvironmentOverrides(t *testing.T) {
	c, err := Parse([]byte(minimal), []string{"CIGLIO_SITE_LIMIT=50km/h", "CIGLIO_CLOCK_BOUND=20ms", "CIGLIO_DATA=/x"})
	if err != nil {
		t.Fatal(err)
	}
	if c.Site.Limit != 50*sensor.KmH || c.Clock.Bound != 20*time.Millisecond {
		t.Errorf("limit %v, bound %v", c.Site.Limit, c.Clock.Bound)
	}
	if _, err := Parse([]byte(minimal), []string{"CIGLIO_SITE_LIMIT=50mph"}); err == nil || !strings.Contains(err.Error(), "CIGLIO_SITE_LIMIT") {
		t.Errorf("a wrong unit gave %v", err)
	}
}

func TestBadConfigIsRefused(t *testing.T) {
	for _, c := range []struct{ name, from, to, want string }{
		{"unknown key", "road =", "raod =", "raod"},
		{"unknown section", "[sensor]", "[sensors]", "sensors"},
		{"limit without unit", `"70km/h"`, `"70"`, "km/h"},
		{"limit as a bare number", `"70km/h"`, `70`, "limit"},
		{"miles", `"70km/h"`, `"70mph"`, "km/h"},
		{"limit of another world", `"70km/h"`, `"700km/h"`, "site.limit"},
		{"short device id", "00112233", "001122", "device.id"},
		{"capital device id", "aabb", "AABB", "device.id"},
		{"nowhere on Earth", `latitude = "44.4949deg"`, "", "site.latitude"},
		{"latitude beyond the pole", "44.4949deg", "94.4949deg", "site.latitude"},
		{"latitude too fine to keep", "44.4949deg", "44.49491234567deg", "decimal"},
		{"a sensor that no record can name", `"M1"`, `""`, "sensor.model"},
		{"a road longer than a record's text", `"SP 14"`, `"` + strings.Repeat("x", 257) + `"`, "site.road"},
		{"an id longer than a record's", `"SP14-12"`, `"` + strings.Repeat("x", 65) + `"`, "site.id"},
		{"a line break in the road", `"SP 14"`, `"SP\n14"`, "site.road"},
		{"more pictures than memory", "[sensor]", "[camera]\nslots = 1024\nslot = \"8MiB\"\n[sensor]", "camera.slots"},
		{"a speed that the samples would fold over", `serial = "S1"`, "serial = \"S1\"\nmaximum = \"210km/h\"", "sensor.maximum"},
		{"a driver that is not there", `serial = "S1"`, "serial = \"S1\"\ndriver = \"ops242\"", "sensor.driver: want one of rawiq, iqframe"},
		{"a serial port for a stream", `serial = "S1"`, "serial = \"S1\"\nport = \"/dev/ttyS0\"", "sensor.port: rawiq has none"},
		{"a stream for a serial sensor", `serial = "S1"`, "serial = \"S1\"\ndriver = \"agd\"\npath = \"/dev/radar\"", "sensor.path: only rawiq has one"},
		{"a speed for a stream", `serial = "S1"`, "serial = \"S1\"\nbaud = 9600", "sensor.baud: rawiq has none"},
		{"a speed that no port has", `serial = "S1"`, "serial = \"S1\"\ndriver = \"agd\"\nbaud = -1", "sensor.baud: want 0, or 50"},
		{"a parity that no port has", `serial = "S1"`, "serial = \"S1\"\ndriver = \"agd\"\nparity = \"mark\"", "sensor.parity: want none"},
		{"a rate that the sensor has not", `serial = "S1"`, "serial = \"S1\"\ndriver = \"ops243\"\nrate = \"10kHz\"\nmaximum = \"90km/h\"", "sensor.rate: this driver sets"},
		{"an angle finer than readings are corrected for", `serial = "S1"`, "serial = \"S1\"\ndriver = \"agd\"\nangle = \"22.505deg\"", "sensor.angle"},
		{"a camera driver that is not there", "[sensor]", "[camera]\ndriver = \"csi\"\n[sensor]", "camera.driver: want http or v4l2"},
		{"a device for a stream", "[sensor]", "[camera]\npath = \"/dev/video0\"\n[sensor]", "camera.path: http has none"},
		{"a stream for a device", "[sensor]", "[camera]\ndriver = \"v4l2\"\nurl = \"http://camera\"\n[sensor]", "camera.url: v4l2 has none"},
		{"a format that is not there", "[sensor]", "[camera]\nformat = \"h264\"\n[sensor]", "camera.format: want one of mjpeg"},
		{"a size without height", "[sensor]", "[camera]\nsize = \"1280\"\n[sensor]", "want width and height in pixels"},
		{"a size of nothing", "[sensor]", "[camera]\nsize = \"8x8\"\n[sensor]", "camera.size: want at least 16"},
		{"an odd width", "[sensor]", "[camera]\nsize = \"641x480\"\n[sensor]", "camera.size: want at least 16 pixels each way, and an even width"},
		{"pictures too rare for a violation", "[sensor]", "[camera]\ninterval = \"200ms\"\n[sensor]", "camera.interval: want 5ms to 100ms"},
		{"an interval without unit", "[sensor]", "[camera]\ninterval = \"40\"\n[sensor]", "invalid duration"},
		{"a key in another spelling", "[sensor]", "Limit = \"50km/h\"\n[sensor]", "unknown key site.Limit"},
		{"a section in another spelling", "[sensor]", "[Site]\nlimit = \"50km/h\"\n[sensor]", "unknown key Site.limit"},
		{"nanoseconds that were meant as microseconds", "[sensor]", "[second]\njitter = 500\n[sensor]", "second.jitter: 500: want a duration with its unit"},
		{"a bare number of milliseconds", "[sensor]", "[clock]\nbound = 100\n[sensor]", "clock.bound: 100: want"},
		{"the machine's time zone", "[sensor]", "time_zone = \"Local\"\n[sensor]", "site.time_zone: want a zone"},
		{"a time zone that few machines have", "[sensor]", "time_zone = \"right/Europe/Rome\"\n[sensor]", "site.time_zone: want a zone"},
		{"no time zone", "[sensor]", "time_zone = \"\"\n[sensor]", "site.time_zone: want a zone"},
		{"a photo position at the device", "[sensor]", "photo_range = \"0m\"\n[sensor]", "site.photo_range: want more than 0m"},
		{"a photo so far away that no verifier takes it", "[sensor]", "photo_range = \"195m\"\n[sensor]", "site.photo_range: farther than"},
		{"a vehicle in two lanes", `serial = "S1"`, "serial = \"S1\"\ndriver = \"isys4001\"\nlanes = \"1.2m..4.7m, 6m..8m, 4.6m..6m\"", "lanes 1 and 3 overlap"},
		{"a quota without room for a violation", "[sensor]", "[outbox]\nquota = \"95MiB\"\n[sensor]", "outbox.quota: want at least 32MiB more"},
		{"a pulse for ever", "[sensor]", "[camera]\nstrobe_pulse = \"11ms\"\n[sensor]", "camera.strobe_pulse"},
		{"pulses without a pause", "[sensor]", "[camera]\nstrobe_interval = \"5ms\"\nstrobe_pulse = \"3ms\"\n[sensor]", "camera.strobe_pulse"},
		{"the output as its own return", "[sensor]", "[camera]\nstrobe = \"GPIO22\"\nstrobe_return = \"GPIO22\"\n[sensor]", "camera.strobe_return"},
		{"an edge that no line has", "[sensor]", "[camera]\nstrobe_edge = \"both\"\n[sensor]", "camera.strobe_edge"},
		{"a bound that no verifier passes", "[sensor]", "[camera]\nstrobe_bound = \"51ms\"\n[sensor]", "camera.strobe_bound"},
		{"a bound that no verifier reads", "[sensor]", "[camera]\nstrobe_bound = \"1.5ms\"\n[sensor]", "camera.strobe_bound"},
		{"a ring that forgets before it is asked", "[sensor]", "[camera]\ndriver = \"v4l2\"\nslots = 64\n[sensor]", "camera.slots: 64 pictures are 2.56s, and one may be asked for after 2.8"},
		{"a latency beyond any camera", "[sensor]", "[camera]\nlatency = \"3s\"\n[sensor]", "camera.latency: want 0s to 2s"},
		{"a key before any section", minimal, "limit = 50\n" + minimal, "unknown key limit: want it below a section"},
		{"not TOML", "[site]", "[site", ""},
	} {
		_, err := Parse([]byte(strings.Replace(minimal, c.from, c.to, 1)), nil)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want it to name %q", c.name, err, c.want)
		}
	}
}

func TestRateBoundsTheRangeOnlyWhereItCan(t *testing.T) {
	fast := strings.Replace(minimal, `serial = "S1"`, "serial = \"S1\"\nmaximum = \"350km/h\"\ndriver = %", 1)
	for driver, want := range map[string]bool{"rawiq": false, "iqframe": false, "ops243": false, "agd": true} {
		if _, err := Parse([]byte(strings.Replace(fast, "%", strconv.Quote(driver), 1)), nil); (err == nil) != want {
			t.Errorf("%s up to 350 km/h: %v", driver, err)
		}
	}
}

func TestCameras(t *testing.T) {
	older, err := Parse([]byte(strings.Replace(minimal, "[sensor]", "[camera]\nurl = \"http://camera/\"\n[sensor]", 1)), nil)
	if err != nil || older.Camera.Driver != "http" {
		t.Errorf("a configuration without a driver: %v, driver %q", err, older.Camera.Driver)
	}
	c, err := Parse([]byte(minimal), []string{
		"CIGLIO_CAMERA_DRIVER=v4l2", "CIGLIO_CAMERA_PATH=/dev/video0", "CIGLIO_CAMERA_FORMAT=yuyv", "CIGLIO_CAMERA_SIZE=640x480", "CIGLIO_CAMERA_INTERVAL=33.3ms",
	})
	if err != nil {
		t.Fatal(err)
	}
	want := c.Camera
	if want.Size != (Picture{640, 480}) || want.Interval != 33300*time.Microsecond || want.Path != "/dev/video0" {
		t.Errorf("camera = %+v", want)
	}
	text, err := c.AppendText(nil)
	if err != nil {
		t.Fatal(err)
	}
	again, err := Parse(text, nil)
	if err != nil || again.Camera != want {
		t.Errorf("printed and read again: %+v, %v", again.Camera, err)
	}
}

// The statement is sealed: it changes with what a measurement depends on, and
// not with where the sensor is plugged in.
func TestStatementHoldsNoAddresses(t *testing.T) {
	statement := func(sensor string) string {
		c, err := Parse([]byte(strings.Replace(minimal, `serial = "S1"`, "serial = \"S1\"\n"+sensor, 1)), nil)
		if err != nil {
			t.Fatal(err)
		}
		s, err := c.Statement()
		if err != nil {
			t.Fatal(err)
		}
		return string(s)
	}
	here := statement("driver = \"agd\"\nport = \"/dev/ttyS0\"")
	if there := statement("driver = \"agd\"\nport = \"/dev/ttyUSB3\"\nbaud = 57600\nparity = \"none\""); there != here {
		t.Errorf("another port gives another statement:\n%s\n%s", here, there)
	}
	if !strings.Contains(here, "driver = \"agd\"") || statement("driver = \"csr\"") == here {
		t.Errorf("the driver is not stated in\n%s", here)
	}
	if statement("path = \"/dev/a\"") != statement("path = \"/dev/b\"") {
		t.Error("another path gives another statement")
	}
}

// The strobe's return is what a record is judged by, and its output is not. A device
// without a return states nothing of either, as devices from before it was known.
func TestStatementHoldsTheStrobesReturn(t *testing.T) {
	statement := func(camera string) string {
		c, err := Parse([]byte(minimal+"[camera]\n"+camera), nil)
		if err != nil {
			t.Fatal(err)
		}
		s, err := c.Statement()
		if err != nil {
			t.Fatal(err)
		}
		return string(s)
	}
	if with := statement("strobe = \"GPIO23\"\nstrobe_bound = \"9ms\"\n"); with != statement("") || strings.Contains(with, "strobe_") {
		t.Errorf("a strobe without return is stated:\n%s", with)
	}
	with := statement("strobe_return = \"GPIO22\"\nstrobe_bound = \"9ms\"\n")
	for _, want := range []string{"[camera]\n", "\nstrobe_return = \"GPIO22\"\n", "\nstrobe_edge = \"rising\"\n", "\nstrobe_bound = \"9ms\"\n"} {
		if !strings.Contains(with, want) {
			t.Errorf("no %q in\n%s", want, with)
		}
	}
	if strings.Contains(with, "driver = \"http\"") {
		t.Errorf("the rest of the camera is stated:\n%s", with)
	}
}

func TestUnits(t *testing.T) {
	for _, c := range []struct {
		text string
		into encoding.TextUnmarshaler
		want int64
		back string
	}{
		{"12.4km", new(Length), 12_400_000, "12400m"},
		{"15m", new(Length), 15_000, "15m"},
		{"850mm", new(Length), 850, "850mm"},
		{"24.125GHz", new(Frequency), 24_125_000_000, "24125MHz"},
		{"24 GHz", new(Frequency), 24_000_000_000, "24GHz"},
		{"-22.5deg", new(Angle), -22_500, "-22.5deg"},
		{"0deg", new(Angle), 0, "0deg"},
		{"20GiB", new(Size), 20 << 30, "20GiB"},
		{"1536MiB", new(Size), 1536 << 20, "1536MiB"},
		{"11.3412345deg", new(Coordinate), 113_412_345, "11.3412345deg"},
	} {
		if err := c.into.UnmarshalText([]byte(c.text)); err != nil {
			t.Errorf("%s: %v", c.text, err)
			continue
		}
		if got := reflect.ValueOf(c.into).Elem().Int(); got != c.want {
			t.Errorf("%s = %d, want %d", c.text, got, c.want)
		}
		back, _ := c.into.(encoding.TextMarshaler).MarshalText()
		if string(back) != c.back {
			t.Errorf("%s prints as %s, want %s", c.text, back, c.back)
		}
	}
	for _, text := range []string{"", "m", "1", "1.m", ".5m", "1e3m", "+1m", "0x1m", "1..2m", "99999999999999999999m", "0.0001m", "-1m", "1 0m", "1mi"} {
		if l := new(Length); l.UnmarshalText([]byte(text)) == nil {
			t.Errorf("length %q is read as %d mm", text, *l)
		}
	}
}

func TestLanes(t *testing.T) {
	var l Lanes
	if err := l.UnmarshalText([]byte("1.2m..4.7m,-5m .. -0.8m")); err != nil || !reflect.DeepEqual(l, Lanes{{1200, 4700}, {-5000, -800}}) {
		t.Errorf("%v, %v", l, err)
	}
	if text, _ := l.MarshalText(); string(text) != "1200mm..4700mm, -5m..-800mm" {
		t.Errorf("printed as %s", text)
	}
	if err := l.UnmarshalText(nil); err != nil || l != nil {
		t.Errorf("no lanes are %v, %v", l, err)
	}
	for _, text := range []string{"1.2m", "4.7m..1.2m", "1m..1m", "1m..51m", "-51m..1m", "1m..2m,", "..", "1..2", strings.Repeat("1m..2m,", 16) + "1m..2m"} {
		if err := l.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q is read as %v", text, l)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(minimal))
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := Parse(text, nil)
		if err != nil {
			return
		}
		printed, err := c.AppendText(nil)
		if err != nil {
			t.Fatal(err)
		}
		back, err := Parse(printed, nil)
		if err != nil || !reflect.DeepEqual(c, back) {
			t.Fatalf("read back as %+v, %v from\n%s", back, err, printed)
		}
	})
}

func TestJSONSpellsAsTheFileDoes(t *testing.T) {
	c, err := Parse([]byte(minimal), nil)
	if err != nil {
		t.Fatal(err)
	}
	c.Site.Road = "SP \"14\"\n"
	text, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	var back struct {
		Site struct{ Road, Limit string }
	}
	if err := json.Unmarshal(text, &back); err != nil || back.Site.Road != c.Site.Road || back.Site.Limit != "70km/h" {
		t.Errorf("%s reads back as %+v, %v", text, back, err)
	}
}

// A number is what is written, on 32 bits too, or it is refused.
func TestNumbersAreNotCutOff(t *testing.T) {
	for text, get := range map[string]func(*Config) int{
		"[device]\nepoch = 4294967298":   func(c *Config) int { return c.Device.Epoch },
		"[site]\nversion = 202611290346": func(c *Config) int { return c.Site.Version },
	} {
		section, _, _ := strings.Cut(text, "\n")
		written, err := strconv.ParseInt(text[strings.Index(text, "= ")+2:], 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		c, err := Parse([]byte(strings.Replace(minimal, section, text, 1)), nil)
		if err == nil && int64(get(c)) != written {
			t.Errorf("%s is read as %d", text, get(c))
		}
	}
}

// The site may come by stick: then nothing of it is given here, and not a half.
func TestTheSiteMayComeByStick(t *testing.T) {
	without := func(c *Config) { c.Site = Default().Site }
	for name, test := range map[string]struct {
		change func(*Config)
		good   bool
	}{
		"by stick":                    {without, true},
		"by stick, and there is none": {func(c *Config) { without(c); c.Provision.Helper = "" }, false},
		"half of it":                  {func(c *Config) { without(c); c.Site.Road = "SP 14" }, false},
		"a limit alone":               {func(c *Config) { without(c); c.Site.Limit = 70 * sensor.KmH }, false},
		"all of it":                   {func(*Config) {}, true},
		"by stick, with a camera that is sampled": {func(c *Config) {
			without(c)
			c.Camera.Driver, c.Camera.URL, c.Camera.Path, c.Camera.Slots = "v4l2", "", "/dev/video0", 16
		}, true},
	} {
		c, err := Parse([]byte(minimal), nil)
		if err != nil {
			t.Fatal(err)
		}
		test.change(c)
		if err := c.Validate(); (err == nil) != test.good {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSettingsOfTheFirstStick(t *testing.T) {
	for key, values := range map[string][]string{
		"provision.root":     {"12", "xyz", "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcde"},
		"provision.light":    {"GPIO17 GPIO18"},
		"device.key":         {""},
		"device.certificate": {""},
	} {
		for _, value := range values {
			section, name, _ := strings.Cut(key, ".")
			_, err := Parse([]byte(minimal), []string{Variable(section, name) + "=" + value})
			if err == nil || !strings.Contains(err.Error(), key) {
				t.Errorf("%s = %q: %v", key, value, err)
			}
		}
	}
}
