package keys

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"ciglio/capture/evidence"
)

func TestKeyFileComesBack(t *testing.T) {
	k, err := Generate()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "key")
	if err := k.Create(path); err != nil {
		t.Fatal(err)
	}
	if err := k.Create(path); !errors.Is(err, os.ErrExist) {
		t.Errorf("a key file was replaced: %v", err)
	}
	again, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if again.KeyID() != k.KeyID() || !bytes.Equal(again.SPKI(), k.SPKI()) {
		t.Error("another key came back")
	}
	a, err := evidence.SealMessage("text/plain", []byte("same"), k)
	if err != nil {
		t.Fatal(err)
	}
	b, err := evidence.SealMessage("text/plain", []byte("same"), again)
	if err != nil || !bytes.Equal(a, b) {
		t.Errorf("the same bytes signed twice differ: %v", err)
	}
	m, err := evidence.OpenMessage("text/plain", 1000, a)
	if err != nil || m.Verify(k.Public()) != nil {
		t.Errorf("signature: %v", err)
	}
}

func TestBadKeyFilesAreRefused(t *testing.T) {
	k, err := Generate()
	if err != nil {
		t.Fatal(err)
	}
	good := filepath.Join(t.TempDir(), "good")
	if err := k.Create(good); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		name string
		text []byte
		mode os.FileMode
		want error
	}{
		{"readable by the group", text, 0o640, ErrExposed},
		{"readable by all", text, 0o604, ErrExposed},
		{"empty", nil, 0o600, nil},
		{"two keys", append(bytes.Clone(text), text...), 0o600, nil},
		{"cut short", text[:len(text)/2], 0o600, nil},
		{"not a key", []byte("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"), 0o600, nil},
	} {
		path := filepath.Join(t.TempDir(), "key")
		if err := os.WriteFile(path, row.text, row.mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, row.mode); err != nil {
			t.Fatal(err)
		}
		if _, err := Load(path); err == nil || row.want != nil && !errors.Is(err, row.want) {
			t.Errorf("%s: %v", row.name, err)
		}
	}
}
