package intake

import (
	"context"
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
	"ciglio/portal/blob"
	"ciglio/uplink/wire"
)

// A Spool is the folder of blobs of which only some chunks have come. It is this
// process's alone, and may be lost: devices send again. It is best on the disk of
// the blob store, where that is a folder.
type Spool struct {
	dir   string
	blobs blob.Store
}

// OpenSpool opens the folder dir, and makes it.
func OpenSpool(dir string, blobs blob.Store) (*Spool, error) {
	return &Spool{dir: dir, blobs: blobs}, os.MkdirAll(dir, 0o700)
}

// A Partial is a blob of which only some chunks have come. Its file holds the
// data at their places and, behind the whole length, a table of 8 bytes a chunk:
// CRC-32C of the chunk, then 1 when it is held. The table tells after any power
// cut, without a single sync, which chunks are there and intact.
//
// A Partial may be used by one goroutine at a time.
type Partial struct {
	spool  *Spool
	path   string
	hash   evidence.Hash
	length uint64
	held   []bool
	count  int
}

const tableEntry = 8

// Open takes up the partial blob of a device, or begins one. The length
// is what the record announces.
func (s *Spool) Open(device evidence.DeviceID, hash evidence.Hash, length uint64) (*Partial, error) {
	p := &Partial{
		spool:  s,
		path:   filepath.Join(s.dir, device.String()+"-"+hash.String()),
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

// Finish stores a whole blob for good. When its hash is not the one announced,
// everything received of it is thrown away and the error wraps
// [blob.ErrDamaged]: the device has to send it again. So it has when the blob
// cannot be synced.
func (p *Partial) Finish(ctx context.Context) error {
	err := p.spool.blobs.PutFile(ctx, p.path, p.hash, p.length)
	if err != nil {
		if _, left := os.Lstat(p.path); errors.Is(left, os.ErrNotExist) {
			return errors.Join(err, p.Drop())
		}
	}
	return err
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

// Keep removes every partial blob that wanted does not name, by device
// and hash. It is called before anything uses the partial blobs.
func (s *Spool) Keep(wanted func(evidence.DeviceID, evidence.Hash) bool) error {
	entries, err := os.ReadDir(s.dir)
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
		if err := os.RemoveAll(filepath.Join(s.dir, e.Name())); err != nil {
			return err
		}
	}
	return nil
}
