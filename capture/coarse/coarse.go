// Package coarse reads a JPEG picture coarsely: the mean of each block of 8 by 8 pixels,
// for whoever looks at many pictures and needs little of each.
package coarse

import (
	"encoding/binary"
	"errors"
)

// The markers that matter here.
const (
	sof0, sof2, dht, sos, dqt, dri = 0xc0, 0xc2, 0xc4, 0xda, 0xdb, 0xdd
	rst0, rst7                     = 0xd0, 0xd7
)

var errCode = errors.New("no such picture, or cut short")

// Means returns the mean brightness of each block of 8 by 8 pixels of a JPEG picture,
// line by line: what ISO/IEC 10918-1 calls the DC coefficients of its first component,
// without the rest. It takes memory for these alone, 1/64 of the pixels, and the
// time of reading the codes. Of a progressive picture it reads the first scan only,
// and lowest bits that come later are not in it. The bytes are those of a picture that
// [ciglio/capture.CheckJPEG] has passed; others give an error or nonsense.
func Means(data []byte) (pix []uint8, columns, rows int, err error) {
	p := picture{data: data}
	for at := 2; at+4 <= len(data); {
		if data[at] != 0xff {
			return nil, 0, 0, errCode
		}
		mark := data[at+1]
		if mark == 0xff { // fill
			at++
			continue
		}
		length := int(binary.BigEndian.Uint16(data[at+2:]))
		if length < 2 || at+2+length > len(data) {
			return nil, 0, 0, errCode
		}
		segment := data[at+4 : at+2+length]
		at += 2 + length
		ok := true
		switch mark {
		case dqt:
			ok = p.quantisation(segment)
		case dht:
			ok = p.codes(segment)
		case dri:
			if ok = len(segment) == 2; ok {
				p.interval = int(binary.BigEndian.Uint16(segment))
			}
		case sof0, sof0 + 1, sof2:
			p.progressive = mark == sof2
			ok = p.frame(segment)
		case sos:
			done, fine := p.scan(segment, at)
			if done && fine {
				return p.pix, p.columns, p.rows, nil
			}
			ok = fine
			at = nextMarker(data, at)
		}
		if !ok {
			return nil, 0, 0, errCode
		}
	}
	return nil, 0, 0, errCode
}

// nextMarker returns where the codes of a scan end.
func nextMarker(data []byte, at int) int {
	for ; at+1 < len(data); at++ {
		if data[at] == 0xff && data[at+1] != 0 && (data[at+1] < rst0 || data[at+1] > rst7) {
			return at
		}
	}
	return len(data)
}

// A picture is what its markers have said so far.
type picture struct {
	data        []byte
	progressive bool
	interval    int // of restarts, in minimum coded units; 0 for none
	width       int // pixels
	height      int
	parts       []part
	steps       [4]int         // of the DC coefficient in each quantisation table
	tables      [2][4]codebook // of DC and AC coefficients

	pix           []uint8
	columns, rows int // blocks of the first component
}

// A part is a component of the picture.
type part struct {
	id           uint8
	across, down int // sampling factors
	table        uint8
	dc, ac       codebook // of the scan at hand
	last         int      // DC coefficient
}

// A codebook tells of the next 16 bits how long their code is, and its value: length
// in the upper byte, 0 for no code. It is nil where there is none.
type codebook []uint16

func (p *picture) quantisation(s []byte) bool {
	for len(s) > 0 {
		table, size := s[0]&15, 1+int(s[0]>>4)
		if table > 3 || size > 2 || len(s) < 1+64*size {
			return false
		}
		p.steps[table] = int(s[1])
		if size == 2 {
			p.steps[table] = int(binary.BigEndian.Uint16(s[1:]))
		}
		s = s[1+64*size:]
	}
	return true
}

func (p *picture) codes(s []byte) bool {
	for len(s) > 0 {
		if len(s) < 17 || s[0]>>4 > 1 || s[0]&15 > 3 {
			return false
		}
		book, values := make(codebook, 1<<16), s[17:]
		code := 0 // left-aligned in 16 bits
		for length := 1; length <= 16; length++ {
			for range s[length] {
				end := code + 1<<(16-length)
				if len(values) == 0 || end > 1<<16 {
					return false
				}
				for ; code < end; code++ {
					book[code] = uint16(length)<<8 | uint16(values[0])
				}
				values = values[1:]
			}
		}
		p.tables[s[0]>>4][s[0]&15] = book
		s = values
	}
	return true
}

func (p *picture) frame(s []byte) bool {
	if len(s) < 6 || s[0] != 8 || len(s) != 6+3*int(s[5]) || p.parts != nil {
		return false
	}
	p.height, p.width = int(binary.BigEndian.Uint16(s[1:])), int(binary.BigEndian.Uint16(s[3:]))
	for c := s[6:]; len(c) > 0; c = c[3:] {
		q := part{id: c[0], across: int(c[1] >> 4), down: int(c[1] & 15), table: c[2]}
		if q.across < 1 || q.across > 4 || q.down < 1 || q.down > 4 || q.table > 3 {
			return false
		}
		p.parts = append(p.parts, q)
	}
	return p.width > 0 && p.height > 0 && len(p.parts) > 0
}

