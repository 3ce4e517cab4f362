package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"strings"
	"time"
)

// parts is what a program is made of, as the compiler wrote it into the program.
type parts struct {
	version string
	epoch   time.Time
	hash    [sha256.Size]byte // of the program
	info    *debug.BuildInfo
}

func partsOf(program []byte, version string, epoch time.Time) (parts, error) {
	info, err := buildinfo.Read(bytes.NewReader(program))
	if err != nil {
		return parts{}, err
	}
	for _, m := range info.Deps {
		if m.Replace != nil {
			return parts{}, fmt.Errorf("module %s is replaced: the list would not say by what", m.Path)
		}
	}
	return parts{version, epoch, sha256.Sum256(program), info}, nil
}

// cyclonedx returns the list of what a program links, as cyclonedx-gomod reads it
// from the program: the modules with the hashes under which they were fetched,
// Go's own library, the settings of the build.
//
// The same program gives the same list on every machine: its serial number is
// made of the program (RFC 9562, version 8), its time is that of the source, and
// the hashes of cyclonedx-gomod itself, which are those of this machine's build of
// it, are left out.
func (p parts) cyclonedx(ctx context.Context, tool, program string) ([]byte, error) {
	id := p.hash
	id[6], id[8] = id[6]&0x0f|0x80, id[8]&0x3f|0x80
	serial := fmt.Sprintf("%x-%x-%x-%x-%x", id[:4], id[4:6], id[6:8], id[8:10], id[10:16])
	text, err := output(ctx, filepath.Dir(program), tool, "bin", "-json", "-std", "-notimestamp", "-serial", serial, "-version", p.version, "-output", "-", program)
	if err != nil {
		return nil, err
	}
	var list struct {
		rest     map[string]json.RawMessage
		metadata map[string]json.RawMessage
		tools    []map[string]json.RawMessage
	}
	if err := cmp.Or(json.Unmarshal(text, &list.rest), json.Unmarshal(list.rest["metadata"], &list.metadata),
		json.Unmarshal(list.metadata["tools"], &list.tools)); err != nil {
		return nil, fmt.Errorf("cyclonedx-gomod: %w", err)
	}
	put := func(m map[string]json.RawMessage, key string, value any) {
		b, e := json.Marshal(value)
		m[key], err = b, cmp.Or(err, e)
	}
	for _, t := range list.tools {
		delete(t, "hashes")
	}
	put(list.metadata, "tools", list.tools)
	put(list.metadata, "timestamp", p.epoch.Format(time.RFC3339))
	put(list.metadata, "lifecycles", []map[string]string{{"phase": "build"}})
	put(list.rest, "metadata", list.metadata)
	if err != nil {
		return nil, err
	}
	text, err = json.MarshalIndent(list.rest, "", "  ")
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
