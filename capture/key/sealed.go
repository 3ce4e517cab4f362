package key

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"

	"github.com/google/go-tpm/tpm2"
)

// The two PEM blocks in the file of a key that a TPM holds. The first is the one of
// the TSS (TPM key files, draft-bottomley-tpm2-keys): what the TPM gave out when it
// made the key, which only that TPM can load. The second names the TPM.
const (
	pemSealed = "TSS2 PRIVATE KEY"
	pemTPM    = "CIGLIO TPM"
)

// A sealedKey is what a TPM gave out of a key that it made.
type sealedKey struct {
	public  tpm2.TPMTPublic
	private tpm2.TPM2BPrivate
	// The storage key above it, whose public half proves in every session that this
	// is the TPM which made the key; and the name of the TPM's endorsement key, which
	// a cleared TPM still has.
	parent      tpm2.TPMTPublic
	endorsement tpm2.TPM2BName

	key *ecdsa.PublicKey // of public
}

// loadable is id-loadablekey.
var loadable = asn1.ObjectIdentifier{2, 23, 133, 10, 1, 3}

// tssKey is TPMKey, of a key without authorisation whose parent is the primary
// storage key that the owner hierarchy has by its usual template.
type tssKey struct {
	Type      asn1.ObjectIdentifier
	EmptyAuth bool `asn1:"explicit,tag:0"`
	Parent    int64
	Public    []byte // TPM2B_PUBLIC
	Private   []byte // TPM2B_PRIVATE
}

// madeIn is the content of the second block.
type madeIn struct {
	Parent      []byte // TPMT_PUBLIC
	Endorsement []byte
}

// newSealedKey checks that a key is one of the kind that [keyTemplate] asks for: it
// was made in the TPM, can leave neither it nor its parent, and signs.
func newSealedKey(public, parent tpm2.TPMTPublic, private tpm2.TPM2BPrivate, endorsement tpm2.TPM2BName) (*sealedKey, error) {
	pub, err := publicOf(public)
	if err != nil {
		return nil, err
	}
	if got, want := public.ObjectAttributes, keyTemplate().ObjectAttributes; got != want {
		return nil, fmt.Errorf("%w: made with attributes %+v, want %+v", ErrFormat, got, want)
	}
	if _, err := publicOf(parent); err != nil {
		return nil, err
	}
	if len(private.Buffer) == 0 || len(endorsement.Buffer) == 0 {
		return nil, fmt.Errorf("%w: a part of it is empty", ErrFormat)
	}
	return &sealedKey{public, private, parent, endorsement, pub}, nil
}

// publicOf returns the key of a public area on P-256.
func publicOf(p tpm2.TPMTPublic) (*ecdsa.PublicKey, error) {
	if p.Type != tpm2.TPMAlgECC || p.NameAlg != tpm2.TPMAlgSHA256 {
		return nil, fmt.Errorf("%w: not an elliptic key with names by SHA-256", ErrFormat)
	}
	parameters, err1 := p.Parameters.ECCDetail()
	point, err2 := p.Unique.ECC()
	if err := errors.Join(err1, err2); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	if parameters.CurveID != tpm2.TPMECCNistP256 || len(point.X.Buffer) > 32 || len(point.Y.Buffer) > 32 {
		return nil, fmt.Errorf("%w: not on P-256", ErrFormat)
	}
	uncompressed := make([]byte, 65)
	uncompressed[0] = 4
	copy(uncompressed[33-len(point.X.Buffer):33], point.X.Buffer)
	copy(uncompressed[65-len(point.Y.Buffer):], point.Y.Buffer)
	pub, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), uncompressed)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	return pub, nil
}

// encode returns the key's file.
func (k *sealedKey) encode() []byte {
	key, err1 := asn1.Marshal(tssKey{loadable, true, int64(tpm2.TPMRHOwner), tpm2.Marshal(tpm2.New2B(k.public)), tpm2.Marshal(k.private)})
	where, err2 := asn1.Marshal(madeIn{tpm2.Marshal(k.parent), k.endorsement.Buffer})
	if err := errors.Join(err1, err2); err != nil {
		panic("key: " + err.Error()) // structures of bytes and numbers
	}
	return append(pem.EncodeToMemory(&pem.Block{Type: pemSealed, Bytes: key}),
		pem.EncodeToMemory(&pem.Block{Type: pemTPM, Bytes: where})...)
}

// parseSealed reads what encode wrote, and no other spelling.
func parseSealed(text []byte) (*sealedKey, error) {
	first, rest := pem.Decode(text)
	second, _ := pem.Decode(rest)
	if first == nil || second == nil || second.Type != pemTPM {
		return nil, fmt.Errorf("%w: want a block %q and a block %q", ErrFormat, pemSealed, pemTPM)
	}
	var key tssKey
	var where madeIn
	_, err1 := asn1.Unmarshal(first.Bytes, &key)
	_, err2 := asn1.Unmarshal(second.Bytes, &where)
	if err := errors.Join(err1, err2); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	public2B, err1 := tpm2.Unmarshal[tpm2.TPM2BPublic](key.Public)
	private, err2 := tpm2.Unmarshal[tpm2.TPM2BPrivate](key.Private)
	parent, err3 := tpm2.Unmarshal[tpm2.TPMTPublic](where.Parent)
	if err := errors.Join(err1, err2, err3); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	public, err := public2B.Contents()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	k, err := newSealedKey(*public, *parent, *private, tpm2.TPM2BName{Buffer: where.Endorsement})
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(k.encode(), text) {
		return nil, fmt.Errorf("%w: not spelled as it was written", ErrFormat)
	}
	return k, nil
}
