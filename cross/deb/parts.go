package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"slices"
	"strings"
	"time"
)

// parts is what a program is made of, as the compiler wrote it into the program.
type parts struct {
	version, arch string
	epoch         time.Time
	hash          [sha256.Size]byte // of the program
	info          *debug.BuildInfo
}

func partsOf(program []byte, version, arch string, epoch time.Time) (parts, error) {
	info, err := buildinfo.Read(bytes.NewReader(program))
	if err != nil {
		return parts{}, err
	}
	for _, m := range info.Deps {
		if m.Replace != nil {
			return parts{}, fmt.Errorf("module %s is replaced: the list would not say by what", m.Path)
		}
	}
	return parts{version, arch, epoch, sha256.Sum256(program), info}, nil
}

func (p parts) setting(key string) string {
	for _, s := range p.info.Settings {
		if s.Key == key {
			return s.Value
		}
	}
	return ""
}

// The parts of a CycloneDX document, version 1.6, that are used here.
type (
	bom struct {
		Schema       string          `json:"$schema"`
		Format       string          `json:"bomFormat"`
		Spec         string          `json:"specVersion"`
		Serial       string          `json:"serialNumber"`
		Version      int             `json:"version"`
		Metadata     bomMetadata     `json:"metadata"`
		Components   []bomComponent  `json:"components"`
		Dependencies []bomDependency `json:"dependencies"`
	}
	bomMetadata struct {
		Timestamp  string         `json:"timestamp"`
		Lifecycles []bomLifecycle `json:"lifecycles"`
		Component  bomComponent   `json:"component"`
	}
	bomLifecycle struct {
		Phase string `json:"phase"`
	}
	bomComponent struct {
		Type       string        `json:"type"`
		Ref        string        `json:"bom-ref"`
		Name       string        `json:"name"`
		Version    string        `json:"version"`
		Hashes     []bomHash     `json:"hashes,omitempty"`
		PURL       string        `json:"purl"`
		Properties []bomProperty `json:"properties,omitempty"`
	}
	bomHash struct {
		Alg     string `json:"alg"`
		Content string `json:"content"`
	}
	bomProperty struct {
		Name  string `json:"name"`
		Value string `json:"value"`
	}
	bomDependency struct {
		Ref       string   `json:"ref"`
		DependsOn []string `json:"dependsOn,omitempty"`
	}
)

// cyclonedx returns the list of what the program links: the modules, with
// the check sums under which they were fetched, and Go's own library.
func (p parts) cyclonedx() ([]byte, error) {
	own := bomComponent{
		Type: "application", Name: "ciglio", Version: p.version,
		PURL:   fmt.Sprintf("pkg:deb/ciglio/ciglio@%s?arch=%s", strings.ReplaceAll(p.version, "~", "%7E"), p.arch),
		Hashes: []bomHash{{"SHA-256", hex.EncodeToString(p.hash[:])}},
	}
	own.Ref = own.PURL
	for _, key := range []string{"GOOS", "GOARCH", "GOARM", "CGO_ENABLED", "-trimpath"} {
		if v := p.setting(key); v != "" {
			own.Properties = append(own.Properties, bomProperty{"go:build:" + key, v})
		}
	}
	library := func(path, version, sum string) bomComponent {
		purl := "pkg:golang/" + path + "@" + version
		c := bomComponent{Type: "library", Ref: purl, Name: path, Version: version, PURL: purl}
		if sum != "" {
			c.Properties = []bomProperty{{"go:sum", sum}}
		}
		return c
	}
	// Go's library is named as its vulnerability reports name it.
	linked := []bomComponent{library("std", strings.TrimPrefix(p.info.GoVersion, "go"), "")}
	for _, m := range p.info.Deps {
		linked = append(linked, library(m.Path, m.Version, m.Sum))
	}
	slices.SortFunc(linked, func(a, b bomComponent) int { return cmp.Compare(a.Ref, b.Ref) })
	whole := bomDependency{Ref: own.Ref}
	dependencies := []bomDependency{}
	for _, c := range linked {
		whole.DependsOn = append(whole.DependsOn, c.Ref)
		dependencies = append(dependencies, bomDependency{Ref: c.Ref})
	}
	// The serial number is made of the program, so that the same source gives the
	// same document (RFC 9562, version 8).
	id := p.hash
	id[6], id[8] = id[6]&0x0f|0x80, id[8]&0x3f|0x80
	text, err := json.MarshalIndent(bom{
		Schema: "http://cyclonedx.org/schema/bom-1.6.schema.json", Format: "CycloneDX", Spec: "1.6", Version: 1,
		Serial: fmt.Sprintf("urn:uuid:%x-%x-%x-%x-%x", id[:4], id[4:6], id[6:8], id[8:10], id[10:16]),
		Metadata: bomMetadata{
			Timestamp: p.epoch.Format(time.RFC3339), Lifecycles: []bomLifecycle{{"build"}}, Component: own,
		},
		Components:   linked,
		Dependencies: append([]bomDependency{whole}, dependencies...),
	}, "", "  ")
	return append(text, '\n'), err
}

// terms are the names of files in which authors say what others may do.
var terms = regexp.MustCompile(`(?i)^(licen[cs]e|copying|notice|patents|edl|epl|authors)`)

// copyright returns the terms of the project, of every module that the program
// links and of Go's own library, as their authors wrote them.
func (p parts) copyright(ctx context.Context, root string) ([]byte, error) {
	own, err := os.ReadFile(filepath.Join(root, "LICENSE"))
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	b.WriteString("Ciglio is under the terms that follow. The program also holds the modules named\n" +
		"further below, each under its own.\n\n")
	b.Write(own)
	goroot, err := output(ctx, root, "go", "env", "GOROOT")
	if err != nil {
		return nil, err
	}
	add := func(name, dir string) error {
		entries, err := os.ReadDir(dir)
		if err != nil {
			return err
		}
		found := false
		for _, e := range entries {
			if !e.Type().IsRegular() || !terms.MatchString(e.Name()) {
				continue
			}
			text, err := os.ReadFile(filepath.Join(dir, e.Name()))
			if err != nil {
				return err
			}
			fmt.Fprintf(&b, "\n%s\n%s: %s\n\n%s", strings.Repeat("-", 79), name, e.Name(), text)
			found = true
		}
		if !found {
			return fmt.Errorf("%s: no file says its terms", name)
		}
		return nil
	}
	if err := add("Go "+p.info.GoVersion, strings.TrimSpace(string(goroot))); err != nil {
		return nil, err
	}
	for _, m := range p.info.Deps {
		dir, err := output(ctx, root, "go", "list", "-m", "-f", "{{.Dir}}", m.Path)
		if err != nil {
			return nil, err
		}
		if err := add(m.Path+" "+m.Version, strings.TrimSpace(string(dir))); err != nil {
			return nil, err
		}
	}
	return b.Bytes(), nil
}
