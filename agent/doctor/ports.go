package doctor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"

	"ciglio/capture/v4l2"
	"ciglio/sensor/port"
)

// gpio looks at the GPIO chips, and at the lines that the configuration names.
func (e *examination) gpio(context.Context) []Line {
	a := e.opener()
	var lines []Line
	pins := map[string][]int{}
	for _, pin := range e.Pins {
		chip, offset, err := e.Probes.Line(pin)
		switch {
		case isPermission(err):
			lines = append(lines, unreadable(pin, err))
			continue
		case err != nil:
			lines = append(lines, doubt(Fail, pin, err.Error(), "correct second.pins by the names that gpioinfo shows"))
			continue
		}
		pins[chip] = append(pins[chip], offset)
	}
	chips := slices.DeleteFunc(e.names("/dev"), func(name string) bool {
		_, err := e.link("/dev/" + name) // to a chip, for programs that know its number of before
		return err == nil || !isNumbered(name, "gpiochip")
	})
	for _, name := range chips {
		lines = append(lines, e.chip(a, name, pins[name])...)
		delete(pins, name)
	}
	for _, name := range slices.Sorted(maps.Keys(pins)) {
		lines = append(lines, doubt(Fail, name, "not there; this machine has "+cmp.Or(strings.Join(chips, ", "), "none"),
			"another kernel may have numbered the chips anew: name the line in second.pins as gpioinfo does, such as GPIO17, where it has a name"))
	}
	if len(chips) == 0 && len(e.Pins) == 0 {
		lines = append(lines, pass("GPIO", "no chip: no contacts can be connected"))
	}
	return lines
}

func (e *examination) chip(a account, name string, offsets []int) []Line {
	if obstacle, hint := e.open(a, "/dev/"+name, toRead|toWrite); obstacle != "" {
		return []Line{doubt(verdictOf(len(offsets) > 0), name, obstacle, hint)}
	}
	c, err := e.Probes.Chip(name, offsets)
	switch {
	case errors.Is(err, port.ErrNoLine):
		return []Line{doubt(Fail, name, err.Error(), "correct second.pins by the labels and names that gpioinfo shows")}
	case isPermission(err):
		return []Line{unreadable(name, err)}
	case err != nil:
		return []Line{doubt(verdictOf(len(offsets) > 0), name, err.Error(), fmt.Sprintf("version 2 of the GPIO character device needs Linux %v or newer", gpioV2))}
	}
	lines := []Line{pass(name, "%s, %d lines, version 2", c.Label, c.Lines)}
	for _, l := range c.Infos {
		thing := fmt.Sprintf("%s-%d", name, l.Offset)
		fact := fmt.Sprintf("%s of %s", cmp.Or(l.Name, "line without a name"), c.Label)
		switch {
		case l.Used && l.Consumer == port.Consumer:
			lines = append(lines, pass(thing, "%s, held by ciglio", fact))
		case l.Used:
			lines = append(lines, doubt(Fail, thing, fmt.Sprintf("%s, in use by %q", fact, l.Consumer), "name another line, or take that driver or overlay off"))
		case l.Output:
			lines = append(lines, doubt(Fail, thing, fact+", an output", "never connect a contact to it: name another line, or make it an input in the device tree"))
		default:
			lines = append(lines, pass(thing, "%s, a free input", fact))
		}
	}
	return lines
}

// verdictOf is the verdict on a thing that is in the way, where it is named, and
// that could be, where it is only found.
func verdictOf(named bool) Verdict {
	if named {
		return Fail
	}
	return Warn
}

func isNumbered(name, stem string) bool {
	digits, ok := strings.CutPrefix(name, stem)
	_, err := strconv.ParseUint(digits, 10, 31)
	return ok && err == nil
}

