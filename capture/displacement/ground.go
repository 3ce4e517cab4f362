package displacement

import (
	"errors"
	"fmt"
	"math"
)

// A Mark is a point of the road that can be found in the picture: where it lies
// there, and where on the ground as measured with a tape.
type Mark struct {
	X, Y          int32 // hundredths of a pixel from the picture's left upper corner
	Along, Across int32 // mm from the foot of the camera: ahead along the road, and to its right
}

// A homography maps metres on the ground to pixels: three rows of three.
type homography [9]float64

// pixel returns where a place on the ground, in metres, lies in the picture,
// and false when it lies behind the camera.
func (h *homography) pixel(x, y float64) (px, py float64, ok bool) {
	w := h[6]*x + h[7]*y + h[8]
	return (h[0]*x + h[1]*y + h[2]) / w, (h[3]*x + h[4]*y + h[5]) / w, w > 1e-9
}

// inverse returns the way from pixels to metres.
func (h *homography) inverse() homography {
	a := h
	return homography{
		a[4]*a[8] - a[5]*a[7], a[2]*a[7] - a[1]*a[8], a[1]*a[5] - a[2]*a[4],
		a[5]*a[6] - a[3]*a[8], a[0]*a[8] - a[2]*a[6], a[2]*a[3] - a[0]*a[5],
		a[3]*a[7] - a[4]*a[6], a[1]*a[6] - a[0]*a[7], a[0]*a[4] - a[1]*a[3],
	}
}

func (h *homography) times(o *homography) (p homography) {
	for i := range 3 {
		for j := range 3 {
			for k := range 3 {
				p[3*i+j] += h[3*i+k] * o[3*k+j]
			}
		}
	}
	return p
}

// A pair is a mark in metres and pixels.
type pair struct{ x, y, px, py float64 }

func (m Mark) pair() pair {
	return pair{float64(m.Along) / 1e3, float64(m.Across) / 1e3, float64(m.X) / 100, float64(m.Y) / 100}
}

var errDegenerate = errors.New("the marks lie in a line or at one place: want four corners of the measured road")

// fit returns the homography that maps the pairs best, by least squares over
// normalised coordinates (R. Hartley, A. Zisserman, Multiple View Geometry,
// algorithm 4.2, with h33 = 1).
func fit(pairs []pair) (homography, error) {
	ground, _ := normalise(pairs, func(p pair) (float64, float64) { return p.x, p.y })
	picture, back := normalise(pairs, func(p pair) (float64, float64) { return p.px, p.py })
	var a [8][9]float64 // normal equations
	add := func(row [9]float64) {
		for i := range 8 {
			for j := range 9 {
				a[i][j] += row[i] * row[j]
			}
		}
	}
	for _, p := range pairs {
		x, y, _ := ground.pixel(p.x, p.y)
		u, v, _ := picture.pixel(p.px, p.py)
		add([9]float64{x, y, 1, 0, 0, 0, -u * x, -u * y, u})
		add([9]float64{0, 0, 0, x, y, 1, -v * x, -v * y, v})
	}
	s, ok := solve(&a)
	if !ok {
		return homography{}, errDegenerate
	}
	h := homography{s[0], s[1], s[2], s[3], s[4], s[5], s[6], s[7], 1}
	h = h.times(&ground)
	h = back.times(&h)
	// One sign for all that is in sight: positive in front of the camera.
	if p := pairs[0]; h[6]*p.x+h[7]*p.y+h[8] < 0 {
		for i := range h {
			h[i] = -h[i]
		}
	}
	return h, nil
}

// normalise returns the map that gives the points a mean of 0 and a mean
// distance of √2 from it, and the way back.
func normalise(pairs []pair, of func(pair) (float64, float64)) (to, back homography) {
	var mx, my, d float64
	n := float64(len(pairs))
	for _, p := range pairs {
		x, y := of(p)
		mx, my = mx+x/n, my+y/n
	}
	for _, p := range pairs {
		x, y := of(p)
		d += math.Hypot(x-mx, y-my) / n
	}
	s := math.Sqrt2 / max(d, 1e-9)
	return homography{s, 0, -s * mx, 0, s, -s * my, 0, 0, 1}, homography{1 / s, 0, mx, 0, 1 / s, my, 0, 0, 1}
}

// solve is Gauss's elimination with partial pivoting.
func solve(a *[8][9]float64) (x [8]float64, ok bool) {
	for i := range 8 {
		top := i
		for r := i + 1; r < 8; r++ {
			if math.Abs(a[r][i]) > math.Abs(a[top][i]) {
				top = r
			}
		}
		a[i], a[top] = a[top], a[i]
		if !(math.Abs(a[i][i]) > 1e-9) {
			return x, false
		}
		for r := i + 1; r < 8; r++ {
			f := a[r][i] / a[i][i]
			for c := i; c < 9; c++ {
				a[r][c] -= f * a[i][c]
			}
		}
	}
	for i := 7; i >= 0; i-- {
		x[i] = a[i][8]
		for c := i + 1; c < 8; c++ {
			x[i] -= a[i][c] * x[c]
		}
		x[i] /= a[i][i]
	}
	return x, true
}

