package agent

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"ciglio/capture/evidence"
)

// Bounds of what is looked for in a folder.
const (
	maxEvidenceDepth = 8       // folders in folders
	maxEvidence      = 100_000 // files and folders
)

// An evidenceItem is one bundle or record to verify, or what stands in the place of
// one and cannot be.
type evidenceItem struct {
	path string
	err  error // why it cannot be read; nil when that is not known yet
}

func (i evidenceItem) verify(trust *evidence.Trust) evidence.Verdict {
	b, err := (*evidence.Bundle)(nil), i.err
	if err == nil {
		b, err = loadBundle(i.path)
	}
	switch {
	case err == nil:
		return evidence.Verify(b, trust)
	case errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission):
		// That accuses no evidence.
		return evidence.Unopened(reason(err))
	}
	return evidence.Unreadable(err)
}

// reason returns why a file could not be read, without its name, which stands
// beside it.
func reason(err error) error {
	if e := (*fs.PathError)(nil); errors.As(err, &e) {
		return e.Err
	}
	return err
}

// foundEvidence is what paths name.
type foundEvidence struct {
	items   []evidenceItem
	foreign []string // files in folders that are no evidence
	seen    int
}

// findEvidence returns the bundles and records that paths name. A folder is a
// bundle when the record lies in it; otherwise it is looked through for bundles and
// records, and whole is true: then it is asked for all that a folder should hold.
func findEvidence(paths []string) (found foundEvidence, whole bool) {
	for _, path := range paths {
		info, err := os.Stat(path)
		if err == nil && info.IsDir() && !isBundle(path) {
			whole = true
			found.walk(path, 0)
			continue
		}
		found.items = append(found.items, evidenceItem{path, err})
	}
	return found, whole
}

// isBundle reports whether a record lies in a folder, whatever it is.
func isBundle(dir string) bool {
	_, err := os.Lstat(filepath.Join(dir, "record.cose"))
	return err == nil
}

// walk looks through a folder. What lies there and is neither a file nor a folder is
// refused by name and never opened: a pipe has no end, and a link leads elsewhere.
func (f *foundEvidence) walk(dir string, depth int) {
	entries, err := os.ReadDir(dir) // in order of their names, as far as it went
	if err == nil && depth > maxEvidenceDepth {
		entries, err = nil, fmt.Errorf("more than %d folders in folders", maxEvidenceDepth)
	}
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		if f.seen++; f.seen > maxEvidence {
			err = fmt.Errorf("more than %d files and folders", maxEvidence)
			break
		}
		switch {
		case e.IsDir() && !isBundle(path):
			f.walk(path, depth+1)
		case e.IsDir(), e.Type().IsRegular() && isEvidence(path):
			f.items = append(f.items, evidenceItem{path, nil})
		case e.Type().IsRegular():
			f.foreign = append(f.foreign, path)
		default:
			f.items = append(f.items, evidenceItem{path, fmt.Errorf("%w: %s", evidence.ErrNotPlain, evidence.FileKind(e.Type()&fs.ModeType))})
		}
	}
	if err != nil {
		f.items = append(f.items, evidenceItem{dir, err})
	}
}

// isEvidence reports whether a file in a folder is meant as a bundle or a record, by
// the end of its name.
func isEvidence(path string) bool {
	return strings.HasSuffix(path, ".zip") || strings.HasSuffix(path, ".cose")
}
