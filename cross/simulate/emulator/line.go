package emulator

import (
	"context"
	"io"
	"sync"
)

// A line is the sensor's end of a serial line. Writes before and after serve go
// nowhere.
type line struct {
	mu   sync.Mutex
	conn io.Writer
}

// serve connects conn while run runs. When ctx ends it closes conn, if it can be
// closed, and returns ctx.Err().
func (l *line) serve(ctx context.Context, conn io.ReadWriter, run func() error) error {
	l.connect(conn)
	defer l.connect(nil)
	if c, ok := conn.(io.Closer); ok {
		stop := context.AfterFunc(ctx, func() { c.Close() })
		defer stop()
	}
	err := run()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

func (l *line) connect(conn io.Writer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.conn = conn
}

func (l *line) write(b []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.conn == nil || len(b) == 0 {
		return nil
	}
	_, err := l.conn.Write(b)
	return err
}

// unplug closes the connection, if it can be closed.
func (l *line) unplug() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if c, ok := l.conn.(io.Closer); ok {
		c.Close()
	}
}
