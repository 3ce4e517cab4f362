// Package agent is the device's program: the commands of ciglio. Package device
// below it is what ciglio run starts.
package agent

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"ciglio/agent/config"
)

// The exit codes of every command.
const (
	exitGood   = 0
	exitFailed = 1
	exitUsage  = 2
)

// A command is one word of the command line, or two, such as "outbox stats".
type command struct {
	name, args, does string
	more             string // what else its help says

	// define adds the flags of the command to f and returns what it does. It does
	// nothing yet, so that help, manual and completion know the flags.
	define func(f flags) action
}

// An action does what a command is for and returns the exit code.
type action func(args []string, stdout, stderr io.Writer) int

// commands returns the table of all commands.
func commands() []command {
	return []command{
		{name: "run", args: "--config FILE", does: "the service: measure, seal, store, send", define: run},
		{name: "measure", args: "FILE…", does: "run the sensor chain on recordings, one JSON line a passage", more: measureMore, define: measure},
		{name: "verify", args: "[--trust FILE] PATH…", does: "check bundles, folders or records offline", define: verify},
		{name: "inspect", args: "PATH", does: "print a record as JSON", define: inspect},
		{name: "journal", args: "[--dir DIR] [--kind CODES] [PATH…]", does: "what was done to the device, by whom, from its records", more: journalMore, define: journalCommand},
		{name: "outbox stats", args: "--dir DIR", does: "what waits, how old, how much", define: outboxStats},
		{name: "outbox list", args: "--dir DIR", does: "the records in the outbox", define: outboxList},
		{name: "outbox acknowledge", args: "--dir DIR --by WHO --why TEXT", does: "say who knows of a loss, and why it may stand", more: acknowledgeMore, define: outboxAcknowledge},
		{name: "outbox export", args: "--dir DIR [--out DIR] SEQ…", does: "write a bundle file of any record", define: outboxExport},
		{name: "key show", args: "--config FILE", does: "the device's keys, what holds them, when certificates end, the fingerprint to compare", define: keyShow},
		{name: "key request", args: "--config FILE [--out FILE]", does: "write what the centre needs to enrol this device", define: keyRequest},
		{name: "key enrol", args: "--config FILE --code CODE [--authority HEX]", does: "enrol this device over HTTPS with a one-time code", define: keyEnrol},
		{name: "key install", args: "--config FILE --in FILE", does: "install certificates that came by hand", define: keyInstall},
		{name: "key change", args: "--config FILE [--lost]", does: "begin the next epoch with a new evidence key; the service must not run", define: keyChange},
		{name: "provision key", args: "--out FILE --passphrase FILE", does: "make the key of a desk, and print its line for the file of roles", define: provisionKey},
		{name: "provision make", args: "--kind KIND --version N … FILE…", does: "make a bundle for devices, to be signed", define: provisionMake},
		{name: "provision sign", args: "--key FILE --passphrase FILE BUNDLE", does: "add a signature to a bundle", define: provisionSign},
		{name: "provision inspect", args: "[--trust BUNDLE] BUNDLE", does: "say what is in a bundle, and whether its signatures are complete", define: provisionInspect},
		{name: "provision apply", args: "[--config FILE] BUNDLE…", does: "install bundles by hand, while the service does not run", define: provisionApply},
		{name: "software apply", args: "[--config FILE]", does: "as root: install the program that the service asks for, or put the old one back", define: softwareApply},
		{name: "software recover", args: "[--config FILE]", does: "as root, before the service starts: put the old program back after a power cut", define: softwareRecover},
		{name: "stick helper", args: "[--socket FILE]", does: "mount sticks for the service, which may not", define: stickHelper},
		{name: "doctor", args: "[--config FILE] [--user NAME]", does: "look at this machine: what is good, doubtful, or keeps it from measuring", define: doctorCommand},
		{name: "status", args: "[--config FILE]", does: "ask the running service how it stands, and why it does not measure if it does not", define: status},
		{name: "selftest", args: "[--config FILE]", does: "have the running service test itself now, and record what it finds", define: selfTest},
		{name: "aim", args: "[--begin | --done]", does: "aim camera and sensor with the gate closed", more: aimMore, define: aim},
		{name: "accept", args: "[--plan REFERENCE | --run N --true SPEED --vehicle N | --end]", does: "compare the device with a reference vehicle", more: acceptMore, define: accept},
		{name: "calibration show", args: "[--config FILE]", does: "ask the running service under which calibration it measures", define: calibrationShow},
		{name: "console code", args: "[--config FILE]", does: "make a one-time code for the technician's pages", define: consoleCode},
		{name: "diag collect", args: "[--config FILE] [--out FILE]", does: "one archive for whoever looks into a fault, without secrets", more: diagMore, define: diagCollect},
		{name: "config check", args: "--config FILE", does: "say whether the configuration is good", define: configCheck},
		{name: "config print", args: "[--config FILE]", does: "print it with comments and defaults", define: configPrint},
		{name: "version", does: "what this program is", define: version},
		{name: "help", args: "[COMMAND] [--man]", does: "list the commands, or tell how one is used; with --man as a manual page", define: help},
		{name: "completion", args: "SHELL", does: "print the completion of command lines for bash", define: completion},
	}
}

