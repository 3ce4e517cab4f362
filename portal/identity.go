package portal

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"ciglio/capture/evidence"
	"ciglio/internal/durable"
	"ciglio/internal/mtls"
	"ciglio/portal/ca"
	"ciglio/portal/keys"
	"ciglio/portal/register"
	"ciglio/uplink/wire"
)

const (
	caFolder       = "ca"
	proposedFolder = "proposed"
	requestEnding  = ".request"
	renewalTime    = time.Hour // between two looks at what has to be renewed
)

// CAFolder is where a centre's authority for TLS lies.
func CAFolder(dir string) string { return filepath.Join(dir, caFolder) }

// openCA opens the centre's authority, sees that the server's certificate is there,
// and returns what gives both as they are.
func (p *Portal) openCA(o Options) (func() (*mtls.Authority, *tls.Certificate), error) {
	if len(o.Names) == 0 {
		return nil, ErrNoNames
	}
	var err error
	if p.authority, err = ca.Open(CAFolder(o.Dir)); err != nil {
		return nil, err
	}
	p.names = o.Names
	if err := p.authority.Renew(o.Names, time.Now()); err != nil {
		return nil, err
	}
	source, err := mtls.NewSource(mtls.Files{
		Authority:   p.authority.Believed(),
		Certificate: filepath.Join(CAFolder(o.Dir), ca.ServerName),
		Key:         filepath.Join(CAFolder(o.Dir), ca.ServerKeyName),
	}, loadKey, o.Log)
	if err != nil {
		return nil, err
	}
	p.terms.source = source
	return source.Get, nil
}

// identityOf is what a broker that is encrypted shows, and nil for one that is not.
func identityOf(encrypted bool, identity func() (*mtls.Authority, *tls.Certificate)) func() (*mtls.Authority, *tls.Certificate) {
	if !encrypted {
		return nil
	}
	return identity
}

// renew keeps the server's certificate and the lists of what is revoked in force
// until ctx ends, and looks at what another broker shows.
func (p *Portal) renew(ctx context.Context) {
	tick := time.NewTicker(renewalTime)
	defer tick.Stop()
	for {
		select {
		case now := <-tick.C:
			if p.authority != nil {
				if err := p.authority.Renew(p.names, now); err != nil {
					p.log.Error("certificates cannot be renewed", "error", err)
				}
			}
			if err := p.terms.probe(ctx, p.elsewhere, now); err != nil {
				p.log.Error("certificate for the broker cannot be changed", "error", err)
			}
		case <-ctx.Done():
			return
		}
	}
}

func loadKey(path string) (crypto.Signer, error) {
	k, err := keys.Load(path)
	if err != nil {
		return nil, err
	}
	return k.CryptoSigner(), nil
}

// isEvidenceKey says whether a key stands in the register.
func (p *Portal) isEvidenceKey(k *ecdsa.PublicKey) bool {
	id, err := evidence.KeyID(k)
	if err != nil {
		return true // it is none of ours, whatever it is
	}
	return p.register.HasKey(id)
}

// proposals are the evidence keys that devices have brought, under a centre's
// directory, for the root to enter.
type proposals struct{ dir string }

// put keeps the request in which a device has brought its evidence key.
func (p proposals) put(device evidence.DeviceID, text []byte) error {
	r, err := wire.OpenRequest(text)
	if err == nil && r.Device != device {
		err = fmt.Errorf("of device %v", r.Device)
	}
	if err == nil {
		err = checkProposal(device, r.Evidence)
	}
	if err != nil {
		return fmt.Errorf("%w: evidence key: %w", ca.ErrRequest, err)
	}
	f, err := register.Open(p.dir)
	if err != nil {
		return err
	}
	if f.HasKey(r.KeyID) {
		return nil // the root has entered it: the answer was lost, or this one is late
	}
	if err := os.MkdirAll(p.folder(), 0o700); err != nil {
		return err
	}
	return durable.WriteFile(p.path(device), text, 0o600)
}

func certificatePEM(c *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
}

func checkProposal(device evidence.DeviceID, c *x509.Certificate) error {
	public, ok := c.PublicKey.(*ecdsa.PublicKey)
	if !ok {
		return errors.New("not an ECDSA key on P-256")
	}
	if _, err := evidence.EncodeKey(public); err != nil {
		return err
	}
	if c.Subject.CommonName != device.String() {
		return fmt.Errorf("its certificate names %q, not %v", c.Subject.CommonName, device)
	}
	if err := c.CheckSignature(c.SignatureAlgorithm, c.RawTBSCertificate, c.Signature); err != nil {
		return errors.New("the key has not signed its certificate")
	}
	return nil
}

// get returns the request in which a device has brought its key.
func (p proposals) get(device evidence.DeviceID) (*wire.SealedRequest, error) {
	text, err := os.ReadFile(p.path(device))
	if err != nil {
		return nil, err
	}
	return wire.OpenRequest(text)
}

// waits says whether a device has brought a key that waits for the root.
func (p proposals) waits(device evidence.DeviceID) bool {
	_, err := p.get(device)
	return err == nil
}

// all returns the devices that have brought a key.
func (p proposals) all() ([]evidence.DeviceID, error) {
	entries, err := os.ReadDir(p.folder())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var all []evidence.DeviceID
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), requestEnding)
		if device, err := evidence.ParseDeviceID(name); ok && err == nil {
			all = append(all, device)
		}
	}
	return all, nil
}

// settle forgets the key that a device has brought if it stands in the register:
// it may have brought another since it was asked for.
func (p proposals) settle(device evidence.DeviceID, trust *evidence.Trust) error {
	r, err := p.get(device)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if !register.HasKey(trust, r.KeyID) {
		return nil
	}
	return p.drop(device)
}

// drop forgets the key that a device has brought.
func (p proposals) drop(device evidence.DeviceID) error {
	if err := os.Remove(p.path(device)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func (p proposals) folder() string { return filepath.Join(p.dir, proposedFolder) }

func (p proposals) path(device evidence.DeviceID) string {
	return filepath.Join(p.folder(), device.String()+requestEnding)
}
