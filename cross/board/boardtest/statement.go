package boardtest

import (
	"fmt"
	"time"
)

// Calibration returns a calibration statement for the emulated radar, whose
// serial number is "S1": in force for a day before and after an instant, for the
// measuring core of that identity.
func Calibration(at time.Time, core fmt.Stringer) string {
	const form = "2006-01-02T15:04:05Z"
	from := at.UTC().AddDate(0, 0, -1).Format(form)
	return fmt.Sprintf(`id = "BOARD"
version = 1
sensor_serial = "S1"
cores = ["%[3]v"]
not_before = %[1]s
not_after = %[2]s
[approval]
words = "none: emulated radar"
from = %[1]s
[decree]
words = "none: emulated road"
from = %[1]s
[register]
words = "none: emulated device"
from = %[1]s
[functional_check]
words = "none: emulated device"
on = %[4]s
`, from, at.UTC().AddDate(0, 0, 1).Format(form), core, at.UTC().AddDate(0, 0, -1).Format(time.DateOnly))
}
