package life

const (
	motif = 96 // samples whose coming again is no chance
	reach = 60 // seconds within which they are looked for
)

// A hunt learns a short stretch of one row of values, and looks for it in a row
// that goes beside it: in the same one behind it, or in the other channel. What
// shows no noise is not learnt: values that stay, or lie at full scale, come again
// in any radar in order. The zero value is ready.
type hunt[T comparable] struct {
	motif   [motif]T
	back    [motif]int // length of the longest start that also ends there
	n       int        // values of the motif that are known
	changes int        // of them that differ from the one before, and are below full scale
	at      int        // values that have come again in a row
	since   int        // values since the motif ended
	quiet   int        // and since one came again
	later   int        // after how many it did
	found   bool       // it came again, and not too long ago
}

// add takes the next value of the row that is learnt, whether it lies at full scale,
// and the next of the row that is looked through, of rate values a second.
func (h *hunt[T]) add(learn, seen T, rail bool, rate int) {
	h.quiet++
	if h.found && h.quiet > max(rate, 2*(h.later+motif)) {
		h.found = false
	}
	if h.n < motif {
		h.learn(learn, rail)
		return
	}
	h.since++
	for h.at > 0 && h.motif[h.at] != seen {
		h.at = h.back[h.at-1]
	}
	if h.motif[h.at] == seen {
		h.at++
	}
	switch {
	case h.at == motif:
		h.found, h.later, h.quiet = true, h.since, 0
		if own := motif - h.back[motif-1]; own <= motif/2 { // it repeats in itself
			h.later = own
		}
		h.again()
	case h.since >= reach*rate:
		h.again()
	}
}

// learn adds a value to the motif.
func (h *hunt[T]) learn(v T, rail bool) {
	if h.n > 0 {
		k := h.back[h.n-1]
		for k > 0 && h.motif[k] != v {
			k = h.back[k-1]
		}
		if h.motif[k] == v {
			k++
		}
		h.back[h.n] = k
		if h.motif[h.n-1] != v && !rail {
			h.changes++
		}
	}
	h.motif[h.n] = v
	if h.n++; h.n == motif && h.changes < motif/4 {
		h.again()
	}
}

// again begins with another motif.
func (h *hunt[T]) again() { h.n, h.changes, h.at, h.since = 0, 0, 0, 0 }

// breaks says that values are missing: none of what came goes on.
func (h *hunt[T]) breaks() {
	h.at = 0
	if h.n < motif {
		h.again()
	}
}
