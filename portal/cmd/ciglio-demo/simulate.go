package main

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"ciglio/cross/simulate"
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

// A simulated file is one line of the result.
type simulatedFile struct {
	Name   string `json:"name"`
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
}

// A simulation is the result of the command.
type simulation struct {
	Scenario string          `json:"scenario"`
	Title    string          `json:"title"`
	Seed     uint64          `json:"seed"`
	Folder   string          `json:"folder"`
	Seconds  float64         `json:"seconds"`
	Vehicles int             `json:"vehicles"`
	Frames   int             `json:"frames"`
	Files    []simulatedFile `json:"files"` // without the pictures
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
	if err := writeSimulation(ctx, &result, s, text); err != nil {
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

// writeSimulation makes the folder. It appears when it is complete, or not at
// all.
func writeSimulation(ctx context.Context, result *simulation, s simulate.Scenario, text []byte) (err error) {
	folder := filepath.Clean(result.Folder)
	if _, err := os.Lstat(folder); err == nil {
		return fmt.Errorf("%s: exists already\nhint: remove it, or name another folder with --out", folder)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	road, err := simulate.NewRoad(s)
	if err != nil {
		return err
	}
	partial, err := os.MkdirTemp(filepath.Dir(folder), "."+filepath.Base(folder)+"-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil && ctx.Err() != nil {
			err = errors.New("stopped, nothing is written")
		}
		if err != nil {
			err = errors.Join(err, os.RemoveAll(partial))
		}
	}()
	result.Seconds, result.Vehicles = road.Duration().Seconds(), len(road.Truth())
	w := &folderWriter{dir: partial, result: result}
	w.file("scenario.toml", func(out io.Writer) error { _, err := out.Write(text); return err })
	w.file("truth.csv", func(out io.Writer) error { return writeTruth(out, road) })
	w.file("edges.csv", func(out io.Writer) error { return writeEdges(out, road, s.Contacts) })
	w.file("radar.wav", func(out io.Writer) error { return writeSignal(ctx, out, road) })
	for _, radar := range radars(road, s) {
		w.file(radar.file, func(out io.Writer) error { return radar.write(ctx, out) })
	}
	if w.err == nil {
		w.err = writeFrames(ctx, w, road)
	}
	if w.err != nil {
		return w.err
	}
	if err := os.Chmod(partial, 0o755); err != nil {
		return err
	}
	return os.Rename(partial, folder)
}

// folderWriter writes the files of a folder until one fails.
type folderWriter struct {
	dir    string
	result *simulation
	err    error
}

// counter counts and hashes what is written.
type counter struct {
	n int64
	h hash.Hash
}

func (c *counter) Write(p []byte) (int, error) {
	c.n += int64(len(p))
	return c.h.Write(p)
}

func (w *folderWriter) file(name string, write func(io.Writer) error) {
	if w.err != nil {
		return
	}
	f, err := os.OpenFile(filepath.Join(w.dir, name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		w.err = err
		return
	}
	c := counter{h: sha256.New()}
	out := bufio.NewWriterSize(io.MultiWriter(f, &c), 1<<16)
	err = write(out)
	if err := errors.Join(err, out.Flush(), f.Sync(), f.Close()); err != nil {
		w.err = fmt.Errorf("%s: %w", name, err)
		return
	}
	w.result.Files = append(w.result.Files, simulatedFile{name, c.n, fmt.Sprintf("%x", c.h.Sum(nil))})
}

// seconds prints nanoseconds as seconds with every digit.
func seconds(ns int64) string {
	sign := ""
	if ns < 0 {
		sign, ns = "-", -ns
	}
	return sign + strconv.FormatInt(ns/1e9, 10) + fmt.Sprintf(".%09d", ns%1e9)
}
