//go:build linux

package large

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"ciglio/capture/evidence"
	"ciglio/capture/key"
	"ciglio/cross/board"
	"ciglio/cross/board/boardtest"
	"ciglio/cross/board/guest"
	"ciglio/cross/budget"
	"ciglio/sensor"
	"ciglio/uplink"
	"ciglio/uplink/outbox"
)

var (
	update = flag.Bool("update", false, "write the figures measured into docs/board.md")
	dir    = flag.String("dir", "", "TestUseOutbox: the store")
)

const (
	segments = 80 // of 256 MiB: 21.5 GB
	each     = 50 // records in a segment
)

func device() evidence.DeviceID { return evidence.DeviceID{0xC1, 15: 7} }

// heartbeats appends records to the store.
func heartbeats(t *testing.T, o *outbox.Outbox, n int, now func() time.Time) {
	t.Helper()
	signer, err := key.CreateFile(filepath.Join(t.TempDir(), "evidence.key"))
	if err != nil {
		t.Fatal(err)
	}
	for range n {
		_, err := o.Append(func(h outbox.Head) (*evidence.Sealed, error) {
			return evidence.Seal(&evidence.Record{
				Kind: evidence.KindHeartbeat, Device: device(),
				Epoch: h.Epoch, Seq: h.Next, Prev: h.Prev, Ack: h.Ack,
				Boot: [16]byte{1}, Mono: 1, UTC: now(),
				Clock:         sensor.ClockState{Source: "adjtimex"},
				Software:      evidence.Software{Version: "test"},
				Key:           evidence.KeyInfo{Class: "file"},
				Configuration: evidence.Statement{ID: "cfg", Version: 1},
				Body:          evidence.Body{1: uint64(1), 2: uint64(0), 3: uint64(0), 4: uint64(0)},
			}, signer)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestOutboxOf20GB makes a store of that size, a segment a day, and has a program
// on a 32-bit board use it. What the segments hold is little; the rest of each
// file is a hole, which the program maps all the same.
func TestOutboxOf20GB(t *testing.T) {
	boardtest.Need(t, boardtest.All)
	folder := t.TempDir()
	store := filepath.Join(folder, "outbox")
	today := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	now := func() time.Time { return today }
	o, err := outbox.Open(store, outbox.Options{Device: device(), Now: now})
	if err != nil {
		t.Fatal(err)
	}
	for range segments {
		heartbeats(t, o, each, now)
		today = today.AddDate(0, 0, 1)
	}
	if err := o.Close(); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(store, "segments", "*.db"))
	if err != nil || len(files) != segments {
		t.Fatalf("%d segments, %v; want %d", len(files), err, segments)
	}
	for _, f := range files {
		if err := os.Truncate(f, outbox.DefaultSegmentSize); err != nil {
			t.Fatal(err)
		}
	}
	disk := filepath.Join(t.TempDir(), "flash")
	if err := board.FormatWith(t.Context(), disk, folder, 32<<30); err != nil {
		t.Fatal(err)
	}
	program, err := board.BuildTest(t.Context(), "arm-7", "ciglio/cross/budget/large")
	if err != nil {
		t.Fatal(err)
	}

	b := boardtest.Start(t, board.Options{
		Arch: "arm-7", Files: map[string]string{"/bin/large": program}, Disks: []board.Disk{{Image: disk, Mount: "/data"}},
	})
	p, err := b.Go(guest.Command{
		Args: []string{"/bin/large", "-test.run=^TestUseOutbox$", "-test.timeout=20m", "-dir=/data/outbox"},
		Env:  []string{boardtest.MemoryLimit(t)},
	})
	if err != nil {
		t.Fatal(err)
	}
	done, err := p.Wait(t.Context())
	if err != nil || done.Code != 0 {
		t.Fatalf("%v, ended with %d:\n%s%s", err, done.Code, done.Stdout, done.Stderr)
	}
	var space, memory int64
	if _, err := fmt.Sscanf(string(done.Stdout), "used: %d %d", &space, &memory); err != nil {
		t.Fatalf("%v: %s", err, done.Stdout)
	}
	limits, err := budget.Load()
	if err != nil {
		t.Fatal(err)
	}
	if err := limits.Check("address.space", space); err != nil {
		t.Error(err)
	}
	boardtest.Figure(t, *update, "address space of a 32-bit program with an outbox of 21 GB",
		fmt.Sprintf("%s of %s; %d MB resident", limits.Say("address.space", space), limits.Say("address.space", limits["address.space"].Most), memory/1e6))
}

// TestUseOutbox opens a store, reads a record of each segment, lists what waits,
// goes on writing, and does all that once more after an unclean end.
func TestUseOutbox(t *testing.T) {
	if *dir == "" {
		t.Skip("run by TestOutboxOf20GB on a 32-bit board")
	}
	now := func() time.Time { return time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC) }
	for round := range 2 {
		o, err := outbox.Open(*dir, outbox.Options{Device: device(), Now: now})
		if err != nil {
			t.Fatal(err)
		}
		if r := o.Report(); r.Clean != (round == 0) || len(r.Moved)+len(r.Records)+len(r.Missing) > 0 || r.Raised != "" {
			t.Fatalf("start %d: %+v", round, r)
		}
		if s := o.Stats(); s.Unsettled != uint64(segments*each+round*each) || s.Segments < segments {
			t.Fatalf("%+v", s)
		}
		seen := 0
		for after := (uplink.Key{}); ; {
			items, err := o.Unsettled(after, 1000)
			if err != nil {
				t.Fatal(err)
			}
			if len(items) == 0 {
				break
			}
			seen += len(items)
			after = items[len(items)-1].Key
			for i := range slices.Chunk(items, each) {
				if _, err := o.Record(i[0].Key); err != nil {
					t.Fatal(err)
				}
			}
		}
		if want := segments*each + round*each; seen != want {
			t.Errorf("%d records wait, want %d", seen, want)
		}
		heartbeats(t, o, each, now)
		if err := o.Close(); err != nil {
			t.Fatal(err)
		}
		// Without this mark the next start must look at every segment.
		if err := os.Remove(filepath.Join(*dir, "clean")); err != nil {
			t.Fatal(err)
		}
	}
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	var space, memory int64
	for line := range strings.Lines(string(status)) {
		fmt.Sscanf(line, "VmPeak: %d", &space)
		fmt.Sscanf(line, "VmHWM: %d", &memory)
	}
	fmt.Printf("used: %d %d\n", space<<10, memory<<10)
}
