// Package doctor looks at the machine that a device is to run on and says, line
// by line, what is good, what is doubtful and what keeps it from measuring.
//
// It changes nothing: it opens no serial port and no watchdog, requests no GPIO
// line, and sets no clock. The one thing it writes is a file of 32 KiB in the
// device's own folder, to measure how long that takes, and it removes it again.
//
// Each check is a function over a file system, which is the root of the machine
// or a fake of it, and over [Probes], which ask the kernel what no file says.
// They run beside each other, each with a deadline. One that hangs, on a dead
// card or network file system, is a line of its own and holds up no other; its
// goroutine is left behind with the system call that does not return, and so is
// that file when it is the flush that hangs.
package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"ciglio/capture/v4l2"
	"ciglio/sensor"
	"ciglio/sensor/port"
)

// A Verdict says how a line is meant.
type Verdict int

// The verdicts, from good to bad.
const (
	Pass Verdict = iota
	Warn         // the device works, with what the line says
	Fail         // the device does not work, or can lose records
)

func (v Verdict) String() string { return [...]string{"PASS", "WARN", "FAIL"}[v] }

// MarshalText implements [encoding.TextMarshaler].
func (v Verdict) MarshalText() ([]byte, error) { return []byte(v.String()), nil }

// A Line is one thing that was looked at.
type Line struct {
	Check   string  `json:"check"` // such as "kernel"
	Verdict Verdict `json:"verdict"`
	Thing   string  `json:"thing"` // such as "/dev/ttyAMA0"
	Fact    string  `json:"fact"`
	Hint    string  `json:"hint,omitempty"` // what to do; never empty unless the verdict is Pass
}

// A Subject says what of the machine matters. Its zero value is a machine
// without a configuration: all that is found is looked at, and what is only
// needed by some devices is no failure.
type Subject struct {
	Configured bool
	User       string // the service runs as; "" for who asks
	Port       string // serial port or SPI slave of the sensor
	Samples    string // file or pipe that a sensor without one is read from
	Pins       []string
	Camera     string        // device file of a camera
	Picture    v4l2.Mode     // that the camera is set to
	Dir        string        // of the device's state; its folder of records lies in it
	Key        string        // evidence key
	Quota      int64         // bytes of records
	Reserve    int64         // bytes without which nothing goes on
	ClockBound time.Duration // 0 for none
	ClockFree  bool          // nobody answers for UTC: what is recorded is a test
}

// A Machine is what is looked at.
type Machine struct {
	Root   fs.FS // of the whole machine
	Probes Probes
	Arch   string // as runtime.GOARCH
	UID    int    // who asks
	GIDs   []int
	Env    []string // as os.Environ
	Now    time.Time
}

// Probes ask the kernel what no file says. They change nothing, and may block.
type Probes interface {
	// Chip describes a GPIO chip and those of its lines, by version 2 of the
	// character device.
	Chip(name string, offsets []int) (port.Chip, error)
	// Line finds the chip and offset of a line by its name; see [port.FindLine].
	Line(name string) (chip string, offset int, err error)
	// Clock says how good UTC is.
	Clock() (sensor.ClockState, error)
	// Space tells what is free where a folder lies.
	Space(dir string) (Space, error)
	// Flush measures small durable writes in a folder until enough are done or
	// ctx ends.
	Flush(ctx context.Context, dir string) (Flush, error)
	// Camera describes a video device.
	Camera(path string) (v4l2.Description, error)
}

// Space is what is free on a file system. Inodes is 0 where there are none.
type Space struct{ Free, Size, FreeInodes, Inodes uint64 }

// examination is one run of one check.
type examination struct {
	Machine
	Subject
	unseen []Line // files that are there and could not be read
}

type check struct {
	name  string
	limit time.Duration
	run   func(e *examination, ctx context.Context) []Line
}

// checks are in the order of the lines. The longest limit bounds the whole.
func checks() []check {
	const short, long = 5 * time.Second, 12 * time.Second
	return []check{
		{"kernel", short, (*examination).kernel},
		{"memory", short, (*examination).memory},
		{"supply", short, (*examination).supply},
		{"clock", short, (*examination).clock},
		{"watchdog", short, (*examination).watchdog},
		{"user", short, (*examination).user},
		{"gpio", short, (*examination).gpio},
		{"serial", short, (*examination).serial},
		{"camera", short, (*examination).camera},
		{"storage", short, (*examination).storage},
		{"space", long, (*examination).space},
		{"flush", long, (*examination).flush},
		{"random", short, (*examination).random},
	}
}

// Examine runs every check and returns their lines in a fixed order. It returns
// within 15 seconds, whatever hangs.
func Examine(ctx context.Context, m Machine, s Subject) []Line {
	return examine(ctx, m, s, checks())
}

func examine(ctx context.Context, m Machine, s Subject, checks []check) []Line {
	results := make([]chan []Line, len(checks))
	start := time.Now()
	for i, c := range checks {
		results[i] = make(chan []Line, 1)
		go func() {
			ctx, cancel := context.WithTimeout(ctx, c.limit)
			defer cancel()
			e := &examination{Machine: m, Subject: s}
			lines := c.run(e, ctx)
			results[i] <- append(lines, e.unseen...)
		}()
	}
	var all []Line
	for i, c := range checks {
		lines, err := await(ctx, results[i], time.Until(start.Add(c.limit+grace)))
		if err != nil {
			lines = []Line{doubt(Fail, c.name, err.Error(), "a disk, card or driver does not answer: look at dmesg")}
		}
		for _, l := range lines {
			l.Check = c.name
			all = append(all, l)
		}
	}
	return all
}

// grace is for a check that ends by its context, at the limit.
const grace = time.Second

var (
	errHangs       = errors.New("no answer in time")
	errInterrupted = errors.New("interrupted")
)

// await returns a result that is there, or comes in time.
func await(ctx context.Context, result <-chan []Line, within time.Duration) ([]Line, error) {
	select {
	case lines := <-result:
		return lines, nil
	default:
	}
	timer := time.NewTimer(within)
	defer timer.Stop()
	select {
	case lines := <-result:
		return lines, nil
	case <-timer.C:
		return nil, errHangs
	case <-ctx.Done():
	}
	timer.Reset(grace) // for the file of the flush to be removed
	select {
	case <-result:
	case <-timer.C:
	}
	return nil, errInterrupted
}

func pass(thing, format string, args ...any) Line {
	return Line{Verdict: Pass, Thing: thing, Fact: fmt.Sprintf(format, args...)}
}

// doubt is a line of that verdict with a hint.
func doubt(v Verdict, thing, fact, hint string) Line {
	return Line{Verdict: v, Thing: thing, Fact: fact, Hint: hint}
}

// needed is the verdict on a thing that a configured device cannot do without.
func (e *examination) needed() Verdict {
	if e.Configured {
		return Fail
	}
	return Warn
}

// unreadable is the line of a fact that could not be had.
func unreadable(thing string, err error) Line {
	hint := "this kernel or board does not tell"
	if isPermission(err) {
		hint = "run it as root or as the service's user"
	}
	return doubt(Warn, thing, "not known: "+plain(err), hint)
}

// ThisMachine returns the machine that the program runs on.
func ThisMachine(arch string) Machine {
	gids, _ := os.Getgroups() // without them fewer files count as open to us
	return Machine{
		Root: os.DirFS("/"), Probes: kernelProbes{}, Arch: arch,
		UID: os.Geteuid(), GIDs: append(gids, os.Getegid()), Env: os.Environ(), Now: time.Now(),
	}
}
