package log

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"filippo.io/torchwood"
	"golang.org/x/mod/sumdb/note"

	"ciglio/internal/durable"
)

// A Key signs the checkpoints of a log: Ed25519, written as golang.org/x/mod/sumdb/note
// writes its keys. Its name is the log's origin. It is safe for concurrent use.
type Key struct {
	note.Signer
	verifier string
}

const ed25519Key = 1 // the algorithm in a key of package note

// ErrExposed is wrapped by the error of [OpenKey] when others than the owner may read
// the file.
var ErrExposed = errors.New("others may read it")

// OpenKey reads a log's key file, or makes it for an origin when there is none. The file,
// of mode 0600, decides the origin from then on.
func OpenKey(path, origin string) (*Key, error) {
	skey, private, err := openKey(path, origin)
	if err != nil {
		return nil, err
	}
	signer, err := note.NewSigner(skey)
	if err != nil {
		return nil, err
	}
	public, _ := private.Public().(ed25519.PublicKey)
	verifier, err := note.NewEd25519VerifierKey(signer.Name(), public)
	if err != nil {
		return nil, err
	}
	return &Key{Signer: signer, verifier: verifier}, nil
}

// OpenWitnessKey reads or makes a key file as [OpenKey] does, and returns it as that of a
// witness: https://c2sp.org/tlog-cosignature.
func OpenWitnessKey(path, name string) (*torchwood.CosignatureSigner, error) {
	skey, private, err := openKey(path, name)
	if err != nil {
		return nil, err
	}
	return torchwood.NewCosignatureSigner(strings.Split(skey, "+")[2], private)
}

func openKey(path, name string) (skey string, private ed25519.PrivateKey, err error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		skey, _, err := note.GenerateKey(rand.Reader, name)
		if err != nil {
			return "", nil, err
		}
		// Another process may have made it meanwhile: then it is that one.
		if err := durable.Create(path, []byte(skey+"\n")); err != nil && !errors.Is(err, fs.ErrExist) {
			return "", nil, err
		}
	case err != nil:
		return "", nil, err
	case info.Mode().Perm()&0o077 != 0:
		return "", nil, fmt.Errorf("key %s: %w (mode %04o, want 0600)", path, ErrExposed, info.Mode().Perm())
	}
	text, err := durable.ReadAtMost(path, 1<<10)
	if err != nil {
		return "", nil, err
	}
	skey = strings.TrimSpace(string(text))
	if _, err := note.NewSigner(skey); err != nil {
		return "", nil, fmt.Errorf("key %s: %w", path, err)
	}
	// PRIVATE+KEY+name+hash+key: base64 may hold a plus itself.
	seed, err := base64.StdEncoding.DecodeString(strings.SplitN(skey, "+", 5)[4])
	if err != nil || len(seed) != 1+ed25519.SeedSize || seed[0] != ed25519Key {
		return "", nil, fmt.Errorf("key %s: not a private key of Ed25519", path)
	}
	return skey, ed25519.NewKeyFromSeed(seed[1:]), nil
}

// Verifier returns the public key as others write it down: name+hash+key.
func (k *Key) Verifier() string { return k.verifier }

// sign returns a checkpoint of a tree.
func (k *Key) sign(tree torchwood.Checkpoint) ([]byte, error) {
	return note.Sign(&note.Note{Text: tree.String()}, k)
}

// Signed is the policy of a checkpoint that the log of a key has signed, whose name is its
// origin.
func Signed(v note.Verifier) torchwood.Policy {
	return torchwood.ThresholdPolicy(2, torchwood.SingleVerifierPolicy(v), torchwood.OriginPolicy(v.Name()))
}
