//go:build linux

package outbox

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"

	"ciglio/capture/evidence"
)

// TestSentRecordsLeaveTheMemory reads a segment of 48 MiB as the sender does, as
// the newest one and as an older one. What the program has of it in its memory
// must not grow with it.
func TestSentRecordsLeaveTheMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("the kernel's account of this program's memory, which an emulator of programs does not give")
	}
	b := newBed(t, func(o *Options) { o.SegmentSize = 64 << 20 })
	var sealed []*evidence.Sealed
	for i := range 48 {
		var blobs [][]byte // two frames and a trace
		for j := range 3 {
			blobs = append(blobs, bytes.Repeat([]byte{byte(i), byte(j)}, 160<<10))
		}
		sealed = append(sealed, b.violate(evidence.KindTest, blobs...))
	}
	send := func(which string) {
		t.Helper()
		const most = 16 << 20 // 8 MB and what the kernel maps around a page
		largest := 0
		for _, s := range sealed {
			for blob := range 3 {
				for chunk := range 6 {
					if _, err := b.Chunk(at(s.Record.Epoch, s.Record.Seq), blob, chunk); err != nil {
						t.Fatal(err)
					}
				}
			}
			largest = max(largest, mapped(t, "segments/00000001.db"))
		}
		if largest == 0 || largest > most {
			t.Errorf("%s segment: %d bytes of it in memory, want at most %d", which, largest, most)
		}
	}
	send("the newest")
	b.now = b.now.AddDate(0, 0, 1)
	b.beat()
	send("an older")
}

// TestAlternatingReadsLeaveTheMemory reads the newest segment and an older one by
// turns, as a sender does that is disturbed: the memory of both must be let go
// of, and not of the one alone whose turn it happens to be.
func TestAlternatingReadsLeaveTheMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("the kernel's account of this program's memory, which an emulator of programs does not give")
	}
	b := newBed(t)
	var sealed []*evidence.Sealed
	var held [2]int // once all has been read
	for i := range 2 {
		b.now = noon.AddDate(0, 0, i)
		sealed = append(sealed, b.violate(evidence.KindTest, noise(1, 600_000), noise(2, 600_000), noise(3, 600_000)))
	}
	names := [2]string{"segments/00000001.db", "segments/00000002.db"}
	for i, s := range sealed {
		for blob := range 3 {
			if _, err := b.Blob(key(s), blob); err != nil {
				t.Fatal(err)
			}
		}
		held[i] = mapped(t, names[i])
	}
	least := held
	for range letGoEvery {
		for _, s := range sealed {
			if _, err := b.Chunk(key(s), 0, 0); err != nil {
				t.Fatal(err)
			}
		}
		for i, name := range names {
			least[i] = min(least[i], mapped(t, name))
		}
	}
	for i, name := range names {
		if held[i] < 1<<20 || least[i] > held[i]/2 {
			t.Errorf("%s: %d bytes of it in memory, at least %d while it was read on", name, held[i], least[i])
		}
	}
}

// mapped returns how many bytes of a mapped file this program has in memory.
func mapped(t *testing.T, name string) (n int) {
	t.Helper()
	maps, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		t.Skipf("what is mapped: %v", err)
	}
	inside := false
	for line := range strings.Lines(string(maps)) {
		if first, _, _ := strings.Cut(line, " "); strings.Contains(first, "-") {
			inside = strings.HasSuffix(strings.TrimSpace(line), name)
		}
		var kB int
		if inside && strings.HasPrefix(line, "Rss:") {
			if _, err := fmt.Sscanf(line, "Rss: %d kB", &kB); err != nil {
				t.Fatal(err)
			}
			n += kB << 10
		}
	}
	return n
}
