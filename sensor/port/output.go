//go:build linux

package port

import (
	"fmt"

	"github.com/warthog618/go-gpiocdev"
	"periph.io/x/conn/v3/gpio"
	"periph.io/x/conn/v3/physic"
	"periph.io/x/conn/v3/pin"
)

// An Output is a line that we drive, such as one with a lamp. It implements
// [gpio.PinOut]. Only one goroutine may use it at a time.
type Output struct {
	name string
	line *gpiocdev.Line
}

var _ gpio.PinOut = (*Output)(nil)

// OpenOutput takes a free line by its name, as [FindLine] wants it, as an output
// that is low. [Output.Halt] gives the line back.
func OpenOutput(name string) (*Output, error) {
	chip, offset, err := FindLine(name)
	if err != nil {
		return nil, err
	}
	c, err := openChip(chip)
	if err != nil {
		return nil, fmt.Errorf("pin %s: %w", name, err)
	}
	defer c.Close()
	line, err := c.RequestLine(offset, gpiocdev.AsOutput(0))
	if err != nil {
		return nil, fmt.Errorf("pin %s: %w", name, err)
	}
	return &Output{name, line}, nil
}

// Out drives the line high or low.
func (o *Output) Out(l gpio.Level) error {
	value := 0
	if l {
		value = 1
	}
	if err := o.line.SetValue(value); err != nil {
		return fmt.Errorf("pin %s: %w", o.name, err)
	}
	return nil
}

// PWM is what such a line cannot do.
func (o *Output) PWM(gpio.Duty, physic.Frequency) error {
	return fmt.Errorf("pin %s: high and low, and nothing between", o.name)
}

// Halt drives the line low and gives it back.
func (o *Output) Halt() error {
	err := o.Out(gpio.Low)
	if e := o.line.Close(); err == nil {
		err = e
	}
	return err
}

func (o *Output) String() string   { return o.name }
func (o *Output) Name() string     { return o.name }
func (o *Output) Number() int      { return o.line.Offset() }
func (o *Output) Function() string { return string(gpio.OUT) }

// Func says that it is an output.
func (o *Output) Func() pin.Func { return gpio.OUT }
