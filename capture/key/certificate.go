package key

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"time"

	"ciglio/capture/evidence"
)

// Certificate returns an X.509 certificate, DER, for the evidence key of a
// device. Its common name is the device's id in hexadecimal; it is valid from
// notBefore for the given number of years. With a nil issuer the key signs it
// itself; otherwise root, whose certificate issuer is, does.
//
// The key's own signature under it is the one that is no message of package
// evidence; what is signed is made here, from the key and the id alone, and a
// certificate, which begins with 0x30, is never taken for a message, which begins
// with 0x84.
//
// The certificate is for people and their tools. Verification takes keys from
// the device register, never from a certificate.
func Certificate(k *Key, device evidence.DeviceID, notBefore time.Time, years int, issuer *x509.Certificate, root crypto.Signer) ([]byte, error) {
	if years < 1 || years > 50 {
		return nil, fmt.Errorf("certificate of device %v: %d years, want 1 to 50", device, years)
	}
	if (issuer == nil) != (root == nil) {
		return nil, fmt.Errorf("certificate of device %v: issuer and root key belong together", device)
	}
	notBefore = notBefore.UTC().Truncate(time.Second)
	template := &x509.Certificate{
		Subject:               pkix.Name{CommonName: device.String()},
		NotBefore:             notBefore,
		NotAfter:              notBefore.AddDate(years, 0, 0),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		BasicConstraintsValid: true,
	}
	if issuer == nil {
		issuer, root = template, k.signer
	} else if pub, ok := root.Public().(*ecdsa.PublicKey); !ok || !pub.Equal(issuer.PublicKey) {
		return nil, errors.New("certificate: the root key is not the one of the issuer's certificate")
	}
	der, err := x509.CreateCertificate(rand.Reader, template, issuer, k.Public(), root)
	if err != nil {
		return nil, fmt.Errorf("certificate of device %v: %w", device, err)
	}
	return der, nil
}
