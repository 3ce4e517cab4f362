package evidence

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"
	"unicode/utf8"
)

// Why an encoded record, receipt, register or proof is refused. A [DecodeError]
// wraps one of them.
var (
	ErrTruncated    = errors.New("ends too early")
	ErrTrailing     = errors.New("bytes after the end")
	ErrTooLarge     = errors.New("too large")
	ErrNotMinimal   = errors.New("number or length not in its shortest form")
	ErrIndefinite   = errors.New("indefinite length")
	ErrForbidden    = errors.New("float, tag, null or other simple value")
	ErrType         = errors.New("wrong type")
	ErrDuplicateKey = errors.New("duplicate key")
	ErrKeyOrder     = errors.New("keys not in ascending order")
	ErrMissingKey   = errors.New("missing key")
	ErrUnknownKey   = errors.New("unknown key")
	ErrRange        = errors.New("out of range")
	ErrText         = errors.New("text is not printable UTF-8, or holds what is not seen")
	ErrKind         = errors.New("does not fit the kind of record")
)

// A DecodeError reports where an encoded record stopped being well formed.
type DecodeError struct {
	Offset int64 // bytes from the start of what was to be decoded
	Err    error
}

func (e *DecodeError) Error() string { return fmt.Sprintf("byte %d: %v", e.Offset, e.Err) }

// Unwrap returns the reason.
func (e *DecodeError) Unwrap() error { return e.Err }

// A form encodes or decodes one value. The fields of a type are listed once,
// by one function that serves both directions, so that the two cannot differ:
// what is not in the list cannot be written and is refused when read.
//
// Only deterministic CBOR (RFC 8949 section 4.2.1) of the types that the format
// uses is written and accepted: integers from -2^63 to 2^63-1, byte strings,
// text, arrays, and maps whose keys are unsigned integers in ascending order.
// The first error sticks, and every later call does nothing.
type form struct {
	decoding bool
	buf      []byte // decoding: the input; encoding: the output so far
	off      int    // decoding: the next byte
	entries  int    // of the innermost map: left to read, or written so far
	last     int64  // key before, in the innermost map; -1 at its start
	err      error
}

// encode returns the encoding of what fields lists.
func encode(fields func(*form)) ([]byte, error) {
	f := &form{}
	f.mapping(fields)
	return f.buf, f.err
}

// decode reads b, all of it, into what fields lists.
func decode(b []byte, fields func(*form)) error {
	f := &form{decoding: true, buf: b}
	f.mapping(fields)
	if f.err == nil && f.off != len(b) {
		f.failAt(f.off, ErrTrailing)
	}
	return f.err
}

func (f *form) failAt(offset int, err error) {
	if f.err != nil {
		return
	}
	if f.decoding {
		err = &DecodeError{Offset: int64(offset), Err: err}
	}
	f.err = err
}

// failRule reports a broken rule that binds several fields; a nil err is none.
func (f *form) failRule(err error) {
	if err != nil {
		f.failAt(f.off, err)
	}
}

// fail reports what is wrong with the field just read or to be written.
func (f *form) fail(name string, err error) { f.failAt(f.off, fmt.Errorf("%s: %w", name, err)) }

// Major types of CBOR.
const (
	majorUint = iota
	majorNegative
	majorBytes
	majorText
	majorArray
	majorMap
	majorTag
	majorSimple
)

func appendHead(b []byte, major byte, n uint64) []byte {
	major <<= 5
	switch {
	case n < 24:
		return append(b, major|byte(n))
	case n <= math.MaxUint8:
		return append(b, major|24, byte(n))
	case n <= math.MaxUint16:
		return binary.BigEndian.AppendUint16(append(b, major|25), uint16(n))
	case n <= math.MaxUint32:
		return binary.BigEndian.AppendUint32(append(b, major|26), uint32(n))
	}
	return binary.BigEndian.AppendUint64(append(b, major|27), n)
}

