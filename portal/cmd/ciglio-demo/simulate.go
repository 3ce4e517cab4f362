package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"ciglio/cross/simulate"
	"ciglio/cross/simulate/files"
)

const simulateUsage = `usage: ciglio-demo simulate [--out DIR] [--seed N] [--json] SCENARIO
       ciglio-demo simulate --list [--json]

Writes what the sensors beside a simulated road give: the radar's signal, the
bytes of several radars, edges of contacts, pictures, and the truth.
SCENARIO is a name of the list or a file; docs/simulator.md describes both.

  --out DIR   the folder to make; the scenario's name in this folder otherwise
  --seed N    another road of the same scenario
  --list      print the scenarios that come along
  --json      print one JSON object
`

// A simulation is the result of the command.
type simulation struct {
	Scenario string `json:"scenario"`
	Title    string `json:"title"`
	Seed     uint64 `json:"seed"`
	Folder   string `json:"folder"`
	files.Written
}

// simulateCommand is the command `ciglio-demo simulate`.
func simulateCommand(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	f := flag.NewFlagSet("simulate", flag.ContinueOnError)
	f.SetOutput(io.Discard)
	out := f.String("out", "", "")
	seed := f.Uint64("seed", 0, "")
	list := f.Bool("list", false, "")
	asJSON := f.Bool("json", false, "")
	wrong := func(format string, args ...any) int {
		fmt.Fprintf(stderr, "ciglio-demo simulate: %s\n%s", fmt.Sprintf(format, args...), simulateUsage)
		return exitUsage
	}
	names, err := parseMixed(f, args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(stdout, simulateUsage)
		return exitGood
	case err != nil:
		return wrong("%v", err)
	case *list && len(names) > 0:
		return wrong("--list takes no scenario")
	case *list:
		return listScenarios(*asJSON, stdout, stderr)
	case len(names) != 1:
		return wrong("%d scenarios given, want one", len(names))
	}
	s, text, err := readScenario(names[0])
	if err != nil {
		fmt.Fprintf(stderr, "ciglio-demo simulate: %v\n", err)
		return exitFailed
	}
	f.Visit(func(given *flag.Flag) {
		if given.Name == "seed" {
			s.Seed = *seed
		}
	})
	result := simulation{Scenario: names[0], Title: s.Title, Seed: s.Seed, Folder: *out}
	if result.Folder == "" {
		result.Folder = strings.TrimSuffix(filepath.Base(names[0]), ".toml")
	}
	if result.Written, err = files.Write(ctx, result.Folder, s, text); err != nil {
		fmt.Fprintf(stderr, "ciglio-demo simulate: %v\n", err)
		return exitFailed
	}
	if *asJSON {
		printJSON(stdout, result)
		return exitGood
	}
	fmt.Fprintf(stdout, "%s: %s, seed %d, %g s, %d vehicles\n", result.Scenario, result.Title, result.Seed, result.Seconds, result.Vehicles)
	for _, file := range result.Files {
		fmt.Fprintf(stdout, "  %s  %d bytes\n", filepath.Join(result.Folder, file.Name), file.Bytes)
	}
	fmt.Fprintf(stdout, "  %s  %d pictures\n", filepath.Join(result.Folder, "frames"), result.Frames)
	carrier := strconv.FormatFloat(float64(radarOf(s).Carrier)/1e9, 'f', -1, 64)
	fmt.Fprintf(stdout, "next: ciglio measure --carrier %sGHz %s\n", carrier, filepath.Join(result.Folder, "radar.wav"))
	return exitGood
}

// parseMixed parses flags that stand before, between and after the arguments.
func parseMixed(f *flag.FlagSet, args []string) (rest []string, err error) {
	for {
		if err := f.Parse(args); err != nil {
			return nil, err
		}
		if f.NArg() == 0 {
			return rest, nil
		}
		rest, args = append(rest, f.Arg(0)), f.Args()[1:]
	}
}

func printJSON(w io.Writer, v any) {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	e.Encode(v)
}

func listScenarios(asJSON bool, stdout, stderr io.Writer) int {
	type entry struct {
		Name  string `json:"name"`
		Title string `json:"title"`
		About string `json:"about"`
	}
	var all []entry
	for _, name := range simulate.Scenarios() {
		s, err := simulate.ReadScenario(name)
		if err != nil {
			fmt.Fprintf(stderr, "ciglio-demo simulate: %s: %v\n", name, err)
			return exitFailed
		}
		all = append(all, entry{name, s.Title, s.About})
	}
	if asJSON {
		printJSON(stdout, all)
		return exitGood
	}
	for _, e := range all {
		fmt.Fprintf(stdout, "%-24s %s\n", e.Name, e.About)
	}
	return exitGood
}

// maxScenario is more than the parser takes.
const maxScenario = 8 << 20

// readScenario reads an embedded scenario or a file.
func readScenario(name string) (simulate.Scenario, []byte, error) {
	if slices.Contains(simulate.Scenarios(), name) {
		text, err := simulate.ScenarioFile(name)
		if err != nil {
			return simulate.Scenario{}, nil, err
		}
		s, err := simulate.ParseScenario(text)
		return s, text, err
	}
	file, err := os.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return simulate.Scenario{}, nil, fmt.Errorf("%s: neither a scenario nor a file\nhint: ciglio-demo simulate --list", name)
	}
	if err != nil {
		return simulate.Scenario{}, nil, err
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, maxScenario))
	if err != nil {
		return simulate.Scenario{}, nil, err
	}
	s, err := simulate.ParseScenario(text)
	if err != nil {
		err = fmt.Errorf("%s: %w", name, err)
	}
	return s, text, err
}

// radarOf returns the radar of a scenario with every value filled in.
func radarOf(s simulate.Scenario) simulate.Radar {
	s.Vehicles, s.Flows = nil, nil
	road, err := simulate.NewRoad(s)
	if err != nil {
		return s.Radar
	}
	return road.Radar()
}
