package strobe

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"periph.io/x/conn/v3/gpio"
	"periph.io/x/conn/v3/gpio/gpiotest"

	"ciglio/sensor"
)

const ms = time.Millisecond

type clock struct{ start time.Time }

func (c clock) Now() sensor.Mono                  { return sensor.Mono(time.Since(c.start)).Add(time.Hour) }
func (c clock) Pair() (sensor.Mono, time.Time)    { return c.Now(), time.Now() }
func (c clock) State() (sensor.ClockState, error) { return sensor.ClockState{}, nil }

// played is an output that keeps when it changed, and may fail or be slow.
type played struct {
	gpiotest.Pin
	clock sensor.Clock
	slow  time.Duration // that driving it low takes

	mu     sync.Mutex
	fail   error // of driving it high
	up     sensor.Mono
	widths []time.Duration
	read   bool
	halted int
}

func (p *played) Read() gpio.Level {
	p.read = true
	return p.Pin.Read()
}

func (p *played) Out(l gpio.Level) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if l == gpio.High && p.fail != nil {
		return p.fail
	}
	if l == gpio.High {
		p.up = p.clock.Now()
	} else if p.Pin.L == gpio.High {
		time.Sleep(p.slow)
		p.widths = append(p.widths, p.clock.Now().Sub(p.up))
	}
	return p.Pin.Out(l)
}

func (p *played) Halt() error {
	p.halted++
	return p.Out(gpio.Low)
}

// run runs a strobe until the returned function is called.
func run(t *testing.T, s *Strobe) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- s.Run(ctx) }()
	return func() {
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("Run: %v", err)
		}
	}
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func TestPulsesAreBounded(t *testing.T) {
	for _, c := range []struct {
		name  string
		runs  time.Duration
		slow  time.Duration
		width time.Duration // of every pulse
		count int
		found string
	}{
		{"twenty-five a second", time.Second + ms, 0, 2 * ms, 25, ""},
		{"ended in mid-pulse: it is finished, and the line is low", 41 * ms, 0, 2 * ms, 1, ""},
		{"a machine that is late", 125 * ms, 11 * ms, 13 * ms, 3, "a pulse of 2ms took 13ms"},
		{"a machine that is hardly late", 125 * ms, 10 * ms, 12 * ms, 3, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				clock := clock{time.Now()}
				line := &played{clock: clock, slow: c.slow}
				s := New(Options{
					Output: func() (Output, error) { return line, nil }, Every: 40 * ms, Pulse: 2 * ms, Clock: clock, Log: quiet(),
				})
				stop := run(t, s)
				time.Sleep(c.runs)
				synctest.Wait()
				found := s.Findings(clock.Now())
				stop()
				if line.L != gpio.Low || line.halted != 1 || line.read {
					t.Errorf("the line is %v, was given back %d times, and read: %v", line.L, line.halted, line.read)
				}
				if len(line.widths) != c.count || slices.ContainsFunc(line.widths, func(d time.Duration) bool { return d != c.width }) {
					t.Errorf("pulses of %v, want %d of %v", line.widths, c.count, c.width)
				}
				if (len(found) > 0) != (c.found != "") || c.found != "" && !strings.Contains(found[0].Words(), c.found) {
					t.Errorf("found %v, want %q", found, c.found)
				}
			})
		})
	}
}

func TestOutputThatFailsIsOpenedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		clock := clock{time.Now()}
		line := &played{clock: clock, fail: errors.New("no power")}
		s := New(Options{
			Output: func() (Output, error) { return line, nil }, Every: 40 * ms, Pulse: 2 * ms, Clock: clock, Log: quiet(),
		})
		defer run(t, s)()
		time.Sleep(100 * ms)
		synctest.Wait()
		if found := s.Findings(clock.Now()); len(found) != 1 || found[0].Code != Code || found[0].Words() != "strobe: no power" {
			t.Errorf("found %v", found)
		}
		line.mu.Lock()
		line.fail = nil
		line.mu.Unlock()
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if found := s.Findings(clock.Now()); len(found) != 0 || len(line.widths) == 0 {
			t.Errorf("found %v after %d pulses", found, len(line.widths))
		}
	})
}

// input gives the edges of a test.
type input chan sensor.Edge

func (in input) Next(ctx context.Context) (sensor.Edge, error) {
	select {
	case <-ctx.Done():
		return sensor.Edge{}, ctx.Err()
	case e, ok := <-in:
		if !ok {
			return e, io.ErrUnexpectedEOF
		}
		return e, nil
	}
}

func (input) Halt() error { return nil }