// readHead reads the major type and the argument at the start of an item.
func readHead(b []byte) (major byte, n uint64, size int, err error) {
	if len(b) == 0 {
		return 0, 0, 0, ErrTruncated
	}
	major, info := b[0]>>5, b[0]&31
	if major >= majorTag {
		return 0, 0, 0, ErrForbidden
	}
	switch {
	case info < 24:
		return major, uint64(info), 1, nil
	case info == 31:
		return 0, 0, 0, ErrIndefinite
	case info > 27:
		return 0, 0, 0, ErrType // reserved by RFC 8949
	}
	width := 1 << (info - 24)
	if len(b) < 1+width {
		return 0, 0, 0, ErrTruncated
	}
	for _, c := range b[1 : 1+width] {
		n = n<<8 | uint64(c)
	}
	if len(appendHead(nil, major, n)) != 1+width {
		return 0, 0, 0, ErrNotMinimal
	}
	return major, n, 1 + width, nil
}

// take reads a head of the wanted major type and returns its argument.
func (f *form) take(name string, want byte) uint64 {
	if f.err != nil {
		return 0
	}
	major, n, size, err := readHead(f.buf[f.off:])
	if err == nil && major != want {
		err = ErrType
	}
	if err != nil {
		f.fail(name, err)
		return 0
	}
	f.off += size
	return n
}

// mapping encodes or decodes one map.
func (f *form) mapping(fields func(*form)) {
	outer := *f
	f.last = -1
	if f.decoding {
		n := f.take("map", majorMap)
		if n > uint64(len(f.buf)-f.off) {
			f.failAt(f.off, ErrTruncated)
			n = 0
		}
		f.entries = int(n)
		fields(f)
		if f.err == nil && f.entries != 0 {
			f.peekKey() // reports a duplicate
			f.failAt(f.off, ErrUnknownKey)
		}
	} else {
		f.buf, f.entries = nil, 0
		fields(f)
		f.buf = append(appendHead(outer.buf, majorMap, uint64(f.entries)), f.buf...)
	}
	f.entries, f.last = outer.entries, outer.last
}

// peekKey returns the next key of the map and the bytes it takes; ok is false
// at the end of the map.
func (f *form) peekKey() (key int64, size int, ok bool) {
	if f.err != nil || f.entries == 0 {
		return 0, 0, false
	}
	major, n, size, err := readHead(f.buf[f.off:])
	switch {
	case err != nil:
	case major != majorUint:
		err = ErrType
	case n > math.MaxInt64:
		err = ErrUnknownKey
	case int64(n) == f.last:
		err = ErrDuplicateKey
	case int64(n) < f.last:
		err = ErrKeyOrder
	}
	if err != nil {
		f.fail("map key", err)
		return 0, 0, false
	}
	return int64(n), size, true
}

// key writes a mandatory key, or reads it, and reports whether its value comes
// next.
func (f *form) key(key int64, name string) bool {
	if f.err != nil {
		return false
	}
	if !f.decoding {
		f.buf = appendHead(f.buf, majorUint, uint64(key))
		f.entries++
		return true
	}
	got, size, ok := f.peekKey()
	switch {
	case f.err != nil:
		return false
	case !ok || got > key:
		f.fail(name, ErrMissingKey)
		return false
	case got < key:
		f.failAt(f.off, ErrUnknownKey)
		return false
	}
	f.off += size
	f.entries--
	f.last = key
	return true
}

// optional is like key for a key that may be absent: encoding, present tells;
// decoding, the input does.
func (f *form) optional(key int64, name string, present bool) bool {
	if f.decoding {
		got, _, ok := f.peekKey()
		present = ok && got == key
	}
	return present && f.key(key, name)
}

// object encodes or decodes a nested map.
func (f *form) object(key int64, name string, fields func(*form)) {
	if f.key(key, name) {
		f.mapping(fields)
	}
}

// optionalObject encodes or decodes a nested map that may be absent, which is a
// nil pointer.
func optionalObject[T any](f *form, key int64, name string, p **T, fields func(*T, *form)) {
	if !f.optional(key, name, *p != nil) {
		return
	}
	if f.decoding {
		*p = new(T)
	}
	f.mapping(func(f *form) { fields(*p, f) })
}

