// Package framing finds frames and text lines in the bytes of a serial sensor,
// for drivers to share.
//
// What it keeps true: the memory is fixed when the scanner is made and no length
// that came over the wire is used before it was checked against it; garbage is
// skipped and counted, never an error; a good frame behind any garbage is found,
// unless the garbage together with a part of the frame passes the check of the
// protocol by chance; every frame carries the instant at which its first byte
// arrived and whether something was dropped before it.
//
// What a frame is, says a [Judge] of the driver: it looks at the bytes from
// where a frame could begin and says that they are one, are none, or that more
// are needed. A judge that finds a frame broken has only its first bytes
// dropped, so that a frame which begins inside a broken one is found.
//
// A [Scanner] belongs to one goroutine; its [Scanner.Counters] may be read by
// any. A [SampleClock] gives the blocks of a sampled signal their instants.
package framing

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"ciglio/sensor"
)

// A Verdict is what a [Judge] says of the bytes it was shown.
type Verdict uint8

// The verdicts.
const (
	More   Verdict = iota // they may begin a frame, which is not here in full; n does not matter
	Good                  // the first n are a frame
	Skip                  // the first n belong to no frame
	Broken                // the first n belong to a frame that fails its check, or is too long
	Pass                  // the first n are known and of no use: neither a frame nor dropped
)

// A Judge says what begins at b[0]. It is never shown an empty b, and is shown
// the same bytes again with more behind them after [More]. The n of the other
// verdicts lies from 1 to len(b); anything else is taken as 1.
type Judge func(b []byte) (n int, v Verdict)

// A Frame is what a judge called [Good].
type Frame struct {
	Bytes []byte      // valid until the next call of Scan
	First sensor.Mono // arrival of the first byte
	Last  sensor.Mono // arrival of the last byte
	Lost  bool        // bytes between this frame and the one before were dropped
}

// Counters say what a scanner has seen.
type Counters struct {
	Frames  int64 // frames returned
	Broken  int64 // frames whose check failed, and lines too long
	Dropped int64 // bytes that are part of no returned frame
}

// A Scanner cuts a byte stream into frames.
type Scanner struct {
	r     io.Reader
	now   func() sensor.Mono
	judge Judge
	buf   []byte
	at    []sensor.Mono // arrival of each byte of buf
	start int           // of what has not been judged away
	end   int           // of what has been read
	lost  bool          // bytes were dropped since the last frame

	frames, broken, dropped atomic.Int64
}

// NewScanner returns a scanner of frames of at most size bytes, 1 or more. Now
// reads the clock; it is called once for each read.
func NewScanner(r io.Reader, now func() sensor.Mono, size int, judge Judge) *Scanner {
	// Twice the frame: what is read while a frame is judged need not be moved at
	// every byte.
	return &Scanner{r: r, now: now, judge: judge, buf: make([]byte, 2*size), at: make([]sensor.Mono, 2*size)}
}

// Counters returns what has been seen so far. It is safe for concurrent use.
func (s *Scanner) Counters() Counters {
	return Counters{Frames: s.frames.Load(), Broken: s.broken.Load(), Dropped: s.dropped.Load()}
}

// Scan returns the next frame. It blocks in Read, whose errors it returns as
// they are; what has been read stays, and Scan may be called again. A frame cut
// off at the end of the stream, io.EOF, is dropped and counted.
func (s *Scanner) Scan() (Frame, error) {
	for {
		if f, ok := s.buffered(); ok {
			return f, nil
		}
		if err := s.read(); err != nil {
			if err == io.EOF && s.Resync() {
				continue // the rest may hold a frame behind a false start
			}
			return Frame{}, err
		}
	}
}

