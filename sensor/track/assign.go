package track

import "math"

// gate is the largest distance, squared and in standard deviations, at which a
// reading may belong to a track: with three dimensions one reading in a
// thousand lies beyond (chi-squared, 16.3).
const gate = 16

// An assigner gives readings to tracks so that the sum of the distances is
// least, where a track without a reading counts as much as one at the gate. It
// is exact: shortest augmenting paths with dual prices (Jonker and Volgenant,
// "A shortest augmenting path algorithm for dense and sparse linear assignment
// problems", Computing 38, 1987), run on each cluster of tracks and readings
// that lie within each other's gates. Its slices are reused.
type assigner struct {
	cost    [maxLive * maxReadings]float32 // by row and column; gate or more: they do not belong together
	columns int
	of      [maxLive]int     // column of each row, or -1
	row     [maxReadings]int // row of each column, or -1

	cluster    [maxLive + maxReadings]int16 // union-find over rows, then columns
	rows, cols []int                        // of the cluster in hand
	u          [maxLive + 1]float64
	v          [maxReadings + maxLive + 1]float64
	least      [maxReadings + maxLive + 1]float64
	way        [maxReadings + maxLive + 1]int
	used       [maxReadings + maxLive + 1]bool
	match      [maxReadings + maxLive + 1]int
}

func newAssigner() *assigner {
	return &assigner{rows: make([]int, 0, maxLive), cols: make([]int, 0, maxReadings)}
}

func (a *assigner) at(row, column int) *float32 { return &a.cost[row*a.columns+column] }

func (a *assigner) root(i int16) int16 {
	for a.cluster[i] != i {
		a.cluster[i] = a.cluster[a.cluster[i]]
		i = a.cluster[i]
	}
	return i
}

// solve fills of and row from the costs of the first rows and columns.
func (a *assigner) solve(rows, columns int) {
	for i := range rows + columns {
		a.cluster[i] = int16(i)
	}
	for r := range rows {
		a.of[r] = -1
		for c := range columns {
			if *a.at(r, c) < gate {
				x, y := a.root(int16(r)), a.root(int16(rows+c))
				a.cluster[max(x, y)] = min(x, y) // the root is a row
			}
		}
	}
	for c := range columns {
		a.row[c] = -1
	}
	for r := range rows {
		if a.root(int16(r)) != int16(r) {
			continue
		}
		a.rows, a.cols = a.rows[:0], a.cols[:0]
		for k := r; k < rows; k++ {
			if a.root(int16(k)) == int16(r) {
				a.rows = append(a.rows, k)
			}
		}
		for c := range columns {
			if a.root(int16(rows+c)) == int16(r) {
				a.cols = append(a.cols, c)
			}
		}
		if len(a.cols) > 0 {
			a.solveCluster()
		}
	}
}

// price returns the cost of the n-th row and m-th column of the cluster. Beyond
// the readings each row has a column of its own, for no reading.
func (a *assigner) price(n, m int) float64 {
	switch {
	case m < len(a.cols):
		if c := *a.at(a.rows[n], a.cols[m]); c < gate {
			return float64(c)
		}
	case m-len(a.cols) == n:
		return gate
	}
	return 1e6
}

func (a *assigner) solveCluster() {
	n, m := len(a.rows), len(a.cols)+len(a.rows)
	clear(a.u[:n+1])
	clear(a.v[:m+1])
	clear(a.match[:m+1]) // row of each column from 1; column 0 holds the row in hand
	for i := 1; i <= n; i++ {
		a.match[0] = i
		j := 0
		for k := range m + 1 {
			a.least[k], a.used[k] = math.Inf(1), false
		}
		for a.match[j] != 0 {
			a.used[j] = true
			row, next, delta := a.match[j], 0, math.Inf(1)
			for k := 1; k <= m; k++ {
				if a.used[k] {
					continue
				}
				if c := a.price(row-1, k-1) - a.u[row] - a.v[k]; c < a.least[k] {
					a.least[k], a.way[k] = c, j
				}
				if a.least[k] < delta {
					delta, next = a.least[k], k
				}
			}
			for k := range m + 1 {
				if a.used[k] {
					a.u[a.match[k]] += delta
					a.v[k] -= delta
				} else {
					a.least[k] -= delta
				}
			}
			j = next
		}
		for j != 0 {
			before := a.way[j]
			a.match[j] = a.match[before]
			j = before
		}
	}
	for k := 1; k <= len(a.cols); k++ {
		if r := a.match[k]; r != 0 && a.price(r-1, k-1) < gate {
			a.of[a.rows[r-1]], a.row[a.cols[k-1]] = a.cols[k-1], a.rows[r-1]
		}
	}
}
