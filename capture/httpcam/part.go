package httpcam

import (
	"bytes"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync/atomic"

	"ciglio/sensor"
)

const (
	maxLine   = 1024 // bytes of a line that are looked at
	maxBound  = 256  // bytes of a line in coded data that may begin the next part
	readAhead = 32 << 10
)

// counts are what a camera sent beside pictures in order, since the start. All of
// it was passed over or cut, and ended nothing. They may be read at any time.
type counts struct {
	types      atomic.Uint64 // parts of another type, such as a text between pictures
	empty      atomic.Uint64 // parts without a picture
	lengths    atomic.Uint64 // lengths that are none, contradict each other or the picture
	boundaries atomic.Uint64 // parts that began without a boundary, but for the first
	large      atomic.Uint64 // pictures that were larger than allowed
	behind     atomic.Uint64 // pictures with bytes behind their end
	between    atomic.Uint64 // times that something else stood between two parts
}

// words says what was counted, for an error.
func (c *counts) words() string {
	var words []string
	for _, k := range []struct {
		n    uint64
		what string
	}{
		{c.large.Load(), "too large"},
		{c.types.Load(), "parts of another type"},
		{c.empty.Load(), "parts without a picture"},
		{c.lengths.Load(), "with a doubtful length"},
		{c.boundaries.Load(), "without a boundary"},
		{c.behind.Load(), "with bytes behind the end"},
		{c.between.Load(), "times something between parts"},
	} {
		if k.n > 0 {
			words = append(words, fmt.Sprintf("%d %s", k.n, k.what))
		}
	}
	return strings.Join(words, ", ")
}

// A partReader finds the pictures in a multipart stream as cameras send it. The
// letter of it (RFC 2046, section 5.1.1) is
//
//	--boundary CRLF  header: value CRLF …  CRLF  bytes  CRLF --boundary …
//
// Few keep to that: boundary lines are missing, doubled, without dashes or with
// more, at the end or in other case; lines end with LF; lengths are wrong, doubled
// or missing; texts and paddings stand between. So the reader goes by the
// pictures. One begins where a start of image stands outside of a part of another
// type, and ends with its own end marker, or else where a boundary or the header
// of the next part follows in its coded data.
//
// What stands behind the end marker, up to the stated length or the next part, is
// no part of the picture; it is counted. A stated length serves to know without
// waiting for the next part that nothing more comes. A part that breaks off is
// given as it is when another follows, and is an error when the stream ends.
//
// Memory is bounded by the largest part plus one buffer.
type partReader struct {
	r         io.Reader
	now       func() sensor.Mono
	announced boundary
	seen      bool     // the announced boundary was
	learned   boundary // by its looks, while that was not
	max       int
	counts    *counts

	buffer   []byte // bytes read and not used are buffer[from:to]
	from, to int
	filled   sensor.Mono // when the newest bytes in the buffer arrived
	text     []byte      // the beginning of the line at hand
	lineEnd  int         // bytes of its end
	closed   bool        // the last boundary said that it was the last

	head  head // of the part that is to come
	first bool // a picture has begun
	noise bool // what stands between the parts at hand is counted
	part  []byte
}

// A head is what is known of a part before its picture.
type head struct {
	begun    bool        // by a boundary or a header
	bounded  bool        // by a boundary
	stamped  bool        // arrived is known
	arrived  sensor.Mono // first byte of its header, or else of its picture
	other    bool        // of another type than a picture
	content  bool        // something stood in it
	length   int         // as stated, -1 for none
	doubtful bool        // it stated another, too, or one that is none
}

// A picture is one part of the stream.
type picture struct {
	arrived sensor.Mono
	data    []byte // valid until the next call
	behind  int    // bytes of the part that stood behind the end of the picture
}

func newPartReader(r io.Reader, announced string, maxPart int, now func() sensor.Mono, counts *counts) *partReader {
	return &partReader{
		r: r, now: now, max: maxPart, counts: counts, buffer: make([]byte, readAhead), head: head{length: -1},
		announced: newBoundary([]byte(announced)),
	}
}