// serial looks at the sensor's port, or at all there are.
func (e *examination) serial(context.Context) []Line {
	a := e.opener()
	switch {
	case e.Port != "":
		return []Line{e.port(a, e.Port, e.ports())}
	case e.Samples != "":
		if obstacle, hint := e.open(a, e.Samples, toRead); obstacle != "" {
			return []Line{doubt(Fail, e.Samples, obstacle, hint)}
		}
		return []Line{pass(e.Samples, "%s may read it", a.name)}
	}
	var lines []Line
	for _, name := range e.ports() {
		lines = append(lines, e.port(a, "/dev/"+name, nil))
	}
	if len(lines) == 0 {
		lines = append(lines, doubt(Warn, "serial ports", "none", "enable the board's UART (docs/boards.md) or plug an adapter in"))
	}
	return lines
}

// ports names the terminals with hardware behind them. The kernel also makes
// ttyS0 to ttyS3 where there is no chip: type 0.
func (e *examination) ports() []string {
	return slices.DeleteFunc(e.names("/sys/class/tty"), func(name string) bool {
		return !e.exists("/sys/class/tty/"+name+"/device") || e.empty(name)
	})
}

// empty reports whether the kernel has made a terminal without a chip behind it.
func (e *examination) empty(tty string) bool {
	return strings.TrimSpace(e.text("/sys/class/tty/"+tty+"/type")) == "0"
}

// port looks at one port without opening it: opening raises its control lines,
// and takes bytes from who holds it.
func (e *examination) port(a account, name string, others []string) Line {
	device := e.resolve(name)
	tty := path.Base(device)
	if !e.exists(device) {
		return doubt(Fail, name, "not there; this machine has "+cmp.Or(strings.Join(others, ", "), "none"),
			"plug the adapter in, enable the UART (docs/boards.md), or correct the configuration")
	}
	driver, err := e.link("/sys/class/tty/" + tty + "/device/driver")
	fact := "driver " + path.Base(driver)
	if err != nil {
		fact = "no serial port that the kernel knows"
		if strings.HasPrefix(tty, "spidev") {
			fact = "SPI slave"
		}
	}
	if device != name {
		fact = tty + ", " + fact
	}
	named := verdictOf(e.Port != "")
	if e.empty(tty) {
		return doubt(named, name, fact+", no chip behind it", "enable the board's UART (docs/boards.md)")
	}
	if use := e.consoleOn(tty); use != "" {
		return doubt(named, name, fact+", "+use, "not for a sensor as it is: take console="+tty+" from the kernel's command line and disable serial-getty@"+tty)
	}
	if holder := e.holder(device); strings.HasPrefix(holder, "ciglio ") {
		return pass(name, "%s, held by %s", fact, holder)
	} else if holder != "" {
		return doubt(named, name, fact+", held by "+holder, "end that program")
	}
	if obstacle, hint := e.open(a, device, toRead|toWrite); obstacle != "" {
		return doubt(named, name, fact+", "+obstacle, hint)
	}
	return pass(name, "%s, free as far as %s sees", fact, e.asker().name)
}

// consoleOn says which part of the system prints or logs in on a port.
func (e *examination) consoleOn(tty string) string {
	for field := range strings.FieldsSeq(e.text("/proc/cmdline")) {
		if v, ok := strings.CutPrefix(field, "console="); ok {
			if name, _, _ := strings.Cut(v, ","); name == tty {
				return "the kernel's console (" + field + ")"
			}
		}
	}
	if slices.Contains(strings.Fields(e.text("/sys/class/tty/console/active")), tty) {
		return "the kernel's console"
	}
	unit := "serial-getty@" + tty + ".service"
	if to, err := e.link("/etc/systemd/system/" + unit); err == nil && to == "/dev/null" {
		return ""
	}
	for _, root := range []string{"/etc/systemd/system", "/run/systemd/system", "/run/systemd/generator"} {
		for _, wants := range e.glob(root + "/*.wants") {
			if _, err := e.link(wants + "/" + unit); err == nil {
				return "a login prompt (" + unit + ")"
			}
		}
	}
	for line := range strings.Lines(e.text("/etc/inittab")) {
		if line = strings.TrimSpace(line); !strings.HasPrefix(line, "#") && strings.Contains(line, "getty") &&
			slices.Contains(strings.Fields(strings.ReplaceAll(line, "/dev/", "")), tty) {
			return "a login prompt (/etc/inittab)"
		}
	}
	return ""
}

