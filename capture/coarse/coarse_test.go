package coarse

import (
	"bytes"
	"cmp"
	"image"
	"image/color"
	"image/jpeg"
	"math"
	bits2 "math/bits"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"ciglio/capture"
)

// wholeMeans returns what means must, of a picture decoded whole.
func wholeMeans(t *testing.T, data []byte) (pix []float64, columns, rows int) {
	t.Helper()
	m, err := jpeg.Decode(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	var y []uint8
	var stride int
	switch m := m.(type) {
	case *image.YCbCr:
		y, stride = m.Y, m.YStride
	case *image.Gray:
		y, stride = m.Pix, m.Stride
	}
	columns, rows = up(m.Bounds().Dx(), 8), up(m.Bounds().Dy(), 8)
	for row := range rows {
		for column := range columns {
			sum, cut := 0.0, false
			for i := range 64 {
				v := y[(8*row+i/8)*stride+8*column+i%8]
				sum += float64(v)
				cut = cut || v == 0 || v == 255
			}
			if cut {
				sum = math.NaN() // it was beyond what a pixel holds, and nobody knows how far
			}
			pix = append(pix, sum/64)
		}
	}
	return pix, columns, rows
}

// coloured returns a picture of soft shapes and noise.
func coloured(width, height int) *image.RGBA {
	random := rand.New(rand.NewPCG(uint64(width), uint64(height)))
	m := image.NewRGBA(image.Rect(0, 0, width, height))
	for y := range height {
		for x := range width {
			v := scene(x/3, y/3)*0.7 + 20 + 6*random.NormFloat64()
			m.Set(x, y, color.RGBA{uint8(v), uint8(v * 0.9), uint8(255 - v), 255})
		}
	}
	return m
}

func encoded(t testing.TB, m image.Image, quality int) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := jpeg.Encode(&b, m, &jpeg.Options{Quality: quality}); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func grey(m *image.RGBA) *image.Gray {
	g := image.NewGray(m.Rect)
	for y := range m.Rect.Dy() {
		for x := range m.Rect.Dx() {
			g.Set(x, y, m.At(x, y))
		}
	}
	return g
}

func TestMeansAreThoseOfTheWholePicture(t *testing.T) {
	pictures := map[string][]byte{
		"colours, whole units":        encoded(t, coloured(320, 192), 80),
		"colours, odd sides":          encoded(t, coloured(333, 197), 80),
		"colours, one block to spare": encoded(t, coloured(328, 200), 95),
		"coarse steps":                encoded(t, coloured(320, 192), 5),
		"grey":                        encoded(t, grey(coloured(333, 197)), 90),
		"large":                       encoded(t, coloured(1200, 900), 75),
	}
	for name, data := range files(t) {
		pictures[name] = data
	}
	for name, data := range pictures {
		got, columns, rows, err := Means(data)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		want, wantColumns, wantRows := wholeMeans(t, data)
		if columns != wantColumns || rows != wantRows {
			t.Errorf("%s: %d by %d blocks, want %d by %d", name, columns, rows, wantColumns, wantRows)
			continue
		}
		for i, v := range got {
			// The whole picture is rounded pixel by pixel.
			if off := float64(v) - want[i]; off > 1.2 || off < -1.2 {
				t.Errorf("%s: block %d, %d: %d, want %.1f", name, i%columns, i/columns, v, want[i])
				break
			}
		}
	}
}

// files returns pictures of cameras, with other ways to sample colours and with
// restarts.
func files(t *testing.T) map[string][]byte {
	t.Helper()
	dir := cmp.Or(os.Getenv("CIGLIO_DATA"), "../../../shared/data")
	all := map[string][]byte{}
	for _, name := range []string{
		"vectors/c2pa/adobe-20220124-E-sig-CA.jpg", // 4:4:4
		"vectors/c2pa/adobe-20220124-XCA.jpg",      // grey
		"vectors/c2pa/adobe-20220124-I.jpg",        // 4:2:0, restarts
		"images/exif/Reconyx_HC500_Hyperfire.jpg",  // 4:2:2
		"images/clip-one-car/frame_0091.jpg",       // 4:2:0
	} {
		data, err := os.ReadFile(filepath.Join(dir, name))
		switch {
		case err == nil:
			all[name] = data
		case os.Getenv("CI") == "true":
			t.Error(err)
		default:
			t.Logf("left out: %v", err)
		}
	}
	return all
}

// progressive returns a grey progressive picture whose first scan holds the means,
// without their lowest bit, and whose second one leaves all else at 0.
func progressive(columns, rows int, dc func(i int) int) []byte {
	segment := func(mark byte, s ...byte) []byte {
		return append([]byte{0xff, mark, byte((len(s) + 2) >> 8), byte(len(s) + 2)}, s...)
	}
	data := []byte{0xff, 0xd8}
	data = append(data, segment(dqt, append([]byte{0}, bytes.Repeat([]byte{2}, 64)...)...)...)
	data = append(data, segment(sof2, 8, byte(8*rows>>8), byte(8*rows), byte(8*columns>>8), byte(8*columns), 1, 1, 0x11, 0)...)
	codes := append([]byte{0}, 0, 0, 0, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
	for size := range 12 {
		codes = append(codes, byte(size)) // its code is itself, in 4 bits
	}
	data = append(data, segment(dht, codes...)...)
	data = append(data, segment(sos, 1, 1, 0, 0, 0, 1)...)
	acc, n, last := 0, 0, 0
	put := func(v, size int) {
		for size--; size >= 0; size-- {
			acc, n = acc<<1|v>>size&1, n+1
			if n == 8 {
				if data = append(data, byte(acc)); acc == 0xff {
					data = append(data, 0)
				}
				acc, n = 0, 0
			}
		}
	}
	for i := range columns * rows {
		v := dc(i) >> 1
		diff := v - last
		last = v
		size := bits2.Len(uint(max(diff, -diff)))
		put(size, 4)
		if diff < 0 {
			diff += 1<<size - 1
		}
		put(diff, size)
	}
	put(0x7f, 7)
	return append(data, 0xff, 0xd9)
}

func TestMeansOfAProgressivePicture(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	data := progressive(50, 30, func(int) int { return random.IntN(900) - 450 })
	got, columns, rows, err := Means(data)
	want, _, _ := wholeMeans(t, data)
	if err != nil || columns != 50 || rows != 30 {
		t.Fatalf("%d by %d blocks, %v", columns, rows, err)
	}
	for i, v := range got {
		if off := float64(v) - want[i]; off > 1 || off < -1 {
			t.Fatalf("block %d: %d, want %.1f", i, v, want[i])
		}
	}
}

// What is cut short has no means, and nothing that is damaged does harm.
func TestMeansOfWhatIsNoWholePicture(t *testing.T) {
	data := encoded(t, coloured(160, 96), 80)
	random := rand.New(rand.NewPCG(3, 4))
	for cut := range len(data) - 12 {
		if _, _, _, err := Means(data[:cut]); err == nil {
			t.Fatalf("%d of %d bytes have means", cut, len(data))
		}
	}
	for range 2000 {
		bad := bytes.Clone(data)
		for range 1 + random.IntN(4) {
			bad[random.IntN(len(bad))] = byte(random.IntN(256))
		}
		if pix, columns, rows, err := Means(bad); err == nil && len(pix) != columns*rows {
			t.Fatalf("%d means of %d by %d blocks", len(pix), columns, rows)
		}
	}
}

func FuzzMeans(f *testing.F) {
	f.Add(encoded(f, coloured(40, 24), 80))
	f.Add(progressive(4, 3, func(i int) int { return 10 * i }))
	f.Fuzz(func(t *testing.T, data []byte) {
		if _, _, err := capture.CheckJPEG(data); err != nil {
			return // the ring holds nothing else
		}
		if pix, columns, rows, err := Means(data); err == nil && len(pix) != columns*rows {
			t.Fatalf("%d means of %d by %d blocks", len(pix), columns, rows)
		}
	})
}

func BenchmarkMeans(b *testing.B) {
	data := encoded(b, grey(coloured(2736, 1824)), 95) // 5 megapixels
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if _, _, _, err := Means(data); err != nil {
			b.Fatal(err)
		}
	}
}

// scene is a road by its edges: stripes and blocks of all sizes.
func scene(x, y int) float64 {
	v := 110.0
	if (x/7+y/5)%3 == 0 {
		v += 30
	}
	if x/40%2 == 0 {
		v -= 40
	}
	return v + float64((x*31+y*17)%13)
}