// buffered returns the next frame among the bytes that are here.
func (s *Scanner) buffered() (Frame, bool) {
	for s.start < s.end {
		b := s.buf[s.start:s.end]
		n, v := s.judge(b)
		if v == More {
			if len(b) < len(s.buf) {
				return Frame{}, false
			}
			n, v = 1, Broken // longer than the memory
		}
		n = max(1, min(n, len(b)))
		if v == Good {
			f := Frame{Bytes: b[:n:n], First: s.at[s.start], Last: s.at[s.start+n-1], Lost: s.lost}
			s.lost = false
			s.start += n
			s.frames.Add(1)
			return f, true
		}
		switch v {
		case Pass:
			s.start += n
			continue
		case Broken:
			s.broken.Add(1)
		}
		s.drop(n)
	}
	return Frame{}, false
}

func (s *Scanner) drop(n int) {
	s.start += n
	s.lost = true
	s.dropped.Add(int64(n))
}

// read appends what has come to the buffer, which is not full.
func (s *Scanner) read() error {
	if s.start > 0 {
		copy(s.at, s.at[s.start:s.end])
		s.end = copy(s.buf, s.buf[s.start:s.end])
		s.start = 0
	}
	n, err := s.r.Read(s.buf[s.end:])
	if n > 0 {
		now := s.now()
		for range n {
			s.at[s.end] = now
			s.end++
		}
		return nil // an error that comes with bytes comes again without
	}
	if err == nil {
		err = io.ErrNoProgress
	}
	return err
}

// Resync gives up the frame that is not here in full: its first byte is dropped
// and what follows is judged anew. A driver calls it when the rest has not come
// in time, since what looked like the beginning of a long frame may have been
// garbage with good frames behind it. It reports whether there was such a byte.
func (s *Scanner) Resync() bool {
	if s.start == s.end {
		return false
	}
	s.drop(1)
	return true
}

// Pending returns the number of bytes that have been read and not returned: the
// beginning of a frame, unless Scan has returned one just now.
func (s *Scanner) Pending() int { return s.end - s.start }

// Clear drops what has been read and not returned.
func (s *Scanner) Clear() {
	if n := s.end - s.start; n > 0 {
		s.drop(n)
	}
}

// Lines returns a judge of text lines of at most size bytes, each with its end:
// LF, or CR LF. A longer line is dropped up to its end, as one that is broken.
// The first line counts only from its beginning, which is not seen when the
// scanner begins in the middle of one: with midway set, everything up to the
// first line end is skipped. Use a judge for one scanner only.
func Lines(size int, midway bool) Judge {
	skipping := midway
	return func(b []byte) (int, Verdict) {
		n := bytes.IndexByte(b, '\n') + 1
		switch {
		case skipping && n > 0:
			skipping = false
			return n, Skip
		case skipping:
			return len(b), Skip
		case n > size:
			return n, Broken
		case n > 0:
			return n, Good
		case len(b) >= size:
			skipping = true
			return len(b), Broken
		}
		return 0, More
	}
}

// Trim returns a line without its end and without spaces around it.
func Trim(line []byte) []byte {
	i, j := 0, len(line)
	for i < j && line[i] <= ' ' {
		i++
	}
	for j > i && line[j-1] <= ' ' {
		j--
	}
	return line[i:j]
}

// A Deadliner is a connection whose reads can be ended.
type Deadliner interface{ SetReadDeadline(time.Time) error }

// ErrSilence says that what was waited for has not come in time.
var ErrSilence = errors.New("nothing came in time")

// Within calls read, whose reads from c end after the patience, or when ctx
// ends. It returns ctx.Err() in the latter case, an error that wraps
// [ErrSilence] in the former, and otherwise what read returned.
func Within(ctx context.Context, c Deadliner, patience time.Duration, read func() error) error {
	// Before the AfterFunc, which must have the last word. A connection that has
	// no deadlines, or is closed, says so when it is read.
	c.SetReadDeadline(time.Now().Add(patience))
	ended := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		c.SetReadDeadline(time.Unix(1, 0))
		close(ended)
	})
	err := read()
	if !stop() {
		<-ended // lest it spoils the deadline of the next call
	}
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case isTimeout(err):
		return fmt.Errorf("%w (%v)", ErrSilence, patience)
	}
	return err
}

func isTimeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.As(err, &t) && t.Timeout()
}
