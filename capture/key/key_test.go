package key

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"

	"ciglio/capture/evidence"
	"ciglio/sensor"
)

func TestCreatedKeyLoads(t *testing.T) {
	path := filepath.Join(t.TempDir(), "evidence.key")
	made, err := CreateFile(path)
	if err != nil {
		t.Fatal(err)
	}
	loaded, err := LoadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !loaded.Public().Equal(made.Public()) || loaded.KeyID() != made.KeyID() || loaded.Class() != "file" {
		t.Errorf("loaded %v of class %q, made %v", loaded.KeyID(), loaded.Class(), made.KeyID())
	}
	if id, err := evidence.KeyID(made.Public()); err != nil || id != made.KeyID() {
		t.Errorf("key id %v, want %v, %v", made.KeyID(), id, err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

func TestSignaturesVerifyAndRepeat(t *testing.T) {
	k, err := CreateFile(filepath.Join(t.TempDir(), "evidence.key"))
	if err != nil {
		t.Fatal(err)
	}
	const contentType = "text/plain"
	k.forms = []string{contentType}
	for _, payload := range []string{"", "a", "b", "c", "d", "e", "f", "g"} { // half of them need s turned round
		first, err1 := evidence.SealMessage(contentType, []byte(payload), k)
		second, err2 := evidence.SealMessage(contentType, []byte(payload), k)
		if err := errors.Join(err1, err2); err != nil || string(first) != string(second) {
			t.Fatalf("%q: signed twice with two results, %v", payload, err)
		}
		m, err := evidence.OpenMessage(contentType, 1000, first)
		if err == nil {
			err = m.Verify(k.Public())
		}
		if err != nil {
			t.Errorf("%q: %v", payload, err)
		}
	}
}

func TestCreateNeverOverwrites(t *testing.T) {
	path := filepath.Join(t.TempDir(), "evidence.key")
	if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := CreateFile(path); !errors.Is(err, os.ErrExist) {
		t.Errorf("error %v, want %v", err, os.ErrExist)
	}
	if b, err := os.ReadFile(path); string(b) != "precious" {
		t.Errorf("file holds %q, %v", b, err)
	}
	if files, err := os.ReadDir(filepath.Dir(path)); len(files) != 1 || err != nil {
		t.Errorf("a key that nobody asked for is left: %v, %v", files, err)
	}
	if _, err := CreateFile(filepath.Join(t.TempDir(), "no", "folder", "evidence.key")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error %v, want %v", err, os.ErrNotExist)
	}
}

func TestLoadRefuses(t *testing.T) {
	pkcs8 := func(key any) []byte {
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	}
	p256, err1 := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	p384, err2 := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	sec1, err3 := x509.MarshalECPrivateKey(p256)
	if err := errors.Join(err1, err2, err3); err != nil {
		t.Fatal(err)
	}
	good := pkcs8(p256)
	for _, test := range []struct {
		name string
		data []byte
		mode os.FileMode
		want error
	}{
		{"a good key", good, 0o600, nil},
		{"read-only for its owner", good, 0o400, nil},
		{"the group may read it", good, 0o640, ErrExposed},
		{"the group may write it", good, 0o620, ErrExposed},
		{"the world may read it", good, 0o604, ErrExposed},
		{"another curve", pkcs8(p384), 0o600, ErrFormat},
		{"another PEM type", pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: sec1}), 0o600, ErrFormat},
		{"two keys", append(append([]byte{}, good...), good...), 0o600, ErrFormat},
		{"not PEM", []byte("key"), 0o600, ErrFormat},
		{"empty", nil, 0o600, ErrFormat},
		{"damaged", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte{0x30, 0}}), 0o600, ErrFormat},
	} {
		path := filepath.Join(t.TempDir(), "evidence.key")
		if err := os.WriteFile(path, test.data, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, test.mode); err != nil {
			t.Fatal(err)
		}
		if _, err := LoadFile(path); !errors.Is(err, test.want) || (err == nil) != (test.want == nil) {
			t.Errorf("%s: %v, want %v", test.name, err, test.want)
		}
	}
	if _, err := LoadFile(t.TempDir()); !errors.Is(err, ErrFormat) {
		t.Errorf("a folder: %v, want %v", err, ErrFormat)
	}
	if _, err := LoadFile(filepath.Join(t.TempDir(), "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v, want %v", err, os.ErrNotExist)
	}
}

func TestCertificate(t *testing.T) {
	k, err := CreateFile(filepath.Join(t.TempDir(), "evidence.key"))
	if err != nil {
		t.Fatal(err)
	}
	device := evidence.DeviceID{0xc1, 15: 1}
	from := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

	root, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "root"}, IsCA: true,
		BasicConstraintsValid: true, NotBefore: from, NotAfter: from.AddDate(20, 0, 0), KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, template, template, root.Public(), root)
	if err != nil {
		t.Fatal(err)
	}
	issuer, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}

	selfSigned, err1 := Certificate(k, device, from, 10, nil, nil)
	rootSigned, err2 := Certificate(k, device, from, 10, issuer, root)
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	for name, der := range map[string][]byte{"self-signed": selfSigned, "root-signed": rootSigned} {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		if c.Subject.CommonName != device.String() || !k.Public().Equal(c.PublicKey) || !c.NotBefore.Equal(from) ||
			!c.NotAfter.Equal(from.AddDate(10, 0, 0)) || c.IsCA {
			t.Errorf("%s: %+v", name, c.Subject)
		}
		if name == "root-signed" {
			err = c.CheckSignatureFrom(issuer)
		} else {
			err = c.CheckSignature(c.SignatureAlgorithm, c.RawTBSCertificate, c.Signature)
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, make := range map[string]func() ([]byte, error){
		"no years":                func() ([]byte, error) { return Certificate(k, device, from, 0, nil, nil) },
		"issuer without its key":  func() ([]byte, error) { return Certificate(k, device, from, 1, issuer, nil) },
		"issuer with another key": func() ([]byte, error) { return Certificate(k, device, from, 1, issuer, k.signer) },
	} {
		if _, err := make(); err == nil {
			t.Errorf("%s: was accepted", name)
		}
	}
}

// heartbeat is a record that any key may seal.
func heartbeat(class string) *evidence.Record {
	return &evidence.Record{
		Kind: evidence.KindHeartbeat, Device: evidence.DeviceID{1}, Epoch: 1, Seq: 1, Mono: 1, UTC: time.Unix(1e9, 0).UTC(),
		Clock:         sensor.ClockState{Source: "adjtimex"},
		Configuration: evidence.Statement{ID: "none"},
		Software:      evidence.Software{Version: "test"},
		Key:           evidence.KeyInfo{Class: class},
		Body:          evidence.Body{1: uint64(0), 2: uint64(0), 3: uint64(0), 4: uint64(0)},
	}
}
