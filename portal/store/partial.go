package store

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"strings"

	"ciglio/capture/evidence"
	"ciglio/internal/durable"
	"ciglio/uplink/wire"
)

// A Partial is a blob of which only some chunks have come. Its file holds the
// data at their places and, behind the whole length, a table of 8 bytes a chunk:
// CRC-32C of the chunk, then 1 when it is held. The table tells after any power
// cut, without a single sync, which chunks are there and intact.
//
// A Partial may be used by one goroutine at a time.
type Partial struct {
	store  *Store
	path   string
	hash   evidence.Hash
	length uint64
	held   []bool
	count  int
}

const tableEntry = 8

// OpenPartial takes up the partial blob of a device, or begins one. The length
// is what the record announces.
func (s *Store) OpenPartial(device evidence.DeviceID, hash evidence.Hash, length uint64) (*Partial, error) {
	p := &Partial{
		store:  s,
		path:   filepath.Join(s.dir, partFolder, device.String()+"-"+hash.String()),
		hash:   hash,
		length: length,
		held:   make([]bool, wire.ChunkCount(length)),
	}
	f, err := os.Open(p.path)
	if errors.Is(err, os.ErrNotExist) {
		return p, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && uint64(info.Size()) == length {
		p.whole(f)
		return p, nil
	}
	table := make([]byte, len(p.held)*tableEntry)
	if n, _ := f.ReadAt(table, int64(length)); n < tableEntry {
		return p, nil // no chunk came to its end
	}
	data := make([]byte, wire.ChunkData)
	for i := range p.held {
		entry := table[i*tableEntry:][:tableEntry]
		if binary.BigEndian.Uint32(entry[4:]) != 1 {
			continue
		}
		from, to := wire.ChunkRange(length, i)
		chunk := data[:to-from]
		if _, err := f.ReadAt(chunk, int64(from)); err != nil {
			continue
		}
		if crc32.Checksum(chunk, crc32.MakeTable(crc32.Castagnoli)) == binary.BigEndian.Uint32(entry) {
			p.held[i] = true
			p.count++
		}
	}
	return p, nil
}

// whole takes up a file without its table: [Partial.Finish] was cut off.
func (p *Partial) whole(f *os.File) {
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil || evidence.Hash(sum.Sum(nil)) != p.hash {
		return
	}
	for i := range p.held {
		p.held[i] = true
	}
	p.count = len(p.held)
}

// Put stores one chunk of the blob. A chunk that is held already is left as it
// is. The chunk must be one of [wire.ParseChunk] with this blob's hash and
// length.
func (p *Partial) Put(c wire.Chunk) error {
	if c.Blob != p.hash || c.Total != p.length {
		return fmt.Errorf("blob %s of %d bytes: not a chunk of blob %s of %d", c.Blob, c.Total, p.hash, p.length)
	}
	i := c.Index()
	if p.held[i] {
		return nil
	}
	f, err := os.OpenFile(p.path, os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	var entry [tableEntry]byte
	binary.BigEndian.PutUint32(entry[:], crc32.Checksum(c.Data, crc32.MakeTable(crc32.Castagnoli)))
	binary.BigEndian.PutUint32(entry[4:], 1)
	_, err = f.WriteAt(c.Data, int64(c.Offset))
	if err == nil {
		_, err = f.WriteAt(entry[:], int64(p.length)+int64(i)*tableEntry)
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	p.held[i] = true
	p.count++
	return nil
}

// Whole reports whether every chunk is held.
func (p *Partial) Whole() bool { return p.count == len(p.held) }

// Ranges returns the bytes held, in order, adjoining chunks joined.
func (p *Partial) Ranges() []wire.Range {
	var ranges []wire.Range
	for i, held := range p.held {
		if !held {
			continue
		}
		from, to := wire.ChunkRange(p.length, i)
		if n := len(ranges); n > 0 && ranges[n-1].To == from {
			ranges[n-1].To = to
		} else {
			ranges = append(ranges, wire.Range{From: from, To: to})
		}
	}
	return ranges
}

// Finish gives a whole blob its final name, durably. When its hash is not the
// one announced, everything received of it is thrown away and the error wraps
// [ErrDamaged]: the device has to send it again. So it has when the blob cannot
// be synced.
func (p *Partial) Finish() error {
	f, err := os.OpenFile(p.path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, io.LimitReader(f, int64(p.length))); err != nil {
		return err
	}
	if evidence.Hash(sum.Sum(nil)) != p.hash {
		return errors.Join(fmt.Errorf("blob %s: %w: the chunks do not make it up", p.hash, ErrDamaged), p.Drop())
	}
	if err := errors.Join(f.Truncate(int64(p.length)), f.Sync()); err != nil {
		// The next sync may succeed without what this one lost.
		return errors.Join(err, p.Drop())
	}
	final := blobPath(filepath.Join(p.store.dir, blobFolder), p.hash)
	if err := os.Rename(p.path, final); err != nil {
		return err
	}
	return durable.SyncFolder(filepath.Dir(final))
}

// Drop forgets everything received of the blob.
func (p *Partial) Drop() error {
	clear(p.held)
	p.count = 0
	if err := os.Remove(p.path); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// DropPartials removes every partial blob that wanted does not name, by device
// and hash. It is called before anything uses the partial blobs.
func (s *Store) DropPartials(wanted func(evidence.DeviceID, evidence.Hash) bool) error {
	folder := filepath.Join(s.dir, partFolder)
	entries, err := os.ReadDir(folder)
	if err != nil {
		return err
	}
	for _, e := range entries {
		first, second, _ := strings.Cut(e.Name(), "-")
		device, err := evidence.ParseDeviceID(first)
		hash, herr := hex.DecodeString(second)
		if err == nil && herr == nil && len(hash) == sha256.Size && wanted(device, evidence.Hash(hash)) {
			continue
		}
		if err := os.RemoveAll(filepath.Join(folder, e.Name())); err != nil {
			return err
		}
	}
	return nil
}
