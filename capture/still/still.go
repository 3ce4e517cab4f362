// Package still makes the derived pictures of a frame: the picture with its data
// bar, the enlarged plate, the redacted picture, the thumbnail.
//
// It keeps true that a derived picture can be made again. What is rendered follows
// from the source's bytes and from a [Recipe] alone, byte by byte, on every
// processor: everything that decides a pixel is integer arithmetic, and the decoder
// and encoder of JPEG are those of one version, which a [Recipe] names in
// [Version] and this package compares with a picture of its own before it renders
// the first one. So a court that has the source renders the recipe that the centre
// has signed, and compares two hashes: see [Statement].
//
// It keeps true that what is redacted is gone. A derived picture is written from
// pixels alone: no segment, thumbnail or byte of the source's file is copied. A
// pixel outside the outline has no influence on any byte: it is filled, flat,
// before anything else is done. A mosaic or blur would be a function of what it
// hides, and plates have been read back from both; a flat fill is a function of
// nothing.
//
// And it keeps apart who may see what. An [Original] hands out no bytes. It gives
// [Reviewed] pictures to review, and [Redacted] ones to everybody else: a page that
// takes a *Redacted cannot be given anything less. A picture of a vehicle's front
// becomes one only when the recipe also hides who sits in it.
//
// Nothing here reads a clock, a file or the network. A call allocates less than
// [MaxMemory] bytes, the source's own length included, however hostile the source
// is. Everything may be called at the same time from several goroutines; sources and
// recipes must not be changed meanwhile.
package still

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"image"
	"image/jpeg"
	"log/slog"
	"sync"

	"ciglio/capture"
	"ciglio/capture/evidence"
	"ciglio/sensor"
)

// Version is that of the code that renders recipes. It rises with every change that
// changes a byte of a derived picture, the standard library's among them; docs/stills.md
// says which program renders which version.
const Version = 1

// Limits.
const (
	// MaxMemory is how many bytes a call of this package may allocate, all in all and
	// with the length of the source.
	MaxMemory = 64_000_000
	// MaxDerived is the length of the longest derived picture.
	MaxDerived = 8 << 20
)

// Why a picture is not made. Errors wrap one of them where a caller may want to
// tell.
var (
	// ErrSource says that the source is no picture that may be decoded.
	ErrSource = errors.New("source")
	// ErrMemory says that the source would take more than [MaxMemory].
	ErrMemory = errors.New("picture too large")
	// ErrRecipe says that a recipe breaks a rule, or does not fit its source.
	ErrRecipe = errors.New("recipe")
	// ErrVersion says that a recipe is of another version of the code.
	ErrVersion = errors.New("another version of the code")
	// ErrUnredacted says that a recipe does not hide what must be hidden.
	ErrUnredacted = errors.New("not redacted")
)

// Facing says which side of the vehicle a picture shows.
type Facing uint8

// The sides. Unknown counts as the front: who cannot tell must hide.
const (
	Unknown Facing = iota
	Front
	Rear
)

// FacingOf returns the side that a camera sees which looks along the sensor's beam.
func FacingOf(d sensor.Direction) Facing {
	switch d {
	case sensor.Approaching:
		return Front
	case sensor.Receding:
		return Rear
	}
	return Unknown
}

// Frontal reports whether the picture may show who sits in the vehicle.
func (f Facing) Frontal() bool { return f != Rear }

// An Original is a frame as the camera gave it. It hands out no bytes: what leaves
// it is Reviewed or Redacted.
type Original struct {
	bytes  []byte
	hash   evidence.Hash
	size   image.Point
	length int // of the picture; what lies behind it is not looked at
	facing Facing
}

// Open takes a frame's bytes, which must not be changed afterwards. Nothing is
// decoded yet. The error wraps [ErrSource] for what is no JPEG that a decoder may be
// given: see [capture.InspectJPEG].
func Open(source []byte, facing Facing) (*Original, error) {
	if len(source) > evidence.MaxFrame {
		return nil, fmt.Errorf("%w: %d bytes, want at most %d", ErrSource, len(source), evidence.MaxFrame)
	}
	width, height, length, err := capture.InspectJPEG(source)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSource, err)
	}
	return &Original{source, sha256.Sum256(source), image.Pt(width, height), length, facing}, nil
}

