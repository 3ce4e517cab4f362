package portal

import (
	"bytes"
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
	"slices"
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

	// The one that follows. It is made in the last third of the life of the one
	// before; the broker is given both, and the centre shows it once it has seen that
	// the broker takes it, or when the one before has ended.
	nextBrokerCertName = "centre.next.crt"
	nextBrokerKeyName  = "centre.next.key"
	brokerLockName     = "centre.lock"
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
	To      string `json:"to"`
	Restart bool   `json:"restart"` // Mosquitto reads whom it believes at its start alone
}

func (r mosquittoResult) String() string {
	return "wrote " + strings.Join([]string{ca.BelievedName, ca.ServerName, ca.ServerKeyName, brokerCertName}, ", ") + " in " + r.To +
		"\nthey are for Mosquitto's user; " + map[bool]string{
		true:  "start it anew: whom it believes has changed",
		false: "have it read them anew (SIGHUP)",
	}[r.Restart]
}

func mosquittoFlags(flags *flag.FlagSet) func(context.Context, io.Writer, io.Writer, bool) (any, error) {
	dir := needDir(flags)
	to := flags.String("to", "", "`folder` (required)")
	names := many(flags, "name", "`host` name or address by which devices and the centre reach it; may be given several times (required)")
	return func(context.Context, io.Writer, io.Writer, bool) (any, error) {
		if err := errors.Join(required("dir", *dir), required("to", *to), required("name", strings.Join(*names, " "))); err != nil {
			return nil, err
		}
		restart, err := WriteMosquitto(*dir, *to, *names, time.Now())
		return mosquittoResult{*to, restart}, err
	}
}

// WriteMosquitto writes into the folder to what Mosquitto needs with
// docs/mosquitto.conf, and renews what is there and has less than a third of its
// life: whom it believes, its certificate for the given names, and the certificate
// that the centre in dir shows to it. It reports whether whom Mosquitto believes has
// changed, which it reads at its start alone.
func WriteMosquitto(dir, to string, names []string, now time.Time) (restart bool, err error) {
	authority, err := ca.Open(CAFolder(dir))
	if err != nil {
		return false, err
	}
	if err := os.MkdirAll(to, 0o700); err != nil {
		return false, err
	}
	before, _ := readBelieved(to) // none, or a damaged one: then others are believed now
	if err := authority.Server(to, names, now); err != nil {
		return false, err
	}
	after, err := readBelieved(to)
	if err != nil {
		return false, err
	}
	own, err := brokerCertificate(CAFolder(dir), now)
	if err != nil {
		return false, err
	}
	path := filepath.Join(to, brokerCertName)
	had, err := os.ReadFile(path)
	if ifThere(err) != nil {
		return false, err
	}
	restart = before == nil || !slices.EqualFunc(before.Certificates(), after.Certificates(), (*x509.Certificate).Equal) || !bytes.Equal(had, own)
	return restart, durable.WriteFile(path, own, 0o600)
}

// brokerCertificate sees that the certificate that the centre shows to another
// broker is in force, and returns what that broker believes, PEM: this one, and the
// one that follows it if there is one. One program at a time does so.
func brokerCertificate(folder string, now time.Time) ([]byte, error) {
	lock, err := durable.Wait(filepath.Join(folder, brokerLockName))
	if err != nil {
		return nil, err
	}
	defer lock.Close()
	path, keyPath := filepath.Join(folder, brokerCertName), filepath.Join(folder, brokerKeyName)
	nextPath, nextKeyPath := filepath.Join(folder, nextBrokerCertName), filepath.Join(folder, nextBrokerKeyName)
	if err := followBrokerCertificate(folder); err != nil {
		return nil, err
	}
	text, own, err := readBrokerCertificate(path)
	if errors.Is(err, os.ErrNotExist) {
		return makeBrokerCertificate(path, keyPath, now)
	}
	if err != nil {
		return nil, err
	}
	if now.Before(own.NotAfter.Add(-brokerCentreLife / 3)) {
		return text, nil
	}
	nextText, _, err := readBrokerCertificate(nextPath)
	if errors.Is(err, os.ErrNotExist) {
		nextText, err = makeBrokerCertificate(nextPath, nextKeyPath, now)
		return append(text, nextText...), err
	}
	if err != nil {
		return nil, err
	}
	if now.After(own.NotAfter) {
		return nextText, showNextBrokerCertificate(folder)
	}
	return append(text, nextText...), nil
}

// showNextBrokerCertificate puts the one that follows in the place of the one before.
func showNextBrokerCertificate(folder string) error {
	if err := durable.Rename(filepath.Join(folder, nextBrokerKeyName), filepath.Join(folder, brokerKeyName)); err != nil {
		return err
	}
	return followBrokerCertificate(folder)
}

// followBrokerCertificate ends what has begun with the key: when the key that
// follows is in its place, so is the certificate.
func followBrokerCertificate(folder string) error {
	nextPath := filepath.Join(folder, nextBrokerCertName)
	if _, err := os.Lstat(nextPath); err != nil {
		return ifThere(err)
	}
	if _, err := os.Lstat(filepath.Join(folder, nextBrokerKeyName)); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return durable.Rename(nextPath, filepath.Join(folder, brokerCertName))
}

func ifThere(err error) error {
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

func readBrokerCertificate(path string) ([]byte, *x509.Certificate, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, nil, err
	}
	c, err := ReadCertificate(text)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", path, err)
	}
	return text, c, nil
}

// makeBrokerCertificate makes the certificate at a path with its key, which is there
// before it.
func makeBrokerCertificate(path, keyPath string, now time.Time) ([]byte, error) {
	key, err := keys.Generate()
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		// OpenSSL looks for a certificate by its name: the one that follows has another.
		SerialNumber: big.NewInt(now.Unix()), Subject: pkix.Name{CommonName: brokerCentre, SerialNumber: key.KeyID().String()[:16]}, BasicConstraintsValid: true,
		NotBefore: now.Add(-time.Hour).UTC(), NotAfter: now.Add(brokerCentreLife).UTC(),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key.CryptoSigner())
	if err != nil {
		return nil, err
	}
	if err := os.Remove(keyPath); ifThere(err) != nil { // of a certificate that was never written
		return nil, err
	}
	if err := key.Create(keyPath); err != nil {
		return nil, err
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return text, durable.WriteFile(path, text, 0o600)
}
