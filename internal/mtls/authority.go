package mtls

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"time"
)

// Limits of the files that say whom to believe and who this end is.
const (
	MaxFile         = 4 << 20 // bytes of one file
	maxAuthorities  = 16
	maxChain        = 4
	typeCertificate = "CERTIFICATE"
	typeList        = "X509 CRL"
)

// An Authority is whom an end believes: the certificates of one or more
// authorities, several while one follows another, and what they have revoked. It
// is immutable and safe for concurrent use.
type Authority struct {
	pool         *x509.CertPool
	certificates []*x509.Certificate
	revoked      map[string]time.Time // by name
	until        time.Time            // when the first of the newest lists ends; zero without lists
}

// ParseAuthority reads authorities from PEM: blocks of type CERTIFICATE, each of
// an authority, and of type X509 CRL, each signed by one of them. What several
// lists of one authority revoke is revoked. To an end that dials a list counts
// however old it is: a device that was offline for a month knows no newer one. An
// end that is dialled takes nobody by a list that has ended; see [Authority.Until].
func ParseAuthority(text []byte) (*Authority, error) {
	if len(text) > MaxFile {
		return nil, fmt.Errorf("authorities: %d bytes, want at most %d", len(text), MaxFile)
	}
	a := &Authority{pool: x509.NewCertPool(), revoked: make(map[string]time.Time)}
	var lists []*x509.RevocationList
	err := blocks(text, func(kind string, der []byte) error {
		switch kind {
		case typeCertificate:
			c, err := x509.ParseCertificate(der)
			switch {
			case err != nil:
				return err
			case !c.IsCA || !c.BasicConstraintsValid || c.KeyUsage&x509.KeyUsageCertSign == 0:
				return fmt.Errorf("certificate of %q is not an authority's", c.Subject)
			case len(a.certificates) == maxAuthorities:
				return fmt.Errorf("more than %d certificates", maxAuthorities)
			}
			a.certificates = append(a.certificates, c)
			a.pool.AddCert(c)
			return nil
		case typeList:
			l, err := x509.ParseRevocationList(der)
			lists = append(lists, l)
			return err
		}
		return fmt.Errorf("PEM block of type %q, want %s or %s", kind, typeCertificate, typeList)
	})
	if err != nil {
		return nil, fmt.Errorf("authorities: %w", err)
	}
	if len(a.certificates) == 0 {
		return nil, errors.New("authorities: no certificate")
	}
	ends := make(map[*x509.Certificate]time.Time)
	for _, l := range lists {
		issuer := a.issuer(l)
		if issuer == nil {
			return nil, fmt.Errorf("authorities: list of revoked certificates by %q: none of the authorities signed it", l.Issuer)
		}
		for _, e := range l.RevokedCertificateEntries {
			if n := name(issuer, e.SerialNumber); a.revoked[n].IsZero() || e.RevocationTime.Before(a.revoked[n]) {
				a.revoked[n] = e.RevocationTime
			}
		}
		if l.NextUpdate.After(ends[issuer]) {
			ends[issuer] = l.NextUpdate
		}
	}
	for _, end := range ends {
		if a.until.IsZero() || end.Before(a.until) {
			a.until = end
		}
	}
	return a, nil
}

// Until returns when what the authorities have revoked is no longer known: the
// nextUpdate of the newest list of the authority whose list ends first. It is zero
// when there is no list.
func (a *Authority) Until() time.Time { return a.until }

// current returns a [*Refusal] when a list has ended: whom it does not name may be
// revoked since.
func (a *Authority) current(now time.Time) error {
	if a.until.IsZero() || !now.After(a.until) {
		return nil
	}
	return &Refusal{Cause: Unjudged, Detail: "it ended on " + a.until.UTC().Format(time.DateTime) + " UTC"}
}

func (a *Authority) issuer(l *x509.RevocationList) *x509.Certificate {
	for _, c := range a.certificates {
		if bytes.Equal(c.RawSubject, l.RawIssuer) && l.CheckSignatureFrom(c) == nil {
			return c
		}
	}
	return nil
}

// name tells certificates apart: an authority's key, and the number it gave.
func name(issuer *x509.Certificate, serial *big.Int) string {
	return string(issuer.RawSubjectPublicKeyInfo) + serial.String()
}

// Pool returns the authorities. The caller must not change it.
func (a *Authority) Pool() *x509.CertPool { return a.pool }

