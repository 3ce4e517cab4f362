package agent

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"syscall"

	"ciglio/capture/evidence"
)

// verify checks bundles, folders and single records offline, and side by side.
func verify(f flags) action {
	trustFile := f.String("trust", "", "`FILE` with the root key and the device register")
	return func(args []string, stdout, stderr io.Writer) int {
		paths, exit, ok := f.parse(args)
		if !ok {
			return exit
		}
		if len(paths) == 0 {
			f.Usage()
			return exitUsage
		}
		var trust *evidence.Trust
		if *trustFile != "" {
			var err error
			if trust, err = loadTrust(*trustFile); err != nil {
				return fail(stderr, err, "the authority that runs the devices publishes this file")
			}
		}
		found, whole := findEvidence(paths)
		all := make([]evidence.Named, len(found.items))
		for i, item := range found.items {
			verdict := item.verify(trust)
			all[i] = evidence.Named{Name: item.path, Verdict: &verdict}
		}
		chain := evidence.Together(all, whole)
		report := verifyReport{all, chain, found.foreign, trust != nil}
		if *f.json {
			printJSON(stdout, report.json())
		} else {
			report.print(stdout)
		}
		return report.blame(stderr)
	}
}

// A verifyReport is what was found of all paths.
type verifyReport struct {
	all     []evidence.Named
	chain   evidence.Check
	foreign []string // files that are no evidence
	trusted bool
}

// several reports whether there is something to compare.
func (r verifyReport) several() bool { return len(r.all) != 1 }

func (r verifyReport) good() (n int) {
	for _, v := range r.all {
		if v.Verdict.OK() {
			n++
		}
	}
	return n
}

// line is the verdict on all together.
func (r verifyReport) line() string {
	line := fmt.Sprintf("%d of %d are good.", r.good(), len(r.all))
	if r.chain.Status != evidence.Pass {
		line += " " + r.chain.Words
	}
	return line
}

// verdictJSON is what verify --json prints of each path, in an array. Of more than
// one, an element named "all together" follows.
type verdictJSON struct {
	Path    string           `json:"path"`
	OK      bool             `json:"ok"`
	Verdict string           `json:"verdict"` // good, test, bad, open
	Line    string           `json:"line"`    // the verdict in a sentence, with its likely cause
	Kind    string           `json:"kind,omitempty"`
	Record  string           `json:"record,omitempty"` // id
	Facts   []evidence.Fact  `json:"facts,omitempty"`  // what the record says
	Checks  []evidence.Check `json:"checks"`
	Foreign []string         `json:"foreign,omitempty"` // files that are no evidence
}

func (r verifyReport) json() []verdictJSON {
	var results []verdictJSON
	for _, n := range r.all {
		v := n.Verdict
		result := verdictJSON{Path: n.Name, OK: v.OK(), Verdict: v.Word(), Line: v.Line(), Checks: v.Checks}
		if s := v.Record; s != nil {
			result.Kind, result.Record, result.Facts = s.Record.Kind.String(), s.ID.String(), evidence.Facts(s.Record)
		}
		results = append(results, result)
	}
	if r.several() {
		ok := r.chain.Status != evidence.Fail && r.good() == len(r.all) && len(r.all) > 0
		results = append(results, verdictJSON{Path: "all together", OK: ok, Verdict: map[bool]string{true: "good", false: "bad"}[ok],
			Line: r.line(), Checks: []evidence.Check{r.chain}, Foreign: r.foreign})
	}
	return results
}

func (r verifyReport) print(w io.Writer) {
	for _, n := range r.all {
		fmt.Fprintln(w, shown(n.Name))
		if s := n.Verdict.Record; s != nil {
			for _, fact := range evidence.Facts(s.Record) {
				fmt.Fprintf(w, "  %-24s  %s\n", fact.Name, fact.Value)
			}
		}
		for _, c := range n.Verdict.Checks {
			fmt.Fprintf(w, "  %-11s  %-18s  %s\n", c.Status, c.Name, c.Words)
		}
		fmt.Fprintf(w, "  verdict: %s\n", n.Verdict.Line())
	}
	if !r.several() {
		return
	}
	for _, name := range r.foreign {
		fmt.Fprintf(w, "%s\n  not a bundle nor a record, not part of what was checked\n", shown(name))
	}
	fmt.Fprintf(w, "all together\n  %-11s  %-18s  %s\n  verdict: %s\n", r.chain.Status, r.chain.Name, r.chain.Words, r.line())
}

