package device

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"ciglio/agent/config"
	"ciglio/capture"
	"ciglio/capture/strobe"
	"ciglio/sensor"
	"ciglio/sensor/port"
)

var errNoStrobe = errors.New("the strobe's return did not come for a picture, or came twice")

// NewStrobe returns the strobe that c names; nil where there is none. A line that is
// not there is a finding, and no error.
func NewStrobe(c *config.Config, clock sensor.Clock, log *slog.Logger) *strobe.Strobe {
	camera := c.Camera
	o := strobe.Options{
		Every: camera.StrobeInterval, Pulse: camera.StrobePulse, Falling: camera.StrobeEdge == "falling", Bound: camera.StrobeBound,
		Clock: clock, Log: log,
	}
	if camera.Strobe != "" {
		o.Output = func() (strobe.Output, error) {
			line, err := port.OpenOutput(camera.Strobe)
			if err != nil {
				return nil, err
			}
			return line, nil
		}
	}
	if camera.StrobeReturn != "" {
		o.Return = func() (strobe.Input, error) {
			line, err := port.OpenContact(camera.StrobeReturn, camera.StrobePull)
			if err != nil {
				return nil, err
			}
			return line, nil
		}
	}
	if o.Output == nil && o.Return == nil {
		return nil
	}
	return strobe.New(o)
}

// strobed is a camera of whose pictures the strobe is told.
type strobed struct {
	capture.Camera
	strobe *strobe.Strobe
}

// Next implements [capture.Camera].
func (c strobed) Next(ctx context.Context) (capture.Frame, error) {
	f, err := c.Camera.Next(ctx)
	if err == nil {
		c.strobe.Picture(f.At, f.Exposure)
	}
	return f, err
}

// expose waits until the strobe's returns of the shots are known, and gives each its own.
// An error says that one has none.
func (d *Device) expose(ctx context.Context, shots []capture.Shot) error {
	if d.o.Strobe == nil || !d.o.Strobe.Returns() {
		return nil
	}
	last := shots[len(shots)-1].Frame
	if wait := d.o.Strobe.Settled(last.At, last.Exposure).Sub(d.o.Clock.Now()); wait > 0 {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait):
		}
	}
	for i := range shots {
		f := shots[i].Frame
		at, ok := d.o.Strobe.Of(f.At, f.Exposure.Truncate(time.Microsecond))
		if !ok || i > 0 && at <= shots[i-1].Strobe {
			return errNoStrobe
		}
		shots[i].Strobe = at
	}
	return nil
}

func (d *Device) checkStrobe(now sensor.Mono) []sensor.Finding {
	if d.o.Strobe == nil {
		return nil
	}
	return d.o.Strobe.Findings(now)
}
