package writelog

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"testing"
)

// entry is one entry as a test writes it.
type entry struct {
	first, sectors, flags uint64
	text                  string
	data                  []byte
}

// encode makes a log. It is written without a look at the reader, from the
// package's comment.
func encode(sector int, entries ...entry) []byte {
	pad := func(b []byte) []byte { return append(b, make([]byte, (sector-len(b)%sector)%sector)...) }
	words := func(n ...uint64) (b []byte) {
		for _, n := range n {
			b = binary.LittleEndian.AppendUint64(b, n)
		}
		return b
	}
	log := pad(binary.LittleEndian.AppendUint32(words(0x006A736677736872, 1, uint64(len(entries))), uint32(sector)))
	for _, e := range entries {
		head := words(e.first, e.sectors, e.flags, uint64(len(e.text)))
		log = append(log, pad(append(head, e.text...))...)
		log = append(log, e.data...)
	}
	return log
}

// filled returns n bytes of one value.
func filled(c byte, n int) []byte { return bytes.Repeat([]byte{c}, n) }

func open(t *testing.T, b []byte) *Log {
	t.Helper()
	l, err := Open(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// sample is: A and B written, a flush, C over B, a mark, D, A discarded, E with FUA.
func sample() []byte {
	return encode(512,
		entry{first: 0, sectors: 2, data: filled('A', 1024)},
		entry{first: 2, sectors: 2, data: filled('B', 1024)},
		entry{flags: 1},
		entry{first: 2, sectors: 2, data: filled('C', 1024)},
		entry{flags: 8, text: "here"},
		entry{first: 4, sectors: 1, data: filled('D', 512)},
		entry{first: 0, sectors: 2, flags: 4},
		entry{first: 5, sectors: 1, flags: 2, data: filled('E', 512)},
	)
}

func TestTheExampleOfThePackageComment(t *testing.T) {
	b := encode(512, entry{first: 3, sectors: 1, data: filled('A', 512)})
	want := append([]byte{0: 3, 8: 1, 511: 0}, filled(0x41, 512)...)
	if !bytes.Equal(b[512:], want) {
		t.Fatalf("the example is % x", b[512:])
	}
	l := open(t, b)
	data, err := l.Data(0)
	if e := l.Entries[0]; err != nil || e.Offset != 1536 || e.Length != 512 || !bytes.Equal(data, filled('A', 512)) {
		t.Errorf("read as %+v, error %v", e, err)
	}
}

func TestSectorsOf4096(t *testing.T) {
	l := open(t, encode(4096, entry{first: 1, sectors: 1, data: filled('A', 4096)}, entry{flags: 1}))
	disk := make([]byte, 8192)
	if err := l.Replay(disk, 0, 2, nil); err != nil {
		t.Fatal(err)
	}
	if string(disk) != string(append(make([]byte, 4096), filled('A', 4096)...)) {
		t.Error("the sector is in another place")
	}
}

func TestFlushedIsWhatStandsBeforeTheLastFlush(t *testing.T) {
	l := open(t, sample())
	if l.Entries[4].Text != "here" {
		t.Errorf("mark %q", l.Entries[4].Text)
	}
	for n, want := range []int{0, 0, 0, 2, 2, 2, 2, 2, 2} {
		if got := l.Flushed(n); got != want {
			t.Errorf("cut after %d entries: %d are kept, want %d", n, got, want)
		}
	}
}

// row writes the first byte of each sector.
func row(disk []byte) string {
	var s []byte
	for at := 0; at < len(disk); at += 512 {
		c := disk[at]
		if !bytes.Equal(disk[at:at+512], filled(c, 512)) {
			c = '?'
		} else if c == 0 {
			c = '-'
		}
		s = append(s, c)
	}
	return string(s)
}

func TestReplay(t *testing.T) {
	l := open(t, sample())
	second := func(_, sector int) bool { return sector == 1 }
	for _, c := range []struct {
		name  string
		until int
		fate  Fate
		want  string
	}{
		{"nothing was written yet", 0, All, "......"},
		{"all arrived", 8, All, "--CCDE"},
		{"all, said otherwise", 8, nil, "--CCDE"},
		{"all that could be lost is lost, FUA is not", 8, None, "AABB.E"},
		{"the cut is before the FUA", 7, None, "AABB.."},
		{"single sectors", 7, second, "A-BC.."},
		{"the later one of two arrived", 4, func(e, _ int) bool { return e == 3 }, "AACC.."},
		{"without any flush all may be lost", 2, None, "......"},
	} {
		t.Run(c.name, func(t *testing.T) {
			disk := filled('.', 6*512)
			kept := l.Flushed(c.until)
			err := errors.Join(l.Replay(disk, 0, kept, nil), l.Replay(disk, kept, c.until, c.fate))
			if got := row(disk); err != nil || got != c.want {
				t.Errorf("disk %s, want %s, error %v", got, c.want, err)
			}
		})
	}
}

func TestRandomFateDoesEverything(t *testing.T) {
	l := open(t, encode(512, entry{sectors: 4, data: filled('A', 2048)}))
	seen := map[string]bool{}
	r := rand.New(rand.NewPCG(1, 2))
	for range 1000 {
		disk := filled('.', 2048)
		if err := l.Replay(disk, 0, 1, Random(r)); err != nil {
			t.Fatal(err)
		}
		seen[row(disk)] = true
	}
	if len(seen) != 16 {
		t.Errorf("%d of 16 states were seen", len(seen))
	}
	if l := open(t, sample()); l.Replay(make([]byte, 5*512), 0, 8, All) == nil {
		t.Error("wrote beyond the end of the disk")
	}
}

func TestTornLogIsGoodAsFarAsItGoes(t *testing.T) {
	whole := sample()
	hole := encode(512, entry{first: 1, sectors: 1, data: filled('A', 512)}, entry{}, entry{flags: 1})
	for _, c := range []struct {
		name string
		log  []byte
		want TornError
	}{
		{"the last data are cut", whole[:len(whole)-1], TornError{8, 7}},
		{"cut before the last entry", whole[:len(whole)-1024], TornError{8, 7}},
		{"only a super block", whole[:512], TornError{8, 0}},
		{"a hole", hole, TornError{3, 1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			l, err := Open(bytes.NewReader(c.log), int64(len(c.log)))
			var torn *TornError
			if !errors.As(err, &torn) || *torn != c.want || len(l.Entries) != c.want.Have {
				t.Errorf("error %v, want %v", err, &c.want)
			}
		})
	}
}

func TestRefused(t *testing.T) {
	change := func(at int, c byte) []byte {
		b := sample()
		b[at] = c
		return b
	}
	for _, c := range []struct {
		name string
		log  []byte
	}{
		{"empty", nil},
		{"another file", filled(0xEB, 4096)},
		{"version 2", change(8, 2)},
		{"sectors of 256 bytes", change(25, 1)},
		{"sectors of 513 bytes", change(24, 1)},
		{"super block not zero behind its fields", change(511, 1)},
		{"entry not zero behind its fields", change(1023, 1)},
		{"unknown flag", change(512+16, 16)},
		{"text without a mark", change(512+24, 4)},
		{"mark with data", encode(512, entry{sectors: 1, flags: 8, data: filled('A', 512)})},
		{"mark with another flag", encode(512, entry{flags: 9})},
		{"text longer than its sector", change(512+2*1536+512+1536+25, 2)},
		{"FUA without data", encode(512, entry{flags: 2})},
		{"flush somewhere", encode(512, entry{flags: 1, first: 1})},
		{"discard of nothing", encode(512, entry{flags: 4})},
		{"beyond any disk", encode(512, entry{first: 1 << 60, sectors: 1, data: filled('A', 512)})},
		{"longer than any disk", encode(512, entry{sectors: 1 << 60, flags: 4})},
	} {
		t.Run(c.name, func(t *testing.T) {
			if l, err := Open(bytes.NewReader(c.log), int64(len(c.log))); !errors.Is(err, ErrFormat) {
				t.Errorf("read as %+v, error %v", l, err)
			}
		})
	}
}

// FuzzOpen: what is accepted has one spelling, and is replayed within the disk.
func FuzzOpen(f *testing.F) {
	f.Add(sample())
	f.Add(sample()[:700])
	f.Add(encode(4096, entry{sectors: 1, data: filled('A', 4096)}))
	f.Fuzz(func(t *testing.T, b []byte) {
		l, err := Open(bytes.NewReader(b), int64(len(b)))
		var torn *TornError
		if err != nil && !errors.As(err, &torn) {
			return
		}
		var again []entry
		for i, e := range l.Entries {
			data, err := l.Data(i)
			if err != nil {
				t.Fatal(err)
			}
			size := int64(l.SectorSize)
			again = append(again, entry{uint64(e.Offset / size), uint64(e.Length / size), uint64(e.Flags), e.Text, data})
		}
		if enc := encode(l.SectorSize, again...); torn == nil && !bytes.HasPrefix(b, enc) ||
			torn != nil && !bytes.HasPrefix(b[l.SectorSize:], enc[l.SectorSize:]) {
			t.Errorf("a second spelling of one log was accepted: %q", b)
		}
		_ = l.Replay(make([]byte, 8192), 0, len(l.Entries), Random(rand.New(rand.NewPCG(1, 1)))) // it may lie outside
	})
}
