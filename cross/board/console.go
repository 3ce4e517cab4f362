package board

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
)

// A console keeps every line that the board says: those of the kernel and of
// /init as they are, those of processes after the process's name.
type console struct {
	log io.Writer // gets each line as it comes; may be nil

	mu    sync.Mutex
	lines []string
	next  int           // the first line that Wait has not looked at
	grown chan struct{} // closed and made anew with each line
	ended error         // why no more will come
}

func newConsole(log io.Writer) *console {
	return &console{log: log, grown: make(chan struct{})}
}

// A lineWriter cuts what is written into lines of a console. Close ends the last.
type lineWriter struct {
	c      *console
	prefix string
	rest   []byte
}

func (w *lineWriter) Write(b []byte) (int, error) {
	w.rest = append(w.rest, b...)
	for {
		line, rest, whole := bytes.Cut(w.rest, []byte("\n"))
		if !whole {
			return len(b), nil
		}
		w.c.add(w.prefix + string(bytes.TrimRight(line, "\r")))
		w.rest = append([]byte(nil), rest...)
	}
}

func (w *lineWriter) Close() error {
	if len(w.rest) > 0 {
		w.c.add(w.prefix + string(w.rest))
		w.rest = nil
	}
	return nil
}

func (c *console) add(line string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lines = append(c.lines, line)
	if c.log != nil {
		fmt.Fprintln(c.log, line)
	}
	c.wake()
}

// end says why no more lines will come.
func (c *console) end(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended == nil {
		c.ended = err
		c.wake()
	}
}

func (c *console) wake() {
	close(c.grown)
	c.grown = make(chan struct{})
}

// wait returns the next line with text in it.
func (c *console) wait(ctx context.Context, text string) (string, error) {
	for {
		c.mu.Lock()
		for c.next < len(c.lines) {
			line := c.lines[c.next]
			c.next++
			if strings.Contains(line, text) {
				c.mu.Unlock()
				return line, nil
			}
		}
		grown, ended := c.grown, c.ended
		c.mu.Unlock()
		if ended != nil {
			return "", fmt.Errorf("waiting for %q: %w; its last words:\n%s", text, ended, c.tail(20))
		}
		select {
		case <-grown:
		case <-ctx.Done():
			return "", fmt.Errorf("waiting for %q: %w; the board's last words:\n%s", text, context.Cause(ctx), c.tail(20))
		}
	}
}

func (c *console) text() string { return c.tail(-1) }

// tail returns the last n lines, or all.
func (c *console) tail(n int) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	from := 0
	if n >= 0 {
		from = max(0, len(c.lines)-n)
	}
	return strings.Join(c.lines[from:], "\n")
}
