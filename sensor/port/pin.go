//go:build linux

package port

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/warthog618/go-gpiocdev"
	"periph.io/x/conn/v3/gpio"
	"periph.io/x/conn/v3/gpio/gpioreg"
	"periph.io/x/conn/v3/physic"
	"periph.io/x/conn/v3/pin"

	"ciglio/sensor"
)

// kept is how many edges the kernel keeps for us, and we for the caller: some
// seconds of a contact that chatters, in 48 KiB.
const kept = 1024

// ErrHalted says that a pin was halted or set anew while its edges were read.
var ErrHalted = errors.New("halted or set anew")

// A Pin is an input line of a GPIO chip. It implements [gpio.PinIn] and, since
// the registry of periph wants it, [gpio.PinIO], whose Out and PWM always fail.
//
// Either [Pin.Next] or [Pin.WaitForEdge] fetches the edges, from one goroutine
// at a time; everything else may be called at any time.
type Pin struct {
	chip   string
	offset int
	ask    asker

	mu    sync.Mutex
	watch *watch // nil while the line is not held
}

var (
	_ gpio.PinIO   = (*Pin)(nil)
	_ sensor.Edges = (*Pin)(nil)
)

// NewPin names line offset of a chip, such as "gpiochip0". It touches nothing
// until [Pin.In].
func NewPin(chip string, offset int) *Pin {
	return &Pin{chip: chip, offset: offset, ask: askKernel}
}

// Register makes p known to [gpioreg] by its name.
func (p *Pin) Register() error { return gpioreg.Register(p) }

// Name returns chip and line, as "gpiochip0-17".
func (p *Pin) Name() string { return fmt.Sprintf("%s-%d", p.chip, p.offset) }

// String is Name.
func (p *Pin) String() string { return p.Name() }

// Number returns the line's number on its chip.
func (p *Pin) Number() int { return p.offset }

// Function implements [pin.Pin]. It asks nobody: "IN" after [Pin.In], else "".
func (p *Pin) Function() string { return string(p.Func()) }

// Func implements [pin.PinFunc] in the same way.
func (p *Pin) Func() pin.Func {
	if p.held() == nil {
		return pin.FuncNone
	}
	return gpio.IN
}

// SupportedFuncs implements [pin.PinFunc].
func (p *Pin) SupportedFuncs() []pin.Func { return []pin.Func{gpio.IN} }

// SetFunc implements [pin.PinFunc]: there is nothing to change.
func (p *Pin) SetFunc(f pin.Func) error {
	if f == gpio.IN {
		return p.In(gpio.PullNoChange, gpio.NoEdge)
	}
	return p.onlyInput()
}

// Out implements [gpio.PinOut]. It fails and touches nothing.
func (p *Pin) Out(gpio.Level) error { return p.onlyInput() }

// PWM implements [gpio.PinOut]. It fails and touches nothing.
func (p *Pin) PWM(gpio.Duty, physic.Frequency) error { return p.onlyInput() }

func (p *Pin) onlyInput() error { return fmt.Errorf("pin %s: an input, and nothing else", p) }

// In implements [gpio.PinIn]: it takes the line and forgets edges from before.
// Who waits for an edge is told. The line must be an input already that no other
// program, and no driver of the kernel, holds.
func (p *Pin) In(pull gpio.Pull, edge gpio.Edge) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.release()
	if edge < gpio.NoEdge || edge > gpio.BothEdges || pull > gpio.PullUp {
		return fmt.Errorf("pin %s: no such edge %v or pull %v", p, edge, pull)
	}
	w := &watch{
		pull: pull, edge: edge,
		events: make(chan gpiocdev.LineEvent, kept), ended: make(chan struct{}),
	}
	var err error
	if w.line, err = p.ask(p.chip, p.offset, pull, edge, w.keep); err != nil {
		return fmt.Errorf("pin %s: %w", p, err)
	}
	p.watch = w
	return nil
}

