package casefile

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"math"
	"time"

	"ciglio/capture/evidence"
	"ciglio/portal/law"
)

// Limits of the format.
const (
	maxBody = 8 << 10 // bytes of an encoded body
	// MaxAct is the most bytes of an encoded act.
	MaxAct   = maxBody + 512
	maxCents = 1_000_000_000_00
	maxList  = 64                       // items
	maxAt    = 253402300799 * 1_000_000 // microseconds: the end of the year 9999
)

// Encode returns the one encoding of an act: deterministic CBOR (RFC 8949 section 4.2.1), a
// map of
//
//	1 version: 1        5 day, in days since 1970    9 key, 16 bytes
//	2 case, 16 bytes    6 person, absent for a desk  10 hash of the act before, 32 bytes
//	3 number            7 role or desk               11 body, a byte string: a map that
//	4 at, microseconds  8 kind                          docs/cases.md lists by kind
func (a *Act) Encode() ([]byte, error) {
	body, err := encode(a.Body.fields)
	if err != nil {
		return nil, fmt.Errorf("act %s: %w", a.Body.Kind(), err)
	}
	kind := a.Body.Kind()
	b, err := encode(func(m *form) { a.fields(m, &kind, &body) })
	if err != nil {
		return nil, fmt.Errorf("act %s: %w", kind, err)
	}
	return b, nil
}

// Decode reads an act in its one spelling. The error wraps an [evidence.DecodeError], or
// says which field holds what it may not.
func Decode(b []byte) (*Act, error) {
	a := &Act{}
	var kind Kind
	var body []byte
	if err := decode(b, func(m *form) { a.fields(m, &kind, &body) }); err != nil {
		return nil, fmt.Errorf("act: %w", err)
	}
	if a.Body = kind.body(); a.Body == nil {
		return nil, fmt.Errorf("act: %w: %s", evidence.ErrKind, kind)
	}
	if err := decode(body, a.Body.fields); err != nil {
		return nil, fmt.Errorf("act %s: %w", kind, err)
	}
	return a, nil
}

func (a *Act) fields(m *form, kind *Kind, body *[]byte) {
	m.Constant(1, "version", 1)
	m.Fixed(2, "case", a.Case[:])
	m.Integer(3, "number", &a.Number, 1, math.MaxInt32)
	m.instant(4, "at", &a.At)
	m.day(5, "day", &a.Day)
	m.optionalRef(6, "person", &a.By.Person)
	m.code(7, "office", &a.By.Office)
	m.code(8, "kind", (*Code)(kind))
	m.Fixed(9, "key", a.Key[:])
	m.Fixed(10, "prev", a.Prev[:])
	m.Bytes(11, "body", body, 1, maxBody)
}

// Hash returns what the next act and the log name an act by.
func (a *Act) Hash() (evidence.Hash, error) {
	b, err := a.Encode()
	if err != nil {
		return evidence.Hash{}, err
	}
	return HashOf(b), nil
}

// HashOf returns the hash of an encoded act.
func HashOf(encoded []byte) evidence.Hash {
	return sha256.Sum256(append([]byte("ciglio act v1\x00"), encoded...))
}

// A form is a map of [evidence.Form] with the types of acts. Its own first error sticks.
type form struct {
	*evidence.Form
	err *error
}

func encode(fields func(*form)) ([]byte, error) {
	var own error
	b, err := evidence.EncodeForm(func(m *evidence.Form) { fields(&form{m, &own}) })
	return b, errors.Join(err, own)
}

func decode(b []byte, fields func(*form)) error {
	var own error
	err := evidence.DecodeForm(b, func(m *evidence.Form) { fields(&form{m, &own}) })
	if err != nil {
		return err
	}
	return own
}

func (m *form) fail(name string, err error) {
	if *m.err == nil {
		*m.err = fmt.Errorf("%s: %w", name, err)
	}
}

