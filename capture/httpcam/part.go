package httpcam

import (
	"bytes"
	"fmt"
	"io"
	"strconv"

	"ciglio/sensor"
)

// Limits of a part's header.
const (
	maxLine    = 1024 // bytes
	maxHeaders = 16
	readAhead  = 32 << 10
)

// A partReader takes a multipart stream apart (RFC 2046, section 5.1.1). It
// reads
//
//	--boundary CRLF  header: value CRLF …  CRLF  bytes  CRLF --boundary …
//
// With a Content-Length it takes that many bytes, and the boundary must follow;
// without one it takes what lies before the next boundary. Lines may end with LF
// alone, since some cameras send that. Memory is bounded by the largest part
// plus one buffer.
type partReader struct {
	r        io.Reader
	now      func() sensor.Mono
	boundary []byte // with its two dashes
	max      int

	buffer     []byte // bytes read and not used are buffer[from:to]
	from, to   int
	filled     sensor.Mono // when the bytes in the buffer arrived
	part       []byte
	positioned bool // the next bytes are those right after a boundary
}

func newPartReader(r io.Reader, boundary string, maxPart int, now func() sensor.Mono) *partReader {
	return &partReader{r: r, now: now, boundary: []byte("--" + boundary), max: maxPart, buffer: make([]byte, readAhead)}
}

// fill reads more bytes when there are none left.
func (p *partReader) fill() error {
	for tries := 0; p.from == p.to; tries++ {
		n, err := p.r.Read(p.buffer)
		p.from, p.to = 0, n
		switch {
		case n > 0:
			p.filled = p.now()
			return nil
		case err == io.EOF:
			return fmt.Errorf("%w: end of stream", ErrStream)
		case err != nil:
			return fmt.Errorf("%w: %w", ErrStream, err)
		case tries == 100:
			return fmt.Errorf("%w: %w", ErrStream, io.ErrNoProgress)
		}
	}
	return nil
}

// line returns the next line without its end. It is valid until the next read.
func (p *partReader) line(dst []byte) ([]byte, error) {
	dst = dst[:0]
	for {
		if err := p.fill(); err != nil {
			return nil, err
		}
		i := bytes.IndexByte(p.buffer[p.from:p.to], '\n')
		end := p.to
		if i >= 0 {
			end = p.from + i
		}
		if len(dst)+end-p.from > maxLine {
			return nil, fmt.Errorf("line longer than %d bytes: %w", maxLine, ErrFormat)
		}
		dst = append(dst, p.buffer[p.from:end]...)
		p.from = end
		if i >= 0 {
			p.from++
			return bytes.TrimSuffix(dst, []byte("\r")), nil
		}
	}
}

// next returns the bytes of the next part and when its first byte arrived: the
// first of its header, since cameras send the boundary as soon as the picture
// before it is over. The bytes are valid until the next call.
func (p *partReader) next() (sensor.Mono, []byte, error) {
	line := make([]byte, 0, 128)
	if !p.positioned {
		if err := p.toBoundary(line); err != nil {
			return 0, nil, err
		}
	} else if err := p.afterBoundary(line); err != nil {
		return 0, nil, err
	}
	p.positioned = false
	if err := p.fill(); err != nil {
		return 0, nil, err
	}
	arrived := p.filled
	length, err := p.header(line)
	if err != nil {
		return 0, nil, err
	}
	if length >= 0 {
		err = p.known(length)
	} else {
		err = p.unknown()
	}
	if err != nil {
		return 0, nil, err
	}
	return arrived, p.part, nil
}

// toBoundary reads up to and with a boundary line. Empty lines before it are
// allowed; anything else is not.
func (p *partReader) toBoundary(line []byte) error {
	for range 4 {
		got, err := p.line(line)
		if err != nil {
			return err
		}
		if len(got) == 0 {
			continue
		}
		return p.checkBoundary(got)
	}
	return fmt.Errorf("empty lines where a boundary belongs: %w", ErrFormat)
}

