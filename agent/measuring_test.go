package agent

import (
	"context"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"ciglio/capture"
	"ciglio/sensor"
)

// slowSecond takes its time.
type slowSecond struct{ fakeSecond }

func (s *slowSecond) Measure(ctx context.Context, p sensor.Passage, shots []capture.Shot) (SecondSpeed, error) {
	time.Sleep(5 * time.Second)
	return s.fakeSecond.Measure(ctx, p, shots)
}

// A driver stamps what it reads when it reads it. What waits in the meantime
// would be taken for later than it was, and its pictures with it.
func TestSensorIsHeardWhileAViolationIsJudged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, withSecond(t, &slowSecond{fakeSecond{speed: 9250, u: 50}}))
		r.start(t)
		p := speeding()
		p.End = r.clock.Now().Add(-time.Second)
		p.Start = p.End.Add(-3 * time.Second)
		for n := range 4 {
			select {
			case r.sensor.passages <- p:
			default:
				t.Errorf("nobody listens to passage %d", n+1)
			}
			time.Sleep(100 * time.Millisecond)
			synctest.Wait()
		}
		r.sensor.fail(io.EOF)
		time.Sleep(30 * time.Second)
		synctest.Wait()
		if len(r.outcomes) != 4 {
			t.Errorf("%d outcomes, want those of all that came before the end", len(r.outcomes))
		}
		if len(r.outcomes) > 0 && r.outcomes[0].Record == nil {
			t.Errorf("not recorded: %v", r.outcomes[0].Reasons)
		}
		if err := r.stop(); err != nil {
			t.Error(err)
		}
	})
}

func TestPhotoIsOfThePhotoPosition(t *testing.T) {
	const way = 778 * time.Millisecond // for 20 m at 92.5 km/h
	for _, c := range []struct {
		name      string
		direction sensor.Direction
		told      time.Duration // before the end of the track; 0 for not
		want      time.Duration // before the end of the track, which lasts 3 s
	}{
		{"approaching: the track ends beside the device", sensor.Approaching, 0, way},
		{"leaving: it begins there", sensor.Receding, 0, 3*time.Second - way},
		{"approaching, and the sensor tells it", sensor.Approaching, 1300 * time.Millisecond, 1300 * time.Millisecond},
		{"leaving, and the sensor tells it", sensor.Receding, 1300 * time.Millisecond, 1300 * time.Millisecond},
		{"no direction, and the sensor tells it", sensor.DirectionUnknown, 1300 * time.Millisecond, 1300 * time.Millisecond},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, func(r *rig) { r.config.Site.Direction, r.config.Camera.Slots = sensor.DirectionUnknown, 96 })
				r.start(t)
				p := speeding()
				p.Direction = c.direction
				if c.told != 0 {
					p.Photo = r.clock.Now().Add(10*time.Second - 300*time.Millisecond - c.told) // as pass sets the end
				}
				o := r.pass(p)
				if o.Record == nil {
					t.Fatalf("not recorded: %v", o.Reasons)
				}
				record := o.Record.Record
				if off := o.Passage.End.Sub(record.Measurement.Photo) - c.want; off.Abs() > time.Millisecond {
					t.Errorf("photo position %v off", off)
				}
				if off := record.Frames[1].Mono.Sub(record.Measurement.Photo); off.Abs() > 41*time.Millisecond {
					t.Errorf("photo %v from the photo position", off)
				}
				if err := r.stop(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}
