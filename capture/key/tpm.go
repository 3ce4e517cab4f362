package key

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"slices"
	"syscall"
	"time"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"

	"ciglio/capture/evidence"
)

// Why a TPM does not know a key.
var (
	ErrCleared  = errors.New("the TPM was cleared: the key that it had made is lost")
	ErrOtherTPM = errors.New("this TPM did not make the key: the board, or its TPM, is another one")
	ErrNoTPM    = errors.New("no TPM 2.0")
)

// DefaultTPM is where the kernel's resource manager has the first TPM.
const DefaultTPM = "/dev/tpmrm0"

// keyTemplate is the public area of a new key: made from the TPM's own randomness,
// for signatures only, never to leave this TPM or its parent. It has no password, of
// which the device would have to keep a copy beside it, and is out of reach of the
// dictionary lockout, by which another program could silence it.
func keyTemplate() tpm2.TPMTPublic {
	return tpm2.TPMTPublic{
		Type:    tpm2.TPMAlgECC,
		NameAlg: tpm2.TPMAlgSHA256,
		ObjectAttributes: tpm2.TPMAObject{
			FixedTPM: true, FixedParent: true, SensitiveDataOrigin: true, UserWithAuth: true, NoDA: true, SignEncrypt: true,
		},
		Parameters: tpm2.NewTPMUPublicParms(tpm2.TPMAlgECC, &tpm2.TPMSECCParms{
			CurveID: tpm2.TPMECCNistP256,
			Scheme: tpm2.TPMTECCScheme{
				Scheme:  tpm2.TPMAlgECDSA,
				Details: tpm2.NewTPMUAsymScheme(tpm2.TPMAlgECDSA, &tpm2.TPMSSigSchemeECDSA{HashAlg: tpm2.TPMAlgSHA256}),
			},
		}),
		Unique: tpm2.NewTPMUPublicID(tpm2.TPMAlgECC, &tpm2.TPMSECCPoint{}),
	}
}

// A tpm is a connection to a TPM 2.0 with its primary storage key and one session
// for signatures. One goroutine may use it at a time.
type tpm struct {
	dial func(ctx context.Context) (transport.TPMCloser, error)

	conn    transport.TPMCloser // nil while there is none
	wire    *patient            // over conn
	primary tpm2.NamedHandle
	public  tpm2.TPMTPublic // of primary
	session tpm2.Session    // for signatures; nil while there is none
	loaded  map[*sealedKey]tpm2.NamedHandle
}

func newTPM(path string) *tpm {
	return &tpm{dial: func(ctx context.Context) (transport.TPMCloser, error) { return dial(ctx, path) }}
}

// connect opens the TPM and derives its primary storage key, unless it is open.
func (t *tpm) connect(ctx context.Context) error {
	if t.conn != nil {
		t.wire.ctx = ctx
		return nil
	}
	conn, err := t.dial(ctx)
	if err != nil {
		return err
	}
	t.conn, t.wire, t.loaded = conn, &patient{ctx: ctx, tpm: conn}, map[*sealedKey]tpm2.NamedHandle{}
	if s, ok := conn.(*stream); ok && s.alone {
		if err := t.tidy(); err != nil {
			return err
		}
	}
	made, err := tpm2.CreatePrimary{
		PrimaryHandle: tpm2.TPMRHOwner,
		InPublic:      tpm2.New2B(tpm2.ECCSRKTemplate),
	}.Execute(t.wire)
	if err != nil {
		return fmt.Errorf("primary storage key: %w", err)
	}
	public, err := made.OutPublic.Contents()
	if err != nil {
		return fmt.Errorf("primary storage key: %w", err)
	}
	name, err := tpm2.ObjectName(public)
	if err != nil {
		return fmt.Errorf("primary storage key: %w", err)
	}
	if _, err := publicOf(*public); err != nil {
		return fmt.Errorf("primary storage key: %w", err)
	}
	t.primary, t.public = tpm2.NamedHandle{Handle: made.ObjectHandle, Name: *name}, *public
	return nil
}

// tidy drops what a program that was killed has left in a TPM without a resource
// manager, which has room for three objects and three sessions.
func (t *tpm) tidy() error {
	for _, first := range []tpm2.TPMHT{tpm2.TPMHTTransient, tpm2.TPMHTHMACSession} {
		got, err := tpm2.GetCapability{Capability: tpm2.TPMCapHandles, Property: uint32(first) << 24, PropertyCount: 64}.Execute(t.wire)
		if err != nil {
			return err
		}
		handles, err := got.CapabilityData.Data.Handles()
		if err != nil {
			return err
		}
		for _, h := range handles.Handle {
			if _, err := (tpm2.FlushContext{FlushHandle: h}).Execute(t.wire); err != nil {
				return err
			}
		}
	}
	return nil
}

// drop forgets the connection and all that was loaded through it.
func (t *tpm) drop() error {
	if t.conn == nil {
		return nil
	}
	err := t.conn.Close()
	t.conn, t.wire, t.session, t.loaded = nil, nil, nil, nil
	return err
}