// A ground is the road as the marks give it.
type ground struct {
	toPicture homography
	toRoad    homography
	other     []homography // toRoad with one coordinate of one mark off by its uncertainty
	// The measured road: within the marks, in metres.
	near, far, left, right float64
	residual               float64 // m, root of the mean square over the marks
}

// maxFar is how many metres away a mark may lie.
const maxFar = 200

// pixelU is the standard uncertainty with which a mark is found in the picture.
const pixelU = 1.0

// newGround fits the marks, and refuses those that contradict each other.
func newGround(marks []Mark, markU float64, width, height int) (*ground, error) {
	pairs := make([]pair, len(marks))
	g := &ground{near: math.Inf(1), far: math.Inf(-1), left: math.Inf(1), right: math.Inf(-1)}
	for i, m := range marks {
		p := m.pair()
		if !(p.px >= 0 && p.py >= 0 && p.px <= float64(width) && p.py <= float64(height)) || math.Abs(p.x) > maxFar || math.Abs(p.y) > maxFar {
			return nil, fmt.Errorf("mark %d: want it in the picture and within %d m", i+1, maxFar)
		}
		pairs[i] = p
		g.near, g.far = min(g.near, p.x), max(g.far, p.x)
		g.left, g.right = min(g.left, p.y), max(g.right, p.y)
	}
	var err error
	if g.toPicture, err = fit(pairs); err != nil {
		return nil, err
	}
	g.toRoad = g.toPicture.inverse()
	for i, p := range pairs {
		x, y, _ := g.toRoad.pixel(p.px, p.py)
		if _, _, ok := g.toPicture.pixel(p.x, p.y); !ok || !(math.Abs(x)+math.Abs(y) < 1e6) {
			return nil, errDegenerate
		}
		off := math.Hypot(x-p.x, y-p.y)
		g.residual += off * off / float64(len(pairs))
		if allowed := 3 * math.Hypot(markU, pixelU*g.grain(p.px, p.py)); off > allowed {
			return nil, fmt.Errorf("mark %d lies %.2f m from where the others put it, allowed is %.2f m", i+1, off, allowed)
		}
	}
	g.residual = math.Sqrt(g.residual)
	if g.far-g.near < 3 || g.right-g.left < 1 {
		return nil, fmt.Errorf("marks over %.1f m along the road and %.1f m across: want at least 3 m and 1 m", g.far-g.near, g.right-g.left)
	}
	for i := range pairs {
		for k := range 4 {
			was := pairs[i]
			switch k {
			case 0:
				pairs[i].x += markU
			case 1:
				pairs[i].y += markU
			case 2:
				pairs[i].px += pixelU
			case 3:
				pairs[i].py += pixelU
			}
			h, err := fit(pairs)
			if err != nil {
				return nil, err
			}
			g.other = append(g.other, h.inverse())
			pairs[i] = was
		}
	}
	return g, nil
}

// grain returns how many metres of road one pixel covers there, at most.
func (g *ground) grain(px, py float64) float64 {
	x0, y0, _ := g.toRoad.pixel(px, py)
	x1, y1, _ := g.toRoad.pixel(px+1, py)
	x2, y2, _ := g.toRoad.pixel(px, py+1)
	return math.Hypot(math.Hypot(x1-x0, y1-y0), math.Hypot(x2-x0, y2-y0))
}

// rowGrain returns how many metres along the road one pixel covers at a place.
func (g *ground) rowGrain(x, y float64) float64 {
	px, py, _ := g.toPicture.pixel(x, y)
	x0, _, _ := g.toRoad.pixel(px, py)
	x1, _, _ := g.toRoad.pixel(px, py+1)
	return math.Abs(x1 - x0)
}

// wayU returns the standard uncertainty of the way from one place to another
// along the road, by that of the marks.
func (g *ground) wayU(x0, y0, x1, y1 float64) float64 {
	ax, ay, _ := g.toPicture.pixel(x0, y0)
	bx, by, _ := g.toPicture.pixel(x1, y1)
	var sum float64
	for i := range g.other {
		a, _, _ := g.other[i].pixel(ax, ay)
		b, _, _ := g.other[i].pixel(bx, by)
		d := (b - a) - (x1 - x0)
		sum += d * d
	}
	return math.Sqrt(sum)
}
