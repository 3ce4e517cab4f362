package board

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestConsoleWaitsForLines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newConsole(nil)
		kernel, program := &lineWriter{c: c}, &lineWriter{c: c, prefix: "ciglio: "}
		go func() {
			fmt.Fprint(kernel, "[1.0] boot\r\n[1.1] ha")
			fmt.Fprint(program, "gate open\n")
			time.Sleep(time.Second)
			fmt.Fprint(kernel, "lf\ngate open")
			kernel.Close()
			c.end(ErrCut)
		}()
		for _, want := range []string{"ciglio: gate open", "gate open"} {
			if line, err := c.wait(t.Context(), "gate"); err != nil || line != want {
				t.Errorf("line %q, %v, want %q", line, err, want)
			}
		}
		if _, err := c.wait(t.Context(), "gate"); !errors.Is(err, ErrCut) {
			t.Errorf("after the end: %v", err)
		}
		if got, want := c.text(), "[1.0] boot\nciglio: gate open\n[1.1] half\ngate open"; got != want {
			t.Errorf("console %q, want %q", got, want)
		}
	})
}

func TestConsoleWaitEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newConsole(nil)
		c.add("last words")
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := c.wait(ctx, "never"); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "last words") {
			t.Errorf("waiting for what never comes: %v", err)
		}
	})
}

func TestMonitorTellsAnswersFromEvents(t *testing.T) {
	ours, theirs := net.Pipe()
	m := newMonitor(ours)
	go func() {
		d := json.NewDecoder(theirs)
		fmt.Fprint(theirs, `{"QMP": {"version": {}, "capabilities": []}}`)
		for {
			var command struct{ Execute string }
			if d.Decode(&command) != nil {
				return
			}
			switch command.Execute {
			case "device_del":
				fmt.Fprint(theirs, `{"event": "DEVICE_DELETED", "data": {"device": "stick1", "path": "/x"}} {"return": {}}`)
			case "query-x":
				fmt.Fprint(theirs, `{"event": "STOP"} {"return": {"x": 7}}`)
			case "quit":
				theirs.Close()
			default:
				fmt.Fprint(theirs, `{"error": {"class": "CommandNotFound", "desc": "no such command"}}`)
			}
		}
	}()
	if err := m.remove(t.Context(), "stick1"); err != nil {
		t.Error(err)
	}
	var got struct{ X int }
	if err := m.ask(t.Context(), "query-x", nil, &got); err != nil || got.X != 7 {
		t.Errorf("answer %+v, %v", got, err)
	}
	if err := m.do(t.Context(), "nonsense", nil); err == nil || err.Error() != "nonsense: no such command" {
		t.Errorf("a command that is none: %v", err)
	}
	if err := m.do(t.Context(), "quit", nil); err == nil || !strings.Contains(err.Error(), "QEMU's monitor") {
		t.Errorf("after the end: %v", err)
	}
}
