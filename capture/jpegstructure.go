package capture

import (
	"errors"
	"fmt"
)

// A structure is what the markers of a JPEG picture have said so far.
type structure struct {
	width, height int // 0 before the frame header
	progressive   bool
	components    int
	component     [3]component
	widest        int // largest horizontal and vertical sampling factors
	highest       int

	quantisation uint8 // bit i: table i is defined
	huffman      [2]uint8
	interval     int // of restarts, in minimum coded units; 0 for none

	scans int
	units int // minimum coded units of the scan at hand
	coded int // bytes of all scans
	sent  uint8
	// low is, of each component's coefficient, the lowest bit sent so far plus
	// one, of a progressive picture; 0 before the first.
	low [3][64]uint8
}

type component struct {
	id            uint8
	across, down  int // sampling factors, 1 to 4
	quantisation  uint8
	columns, rows int // of blocks
}

// place checks that a marker may stand between segments.
func (s *structure) place(mark byte) error {
	switch {
	case mark >= markSOF0 && mark <= markSOFF && mark != markDHT && mark != markJPG && mark != markDAC:
		if s.width != 0 {
			return errors.New("second frame header")
		}
		if mark > markSOF2 {
			return fmt.Errorf("%s coding (%#02x), want baseline or progressive with Huffman codes", process(mark), mark)
		}
		return nil
	case mark == markDHT, mark == markDQT, mark == markDRI, mark == markSOS, mark == markCOM, mark >= markAPP0 && mark <= markAPPF:
		return nil
	case mark == markDAC:
		return fmt.Errorf("arithmetic coding (%#02x), want Huffman codes", mark)
	case mark == markDHP, mark == markEXP:
		return fmt.Errorf("hierarchical coding (%#02x)", mark)
	case mark == markDNL:
		return errors.New("number of lines outside of the frame header")
	}
	return fmt.Errorf("marker %#02x has no place here", mark)
}

// process names a coding process that is not taken.
func process(mark byte) string {
	switch {
	case mark == 0xC3:
		return "lossless"
	case mark == 0xC9 || mark == 0xCA:
		return "arithmetic"
	case mark == 0xCB:
		return "lossless arithmetic"
	}
	return "hierarchical"
}

// segment takes what a segment says.
func (s *structure) segment(mark byte, b []byte) error {
	switch mark {
	case markDHT:
		return s.huffmanTables(b)
	case markDQT:
		return s.quantisationTables(b)
	case markDRI:
		if len(b) != 2 {
			return errors.New("restart interval of the wrong length")
		}
		s.interval = int(b[0])<<8 | int(b[1])
	case markSOS:
		return s.scan(b)
	case markSOF0, markSOF0 + 1, markSOF2:
		s.progressive = mark == markSOF2
		return s.frame(b)
	}
	return nil
}

// frame reads a frame header after its length: precision, height, width, number of
// components, and three bytes for each.
func (s *structure) frame(b []byte) error {
	if len(b) < 6 || len(b) != 6+3*int(b[5]) {
		return errors.New("frame header of the wrong length")
	}
	if b[0] != 8 {
		return fmt.Errorf("%d bits a sample, want 8", b[0])
	}
	if b[5] != 1 && b[5] != 3 {
		return fmt.Errorf("%d components, want 1 or 3", b[5])
	}
	height, width := int(b[1])<<8|int(b[2]), int(b[3])<<8|int(b[4])
	if width < 1 || height < 1 || width > MaxDimension || height > MaxDimension {
		return fmt.Errorf("%d by %d pixels, want 1 to %d", width, height, MaxDimension)
	}
	if width*height > MaxPixels {
		return fmt.Errorf("%d by %d pixels are more than %d", width, height, MaxPixels)
	}
	s.components = int(b[5])
	for i := range s.components {
		c := component{id: b[6+3*i], across: int(b[7+3*i] >> 4), down: int(b[7+3*i] & 15), quantisation: b[8+3*i]}
		if c.across < 1 || c.across > 4 || c.down < 1 || c.down > 4 || c.quantisation > 3 {
			return fmt.Errorf("component %d sampled %d by %d with table %d", i+1, c.across, c.down, c.quantisation)
		}
		for _, other := range s.component[:i] {
			if other.id == c.id {
				return fmt.Errorf("two components %d", c.id)
			}
		}
		s.component[i] = c
		s.widest, s.highest = max(s.widest, c.across), max(s.highest, c.down)
	}
	for i := range s.components {
		c := &s.component[i]
		c.columns = blocks(width, c.across, s.widest)
		c.rows = blocks(height, c.down, s.highest)
	}
	s.width, s.height = width, height
	return nil
}

// blocks returns how many blocks of eight samples cover that many pixels.
func blocks(pixels, factor, most int) int {
	samples := (pixels*factor + most - 1) / most
	return (samples + 7) / 8
}

// quantisationTables reads tables, each a byte with its precision and number, and
// 64 values of one or two bytes.
func (s *structure) quantisationTables(b []byte) error {
	for len(b) > 0 {
		size := 1 + 64<<(b[0]>>4&1)
		if b[0]>>4 > 1 || b[0]&15 > 3 || len(b) < size {
			return errors.New("quantisation table that is none")
		}
		s.quantisation |= 1 << (b[0] & 15)
		b = b[size:]
	}
	return nil
}