// Hash is the SHA-256 of the source's bytes.
func (o *Original) Hash() evidence.Hash { return o.hash }

// Size is the picture's, in pixels. Turns that an EXIF segment asks for are not made.
func (o *Original) Size() image.Point { return o.size }

// Facing is what the picture was said to show.
func (o *Original) Facing() Facing { return o.facing }

// Review renders a picture for review: for officers, in the room where they accept or
// discard.
func (o *Original) Review(r *Recipe) (*Reviewed, error) {
	d, err := o.derive(r)
	if err != nil {
		return nil, err
	}
	return &Reviewed{d}, nil
}

// Redact renders a picture that may be shown outside review. The error wraps
// [ErrUnredacted] when the recipe has no redaction, and when the picture is frontal
// and the redaction hides nothing of the vehicle.
func (o *Original) Redact(r *Recipe) (*Redacted, error) {
	if err := r.redacts(o.facing); err != nil {
		return nil, err
	}
	d, err := o.derive(r)
	if err != nil {
		return nil, err
	}
	return &Redacted{derived: d}, nil
}

// redacts returns what a recipe lacks to be shown outside review.
func (r *Recipe) redacts(f Facing) error {
	switch {
	case r.Redact == nil:
		return fmt.Errorf("%w: the recipe has no outline", ErrUnredacted)
	case f.Frontal() && len(r.Redact.Hide) == 0:
		return fmt.Errorf("%w: the picture is frontal, and nothing hides who sits in the vehicle", ErrUnredacted)
	}
	return nil
}

// RecallRedacted returns a redacted picture of a source that was rendered before, as a
// cache has kept it under the hash of its bytes. Whoever calls it knows that the recipe
// and the source made them. It refuses what [Original.Redact] refuses of a recipe.
func RecallRedacted(source evidence.Hash, facing Facing, r *Recipe, hash evidence.Hash, data []byte) (*Redacted, error) {
	if err := r.redacts(facing); err != nil {
		return nil, err
	}
	d, err := recall(source, r, hash, data)
	if err != nil {
		return nil, err
	}
	return &Redacted{derived: d}, nil
}

// RecallReviewed is RecallRedacted of a picture for review.
func RecallReviewed(source evidence.Hash, r *Recipe, hash evidence.Hash, data []byte) (*Reviewed, error) {
	d, err := recall(source, r, hash, data)
	if err != nil {
		return nil, err
	}
	return &Reviewed{d}, nil
}

func recall(source evidence.Hash, r *Recipe, hash evidence.Hash, data []byte) (derived, error) {
	recipe, err := r.Marshal()
	if err != nil {
		return derived{}, err
	}
	if sha256.Sum256(data) != hash {
		return derived{}, fmt.Errorf("derived picture %v: the bytes have another hash", hash)
	}
	return derived{source: source, hash: hash, recipe: recipe, bytes: data}, nil
}

func (o *Original) derive(r *Recipe) (derived, error) {
	recipe, err := r.Marshal()
	if err != nil {
		return derived{}, err
	}
	b, err := render(o.bytes[:o.length], len(o.bytes), r)
	if err != nil {
		return derived{}, err
	}
	return derived{source: o.hash, hash: sha256.Sum256(b), recipe: recipe, bytes: b}, nil
}

// Format prints the hash, never the bytes.
func (o Original) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "original %v", o.hash) }

// LogValue is the hash.
func (o Original) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(o)) }

// A Reviewed picture is for review alone: it may show whatever the camera saw.
type Reviewed struct{ derived }

// A Redacted picture shows the vehicle that was measured and nothing else. The mark
// keeps the language from converting a Reviewed into one.
type Redacted struct {
	derived
	_ mark
}

type mark struct{}

type derived struct {
	source, hash evidence.Hash
	recipe       []byte
	bytes        []byte
}

// Source is the SHA-256 of the frame that the picture was made from.
func (d *derived) Source() evidence.Hash { return d.source }

// Hash is the SHA-256 of the picture.
func (d *derived) Hash() evidence.Hash { return d.hash }

// Recipe is the recipe, in its canonical form. It must not be changed.
func (d *derived) Recipe() []byte { return d.recipe }

