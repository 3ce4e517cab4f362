//go:build linux

package port

import (
	"context"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/warthog618/go-gpiocdev"
	"periph.io/x/conn/v3/gpio"
	"periph.io/x/conn/v3/gpio/gpioreg"

	"ciglio/sensor"
)

// fakeLine is what the kernel gives at the boundary of go-gpiocdev.
type fakeLine struct {
	level    int
	err      error
	closed   bool
	sequence uint32
	keep     func(gpiocdev.LineEvent)
}

func (l *fakeLine) Value() (int, error) { return l.level, l.err }
func (l *fakeLine) Close() error        { l.closed = true; return nil }

// edge plays one edge, after the kernel has lost some.
func (l *fakeLine) edge(at sensor.Mono, rising bool, lost uint32) {
	l.sequence += lost + 1
	kind := gpiocdev.LineEventFallingEdge
	if rising {
		kind = gpiocdev.LineEventRisingEdge
	}
	l.keep(gpiocdev.LineEvent{Timestamp: time.Duration(at), Type: kind, Seqno: l.sequence, LineSeqno: l.sequence})
}

// newFakePin returns a pin and the line that its next call of In gets.
func newFakePin() (*Pin, *fakeLine) {
	l := new(fakeLine)
	p := NewPin("gpiochip9", 4)
	p.ask = func(_ string, _ int, _ gpio.Pull, _ gpio.Edge, keep func(gpiocdev.LineEvent)) (inputLine, error) {
		l.closed, l.keep, l.sequence = false, keep, 0
		return l, nil
	}
	return p, l
}

func edgePin(t *testing.T, edge gpio.Edge) (*Pin, *fakeLine) {
	t.Helper()
	p, l := newFakePin()
	if err := p.In(gpio.PullUp, edge); err != nil {
		t.Fatal(err)
	}
	return p, l
}

func TestEdgesKeepInstantAndGaps(t *testing.T) {
	p, l := edgePin(t, gpio.BothEdges)
	l.edge(1_000_000_007, true, 0)
	l.edge(1_000_000_017, false, 0)
	l.edge(1_000_000_027, true, 2)
	l.edge(1_000_000_037, true, 0) // the falling one was too short to be seen
	l.edge(1_000_000_047, false, 0)
	for _, want := range []sensor.Edge{
		{At: 1_000_000_007, Rising: true},
		{At: 1_000_000_017},
		{At: 1_000_000_027, Rising: true, Lost: 2},
		{At: 1_000_000_037, Rising: true, Lost: 1},
		{At: 1_000_000_047},
	} {
		if got, err := p.Next(t.Context()); err != nil || got != want {
			t.Errorf("edge %+v, %v, want %+v", got, err, want)
		}
	}
}

func TestEdgesOfOneKindFollowEachOther(t *testing.T) {
	p, l := edgePin(t, gpio.RisingEdge)
	l.edge(1, true, 0)
	l.edge(2, true, 0)
	for range 2 {
		if e, err := p.Next(t.Context()); err != nil || e.Lost != 0 {
			t.Errorf("edge %+v, %v", e, err)
		}
	}
}

func TestFirstEdgesLostAreKnown(t *testing.T) {
	p, l := edgePin(t, gpio.RisingEdge)
	l.edge(5, true, 3)
	if e, err := p.Next(t.Context()); err != nil || e.Lost != 3 {
		t.Errorf("edge %+v, %v", e, err)
	}
}

func TestSequenceWraps(t *testing.T) {
	p, l := edgePin(t, gpio.RisingEdge)
	l.sequence = 1<<32 - 2
	l.edge(1, true, 0)
	l.edge(2, true, 0)
	l.edge(3, true, 1)
	p.Next(t.Context())
	for _, lost := range []uint32{0, 1} {
		if e, err := p.Next(t.Context()); err != nil || e.Lost != lost {
			t.Errorf("edge %+v, %v, want %d lost", e, err, lost)
		}
	}
}

func TestQueueIsBoundedAndSaysWhatItDropped(t *testing.T) {
	p, l := edgePin(t, gpio.RisingEdge)
	for i := range kept + 7 {
		l.edge(sensor.Mono(i), true, 0)
	}
	for i := range kept {
		if e, err := p.Next(t.Context()); err != nil || e.At != sensor.Mono(i) || e.Lost != 0 {
			t.Fatalf("edge %d: %+v, %v", i, e, err)
		}
	}
	l.edge(9999, true, 0)
	if e, err := p.Next(t.Context()); err != nil || e.At != 9999 || e.Lost != 7 {
		t.Errorf("after the queue was full: %+v, %v, want 7 lost", e, err)
	}
}

