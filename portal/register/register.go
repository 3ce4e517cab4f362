// Package register holds the centre's device register: the list of evidence
// keys, signed by the root, that decides whose records are taken.
//
// The register lives in one trust file, which is also what anyone downloads to
// verify evidence. Each change is a new issue with the next sequence number,
// and the file is replaced in one step. Beside it lie the certificates of the
// keys, each under the SHA-256 of its DER form.
//
// A File is safe for concurrent use. Changes by another process show after
// [File.Refresh].
package register

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"sync"
	"time"

	"ciglio/capture/evidence"
	"ciglio/internal/durable"
)

const (
	trustName         = "trust.pem"
	certificateFolder = "certificates"
	lockName          = "register.lock"
)

// ErrEnrolled says that a device and epoch, or a key, already stand in the
// register.
var ErrEnrolled = errors.New("already in the register")

// ErrLost says that a certificate that the register names is missing or damaged.
var ErrLost = errors.New("certificate of the register")

// ErrNotInForce says that a certificate is not valid at the present time.
var ErrNotInForce = errors.New("not valid today")

// ErrOtherDevice says that a certificate names another device than the one that
// it was to be enrolled for.
var ErrOtherDevice = errors.New("of another device")

// A Root signs the register.
type Root interface {
	evidence.Signer
	Public() *ecdsa.PublicKey
}

// Create writes the first register, with the centre's key alone, into dir. It
// never replaces one.
func Create(dir string, root Root, centre evidence.RegisterEntry, now time.Time) error {
	path := filepath.Join(dir, trustName)
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		return errors.Join(fmt.Errorf("trust file %s: %w", path, os.ErrExist), err)
	}
	if err := os.MkdirAll(filepath.Join(dir, certificateFolder), 0o700); err != nil {
		return err
	}
	return issue(path, root, &evidence.Register{
		Sequence: 1,
		Issued:   now.UTC().Truncate(time.Second),
		Entries:  []evidence.RegisterEntry{centre},
	})
}

func issue(path string, root Root, r *evidence.Register) error {
	text, err := Sign(r, root)
	if err != nil {
		return err
	}
	return durable.WriteFile(path, text, 0o600)
}

// A File is the trust file of a centre, as last read.
type File struct {
	dir string

	mu    sync.RWMutex
	text  []byte
	trust *evidence.Trust
	known map[evidence.DeviceID]bool
	mark  durable.Mark
}

// Open reads the trust file in dir.
func Open(dir string) (*File, error) {
	f := &File{dir: dir}
	return f, f.Refresh()
}

// Trust returns the register as last read.
func (f *File) Trust() *evidence.Trust {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.trust
}

// Text returns the trust file as last read. The caller must not change it.
func (f *File) Text() []byte {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.text
}

// Known reports whether the register has a key of the device.
func (f *File) Known(device evidence.DeviceID) bool {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.known[device]
}

// InForce reports whether the register has a key of the device that is not revoked
// and has not ended at a time.
func (f *File) InForce(device evidence.DeviceID, at time.Time) bool {
	return slices.ContainsFunc(f.Trust().Register().Register.Entries, func(e evidence.RegisterEntry) bool {
		return e.Role == evidence.RoleDevice && e.Device == device && e.Revoked == nil && at.Before(e.NotAfter)
	})
}

// HasKey reports whether a key stands in the register, whoever's.
func (f *File) HasKey(id evidence.Hash) bool {
	return HasKey(f.Trust(), id)
}

// HasKey reports whether a key stands in the register of a trust file, whoever's.
func HasKey(trust *evidence.Trust, id evidence.Hash) bool {
	return place(trust.Register().Register.Entries, id) >= 0
}

// place is the index of the entry of a key; -1 when there is none.
func place(entries []evidence.RegisterEntry, id evidence.Hash) int {
	return slices.IndexFunc(entries, func(e evidence.RegisterEntry) bool { return sha256.Sum256(e.Key) == id })
}

