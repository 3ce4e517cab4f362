package roadside

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// A Report is what one run of the demo came to.
type Report struct {
	OK         bool              `json:"ok"`
	Passages   uint64            `json:"passages"`   // vehicles with a speed that stands
	Expected   int               `json:"expected"`   // violations of the simulated road
	Violations uint64            `json:"violations"` // recorded by the device
	Received   uint64            `json:"received"`   // of them, whole at the centre
	Verified   int               `json:"verified"`   // bundles downloaded from the centre that pass every mandatory check
	Settled    int               `json:"settled"`    // answered with a receipt that the device accepted
	Discarded  map[string]uint64 `json:"discarded"`  // tracks that gave no evidence, by reason
	Latency    latency           `json:"latency_ms"` // from the end of a passage to its receipt
	MaxError   float64           `json:"max_error_kmh"`
	Faults     []string          `json:"faults"`
}

type latency struct {
	P50 float64 `json:"p50"`
	P99 float64 `json:"p99"`
}

func newLatency(values []time.Duration) latency {
	slices.Sort(values)
	ms := func(d time.Duration) float64 { return float64(d.Round(100*time.Microsecond)) / 1e6 }
	return latency{P50: ms(quantile(values, 0.50)), P99: ms(quantile(values, 0.99))}
}

func (r *Report) Print(say func(string, ...any)) {
	say("")
	say("%d passages; %d violations on the road, %d recorded, %d received, %d verified, %d settled",
		r.Passages, r.Expected, r.Violations, r.Received, r.Verified, r.Settled)
	var reasons []string
	for reason, n := range r.Discarded {
		reasons = append(reasons, fmt.Sprintf("%s %d", reason, n))
	}
	slices.Sort(reasons)
	if len(reasons) > 0 {
		say("discarded: %s", strings.Join(reasons, ", "))
	}
	say("from the end of a passage to its receipt: %.0f ms in the middle, %.0f ms at worst (99 %%)", r.Latency.P50, r.Latency.P99)
	say("largest difference of a recorded speed from the truth: %.2f km/h", r.MaxError)
	for _, fault := range r.Faults {
		say("FAULT: %s", fault)
	}
	if r.OK {
		say("every violation of the road was settled, and nothing else was recorded")
	}
}
