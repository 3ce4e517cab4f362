package durable_test

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"ciglio/internal/durable"
)

func only(t *testing.T, dir, name, content string, mode os.FileMode) {
	t.Helper()
	all, err := os.ReadDir(dir)
	if err != nil || len(all) != 1 || all[0].Name() != name {
		t.Fatalf("%v, %v, want only %s", all, err, name)
	}
	b, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil || string(b) != content {
		t.Errorf("%q, %v, want %q", b, err, content)
	}
	if i, err := all[0].Info(); err != nil || i.Mode() != mode {
		t.Errorf("%v, %v, want %v", i.Mode(), err, mode)
	}
}

func TestAFileIsReplacedWhole(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "x")
	for _, text := range []string{"one", "", "another"} {
		if err := durable.WriteFile(path, []byte(text), 0o640); err != nil {
			t.Fatal(err)
		}
		only(t, dir, "x", text, 0o640)
	}
}

// What fails on the way leaves the old file and nothing beside it.
func TestWhatFailsLeavesTheOldFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "x")
	if err := durable.WriteFile(path, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	broken := errors.New("broken")
	err := durable.Write(path, 0o600, func(w io.Writer) error {
		w.Write([]byte("half"))
		return broken
	})
	if !errors.Is(err, broken) {
		t.Errorf("%v", err)
	}
	only(t, dir, "x", "old", 0o600)
	if err := durable.Place(filepath.Join(dir, "missing"), path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v", err)
	}
	only(t, dir, "x", "old", 0o600)

	// A folder that is not empty cannot be replaced.
	if err := os.MkdirAll(filepath.Join(dir, "y", "z"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := durable.WriteFile(filepath.Join(dir, "y"), nil, 0o600); err == nil {
		t.Error("a folder was replaced")
	}
	if all, _ := filepath.Glob(filepath.Join(dir, ".new-*")); len(all) != 0 {
		t.Errorf("left behind: %v", all)
	}
}

func TestCreateReplacesNothing(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "key")
	if err := durable.Create(path, []byte("secret")); err != nil {
		t.Fatal(err)
	}
	only(t, dir, "key", "secret", 0o600)
	if err := durable.Create(path, []byte("other")); !errors.Is(err, os.ErrExist) {
		t.Errorf("%v", err)
	}
	only(t, dir, "key", "secret", 0o600)
	if err := durable.Create(filepath.Join(dir, "missing", "key"), nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v", err)
	}
}

func TestALockIsTakenOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	f, err := durable.Lock(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := durable.Lock(path); !errors.Is(err, durable.ErrLocked) {
		t.Errorf("twice: %v", err)
	}
	waited := make(chan error)
	go func() {
		g, err := durable.Wait(path)
		if err == nil {
			err = g.Close()
		}
		waited <- err
	}()
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-waited; err != nil {
		t.Errorf("waited: %v", err)
	}
}

func TestAFileThatIsTooLongIsNotRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := durable.WriteFile(path, []byte("12345"), 0o600); err != nil {
		t.Fatal(err)
	}
	if b, err := durable.ReadAtMost(path, 5); err != nil || string(b) != "12345" {
		t.Errorf("%q, %v", b, err)
	}
	if _, err := durable.ReadAtMost(path, 4); err == nil {
		t.Error("five bytes are no more than four")
	}
	if _, err := durable.ReadAtMost(path+"x", 4); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}
