package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"syscall"
	"time"

	"ciglio/agent/config"
	"ciglio/agent/doctor"
	"ciglio/capture/evidence"
	"ciglio/capture/v4l2"
	"ciglio/uplink/outbox"
)

// doctorCommand looks at the machine, with or without a configuration.
func doctorCommand(f flags) action {
	path := f.String("config", "", "configuration `file`; without it all that is found is looked at")
	user := f.String("user", "", "`name` of the user that the service runs as; without it the one of its unit, or "+doctor.ServiceUser)
	return func(args []string, stdout, stderr io.Writer) int {
		if exit, ok := f.parseAlone(args); !ok {
			return exit
		}
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
		defer stop()
		var lines []doctor.Line
		c := config.Default()
		if *path != "" {
			loaded, err := loadConfig(*path)
			lines = append(lines, examineConfig(*path, loaded, err)...)
			if err == nil {
				c = loaded
			} else {
				*path = ""
			}
		}
		stored := make(chan []doctor.Line, 1)
		go func() { stored <- examineRecords(ctx, outboxDir(c)) }()
		lines = append(lines, doctor.Examine(ctx, doctor.ThisMachine(runtime.GOARCH), subject(c, *path != "", *user))...)
		select {
		case more := <-stored:
			lines = append(lines, more...)
		case <-time.After(recordsGrace): // the disk hangs, or they are too many
			lines = append(lines, doctor.Line{Check: "records", Verdict: doctor.Warn, Thing: outboxDir(c),
				Fact: "not looked through in time", Hint: "ciglio outbox stats takes the time it needs"})
		}
		return report(stdout, lines, *f.json)
	}
}

// examineConfig says what config check says, a line each.
func examineConfig(path string, c *config.Config, err error) []doctor.Line {
	line := func(v doctor.Verdict, fact, hint string) doctor.Line {
		return doctor.Line{Check: "config", Verdict: v, Thing: path, Fact: fact, Hint: hint}
	}
	var faults *config.Faults
	var lines []doctor.Line
	const hint = printHint + "; the rest is looked at without it"
	switch {
	case errors.As(err, &faults):
		for _, f := range faults.All {
			lines = append(lines, line(doctor.Fail, f.String(), hint))
		}
	case err != nil:
		return []doctor.Line{line(doctor.Fail, err.Error(), hint)}
	}
	r := ready(c, time.Now())
	for _, f := range r.Never {
		lines = append(lines, line(doctor.Fail, neverMeasures+f.String(), "ciglio config check says the same"))
	}
	if lines == nil {
		lines = append(lines, line(doctor.Pass, "good", ""))
	}
	for _, n := range r.Notes {
		lines = append(lines, line(doctor.Warn, n, "to be known, or to be done before the device measures"))
	}
	return lines
}

// Records are looked through while the machine is, and a little longer; the
// doctor ends within 15 seconds.
const (
	recordsLimit = 10 * time.Second
	recordsGrace = time.Second
)

// examineRecords says what the outbox cannot read, misses or has set aside, in the
// words of ciglio outbox stats.
func examineRecords(ctx context.Context, dir string) []doctor.Line {
	line := doctor.Line{Check: "records", Thing: dir}
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		line.Fact = "none yet"
		return []doctor.Line{line}
	}
	ctx, cancel := context.WithTimeout(ctx, recordsLimit)
	defer cancel()
	view, err := outbox.OpenView(dir, evidence.DeviceID{})
	if err == nil {
		defer view.Close()
		err = view.Examine(ctx, false)
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		line.Verdict, line.Fact, line.Hint = doctor.Warn, "not looked through in time", "ciglio outbox stats takes the time it needs"
		return []doctor.Line{line}
	case errors.Is(err, fs.ErrPermission):
		line.Verdict, line.Fact, line.Hint = doctor.Warn, "not known: "+err.Error(), "run it as root or as the service's user"
		return []doctor.Line{line}
	case err != nil:
		line.Verdict, line.Fact, line.Hint = doctor.Fail, err.Error(), lossHint
		return []doctor.Line{line}
	}
	s, losses := view.Stats(), lossesOf(view.Report())
	line.Fact = fmt.Sprintf("%d records; %s", s.Records, waitingWords(s, losses))
	if len(losses.Losses) == 0 {
		return []doctor.Line{line}
	}
	line.Verdict, line.Fact, line.Hint = doctor.Warn, line.Fact+"; "+losses.count(), lossHint
	if losses.exit() != exitGood {
		line.Verdict = doctor.Fail
	}
	lines := []doctor.Line{line}
	for _, l := range losses.Losses {
		one := doctor.Line{Check: "records", Verdict: doctor.Fail, Thing: dir, Fact: l.String(), Hint: "ciglio outbox stats reads the waiting records through"}
		if l.Acknowledged != nil {
			one.Verdict = doctor.Warn
		}
		lines = append(lines, one)
	}
	return lines
}

// subject says what of the machine a configuration needs. The doctor knows
// whole paths only.
func subject(c *config.Config, configured bool, user string) doctor.Subject {
	whole := func(path string) string {
		if abs, err := filepath.Abs(path); path != "" && err == nil {
			return abs
		}
		return path
	}
	s := doctor.Subject{
		User: user, Dir: whole(c.Device.Dir), Key: whole(c.Device.Key),
		Quota: int64(c.Outbox.Quota), Reserve: int64(c.Outbox.Reserve),
	}
	if !configured {
		return s
	}
	s.Configured, s.ClockBound, s.ClockFree = true, c.Clock.Bound, c.Clock.Source == "simulated"
	s.Port, s.Samples = whole(c.Sensor.Port), whole(c.Sensor.Path)
	if c.Camera.Driver == "v4l2" {
		s.Camera = whole(c.Camera.Path)
		s.Picture = v4l2.Mode{Code: c.Camera.Format, Width: c.Camera.Size.Width, Height: c.Camera.Size.Height}
	}
	if c.Second.Method == "contacts" {
		s.Pins = slices.Concat(c.Second.LanePins()...)
	}
	return s
}

func report(w io.Writer, lines []doctor.Line, asJSON bool) int {
	var count [doctor.Fail + 1]int
	for _, l := range lines {
		count[l.Verdict]++
	}
	good := count[doctor.Fail] == 0
	if asJSON {
		printJSON(w, struct {
			Good  bool          `json:"good"`
			Pass  int           `json:"pass"`
			Warn  int           `json:"warn"`
			Fail  int           `json:"fail"`
			Lines []doctor.Line `json:"lines"`
		}{good, count[doctor.Pass], count[doctor.Warn], count[doctor.Fail], lines})
	} else {
		for _, l := range lines {
			fmt.Fprintf(w, "%v  %-9s %s: %s\n", l.Verdict, l.Check, l.Thing, l.Fact)
			if l.Hint != "" {
				fmt.Fprintf(w, "%16s%s\n", "hint: ", l.Hint)
			}
		}
		fmt.Fprintf(w, "%d pass, %d warn, %d fail\n", count[doctor.Pass], count[doctor.Warn], count[doctor.Fail])
	}
	if !good {
		return exitFailed
	}
	return exitGood
}
