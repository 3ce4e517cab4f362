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

func (s *slowSecond) Measure(ctx context.Context, p sensor.Passage, shots []capture.Shot) (sensor.Speed, sensor.Speed, error) {
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
