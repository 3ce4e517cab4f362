package device

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"ciglio/cross/simulate/edges"
	"ciglio/sensor"
)

// What a contact itself cannot tell, the traffic beside it does.
func TestContactsThatTheTrafficDoesNotMove(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := map[string]chan sensor.Edge{}
		r := newRig(t, withContacts(t, secondText, in))
		r.start(t)
		closed := func(when, words string) {
			t.Helper()
			causes := r.Gate()
			if words == "" && len(causes) > 0 || words != "" && (len(causes) != 1 || !strings.Contains(causes[0].Words, words)) {
				t.Errorf("%s: gate %v, want %q", when, causes, words)
			}
		}
		p := speeding()
		p.Speed = 60 * sensor.KmH
		for range 49 {
			r.pass(p)
		}
		p.Direction = sensor.Receding
		r.pass(p)
		closed("49 vehicles this way and one the other", "")
		p.Direction = sensor.Approaching
		r.pass(p)
		closed("50 vehicles", "contact 1 of lane 1 (gpiochip0-17) has not moved for 50 vehicles that the radar saw, contact 2 of lane 1 (gpiochip0-27)")
		for _, line := range in {
			for _, e := range edges.Pulse(r.clock.Now(), 8*time.Millisecond) {
				line <- e
			}
		}
		time.Sleep(inOrder + 2*time.Second)
		closed("both have moved", "")
		in["gpiochip0-27"] <- sensor.Edge{At: r.clock.Now(), Rising: true}
		time.Sleep(mostPressed - time.Second)
		closed("a wheel stands on one", "")
		time.Sleep(10 * time.Second)
		closed("for too long", "contact 2 of lane 1 (gpiochip0-27) has been closed for 2m0s")
		r.end(t)
		if told := r.selfTests(t); len(told) != 4 || told[0] != "" || told[2] != "" {
			t.Errorf("self-tests %q", told)
		}
	})
}

// A radar that sees nothing of the traffic that crosses the contacts closes the gate;
// one that sees nothing of a queue does not.
func TestRadarThatTheTrafficDoesNotMove(t *testing.T) {
	for _, c := range []struct {
		name  string
		speed sensor.Speed
		deaf  bool
	}{
		{"60 km/h", 60 * sensor.KmH, true},
		{"a queue of 20 km/h", 20 * sensor.KmH, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				in := map[string]chan sensor.Edge{}
				r := newRig(t, withContacts(t, secondText, in))
				r.start(t)
				for n := range 500 {
					if causes := r.Gate(); len(causes) > 0 {
						t.Fatalf("after %d vehicles: %v", n, causes)
					}
					near, far := crossingAt(r.clock.Now().Add(time.Second), c.speed.MPS())
					for name, list := range map[string][]sensor.Edge{"gpiochip0-17": near, "gpiochip0-27": far} {
						for _, e := range list {
							time.AfterFunc(e.At.Sub(r.clock.Now()), func() { in[name] <- e })
						}
					}
					time.Sleep(5 * time.Second)
				}
				causes := r.Gate()
				if (len(causes) > 0) != c.deaf || c.deaf && !strings.Contains(causes[0].Words, "500 vehicles crossed the contacts since the radar last saw one") {
					t.Errorf("gate %v", causes)
				}
				r.end(t)
			})
		})
	}
}
