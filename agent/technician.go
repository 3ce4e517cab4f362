package agent

import (
	"fmt"
	"io"
	"net/url"
	"strconv"
	"strings"
	"text/tabwriter"

	"ciglio/agent/config"
	"ciglio/agent/console"
	"ciglio/agent/device"
	"ciglio/internal/durable"
	"ciglio/sensor"
)

// The technician's three acts, asked of the running service.

// selfTest is the command `ciglio selftest`.
func selfTest(f flags) action {
	return asking(f, request{"/selftest", url.Values{}}, func(v console.SelfTest, w io.Writer) int {
		if v.Pass {
			fmt.Fprintln(w, "passed: sensor, camera and store are in order")
			return exitGood
		}
		fmt.Fprintln(w, "not passed")
		for _, found := range v.Findings {
			fmt.Fprintf(w, "  %s: %s\n", found.Code, found.Words)
		}
		return exitFailed
	})
}

const aimMore = `Without a flag it says how aiming stands: exit 0 when camera and radar are in order and
vehicles are measured. --begin closes the gate and begins; --done ends, and is the
technician's word that the lanes lie on the lanes in the picture and the mounting is tight.
The picture itself is in the console.`

// aim is the command `ciglio aim`.
func aim(f flags) action {
	file := f.String("config", config.DefaultPath, "configuration `file`")
	begin := f.Bool("begin", false, "close the gate and begin")
	done := f.Bool("done", false, "end, and confirm what was seen in the picture and that the mounting is tight")
	return func(args []string, stdout, stderr io.Writer) int {
		if exit, ok := f.parseAlone(args); !ok {
			return exit
		}
		if *begin && *done {
			return f.wrong("--begin and --done at once")
		}
		nothing := func(struct{}) int { return exitGood }
		if *begin {
			if exit := act(*file, request{"/service/begin", url.Values{}}, stderr, nothing); exit != exitGood {
				return exit
			}
		}
		exit := act(*file, request{"/aim", nil}, stderr, func(a console.Aim) int {
			if *f.json {
				printJSON(stdout, a)
			} else {
				sayAim(a, stdout)
			}
			if !a.Good {
				return exitFailed
			}
			return exitGood
		})
		switch {
		case *done:
			form := url.Values{"lanes": {"on"}, "fixed": {"on"}}
			return max(exit, act(*file, request{"/aim/done", form}, stderr, nothing))
		case *begin:
			return exitGood
		}
		return exit
	}
}

func sayAim(a console.Aim, w io.Writer) {
	state := func(ok bool) string {
		if ok {
			return "good"
		}
		return "not good"
	}
	if !a.InService {
		fmt.Fprintln(w, "the gate is not closed for service: ciglio aim --begin begins")
	}
	fmt.Fprintf(w, "camera    %s\n", state(a.Camera))
	lanes := "drawn in the console's picture"
	if !a.Marks {
		lanes = "not drawn: the configuration has no second.marks"
	}
	fmt.Fprintf(w, "lanes     %s\nsensor    %s\nvehicles  %d of %d with a speed that stands; wanted are 4 of 5, of at least 5\n", lanes, state(a.Sensor), a.Stand, a.Vehicles)
}

const acceptMore = `Without a flag it says how acceptance stands. --plan begins one: the reference instrument
and its certificate. Then for each run --run with the true speed and the vehicle, by the
number that --vehicles lists, or 0 where the device has not measured it. --end puts the
report into the chain, signed; --csv writes it to a file. A page to print is in the console.`

