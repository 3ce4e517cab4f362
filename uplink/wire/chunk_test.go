package wire

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"ciglio/capture/evidence"
)

// TestChunkExample is the worked example of the package comment.
func TestChunkExample(t *testing.T) {
	blob := []byte("abc")
	got := AppendChunk(nil, CutChunk(evidence.Hash(sha256.Sum256(blob)), blob, 0))
	want := "01000000" + "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" +
		"0000000000000003" + "0000000000000000" + "364b3fb7" + "616263"
	if hex.EncodeToString(got) != want {
		t.Errorf("chunk = %x\nwant    %s", got, want)
	}
}

func TestChunksMakeTheBlobAgain(t *testing.T) {
	for _, c := range []struct {
		name   string
		length int
		chunks int
	}{
		{"one byte", 1, 1},
		{"one byte less than a chunk", ChunkData - 1, 1},
		{"exactly a chunk", ChunkData, 1},
		{"one byte more than a chunk", ChunkData + 1, 2},
		{"three full chunks", 3 * ChunkData, 3},
		{"a frame", 700_001, 12},
	} {
		t.Run(c.name, func(t *testing.T) {
			blob := make([]byte, c.length)
			for i := range blob {
				blob[i] = byte(i * 7)
			}
			hash := evidence.Hash(sha256.Sum256(blob))
			if n := ChunkCount(uint64(c.length)); n != c.chunks {
				t.Fatalf("ChunkCount(%d) = %d, want %d", c.length, n, c.chunks)
			}
			var again []byte
			for i := range c.chunks {
				message := AppendChunk(nil, CutChunk(hash, blob, i))
				if len(message) > ChunkSize {
					t.Fatalf("chunk %d: %d bytes, more than %d", i, len(message), ChunkSize)
				}
				chunk, err := ParseChunk(message)
				if err != nil {
					t.Fatalf("chunk %d: %v", i, err)
				}
				if chunk.Index() != i || chunk.Blob != hash || chunk.Offset != uint64(len(again)) {
					t.Fatalf("chunk %d came back as index %d, offset %d", i, chunk.Index(), chunk.Offset)
				}
				again = append(again, chunk.Data...)
			}
			if !bytes.Equal(again, blob) {
				t.Error("the chunks do not make the blob again")
			}
		})
	}
}

func TestBadChunksAreRefused(t *testing.T) {
	good := AppendChunk(nil, Chunk{Total: ChunkData + 10, Offset: ChunkData, Data: []byte("0123456789")})
	put := func(at int, v uint64) func([]byte) []byte {
		return func(b []byte) []byte { binary.BigEndian.PutUint64(b[at:], v); return b }
	}
	for _, c := range []struct {
		name   string
		change func([]byte) []byte
		want   string
	}{
		{"nothing", func([]byte) []byte { return nil }, "0 bytes"},
		{"header only", func(b []byte) []byte { return b[:ChunkHeader] }, "56 bytes"},
		{"one byte too long for MQTT", func(b []byte) []byte { return append(b, make([]byte, ChunkSize)...) }, "bytes, want"},
		{"a later version", func(b []byte) []byte { b[0] = 2; return b }, "begins with"},
		{"a reserved byte set", func(b []byte) []byte { b[3] = 1; return b }, "begins with"},
		{"an empty blob", put(36, 0), "blob of 0 bytes"},
		{"a blob over the limit", put(36, MaxBlob+1), "blob of 67108865 bytes"},
		{"a blob that overflows", put(36, 1<<63), "blob of"},
		{"offset behind the end", put(44, 2*ChunkData), "offset"},
		{"offset between two chunks", put(44, 1), "no multiple"},
		{"offset that overflows", put(44, 1<<64-ChunkData), "offset"},
		{"data cut off", func(b []byte) []byte { return b[:len(b)-1] }, "9 bytes of data"},
		{"data too long", func(b []byte) []byte { return append(b, 0) }, "11 bytes of data"},
		{"a bit turned over in the data", func(b []byte) []byte { b[len(b)-1] ^= 4; return b }, "CRC-32C"},
		{"a bit turned over in the sum", func(b []byte) []byte { b[52] ^= 4; return b }, "CRC-32C"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := ParseChunk(c.change(bytes.Clone(good)))
			if !errors.Is(err, ErrChunk) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want ErrChunk with %q", err, c.want)
			}
		})
	}
	if _, err := ParseChunk(good); err != nil {
		t.Errorf("the chunk the others are made of: %v", err)
	}
}

func TestImpossibleChunkPanics(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("a chunk without data was encoded")
		}
	}()
	AppendChunk(nil, Chunk{Total: 1})
}

func FuzzChunk(f *testing.F) {
	f.Add(AppendChunk(nil, Chunk{Total: 3, Data: []byte("abc")}))
	f.Add(AppendChunk(nil, Chunk{Total: ChunkData + 10, Offset: ChunkData, Data: []byte("0123456789")}))
	f.Add(make([]byte, ChunkHeader+1))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := ParseChunk(b)
		if err != nil {
			return
		}
		if again := AppendChunk(nil, c); !bytes.Equal(again, b) {
			t.Errorf("a second spelling of one chunk was accepted: %x", b)
		}
	})
}

func BenchmarkParseChunk(b *testing.B) {
	blob := make([]byte, ChunkData)
	message := AppendChunk(nil, CutChunk(evidence.Hash{}, blob, 0))
	b.SetBytes(int64(len(message)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParseChunk(message); err != nil {
			b.Fatal(err)
		}
	}
}
