package board

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// A Stick is a USB mass storage device.
type Stick struct {
	Image     string // raw image file
	ReadOnly  bool   // its switch is set to lock
	Rate      int64  // bytes a second that it can do; 0 means as fast as it goes
	BadSector int64  // a sector of 512 bytes that cannot be read; 0 means none
}

// A stick is one that is plugged in.
type stick struct{ id, group string }

// Plug plugs a stick in; what the other methods do, they do to the one that was
// plugged in last. The kernel of the board takes about a second to find
// it; the block device is the first that is free, such as /dev/sda.
func (b *Board) Plug(ctx context.Context, s Stick) error {
	b.mu.Lock()
	b.plugged++
	id := "stick" + strconv.Itoa(b.plugged)
	in := &stick{id: id, group: id + "-rate"}
	b.sticks = append(b.sticks, in)
	b.mu.Unlock()

	node := map[string]any{"driver": "raw", "read-only": s.ReadOnly, "file": map[string]any{
		"driver": "file", "filename": s.Image, "read-only": s.ReadOnly,
	}}
	if s.BadSector > 0 {
		node = map[string]any{"driver": "blkdebug", "read-only": s.ReadOnly, "image": node, "inject-error": []any{
			map[string]any{"event": "none", "iotype": "read", "errno": 5, "sector": s.BadSector},
		}}
	}
	err := b.monitor.do(ctx, "object-add", map[string]any{
		"qom-type": "throttle-group", "id": in.group, "limits": map[string]any{"bps-total": s.Rate},
	})
	if err != nil {
		return fmt.Errorf("board: stick: %w", err)
	}
	node = map[string]any{
		"driver": "throttle", "throttle-group": in.group, "node-name": in.id, "read-only": s.ReadOnly, "file": node,
	}
	if err := b.monitor.do(ctx, "blockdev-add", node); err != nil {
		return fmt.Errorf("board: stick %s: %w", s.Image, err)
	}
	err = b.monitor.do(ctx, "device_add", map[string]any{
		"driver": "usb-storage", "id": in.id, "drive": in.id, "bus": "usb.0", "removable": true, "serial": in.id,
	})
	if err != nil {
		return fmt.Errorf("board: stick %s: %w", s.Image, err)
	}
	return nil
}

// Unplug pulls the stick out, whatever the board is doing with it.
func (b *Board) Unplug(ctx context.Context) error {
	out, err := b.inside()
	if err != nil {
		return err
	}
	b.mu.Lock()
	b.sticks = slices.DeleteFunc(b.sticks, func(s *stick) bool { return s == out })
	b.mu.Unlock()
	if err := b.monitor.remove(ctx, out.id); err != nil {
		return fmt.Errorf("board: stick: %w", err)
	}
	if err := b.monitor.do(ctx, "blockdev-del", map[string]string{"node-name": out.id}); err != nil {
		return fmt.Errorf("board: stick: %w", err)
	}
	if err := b.monitor.do(ctx, "object-del", map[string]string{"id": out.group}); err != nil {
		return fmt.Errorf("board: stick: %w", err)
	}
	return nil
}

// SetStickRate changes how many bytes a second the stick does; 0 means as fast
// as it goes.
func (b *Board) SetStickRate(ctx context.Context, rate int64) error {
	in, err := b.inside()
	if err != nil {
		return err
	}
	err = b.monitor.do(ctx, "qom-set", map[string]any{
		"path": "/objects/" + in.group, "property": "limits", "value": map[string]any{"bps-total": rate},
	})
	if err != nil {
		return fmt.Errorf("board: stick: %w", err)
	}
	return nil
}

// StickTraffic returns how many bytes the board has read off the stick, and
// written to it.
func (b *Board) StickTraffic(ctx context.Context) (read, written int64, err error) {
	in, err := b.inside()
	if err != nil {
		return 0, 0, err
	}
	var all []struct {
		Device string `json:"qdev"`
		Stats  struct {
			Read    int64 `json:"rd_bytes"`
			Written int64 `json:"wr_bytes"`
		} `json:"stats"`
	}
	if err := b.monitor.ask(ctx, "query-blockstats", nil, &all); err != nil {
		return 0, 0, fmt.Errorf("board: stick: %w", err)
	}
	for _, d := range all {
		if strings.Contains(d.Device, "/"+in.id+"/") {
			return d.Stats.Read, d.Stats.Written, nil
		}
	}
	return 0, 0, errors.New("board: stick: QEMU does not know it")
}

func (b *Board) inside() (*stick, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.sticks) == 0 {
		return nil, errors.New("board: there is no stick in it")
	}
	return b.sticks[len(b.sticks)-1], nil
}
