// Package strobe drives the line that has a camera or a flash act, and watches the
// line on which the camera says that it exposes: the strobe's return.
//
// What it keeps true: the output is never read, and nothing is concluded from it
// having been driven. What a picture's record says of the strobe is the kernel's time
// stamp of an edge of the return, of which exactly one lay within the exposure. The
// output is high for as long as a pulse takes and low else: after an error, when the
// device ends, and from the moment at which it is opened again.
//
// A pulse is timed by this program. A process that is stopped, or killed, in the middle
// of one leaves the line high until it goes on, or is started anew; then the line
// is driven low first. What must never stay on longer has to be bounded by its own
// circuit, and docs/operation.md says so.
package strobe

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"periph.io/x/conn/v3/gpio"

	"ciglio/sensor"
)

// Code is the code of every finding.
const Code = "camera_strobe"

// Bounds.
const (
	kept      = 4096                  // edges: more than there are while a ring holds pictures
	pictures  = 256                   // that wait for their return
	late      = 20 * time.Millisecond // that the kernel's edge may take to this program
	overlong  = 10 * time.Millisecond // beyond its width: such a pulse is found
	patience  = 5 * time.Second       // without a return, or since an overlong pulse
	openAgain = time.Second
)

// An Output is a line that is driven.
type Output interface {
	Out(gpio.Level) error
	Halt() error
}

// An Input is a line that is watched for both edges.
type Input interface {
	sensor.Edges
	Halt() error
}

// Options says what is wired. Output and Return open their line; nil where there is
// none.
type Options struct {
	Output func() (Output, error)
	Every  time.Duration // from pulse to pulse
	Pulse  time.Duration // width

	Return  func() (Input, error)
	Falling bool          // the falling edge says that the exposure begins
	Bound   time.Duration // that a return may lie outside of the exposure

	Clock sensor.Clock
	Log   *slog.Logger
}

// A Strobe drives and watches. Its methods are safe for concurrent use.
type Strobe struct {
	o Options

	mu      sync.Mutex
	edges   []sensor.Mono // returns, ascending, at most kept
	waiting []picture     // whose exposure may not be over
	judged  sensor.Mono   // start of exposure of the newest picture that was judged; 0 for none
	good    sensor.Mono   // of the newest that had its return, or of the first picture
	output  error         // why the output is not driven
	input   error         // why the return is not watched
	long    time.Duration // the last pulse that was overlong
	longAt  sensor.Mono
}

// A picture is one whose return is awaited.
type picture struct {
	at       sensor.Mono
	exposure time.Duration
}

// New returns a strobe that is not opened yet.
func New(o Options) *Strobe { return &Strobe{o: o} }

// Returns reports whether a return is watched, so that each picture needs one.
func (s *Strobe) Returns() bool { return s.o.Return != nil }

// Run drives the output and watches the return until ctx ends, and returns
// ctx.Err(). A line that fails is opened anew every second.
func (s *Strobe) Run(ctx context.Context) error {
	var all sync.WaitGroup
	if s.o.Output != nil {
		all.Go(func() { s.again(ctx, "strobe", &s.output, s.drive) })
	}
	if s.o.Return != nil {
		all.Go(func() { s.again(ctx, "strobe's return", &s.input, s.watch) })
	}
	<-ctx.Done()
	all.Wait()
	return ctx.Err()
}

// again serves a line until ctx ends, and keeps in fault why it is not served.
func (s *Strobe) again(ctx context.Context, name string, fault *error, serve func(context.Context) error) {
	var last string
	for ctx.Err() == nil {
		err := serve(ctx)
		if ctx.Err() != nil {
			return
		}
		s.set(fault, fmt.Errorf("%s: %w", name, err))
		if err.Error() != last {
			last = err.Error()
			s.o.Log.Error("strobe fault", "line", name, "error", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(openAgain):
		}
	}
}

func (s *Strobe) set(fault *error, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	*fault = err
}

// drive gives pulses until ctx ends or the line fails. Pulses that are late are not
// made up for.
func (s *Strobe) drive(ctx context.Context) error {
	line, err := s.o.Output()
	if err != nil {
		return err
	}
	defer line.Halt() // which drives it low first
	s.set(&s.output, nil)
	tick := time.NewTicker(s.o.Every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
		if err := s.pulse(line); err != nil {
			return err
		}
	}
}

// pulse gives one pulse. It ends whatever else does: a device that ends waits for it.
func (s *Strobe) pulse(line Output) error {
	began := s.o.Clock.Now()
	err := line.Out(gpio.High)
	if err == nil {
		time.Sleep(s.o.Pulse)
	}
	if low := line.Out(gpio.Low); err == nil {
		err = low
	}
	now := s.o.Clock.Now()
	if took := now.Sub(began); took > s.o.Pulse+overlong {
		s.mu.Lock()
		s.long, s.longAt = took, now
		s.mu.Unlock()
	}
	return err
}

// watch keeps the returns until ctx ends or the line fails. Where an edge is missing,
// or instants run backwards, none of before counts: there may have been others.
func (s *Strobe) watch(ctx context.Context) error {
	line, err := s.o.Return()
	if err != nil {
		return err
	}
	defer line.Halt() // it was only read
	s.forget()
	s.set(&s.input, nil)
	for {
		e, err := line.Next(ctx)
		if err != nil {
			s.forget()
			return err
		}
		s.edge(e)
	}
}

// forget drops the returns.
func (s *Strobe) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.edges = nil
}

