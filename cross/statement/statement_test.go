package statement_test

import (
	"testing"
	"time"

	"ciglio/agent/calibration"
	"ciglio/capture/evidence"
	"ciglio/cross/statement"
)

// The device reads what is written, and nothing else.
func TestCalibrationIsRead(t *testing.T) {
	from := time.Date(2026, 5, 4, 12, 30, 15, 0, time.FixedZone("", 7200))
	for _, bound := range []string{"", "1.5km/h"} {
		c, err := calibration.Parse(statement.Calibration{
			ID: "SIM", Serial: "S1", Core: evidence.Hash{2}, From: from, To: from.AddDate(1, 0, 0), Checked: from, Uncertainty: bound,
		}.Text())
		if err != nil {
			t.Fatal(err)
		}
		if c.ID != "SIM" || c.Serial != "S1" || !c.NotBefore.Equal(from) || !c.NotAfter.Equal(from.AddDate(1, 0, 0)) || (c.Uncertainty == 0) != (bound == "") {
			t.Errorf("read as %+v", c)
		}
	}
}