// Refresh reads the trust file if it has changed. A file that is not good, that
// another root has signed or that is older than the one in use is refused, and
// the one in use stays.
func (f *File) Refresh() error {
	path := filepath.Join(f.dir, trustName)
	now, err := durable.MarkOf(path)
	if err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.trust != nil && now == f.mark {
		return nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	trust, err := evidence.ParseTrust(text)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if f.trust != nil {
		if trust.Root() != f.trust.Root() {
			return fmt.Errorf("%s: signed by root %v, not by %v", path, trust.Root(), f.trust.Root())
		}
		if have, in := trust.Register().Register.Sequence, f.trust.Register().Register.Sequence; have < in {
			return fmt.Errorf("%s: issue %d is older than issue %d in use", path, have, in)
		}
	}
	f.text, f.trust, f.mark = text, trust, now
	f.known = make(map[evidence.DeviceID]bool)
	for _, e := range trust.Register().Register.Entries {
		if e.Role == evidence.RoleDevice {
			f.known[e.Device] = true
		}
	}
	return nil
}

// Certificate returns a certificate by the SHA-256 of its DER form, as DER; nil
// when there is none.
func (f *File) Certificate(hash evidence.Hash) []byte {
	text, err := os.ReadFile(filepath.Join(f.dir, certificateFolder, hash.String()+".pem"))
	if err != nil {
		return nil
	}
	block, _ := pem.Decode(text)
	if block == nil || sha256.Sum256(block.Bytes) != hash {
		return nil
	}
	return block.Bytes
}

// DeviceEntry returns the entry of a device's key, that of the certificate, valid
// as long as the certificate, and from now on when that begins up to a day later.
// The error wraps [ErrOtherDevice] when the certificate does not name the device,
// and [ErrNotInForce] when it is not valid today.
func DeviceEntry(device evidence.DeviceID, epoch uint64, certificate *x509.Certificate, now time.Time) (evidence.RegisterEntry, error) {
	var entry evidence.RegisterEntry
	pub, ok := certificate.PublicKey.(*ecdsa.PublicKey)
	if !ok {
		return entry, errors.New("certificate: its key is not an ECDSA key on P-256")
	}
	spki, err := evidence.EncodeKey(pub)
	if err != nil {
		return entry, fmt.Errorf("certificate: %w", err)
	}
	if name := certificate.Subject.CommonName; name != device.String() {
		return entry, fmt.Errorf("certificate: %w: it names %q, not %v", ErrOtherDevice, name, device)
	}
	// A device whose clock was wrong at its first start makes such a one, and
	// nothing that it seals would ever verify.
	if now.Before(certificate.NotBefore.Add(-24*time.Hour)) || now.After(certificate.NotAfter) {
		return entry, fmt.Errorf("certificate: %w: from %s to %s", ErrNotInForce,
			certificate.NotBefore.UTC().Format(time.DateTime), certificate.NotAfter.UTC().Format(time.DateTime))
	}
	// The key is here, so it was made, whatever the device's clock said then.
	from := now.UTC().Truncate(time.Second)
	if certificate.NotBefore.Before(from) {
		from = certificate.NotBefore
	}
	return evidence.RegisterEntry{
		Role:        evidence.RoleDevice,
		Device:      device,
		Epoch:       epoch,
		Key:         spki,
		Certificate: sha256.Sum256(certificate.Raw),
		NotBefore:   from,
		NotAfter:    certificate.NotAfter,
	}, nil
}

// Add issues the register anew with one more device key; see [DeviceEntry]. The
// error wraps [ErrEnrolled] when the device and epoch or the key stand in the
// register already: an epoch and a key once given away cannot be taken back.
func Add(dir string, root Root, device evidence.DeviceID, epoch uint64, certificate *x509.Certificate, now time.Time) (evidence.RegisterEntry, error) {
	entry, err := DeviceEntry(device, epoch, certificate, now)
	if err != nil {
		return entry, err
	}
	return entry, enter(dir, root, entry, now, certificate)
}

// enter issues the register anew with one more entry, and keeps the certificates of
// it, if there are any, before that names them.
func enter(dir string, root Root, entry evidence.RegisterEntry, now time.Time, certificates ...*x509.Certificate) error {
	lock, err := durable.Wait(filepath.Join(dir, lockName))
	if err != nil {
		return err
	}
	defer lock.Close()
	f, err := Open(dir)
	if err != nil {
		return err
	}
	if f.trust.Root() != root.KeyID() {
		return fmt.Errorf("register: signed by root %v, the key here is %v", f.trust.Root(), root.KeyID())
	}
	next, err := Next(f.trust.Register().Register, []evidence.RegisterEntry{entry}, nil, now)
	if err != nil {
		return err
	}
	for _, c := range certificates {
		if err := keepCertificate(dir, c); err != nil {
			return err
		}
	}
	return issue(filepath.Join(dir, trustName), root, next)
}

func keepCertificate(dir string, certificate *x509.Certificate) error {
	hash := evidence.Hash(sha256.Sum256(certificate.Raw))
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate.Raw})
	return durable.WriteFile(filepath.Join(dir, certificateFolder, hash.String()+".pem"), text, 0o600)
}

