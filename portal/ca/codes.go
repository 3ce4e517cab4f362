package ca

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"ciglio/capture/evidence"
	"ciglio/internal/durable"
)

// Limits of a one-time code.
const (
	CodeLife = 48 * time.Hour

	codeLength = 12 // characters of 5 bits each: one of 2^60
	codesName  = "codes"
)

// alphabet has no characters that are taken for each other.
const alphabet = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"

// ErrCode says that a code is not the device's, or counts no more. Which of the
// two nobody is told.
var ErrCode = errors.New("the one-time code does not count")

// A code is what is known of a device's one-time code.
type code struct {
	Hash    string    `json:"hash"` // SHA-256 of the device's id and the code, hexadecimal
	Expires time.Time `json:"expires"`
	// Key is the SHA-256 of the key that the code was used for. The same key may use
	// it again: the answer may have been lost.
	Key string `json:"key,omitempty"`
}

// NewCode makes the one-time code of a device, in the place of one that was there,
// and returns it as it is typed. It is not kept: only its hash is.
func (c *CA) NewCode(device evidence.DeviceID, now time.Time) (string, error) {
	b := make([]byte, codeLength)
	if _, err := rand.Read(b); err != nil {
		return "", err
	}
	for i := range b {
		b[i] = alphabet[b[i]%32]
	}
	text := string(b)
	err := c.locked(func() error {
		return c.writeCode(device, &code{Hash: hashCode(device, text), Expires: now.Add(CodeLife).UTC().Truncate(time.Second)})
	})
	return text[:4] + "-" + text[4:8] + "-" + text[8:], err
}

// CheckCode says whether a code is a device's. Only [CA.Enrol] uses it. The error is
// [ErrCode], or says that the folder failed. A wrong one changes nothing, or whoever
// knows a device's id could use up its code: how fast codes may be tried is the
// caller's to bound.
func (c *CA) CheckCode(device evidence.DeviceID, text string, now time.Time) error {
	return c.locked(func() error {
		_, err := c.check(device, text, now)
		return err
	})
}

// Enrol issues a certificate for the TLS key of a device that has brought its code.
// The code is used, on disk, before there is a certificate; from then on it counts
// for this key alone. Both are one act: no [CA.Revoke] comes between them. The error
// is [ErrCode], wraps [ErrRequest], or says that the folder failed.
func (c *CA) Enrol(device evidence.DeviceID, text string, public *ecdsa.PublicKey, now time.Time) (certificate *x509.Certificate, err error) {
	spki, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(spki)
	key := hex.EncodeToString(sum[:])
	err = c.locked(func() error {
		k, err := c.check(device, text, now)
		if err != nil {
			return err
		}
		if k.Key != "" && k.Key != key {
			return ErrCode
		}
		s, err := c.readWithKey()
		if err != nil {
			return err
		}
		k.Key = key
		if err := c.writeCode(device, k); err != nil {
			return err
		}
		certificate, err = c.device(s, device, public, now)
		return err
	})
	return certificate, err
}

func (c *CA) check(device evidence.DeviceID, text string, now time.Time) (*code, error) {
	k := new(code)
	b, err := os.ReadFile(c.codePath(device))
	if err == nil {
		err = json.Unmarshal(b, k)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrCode
	}
	if err != nil {
		return nil, fmt.Errorf("code of device %v: %w", device, err)
	}
	if !now.Before(k.Expires) || now.Before(k.Expires.Add(-CodeLife-backdated)) {
		return nil, ErrCode // from the future is of a clock that was wrong
	}
	if subtle.ConstantTimeCompare([]byte(hashCode(device, text)), []byte(k.Hash)) != 1 {
		return nil, ErrCode
	}
	return k, nil
}

// hashCode takes a code as it may have been typed.
func hashCode(device evidence.DeviceID, text string) string {
	text = strings.ToUpper(strings.NewReplacer("-", "", " ", "").Replace(text))
	sum := sha256.Sum256(append(device[:], text...))
	return hex.EncodeToString(sum[:])
}

func (c *CA) codePath(device evidence.DeviceID) string {
	return c.path(filepath.Join(codesName, device.String()+".json"))
}

// dropCode forgets a device's code, if it has one.
func (c *CA) dropCode(device evidence.DeviceID) error {
	err := os.Remove(c.codePath(device))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return durable.SyncFolder(c.path(codesName))
}

func (c *CA) writeCode(device evidence.DeviceID, k *code) error {
	b, err := json.Marshal(k)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(c.path(codesName), 0o700); err != nil {
		return err
	}
	return durable.WriteFile(c.codePath(device), b, 0o600)
}
