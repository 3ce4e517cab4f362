package agd_test

import (
	"context"
	"errors"
	"math"
	"net"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"ciglio/cross/simulate/emulator"
	"ciglio/sensor"
	"ciglio/sensor/agd"
	"ciglio/sensor/track"
)

// drive reports a vehicle that approaches at 20 m/s and passes at 3 m, from the
// given place on the road to the other, and then heartbeats.
func drive(x *emulator.AGD, from, to float64, flags sensor.Flag) {
	start := time.Now()
	for at := from; at > to; at = from - 20*time.Since(start).Seconds() {
		length := math.Hypot(at, 3)
		x.Report(sensor.Cycle{At: sensor.Mono(time.Since(start) + time.Hour), Readings: []sensor.Reading{{
			Target: 4, Speed: sensor.SpeedFromMPS(20 * at / length), Direction: sensor.Approaching,
			Range: int32(1000 * length), Angle: int32(-100 * math.Asin(3/length) * 180 / math.Pi), Level: 700, Flags: flags,
		}}})
		time.Sleep(50 * time.Millisecond)
	}
}

// A source dials emulators as they are plugged in.
func source(t *testing.T, plugs <-chan *emulator.AGD) *track.Source {
	t.Helper()
	s, err := track.NewSource(func(ctx context.Context) (sensor.Feed, error) {
		select {
		case x := <-plugs:
			host, device := net.Pipe()
			served := make(chan error, 1)
			go func() { served <- x.Serve(t.Context(), device) }()
			t.Cleanup(func() {
				host.Close()
				<-served
			})
			return agd.Open(ctx, host, bubbleClock{time.Now().Add(-time.Hour)}, agd.Options{})
		default:
			return nil, errors.New("nothing is plugged in")
		}
	}, track.Options{Step: sensor.KmH / 10})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// next calls Next until it gives a passage, as the device does.
func next(t *testing.T, s *track.Source) sensor.Passage {
	t.Helper()
	for range 1000 {
		p, err := s.Next(t.Context())
		if err == nil {
			return p
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Fatal("no passage")
	return sensor.Passage{}
}

func TestPassages(t *testing.T) {
	for name, c := range map[string]struct {
		flags   sensor.Flag
		reasons []sensor.Reason
	}{
		"a vehicle":          {0, nil},
		"a simulated target": {sensor.FlagSimulated, []sensor.Reason{sensor.ReasonSimulated}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				x := &emulator.AGD{}
				plugs := make(chan *emulator.AGD, 1)
				plugs <- x
				s := source(t, plugs)
				go func() {
					time.Sleep(5 * time.Second) // while it is set up
					drive(x, 80, 2, c.flags)
				}()
				p := next(t, s)
				if !slices.Equal(p.Reasons, c.reasons) || p.Speed > 7200 || p.Speed < 7100 || p.Direction != sensor.Approaching {
					t.Errorf("%v, %v %v", p.Reasons, p.Speed, p.Direction)
				}
			})
		})
	}
}

// A radar that is unplugged while a vehicle passes, and plugged in again, gives a
// passage with its reason, and the next vehicle a valid one.
func TestUnpluggedInMidPassage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first, second := &emulator.AGD{}, &emulator.AGD{}
		plugs := make(chan *emulator.AGD, 2)
		plugs <- first
		s := source(t, plugs)
		go func() {
			time.Sleep(5 * time.Second)
			drive(first, 80, 30, 0)
			first.Unplug()
			time.Sleep(3 * time.Second)
			plugs <- second
			time.Sleep(5 * time.Second)
			drive(second, 80, 2, 0)
		}()
		if p := next(t, s); !slices.Contains(p.Reasons, sensor.ReasonLostSamples) {
			t.Errorf("cut: %v, %v", p.Reasons, p.Speed)
		}
		if p := next(t, s); !p.Valid() || p.Speed > 7200 || p.Speed < 7100 {
			t.Errorf("the next: %v, %v", p.Reasons, p.Speed)
		}
	})
}