// blame says what did not pass, and what to do about it, and returns the exit code.
func (r verifyReport) blame(stderr io.Writer) int {
	exit := exitGood
	for _, n := range r.all {
		if n.Verdict.OK() {
			continue
		}
		var names []string
		for _, c := range n.Verdict.Checks {
			if c.Status == evidence.Fail || n.Verdict.Word() == "open" && c.Mandatory && c.Status == evidence.NotChecked {
				names = append(names, c.Name)
			}
		}
		said, hint := "failed", "do not rely on it; ask for the original bundle"
		switch {
		case names[0] == "bundle" && n.Verdict.Word() == "open":
			words := strings.TrimSuffix(n.Verdict.Checks[0].Words, ".")
			exit = fail(stderr, fmt.Errorf("%s: %s", shown(n.Name), strings.TrimPrefix(words, "It could not be read: ")), "name a bundle (.zip), a record, or a folder of either")
			continue
		case n.Verdict.Word() == "open" && r.trusted:
			said, hint = "not checked", "a record alone has no pictures and no trace; check its bundle"
		case n.Verdict.Word() == "open":
			said, hint = "not checked", "name the trust file of the authority with --trust FILE"
		case names[0] == "device key":
			hint = "compare the root of the trust file with the one that the authority prints"
		case names[0] == "bundle":
			hint = "name a bundle (.zip), a record, or a folder of either"
		}
		exit = fail(stderr, fmt.Errorf("%s: %s: %s", shown(n.Name), said, strings.Join(names, ", ")), hint)
	}
	switch {
	case len(r.all) == 0:
		exit = fail(stderr, errors.New("no bundle and no record here"), "name a bundle (.zip), a record, or a folder of either")
	case r.several() && r.chain.Status == evidence.Fail:
		exit = fail(stderr, errors.New("failed: chain"), "records that were made between these are not here, or were not made where they stand")
	}
	return exit
}

// shown returns a name as it may be shown: what is not printed stands quoted.
func shown(name string) string {
	if quoted := strconv.Quote(name); quoted != `"`+name+`"` {
		return quoted
	}
	return name
}

// loadTrust reads a trust file.
func loadTrust(path string) (*evidence.Trust, error) {
	data, err := readPlain(path, evidence.MaxTrust+1) // one more, so that it shows
	if err != nil {
		return nil, err
	}
	trust, err := evidence.ParseTrust(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return trust, nil
}

// loadBundle reads a bundle's zip file, a folder with its files, or a single
// record, which makes a bundle of nothing else. What is neither a file nor a folder
// is not opened.
func loadBundle(path string) (*evidence.Bundle, error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, err
	case info.IsDir():
		return evidence.ReadFolder(os.DirFS(path))
	}
	f, err := openPlain(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	switch size := info.Size(); {
	case size == 0:
		return nil, errors.New("0 bytes")
	case size > evidence.MaxBundle:
		return nil, fmt.Errorf("bundle: %w: %d bytes, want at most %d", evidence.ErrTooLarge, size, int64(evidence.MaxBundle))
	}
	magic := make([]byte, 2)
	if n, _ := f.ReadAt(magic, 0); bytes.Equal(magic[:n], []byte("PK")) {
		return evidence.ReadBundle(f, info.Size())
	}
	data, err := io.ReadAll(io.LimitReader(f, evidence.MaxRecord+1)) // one more, so that it shows
	if err != nil {
		return nil, err
	}
	return &evidence.Bundle{Record: data}, nil
}

// openPlain opens a file, and nothing else: a pipe would never end.
func openPlain(path string) (*os.File, error) {
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%w: %s", evidence.ErrNotPlain, evidence.FileKind(info.Mode()))
	}
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // should a pipe have taken its place
	if err != nil {
		return nil, err
	}
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, errors.Join(err, evidence.ErrNotPlain, f.Close())
	}
	return f, nil
}

// readPlain reads a plain file, and nothing else, up to most bytes of it.
func readPlain(path string, most int64) ([]byte, error) {
	f, err := openPlain(path)
	if errors.Is(err, evidence.ErrNotPlain) {
		err = fmt.Errorf("%s: %w", shown(path), err)
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, most))
}
