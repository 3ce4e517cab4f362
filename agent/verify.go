package agent

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"ciglio/capture/evidence"
)

// verify checks bundles, folders and single records offline.
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
		var results []verdictJSON
		exit = exitGood
		for _, path := range paths {
			verdict, unreadable := verifyPath(path, trust)
			result := verdictJSON{Path: path, OK: verdict.OK(), Checks: verdict.Checks}
			if s := verdict.Record; s != nil {
				result.Kind, result.Record = s.Record.Kind.String(), s.ID.String()
			}
			results = append(results, result)
			if !*f.json {
				printVerdict(stdout, path, verdict)
			}
			switch {
			case errors.Is(unreadable, fs.ErrNotExist) || errors.Is(unreadable, fs.ErrPermission):
				exit = fail(stderr, unreadable, "name a bundle (.zip), a folder or a record")
			case !verdict.OK():
				exit = blame(stderr, path, verdict, trust != nil)
			}
		}
		if *f.json {
			printJSON(stdout, results)
		}
		return exit
	}
}

// verdictJSON is what verify --json prints of each path, in an array.
type verdictJSON struct {
	Path   string           `json:"path"`
	OK     bool             `json:"ok"`
	Kind   string           `json:"kind,omitempty"`
	Record string           `json:"record,omitempty"` // id
	Checks []evidence.Check `json:"checks"`
}

// verifyPath returns the verdict on a path, and the error when it could not be
// read.
func verifyPath(path string, trust *evidence.Trust) (evidence.Verdict, error) {
	b, err := loadBundle(path)
	if err != nil {
		return evidence.Unreadable(err), err
	}
	return evidence.Verify(b, trust), nil
}

func printVerdict(w io.Writer, path string, v evidence.Verdict) {
	fmt.Fprintln(w, path)
	for _, c := range v.Checks {
		fmt.Fprintf(w, "  %-11s  %-18s  %s\n", c.Status, c.Name, c.Words)
	}
}

// blame says which checks a path did not pass, and what to do about it.
func blame(stderr io.Writer, path string, v evidence.Verdict, trusted bool) int {
	var failed, unchecked []string
	for _, c := range v.Checks {
		switch {
		case c.Status == evidence.Fail:
			failed = append(failed, c.Name)
		case c.Mandatory && c.Status == evidence.NotChecked:
			unchecked = append(unchecked, c.Name)
		}
	}
	switch {
	case len(failed) > 0:
		return fail(stderr, fmt.Errorf("%s: failed: %s", path, strings.Join(failed, ", ")),
			"do not rely on it; ask for the original bundle")
	case !trusted:
		return fail(stderr, fmt.Errorf("%s: not checked: %s", path, strings.Join(unchecked, ", ")),
			"name the trust file of the authority with --trust FILE")
	}
	return fail(stderr, fmt.Errorf("%s: not checked: %s", path, strings.Join(unchecked, ", ")),
		"a record alone has no pictures and no trace; check its bundle")
}

// loadTrust reads a trust file.
func loadTrust(path string) (*evidence.Trust, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, evidence.MaxTrust+1))
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
// record, which makes a bundle of nothing else.
func loadBundle(path string) (*evidence.Bundle, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		return evidence.ReadFolder(os.DirFS(path))
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
