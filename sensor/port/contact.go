//go:build linux

package port

import (
	"fmt"
	"strconv"
	"strings"

	"periph.io/x/conn/v3/gpio"
)

// OpenContact takes an input line by its name, chip and line as
// "gpiochip0-17", and watches it for both edges. Pull is "up", "down" or "none";
// "" leaves what the board has. [Pin.Halt] gives the line back.
func OpenContact(name, pull string) (*Pin, error) {
	pulls := map[string]gpio.Pull{"": gpio.PullNoChange, "up": gpio.PullUp, "down": gpio.PullDown, "none": gpio.Float}
	bias, ok := pulls[pull]
	if !ok {
		return nil, fmt.Errorf("pin %s: no pull %q: want up, down or none", name, pull)
	}
	chip, offset, err := SplitContact(name)
	if err != nil {
		return nil, err
	}
	p := NewPin(chip, offset)
	if err := p.In(bias, gpio.BothEdges); err != nil {
		return nil, err
	}
	return p, nil
}

// SplitContact returns chip and line of a name such as "gpiochip0-17".
func SplitContact(name string) (chip string, offset int, err error) {
	chip, line, ok := strings.Cut(name, "-")
	n, err := strconv.ParseUint(line, 10, 16)
	if !ok || err != nil || !strings.HasPrefix(chip, "gpiochip") || strings.Contains(chip, "/") {
		return "", 0, fmt.Errorf("pin %q: want chip and line, as gpiochip0-17", name)
	}
	return chip, int(n), nil
}
