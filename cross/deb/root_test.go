package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// suite is the release of Debian that packages are installed in, and extras what
// it has beyond the least that Debian can be.
const suite = "bookworm"

var extras = []string{"systemd", "udev", "man-db", "adduser"}

// A debian is a Debian of its own in a folder, just installed.
type debian struct {
	arch, dir string
	enter     func(ctx context.Context, args ...string) *exec.Cmd
	leader    string // process number of its systemd, once it runs
}

// selected skips a test that the environment does not ask for: CIGLIO_PACKAGES
// is short, for this machine's processor, or all.
func selected(t *testing.T, wanted ...string) {
	t.Helper()
	if v := os.Getenv("CIGLIO_PACKAGES"); !slices.Contains(wanted, v) {
		t.Skipf("CIGLIO_PACKAGES is %q, want one of %q", v, wanted)
	}
	if os.Getuid() != 0 {
		missing(t, "only root may install a Debian in a folder")
	}
}

// newDebian unpacks a Debian from the user's cache, and makes it first when it
// is not there.
func newDebian(t *testing.T, arch string) *debian {
	t.Helper()
	needs(t, "debootstrap", "tar", "chroot")
	if arch != nativeArch() {
		emulate(t, arch)
	}
	archive := bootstrapped(t, arch)
	d := &debian{arch: arch, dir: filepath.Join(t.TempDir(), "root")}
	if err := os.Mkdir(d.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	command(t, ".", "tar", "--extract", "--numeric-owner", "--preserve-permissions", "--file", archive, "--directory", d.dir)
	// It need not outlive this test, let alone a power cut.
	write(t, filepath.Join(d.dir, "etc/dpkg/dpkg.cfg.d/unsafe"), []byte("force-unsafe-io\n"))
	d.enter = func(ctx context.Context, args ...string) *exec.Cmd {
		return exec.CommandContext(ctx, "chroot", append([]string{d.dir}, args...)...)
	}
	return d
}

// bootstrapped returns an archive of a Debian that was never used.
func bootstrapped(t *testing.T, arch string) string {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	folder := filepath.Join(cache, "ciglio")
	if err := os.MkdirAll(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	archive := filepath.Join(folder, fmt.Sprintf("debian-%s-%s-%.8x.tar", suite, arch, sha256.Sum256([]byte(strings.Join(extras, " ")))))
	lock, err := os.OpenFile(archive+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close() // and so another run of this test may go on
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(archive); err == nil {
		return archive
	}
	t.Logf("making %s, which takes minutes", archive)
	dir := filepath.Join(t.TempDir(), "bootstrap")
	command(t, ".", "debootstrap", "--variant=minbase", "--arch="+arch, "--include="+strings.Join(extras, ","), suite, dir, mirror(t))
	part := archive + ".part"
	command(t, ".", "tar", "--create", "--numeric-owner", "--file", part, "--directory", dir, ".")
	if err := os.Rename(part, archive); err != nil {
		t.Fatal(err)
	}
	return archive
}

// mirror returns the archive that this machine's apt takes Debian from.
func mirror(t *testing.T) string {
	t.Helper()
	needs(t, "apt-get")
	out := command(t, ".", "apt-get", "indextargets", "--format", "$(REPO_URI) $(CODENAME) $(COMPONENT)", "Created-By: Packages", "Origin: Debian")
	for line := range strings.Lines(out) {
		if f := strings.Fields(line); len(f) == 3 && f[1] == suite && f[2] == "main" {
			return f[0]
		}
	}
	missing(t, "apt knows no archive of Debian "+suite)
	return ""
}

// emulate makes the kernel run programs of another processor, for the time of the
// test. The emulator is opened here and now, so that a Debian needs none of it.
func emulate(t *testing.T, arch string) {
	t.Helper()
	machine, processor := map[string]string{"armhf": `\x01\x01\x01`, "arm64": `\x02\x01\x01`}[arch], map[string]string{"armhf": "arm", "arm64": "aarch64"}[arch]
	number := map[string]string{"armhf": `\x28\x00`, "arm64": `\xb7\x00`}[arch]
	qemu := "qemu-" + processor + "-static"
	needs(t, qemu)
	path, err := exec.LookPath(qemu)
	if err != nil {
		t.Fatal(err)
	}
	const formats = "/proc/sys/fs/binfmt_misc"
	if _, err := os.Stat(formats + "/register"); err != nil {
		if err := syscall.Mount("binfmt_misc", formats, "binfmt_misc", 0, ""); err != nil {
			missing(t, fmt.Sprintf("the kernel runs no programs of other processors: %v", err))
		}
	}
	name := fmt.Sprintf("ciglio-%s-%d", processor, os.Getpid())
	const zeros = `\x00\x00\x00\x00\x00\x00\x00\x00\x00`
	rule := ":" + name + `:M::\x7fELF` + machine + zeros + `\x02\x00` + number +
		`:\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff:` + path + ":F"
	if err := os.WriteFile(formats+"/register", []byte(rule), 0o200); err != nil {
		missing(t, fmt.Sprintf("programs of %s: %v", arch, err))
	}
	t.Cleanup(func() { os.WriteFile(filepath.Join(formats, name), []byte("-1"), 0o200) })
}

// run runs a program in the Debian and returns all it prints, and its error.
func (d *debian) try(t *testing.T, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := d.enter(ctx, append([]string{
		"/usr/bin/env", "-i", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root",
		"LC_ALL=C.UTF-8", "TERM=dumb", "DEBIAN_FRONTEND=noninteractive", "MANPAGER=cat",
	}, args...)...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (d *debian) run(t *testing.T, args ...string) string {
	t.Helper()
	out, err := d.try(t, args...)
	if err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// add copies a file into the Debian.
func (d *debian) add(t *testing.T, from, to string) {
	t.Helper()
	text, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(d.dir, to), text, 0o644); err != nil {
		t.Fatal(err)
	}
}

func (d *debian) read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(d.dir, path))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func (d *debian) has(path string) bool {
	_, err := os.Lstat(filepath.Join(d.dir, path))
	return err == nil
}

// state returns what is in /var/lib/ciglio: of each file its owner, mode and
// check sum.
func (d *debian) state(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	dir := filepath.Join(d.dir, "var/lib/ciglio")
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		var text []byte
		if e.Type().IsRegular() {
			if text, err = os.ReadFile(path); err != nil {
				return err
			}
		}
		owner := info.Sys().(*syscall.Stat_t)
		fmt.Fprintf(&b, "%s %v %d:%d %x\n", strings.TrimPrefix(path, dir), info.Mode(), owner.Uid, owner.Gid, sha256.Sum256(text))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// upgrades returns three packages of rising versions. The third one has
// another default configuration.
func upgrades(t *testing.T, arch string) [3]string {
	t.Helper()
	needs(t, "dpkg-deb")
	o := programs(t, arch)
	for range 2 {
		if err := build(t.Context(), o, &bytes.Buffer{}); err != nil {
			t.Fatal(err)
		}
		o.epoch = o.epoch.Add(24 * time.Hour)
	}
	made, err := filepath.Glob(filepath.Join(o.dist, "*_"+arch+".deb"))
	if err != nil || len(made) != 2 {
		t.Fatalf("packages %q, %v", made, err)
	}
	dir := filepath.Join(t.TempDir(), "third")
	command(t, ".", "dpkg-deb", "--raw-extract", made[1], dir)
	for name, change := range map[string]func(string) string{
		"DEBIAN/control": func(s string) string {
			return regexp.MustCompile(`(?m)^Version: .*$`).ReplaceAllString(s, "Version: 9.0.0")
		},
		"etc/ciglio/ciglio.toml": func(s string) string { return s + "# a later default\n" },
	} {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(change(string(text))), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	third := filepath.Join(o.dist, "third.deb")
	command(t, ".", "dpkg-deb", "--root-owner-group", "-Znone", "--build", dir, third)
	return [3]string{made[0], made[1], third}
}

func TestLifeOfThePackage(t *testing.T) {
	selected(t, "short", "all")
	arches := []string{nativeArch()}
	if os.Getenv("CIGLIO_PACKAGES") == "all" {
		arches = []string{"amd64", "armhf", "arm64"}
	}
	for _, arch := range arches {
		t.Run(arch, func(t *testing.T) {
			packages := upgrades(t, arch)
			t.Run("at the desk", func(t *testing.T) { live(t, newDebian(t, arch), packages) })
			if arch == nativeArch() {
				t.Run("in service", func(t *testing.T) { serve(t, newDebian(t, arch), packages) })
			}
		})
	}
}

// live is the life of a package in a Debian that was never started, as when a
// card is prepared at the desk.
func live(t *testing.T, d *debian, packages [3]string) {
	for i, p := range packages {
		d.add(t, p, fmt.Sprintf("%d.deb", i+1))
	}
	expect := func(out, want string) {
		t.Helper()
		if !strings.Contains(out, want) {
			t.Errorf("nothing of %q in\n%s", want, out)
		}
	}

	// Installed: a user, groups, a folder, which is a partition here; enabled, and not
	// to be started yet.
	d.run(t, "install", "-d", "-m", "0755", "/var/lib/ciglio", "/var/lib/ciglio/lost+found")
	expect(d.run(t, "dpkg", "--install", "/1.deb"), "ciglio does not start before /etc/ciglio/ciglio.toml is filled in")
	if out := d.run(t, "dpkg", "--verify", "ciglio"); out != "" {
		t.Errorf("dpkg --verify: %s", out)
	}
	groups := strings.Fields(d.run(t, "id", "-nG", "ciglio"))
	for _, g := range []string{"ciglio", "dialout", "video"} {
		if !slices.Contains(groups, g) {
			t.Errorf("user ciglio is in %q, not in %s", groups, g)
		}
	}
	if out := strings.TrimSpace(d.run(t, "stat", "-c", "%U:%G %a", "/var/lib/ciglio")); out != "ciglio:ciglio 700" {
		t.Errorf("/var/lib/ciglio is %s", out)
	}
	if out := strings.TrimSpace(d.run(t, "stat", "-c", "%U:%G %a", "/etc/ciglio/ciglio.toml")); out != "root:ciglio 640" {
		t.Errorf("/etc/ciglio/ciglio.toml is %s", out)
	}
	if out := strings.TrimSpace(d.run(t, "systemctl", "is-enabled", "ciglio")); out != "enabled" {
		t.Errorf("the service is %s", out)
	}
	expect(d.run(t, "ciglio", "version"), "core_id ")
	if out, err := d.try(t, "ciglio", "config", "check"); err == nil || !strings.Contains(out, "device.id") {
		t.Errorf("the default configuration is taken: %s", out)
	}
	if own := d.run(t, "ciglio", "config", "print"); own != d.read(t, "etc/ciglio/ciglio.toml") {
		t.Error("/etc/ciglio/ciglio.toml is not what ciglio config print prints")
	}
	expect(d.run(t, "man", "ciglio"), "ciglio outbox export")
	expect(d.run(t, "bash", "-euc", ". /usr/share/bash-completion/completions/ciglio; complete -p ciglio"), "_ciglio")
	for _, path := range []string{"usr/share/doc/ciglio/copyright", "usr/share/doc/ciglio/ciglio.cdx.json"} {
		if !d.has(path) {
			t.Errorf("no %s", path)
		}
	}
	if out := d.run(t, "systemd-analyze", "verify", "ciglio.service", "ciglio-stick.service", "ciglio-software.path", "ciglio-software.service", "ciglio-software-recover.service"); out != "" {
		t.Errorf("systemd-analyze verify: %s", out)
	}

	// A technician fills the configuration in, and the device gathers evidence.
	mine := strings.Replace(d.read(t, "etc/ciglio/ciglio.toml"), `id = ""`, `id = "00112233445566778899aabbccddeeff"`, 1) + "# by the technician\n"
	if err := os.WriteFile(filepath.Join(d.dir, "etc/ciglio/ciglio.toml"), []byte(mine), 0o644); err != nil {
		t.Fatal(err)
	}
	evidence := make([]byte, 1<<20)
	rand.Read(evidence)
	d.run(t, "install", "-d", "-o", "ciglio", "-g", "ciglio", "-m", "700", "/var/lib/ciglio/outbox/segments")
	write(t, filepath.Join(d.dir, "var/lib/ciglio/outbox/segments/00000001.db"), evidence)
	d.run(t, "chown", "ciglio:ciglio", "/var/lib/ciglio/outbox/segments/00000001.db")
	kept := d.state(t)
	same := func(when string) {
		t.Helper()
		if now := d.state(t); now != kept {
			t.Errorf("%s: /var/lib/ciglio was\n%s, is\n%s", when, kept, now)
		}
	}

	// Upgraded. What the administrator has switched off stays off.
	d.run(t, "systemctl", "disable", "ciglio")
	d.run(t, "dpkg", "--install", "/2.deb")
	same("upgrade")
	if d.read(t, "etc/ciglio/ciglio.toml") != mine {
		t.Error("upgrade: the technician's configuration is gone")
	}
	if out, _ := d.try(t, "systemctl", "is-enabled", "ciglio"); strings.TrimSpace(out) != "disabled" {
		t.Errorf("upgrade: the disabled service is %s", out)
	}
	d.run(t, "systemctl", "enable", "ciglio")
	d.run(t, "dpkg", "--force-confdef", "--force-confold", "--install", "/3.deb")
	same("upgrade with another default")
	if d.read(t, "etc/ciglio/ciglio.toml") != mine || !strings.HasSuffix(d.read(t, "etc/ciglio/ciglio.toml.dpkg-dist"), "# a later default\n") {
		t.Error("upgrade with another default: want the technician's configuration, and the default beside it")
	}
	if out := strings.TrimSpace(d.run(t, "dpkg-query", "-W", "-f", "${Version} ${Status}", "ciglio")); out != "9.0.0 install ok installed" {
		t.Errorf("installed is %s", out)
	}

	// Removed, installed again, purged.
	d.run(t, "dpkg", "--remove", "ciglio")
	same("remove")
	for path, want := range map[string]bool{"usr/bin/ciglio": false, "usr/lib/systemd/system/ciglio.service": false, "etc/ciglio/ciglio.toml": true} {
		if d.has(path) != want {
			t.Errorf("removed: %s is there: %t", path, !want)
		}
	}
	d.run(t, "dpkg", "--install", "/3.deb")
	same("installed again")
	if d.read(t, "etc/ciglio/ciglio.toml") != mine {
		t.Error("installed again: the technician's configuration is gone")
	}
	if out := strings.TrimSpace(d.run(t, "systemctl", "is-enabled", "ciglio")); out != "enabled" {
		t.Errorf("installed again: the service is %s", out)
	}
	out := d.run(t, "dpkg", "--purge", "ciglio")
	expect(out, "/var/lib/ciglio is kept")
	same("purge")
	if d.has("etc/ciglio/ciglio.toml") || d.has("etc/systemd/system/ciglio.service") {
		t.Error("purge: the configuration or a mask of the unit is still there")
	}
	d.run(t, "id", "ciglio") // whose files these are

	d.run(t, "dpkg", "--install", "/1.deb")
	same("installed after a purge")
}

func TestLintian(t *testing.T) {
	selected(t, "all")
	needs(t, "lintian")
	p := upgrades(t, nativeArch())
	cmd := exec.CommandContext(t.Context(), "lintian", "--allow-root", "--fail-on", "error,warning", p[0])
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
