// Package key holds the two keys of a device, both on P-256 and both made on the
// device: the evidence key, which seals its records, and the TLS key, by which the
// centre knows who connects. They are kept in a TPM 2.0 or in a sealed file, one
// readable by its owner alone, and each file says which.
//
// A key never leaves what holds it and is never replaced in place: [Create]
// refuses to overwrite. The evidence key signs what the encoder of package evidence
// has encoded, of the content types that its opener names, and the certificate that
// says which key it is: there is no door for anything else. The TLS key signs the
// digests of handshakes and certificate requests, and no record verifies with it.
//
// One signature is in work at a time; others wait. Each ends within the limit of
// [Options], verifies, and has its s in the lower half: one that does not is an
// error of the key, and is never given away.
//
// Keys and what they hand out are safe for concurrent use.
package key

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/big"
	"os"
	"slices"
	"time"

	"ciglio/capture/evidence"
	"ciglio/internal/durable"
)

// What a key refuses, and why there is none.
var (
	ErrExposed   = errors.New("others than its owner may read or write it")
	ErrFormat    = errors.New("neither a P-256 private key in PKCS #8 PEM nor a key of a TPM")
	ErrTime      = errors.New("no signature in time")
	ErrForm      = errors.New("the evidence key does not sign this form")
	ErrSignature = errors.New("made a signature that does not verify")
)

// The classes of what holds a key, as records state them.
const (
	ClassFile = "file"
	ClassTPM  = "tpm2"
)

// Options say where the keys of a device are.
type Options struct {
	Evidence string // file of the evidence key
	TLS      string // file of the TLS key
	// TPM is the device file of a TPM 2.0 behind the kernel's resource manager, such
	// as /dev/tpmrm0, or the Unix socket of one that no other program uses. Keys of a
	// TPM are opened in it, new keys made in it. When it is empty keys are made in
	// files.
	TPM string
	// Forms are the content types, besides that of records, of what the evidence key
	// signs.
	Forms []string
	// Limit is how long a signature may take, with the wait for those before it. Zero
	// means 10 s.
	Limit time.Duration
}

const usualLimit = 10 * time.Second

// Keys are the two keys of a device.
type Keys struct {
	evidence *Key
	tls      *TLS
	queue    *queue
	tpm      *tpm // nil when both are files
}

// Open opens both keys and signs with neither. The error wraps [os.ErrNotExist]
// when a file is missing, [ErrExposed] and [ErrFormat] when one is not as [Create]
// wrote it, and [ErrCleared] or [ErrOtherTPM] when the TPM does not know the key.
func Open(ctx context.Context, o Options) (*Keys, error) {
	k := &Keys{queue: newQueue(o.Limit)}
	e, err := k.load(ctx, o.TPM, o.Evidence)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("evidence key %s: %w", o.Evidence, err), k.Close())
	}
	t, err := k.load(ctx, o.TPM, o.TLS)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("TLS key %s: %w", o.TLS, err), k.Close())
	}
	if e.public().Equal(t.public()) {
		return nil, errors.Join(fmt.Errorf("TLS key %s: the evidence key, which signs nothing but evidence", o.TLS), k.Close())
	}
	if k.evidence, err = newKey(e, k.queue, o.Forms); err != nil {
		return nil, errors.Join(err, k.Close())
	}
	k.tls = &TLS{signer{e: t, q: k.queue}}
	return k, nil
}

// Probe opens one key, to see whether what holds it knows it. Its errors are those of
// [Open].
func Probe(ctx context.Context, tpmPath, path string) error {
	k := &Keys{queue: newQueue(0)}
	_, err := k.load(ctx, tpmPath, path)
	return errors.Join(err, k.Close())
}

// load opens the holder of one key file.
func (k *Keys) load(ctx context.Context, tpmPath, path string) (holder, error) {
	c, err := read(path)
	if err != nil {
		return nil, err
	}
	if c.private != nil {
		return fileHolder{c.private}, nil
	}
	if tpmPath == "" {
		return nil, errors.New("made in a TPM, and none is configured")
	}
	if k.tpm == nil {
		k.tpm = newTPM(tpmPath)
	}
	h := &tpmHolder{tpm: k.tpm, key: c.sealed}
	return h, k.queue.do(ctx, h.open)
}

// create makes one new key, in the TPM at tpmPath or, when that is empty, in the
// file itself, and writes its file, readable for its owner only. File and folder are
// synced when it returns. A file that exists is never touched: the error then wraps
// [os.ErrExist].
func create(ctx context.Context, tpmPath, path string) error {
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		return errors.Join(os.ErrExist, err)
	}
	if tpmPath == "" {
		return createFile(path)
	}
	t, q := newTPM(tpmPath), newQueue(0)
	var text []byte
	if err := q.do(ctx, func(ctx context.Context) error {
		made, err := t.create(ctx)
		if err := errors.Join(err, t.drop()); err != nil {
			return err
		}
		text = made.encode()
		return nil
	}); err != nil {
		return err
	}
	return durable.Create(path, text)
}

// Create makes those of the two keys whose file is missing, in the TPM of o or,
// without one, in files, each readable for its owner only. File and folder are
// synced when it returns. A file that exists is never touched.
func Create(ctx context.Context, o Options) error {
	for _, k := range []struct{ what, path string }{{"evidence", o.Evidence}, {"TLS", o.TLS}} {
		if err := create(ctx, o.TPM, k.path); err != nil && !errors.Is(err, os.ErrExist) {
			return fmt.Errorf("%s key %s: %w", k.what, k.path, err)
		}
	}
	return nil
}