func TestNextEnds(t *testing.T) {
	for _, c := range []struct {
		name string
		end  func(p *Pin, cancel context.CancelFunc)
		want error
	}{
		{"with its context", func(_ *Pin, cancel context.CancelFunc) { cancel() }, context.Canceled},
		{"when the pin is halted", func(p *Pin, _ context.CancelFunc) { p.Halt() }, ErrHalted},
		{"when the pin is set anew", func(p *Pin, _ context.CancelFunc) { p.In(gpio.Float, gpio.RisingEdge) }, ErrHalted},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, _ := edgePin(t, gpio.BothEdges)
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				ended := make(chan error)
				go func() {
					_, err := p.Next(ctx)
					ended <- err
				}()
				synctest.Wait()
				c.end(p, cancel)
				if err := <-ended; !errors.Is(err, c.want) {
					t.Errorf("error %v, want %v", err, c.want)
				}
			})
		})
	}
}

func TestWaitForEdge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, l := edgePin(t, gpio.BothEdges)
		begin := time.Now()
		if p.WaitForEdge(0) {
			t.Error("0: an edge where none was")
		}
		if waited := time.Since(begin); waited != 0 {
			t.Errorf("0: waited %v", waited)
		}
		if p.WaitForEdge(70*time.Millisecond) || time.Since(begin) != 70*time.Millisecond {
			t.Errorf("70 ms without an edge: false after %v", time.Since(begin))
		}
		l.edge(1, true, 0)
		l.edge(2, false, 0)
		if !p.WaitForEdge(0) || !p.WaitForEdge(1) || p.WaitForEdge(0) {
			t.Error("two edges that had come are there, each once")
		}

		for _, timeout := range []time.Duration{-1, -time.Hour, 25 * time.Hour} {
			begin, seen := time.Now(), make(chan bool)
			go func() { seen <- p.WaitForEdge(timeout) }()
			time.Sleep(24 * time.Hour)
			l.edge(3, true, 0)
			if !<-seen || time.Since(begin) != 24*time.Hour {
				t.Errorf("%v: an edge after a day was not seen", timeout)
			}
			l.edge(4, false, 0)
			p.WaitForEdge(0)
		}

		for name, end := range map[string]func(){
			"halted":    func() { p.Halt() },
			"set anew":  func() { p.In(gpio.PullNoChange, gpio.BothEdges) },
			"no longer": func() { p.In(gpio.PullNoChange, gpio.NoEdge) },
		} {
			if err := p.In(gpio.PullNoChange, gpio.BothEdges); err != nil {
				t.Fatal(err)
			}
			seen := make(chan bool)
			go func() { seen <- p.WaitForEdge(-1) }()
			synctest.Wait()
			end()
			if <-seen {
				t.Errorf("%s: an edge where none was", name)
			}
		}
		if err := p.In(gpio.PullNoChange, gpio.NoEdge); err != nil || p.WaitForEdge(-1) {
			t.Errorf("an edge of a line that is not watched for any, %v", err)
		}
	})
}

func TestInForgetsEdgesFromBefore(t *testing.T) {
	p, l := edgePin(t, gpio.RisingEdge)
	l.edge(1, true, 0)
	if err := p.In(gpio.PullUp, gpio.RisingEdge); err != nil {
		t.Fatal(err)
	}
	if p.WaitForEdge(0) {
		t.Error("an edge from before")
	}
}

func TestLevelIsAskedOfAHeldLineOnly(t *testing.T) {
	p, l := newFakePin()
	l.level = 1
	if p.Read() != gpio.Low || p.Function() != "" || p.Pull() != gpio.PullNoChange {
		t.Error("the line was asked before In")
	}
	if err := p.In(gpio.PullDown, gpio.NoEdge); err != nil {
		t.Fatal(err)
	}
	if p.Read() != gpio.High || p.Function() != "IN" || p.Pull() != gpio.PullDown {
		t.Error("the line is held and not told")
	}
	l.err = errors.New("gone")
	if p.Read() != gpio.Low {
		t.Error("a level that the kernel did not give")
	}
	if p.Halt() != nil || !l.closed || p.Read() != gpio.Low {
		t.Error("the line is held after Halt")
	}
	if _, err := p.Next(t.Context()); err == nil {
		t.Error("an edge of a line that is not held")
	}
}