// scan reads a scan whose codes begin at an offset, if it holds the DC coefficients of
// the first component: then done is true.
func (p *picture) scan(s []byte, at int) (done, ok bool) {
	if len(s) < 1 || len(s) != 4+2*int(s[0]) || p.parts == nil {
		return false, false
	}
	end := s[len(s)-3:]
	low := end[2] & 15
	if p.progressive && (end[0] != 0 || end[2]>>4 != 0) {
		return false, true // AC coefficients, or a lower bit
	}
	var in []*part
	first := false
	for c := s[1 : len(s)-3]; len(c) > 0; c = c[2:] {
		for i := range p.parts {
			q := &p.parts[i]
			if q.id != c[0] {
				continue
			}
			if c[1]>>4 > 3 || c[1]&15 > 3 {
				return false, false
			}
			first = first || i == 0
			q.dc, q.ac, q.last = p.tables[0][c[1]>>4], p.tables[1][c[1]&15], 0
			if q.dc == nil || q.ac == nil && !p.progressive {
				return false, false
			}
			in = append(in, q)
		}
	}
	switch {
	case len(in) != int(s[0]):
		return false, false
	case !first:
		return false, true
	}
	return true, p.read(in, low, bits{data: p.data, at: at})
}

// read reads the codes of a scan, and keeps the DC coefficients of the first component.
func (p *picture) read(in []*part, low uint8, b bits) bool {
	widest, highest := 1, 1
	for _, q := range p.parts {
		widest, highest = max(widest, q.across), max(highest, q.down)
	}
	blocks := func(pixels, factor, most int) int { return up(up(pixels*factor, most), 8) }
	y := &p.parts[0]
	p.columns, p.rows = blocks(p.width, y.across, widest), blocks(p.height, y.down, highest)
	p.pix = make([]uint8, p.columns*p.rows)
	across, down := up(p.width, 8*widest), up(p.height, 8*highest) // minimum coded units
	if len(in) == 1 {
		across, down = p.columns, p.rows
	}
	for unit := range across * down {
		if p.interval > 0 && unit > 0 && unit%p.interval == 0 {
			if !b.restart() {
				return false
			}
			for _, q := range in {
				q.last = 0
			}
		}
		for _, q := range in {
			h, v := q.across, q.down
			if len(in) == 1 {
				h, v = 1, 1
			}
			for i := range h * v {
				if !q.block(&b, p.progressive) {
					return false
				}
				if q != y {
					continue
				}
				if x, line := unit%across*h+i%h, unit/across*v+i/h; x < p.columns && line < p.rows {
					mean := 128 + float64(q.last<<low)*float64(p.steps[q.table])/8
					p.pix[line*p.columns+x] = uint8(min(max(mean+0.5, 0), 255))
				}
			}
		}
		if b.over() {
			return false
		}
	}
	return true
}

func up(n, by int) int { return (n + by - 1) / by }

// block reads the codes of a block.
func (q *part) block(b *bits, progressive bool) bool {
	length, size := b.code(q.dc)
	if length == 0 || size > 15 {
		return false
	}
	if size > 0 {
		v := b.take(size)
		if v < 1<<(size-1) {
			v -= 1<<size - 1
		}
		if q.last += v; q.last < -1<<15 || q.last > 1<<15 {
			return false
		}
	}
	for k := 1; k < 64 && !progressive; {
		length, value := b.code(q.ac)
		run, size := value>>4, value&15
		switch {
		case length == 0:
			return false
		case size == 0 && run < 15: // no more
			return true
		}
		b.take(size)
		k += run + 1
	}
	return true
}

// bits are those of a scan. Behind its end they are 0.
type bits struct {
	data []byte
	at   int
	acc  uint64 // the next n bits, in its upper end
	n    int
	none int // how many of them are behind the end
}

func (b *bits) fill() {
	for b.n <= 56 {
		var v byte
		switch {
		case b.at >= len(b.data) || b.data[b.at] == 0xff && (b.at+1 >= len(b.data) || b.data[b.at+1] != 0):
			b.none += 8
		default:
			if v = b.data[b.at]; v == 0xff {
				b.at++
			}
			b.at++
		}
		b.acc |= uint64(v) << (56 - b.n)
		b.n += 8
	}
}

// code takes a code. Its length is 0 when there is none.
func (b *bits) code(book codebook) (length, value int) {
	if b.n < 32 {
		b.fill()
	}
	e := book[b.acc>>48]
	length = int(e >> 8)
	b.acc <<= length
	b.n -= length
	return length, int(e & 255)
}

// take takes up to 15 bits behind a code.
func (b *bits) take(n int) int {
	v := int(b.acc >> 1 >> (63 - n))
	b.acc <<= n
	b.n -= n
	return v
}

// over reports whether bits were taken that are not there.
func (b *bits) over() bool { return b.n < b.none }

// restart goes behind the restart marker that has to come next.
func (b *bits) restart() bool {
	if b.over() || b.at+1 >= len(b.data) || b.data[b.at] != 0xff || b.data[b.at+1] < rst0 || b.data[b.at+1] > rst7 {
		return false
	}
	*b = bits{data: b.data, at: b.at + 2}
	return true
}
