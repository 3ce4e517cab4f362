//go:build linux

package port

import (
	"errors"
	"fmt"

	"github.com/warthog618/go-gpiocdev"
)

// Consumer is the name under which this program holds lines.
const Consumer = "ciglio"

// ErrNoLine says that a chip has no line of that number.
var ErrNoLine = errors.New("no such line")

// A Chip is a GPIO chip as the kernel describes it.
type Chip struct {
	Label string // of the hardware; the same when chips change their numbers
	Lines int
	Infos []LineInfo // of the lines asked for
}

// LineInfo is what the kernel has noted of a line.
type LineInfo struct {
	Offset   int
	Name     string // from the device tree, such as "GPIO17"; often empty
	Consumer string // who holds it
	Used     bool
	Output   bool
}

// Describe asks the kernel what it has noted of a chip, such as "gpiochip0", and
// of some of its lines, by version 2 of the character device. It requests no
// line, and so reads and drives none. The error wraps [ErrNoLine] when that is why.
func Describe(chip string, offsets []int) (Chip, error) {
	// Naming the version keeps the library from asking line 0 to find it out.
	c, err := gpiocdev.NewChip(chip, gpiocdev.WithABIVersion(2), gpiocdev.WithConsumer(Consumer))
	if err != nil {
		return Chip{}, err
	}
	defer c.Close()
	d := Chip{Label: c.Label, Lines: c.Lines()}
	if len(offsets) == 0 && d.Lines > 0 {
		if _, err := c.LineInfo(0); err != nil { // does the kernel know version 2?
			return Chip{}, fmt.Errorf("version 2: %w", err)
		}
	}
	for _, offset := range offsets {
		if offset < 0 || offset >= d.Lines {
			return Chip{}, fmt.Errorf("%w %d: %s has 0 to %d", ErrNoLine, offset, c.Label, d.Lines-1)
		}
		info, err := c.LineInfo(offset)
		if err != nil {
			return Chip{}, fmt.Errorf("version 2, line %d: %w", offset, err)
		}
		d.Infos = append(d.Infos, LineInfo{
			Offset: offset, Name: info.Name, Consumer: info.Consumer, Used: info.Used,
			Output: info.Config.Direction != gpiocdev.LineDirectionInput,
		})
	}
	return d, nil
}
