package robust_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"ciglio/internal/robust"
)

func TestMedians(t *testing.T) {
	for name, c := range map[string]struct {
		values        []float64
		median, upper float64
	}{
		"one":            {[]float64{7}, 7, 7},
		"two":            {[]float64{3, 1}, 2, 3},
		"three":          {[]float64{9, 1, 2}, 2, 2},
		"four, one wild": {[]float64{1e9, 2, 1, 4}, 3, 4},
	} {
		kept := slices.Clone(c.values)
		var scratch []float64
		if m, u := robust.Median(c.values, &scratch), robust.Upper(c.values); m != c.median || u != c.upper {
			t.Errorf("%s: %v and %v, want %v and %v", name, m, u, c.median, c.upper)
		}
		if !slices.Equal(c.values, kept) {
			t.Errorf("%s: the values were changed", name)
		}
	}
}

func TestBentCountsFarValuesWithTheLimit(t *testing.T) {
	for off, want := range map[float64]float64{0: 0, 1: 1, -2: -2, 2.69: 2.69, 3: 2.69, -1e9: -2.69} {
		if got := robust.Bent(off, 2); math.Abs(got-want) > 1e-12 {
			t.Errorf("Bent(%v) = %v, want %v", off, got, want)
		}
	}
}

// Of a normal distribution the mean and spread are those; a fifth of wild values
// moves the mean by less than a third of the spread, where it moves the common
// one by 200.
func TestMeanOfNormalAndWildValues(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	values := make([]float64, 2000)
	for k := range values {
		values[k] = 50 + 2*random.NormFloat64()
	}
	slices.Sort(values)
	mean, spread := robust.Mean(values)
	if math.Abs(mean-50) > 0.15 || math.Abs(spread-2) > 0.15 {
		t.Errorf("mean %v, spread %v, want 50 and 2", mean, spread)
	}
	for k := range 400 {
		values[k] = 1050
	}
	slices.Sort(values)
	if wild, _ := robust.Mean(values); wild-mean > 2 || wild < mean {
		t.Errorf("mean %v, was %v", wild, mean)
	}
	if mean, spread := robust.Mean([]float64{1, 2, 3}); mean != 2 || spread < 0 {
		t.Errorf("of three: %v, %v", mean, spread)
	}
}
