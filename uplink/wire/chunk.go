package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"ciglio/capture/evidence"
)

// Sizes of chunks and blobs, in bytes.
const (
	ChunkSize   = 61440                   // a whole chunk message, at most
	ChunkHeader = 56                      // its header
	ChunkData   = ChunkSize - ChunkHeader // data of every chunk but the last
	MaxBlob     = 64 << 20                // a blob, at most

	chunkVersion = 1
)

// ErrChunk is what the errors of [ParseChunk] wrap.
var ErrChunk = errors.New("not a chunk")

// castagnoli is the table of CRC-32C.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// A Chunk is one piece of a blob.
type Chunk struct {
	Blob   evidence.Hash // SHA-256 of the whole blob
	Total  uint64        // length of the whole blob, 1 to MaxBlob
	Offset uint64        // of Data in the blob, a multiple of ChunkData
	Data   []byte
}

// Index says which chunk of its blob c is, from 0.
func (c Chunk) Index() int { return int(c.Offset / ChunkData) }

// ChunkCount says how many chunks a blob of the given length makes.
func ChunkCount(length uint64) int { return int((length + ChunkData - 1) / ChunkData) }

// ChunkRange returns the bytes [from, to) of chunk index of a blob of the given
// length. The index must be below ChunkCount(length).
func ChunkRange(length uint64, index int) (from, to uint64) {
	from = uint64(index) * ChunkData
	return from, min(from+ChunkData, length)
}

// CutChunk returns chunk index of a blob, whose hash the caller has computed.
// The chunk's data is a part of the blob, not a copy.
func CutChunk(hash evidence.Hash, blob []byte, index int) Chunk {
	from, to := ChunkRange(uint64(len(blob)), index)
	return Chunk{Blob: hash, Total: uint64(len(blob)), Offset: from, Data: blob[from:to]}
}

// check says what is wrong with c's numbers.
func (c Chunk) check() error {
	switch {
	case c.Total < 1 || c.Total > MaxBlob:
		return fmt.Errorf("%w: blob of %d bytes, want 1 to %d", ErrChunk, c.Total, MaxBlob)
	case c.Offset >= c.Total:
		return fmt.Errorf("%w: offset %d in a blob of %d bytes", ErrChunk, c.Offset, c.Total)
	case c.Offset%ChunkData != 0:
		return fmt.Errorf("%w: offset %d is no multiple of %d", ErrChunk, c.Offset, ChunkData)
	}
	if want := min(ChunkData, c.Total-c.Offset); uint64(len(c.Data)) != want {
		return fmt.Errorf("%w: %d bytes of data at offset %d of %d, want %d", ErrChunk, len(c.Data), c.Offset, c.Total, want)
	}
	return nil
}

// AppendChunk appends the message of c to dst. It panics when c cannot be a
// chunk; those of [CutChunk] from a blob of 1 to MaxBlob bytes can.
func AppendChunk(dst []byte, c Chunk) []byte {
	if err := c.check(); err != nil {
		panic("wire: " + err.Error())
	}
	dst = append(dst, chunkVersion, 0, 0, 0)
	dst = append(dst, c.Blob[:]...)
	dst = binary.BigEndian.AppendUint64(dst, c.Total)
	dst = binary.BigEndian.AppendUint64(dst, c.Offset)
	dst = binary.BigEndian.AppendUint32(dst, crc32.Checksum(c.Data, castagnoli))
	return append(dst, c.Data...)
}

// ParseChunk reads a chunk message. The chunk's data is a part of b. That the
// data belongs to the blob is not known before the whole blob is hashed.
func ParseChunk(b []byte) (Chunk, error) {
	if len(b) <= ChunkHeader || len(b) > ChunkSize {
		return Chunk{}, fmt.Errorf("%w: %d bytes, want %d to %d", ErrChunk, len(b), ChunkHeader+1, ChunkSize)
	}
	if b[0] != chunkVersion || b[1] != 0 || b[2] != 0 || b[3] != 0 {
		return Chunk{}, fmt.Errorf("%w: begins with % x, want % x", ErrChunk, b[:4], []byte{chunkVersion, 0, 0, 0})
	}
	c := Chunk{
		Blob:   evidence.Hash(b[4:36]),
		Total:  binary.BigEndian.Uint64(b[36:44]),
		Offset: binary.BigEndian.Uint64(b[44:52]),
		Data:   b[ChunkHeader:],
	}
	if err := c.check(); err != nil {
		return Chunk{}, err
	}
	if want, have := binary.BigEndian.Uint32(b[52:56]), crc32.Checksum(c.Data, castagnoli); want != have {
		return Chunk{}, fmt.Errorf("%w: CRC-32C of the data is %08x, the header says %08x", ErrChunk, have, want)
	}
	return c, nil
}