// Evidence returns the evidence key.
func (k *Keys) Evidence() *Key { return k.evidence }

// TLS returns the TLS key.
func (k *Keys) TLS() *TLS { return k.tls }

// Close waits for the signature in work, within the limit, and releases the TPM.
func (k *Keys) Close() error {
	if k.tpm == nil {
		return nil
	}
	return k.queue.do(context.Background(), func(context.Context) error { return k.tpm.drop() })
}

// A holder keeps one private key. Its methods are called one at a time, but for
// public and class.
type holder interface {
	public() *ecdsa.PublicKey
	class() string
	// sign returns a signature over a SHA-256, r and s in ASN.1, whatever half s
	// lies in. It should end soon after ctx does.
	sign(ctx context.Context, digest evidence.Hash) (der []byte, err error)
}

// A queue lets one at a time use what holds the keys.
type queue struct {
	busy  chan struct{} // holds one while somebody is in
	limit time.Duration
}

func newQueue(limit time.Duration) *queue {
	if limit == 0 {
		limit = usualLimit
	}
	return &queue{make(chan struct{}, 1), limit}
}

// do runs use when all before it are done. What does not end in time is left alone:
// it keeps its place until it ends, and nobody sees its result.
func (q *queue) do(ctx context.Context, use func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, q.limit)
	select {
	case q.busy <- struct{}{}:
	case <-ctx.Done():
		cancel()
		return fmt.Errorf("%w: waited %v for the one before", ErrTime, q.limit)
	}
	done := make(chan error, 1)
	go func() {
		defer func() { <-q.busy; cancel() }()
		done <- use(ctx)
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		select {
		case err := <-done: // both at once
			return err
		default:
			return fmt.Errorf("%w: no answer for %v", ErrTime, q.limit)
		}
	}
}

// A signer makes signatures that are checked and in their low-s form.
type signer struct {
	e holder
	q *queue
}

func (s signer) sign(digest evidence.Hash) (r, v *big.Int, err error) {
	var der []byte // written before do returns nil, and read only then
	err = s.q.do(context.Background(), func(ctx context.Context) (err error) {
		der, err = s.e.sign(ctx, digest)
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	if r, v, err = parseSignature(der); err != nil {
		return nil, nil, err
	}
	if n := elliptic.P256().Params().N; v.Cmp(new(big.Int).Rsh(n, 1)) > 0 {
		v.Sub(n, v)
	}
	if !ecdsa.Verify(s.e.public(), digest[:], r, v) {
		return nil, nil, ErrSignature
	}
	return r, v, nil
}

// Sign implements [crypto.Signer] for SHA-256 digests. The certificate of the
// evidence key is signed through it, and for the TLS key everything.
func (s signer) Sign(_ io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	if opts == nil || opts.HashFunc() != crypto.SHA256 || len(digest) != crypto.SHA256.Size() {
		return nil, errors.New("want a SHA-256 to sign")
	}
	r, v, err := s.sign(evidence.Hash(digest))
	if err != nil {
		return nil, err
	}
	return encodeSignature(r, v)
}

// Public implements [crypto.Signer].
func (s signer) Public() crypto.PublicKey { return s.e.public() }

// A Key is an evidence key. It implements [evidence.Signer].
type Key struct {
	signer signer
	id     evidence.Hash
	forms  []string
}

func newKey(h holder, q *queue, forms []string) (*Key, error) {
	id, err := evidence.KeyID(h.public())
	return &Key{signer{h, q}, id, slices.Clone(forms)}, err
}

// Class says what holds the key, as records state it: "file" or "tpm2".
func (k *Key) Class() string { return k.signer.e.class() }

// Public returns the public half.
func (k *Key) Public() *ecdsa.PublicKey { return k.signer.e.public() }

// KeyID implements [evidence.Signer].
func (k *Key) KeyID() evidence.Hash { return k.id }

// Sign implements [evidence.Signer]. The error wraps [ErrForm] for a message of a
// content type that the key does not sign, [ErrTime] when what holds the key did
// not answer in time, and [ErrSignature] when it answered wrongly.
func (k *Key) Sign(m evidence.ToBeSigned) (sig [64]byte, err error) {
	if t := m.ContentType(); t != evidence.ContentTypeRecord && !slices.Contains(k.forms, t) {
		return sig, fmt.Errorf("evidence key %v: %w: %q", k.id, ErrForm, t)
	}
	r, s, err := k.signer.sign(m.Digest())
	if err != nil {
		return sig, fmt.Errorf("evidence key %v: %w", k.id, err)
	}
	r.FillBytes(sig[:32])
	s.FillBytes(sig[32:])
	return sig, nil
}

// TLS is a TLS key. It implements [crypto.Signer] for SHA-256 digests, which is
// what TLS 1.3 and certificate requests ask of a key on P-256.
type TLS struct{ signer }

var _ crypto.Signer = (*TLS)(nil)

// Sign implements [crypto.Signer]. It does not use rand.
func (t *TLS) Sign(rand io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	der, err := t.signer.Sign(rand, digest, opts)
	if err != nil {
		return nil, fmt.Errorf("TLS key: %w", err)
	}
	return der, nil
}

// Class says what holds the key: "file" or "tpm2".
func (t *TLS) Class() string { return t.e.class() }

// SPKI returns the SubjectPublicKeyInfo of the key, DER.
func (t *TLS) SPKI() []byte {
	der, err := x509.MarshalPKIXPublicKey(t.e.public())
	if err != nil {
		panic("key: " + err.Error()) // a key is always on P-256
	}
	return der
}
