package still

import (
	"crypto/sha256"
	"fmt"

	"ciglio/capture"
	"ciglio/capture/evidence"
)

// Limits of a recipe.
const (
	MaxRecipe   = 8 << 10 // bytes of its canonical form
	maxPolygons = 16
	maxPoints   = 128
	maxItems    = 24
	maxZoomed   = 4_000_000 // pixels of an enlarged picture
	maxFit      = 4096      // pixels either way
)

// Qualities of the encoder, 1 to 100: what pictures are made with unless there is a
// reason. At 90 the loss of a second compression is not seen; a plate is for reading.
const (
	PictureQuality   = 90
	PlateQuality     = 95
	ThumbnailQuality = 75
)

// A Recipe is what is done to a source. Steps are done in the order of the fields;
// nil ones are left out. It is a plain value.
type Recipe struct {
	Code    int        // [Version] of the code
	Redact  *Redaction // first: it speaks of the source's pixels
	Crop    *Crop      // of the source's pixels, too
	Zoom    *Zoom      // at most one of Zoom and Fit
	Fit     *Fit
	Tone    *Tone
	Bar     *Bar // last: below what the others have left
	Quality int  // of the JPEG encoder, 1 to 100
}

// A Point is a corner of a polygon, in pixels of the source from its left upper
// corner: (0, 0) to (width, height). It lies between pixels, not in them.
type Point struct{ X, Y uint16 }

// A Polygon is a closed line through 3 to 128 points. A pixel lies within if its middle
// does.
type Polygon []Point

// A Redaction fills everything but what lies in one of Keep and in none of Hide. Keep
// counts by the even-odd rule, Hide by the non-zero one: a line that crosses itself
// hides more, never less.
type Redaction struct {
	Keep []Polygon // 1 to 16: the outline of the vehicle
	Hide []Polygon // up to 16: what within it is not to be seen, as the windscreen
}

// A Crop is a rectangle of the source's pixels, from its left upper one.
type Crop struct{ Left, Top, Width, Height uint16 }

// A Zoom enlarges by Num/Den, each 1 to 32 and without a common divisor, or makes
// smaller. Enlarged is by cubic interpolation (R. Keys, 1981, with a = -1/2),
// made smaller by the mean over the area.
type Zoom struct{ Num, Den uint8 }

// A Fit makes a picture smaller, so that it fits into Width by Height, up to 4096
// pixels each; one that fits stays as it is.
type Fit struct{ Width, Height uint16 }

// A Tone changes the luminance v of each pixel, 0 to 255, by a table:
// w = 128 + (v - 128)·Contrast/100, then 255·(w/255)^(100/Gamma). 100 and 100 change
// nothing; more is more contrast, and lighter.
type Tone struct {
	Contrast uint16 // percent, 10 to 1000
	Gamma    uint16 // hundredths, 20 to 500
}

// A Bar is the data bar: what stands in it, as text. See [BarOf].
type Bar struct {
	Language string // of its words: it, en or de
	Items    []Item // 1 to 24
}

// An Item of a data bar.
type Item struct {
	Code  string // of the field
	Label string // up to 64 bytes
	Value string // up to 1024 bytes
}

// Plate is the recipe of an enlarged plate.
func Plate(c Crop, z Zoom, t Tone) *Recipe {
	r := &Recipe{Code: Version, Crop: &c, Quality: PlateQuality}
	if z != (Zoom{1, 1}) {
		r.Zoom = &z
	}
	if t != (Tone{100, 100}) {
		r.Tone = &t
	}
	return r
}

// Thumbnail is the recipe of a picture of at most that many pixels each way.
func Thumbnail(width, height uint16) *Recipe {
	return &Recipe{Code: Version, Fit: &Fit{width, height}, Quality: ThumbnailQuality}
}

// The kinds of steps, in the order in which they are done.
const (
	kindRedact = iota + 1
	kindCrop
	kindZoom
	kindFit
	kindTone
	kindBar
)

// Marshal returns the canonical form of a recipe, deterministic CBOR; docs/stills.md
// specifies it. The error wraps [ErrRecipe] for a recipe that breaks a rule.
func (r *Recipe) Marshal() ([]byte, error) {
	if err := r.rules(); err != nil {
		return nil, err
	}
	b, err := evidence.EncodeForm(r.fields)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrRecipe, err)
	case len(b) > MaxRecipe:
		return nil, fmt.Errorf("%w: %d bytes, want at most %d", ErrRecipe, len(b), MaxRecipe)
	}
	return b, nil
}

// ParseRecipe reads what Marshal writes and no other spelling. A recipe of another
// version of the code is read; it is not rendered.
func ParseRecipe(b []byte) (*Recipe, error) {
	if len(b) > MaxRecipe {
		return nil, fmt.Errorf("%w: %d bytes, want at most %d", ErrRecipe, len(b), MaxRecipe)
	}
	r := &Recipe{}
	if err := evidence.DecodeForm(b, r.fields); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRecipe, err)
	}
	if err := r.rules(); err != nil {
		return nil, err
	}
	return r, nil
}

// Hash is the SHA-256 of the canonical form, by which a cache knows a recipe.
func (r *Recipe) Hash() (evidence.Hash, error) {
	b, err := r.Marshal()
	return sha256.Sum256(b), err
}

