package iqframe

import (
	"fmt"
	"os"
	"sync"
	"time"

	"periph.io/x/conn/v3"
	"periph.io/x/conn/v3/spi"
)

// SPI makes a [Reader] of the connection to an SPI slave that sends frames. It
// clocks out a fixed number of bytes at a time. A slave that has nothing to send
// gives bytes that are all 00 or all ff; SPI then asks again after a pause.
//
// One goroutine may read; deadlines may be set by any.
type SPI struct {
	c     spi.Conn
	pause time.Duration
	buf   []byte
	rest  []byte // of buf, not yet read

	mu       sync.Mutex
	deadline time.Time
	changed  chan struct{} // closed when deadline changes
}

// NewSPI reads from c in transfers of size bytes, 1 to what the host's driver
// can do at once: best the size of the firmware's frames. Pause is the time
// between two questions while the slave has nothing, more than 0 and less than
// the time of a block.
func NewSPI(c spi.Conn, size int, pause time.Duration) (*SPI, error) {
	limit := maxFrame
	if l, ok := c.(conn.Limits); ok && l.MaxTxSize() > 0 {
		limit = min(limit, l.MaxTxSize())
	}
	if size < 1 || size > limit {
		return nil, fmt.Errorf("iqframe: SPI transfers of %d bytes, want 1 to %d", size, limit)
	}
	if pause <= 0 {
		return nil, fmt.Errorf("iqframe: a pause of %v between SPI transfers, want more than 0", pause)
	}
	return &SPI{c: c, pause: pause, buf: make([]byte, size), changed: make(chan struct{})}, nil
}

// SetReadDeadline ends a Read that waits at t.
func (s *SPI) SetReadDeadline(t time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.deadline = t
	close(s.changed)
	s.changed = make(chan struct{})
	return nil
}

// Read returns what the slave sends, at least one byte. After the deadline it
// returns an error that wraps [os.ErrDeadlineExceeded].
func (s *SPI) Read(p []byte) (int, error) {
	for len(s.rest) == 0 {
		s.mu.Lock()
		deadline, changed := s.deadline, s.changed
		s.mu.Unlock()
		if !deadline.IsZero() && !time.Now().Before(deadline) {
			return 0, fmt.Errorf("iqframe: SPI: %w", os.ErrDeadlineExceeded)
		}
		if err := s.c.Tx(nil, s.buf); err != nil {
			return 0, fmt.Errorf("iqframe: SPI: %w", err)
		}
		if !idle(s.buf) {
			s.rest = s.buf
			break
		}
		wait := s.pause
		if !deadline.IsZero() {
			wait = min(wait, time.Until(deadline))
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-changed:
			timer.Stop()
		}
	}
	n := copy(p, s.rest)
	s.rest = s.rest[n:]
	return n, nil
}

func idle(b []byte) bool {
	for _, v := range b {
		if v != b[0] {
			return false
		}
	}
	return b[0] == 0x00 || b[0] == 0xff
}
