package outbox

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"
	"golang.org/x/sync/errgroup"

	"ciglio/capture/evidence"
	"ciglio/uplink/wire"
)

// rival is a way to make the bytes of a violation durable.
type rival struct {
	name string
	put  func() error
	took []time.Duration // for a violation
}

// race gives each rival its turn in every round, so that all meet the same disk,
// and returns the median time of each for one violation. In a turn the callers
// store two violations each, at once.
func race(b *testing.B, callers int, rivals []*rival) map[string]float64 {
	b.Helper()
	for i := 0; b.Loop(); i++ {
		for turn := range rivals {
			r := rivals[(turn+i)%len(rivals)]
			start := time.Now()
			var g errgroup.Group
			for range callers {
				g.Go(func() error { return errors.Join(r.put(), r.put()) })
			}
			if err := g.Wait(); err != nil {
				b.Fatal(r.name, err)
			}
			r.took = append(r.took, time.Since(start)/time.Duration(2*callers))
		}
	}
	median := map[string]float64{}
	for _, r := range rivals {
		slices.Sort(r.took)
		median[r.name] = r.took[len(r.took)/2].Seconds()
	}
	return median
}

// BenchmarkViolation stores violations of three frames of 400 KB, hashing,
// checking, sealing and syncing included, and in the same rounds the same bytes
// by a raw write with fdatasync and by bare bbolt in the same chunks. It prints
// each one's violations a second (by the median), and the ratios. With one
// caller hashing adds to the disk's time; with two, one hashes while the other
// writes.
func BenchmarkViolation(b *testing.B) {
	for _, callers := range []int{1, 2} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			benchmarkViolation(b, callers, noise(1, 400_000), noise(2, 400_000), noise(3, 400_000), noise(4, 4_000))
		})
	}
}

// BenchmarkOriginals is BenchmarkViolation with the originals of large cameras: five
// stills of 20 megapixels and 12 MB each, and five pictures of 2 MB of a camera that
// gives 30 a second. A round writes 720 MB: run it with -benchtime 3x.
func BenchmarkOriginals(b *testing.B) {
	for name, size := range map[string]int{"stills=5x12MB": 12_000_000, "video=5x2MB": 2_000_000} {
		b.Run(name, func(b *testing.B) {
			benchmarkViolation(b, 1, noise(1, size), noise(2, size), noise(3, size), noise(4, size), noise(5, size), noise(6, 64_000))
		})
	}
}

func benchmarkViolation(b *testing.B, callers int, frames ...[]byte) {
	var size int
	for _, f := range frames {
		size += len(f)
	}
	perFile := max(1, perFile*1_204_000/size)
	b.SetBytes(int64(size))
	bed := newBed(b, func(o *Options) { o.SegmentSize = DefaultSegmentSize })
	sample := bed.violate(evidence.KindViolation, frames...)
	raw := &rawFile{dir: b.TempDir(), perFile: perFile}
	defer raw.close()
	bare := &bareBolt{dir: b.TempDir(), perFile: perFile}
	defer bare.close()
	rivals := []*rival{
		{name: "outbox", put: func() error {
			_, err := bed.tryViolate(evidence.KindViolation, frames...)
			return err
		}},
		{name: "bbolt", put: func() error { return bare.put(sample.Bytes, frames) }},
		{name: "raw", put: func() error { return raw.put(sample.Bytes, frames) }},
	}
	b.ReportAllocs()
	m := race(b, callers, rivals)
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(1/m["outbox"], "violations/s")
	b.ReportMetric(1/m["bbolt"], "bare-bbolt/s")
	b.ReportMetric(1/m["raw"], "raw-write/s")
	b.ReportMetric(m["bbolt"]/m["outbox"], "of-bbolt")
	b.ReportMetric(m["raw"]/m["outbox"], "of-raw")
}

// perFile is how many violations of three frames go into a file before a new one is
// begun: as many as a segment takes. Of larger ones it is fewer.
const perFile = 180

// rawFile appends to a file.
type rawFile struct {
	dir     string
	perFile int
	mu      sync.Mutex
	n       int
	f       *os.File
}

func (s *rawFile) close() {
	if s.f != nil {
		s.f.Close()
	}
}

func (s *rawFile) put(record []byte, blobs [][]byte) (err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.n%s.perFile == 0 {
		s.close()
		if s.f, err = os.Create(filepath.Join(s.dir, "raw")); err != nil {
			return err
		}
	}
	s.n++
	for _, b := range append([][]byte{record}, blobs...) {
		if _, err := s.f.Write(b); err != nil {
			return err
		}
	}
	return syscall.Fdatasync(int(s.f.Fd()))
}

