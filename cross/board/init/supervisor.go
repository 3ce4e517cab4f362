//go:build linux

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"ciglio/cross/board/guest"
)

// A supervisor starts processes, carries their output to the host and reaps
// them, as well as every orphan that falls to the first process.
type supervisor struct {
	sending sync.Mutex
	events  *json.Encoder

	mu      sync.Mutex
	running map[int]*process // by process id
}

type process struct {
	id     int // as the host calls it
	output sync.WaitGroup
}

func newSupervisor(events *json.Encoder) *supervisor {
	s := &supervisor{events: events, running: map[int]*process{}}
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGCHLD)
	go func() {
		for range ended {
			s.reap()
		}
	}()
	return s
}

func (s *supervisor) tell(e guest.Event) {
	s.sending.Lock()
	defer s.sending.Unlock()
	if err := s.events.Encode(e); err != nil {
		fmt.Fprintf(os.Stderr, "init: control channel: %v\n", err)
	}
}

// start starts c, or tells why it did not.
func (s *supervisor) start(c guest.Command) {
	if err := s.fork(c); err != nil {
		s.tell(guest.Event{ID: c.ID, Exit: &guest.Exit{Code: -1, Error: err.Error()}})
	}
}

func (s *supervisor) fork(c guest.Command) error {
	if len(c.Args) == 0 {
		return errors.New("no command")
	}
	path, err := exec.LookPath(c.Args[0])
	if err != nil {
		return err
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		return err
	}
	defer null.Close()
	var stdout, stderr [2]*os.File // of each pipe, our end and the process's
	if stdout[0], stdout[1], err = os.Pipe(); err != nil {
		return err
	}
	defer stdout[1].Close()
	if stderr[0], stderr[1], err = os.Pipe(); err != nil {
		stdout[0].Close()
		return err
	}
	defer stderr[1].Close()
	dir := c.Dir
	if dir == "" {
		dir = "/"
	}

	// Held over the fork, so that the reaper knows each process that it meets.
	s.mu.Lock()
	defer s.mu.Unlock()
	pid, err := syscall.ForkExec(path, c.Args, &syscall.ProcAttr{
		Dir: dir, Env: append(os.Environ(), c.Env...),
		Files: []uintptr{null.Fd(), stdout[1].Fd(), stderr[1].Fd()},
		Sys:   &syscall.SysProcAttr{Setsid: true},
	})
	if err != nil {
		stdout[0].Close()
		stderr[0].Close()
		return fmt.Errorf("%s: %w", path, err)
	}
	p := &process{id: c.ID}
	s.running[pid] = p
	p.output.Go(func() {
		s.carry(stdout[0], func(b []byte) guest.Event { return guest.Event{ID: c.ID, Stdout: b} })
	})
	p.output.Go(func() {
		s.carry(stderr[0], func(b []byte) guest.Event { return guest.Event{ID: c.ID, Stderr: b} })
	})
	return nil
}

func (s *supervisor) carry(from *os.File, event func([]byte) guest.Event) {
	defer from.Close()
	buffer := make([]byte, 16<<10)
	for {
		n, err := from.Read(buffer)
		if n > 0 {
			s.tell(event(buffer[:n]))
		}
		if err != nil {
			return
		}
	}
}

// reap takes every process that has ended.
func (s *supervisor) reap() {
	for {
		var status syscall.WaitStatus
		var usage syscall.Rusage
		pid, err := syscall.Wait4(-1, &status, syscall.WNOHANG, &usage)
		if err == syscall.EINTR {
			continue
		}
		if err != nil || pid <= 0 {
			return
		}
		s.mu.Lock()
		p := s.running[pid]
		delete(s.running, pid)
		s.mu.Unlock()
		if p == nil {
			continue // an orphan
		}
		exit := &guest.Exit{
			Code: status.ExitStatus(),
			User: time.Duration(usage.Utime.Nano()), System: time.Duration(usage.Stime.Nano()),
			RSS: int64(usage.Maxrss) << 10,
		}
		if status.Signaled() {
			exit.Signal = int(status.Signal())
		}
		go func() {
			p.output.Wait() // what it said comes first
			s.tell(guest.Event{ID: p.id, Exit: exit})
		}()
	}
}

func (s *supervisor) signal(id int, number syscall.Signal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for pid, p := range s.running {
		if p.id == id {
			syscall.Kill(pid, number) // it may have ended just now
		}
	}
}

// end asks every process to end, and makes those end that have not after 10 s.
func (s *supervisor) end() {
	syscall.Kill(-1, syscall.SIGTERM)
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		s.mu.Lock()
		n := len(s.running)
		s.mu.Unlock()
		if n == 0 {
			break
		}
	}
	syscall.Kill(-1, syscall.SIGKILL)
}
