package displacement

import (
	"math"
	"testing"
)

func TestViewPutsMarksWhereTheyAre(t *testing.T) {
	marks := []Mark{{81250, 64000, 10_000, 1200}, {40000, 64000, 10_000, -1200}, {70000, 40000, 25_000, 1200}, {55000, 40000, 25_000, -1200}}
	v, err := NewView(marks)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range marks {
		x, y, ok := v.Pixel(float64(m.Along)/1e3, float64(m.Across)/1e3)
		if !ok || math.Abs(x-float64(m.X)/100) > 0.01 || math.Abs(y-float64(m.Y)/100) > 0.01 {
			t.Errorf("mark %+v lies at %.2f, %.2f", m, x, y)
		}
	}
	if _, err := NewView(nil); err == nil {
		t.Error("no marks give a view")
	}
	if _, err := NewView([]Mark{{1, 1, 1, 1}, {2, 2, 2, 2}, {3, 3, 3, 3}, {4, 4, 4, 4}}); err == nil {
		t.Error("marks in a line give a view")
	}
}
