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
