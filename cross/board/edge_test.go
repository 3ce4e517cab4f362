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
//
// The clock of this board goes by instructions, one a nanosecond, so that the
// times are those of the board and not of what else the host does.
func TestEdgePath(t *testing.T) {
	effort := boardtest.Need(t, boardtest.Short)
	o := withTests(t, "arm-7")
	o.QEMUArgs = []string{"-icount", "shift=0"}
	b := boardtest.Start(t, o)
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
			if !e.Rising && i > 0 && c.seen[i-1].Rising {
				width = append(width, (time.Duration(e.At-c.seen[i-1].At) - board.Width).Abs())
			}
		}
		boardtest.Figure(t, *update, "pulse of 100 ms by the kernel's timestamps, deviation (the emulator's part in it included), "+c.name, distribution(width))
		boardtest.Figure(t, *update, "program's wake-up after the edge, "+c.name, distribution(wake))
	}
	boardtest.Figure(t, *update, "edges whose timestamp reached the program exactly as the kernel took it",
		fmt.Sprintf("%d of %[1]d", len(idle)+len(loaded)))
	boardtest.Figure(t, *update, "pulses of which the emulated kernel saw the end only, and the program said so",
		fmt.Sprintf("%d of %d", 4*n-len(idle)-len(loaded), 2*n))
}

// edges gives n pulses and returns what the program saw, which must be what the
// kernel says. A host that is busy may keep the board from its interrupt until a
// pulse is over: the kernel then sees its end only, and the program must say so.
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
	if len(got.Seen) != len(got.Kernel) {
		t.Fatalf("%d pulses: the program saw %d edges, the kernel %d", n, len(got.Seen), len(got.Kernel))
	}
	before := onboard.EdgeSeen{} // the line is low at first
	for i, e := range got.Seen {
		const rising, falling = 1, 2 // GPIO_V2_LINE_EVENT_RISING_EDGE and its opposite
		id := falling
		if e.Rising {
			id = rising
		}
		// The sequence number of the line counts from 1 when it is taken.
		seen := fmt.Sprintf("at=%d id=%d offset=3 line=%d", e.At, id, i+1)
		missed := i > 0 && e.Rising == before.Rising
		if got.Kernel[i] != seen || (e.Lost == 1) != missed || e.Lost > 1 || e.Woken < e.At {
			t.Errorf("edge %d: the kernel says %q, the program saw %q, %d lost, woken %v after it",
				i, got.Kernel[i], seen, e.Lost, time.Duration(e.Woken-e.At))
		}
		before = e
	}
	return got.Seen
}

// distribution returns the median, the 99th percentile and the largest.
func distribution(d []time.Duration) string {
	slices.Sort(d)
	at := func(percent int) time.Duration { return d[(len(d)-1)*percent/100].Round(10 * time.Microsecond) }
	return fmt.Sprintf("median %v, 99 %% %v, largest %v (n = %d)", at(50), at(99), at(100), len(d))
}
