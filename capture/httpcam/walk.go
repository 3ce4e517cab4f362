package httpcam

import "bytes"

// A walk follows the markers of one JPEG picture in bytes as they come, to find
// where it ends. It looks at lengths and marker codes alone; whether the picture
// is one is the business of [ciglio/capture.InspectJPEG].
type walk struct {
	state walkState
	mark  byte // whose segment it is in
	left  int  // bytes of the segment that are to come
}

type walkState uint8

const (
	atStart    walkState = iota // before the start of image
	atFF                        // before the FF of a marker
	atMark                      // before its code
	atHigh                      // before the high byte of a segment's length
	atLow                       // before the low byte
	inSegment                   // in a segment
	inScan                      // in coded data
	inScanFF                    // behind an FF in coded data
	atEnd                       // behind the end of image
	walkFailed                  // these are no markers
)

// coded reports whether the walk is where any bytes may stand.
func (w *walk) coded() bool { return w.state == inScan || w.state == inScanFF || w.state == walkFailed }

// over reports whether the walk takes no more bytes.
func (w *walk) over() bool { return w.state == atEnd || w.state == walkFailed }

// feed takes bytes until they end, the walk is over, or coded data begins or
// ends. It returns how many it took.
func (w *walk) feed(b []byte) int {
	coded := w.coded()
	i := 0
	for i < len(b) && !w.over() && w.coded() == coded {
		switch w.state {
		case inSegment:
			n := min(w.left, len(b)-i)
			w.left -= n
			i += n
			if w.left == 0 {
				w.segmentEnd()
			}
			continue
		case inScan:
			n := bytes.IndexByte(b[i:], 0xFF)
			if n < 0 {
				return len(b)
			}
			i += n
			w.state = inScanFF
		default:
			w.step(b[i])
		}
		i++
	}
	return i
}

// step takes one byte.
func (w *walk) step(c byte) {
	switch w.state {
	case atStart, atFF:
		if c != 0xFF {
			w.state = walkFailed
			return
		}
		if w.state = atMark; w.mark == 0 {
			w.mark = 0xFF // the start of image comes first, once
		}
	case inScanFF:
		if c == 0 || c >= 0xD0 && c <= 0xD7 {
			w.state = inScan
			return
		}
		w.marker(c)
	case atMark:
		w.marker(c)
	case atHigh:
		w.left, w.state = int(c)<<8, atLow
	case atLow:
		if w.left += int(c) - 2; w.left < 0 {
			w.state = walkFailed
		} else if w.state = inSegment; w.left == 0 {
			w.segmentEnd()
		}
	}
}

// marker takes the code of a marker.
func (w *walk) marker(c byte) {
	switch {
	case c == 0xFF: // a fill byte
	case w.mark == 0xFF:
		if w.mark, w.state = c, atFF; c != 0xD8 {
			w.state = walkFailed
		}
	case c == 0xD9:
		w.state = atEnd
	case c <= 0x01, c >= 0xD0 && c <= 0xD8:
		w.state = walkFailed
	default:
		w.mark, w.state = c, atHigh
	}
}

func (w *walk) segmentEnd() {
	if w.state = atFF; w.mark == 0xDA {
		w.state = inScan
	}
}
