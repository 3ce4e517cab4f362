package portal

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"ciglio/capture/evidence"
	"ciglio/internal/provisioning"
	"ciglio/portal/keys"
)

// command runs one and returns what it has printed.
func (c *ceremony) command(want int, args ...string) string {
	c.Helper()
	var out, errs bytes.Buffer
	if exit := Main(args, &out, &errs); exit != want {
		c.Errorf("%q: exit %d, want %d: %s", args, exit, want, &errs)
	}
	return out.String()
}

// The trust bundle of a centre goes to the root and back, and is what a device with the
// root's fingerprint alone believes.
func TestTheRootSignsTheTrustBundle(t *testing.T) {
	c := newCeremony(t)
	dir := t.TempDir()
	file := func(name string) string { return filepath.Join(dir, name) }
	laboratory, err := keys.Generate()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.root.Create(file("root.key")); err != nil {
		t.Fatal(err)
	}
	roles := fmt.Sprintf("institution = \"example\"\n[[key]]\nrole = \"laboratory\"\nname = \"Laboratory 12\"\nkey = %q\nnot_before = \"2020-01-01T00:00:00Z\"\nnot_after = \"2099-12-31T23:59:59Z\"\n",
		base64.StdEncoding.EncodeToString(laboratory.SPKI()))
	if err := os.WriteFile(file("roles.toml"), []byte(roles), 0o600); err != nil {
		t.Fatal(err)
	}
	making := []string{"provision-trust", "--dir", c.dir, "--roles", file("roles.toml"), "--to", "2099-12-31T23:59:59Z", "--out", file("t.ciglio")}
	c.command(2, making...)
	c.command(2, append(slices.Clone(making), "--version", "1", "--from", "tomorrow")...)
	c.command(2, append(slices.Clone(making), "--version", "1", "--device", "12")...)
	c.command(1, append(slices.Clone(making), "--version", "1", "--roles", file("root.key"))...)
	c.command(0, append(slices.Clone(making), "--version", "1")...)
	if words := c.command(0, "root", "--key", file("root.key"), "--bundle", file("t.ciglio")); !strings.Contains(words, "Laboratory 12") || !strings.Contains(words, laboratory.KeyID().String()) || !strings.Contains(words, "issue 1 of") {
		t.Errorf("the root is shown %s", words)
	}
	var shown struct{ Hash string }
	if err := json.Unmarshal([]byte(c.command(0, "root", "--key", file("root.key"), "--bundle", file("t.ciglio"), "--json")), &shown); err != nil {
		t.Fatal(err)
	}
	signing := func(want int, hash, answer string) {
		c.command(want, "root", "--key", file("root.key"), "--bundle", file("t.ciglio"), "--accept", hash, "--answer", answer)
	}
	signing(1, "0000-0000-0000-0000", file("signed.ciglio"))
	signing(1, shown.Hash, file("root.key")) // a mistyped answer replaces no key
	signing(0, shown.Hash, file("signed.ciglio"))
	c.command(2, "root", "--key", file("root.key"), "--bundle", file("t.ciglio"), "--request", "x")
	c.command(2, "root", "--key", file("root.key"), "--bundle", file("t.ciglio"), "--accept", shown.Hash)
	c.command(2, "root", "--key", file("root.key"), "--make", "--accept", shown.Hash, "--answer", "x")
	signed, err := os.ReadFile(file("signed.ciglio"))
	if err != nil {
		t.Fatal(err)
	}
	b, err := provisioning.Open(signed)
	if err != nil {
		t.Fatal(err)
	}
	target := provisioning.Target{Device: evidence.DeviceID{1}, Now: time.Now().Add(time.Second), Anchor: &provisioning.Anchor{Root: c.root.KeyID()}}
	if err := b.Judge(target); err != nil {
		t.Errorf("a device refuses it: %v", err)
	}
	target.Anchor = &provisioning.Anchor{Root: evidence.Hash{1}}
	if err := b.Judge(target); err == nil {
		t.Error("a device of another root takes it")
	}
	if _, err := SignBundle(c.root, b, requestHash(b.Bytes)); err == nil {
		t.Error("the root signs twice")
	}

	other, err := keys.Generate()
	if err != nil {
		t.Fatal(err)
	}
	plain, err := os.ReadFile(file("t.ciglio"))
	if err != nil {
		t.Fatal(err)
	}
	if b, err = provisioning.Open(plain); err != nil {
		t.Fatal(err)
	}
	if _, err := SignBundle(other, b, requestHash(b.Bytes)); err == nil {
		t.Error("a root signs for another one")
	}
	if _, err := SignBundle(c.root, b, "x"); !errors.Is(err, ErrOtherRequest) {
		t.Errorf("another bundle than was looked at: %v", err)
	}
	site, err := provisioning.Make(provisioning.Statement{Kind: provisioning.Site, Version: 1, Institution: "example", AllDevices: true, NotBefore: time.Now(), NotAfter: time.Now()},
		[]provisioning.File{{Name: "site.toml", Content: []byte("x")}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := SignBundle(c.root, site, requestHash(site.Bytes)); err == nil {
		t.Error("the root signs a site")
	}
}

// A command that lacks what it needs, or gets what it cannot use, is used wrongly.
func TestWrongUseIsToldApart(t *testing.T) {
	wrong := map[string][]string{
		"init":              {""},
		"enrol":             {"", "--dir d", "--dir d --device 12 --code", "--dir d --device 00112233445566778899aabbccddeeff", "--dir d --device 00112233445566778899aabbccddeeff --code --cert c"},
		"serve":             {""},
		"officer":           {"", "--dir d"},
		"order":             {"", "--dir d --device 12 --kind status", "--dir d --device 00112233445566778899aabbccddeeff --kind nonsense", "--dir d --device 00112233445566778899aabbccddeeff --kind pause --reason r --until never"},
		"order-carry":       {"", "--dir d"},
		"provision-trust":   {"", "--dir d --roles r --to 2099-12-31T23:59:59Z --out o", "--dir d --roles r --version 1 --to never --out o", "--dir d --roles r --version 1 --to 2001-01-01T00:00:00Z --out o"},
		"provision-inspect": {""},
		"backup":            {"", "--dir d"},
		"restore":           {"", "--dir d", "--from f", "--dir d --from f --checkpoint c --no-newer"},
		"check":             {""},
		"migrate":           {"", "--from f", "--to t"},
		"request":           {"", "--dir d", "--dir d --out o --revoke x", "--dir d --out o --revoke-device x"},
		"root":              {"", "--key k", "--key k --request r --accept h", "--key k --make --request r"},
		"install":           {"", "--dir d --request r"},
		"backup-keys":       {"", "--dir d --to t"},
		"restore-keys":      {"", "--dir d --from f"},
		"authority":         {""},
		"mosquitto":         {"", "--dir d --to t"},
		"revoke":            {"", "--dir d", "--dir d --device 12"},
		"version":           {"x"},
		"config":            {"x"},
		"law ask":           {"x"},
		"law check":         {"", "t u"},
		"cases rebuild":     {"", "--dir d --database postgres://h/d", "--database d"},
	}
	for _, c := range commands() {
		if len(wrong[c.name]) == 0 {
			t.Errorf("%s: no wrong use of it is tried", c.name)
		}
		for _, args := range append(slices.Clone(wrong[c.name]), strings.Repeat("x ", 1+c.operands()), "--nonsense") {
			var out, errs bytes.Buffer
			all := append(strings.Fields(c.name), strings.Fields(args)...)
			if exit := Main(all, &out, &errs); exit != 2 || errs.Len() == 0 || out.Len() != 0 {
				t.Errorf("%q: exit %d, want 2 with words; %s%s", all, exit, &out, &errs)
			}
		}
	}
}
