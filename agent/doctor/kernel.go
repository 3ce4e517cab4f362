package doctor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// release is a version of Linux: major, minor, patch.
type release [3]int

func (r release) String() string {
	if r[2] == 0 {
		return fmt.Sprintf("%d.%d", r[0], r[1])
	}
	return fmt.Sprintf("%d.%d.%d", r[0], r[1], r[2])
}

func (r release) compare(o release) int { return slices.Compare(r[:], o[:]) }

var (
	releaseText = regexp.MustCompile(`^(\d+)\.(\d+)(?:\.(\d+))?`)
	// Debian and Ubuntu number their kernels otherwise: 6.1.0-14 is 6.1.64. What
	// stands before the # is the compiler, which has a version of Debian, too.
	debianText = regexp.MustCompile(`#\d+ .*\b(?:Debian|Raspbian) (?:1:)?(\d+\.\d+(?:\.\d+)?)`)
	ubuntuText = regexp.MustCompile(`^Ubuntu \S+ (\d+\.\d+(?:\.\d+)?)`)
)

func parseRelease(s string) (release, bool) {
	m := releaseText.FindStringSubmatch(s)
	if m == nil {
		return release{}, false
	}
	var r release
	for i := range r {
		r[i], _ = strconv.Atoi(m[i+1]) // digits, or none
	}
	return r, true
}

// upstream returns which release of Linux a kernel is made from.
func upstream(osrelease, version, ubuntu string) (release, bool) {
	if m := debianText.FindStringSubmatch(version); m != nil {
		return parseRelease(m[1])
	}
	if m := ubuntuText.FindStringSubmatch(ubuntu); m != nil {
		return parseRelease(m[1])
	}
	return parseRelease(osrelease)
}

// release returns which release of Linux this kernel is made from.
func (e *examination) release() (release, bool) {
	return upstream(e.text("/proc/sys/kernel/osrelease"), e.text("/proc/version"), e.text("/proc/version_signature"))
}

func (e *examination) kernel(context.Context) []Line {
	name, err := e.read("/proc/sys/kernel/osrelease")
	if err != nil {
		return []Line{unreadable("Linux", err)}
	}
	r, ok := e.release()
	if !ok {
		return []Line{doubt(Warn, "Linux "+name, "its version is not understood", "compare it by hand with the faults in docs/boards.md")}
	}
	return append(kernelLines(name, r, kernelFaults()), e.time64())
}

// has reports whether a kernel lies in the range.
func (f kernelFault) has(r release) bool { return r.compare(f.from) >= 0 && r.compare(f.fixed) < 0 }

func kernelLines(name string, r release, faults []kernelFault) []Line {
	thing := "Linux " + name
	var lines []Line
	for _, f := range faults {
		if f.has(r) && strings.Contains(name, f.only) {
			lines = append(lines, doubt(f.verdict, thing,
				fmt.Sprintf("is %v: %s (%s)", r, f.what, f.source),
				fmt.Sprintf("install %v or newer, then check the file system (fsck) before the device is used", f.fixed)))
		}
	}
	if r.compare(gpioV2) < 0 {
		lines = append(lines, doubt(Warn, thing, fmt.Sprintf("is %v: no version 2 of the GPIO character device, and no longer maintained", r),
			fmt.Sprintf("install %v or newer", gpioV2)))
	}
	if len(lines) == 0 {
		lines = append(lines, pass(thing, "no known fault of storage in %v", r))
	}
	return lines
}

// time64 says what becomes of time after 2038-01-19. Go's runtime reads the
// clock of a 32-bit program by clock_gettime of 32-bit seconds, as of Go 1.26
// (runtime/sys_linux_arm.s, sys_linux_386.s), whatever the kernel could do.
func (e *examination) time64() Line {
	const thing = "time after 2038"
	end := time.Unix(1<<31-1, 0).UTC()
	switch e.Arch {
	case "arm", "386":
	default:
		return pass(thing, "64-bit seconds")
	}
	fact := "a 32-bit program: its clock ends on " + end.Format(time.DateOnly)
	if e.Now.AddDate(1, 0, 0).After(end) {
		return doubt(Fail, thing, fact, "install the 64-bit program and system now")
	}
	return doubt(Warn, thing, fact, "install the 64-bit program and system where the processor can, or retire the device before")
}

