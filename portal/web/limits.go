package web

import (
	"context"
	"errors"
	"net"
	"net/http"
	"runtime/debug"
	"sync"
	"time"

	"ciglio/portal/blob"
	"ciglio/portal/page"
	"ciglio/portal/record"
)

// What readers may take of the centre at once.
const (
	maxReaders     = 64 // files being sent
	maxFromAddress = 32 // of those, to one address
	maxWorkers     = 4  // records being put together and checked

	// A reader may be slow, and must not stand still: each part of a file has its
	// time, and so has the whole.
	partSize = 128 << 10
	partTime = 30 * time.Second
	fileTime = time.Hour
)

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

// work waits for its turn to put a record together and check it. The caller calls done,
// once or more often, before anything is sent: a reader who stands still holds up none.
func (l *limits) work(ctx context.Context) (done func(), err error) {
	select {
	case l.workers <- struct{}{}:
		return sync.OnceFunc(func() { <-l.workers }), nil
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
		return nil, page.ErrBusy
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
func (d *Desk) sending(next page.Handler) page.Handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		done, err := d.limits.read(r)
		if err != nil {
			return err
		}
		defer done()
		return d.surviving(next)(newPatient(w), r)
	}
}

// surviving makes the end of one request of what would be that of the process:
// mapped bytes that the disk does not give.
func (d *Desk) surviving(next page.Handler) page.Handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
		defer func() {
			fault := recover()
			if fault == nil || fault == http.ErrAbortHandler {
				return
			}
			d.o.Log.Error("request failed", "pattern", r.Pattern, "fault", fault)
			panic(http.ErrAbortHandler)
		}()
		return next(w, r)
	}
}

// A mapping is the blobs that a request uses.
type mapping struct {
	d    *Desk
	rec  *record.Record
	held []*blob.Mapped
}

// close releases them. What was read from them must not be used after.
func (m *mapping) close() {
	for _, b := range m.held {
		if err := b.Close(); err != nil {
			m.d.o.Log.Error("blob cannot be released", "error", err)
		}
	}
	m.held = nil
}
