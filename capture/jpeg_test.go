package capture

import (
	"archive/zip"
	"bytes"
	"errors"
	"image"
	"image/jpeg"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ciglio/sensor/sensortest/recording"
)

// encoded returns a real JPEG.
func encoded(t testing.TB, m image.Image) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := jpeg.Encode(&b, m, nil); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// without returns a JPEG without its segments of that marker.
func without(jpeg []byte, mark byte) []byte {
	out := bytes.Clone(jpeg[:2])
	for at := 2; ; {
		length := 2 + int(jpeg[at+2])<<8 + int(jpeg[at+3])
		if jpeg[at+1] == markSOS {
			return append(out, jpeg[at:]...)
		}
		if jpeg[at+1] != mark {
			out = append(out, jpeg[at:at+length]...)
		}
		at += length
	}
}

func TestWholePicturesPass(t *testing.T) {
	colour := image.NewYCbCr(image.Rect(0, 0, 640, 480), image.YCbCrSubsampleRatio420)
	for i := range colour.Y {
		colour.Y[i] = byte(i * i >> 7)
	}
	tests := []struct {
		name          string
		data          []byte
		width, height int
	}{
		{"colour", encoded(t, colour), 640, 480},
		{"grey", encoded(t, image.NewGray(image.Rect(0, 0, 33, 17))), 33, 17},
		{"one pixel", encoded(t, image.NewGray(image.Rect(0, 0, 1, 1))), 1, 1},
		{"padded by the camera", append(encoded(t, colour), make([]byte, 500)...), 640, 480},
		{"fill bytes before a marker", bytes.Replace(encoded(t, colour), []byte{0xFF, 0xC0}, []byte{0xFF, 0xFF, 0xFF, 0xC0}, 1), 640, 480},
	}
	for _, test := range tests {
		if w, h, err := CheckJPEG(test.data); err != nil || w != test.width || h != test.height {
			t.Errorf("%s: %d by %d, %v; want %d by %d", test.name, w, h, err, test.width, test.height)
		}
	}
}

func TestDamagedPicturesFail(t *testing.T) {
	good := encoded(t, image.NewYCbCr(image.Rect(0, 0, 64, 64), image.YCbCrSubsampleRatio420))
	frameHeader := bytes.Index(good, []byte{0xFF, 0xC0})
	scan := bytes.Index(good, []byte{0xFF, 0xDA})
	change := func(at int, b ...byte) []byte {
		c := bytes.Clone(good)
		copy(c[at:], b)
		return c
	}
	tests := []struct {
		name string
		data []byte
	}{
		{"nothing", nil},
		{"no start", good[2:]},
		{"no end", good[:len(good)-2]},
		{"ends with half a marker", good[:len(good)-1]},
		{"cut in a segment", good[:100]},
		{"cut in the scan", good[:scan+20]},
		{"two pictures run together", append(bytes.Clone(good), good...)},
		{"the start of the next picture in the scan", append(bytes.Clone(good[:scan+16]), good...)},
		{"text behind the end", append(bytes.Clone(good), "GET /"...)},
		{"no Huffman tables, as Motion JPEG may have it", without(good, 0xC4)},
		{"no quantisation tables", without(good, 0xDB)},
		{"wider than allowed", change(frameHeader+7, 0x20, 0x01)},
		{"higher than allowed", change(frameHeader+5, 0xFF, 0xFF)},
		{"no width", change(frameHeader+7, 0, 0)},
		{"no height", change(frameHeader+5, 0, 0)},
		{"twelve bits", change(frameHeader+4, 12)},
		{"two components", change(frameHeader+9, 2)},
		{"lossless coding", change(frameHeader+1, 0xC3)},
		{"arithmetic coding", change(frameHeader+1, 0xC9)},
		{"no frame header", append(bytes.Clone(good[:frameHeader]), good[frameHeader+19:]...)},
		{"frame header twice", append(append(bytes.Clone(good[:frameHeader+19]), good[frameHeader:frameHeader+19]...), good[frameHeader+19:]...)},
		{"no scan", append(bytes.Clone(good[:scan]), 0xFF, 0xD9)},
		{"segment of one byte", change(frameHeader+2, 0, 1)},
		{"segment beyond the end", change(frameHeader+2, 0xFF, 0xFF)},
	}
	for _, test := range tests {
		_, _, err := CheckJPEG(test.data)
		var at *JPEGError
		if !errors.As(err, &at) {
			t.Errorf("%s: error %v, want a place", test.name, err)
		} else if at.Offset < 0 || at.Offset > len(test.data) {
			t.Errorf("%s: place %d of %d", test.name, at.Offset, len(test.data))
		}
	}
}

