package board

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"path"
	"sync"
	"syscall"

	"ciglio/cross/board/guest"
)

// A Process runs, or ran, on the board.
type Process struct {
	board   *Board
	command guest.Command
	console *lineWriter

	mu             sync.Mutex
	stdout, stderr bytes.Buffer
	exit           guest.Exit
	err            error
	done           chan struct{}
}

// A Result is what a process left.
type Result struct {
	guest.Exit
	Stdout, Stderr []byte
}

// newProcess gives c its number.
func (b *Board) newProcess(c *guest.Command) *Process {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.last++
	c.ID = b.last
	p := &Process{board: b, command: *c, done: make(chan struct{})}
	if len(c.Args) > 0 {
		p.console = &lineWriter{c: b.console, prefix: path.Base(c.Args[0]) + ": "}
	} else {
		p.console = &lineWriter{c: b.console}
	}
	b.processes[c.ID] = p
	return p
}

// Go starts a process.
func (b *Board) Go(c guest.Command) (*Process, error) {
	p := b.newProcess(&c)
	if err := b.request(guest.Request{Start: &c}); err != nil {
		return nil, err
	}
	return p, nil
}

// Run runs a program to its end. A process that ends by itself is no error,
// whatever its exit code.
func (b *Board) Run(ctx context.Context, args ...string) (Result, error) {
	p, err := b.Go(guest.Command{Args: args})
	if err != nil {
		return Result{}, err
	}
	return p.Wait(ctx)
}

// Wait returns when the process has ended. It is an error when it never started,
// or when the board ended before it.
func (p *Process) Wait(ctx context.Context) (Result, error) {
	select {
	case <-p.done:
	case <-ctx.Done():
		return p.result(), fmt.Errorf("board: %s: %w; the board's last words:\n%s", p, context.Cause(ctx), p.board.console.tail(20))
	}
	r := p.result()
	switch {
	case p.err != nil:
		return r, fmt.Errorf("board: %s: %w", p, p.err)
	case r.Error != "":
		return r, fmt.Errorf("board: %s: %s", p, r.Error)
	}
	return r, nil
}

func (p *Process) result() Result {
	p.mu.Lock()
	defer p.mu.Unlock()
	return Result{Exit: p.exit, Stdout: bytes.Clone(p.stdout.Bytes()), Stderr: bytes.Clone(p.stderr.Bytes())}
}

// Stdout returns what the process has written so far.
func (p *Process) Stdout() []byte { return p.result().Stdout }

// Stderr is Stdout of the other one.
func (p *Process) Stderr() []byte { return p.result().Stderr }

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Signal sends a signal, such as SIGTERM. A process that has ended does not mind.
func (p *Process) Signal(s syscall.Signal) error {
	return p.board.request(guest.Request{Signal: &guest.Signal{ID: p.command.ID, Number: int(s)}})
}

// String returns the command line.
func (p *Process) String() string { return fmt.Sprint(p.command.Args) }

func (p *Process) end(exit guest.Exit, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.done:
	default:
		p.console.Close()
		p.exit, p.err = exit, err
		close(p.done)
	}
}

func (p *Process) said(stdout, stderr []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stdout.Write(stdout)
	p.stderr.Write(stderr)
	p.console.Write(stdout)
	p.console.Write(stderr)
}

func (b *Board) request(r guest.Request) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	select {
	case <-b.done:
		return b.why
	default:
	}
	if err := b.requests.Encode(r); err != nil {
		return fmt.Errorf("board: control channel: %w", err)
	}
	return nil
}

// events reads what the first process tells, until the board ends.
func (b *Board) events() {
	d := json.NewDecoder(b.channel)
	for {
		var e guest.Event
		if err := d.Decode(&e); err != nil {
			return
		}
		if e.Ready != nil {
			b.Ready = *e.Ready
			close(b.ready)
			continue
		}
		b.mu.Lock()
		p := b.processes[e.ID]
		b.mu.Unlock()
		switch {
		case p == nil:
		case e.Exit != nil:
			p.end(*e.Exit, nil)
		default:
			p.said(e.Stdout, e.Stderr)
		}
	}
}
