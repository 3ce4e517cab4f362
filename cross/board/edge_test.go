package board_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	"ciglio/cross/board"
	"ciglio/cross/board/boardtest"
	"ciglio/cross/board/onboard"
)

// TestEdgePath follows pulses of the trigger contact from the kernel, which
// stamps them in the interrupt, to what package sensor/port gives a program. The
// kernel's own account is taken where it queues the event, by a probe in the
// kernel that no program has a part in.
func TestEdgePath(t *testing.T) {
	effort := boardtest.Need(t, boardtest.Short)
	b := boardtest.Start(t, withTests(t, "arm-7"))
	n := rounds(effort, 15, 200, 2000)
	idle := edges(t, b, n)
	busy := onBoard(t, b, "TestBusy")
	wait(t, b, "busy: working")
	loaded := edges(t, b, n)
	if err := busy.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		seen []onboard.EdgeSeen
	}{{"idle", idle}, {"all processors busy", loaded}} {
		var wake, width []time.Duration
		for i, e := range c.seen {
			wake = append(wake, time.Duration(e.Woken-e.At))
			if i%2 == 1 {
				width = append(width, (time.Duration(e.At-c.seen[i-1].At) - board.Width).Abs())
			}
		}
		boardtest.Figure(t, *update, "kernel's timestamp, error of a 100 ms pulse, "+c.name, distribution(width))
		boardtest.Figure(t, *update, "program's wake-up after the edge, "+c.name, distribution(wake))
	}
	boardtest.Figure(t, *update, "edges whose timestamp reached the program exactly as the kernel took it",
		fmt.Sprintf("%d of %d, none lost", len(idle)+len(loaded), len(idle)+len(loaded)))
}

// edges gives n pulses and returns what the program saw, which must be what the
// kernel says.
func edges(t *testing.T, b *board.Board, n int) []onboard.EdgeSeen {
	t.Helper()
	p := onBoard(t, b, "TestEdges", "-count-edges="+strconv.Itoa(n))
	wait(t, b, "edges: watching")
	for range n {
		if err := b.Edge(t.Context()); err != nil {
			t.Fatal(err)
		}
		wait(t, b, "edges: pulse")
	}
	good(t, p)
	text, err := os.ReadFile(filepath.Join(b.Share, "edges.json"))
	if err != nil {
		t.Fatal(err)
	}
	var got onboard.Edges
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	if len(got.Seen) != 2*n || len(got.Kernel) != 2*n {
		t.Fatalf("%d pulses: the program saw %d edges, the kernel %d", n, len(got.Seen), len(got.Kernel))
	}
	for i, e := range got.Seen {
		const rising, falling = 1, 2 // GPIO_V2_LINE_EVENT_RISING_EDGE and its opposite
		id := falling
		if e.Rising {
			id = rising
		}
		// The sequence number of the line counts from 1 when it is taken.
		seen := fmt.Sprintf("at=%d id=%d offset=3 line=%d", e.At, id, i+1)
		if got.Kernel[i] != seen || e.Lost != 0 || e.Rising != (i%2 == 0) || e.Woken < e.At {
			t.Errorf("edge %d: the kernel says %q, the program saw %q, %d lost, woken %v after it",
				i, got.Kernel[i], seen, e.Lost, time.Duration(e.Woken-e.At))
		}
	}
	return got.Seen
}

// distribution returns the median, the 99th percentile and the largest.
func distribution(d []time.Duration) string {
	slices.Sort(d)
	at := func(percent int) time.Duration { return d[(len(d)-1)*percent/100].Round(10 * time.Microsecond) }
	return fmt.Sprintf("median %v, 99 %% %v, largest %v (n = %d)", at(50), at(99), at(100), len(d))
}