// Main runs one command and returns its exit code: 0 good, 1 failed, 2 wrong
// use.
func Main(args []string, stdout, stderr io.Writer) int {
	if len(args) == 0 {
		usage(stderr)
		return exitUsage
	}
	switch args[0] {
	case "-h", "-help", "--help":
		usage(stdout)
		return exitGood
	case "-v", "-version", "--version":
		args = append([]string{"version"}, args[1:]...)
	}
	if c, rest, ok := commandOf(args); ok {
		return c.run(rest, stdout, stderr)
	}
	return noCommand(args, stderr)
}

// commandOf finds the command that the words begin with, and what follows it.
func commandOf(args []string) (c command, rest []string, ok bool) {
	for _, c := range commands() {
		words := strings.Fields(c.name)
		if len(args) >= len(words) && slices.Equal(args[:len(words)], words) {
			return c, args[len(words):], true
		}
	}
	return command{}, nil, false
}

// noCommand says that there is no such command, and which one is meant where the
// first word tells, as with "outbox".
func noCommand(args []string, stderr io.Writer) int {
	var meant []string
	for _, c := range commands() {
		if first, _, two := strings.Cut(c.name, " "); two && first == args[0] {
			meant = append(meant, "ciglio "+c.name)
		}
	}
	words, hint := args[:1], "ciglio help lists them"
	if meant != nil {
		words, hint = args[:min(2, len(args))], "there is "+strings.Join(meant, ", ")
	}
	fmt.Fprintf(stderr, "ciglio: no command %q\nhint: %s\n", strings.Join(words, " "), hint)
	return exitUsage
}

// purpose says in a line what the program is for.
const purpose = "speed enforcement whose evidence anyone can check"

func usage(w io.Writer) {
	fmt.Fprintf(w, "ciglio %s: %s\n\n", Version, purpose)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, c := range commands() {
		fmt.Fprintf(t, "  %s\t%s\n", c.line(), c.does)
	}
	t.Flush()
	fmt.Fprintln(w, "\nEvery command has --json and --help; ciglio help COMMAND tells the same. Exit codes: 0 good, 1 failed, 2 wrong use.")
}

func (c command) run(args []string, stdout, stderr io.Writer) int {
	f := c.flags(stdout, stderr)
	return c.define(f)(args, stdout, stderr)
}

// line is how the command is typed.
func (c command) line() string {
	return strings.TrimSpace("ciglio " + c.name + " " + c.args)
}

// flags is the set of one command. Flags may stand before, between and after
// the other arguments; after a lone -- there are none.
type flags struct {
	*flag.FlagSet
	command        command
	stdout, stderr io.Writer
	json           *bool
}

// flags returns the set of the flags that every command has.
func (c command) flags(stdout, stderr io.Writer) flags {
	f := flags{FlagSet: flag.NewFlagSet("ciglio "+c.name, flag.ContinueOnError), command: c, stdout: stdout, stderr: stderr}
	f.SetOutput(io.Discard)     // wrong says it
	f.FlagSet.Usage = func() {} // parse knows whether it was asked for
	f.json = f.Bool("json", false, "print JSON")
	return f
}

// Usage says how the command is used, for one who gave it nothing to do.
func (f flags) Usage() { f.wrong("nothing to do; want %s", f.command.line()) }

// wrong says in a line what is wrong with the use of the command, and returns the
// exit code.
func (f flags) wrong(format string, args ...any) int {
	fmt.Fprintf(f.stderr, "%s: %s\nhint: ciglio help %s tells how it is used\n", f.Name(), fmt.Sprintf(format, args...), f.command.name)
	return exitUsage
}

