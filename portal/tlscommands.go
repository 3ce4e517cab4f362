package portal

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"time"

	"ciglio/capture/evidence"
	"ciglio/internal/durable"
	"ciglio/internal/mtls"
	"ciglio/portal/ca"
	"ciglio/portal/keys"
)

// The certificate that the centre shows to a broker that is another program. The
// broker believes it alone, so that no device can come where the centre does.
const (
	brokerCentre     = "ciglio-centre" // its common name, as in docs/mosquitto.acl
	brokerCertName   = "centre.crt"
	brokerKeyName    = "centre.key"
	brokerCentreLife = 5 * 365 * 24 * time.Hour
)

// brokerFiles fills in where those files are by themselves.
func brokerFiles(dir string, f mtls.Files) mtls.Files {
	for _, one := range []struct {
		path *string
		name string
	}{{&f.Authority, ca.BelievedName}, {&f.Certificate, brokerCertName}, {&f.Key, brokerKeyName}} {
		if *one.path == "" {
			*one.path = filepath.Join(CAFolder(dir), one.name)
		}
	}
	return f
}

const dateLayout = "2006-01-02 15:04:05 UTC"

type codeResult struct {
	Device  string `json:"device"`
	Code    string `json:"code"`
	Expires string `json:"expires"`
}

func (r codeResult) String() string {
	return fmt.Sprintf("%s\none-time code of device %s, until %s", r.Code, r.Device, r.Expires)
}

func newCode(dir string, device evidence.DeviceID) (any, error) {
	authority, err := ca.Open(CAFolder(dir))
	if err != nil {
		return nil, err
	}
	now := time.Now()
	code, err := authority.NewCode(device, now)
	return codeResult{device.String(), code, now.Add(ca.CodeLife).UTC().Format(dateLayout)}, err
}

type authorityResult struct {
	Believed string          `json:"believed"`
	All      []authorityLine `json:"authorities"`
}

type authorityLine struct {
	Name     string `json:"name"`
	NotAfter string `json:"not_after"`
	Issues   bool   `json:"issues"`
	SHA256   string `json:"sha256"` // of the certificate: what a device is told to believe
}

func (r authorityResult) String() string {
	var b strings.Builder
	for _, a := range r.All {
		does := "is believed"
		if a.Issues {
			does = "issues"
		}
		fmt.Fprintf(&b, "%s  %s, until %s\nSHA-256 %s\n", a.Name, does, a.NotAfter, a.SHA256)
	}
	return b.String() + "devices and brokers believe " + r.Believed
}

func authorityFlags(flags *flag.FlagSet) func(context.Context, io.Writer, io.Writer, bool) (any, error) {
	dir := needDir(flags)
	create := flags.Bool("make", false, "make the first one, in a centre that has none")
	rotate := flags.Bool("rotate", false, "make the one that issues from now on; those before are believed until they are retired")
	retire := flags.Bool("retire", false, "end those that no longer issue")
	return func(context.Context, io.Writer, io.Writer, bool) (any, error) {
		if err := required("dir", *dir); err != nil {
			return nil, err
		}
		if err := centreIn(*dir); err != nil {
			return nil, err
		}
		folder, now := CAFolder(*dir), time.Now()
		if *create {
			if _, err := ca.Create(folder, now); err != nil {
				return nil, err
			}
		}
		authority, err := ca.Open(folder)
		if err == nil && *rotate {
			err = authority.Rotate(now)
		}
		if err == nil && *retire {
			err = authority.Retire(now)
		}
		if err != nil {
			return nil, err
		}
		all, err := authority.Authorities()
		r := authorityResult{Believed: authority.Believed()}
		for i, c := range all {
			sum := evidence.Hash(sha256.Sum256(c.Raw))
			r.All = append(r.All, authorityLine{c.Subject.CommonName, c.NotAfter.UTC().Format(dateLayout), i == 0, sum.String()})
		}
		return r, err
	}
}