// errRef says that a reference holds a space or what is not ASCII.
var errRef = errors.New("want printable ASCII without a space")

func (m *form) ref(key int64, name string, r *Ref) {
	m.Text(key, name, (*string)(r), 1, evidence.MaxID)
	m.checkRef(name, *r)
}

func (m *form) optionalRef(key int64, name string, r *Ref) {
	m.OptionalText(key, name, (*string)(r), evidence.MaxID)
	m.checkRef(name, *r)
}

func (m *form) checkRef(name string, r Ref) {
	for i := range len(r) {
		if r[i] <= ' ' || r[i] > '~' {
			m.fail(name, errRef)
		}
	}
}

func (m *form) code(key int64, name string, c *Code) { m.Code(key, name, (*string)(c)) }

func (m *form) optionalCode(key int64, name string, c *Code) {
	m.OptionalText(key, name, (*string)(c), evidence.MaxCode)
	if *c != "" && !evidence.IsCode(string(*c)) {
		m.fail(name, fmt.Errorf("%w: want a-z and _", evidence.ErrRange))
	}
}

// channel is a code of [law.Channel].
func (m *form) channel(key int64, name string, c *law.Channel) { m.Code(key, name, (*string)(c)) }

func (m *form) cents(key int64, name string, c *law.Cents) {
	v := int64(*c)
	m.Integer(key, name, &v, 0, maxCents)
	set(c, law.Cents(v))
}

// number is of a position, a party, a dispatch, from lo.
func (m *form) number(key int64, name string, n *int64, lo int64) { m.Integer(key, name, n, lo, 9999) }

func (m *form) flag(key int64, name string, b *bool) {
	var v int64
	if *b {
		v = 1
	}
	m.Integer(key, name, &v, 0, 1)
	set(b, v == 1)
}

// epoch is the day from which days are counted.
var epoch = law.Date(1970, time.January, 1)

// maxDay is 31 December 9999.
var maxDay = int64(law.Date(9999, time.December, 31).Since(epoch))

func (m *form) day(key int64, name string, d *law.Day) {
	v := int64(d.Since(epoch))
	m.Integer(key, name, &v, 1, maxDay)
	set(d, epoch.Add(int(v)))
}

func (m *form) optionalDay(key int64, name string, d *law.Day) {
	var v int64
	if !d.Zero() {
		v = int64(d.Since(epoch))
	}
	if m.OptionalInteger(key, name, &v, maxDay); v > 0 {
		set(d, epoch.Add(int(v)))
	}
}

func (m *form) instant(key int64, name string, t *time.Time) {
	v := t.UnixMicro()
	m.Integer(key, name, &v, 1, maxAt)
	set(t, time.UnixMicro(v).UTC())
}

// moment is a day and, where it is known, the instant within it, as two keys.
func (m *form) moment(key int64, name string, at *law.Moment) {
	m.day(key, name, &at.Day)
	var v int64
	if !at.Instant.IsZero() {
		v = at.Instant.UnixMicro()
	}
	if m.OptionalInteger(key+1, name+" instant", &v, maxAt); v == 0 {
		return
	}
	set(&at.Instant, time.UnixMicro(v).UTC())
	if law.DayOf(at.Instant) != at.Day {
		m.fail(name, fmt.Errorf("%w: an instant of another day", evidence.ErrRange))
	}
}

func (m *form) commitment(key int64, name string, c *Commitment) { m.Fixed(key, name, c[:]) }

// list is an array of lo to maxList maps.
func list[T any](m *form, key int64, name string, p *[]T, lo int, fields func(*T, *form)) {
	evidence.FormMaps(m.Form, key, name, p, lo, maxList, func(one *T, inner *evidence.Form) { fields(one, &form{inner, m.err}) })
}

// set writes what was read. What is encoded stays untouched: it may be in use elsewhere.
func set[T comparable](p *T, v T) {
	if *p != v {
		*p = v
	}
}