func (f flags) help(w io.Writer) {
	fmt.Fprintf(w, "usage: %s\n", f.command.line())
	if f.command.more != "" {
		fmt.Fprintf(w, "\n%s\n\n", f.command.more)
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	f.VisitAll(func(o *flag.Flag) {
		value, does := flag.UnquoteUsage(o)
		fmt.Fprintf(t, "  %s\t%s%s\n", strings.TrimSpace("--"+o.Name+" "+value), does, byDefault(o))
	})
	t.Flush()
}

// byDefault says what a flag is when it is not given, where it is anything.
func byDefault(o *flag.Flag) string {
	if o.DefValue == "" || o.DefValue == "false" || o.DefValue == "0" {
		return ""
	}
	return " (default " + o.DefValue + ")"
}

// parse returns the arguments that are no flags. When ok is false the command
// ends with the given exit code: help was asked for, or the flags are wrong.
func (f flags) parse(args []string) (rest []string, exit int, ok bool) {
	for {
		switch err := f.Parse(args); {
		case errors.Is(err, flag.ErrHelp):
			f.help(f.stdout)
			return nil, exitGood, false
		case err != nil:
			return nil, f.wrong("%v", err), false
		}
		if used := len(args) - f.NArg(); f.NArg() == 0 || used > 0 && args[used-1] == "--" {
			return append(rest, f.Args()...), exitGood, true
		}
		rest = append(rest, f.Arg(0))
		args = f.Args()[1:]
	}
}

// parseAlone is parse for a command that takes flags only. A file name without
// its flag would otherwise pass unnoticed.
func (f flags) parseAlone(args []string) (exit int, ok bool) {
	rest, exit, ok := f.parse(args)
	if ok && len(rest) > 0 {
		return f.wrong("unexpected argument %q", rest[0]), false
	}
	return exit, ok
}

// fail prints what went wrong and a hint, and returns the exit code.
func fail(stderr io.Writer, err error, hint string) int {
	for line := range strings.SplitSeq(err.Error(), "\n") {
		fmt.Fprintf(stderr, "ciglio: %s\n", line)
	}
	if hint != "" {
		fmt.Fprintf(stderr, "hint: %s\n", hint)
	}
	return exitFailed
}

func printJSON(w io.Writer, v any) {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	e.Encode(v)
}

func version(f flags) action {
	return func(args []string, stdout, stderr io.Writer) int {
		if exit, ok := f.parseAlone(args); !ok {
			return exit
		}
		core, err := CoreID()
		if err != nil {
			return fail(stderr, err, "")
		}
		v := struct {
			Version string `json:"version"`
			CoreID  string `json:"core_id"`
			Go      string `json:"go"`
			Target  string `json:"target"`
		}{Version, core.String(), runtime.Version(), runtime.GOOS + "/" + runtime.GOARCH}
		if *f.json {
			printJSON(stdout, v)
			return exitGood
		}
		fmt.Fprintf(stdout, "ciglio %s\ncore_id %s\n%s %s\n", v.Version, v.CoreID, v.Go, v.Target)
		return exitGood
	}
}

func configCheck(f flags) action {
	path := f.String("config", config.DefaultPath, "configuration `file`")
	starts := f.Bool("starts", false, "ask only whether the service can start with it, not whether it would ever measure")
	return func(args []string, stdout, stderr io.Writer) int {
		if exit, ok := f.parseAlone(args); !ok {
			return exit
		}
		c, err := loadConfig(*path)
		var faults *config.Faults
		switch {
		case errors.As(err, &faults):
		case err != nil:
			return fail(stderr, err, printHint)
		default:
			faults = &config.Faults{All: []config.Fault{}}
		}
		var r readiness
		if !*starts {
			r = ready(c, time.Now())
		}
		good := len(faults.All)+len(r.Never) == 0
		if *f.json {
			printJSON(stdout, struct {
				File   string         `json:"file"`
				Good   bool           `json:"good"`
				Faults []config.Fault `json:"faults"`
				readiness
			}{*path, good, faults.All, r})
		} else if good {
			fmt.Fprintf(stdout, "%s: good\n", *path)
			for _, n := range r.Notes {
				fmt.Fprintf(stdout, "note: %s\n", n)
			}
		}
		if good {
			return exitGood
		}
		for _, f := range faults.All {
			fmt.Fprintf(stderr, "ciglio: %s: %v\n", *path, f)
		}
		for _, n := range r.Never {
			fmt.Fprintf(stderr, "ciglio: %s: %s%v\n", *path, neverMeasures, n)
		}
		for _, n := range r.Notes {
			fmt.Fprintf(stderr, "note: %s\n", n)
		}
		if len(faults.All) > 0 {
			fmt.Fprintf(stderr, "hint: %s\n", printHint)
		}
		return exitFailed
	}
}

const printHint = "ciglio config print shows every key with its default"

func configPrint(f flags) action {
	path := f.String("config", "", "configuration `file`; without it the defaults are printed")
	return func(args []string, stdout, stderr io.Writer) int {
		if exit, ok := f.parseAlone(args); !ok {
			return exit
		}
		c := config.Default()
		if *path != "" {
			var err error
			if c, err = config.Load(*path, os.Environ()); err != nil {
				return fail(stderr, err, "ciglio config print shows every key with its default")
			}
		}
		c.Camera.URL = redacted(c.Camera.URL) // what is printed is sent around
		if *f.json {
			printJSON(stdout, c)
			return exitGood
		}
		text, err := c.AppendText(nil)
		if err != nil {
			return fail(stderr, err, "")
		}
		stdout.Write(text)
		return exitGood
	}
}
