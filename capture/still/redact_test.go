package still

import (
	"bytes"
	"encoding/binary"
	"image"
	"image/color"
	"image/jpeg"
	"math/rand/v2"
	"testing"
)

var ratios = []image.YCbCrSubsampleRatio{
	image.YCbCrSubsampleRatio444, image.YCbCrSubsampleRatio422, image.YCbCrSubsampleRatio420,
	image.YCbCrSubsampleRatio440, image.YCbCrSubsampleRatio411, image.YCbCrSubsampleRatio410,
}

// inside decides by the definition whether the middle of a pixel lies within a line:
// the turns of the line round it, counted along a ray to the left. It shares nothing
// with what is tested but the definition.
func inside(line Polygon, x, y int) (turns int) {
	px, py := int64(2*x+1), int64(2*y+1)
	for i, b := range line {
		a := line[(i+len(line)-1)%len(line)]
		ax, ay, bx, by := int64(2*a.X), int64(2*a.Y), int64(2*b.X), int64(2*b.Y)
		side := (bx-ax)*(py-ay) - (by-ay)*(px-ax)
		switch {
		case ay < py && py < by && side <= 0: // the edge goes down, left of the middle or through it
			turns++
		case by < py && py < ay && side >= 0:
			turns--
		}
	}
	return turns
}

func (d *Redaction) shows(x, y int) bool {
	seen := false
	for _, line := range d.Keep {
		seen = seen || inside(line, x, y)%2 != 0
	}
	for _, line := range d.Hide {
		seen = seen && inside(line, x, y) == 0
	}
	return seen
}

// anyRedaction is a random one, its lines crossing themselves and each other.
func anyRedaction(rng *rand.Rand, wide, high int) *Redaction {
	lines := func(n int) (all []Polygon) {
		for range n {
			var line Polygon
			for range 3 + rng.IntN(6) {
				line = append(line, Point{uint16(rng.IntN(wide + 1)), uint16(rng.IntN(high + 1))})
			}
			all = append(all, line)
		}
		return all
	}
	return &Redaction{lines(1 + rng.IntN(3)), lines(rng.IntN(3))}
}

func anyPlanes(rng *rand.Rand, wide, high int, ratio image.YCbCrSubsampleRatio) *image.YCbCr {
	m := image.NewYCbCr(image.Rect(0, 0, wide, high), ratio)
	for _, plane := range [][]byte{m.Y, m.Cb, m.Cr} {
		for i := range plane {
			plane[i] = byte(rng.Uint32())
		}
	}
	return m
}

// TestHiddenPixelsHaveNoInfluence is the proof that redaction cannot be undone: the
// derived bytes are the same whatever stood outside of the outline, so they say
// nothing of it. It holds for pixels and for the chroma that is shared with them, in
// every layout of a JPEG, for lines of any shape, alone and before all other steps.
func TestHiddenPixelsHaveNoInfluence(t *testing.T) {
	rng := rand.New(rand.NewPCG(14, 2))
	tried := 0
	for round := range 240 {
		ratio := ratios[round%len(ratios)]
		wide, high := 17+rng.IntN(60), 17+rng.IntN(60)
		d := anyRedaction(rng, wide, high)
		one := anyPlanes(rng, wide, high, ratio)
		two := image.NewYCbCr(one.Rect, ratio)
		copy(two.Y, one.Y)
		copy(two.Cb, one.Cb)
		copy(two.Cr, one.Cr)
		hidden, taken := 0, 0
		alone := Redaction{Keep: d.Keep}
		for y := range high {
			for x := range wide {
				if !d.shows(x, y) {
					if alone.shows(x, y) {
						taken++
					}
					hidden++
					two.Y[two.YOffset(x, y)] = byte(rng.Uint32())
					two.Cb[two.COffset(x, y)] = byte(rng.Uint32())
					two.Cr[two.COffset(x, y)] = byte(rng.Uint32())
				}
			}
		}
		before := image.NewYCbCr(one.Rect, ratio)
		copy(before.Y, one.Y)
		if hidden == wide*high || hidden < wide*high/9 || len(d.Hide) > 0 && taken == 0 {
			if err := d.apply(one); err == nil && hidden == wide*high {
				t.Fatalf("round %d: an outline of nothing was taken", round)
			}
			continue
		}
		tried++
		if err := d.apply(one); err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		if err := d.apply(two); err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		if !bytes.Equal(one.Y, two.Y) || !bytes.Equal(one.Cb, two.Cb) || !bytes.Equal(one.Cr, two.Cr) {
			t.Fatalf("round %d: hidden pixels have an influence: ratio %v, %d by %d, %+v", round, ratio, wide, high, d)
		}
		for y := range high { // and what is shown is shown
			for x := range wide {
				got, want := one.Y[one.YOffset(x, y)], byte(neutral)
				if d.shows(x, y) {
					want = before.Y[before.YOffset(x, y)]
				}
				if got != want {
					t.Fatalf("round %d: pixel %d, %d is %d, want %d", round, x, y, got, want)
				}
			}
		}
	}
	if tried < 150 {
		t.Errorf("%d redactions were tried, want 150", tried)
	}
}

