package agent

import (
	"bytes"
	"cmp"
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
	language := evidence.English
	if l, ok := evidence.LanguageOf(cmp.Or(os.Getenv("LC_ALL"), os.Getenv("LC_MESSAGES"), os.Getenv("LANG"))); ok {
		language = l
	}
	f.Func("lang", "speak `LANGUAGE`: it, en or de (default that of LANG, else en)", func(tag string) error {
		l, ok := evidence.LanguageOf(tag)
		if !ok {
			return errors.New("want it, en or de")
		}
		language = l
		return nil
	})
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
		report := verifyReport{all, chain, found.foreign, trust != nil, language}
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
	l       evidence.Language
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
	good := evidence.Said{Code: "report.good", Args: evidence.Args{"good": evidence.Number(r.good()), "all": evidence.Number(len(r.all))}}
	line := good.In(r.l)
	if r.chain.Status != evidence.Pass {
		line += " " + r.chain.In(r.l)
	}
	return line
}

// verdictJSON is what verify --json prints of each path, in an array. Of more than
// one, an element named "all together" follows.
type verdictJSON struct {
	Path    string      `json:"path"`
	OK      bool        `json:"ok"`
	Verdict string      `json:"verdict"` // good, test, bad, open
	Line    string      `json:"line"`    // the verdict in a sentence, with its likely cause
	Kind    string      `json:"kind,omitempty"`
	Record  string      `json:"record,omitempty"` // id
	Facts   []factJSON  `json:"facts,omitempty"`  // what the record says
	Checks  []checkJSON `json:"checks"`
	Foreign []string    `json:"foreign,omitempty"` // files that are no evidence
}

// factJSON is a fact with its value in words.
type factJSON struct {
	Name  string `json:"name"`
	Value string `json:"value"`
	evidence.Said
}

// checkJSON is a check with its words. Name, status, code and arguments are the same
// in every language.
type checkJSON struct {
	Name      string          `json:"name"`
	Status    evidence.Status `json:"status"`
	Mandatory bool            `json:"mandatory"`
	evidence.Said
	Further []evidence.Said `json:"further,omitempty"`
	Words   string          `json:"words"`
}

func (r verifyReport) checks(all ...evidence.Check) []checkJSON {
	checks := make([]checkJSON, len(all))
	for i, c := range all {
		checks[i] = checkJSON{c.Name, c.Status, c.Mandatory, c.Said, c.Further, c.In(r.l)}
	}
	return checks
}

func (r verifyReport) json() []verdictJSON {
	var results []verdictJSON
	for _, n := range r.all {
		v := n.Verdict
		result := verdictJSON{Path: n.Name, OK: v.OK(), Verdict: v.Word(), Line: v.LineIn(r.l), Checks: r.checks(v.Checks...)}
		if s := v.Record; s != nil {
			result.Kind, result.Record = s.Record.Kind.String(), s.ID.String()
			for _, f := range evidence.Facts(s.Record) {
				result.Facts = append(result.Facts, factJSON{f.Name, f.In(r.l), f.Said})
			}
		}
		results = append(results, result)
	}
	if r.several() {
		ok := r.chain.Status != evidence.Fail && r.good() == len(r.all) && len(r.all) > 0
		results = append(results, verdictJSON{Path: "all together", OK: ok, Verdict: map[bool]string{true: "good", false: "bad"}[ok],
			Line: r.line(), Checks: r.checks(r.chain), Foreign: r.foreign})
	}
	return results
}

func (r verifyReport) print(w io.Writer) {
	for _, n := range r.all {
		fmt.Fprintln(w, shown(n.Name))
		if s := n.Verdict.Record; s != nil {
			for _, fact := range evidence.Facts(s.Record) {
				fmt.Fprintf(w, "  %-24s  %s\n", fact.Title(r.l), fact.In(r.l))
			}
		}
		for _, c := range n.Verdict.Checks {
			r.printCheck(w, c)
		}
		fmt.Fprintf(w, "  %s%s\n", r.l.Word("report.verdict"), n.Verdict.LineIn(r.l))
	}
	if !r.several() {
		return
	}
	for _, name := range r.foreign {
		fmt.Fprintf(w, "%s\n  %s\n", shown(name), r.l.Word("report.foreign"))
	}
	fmt.Fprintln(w, r.l.Word("report.together"))
	r.printCheck(w, r.chain)
	fmt.Fprintf(w, "  %s%s\n", r.l.Word("report.verdict"), r.line())
}

func (r verifyReport) printCheck(w io.Writer, c evidence.Check) {
	fmt.Fprintf(w, "  %-11s  %-18s  %s\n", r.l.Word("status."+c.Status.String()), r.l.Word("check."+c.Name), c.In(r.l))
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
			words := strings.TrimSuffix(n.Verdict.Checks[0].Words(), ".")
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
