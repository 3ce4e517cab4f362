package helper

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"time"

	"ciglio/agent/stick"
)

// A Machine is what sticks are plugged into. [Real] is this one.
type Machine interface {
	// Disks returns the sticks that are plugged in, each with a name that no other
	// one has, nor the same when it is plugged in again.
	Disks() (disks []Disk, err error)
	// Open mounts one.
	Open(ctx context.Context, d Disk) (Stick, error)
	// Wait returns when it is worth looking at Disks anew, or ctx ends.
	Wait(ctx context.Context)
}

// A Disk is a stick that is plugged in.
type Disk struct{ Device, Times string }

func (d Disk) String() string { return d.Device + " " + d.Times }

// A Stick is one that is mounted: [stick.Stick].
type Stick interface {
	Kind() string
	List(ctx context.Context) ([]stick.Entry, error)
	Read(ctx context.Context, name string, limit int64) ([]byte, error)
	Put(ctx context.Context, name string, content []byte) error
	Close() error
}

// Serve serves one client after the other until ctx ends, and closes l.
func Serve(ctx context.Context, l net.Listener, m Machine, log *slog.Logger) error {
	stop := context.AfterFunc(ctx, func() { l.Close() })
	defer stop()
	defer l.Close()
	for {
		c, err := l.Accept()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		if err := ServeConn(ctx, c, m); err != nil {
			log.Warn("client ended", "error", err)
		}
	}
}

// ServeConn serves one client until it goes or ctx ends, and closes c.
func ServeConn(ctx context.Context, c net.Conn, m Machine) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { c.Close() })
	defer stop()
	defer c.Close()
	s := &session{machine: m, used: map[Disk]bool{}}
	defer s.close()
	type asked struct {
		request
		body []byte
		err  error
	}
	requests := make(chan asked)
	// A client that goes while it is waited for a stick ends the waiting.
	go func() {
		defer cancel()
		r := bufio.NewReader(c)
		for {
			var a asked
			if a.err = receive(r, &a.request); a.err == nil && (a.Size < 0 || a.Size > MaxPut) {
				a.err = fmt.Errorf("%d bytes to write, at most %d", a.Size, MaxPut)
			}
			if a.err == nil && a.Size > 0 {
				a.body = make([]byte, a.Size)
				_, a.err = io.ReadFull(r, a.body)
			}
			select {
			case requests <- a:
			case <-ctx.Done():
				return
			}
			if a.err != nil {
				return
			}
		}
	}()
	for {
		var a asked
		select {
		case a = <-requests:
		case <-ctx.Done():
			return nil
		}
		if errors.Is(a.err, io.EOF) || a.err != nil && ctx.Err() != nil {
			return nil
		}
		if a.err != nil {
			return a.err
		}
		answer, body, err := s.do(ctx, a.request, a.body)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			failure := failed(err)
			failure.Stick = answer.Stick
			answer, body = failure, nil
		}
		answer.Size = int64(len(body))
		if err := send(c, answer, body); err != nil {
			return err
		}
	}
}

// A session is one client's.
type session struct {
	machine Machine
	used    map[Disk]bool
	open    Stick
}

func (s *session) close() error {
	if s.open == nil {
		return nil
	}
	open := s.open
	s.open = nil
	return open.Close()
}

func (s *session) do(ctx context.Context, r request, body []byte) (answer reply, content []byte, err error) {
	if r.Do == "next" {
		answer, err = s.next(ctx)
		return answer, nil, err
	}
	if s.open == nil {
		return answer, nil, errors.New("no stick is open")
	}
	switch r.Do {
	case "list":
		answer.Entries, err = s.open.List(ctx)
	case "read":
		content, err = s.open.Read(ctx, r.Name, min(r.Limit, MaxRead))
	case "put":
		err = s.open.Put(ctx, r.Name, body)
	case "close":
		err = s.close()
	default:
		err = fmt.Errorf("nothing is known of %.40q", r.Do)
	}
	return answer, content, err
}

func (s *session) next(ctx context.Context) (reply, error) {
	if err := s.close(); err != nil {
		return reply{}, err
	}
	for ; ctx.Err() == nil; s.machine.Wait(ctx) {
		disks, err := s.machine.Disks()
		if err != nil {
			return reply{}, err
		}
		there := map[Disk]bool{}
		for _, d := range disks {
			there[d] = true
		}
		pulled := false
		for d := range s.used {
			if !there[d] {
				delete(s.used, d)
				pulled = true
			}
		}
		if pulled {
			return reply{Event: "pulled"}, nil
		}
		for _, d := range disks {
			if s.used[d] {
				continue
			}
			s.used[d] = true
			answer := reply{Event: "stick", Stick: d.String()}
			if s.open, err = s.machine.Open(ctx, d); err != nil {
				s.open = nil
				return answer, err
			}
			answer.Kind = s.open.Kind()
			return answer, nil
		}
	}
	return reply{}, ctx.Err()
}

// Real is this machine.
type Real struct {
	Dir     string        // sticks are mounted below it: best in memory
	Options stick.Options // of each stick
	Events  *stick.Events
}

// Disks implements [Machine].
func (r *Real) Disks() ([]Disk, error) {
	devices, err := stick.Disks()
	disks := make([]Disk, len(devices))
	for i, d := range devices {
		disks[i] = Disk{d, stick.Times(d)}
	}
	return disks, err
}

// Open implements [Machine].
func (r *Real) Open(ctx context.Context, d Disk) (Stick, error) {
	s, err := stick.Open(ctx, d.Device, r.Dir, r.Options)
	if err != nil {
		return nil, err
	}
	return s, nil
}

// Wait implements [Machine].
func (r *Real) Wait(ctx context.Context) {
	const most = 2 * time.Second // an event may be lost
	r.Events.Wait(ctx, most)
}