// A boundary is known without the dashes at its ends. The zero boundary is none.
type boundary struct {
	core   []byte
	dashes bool // it is nothing but dashes
}

func newBoundary(line []byte) boundary {
	core := bytes.Clone(bytes.Trim(line, "- \t\r\n"))
	return boundary{core: core, dashes: len(core) == 0 && len(line) > 0}
}

// is reports whether a line without its end is that boundary, with whatever dashes
// and letters of either case.
func (b boundary) is(line []byte) bool {
	core := bytes.Trim(line, "- \t")
	if b.dashes {
		return len(core) == 0 && len(line) >= 2
	}
	return len(core) > 0 && bytes.EqualFold(core, b.core)
}

// exactly reports whether a line is that boundary by the letter.
func (b boundary) exactly(line []byte) bool {
	rest, ok := bytes.CutPrefix(line, []byte("--"))
	return ok && len(b.core) > 0 && bytes.Equal(rest, b.core)
}

// begins reports whether a line that has not ended yet may become that boundary.
func (b boundary) begins(line []byte) bool {
	core := bytes.TrimLeft(line, "-")
	n := min(len(core), len(b.core))
	return len(line) > 0 && (len(b.core) > 0 || b.dashes) && bytes.EqualFold(core[:n], b.core[:n]) && len(bytes.Trim(core[n:], "- \t\r")) == 0
}