// huffmanTables reads tables, each a byte with its class and number, the number of
// codes of 1 to 16 bits, and a symbol for each code. A table without codes counts
// as none.
func (s *structure) huffmanTables(b []byte) error {
	for len(b) > 0 {
		if b[0]>>4 > 1 || b[0]&15 > 3 || len(b) < 17 {
			return errors.New("table of Huffman codes that is none")
		}
		symbols, next := 0, 0
		for i, n := range b[1:17] {
			symbols, next = symbols+int(n), 2*next+int(n)
			if next > 2<<i {
				return errors.New("table of more Huffman codes than there are")
			}
		}
		if symbols > 256 || len(b) < 17+symbols {
			return errors.New("table of Huffman codes that is none")
		}
		class, bit := b[0]>>4, uint8(1)<<(b[0]&15)
		if s.huffman[class] &^= bit; symbols > 0 {
			s.huffman[class] |= bit
		}
		b = b[17+symbols:]
	}
	return nil
}

// scan reads a scan header after its length: number of components, two bytes for
// each, first and last coefficient, and the bits that are sent of them.
func (s *structure) scan(b []byte) error {
	if s.width == 0 {
		return errors.New("scan before the frame header")
	}
	if s.scans++; s.scans > MaxScans {
		return fmt.Errorf("more than %d scans", MaxScans)
	}
	if len(b) < 1 || len(b) != 4+2*int(b[0]) || b[0] < 1 || int(b[0]) > s.components {
		return errors.New("scan header of the wrong length")
	}
	n := int(b[0])
	first, last, before, bit := b[2*n+1], b[2*n+2], b[2*n+3]>>4, b[2*n+3]&15
	if s.progressive {
		if first > last || last > 63 || first == 0 && last > 0 || first > 0 && n > 1 || bit > 13 || before > 0 && before != bit+1 {
			return fmt.Errorf("progressive scan of coefficients %d to %d, bit %d after %d", first, last, bit, before)
		}
	}
	volume := 0
	for i := range n {
		index := 0
		for index < s.components && s.component[index].id != b[1+2*i] {
			index++
		}
		if index == s.components {
			return fmt.Errorf("scan of a component %d that the frame does not have", b[1+2*i])
		}
		c := &s.component[index]
		volume += c.across * c.down
		if err := s.tables(c, b[2+2*i], first, before); err != nil {
			return err
		}
		if err := s.once(index, first, last, before, bit); err != nil {
			return err
		}
		s.units = c.columns * c.rows
	}
	if n > 1 {
		if volume > 10 {
			return fmt.Errorf("unit of %d blocks, want at most 10", volume)
		}
		s.units = blocks(s.width, 1, s.widest) * blocks(s.height, 1, s.highest)
	}
	return nil
}

// tables checks that the tables which a scan of the component uses are there.
func (s *structure) tables(c *component, selector byte, first, before byte) error {
	if s.quantisation>>c.quantisation&1 == 0 {
		return errQuantisation
	}
	dc, ac := selector>>4, selector&15
	needsDC := !s.progressive || first == 0 && before == 0
	needsAC := !s.progressive || first > 0
	if needsDC && s.huffman[0]>>dc&1 == 0 || needsAC && s.huffman[1]>>ac&1 == 0 {
		return errHuffman
	}
	return nil
}

// once checks that nothing is sent that has been sent before.
func (s *structure) once(index int, first, last, before, bit byte) error {
	if !s.progressive {
		if s.sent>>index&1 != 0 {
			return fmt.Errorf("second scan of component %d", s.component[index].id)
		}
		s.sent |= 1 << index
		return nil
	}
	if first == 0 {
		s.sent |= 1 << index
	}
	low := &s.low[index]
	for k := first; k <= last; k++ {
		switch {
		case before == 0 && low[k] != 0:
			return fmt.Errorf("coefficient %d of component %d begins a second time", k, s.component[index].id)
		case before != 0 && low[k] != before+1:
			return fmt.Errorf("bit %d of coefficient %d of component %d is sent a second time or out of turn", bit, k, s.component[index].id)
		}
		low[k] = bit + 1
	}
	return nil
}

// scanned takes the coded bytes of a scan and its number of restart markers.
func (s *structure) scanned(bytes, restarts int) error {
	s.coded += bytes
	switch {
	case restarts == 0:
	case s.interval == 0:
		return errors.New("restart markers without an interval")
	case restarts < 0:
		return errors.New("restart markers out of turn")
	case restarts > (s.units+s.interval-1)/s.interval: // some encoders end with one
		return fmt.Errorf("%d restart markers in %d units, one in %d is asked for", restarts, s.units, s.interval)
	}
	return nil
}

// finish checks what the picture has at its end marker.
func (s *structure) finish() error {
	if s.scans == 0 {
		return errors.New("no scan")
	}
	all := 0
	for i, c := range s.component[:s.components] {
		if s.sent>>i&1 == 0 {
			return fmt.Errorf("no scan of component %d", c.id)
		}
		all += c.columns * c.rows
	}
	// The shortest codes have one bit: a sequential block has one for its mean and
	// one for its end, a progressive one may have the first alone.
	bits := 2 * all
	if s.progressive {
		bits = all
	}
	if 8*s.coded < bits {
		return fmt.Errorf("%d coded bytes for %d blocks: no code is so short", s.coded, all)
	}
	return nil
}
