package device

import (
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"ciglio/agent/config"
	"ciglio/sensor/doppler"
)

// TestD07_WiringIsAFinding lets the vehicles of a sensor show that its channels are
// swapped: the self-test names the wiring, as long as they do.
func TestD07_WiringIsAFinding(t *testing.T) {
	c := config.Default()
	c.Device.Dir, c.Sensor.Model = t.TempDir(), "K-LC7"
	var wrong error
	l := &link{config: c.Sensor, vitals: newVitals(c, &fakeClock{start: time.Now()}, slog.New(slog.NewTextHandler(io.Discard, nil)))}
	l.scope = newScope(c, &fakeClock{start: time.Now()}, doppler.Format{Rate: int(c.Sensor.Rate), Complex: true})
	s := &LiveSource{link: l, wiring: func() error { return wrong }}
	if all := s.Findings(0); len(all) > 0 {
		t.Errorf("in order: %v", all)
	}
	wrong = doppler.ErrSwapped
	all := s.Findings(0)
	if len(all) != 1 || all[0].Code != findingWiring || !strings.Contains(all[0].Words(), "K-LC7: channels I and Q are swapped") {
		t.Errorf("swapped: %v", all)
	}
	wrong = nil
	if all := s.Findings(0); len(all) > 0 {
		t.Errorf("in order again: %v", all)
	}
}
