//go:build linux

package port

import (
	"errors"
	"fmt"

	"github.com/warthog618/go-gpiocdev"
	"periph.io/x/conn/v3/gpio"
)

// inputLine is a line that the kernel has given us as an input.
type inputLine interface {
	Value() (int, error)
	Close() error // waits for a call of keep that is under way
}

// asker asks the kernel for a line as an input. keep is called for every edge,
// one at a time.
type asker func(chip string, offset int, pull gpio.Pull, edge gpio.Edge, keep func(gpiocdev.LineEvent)) (inputLine, error)

// askKernel implements asker. It refuses a line that is not a free input
// already, by what the kernel has noted of it: that asks no pin anything.
func askKernel(chip string, offset int, pull gpio.Pull, edge gpio.Edge, keep func(gpiocdev.LineEvent)) (inputLine, error) {
	c, err := openChip(chip)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	info, err := c.LineInfo(offset)
	if err != nil {
		return nil, err
	}
	if err := freeInput(info); err != nil {
		return nil, err
	}
	line, err := c.RequestLine(offset, request(pull, edge, keep)...)
	if err != nil {
		return nil, err
	}
	return line, nil
}

func freeInput(info gpiocdev.LineInfo) error {
	switch {
	case info.Used:
		return fmt.Errorf("in use by %q", info.Consumer)
	case info.Config.Direction != gpiocdev.LineDirectionInput:
		return errors.New("an output: its direction is not ours to change")
	}
	return nil
}

// request returns what is asked of the kernel for a line. Its own debouncing is
// left off: it would stamp an edge when it has settled, not when it came.
func request(pull gpio.Pull, edge gpio.Edge, keep func(gpiocdev.LineEvent)) []gpiocdev.LineReqOption {
	options := []gpiocdev.LineReqOption{gpiocdev.AsInput}
	switch pull {
	case gpio.Float:
		options = append(options, gpiocdev.WithBiasDisabled)
	case gpio.PullDown:
		options = append(options, gpiocdev.WithPullDown)
	case gpio.PullUp:
		options = append(options, gpiocdev.WithPullUp)
	}
	if edge == gpio.NoEdge {
		return options
	}
	options = append(options, gpiocdev.WithMonotonicEventClock,
		gpiocdev.WithEventBufferSize(kept), gpiocdev.WithEventHandler(keep))
	switch edge {
	case gpio.RisingEdge:
		return append(options, gpiocdev.WithRisingEdge)
	case gpio.FallingEdge:
		return append(options, gpiocdev.WithFallingEdge)
	default:
		return append(options, gpiocdev.WithBothEdges)
	}
}
