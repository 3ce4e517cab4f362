package device

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"ciglio/agent/trust"
	"ciglio/capture/evidence"
	"ciglio/cross/simulate/edges"
	"ciglio/sensor"
)

// A played set of faults finds what a test says.
type played struct {
	*faults
	clock  *fakeClock
	found  []sensor.Finding
	record []string // what a device would record
}

func newPlayed() *played {
	p := &played{clock: &fakeClock{start: time.Now()}}
	p.faults = &faults{clock: p.clock, checks: []check{func(sensor.Mono) []sensor.Finding { return p.found }}}
	return p
}

// look finds these codes, once a second for as long as told.
func (p *played) see(d time.Duration, codes ...string) {
	p.found = nil
	for _, c := range codes {
		p.found = append(p.found, sensor.Finding{Code: c, Facts: sensor.Told("the " + c)})
	}
	for ; d > 0; d -= time.Second {
		if all, changed := p.test(); changed {
			var codes []string
			for _, f := range all {
				codes = append(codes, f.Code)
			}
			p.record = append(p.record, fmt.Sprintf("%v %s", time.Since(p.clock.start), strings.Join(codes, "+")))
		}
		time.Sleep(time.Second)
	}
}

func TestFindingsStandUntilAllIsInOrderForAMinute(t *testing.T) {
	for _, c := range []struct {
		name string
		play func(*played)
		want []string
	}{
		{"nothing", func(p *played) { p.see(10 * time.Minute) }, []string{"0s "}},
		{"one fault", func(p *played) {
			p.see(10 * time.Second)
			p.see(30*time.Second, "x")
			p.see(5 * time.Minute)
		}, []string{"0s ", "10s x", "1m39s "}},
		{"a fault that comes and goes is one", func(p *played) {
			p.see(10 * time.Second)
			for range 20 {
				p.see(time.Second, "x")
				p.see(59 * time.Second)
			}
			p.see(5 * time.Minute)
		}, []string{"0s ", "10s x", "20m10s "}},
		{"each change of the set", func(p *played) {
			p.see(10 * time.Second)
			p.see(10*time.Second, "x")
			p.see(10*time.Second, "y", "x")
			p.see(10*time.Second, "y")
			p.see(5 * time.Minute)
		}, []string{"0s ", "10s x", "20s y+x", "1m29s y", "1m39s "}},
		{"the order in which they are told is no change", func(p *played) {
			p.see(10*time.Second, "x", "y")
			p.see(10*time.Second, "y", "x")
		}, []string{"0s x+y"}},
		{"a part that comes after the device", func(p *played) {
			p.see(10*time.Second, findingSensor, findingCamera, "x")
			p.see(10*time.Second, findingCamera)
			p.see(80 * time.Second)
		}, []string{"0s sensor+camera+x", "10s camera+x", "20s x", "1m9s "}},
		{"and is lost", func(p *played) {
			p.see(10*time.Second, findingCamera)
			p.see(10 * time.Second)
			p.see(10*time.Second, findingCamera)
			p.see(70 * time.Second)
		}, []string{"0s camera", "10s ", "20s camera", "1m29s "}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPlayed()
				c.play(p)
				if !slices.Equal(p.record, c.want) {
					t.Errorf("records at %q, want %q", p.record, c.want)
				}
			})
		})
	}
}

// Before the first test nothing is known, and that is told.
func TestFindingsBeforeTheFirstTest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlayed()
		if now := p.now(); len(now) != 1 || now[0].Code != pending.Code {
			t.Errorf("before: %v", now)
		}
		p.test()
		if now := p.now(); len(now) != 0 {
			t.Errorf("after: %v", now)
		}
		p.found = []sensor.Finding{{Code: "x", Facts: sensor.Told("the first words")}}
		p.now()
		p.found[0].Facts = sensor.Told("the newest words")
		if now := p.now(); len(now) != 1 || now[0].Words() != "the newest words" {
			t.Errorf("found between two tests: %v", now)
		}
	})
}

// A camera that died while the sensor stands as fault: both are told, in the gate,
// in the record, in health and to the service manager.
func TestD16_EveryFindingIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := new(fakeManager)
		r := newRig(t, func(r *rig) { r.manager = m })
		radar := &fakeLive{clock: r.clock}
		r.o.Live = radar
		r.start(t)
		radar.fail(errors.New("sensor fake: unplugged"))
		time.Sleep(30 * time.Second)
		r.camera.dead.Store(true)
		time.Sleep(30 * time.Second)
		const sensorWords, cameraWords = "sensor fake: unplugged", "camera fake gives no pictures"
		both := func(where, words string) {
			t.Helper()
			if !strings.Contains(words, sensorWords) || !strings.Contains(words, cameraWords) {
				t.Errorf("%s: %q", where, words)
			}
		}
		causes := r.Gate()
		if len(causes) != 2 || causes[0].Code != trust.SensorFault || causes[1].Code != trust.CameraFault {
			t.Errorf("causes %v", causes)
		}
		both("gate", fmt.Sprint(causes))
		both("status", m.status())
		both("health", fmt.Sprint(r.health().Reasons))
		radar.fail(nil)
		time.Sleep(2 * inOrder)
		if words := r.Gate()[0].Words; strings.Contains(words, sensorWords) || !strings.Contains(words, cameraWords) {
			t.Errorf("the sensor is back: %q", words)
		}
		r.camera.dead.Store(false)
		time.Sleep(2 * inOrder)
		if causes := r.Gate(); len(causes) != 0 {
			t.Errorf("both are back: %v", causes)
		}
		r.end(t)
		var told []string
		for _, s := range r.records(t) {
			if s.Record.Kind == evidence.KindSelfTest {
				told = append(told, s.Record.Body[2].(string))
			}
		}
		if len(told) != 5 || told[1] != sensorWords || told[3] != cameraWords {
			t.Fatalf("records %q, want one for each change", told)
		}
		both("record", told[2])
	})
}

// Health has each finding by its code, and what the sensors dropped.
func TestHealthTellsFindingsAndWhatWasDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := map[string]chan sensor.Edge{}
		r := newRig(t, withContacts(t, secondText, in))
		radar := &fakeLive{clock: r.clock}
		r.o.Live = radar
		r.start(t)
		for _, line := range in {
			for _, e := range edges.Pulse(r.clock.Now(), 300*time.Microsecond) { // shorter than a tyre
				line <- e
			}
		}
		radar.fail(errors.New("sensor fake: unplugged"))
		time.Sleep(20 * time.Second)
		h := r.health()
		if len(h.Findings) != 1 || h.Findings[0].Code != findingSensor || h.Findings[0].Words != "sensor fake: unplugged" {
			t.Errorf("findings %v", h.Findings)
		}
		if s := h.Sensing; s.Frames.Broken != 3 || s.Tracks.Ignored != 5 || s.Contacts.Edges != 4 || s.Contacts.Spikes != 2 {
			t.Errorf("sensing %+v", s)
		}
		r.end(t)
	})
}