func TestRealPhotographsPass(t *testing.T) {
	n := 0
	err := filepath.WalkDir(recording.Path(t, "images"), func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".jpg") {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		c, err := jpeg.DecodeConfig(bytes.NewReader(b))
		if err != nil {
			return err
		}
		n++
		if w, h, err := CheckJPEG(b); err != nil || w != c.Width || h != c.Height {
			t.Errorf("%s: %d by %d, %v; want %d by %d", filepath.Base(path), w, h, err, c.Width, c.Height)
		}
		return nil
	})
	if err != nil || n == 0 {
		t.Errorf("%d photographs, %v", n, err)
	}
}

// hostile calls f with each file of the hostile JPEG collections.
func hostile(t testing.TB, f func(name string, b []byte)) {
	for _, archive := range []string{"hostile/go-fuzz-corpus-jpeg-a.zip", "hostile/afl-jpeg-full-a.zip"} {
		z, err := zip.OpenReader(recording.Path(t, archive))
		if err != nil {
			t.Fatal(err)
		}
		for _, entry := range z.File {
			r, err := entry.Open()
			if err != nil {
				t.Fatal(err)
			}
			b, err := io.ReadAll(io.LimitReader(r, 1<<20))
			if err != nil {
				t.Fatal(err)
			}
			f(entry.Name, b)
		}
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestHostilePicturesDoNotPanic(t *testing.T) {
	files, passed := 0, 0
	hostile(t, func(name string, b []byte) {
		files++
		w, h, err := CheckJPEG(b)
		if err != nil {
			return
		}
		passed++
		if w < 1 || h < 1 || w > MaxDimension || h > MaxDimension {
			t.Errorf("%s: %d by %d pixels accepted", name, w, h)
		}
	})
	if files < 500 {
		t.Errorf("only %d files", files)
	}
	t.Logf("%d of %d files are whole by their markers", passed, files)
}

func FuzzCheckJPEG(f *testing.F) {
	f.Add(encoded(f, image.NewYCbCr(image.Rect(0, 0, 16, 16), image.YCbCrSubsampleRatio420)))
	f.Add(encoded(f, image.NewGray(image.Rect(0, 0, 9, 5))))
	f.Add(fakeJPEG(3, 100))
	f.Fuzz(func(t *testing.T, b []byte) {
		w, h, err := CheckJPEG(b)
		if err != nil {
			return
		}
		if w < 1 || h < 1 || w > MaxDimension || h > MaxDimension {
			t.Fatalf("%d by %d pixels accepted", w, h)
		}
		trimmed := bytes.TrimRight(b, "\x00")
		if !bytes.HasPrefix(b, []byte{0xFF, 0xD8}) || !bytes.HasSuffix(trimmed, []byte{0xFF, 0xD9}) {
			t.Fatal("accepted without its ends")
		}
		// What passes for whole has the size that a decoder sees.
		if c, err := jpeg.DecodeConfig(bytes.NewReader(b)); err == nil && (c.Width != w || c.Height != h) {
			t.Fatalf("%d by %d, a decoder sees %d by %d", w, h, c.Width, c.Height)
		}
	})
}

func BenchmarkCheckJPEG(b *testing.B) {
	data := fakeJPEG(1, 400_000)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := CheckJPEG(data); err != nil {
			b.Fatal(err)
		}
	}
}