// list encodes or decodes an array of at least lo and at most hi items, after
// its key.
func list[T any](f *form, name string, p *[]T, lo, hi int, item func(*T, *form)) {
	if f.err != nil {
		return
	}
	n := uint64(len(*p))
	if f.decoding {
		n = f.take(name, majorArray)
	}
	if f.err == nil && (n < uint64(lo) || n > uint64(hi)) {
		f.fail(name, fmt.Errorf("%w: %d items, want %d to %d", ErrRange, n, lo, hi))
	}
	if f.err != nil {
		return
	}
	if !f.decoding {
		f.buf = appendHead(f.buf, majorArray, n)
	} else {
		// Grown item by item: what a sender claims is never allocated at once.
		*p = nil
	}
	for i := range int(n) {
		if f.decoding {
			var zero T
			*p = append(*p, zero)
		}
		if item(&(*p)[i], f); f.err != nil {
			return
		}
	}
}

// arrayOf encodes or decodes the head of an array of n items, which follow.
func (f *form) arrayOf(n uint64, name string) {
	switch {
	case f.err != nil:
	case !f.decoding:
		f.buf = appendHead(f.buf, majorArray, n)
	default:
		if got := f.take(name, majorArray); f.err == nil && got != n {
			f.fail(name, fmt.Errorf("%w: %d items, want %d", ErrRange, got, n))
		}
	}
}

type anyInteger interface {
	~uint8 | ~uint16 | ~uint32 | ~uint64 | ~int32 | ~int64
}

// integer encodes or decodes a key and an integer from lo to hi.
func integer[T anyInteger](f *form, key int64, name string, p *T, lo, hi int64) {
	if f.key(key, name) {
		plainInteger(f, name, p, lo, hi)
	}
}

// plainInteger is an integer without a key, as an item of an array. A uint64
// beyond 2^63-1 reads as a negative number here and so falls below lo.
func plainInteger[T anyInteger](f *form, name string, p *T, lo, hi int64) {
	if f.err != nil {
		return
	}
	v := int64(*p)
	if f.decoding {
		major, n, size, err := readHead(f.buf[f.off:])
		switch {
		case err != nil:
		case major > majorNegative:
			err = ErrType
		case n > math.MaxInt64:
			err = ErrRange
		}
		if err != nil {
			f.fail(name, err)
			return
		}
		if v = int64(n); major == majorNegative {
			v = -1 - v
		}
		if v >= lo && v <= hi {
			f.off += size
			*p = T(v)
		}
	}
	if v < lo || v > hi {
		f.fail(name, fmt.Errorf("%w: %d, want %d to %d", ErrRange, v, lo, hi))
		return
	}
	if !f.decoding {
		if v >= 0 {
			f.buf = appendHead(f.buf, majorUint, uint64(v))
		} else {
			f.buf = appendHead(f.buf, majorNegative, uint64(-1-v))
		}
	}
}

// constant encodes or decodes a key and an integer that can have one value only.
func (f *form) constant(key int64, name string, value int64) {
	v := value
	integer(f, key, name, &v, value, value)
}

// flag encodes or decodes a key and a truth value, as 0 or 1.
func (f *form) flag(key int64, name string, p *bool) {
	var v uint8
	if *p {
		v = 1
	}
	if integer(f, key, name, &v, 0, 1); f.decoding {
		*p = v == 1
	}
}

// instant encodes or decodes a key and a time as a count of units, seconds or
// microseconds, since 1970. Encoding drops what is finer than the unit.
func (f *form) instant(key int64, name string, p *time.Time, unit time.Duration) {
	if f.key(key, name) {
		f.plainInstant(name, p, unit)
	}
}

func (f *form) plainInstant(name string, p *time.Time, unit time.Duration) {
	perSecond := int64(time.Second / unit)
	v := p.Unix()*perSecond + int64(p.Nanosecond())/int64(unit)
	if plainInteger(f, name, &v, 0, maxUnix*perSecond); f.decoding && f.err == nil {
		*p = time.Unix(v/perSecond, v%perSecond*int64(unit)).UTC()
	}
}

