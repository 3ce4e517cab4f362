package portal

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"ciglio/capture/evidence"
	"ciglio/internal/durable"
	"ciglio/portal/ca"
	"ciglio/portal/keys"
	"ciglio/portal/record"
	"ciglio/portal/register"
)

const (
	rootKeyName   = "root.key"
	centreKeyName = "centre.key"
	logKeyName    = "log.key" // made at the first start
	// The newest checkpoint of the log that was published.
	checkpointName = "checkpoint"
	trustFileName  = "trust.pem"

	centreValid = 5 * 365 * 24 * time.Hour
)

// ErrExists says that a directory is a centre's already.
var ErrExists = errors.New("already holds a centre")

// ErrNoCentre says that a directory is no centre's: it has no trust file.
var ErrNoCentre = errors.New("holds no centre")

// centreIn checks that dir is a centre's.
func centreIn(dir string) error {
	switch _, err := os.Stat(filepath.Join(dir, restoringName)); {
	case err == nil:
		return fmt.Errorf("directory %s: %w", dir, ErrRestoring)
	case !errors.Is(err, os.ErrNotExist):
		return err
	}
	_, err := os.Stat(TrustFile(dir))
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("directory %s: %w: no %s", dir, ErrNoCentre, trustFileName)
	}
	return err
}

// ErrRestoring says that a directory is half of a centre.
var ErrRestoring = errors.New("a restore was begun here and has not ended: do the same restore again, which goes on")

// Init makes a centre in dir: a root key, a centre key, a register that holds the
// centre's key alone, and an authority for TLS. It never replaces anything. One that
// was interrupted is ended by the next, with the keys that it had made.
func Init(dir string) (root evidence.Hash, err error) {
	if err := begin(dir, rootHere, time.Now()); err != nil {
		return root, err
	}
	made := make([]*keys.Key, 2)
	for i, name := range []string{rootKeyName, centreKeyName} {
		if made[i], err = keys.LoadOrCreate(filepath.Join(dir, name)); err != nil {
			return root, err
		}
	}
	// A minute back, for devices whose clock is a little behind.
	from := time.Now().UTC().Truncate(time.Second).Add(-time.Minute)
	entry := evidence.RegisterEntry{
		Role: evidence.RoleCentre, Key: made[1].SPKI(), NotBefore: from, NotAfter: from.Add(centreValid),
	}
	if err := register.Create(dir, made[0], entry, time.Now()); errors.Is(err, fs.ErrExist) {
		// But for the last step it was made. Another root's is none of this centre.
		f, err := register.Open(dir)
		if err != nil {
			return root, err
		}
		if f.Trust().Root() != made[0].KeyID() {
			return root, fmt.Errorf("%s: signed by another root than %s", trustFileName, rootKeyName)
		}
	} else if err != nil {
		return root, err
	}
	return made[0].KeyID(), settle(dir)
}

// A file says that a centre is being made, and how, from before anything else is
// there until it has its register.
const unfinishedName = "unfinished"

// The two ways to make a centre, as that file names them.
const (
	rootHere      = "a centre with its root key here\n"
	rootElsewhere = "a centre whose root is on another machine\n"
)

// settle says that the centre in dir is made.
func settle(dir string) error {
	if err := os.Remove(filepath.Join(dir, unfinishedName)); ifThere(err) != nil {
		return err
	}
	return durable.SyncFolder(dir)
}

// begin makes what every centre has before its keys, in a directory that holds none
// yet, or where the making of one like it was interrupted: a store and an authority for
// TLS.
func begin(dir, how string, now time.Time) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	mark := filepath.Join(dir, unfinishedName)
	begun, err := durable.ReadAtMost(mark, 100)
	if ifThere(err) != nil {
		return err
	}
	_, made := os.Lstat(TrustFile(dir))
	switch {
	case err == nil && string(begun) != how:
		return fmt.Errorf("directory %s: here was begun %s", dir, bytes.TrimSpace(begun))
	case err == nil && made == nil && how == rootElsewhere: // by the root's answer
		return errors.Join(fmt.Errorf("directory %s: %w (%s)", dir, ErrExists, trustFileName), settle(dir))
	case err != nil:
		for _, name := range []string{rootKeyName, centreKeyName, trustFileName} {
			if _, err := os.Lstat(filepath.Join(dir, name)); !errors.Is(err, os.ErrNotExist) {
				return errors.Join(fmt.Errorf("directory %s: %w (%s)", dir, ErrExists, name), err)
			}
		}
		if err := durable.WriteFile(mark, []byte(how), 0o600); err != nil {
			return err
		}
	}
	// The store first: what can fail does so before there are keys.
	s, err := record.OpenFolder(context.Background(), dir)
	if err != nil {
		return err
	}
	if err := s.Close(); err != nil {
		return err
	}
	if _, err := ca.Create(CAFolder(dir), now); begun == nil || !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil // it was made before the interruption
}

// Enrol adds a device to the register in dir: the evidence key of the
// certificate, for one epoch of the device. A running portal notices when the
// device first sends something.
func Enrol(dir string, device evidence.DeviceID, epoch uint64, certificate *x509.Certificate) (evidence.RegisterEntry, error) {
	if err := centreIn(dir); err != nil {
		return evidence.RegisterEntry{}, err
	}
	root, err := keys.Load(filepath.Join(dir, rootKeyName))
	if err != nil {
		return evidence.RegisterEntry{}, err
	}
	return register.Add(dir, root, device, epoch, certificate, time.Now())
}

// TrustFile is where the trust file of a centre lies: the root's public key and
// the register, for devices and for verifying evidence.
func TrustFile(dir string) string { return filepath.Join(dir, trustFileName) }

// ReadCertificate reads one certificate in PEM.
func ReadCertificate(text []byte) (*x509.Certificate, error) {
	block, rest := pem.Decode(text)
	if block == nil || block.Type != "CERTIFICATE" || len(rest) != 0 {
		return nil, errors.New("certificate: not one PEM block of type CERTIFICATE")
	}
	return x509.ParseCertificate(block.Bytes)
}
