package board

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path"
	"path/filepath"
	"strings"
)

// Build builds a program of this module for the board, static and stripped as it
// is delivered, and returns its file, which stays in the cache.
func Build(ctx context.Context, arch, pkg string) (string, error) {
	return build(ctx, arch, pkg, path.Base(pkg), "build")
}

// BuildTest builds the tests of a package of this module into a program.
func BuildTest(ctx context.Context, arch, pkg string) (string, error) {
	return build(ctx, arch, pkg, strings.ReplaceAll(pkg, "/", "-")+".test", "test", "-c")
}

func build(ctx context.Context, arch, pkg, name string, command ...string) (string, error) {
	arch = cmp.Or(arch, "arm64")
	goarch, goarm, _ := strings.Cut(arch, "-")
	switch arch {
	case "arm64", "arm-6", "arm-7":
	default:
		return "", fmt.Errorf("board: no architecture %q; want arm64, arm-7 or arm-6", arch)
	}
	cache, err := CacheDir()
	if err != nil {
		return "", err
	}
	mod, err := output(ctx, "", nil, "go", "env", "GOMOD")
	if err != nil {
		return "", err
	}
	// Each copy of the source has a folder of its own.
	sum := sha256.Sum256(mod)
	dir := filepath.Join(cache, "programs", hex.EncodeToString(sum[:4]), arch)
	unlock, err := lock(filepath.Join(dir, "lock"))
	if err != nil {
		return "", err
	}
	defer unlock()
	file := filepath.Join(dir, name)
	target := []string{"GOOS=linux", "GOARCH=" + goarch, "GOARM=" + goarm, "CGO_ENABLED=0"}
	args := append(command, "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", file, pkg)
	if _, err := output(ctx, "", target, "go", args...); err != nil {
		return "", fmt.Errorf("board: %s for %s: %w", pkg, arch, err)
	}
	return file, nil
}