// The same on files: whatever a camera saw in the blocks of 16 by 16 pixels that the
// outline does not touch, the derived file is the same. In a block that it runs
// through the camera's own compression has mixed what it saw on both sides.
func TestHiddenBlocksOfAFileHaveNoInfluence(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 8))
	first := scene(320, 200)
	keep := Polygon{{100, 66}, {190, 70}, {182, 150}, {91, 140}}
	hide := Polygon{{112, 82}, {160, 82}, {160, 98}, {112, 98}}
	d := &Redaction{Keep: []Polygon{keep}, Hide: []Polygon{hide}}
	for name, r := range map[string]*Recipe{
		"alone":    {Code: Version, Redact: d, Quality: PictureQuality},
		"with bar": {Code: Version, Redact: d, Bar: recordBar(t, "it"), Quality: PictureQuality},
		"cropped":  {Code: Version, Redact: d, Crop: &Crop{61, 41, 180, 130}, Zoom: &Zoom{3, 2}, Tone: &Tone{130, 120}, Quality: PlateQuality},
		"small":    {Code: Version, Redact: d, Fit: &Fit{150, 150}, Quality: ThumbnailQuality},
	} {
		var want []byte
		for round := range 4 {
			m := image.NewRGBA(first.Rect)
			copy(m.Pix, first.Pix)
			changed := 0
			for by := 0; by < 200; by += 16 {
				for bx := 0; bx < 320; bx += 16 {
					touched := false
					for y := by; y < min(by+16, 200); y++ {
						for x := bx; x < bx+16; x++ {
							touched = touched || d.shows(x, y)
						}
					}
					if touched || round == 0 {
						continue
					}
					changed++
					for y := by; y < min(by+16, 200); y++ {
						for x := bx; x < bx+16; x++ {
							m.SetRGBA(x, y, color.RGBA{byte(rng.Uint32()), byte(rng.Uint32()), byte(rng.Uint32()), 255})
						}
					}
				}
			}
			var b bytes.Buffer
			if err := jpeg.Encode(&b, m, &jpeg.Options{Quality: 92}); err != nil {
				t.Fatal(err)
			}
			p, err := open(t, b.Bytes(), Front).Redact(r)
			switch {
			case err != nil:
				t.Fatalf("%s: %v", name, err)
			case round == 0:
				want = p.Bytes()
			case changed < 100:
				t.Fatalf("%s: %d blocks were changed", name, changed)
			case !bytes.Equal(p.Bytes(), want):
				t.Errorf("%s: what stood in %d hidden blocks has an influence", name, changed)
			}
		}
	}
}

// marked returns a JPEG with segments put behind its start, and bytes behind its end.
func marked(source []byte, behind []byte, segments ...[]byte) []byte {
	b := bytes.Clone(source[:2])
	for _, s := range segments {
		b = append(b, s...)
	}
	b = append(b, source[2:]...)
	return append(b, behind...)
}

func segment(mark byte, data []byte) []byte {
	b := binary.BigEndian.AppendUint16([]byte{0xFF, mark}, uint16(len(data)+2))
	return append(b, data...)
}

// What a file holds beside its pixels does not survive: not one byte of it has an
// influence.
func TestNothingButPixelsSurvives(t *testing.T) {
	plain := sceneJPEG(t, 320, 200)
	thumbnail := sceneJPEG(t, 96, 60)
	exif := append([]byte("Exif\x00\x00II*\x00\x08\x00\x00\x00\x00\x00\x00\x00\x00\x00"), thumbnail...)
	xmp := []byte("http://ns.adobe.com/xap/1.0/\x00<x:xmpmeta>GPS 41.4, 12.9</x:xmpmeta>")
	recipes := goldens(t)
	for name, source := range map[string][]byte{
		"EXIF with thumbnail": marked(plain, nil, segment(0xE1, exif)),
		"XMP":                 marked(plain, nil, segment(0xE1, xmp)),
		"comment":             marked(plain, nil, segment(0xFE, []byte("plate ZZ 123 ZZ"))),
		"ICC profile":         marked(plain, nil, segment(0xE2, append([]byte("ICC_PROFILE\x00\x01\x01"), make([]byte, 500)...))),
		"fill bytes":          marked(plain, nil, []byte{0xFF, 0xFF}, segment(0xFE, nil)),
		"a second picture":    marked(plain, thumbnail),
		"zeros behind":        marked(plain, make([]byte, 4096)),
		"text behind":         marked(plain, []byte("plate ZZ 123 ZZ")),
		"all of it":           marked(plain, thumbnail, segment(0xE1, exif), segment(0xE1, xmp), segment(0xFE, []byte("x"))),
	} {
		for kind, r := range recipes {
			if kind != "redacted" && name != "all of it" {
				continue // what is decoded is the same for all
			}
			want, err := open(t, plain, Rear).Review(r)
			if err != nil {
				t.Fatal(err)
			}
			got, err := open(t, source, Rear).Review(r)
			switch {
			case err != nil:
				t.Errorf("%s, %s: %v", name, kind, err)
			case !bytes.Equal(got.Bytes(), want.Bytes()):
				t.Errorf("%s, %s: what is no pixel has an influence", name, kind)
			case got.Source() == want.Source():
				t.Errorf("%s, %s: two sources of one hash", name, kind)
			}
			if kind == "redacted" {
				onlyPixels(t, name, got.Bytes())
			}
		}
	}
}

// onlyPixels walks the segments of a derived picture: tables, frame, scan, and the
// end as the last bytes.
func onlyPixels(t *testing.T, name string, b []byte) {
	t.Helper()
	at, scan := 2, false
	for !scan {
		mark := b[at+1]
		switch mark {
		case 0xDB, 0xC0, 0xC4:
		case 0xDA:
			scan = true
		default:
			t.Errorf("%s: a segment %#02x in the derived picture", name, mark)
		}
		at += 2 + int(binary.BigEndian.Uint16(b[at+2:]))
	}
	if end := bytes.Index(b[at:], []byte{0xFF, 0xD9}); at+end+2 != len(b) {
		t.Errorf("%s: bytes behind the end of the derived picture", name)
	}
}
