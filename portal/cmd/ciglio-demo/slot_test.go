package main

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"ciglio/agent/stick"
	"ciglio/agent/stick/helper"
)

// A stick that is pulled out and plugged in again is another disk, as a real one is.
func TestASlotTellsEachTimeApart(t *testing.T) {
	dir := t.TempDir()
	s := &slot{dir: filepath.Join(dir, "stick")}
	var seen []helper.Disk
	for _, plug := range []bool{false, true, true, false, true} {
		var err error
		if plug {
			err = os.MkdirAll(s.dir, 0o700)
		} else {
			err = os.RemoveAll(s.dir)
		}
		if err != nil {
			t.Fatal(err)
		}
		disks, err := s.Disks()
		if err != nil || len(disks) > 0 != plug {
			t.Fatalf("in %v: %v, %v", plug, disks, err)
		}
		seen = append(seen, disks...)
	}
	if len(seen) != 3 || seen[0] != seen[1] || seen[1] == seen[2] {
		t.Errorf("seen %v", seen)
	}
}

func TestAFolderIsReadAsAStick(t *testing.T) {
	dir := t.TempDir()
	for name, content := range map[string]string{"a.ciglio": "123456789", "secret": "outside"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	in := filepath.Join(dir, "in")
	if err := errors.Join(os.Mkdir(in, 0o700), os.Rename(filepath.Join(dir, "a.ciglio"), filepath.Join(in, "a.ciglio")), os.Symlink("../secret", filepath.Join(in, "b.ciglio"))); err != nil {
		t.Fatal(err)
	}
	s, err := (&slot{dir: in}).Open(t.Context(), helper.Disk{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if list, err := s.List(t.Context()); err != nil || !slices.Equal(list, []stick.Entry{{Name: "a.ciglio", Size: 9}}) {
		t.Errorf("lists %v, %v", list, err)
	}
	if got, err := s.Read(t.Context(), "a.ciglio", 9); err != nil || string(got) != "123456789" {
		t.Errorf("reads %q, %v", got, err)
	}
	if _, err := s.Read(t.Context(), "a.ciglio", 8); !errors.Is(err, stick.ErrLimit) {
		t.Errorf("more than the limit: %v", err)
	}
	if got, err := s.Read(t.Context(), "b.ciglio", 9); err == nil {
		t.Errorf("a link leads out of the stick: %q", got)
	}
	if err := s.Put(t.Context(), "../x", nil); err == nil {
		t.Error("a name leads out of the stick")
	}
	if err := s.Put(t.Context(), "receipt.txt", []byte("r")); err != nil {
		t.Error(err)
	}
}
