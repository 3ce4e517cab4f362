package still

import (
	"fmt"
	"image"
)

// neutral is what is hidden is filled with: grey.
const neutral = 128

// apply fills what is to be hidden, in place. A sample of chroma stays only where all
// pixels that it covers stay, so that nothing of a filled one is left in it.
func (d *Redaction) apply(m *image.YCbCr) error {
	size := m.Rect.Size()
	across, down := cell(m)
	seen, turns := make([]bool, size.X), make([]int32, size.X+1)
	whole := make([]bool, (size.X+across-1)/across)
	kept, taken := 0, 0
	for top := 0; top < size.Y; top += down {
		for i := range whole {
			whole[i] = true
		}
		for y := top; y < min(top+down, size.Y); y++ {
			taken += d.row(y, seen, turns)
			row := m.Y[m.YOffset(0, y):]
			for x, keep := range seen {
				if keep {
					kept++
				} else {
					row[x], whole[x/across] = neutral, false
				}
			}
		}
		at := m.COffset(0, top)
		for i, keep := range whole {
			if !keep {
				m.Cb[at+i], m.Cr[at+i] = neutral, neutral
			}
		}
	}
	switch all := size.X * size.Y; {
	case len(d.Hide) > 0 && taken == 0:
		return fmt.Errorf("%w: what is to be hidden lies outside of the outline", ErrUnredacted)
	case kept == 0:
		return fmt.Errorf("%w: the outline keeps no pixel", ErrRecipe)
	case kept > all/10*9:
		return fmt.Errorf("%w: the outline keeps %d of %d pixels, want at most nine tenths: it hides nothing", ErrUnredacted, kept, all)
	}
	return nil
}

// row finds out which pixels of a row are to be seen, and how many of the outline are
// not.
func (d *Redaction) row(y int, seen []bool, turns []int32) (taken int) {
	clear(seen)
	for _, line := range d.Keep {
		line.row(y, turns)
		n := int32(0)
		for x := range seen {
			n += turns[x]
			seen[x] = seen[x] || n&1 == 1
		}
	}
	for _, line := range d.Hide {
		line.row(y, turns)
		n := int32(0)
		for x := range seen {
			n += turns[x]
			if seen[x] && n != 0 {
				seen[x] = false
				taken++
			}
		}
	}
	return taken
}

// row sets, for each pixel of a row, by how much the line turns round it more often
// than round the one to its left: the crossings of the line with the row of middles,
// at y + 1/2, each at the first pixel whose middle is not to its left.
func (line Polygon) row(y int, turns []int32) {
	clear(turns)
	for i, b := range line {
		a, turn := line[(i+len(line)-1)%len(line)], int32(1)
		if a.Y > b.Y {
			a, b, turn = b, a, -1
		}
		if y < int(a.Y) || y >= int(b.Y) {
			continue
		}
		// Twice the crossing's x: exact as a fraction, rounded up.
		high := int(b.Y) - int(a.Y)
		cross := 2*int(a.X) + ceil((2*(y-int(a.Y))+1)*(int(b.X)-int(a.X)), high)
		turns[min(max(ceil(cross-1, 2), 0), len(turns)-1)] += turn
	}
}

// ceil is n/d rounded up, for d > 0.
func ceil(n, d int) int {
	q := n / d
	if n%d > 0 {
		q++
	}
	return q
}