// fields lists the keys of a recipe, for both directions.
func (r *Recipe) fields(m *evidence.Form) {
	m.Constant(1, "v", 1)
	number(m, 2, "code", &r.Code, 1, 1<<30)
	steps := r.steps()
	evidence.FormMaps(m, 3, "steps", &steps, 0, kindBar, func(s *step, m *evidence.Form) { s.fields(r, m) })
	number(m, 4, "quality", &r.Quality, 1, 100)
}

// A step stands for one field of a recipe.
type step struct{ kind int64 }

func (r *Recipe) steps() (steps []step) {
	for kind, present := range []bool{kindRedact: r.Redact != nil, kindCrop: r.Crop != nil, kindZoom: r.Zoom != nil,
		kindFit: r.Fit != nil, kindTone: r.Tone != nil, kindBar: r.Bar != nil} {
		if present {
			steps = append(steps, step{int64(kind)})
		}
	}
	return steps
}

// fields lists the keys of a step. Steps ascend by kind, so each comes once.
func (s *step) fields(r *Recipe, m *evidence.Form) {
	lo := int64(kindRedact)
	if done := r.steps(); s.kind == 0 && len(done) > 0 { // decoding: after those that were read
		lo = done[len(done)-1].kind + 1
	}
	m.Integer(1, "step kind", &s.kind, lo, kindBar)
	switch s.kind {
	case kindRedact:
		of(&r.Redact)
		polygons(m, 2, "keep", &r.Redact.Keep, 1)
		polygons(m, 3, "hide", &r.Redact.Hide, 0)
	case kindCrop:
		c := of(&r.Crop)
		number(m, 2, "crop left", &c.Left, 0, capture.MaxDimension)
		number(m, 3, "crop top", &c.Top, 0, capture.MaxDimension)
		number(m, 4, "crop width", &c.Width, 1, capture.MaxDimension)
		number(m, 5, "crop height", &c.Height, 1, capture.MaxDimension)
	case kindZoom:
		z := of(&r.Zoom)
		number(m, 2, "zoom num", &z.Num, 1, 32)
		number(m, 3, "zoom den", &z.Den, 1, 32)
	case kindFit:
		f := of(&r.Fit)
		number(m, 2, "fit width", &f.Width, 1, maxFit)
		number(m, 3, "fit height", &f.Height, 1, maxFit)
	case kindTone:
		t := of(&r.Tone)
		number(m, 2, "tone contrast", &t.Contrast, 10, 1000)
		number(m, 3, "tone gamma", &t.Gamma, 20, 500)
	case kindBar:
		b := of(&r.Bar)
		m.Text(2, "bar language", &b.Language, 2, 2)
		evidence.FormMaps(m, 3, "bar items", &b.Items, 1, maxItems, func(i *Item, m *evidence.Form) {
			m.Code(1, "item code", &i.Code)
			m.Text(2, "item label", &i.Label, 1, 64)
			m.Text(3, "item value", &i.Value, 1, 1024)
		})
	}
}

// of returns what p points to, made where there is none.
func of[T any](p **T) *T {
	if *p == nil {
		*p = new(T)
	}
	return *p
}

func number[T ~int | ~int64 | ~uint16 | ~uint8](m *evidence.Form, key int64, name string, p *T, lo, hi int64) {
	v := int64(*p)
	m.Integer(key, name, &v, lo, hi)
	*p = T(v)
}

func polygons(m *evidence.Form, key int64, name string, p *[]Polygon, lo int) {
	evidence.FormMaps(m, key, name, p, lo, maxPolygons, func(line *Polygon, m *evidence.Form) {
		points := (*[]Point)(line)
		evidence.FormList(m, 1, name+" points", points, 3, maxPoints, func(at *Point, m *evidence.Form) {
			x, y := uint64(at.X), uint64(at.Y)
			m.Pair(name+" point", &x, &y)
			at.X, at.Y = uint16(min(x, 1<<16-1)), uint16(min(y, 1<<16-1)) // the rules refuse what is larger
		})
	})
}

// rules checks what the fields alone do not.
func (r *Recipe) rules() error {
	fail := func(format string, args ...any) error {
		return fmt.Errorf("%w: "+format, append([]any{ErrRecipe}, args...)...)
	}
	if d := r.Redact; d != nil {
		for _, lines := range [][]Polygon{d.Keep, d.Hide} {
			for _, line := range lines {
				for _, p := range line {
					if p.X > capture.MaxDimension || p.Y > capture.MaxDimension {
						return fail("a point at %d, %d, want at most %d", p.X, p.Y, capture.MaxDimension)
					}
				}
			}
		}
	}
	if r.Zoom != nil && r.Fit != nil {
		return fail("zoom and fit in one")
	}
	if z := r.Zoom; z != nil && (z.Num == z.Den || divisor(int(z.Num), int(z.Den)) != 1) {
		return fail("zoom by %d/%d, want lowest terms and not 1", z.Num, z.Den)
	}
	if t := r.Tone; t != nil && *t == (Tone{100, 100}) {
		return fail("a tone that changes nothing")
	}
	if b := r.Bar; b != nil {
		if _, known := languages()[b.Language]; !known {
			return fail("bar in %.2q, want it, en or de", b.Language)
		}
		seen := map[string]bool{}
		for _, i := range b.Items {
			if seen[i.Code] {
				return fail("bar has %s twice", i.Code)
			}
			seen[i.Code] = true
		}
	}
	return nil
}

func divisor(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}
