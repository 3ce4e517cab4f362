package boardtest

import (
	"fmt"
	"time"

	"ciglio/cross/statement"
)

// Calibration returns a calibration statement for the emulated radar, whose
// serial number is "S1": in force for a day before and after an instant, for the
// measuring core of that identity.
func Calibration(at time.Time, core fmt.Stringer) string {
	from := at.AddDate(0, 0, -1)
	return string(statement.Calibration{ID: "BOARD", Serial: "S1", Core: core, From: from, To: at.AddDate(0, 0, 1), Checked: from}.Text())
}