// maxUnix is the end of the year 9999.
const maxUnix = 253402300799

// raw encodes or decodes the head and the bytes of a byte string or a text.
func (f *form) raw(name string, major byte, data []byte, lo, hi int) []byte {
	if f.err != nil {
		return nil
	}
	n := uint64(len(data))
	if f.decoding {
		n = f.take(name, major)
	}
	if f.err == nil && (n < uint64(lo) || n > uint64(hi)) {
		f.fail(name, fmt.Errorf("%w: %d bytes, want %d to %d", ErrRange, n, lo, hi))
	}
	if f.err != nil {
		return nil
	}
	if f.decoding {
		if n > uint64(len(f.buf)-f.off) {
			f.fail(name, ErrTruncated)
			return nil
		}
		data = f.buf[f.off : f.off+int(n)]
	}
	if major == majorText && !printable(data) {
		f.fail(name, ErrText)
		return nil
	}
	if f.decoding {
		f.off += int(n)
	} else {
		f.buf = append(appendHead(f.buf, major, n), data...)
	}
	return data
}

// text encodes or decodes a key and a text of lo to hi bytes.
func (f *form) text(key int64, name string, p *string, lo, hi int) {
	if !f.key(key, name) {
		return
	}
	if data := f.raw(name, majorText, []byte(*p), lo, hi); f.decoding {
		*p = string(data)
	}
}

// bytes encodes or decodes a key and a byte string of lo to hi bytes. Decoding
// copies.
func (f *form) bytes(key int64, name string, p *[]byte, lo, hi int) {
	if !f.key(key, name) {
		return
	}
	if data := f.raw(name, majorBytes, *p, lo, hi); f.decoding {
		*p = bytes.Clone(data)
	}
}

// fixed encodes or decodes a key and a byte string exactly as long as p.
func (f *form) fixed(key int64, name string, p []byte) {
	if f.key(key, name) {
		f.plainFixed(name, p)
	}
}

func (f *form) plainFixed(name string, p []byte) {
	if data := f.raw(name, majorBytes, p, len(p), len(p)); f.decoding {
		copy(p, data)
	}
}

// printable reports whether a text is valid UTF-8 without control characters and
// without what is not seen or turns other text around, so that it cannot disturb
// or deceive on the screen or page that shows it.
func printable(b []byte) bool {
	return utf8.Valid(b) && !slices.ContainsFunc([]rune(string(b)), hidden)
}

// unseen lists the ranges of characters that no text holds, besides the controls
// U+0000 to U+001F and U+007F to U+009F: what is not seen (soft hyphen, joiners,
// fillers, variation selectors, tags), what orders text anew (the bidirectional
// controls), what breaks lines, and what is no character. They are ranges of
// numbers, and not classes of Unicode, so that no two verifiers differ with the
// version that they know.
func unseen() [][2]rune {
	return [][2]rune{
		{0x00ad, 0x00ad}, {0x034f, 0x034f}, {0x061c, 0x061c}, {0x115f, 0x1160}, {0x17b4, 0x17b5}, {0x180b, 0x180f},
		{0x200b, 0x200f}, {0x2028, 0x202e}, {0x2060, 0x206f}, {0x3164, 0x3164}, {0xfdd0, 0xfdef}, {0xfe00, 0xfe0f},
		{0xfeff, 0xfeff}, {0xffa0, 0xffa0}, {0xfff0, 0xfffb}, {0xfffe, 0xffff}, {0x1bca0, 0x1bca3}, {0x1d173, 0x1d17a},
		{0xe0000, 0xe0fff},
	}
}

func hidden(r rune) bool {
	return r < 0x20 || r >= 0x7f && r <= 0x9f ||
		r >= 0xad && slices.ContainsFunc(unseen(), func(in [2]rune) bool { return r >= in[0] && r <= in[1] })
}
