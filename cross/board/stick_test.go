package board_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"ciglio/cross/board"
	"ciglio/cross/board/boardtest"
	"ciglio/cross/board/onboard"
)

// TestStick plugs sticks into a board on which a program uses each as the device
// does: it mounts, writes, lists and copies, by package agent/stick. Whatever is
// wrong with a stick, the program must say so in time and be ready for the next.
func TestStick(t *testing.T) {
	effort := boardtest.Need(t, boardtest.Short)
	b := boardtest.Start(t, withTests(t, "arm-7"))
	images := map[string]string{} // by kind, with three files
	for _, kind := range []string{"vfat", "exfat", "ext4"} {
		images[kind] = filepath.Join(t.TempDir(), kind)
		t.Run(kind, func(t *testing.T) { stickOfKind(t, b, images[kind], kind) })
	}
	if t.Failed() {
		return
	}
	t.Run("with a partition table", func(t *testing.T) { stickWithPartitions(t, b, images["vfat"]) })
	t.Run("full", func(t *testing.T) { fullStick(t, b) })
	t.Run("slow", func(t *testing.T) { slowStick(t, b, images["vfat"]) })
	t.Run("dead", func(t *testing.T) { deadStick(t, b, images["vfat"]) })
	t.Run("bad sector", func(t *testing.T) { badSector(t, b, images["vfat"]) })
	t.Run("asks for a panic", func(t *testing.T) { panickingStick(t, b, images["ext4"]) })
	broken, read, written, in := rounds(effort, 4, 60, 1000), rounds(effort, 4, 60, 1000), rounds(effort, 2, 30, 500), rounds(effort, 5, 50, 500)
	for kind, image := range images {
		t.Run("broken "+kind, func(t *testing.T) { brokenStick(t, b, image, broken) })
		t.Run("pulled out of "+kind, func(t *testing.T) { pulledStick(t, b, image, read, false) })
		t.Run("pulled out of "+kind+" while it is written", func(t *testing.T) { pulledStick(t, b, image, written, true) })
	}
	t.Run("in and out", func(t *testing.T) {
		for range in {
			plug(t, b, board.Stick{Image: images["vfat"]})
			unplug(t, b)
		}
	})
	p := onBoard(t, b, "TestStick")
	if line := use(t, b, board.Stick{Image: images["vfat"]}); !strings.Contains(line, "good: vfat, 3 listed, 3 read") {
		t.Errorf("after all that: %s", line)
	}
	good(t, p)
	good(t, onBoard(t, b, "TestKernelIsWell"))
	kinds := len(images)
	if !t.Failed() {
		boardtest.Figure(t, *update, "sticks with a broken file system; pulled out while read; while written; at once",
			fmt.Sprintf("%d; %d; %d; %d, on one board, each answered in time, the kernel well", kinds*broken, kinds*read, kinds*written, in))
	}
}

func rounds(e boardtest.Effort, short, all, soak int) int {
	return map[boardtest.Effort]int{boardtest.Short: short, boardtest.All: all, boardtest.Soak: soak}[e]
}

// use plugs a stick in, waits for what the program says of it, and pulls it out.
func use(t *testing.T, b *board.Board, s board.Stick) string {
	t.Helper()
	wait(t, b, "stick: waits")
	plug(t, b, s)
	line := wait(t, b, "stick: outcome: ")
	unplug(t, b)
	return line
}

func plug(t *testing.T, b *board.Board, s board.Stick) {
	t.Helper()
	if err := b.Plug(t.Context(), s); err != nil {
		t.Fatal(err)
	}
}

