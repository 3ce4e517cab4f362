package outbox

import (
	"bufio"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ciglio/capture/evidence"
)

// childDir is set in the environment of a test binary that is run again to be
// the device: it appends, settles and drops until it is killed or the disk is
// full, and prints what has been confirmed.
const childDir = "CIGLIO_OUTBOX_CHILD"

// childBlobs are the blobs of the record with the given number.
func childBlobs(seq uint64) [][]byte {
	return [][]byte{noise(seq, 130_000), noise(seq+1, 20_000), noise(seq+2, 700)}
}

func TestChild(t *testing.T) {
	dir := os.Getenv(childDir)
	if dir == "" {
		t.Skip("runs only in the tests that kill it")
	}
	if limit, err := strconv.ParseUint(os.Getenv("CIGLIO_OUTBOX_LIMIT"), 10, 64); err == nil {
		signal.Ignore(syscall.SIGXFSZ)
		if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: limit, Max: limit}); err != nil {
			t.Fatal(err)
		}
	}
	b := &bed{TB: t, dir: dir, now: noon, device: newSigner(t), centre: newSigner(t)}
	b.options = Options{Device: device, SegmentSize: MinSegmentSize, Reserve: 1}
	b.open()
	say := func(format string, a ...any) { fmt.Fprintf(os.Stdout, format+"\n", a...) }
	say("open %q", b.Report().Raised)
	var last *evidence.Sealed
	for i := 0; i < 1000; i++ {
		var s *evidence.Sealed
		var err error
		if next := b.Head().Next; next%3 == 0 {
			s, err = b.tryViolate(evidence.KindTest, childBlobs(next)...)
		} else {
			s, err = b.tryBeat()
		}
		if err != nil {
			say("refused %v", err)
			break
		}
		say("stored %d %d %v", s.Record.Epoch, s.Record.Seq, s.ID)
		if i%4 == 3 {
			if n, err := b.Settle(b.receipt(last, s)); err == nil {
				say("settled %d %d", n, s.Record.Seq)
			}
		}
		if last = s; i%16 == 15 {
			dropped, err := b.Expire(noon.AddDate(1, 0, 0))
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range dropped {
				say("dropped %d %d", d.From, d.To)
			}
		}
	}
	b.shut()
	say("end")
}

// child starts the device on dir. Where the tests are programs of another
// processor, CIGLIO_EXEC names what runs them.
func child(t *testing.T, dir string, environment ...string) (*exec.Cmd, *bufio.Scanner) {
	t.Helper()
	words := append(strings.Fields(os.Getenv("CIGLIO_EXEC")), os.Args[0], "-test.run=^TestChild$", "-test.v")
	c := exec.Command(words[0], words[1:]...)
	c.Env = append(append(os.Environ(), childDir+"="+dir), environment...)
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	c.Stderr = os.Stderr
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	return c, bufio.NewScanner(out)
}

// confirmed is what children have said.
type confirmed struct {
	ids     map[Key]string
	settled map[uint64]bool
	dropped map[uint64]bool
	refused string
	ended   bool
}

func (c *confirmed) hear(t *testing.T, line string) {
	t.Helper()
	var a, b uint64
	var id string
	if n, _ := fmt.Sscanf(line, "stored %d %d %s", &a, &b, &id); n == 3 {
		if old := c.ids[at(a, b)]; old != "" && old != id {
			t.Errorf("epoch %d number %d is two records", a, b)
		}
		c.ids[at(a, b)] = id
	} else if n, _ := fmt.Sscanf(line, "settled %d %d", &a, &b); n == 2 {
		c.settled[b] = true
	} else if n, _ := fmt.Sscanf(line, "dropped %d %d", &a, &b); n == 2 {
		for ; a <= b; a++ {
			c.dropped[a] = true
		}
	} else if rest, ok := strings.CutPrefix(line, "refused "); ok {
		c.refused = rest
	} else if line == "end" {
		c.ended = true
	} else if strings.HasPrefix(line, "open ") && line != `open ""` {
		t.Errorf("the epoch was raised: %s", line)
	}
}

// check opens the store and looks for everything confirmed.
func (c *confirmed) check(t *testing.T, dir string) {
	t.Helper()
	b := &bed{TB: t, dir: dir, now: noon, device: newSigner(t), centre: newSigner(t)}
	b.options = Options{Device: device, SegmentSize: MinSegmentSize}
	b.open()
	defer b.shut()
	r := b.Report()
	if r.Raised != "" || r.Rebuilt || len(r.Moved)+len(r.Missing)+len(r.Records) > 0 {
		t.Errorf("report: %+v", r)
	}
	for k, id := range c.ids {
		raw, err := b.Record(k)
		if errors.Is(err, ErrNotFound) && (c.dropped[k.Seq] || b.index.after(Key{}, 1, false)[0].key.Seq > k.Seq) {
			continue // dropped, and perhaps killed before it could say so
		}
		if err != nil {
			t.Error(err)
			continue
		}
		s, err := evidence.Open(raw)
		if err != nil || s.ID.String() != id {
			t.Errorf("%v is another record, error %v", k, err)
			continue
		}
		for i := range blobsOf(s.Record) {
			if got, err := b.Blob(k, i); err != nil || string(got) != string(childBlobs(k.Seq)[i]) {
				t.Errorf("%v blob %d: %v", k, i, err)
			}
		}
		if _, err := b.Receipt(k); c.settled[k.Seq] && err != nil {
			t.Error(err)
		}
	}
}

func TestKilledProcessLosesNothingConfirmed(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "outbox")
	r := mathrand.New(mathrand.NewPCG(7, 7))
	c := &confirmed{ids: map[Key]string{}, settled: map[uint64]bool{}, dropped: map[uint64]bool{}}
	for range 20 {
		cmd, lines := child(t, dir)
		for left := 5 + r.IntN(60); lines.Scan(); left-- {
			c.hear(t, lines.Text())
			if left == 0 {
				_ = cmd.Process.Kill() // its last words are still in the pipe
			}
		}
		_ = cmd.Wait()
		if c.ended || c.refused != "" {
			t.Fatalf("the child was not killed: %+v", c.refused)
		}
		c.check(t, dir)
	}
	if len(c.ids) < 200 {
		t.Errorf("only %d records confirmed", len(c.ids))
	}
}

// TestFullDiskLosesNothingConfirmed runs the device with a limit on the size of
// its files: a write past it fails in the middle, like one on a full disk.
func TestFullDiskLosesNothingConfirmed(t *testing.T) {
	for _, limit := range []int{20 << 10, 33 << 10, 70 << 10, 150 << 10, 300 << 10, 700 << 10} {
		t.Run(fmt.Sprint(limit), func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "outbox")
			newBedIn(t, dir).shut() // what a fresh store needs is there
			c := &confirmed{ids: map[Key]string{}, settled: map[uint64]bool{}, dropped: map[uint64]bool{}}
			cmd, lines := child(t, dir, "CIGLIO_OUTBOX_LIMIT="+strconv.Itoa(limit))
			for lines.Scan() {
				c.hear(t, lines.Text())
			}
			_ = cmd.Wait()
			if !strings.HasPrefix(c.refused, ErrFull.Error()) {
				t.Errorf("refused with %q", c.refused)
			}
			c.check(t, dir)
			c.check(t, dir)
		})
	}
}

func newBedIn(t *testing.T, dir string) *bed {
	b := &bed{TB: t, dir: dir, now: noon, device: newSigner(t), centre: newSigner(t)}
	b.options = Options{Device: device, SegmentSize: MinSegmentSize, Now: func() time.Time { return b.now }}
	b.open()
	return b
}
