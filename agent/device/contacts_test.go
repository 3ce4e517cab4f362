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
