//go:build linux

package port

import "testing"

func TestWhatIsNoChipIsNotDescribed(t *testing.T) {
	for _, name := range []string{"null", "gpiochip250", "../etc/passwd"} {
		if c, err := Describe(name, nil); err == nil {
			t.Errorf("%s described as %+v", name, c)
		}
	}
}
