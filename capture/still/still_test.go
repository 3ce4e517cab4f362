package still

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"ciglio/capture/evidence"
	"ciglio/sensor"
)

var update = flag.Bool("update", false, "rewrite the golden pictures: a decision, see Version")

// scene draws a road with a car that was measured, one that was not, and a person.
func scene(wide, high int) *image.RGBA {
	m := image.NewRGBA(image.Rect(0, 0, wide, high))
	box := func(x0, y0, x1, y1 int, c color.RGBA) {
		for y := y0 * high / 200; y < y1*high/200; y++ {
			for x := x0 * wide / 320; x < x1*wide/320; x++ {
				m.SetRGBA(x, y, c)
			}
		}
	}
	for y := range high {
		for x := range wide {
			v := uint8(x*7^y*13) % 16
			m.SetRGBA(x, y, color.RGBA{90 + v, 90 + v, 95 + v, 255})
			if y < high/3 {
				m.SetRGBA(x, y, color.RGBA{120 + uint8(y%64), 150 + uint8(y%64), 220, 255})
			}
		}
	}
	for _, car := range []struct {
		x, y int
		c    color.RGBA
	}{{100, 80, color.RGBA{170, 40, 40, 255}}, {230, 60, color.RGBA{40, 60, 170, 255}}} {
		box(car.x, car.y, car.x+70, car.y+60, car.c)
		box(car.x+8, car.y+6, car.x+62, car.y+24, color.RGBA{40, 45, 50, 255})
		box(car.x+22, car.y+40, car.x+48, car.y+48, color.RGBA{240, 240, 235, 255})
		for i := range 5 { // what stands for letters
			box(car.x+24+5*i, car.y+42, car.x+26+5*i, car.y+46, color.RGBA{20, 20, 30, 255})
		}
	}
	box(40, 90, 50, 130, color.RGBA{220, 170, 130, 255})
	return m
}

// sceneJPEG is the scene as a camera gives it.
func sceneJPEG(t testing.TB, wide, high int) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := jpeg.Encode(&b, scene(wide, high), &jpeg.Options{Quality: 85}); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func open(t testing.TB, b []byte, f Facing) *Original {
	t.Helper()
	o, err := Open(b, f)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// outline of the measured car in a scene of 320 by 200, and its windscreen.
var outline = Redaction{
	Keep: []Polygon{{{98, 78}, {173, 76}, {175, 143}, {96, 141}}},
	Hide: []Polygon{{{105, 84}, {165, 84}, {165, 106}, {105, 106}}},
}

// sample is a bundle of the evidence's test vectors, and what it is trusted by.
func sample(t testing.TB, name string) (*evidence.Sealed, [][]byte, *evidence.Trust) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "evidence", "testdata", "valid", name))
	if err != nil {
		t.Fatal(err)
	}
	bundle, err := evidence.ReadBundle(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	record, err := evidence.Open(bundle.Record)
	if err != nil {
		t.Fatal(err)
	}
	pem, err := os.ReadFile(filepath.Join("..", "evidence", "testdata", "trust.pem"))
	if err != nil {
		t.Fatal(err)
	}
	trust, err := evidence.ParseTrust(pem)
	if err != nil {
		t.Fatal(err)
	}
	return record, bundle.Frames, trust
}

// testSigner has a PUBLIC TEST KEY of the evidence's vectors.
func testSigner(t testing.TB, name string) evidence.Signer {
	t.Helper()
	scalar := sha256.Sum256([]byte("ciglio test key, not secret: " + name))
	key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), scalar[:])
	if err != nil {
		t.Fatal(err)
	}
	s, err := evidence.NewSigner(key)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func recordBar(t testing.TB, language string) *Bar {
	t.Helper()
	record, _, _ := sample(t, "violation.zip")
	bar, err := BarOf(record.Record, 1, language)
	if err != nil {
		t.Fatal(err)
	}
	return bar
}

