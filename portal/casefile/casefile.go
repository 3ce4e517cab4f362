// Package casefile is the life of a case: what grows from the evidence of a violation, from
// the officer's review to the money and the last act.
//
// A [Case] is a fold over its acts. An [Act] is one thing that happened: who did what, when,
// and after which act. It is appended and never changed; a correction is another act.
// [Case.Apply] says whether an act is allowed and what the case is after it; a [*Refusal]
// names by code why it is not. [Fold] makes a case of acts that are kept: it asks for their
// order and their chain alone, so that a rule that changes later refuses no past.
//
// What an act hashes holds no personal value, only salted commitments of them ([Private]):
// values and salts are erased, and the case, its terms and its money stand as they were.
//
// Everything is pure: no clock, no SQL, no files. A Case is a value: Apply leaves the one it
// is called on as it was, and cases may be used at the same time from anywhere. Sums are
// cents, days are civil days in Italy, instants UTC in microseconds. README.md and
// docs/cases.md say more, the latter made from this code.
package casefile

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"ciglio/capture/evidence"
	"ciglio/portal/law"
)

// An ID names a case for ever. It follows from what opened it, so that nothing opens two.
type ID [16]byte

// IDOf returns the id of the case that an institution opens about something: the hash of a
// record, or [SilentOf] another case.
func IDOf(institution Ref, about evidence.Hash) ID {
	return ID(keyed("case", string(institution), string(about[:])))
}

// SilentOf is what the case about the silence on who drove is about: a position of another
// case.
func SilentOf(id ID, position int64) evidence.Hash {
	return sha256.Sum256(fmt.Appendf(nil, "ciglio silent v1\x00%s/%d", id, position))
}

// String prints 32 hexadecimal digits.
func (id ID) String() string { return hex.EncodeToString(id[:]) }

// ParseID reads what String prints.
func ParseID(text string) (id ID, err error) {
	b, err := hex.DecodeString(text)
	if err != nil || len(b) != len(id) || strings.ToLower(text) != text {
		return ID{}, fmt.Errorf("case id: want %d hexadecimal digits in small letters", 2*len(id))
	}
	return ID(b), nil
}

// A Key makes the second of two equal acts no act. It comes with the form or the message.
type Key [16]byte

// KeyOf returns the key of an act from what makes it that one: the token of a form, the
// number of a receipt. A part that names a person would be a hash of the name: take none.
func KeyOf(parts ...string) Key { return keyed("key", parts...) }

func keyed(domain string, parts ...string) (k Key) {
	h := sha256.New()
	fmt.Fprintf(h, "ciglio %s v1\x00", domain)
	for _, p := range parts {
		fmt.Fprintf(h, "%d:%s", len(p), p)
	}
	copy(k[:], h.Sum(nil))
	return k
}

// A Ref is a number or name of something that is no person: a barcode, a receipt, an
// article. It is 1 to 64 printable ASCII characters without a space.
type Ref string

// A Code is one of a list: see [evidence.IsCode].
type Code string

// An Actor is a person in a role, or a desk of the centre.
type Actor struct {
	Person Ref  // id of the account, never a name; empty for a desk
	Office Code // the role in which the person acted, or the desk
}

// An Act is one thing that happened to a case.
type Act struct {
	Case   ID
	Number int64     // in the case, from 1
	At     time.Time // UTC
	Day    law.Day   // as which it counts: that of At, or an earlier one, as of posting
	By     Actor
	Key    Key
	Prev   evidence.Hash // of the act before; zero for the first
	Body   Body
}

// A Refusal says by code and arguments why an act is not allowed. [Codes] lists them. No
// argument holds a personal value.
type Refusal struct {
	Code string
	Args []string
}

func (r *Refusal) Error() string {
	return strings.TrimSpace(r.Code + " " + strings.Join(r.Args, " "))
}

func refuse(code string, args ...any) error {
	r := &Refusal{Code: code}
	for _, a := range args {
		r.Args = append(r.Args, fmt.Sprint(a))
	}
	return r
}

// Codes returns the code of every refusal with the names of its arguments.
func Codes() map[string][]string {
	return map[string][]string{
		"act.day":               {"day"},              // before the violation, or after the act
		"act.actor":             {"kind"},             // by nobody, or by a desk where a person must act
		"act.stage":             {"kind", "stage"},    // not in this stage of the case
		"act.outcome":           {"kind", "outcome"},  // no such outcome, or nothing that can be erased
		"act.stopped":           {"kind", "reason"},   // the case is stopped
		"appeal.exclusive":      {"position", "way"},  // the other way was taken
		"close.money_owed":      {"cents"},            // there is money to give back
		"close.unsettled":       {"position"},         // said to be paid, or owed by nobody, and is not
		"correction.old":        {"position", "old"},  // what it corrects is another
		"erase.hold":            {"reason"},           // a legal hold
		"money.excess":          {"cents"},            // more is given back than was too much
		"money.receipt":         {"receipt"},          // came already, or did not come
		"money.part":            {"position"},         // a part without money that no other part settles, or twice the same position
		"money.unbalanced":      {"cents"},            // parts and excess are not what was received
		"notice.amounts":        {"position"},         // no minimum, or above the maximum
		"notice.number":         {"number"},           // was used
		"notice.party":          {"party"},            // no such liable person, or one who has a notice
		"notice.position":       {"position", "next"}, // not the next number
		"notice.replaces":       {"position"},         // not annulled, or replaced already
		"notice.too_late":       {"last_day"},         // cannot be handed over in time
		"open.id":               {"case"},             // another than follows from what it is about
		"outcome.before_sent":   {"day", "sent"},      // before it was handed over
		"outcome.channel":       {"channel"},          // not the one it was sent by
		"outcome.dispatch":      {"dispatch"},         // was not sent so often
		"outcome.future":        {"day"},              // of a day that has not come
		"owner.party":           {"title"},            // no such title
		"owner.since":           {"day"},              // before the violation, or still to come
		"plan.instalments":      {"position"},         // none, not in order of their days, or none overdue
		"plan.until":            {"position"},         // no day until which the minimum is due, or one too early
		"position.state":        {"kind", "position", "state"},
		"position.unknown":      {"position"},
		"review.first_person":   {},              // another than who asked for a second look
		"review.plate":          {},              // not read twice alike
		"review.reason":         {"reason"},      // not of the list
		"served.future":         {"day"},         // counts from a day that has not come
		"served.not_by_rule":    {"rule", "day"}, // the outcomes make another, which it names
		"served.open":           {"code"},        // the outcomes make none: a code of the law
		"sent.before_violation": {"day"},
		"sent.future":           {"day"},
		"hold.none":             {"ref"}, // no such hold
	}
}
