package web

import (
	"cmp"
	"context"
	"errors"
	"net"
	"net/http"
	"runtime/debug"
	"sync"
	"time"

	"ciglio/portal/blob"
	"ciglio/portal/record"
)

// What readers may take of the centre at once.
const (
	maxReaders     = 64 // files being sent
	maxFromAddress = 32 // of those, to one address
	maxWorkers     = 4  // records being put together and checked
	maxConnections = 1024

	// A reader may be slow, and must not stand still: each part of a file has its
	// time, and so has the whole.
	partSize = 128 << 10
	partTime = 30 * time.Second
	fileTime = time.Hour
)

// errBusy says that others are being served.
var errBusy = errors.New("too many files are being sent")

// limits counts what is under way.
type limits struct {
	workers chan struct{}

	mu      sync.Mutex
	readers int
	from    map[string]int
}

func newLimits() *limits {
	return &limits{workers: make(chan struct{}, maxWorkers), from: make(map[string]int)}
}

// work waits for its turn to put a record together. The caller calls done.
func (l *limits) work(ctx context.Context) (done func(), err error) {
	select {
	case l.workers <- struct{}{}:
		return func() { <-l.workers }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// read takes a reader up, or says that there are too many. The caller calls done.
func (l *limits) read(r *http.Request) (done func(), err error) {
	address := addressOf(r.RemoteAddr)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.readers >= maxReaders || l.from[address] >= maxFromAddress {
		return nil, errBusy
	}
	l.readers++
	l.from[address]++
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.readers--
		if l.from[address]--; l.from[address] == 0 {
			delete(l.from, address)
		}
	}, nil
}

// addressOf is the address without its port.
func addressOf(remote string) string {
	address, _, err := net.SplitHostPort(remote)
	if err != nil {
		return remote
	}
	return address
}

// patient is the answer to a reader who may be slow.
type patient struct {
	http.ResponseWriter
	control *http.ResponseController
	until   time.Time
}

func newPatient(w http.ResponseWriter) *patient {
	return &patient{ResponseWriter: w, control: http.NewResponseController(w), until: time.Now().Add(fileTime)}
}

// Unwrap lets a ResponseController through.
func (p *patient) Unwrap() http.ResponseWriter { return p.ResponseWriter }

// Write sends b in parts, each in its time.
func (p *patient) Write(b []byte) (n int, err error) {
	for len(b) > 0 && err == nil {
		part := b[:min(len(b), partSize)]
		deadline := time.Now().Add(partTime)
		if deadline.After(p.until) {
			deadline = p.until
		}
		// What cannot have a deadline is no network.
		if derr := p.control.SetWriteDeadline(deadline); derr != nil && !errors.Is(derr, http.ErrNotSupported) {
			return n, derr
		}
		var m int
		m, err = p.ResponseWriter.Write(part)
		n, b = n+m, b[m:]
	}
	return n, err
}

// sending bounds how many files are sent at once, gives slow readers their time,
// and survives a disk that fails under a mapped file.
func (s *Server) sending(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		done, err := s.limits.read(r)
		if err != nil {
			w.Header().Set("Retry-After", "10")
			http.Error(w, "too many files are being sent: try again in a moment", http.StatusServiceUnavailable)
			return
		}
		defer done()
		s.surviving(func(w http.ResponseWriter, r *http.Request) { next(newPatient(w), r) })(w, r)
	}
}

// surviving makes the end of one request of what would be that of the process:
// mapped bytes that the disk does not give.
func (s *Server) surviving(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
		defer func() {
			fault := recover()
			if fault == nil || fault == http.ErrAbortHandler {
				return
			}
			s.o.Log.Error("request failed", "path", r.URL.Path, "fault", fault)
			panic(http.ErrAbortHandler)
		}()
		next(w, r)
	}
}

// A mapping is the blobs that a request uses.
type mapping struct {
	s    *Server
	rec  *record.Record
	held []*blob.Mapped
}

// close releases them. What was read from them must not be used after.
func (m *mapping) close() {
	for _, b := range m.held {
		if err := b.Close(); err != nil {
			m.s.o.Log.Error("blob cannot be released", "error", err)
		}
	}
	m.held = nil
}

// connections bounds those to the pages: one more ends another, of the address that
// has most. One that waits for something from its client, or has asked for nothing
// yet, goes before one that is being answered, and the oldest first.
type connections struct {
	mu    sync.Mutex
	order uint64
	all   map[net.Conn]*connection
	from  map[string]int // by address
}

type connection struct {
	address string
	order   uint64
	waiting bool
}

func newConnections() *connections {
	return &connections{all: make(map[net.Conn]*connection), from: make(map[string]int)}
}

// changed is the server's ConnState.
func (c *connections) changed(conn net.Conn, state http.ConnState) {
	var out net.Conn
	c.mu.Lock()
	c.order++
	x := c.all[conn]
	switch {
	case state == http.StateNew:
		x = &connection{address: addressOf(conn.RemoteAddr().String()), order: c.order, waiting: true}
		c.all[conn] = x
		c.from[x.address]++
		if len(c.all) > maxConnections {
			out = c.worst(conn)
			c.forget(out)
		}
	case x == nil: // it had to go
	case state == http.StateIdle, state == http.StateActive:
		x.order, x.waiting = c.order, state == http.StateIdle
	default:
		c.forget(conn)
	}
	c.mu.Unlock()
	if out != nil {
		out.Close()
	}
}

// forget takes a connection off the lists. The caller holds mu.
func (c *connections) forget(conn net.Conn) {
	x := c.all[conn]
	delete(c.all, conn)
	if c.from[x.address]--; c.from[x.address] == 0 {
		delete(c.from, x.address)
	}
}

// worst is the connection that has to go for a new one. The caller holds mu, and
// there are others.
func (c *connections) worst(than net.Conn) (worst net.Conn) {
	var least *connection
	for conn, x := range c.all {
		if conn != than && (least == nil || c.before(x, least)) {
			worst, least = conn, x
		}
	}
	return worst
}

// before reports whether x has to go before y.
func (c *connections) before(x, y *connection) bool {
	if n := cmp.Compare(c.from[x.address], c.from[y.address]); n != 0 {
		return n > 0
	}
	if x.waiting != y.waiting {
		return x.waiting
	}
	return x.order < y.order
}
