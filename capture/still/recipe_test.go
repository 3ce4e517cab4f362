package still

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"ciglio/capture"
)

func TestRecipesHaveOneSpelling(t *testing.T) {
	for name, r := range goldens(t) {
		b, err := r.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		got, err := ParseRecipe(b)
		if err != nil || !reflect.DeepEqual(normal(got), normal(r)) {
			t.Errorf("%s: read %+v, %v; want %+v", name, got, err, r)
		}
		for i := range b {
			if _, err := ParseRecipe(b[:i]); !errors.Is(err, ErrRecipe) {
				t.Errorf("%s: %d of %d bytes were read: %v", name, i, len(b), err)
			}
		}
		if _, err := ParseRecipe(append(bytes.Clone(b), 0)); !errors.Is(err, ErrRecipe) {
			t.Errorf("%s: a byte too many was read", name)
		}
	}
}

// normal has no difference between no polygons and none.
func normal(r *Recipe) *Recipe {
	c := *r
	if d := r.Redact; d != nil {
		c.Redact = &Redaction{append([]Polygon{}, d.Keep...), append([]Polygon{}, d.Hide...)}
	}
	return &c
}

// The worked example of docs/stills.md.
func TestWorkedExample(t *testing.T) {
	b, err := Plate(Crop{115, 115, 42, 18}, Zoom{7, 2}, Tone{150, 140}).Marshal()
	if err != nil {
		t.Fatal(err)
	}
	want := "\xa4\x01\x01\x02\x01\x03\x83" +
		"\xa5\x01\x02\x02\x18\x73\x03\x18\x73\x04\x18\x2a\x05\x12" +
		"\xa3\x01\x03\x02\x07\x03\x02" +
		"\xa3\x01\x05\x02\x18\x96\x03\x18\x8c" +
		"\x04\x18\x5f"
	if string(b) != want {
		t.Errorf("recipe is %x, want %x", b, want)
	}
}

func TestRecipesThatAreRefused(t *testing.T) {
	triangle := []Polygon{{{0, 0}, {9, 0}, {9, 9}}}
	many := func(n int) (p Polygon) {
		for i := range n {
			p = append(p, Point{uint16(i), uint16(i % 7)})
		}
		return p
	}
	item := Item{"limit", "Limite", "50,00 km/h"}
	for _, c := range []struct {
		name string
		r    Recipe
		ok   bool
	}{
		{"no step", Recipe{}, true},
		{"quality 0", Recipe{Quality: -1}, false},
		{"quality 101", Recipe{Quality: 101}, false},
		{"code 0", Recipe{Code: -1}, false},
		{"no outline", Recipe{Redact: &Redaction{}}, false},
		{"a triangle", Recipe{Redact: &Redaction{Keep: triangle}}, true},
		{"two points", Recipe{Redact: &Redaction{Keep: []Polygon{{{0, 0}, {9, 9}}}}}, false},
		{"128 points", Recipe{Redact: &Redaction{Keep: []Polygon{many(128)}}}, true},
		{"129 points", Recipe{Redact: &Redaction{Keep: []Polygon{many(129)}}}, false},
		{"a point too far", Recipe{Redact: &Redaction{Keep: triangle, Hide: []Polygon{{{0, 0}, {9, 0}, {9, capture.MaxDimension + 1}}}}}, false},
		{"an empty crop", Recipe{Crop: &Crop{0, 0, 0, 5}}, false},
		{"zoom by 1", Recipe{Zoom: &Zoom{1, 1}}, false},
		{"zoom not in lowest terms", Recipe{Zoom: &Zoom{4, 2}}, false},
		{"zoom by 33", Recipe{Zoom: &Zoom{33, 1}}, false},
		{"zoom by 0", Recipe{Zoom: &Zoom{0, 1}}, false},
		{"zoom and fit", Recipe{Zoom: &Zoom{2, 1}, Fit: &Fit{9, 9}}, false},
		{"fit into nothing", Recipe{Fit: &Fit{0, 9}}, false},
		{"a tone that changes nothing", Recipe{Tone: &Tone{100, 100}}, false},
		{"contrast 9", Recipe{Tone: &Tone{9, 100}}, false},
		{"gamma 501", Recipe{Tone: &Tone{100, 501}}, false},
		{"bar without items", Recipe{Bar: &Bar{Language: "it"}}, false},
		{"bar in no language", Recipe{Bar: &Bar{Language: "xx", Items: []Item{item}}}, false},
		{"bar with an item twice", Recipe{Bar: &Bar{Language: "it", Items: []Item{item, item}}}, false},
		{"bar with a line break", Recipe{Bar: &Bar{Language: "it", Items: []Item{{"limit", "Limite", "50\n70"}}}}, false},
		{"bar", Recipe{Bar: &Bar{Language: "it", Items: []Item{item}}}, true},
		{"a bar too long", Recipe{Bar: &Bar{Language: "it", Items: []Item{{"limit", "Limite", strings.Repeat("9", 1025)}}}}, false},
	} {
		if c.r.Code++; c.r.Code != 0 { // what a row does not set is in order
			c.r.Code = Version
		}
		if c.r.Quality == 0 {
			c.r.Quality = 90
		}
		b, err := c.r.Marshal()
		if (err == nil) != c.ok || err != nil && !errors.Is(err, ErrRecipe) {
			t.Errorf("%s: %x, %v", c.name, b, err)
		}
	}
}

// Recipes that are in order, and do not fit this source of 320 by 200.
func TestRecipesThatDoNotFitTheirSource(t *testing.T) {
	o := open(t, sceneJPEG(t, 320, 200), Rear)
	for _, c := range []struct {
		name string
		r    *Recipe
		want error
	}{
		{"crop to the edge", Plate(Crop{300, 180, 20, 20}, Zoom{1, 1}, Tone{100, 100}), nil},
		{"crop beyond the edge", Plate(Crop{300, 180, 21, 20}, Zoom{1, 1}, Tone{100, 100}), ErrRecipe},
		{"crop below the edge", Plate(Crop{300, 180, 20, 21}, Zoom{1, 1}, Tone{100, 100}), ErrRecipe},
		{"enlarged beyond reason", &Recipe{Code: Version, Zoom: &Zoom{9, 1}, Quality: 90}, ErrRecipe},
		{"a strip beyond what a picture may be", &Recipe{Code: Version, Crop: &Crop{0, 0, 300, 1}, Zoom: &Zoom{28, 1}, Quality: 90}, ErrRecipe},
		{"as large as may be", &Recipe{Code: Version, Zoom: &Zoom{31, 4}, Quality: 90}, nil},
		{"smaller than a pixel", Plate(Crop{0, 0, 9, 9}, Zoom{1, 10}, Tone{100, 100}), ErrRecipe},
		{"bar below a narrow picture", &Recipe{Code: Version, Fit: &Fit{159, 159}, Bar: recordBar(t, "it"), Quality: 90}, ErrRecipe},
		{"bar below one just wide enough", &Recipe{Code: Version, Fit: &Fit{160, 160}, Bar: recordBar(t, "it"), Quality: 90}, nil},
		{"outline beyond the edge", &Recipe{Code: Version, Redact: &Redaction{Keep: []Polygon{{{0, 0}, {321, 0}, {0, 100}}}}, Quality: 90}, ErrRecipe},
	} {
		if _, err := c.r.fits(o.Size()); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
		if c.want == nil {
			continue
		}
		if _, err := o.Review(c.r); !errors.Is(err, c.want) {
			t.Errorf("%s, rendered: %v, want %v", c.name, err, c.want)
		}
	}
}

// FuzzRecipe: what is read has no other spelling.
func FuzzRecipe(f *testing.F) {
	files, err := filepath.Glob(filepath.Join("testdata", "*.cbor"))
	if err != nil || len(files) == 0 {
		f.Fatal("no recipes in testdata", err)
	}
	for _, path := range files {
		b, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := ParseRecipe(b)
		if err != nil {
			return
		}
		if again, err := r.Marshal(); err != nil || !bytes.Equal(again, b) {
			t.Errorf("a second spelling of one recipe was read: %x, %x, %v", b, again, err)
		}
	})
}
