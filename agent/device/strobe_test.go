package device

import (
	"context"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"ciglio/agent/config"
	"ciglio/agent/trust"
	"ciglio/capture"
	"ciglio/capture/evidence"
	"ciglio/capture/strobe"
	"ciglio/sensor"
)

const strobeText = `strobe_return = "GPIO22"
strobe_bound = "20ms"
`

// returning is a camera that says on a line when it exposes.
type returning struct {
	*fakeCamera
	line chan sensor.Edge
	off  time.Duration // from the start of exposure
	mute atomic.Bool
	some atomic.Bool // every second time
}

func (c *returning) Next(ctx context.Context) (capture.Frame, error) {
	f, err := c.fakeCamera.Next(ctx)
	if err == nil && !c.mute.Load() && (!c.some.Load() || f.Number%2 == 0) {
		c.line <- sensor.Edge{At: f.At.Add(c.off), Rising: true}
	}
	return f, err
}

type returnLine chan sensor.Edge

func (l returnLine) Next(ctx context.Context) (sensor.Edge, error) {
	select {
	case <-ctx.Done():
		return sensor.Edge{}, ctx.Err()
	case e := <-l:
		return e, nil
	}
}

func (returnLine) Halt() error { return nil }

// withStrobe gives the rig a camera with a strobe's return.
func withStrobe(t *testing.T, c *returning) func(*rig) {
	return func(r *rig) {
		parsed, err := config.Parse([]byte(configText+strobeText), nil)
		if err != nil {
			t.Fatal(err)
		}
		parsed.Device.Dir = r.config.Device.Dir
		*r.config = *parsed
		c.fakeCamera, c.line = r.camera, make(chan sensor.Edge, 16)
		r.wrapped = c
		r.strobe = strobe.New(strobe.Options{
			Return: func() (strobe.Input, error) { return returnLine(c.line), nil },
			Bound:  r.config.Camera.StrobeBound, Clock: r.clock, Log: r.log,
		})
	}
}

func TestStrobeProvesTheExposure(t *testing.T) {
	for _, c := range []struct {
		name   string
		camera *returning
		gate   bool // is open
	}{
		{"as exposure begins", &returning{}, true},
		{"the bound before", &returning{off: -20 * time.Millisecond}, true},
		{"the bound after its end", &returning{off: 21 * time.Millisecond}, true},
		{"too early", &returning{off: -20*time.Millisecond - 1}, false},
		{"too late", &returning{off: 21*time.Millisecond + 1}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, withStrobe(t, c.camera))
				r.start(t)
				o := r.pass(speeding())
				if !c.gate {
					causes := r.Gate()
					if o.Record != nil || len(causes) != 1 || causes[0].Code != trust.CameraFault || !strings.Contains(causes[0].Words, "has had its return") {
						t.Errorf("record %v, gate %v", o.Record != nil, causes)
					}
					r.end(t)
					return
				}
				if o.Record == nil {
					t.Fatalf("not recorded: %v; gate %v", o.Reasons, r.Gate())
				}
				for i, f := range o.Record.Record.Frames {
					if f.Strobe != f.Mono.Add(c.camera.off) {
						t.Errorf("picture %d: the return lies %v after the start of exposure, want %v", i+1, f.Strobe.Sub(f.Mono), c.camera.off)
					}
				}
				r.end(t)
			})
		})
	}
}

func TestPictureWithoutReturnIsNoEvidence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		camera := new(returning)
		camera.some.Store(true)
		r := newRig(t, withStrobe(t, camera))
		r.start(t)
		for range 2 { // the pictures of one are even, or odd, or both
			if o := r.pass(speeding()); o.Record != nil && slices.ContainsFunc(o.Record.Record.Frames, func(f evidence.Frame) bool { return f.Number%2 != 0 }) {
				t.Errorf("recorded with a picture that has no return")
			} else if o.Record == nil && !slices.Equal(o.Reasons, []sensor.Reason{sensor.ReasonStrobeMissing}) {
				t.Errorf("discarded: %v", o.Reasons)
			}
		}
		if causes := r.Gate(); len(causes) > 0 {
			t.Errorf("gate %v", causes)
		}
		camera.mute.Store(true)
		time.Sleep(4 * time.Second)
		if causes := r.Gate(); len(causes) > 0 {
			t.Errorf("gate after 4 s: %v", causes)
		}
		if o := r.pass(speeding()); o.Record != nil {
			t.Error("recorded without returns")
		}
		if causes := r.Gate(); len(causes) != 1 || causes[0].Code != trust.CameraFault {
			t.Errorf("gate without returns: %v", causes)
		}
		camera.mute.Store(false)
		camera.some.Store(false)
		time.Sleep(inOrder + 10*time.Second)
		if o := r.pass(speeding()); o.Record == nil {
			t.Errorf("not recorded again: %v, gate %v", o.Reasons, r.Gate())
		}
		r.end(t)
	})
}