func (s *Strobe) edge(e sensor.Edge) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := len(s.edges); e.Lost > 0 || n > 0 && e.At <= s.edges[n-1] {
		s.edges = nil
	}
	if e.Rising == s.o.Falling {
		return
	}
	if len(s.edges) == kept {
		s.edges = append(s.edges[:0], s.edges[kept/2:]...)
	}
	s.edges = append(s.edges, e.At)
}

// Settled is when the return of a picture is known, if it has one.
func (s *Strobe) Settled(at sensor.Mono, exposure time.Duration) sensor.Mono {
	return at.Add(exposure + s.o.Bound + late)
}

// Of returns the return of a picture: the only one from the bound before its exposure
// began to the bound after it ended. There is none when none came, or several did,
// and before [Strobe.Settled] it may still come.
func (s *Strobe) Of(at sensor.Mono, exposure time.Duration) (sensor.Mono, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.of(at, exposure)
}

// of is Of; the caller holds mu.
func (s *Strobe) of(at sensor.Mono, exposure time.Duration) (sensor.Mono, bool) {
	var found []sensor.Mono
	for i := len(s.edges) - 1; i >= 0 && at.Sub(s.edges[i]) <= s.o.Bound; i-- {
		if s.edges[i].Sub(at) <= exposure+s.o.Bound {
			found = append(found, s.edges[i])
		}
	}
	if len(found) != 1 {
		return 0, false
	}
	return found[0], true
}

// Picture tells of a picture that the camera gave, whose return is to be awaited.
func (s *Strobe) Picture(at sensor.Mono, exposure time.Duration) {
	if s.o.Return == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settle(s.o.Clock.Now())
	if s.good == 0 {
		s.good = at
	}
	if len(s.waiting) < pictures {
		s.waiting = append(s.waiting, picture{at, exposure})
	}
}

// settle judges the pictures whose returns are known at the instant now. The caller
// holds mu.
func (s *Strobe) settle(now sensor.Mono) {
	n := 0
	for ; n < len(s.waiting) && s.Settled(s.waiting[n].at, s.waiting[n].exposure) <= now; n++ {
		p := s.waiting[n]
		s.judged = p.at
		if _, ok := s.of(p.at, p.exposure); ok {
			s.good = p.at
		}
	}
	s.waiting = append(s.waiting[:0], s.waiting[n:]...)
}

// Findings returns what is wrong with the strobe at the instant now: a line that is
// not there, pulses that were too long, pictures that have had no return for 5 s. It
// does not wait.
func (s *Strobe) Findings(now sensor.Mono) (all []sensor.Finding) {
	s.mu.Lock()
	defer s.mu.Unlock()
	find := func(facts ...sensor.Fact) { all = append(all, sensor.Finding{Code: Code, Facts: facts}) }
	for _, err := range []error{s.output, s.input} {
		if err != nil {
			find(sensor.Told(err.Error())...)
		}
	}
	if s.longAt != 0 && now.Sub(s.longAt) <= patience {
		find(sensor.Fact{Key: "camera_strobe_long", Words: "strobe: a pulse of {pulse} took {took}",
			Args: sensor.Args{"pulse": s.o.Pulse, "took": s.long.Round(time.Millisecond)}})
	}
	s.settle(now)
	if off := s.judged.Sub(s.good); s.input == nil && off >= patience {
		find(sensor.Fact{Key: "camera_strobe_return", Words: "strobe: no picture has had its return for {since}, one within {within} of its exposure: is the line connected, and are camera.latency and camera.strobe_bound right?",
			Args: sensor.Args{"since": sensor.Seconds.Of(off.Seconds(), 0), "within": s.o.Bound}})
	}
	return all
}