// goldens are one recipe of each kind, and one of all steps.
func goldens(t testing.TB) map[string]*Recipe {
	return map[string]*Recipe{
		"thumbnail": Thumbnail(120, 120),
		"plate":     Plate(Crop{115, 115, 42, 18}, Zoom{7, 2}, Tone{150, 140}),
		"reduced":   {Code: Version, Zoom: &Zoom{5, 7}, Quality: PictureQuality},
		"redacted":  {Code: Version, Redact: &outline, Quality: PictureQuality},
		"bar":       {Code: Version, Bar: recordBar(t, "it"), Quality: 40},
		"together": {Code: Version, Redact: &outline, Crop: &Crop{81, 61, 121, 99}, Zoom: &Zoom{9, 4}, Tone: &Tone{120, 80},
			Bar: recordBar(t, "de"), Quality: 40},
	}
}

// The golden pictures say that a program makes the same bytes as every one before it,
// on every processor it is tested on. The source lies beside them.
func TestGoldenPictures(t *testing.T) {
	path := filepath.Join("testdata", "source.jpg")
	if *update {
		if err := os.WriteFile(path, sceneJPEG(t, 320, 200), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	source, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	o := open(t, source, Rear)
	for name, r := range goldens(t) {
		p, err := o.Review(r)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for _, f := range []struct {
			path string
			data []byte
		}{{name + ".jpg", p.Bytes()}, {name + ".cbor", p.Recipe()}} {
			path := filepath.Join("testdata", f.path)
			if *update {
				if err := os.WriteFile(path, f.data, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(want, f.data) {
				t.Errorf("%s: other bytes; if that is meant, raise Version and run with -update", f.path)
			}
		}
		recipe, err := ParseRecipe(p.Recipe())
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		again, err := o.Review(recipe)
		if err != nil || again.Hash() != p.Hash() {
			t.Errorf("%s: the recipe that was read makes %v, %v; want %v", name, again, err, p)
		}
	}
}

func TestCodecIsThatOfTheVersion(t *testing.T) {
	if err := codec(); err != nil {
		t.Errorf("%v: raise Version, and say in docs/stills.md which program renders the one before", err)
	}
}

func TestARecipeOfAnotherVersionIsRefused(t *testing.T) {
	r := Thumbnail(64, 64)
	r.Code = Version + 1
	if _, err := open(t, sceneJPEG(t, 320, 200), Rear).Review(r); !errors.Is(err, ErrVersion) {
		t.Errorf("error is %v, want ErrVersion", err)
	}
}

func TestWhatIsShownOutsideReviewIsRedacted(t *testing.T) {
	source := sceneJPEG(t, 320, 200)
	keep := &Redaction{Keep: outline.Keep}
	whole := &Redaction{Keep: []Polygon{{{0, 0}, {320, 0}, {320, 200}, {0, 200}}}}
	nearly := &Redaction{Keep: []Polygon{{{0, 0}, {320, 0}, {320, 181}, {0, 181}}}}
	beside := &Redaction{Keep: outline.Keep, Hide: []Polygon{{{0, 0}, {9, 0}, {9, 9}}}}
	most := &Redaction{Keep: []Polygon{{{0, 0}, {320, 0}, {320, 180}, {0, 180}}}}
	nothing := &Redaction{Keep: []Polygon{{{5, 5}, {6, 5}, {5, 5}}}}
	for _, c := range []struct {
		name   string
		facing Facing
		redact *Redaction
		want   error
	}{
		{"rear, vehicle alone", Rear, keep, nil},
		{"rear, and its window hidden", Rear, &outline, nil},
		{"front, windscreen hidden", Front, &outline, nil},
		{"front, windscreen open", Front, keep, ErrUnredacted},
		{"front, something else hidden", Front, beside, ErrUnredacted},
		{"rear, something else hidden", Rear, beside, ErrUnredacted},
		{"a side that is not known counts as the front", Unknown, keep, ErrUnredacted},
		{"rear without outline", Rear, nil, ErrUnredacted},
		{"front without outline", Front, nil, ErrUnredacted},
		{"an outline of the whole picture", Rear, whole, ErrUnredacted},
		{"of more than nine tenths", Rear, nearly, ErrUnredacted},
		{"of nine tenths", Rear, most, nil},
		{"of nothing", Rear, nothing, ErrRecipe},
	} {
		o := open(t, source, c.facing)
		r := &Recipe{Code: Version, Redact: c.redact, Quality: PictureQuality}
		p, err := o.Redact(r)
		if !errors.Is(err, c.want) || (err == nil) != (p != nil) {
			t.Errorf("%s: %v, %v; want %v", c.name, p, err, c.want)
		}
		if p == nil {
			continue
		}
		if p.Source() != sha256.Sum256(source) || p.Hash() != sha256.Sum256(p.Bytes()) {
			t.Errorf("%s: hashes %v of %v are not those of the bytes", c.name, p.Hash(), p.Source())
		}
		if again, err := RecallRedacted(o.Hash(), c.facing, r, p.Hash(), p.Bytes()); err != nil || again.Source() != p.Source() {
			t.Errorf("%s: recalled %v, %v", c.name, again, err)
		}
		if _, err := RecallRedacted(o.Hash(), c.facing, r, p.Source(), p.Bytes()); err == nil {
			t.Errorf("%s: bytes of another hash were recalled", c.name)
		}
	}
	hash := evidence.Hash(sha256.Sum256(source))
	if _, err := RecallRedacted(hash, Rear, Thumbnail(64, 64), hash, source); !errors.Is(err, ErrUnredacted) {
		t.Errorf("the original was recalled as a redacted picture: %v", err)
	}
}

// The language itself must not turn one into the other.
func TestNoConversionMakesAPictureRedacted(t *testing.T) {
	if reflect.TypeFor[*Reviewed]().ConvertibleTo(reflect.TypeFor[*Redacted]()) || reflect.TypeFor[Reviewed]().ConvertibleTo(reflect.TypeFor[Redacted]()) {
		t.Error("a Reviewed can be converted to a Redacted")
	}
}

func TestFacing(t *testing.T) {
	for d, want := range map[sensor.Direction]bool{sensor.Approaching: true, sensor.Receding: false, sensor.DirectionUnknown: true} {
		if got := FacingOf(d).Frontal(); got != want {
			t.Errorf("%v: frontal is %v, want %v", d, got, want)
		}
	}
}

func TestNoVerbPrintsPictures(t *testing.T) {
	source := sceneJPEG(t, 320, 200)
	o := open(t, source, Rear)
	r := &Recipe{Code: Version, Redact: &outline, Quality: PictureQuality}
	reviewed, err := o.Review(r)
	if err != nil {
		t.Fatal(err)
	}
	redacted, err := o.Redact(r)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range []any{o, *o, reviewed, *reviewed, redacted, *redacted} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d"} {
			if text := fmt.Sprintf(verb, []any{v}); len(text) > 160 || !strings.Contains(text, o.Hash().String()) {
				t.Errorf("%T as %s: %.200q, want hashes", v, verb, text)
			}
		}
	}
}

func TestRenderingChangesNoSource(t *testing.T) {
	source := sceneJPEG(t, 320, 200)
	before := bytes.Clone(source)
	o := open(t, source, Rear)
	for name, r := range goldens(t) {
		if _, err := o.Review(r); err != nil || !bytes.Equal(before, source) {
			t.Errorf("%s: the source was changed, %v", name, err)
		}
	}
}

func BenchmarkRedactedWithBar(b *testing.B) {
	source := sceneJPEG(b, 1600, 900)
	o := open(b, source, Rear)
	r := &Recipe{Code: Version, Redact: &Redaction{Keep: []Polygon{{{500, 350}, {860, 350}, {860, 640}, {500, 640}}}}, Bar: recordBar(b, "it"), Quality: PictureQuality}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := o.Redact(r); err != nil {
			b.Fatal(err)
		}
	}
}
