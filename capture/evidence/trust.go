package evidence

import (
	"bytes"
	"cmp"
	"crypto/ecdsa"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Block types of a trust file.
const (
	pemRoot     = "CIGLIO ROOT KEY"
	pemRegister = "CIGLIO DEVICE REGISTER"
)

// MaxTrust is the largest trust file, in bytes.
const MaxTrust = 24 << 20

// Why the register does not vouch for a key. The errors of [Trust.DeviceKey]
// and [Trust.CentreKey] wrap one of them.
var (
	ErrUnknownSigner = errors.New("key is not in the register")
	ErrForeignKey    = errors.New("key belongs to another device, epoch or role")
	ErrNotValid      = errors.New("key is not valid at this time")
	ErrRevoked       = errors.New("key is revoked")
)

// Trust is what a verifier starts from: the root's public key and the device
// register that the root has signed. It is safe for concurrent use.
type Trust struct {
	root     Hash
	register *SealedRegister
	byKey    map[Hash]int // key id to index of the register's entries
}

// NewTrust checks that root has signed the register.
func NewTrust(root *ecdsa.PublicKey, register *SealedRegister) (*Trust, error) {
	if err := register.Verify(root); err != nil {
		return nil, err
	}
	t := &Trust{root: register.KeyID, register: register, byKey: map[Hash]int{}}
	for i, e := range register.Register.Entries {
		t.byKey[sumOf(e.Key)] = i
	}
	return t, nil
}

// EncodeTrust returns the trust file of a root and the register it has signed:
// two PEM blocks.
func EncodeTrust(root *ecdsa.PublicKey, register []byte) []byte {
	spki, err := EncodeKey(root)
	if err != nil {
		panic("evidence: " + err.Error()) // a root key is always on P-256
	}
	return encodeTrust(spki, register)
}

func encodeTrust(spki, register []byte) []byte {
	return append(pem.EncodeToMemory(&pem.Block{Type: pemRoot, Bytes: spki}),
		pem.EncodeToMemory(&pem.Block{Type: pemRegister, Bytes: register})...)
}

// ParseTrust reads a trust file: one block "CIGLIO ROOT KEY" with the root's
// SubjectPublicKeyInfo, then one block "CIGLIO DEVICE REGISTER" with the sealed
// register, whose signature by the root it checks. Nothing else may stand in
// the file; line ends may be LF or CR LF.
func ParseTrust(pemBytes []byte) (*Trust, error) {
	if len(pemBytes) > MaxTrust {
		return nil, fmt.Errorf("trust file: %w: %d bytes, want at most %d", ErrTooLarge, len(pemBytes), MaxTrust)
	}
	text := bytes.ReplaceAll(pemBytes, []byte("\r\n"), []byte("\n"))
	root, rest := pem.Decode(text)
	if root == nil || root.Type != pemRoot {
		return nil, fmt.Errorf("trust file: does not begin with a block %q", pemRoot)
	}
	register, _ := pem.Decode(rest)
	if register == nil || register.Type != pemRegister {
		return nil, fmt.Errorf("trust file: no block %q after the root key", pemRegister)
	}
	if !bytes.Equal(encodeTrust(root.Bytes, register.Bytes), text) {
		return nil, errors.New("trust file: holds more than one root key and one register, or is not plain PEM")
	}
	pub, err := ParseKey(root.Bytes)
	if err != nil {
		return nil, fmt.Errorf("trust file: root %w", err)
	}
	opened, err := OpenRegister(register.Bytes)
	if err != nil {
		return nil, fmt.Errorf("trust file: %w", err)
	}
	t, err := NewTrust(pub, opened)
	if err != nil {
		return nil, fmt.Errorf("trust file: %w", err)
	}
	return t, nil
}

// knows reports whether the register has a key of the device.
func (t *Trust) knows(dev DeviceID) bool {
	_, found := slices.BinarySearchFunc(t.register.Register.Entries, dev, func(e RegisterEntry, dev DeviceID) int {
		return cmp.Or(cmp.Compare(e.Role, RoleDevice), bytes.Compare(e.Device[:], dev[:]))
	})
	return found
}

// Root returns the id of the root key, which the authority publishes in print:
// who compares it knows that the trust file is the right one.
func (t *Trust) Root() Hash { return t.root }

// Register returns the register that the root has signed.
func (t *Trust) Register() *SealedRegister { return t.register }

// DeviceKey returns the key kid if the register says that it sealed records of
// this device and epoch at the given time. A key that is revoked from a later
// time on is returned, with Revoked set in its entry: see [RegisterEntry].
//
// The time a record states is its sealer's word. Who receives a record and knows
// the present time asks for that time too.
func (t *Trust) DeviceKey(dev DeviceID, epoch uint64, kid Hash, at time.Time) (*ecdsa.PublicKey, RegisterEntry, error) {
	i, ok := t.byKey[kid]
	if !ok {
		return nil, RegisterEntry{}, fmt.Errorf("device %v: %w: %v", dev, ErrUnknownSigner, kid)
	}
	e := t.register.Register.Entries[i]
	if e.Role != RoleDevice || e.Device != dev || e.Epoch != epoch {
		return nil, RegisterEntry{}, fmt.Errorf("device %v epoch %d: %w: key %v is of %v %v epoch %d",
			dev, epoch, ErrForeignKey, kid, e.Role, e.Device, e.Epoch)
	}
	pub, err := e.keyAt(at)
	return pub, e, err
}

// CentreKey returns the key kid if the register says that a centre signed with
// it at the given time.
func (t *Trust) CentreKey(kid Hash, at time.Time) (*ecdsa.PublicKey, RegisterEntry, error) {
	return t.roleKey(kid, at, RoleCentre)
}

// OrderKey returns the key kid if the register says that a centre or an officer
// signed with it at the given time; the entry says which of the two.
func (t *Trust) OrderKey(kid Hash, at time.Time) (*ecdsa.PublicKey, RegisterEntry, error) {
	return t.roleKey(kid, at, RoleCentre, RoleOfficer)
}

// roleKey returns the key kid if it is in force and of one of the roles, which are
// none of a device.
func (t *Trust) roleKey(kid Hash, at time.Time, roles ...Role) (*ecdsa.PublicKey, RegisterEntry, error) {
	i, ok := t.byKey[kid]
	if !ok {
		return nil, RegisterEntry{}, fmt.Errorf("%v: %w: %v", roles[0], ErrUnknownSigner, kid)
	}
	e := t.register.Register.Entries[i]
	if !slices.Contains(roles, e.Role) {
		return nil, RegisterEntry{}, fmt.Errorf("%v: %w: key %v is of %v %v", roles[0], ErrForeignKey, kid, e.Role, e.Device)
	}
	pub, err := e.keyAt(at)
	return pub, e, err
}

// keyAt returns the key of the entry if it is valid at the given time, which
// counts in whole seconds as the entry's own times do.
func (e *RegisterEntry) keyAt(at time.Time) (*ecdsa.PublicKey, error) {
	second := at.Unix()
	switch {
	case second < e.NotBefore.Unix() || second > e.NotAfter.Unix():
		return nil, fmt.Errorf("%v %v: %w: valid from %s to %s, asked for %s", e.Role, e.Device, ErrNotValid,
			day(e.NotBefore), day(e.NotAfter), day(at))
	case e.Revoked != nil && second >= e.Revoked.Unix():
		return nil, fmt.Errorf("%v %v: %w from %s on", e.Role, e.Device, ErrRevoked, day(*e.Revoked))
	}
	return ParseKey(e.Key)
}

// day prints an instant as people and logs read it.
func day(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }
