package still

import (
	"archive/zip"
	"bytes"
	"errors"
	"image"
	"image/jpeg"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"ciglio/capture"
	"ciglio/sensor/sensortest/recording"
)

// allocated is how many bytes f allocates, all in all: more than what is in use at any
// time, and the same on every run.
func allocated(f func()) int {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return int(after.TotalAlloc - before.TotalAlloc)
}

// heavy are recipes that take most.
func heavy(t testing.TB) []*Recipe {
	return []*Recipe{
		Thumbnail(maxFit, maxFit),
		{Code: Version, Bar: recordBar(t, "it"), Quality: 100},
		{Code: Version, Zoom: &Zoom{31, 32}, Bar: recordBar(t, "de"), Quality: 100},
	}
}

// derive renders a hostile file by each recipe. It returns how many pictures came of
// it, and the most memory that one took with its source.
func derive(t testing.TB, name string, source []byte, recipes []*Recipe) (made, most int) {
	t.Helper()
	for i, r := range recipes {
		used := allocated(func() {
			o, err := Open(source, Rear)
			var p *Reviewed
			if err == nil {
				p, err = o.Review(r)
			}
			switch {
			case err == nil:
				made++
				if _, _, err := capture.CheckJPEG(p.Bytes()); err != nil {
					t.Errorf("%s, recipe %d: the derived picture is none: %v", name, i, err)
				}
			case !errors.Is(err, ErrSource) && !errors.Is(err, ErrMemory) && !errors.Is(err, ErrRecipe):
				t.Errorf("%s, recipe %d: %v is no named error", name, i, err)
			}
		})
		most = max(most, used+len(source))
		if used+len(source) > MaxMemory {
			t.Errorf("%s, recipe %d: %d bytes were allocated for a source of %d, want at most %d with it", name, i, used, len(source), MaxMemory)
		}
	}
	return made, most
}

func TestHostileFilesTakeBoundedMemory(t *testing.T) {
	recipes := heavy(t)
	if err := codec(); err != nil { // once, before memory is measured
		t.Fatal(err)
	}
	files, made, most := 0, 0, 0
	for _, archive := range []string{"jpeg-a", "png-a", "gif-a", "tiff-a", "webp-a", "bmp-a", "afl-jpeg-full-a"} {
		name := "hostile/go-fuzz-corpus-" + archive + ".zip"
		if strings.HasPrefix(archive, "afl") {
			name = "hostile/" + archive + ".zip"
		}
		z, err := zip.OpenReader(recording.Path(t, name))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range z.File {
			if f.FileInfo().IsDir() {
				continue
			}
			r, err := f.Open()
			if err != nil {
				t.Fatal(err)
			}
			b, err := io.ReadAll(io.LimitReader(r, 4<<20))
			if err != nil {
				t.Fatal(err)
			}
			r.Close()
			files++
			n, used := derive(t, archive+" "+f.Name, b, recipes)
			made, most = made+n, max(most, used)
		}
		z.Close()
	}
	if files < 1000 || made == 0 {
		t.Errorf("%d files, %d pictures: want more", files, made)
	}
	t.Logf("%d files, %d pictures, at most %d bytes", files, made, most)
}

// Files that are in order and claim much.
func TestLargePicturesTakeBoundedMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("decodes and encodes large pictures: several seconds")
	}
	if err := codec(); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name       string
		wide, high int
		frame      byte // marker of the frame header
		sampling   byte // of luminance
		behind     int  // bytes behind the end
		made       bool // by the second recipe, the data bar
	}{
		{"4K", 3840, 2160, 0xC0, 0x22, 0, true},
		{"12 million pixels, as large cameras have", 4000, 3000, 0xC0, 0x22, 0, true},
		{"the same without subsampling", 4000, 3000, 0xC0, 0x11, 0, false},
		{"as large as a frame may be", 8192, 4880, 0xC0, 0x22, 0, false},
		{"a column", 1, 8192, 0xC0, 0x22, 0, false},
		{"a row", 8192, 1, 0xC0, 0x22, 0, true},
		{"progressive, 1080 lines", 1920, 1080, 0xC2, 0x22, 0, true},
		{"progressive, 4K", 3840, 2160, 0xC2, 0x22, 0, false},
		{"much behind the end", 3840, 2160, 0xC0, 0x22, 15 << 20, true},
		{"more behind than there is room", 4000, 3000, 0xC0, 0x22, 15 << 20, false},
	} {
		b := claimed(t, c.wide, c.high, c.frame, c.sampling)
		b = append(b, make([]byte, c.behind)...)
		if _, _, _, err := capture.InspectJPEG(b); err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		made, most := derive(t, c.name, b, heavy(t)[1:2])
		if (made == 1) != c.made {
			t.Errorf("%s: made is %d, want %v", c.name, made, c.made)
		}
		if c.behind == 0 {
			_, small := derive(t, c.name, b, heavy(t)[:1])
			most = max(most, small)
		}
		t.Logf("%s: at most %d bytes", c.name, most)
	}
}

