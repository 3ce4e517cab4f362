package provisioning

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"slices"
	"time"

	"ciglio/capture/evidence"
	"ciglio/internal/strict"
)

const maxRoles = 256 << 10

// Roles says which keys may sign for what: a TOML file that the root signs as part
// of the trust bundle, such as
//
//	institution = "comune-di-esempio"
//	centre = "age1…"
//	[[key]]
//	role = "laboratory"
//	name = "Laboratory 12"
//	key = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE…"
//	not_before = "2026-01-01T00:00:00Z"
//	not_after = "2030-12-31T23:59:59Z"
//
// where centre is the age recipient to which evidence is encrypted that leaves
// the device on a stick, and may be left out; key is a SubjectPublicKeyInfo in
// base64, as ciglio provision key prints it. A key stands once, so that one that
// was entered under two names or in two roles is refused and never counts twice.
type Roles struct {
	Institution string
	Centre      string // age recipient; "" for none
	Keys        []RoleKey
}

// A RoleKey is one key and what it may sign for, in the seconds from NotBefore to
// NotAfter.
type RoleKey struct {
	Role                Role
	Name                string
	ID                  evidence.Hash
	NotBefore, NotAfter time.Time
	public              *ecdsa.PublicKey
}

// ParseRoles reads a file of roles.
func ParseRoles(text []byte) (*Roles, error) {
	if len(text) > maxRoles {
		return nil, fmt.Errorf("roles: %d bytes, at most %d", len(text), maxRoles)
	}
	var f struct {
		Institution string `toml:"institution"`
		Centre      string `toml:"centre"`
		Key         []struct {
			Role      string `toml:"role"`
			Name      string `toml:"name"`
			Key       string `toml:"key"`
			NotBefore string `toml:"not_before"`
			NotAfter  string `toml:"not_after"`
		} `toml:"key"`
	}
	if _, err := strict.Decode(string(text), &f); err != nil {
		return nil, fmt.Errorf("roles: %w", err)
	}
	r := &Roles{Institution: f.Institution, Centre: f.Centre}
	switch {
	case !identifier(r.Institution):
		return nil, fmt.Errorf("roles: institution: want 1 to 64 small letters, digits, dots and dashes")
	case r.Centre != "" && !evidence.Printable(r.Centre, 4096):
		return nil, fmt.Errorf("roles: centre: want an age recipient")
	}
	seen := map[evidence.Hash]string{}
	for i, k := range f.Key {
		key, err := parseRoleKey(k.Role, k.Name, k.Key, k.NotBefore, k.NotAfter)
		if err != nil {
			return nil, fmt.Errorf("roles: key %d: %w", i+1, err)
		}
		if other, twice := seen[key.ID]; twice {
			return nil, fmt.Errorf("roles: key %d: %q has the same key as %q: one key counts once", i+1, key.Name, other)
		}
		seen[key.ID] = key.Name
		r.Keys = append(r.Keys, key)
	}
	return r, nil
}

func parseRoleKey(role, name, key, from, to string) (RoleKey, error) {
	k := RoleKey{Role: Role(role), Name: name}
	if !slices.Contains([]Role{Laboratory, Operator, Officer, Supplier}, k.Role) {
		return k, fmt.Errorf("role %.40q: want laboratory, operator, officer or supplier", role)
	}
	if !evidence.Printable(name, 64) {
		return k, fmt.Errorf("name: want a text of 1 to 64 bytes")
	}
	spki, err := base64.StdEncoding.Strict().DecodeString(key)
	if err != nil {
		return k, fmt.Errorf("%q: key: %w", name, err)
	}
	if k.public, err = evidence.ParseKey(spki); err != nil {
		return k, fmt.Errorf("%q: %w", name, err)
	}
	k.ID = sha256.Sum256(spki)
	for _, t := range []struct {
		key, text string
		to        *time.Time
	}{{"not_before", from, &k.NotBefore}, {"not_after", to, &k.NotAfter}} {
		if *t.to, err = time.Parse(instant, t.text); err != nil {
			return k, fmt.Errorf("%q: %s: want a time such as 2026-01-10T00:00:00Z", name, t.key)
		}
	}
	if k.NotAfter.Before(k.NotBefore) {
		return k, fmt.Errorf("%q: not_after lies before not_before", name)
	}
	return k, nil
}

// An Anchor is whom a device believes.
type Anchor struct {
	// Root is the id of the root's key.
	Root evidence.Hash
	// Roles are those of the installed trust bundle; nil before the first.
	Roles *Roles

	root *ecdsa.PublicKey
}

// NewAnchor returns the anchor of a trust file and the roles that came with it,
// nil for none.
func NewAnchor(trust []byte, roles *Roles) (*Anchor, error) {
	root, err := rootOf(trust)
	if err != nil {
		return nil, err
	}
	id, err := evidence.KeyID(root)
	if err != nil {
		return nil, err
	}
	if roles != nil && slices.ContainsFunc(roles.Keys, func(k RoleKey) bool { return k.ID == id }) {
		return nil, fmt.Errorf("roles: the root's key stands among them: one key counts once")
	}
	return &Anchor{Root: id, Roles: roles, root: root}, nil
}

// rootOf returns the root's key in a trust file.
func rootOf(trust []byte) (*ecdsa.PublicKey, error) {
	if _, err := evidence.ParseTrust(trust); err != nil {
		return nil, err
	}
	block, _ := pem.Decode(trust)
	return evidence.ParseKey(block.Bytes)
}