// accept is the command `ciglio accept`.
func accept(f flags) action {
	file := f.String("config", config.DefaultPath, "configuration `file`")
	plan := f.String("plan", "", "begin: the `reference` instrument and its certificate")
	lanes := f.Int("lanes", 1, "with --plan: how many lanes")
	directions := f.String("directions", "approaching", "with --plan: approaching, receding, or both with a comma")
	speeds := f.String("speeds", "50,70,90", "with --plan: `speeds` in km/h")
	repeat := f.Int("repeat", 3, "with --plan: runs for each lane, direction and speed")
	run := f.Int("run", 0, "enter an attempt of this run, from 1")
	reference := f.String("true", "", "with --run: the true `speed`, such as 87.4km/h")
	vehicle := f.Int("vehicle", 0, "with --run: the vehicle's number; 0 where the device has not measured it")
	vehicles := f.Bool("vehicles", false, "list the vehicles that have passed")
	end := f.Bool("end", false, "end it and sign the report")
	to := f.String("csv", "", "write the report to a `file`")
	return func(args []string, stdout, stderr io.Writer) int {
		if exit, ok := f.parseAlone(args); !ok {
			return exit
		}
		var r request
		switch {
		case *plan != "" && *run != 0 || *plan != "" && *end || *run != 0 && *end:
			return f.wrong("--plan, --run and --end are one at a time")
		case *plan != "":
			r = request{"/accept/plan", url.Values{"reference": {*plan}, "lanes": {strconv.Itoa(*lanes)}, "direction": strings.Split(*directions, ","),
				"speeds": {*speeds}, "repeat": {strconv.Itoa(*repeat)}}}
		case *run < 0 || *lanes < 1 || *repeat < 1 || *vehicle < 0:
			return f.wrong("--run, --lanes, --repeat and --vehicle count from 1")
		case *run != 0:
			v, err := sensor.ParseSpeed(*reference)
			if err != nil {
				return f.wrong("--true: %v", err)
			}
			text := strings.TrimSuffix(v.String(), " km/h")
			r = request{"/accept/run/" + strconv.Itoa(*run), url.Values{"true": {text}, "vehicle": {strconv.Itoa(*vehicle)}}}
		case *end:
			r = request{"/accept/end", url.Values{}}
		}
		if r.form != nil {
			if exit := act(*file, r, stderr, func(struct{}) int { return exitGood }); exit != exitGood {
				return exit
			}
		}
		if *vehicles {
			return act(*file, request{"/seen", nil}, stderr, func(all []device.Seen) int {
				if *f.json {
					printJSON(stdout, all)
				} else {
					sayVehicles(all, stdout)
				}
				return exitGood
			})
		}
		return act(*file, request{"/accept", nil}, stderr, func(a console.Acceptance) int {
			if *to != "" {
				if err := durable.WriteFile(*to, a.CSV(), public); err != nil {
					return fail(stderr, err, "")
				}
			}
			if *f.json {
				printJSON(stdout, a)
			} else {
				sayAcceptance(&a, stdout)
			}
			if a.Ended != nil && !a.Pass {
				return exitFailed
			}
			return exitGood
		})
	}
}

func sayVehicles(all []device.Seen, w io.Writer) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "number\ttime\tspeed\tdirection\tlane\tstands")
	for _, v := range all {
		stands := "yes"
		if len(v.Reasons) > 0 {
			stands = "no: " + strings.Join(v.Reasons, ", ")
		}
		fmt.Fprintf(t, "%d\t%s\t%v\t%v\t%d\t%s\n", v.Number, v.At.Format("15:04:05"), v.Speed, v.Direction, v.Lane, stands)
	}
	t.Flush()
}

func sayAcceptance(a *console.Acceptance, w io.Writer) {
	fmt.Fprintf(w, "acceptance begun %s by %s\nreference  %s\nsensor     %s\nallowed    ±3 km/h up to 100 km/h, ±3 %% above\n", a.Began.Format("2006-01-02 15:04:05"), a.By, a.Reference, a.Sensor)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "run\tlane\tdirection\tplanned\ttrue\tmeasured\terror\tallowed\t")
	for _, r := range a.Runs {
		if len(r.Attempts) == 0 {
			fmt.Fprintf(t, "%d\t%d\t%v\t%v\t\t\t\t\topen\n", r.Number, r.Lane, r.Direction, r.Planned)
			continue
		}
		last := r.Attempts[len(r.Attempts)-1]
		measured, off := "none", ""
		if last.Measured != nil {
			measured, off = last.Measured.Speed.String(), last.Error.String()
		}
		outcome := "passed"
		if !last.Pass {
			outcome = "not passed:"
			for _, why := range last.Why {
				outcome += " " + string(why)
			}
		}
		fmt.Fprintf(t, "%d\t%d\t%v\t%v\t%v\t%s\t%s\t%v\t%s\n", r.Number, r.Lane, r.Direction, r.Planned, last.True, measured, off, last.Limit, outcome)
	}
	t.Flush()
	switch {
	case a.Ended == nil:
		fmt.Fprintln(w, "under way")
	case a.Pass:
		fmt.Fprintln(w, "passed")
	default:
		fmt.Fprintln(w, "not passed")
	}
}
