package provisioning

import "fmt"

// A Reason is why a bundle or a stick is refused, as a code that logs, records
// and catalogues of words share.
type Reason string

// The reasons. [Reason.Words] says them.
const (
	NoBundle     Reason = "no_bundle"
	TooLarge     Reason = "too_large"
	Truncated    Reason = "truncated"
	Malformed    Reason = "malformed"
	Damaged      Reason = "damaged"
	UnknownKind  Reason = "unknown_kind"
	Foreign      Reason = "foreign"
	NoAnchor     Reason = "no_anchor"
	WrongRoot    Reason = "wrong_root"
	HalfSigned   Reason = "half_signed"
	BadSignature Reason = "bad_signature"
	TooEarly     Reason = "too_early"
	Expired      Reason = "expired"
	Older        Reason = "older"
	BadContent   Reason = "bad_content"
	TwoOfAKind   Reason = "two_of_a_kind"
	Unreadable   Reason = "unreadable"
	Busy         Reason = "busy"
	NotStored    Reason = "not_stored"
	NoStart      Reason = "no_start"
)

// Reasons returns every reason, in the order of docs/provisioning.md.
func Reasons() []Reason {
	return []Reason{NoBundle, TooLarge, Truncated, Malformed, Damaged, UnknownKind, Foreign, NoAnchor, WrongRoot,
		HalfSigned, BadSignature, TooEarly, Expired, Older, BadContent, TwoOfAKind, Unreadable, Busy, NotStored, NoStart}
}

// Words says a reason to a technician, in English.
func (r Reason) Words() string {
	switch r {
	case NoBundle:
		return "this file is no provisioning bundle"
	case TooLarge:
		return "the bundle is larger than any can be"
	case Truncated:
		return "the bundle is cut off: copy it to the stick again"
	case Malformed:
		return "the bundle is not written as the format says: have it made again"
	case Damaged:
		return "the bundle was damaged or changed after it was signed: copy it to the stick again"
	case UnknownKind:
		return "this program knows no such kind of bundle: it may need newer software first"
	case Foreign:
		return "the bundle is for another device or institution"
	case NoAnchor:
		return "the device does not know yet whom to believe: it needs the centre's trust bundle first"
	case WrongRoot:
		return "the trust bundle comes from another centre than the one this device belongs to"
	case HalfSigned:
		return "a signature is missing that this kind of bundle needs"
	case BadSignature:
		return "a signature does not match: the bundle was changed after it was signed"
	case TooEarly:
		return "the bundle may not be installed yet: look at the device's clock, too"
	case Expired:
		return "the time to install this bundle is over: ask for a new one"
	case Older:
		return "the device has a newer one, or another of the same version"
	case BadContent:
		return "the bundle is signed well, but the device cannot use what is in it"
	case TwoOfAKind:
		return "there are two different bundles of one kind for this device: leave one on the stick"
	case Unreadable:
		return "the stick cannot be read: try again, or take another stick"
	case Busy:
		return "the device is still starting with what the last stick brought: wait for its light"
	case NotStored:
		return "the device could not write to its own memory; it goes on with what it had"
	case NoStart:
		return "the device could not start with it and has gone back to what it had"
	}
	return string(r)
}

// A Refusal is why a bundle does not come into force. Nothing has changed.
type Refusal struct {
	Reason Reason
	Fact   string // what exactly, in English
	// Args are the arguments of Fact for a catalogue, in pairs of a name and a value; nil
	// where the fact is the words of somebody else, such as a parser's.
	Args []any
}

// with adds the arguments.
func (r *Refusal) with(args ...any) *Refusal {
	r.Args = args
	return r
}

func (r *Refusal) Error() string { return r.Reason.Words() + " (" + r.Fact + ")" }

func refuse(reason Reason, format string, args ...any) *Refusal {
	return Refuse(reason, format, args...)
}

// Refuse returns a refusal.
func Refuse(reason Reason, format string, args ...any) *Refusal {
	return &Refusal{Reason: reason, Fact: fmt.Sprintf(format, args...)}
}
