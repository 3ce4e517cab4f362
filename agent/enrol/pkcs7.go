package enrol

import (
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
)

// maxCertificates bounds what one answer holds.
const maxCertificates = 16

var (
	signedData = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 2}
	data       = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 1}
)

// certsOnly is the degenerate SignedData of RFC 5652 section 5 that RFC 7030 answers
// with: certificates, and nothing that is signed.
type certsOnly struct {
	Type    asn1.ObjectIdentifier
	Content struct {
		Version      int
		Digests      asn1.RawValue
		Encapsulated struct {
			Type    asn1.ObjectIdentifier
			Content asn1.RawValue `asn1:"optional,explicit,tag:0"`
		}
		Certificates asn1.RawValue `asn1:"optional,tag:0"`
		Lists        asn1.RawValue `asn1:"optional,tag:1"`
		Signers      asn1.RawValue
	} `asn1:"explicit,tag:0"`
}

// parseCertificates reads a certs-only PKCS #7, DER.
func parseCertificates(der []byte) ([]*x509.Certificate, error) {
	var p certsOnly
	rest, err := asn1.Unmarshal(der, &p)
	c := &p.Content
	switch {
	case err != nil:
		return nil, fmt.Errorf("PKCS #7: %w", err)
	case len(rest) > 0:
		return nil, errors.New("PKCS #7: more behind its end")
	case !p.Type.Equal(signedData) || !c.Encapsulated.Type.Equal(data):
		return nil, errors.New("PKCS #7: not signed data of nothing")
	case c.Digests.Tag != asn1.TagSet || len(c.Digests.Bytes) > 0 || c.Signers.Tag != asn1.TagSet || len(c.Signers.Bytes) > 0 || len(c.Encapsulated.Content.FullBytes) > 0:
		return nil, errors.New("PKCS #7: holds more than certificates")
	}
	all, err := x509.ParseCertificates(c.Certificates.Bytes)
	if err != nil {
		return nil, fmt.Errorf("PKCS #7: %w", err)
	}
	if len(all) == 0 || len(all) > maxCertificates {
		return nil, fmt.Errorf("PKCS #7: %d certificates, want 1 to %d", len(all), maxCertificates)
	}
	return all, nil
}
