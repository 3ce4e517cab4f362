package track

import (
	"math"
	"math/rand/v2"
	"testing"
)

// TestAssignmentIsExact compares the assignment with the best of all.
func TestAssignmentIsExact(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 3))
	a := newAssigner()
	for n := range 3000 {
		rows, columns := r.IntN(6), r.IntN(6)
		a.columns = columns
		for i := range rows {
			for j := range columns {
				*a.at(i, j) = float32(r.IntN(40)) // many lie beyond the gate, many are equal
				if n%2 == 0 {
					*a.at(i, j) = float32(20 * r.Float64())
				}
			}
		}
		a.solve(rows, columns)
		got := 0.0
		taken := map[int]bool{}
		for i := range rows {
			j := a.of[i]
			if j < 0 {
				got += gate
				continue
			}
			if taken[j] || a.row[j] != i || *a.at(i, j) >= gate {
				t.Fatalf("row %d has column %d: taken %t, back %d, cost %v", i, j, taken[j], a.row[j], *a.at(i, j))
			}
			taken[j] = true
			got += float64(*a.at(i, j))
		}
		if want := best(a, 0, rows, columns, 0); math.Abs(got-want) > 1e-4 {
			t.Fatalf("%d rows, %d columns: sum %v, the best is %v", rows, columns, got, want)
		}
	}
}

// best tries every assignment from a row on.
func best(a *assigner, i, rows, columns int, taken uint) float64 {
	if i == rows {
		return 0
	}
	least := gate + best(a, i+1, rows, columns, taken)
	for j := range columns {
		if c := float64(*a.at(i, j)); c < gate && taken&(1<<j) == 0 {
			least = min(least, c+best(a, i+1, rows, columns, taken|1<<j))
		}
	}
	return least
}
