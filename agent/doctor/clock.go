package doctor

import (
	"cmp"
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// clock looks at the machine's clocks: the counter behind them, how good UTC is,
// who keeps it, and what keeps it without power and network.
func (e *examination) clock(context.Context) []Line {
	lines := []Line{e.counter(), e.utc(), e.timeDaemon(), e.rtc()}
	return append(lines, e.pps()...)
}

func (e *examination) counter() Line {
	const thing, dir = "clock source", "/sys/devices/system/clocksource/clocksource0/"
	current, err := e.read(dir + "current_clocksource")
	if err != nil {
		return unreadable(thing, err)
	}
	if strings.Contains(current, "jiffies") {
		return doubt(Fail, thing, current+": counts milliseconds only", "take another kernel, or clocksource= on its command line; there are: "+e.text(dir+"available_clocksource"))
	}
	return pass(thing, "%s", current)
}

func (e *examination) utc() Line {
	if e.ClockFree {
		return doubt(Warn, "UTC", "clock.source is simulated: nobody answers for it, and every record is a test", `clock.source = "system" to measure`)
	}
	s, err := e.Probes.Clock()
	if err != nil {
		return unreadable("UTC", err)
	}
	fact := fmt.Sprintf("synchronised, offset %v, standard uncertainty %v", s.Offset, s.Uncertainty.Round(time.Microsecond))
	const hint = "look at the time daemon: chronyc tracking, chronyc sources"
	if !s.Synchronised {
		return doubt(e.needed(), "UTC", "not synchronised", hint)
	}
	if off := s.Bound(); e.ClockBound > 0 && off > e.ClockBound {
		return doubt(Fail, "UTC", fmt.Sprintf("%s: beyond clock.bound, %v", fact, e.ClockBound), hint)
	}
	return pass("UTC", "%s", fact)
}

func (e *examination) timeDaemon() Line {
	const thing = "time daemon"
	switch name := e.running("chronyd", "ntpd", "ntpsec", "ptp4l", "systemd-timesyncd"); name {
	case "":
		return doubt(Warn, thing, "none that is known runs here", "install chrony")
	case "systemd-timesyncd":
		return doubt(Warn, thing, name+": speaks up to 34 minutes apart, in which the kernel's bound grows by 0.5 ms a second, beyond 100 ms",
			"install chrony in its place")
	default:
		return pass(thing, "%s", name)
	}
}

func (e *examination) rtc() Line {
	const thing, dir = "RTC", "/sys/class/rtc/"
	names := e.names(dir)
	if len(names) == 0 {
		return doubt(Warn, thing, "none: after a power cut the device does not know the time until it reaches a server", "fit one with a battery, see docs/boards.md")
	}
	name := names[0]
	for _, n := range names {
		if e.text(dir+n+"/hctosys") == "1" {
			name = n // the one that the system's time is set from
		}
	}
	named := thing + " " + name
	seconds, err := e.number(dir + name + "/since_epoch")
	if err != nil {
		return doubt(Warn, named, "cannot be read: "+plain(err), "battery, wiring, or never set: hwclock --systohc")
	}
	const most = 5 * time.Second // the kernel sets it every 11 minutes while synchronised
	chip := cmp.Or(e.text(dir+name+"/name"), "unknown chip")
	if off := e.Now.Sub(time.Unix(seconds, 0)); off.Abs() > most {
		said := time.Unix(seconds, 0).UTC().Format(time.RFC3339)
		return doubt(Warn, named, fmt.Sprintf("%s says %s when the system says %s", chip, said, e.Now.UTC().Format(time.RFC3339)), "battery? Local time in it? Once UTC is right: hwclock --systohc --utc")
	}
	return pass(named, "%s, within %v of the system's time", chip, most)
}

func (e *examination) pps() []Line {
	const dir = "/sys/class/pps/"
	var lines []Line
	for _, name := range e.names(dir) {
		// assert is "seconds.nanoseconds#count" of the last pulse.
		stamp, count, _ := strings.Cut(e.text(dir+name+"/assert"), "#")
		whole, _, _ := strings.Cut(stamp, ".")
		seconds, err := strconv.ParseInt(whole, 10, 64)
		age := e.Now.Sub(time.Unix(seconds, 0))
		switch label := cmp.Or(e.text(dir+name+"/name"), name); {
		case err != nil || count == "0" || seconds == 0:
			lines = append(lines, doubt(Warn, name, label+": no pulse yet", "receiver without sky, or wired to another line"))
		case age > 3*time.Second:
			lines = append(lines, doubt(Warn, name, fmt.Sprintf("%s: last pulse %v ago", label, age.Round(time.Second)), "receiver without sky, or a broken wire"))
		default:
			lines = append(lines, pass(name, "%s, %s pulses", label, count))
		}
	}
	if len(lines) == 0 {
		lines = append(lines, pass("PPS", "none: UTC comes by network"))
	}
	return lines
}