// bareBolt stores chunks in one flat bucket, without hashing or sealing.
type bareBolt struct {
	dir     string
	perFile int
	mu      sync.Mutex
	n       int
	db      *bolt.DB
}

func (s *bareBolt) close() {
	if s.db != nil {
		s.db.Close()
	}
}

func (s *bareBolt) put(record []byte, blobs [][]byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := s.n
	s.n++
	if i%s.perFile == 0 {
		s.close()
		path := filepath.Join(s.dir, "bare.db")
		if err := os.RemoveAll(path); err != nil {
			return err
		}
		db, err := bolt.Open(path, 0o600, &bolt.Options{FreelistType: bolt.FreelistMapType, NoFreelistSync: true, InitialMmapSize: DefaultSegmentSize})
		if err != nil {
			return err
		}
		s.db = db
		if err := db.Update(func(tx *bolt.Tx) error { _, err := tx.CreateBucket([]byte("q")); return err }); err != nil {
			return err
		}
	}
	key := func(f, c int) []byte {
		k := binary.BigEndian.AppendUint64(nil, uint64(i))
		return binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(k, uint16(f)), uint16(c))
	}
	return s.db.Update(func(tx *bolt.Tx) error {
		b := tx.Bucket([]byte("q"))
		b.FillPercent = 0.95
		if err := b.Put(key(0, 0), record); err != nil {
			return err
		}
		for f, blob := range blobs {
			for o, c := 0, 0; o < len(blob); o, c = o+wire.ChunkSize, c+1 {
				if err := b.Put(key(f+1, c), blob[o:min(o+wire.ChunkSize, len(blob))]); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// BenchmarkDrain reads every record and chunk as the sender does, from an older
// segment, and compares with reading the same file.
func BenchmarkDrain(b *testing.B) {
	bed := newBed(b, func(o *Options) { o.SegmentSize = 64 << 20 })
	frames := [][]byte{noise(1, 400_000), noise(2, 400_000), noise(3, 400_000), noise(4, 4_000)}
	for range 40 {
		bed.violate(evidence.KindViolation, frames...)
	}
	bed.now = noon.AddDate(0, 0, 1)
	last := bed.beat()
	var bytes int64
	var took, file time.Duration
	for b.Loop() {
		start := time.Now()
		for after := (Key{}); ; {
			items, err := bed.Unsettled(after, 100)
			if err != nil {
				b.Fatal(err)
			}
			for _, it := range items {
				after = it.Key
				if _, err := bed.Record(it.Key); err != nil {
					b.Fatal(err)
				}
				for i, blob := range it.Blobs {
					for c := range blob.Chunks {
						if _, err := bed.Chunk(it.Key, i, c); err != nil {
							b.Fatal(err)
						}
					}
				}
				bytes += it.Size
			}
			if after == key(last) {
				break
			}
		}
		took += time.Since(start)
		start = time.Now()
		if _, err := os.ReadFile(segmentPath(bed.dir, 1)); err != nil {
			b.Fatal(err)
		}
		file += time.Since(start)
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(bytes)/1e6/took.Seconds(), "MB/s")
	b.ReportMetric(file.Seconds()/took.Seconds(), "of-reading-the-file")
}

// BenchmarkUnsettled asks for the next hundred records of 200,000 that wait in
// twenty segments, as after a month without network, from one end to the other.
func BenchmarkUnsettled(b *testing.B) {
	bed := newBed(b, func(o *Options) { o.SegmentSize = 64 << 20 })
	s := bed.beat()
	e := newEntry(s).encode()
	const segments, each = 20, 10_000
	for n := range segments {
		if n > 0 {
			if err := bed.roll(bed.Head(), ""); err != nil {
				b.Fatal(err)
			}
		}
		seg := bed.active.seg
		if err := bed.active.db.Update(func(tx *bolt.Tx) error {
			records := tx.Bucket(bucketRecords)
			records.FillPercent = 1
			for seg.next < seg.firstSeq+each {
				if err := records.Put(number(seg.next), e); err != nil {
					return err
				}
				seg.next++
			}
			return nil
		}); err != nil {
			b.Fatal(err)
		}
	}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	last, calls := Key{}, 0
	b.ReportAllocs()
	start := time.Now()
	for b.Loop() {
		items, err := bed.Unsettled(last, 100)
		if err != nil {
			b.Fatal(err)
		}
		calls++
		if last = (Key{}); len(items) > 0 {
			last = items[len(items)-1].Key
		}
	}
	took := time.Since(start)
	runtime.GC()
	runtime.ReadMemStats(&after)
	b.ReportMetric(float64(calls*100)/took.Seconds(), "records/s")
	b.ReportMetric((float64(after.HeapAlloc)-float64(before.HeapAlloc))/1e3, "kB-more-heap")
}
