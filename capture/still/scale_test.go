package still

import (
	"image"
	"math"
	"testing"
)

func TestScalesOfAnEvenPictureAreEven(t *testing.T) {
	for _, ratio := range ratios {
		m := image.NewYCbCr(image.Rect(0, 0, 53, 37), ratio)
		fillWith(m.Y, 201)
		fillWith(m.Cb, 77)
		fillWith(m.Cr, 140)
		for _, z := range []Zoom{{1, 2}, {5, 7}, {31, 32}, {3, 2}, {32, 31}, {7, 2}, {1, 32}, {16, 1}} {
			out := z.apply(m)
			if want := z.size(image.Pt(53, 37)); out.Rect.Size() != want {
				t.Errorf("%v by %v is %v, want %v", m.Rect, z, out.Rect, want)
			}
			for plane, want := range map[*[]byte]byte{&out.Y: 201, &out.Cb: 77, &out.Cr: 140} {
				for i, v := range *plane {
					if v != want {
						t.Fatalf("%v of ratio %v: sample %d is %d, want %d", z, ratio, i, v, want)
					}
				}
			}
		}
	}
}

// The weights of every phase are those of the kernel, and sum up to one.
func TestEnlargedIsByTheCubicOfKeys(t *testing.T) {
	keys := func(d float64) float64 { // the kernel with a = -1/2
		switch d = math.Abs(d); {
		case d <= 1:
			return 1.5*d*d*d - 2.5*d*d + 1
		case d < 2:
			return -0.5*d*d*d + 2.5*d*d - 4*d + 2
		}
		return 0
	}
	for num := uint8(2); num <= 32; num++ {
		for den := uint8(1); den < num; den++ {
			z := Zoom{num, den}
			const from = 9
			a := z.enlarge(from, from*int(num)/int(den))
			for i, tap := range a.taps {
				at := (float64(i)+0.5)*float64(den)/float64(num) - 0.5
				want := map[int]float64{}
				for k := int(math.Floor(at)) - 1; k <= int(math.Floor(at))+2; k++ {
					want[min(max(k, 0), from-1)] += keys(at - float64(k))
				}
				sum := 0
				for k, w := range tap.weights {
					sum += int(w)
					if got := float64(w) / float64(a.total); math.Abs(got-want[tap.first+k]) > 1e-9 {
						t.Fatalf("%d/%d, sample %d of %d: weight %v, want %v", num, den, i, tap.first+k, got, want[tap.first+k])
					}
				}
				if sum != a.total {
					t.Fatalf("%d/%d, sample %d: weights of %d, want %d", num, den, i, sum, a.total)
				}
			}
		}
	}
}

func TestShrunkIsTheMeanOverTheArea(t *testing.T) {
	for from := 1; from < 60; from++ {
		for to := 1; to <= from; to++ {
			a := shrink(from, to)
			used := make([]int, from)
			for i, tap := range a.taps {
				sum := 0
				for k, w := range tap.weights {
					sum, used[tap.first+k] = sum+int(w), used[tap.first+k]+int(w)
					if w <= 0 {
						t.Fatalf("%d to %d, sample %d: weight %d", from, to, i, w)
					}
				}
				if sum != a.total {
					t.Fatalf("%d to %d, sample %d: weights of %d, want %d", from, to, i, sum, a.total)
				}
			}
			for i, w := range used {
				if w != to {
					t.Fatalf("%d to %d: source %d counts %d, want %d", from, to, i, w, to)
				}
			}
		}
	}
}

func TestFitKeepsTheShape(t *testing.T) {
	for _, c := range []struct {
		name string
		from image.Point
		fit  Fit
		want image.Point
	}{
		{"fits already", image.Pt(100, 60), Fit{100, 60}, image.Pt(100, 60)},
		{"wide", image.Pt(1600, 900), Fit{320, 320}, image.Pt(320, 180)},
		{"high", image.Pt(900, 1600), Fit{320, 320}, image.Pt(180, 320)},
		{"one pixel too wide", image.Pt(321, 100), Fit{320, 320}, image.Pt(320, 100)},
		{"a line keeps a pixel", image.Pt(4000, 1), Fit{100, 100}, image.Pt(100, 1)},
		{"a column keeps a pixel", image.Pt(1, 4000), Fit{100, 100}, image.Pt(1, 100)},
	} {
		if got := c.fit.size(c.from); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

// math.Pow serves to compare: a value may differ only where it cannot tell to which
// side of a half the power lies.
func TestToneIsTheStatedPower(t *testing.T) {
	for gamma := uint16(20); gamma <= 500; gamma += 12 {
		table := (&Tone{Contrast: 100, Gamma: gamma}).table()
		for v, got := range table {
			exact := 255 * math.Pow(float64(v)/255, 100/float64(gamma))
			if math.Abs(exact-float64(got)) > 0.5+1e-9 {
				t.Errorf("gamma %d of %d is %d, want %v", gamma, v, got, exact)
			}
		}
	}
}

func TestToneAtTheEdges(t *testing.T) {
	for _, c := range []struct {
		name string
		tone Tone
		in   byte
		want byte
	}{
		{"nothing", Tone{100, 100}, 77, 77},
		{"the middle stays", Tone{1000, 100}, 128, 128},
		{"contrast is cut off below", Tone{1000, 100}, 100, 0},
		{"and above", Tone{1000, 100}, 150, 255},
		{"a tenth, rounded down", Tone{10, 100}, 127, 127},
		{"black stays black", Tone{100, 500}, 0, 0},
		{"white stays white", Tone{100, 20}, 255, 255},
		{"lighter", Tone{100, 200}, 64, 128},
		{"darker", Tone{100, 50}, 128, 64},
		{"contrast comes first", Tone{200, 200}, 100, 135},
	} {
		if got := c.tone.table()[c.in]; got != c.want {
			t.Errorf("%s: %d becomes %d, want %d", c.name, c.in, got, c.want)
		}
	}
}

func TestCropTakesThoseVeryPixels(t *testing.T) {
	for _, ratio := range ratios {
		m := image.NewYCbCr(image.Rect(0, 0, 41, 29), ratio)
		for i := range m.Y {
			m.Y[i] = byte(i)
		}
		for i := range m.Cb {
			m.Cb[i], m.Cr[i] = byte(3*i), byte(5*i)
		}
		out := (&Crop{Left: 7, Top: 5, Width: 13, Height: 11}).apply(m)
		for y := range 11 {
			for x := range 13 {
				if got, want := out.YCbCrAt(x, y), m.YCbCrAt(7+x, 5+y); got != want {
					t.Fatalf("ratio %v: %d, %d is %v, want %v", ratio, x, y, got, want)
				}
			}
		}
	}
}
