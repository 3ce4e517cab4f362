package outbox

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

	"ciglio/capture/evidence"
	"ciglio/uplink/wire"
)

// rival is a way to make the bytes of a violation durable.
type rival struct {
	name string
	put  func(i int) error
	took []time.Duration
}

// race gives each rival its turn in every round, so that all meet the same disk,
// and returns the median time of each.
func race(b *testing.B, rivals []*rival) map[string]float64 {
	b.Helper()
	for i := 0; b.Loop(); i++ {
		for turn := range rivals {
			r := rivals[(turn+i)%len(rivals)]
			start := time.Now()
			if err := r.put(i); err != nil {
				b.Fatal(r.name, err)
			}
			r.took = append(r.took, time.Since(start))
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
// each one's violations a second (by the median), and the ratios.
func BenchmarkViolation(b *testing.B) {
	frames := [][]byte{noise(1, 400_000), noise(2, 400_000), noise(3, 400_000), noise(4, 4_000)}
	bed := newBed(b, func(o *Options) { o.SegmentSize = DefaultSegmentSize })
	dir := b.TempDir()
	sample := bed.violate(evidence.KindViolation, frames...)

	raw, err := os.Create(filepath.Join(dir, "raw"))
	if err != nil {
		b.Fatal(err)
	}
	defer raw.Close()
	bare := &bareBolt{dir: dir}
	defer bare.close()
	rivals := []*rival{
		{name: "outbox", put: func(int) error {
			_, err := bed.tryViolate(evidence.KindViolation, frames...)
			return err
		}},
		{name: "bbolt", put: func(i int) error { return bare.put(i, sample.Bytes, frames) }},
		{name: "raw", put: func(i int) error {
			if i%180 == 0 { // as large as a segment
				if err := raw.Truncate(0); err != nil {
					return err
				}
				if _, err := raw.Seek(0, 0); err != nil {
					return err
				}
			}
			for _, f := range append(frames, sample.Bytes) {
				if _, err := raw.Write(f); err != nil {
					return err
				}
			}
			return syscall.Fdatasync(int(raw.Fd()))
		}},
	}
	b.ReportAllocs()
	m := race(b, rivals)
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(1/m["outbox"], "violations/s")
	b.ReportMetric(1/m["bbolt"], "bare-bbolt/s")
	b.ReportMetric(1/m["raw"], "raw-write/s")
	b.ReportMetric(m["bbolt"]/m["outbox"], "of-bbolt")
	b.ReportMetric(m["raw"]/m["outbox"], "of-raw")
}

// bareBolt stores chunks in one flat bucket, without hashing or sealing.
type bareBolt struct {
	dir string
	db  *bolt.DB
}

func (s *bareBolt) close() {
	if s.db != nil {
		s.db.Close()
	}
}

func (s *bareBolt) put(i int, record []byte, blobs [][]byte) error {
	if i%180 == 0 {
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
