package evidence

import "fmt"

// MaxAnswer is the largest answer in an [Act], in bytes.
const MaxAnswer = 12 << 10

// An Act says who did what to a device, with what it was before and after. It
// stands under key 9 in the body of an operator's, calibration, configuration,
// shutdown and self-test record, where it may be absent: a record of an older
// device has none, and none follows from what the device does by itself.
//
// Codes are 1 to 32 of a-z and underscore: docs/evidence.md lists those in use.
type Act struct {
	Actor   string // who, as the device knows them: 1 to 64 bytes; no name of a person
	Role    string // code: in which office
	Code    string // what was done
	Subject string // to what; may be empty, at most MaxText bytes
	// Old and New are the value before and after, in words; empty for none or for
	// what has no short form. At most MaxText bytes.
	Old, New string
	// OldHash and NewHash are the SHA-256 of the text before and after; nil for none.
	OldHash, NewHash *Hash
	Outcome          string // code: done, refused, failed, begun or ended
	// Signer and Number name the signed order or bundle that asked for it: the id of
	// the key, and the number that rises with each. Nil and 0 when nothing signed did.
	Signer *Hash
	Number uint64
	// Answer is what the act gave, at most MaxAnswer bytes of type Media; nil and
	// empty for nothing.
	Answer []byte
	Media  string
}

// bodyAct is the key of the act in every body that may have one.
const bodyAct = 9

// ActOf returns the act that a record tells of; nil when it tells of none.
func (r *Record) ActOf() *Act {
	a, _ := r.Body[bodyAct].(*Act)
	return a
}

// WithAct returns a body with the act added, for a kind that may have one.
func (b Body) WithAct(a *Act) Body {
	with := Body{bodyAct: a}
	for key, value := range b {
		with[key] = value
	}
	return with
}

func (a *Act) fields(f *form) {
	f.text(1, "act actor", &a.Actor, 1, MaxID)
	f.code(2, "act role", &a.Role)
	f.code(3, "act code", &a.Code)
	f.optionalText(4, "act subject", &a.Subject, MaxText)
	f.optionalText(5, "act old", &a.Old, MaxText)
	f.optionalText(6, "act new", &a.New, MaxText)
	f.optionalHash(7, "act old_hash", &a.OldHash)
	f.optionalHash(8, "act new_hash", &a.NewHash)
	f.code(9, "act outcome", &a.Outcome)
	f.optionalHash(10, "act signer", &a.Signer)
	if f.optional(11, "act number", a.Number != 0) {
		plainInteger(f, "act number", &a.Number, 1, maxInteger)
	}
	if f.optional(12, "act answer", a.Answer != nil) {
		if data := f.raw("act answer", majorBytes, a.Answer, 1, MaxAnswer); f.decoding {
			a.Answer = append([]byte(nil), data...)
		}
	}
	f.optionalText(13, "act media", &a.Media, MaxID)
	switch {
	case f.err != nil:
	case (a.Signer == nil) != (a.Number == 0):
		f.fail("act signer", fmt.Errorf("%w: signer and number belong together", ErrRange))
	case (a.Answer == nil) != (a.Media == ""):
		f.fail("act answer", fmt.Errorf("%w: answer and media belong together", ErrRange))
	}
}

// code encodes or decodes a key and a code.
func (f *form) code(key int64, name string, p *string) {
	if f.text(key, name, p, 1, MaxCode); f.err == nil && !IsCode(*p) {
		f.fail(name, fmt.Errorf("%w: %q, want a-z and _", ErrRange, *p))
	}
}

// MaxCode is the longest code, in bytes.
const MaxCode = 32

// IsCode reports whether s is 1 to [MaxCode] of a-z and underscore.
func IsCode(s string) bool {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c != '_' && (c < 'a' || c > 'z') {
			return false
		}
	}
	return len(s) >= 1 && len(s) <= MaxCode
}

// optionalText encodes or decodes a text of 1 to hi bytes that is empty when it is
// absent.
func (f *form) optionalText(key int64, name string, p *string, hi int) {
	if f.optional(key, name, *p != "") {
		if data := f.raw(name, majorText, []byte(*p), 1, hi); f.decoding {
			*p = string(data)
		}
	}
}

// optionalHash encodes or decodes a hash that is nil when it is absent.
func (f *form) optionalHash(key int64, name string, p **Hash) {
	if f.optional(key, name, *p != nil) {
		if f.decoding {
			*p = new(Hash)
		}
		f.plainFixed(name, (*p)[:])
	}
}
