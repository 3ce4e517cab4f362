package agent

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"syscall"

	"ciglio/agent/config"
	"ciglio/agent/doctor"
	"ciglio/capture/v4l2"
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
			if err == nil {
				c = loaded
				lines = append(lines, doctor.Line{Check: "config", Thing: *path, Fact: "good"})
			} else {
				lines = append(lines, doctor.Line{Check: "config", Verdict: doctor.Fail, Thing: *path, Fact: err.Error(),
					Hint: "ciglio config print shows every key with its default; the rest is looked at without it"})
				*path = ""
			}
		}
		lines = append(lines, doctor.Examine(ctx, doctor.ThisMachine(runtime.GOARCH), subject(c, *path != "", *user))...)
		return report(stdout, lines, *f.json)
	}
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
