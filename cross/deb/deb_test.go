package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"debug/elf"
	"debug/gosym"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// root is the folder of the project.
const root = "../.."

// needs skips a test that runs a program which this machine lacks. In CI it is
// installed.
func needs(t *testing.T, programs ...string) {
	t.Helper()
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			missing(t, err.Error())
		}
	}
}

// missing skips a test for want of something, and fails it in CI.
func missing(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatal(what)
	}
	t.Skip(what)
}

// command runs a program and returns all it prints.
func command(t *testing.T, dir, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// target is what the compiler is told of a processor.
func target(arch string) []string {
	goarch, _, _ := strings.Cut(binaries[arch], "-")
	return []string{"GOOS=linux", "GOARCH=" + goarch, "GOARM=7", "CGO_ENABLED=0"}
}

// programs compiles the device's program for the given processors and for this
// machine, as make build does, into a folder of its own.
func programs(t *testing.T, arches ...string) options {
	t.Helper()
	o := options{root: root, dist: t.TempDir(), arches: arches, revision: "test", epoch: time.Unix(1_800_000_000, 0).UTC()}
	for _, arch := range append(arches, host(t)) {
		path := o.binary(arch)
		if _, err := os.Stat(path); err == nil {
			continue
		}
		cmd := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w -buildid=", "-o", path, "./agent/cmd/ciglio")
		cmd.Dir, cmd.Env = root, append(os.Environ(), target(arch)...)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	return o
}

// host is Debian's name of this machine's processor.
func host(t *testing.T) string {
	t.Helper()
	arch := nativeArch()
	if binaries[arch] == "" {
		t.Skip("no program of ours runs here")
	}
	return arch
}

// signingKey makes a key as docs/operation.md says, and returns the files of it
// and of its public half.
func signingKey(t *testing.T) (private, public string) {
	t.Helper()
	needs(t, "openssl")
	dir := t.TempDir()
	command(t, dir, "openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", "signing.key")
	command(t, dir, "openssl", "pkey", "-in", "signing.key", "-pubout", "-out", "ciglio.pub")
	return filepath.Join(dir, "signing.key"), filepath.Join(dir, "ciglio.pub")
}

func write(t *testing.T, path string, text []byte) {
	t.Helper()
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// As docs/operation.md says, with nothing but sha256sum and openssl.
func TestSumsAndSignature(t *testing.T) {
	needs(t, "openssl", "sha256sum", "dpkg-deb")
	o := programs(t, host(t))
	var public string
	o.key, public = signingKey(t)
	if err := build(t.Context(), o, &bytes.Buffer{}); err != nil {
		t.Fatal(err)
	}
	command(t, o.dist, "sha256sum", "--check", "--strict", "SHA256SUMS")
	verify := []string{"dgst", "-sha256", "-verify", public, "-signature", "SHA256SUMS.sig", "SHA256SUMS"}
	if out := command(t, o.dist, "openssl", verify...); !strings.Contains(out, "Verified OK") {
		t.Errorf("openssl says %q", out)
	}
	sums := filepath.Join(o.dist, "SHA256SUMS")
	text, err := os.ReadFile(sums)
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{".deb\n", ".cdx.json\n", "ciglio-linux-"} {
		if !bytes.Contains(text, []byte(kind)) {
			t.Errorf("no sum of any %q in\n%s", strings.TrimSpace(kind), text)
		}
	}
	text[0] ^= 1
	write(t, sums, text)
	cmd := exec.Command("openssl", verify...)
	cmd.Dir = o.dist
	if cmd.Run() == nil {
		t.Error("openssl verifies sums that were changed")
	}

	// The signature of sums that are signed no more does not stay.
	o.key = ""
	if err := build(t.Context(), o, &bytes.Buffer{}); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(sums + ".sig"); err == nil {
		t.Error("the old signature is still there")
	}
}

func TestSameSourceSamePackage(t *testing.T) {
	o := programs(t, host(t))
	o.key, _ = signingKey(t)
	made := func() map[string]string {
		if err := build(t.Context(), o, &bytes.Buffer{}); err != nil {
			t.Fatal(err)
		}
		files := map[string]string{}
		entries, err := os.ReadDir(o.dist)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			text, err := os.ReadFile(filepath.Join(o.dist, e.Name()))
			if err != nil {
				t.Fatal(err)
			}
			files[e.Name()] = string(text)
		}
		return files
	}
	first := made()
	t.Setenv("TMPDIR", t.TempDir())
	t.Setenv("TZ", "Asia/Kathmandu")
	t.Setenv("LC_ALL", "tr_TR.UTF-8")
	second := made()
	if len(first) != 5 || len(second) != 5 {
		t.Errorf("%d and %d files, want a program, a package, its parts, sums and signature", len(first), len(second))
	}
	for name, text := range first {
		if second[name] != text {
			t.Errorf("%s is another the second time", name)
		}
	}
}

// modules returns those of the packages that go list says the program is made
// of, with their versions.
func modules(t *testing.T, arch string) []string {
	t.Helper()
	cmd := exec.Command("go", "list", "-deps", "-f", "{{with .Module}}{{if .Version}}{{.Path}} {{.Version}}{{end}}{{end}}", "./agent/cmd/ciglio")
	cmd.Dir, cmd.Env = root, append(os.Environ(), target(arch)...)
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	all := strings.FieldsFunc(string(out), func(r rune) bool { return r == '\n' })
	slices.Sort(all)
	return slices.Compact(all)
}

// packages returns those whose functions are in the machine code, as the
// runtime's own table names them.
func packages(t *testing.T, program string) []string {
	t.Helper()
	f, err := elf.Open(program)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	table, err := f.Section(".gopclntab").Data()
	if err != nil {
		t.Fatal(err)
	}
	symbols, err := gosym.NewTable(nil, gosym.NewLineTable(table, f.Section(".text").Addr))
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, fn := range symbols.Funcs {
		if name, err := url.PathUnescape(fn.PackageName()); err == nil { // dots after the last slash are escaped
			all = append(all, name)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// The list names what is in the binary, no less and no more.
func TestPartsAreWhatTheProgramLinks(t *testing.T) {
	schema := bomSchema(t)
	cyclonedx, err := tool(t.Context(), root, "cyclonedx-gomod")
	if err != nil {
		t.Fatal(err)
	}
	for _, arch := range []string{"armhf", "arm64", "amd64"} {
		t.Run(arch, func(t *testing.T) {
			o := programs(t, arch)
			program, err := os.ReadFile(o.binary(arch))
			if err != nil {
				t.Fatal(err)
			}
			p, err := partsOf(program, "1.2.3~4", o.epoch)
			if err != nil {
				t.Fatal(err)
			}
			text, err := p.cyclonedx(t.Context(), cyclonedx, o.binary(arch))
			if err != nil {
				t.Fatal(err)
			}
			if err := valid(schema, text); err != nil {
				t.Error(err)
			}
			var b struct {
				Metadata struct {
					Timestamp  string
					Component  struct{ Name, Version string }
					Properties []struct{ Name, Value string }
				}
				Components []struct {
					Name, Version string
					Hashes        []struct{ Alg, Content string }
				}
			}
			if err := json.Unmarshal(text, &b); err != nil {
				t.Fatal(err)
			}
			if m := b.Metadata; m.Component.Name != "ciglio" || m.Component.Version != "1.2.3~4" || m.Timestamp != o.epoch.Format(time.RFC3339) ||
				!slices.Contains(m.Properties, struct{ Name, Value string }{"cdx:gomod:binary:hash:SHA-256", fmt.Sprintf("%x", sha256.Sum256(program))}) {
				t.Errorf("it is the list of %+v", m)
			}
			sums := map[string]string{} // as Go keeps them
			for _, d := range p.info.Deps {
				sums[d.Path] = d.Sum
			}
			var listed, names []string
			for _, c := range b.Components {
				if c.Name == "std" {
					if c.Version != p.info.GoVersion {
						t.Errorf("Go's library is %s, the compiler %s", c.Version, p.info.GoVersion)
					}
					continue
				}
				listed, names = append(listed, c.Name+" "+c.Version), append(names, c.Name)
				sum, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(sums[c.Name], "h1:"))
				if want := hex.EncodeToString(sum); err != nil || len(sum) != 32 || len(c.Hashes) != 1 || c.Hashes[0].Alg != "SHA-256" || c.Hashes[0].Content != want {
					t.Errorf("%s has the check sums %+v, want %s (%v)", c.Name, c.Hashes, want, err)
				}
			}
			if want := modules(t, arch); !slices.Equal(listed, want) {
				t.Errorf("listed %q\nlinked %q", listed, want)
			}
			found := map[string]bool{}
			for _, pkg := range packages(t, o.binary(arch)) {
				if first, _, _ := strings.Cut(pkg, "/"); first == "ciglio" || !strings.Contains(first, ".") {
					continue // ours, and Go's
				}
				i := slices.IndexFunc(names, func(m string) bool { return pkg == m || strings.HasPrefix(pkg, m+"/") })
				if i < 0 {
					t.Errorf("package %s is in the program, its module is not in the list", pkg)
					continue
				}
				found[names[i]] = true
			}
			for _, m := range names {
				if !found[m] {
					t.Errorf("module %s is in the list, no function of it in the program", m)
				}
			}
		})
	}
}

// bomSchema compiles the schema of CycloneDX 1.6, which the module of its
// library carries.
func bomSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	const module = "github.com/CycloneDX/cyclonedx-go"
	var m struct{ Dir string }
	if err := json.Unmarshal([]byte(command(t, filepath.Join(root, "cross", "tools"), "go", "mod", "download", "-json", module)), &m); err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	for _, name := range []string{"bom-1.6.schema.json", "spdx.schema.json", "jsf-0.82.schema.json"} {
		file := strings.Replace(name, "jsf-0.82.schema.json", "jsf-0.82.schemax.json", 1) // as it is called there
		text, err := os.ReadFile(filepath.Join(m.Dir, "schema", file))
		if err != nil {
			t.Fatal(err)
		}
		doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		if err := c.AddResource("http://cyclonedx.org/schema/"+name, doc); err != nil {
			t.Fatal(err)
		}
	}
	s, err := c.Compile("http://cyclonedx.org/schema/bom-1.6.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	if valid(s, []byte(`{"bomFormat":"CycloneDX","specVersion":"1.6","components":[{"name":"x"}]}`)) == nil {
		t.Error("the schema takes a component without a type")
	}
	return s
}

func valid(s *jsonschema.Schema, text []byte) error {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return err
	}
	return s.Validate(doc)
}

func TestOtherKeysAreRefused(t *testing.T) {
	needs(t, "openssl")
	dir := t.TempDir()
	for name, args := range map[string][]string{
		"rsa":     {"genpkey", "-algorithm", "RSA"},
		"P-384":   {"genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"},
		"old PEM": {"ecparam", "-name", "prime256v1", "-genkey", "-noout"},
	} {
		command(t, dir, "openssl", append(args, "-out", name)...)
		if _, err := sign(filepath.Join(dir, name), []byte("text")); err == nil || !strings.Contains(err.Error(), "want a") {
			t.Errorf("%s: error %v", name, err)
		}
	}
	if _, err := sign(filepath.Join(dir, "none"), nil); err == nil {
		t.Error("signed without a key")
	}
}

func TestReplacedModuleIsRefused(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"go.mod":   "module x\ngo 1.26\nrequire example.com/y v1.0.0\nreplace example.com/y => ./y\n",
		"main.go":  "package main\nimport \"example.com/y\"\nfunc main() { y.Y() }\n",
		"y/go.mod": "module example.com/y\ngo 1.26\n",
		"y/y.go":   "package y\n//go:noinline\nfunc Y() {}\n",
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		write(t, path, []byte(text))
	}
	command(t, dir, "go", "build", "-o", "program", ".")
	program, err := os.ReadFile(filepath.Join(dir, "program"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := partsOf(program, "1", time.Now()); err == nil || !strings.Contains(err.Error(), "example.com/y is replaced") {
		t.Errorf("error %v", err)
	}
}

func TestChangelog(t *testing.T) {
	needs(t, "dpkg-parsechangelog", "dpkg")
	const text = `# Changelog

What an operator will notice.

## 1.1.0, not released

- New: a first thing that takes more words than a line of such a changelog may have,
  so that it is broken.
- Fixed: a second.

## 1.0.0, 2027-03-01

- New: all.
`
	c, err := parseChangelog(text)
	if err != nil {
		t.Fatal(err)
	}
	o := options{epoch: time.Date(2027, 4, 2, 3, 4, 5, 0, time.UTC), revision: "abc123"}
	version, err := c.debian("1.1.0", o)
	if err != nil || version != "1.1.0~20270402030405.abc123" {
		t.Fatalf("version %q, %v", version, err)
	}
	path := filepath.Join(t.TempDir(), "changelog")
	write(t, path, c.text(version, o.epoch))
	for field, want := range map[string]string{
		"Version": version, "Source": "ciglio", "Distribution": "UNRELEASED", "Timestamp": fmt.Sprint(o.epoch.Unix()),
		"Maintainer": maintainer,
	} {
		if got := strings.TrimSpace(command(t, ".", "dpkg-parsechangelog", "-l", path, "-S", field)); got != want {
			t.Errorf("%s: dpkg reads %q, want %q", field, got, want)
		}
	}
	all := command(t, ".", "dpkg-parsechangelog", "-l", path, "--all")
	for _, want := range []string{"a second.", "New: all.", "ciglio (1.0.0) stable"} {
		if !strings.Contains(all, want) {
			t.Errorf("dpkg reads nothing of %q:\n%s", want, all)
		}
	}
	// dpkg's order: a commit, a later one, the release.
	o.epoch = o.epoch.Add(time.Hour)
	later, err := c.debian("1.1.0", o)
	if err != nil {
		t.Fatal(err)
	}
	command(t, ".", "dpkg", "--compare-versions", version, "lt", later)
	command(t, ".", "dpkg", "--compare-versions", later, "lt", "1.1.0")

	for _, bad := range []string{"", "# Changelog\n", "## 1.0, not released\n", "## 1.0.0, 2027-02-30\n", "## 1.0.0, not released\n  more\n", "## 1.1.0, 2027-01-01\n## 1.0.0, not released\n"} {
		if _, err := parseChangelog(bad); err == nil {
			t.Errorf("%q is read without an error", bad)
		}
	}
	if _, err := c.debian("1.2.0", o); err == nil {
		t.Error("a program of another version than the changelog's")
	}
}

func TestMaintainerIsOne(t *testing.T) {
	text, err := files.ReadFile("files/nfpm.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(text, []byte("\nmaintainer: "+maintainer+"\n")) {
		t.Errorf("nfpm.yaml names another maintainer than %s", maintainer)
	}
}

// exposure is the most that systemd may find wanting in the service's sandbox, in
// tenths. What is left is the network, devices, and reading the state of the clock.
const exposure = 21

// helperExposure is the same of what mounts sticks.
const helperExposure = 36

func TestSandboxIsTight(t *testing.T) {
	needs(t, "systemd-analyze")
	out := command(t, ".", "systemd-analyze", "security", "--offline=true", "--no-pager", fmt.Sprintf("--threshold=%d", exposure), "files/ciglio.service")
	lines := strings.Split(strings.TrimSpace(out), "\n")
	t.Log(lines[len(lines)-1])
}

// TestHelperOfSticksIsAUnit lets systemd read the unit, with a program that is there in
// the place of ours.
func TestHelperOfSticksIsAUnit(t *testing.T) {
	needs(t, "systemd-analyze")
	const program, exposure = "/usr/bin/ciglio", helperExposure
	text, err := files.ReadFile("files/ciglio-stick.service")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(text, []byte("\nExecStart="+program+" stick helper\n")) {
		t.Errorf("it starts something else than %s stick helper", program)
	}
	unit := filepath.Join(t.TempDir(), "ciglio-stick.service")
	if err := os.WriteFile(unit, bytes.ReplaceAll(text, []byte(program), []byte("/bin/true")), 0o644); err != nil {
		t.Fatal(err)
	}
	if out := command(t, ".", "systemd-analyze", "verify", "--man=no", unit); strings.TrimSpace(out) != "" {
		t.Errorf("systemd-analyze verify: %s", out)
	}
	command(t, ".", "systemd-analyze", "security", "--offline=true", "--no-pager", fmt.Sprintf("--threshold=%d", exposure), unit)
}

// TestInstallersOfProgramsAreUnits lets systemd read those that install a program and
// put the old one back.
func TestInstallersOfProgramsAreUnits(t *testing.T) {
	needs(t, "systemd-analyze")
	dir := t.TempDir()
	for name, runs := range map[string]string{
		"ciglio-software.path": "", "ciglio-software.service": "/usr/bin/ciglio software apply", "ciglio-software-recover.service": "/bin/sh -c 'exec /var/lib/ciglio-software/old software recover'",
	} {
		text, err := files.ReadFile("files/" + name)
		if err != nil {
			t.Fatal(err)
		}
		if runs != "" && !bytes.Contains(text, []byte("\nExecStart="+runs+"\n")) {
			t.Errorf("%s starts something else than %s", name, runs)
		}
		if err := os.WriteFile(filepath.Join(dir, name), bytes.ReplaceAll(text, []byte("/usr/bin/ciglio "), []byte("/bin/true ")), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	const exposure = 30 // in tenths: as root, to write programs
	for _, name := range []string{"ciglio-software.path", "ciglio-software.service", "ciglio-software-recover.service"} {
		unit := filepath.Join(dir, name)
		if out := command(t, ".", "systemd-analyze", "verify", "--man=no", unit); strings.TrimSpace(out) != "" {
			t.Errorf("systemd-analyze verify %s: %s", name, out)
		}
		if strings.HasSuffix(name, ".service") {
			command(t, ".", "systemd-analyze", "security", "--offline=true", "--no-pager", fmt.Sprintf("--threshold=%d", exposure), unit)
		}
	}
}

func TestWrongUse(t *testing.T) {
	for _, c := range []struct {
		args []string
		env  map[string]string
		code int
		says string
	}{
		{[]string{"-nonsense"}, nil, 2, "nonsense"},
		{[]string{"more"}, nil, 2, ""},
		{nil, nil, 1, "SOURCE_DATE_EPOCH"},
		{[]string{"-root", root, "-arch", "mips", "-dist", "none"}, map[string]string{"SOURCE_DATE_EPOCH": "1"}, 1, "ciglio-linux-"},
	} {
		var out, errs bytes.Buffer
		code := run(c.args, &out, &errs, func(name string) string { return c.env[name] })
		if code != c.code || !strings.Contains(errs.String(), c.says) {
			t.Errorf("%q: exit %d, says %q, want %d and %q", c.args, code, errs.String(), c.code, c.says)
		}
	}
	o := programs(t, host(t))
	o.arches = []string{"mips"}
	if err := build(context.Background(), o, &bytes.Buffer{}); err == nil || !strings.Contains(err.Error(), `processor "mips"`) {
		t.Errorf("error %v", err)
	}
}

// TestClassesHaveTheirDrivers holds the unit to what systemd.resource-control(5)
// says of DeviceAllow: a class counts when the kernel has it as the service starts.
func TestClassesHaveTheirDrivers(t *testing.T) {
	builtIn := []string{"ttyS", "ttyAMA", "ttymxc", "ttyO", "gpiochip"} // in Debian's kernels for the processors that have them
	modules := map[string]string{"ttyUSB": "usbserial", "ttyACM": "cdc_acm", "video4linux": "videodev", "spi": "spidev"}
	text, err := files.ReadFile("files/ciglio.service")
	if err != nil {
		t.Fatal(err)
	}
	allowed, wants, after := 0, "", ""
	var needed []string
	for line := range strings.Lines(string(text)) {
		switch key, value, _ := strings.Cut(strings.TrimSpace(line), "="); key {
		case "Wants":
			wants += value + " "
		case "After":
			after += value + " "
		case "DeviceAllow":
			class, _, _ := strings.Cut(strings.TrimPrefix(value, "char-"), " ")
			allowed++
			if m := modules[class]; m != "" {
				needed = append(needed, "modprobe@"+m+".service")
			} else if !slices.Contains(builtIn, class) {
				t.Errorf("DeviceAllow=%s: which driver has it?", value)
			}
		}
	}
	for _, unit := range needed {
		if !strings.Contains(wants, unit+" ") || !strings.Contains(after, unit+" ") {
			t.Errorf("%s is not in Wants and After", unit)
		}
	}
	if allowed < 9 || len(needed) != len(modules) {
		t.Errorf("%d classes, %d of modules", allowed, len(needed))
	}
}
