package capture

import (
	"bytes"
	"errors"
	"fmt"
)

// What a picture may have at most. Cameras on a road stay far below; a picture of
// few bytes that has more is made to keep a decoder busy, or to fill its memory.
const (
	// MaxDimension is the largest width or height of a picture that [CheckJPEG]
	// accepts, in pixels.
	MaxDimension = 8192
	// MaxPixels is the largest area, in pixels: 8K video has 33 million.
	MaxPixels = 40_000_000
	// MaxScans is the most scans of a progressive picture. Encoders write 10, the
	// most thorough ones up to about 20.
	MaxScans = 32
	// MaxSegments is the most marker segments, scans among them.
	MaxSegments = 512
)

// A JPEGError reports where bytes stopped being a JPEG picture.
type JPEGError struct {
	Offset int // bytes from the start
	Err    error
}

// Error names the place and the fact.
func (e *JPEGError) Error() string { return fmt.Sprintf("jpeg at byte %d: %v", e.Offset, e.Err) }

// Unwrap returns the fact without the place.
func (e *JPEGError) Unwrap() error { return e.Err }

var (
	errTruncated    = errors.New("ends before the end of the picture")
	errMarker       = errors.New("not a marker")
	errHuffman      = errors.New("without Huffman tables, as in Motion JPEG that leaves them out: few programs can show it; let the camera send whole JPEG pictures")
	errQuantisation = errors.New("without quantisation tables: few programs can show it; let the camera send whole JPEG pictures")
	errBehind       = errors.New("bytes behind the end of the picture")
)

// JPEG marker codes (ITU-T T.81, table B.1).
const (
	markSOI  = 0xD8
	markEOI  = 0xD9
	markSOS  = 0xDA
	markTEM  = 0x01
	markRST0 = 0xD0
	markRST7 = 0xD7
	markSOF0 = 0xC0 // baseline
	markSOF2 = 0xC2 // progressive
	markSOFF = 0xCF
	markDHT  = 0xC4
	markJPG  = 0xC8
	markDAC  = 0xCC
	markDQT  = 0xDB
	markDNL  = 0xDC
	markDRI  = 0xDD
	markDHP  = 0xDE
	markEXP  = 0xDF
	markAPP0 = 0xE0
	markAPPF = 0xEF
	markCOM  = 0xFE
)

// CheckJPEG is [InspectJPEG] of bytes that hold the picture and nothing else but
// zeros behind it, with which cameras pad their buffers.
func CheckJPEG(b []byte) (width, height int, err error) {
	width, height, length, err := InspectJPEG(b)
	if err != nil {
		return 0, 0, err
	}
	for i, c := range b[length:] {
		if c != 0 {
			return 0, 0, &JPEGError{length + i, errBehind}
		}
	}
	return width, height, nil
}

// InspectJPEG walks the markers of the picture that b begins with. It returns the
// picture's size in pixels and its length in bytes, up to and with the end marker;
// what lies behind is not looked at.
//
// It accepts one baseline or progressive picture with Huffman coding, 8 bits a
// sample and 1 or 3 components, 1 to [MaxDimension] pixels each way and at most
// [MaxPixels], which brings the tables that its scans use, and whose scans run to
// the end marker. It refuses what would cost a decoder more than a picture of that
// size may: more than [MaxScans] scans or [MaxSegments] segments, a component or a
// bit of a coefficient that is sent twice, restart markers that no interval asks
// for, and fewer bytes than so many blocks can be coded with. Only what passes may
// be given to a decoder.
//
// Pixels are not decoded: a picture that passes is complete, not necessarily well
// compressed. The time is linear in the length. It allocates nothing unless it
// fails, and its errors are [*JPEGError].
func InspectJPEG(b []byte) (width, height, length int, err error) {
	if len(b) < 4 || b[0] != 0xFF || b[1] != markSOI {
		return 0, 0, 0, &JPEGError{0, errors.New("no start of image")}
	}
	var s structure
	for at, segments := 2, 0; ; segments++ {
		// A marker is FF, any number of fill bytes FF, and its code.
		start := at
		if at >= len(b) {
			return 0, 0, 0, &JPEGError{at, errTruncated}
		}
		if b[at] != 0xFF {
			return 0, 0, 0, &JPEGError{at, errMarker}
		}
		for at < len(b) && b[at] == 0xFF {
			at++
		}
		if at >= len(b) {
			return 0, 0, 0, &JPEGError{at, errTruncated}
		}
		mark := b[at]
		at++
		if mark == markEOI {
			if err := s.finish(); err != nil {
				return 0, 0, 0, &JPEGError{at, err}
			}
			return s.width, s.height, at, nil
		}
		if err := s.place(mark); err != nil {
			return 0, 0, 0, &JPEGError{start, err}
		}
		if segments == MaxSegments {
			return 0, 0, 0, &JPEGError{start, fmt.Errorf("more than %d segments", MaxSegments)}
		}
		if len(b)-at < 2 {
			return 0, 0, 0, &JPEGError{at, errTruncated}
		}
		size := int(b[at])<<8 | int(b[at+1])
		if size < 2 {
			return 0, 0, 0, &JPEGError{at, fmt.Errorf("segment of %d bytes", size)}
		}
		if size > len(b)-at {
			return 0, 0, 0, &JPEGError{at, fmt.Errorf("segment of %d bytes, %d are left: %w", size, len(b)-at, errTruncated)}
		}
		if err := s.segment(mark, b[at+2:at+size]); err != nil {
			return 0, 0, 0, &JPEGError{start, err}
		}
		at += size
		if mark == markSOS {
			end, restarts := scanEnd(b, at)
			if end < 0 {
				return 0, 0, 0, &JPEGError{len(b), errTruncated}
			}
			if err := s.scanned(end-at, restarts); err != nil {
				return 0, 0, 0, &JPEGError{at, err}
			}
			at = end
		}
	}
}

// scanEnd returns the offset of the first marker at or after from that ends a
// scan, which is any but a restart, or -1; and how many restart markers stand
// before it, -1 when they do not count 0 to 7 in turn.
func scanEnd(b []byte, from int) (end, restarts int) {
	ordered := true
	for at := from; ; {
		i := bytes.IndexByte(b[at:], 0xFF)
		if i < 0 || at+i+1 >= len(b) {
			return -1, 0
		}
		at += i
		switch c := b[at+1]; {
		case c == 0:
			at += 2
		case c >= markRST0 && c <= markRST7:
			ordered = ordered && int(c-markRST0) == restarts&7
			restarts++
			at += 2
		case c == 0xFF:
			at++
		case !ordered:
			return at, -1
		default:
			return at, restarts
		}
	}
}