// secret returns a session whose key only the primary storage key could read, so
// that whoever sits between here and there can neither change what is said nor read
// its first parameter.
func (t *tpm) secret(direction tpm2.AuthOption) []tpm2.AuthOption {
	return []tpm2.AuthOption{tpm2.Salted(t.primary.Handle, t.public), direction}
}

var (
	encryptBoth = tpm2.AESEncryption(128, tpm2.EncryptInOut)
	encryptIn   = tpm2.AESEncryption(128, tpm2.EncryptIn)
)

const nonceSize = 16 // bytes

// once is a session for one command.
func (t *tpm) once() tpm2.Session {
	return tpm2.HMAC(tpm2.TPMAlgSHA256, nonceSize, t.secret(encryptBoth)...)
}

// create makes a key.
func (t *tpm) create(ctx context.Context) (*sealedKey, error) {
	if err := t.connect(ctx); err != nil {
		return nil, err
	}
	endorsement, err := t.endorsement()
	if err != nil {
		return nil, err
	}
	made, err := tpm2.Create{
		ParentHandle: tpm2.AuthHandle{Handle: t.primary.Handle, Name: t.primary.Name, Auth: t.once()},
		InPublic:     tpm2.New2B(keyTemplate()),
	}.Execute(t.wire)
	if err != nil {
		return nil, fmt.Errorf("new key: %w", err)
	}
	public, err := made.OutPublic.Contents()
	if err != nil {
		return nil, fmt.Errorf("new key: %w", err)
	}
	return newSealedKey(*public, t.public, made.OutPrivate, endorsement)
}

// endorsement returns the name of the TPM's endorsement key.
func (t *tpm) endorsement() (tpm2.TPM2BName, error) {
	made, err := tpm2.CreatePrimary{
		PrimaryHandle: tpm2.TPMRHEndorsement,
		InPublic:      tpm2.New2B(tpm2.ECCEKTemplate),
	}.Execute(t.wire)
	if err != nil {
		return tpm2.TPM2BName{}, fmt.Errorf("endorsement key: %w", err)
	}
	if _, err := (tpm2.FlushContext{FlushHandle: made.ObjectHandle}).Execute(t.wire); err != nil {
		return tpm2.TPM2BName{}, fmt.Errorf("endorsement key: %w", err)
	}
	return made.Name, nil
}

// load returns the key in the TPM.
func (t *tpm) load(ctx context.Context, k *sealedKey) (tpm2.NamedHandle, error) {
	if err := t.connect(ctx); err != nil {
		return tpm2.NamedHandle{}, err
	}
	if h, ok := t.loaded[k]; ok {
		return h, nil
	}
	want, err1 := tpm2.ObjectName(&k.parent)
	name, err2 := tpm2.ObjectName(&k.public)
	if err := errors.Join(err1, err2); err != nil {
		return tpm2.NamedHandle{}, err
	}
	if !bytes.Equal(want.Buffer, t.primary.Name.Buffer) {
		endorsement, err := t.endorsement()
		switch {
		case err != nil:
			return tpm2.NamedHandle{}, err
		case bytes.Equal(endorsement.Buffer, k.endorsement.Buffer):
			return tpm2.NamedHandle{}, ErrCleared
		}
		return tpm2.NamedHandle{}, ErrOtherTPM
	}
	loaded, err := tpm2.Load{
		ParentHandle: tpm2.AuthHandle{Handle: t.primary.Handle, Name: t.primary.Name, Auth: t.once()},
		InPrivate:    k.private,
		InPublic:     tpm2.New2B(k.public),
	}.Execute(t.wire)
	if err != nil {
		return tpm2.NamedHandle{}, fmt.Errorf("load the key: %w", err)
	}
	if !bytes.Equal(loaded.Name.Buffer, name.Buffer) {
		return tpm2.NamedHandle{}, errors.New("load the key: the TPM names another one")
	}
	h := tpm2.NamedHandle{Handle: loaded.ObjectHandle, Name: *name}
	t.loaded[k] = h
	return h, nil
}

// sign signs a SHA-256 with a key, which it loads when it is not.
func (t *tpm) sign(ctx context.Context, k *sealedKey, digest evidence.Hash) ([]byte, error) {
	h, err := t.load(ctx, k)
	if err != nil {
		return nil, err
	}
	if t.session == nil {
		if t.session, _, err = tpm2.HMACSession(t.wire, tpm2.TPMAlgSHA256, nonceSize, t.secret(encryptIn)...); err != nil {
			return nil, fmt.Errorf("session: %w", err)
		}
	}
	made, err := tpm2.Sign{
		KeyHandle:  tpm2.AuthHandle{Handle: h.Handle, Name: h.Name, Auth: t.session},
		Digest:     tpm2.TPM2BDigest{Buffer: digest[:]},
		InScheme:   tpm2.TPMTSigScheme{Scheme: tpm2.TPMAlgECDSA, Details: tpm2.NewTPMUSigScheme(tpm2.TPMAlgECDSA, &tpm2.TPMSSchemeHash{HashAlg: tpm2.TPMAlgSHA256})},
		Validation: tpm2.TPMTTKHashCheck{Tag: tpm2.TPMSTHashCheck, Hierarchy: tpm2.TPMRHNull},
	}.Execute(t.wire)
	if err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	rs, err := made.Signature.Signature.ECDSA()
	if err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	return encodeSignature(new(big.Int).SetBytes(rs.SignatureR.Buffer), new(big.Int).SetBytes(rs.SignatureS.Buffer))
}

