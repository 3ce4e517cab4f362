//go:build linux

package port

import (
	"strings"
	"testing"
)

func TestContactNamesAreChecked(t *testing.T) {
	for _, c := range []struct{ name, pin, pull, want string }{
		{"no line", "gpiochip0", "", "gpiochip0-17"},
		{"a line below 0", "gpiochip0--1", "", "gpiochip0-17"},
		{"a path", "gpiochip0/../mem-1", "", "gpiochip0-17"},
		{"not a chip", "ttyUSB0-1", "", "gpiochip0-17"},
		{"a line beyond any chip", "gpiochip0-65536", "", "gpiochip0-17"},
		{"no such pull", "gpiochip0-17", "left", "pull"},
		{"a chip that is not there", "gpiochip250-17", "up", "gpiochip250-17"},
	} {
		if p, err := OpenContact(c.pin, c.pull); err == nil || p != nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}