// Bytes is the picture, a baseline JPEG. It must not be changed.
func (d *derived) Bytes() []byte { return d.bytes }

// Format prints the hashes, never the bytes.
func (d derived) Format(f fmt.State, _ rune) {
	fmt.Fprintf(f, "derived %v of %v", d.hash, d.source)
}

// LogValue is the hashes.
func (d derived) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(d)) }

// render makes a picture. It is a function of its arguments: b is one JPEG that
// [capture.InspectJPEG] has passed, and held is how long the source is with what lies
// behind it.
func render(b []byte, held int, r *Recipe) ([]byte, error) {
	if r.Code != Version {
		return nil, fmt.Errorf("%w: the recipe is of version %d, this program renders version %d", ErrVersion, r.Code, Version)
	}
	if err := codec(); err != nil {
		return nil, err
	}
	if err := afford(b, held, r); err != nil {
		return nil, err
	}
	m, err := decode(b)
	if err != nil {
		return nil, err
	}
	if r.Redact != nil {
		if err := r.Redact.apply(m); err != nil {
			return nil, err
		}
	}
	if r.Crop != nil {
		m = r.Crop.apply(m)
	}
	switch {
	case r.Zoom != nil:
		m = r.Zoom.apply(m)
	case r.Fit != nil:
		m = r.Fit.apply(m)
	}
	if r.Tone != nil {
		r.Tone.apply(m)
	}
	if r.Bar != nil {
		m = r.Bar.apply(m)
	}
	return encode(m, r.Quality)
}

// encode writes pixels and nothing else: baseline, chroma at half the resolution.
func encode(m *image.YCbCr, quality int) ([]byte, error) {
	var b pieces
	if err := jpeg.Encode(&b, m, &jpeg.Options{Quality: quality}); err != nil {
		return nil, err
	}
	return bytes.Join(b.full, nil), nil
}

// pieces takes [MaxDerived] bytes, and allocates them once.
type pieces struct {
	full [][]byte // all but the last are full
	left int
}

const pieceSize = 64 << 10

var errLong = fmt.Errorf("%w: the derived picture is longer than %d bytes: want less quality, or a smaller one", ErrMemory, MaxDerived)

func (p *pieces) Write(b []byte) (int, error) {
	for i, c := range b {
		if err := p.WriteByte(c); err != nil {
			return i, err
		}
	}
	return len(b), nil
}

func (p *pieces) WriteByte(c byte) error {
	if p.left == 0 {
		if len(p.full) == MaxDerived/pieceSize {
			return errLong
		}
		p.full, p.left = append(p.full, make([]byte, 0, pieceSize)), pieceSize
	}
	last := len(p.full) - 1
	p.full[last] = append(p.full[last], c)
	p.left--
	return nil
}

// Flush makes this a writer that the encoder needs no buffer for.
func (p *pieces) Flush() error { return nil }

// codec compares the decoder and encoder that this program was built with to those of
// [Version]: another version of Go may have others, and whatever they made would
// agree with no picture that the centre has signed.
var codec = sync.OnceValue(func() error {
	m := image.NewYCbCr(image.Rect(0, 0, 61, 47), image.YCbCrSubsampleRatio420)
	state := uint32(1)
	for _, plane := range [][]byte{m.Y, m.Cb, m.Cr} {
		for i := range plane {
			state = state*1664525 + 1013904223
			plane[i] = byte(i*3) ^ byte(state>>28)
		}
	}
	h := sha256.New()
	for _, quality := range []int{60, 90} {
		b, err := encode(m, quality)
		if err != nil {
			return err
		}
		h.Write(b)
		if m, err = decode(b); err != nil {
			return err
		}
		h.Write(m.Y)
		h.Write(m.Cb)
		h.Write(m.Cr)
	}
	if got := evidence.Hash(h.Sum(nil)); got.String() != codecHash {
		return fmt.Errorf("%w: this program's JPEG codec is not that of version %d (%v)", ErrVersion, Version, got)
	}
	return nil
})

// codecHash is what the codec of [Version] makes: image/jpeg of Go 1.26.
const codecHash = "d864d74f460bd55da2ad834f8f80f1df53d300ab147cd9287e191aee142166cb"