func TestNoOutput(t *testing.T) {
	p := NewPin("gpiochip9", 4)
	p.ask = func(string, int, gpio.Pull, gpio.Edge, func(gpiocdev.LineEvent)) (inputLine, error) {
		t.Error("the kernel was asked")
		return nil, io.EOF
	}
	if p.Out(gpio.High) == nil || p.PWM(gpio.DutyHalf, 1) == nil || p.SetFunc(gpio.OUT) == nil || p.In(gpio.PullUp, 4) == nil {
		t.Error("an output was made of an input")
	}
}

func TestLineThatIsNotAFreeInputIsRefused(t *testing.T) {
	for _, c := range []struct {
		name string
		info gpiocdev.LineInfo
		ok   bool
	}{
		{"a free input", gpiocdev.LineInfo{Config: gpiocdev.LineConfig{Direction: gpiocdev.LineDirectionInput}}, true},
		{"an output", gpiocdev.LineInfo{Config: gpiocdev.LineConfig{Direction: gpiocdev.LineDirectionOutput}}, false},
		{"of unknown direction", gpiocdev.LineInfo{}, false},
		{"an input of a driver", gpiocdev.LineInfo{Used: true, Consumer: "sysfs", Config: gpiocdev.LineConfig{Direction: gpiocdev.LineDirectionInput}}, false},
	} {
		if err := freeInput(c.info); (err == nil) != c.ok {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// TestOnlyInputsAreAskedFor holds the package to the calls of go-gpiocdev that
// leave outputs alone: a new one is a decision.
func TestOnlyInputsAreAskedFor(t *testing.T) {
	allowed := map[string]bool{
		"Chips": true, // reads the names in /dev, and opens none
		"Chip":  true, "NewChip": true, "WithABIVersion": true, "WithConsumer": true, "AsInput": true,
		"WithBiasDisabled": true, "WithPullDown": true, "WithPullUp": true,
		"WithMonotonicEventClock": true, "WithEventBufferSize": true, "WithEventHandler": true,
		"WithRisingEdge": true, "WithFallingEdge": true, "WithBothEdges": true,
		"LineReqOption": true, "LineEvent": true, "LineEventRisingEdge": true, "LineInfo": true, "LineDirectionInput": true,
	}
	// Lamp and strobe are driven by what is in one file, and never read there.
	driven := map[string]map[string]bool{"output.go": {"Line": true, "AsOutput": true, "SetValue": true}}
	never := map[string]bool{"SetValue": true, "SetValues": true, "Reconfigure": true, "WatchLineInfo": true, "FindLine": true, "RequestLines": true}
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range file.Imports {
			if path, _ := strconv.Unquote(i.Path.Value); strings.Contains(path, "gpio") &&
				path != "github.com/warthog618/go-gpiocdev" && !strings.HasPrefix(path, "periph.io/x/conn/v3/gpio") || i.Name != nil {
				t.Errorf("%s imports %s", name, i.Path.Value)
			}
		}
		ast.Inspect(file, func(n ast.Node) bool {
			s, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			if x, ok := s.X.(*ast.Ident); ok && x.Name == "gpiocdev" {
				seen++
				if !allowed[s.Sel.Name] && !driven[name][s.Sel.Name] {
					t.Errorf("%s uses gpiocdev.%s", name, s.Sel.Name)
				}
			}
			if driven[name] != nil && (s.Sel.Name == "Value" || s.Sel.Name == "Values") {
				t.Errorf("%s reads a line that it drives", name)
			}
			if never[s.Sel.Name] && !driven[name][s.Sel.Name] {
				t.Errorf("%s calls %s", name, s.Sel.Name)
			}
			return true
		})
	}
	if seen == 0 {
		t.Error("no use of go-gpiocdev found: this test looks at nothing")
	}
}

func TestPinIsRegisteredByName(t *testing.T) {
	p := NewPin("gpiochip9", 4)
	if err := p.Register(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { gpioreg.Unregister(p.Name()) })
	if got := gpioreg.ByName("gpiochip9-4"); got != gpio.PinIO(p) || got.Number() != 4 {
		t.Errorf("gpioreg knows %v", got)
	}
}

func TestChipThatIsNotThere(t *testing.T) {
	err := NewPin("gpiochip-none", 1).In(gpio.PullUp, gpio.BothEdges)
	if !errors.Is(err, os.ErrNotExist) || !strings.HasPrefix(err.Error(), "pin gpiochip-none-1: ") {
		t.Errorf("error %v", err)
	}
}