// memory looks at memory and what the program may take of it.
func (e *examination) memory(context.Context) []Line {
	const least, total = 400 << 20, "memory"
	size, ok := meminfo(e.text("/proc/meminfo"), "MemTotal")
	if !ok {
		return []Line{doubt(Warn, total, "not known", "is /proc mounted?")}
	}
	lines := []Line{pass(total, "%s", bytesText(size))}
	if size < least {
		lines[0] = doubt(Fail, total, bytesText(size)+": less than a device needs", "take a board with 512 MB or more")
	}
	limit, from := e.serviceEnv("GOMEMLIMIT")
	return append(lines, memoryLimit(limit, from, size))
}

func memoryLimit(limit, from string, size uint64) Line {
	const thing = "GOMEMLIMIT"
	if limit == "" {
		return doubt(Warn, thing, "not set: the program may grow until the kernel ends it", `set it in the service's unit: Environment=GOMEMLIMIT=80MiB`)
	}
	n, ok := goBytes(limit)
	switch {
	case !ok:
		return doubt(Fail, thing, fmt.Sprintf("%q is no size: the program does not start with it", limit), "write it as 80MiB")
	case n > size/2:
		return doubt(Warn, thing, fmt.Sprintf("%s, more than half of the memory (%s)", limit, from), "set it lower: the kernel and its file cache need the rest")
	}
	return pass(thing, "%s (%s)", limit, from)
}

// goBytes reads a size as Go's runtime does for GOMEMLIMIT.
func goBytes(s string) (uint64, bool) {
	if s == "off" {
		return 1<<63 - 1, true
	}
	digits := strings.TrimRight(s, "KMGTiB")
	shift, ok := map[string]int{"": 0, "B": 0, "KiB": 10, "MiB": 20, "GiB": 30, "TiB": 40}[s[len(digits):]]
	n, err := strconv.ParseUint(digits, 10, 63)
	return n << shift, ok && err == nil && n<<shift>>shift == n
}

func meminfo(text, key string) (uint64, bool) {
	for line := range strings.Lines(text) {
		if rest, ok := strings.CutPrefix(line, key+":"); ok {
			kib, err := strconv.ParseUint(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 10, 50)
			return kib << 10, err == nil
		}
	}
	return 0, false
}

func bytesText(n uint64) string {
	for _, unit := range []struct {
		size uint64
		name string
	}{{1 << 40, "TiB"}, {1 << 30, "GiB"}, {1 << 20, "MiB"}, {1 << 10, "KiB"}} {
		if n >= unit.size {
			return fmt.Sprintf("%.1f %s", float64(n)/float64(unit.size), unit.name)
		}
	}
	return fmt.Sprintf("%d bytes", n)
}

// supply looks at what the board says of its supply and temperature.
func (e *examination) supply(context.Context) []Line {
	var lines []Line
	// Raspberry Pi's firmware, by the driver of its own kernels.
	for _, f := range e.glob("/sys/devices/platform/soc*/soc*firmware/get_throttled") {
		if n, err := strconv.ParseUint(strings.TrimPrefix(e.text(f), "0x"), 16, 32); err == nil {
			lines = append(lines, throttled(uint32(n)))
		}
	}
	// The same by the driver raspberrypi-hwmon of the mainline kernel.
	for _, f := range e.glob("/sys/class/hwmon/hwmon*/name") {
		dir := strings.TrimSuffix(f, "name")
		alarm, err := e.number(dir + "in0_lcrit_alarm")
		switch {
		case e.text(f) != "rpi_volt" || err != nil:
		case alarm != 0:
			lines = append(lines, doubt(Fail, "supply", "undervoltage, says the board", supplyHint))
		default:
			lines = append(lines, pass("supply", "no undervoltage, says the board"))
		}
	}
	for _, zone := range e.glob("/sys/class/thermal/thermal_zone*") {
		milli, err := e.number(zone + "/temp")
		switch {
		case errors.Is(err, syscall.EINVAL), errors.Is(err, syscall.EAGAIN), errors.Is(err, syscall.ENODATA):
			continue // a zone that is switched off
		case err != nil:
			e.blind(zone+"/temp", err)
			continue
		}
		lines = append(lines, temperature(cmp.Or(e.text(zone+"/type"), zone), milli, e.critical(zone)))
	}
	if len(lines) == 0 {
		lines = append(lines, pass("supply", "this board tells nothing of supply and temperature"))
	}
	return lines
}

// critical returns the temperature at which the kernel switches off, 0 for none.
func (e *examination) critical(zone string) (milli int64) {
	for _, f := range e.glob(zone + "/trip_point_*_type") {
		if e.text(f) == "critical" {
			milli, _ = e.number(strings.TrimSuffix(f, "_type") + "_temp")
		}
	}
	return milli
}

