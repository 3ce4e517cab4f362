package evidence

import (
	"fmt"
	"time"

	"ciglio/sensor"
)

// Moment prints an instant of a record as every verifier does: local time of the
// site, and UTC.
func Moment(t time.Time) string {
	const layout = "2006-01-02 15:04:05.000000"
	return SiteTime(t).Format(layout+" MST") + " (" + t.UTC().Format(layout) + " UTC)"
}

// bound is the offset plus twice the standard uncertainty: what UTC is within in
// 95 of 100 cases.
func bound(c sensor.ClockState) time.Duration { return c.Offset.Abs() + 2*c.Uncertainty }

// milliseconds prints a duration in milliseconds with three decimals, cut off.
func milliseconds(d time.Duration) string {
	us := d.Microseconds()
	return fmt.Sprintf("%d.%03d ms", us/1000, us%1000)
}