func TestOneReturnIsOfOnePicture(t *testing.T) {
	const at = sensor.Mono(3600e9)
	rise := func(after time.Duration) sensor.Edge { return sensor.Edge{At: at.Add(after), Rising: true} }
	fall := func(after time.Duration) sensor.Edge { return sensor.Edge{At: at.Add(after)} }
	lost := func(e sensor.Edge) sensor.Edge { e.Lost = 1; return e }
	for _, c := range []struct {
		name    string
		edges   []sensor.Edge
		falling bool
		want    time.Duration // after the start of exposure
		ok      bool
	}{
		{"as exposure begins", []sensor.Edge{rise(0), fall(ms)}, false, 0, true},
		{"the bound before", []sensor.Edge{rise(-20 * ms), fall(-19 * ms)}, false, -20 * ms, true},
		{"a nanosecond more", []sensor.Edge{rise(-20*ms - 1), fall(-19 * ms)}, false, 0, false},
		{"the bound after its end", []sensor.Edge{rise(21 * ms), fall(22 * ms)}, false, 21 * ms, true},
		{"a nanosecond more", []sensor.Edge{rise(21*ms + 1), fall(22 * ms)}, false, 0, false},
		{"between those of its neighbours", []sensor.Edge{rise(-40 * ms), fall(-39 * ms), rise(0), fall(ms), rise(40 * ms)}, false, 0, true},
		{"none", nil, false, 0, false},
		{"two", []sensor.Edge{rise(-ms), fall(0), rise(ms)}, false, 0, false},
		{"one, and an edge was lost before it", []sensor.Edge{rise(-40 * ms), lost(fall(-39 * ms)), rise(0)}, false, 0, true},
		{"one, and an edge was lost behind it", []sensor.Edge{rise(0), lost(fall(ms))}, false, 0, false},
		{"instants that run back", []sensor.Edge{rise(0), fall(ms), rise(-ms - 1)}, false, -ms - 1, true},
		{"a line that is low while it exposes", []sensor.Edge{fall(0), rise(ms)}, true, 0, true},
		{"the same, taken for the other kind", []sensor.Edge{fall(-21 * ms), rise(ms)}, true, 0, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := New(Options{Falling: c.falling, Bound: 20 * ms, Return: func() (Input, error) { return nil, nil }})
			for _, e := range c.edges {
				s.edge(e)
			}
			got, ok := s.Of(at, ms)
			if ok != c.ok || ok && got != at.Add(c.want) {
				t.Errorf("%v after, %v, want %v, %v", got.Sub(at), ok, c.want, c.ok)
			}
		})
	}
}

func TestKeptReturnsAreBounded(t *testing.T) {
	s := New(Options{Bound: ms})
	for i := range 3 * kept {
		s.edge(sensor.Edge{At: sensor.Mono(i) * 5e6, Rising: true})
		if len(s.edges) > kept {
			t.Fatalf("%d are kept", len(s.edges))
		}
	}
	for _, back := range []int{1, kept / 2} {
		at := sensor.Mono(3*kept-back) * 5e6
		if got, ok := s.Of(at, 0); !ok || got != at {
			t.Errorf("the return %d before the end: %v, %v", back, got, ok)
		}
	}
}

// Pictures come all the while; what the return does meanwhile is what is found.
func TestMissingReturnsAreFound(t *testing.T) {
	for _, c := range []struct {
		name string
		edge func(i int, at sensor.Mono) (sensor.Edge, bool) // of picture i
		want string
	}{
		{"each has its return", func(i int, at sensor.Mono) (sensor.Edge, bool) {
			return sensor.Edge{At: at, Rising: i%2 == 0}, i%2 == 0
		}, ""},
		{"none ever had one", func(int, sensor.Mono) (sensor.Edge, bool) { return sensor.Edge{}, false }, "no picture has had its return for 10 s"},
		{"none since six seconds", func(i int, at sensor.Mono) (sensor.Edge, bool) {
			return sensor.Edge{At: at, Rising: true}, i < 40
		}, "no picture has had its return for 6 s"},
		{"none for four seconds", func(i int, at sensor.Mono) (sensor.Edge, bool) {
			return sensor.Edge{At: at, Rising: true}, i < 60
		}, ""},
		{"all of another time than the camera's latency says", func(i int, at sensor.Mono) (sensor.Edge, bool) {
			return sensor.Edge{At: at.Add(-30 * ms), Rising: true}, true
		}, "camera.latency"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				clock, in := clock{time.Now()}, make(input)
				s := New(Options{Return: func() (Input, error) { return in, nil }, Bound: 20 * ms, Clock: clock, Log: quiet()})
				defer run(t, s)()
				for i := range 101 {
					time.Sleep(100 * ms)
					at := clock.Now()
					if e, ok := c.edge(i, at); ok {
						in <- e
					}
					s.Picture(at, ms)
				}
				time.Sleep(50 * ms)
				found := s.Findings(clock.Now())
				if (len(found) > 0) != (c.want != "") || c.want != "" && (found[0].Code != Code || !strings.Contains(found[0].Words(), c.want)) {
					t.Errorf("found %v, want %q", found, c.want)
				}
			})
		})
	}
}

func TestReturnThatFailsIsOpenedAgainAndForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		clock := clock{time.Now()}
		lines := []input{make(input), make(input)}
		opened := 0
		s := New(Options{Return: func() (Input, error) { opened++; return lines[min(opened, 2)-1], nil }, Bound: 20 * ms, Clock: clock, Log: quiet()})
		defer run(t, s)()
		at := clock.Now()
		lines[0] <- sensor.Edge{At: at, Rising: true}
		synctest.Wait()
		if _, ok := s.Of(at, ms); !ok {
			t.Error("the return is not kept")
		}
		close(lines[0])
		synctest.Wait()
		if _, ok := s.Of(at, ms); ok {
			t.Error("a return is kept although others may have been missed")
		}
		if found := s.Findings(clock.Now()); len(found) != 1 || !strings.Contains(found[0].Words(), "strobe's return: unexpected EOF") {
			t.Errorf("found %v", found)
		}
		time.Sleep(openAgain + ms)
		lines[1] <- sensor.Edge{At: clock.Now(), Rising: true}
		synctest.Wait()
		if _, ok := s.Of(clock.Now(), ms); !ok || len(s.Findings(clock.Now())) != 0 {
			t.Errorf("not opened again: %v", s.Findings(clock.Now()))
		}
	})
}
