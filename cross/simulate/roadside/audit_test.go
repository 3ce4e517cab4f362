package roadside

import (
	"strings"
	"testing"
	"time"

	"ciglio/cross/simulate"
	"ciglio/sensor"
)

const limit = 70 * sensor.KmH

func vehicle(speed sensor.Speed, d sensor.Direction, passing time.Duration) simulate.Truth {
	return simulate.Truth{
		Vehicle: simulate.Vehicle{Speed: speed, Direction: d, Passing: passing},
		Enter:   passing - 3*time.Second, Leave: passing, Alone: true,
	}
}

func record(speed sensor.Speed, d sensor.Direction, end time.Duration) recorded {
	return recorded{Speed: speed, Direction: d, Start: end - 2*time.Second, End: end, Settled: true}
}

func TestAudit(t *testing.T) {
	fast := vehicle(9000, sensor.Approaching, 10*time.Second)
	slow := vehicle(6000, sensor.Approaching, 20*time.Second)
	pair := vehicle(9500, sensor.Approaching, 30*time.Second)
	pair.Alone = false
	road := []simulate.Truth{fast, slow, pair}
	good := record(9030, sensor.Approaching, 10*time.Second)
	for _, c := range []struct {
		name    string
		records []recorded
		matched int
		fault   string
	}{
		{"every violation and no other", []recorded{good}, 1, ""},
		{"a violation is missing", nil, 0, "no record"},
		{"a compliant vehicle was recorded", []recorded{good, record(6000, sensor.Approaching, 20*time.Second)}, 1, "no such violation"},
		{"one of a pair was recorded", []recorded{good, record(9500, sensor.Approaching, 30*time.Second)}, 1, "no such violation"},
		{"one vehicle twice", []recorded{good, good}, 1, "no such violation"},
		{"the wrong direction", []recorded{record(9030, sensor.Receding, 10*time.Second)}, 0, "no record"},
		{"off by half a km/h", []recorded{record(9050, sensor.Approaching, 10*time.Second)}, 1, ""},
		{"off by more", []recorded{record(8949, sensor.Approaching, 10*time.Second)}, 0, "recorded with"},
		{"not settled", []recorded{{Speed: 9000, Direction: sensor.Approaching, Start: 8 * time.Second, End: 10 * time.Second}}, 0, "not settled"},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := compare(road, limit, c.records)
			faults := strings.Join(a.Faults, "; ")
			if a.Expected != 1 || a.Matched != c.matched || (c.fault == "") != (faults == "") || !strings.Contains(faults, c.fault) {
				t.Errorf("audit = %+v, want %d matched and fault %q", a, c.matched, c.fault)
			}
		})
	}
}

func TestQuantile(t *testing.T) {
	values := []time.Duration{1, 2, 3, 4}
	for q, want := range map[float64]time.Duration{0: 1, 0.5: 2, 0.75: 3, 0.99: 4, 1: 4} {
		if got := quantile(values, q); got != want {
			t.Errorf("quantile %v = %v, want %v", q, got, want)
		}
	}
	if quantile(nil, 0.5) != 0 {
		t.Error("no values have a quantile")
	}
}
