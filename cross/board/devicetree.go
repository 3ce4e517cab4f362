package board

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
)

// trigger is the GPIO controller in QEMU's device tree: gpiochip0, of 8 lines.
const trigger = "/pl061@9030000"

// nameLines makes the device tree of a machine with the given arguments, in which
// the lines of gpiochip0 have names as on a board that one can buy, and returns
// its file.
func (b *Board) nameLines(ctx context.Context, machine, names []string) (string, error) {
	tree := filepath.Join(b.dir, "board.dtb")
	dump := exec.CommandContext(ctx, "qemu-system-aarch64", append(machine, "-nodefaults", "-display", "none", "-machine", "dumpdtb="+commas(tree))...)
	put := exec.CommandContext(ctx, "fdtput", append([]string{"-t", "s", tree, trigger, "gpio-line-names"}, names...)...)
	for _, c := range []*exec.Cmd{dump, put} {
		if said, err := c.CombinedOutput(); err != nil {
			return "", fmt.Errorf("board: names of lines: %s: %w (Debian packages qemu-system-arm, device-tree-compiler): %s", filepath.Base(c.Path), err, said)
		}
	}
	return tree, nil
}