// A Target is the device that a bundle is to be installed on, and the moment.
type Target struct {
	Device evidence.DeviceID
	Now    time.Time
	// Anchor is whom it believes. Before its first trust bundle only the Root in it
	// need be known; nil where not even that is.
	Anchor *Anchor
	// Installed is the version that it has of the bundle's kind; 0 for none.
	Installed uint64
}

// For reports whether the bundle says that it is meant for a device.
func (b *Bundle) For(d evidence.DeviceID) bool { return b.AllDevices || slices.Contains(b.Devices, d) }

// Judge says whether the bundle may be installed on a device. The error is a
// [*Refusal].
func (b *Bundle) Judge(t Target) error {
	if !b.For(t.Device) {
		return refuse(Foreign, "this is device %v", t.Device)
	}
	anchor, err := b.anchor(t.Anchor)
	if err != nil {
		return err
	}
	if b.Institution != anchor.Roles.Institution {
		return refuse(Foreign, "it is for institution %s, this device is of %s", b.Institution, anchor.Roles.Institution)
	}
	if _, err := b.Signed(anchor, t.Now); err != nil {
		return err
	}
	switch {
	case t.Now.Before(b.NotBefore):
		return refuse(TooEarly, "from %s on; the device's clock says %s", b.NotBefore.Format(instant), t.Now.UTC().Format(instant)).with("from", b.NotBefore, "now", t.Now)
	case t.Now.Unix() > b.NotAfter.Unix():
		return refuse(Expired, "until %s; the device's clock says %s", b.NotAfter.Format(instant), t.Now.UTC().Format(instant)).with("until", b.NotAfter, "now", t.Now)
	case b.Version <= t.Installed:
		return refuse(Older, "%s version %d; version %d is installed", b.Kind, b.Version, t.Installed).with("version", b.Version, "installed", t.Installed)
	}
	return nil
}

// anchor returns whom to believe about this bundle. A device without roles
// believes a trust bundle whose own root is the one that it was told of; that
// root's signature is checked as any other.
func (b *Bundle) anchor(known *Anchor) (*Anchor, error) {
	switch {
	case known != nil && known.Roles != nil:
		return known, nil
	case b.Kind != Trust:
		return nil, refuse(NoAnchor, "no trust bundle is installed, and this is %s", b.Kind)
	case known == nil:
		return nil, refuse(NoAnchor, "no root is configured: device.root")
	}
	own, err := b.Anchor()
	if err != nil {
		return nil, err
	}
	if known.root == nil && own.Root != known.Root {
		return nil, refuse(WrongRoot, "its root is %v, device.root is %v", own.Root, known.Root)
	}
	if known.root != nil { // a trust file without roles: its root signs
		return &Anchor{Root: known.Root, Roles: own.Roles, root: known.root}, nil
	}
	return own, nil
}

// Anchor returns whom to believe once this trust bundle is installed.
func (b *Bundle) Anchor() (*Anchor, error) {
	if b.Kind != Trust {
		return nil, refuse(Malformed, "%s is no trust bundle", b.Kind)
	}
	roles, err := ParseRoles(b.Content("roles.toml"))
	if err != nil {
		return nil, refuse(BadContent, "%v", err)
	}
	a, err := NewAnchor(b.Text(), roles)
	if err != nil {
		return nil, refuse(BadContent, "%v", err)
	}
	return a, nil
}

// Signed checks the signatures of the keys that the anchor knows, and returns those
// keys. The error, a [*Refusal], says which role is missing, too.
func (b *Bundle) Signed(a *Anchor, now time.Time) ([]RoleKey, error) {
	var by []RoleKey
	var roles []Role
	unknown := 0
	over := ""
	digest := b.toBeSigned().Digest()
	for _, s := range b.Signatures {
		key, known := a.key(s.KeyID)
		switch {
		case !known:
			unknown++
			continue
		case !verifies(key.public, digest, s.sig):
			return nil, refuse(BadSignature, "that of %s %s", key.Role, key.Name)
		case key.Role != Root && (now.Before(key.NotBefore) || now.Unix() > key.NotAfter.Unix()):
			over += fmt.Sprintf("; the key of %s %s counts from %s to %s", key.Role, key.Name, key.NotBefore.Format(instant), key.NotAfter.Format(instant))
			continue
		}
		by, roles = append(by, key), append(roles, key.Role)
	}
	for _, need := range Kinds()[b.Kind].Signers {
		if !slices.Contains(roles, need) {
			have := "signed by nobody whom the device knows"
			if len(roles) > 0 {
				have = "signed by " + roleWords(roles)
			}
			if unknown > 0 {
				have += fmt.Sprintf(", and by %d keys that the device does not know", unknown)
			}
			return by, refuse(HalfSigned, "%s needs %s; it is %s%s", b.Kind, Kinds()[b.Kind].SignerWords(), have, over)
		}
	}
	return by, nil
}

func (a *Anchor) key(id evidence.Hash) (RoleKey, bool) {
	if id == a.Root && a.root != nil {
		return RoleKey{Role: Root, Name: "of the centre", ID: id, public: a.root}, true
	}
	if a.Roles != nil {
		for _, k := range a.Roles.Keys {
			if k.ID == id {
				return k, true
			}
		}
	}
	return RoleKey{}, false
}

// verifies checks a signature in its low-s form.
func verifies(public *ecdsa.PublicKey, digest evidence.Hash, sig [64]byte) bool {
	r, s := new(big.Int).SetBytes(sig[:32]), new(big.Int).SetBytes(sig[32:])
	if s.Cmp(new(big.Int).Rsh(elliptic.P256().Params().N, 1)) > 0 {
		return false
	}
	return ecdsa.Verify(public, digest[:], r, s)
}
