package capture

import (
	"bytes"
	"errors"
	"fmt"
)

// MaxDimension is the largest width or height of a picture that [CheckJPEG]
// accepts, in pixels.
const MaxDimension = 8192

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
	errTruncated = errors.New("ends before the end of the picture")
	errMarker    = errors.New("not a marker")
	errTables    = errors.New("scan without Huffman and quantisation tables: few programs can show it")
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
)

// CheckJPEG walks the markers of b, from start of image to end of image, and
// returns the picture's size in pixels. It accepts one baseline or progressive
// picture with 8 bits a sample, 1 or 3 components, and 1 to [MaxDimension]
// pixels each way, which brings its tables, and whose scans run to the end marker;
// zero bytes may follow it, since cameras pad their buffers. (Motion JPEG may
// leave out the Huffman tables: such a picture is none alone.) Pixels are not decoded: a picture that
// passes is complete, not necessarily well compressed. It allocates nothing
// unless it fails, and its errors are [*JPEGError].
func CheckJPEG(b []byte) (width, height int, err error) {
	if len(b) < 4 || b[0] != 0xFF || b[1] != markSOI {
		return 0, 0, &JPEGError{0, errors.New("no start of image")}
	}
	scans, huffman, quantisation := 0, false, false
	for at := 2; ; {
		// A marker is FF, any number of fill bytes FF, and its code.
		start := at
		if at >= len(b) {
			return 0, 0, &JPEGError{at, errTruncated}
		}
		if b[at] != 0xFF {
			return 0, 0, &JPEGError{at, errMarker}
		}
		for at < len(b) && b[at] == 0xFF {
			at++
		}
		if at >= len(b) {
			return 0, 0, &JPEGError{at, errTruncated}
		}
		mark := b[at]
		at++
		switch {
		case mark == markEOI:
			return finish(b, at, width, height, scans)
		case mark == 0 || mark == markSOI || mark == markTEM || mark >= markRST0 && mark <= markRST7:
			return 0, 0, &JPEGError{start, fmt.Errorf("marker %#02x has no place here", mark)}
		}
		if len(b)-at < 2 {
			return 0, 0, &JPEGError{at, errTruncated}
		}
		length := int(b[at])<<8 | int(b[at+1])
		if length < 2 || length > len(b)-at {
			return 0, 0, &JPEGError{at, fmt.Errorf("segment of %d bytes, %d are left", length, len(b)-at)}
		}
		segment := b[at+2 : at+length]
		switch {
		case mark == markSOS:
			if width == 0 {
				return 0, 0, &JPEGError{start, errors.New("scan before the frame header")}
			}
			if !huffman || !quantisation {
				return 0, 0, &JPEGError{start, errTables}
			}
			scans++
			if at = scanEnd(b, at+length); at < 0 {
				return 0, 0, &JPEGError{len(b), errTruncated}
			}
			continue
		case mark == markDHT:
			huffman = true
		case mark == markDQT:
			quantisation = true
		case isFrameHeader(mark):
			if width != 0 {
				return 0, 0, &JPEGError{start, errors.New("second frame header")}
			}
			if width, height, err = frameHeader(mark, segment); err != nil {
				return 0, 0, &JPEGError{start, err}
			}
		}
		at += length
	}
}

func isFrameHeader(mark byte) bool {
	return mark >= markSOF0 && mark <= markSOFF && mark != markDHT && mark != markJPG && mark != markDAC
}

// frameHeader reads a frame header after its length: precision, height, width,
// number of components, and three bytes for each.
func frameHeader(mark byte, s []byte) (width, height int, err error) {
	if mark > markSOF2 {
		return 0, 0, fmt.Errorf("coding process %#02x is neither baseline nor progressive", mark)
	}
	if len(s) < 6 || len(s) != 6+3*int(s[5]) || s[5] != 1 && s[5] != 3 {
		return 0, 0, errors.New("frame header of the wrong length")
	}
	if s[0] != 8 {
		return 0, 0, fmt.Errorf("%d bits a sample, want 8", s[0])
	}
	height, width = int(s[1])<<8|int(s[2]), int(s[3])<<8|int(s[4])
	if width < 1 || height < 1 || width > MaxDimension || height > MaxDimension {
		return 0, 0, fmt.Errorf("%d by %d pixels, want 1 to %d", width, height, MaxDimension)
	}
	return width, height, nil
}

// scanEnd returns the offset of the first marker at or after from that ends a
// scan, which is any but a restart, or -1.
func scanEnd(b []byte, from int) int {
	for at := from; ; {
		i := bytes.IndexByte(b[at:], 0xFF)
		if i < 0 || at+i+1 >= len(b) {
			return -1
		}
		at += i
		switch c := b[at+1]; {
		case c == 0 || c >= markRST0 && c <= markRST7:
			at += 2
		case c == 0xFF:
			at++
		default:
			return at
		}
	}
}

// finish checks what follows the end marker.
func finish(b []byte, at, width, height, scans int) (int, int, error) {
	if scans == 0 {
		return 0, 0, &JPEGError{at, errors.New("no scan")}
	}
	for i, c := range b[at:] {
		if c != 0 {
			return 0, 0, &JPEGError{at + i, errors.New("bytes after the end of the picture")}
		}
	}
	return width, height, nil
}
