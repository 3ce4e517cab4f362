package outbox

import (
	"bytes"
	"hash/fnv"
	"os"
	"testing"

	"ciglio/capture/evidence"
)

func FuzzEntry(f *testing.F) {
	e := &entry{kind: 1, id: evidence.Hash{1}, link: evidence.Hash{2}, time: noon, blobs: []blobRef{{evidence.Hash{3}, 9}}, sealed: []byte("sealed")}
	f.Add(e.encode())
	f.Add((&entry{time: noon}).encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		if e, err := parseEntry(b); err == nil && !bytes.Equal(e.encode(), b) {
			t.Errorf("a second spelling of one entry: %x", b)
		}
	})
}

func FuzzAbout(f *testing.F) {
	f.Add((&about{device: device, number: 7, epoch: 2, first: 3, prev: evidence.Hash{4}, created: noon}).encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		if a, err := parseAbout(b); err == nil && !bytes.Equal(a.encode(), b) {
			t.Errorf("a second spelling of one description: %x", b)
		}
	})
}

func FuzzMark(f *testing.F) {
	f.Add([]byte(mark{7, 2, 1234}.String()))
	f.Fuzz(func(t *testing.T, b []byte) {
		if m, err := parseMark(b); err == nil && m.String() != string(b) {
			t.Errorf("a second spelling of one mark: %q", b)
		}
	})
}

// FuzzPages reads any file as if it were a segment and state.db. The input is a
// list of changes to a real segment: 2 bytes of place and 1 byte of value each,
// the first byte choosing the file and whether the meta pages' checksums are
// made to fit.
func FuzzPages(f *testing.F) {
	b := newBed(f)
	for i := range 30 {
		b.beat()
		if i%10 == 0 {
			b.settle(b.violate(evidence.KindTest, noise(1, 70_000), noise(2, 500), noise(3, 10)))
		}
	}
	b.shut()
	var files [2][]byte
	for i, name := range []string{segmentPath(b.dir, 1), b.dir + "/state.db"} {
		file, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		files[i] = file[:min(len(file), 1<<16)]
	}
	f.Add([]byte{0})
	f.Add([]byte{1, 0x20, 0x08, 0x01, 0x20, 0x0A, 0xFF})
	f.Add([]byte{3, 0x00, 0x20, 0x05})
	f.Fuzz(func(t *testing.T, changes []byte) {
		if len(changes) == 0 {
			return
		}
		file := bytes.Clone(files[changes[0]&1])
		for c := changes[1:]; len(c) >= 3; c = c[3:] {
			file[(int(c[0])<<8|int(c[1]))%len(file)] = c[2]
		}
		if changes[0]&2 != 0 {
			fitChecksums(file)
		}
		p, err := openPages(bytes.NewReader(file), int64(len(file)))
		if err != nil {
			return
		}
		p.meta.pages = min(p.meta.pages, uint64(len(file)/pageSize))
		_ = p.check()
		if s, err := p.savedState(device); err == nil && s == nil {
			t.Error("neither state nor error")
		}
		s := &segment{firstSeq: 1, next: 1}
		_ = p.ends(s)
		for seq := range uint64(40) {
			_, _ = p.value(number(seq), bucketRecords)
			_, _ = p.value(chunkKey(0, 0), bucketBlobs, number(seq))
		}
	})
}

// fitChecksums gives both meta pages the checksum of what they hold.
func fitChecksums(file []byte) {
	for i := range 2 {
		m := file[i*pageSize+pageHead:]
		h := fnv.New64a()
		h.Write(m[:56])
		native.PutUint64(m[56:], h.Sum64())
	}
}
