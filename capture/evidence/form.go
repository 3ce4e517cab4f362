package evidence

import "math"

// A Form encodes or decodes one map in the deterministic CBOR of records, for
// what else is signed on the wire. Its fields are listed once, by one function
// that serves both directions; the first error sticks. See [EncodeForm].
type Form struct{ f *form }

// EncodeForm returns the encoding of the map that fields lists, in ascending order
// of the keys.
func EncodeForm(fields func(*Form)) ([]byte, error) {
	return encode(func(f *form) { fields(&Form{f}) })
}

// DecodeForm reads b, all of it and in its one spelling, into what fields lists.
func DecodeForm(b []byte, fields func(*Form)) error {
	return decode(b, func(f *form) { fields(&Form{f}) })
}

// Constant is an integer that can have one value only.
func (m *Form) Constant(key int64, name string, value int64) { m.f.constant(key, name, value) }

// Fixed is a byte string exactly as long as p.
func (m *Form) Fixed(key int64, name string, p []byte) { m.f.fixed(key, name, p) }

// Bytes is a byte string of lo to hi bytes.
func (m *Form) Bytes(key int64, name string, p *[]byte, lo, hi int) { m.f.bytes(key, name, p, lo, hi) }

// Pair is an array of two numbers below 2^63, as an item of a list.
func (m *Form) Pair(name string, a, b *uint64) {
	m.f.arrayOf(2, name)
	plainInteger(m.f, name, a, 0, math.MaxInt64)
	plainInteger(m.f, name, b, 0, math.MaxInt64)
}

// FormList is an array of lo to hi items.
func FormList[T any](m *Form, key int64, name string, p *[]T, lo, hi int, item func(*T, *Form)) {
	if m.f.key(key, name) {
		list(m.f, name, p, lo, hi, func(one *T, f *form) { item(one, &Form{f}) })
	}
}

// FormMaps is an array of lo to hi maps.
func FormMaps[T any](m *Form, key int64, name string, p *[]T, lo, hi int, fields func(*T, *Form)) {
	FormList(m, key, name, p, lo, hi, func(one *T, m *Form) {
		m.f.mapping(func(f *form) { fields(one, &Form{f}) })
	})
}

// Text is a text of lo to hi bytes without control characters.
func (m *Form) Text(key int64, name string, p *string, lo, hi int) { m.f.text(key, name, p, lo, hi) }

// Integer is a number from lo to hi.
func (m *Form) Integer(key int64, name string, p *int64, lo, hi int64) {
	integer(m.f, key, name, p, lo, hi)
}

// Code is a code: see [IsCode].
func (m *Form) Code(key int64, name string, p *string) { m.f.code(key, name, p) }

// OptionalText is a text of 1 to hi bytes that is empty when the key is absent.
func (m *Form) OptionalText(key int64, name string, p *string, hi int) {
	m.f.optionalText(key, name, p, hi)
}

// OptionalInteger is a number from 1 to hi that is 0 when the key is absent.
func (m *Form) OptionalInteger(key int64, name string, p *int64, hi int64) {
	if m.f.optional(key, name, *p != 0) {
		plainInteger(m.f, name, p, 1, hi)
	}
}
