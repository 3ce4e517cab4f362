package aim

import (
	"encoding/hex"
	"fmt"
	"strings"
)

// A Normal is where a camera looks at its site: the marks in its picture, of one size.
// It is kept over restarts: a camera that is turned while the device is off is
// found. The zero Normal is that of a camera of which nothing is known.
type Normal struct {
	Width, Height int      // of the pictures, in pixels; 0 while nothing was learnt
	Lights        [2]Light // by day and by night
}

// A Light holds the marks that are seen in one light.
type Light struct {
	Marks []Mark // none while they are not known
	Looks int    // that counted in which of them were seen
}

func (n *Normal) none() bool { return len(n.Lights[day].Marks)+len(n.Lights[night].Marks) == 0 }

// headNormal is the first line of a normal's text.
const headNormal = "ciglio camera marks 1"

// Text returns n for the camera of the given name: a head, the name, the width and height
// of the pictures, and for each light a line with the number of its marks and of looks
// and one for each mark: its part, place and looks that saw it, and its patch in hexadecimal.
func (n Normal) Text(name string) []byte {
	b := fmt.Appendf(nil, "%s\n%s\n%d %d\n", headNormal, name, n.Width, n.Height)
	for _, l := range n.Lights {
		b = fmt.Appendf(b, "%d %d\n", len(l.Marks), l.Looks)
		for _, m := range l.Marks {
			b = fmt.Appendf(b, "%d %d %d %d %x\n", m.Cell, m.X, m.Y, m.Seen, m.Patch[:])
		}
	}
	return b
}

// ParseNormal reads what [Normal.Text] wrote for the same camera. That of another
// one, which says nothing of this one, gives the zero Normal.
func ParseNormal(text []byte, name string) (Normal, error) {
	var n Normal
	lines := strings.Split(string(text), "\n")
	switch {
	case len(lines) < 6 || lines[0] != headNormal:
		return n, fmt.Errorf("camera marks: want %q, a name, a size and marks by day and by night", headNormal)
	case lines[1] != name:
		return n, nil
	}
	next := 2
	scan := func(values ...any) error {
		if next == len(lines) {
			return fmt.Errorf("camera marks: cut short at line %d", next)
		}
		line := lines[next]
		next++
		if _, err := fmt.Sscan(line, values...); err != nil {
			return fmt.Errorf("camera marks: line %d: %w", next, err)
		}
		return nil
	}
	if err := scan(&n.Width, &n.Height); err != nil {
		return Normal{}, err
	}
	for i := range n.Lights {
		l := &n.Lights[i]
		var count int
		if err := scan(&count, &l.Looks); err != nil {
			return Normal{}, err
		}
		if count < 0 || count > columns*rows || count > 0 && count < leastMarks {
			return Normal{}, fmt.Errorf("camera marks: line %d: %d marks", next, count)
		}
		for range count {
			var m Mark
			var patch string
			if err := scan(&m.Cell, &m.X, &m.Y, &m.Seen, &patch); err != nil {
				return Normal{}, err
			}
			bytes, err := hex.DecodeString(patch)
			if err != nil || len(bytes) != len(m.Patch) {
				return Normal{}, fmt.Errorf("camera marks: line %d: no patch of %d by %d pixels", next, side, side)
			}
			copy(m.Patch[:], bytes)
			if m.Cell < 0 || m.Cell >= columns*rows || m.X < 0 || m.Y < 0 || m.X > n.Width || m.Y > n.Height || m.Seen < 0 || m.Seen > l.Looks {
				return Normal{}, fmt.Errorf("camera marks: line %d: out of range", next)
			}
			l.Marks = append(l.Marks, m)
		}
		if l.Looks < 0 || l.Looks > provenOver {
			return Normal{}, fmt.Errorf("camera marks: %d looks", l.Looks)
		}
	}
	if n.Width < 0 || n.Height < 0 || n.Width == 0 && !n.none() || string(n.Text(name)) != string(text) {
		return Normal{}, fmt.Errorf("camera marks: not as they were written")
	}
	return n, nil
}
