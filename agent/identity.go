package agent

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"ciglio/agent/config"
	"ciglio/agent/enrol"
	"ciglio/agent/provision"
	"ciglio/capture/evidence"
	"ciglio/capture/key"
	"ciglio/internal/durable"
	p "ciglio/internal/provisioning"
	"ciglio/uplink/wire"
)

// keyOptions says where the keys of the device are.
func keyOptions(c *config.Config) key.Options {
	o := key.Options{Evidence: c.Device.Key, TLS: c.Uplink.TLSKey, TPM: c.Device.TPM, Forms: []string{wire.ContentRequest, provision.ReceiptType}}
	if o.TLS == "" {
		o.TLS = filepath.Join(filepath.Dir(o.Evidence), "uplink.key")
	}
	switch o.TPM {
	case "none":
		o.TPM = ""
	case "auto":
		o.TPM = key.DefaultTPM
		if _, err := os.Stat(o.TPM); err != nil {
			o.TPM = ""
		}
	}
	return o
}

// The life of the certificate of an evidence key. A clock that is ahead today, as an
// RTC in local time is, must not make the records of the first hours invalid; before
// the key was made there are none.
const certificateYears, certificateEarly = 10, 24 * time.Hour

// identity opens the keys of the device and the certificate (DER) of its evidence
// key, and makes them at the first start.
func identity(ctx context.Context, c *config.Config, id evidence.DeviceID, log *slog.Logger) (_ *key.Keys, certificate []byte, err error) {
	if err := finishChange(c); err != nil {
		return nil, nil, err
	}
	o := keyOptions(c)
	keys, err := key.Open(ctx, o)
	if errors.Is(err, os.ErrNotExist) {
		if keys, err = makeKeys(ctx, c, o); err == nil {
			log.Info("keys made", "evidence", keys.Evidence().Class(), "tls", keys.TLS().Class())
		}
	}
	if err != nil {
		return nil, nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, keys.Close())
		}
	}()
	text, err := readPlain(c.Device.Certificate, maxStatement)
	if errors.Is(err, os.ErrNotExist) {
		if text, err = certify(keys.Evidence(), id); err != nil {
			return nil, nil, err
		}
		if err := durable.WriteFile(c.Device.Certificate, text, public); err != nil {
			return nil, nil, fmt.Errorf("certificate: %w", err)
		}
		log.Info("certificate made: enrol the device with it", "file", c.Device.Certificate)
	} else if err != nil {
		return nil, nil, err
	}
	parsed, err := parseCertificate(text)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", c.Device.Certificate, err)
	}
	if !keys.Evidence().Public().Equal(parsed.PublicKey) {
		return nil, nil, fmt.Errorf("%s: not of the key in %s", c.Device.Certificate, c.Device.Key)
	}
	return keys, parsed.Raw, nil
}

// certify makes the certificate of an evidence key, PEM.
func certify(k *key.Key, id evidence.DeviceID) ([]byte, error) {
	der, err := key.Certificate(k, id, time.Now().Add(-certificateEarly), certificateYears, nil, nil)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), nil
}

// parseCertificate reads a certificate, PEM.
func parseCertificate(text []byte) (*x509.Certificate, error) {
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, errors.New("no PEM certificate")
	}
	return x509.ParseCertificate(block.Bytes)
}

// makeKeys makes what is missing of the two keys. An evidence key that has a
// certificate was there: it is lost, and another one is a decision.
func makeKeys(ctx context.Context, c *config.Config, o key.Options) (*key.Keys, error) {
	_, noKey := os.Lstat(o.Evidence)
	_, noCertificate := os.Lstat(c.Device.Certificate)
	if errors.Is(noKey, os.ErrNotExist) && noCertificate == nil {
		return nil, fmt.Errorf("evidence key %s: lost, its certificate %s is still there: docs/identity.md says what to do", o.Evidence, c.Device.Certificate)
	}
	for _, path := range []string{o.Evidence, o.TLS} {
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return nil, err
		}
	}
	if err := key.Create(ctx, o); err != nil {
		return nil, err
	}
	return key.Open(ctx, o)
}

// installCertificates puts the certificates of a bundle into their places, unless
// those there are newer, as after a renewal. What is on trial and does not fit this
// device's key is an error, by which it is taken back; what fitted once and does no
// longer, as after a key change, is told and left.
func (l *lives) installCertificates(now time.Time) error {
	b, err := l.state.Current(p.Certificates)
	if errors.Is(err, provision.ErrNotInstalled) {
		return nil
	}
	if err != nil {
		return err
	}
	u := l.config.Uplink
	if there, err := os.ReadFile(u.Certificate); err == nil && !enrol.Newer(b.Text(), there) {
		return nil
	}
	own, err := enrol.Install(b.Text(), u.CA, u.Certificate, l.id, l.keys.TLS(), now)
	switch {
	case err == nil:
		l.log.Info("certificates installed", "version", b.Version, "until", own.NotAfter)
	case l.state.Trial():
		return fmt.Errorf("certificates version %d: %w", b.Version, err)
	default:
		l.log.Warn("installed certificates do not fit", "version", b.Version, "error", err)
	}
	return nil
}
