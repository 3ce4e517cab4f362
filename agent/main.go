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
	run              func(args []string, stdout, stderr io.Writer) int
}

var commands = []command{
	{"run", "--config FILE", "the service: measure, seal, store, send", run},
	{"measure", "FILE…", "run the sensor chain on recordings, one JSON line a passage", measure},
	{"verify", "[--trust FILE] PATH…", "check bundles, folders or records offline", verify},
	{"inspect", "PATH", "print a record as JSON", inspect},
	{"outbox stats", "--dir DIR", "what waits, how old, how much", outboxStats},
	{"outbox list", "--dir DIR", "the records in the outbox", outboxList},
	{"outbox export", "--dir DIR [--out DIR] SEQ…", "write a bundle file of any record", outboxExport},
	{"doctor", "[--config FILE] [--user NAME]", "look at this machine: what is good, doubtful, or keeps it from measuring", doctorCommand},
	{"config check", "--config FILE", "say whether the configuration is good", configCheck},
	{"config print", "[--config FILE]", "print it with comments and defaults", configPrint},
	{"version", "", "what this program is", version},
}

// Main runs one command and returns its exit code: 0 good, 1 failed, 2 wrong
// use.
func Main(args []string, stdout, stderr io.Writer) int {
	if len(args) == 0 {
		usage(stderr)
		return exitUsage
	}
	if slices.Contains([]string{"help", "-h", "-help", "--help"}, args[0]) {
		usage(stdout)
		return exitGood
	}
	for _, c := range commands {
		words := strings.Fields(c.name)
		if len(args) >= len(words) && slices.Equal(args[:len(words)], words) {
			return c.run(args[len(words):], stdout, stderr)
		}
	}
	fmt.Fprintf(stderr, "ciglio: no command %q\nhint: ciglio help lists them\n", strings.Join(args[:min(2, len(args))], " "))
	return exitUsage
}

func usage(w io.Writer) {
	fmt.Fprintf(w, "ciglio %s: speed enforcement whose evidence anyone can check\n\n", Version)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, c := range commands {
		fmt.Fprintf(t, "  ciglio %s %s\t%s\n", c.name, c.args, c.does)
	}
	t.Flush()
	fmt.Fprintln(w, "\nEvery command has --json and --help. Exit codes: 0 good, 1 failed, 2 wrong use.")
}

// flags is the set of one command. Flags may stand before, between and after
// the other arguments.
type flags struct {
	*flag.FlagSet
	json *bool
}

func newFlags(name, args string, stderr io.Writer) flags {
	f := flags{FlagSet: flag.NewFlagSet("ciglio "+name, flag.ContinueOnError)}
	f.SetOutput(stderr)
	f.Usage = func() {
		fmt.Fprintf(stderr, "usage: ciglio %s %s\n", name, args)
		f.PrintDefaults()
	}
	f.json = f.Bool("json", false, "print JSON")
	return f
}

// parse returns the arguments that are no flags. When ok is false the command
// ends with the given exit code: help was asked for, or the flags are wrong.
func (f flags) parse(args []string) (rest []string, exit int, ok bool) {
	for {
		switch err := f.Parse(args); {
		case errors.Is(err, flag.ErrHelp):
			return nil, exitGood, false
		case err != nil:
			return nil, exitUsage, false
		}
		if f.NArg() == 0 {
			return rest, exitGood, true
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
		fmt.Fprintf(f.Output(), "%s: unexpected argument %q\n", f.Name(), rest[0])
		f.Usage()
		return exitUsage, false
	}
	return exit, ok
}

// fail prints what went wrong and a hint, and returns the exit code.
func fail(stderr io.Writer, err error, hint string) int {
	fmt.Fprintf(stderr, "ciglio: %v\n", err)
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

func version(args []string, stdout, stderr io.Writer) int {
	f := newFlags("version", "", stderr)
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

func configCheck(args []string, stdout, stderr io.Writer) int {
	f := newFlags("config check", "--config FILE", stderr)
	path := f.String("config", config.DefaultPath, "configuration `file`")
	if exit, ok := f.parseAlone(args); !ok {
		return exit
	}
	if _, err := loadConfig(*path); err != nil {
		return fail(stderr, err, "ciglio config print shows every key with its default")
	}
	if *f.json {
		printJSON(stdout, map[string]any{"file": *path, "good": true})
	} else {
		fmt.Fprintf(stdout, "%s: good\n", *path)
	}
	return exitGood
}

func configPrint(args []string, stdout, stderr io.Writer) int {
	f := newFlags("config print", "[--config FILE]", stderr)
	path := f.String("config", "", "configuration `file`; without it the defaults are printed")
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
