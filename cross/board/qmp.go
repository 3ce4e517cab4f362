package board

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"sync"
)

// A monitor speaks QMP, the protocol by which QEMU is controlled: one JSON
// object a message; commands are answered in order, events come in between.
// docs/interop/qmp-spec.txt of QEMU tells it.
type monitor struct {
	conn net.Conn
	once sync.Mutex // held by the one command that is under way

	answers chan message
	mu      sync.Mutex
	ended   error
	gone    map[string]chan struct{} // closed when the device of that id is no more
	done    chan struct{}
}

type message struct {
	Return json.RawMessage `json:"return"`
	Error  *struct {
		Class string `json:"class"`
		Desc  string `json:"desc"`
	} `json:"error"`
	Event string `json:"event"`
	Data  struct {
		Device string `json:"device"`
	} `json:"data"`
}

// newMonitor reads from now on. QEMU's first command must be qmp_capabilities.
func newMonitor(conn net.Conn) *monitor {
	m := &monitor{conn: conn, answers: make(chan message, 1), gone: map[string]chan struct{}{}, done: make(chan struct{})}
	go m.read()
	return m
}

func (m *monitor) read() {
	defer close(m.done)
	defer m.conn.Close()
	d := json.NewDecoder(m.conn)
	for {
		var msg message
		if err := d.Decode(&msg); err != nil {
			m.mu.Lock()
			m.ended = fmt.Errorf("QEMU's monitor: %w", err)
			m.mu.Unlock()
			return
		}
		switch {
		case msg.Event == "DEVICE_DELETED":
			m.mu.Lock()
			if c, ok := m.gone[msg.Data.Device]; ok {
				close(c)
				delete(m.gone, msg.Data.Device)
			}
			m.mu.Unlock()
		case msg.Event != "":
		case msg.Return != nil || msg.Error != nil:
			m.answers <- msg
		}
	}
}

// do runs one command whose answer says nothing.
func (m *monitor) do(ctx context.Context, command string, arguments any) error {
	return m.ask(ctx, command, arguments, nil)
}

// ask runs one command and decodes its answer into what, unless that is nil.
// Arguments are anything that is a JSON object, or nil.
func (m *monitor) ask(ctx context.Context, command string, arguments, what any) error {
	m.once.Lock()
	defer m.once.Unlock()
	text, err := json.Marshal(struct {
		Execute   string `json:"execute"`
		Arguments any    `json:"arguments,omitempty"`
	}{command, arguments})
	if err != nil {
		return err
	}
	if _, err := m.conn.Write(text); err != nil {
		return fmt.Errorf("%s: %w", command, err)
	}
	select {
	case a := <-m.answers:
		if a.Error != nil {
			return fmt.Errorf("%s: %s", command, a.Error.Desc)
		}
		if what != nil {
			return json.Unmarshal(a.Return, what)
		}
		return nil
	case <-m.done:
		m.mu.Lock()
		defer m.mu.Unlock()
		return fmt.Errorf("%s: %w", command, m.ended)
	case <-ctx.Done():
		// The answer would be taken for the next command's.
		m.conn.Close()
		return fmt.Errorf("%s: %w", command, context.Cause(ctx))
	}
}

// remove takes a device out and returns when it is gone.
func (m *monitor) remove(ctx context.Context, id string) error {
	gone := make(chan struct{})
	m.mu.Lock()
	m.gone[id] = gone
	m.mu.Unlock()
	if err := m.do(ctx, "device_del", map[string]string{"id": id}); err != nil {
		return err
	}
	select {
	case <-gone:
		return nil
	case <-m.done:
		return errors.New("device_del: QEMU ended")
	case <-ctx.Done():
		return fmt.Errorf("device_del %s: %w", id, context.Cause(ctx))
	}
}