// claimed returns a grey picture of that size: tables and headers of a small one, and
// the shortest codes for every block.
func claimed(t testing.TB, wide, high int, frame, sampling byte) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := jpeg.Encode(&b, image.NewYCbCr(image.Rect(0, 0, 16, 16), image.YCbCrSubsampleRatio420), nil); err != nil {
		t.Fatal(err)
	}
	out := bytes.Clone(b.Bytes())
	at := bytes.Index(out, []byte{0xFF, 0xC0})
	out[at+1], out[at+11] = frame, sampling
	out[at+5], out[at+6], out[at+7], out[at+8] = byte(high>>8), byte(high), byte(wide>>8), byte(wide)
	scan := bytes.Index(out, []byte{0xFF, 0xDA})
	out = out[: scan+14 : scan+14]
	if frame == 0xC2 { // the first coefficients alone
		out[len(out)-2] = 0
	}
	across, down := int(sampling>>4), int(sampling&15)
	units := ((wide + 8*across - 1) / (8 * across)) * ((high + 8*down - 1) / (8 * down))
	// The Annex K tables code "no difference, nothing more" in 6 bits for luminance and
	// 4 for chroma; of a progressive picture's first scan in 2 each.
	var w bits
	for range units {
		for range across * down {
			w.add(0b00, 2)
			if frame == 0xC0 {
				w.add(0b1010, 4)
			}
		}
		for range 2 {
			w.add(0b00, 2)
			if frame == 0xC0 {
				w.add(0b00, 2)
			}
		}
	}
	return append(append(out, w.bytes()...), 0xFF, 0xD9)
}

type bits struct {
	out []byte
	acc uint32
	n   int
}

func (w *bits) add(v uint32, n int) {
	w.acc, w.n = w.acc<<n|v, w.n+n
	for w.n >= 8 {
		w.n -= 8
		w.out = append(w.out, byte(w.acc>>w.n))
		if w.out[len(w.out)-1] == 0xFF {
			w.out = append(w.out, 0)
		}
	}
}

func (w *bits) bytes() []byte {
	for w.n > 0 {
		w.add(1, 1)
	}
	return w.out
}

// FuzzDerive: no bytes make a panic, and what is made of any is a picture within its
// bounds.
func FuzzDerive(f *testing.F) {
	recipes, err := filepath.Glob(filepath.Join("testdata", "*.cbor"))
	if err != nil || len(recipes) == 0 {
		f.Fatal("no recipes in testdata", err)
	}
	source := sceneJPEG(f, 176, 24) // small: most of the time goes into pixels
	for _, path := range recipes {
		b, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(source, b)
	}
	f.Add(source, []byte{0xa4, 1, 1, 2, 1, 3, 0x82, 0xa3, 1, 3, 2, 7, 3, 2, 0xa3, 1, 5, 2, 0x18, 0x96, 3, 0x18, 0x8c, 4, 1})
	f.Add(marked(source, []byte("behind"), segment(0xE1, []byte("Exif"))), []byte{0xa4, 1, 1, 2, 1, 3, 0x80, 4, 1})
	f.Fuzz(func(t *testing.T, source, recipe []byte) {
		r, err := ParseRecipe(recipe)
		if err != nil {
			return
		}
		o, err := Open(source, Unknown)
		if err != nil {
			return
		}
		p, err := o.Review(r)
		if err != nil {
			return
		}
		if _, _, err := capture.CheckJPEG(p.Bytes()); err != nil || len(p.Bytes()) > MaxDerived {
			t.Errorf("the derived picture, %d bytes: %v", len(p.Bytes()), err)
		}
	})
}
