// Command ciglio-demo is a whole roadside in one process, without hardware: a
// simulated road and camera, the real chain of the device, an embedded broker
// and the centre. What it seals are tests, signed by keys made for this run.
//
// ciglio-demo simulate writes what the sensors beside a simulated road give, and
// the truth; docs/simulator.md describes its scenarios and files.
//
// ciglio-demo roadside is a simulated road for a device of its own, ciglio run:
// docs/operation.md says how the two meet.
//
// ciglio-demo field is a device from the box, a stick and an office, for who follows
// docs/technician.md.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"ciglio/agent"
	"ciglio/cross/simulate/roadside"
)

// The exit codes.
const (
	exitGood   = 0
	exitFailed = 1
	exitUsage  = 2
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// forever is how long the road is when nobody says how long, and at most: its
// vehicles are all made before it begins.
const forever = 7 * 24 * time.Hour

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	if len(args) > 0 {
		switch args[0] {
		case "help":
			args = append(args[1:len(args):len(args)], "--help")
		case "version", "-version", "--version":
			if len(args) == 2 && args[1] == "--json" {
				json.NewEncoder(stdout).Encode(map[string]string{"version": agent.Version})
			} else {
				fmt.Fprintln(stdout, "ciglio-demo", agent.Version)
			}
			return exitGood
		}
	}
	if len(args) > 0 {
		switch args[0] {
		case "simulate":
			return simulateCommand(ctx, args[1:], stdout, stderr)
		case "roadside":
			return roadsideCommand(ctx, args[1:], stdout, stderr)
		case "field":
			return fieldCommand(ctx, args[1:], stdout, stderr)
		}
	}
	f := flag.NewFlagSet("ciglio-demo", flag.ContinueOnError)
	f.SetOutput(io.Discard) // what is wrong is printed below, once
	var o roadside.Options
	duration := f.Duration("for", 0, "end by itself after this long, at least 15s; 0 means not")
	asJSON := f.Bool("json", false, "print one JSON object at the end and nothing else")
	f.StringVar(&o.Keep, "keep", "", "leave bundles and the trust file in this `folder`")
	f.Uint64Var(&o.Seed, "seed", 1, "which road: the same seed gives the same traffic")
	f.StringVar(&o.Listen, "listen", "127.0.0.1:8470", "`address` of the pages; another one is taken when it is in use")
	switch err := f.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprintln(stdout, "usage: ciglio-demo [flags]; the other commands: ciglio-demo help simulate, ciglio-demo help roadside, ciglio-demo help field, ciglio-demo version")
		f.SetOutput(stdout)
		f.PrintDefaults()
		return exitGood
	case err != nil:
		fmt.Fprintf(stderr, "ciglio-demo: %v\nhint: ciglio-demo --help lists the flags\n", err)
		return exitUsage
	case f.NArg() > 0:
		fmt.Fprintf(stderr, "ciglio-demo: no argument %q\nhint: ciglio-demo --help lists the flags\n", f.Arg(0))
		return exitUsage
	case *duration != 0 && *duration < 15*time.Second:
		fmt.Fprintf(stderr, "ciglio-demo: --for %v: want at least 15s\nhint: a vehicle takes some seconds to pass\n", *duration)
		return exitUsage
	case *duration > forever:
		fmt.Fprintf(stderr, "ciglio-demo: --for %v: want at most %v\nhint: without --for it goes on until Ctrl-C\n", *duration, forever)
		return exitUsage
	case *asJSON && *duration == 0:
		fmt.Fprintf(stderr, "ciglio-demo: --json without --for: want a duration\nhint: the JSON object is printed at the end\n")
		return exitUsage
	}
	o.Duration = *duration
	if o.Duration == 0 {
		o.Duration = forever
	}
	o.Log = slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	o.Say = func(format string, args ...any) { fmt.Fprintf(stdout, format+"\n", args...) }
	if *asJSON {
		o.Say = func(string, ...any) {}
	}
	r, err := roadside.Demonstrate(ctx, o)
	if ctx.Err() != nil {
		if *duration == 0 {
			return exitGood // that is how it ends
		}
		err = errors.New("stopped before the road was over")
	}
	if err != nil {
		fmt.Fprintf(stderr, "ciglio-demo: %v\n", err)
		return exitFailed
	}
	if *asJSON {
		e := json.NewEncoder(stdout)
		e.SetIndent("", "  ")
		e.Encode(r)
	} else {
		r.Print(o.Say)
	}
	if !r.OK {
		return exitFailed
	}
	return exitGood
}