// Next returns the issue of a register that follows r, which may be nil, with more
// entries and with the keys of some revoked from now on. The error wraps
// [ErrEnrolled] when a device and epoch, or a key, stand in the register already.
func Next(r *evidence.Register, add []evidence.RegisterEntry, revoke []evidence.Hash, now time.Time) (*evidence.Register, error) {
	at := now.UTC().Truncate(time.Second)
	next := &evidence.Register{Sequence: 1, Issued: at}
	if r != nil {
		next.Sequence = r.Sequence + 1
		next.Entries = slices.Clone(r.Entries)
	}
	for _, entry := range add {
		for _, e := range next.Entries {
			if entry.Role == evidence.RoleDevice && e.Role == evidence.RoleDevice && e.Device == entry.Device && e.Epoch == entry.Epoch {
				return nil, fmt.Errorf("device %v epoch %d: %w", entry.Device, entry.Epoch, ErrEnrolled)
			}
			if bytes.Equal(e.Key, entry.Key) {
				return nil, fmt.Errorf("key %x: %w", sha256.Sum256(entry.Key), ErrEnrolled)
			}
		}
		next.Entries = append(next.Entries, entry)
	}
	for _, id := range revoke {
		i := place(next.Entries, id)
		if i < 0 {
			return nil, fmt.Errorf("key %v: not in the register", id)
		}
		if next.Entries[i].Revoked == nil {
			next.Entries[i].Revoked = &at
		}
	}
	return next, nil
}

// Sign returns the trust file of a register.
func Sign(r *evidence.Register, root Root) ([]byte, error) {
	sealed, err := evidence.SealRegister(r, root)
	if err != nil {
		return nil, err
	}
	text := evidence.EncodeTrust(root.Public(), sealed.Bytes)
	if _, err := evidence.ParseTrust(text); err != nil {
		return nil, fmt.Errorf("register as issued: %w", err)
	}
	return text, nil
}

// ErrAnswer says that a trust file does not follow the one that is there.
var ErrAnswer = errors.New("does not follow the register here")

// Install puts a trust file that the root has signed elsewhere in the place of the
// one in dir, with the certificates of its new entries. It must be of the same
// root and a later issue, and may only add entries and revoke some: the error wraps
// [ErrAnswer] otherwise.
func Install(dir string, text []byte, certificates []*x509.Certificate) error {
	lock, err := durable.Wait(filepath.Join(dir, lockName))
	if err != nil {
		return err
	}
	defer lock.Close()
	trust, err := evidence.ParseTrust(text)
	if err != nil {
		return err
	}
	path := filepath.Join(dir, trustName)
	if _, err := os.Stat(path); err == nil {
		f, err := Open(dir)
		if err != nil {
			return err
		}
		if bytes.Equal(f.text, text) {
			return nil // installed already
		}
		if err := follows(f.trust, trust); err != nil {
			return err
		}
	} else if !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := os.MkdirAll(filepath.Join(dir, certificateFolder), 0o700); err != nil {
		return err
	}
	for _, c := range certificates {
		if err := keepCertificate(dir, c); err != nil {
			return err
		}
	}
	return durable.WriteFile(path, text, 0o600)
}

