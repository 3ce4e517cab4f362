package agd_test

import (
	"testing"
	"testing/synctest"
	"time"

	"ciglio/cross/simulate/emulator"
	"ciglio/sensor"
)

// A heartbeat comes at any time after the last target of a vehicle, and must not
// make it look as if targets were missing.
func TestHeartbeatBehindAVehicle(t *testing.T) {
	for after := 50 * time.Millisecond; after <= 400*time.Millisecond; after += 50 * time.Millisecond {
		synctest.Test(t, func(t *testing.T) {
			x := &emulator.AGD{}
			plugs := make(chan *emulator.AGD, 1)
			plugs <- x
			s := source(t, plugs)
			go func() {
				time.Sleep(5 * time.Second)
				drive(x, 80, 2, 0)
				time.Sleep(after)
				x.Report(sensor.Cycle{At: sensor.Mono(100 * time.Second)})
			}()
			if p := next(t, s); !p.Valid() {
				t.Errorf("a heartbeat %v behind: %v", after, p.Reasons)
			}
		})
	}
}