// fill reads more bytes while there are fewer than need, which is small.
func (p *partReader) fill(need int) error {
	for tries := 0; p.to-p.from < need; tries++ {
		if p.from > 0 {
			p.to = copy(p.buffer, p.buffer[p.from:p.to])
			p.from = 0
		}
		n, err := p.r.Read(p.buffer[p.to:])
		p.to += n
		switch {
		case n > 0:
			p.filled = p.now()
		case err == io.EOF && p.closed:
			return fmt.Errorf("%w: the camera closed it", ErrStream)
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

// next returns the next picture.
func (p *partReader) next() (picture, error) {
	for {
		for found := isOther; found != isPicture; {
			var err error
			if found, _, err = p.between(-1); err != nil {
				return picture{}, err
			}
		}
		got, err := p.picture()
		if err != nil {
			return picture{}, err
		}
		if got.data != nil {
			return got, nil
		}
		p.counts.large.Add(1)
	}
}

// What stands between pictures.
type found uint8

const (
	isOther   found = iota // a line or bytes that say nothing
	isPart                 // a boundary or a header, which is in head now
	isPicture              // the bytes that come next begin one
)

// between reads the next line between pictures, or what precedes a start of image
// in it. When room is not negative it takes so many bytes at most, but for a line
// that begins like a boundary, and no start of image. It returns how many it took.
func (p *partReader) between(room int) (what found, size int, err error) {
	p.text, p.lineEnd = p.text[:0], 0
	var began sensor.Mono
	var last byte
	whole := false
	limit := room
	for {
		if room >= 0 && size >= limit {
			if limit > room || !p.mayStart() {
				break
			}
			limit = room + maxBound
		}
		if err := p.fill(1); err != nil {
			return isOther, size, err
		}
		if size == 0 {
			began = p.filled
		}
		b := p.buffer[p.from:p.to]
		if room >= 0 {
			b = b[:min(len(b), limit-size)]
		}
		pictures := room < 0 && !p.head.other
		n := 0
		for n < len(b) && b[n] != '\n' && (b[n] != 0xFF || !pictures) {
			n++
		}
		whole = n < len(b) && b[n] == '\n'
		switch {
		case whole:
			n++
		case n == 0:
			if p.startOfImage() {
				p.other(size)
				if !p.head.stamped {
					p.head.stamped, p.head.arrived = true, p.filled
				}
				return isPicture, size, nil
			}
			n = 1
		}
		p.text = append(p.text, p.buffer[p.from:p.from+min(n, maxLine-len(p.text))]...)
		if p.lineEnd = 0; whole {
			if p.lineEnd = 1; n > 1 {
				last = b[n-2]
			}
			if last == '\r' {
				p.lineEnd = 2
			}
		}
		last = p.buffer[p.from+n-1]
		p.from += n
		size += n
		if whole {
			break
		}
	}
	if whole && p.starts(p.text, began) {
		return isPart, size, nil
	}
	p.other(size)
	return isOther, size, nil
}

// mayStart reports whether the line at hand has begun like a boundary.
func (p *partReader) mayStart() bool {
	return p.announced.begins(p.text) || p.learned.begins(p.text)
}

// startOfImage reports whether the bytes that come next are one, with the first
// byte of the marker behind it.
func (p *partReader) startOfImage() bool {
	return p.fill(3) == nil && p.buffer[p.from+1] == 0xD8 && p.buffer[p.from+2] == 0xFF
}

// other takes note of bytes that are neither a boundary nor a header.
func (p *partReader) other(size int) {
	switch {
	case size == 0 || len(bytes.Trim(p.text, "\r\n")) == 0:
	case p.head.begun:
		p.head.content = true
	case !p.noise:
		p.noise = true
		p.counts.between.Add(1)
	}
}

// starts takes a line that is a boundary, or a header of a part, which may begin
// it. It reports whether it is one. Its first byte arrived at the given instant.
func (p *partReader) starts(line []byte, arrived sensor.Mono) bool {
	line = bytes.TrimRight(line, "\r\n \t")
	if p.isBoundary(line) {
		if p.head.begun && p.head.content && !p.head.other {
			p.counts.empty.Add(1)
		}
		p.closed = bytes.HasSuffix(line, []byte("--"))
		p.head, p.noise = head{begun: true, bounded: true, length: -1}, false
		return true
	}
	name, value, ok := bytes.Cut(line, []byte(":"))
	name = bytes.TrimRight(name, " \t")
	if !ok || len(name) == 0 || bytes.ContainsAny(name, " \t\"<>(){}[]/") {
		return false
	}
	isType, isLength := bytes.EqualFold(name, []byte("Content-Type")), bytes.EqualFold(name, []byte("Content-Length"))
	if !p.head.begun && !isType && !isLength {
		return false
	}
	if !p.head.stamped {
		p.head.stamped, p.head.arrived = true, arrived
	}
	p.head.begun, p.head.content = true, true
	switch value = bytes.TrimSpace(value); {
	case isType:
		was := p.head.other
		if p.head.other = !isImage(value); p.head.other && !was {
			p.counts.types.Add(1)
		}
	case isLength:
		n, err := strconv.ParseUint(string(value), 10, 31)
		if err != nil || n == 0 || p.head.length >= 0 && p.head.length != int(n) {
			p.head.doubtful = true
		}
		p.head.length = int(n)
	}
	return true
}

// isBoundary reports whether a line is a boundary. As long as the one announced has
// not been seen, the first line between parts that begins with two dashes says what
// else it is.
func (p *partReader) isBoundary(line []byte) bool {
	if p.announced.is(line) {
		p.seen = true
		return true
	}
	if !p.seen && p.learned.core == nil && bytes.HasPrefix(line, []byte("--")) {
		p.learned = newBoundary(line)
	}
	return p.learned.is(line)
}

// isImage reports whether a part of that type may hold a JPEG: cameras call it
// image/jpeg, image/jpg, image/pjpeg or application/octet-stream, with parameters.
func isImage(value []byte) bool {
	value = bytes.ToLower(value)
	return len(value) == 0 || bytes.HasPrefix(value, []byte("image/")) || bytes.HasPrefix(value, []byte("application/octet-stream")) ||
		bytes.Contains(value, []byte("jpeg")) || bytes.Contains(value, []byte("jpg"))
}

// picture reads a picture and what stands behind it in its part. Its data is nil
// when it was too large.
func (p *partReader) picture() (picture, error) {
	got := picture{arrived: p.head.arrived}
	if p.first && !p.head.bounded {
		p.counts.boundaries.Add(1)
	}
	p.first = true
	length := p.head.length
	if p.head.doubtful {
		p.counts.lengths.Add(1)
		length = -1
	}
	p.head, p.noise = head{length: -1}, false
	p.part = p.part[:0]
	var w walk
	size, searched, large := 0, 0, false // searched is where in part coded data may still begin the next
	for w.state != atEnd {
		if err := p.fill(1); err != nil {
			return got, fmt.Errorf("after %d bytes of a picture: %w", size, err)
		}
		b := p.buffer[p.from:p.to]
		coded, known := w.coded(), length >= 0 && size < length
		if known && (!coded || w.state == walkFailed) {
			b = b[:min(len(b), length-size)]
		}
		n := len(b)
		if w.state != walkFailed {
			n = w.feed(b)
		}
		p.part = append(p.part, b[:n]...)
		p.from += n
		size += n
		if !coded && length >= 0 {
			searched = len(p.part) // a segment may hold anything
		} else if end, behind := p.search(&searched); end >= 0 {
			p.from -= behind
			p.part = p.part[:end]
			break
		}
		if known && size == length && (!w.coded() || w.state == walkFailed) && w.state != atEnd {
			break // as the camera says
		}
		if searched > p.max {
			large = true
			p.part = append(p.part[:0], p.part[searched:]...)
			searched = 0
		}
	}
	if w.state == atEnd {
		if length >= 0 && length < size {
			p.counts.lengths.Add(1)
			length = -1
		}
		got.behind = p.behind(length - size)
	}
	if large || len(p.part) > p.max {
		return picture{}, nil
	}
	got.data = p.part
	return got, nil
}

// search looks for a line in the coded data of a picture that begins the next part:
// the picture has broken off before it. It returns where the data before that line
// ends and how many bytes behind it have been read, or -1.
func (p *partReader) search(from *int) (end, behind int) {
	for {
		i := bytes.IndexByte(p.part[*from:], '\n')
		if i < 0 {
			*from = len(p.part)
			return -1, 0
		}
		*from += i
		line := p.part[*from+1:]
		j := bytes.IndexByte(line[:min(len(line), maxBound)], '\n')
		if j < 0 && len(line) < maxBound {
			return -1, 0 // its end is yet to come
		}
		if j >= 0 && p.likely(line[:j]) && p.starts(line[:j], p.filled) {
			end = *from
			if end > 0 && p.part[end-1] == '\r' {
				end--
			}
			return end, len(line) - j - 1
		}
		*from++
	}
}

// likely reports whether a line of coded data is no accident: any bytes stand in
// there.
func (p *partReader) likely(line []byte) bool {
	line = bytes.TrimRight(line, "\r \t")
	return (p.announced.is(line) || p.learned.is(line)) && (len(line) >= 4 || p.announced.exactly(line) || p.learned.exactly(line)) ||
		len(line) > 12 && bytes.EqualFold(line[:8], []byte("Content-"))
}

// behind reads what stands behind the end of a picture in its part, which is room
// bytes when that is not negative and else up to the next part. It returns how many
// they are, without line ends alone.
func (p *partReader) behind(room int) int {
	total, blank, stated := 0, true, room >= 0
	p.noise = true // counted here
	for !stated || room > 0 {
		before := p.lineEnd
		what, size, err := p.between(room)
		if what == isPart {
			total -= before
			if stated {
				p.counts.lengths.Add(1)
			}
			break
		}
		total += size
		blank = blank && len(bytes.Trim(p.text, "\r\n")) == 0
		if err != nil || what == isPicture {
			break // the picture is whole: what ended the stream ends it again
		}
		if stated {
			room -= size
		}
	}
	if stated && room <= 0 {
		p.noise = false
	}
	if blank {
		return 0
	}
	p.counts.behind.Add(1)
	return total
}
