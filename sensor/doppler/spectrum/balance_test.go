package spectrum

import (
	"math"
	"math/rand/v2"
	"testing"
)

func TestBalanceLearnsLittleFromVehiclesThatMeet(t *testing.T) {
	var b Balance
	r := rand.New(rand.NewPCG(1, 1))
	for range 2000 { // lines of two vehicles, 9 dB apart, with phases of their own
		s, c := math.Sincos(2 * math.Pi * r.Float64())
		re, im := float32(c), float32(s)
		b.Learn(re, im, 0.35-(b.newRe*re+b.newIm*im), -(b.newIm*re - b.newRe*im))
		if got := math.Hypot(float64(b.newRe), float64(b.newIm)); got > 0.15 {
			t.Fatalf("κ = %.3f", got)
		}
	}
	if b.re != 0 || b.im != 0 {
		t.Error("what was learned is in use before use")
	}
}