const supplyHint = "measure 5 V at the board under load; a supply of its own, short thick wires, no hub between"

// throttled reads the firmware's bits as Raspberry Pi documents them for
// vcgencmd get_throttled: 0 to 3 now, 16 to 19 since start.
func throttled(bits uint32) Line {
	const thing = "supply"
	words := func(bits uint32) string {
		var w []string
		for i, name := range []string{"undervoltage", "frequency capped", "throttled", "soft temperature limit"} {
			if bits>>i&1 == 1 {
				w = append(w, name)
			}
		}
		return strings.Join(w, ", ")
	}
	switch now, since := words(bits&0xf), words(bits>>16&0xf); {
	case bits&1 == 1:
		return doubt(Fail, thing, "now: "+now, supplyHint)
	case now != "":
		return doubt(Warn, thing, "now: "+now, "better cooling, or less sun on the housing")
	case since != "":
		return doubt(Warn, thing, "since start: "+since, supplyHint)
	}
	return pass(thing, "no undervoltage and no throttling since start")
}

func temperature(name string, milli, critical int64) Line {
	const warm, margin = 80_000, 10_000
	thing, fact := "temperature "+name, fmt.Sprintf("%.1f °C", float64(milli)/1000)
	if critical > 0 {
		fact += fmt.Sprintf(", critical at %.0f °C", float64(critical)/1000)
	}
	if critical > 0 && milli >= critical-margin || critical <= 0 && milli >= warm {
		return doubt(Warn, thing, fact, "better cooling, or less sun on the housing")
	}
	return pass(thing, "%s", fact)
}

// watchdog looks at what starts the board again when all else hangs. Opening
// its device file would start it, so only its attributes are read.
func (e *examination) watchdog(context.Context) []Line {
	const dir = "/sys/class/watchdog"
	var lines []Line
	feeding := e.systemdSetting("system.conf", "RuntimeWatchdogSec")
	for _, name := range e.names(dir) {
		attribute := func(s string) string { return e.text(dir + "/" + name + "/" + s) }
		identity, state := attribute("identity"), attribute("state")
		fact := cmp.Or(identity, "its driver tells no name")
		if t := attribute("timeout"); t != "" {
			fact += ", " + t + " s"
		}
		if state != "" {
			fact += ", " + state
		}
		switch {
		case strings.Contains(identity, "Software Watchdog"):
			lines = append(lines, doubt(Warn, name, fact+": hangs with the kernel", "enable the board's own, see docs/boards.md"))
		case state == "inactive" && (feeding == "" || feeding == "0" || feeding == "off"):
			lines = append(lines, doubt(Warn, name, fact+": nobody has started it", "set RuntimeWatchdogSec= in /etc/systemd/system.conf"))
		default:
			lines = append(lines, pass(name, "%s", fact))
		}
	}
	if len(lines) == 0 {
		lines = append(lines, doubt(Warn, "watchdog", "none: a board that hangs stays so until someone comes", "enable the board's own, see docs/boards.md"))
	}
	return lines
}

// random looks at where keys come from and where they can be kept.
func (e *examination) random(context.Context) []Line {
	var lines []Line
	const least = 128 // bits; what the kernel counts up to is 256 since 5.18
	source := e.text("/sys/class/misc/hw_random/rng_current")
	switch bits, err := e.number("/proc/sys/kernel/random/entropy_avail"); {
	case err != nil:
		lines = append(lines, unreadable("random numbers", err))
	case bits < least:
		lines = append(lines, doubt(Fail, "random numbers", fmt.Sprintf("%d bits gathered", bits), "make no key yet: wait, or enable the board's generator"))
	default:
		lines = append(lines, pass("random numbers", "%d bits gathered, hardware generator: %s", bits, cmp.Or(source, "none")))
	}
	tpms := e.names("/sys/class/tpm")
	for _, name := range tpms {
		if v := e.text("/sys/class/tpm/" + name + "/tpm_version_major"); v == "1" {
			lines = append(lines, doubt(Warn, name, "TPM 1.2: of no use", "take one of version 2.0"))
		} else {
			lines = append(lines, pass(name, "TPM %s", cmp.Or(v, "of a version that the kernel does not tell")))
		}
	}
	if len(tpms) == 0 {
		lines = append(lines, pass("TPM", "none: the evidence key is a file"))
	}
	return lines
}
