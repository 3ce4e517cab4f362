package accuracy

import (
	"flag"
	"fmt"
	"testing"
)

var (
	passages = flag.Int("passages", 300, "simulated `vehicles`")
	seed     = flag.Uint64("seed", 1, "of all roads")
	replay   = flag.Uint64("replay", 0, "one road of -class, by the `seed` that a fault names")
	only     = flag.String("class", "", "of roads; all when empty")
)

func TestAccuracy(t *testing.T) {
	roads := Roads(*seed, *passages, *only)
	if *replay != 0 {
		r, ok := Replay(*only, *replay)
		if !ok {
			t.Fatalf("no class %q", *only)
		}
		roads = []Road{r}
	}
	r, err := Run(t.Context(), roads)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range r.Faults {
		t.Errorf("%s: %q seed %d: %s", f.Kind, f.Class, f.Seed, f.Text)
	}
	sum := map[string]int{}
	for _, o := range r.Outcomes {
		key := fmt.Sprintf("%-22s ", o.Class)
		switch o.Fate {
		case Missed:
			key += "missed"
		case Found:
			key += "found"
		case Marked:
			key += "marked"
		case Discarded:
			key += "discarded " + o.Passage.Reasons[0].Code()
		}
		sum[key]++
	}
	for k, n := range sum {
		t.Log(k, n)
	}
	for _, o := range r.Outcomes {
		if o.Fate == Missed || o.Fate == Discarded {
			t.Logf("lost %q seed %d: %s %s alone %t", o.Class, o.Seed, vehicle(o.Truth), said(o.Passage), o.Truth.Alone)
		}
	}
	t.Log(len(r.Outcomes), r.Spare, r.Seconds)
}