// holder names the program that has a device open. Programs of others show to
// root only.
func (e *examination) holder(device string) string {
	for _, pid := range e.names("/proc") {
		if !isNumbered(pid, "") {
			continue
		}
		for _, fd := range e.names("/proc/" + pid + "/fd") {
			if to, err := e.link("/proc/" + pid + "/fd/" + fd); err == nil && to == device {
				return fmt.Sprintf("%s (process %s)", cmp.Or(e.text("/proc/"+pid+"/comm"), "a program"), pid)
			}
		}
	}
	return ""
}

// running returns the first of these names that a running program has. The kernel
// keeps 15 letters of a name.
func (e *examination) running(names ...string) string {
	for _, comm := range e.glob("/proc/[0-9]*/comm") {
		runs := e.text(comm)
		for _, name := range names {
			if runs == name[:min(15, len(name))] {
				return name
			}
		}
	}
	return ""
}

// camera looks at the camera that the configuration names, or at all there are.
func (e *examination) camera(context.Context) []Line {
	a := e.opener()
	if e.Configured && e.Camera == "" {
		return nil // a camera in the network
	}
	if e.Camera != "" {
		return []Line{e.video(a, e.Camera)}
	}
	var lines []Line
	for _, name := range e.names("/dev") {
		if isNumbered(name, "video") {
			lines = append(lines, e.video(a, "/dev/"+name))
		}
	}
	if len(lines) == 0 {
		lines = append(lines, pass("cameras", "no video device: the camera must be one in the network"))
	}
	return lines
}

func (e *examination) video(a account, name string) Line {
	named := verdictOf(e.Camera != "")
	if obstacle, hint := e.open(a, name, toRead|toWrite); obstacle != "" {
		return doubt(named, name, obstacle, hint)
	}
	device := e.resolve(name)
	if holder := e.holder(device); holder != "" && !strings.HasPrefix(holder, "ciglio ") {
		return doubt(named, name, "held by "+holder, "end that program")
	}
	c, err := e.Probes.Camera(device)
	if err != nil {
		if isPermission(err) {
			return unreadable(name, err)
		}
		return doubt(named, name, err.Error(), "look at the camera's cable, overlay and driver (dmesg)")
	}
	fact := fmt.Sprintf("%s, driver %s", c.Card, c.Driver)
	const setUp = "set camera.format and camera.size to what it has"
	switch {
	case !c.Streams && e.Camera == "":
		return pass(name, "%s, gives no pictures", fact)
	case !c.Streams:
		return doubt(Fail, name, fact+", gives no pictures", "name another video device of this camera")
	case c.Simulated:
		return doubt(named, name, fact+", simulated by the kernel: its pictures are no evidence", "unload that module, and name a real camera")
	case len(c.Modes) == 0:
		return doubt(Warn, name, fact+", names no format", "a camera of a media pipeline has to be set up first (media-ctl)")
	case e.Picture.Width > 0 && !c.Has(v4l2.Format(e.Picture.Code), e.Picture.Width, e.Picture.Height):
		return doubt(Fail, name, fmt.Sprintf("%s, has no %s of %dx%d, but %s", fact, e.Picture.Code, e.Picture.Width, e.Picture.Height, modes(c.Modes)), setUp)
	}
	return pass(name, "%s: %s", fact, modes(c.Modes))
}

// modes names each format once, with its largest size and the number of others.
func modes(all []v4l2.Mode) string {
	var formats []string
	for len(all) > 0 {
		largest, others := all[0], -1
		all = slices.DeleteFunc(slices.Clone(all), func(m v4l2.Mode) bool {
			if m.Code != largest.Code {
				return false
			}
			if others++; m.Width*m.Height > largest.Width*largest.Height {
				largest = m
			}
			return true
		})
		text := fmt.Sprintf("%s %dx%d", largest.Code, largest.Width, largest.Height)
		switch {
		case largest.Width == 0:
			text = largest.Code
		case largest.Range:
			text += " and less"
		case others > 0:
			text += fmt.Sprintf(" and %d less", others)
		}
		formats = append(formats, text)
	}
	return strings.Join(formats, ", ")
}