func unplug(t *testing.T, b *board.Board) {
	t.Helper()
	if err := b.Unplug(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// onStick starts the program for one stick, and checks what it says of it.
func onStick(t *testing.T, b *board.Board, s board.Stick, want string, flags ...string) {
	t.Helper()
	p := onBoard(t, b, "TestStick", flags...)
	if line := use(t, b, s); !strings.Contains(line, want) {
		t.Errorf("%s; want %q", line, want)
	}
	good(t, p)
}

func stickOfKind(t *testing.T, b *board.Board, image, kind string) {
	if err := board.Format(t.Context(), image, kind, 40<<20); err != nil {
		t.Fatal(err)
	}
	onStick(t, b, board.Stick{Image: image}, "good: "+kind+", 3 listed, 3 read", "-files=3")
	onStick(t, b, board.Stick{Image: image, ReadOnly: true}, "good: "+kind+", 3 listed, 3 read")
	onStick(t, b, board.Stick{Image: image, ReadOnly: true}, "for writing: the stick is read-only", "-files=1")
}

func stickWithPartitions(t *testing.T, b *board.Board, image string) {
	content, err := os.ReadFile(image)
	if err != nil {
		t.Fatal(err)
	}
	const start, sector = 2048, 512
	table := make([]byte, start*sector)
	entry := table[446:]
	entry[4] = 0x0C // FAT32 by number of sector
	binary.LittleEndian.PutUint32(entry[8:], start)
	binary.LittleEndian.PutUint32(entry[12:], uint32(len(content)/sector))
	table[510], table[511] = 0x55, 0xAA
	parted := filepath.Join(t.TempDir(), "parted")
	if err := os.WriteFile(parted, append(table, content...), 0o644); err != nil {
		t.Fatal(err)
	}
	onStick(t, b, board.Stick{Image: parted}, "good: vfat, 3 listed, 3 read")
	copy(entry[16:], entry[:16])
	if err := os.WriteFile(parted, append(table, make([]byte, len(content))...), 0o644); err != nil {
		t.Fatal(err)
	}
	onStick(t, b, board.Stick{Image: parted}, "no file system that is known here")
}

func fullStick(t *testing.T, b *board.Board) {
	image := filepath.Join(t.TempDir(), "full")
	if err := board.Format(t.Context(), image, "vfat", 1<<20); err != nil {
		t.Fatal(err)
	}
	onStick(t, b, board.Stick{Image: image}, "no space left on device", "-files=10")
	onStick(t, b, board.Stick{Image: image}, "good: vfat, 3 listed, 3 read") // what was put before is whole
}

func slowStick(t *testing.T, b *board.Board, image string) {
	// 768 KiB at that rate take longer than the program's patience, and may.
	onStick(t, b, board.Stick{Image: image, Rate: 200 << 10}, "good: vfat, 3 listed, 3 read", "-patience=2s")
	onStick(t, b, board.Stick{Image: image, Rate: 200 << 10}, "context deadline exceeded", "-patience=2s", "-within=2s")
}

func deadStick(t *testing.T, b *board.Board, image string) {
	p := onBoard(t, b, "TestStick", "-patience=2s")
	wait(t, b, "stick: waits")
	plug(t, b, board.Stick{Image: image, Rate: 200 << 10})
	wait(t, b, "stick: reads file-001")
	if err := b.SetStickRate(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	if line := wait(t, b, "stick: outcome: "); !strings.Contains(line, "does not answer") {
		t.Errorf("a stick that is dead: %s", line)
	}
	unplug(t, b)
	good(t, p)
}

func badSector(t *testing.T, b *board.Board, image string) {
	content, err := os.ReadFile(image)
	if err != nil {
		t.Fatal(err)
	}
	const size, sector = 256 << 10, 512
	at := bytes.Index(content, onboard.Pattern("file-001", size)[:sector])
	if at < 0 {
		t.Fatal("file-001 is not on the stick")
	}
	p := onBoard(t, b, "TestStick")
	line := use(t, b, board.Stick{Image: image, BadSector: int64(at/sector) + 300})
	if !strings.Contains(line, "2 read") || !strings.Contains(line, "file-001: input/output error") {
		t.Errorf("a sector of file-001 cannot be read: %s", line)
	}
	good(t, p)
}

// panickingStick breaks a folder of a file system whose own wish it is that the
// kernel panics when it is broken.
func panickingStick(t *testing.T, b *board.Board, image string) {
	bad := copyImage(t, image)
	tune := exec.CommandContext(t.Context(), "env", "tune2fs", "-e", "panic", bad)
	tune.Env = append(os.Environ(), "PATH="+os.Getenv("PATH")+":/usr/sbin:/sbin")
	if out, err := tune.CombinedOutput(); err != nil {
		t.Fatalf("tune2fs: %v\n%s", err, out)
	}
	content, err := os.ReadFile(bad)
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.Index(content, []byte("file-001"))
	if at < 0 {
		t.Fatal("file-001 is not in a folder")
	}
	content[at] ^= 1 // which the folder's check sum tells
	if err := os.WriteFile(bad, content, 0o644); err != nil {
		t.Fatal(err)
	}
	onStick(t, b, board.Stick{Image: bad}, "bad message")
}

func copyImage(t *testing.T, image string) string {
	t.Helper()
	content, err := os.ReadFile(image)
	if err != nil {
		t.Fatal(err)
	}
	to := filepath.Join(t.TempDir(), "copy")
	if err := os.WriteFile(to, content, 0o644); err != nil {
		t.Fatal(err)
	}
	return to
}

// brokenStick spoils the file system in another way each time. Whether a file
// then is another file only its signature could tell; here it counts that the
// program says something, in time.
func brokenStick(t *testing.T, b *board.Board, image string, n int) {
	content, err := os.ReadFile(image)
	if err != nil {
		t.Fatal(err)
	}
	p := onBoard(t, b, "TestStick", "-rounds="+strconv.Itoa(n))
	for round := range n {
		r := rand.New(rand.NewPCG(uint64(round), 1))
		broken := bytes.Clone(content)
		switch round % 4 {
		case 0: // single bytes, where most of what is not data lies
			for range 50 {
				broken[r.IntN(1<<20)] = byte(r.Uint32())
			}
		case 1: // sectors of noise
			for range 20 {
				at := 512 * (1 + r.IntN(2<<20/512))
				for i := range 512 {
					broken[at+i] = byte(r.Uint32())
				}
			}
		case 2: // cut off
			broken = broken[:512*(8+r.IntN(len(broken)/512))]
		case 3: // a stretch that was never written
			at := 4096 * (1 + r.IntN(256))
			clear(broken[at : at+64<<10])
		}
		bad := filepath.Join(t.TempDir(), "broken")
		if err := os.WriteFile(bad, broken, 0o644); err != nil {
			t.Fatal(err)
		}
		t.Logf("%d: %s", round, use(t, b, board.Stick{Image: bad}))
	}
	good(t, p)
}

// pulledStick pulls the stick out when the board has read a random number of
// bytes off it, or written to it, from the moment that the program sees it.
func pulledStick(t *testing.T, b *board.Board, image string, n int, writing bool) {
	stick := board.Stick{Image: image, ReadOnly: true, Rate: 2 << 20}
	flags := []string{"-rounds=" + strconv.Itoa(n+1)}
	if writing {
		stick = board.Stick{Image: copyImage(t, image), Rate: 2 << 20}
		flags = append(flags, "-files=3")
	}
	p := onBoard(t, b, "TestStick", flags...)
	moved := func() int64 {
		t.Helper()
		read, written, err := b.StickTraffic(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if writing {
			return written
		}
		return read
	}
	wait(t, b, "stick: waits")
	plug(t, b, stick)
	wait(t, b, "stick: sees")
	before := moved()
	if line := wait(t, b, "stick: outcome: "); !strings.Contains(line, "good: ") {
		t.Fatal(line)
	}
	all := moved()
	unplug(t, b)
	for round := range n {
		if writing { // what was written in part is no stick to begin with
			stick.Image = copyImage(t, image)
		}
		at := before + rand.Int64N(max(1, all-before)) // on a busy machine it may all be read by then
		wait(t, b, "stick: waits")
		plug(t, b, stick)
		wait(t, b, "stick: sees")
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		for moved() < at && ctx.Err() == nil {
		}
		cancel()
		unplug(t, b)
		line := wait(t, b, "stick: outcome: ")
		if strings.Contains(line, "WRONG") || strings.Contains(line, "error") && !strings.Contains(line, "pulled out") {
			t.Errorf("pulled out after %d of %d bytes: %s", at, all, line)
		}
		t.Logf("%d: after %d of %d bytes: %s", round, at, all, line)
	}
	good(t, p)
}
