package wire_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"

	"ciglio/uplink/wire"
)

// A picture goes in pieces, each of which says to which picture it belongs, and where.
func ExampleAppendChunk() {
	picture := bytes.Repeat([]byte("a picture "), 10_000)
	hash := sha256.Sum256(picture)
	for i := range wire.ChunkCount(uint64(len(picture))) {
		message := wire.AppendChunk(nil, wire.CutChunk(hash, picture, i))
		c, err := wire.ParseChunk(message)
		fmt.Println(c.Index(), c.Offset, len(c.Data), "of", c.Total, err)
		message[len(message)-1] ^= 1
		_, err = wire.ParseChunk(message)
		fmt.Println(err)
	}
	// Output:
	// 0 0 61384 of 100000 <nil>
	// not a chunk: CRC-32C of the data is 48bc8647, the header says bad70544
	// 1 61384 38616 of 100000 <nil>
	// not a chunk: CRC-32C of the data is 7ade394c, the header says 88b5ba4f
}
