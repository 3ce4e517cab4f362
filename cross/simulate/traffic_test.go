package simulate

import (
	"testing"
	"time"

	"ciglio/sensor"
)

func TestAssessedSpeedByItalianRule(t *testing.T) {
	tests := []struct {
		name         string
		speed, limit sensor.Speed
		violation    bool
	}{
		{"50: first that counts", 5600, 5000, true},
		{"50: fraction is the driver's", 5599, 5000, false},
		{"90: first that counts", 9600, 9000, true},
		{"90: last that does not", 9599, 9000, false},
		{"130: five per cent", 13700, 13000, true},
		{"130: last that does not", 13699, 13000, false},
	}
	for _, test := range tests {
		if got := (Truth{Vehicle: Vehicle{Speed: test.speed}, Alone: true}).Violation(test.limit); got != test.violation {
			t.Errorf("%s: violation = %t, want %t", test.name, got, test.violation)
		}
	}
	if (Truth{Vehicle: Vehicle{Speed: 20000}}).Violation(5000) {
		t.Error("a vehicle that is not alone is a violation")
	}
}

func TestAloneMeansNobodyElseInTheBeam(t *testing.T) {
	at := func(speed sensor.Speed, d sensor.Direction, passing time.Duration) Vehicle {
		v := car(speed, d)
		v.Passing = passing
		return v
	}
	tests := []struct {
		name   string
		second Vehicle
		alone  bool
	}{
		{"a minute later", at(7000, sensor.Approaching, time.Minute+10*time.Second), true},
		{"right behind", at(8000, sensor.Approaching, 11*time.Second), false},
		{"enters as the first leaves", at(7000, sensor.Receding, 9700*time.Millisecond), false},
		{"enters a second after the first has left", at(7000, sensor.Receding, 11*time.Second), true},
		{"met in the beam", at(7000, sensor.Receding, 8*time.Second), false},
		{"gone before the first comes", at(7000, sensor.Receding, 2*time.Second), true},
	}
	for _, test := range tests {
		r := mustRoad(t, Scenario{Duration: time.Hour, Vehicles: []Vehicle{at(7000, sensor.Approaching, 10*time.Second), test.second}})
		for _, truth := range r.Truth() {
			if truth.Alone != test.alone {
				t.Errorf("%s: vehicle passing at %v: alone = %t, want %t", test.name, truth.Passing, truth.Alone, test.alone)
			}
		}
	}
}

func TestTrafficKeepsItsPromises(t *testing.T) {
	for _, limit := range []sensor.Speed{5000, 6000, 7000, 9000, 11000, 13000} {
		for seed := range uint64(15) {
			const duration = 30 * time.Second
			truth := mustRoad(t, Traffic(seed, limit, duration)).Truth()
			edge := firstViolation(limit)
			violations, compliant, pairs := 0, 0, 0
			var end time.Duration
			for i, v := range truth {
				if off := v.Speed - edge; off > -100 && off < 100 {
					t.Errorf("limit %v, seed %d: %v is too near to %v", limit, seed, v.Speed, edge)
				}
				switch {
				case v.Violation(limit):
					violations++
				case v.Alone:
					compliant++
				default:
					pairs++
					if least := max((v.Leave-v.Enter)/5, 400*time.Millisecond); v.Overlap < least {
						t.Errorf("limit %v, seed %d: a pair overlaps by %v, want %v", limit, seed, v.Overlap, least)
					}
				}
				if v.Alone && i > 0 && v.Enter-end < 1499*time.Millisecond {
					t.Errorf("limit %v, seed %d: vehicle enters %v after the last left", limit, seed, v.Enter-end)
				}
				end = max(end, v.Leave)
			}
			if !truth[0].Violation(limit) || truth[0].Leave > 8*time.Second {
				t.Errorf("limit %v, seed %d: the first vehicle is no violation within 8 s: %+v", limit, seed, truth[0])
			}
			if violations < 3 || compliant < 1 || pairs < 2 || pairs%2 != 0 {
				t.Errorf("limit %v, seed %d: %d violations, %d compliant, %d in pairs", limit, seed, violations, compliant, pairs)
			}
			if end > duration-2*time.Second {
				t.Errorf("limit %v, seed %d: the last vehicle leaves at %v", limit, seed, end)
			}
		}
	}
}

func TestTrafficOfADayIsQuickToMake(t *testing.T) {
	const duration = 24 * time.Hour
	truth := mustRoad(t, Traffic(1, 7000, duration)).Truth()
	if every := duration / time.Duration(len(truth)); every < 3500*time.Millisecond || every > 5*time.Second {
		t.Errorf("a vehicle every %v, want about 4 to 5 s", every)
	}
}
