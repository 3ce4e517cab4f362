//go:build linux

package port

import (
	"errors"
	"io/fs"
	"strings"
	"testing"
)

func TestContactNamesAreChecked(t *testing.T) {
	for _, c := range []struct{ name, pin, pull, want string }{
		{"no line", "gpiochip0", "", "gpiochip0-17"},
		{"a line below 0", "gpiochip0--1", "", "gpiochip0-17"},
		{"a path", "gpiochip0/../mem-1", "", "gpiochip0-17"},
		{"not a chip", "ttyUSB0-1", "", "no such line in this machine"},
		{"a line beyond any chip", "gpiochip0-65536", "", "gpiochip0-17"},
		{"no such pull", "gpiochip0-17", "left", "pull"},
		{"a chip that is not there", "gpiochip250-17", "up", "gpiochip250-17"},
	} {
		if p, err := OpenContact(c.pin, c.pull); err == nil || p != nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestLinesAreFoundByName(t *testing.T) {
	machine := map[string][]string{
		"gpiochip0": {"", "GPIO17", "GPIO27", "ID_SDA"},
		"gpiochip1": {"GPIO4", "", "ID_SDA"},
	}
	names := func(chip string) ([]string, error) {
		if lines, ok := machine[chip]; ok {
			return lines, nil
		}
		return nil, fs.ErrPermission
	}
	both := []string{"gpiochip0", "gpiochip1"}
	for _, c := range []struct {
		name   string
		chips  []string
		chip   string
		offset int
		err    string
	}{
		{"GPIO17", both, "gpiochip0", 1, ""},
		{"GPIO4", both, "gpiochip1", 0, ""},
		{"GPIO5", both, "", 0, "pin GPIO5: no such line in this machine; gpioinfo lists them"},
		{"gpio17", both, "", 0, "no such line"},
		{"ID_SDA", both, "", 0, "the name of 2 lines: want one of gpiochip0-3, gpiochip1-2"},
		{"GPIO17", append(both, "gpiochip2"), "", 0, "pin GPIO17: looked for on gpiochip2: permission denied"},
		{"GPIO17", nil, "", 0, "no such line"},
	} {
		chip, offset, err := findLine(c.name, c.chips, names)
		if c.err == "" {
			if chip != c.chip || offset != c.offset || err != nil {
				t.Errorf("%s: %s, %d, %v", c.name, chip, offset, err)
			}
			continue
		}
		if chip != "" || offset != 0 || err == nil || !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s: %s, %d, %v; want %q", c.name, chip, offset, err, c.err)
		}
	}
	if _, _, err := findLine("GPIO5", both, names); !errors.Is(err, ErrNoLine) {
		t.Errorf("not there: %v", err)
	}
}
