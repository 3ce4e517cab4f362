package board

import (
	"bytes"
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// A Kernel is Debian's kernel for 64-bit ARM, which also runs 32-bit programs,
// with its modules.
type Kernel struct {
	Version string // such as 6.12.117+deb12-arm64
	Image   string // file that boots

	dir     string            // of all that belongs to it
	modules map[string]string // file of each module by its name, still packed
	builtin map[string]bool   // modules that are part of the image
}

// packages are the names of the kernel's package, in Debian 12 and later: each
// depends on the one of the newest build.
func packages() []string { return []string{"linux-image-6.12-arm64", "linux-image-arm64"} }

// CacheDir returns the folder in which kernels are kept: the environment's
// CIGLIO_BOARD_CACHE, or one in the user's cache folder.
func CacheDir() (string, error) {
	if dir := os.Getenv("CIGLIO_BOARD_CACHE"); dir != "" {
		return dir, nil
	}
	dir, err := os.UserCacheDir()
	return filepath.Join(dir, "ciglio", "board"), err
}

// FetchKernel returns the kernel in the cache. When there is none it has apt
// download Debian's package, whose signature apt checks. Several processes may
// call it at once.
func FetchKernel(ctx context.Context) (*Kernel, error) {
	cache, err := CacheDir()
	if err != nil {
		return nil, err
	}
	unlock, err := lock(filepath.Join(cache, "lock"))
	if err != nil {
		return nil, err
	}
	defer unlock()
	dir := filepath.Join(cache, "kernel")
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		if err := fetch(ctx, cache, dir); err != nil {
			return nil, fmt.Errorf("kernel of the board: %w", err)
		}
	}
	return openKernel(dir)
}

// lock waits for the lock that is the file at path.
func lock(path string) (unlock func(), err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		f.Close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return func() { f.Close() }, nil
}

// fetch downloads the newest build into dir, with lists of packages and an
// architecture of its own, so that nothing of the machine's apt changes.
func fetch(ctx context.Context, cache, dir string) error {
	work, err := os.MkdirTemp(cache, "fetch-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	for _, sub := range []string{"lists/partial", "archives/partial", "tree"} {
		if err := os.MkdirAll(filepath.Join(work, sub), 0o755); err != nil {
			return err
		}
	}
	options := []string{
		"-o", "APT::Architecture=arm64", "-o", "APT::Architectures=arm64",
		"-o", "Dir::State::Lists=" + filepath.Join(work, "lists"), "-o", "Dir::State::status=/dev/null",
		"-o", "Dir::Cache=" + filepath.Join(work, "archives"),
	}
	if os.Getuid() == 0 {
		options = append(options, "-o", "APT::Sandbox::User=root")
	}
	if _, err := output(ctx, work, nil, "apt-get", append(options, "update", "-q")...); err != nil {
		return err
	}
	name, err := newest(ctx, work, options)
	if err != nil {
		return err
	}
	if _, err := output(ctx, work, nil, "apt-get", append(options, "download", "-q", name)...); err != nil {
		return err
	}
	debs, err := filepath.Glob(filepath.Join(work, "*.deb"))
	if err != nil || len(debs) != 1 {
		return fmt.Errorf("%s: %d packages came, want 1", name, len(debs))
	}
	tree := filepath.Join(work, "tree")
	if _, err := output(ctx, work, nil, "dpkg-deb", "-x", debs[0], tree); err != nil {
		return err
	}
	if _, err := openKernel(tree); err != nil {
		return err
	}
	return os.Rename(tree, dir)
}

// newest returns the package of the newest build.
func newest(ctx context.Context, dir string, options []string) (string, error) {
	for _, meta := range packages() {
		text, err := output(ctx, dir, nil, "apt-cache", append(options, "show", "--no-all-versions", meta)...)
		if err != nil {
			continue // this release of Debian does not have it
		}
		for line := range strings.Lines(string(text)) {
			if depends, ok := strings.CutPrefix(line, "Depends: "); ok {
				name, _, _ := strings.Cut(strings.TrimSpace(depends), " ")
				return strings.TrimSuffix(name, ","), nil
			}
		}
	}
	return "", fmt.Errorf("the sources of apt have none of %s for arm64", strings.Join(packages(), ", "))
}

