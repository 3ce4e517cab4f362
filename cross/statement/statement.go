// Package statement writes the calibration statements of sensors that are simulated,
// or played by a test. Their words say so: they prove nothing of any sensor.
package statement

import (
	"fmt"
	"time"
)

// A Calibration is what differs from one to another. Instants are written in whole
// seconds.
type Calibration struct {
	ID          string
	Serial      string       // of the sensor
	Core        fmt.Stringer // the identity of the measuring core that it is for
	From, To    time.Time    // first and last instant in force, of every permit as well
	Checked     time.Time    // the day, in UTC, of the functional check
	Uncertainty string       // bound of the standard uncertainty, such as "1km/h"; "" for none
}

// Text returns the statement.
func (c Calibration) Text() []byte {
	bound := ""
	if c.Uncertainty != "" {
		bound = fmt.Sprintf("uncertainty = %q\n", c.Uncertainty)
	}
	from := c.From.UTC().Format(time.RFC3339)
	return fmt.Appendf(nil, `# A simulated sensor has no certificate: this statement stands in its place.
id = %q
version = 1
sensor_serial = %q
cores = ["%v"]
not_before = %s
not_after = %s
%s[approval]
words = "none: simulated sensor"
from = %[4]s
[decree]
words = "none: simulated road"
from = %[4]s
[register]
words = "none: simulated device"
from = %[4]s
[functional_check]
words = "none: simulated device"
on = %[7]s
`, c.ID, c.Serial, c.Core, from, c.To.UTC().Format(time.RFC3339), bound, c.Checked.UTC().Format(time.DateOnly))
}
