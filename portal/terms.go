package portal

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"ciglio/capture/evidence"
	"ciglio/internal/durable"
	"ciglio/internal/mtls"
	"ciglio/portal/ca"
	"ciglio/portal/register"
)

const day = 24 * time.Hour

// How long before its end each thing of the centre is told to end soon. What is
// renewed by itself, or by a timer, is told once that has failed for long.
const (
	centreKeySoon = 90 * day // a ceremony with the root
	authoritySoon = 2 * ca.DeviceLife
	listSoon      = ca.ListLife - 3*day // renewed daily
	serverSoon    = ca.ServerLife/3 - 3*day
	brokerSoon    = brokerCentreLife/3 - 60*day
	pagesSoon     = 14 * day
	probeTime     = 10 * time.Second // of a handshake
	refusalTime   = 2 * time.Second  // in which a broker says that it refuses
)

// terms knows until when the keys and certificates of a centre count. It is safe for
// concurrent use once the centre is open.
type terms struct {
	dir      string
	register *register.File
	key      evidence.Hash // of the centre
	source   *mtls.Source  // nil: nothing is encrypted by certificates of the centre
	pages    *pageFiles    // nil: the pages are not encrypted
	public   *pageFiles    // nil: those of citizens are not

	mu     sync.Mutex
	broker time.Time // when the certificate ends that another broker has shown last; zero: none has
	config *tls.Config
}

// dialling has what another broker shows remembered.
func (t *terms) dialling(c *tls.Config) *tls.Config {
	verify := c.VerifyConnection
	c.VerifyConnection = func(s tls.ConnectionState) error {
		t.mu.Lock()
		defer t.mu.Unlock()
		if t.broker = s.PeerCertificates[0].NotAfter; t.config == nil {
			t.config = c.Clone()
		}
		return verify(s)
	}
	return c
}

func readBelieved(folder string) (*mtls.Authority, error) {
	text, err := durable.ReadAtMost(filepath.Join(folder, ca.BelievedName), mtls.MaxFile)
	if err != nil {
		return nil, err
	}
	return mtls.ParseAuthority(text)
}

// warnings says in words what needs a person.
func (t *terms) warnings(now time.Time) (all []string) {
	tell := func(what string, end time.Time, soon time.Duration, hint string) {
		switch {
		case now.After(end):
			all = append(all, fmt.Sprintf("%s ended on %s: %s", what, end.UTC().Format(dateLayout), hint))
		case now.After(end.Add(-soon)):
			all = append(all, fmt.Sprintf("%s ends on %s: %s", what, end.UTC().Format(dateLayout), hint))
		}
	}
	cannot := func(what string, err error) {
		if err != nil {
			all = append(all, fmt.Sprintf("%s: %v", what, err))
		}
	}
	for _, e := range t.register.Trust().Register().Register.Entries {
		if sha256.Sum256(e.Key) == t.key {
			tell("The key by which receipts are signed", e.NotAfter, centreKeySoon, "have the root enter the next (ciglio-portal request --centre-key)")
		}
	}
	if t.source != nil {
		_, own := t.source.Get()
		cannot("Certificates cannot be read, those before stay in use", t.source.Trouble())
		tell("The certificate of this centre's broker and enrolment", own.Leaf.NotAfter, serverSoon, "the log says why it is not renewed")
	}
	t.mu.Lock()
	shown := t.broker
	t.mu.Unlock()
	if t.source != nil || !shown.IsZero() {
		authority, err := readBelieved(CAFolder(t.dir))
		switch {
		case err == nil:
			tell("The authority for TLS", authority.Certificates()[0].NotAfter, authoritySoon, "let another follow (ciglio-portal authority --rotate)")
			if until := authority.Until(); !until.IsZero() {
				tell("The list of revoked certificates", until, listSoon, "it is not renewed; after its end no device is taken")
			}
		case !errors.Is(err, fs.ErrNotExist): // or another's authority counts
			cannot("The authority for TLS", err)
		}
	}
	if !shown.IsZero() {
		tell("The certificate of the broker", shown, serverSoon, "ciglio-portal mosquitto renews it, and Mosquitto is to read it anew")
		_, own, err := readBrokerCertificate(filepath.Join(CAFolder(t.dir), brokerCertName))
		if !errors.Is(err, fs.ErrNotExist) { // or it is another's to make
			cannot("The certificate that this centre shows to the broker", err)
		}
		if err == nil {
			tell("The certificate that this centre shows to the broker", own.NotAfter, brokerSoon, "ciglio-portal mosquitto renews it, and Mosquitto is to be started anew")
		}
	}
	if t.pages != nil {
		tell("The certificate of these pages", t.pages.current().Leaf.NotAfter, pagesSoon, "whoever has issued it renews it")
		cannot("The certificate of these pages cannot be read, the one before stays in use", t.pages.lastTrouble())
	}
	if t.public != nil {
		tell("The certificate of the citizens' pages", t.public.current().Leaf.NotAfter, pagesSoon, "whoever has issued it renews it")
		cannot("The certificate of the citizens' pages cannot be read, the one before stays in use", t.public.lastTrouble())
	}
	return all
}

// probe asks another broker what the centre's own session does not say: which
// certificate it shows now, if what it has shown ends soon, as a session may last for
// longer; and whether it takes the certificate that follows, if there is one. If it
// does, the centre shows that from now on.
func (t *terms) probe(ctx context.Context, address string, now time.Time) error {
	t.mu.Lock()
	shown, config := t.broker, t.config
	t.mu.Unlock()
	if config == nil {
		return nil
	}
	next, err := t.next()
	if err != nil {
		return err
	}
	if next == nil && now.Before(shown.Add(-serverSoon)) {
		return nil
	}
	config = config.Clone()
	if next != nil {
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return next, nil }
	}
	ctx, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	c, err := (&tls.Dialer{Config: config}).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil // the session itself will tell
	}
	defer c.Close()
	if next == nil {
		return nil
	}
	// An end that dials learns by its first read that it is refused; a broker that
	// takes it waits for its word.
	err = c.SetReadDeadline(time.Now().Add(refusalTime))
	if err == nil {
		_, err = c.Read(make([]byte, 1))
	}
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		return nil
	}
	lock, err := durable.Wait(filepath.Join(CAFolder(t.dir), brokerLockName))
	if err != nil {
		return err
	}
	defer lock.Close()
	return showNextBrokerCertificate(CAFolder(t.dir))
}

// next is the certificate that follows the one that the centre shows to another
// broker; nil when there is none.
func (t *terms) next() (*tls.Certificate, error) {
	folder := CAFolder(t.dir)
	text, _, err := readBrokerCertificate(filepath.Join(folder, nextBrokerCertName))
	if err != nil {
		return nil, ifThere(err)
	}
	key, err := loadKey(filepath.Join(folder, nextBrokerKeyName))
	if err != nil {
		return nil, ifThere(err) // it is being put in its place
	}
	return mtls.Identity(text, key)
}
