package life

import (
	"fmt"
	"math"
	"strings"
)

// A Normal is the fine detail that a camera shows at its site while it is in order,
// in pictures of one size. It is kept over restarts: without it, a lens that went
// out of focus while the device was off would become normal.
type Normal struct {
	Width, Height int     // of the pictures, in pixels; 0 while nothing was learnt
	Dark, Bright  float64 // the detail of those of mean brightness below and from 64 on, see [Watch]; 0 while it is not known
}

// headNormal is the first line of a normal's text.
const headNormal = "ciglio camera normal 1"

// Text returns n for the camera of the given name: a head, the name, and a line
// with the width and height of the pictures and both details.
func (n Normal) Text(name string) []byte {
	return fmt.Appendf(nil, "%s\n%s\n%d %d %.6g %.6g\n", headNormal, name, n.Width, n.Height, n.Dark, n.Bright)
}

// ParseNormal reads what [Normal.Text] wrote for the same camera. That of another
// one, which teaches nothing of this one, gives the zero Normal.
func ParseNormal(text []byte, name string) (Normal, error) {
	lines := strings.Split(string(text), "\n")
	switch {
	case len(lines) != 4 || lines[0] != headNormal:
		return Normal{}, fmt.Errorf("camera normal: want %q, a name and a line of values", headNormal)
	case lines[1] != name:
		return Normal{}, nil
	}
	var n Normal
	if _, err := fmt.Sscanf(lines[2], "%d %d %g %g", &n.Width, &n.Height, &n.Dark, &n.Bright); err != nil {
		return Normal{}, fmt.Errorf("camera normal: %w", err)
	}
	if string(n.Text(name)) != string(text) || n.Width < 0 || n.Height < 0 || !known(n.Dark) || !known(n.Bright) {
		return Normal{}, fmt.Errorf("camera normal: %q is out of range", lines[2])
	}
	return n, nil
}

// Normal returns what was learnt of the camera so far, and what was known of it
// before.
func (w *Watch) Normal() Normal {
	w.mu.Lock()
	defer w.mu.Unlock()
	return Normal{w.width, w.height, w.normals[0].value, w.normals[1].value}
}

// known reports whether v may be the detail of a picture.
func known(v float64) bool { return v >= 0 && !math.IsInf(v, 0) }
