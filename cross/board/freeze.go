package board

import "context"

// Freeze stops the board's processors and returns when what its disks had begun
// is done. QEMU then flushes them of its own accord: the last entry of a write log
// is that flush, not one of the board's. Nothing but Cut and Close is of use after it.
func (b *Board) Freeze(ctx context.Context) error { return b.monitor.do(ctx, "stop", nil) }
