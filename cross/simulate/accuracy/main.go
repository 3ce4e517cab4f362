package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	os.Exit(command(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// options are what a person may ask for.
type options struct {
	passages int
	seed     uint64
	class    string // all when empty
	replay   uint64 // one road of class; 0 for none
	keep     string // folder for the scenarios of roads with faults; empty for none
	docs     string // folder whose report is written anew; empty for none
}

func command(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	var o options
	f := flag.NewFlagSet("accuracy", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.IntVar(&o.passages, "passages", 300, "`number` of simulated vehicles, at least")
	f.Uint64Var(&o.seed, "seed", 1, "`seed` of all roads")
	f.StringVar(&o.class, "class", "", "`class` of roads; all when empty")
	f.Uint64Var(&o.replay, "replay", 0, "one road of -class, by the `seed` that a fault names")
	f.StringVar(&o.keep, "keep", "", "`folder` for the scenario files of roads with faults, for ciglio-demo simulate")
	f.StringVar(&o.docs, "docs", "", "`folder` whose accuracy.md is written anew; none when empty")
	switch err := f.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		return 2
	case f.NArg() > 0:
		fmt.Fprintf(stderr, "accuracy: no argument %q\nhint: -help lists the flags\n", f.Arg(0))
		return 2
	}
	roads := Roads(o.seed, o.passages, o.class)
	if o.replay != 0 {
		r, ok := Replay(o.class, o.replay)
		roads = []Road{r}
		if !ok {
			roads = nil
		}
	}
	if len(roads) == 0 {
		fmt.Fprintf(stderr, "accuracy: no class %q\nhint: docs/accuracy.md lists them\n", o.class)
		return 2
	}
	r, err := Run(ctx, roads)
	if err == nil {
		r.list(stdout)
		err = r.leave(o)
	}
	if err != nil {
		fmt.Fprintf(stderr, "accuracy: %v\n", err)
		return 1
	}
	short := r.Short()
	if o.class != "" { // one class is held to having no fault
		short = nil
		if n := len(r.Faults); n > 0 {
			short = []string{fmt.Sprintf("%d faults", n)}
		}
	}
	for _, s := range short {
		fmt.Fprintf(stderr, "accuracy: %s\n", s)
	}
	if short != nil {
		return 1
	}
	return 0
}

// list prints all that the report sums up.
func (r *Result) list(w io.Writer) {
	for _, name := range r.classNames() {
		s := r.tallyOf(func(o *Outcome) bool { return o.Class == name })
		fmt.Fprintf(w, "%-22s %3d vehicles: %3d found, %3d marked (%d off), %3d discarded, %3d missed %s\n", name, s.vehicles, s.found, s.marked, s.markedOff, s.discarded, s.missed, s.figures())
	}
	for i := range r.Outcomes {
		o := &r.Outcomes[i]
		switch {
		case o.Fate == Missed && o.Truth.Alone:
			fmt.Fprintf(w, "missed: class %q, seed %d: %s\n", o.Class, o.Seed, vehicle(o.Truth))
		case o.Fate == Discarded && o.Truth.Alone:
			fmt.Fprintf(w, "discarded: class %q, seed %d: %s\n", o.Class, o.Seed, describe(*o))
		case o.Fate == Found && !o.covered():
			fmt.Fprintf(w, "beyond 2 u: class %q, seed %d: %s\n", o.Class, o.Seed, describe(*o))
		}
	}
	fmt.Fprintf(w, "sealed: %d of %d found, %d of %d that were alone; refused: %v\n", r.Sealed.tallyOf().found, r.tallyOf().found,
		r.Sealed.tallyOf(byItself).found, r.tallyOf(byItself).found, r.Refused)
	fmt.Fprintf(w, "%d vehicles, %.0f s of signal, %d spare passages, %d faults\n", len(r.Outcomes), r.Seconds, r.Spare, len(r.Faults))
	for _, f := range r.Faults {
		fmt.Fprintln(w, f)
	}
	for _, f := range r.Sealed.Faults {
		fmt.Fprintln(w, "sealed:", f)
	}
}

// leave writes the report and the roads that were asked for.
func (r *Result) leave(o options) error {
	if o.docs != "" {
		var page bytes.Buffer
		if err := r.WriteReport(&page, fmt.Sprintf("go run ./cross/simulate/accuracy -passages %d -seed %d -docs docs", o.passages, o.seed)); err != nil {
			return err
		}
		plots := filepath.Join(o.docs, "accuracy")
		if err := os.MkdirAll(plots, 0o755); err != nil {
			return err
		}
		if err := r.WritePlots(plots); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(o.docs, "accuracy.md"), page.Bytes(), 0o644); err != nil {
			return err
		}
	}
	if o.keep == "" {
		return nil
	}
	for _, f := range r.Faults {
		road, ok := Replay(f.Class, f.Seed)
		if !ok {
			return fmt.Errorf("no road of class %q", f.Class)
		}
		name := fmt.Sprintf("%s-%d.toml", strings.NewReplacer(" ", "-", ",", "").Replace(f.Class), f.Seed)
		if err := os.WriteFile(filepath.Join(o.keep, name), road.AppendFile(nil), 0o644); err != nil {
			return err
		}
	}
	return nil
}
