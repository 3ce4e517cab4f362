// Package software installs a program that came by a signed bundle, so that a machine
// is never left without one that starts.
//
// There are two sides. The service takes the bundle off a stick, judges it as every
// other bundle, keeps it, and asks ([Ask]); it has no right over programs. The other
// side is a small privileged command, a [Keeper], which believes nothing of what the
// service says: it copies the bundle, verifies that copy against the root that the
// machine's configuration names, and puts the program in its place. The old one is
// kept until the new one has started and has said so in time; otherwise, and after a
// power cut at any moment before, the old one is put back.
package software

import (
	"bytes"
	"crypto/sha256"
	"debug/elf"
	"encoding/hex"
	"fmt"

	"ciglio/capture/evidence"
	p "ciglio/internal/provisioning"
	"ciglio/internal/strict"
)

// maxManifest is the largest statement, in bytes.
const maxManifest = 12 << 10

// A Manifest is the statement of a bundle of kind software: a TOML file such as
//
//	version = "0.2.0"
//	core = "3f0c…"
//	architecture = "armhf"
//	sha256 = "90ab…"
//
// with what the program prints as its version and core_id, Debian's name of the
// machines that it is for (armhf, arm64 or amd64), and the SHA-256 of the program.
type Manifest struct {
	Version      string
	Core         evidence.Hash
	Architecture string
	Program      evidence.Hash
}

// Architecture returns Debian's name of the machines of a GOARCH; "" for one for which
// there are no programs.
func Architecture(goarch string) string {
	return map[string]string{"arm": "armhf", "arm64": "arm64", "amd64": "amd64"}[goarch]
}

// Parse reads a statement.
func Parse(text []byte) (*Manifest, error) {
	if len(text) > maxManifest {
		return nil, fmt.Errorf("software: %d bytes, at most %d", len(text), maxManifest)
	}
	var f struct {
		Version      string `toml:"version"`
		Core         string `toml:"core"`
		Architecture string `toml:"architecture"`
		SHA256       string `toml:"sha256"`
	}
	if _, err := strict.Decode(string(text), &f); err != nil {
		return nil, fmt.Errorf("software: %w", err)
	}
	m := &Manifest{Version: f.Version, Architecture: f.Architecture}
	if !evidence.Printable(m.Version, evidence.MaxID) {
		return nil, fmt.Errorf("software: version: want a text of 1 to 64 bytes")
	}
	for _, h := range []struct {
		key, text string
		to        *evidence.Hash
	}{{"core", f.Core, &m.Core}, {"sha256", f.SHA256, &m.Program}} {
		b, err := hex.DecodeString(h.text)
		if err != nil || len(b) != len(h.to) || hex.EncodeToString(b) != h.text {
			return nil, fmt.Errorf("software: %s: want 64 lower-case hexadecimal digits", h.key)
		}
		*h.to = evidence.Hash(b)
	}
	if _, known := machines()[m.Architecture]; !known {
		return nil, fmt.Errorf("software: architecture %.40q: want armhf, arm64 or amd64", m.Architecture)
	}
	return m, nil
}

type machine struct {
	class   elf.Class
	machine elf.Machine
}

func machines() map[string]machine {
	return map[string]machine{
		"armhf": {elf.ELFCLASS32, elf.EM_ARM}, "arm64": {elf.ELFCLASS64, elf.EM_AARCH64}, "amd64": {elf.ELFCLASS64, elf.EM_X86_64},
	}
}

// Check returns the statement of a bundle whose program can run on a machine of an
// architecture: it is the one of the statement, and a program for such machines that
// needs no library.
func Check(b *p.Bundle, architecture string) (*Manifest, error) {
	m, err := Parse(b.Text())
	if err != nil {
		return nil, err
	}
	program := b.Content("ciglio")
	if sha256.Sum256(program) != m.Program {
		return nil, fmt.Errorf("software: the program is not the one of the statement")
	}
	if m.Architecture != architecture {
		return nil, fmt.Errorf("software: for machines of architecture %s, this one is %s", m.Architecture, architecture)
	}
	f, err := elf.NewFile(bytes.NewReader(program))
	if err != nil {
		return nil, fmt.Errorf("software: no program: %w", err)
	}
	defer f.Close()
	want := machines()[architecture]
	switch {
	case f.Class != want.class || f.Machine != want.machine || f.Data != elf.ELFDATA2LSB:
		return nil, fmt.Errorf("software: a program for %v, %v, not for %s", f.Class, f.Machine, architecture)
	case f.Type != elf.ET_EXEC && f.Type != elf.ET_DYN:
		return nil, fmt.Errorf("software: %v is no program", f.Type)
	}
	return m, nil
}