func (p *partReader) checkBoundary(line []byte) error {
	rest, ok := bytes.CutPrefix(line, p.boundary)
	rest = bytes.TrimRight(rest, " \t")
	switch {
	case ok && len(rest) == 0:
		return nil
	case ok && string(rest) == "--":
		return fmt.Errorf("%w: the camera closed it", ErrStream)
	}
	return fmt.Errorf("%.40q where a boundary belongs: %w", line, ErrFormat)
}

// afterBoundary reads what is left of the boundary line that ended the part
// before.
func (p *partReader) afterBoundary(line []byte) error {
	got, err := p.line(line)
	if err != nil {
		return err
	}
	return p.checkBoundary(append(bytes.Clone(p.boundary), got...))
}

// header reads a part's header and returns its Content-Length, or -1.
func (p *partReader) header(line []byte) (int, error) {
	length, typed := -1, false
	for range maxHeaders + 1 {
		got, err := p.line(line)
		if err != nil {
			return 0, err
		}
		if len(got) == 0 {
			if !typed {
				return 0, fmt.Errorf("part without a Content-Type: %w", ErrFormat)
			}
			return length, nil
		}
		name, value, ok := bytes.Cut(got, []byte(":"))
		if !ok {
			return 0, fmt.Errorf("header %.40q without a colon: %w", got, ErrFormat)
		}
		value = bytes.TrimSpace(value)
		switch {
		case bytes.EqualFold(name, []byte("Content-Type")):
			if typed || !bytes.EqualFold(value, []byte("image/jpeg")) && !bytes.EqualFold(value, []byte("image/jpg")) {
				return 0, fmt.Errorf("part of type %.40q, want one image/jpeg: %w", value, ErrFormat)
			}
			typed = true
		case bytes.EqualFold(name, []byte("Content-Length")):
			n, err := strconv.ParseUint(string(value), 10, 31)
			if err != nil || length >= 0 || n == 0 {
				return 0, fmt.Errorf("content length %.40q: %w", value, ErrFormat)
			}
			if n > uint64(p.max) {
				return 0, fmt.Errorf("part of %d bytes, allowed are %d: %w", n, p.max, ErrFormat)
			}
			length = int(n)
		}
	}
	return 0, fmt.Errorf("more than %d headers: %w", maxHeaders, ErrFormat)
}

// known reads a part of a stated length. It does not wait for the boundary after
// it, which may come with the next part only.
func (p *partReader) known(length int) error {
	p.part = p.part[:0]
	for len(p.part) < length {
		if err := p.fill(); err != nil {
			return fmt.Errorf("after %d of %d bytes of a part: %w", len(p.part), length, err)
		}
		n := min(length-len(p.part), p.to-p.from)
		p.part = append(p.part, p.buffer[p.from:p.from+n]...)
		p.from += n
	}
	return nil
}

// unknown reads a part up to the boundary after it.
func (p *partReader) unknown() error {
	end := append([]byte("\n"), p.boundary...)
	p.part = p.part[:0]
	for {
		if err := p.fill(); err != nil {
			return fmt.Errorf("after %d bytes of a part: %w", len(p.part), err)
		}
		// Take what is there, then look for the end in the new bytes and in as
		// many before them as an end may have.
		old := max(0, len(p.part)-len(end)+1)
		p.part = append(p.part, p.buffer[p.from:p.to]...)
		i := bytes.Index(p.part[old:], end)
		if i >= 0 {
			// Give back what lies behind the boundary.
			behind := len(p.part) - (old + i + len(end))
			p.from, p.part = p.to-behind, bytes.TrimSuffix(p.part[:old+i], []byte("\r"))
			if len(p.part) > p.max {
				return fmt.Errorf("part of %d bytes, allowed are %d: %w", len(p.part), p.max, ErrFormat)
			}
			p.positioned = true
			return nil
		}
		p.from = p.to
		if len(p.part) > p.max+len(end)+1 {
			return fmt.Errorf("part of more than %d bytes: %w", p.max, ErrFormat)
		}
	}
}
