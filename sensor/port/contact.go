//go:build linux

package port

import (
	"fmt"
	"strconv"
	"strings"

	"periph.io/x/conn/v3/gpio"
)

// OpenContact takes an input line by its name, as [FindLine] wants it, and watches
// it for both edges. Pull is "up", "down" or "none"; "" leaves what the board has.
// [Pin.Halt] gives the line back.
func OpenContact(name, pull string) (*Pin, error) {
	pulls := map[string]gpio.Pull{"": gpio.PullNoChange, "up": gpio.PullUp, "down": gpio.PullDown, "none": gpio.Float}
	bias, ok := pulls[pull]
	if !ok {
		return nil, fmt.Errorf("pin %s: no pull %q: want up, down or none", name, pull)
	}
	chip, offset, err := FindLine(name)
	if err != nil {
		return nil, err
	}
	p := NewPin(chip, offset)
	if err := p.In(bias, gpio.BothEdges); err != nil {
		return nil, err
	}
	return p, nil
}

// FindLine returns chip and offset of an input line. Its name is both of them, as
// "gpiochip0-17", which is not looked for, or what the device tree calls the line,
// as "GPIO17". That must be the name of one line in the whole machine: the error
// wraps [ErrNoLine] when there is none, and says which there are when there are
// several. A chip that cannot be read is an error, since it may have one, too.
//
// Numbers of chips change with the kernel; names of lines belong to the board.
func FindLine(name string) (chip string, offset int, err error) {
	if strings.HasPrefix(name, "gpiochip") {
		return splitLine(name)
	}
	return findLine(name, chips(), lineNames)
}

func splitLine(name string) (chip string, offset int, err error) {
	chip, line, ok := strings.Cut(name, "-")
	n, err := strconv.ParseUint(line, 10, 16)
	if !ok || err != nil || strings.Contains(chip, "/") {
		return "", 0, fmt.Errorf("pin %q: want chip and line, as gpiochip0-17", name)
	}
	return chip, int(n), nil
}

func findLine(name string, chips []string, names func(chip string) ([]string, error)) (chip string, offset int, err error) {
	var found []string
	for _, c := range chips {
		lines, err := names(c)
		if err != nil {
			return "", 0, fmt.Errorf("pin %s: looked for on %s: %w", name, c, err)
		}
		for i, line := range lines {
			if line == name {
				chip, offset = c, i
				found = append(found, fmt.Sprintf("%s-%d", c, i))
			}
		}
	}
	switch len(found) {
	case 0:
		return "", 0, fmt.Errorf("pin %s: %w in this machine; gpioinfo lists them", name, ErrNoLine)
	case 1:
		return chip, offset, nil
	}
	return "", 0, fmt.Errorf("pin %s: the name of %d lines: want one of %s", name, len(found), strings.Join(found, ", "))
}
