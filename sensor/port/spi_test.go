//go:build linux

package port

import (
	"testing"
)

func TestSlaveByName(t *testing.T) {
	for name, want := range map[string]bool{
		"/dev/spidev0.0": true, "/dev/spidev10.1": true,
		"/dev/spidev0": false, "/dev/spidev0.": false, "/dev/spidev-1.0": false, "/dev/spidev01.0": false,
		"/dev/spidev0.0.0": false, "/dev/ttyS0": false, "spidev0.0": false, "": false,
	} {
		if got := IsSPI(name); got != want {
			t.Errorf("%q: %v", name, got)
		}
	}
	if _, err := DialSPI("/dev/ttyS0", 1e6); err == nil {
		t.Error("a serial port was opened as a slave")
	}
	if _, err := DialSPI("/dev/spidev99.9", 1e6); err == nil {
		t.Errorf("a slave that is not there: %v", err)
	}
}