func follows(before, after *evidence.Trust) error {
	if after.Root() != before.Root() {
		return fmt.Errorf("%w: signed by root %v, not by %v", ErrAnswer, after.Root(), before.Root())
	}
	have, next := before.Register().Register, after.Register().Register
	if next.Sequence <= have.Sequence {
		return fmt.Errorf("%w: issue %d, and issue %d is here: make a new request", ErrAnswer, next.Sequence, have.Sequence)
	}
	entries := make(map[string]evidence.RegisterEntry, len(next.Entries))
	for _, e := range next.Entries {
		entries[string(e.Key)] = e
	}
	for _, e := range have.Entries {
		n, there := entries[string(e.Key)]
		if e.Revoked == nil {
			n.Revoked = nil // which is what an issue may do
		}
		if !there || !reflect.DeepEqual(n, e) {
			return fmt.Errorf("%w: it lacks or changes the key %x of %v %v", ErrAnswer, sha256.Sum256(e.Key), e.Role, e.Device)
		}
	}
	return nil
}

// AddOfficer issues the register anew with the key of one more officer, valid from
// now for the given time. The error wraps [ErrEnrolled] when the key stands in the
// register already.
func AddOfficer(dir string, root Root, key []byte, now time.Time, valid time.Duration) (evidence.RegisterEntry, error) {
	from := now.UTC().Truncate(time.Second)
	entry := evidence.RegisterEntry{Role: evidence.RoleOfficer, Key: key, NotBefore: from.Add(-time.Minute), NotAfter: from.Add(valid)}
	return entry, enter(dir, root, entry, now)
}

// Backup copies the trust file and the certificates from dir to dest. The error
// wraps [ErrLost], and names each, when certificates that the register names are
// missing or damaged; all the others are copied.
func Backup(dir, dest string) error {
	// The trust file first: every certificate it names is there already.
	text, err := os.ReadFile(filepath.Join(dir, trustName))
	if err != nil {
		return err
	}
	trust, err := evidence.ParseTrust(text)
	if err != nil {
		return err
	}
	entries, err := os.ReadDir(filepath.Join(dir, certificateFolder))
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(dest, certificateFolder), 0o700); err != nil {
		return err
	}
	for _, e := range entries {
		if filepath.Ext(e.Name()) != ".pem" {
			continue // one that is being written
		}
		certificate, err := os.ReadFile(filepath.Join(dir, certificateFolder, e.Name()))
		if err != nil {
			return err
		}
		if err := durable.WriteFile(filepath.Join(dest, certificateFolder, e.Name()), certificate, 0o600); err != nil {
			return err
		}
	}
	if err := durable.WriteFile(filepath.Join(dest, trustName), text, 0o600); err != nil {
		return err
	}
	var lost []error
	for _, e := range trust.Register().Register.Entries {
		if e.Certificate.IsZero() {
			continue
		}
		name := filepath.Join(certificateFolder, e.Certificate.String()+".pem")
		text, err := os.ReadFile(filepath.Join(dest, name))
		if block, _ := pem.Decode(text); err == nil && (block == nil || sha256.Sum256(block.Bytes) != e.Certificate) {
			err = errors.New("damaged")
		}
		if errors.Is(err, os.ErrNotExist) {
			err = errors.New("missing")
		}
		if err != nil {
			lost = append(lost, fmt.Errorf("%w: device %v epoch %d: %s: %w", ErrLost, e.Device, e.Epoch, name, err))
		}
	}
	return errors.Join(lost...)
}
