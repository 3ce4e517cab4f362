package outbox

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"time"

	"ciglio/capture/evidence"
	"ciglio/uplink"
	"ciglio/uplink/wire"
)

// Names of buckets and keys: see the package comment.
var (
	bucketSegment = []byte("segment")
	bucketRecords = []byte("records")
	bucketBlobs   = []byte("blobs")

	bucketState      = []byte("state")
	bucketReceipts   = []byte("receipts")
	bucketReferences = []byte("references")
	bucketSettled    = []byte("settled")
	bucketAside      = []byte("aside")
	bucketExpired    = []byte("expired")

	keyAbout  = []byte("about")
	keyAck    = []byte("ack")
	keyMark   = []byte("mark")
	keyLedger = []byte("ledger")
)

const (
	version   = 1
	aboutSize = 92
	entryHead = 80
	blobSize  = 36
	crcSize   = 4
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// number spells n as a key: 8 bytes, big-endian, so that keys sort as numbers.
func number(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

func parseNumber(b []byte) (uint64, bool) {
	if len(b) != 8 {
		return 0, false
	}
	return binary.BigEndian.Uint64(b), true
}

// chunkKey spells the place of a chunk: number of the blob, number of the chunk.
func chunkKey(blob, chunk int) []byte {
	return binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(nil, uint16(blob)), uint16(chunk))
}

// at names a place in the chain.
func at(epoch, seq uint64) Key { return Key{Epoch: epoch, Seq: seq} }

// placeKey spells a place in the chain, 16 bytes.
func placeKey(k Key) []byte { return binary.BigEndian.AppendUint64(number(k.Epoch), k.Seq) }

// about is what a segment says about itself.
type about struct {
	device  evidence.DeviceID
	number  uint64
	epoch   uint64
	first   uint64        // number of its first record
	prev    evidence.Hash // the link that record carries
	created time.Time     // microseconds
}

func (a *about) encode() []byte {
	b := make([]byte, 8, aboutSize)
	b[0] = version
	b = append(b, a.device[:]...)
	b = binary.BigEndian.AppendUint64(b, a.number)
	b = binary.BigEndian.AppendUint64(b, a.epoch)
	b = binary.BigEndian.AppendUint64(b, a.first)
	b = append(b, a.prev[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(a.created.UnixMicro()))
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

func parseAbout(b []byte) (about, error) {
	if len(b) != aboutSize {
		return about{}, fmt.Errorf("description of %d bytes, want %d", len(b), aboutSize)
	}
	if err := checkSum(b); err != nil {
		return about{}, fmt.Errorf("description: %w", err)
	}
	if binary.BigEndian.Uint64(b) != version<<56 {
		return about{}, fmt.Errorf("description begins with % x, want version %d", b[:8], version)
	}
	a := about{
		device:  evidence.DeviceID(b[8:24]),
		number:  binary.BigEndian.Uint64(b[24:]),
		epoch:   binary.BigEndian.Uint64(b[32:]),
		first:   binary.BigEndian.Uint64(b[40:]),
		prev:    evidence.Hash(b[48:80]),
		created: time.UnixMicro(int64(binary.BigEndian.Uint64(b[80:]))).UTC(),
	}
	if a.number == 0 || a.epoch == 0 || a.first == 0 {
		return about{}, fmt.Errorf("description names segment %d, epoch %d, first record %d", a.number, a.epoch, a.first)
	}
	return a, nil
}

// checkSum checks the CRC-32C in the last four bytes of b.
func checkSum(b []byte) error {
	body, sum := b[:len(b)-crcSize], binary.BigEndian.Uint32(b[len(b)-crcSize:])
	if have := crc32.Checksum(body, castagnoli); have != sum {
		return fmt.Errorf("CRC-32C is %08x, stored is %08x", have, sum)
	}
	return nil
}

// blobRef names one blob of a record.
type blobRef struct {
	hash   evidence.Hash
	length uint32
}

// entry is the value under which a record is stored.
type entry struct {
	kind     evidence.Kind
	id, link evidence.Hash
	time     time.Time // microseconds
	blobs    []blobRef
	sealed   []byte
}

func newEntry(s *evidence.Sealed) *entry {
	return &entry{
		kind: s.Record.Kind, id: s.ID, link: s.Link, time: s.Record.UTC,
		blobs: blobsOf(s.Record), sealed: s.Bytes,
	}
}

// blobsOf lists the blobs a record names: its frames in order, then its trace.
func blobsOf(r *evidence.Record) []blobRef {
	var refs []blobRef
	for i := range r.Frames {
		refs = append(refs, blobRef{r.Frames[i].SHA256, r.Frames[i].Length})
	}
	if r.Trace != nil {
		refs = append(refs, blobRef{r.Trace.SHA256, r.Trace.Length})
	}
	return refs
}

func (e *entry) encode() []byte {
	b := make([]byte, 0, entryHead+len(e.blobs)*blobSize+len(e.sealed)+crcSize)
	b = append(b, version, byte(e.kind))
	b = binary.BigEndian.AppendUint16(b, uint16(len(e.blobs)))
	b = binary.BigEndian.AppendUint32(b, uint32(len(e.sealed)))
	b = append(b, e.id[:]...)
	b = append(b, e.link[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(e.time.UnixMicro()))
	for _, r := range e.blobs {
		b = append(b, r.hash[:]...)
		b = binary.BigEndian.AppendUint32(b, r.length)
	}
	b = append(b, e.sealed...)
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

// parseEntry reads the value of a record. The result's sealed bytes are a part
// of b.
func parseEntry(b []byte) (*entry, error) {
	if len(b) < entryHead+crcSize {
		return nil, fmt.Errorf("entry of %d bytes, want at least %d", len(b), entryHead+crcSize)
	}
	blobs, sealed := int(binary.BigEndian.Uint16(b[2:])), int64(binary.BigEndian.Uint32(b[4:]))
	if want := int64(entryHead+blobs*blobSize+crcSize) + sealed; int64(len(b)) != want {
		return nil, fmt.Errorf("entry of %d bytes, its head says %d", len(b), want)
	}
	if err := checkSum(b); err != nil {
		return nil, fmt.Errorf("entry: %w", err)
	}
	if b[0] != version {
		return nil, fmt.Errorf("entry of version %d, want %d", b[0], version)
	}
	e := &entry{
		kind: evidence.Kind(b[1]),
		id:   evidence.Hash(b[8:40]), link: evidence.Hash(b[40:72]),
		time: time.UnixMicro(int64(binary.BigEndian.Uint64(b[72:]))).UTC(),
	}
	rest := b[entryHead : len(b)-crcSize]
	for range blobs {
		e.blobs = append(e.blobs, blobRef{evidence.Hash(rest[:32]), binary.BigEndian.Uint32(rest[32:])})
		rest = rest[blobSize:]
	}
	e.sealed = rest
	return e, nil
}

// item describes the entry to the sender.
func (e *entry) item(k Key) Item {
	it := Item{Key: k, ID: e.id, Kind: e.kind, Size: int64(len(e.sealed))}
	for _, r := range e.blobs {
		chunks := wire.ChunkCount(uint64(r.length))
		it.Size += int64(r.length) + int64(chunks)*wire.ChunkHeader
		it.Blobs = append(it.Blobs, uplink.BlobInfo{SHA256: r.hash, Length: uint64(r.length), Chunks: chunks})
	}
	return it
}
