package board_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ciglio/cross/board"
	"ciglio/cross/board/boardtest"
	"ciglio/cross/board/writelog"
)

// TestPowerCutsWhileApplying logs every write that a store of provisioned state makes
// to its disk, and lets another board open the disk as a cut after each of them may
// have left it.
func TestPowerCutsWhileApplying(t *testing.T) {
	effort := boardtest.Need(t, boardtest.Short)
	share := t.TempDir()
	base, log := filepath.Join(share, "base"), filepath.Join(share, "log")
	image := filepath.Join(t.TempDir(), "flash")
	if err := board.Format(t.Context(), image, "ext4", 8<<20); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(image)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.WriteFile(base, content, 0o600), board.Blank(log, 0)); err != nil {
		t.Fatal(err)
	}
	o := withTests(t, "arm-7")
	o.Share = share
	// As for the power cuts of the whole device: with no-flush nothing passes between a
	// write and its entry.
	const file = "driver=file,cache.no-flush=on,node-name=%s,filename=%s"
	o.QEMUArgs = []string{
		"-blockdev", fmt.Sprintf(file, "image", image),
		"-blockdev", fmt.Sprintf(file, "log", log),
		"-blockdev", "driver=blklogwrites,node-name=logged,file=image,log=log",
	}
	o.Disks = []board.Disk{{Node: "logged", Mount: "/flash"}}
	b := boardtest.Start(t, o)
	p := onBoard(t, b, "TestApply", "-state=/flash/provisioned")
	// What has the file system's sync behind it by now is promised: it lies in front of
	// the log's end, and of a flush.
	var promised []int
	for _, what := range []string{"nothing", "first", "second"} {
		wait(t, b, "apply: "+what)
		promised = append(promised, entries(t, log))
		if err := os.WriteFile(filepath.Join(share, "seen-"+what), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	good(t, p)
	if err := b.Freeze(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.Cut()
	text, err := json.Marshal(promised)
	if err == nil {
		err = os.WriteFile(filepath.Join(share, "promised"), text, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	o = withTests(t, "arm-7")
	o.Share, o.Modules = share, []string{"loop"}
	b = boardtest.Start(t, o)
	cuts := onBoard(t, b, "TestCuts", "-every="+fmt.Sprint(rounds(effort, 32, 1, 1)))
	line := ""
	for !strings.Contains(line, "cuts, all: ") { // each cut has its minute
		line = wait(t, b, "cuts")
	}
	good(t, cuts)
	_, words, _ := strings.Cut(line, "cuts, all: ")
	t.Log(words, "promised at", promised)
	good(t, onBoard(t, b, "TestKernelIsWell"))
	boardtest.Figure(t, *update, "power cuts while a stick's bundles are applied, at each write, with four fates of what was not flushed", words)
}

// entries counts those of a log that is still written.
func entries(t *testing.T, name string) int {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	l, err := writelog.OpenWritten(f)
	if err != nil {
		t.Fatal(err)
	}
	return len(l.Entries)
}