// Halt implements [conn.Resource]: it gives the line back, as an input still.
func (p *Pin) Halt() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.release()
	return nil
}

func (p *Pin) release() {
	if p.watch != nil {
		close(p.watch.ended)
		p.watch.line.Close() // an error would be that it was closed already
		p.watch = nil
	}
}

func (p *Pin) held() *watch {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.watch
}

// Read implements [gpio.PinIn]. Before [Pin.In], or when the kernel refuses, it
// is [gpio.Low].
func (p *Pin) Read() gpio.Level {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.watch == nil {
		return gpio.Low
	}
	v, err := p.watch.line.Value()
	return gpio.Level(err == nil && v == 1)
}

// Pull implements [gpio.PinIn]: as given to [Pin.In].
func (p *Pin) Pull() gpio.Pull {
	if w := p.held(); w != nil {
		return w.pull
	}
	return gpio.PullNoChange
}

// DefaultPull implements [gpio.PinIn]. The kernel does not tell.
func (p *Pin) DefaultPull() gpio.Pull { return gpio.PullNoChange }

// WaitForEdge implements [gpio.PinIn]. A timeout of 0 asks whether an edge has
// come, a negative one waits for good. Without a call of [Pin.In] for edges it
// returns false at once, as it does when the pin is halted or set anew.
func (p *Pin) WaitForEdge(timeout time.Duration) bool {
	w := p.held()
	if w == nil || w.edge == gpio.NoEdge {
		return false
	}
	select { // what is there already counts, also without time
	case <-w.ended:
		return false
	case e := <-w.events:
		w.edgeOf(e)
		return true
	default:
	}
	if timeout == 0 {
		return false
	}
	ctx := context.Background()
	if timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, timeout)
		defer cancel()
	}
	_, err := p.next(ctx, w)
	return err == nil
}

// Next implements [sensor.Edges]: edges in the order of the kernel. Lost counts
// those that the kernel or this program had no room for, by the gap in the
// line's sequence numbers. Of a line watched for both edges it is 1 when two
// edges of the same kind follow each other: the one between them was too short
// for the kernel. The error wraps [ErrHalted] when that is why.
func (p *Pin) Next(ctx context.Context) (sensor.Edge, error) {
	w := p.held()
	if w == nil || w.edge == gpio.NoEdge {
		return sensor.Edge{}, fmt.Errorf("pin %s: not set to see edges", p)
	}
	return p.next(ctx, w)
}

func (p *Pin) next(ctx context.Context, w *watch) (sensor.Edge, error) {
	if ctx.Err() != nil {
		return sensor.Edge{}, ctx.Err()
	}
	select {
	case <-ctx.Done():
		return sensor.Edge{}, ctx.Err()
	case <-w.ended:
		return sensor.Edge{}, fmt.Errorf("pin %s: %w", p, ErrHalted)
	case e := <-w.events:
		return w.edgeOf(e), nil
	}
}

// A watch is a line from one call of In to the next.
type watch struct {
	line   inputLine
	pull   gpio.Pull
	edge   gpio.Edge
	events chan gpiocdev.LineEvent
	ended  chan struct{}

	sequence uint32 // of the edge fetched last; the kernel's first is 1
	rising   bool   // the edge fetched last was
}

// keep is called for each event. When the queue is full it drops the event,
// which the next one's sequence number then tells.
func (w *watch) keep(e gpiocdev.LineEvent) {
	select {
	case w.events <- e:
	default:
	}
}

func (w *watch) edgeOf(e gpiocdev.LineEvent) sensor.Edge {
	edge := sensor.Edge{At: sensor.Mono(e.Timestamp), Rising: e.Type == gpiocdev.LineEventRisingEdge}
	edge.Lost = e.LineSeqno - w.sequence - 1 // the number wraps, and so does this
	if edge.Lost == 0 && w.edge == gpio.BothEdges && w.sequence != 0 && edge.Rising == w.rising {
		edge.Lost = 1
	}
	w.sequence, w.rising = e.LineSeqno, edge.Rising
	return edge
}