// Certificates returns the authorities in the order of the file. The caller must not
// change it.
func (a *Authority) Certificates() []*x509.Certificate { return a.certificates }

// Judge is [Authority.Verify] at an end that is dialled: it takes nobody by a list
// that has ended.
func (a *Authority) Judge(shown []*x509.Certificate, now time.Time) error {
	if err := a.current(now); err != nil {
		return err
	}
	return a.Verify(shown, now)
}

// Verify says whether a client that has shown these certificates, its own first,
// would be taken now. The error is a [*Refusal].
func (a *Authority) Verify(shown []*x509.Certificate, now time.Time) error {
	between := x509.NewCertPool()
	for _, c := range shown[1:] {
		between.AddCert(c)
	}
	chains, err := shown[0].Verify(x509.VerifyOptions{
		Roots: a.pool, Intermediates: between, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	if err != nil {
		return explainCertificate(&tls.CertificateVerificationError{UnverifiedCertificates: shown, Err: err})
	}
	return a.check(chains)
}

// check returns a [*Refusal] when a certificate of every chain is revoked.
func (a *Authority) check(chains [][]*x509.Certificate) error {
	var refused error
	for _, chain := range chains {
		err := a.checkChain(chain)
		if err == nil {
			return nil
		}
		refused = err
	}
	return refused
}

func (a *Authority) checkChain(chain []*x509.Certificate) error {
	for i, c := range chain[:len(chain)-1] {
		if at, ok := a.revoked[name(chain[i+1], c.SerialNumber)]; ok {
			return &Refusal{Cause: Revoked, Detail: "on " + at.UTC().Format(time.DateOnly)}
		}
	}
	return nil
}

// Name returns the common name of a certificate. One with several is refused with
// a [*Refusal]: programs differ on which of them counts.
func Name(c *x509.Certificate) (string, error) {
	var all []string
	for _, n := range c.Subject.Names {
		if n.Type.String() == "2.5.4.3" {
			value, _ := n.Value.(string)
			all = append(all, value)
		}
	}
	if len(all) != 1 || all[0] != c.Subject.CommonName {
		return "", &Refusal{Cause: OtherName, Detail: fmt.Sprintf("%d common names", len(all))}
	}
	return all[0], nil
}

// Identity joins a certificate, PEM, followed by those between it and an
// authority if there are any, with its key. The key must be on P-256: it may be
// held by another chip.
func Identity(chain []byte, key crypto.Signer) (*tls.Certificate, error) {
	own := &tls.Certificate{PrivateKey: key}
	if len(chain) > MaxFile {
		return nil, fmt.Errorf("certificate: %d bytes, want at most %d", len(chain), MaxFile)
	}
	err := blocks(chain, func(kind string, der []byte) error {
		if kind != typeCertificate {
			return fmt.Errorf("PEM block of type %q, want %s", kind, typeCertificate)
		}
		if len(own.Certificate) == maxChain {
			return fmt.Errorf("a chain of more than %d", maxChain)
		}
		own.Certificate = append(own.Certificate, der)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("certificate: %w", err)
	}
	if len(own.Certificate) == 0 {
		return nil, errors.New("certificate: no PEM block")
	}
	if own.Leaf, err = x509.ParseCertificate(own.Certificate[0]); err != nil {
		return nil, fmt.Errorf("certificate: %w", err)
	}
	public, ok := key.Public().(*ecdsa.PublicKey)
	switch {
	case !ok || public.Curve.Params().Name != "P-256":
		return nil, errors.New("key: want ECDSA on P-256")
	case !public.Equal(own.Leaf.PublicKey):
		return nil, fmt.Errorf("certificate of %q: of another key than the one here", own.Leaf.Subject.CommonName)
	}
	return own, nil
}

// blocks gives the PEM blocks of a text to f. Text between them is passed over, as
// openssl writes some, but half a block is an error.
func blocks(text []byte, f func(kind string, der []byte) error) error {
	for {
		block, rest := pem.Decode(text)
		if block == nil {
			if bytes.Contains(text, []byte("-----BEGIN")) {
				return errors.New("damaged PEM block")
			}
			return nil
		}
		if skipped := text[:len(text)-len(rest)]; bytes.Count(skipped, []byte("-----BEGIN")) != 1 {
			return errors.New("damaged PEM block")
		}
		if err := f(block.Type, block.Bytes); err != nil {
			return err
		}
		text = rest
	}
}
