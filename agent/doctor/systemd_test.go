package doctor

import (
	"io/fs"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"

	"ciglio/capture/v4l2"
)

// What the unit refuses is found before the service finds it.
func TestUnitShutsOut(t *testing.T) {
	const unit = "[Service]\nUser=ciglio\nStateDirectory=ciglio\nDevicePolicy=closed\nDeviceAllow=char-ttyS rw\nDeviceAllow=char-video4linux rw\nProtectSystem=strict\n"
	all := &syscall.Stat_t{Uid: 7, Gid: 7}
	for _, c := range []struct {
		name, dropIn string
		subject      Subject
		want         Verdict
		say          string
	}{
		{"a serial port of a class that is allowed", "", Subject{Port: "/dev/ttyS1"}, Pass, "free"},
		{"one of another class", "", Subject{Port: "/dev/ttySC0"}, Fail, "refuses it"},
		{"allowed by class", "DeviceAllow=char-ttySC rw", Subject{Port: "/dev/ttySC0"}, Pass, "free"},
		{"allowed by name", "DeviceAllow=/dev/ttySC0 rw", Subject{Port: "/dev/ttySC0"}, Pass, "free"},
		{"all are allowed", "DevicePolicy=auto", Subject{Port: "/dev/ttySC0"}, Pass, "free"},
		{"all but what the drop-in allows are taken back", "DeviceAllow=\nDeviceAllow=char-ttySC rw", Subject{Port: "/dev/ttyS1"}, Fail, "refuses it"},
		{"a port without a chip", "", Subject{Port: "/dev/ttyS2"}, Fail, "no chip behind it"},
		{"samples from a pipe", "", Subject{Samples: "/dev/iq"}, Pass, "may read it"},
		{"samples that only root may read", "", Subject{Samples: "/dev/shut"}, Fail, "may not open it"},
		{"a camera that another program holds", "", Subject{Camera: "/dev/video0"}, Fail, "held by motion (process 9)"},
		{"the state folder", "", Subject{Dir: "/var/lib/ciglio"}, Pass, "may read and write"},
		{"another folder", "", Subject{Dir: "/data/ciglio"}, Fail, "lets nothing write there"},
		{"allowed", "ReadWritePaths=-/data", Subject{Dir: "/data/ciglio"}, Pass, "may read and write"},
		{"beside the one allowed", "ReadWritePaths=/dat", Subject{Dir: "/data/ciglio"}, Fail, "lets nothing write there"},
	} {
		file := func(s string) *fstest.MapFile {
			return &fstest.MapFile{Data: []byte(s), Mode: 0o644, Sys: &syscall.Stat_t{}}
		}
		dir := &fstest.MapFile{Mode: fs.ModeDir | 0o755, Sys: all}
		node := &fstest.MapFile{Mode: 0o600, Sys: all}
		m := Machine{UID: 7, GIDs: []int{7}, Probes: fakeProbes{cameras: map[string]v4l2.Description{"/dev/video0": {Streams: true}}}, Root: fstest.MapFS{
			"etc/passwd":                                 file("ciglio:x:7:7::/:/bin/false\n"),
			"usr/lib/systemd/system/ciglio.service":      file(unit),
			"etc/systemd/system/ciglio.service.d/x.conf": file("[Service]\n" + c.dropIn + "\n"),
			"dev": dir, "var": dir, "var/lib": dir, "data": dir,
			"dev/ttyS1":                node,
			"dev/ttyS2":                node,
			"dev/ttySC0":               node,
			"dev/video0":               node,
			"dev/iq":                   {Mode: fs.ModeNamedPipe | 0o400, Sys: all},
			"dev/shut":                 {Mode: 0o600, Sys: &syscall.Stat_t{}},
			"sys/class/tty/ttyS1/type": file("4\n"),
			"sys/class/tty/ttyS2/type": file("0\n"),
			"proc/9/comm":              file("motion\n"),
			"proc/9/fd/3":              {Data: []byte("/dev/video0"), Mode: fs.ModeSymlink | 0o777},
			"var/lib/ciglio":           dir,
			"data/ciglio":              dir,
		}}
		c.subject.Configured = true
		var lines []Line
		for _, l := range Examine(t.Context(), m, c.subject) {
			what := c.subject.Port + c.subject.Samples + c.subject.Camera + c.subject.Dir
			if l.Thing == what && (l.Check == "serial" || l.Check == "camera" || l.Check == "user") {
				lines = append(lines, l)
			}
		}
		if len(lines) != 1 || lines[0].Verdict != c.want || !strings.Contains(lines[0].Fact, c.say) {
			t.Errorf("%s: %+v, want %v, %q", c.name, lines, c.want, c.say)
		}
	}
}