// output runs a program, with more variables in its environment, and returns
// what it prints. Its error says what the program said.
func output(ctx context.Context, dir string, env []string, name string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	cmd.Env = append(append(os.Environ(), "LC_ALL=C"), env...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %s", name, err, bytes.TrimSpace(stderr.Bytes()))
	}
	return out, nil
}

// openKernel looks at the unpacked package in dir.
func openKernel(dir string) (*Kernel, error) {
	images, err := filepath.Glob(filepath.Join(dir, "boot", "vmlinuz-*"))
	if err != nil || len(images) != 1 {
		return nil, fmt.Errorf("%s: %d kernels, want 1; remove the folder to fetch it anew", dir, len(images))
	}
	k := &Kernel{
		Version: strings.TrimPrefix(filepath.Base(images[0]), "vmlinuz-"), Image: images[0],
		dir: dir, modules: map[string]string{}, builtin: map[string]bool{},
	}
	root := filepath.Join(dir, "lib", "modules", k.Version)
	list, err := os.ReadFile(filepath.Join(root, "modules.builtin"))
	if err != nil {
		return nil, err
	}
	for path := range strings.FieldsSeq(string(list)) {
		k.builtin[moduleName(path)] = true
	}
	return k, filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, ".ko.xz") {
			k.modules[moduleName(path)] = path
		}
		return err
	})
}

// moduleName returns what the kernel calls the module of a file.
func moduleName(path string) string {
	name, _, _ := strings.Cut(filepath.Base(path), ".ko")
	return strings.ReplaceAll(name, "-", "_")
}

// Modules returns the files of the named modules and of all that they need, each
// after those it needs: in the order to load them. A module that is part of the
// kernel's image needs no file.
//
// The package has no modules.dep, which depmod writes where it is installed:
// what a module needs is read from the module.
func (k *Kernel) Modules(ctx context.Context, names ...string) ([]string, error) {
	unlock, err := lock(filepath.Join(k.dir, "lock"))
	if err != nil {
		return nil, err
	}
	defer unlock()
	var files []string
	seen := map[string]bool{}
	var add func(name string) error
	add = func(name string) error {
		name = moduleName(name)
		if seen[name] || k.builtin[name] {
			return nil
		}
		seen[name] = true
		file, needs, err := k.module(ctx, name)
		if err != nil {
			return fmt.Errorf("module %s: %w", name, err)
		}
		for _, n := range needs {
			if err := add(n); err != nil {
				return err
			}
		}
		files = append(files, file)
		return nil
	}
	for _, name := range names {
		if err := add(name); err != nil {
			return nil, err
		}
	}
	return files, nil
}

// module unpacks a module, unless it has been, and reads what it needs.
func (k *Kernel) module(ctx context.Context, name string) (file string, needs []string, err error) {
	packed, ok := k.modules[name]
	if !ok {
		return "", nil, fmt.Errorf("kernel %s has none", k.Version)
	}
	file = filepath.Join(k.dir, "unpacked", name+".ko")
	if _, err := os.Stat(file); err != nil {
		image, err := output(ctx, k.dir, nil, "xz", "-dc", packed)
		if err != nil {
			return "", nil, err
		}
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return "", nil, err
		}
		if err := os.WriteFile(file+".new", image, 0o644); err != nil {
			return "", nil, err
		}
		if err := os.Rename(file+".new", file); err != nil {
			return "", nil, err
		}
	}
	f, err := elf.Open(file)
	if err != nil {
		return "", nil, err
	}
	defer f.Close()
	section := f.Section(".modinfo")
	if section == nil {
		return "", nil, errors.New("no .modinfo in it")
	}
	info, err := io.ReadAll(section.Open())
	if err != nil {
		return "", nil, err
	}
	for field := range strings.SplitSeq(string(info), "\x00") {
		if depends, ok := strings.CutPrefix(field, "depends="); ok && depends != "" {
			needs = strings.Split(depends, ",")
		}
	}
	slices.Sort(needs)
	return file, needs, nil
}
