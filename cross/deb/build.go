package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// files are what is in the packages besides what is generated, the maintainer
// scripts, and what tells nfpm how they go together.
//
//go:embed files
var files embed.FS

// options say what is to be built.
type options struct {
	root, dist string
	arches     []string  // Debian's names
	revision   string    // of the source
	epoch      time.Time // of the source
	key        string    // file of the signing key; "" for none
}

// binaries names the program of each of Debian's processors, as make build does.
var binaries = map[string]string{"armhf": "arm-7", "arm64": "arm64", "amd64": "amd64"}

func (o *options) time(epoch string) error {
	seconds, err := strconv.ParseInt(epoch, 10, 64)
	if err != nil || seconds <= 0 {
		return fmt.Errorf("SOURCE_DATE_EPOCH %q: want seconds since 1970, as of git log -1 --format=%%ct", epoch)
	}
	o.epoch = time.Unix(seconds, 0).UTC()
	return nil
}

func (o options) binary(arch string) string {
	return filepath.Join(o.dist, "ciglio-linux-"+binaries[arch])
}

// nativeArch is Debian's name of this machine's processor.
func nativeArch() string {
	if runtime.GOARCH == "arm" {
		return "armhf"
	}
	return runtime.GOARCH
}

// build writes the packages, their lists of parts, the check sums of all
// and the signature.
func build(ctx context.Context, o options, log io.Writer) error {
	native := nativeArch()
	if binaries[native] == "" {
		return fmt.Errorf("no program of ours runs on %s", runtime.GOARCH)
	}
	common, version, err := gather(ctx, o, o.binary(native))
	if err != nil {
		return err
	}
	var tools [2]string // built as cross/tools pins them
	for i, name := range []string{"nfpm", "cyclonedx-gomod"} {
		if tools[i], err = tool(ctx, o.root, name); err != nil {
			return err
		}
	}
	made := []string{}
	for _, arch := range o.arches {
		if binaries[arch] == "" {
			return fmt.Errorf("processor %q: want armhf, arm64 or amd64", arch)
		}
		names, err := pack(ctx, o, arch, version, common, tools[0], tools[1])
		if err != nil {
			return fmt.Errorf("%s: %w", arch, err)
		}
		made = append(made, names...)
	}
	programs, err := filepath.Glob(filepath.Join(o.dist, "ciglio-linux-*"))
	if err != nil {
		return err
	}
	for _, p := range programs {
		made = append(made, filepath.Base(p))
	}
	sums, err := checksums(o.dist, made)
	if err != nil {
		return err
	}
	if _, err := log.Write(sums); err != nil {
		return err
	}
	path := filepath.Join(o.dist, "SHA256SUMS")
	if err := os.WriteFile(path, sums, 0o644); err != nil {
		return err
	}
	if o.key == "" {
		// An old signature would not be of these sums.
		if err := os.Remove(path + ".sig"); !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}
	signature, err := sign(o.key, sums)
	if err != nil {
		return err
	}
	return os.WriteFile(path+".sig", signature, 0o644)
}

// gather returns what is the same in every package, and its version. native is
// a program that runs on this machine.
func gather(ctx context.Context, o options, native string) (map[string][]byte, string, error) {
	native, err := filepath.Abs(native)
	if err != nil {
		return nil, "", err
	}
	parts := map[string][]byte{}
	for name, args := range map[string][]string{
		"version":     {"version", "--json"},
		"ciglio.1":    {"help", "--man"},
		"ciglio.bash": {"completion", "bash"},
		"ciglio.toml": {"config", "print"},
	} {
		if parts[name], err = output(ctx, o.root, native, args...); err != nil {
			return nil, "", err
		}
	}
	var own struct {
		Version string `json:"version"`
	}
	if err := json.Unmarshal(parts["version"], &own); err != nil {
		return nil, "", err
	}
	delete(parts, "version")
	text, err := os.ReadFile(filepath.Join(o.root, "CHANGELOG.md"))
	if err != nil {
		return nil, "", err
	}
	history, err := parseChangelog(string(text))
	if err != nil {
		return nil, "", err
	}
	version, err := history.debian(own.Version, o)
	if err != nil {
		return nil, "", err
	}
	parts["changelog"] = history.text(version, o.epoch)
	for _, name := range []string{"ciglio.1", "changelog"} {
		parts[name+".gz"] = zip(parts[name])
		delete(parts, name)
	}
	static, err := fs.Sub(files, "files")
	if err != nil {
		return nil, "", err
	}
	err = fs.WalkDir(static, ".", func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			parts[path], err = fs.ReadFile(static, path)
		}
		return err
	})
	return parts, version, err
}

// zip compresses without a name and a time.
func zip(text []byte) []byte {
	var b bytes.Buffer
	w, _ := gzip.NewWriterLevel(&b, gzip.BestCompression)
	w.Write(text)
	w.Close()
	return b.Bytes()
}

// pack makes the package of one processor. It returns the names of the package
// and of the list of its parts.
func pack(ctx context.Context, o options, arch, version string, common map[string][]byte, nfpm, cyclonedx string) ([]string, error) {
	program, err := os.ReadFile(o.binary(arch))
	if err != nil {
		return nil, err
	}
	p, err := partsOf(program, version, o.epoch)
	if err != nil {
		return nil, err
	}
	rights, err := p.copyright(ctx, o.root)
	if err != nil {
		return nil, err
	}
	stage, err := os.MkdirTemp("", "ciglio-deb-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(stage)
	write := func(name string, text []byte) {
		err = errors.Join(err, os.WriteFile(filepath.Join(stage, name), text, 0o644))
	}
	for name, text := range common {
		write(name, text)
	}
	write("copyright", rights)
	file := filepath.Join(stage, "ciglio")
	if err := errors.Join(err, os.WriteFile(file, program, 0o755)); err != nil { // go version -m wants it executable
		return nil, err
	}
	bom, err := p.cyclonedx(ctx, cyclonedx, file)
	if err != nil {
		return nil, err
	}
	write("ciglio.cdx.json", bom)
	if err != nil {
		return nil, err
	}
	name := fmt.Sprintf("ciglio_%s_%s", version, arch)
	target, err := filepath.Abs(filepath.Join(o.dist, name+".deb"))
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, nfpm, "package", "--packager", "deb", "--config", "nfpm.yaml", "--target", target)
	cmd.Dir = stage
	cmd.Env = append(os.Environ(), "DEB_ARCH="+arch, "DEB_VERSION="+version, "TZ=UTC",
		"SOURCE_DATE_EPOCH="+strconv.FormatInt(o.epoch.Unix(), 10))
	if said, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("nfpm: %w: %s", err, bytes.TrimSpace(said))
	}
	return []string{name + ".deb", name + ".cdx.json"}, os.WriteFile(filepath.Join(o.dist, name+".cdx.json"), bom, 0o644)
}

// tool returns the path of a tool, built as cross/tools pins it.
func tool(ctx context.Context, root, name string) (string, error) {
	path, err := output(ctx, filepath.Join(root, "cross", "tools"), "go", "tool", "-n", name)
	return strings.TrimSpace(string(path)), err
}

// output runs a program in a folder and returns what it prints.
func output(ctx context.Context, dir, name string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, bytes.TrimSpace(stderr.Bytes()))
	}
	return out, nil
}