type revokeResult struct {
	Device   string `json:"device"`
	Revoked  int    `json:"revoked"`
	Believed string `json:"believed"`
}

func (r revokeResult) String() string {
	return fmt.Sprintf("%d certificates of device %s revoked\nthe embedded broker ends its session within a minute; Mosquitto once it has the new %s", r.Revoked, r.Device, ca.BelievedName)
}

func revokeFlags(flags *flag.FlagSet) func(context.Context, io.Writer, io.Writer, bool) (any, error) {
	dir := needDir(flags)
	device := flags.String("device", "", "device id, 32 `hexadecimal` digits (required)")
	return func(context.Context, io.Writer, io.Writer, bool) (any, error) {
		if err := errors.Join(required("dir", *dir), required("device", *device)); err != nil {
			return nil, err
		}
		id, err := evidence.ParseDeviceID(*device)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", errUsage, err)
		}
		authority, err := ca.Open(CAFolder(*dir))
		if err != nil {
			return nil, err
		}
		n, err := authority.Revoke(id, time.Now())
		return revokeResult{*device, n, authority.Believed()}, err
	}
}

type mosquittoResult struct {
	To string `json:"to"`
}

func (r mosquittoResult) String() string {
	return "wrote " + strings.Join([]string{ca.BelievedName, ca.ServerName, ca.ServerKeyName, brokerCertName}, ", ") + " in " + r.To +
		"\nthey are for Mosquitto's user; have it started anew"
}

func mosquittoFlags(flags *flag.FlagSet) func(context.Context, io.Writer, io.Writer, bool) (any, error) {
	dir := needDir(flags)
	to := flags.String("to", "", "`folder` (required)")
	names := many(flags, "name", "`host` name or address by which devices and the centre reach it; may be given several times (required)")
	return func(context.Context, io.Writer, io.Writer, bool) (any, error) {
		if err := errors.Join(required("dir", *dir), required("to", *to), required("name", strings.Join(*names, " "))); err != nil {
			return nil, err
		}
		return mosquittoResult{*to}, WriteMosquitto(*dir, *to, *names, time.Now())
	}
}

// WriteMosquitto writes into the folder to what Mosquitto needs with
// docs/mosquitto.conf, and renews what is there and has less than a third of its
// life: whom it believes, its certificate for the given names, and the certificate
// that the centre in dir shows to it.
func WriteMosquitto(dir, to string, names []string, now time.Time) error {
	authority, err := ca.Open(CAFolder(dir))
	if err != nil {
		return err
	}
	if err := os.MkdirAll(to, 0o700); err != nil {
		return err
	}
	if err := authority.Server(to, names, now); err != nil {
		return err
	}
	own, err := brokerCertificate(CAFolder(dir), now)
	if err != nil {
		return err
	}
	return durable.WriteFile(filepath.Join(to, brokerCertName), own, 0o600)
}

// brokerCertificate returns the certificate that the centre shows to another
// broker, PEM, and makes it where there is none.
func brokerCertificate(folder string, now time.Time) ([]byte, error) {
	path := filepath.Join(folder, brokerCertName)
	text, err := os.ReadFile(path)
	if err == nil || !errors.Is(err, os.ErrNotExist) {
		return text, err
	}
	key, err := keys.Generate()
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: brokerCentre}, BasicConstraintsValid: true,
		NotBefore: now.Add(-time.Hour).UTC(), NotAfter: now.Add(brokerCentreLife).UTC(),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key.CryptoSigner())
	if err != nil {
		return nil, err
	}
	keyPath := filepath.Join(folder, brokerKeyName)
	if err := os.Remove(keyPath); err != nil && !errors.Is(err, os.ErrNotExist) { // of a certificate that was never written
		return nil, err
	}
	if err := key.Create(keyPath); err != nil {
		return nil, err
	}
	text = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return text, durable.WriteFile(path, text, 0o600)
}
