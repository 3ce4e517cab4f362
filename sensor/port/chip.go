//go:build linux

package port

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

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

// openChip opens a chip. Naming the version keeps the library from asking line 0
// to find it out.
func openChip(name string) (*gpiocdev.Chip, error) {
	return gpiocdev.NewChip(name, gpiocdev.WithABIVersion(2), gpiocdev.WithConsumer(Consumer))
}

// chips returns the names of all chips. A link to one, as some systems have for
// programs that know its number of before, is none.
func chips() []string {
	return slices.DeleteFunc(gpiocdev.Chips(), func(name string) bool {
		info, err := os.Lstat(filepath.Join("/dev", name))
		return err == nil && info.Mode()&os.ModeSymlink != 0
	})
}

// lineNames returns what the device tree calls each line of a chip, "" where it
// has no name for it.
func lineNames(chip string) ([]string, error) {
	c, err := openChip(chip)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	names := make([]string, c.Lines())
	for i := range names {
		info, err := c.LineInfo(i)
		if err != nil {
			return nil, fmt.Errorf("version 2, line %d: %w", i, err)
		}
		names[i] = info.Name
	}
	return names, nil
}

// Describe asks the kernel what it has noted of a chip, such as "gpiochip0", and
// of some of its lines, by version 2 of the character device. It requests no
// line, and so reads and drives none. The error wraps [ErrNoLine] when that is why.
func Describe(chip string, offsets []int) (Chip, error) {
	c, err := openChip(chip)
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
