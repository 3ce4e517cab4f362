package portal

import (
	"bytes"
	"cmp"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// A made is a file of a centre.
type made struct {
	path string // in its directory
	at   time.Time
	text []byte
}

// filesOf lists the files of a centre as they came to their places.
func filesOf(t *testing.T, dir string) (all []made) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		text, err := os.ReadFile(path)
		name, err2 := filepath.Rel(dir, path)
		all = append(all, made{name, info.ModTime(), text})
		return errors.Join(err, err2)
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.SortStableFunc(all, func(a, b made) int { return cmp.Compare(a.at.UnixNano(), b.at.UnixNano()) })
	return all
}

// TestAnInterruptedInitIsEndedByTheNext takes the power after each file that is made,
// with the one that was on its way beside it.
func TestAnInterruptedInitIsEndedByTheNext(t *testing.T) {
	whole := t.TempDir()
	if _, err := Init(whole); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(whole, unfinishedName)); !os.IsNotExist(err) {
		t.Errorf("a whole centre is unfinished: %v", err)
	}
	files := filesOf(t, whole)
	for n := 0; n <= len(files); n++ {
		dir := filepath.Join(t.TempDir(), "centre")
		begun := append([]made{{path: unfinishedName, text: []byte(rootHere)}}, files[:n]...)
		if n < len(files) {
			begun = append(begun, made{path: filepath.Join(filepath.Dir(files[n].path), ".new-1"), text: files[n].text[:len(files[n].text)/2]})
		}
		for _, f := range begun {
			path := filepath.Join(dir, f.path)
			if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, f.text, 0o600)); err != nil {
				t.Fatal(err)
			}
		}
		last := "nothing"
		if n > 0 {
			last = files[n-1].path
		}
		if _, err := InitForRoot(dir, time.Now()); err == nil {
			t.Errorf("after %s: ended as another kind of centre", last)
		}
		root, err := Init(dir)
		if err != nil {
			t.Errorf("after %s: %v", last, err)
			continue
		}
		for _, f := range files[:n] {
			if text, err := os.ReadFile(filepath.Join(dir, f.path)); filepath.Ext(f.path) == ".key" && (err != nil || !bytes.Equal(text, f.text)) {
				t.Errorf("after %s: key %s is another: %v", last, f.path, err)
			}
		}
		p, err := New(t.Context(), Options{Dir: dir, Listen: "127.0.0.1:0", MQTT: "tls://127.0.0.1:0", Names: []string{"localhost"}})
		if err != nil {
			t.Errorf("after %s: %v", last, err)
			continue
		}
		if got := p.register.Trust().Root(); got != root {
			t.Errorf("after %s: root %v, want %v", last, got, root)
		}
		if warnings := p.terms.warnings(time.Now()); len(warnings) > 0 {
			t.Errorf("after %s: %q", last, warnings)
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
		if _, err := Init(dir); !errors.Is(err, ErrExists) {
			t.Errorf("after %s: once it is whole: %v", last, err)
		}
	}
}

// TestTheRequestOfANewCentreIsAskedAgain loses the first request, and installs the
// answer to the second.
func TestTheRequestOfANewCentreIsAskedAgain(t *testing.T) {
	c := newCeremony(t)
	if _, err := InitForRoot(c.dir, time.Now()); !errors.Is(err, ErrExists) {
		t.Errorf("with the root's answer: %v", err)
	}
	dir := filepath.Join(t.TempDir(), "centre")
	first, err := InitForRoot(dir, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	again, err := InitForRoot(dir, time.Now())
	if err != nil || again.Add[0].Key != first.Add[0].Key {
		t.Fatalf("asked again: %v", err)
	}
	if _, err := Init(dir); err == nil {
		t.Error("a root is made here as well")
	}
	d := &ceremony{t, dir, c.root}
	if err := d.answer(again); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, unfinishedName)); !os.IsNotExist(err) {
		t.Errorf("with the root's answer it is unfinished: %v", err)
	}
}
