package agent

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"ciglio/agent/config"
	"ciglio/agent/doctor"
)

func TestDoctorExitCodes(t *testing.T) {
	line := func(v doctor.Verdict) doctor.Line {
		return doctor.Line{Check: "disk", Verdict: v, Thing: "mmcblk0", Fact: "a fact", Hint: "a hint"}
	}
	for _, c := range []struct {
		name  string
		lines []doctor.Line
		want  int
		last  string
	}{
		{"all pass", []doctor.Line{line(doctor.Pass)}, exitGood, "1 pass, 0 warn, 0 fail"},
		{"a warning is no failure", []doctor.Line{line(doctor.Pass), line(doctor.Warn)}, exitGood, "1 pass, 1 warn, 0 fail"},
		{"a failure is one", []doctor.Line{line(doctor.Fail), line(doctor.Pass)}, exitFailed, "1 pass, 0 warn, 1 fail"},
	} {
		var text, asJSON bytes.Buffer
		if got := report(&text, c.lines, false); got != c.want || !strings.HasSuffix(text.String(), c.last+"\n") {
			t.Errorf("%s: exit %d, want %d: %s", c.name, got, c.want, &text)
		}
		if got := report(&asJSON, c.lines, true); got != c.want {
			t.Errorf("%s: exit %d with JSON, want %d", c.name, got, c.want)
		}
		var read struct {
			Good  bool
			Lines []struct{ Check, Verdict, Thing, Fact, Hint string }
		}
		if err := json.Unmarshal(asJSON.Bytes(), &read); err != nil || read.Good != (c.want == exitGood) || len(read.Lines) != len(c.lines) ||
			read.Lines[0].Verdict != c.lines[0].Verdict.String() {
			t.Errorf("%s: %v, %s", c.name, err, &asJSON)
		}
	}
	var out, errs bytes.Buffer
	if got := Main([]string{"doctor", "--colour"}, &out, &errs); got != exitUsage {
		t.Errorf("exit %d for a wrong flag, want %d", got, exitUsage)
	}
	if got := Main([]string{"doctor", "/etc/ciglio/ciglio.toml"}, &out, &errs); got != exitUsage {
		t.Errorf("exit %d for a file without its flag, want %d", got, exitUsage)
	}
}

func TestDoctorLooksAtWhatTheConfigurationNames(t *testing.T) {
	c := config.Default()
	c.Sensor.Driver, c.Sensor.Port = "agd", "/dev/ttyUSB0"
	c.Second.Method, c.Second.Pins = "contacts", "gpiochip0-17 gpiochip0-27"
	s := subject(c, true, "")
	if !s.Configured || s.Port != "/dev/ttyUSB0" || len(s.Pins) != 2 || s.Dir != c.Device.Dir || s.Key != c.Device.Key ||
		s.Quota != int64(c.Outbox.Quota) || s.Reserve != int64(c.Outbox.Reserve) || s.ClockBound != 100*time.Millisecond {
		t.Errorf("%+v", s)
	}
	if s.Camera != "" {
		t.Errorf("a camera in the network has device %q", s.Camera)
	}
	c.Camera.Driver, c.Camera.Path = "v4l2", "/dev/video2"
	if s := subject(c, true, ""); s.Camera != "/dev/video2" || s.Picture.Code != "mjpeg" || s.Picture.Width != 1280 || s.Picture.Height != 720 {
		t.Errorf("%+v", s)
	}
	c.Second.Method = "none"
	if s := subject(c, true, ""); len(s.Pins) != 0 {
		t.Errorf("lines that nothing uses: %+v", s)
	}
	c.Sensor.Driver, c.Sensor.Path, c.Sensor.Port = "rawiq", "/dev/iq", ""
	if s := subject(c, true, ""); s.Samples != "/dev/iq" || s.Port != "" {
		t.Errorf("%+v", s)
	}
	if s := subject(c, false, "me"); s.Configured || s.Port != "" || s.User != "me" || s.Dir == "" {
		t.Errorf("without a configuration: %+v", s)
	}
}