// A tpmHolder is one key of a TPM.
type tpmHolder struct {
	tpm *tpm
	key *sealedKey
}

func (h *tpmHolder) public() *ecdsa.PublicKey { return h.key.key }
func (h *tpmHolder) class() string            { return ClassTPM }

// open loads the key, so that a TPM that does not know it is found at once.
func (h *tpmHolder) open(ctx context.Context) error {
	_, err := h.tpm.load(ctx, h.key)
	if err != nil {
		err = errors.Join(err, h.tpm.drop())
	}
	return err
}

// sign signs. A TPM that was reset, or whose emulator began anew, has forgotten
// what was loaded: after a failure all is loaded again, once.
func (h *tpmHolder) sign(ctx context.Context, digest evidence.Hash) ([]byte, error) {
	known := h.tpm.conn != nil
	der, err := h.tpm.sign(ctx, h.key, digest)
	if err == nil {
		return der, nil
	}
	h.tpm.drop()
	if known && ctx.Err() == nil {
		if der, err = h.tpm.sign(ctx, h.key, digest); err == nil {
			return der, nil
		}
		h.tpm.drop()
	}
	return nil, err
}

// patient repeats a command for as long as the TPM asks for it, ever more slowly,
// until ctx ends. A command that was answered so has had no effect.
type patient struct {
	ctx context.Context
	tpm transport.TPM
}

// The first and the longest pause before a command is repeated.
const (
	firstPause   = 2 * time.Millisecond
	longestPause = 500 * time.Millisecond
)

// later are the answers of a TPM that is only not ready.
var later = []tpm2.TPMRC{tpm2.TPMRCRetry, tpm2.TPMRCYielded, tpm2.TPMRCTesting, tpm2.TPMRCLockout}

func (p *patient) Send(command []byte) ([]byte, error) {
	for pause := firstPause; ; pause = min(2*pause, longestPause) {
		if err := p.ctx.Err(); err != nil {
			return nil, err
		}
		response, err := p.send(command)
		if err != nil {
			return nil, err
		}
		if len(response) < 10 {
			return nil, fmt.Errorf("TPM: answer of %d bytes", len(response))
		}
		code := tpm2.TPMRC(binary.BigEndian.Uint32(response[6:]))
		if !slices.Contains(later, code) {
			return response, nil
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-p.ctx.Done():
			timer.Stop()
			return nil, fmt.Errorf("TPM is not ready: %w", code)
		}
	}
}

func (p *patient) send(command []byte) ([]byte, error) {
	if s, ok := p.tpm.(*stream); ok {
		if end, ok := p.ctx.Deadline(); ok && s.deadline != nil {
			if err := s.deadline(end); err != nil {
				return nil, err
			}
		}
	}
	return p.tpm.Send(command)
}

// A stream is a TPM behind a device file or a socket.
type stream struct {
	io.ReadWriteCloser
	alone    bool                  // no other program uses it, and nothing tidies up behind us
	deadline func(time.Time) error // nil where there is none
}

// maxResponse is the longest answer of a TPM, in bytes, as the kernel has it.
const maxResponse = 4096

func (s *stream) Send(command []byte) ([]byte, error) {
	if _, err := s.Write(command); err != nil {
		return nil, err
	}
	// A device gives its answer in one piece, a socket perhaps not.
	b := make([]byte, maxResponse)
	for n := 0; ; {
		m, err := s.Read(b[n:])
		n += m
		if n >= 6 {
			if length := int(binary.BigEndian.Uint32(b[2:])); length > len(b) || n > length {
				return nil, fmt.Errorf("TPM: answer of %d bytes, %d of them announced", n, length)
			} else if n == length {
				return b[:n], nil
			}
		}
		switch {
		case err != nil:
			return nil, err
		case m == 0:
			return nil, io.ErrUnexpectedEOF
		}
	}
}

// dial opens the TPM at path.
func dial(ctx context.Context, path string) (transport.TPMCloser, error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil, fmt.Errorf("%w: %s is not there", ErrNoTPM, path)
	case err != nil:
		return nil, err
	case info.Mode()&os.ModeSocket != 0:
		conn, err := new(net.Dialer).DialContext(ctx, "unix", path)
		if err != nil {
			return nil, err
		}
		return &stream{conn, true, conn.SetDeadline}, nil
	case info.Mode()&os.ModeCharDevice == 0:
		return nil, fmt.Errorf("%w: %s is neither a device nor a socket", ErrNoTPM, path)
	}
	// Not by os.OpenFile, which would make the file one that does not wait: the
	// kernel then answers a read with nothing until the TPM has answered.
	fd, err := syscall.Open(path, syscall.O_RDWR|syscall.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	return &stream{os.NewFile(uintptr(fd), path), false, nil}, nil
}
