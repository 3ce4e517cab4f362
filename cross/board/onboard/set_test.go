//go:build linux

package onboard

import (
	"flag"
	"os"
	"testing"
)

var (
	attribute = flag.String("set", "", "TestSet: the file of /sys")
	value     = flag.String("value", "", "TestSet: what to write into it")
)

// TestSet writes a value into a file of /sys: to take a device from its driver
// and give it back, as if it were unplugged and plugged in again.
func TestSet(t *testing.T) {
	needBoard(t)
	if err := os.WriteFile(*attribute, []byte(*value), 0); err != nil {
		t.Fatal(err)
	}
}
