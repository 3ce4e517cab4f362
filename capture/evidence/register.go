package evidence

import (
	"bytes"
	"cmp"
	"crypto/ecdsa"
	"fmt"
	"math"
	"slices"
	"time"
)

// ContentTypeRegister is the content type of a sealed device register.
const ContentTypeRegister = "application/vnd.ciglio.register.v1+cbor"

// Limits of a register.
const (
	MaxRegister        = 16 << 20 // bytes of a sealed register
	MaxRegisterEntries = 60000
)

// Role says what a key of the register may sign.
type Role uint8

// The roles.
const (
	RoleDevice Role = 1 // records of one device in one epoch
	RoleCentre Role = 2 // receipts, commands and a centre's orders
	// RoleOfficer is the key of a police officer: orders that only an officer may
	// give, as opening the gate again after a seal.
	RoleOfficer Role = 3
)

// String returns "device", "centre" or "officer".
func (r Role) String() string {
	switch r {
	case RoleDevice:
		return "device"
	case RoleCentre:
		return "centre"
	case RoleOfficer:
		return "officer"
	}
	return fmt.Sprintf("role %d", uint8(r))
}

// A Register is the root's list of keys. Whoever trusts the root knows from it
// which device each key belongs to.
type Register struct {
	Sequence uint64    // grows by one with each issue, from 1
	Issued   time.Time // whole seconds
	Entries  []RegisterEntry
}

// A RegisterEntry is one key. Times are whole seconds. The validity includes
// both ends.
type RegisterEntry struct {
	Role                Role
	Device              DeviceID // zero for a centre and an officer
	Epoch               uint64   // 0 for a centre and an officer
	Key                 []byte   // SubjectPublicKeyInfo, DER
	Certificate         Hash     // SHA-256 of the key's certificate, DER; zero when there is none
	NotBefore, NotAfter time.Time
	// Revoked is the instant from which signatures no longer count; nil while
	// the key is good. Since the holder of a stolen key could date records back,
	// an older record of a revoked key counts only with a receipt from before.
	Revoked *time.Time
}

// SealedRegister is a register as it is distributed. It must not be changed.
type SealedRegister struct {
	Register *Register
	KeyID    Hash // of the root key
	Bytes    []byte

	message *SealedMessage
}

func (r *Register) fields(f *form) {
	f.constant(1, "v", 1)
	integer(f, 2, "sequence", &r.Sequence, 1, math.MaxInt64)
	f.instant(3, "issued_s", &r.Issued, time.Second)
	if f.key(4, "entries") {
		list(f, "entries", &r.Entries, 0, MaxRegisterEntries, func(e *RegisterEntry, f *form) { f.mapping(e.fields) })
	}
	if f.err == nil {
		f.failRule(r.rules())
	}
}

func (e *RegisterEntry) fields(f *form) {
	integer(f, 1, "entry role", &e.Role, 1, 3)
	f.fixed(2, "entry dev", e.Device[:])
	integer(f, 3, "entry epoch", &e.Epoch, 0, math.MaxInt64)
	f.bytes(4, "entry key", &e.Key, 91, 91)
	f.fixed(5, "entry certificate", e.Certificate[:])
	f.instant(6, "entry not_before_s", &e.NotBefore, time.Second)
	f.instant(7, "entry not_after_s", &e.NotAfter, time.Second)
	if f.optional(8, "entry revoked_s", e.Revoked != nil) {
		if f.decoding {
			e.Revoked = new(time.Time)
		}
		f.plainInstant("entry revoked_s", e.Revoked, time.Second)
	}
}

// order is the order of entries in a register: one key of a device and epoch,
// any number of centres' and officers' keys.
func (e *RegisterEntry) order(o *RegisterEntry) int {
	c := cmp.Or(cmp.Compare(e.Role, o.Role), bytes.Compare(e.Device[:], o.Device[:]), cmp.Compare(e.Epoch, o.Epoch))
	if c == 0 && e.Role != RoleDevice {
		c = bytes.Compare(e.Key, o.Key)
	}
	return c
}

func (r *Register) rules() error {
	seen := make(map[string]bool, len(r.Entries))
	for i := range r.Entries {
		e := &r.Entries[i]
		fail := func(err error, words string) error {
			return fmt.Errorf("entry %d, %v %v epoch %d: %w: %s", i+1, e.Role, e.Device, e.Epoch, err, words)
		}
		if i > 0 && r.Entries[i-1].order(e) >= 0 {
			return fail(ErrKeyOrder, "entries ascend by role, device, epoch; for centres and officers by key")
		}
		if person := e.Role != RoleDevice; person != (e.Epoch == 0) || person != (e.Device == DeviceID{}) {
			return fail(ErrRange, "a device has an id and an epoch, a centre and an officer have neither")
		}
		if e.NotAfter.Before(e.NotBefore) {
			return fail(ErrRange, "ends before it begins")
		}
		if seen[string(e.Key)] {
			return fail(ErrDuplicateKey, "the key stands in another entry")
		}
		seen[string(e.Key)] = true
		if _, err := ParseKey(e.Key); err != nil {
			return fail(ErrRange, err.Error())
		}
	}
	return nil
}

// SealRegister signs a register with the root key. Entries may come in any
// order; r is not changed.
func SealRegister(r *Register, root Signer) (*SealedRegister, error) {
	sorted := *r
	sorted.Entries = slices.Clone(r.Entries)
	slices.SortFunc(sorted.Entries, func(a, b RegisterEntry) int { return a.order(&b) })
	payload, err := encode(sorted.fields)
	if err != nil {
		return nil, fmt.Errorf("register: %w", err)
	}
	b, err := SealMessage(ContentTypeRegister, payload, root)
	if err != nil {
		return nil, fmt.Errorf("register: %w", err)
	}
	return OpenRegister(b)
}

// OpenRegister reads a sealed register of at most [MaxRegister] bytes, in its
// one spelling. It does not check the signature: see [SealedRegister.Verify].
func OpenRegister(b []byte) (*SealedRegister, error) {
	m, err := OpenMessage(ContentTypeRegister, MaxRegister, b)
	if err != nil {
		return nil, fmt.Errorf("register: %w", err)
	}
	r := &Register{}
	if err := decode(m.Payload, r.fields); err != nil {
		return nil, fmt.Errorf("register: %w", m.locate(err))
	}
	for i := range r.Entries {
		if sumOf(r.Entries[i].Key) == m.KeyID {
			return nil, fmt.Errorf("register: entry %d: %w: the root's own key, which seals registers and nothing else", i+1, ErrForeignKey)
		}
	}
	return &SealedRegister{Register: r, KeyID: m.KeyID, Bytes: m.Bytes, message: m}, nil
}

// Verify checks that the root's key sealed the register.
func (s *SealedRegister) Verify(root *ecdsa.PublicKey) error {
	if err := s.message.Verify(root); err != nil {
		return fmt.Errorf("register: %w", err)
	}
	return nil
}
