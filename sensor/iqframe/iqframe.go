// Package iqframe reads the signal of a Doppler radar that a microcontroller
// samples and sends in frames, over a serial line or SPI, and writes such
// frames for the authors of its firmware and for tests.
//
// # Frame
//
// One frame is one block of consecutive I/Q pairs. All numbers are little
// endian.
//
//	offset  size  field
//	     0     4  sync word: 43 49 51 a5 ("CIQ", 0xa5)
//	     4     1  version: 1
//	     5     1  flags: bit 0 the input was overdriven in this block; others 0
//	     6     2  n, pairs in the block, 1 to 1024
//	     8     4  sequence: 0 in the first block after a start of the firmware,
//	              one more in each block, 0 again after 2³²-1
//	    12     4  rate, pairs a second, 8,000 to 200,000
//	    16     8  index of the first pair, counted from 0 at the firmware's start;
//	              it counts every pair that was sampled, sent or not
//	    24   4·n  pairs: I, then Q, each a signed 16-bit number, full scale ±2¹⁵
//	24+4·n     4  CRC-32C (Castagnoli, as in RFC 3720) of all bytes before
//
// A positive frequency of I + jQ is a vehicle that approaches. What has another
// version, a flag that is not defined, or a number outside its range is no
// frame. Bytes between frames are skipped, and counted unless they are an SPI
// slave's idle bytes. The frame
//
//	43 49 51 a5  01  00  02 00  07 00 00 00  40 1f 00 00
//	40 01 00 00 00 00 00 00  00 40 00 c0  ff 7f 00 80  d1 d6 e0 6b
//
// is the eighth block, two pairs at 8,000 a second from index 320 on: 0.5 and
// -0.5, then 0.99997 and -1. A signal of 20,000 pairs a second in blocks of 200
// needs 82,800 bytes a second, and so 921,600 baud.
//
// # What a Stream keeps true
//
// Every pair is returned at most once and at its index: a lost block is a jump
// of the index, on which package doppler ends what was under way as lost. A
// block that came before, or that lies before one that came, is dropped and
// counted. A block whose check fails is skipped, and the search goes on from its
// second byte.
//
// The sample clock tells the time, see [framing.SampleClock]: instants are late
// by the least delay of the transport and firmware, and jitter does not show in
// them. Where it contradicts the clock of this machine, the sensor samples at
// another rate than it says, or does not count every pair: an error.
package iqframe

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"ciglio/sensor/framing"
)

const (
	// MaxPairs is the largest number of pairs in a block.
	MaxPairs = 1024

	syncWord = "CIQ\xa5"
	version  = 1
	clipped  = 1 // the only flag
	head     = 24
	tail     = 4
	maxFrame = head + 4*MaxPairs + tail

	minRate, maxRate = 8_000, 200_000
)

// A Block is what one frame holds.
type Block struct {
	Clipped  bool   // the input was overdriven in this block
	Sequence uint32 // blocks since the firmware started
	Rate     int    // pairs a second, 8,000 to 200,000
	Index    uint64 // of the first pair since the firmware started
	I, Q     []int16
}

// Encode appends the frame of b to dst. It returns an error when a number lies
// outside its range.
func (b *Block) Encode(dst []byte) ([]byte, error) {
	n := len(b.I)
	switch {
	case n < 1 || n > MaxPairs:
		return dst, fmt.Errorf("iqframe: %d pairs in a block, want 1 to %d", n, MaxPairs)
	case len(b.Q) != n:
		return dst, fmt.Errorf("iqframe: %d samples of I and %d of Q", n, len(b.Q))
	case b.Rate < minRate || b.Rate > maxRate:
		return dst, rateError(b.Rate)
	}
	start := len(dst)
	dst = append(dst, syncWord...)
	flags := byte(0)
	if b.Clipped {
		flags = clipped
	}
	dst = append(dst, version, flags)
	dst = binary.LittleEndian.AppendUint16(dst, uint16(n))
	dst = binary.LittleEndian.AppendUint32(dst, b.Sequence)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(b.Rate))
	dst = binary.LittleEndian.AppendUint64(dst, b.Index)
	for k := range n {
		dst = binary.LittleEndian.AppendUint16(dst, uint16(b.I[k]))
		dst = binary.LittleEndian.AppendUint16(dst, uint16(b.Q[k]))
	}
	return binary.LittleEndian.AppendUint32(dst, checksum(dst[start:])), nil
}

// Decode reads one whole frame. It reuses the memory of b's slices.
func (b *Block) Decode(frame []byte) error {
	if n, v := judge(frame); v != framing.Good || n != len(frame) {
		return errors.New("iqframe: no frame, or one whose check fails")
	}
	n := pairs(frame)
	b.Clipped = frame[5] == clipped
	b.Sequence = binary.LittleEndian.Uint32(frame[8:])
	b.Rate = int(binary.LittleEndian.Uint32(frame[12:]))
	b.Index = binary.LittleEndian.Uint64(frame[16:])
	b.I, b.Q = b.I[:0], b.Q[:0]
	for k := range n {
		b.I = append(b.I, int16(binary.LittleEndian.Uint16(frame[head+4*k:])))
		b.Q = append(b.Q, int16(binary.LittleEndian.Uint16(frame[head+4*k+2:])))
	}
	return nil
}

// judge finds frames for package framing.
func judge(b []byte) (int, framing.Verdict) {
	for k := range min(len(syncWord), len(b)) {
		if b[k] != syncWord[k] {
			return 1, framing.Skip
		}
	}
	if len(b) < head {
		return 0, framing.More
	}
	n := pairs(b)
	rate := binary.LittleEndian.Uint32(b[12:])
	if b[4] != version || b[5]&^clipped != 0 || n < 1 || n > MaxPairs || rate < minRate || rate > maxRate {
		return 1, framing.Broken
	}
	end := head + 4*n
	if len(b) < end+tail {
		return 0, framing.More
	}
	if binary.LittleEndian.Uint32(b[end:]) != checksum(b[:end]) {
		return 1, framing.Broken
	}
	return end + tail, framing.Good
}

func pairs(frame []byte) int { return int(binary.LittleEndian.Uint16(frame[6:])) }

func checksum(b []byte) uint32 { return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) }

func rateError(rate int) error {
	return fmt.Errorf("iqframe: %d pairs a second, want %d to %d", rate, minRate, maxRate)
}
