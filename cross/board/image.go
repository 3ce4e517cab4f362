package board

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
)

// Format makes a disk image of that size, sparse, with a file system: ext4, vfat
// or exfat. It needs the Debian packages e2fsprogs, dosfstools or exfatprogs.
func Format(ctx context.Context, image, kind string, size int64) error {
	return format(ctx, image, kind, size)
}

// FormatWith makes an image with ext4 that holds what is in a folder. What is a
// hole in a file there is one in the image.
func FormatWith(ctx context.Context, image, folder string, size int64) error {
	return format(ctx, image, "ext4", size, "-d", folder)
}

func format(ctx context.Context, image, kind string, size int64, options ...string) error {
	command := map[string][]string{
		"ext4":  {"mkfs.ext4", "-q", "-F"},
		"vfat":  {"mkfs.vfat"},
		"exfat": {"mkfs.exfat"},
	}[kind]
	if command == nil {
		return fmt.Errorf("board: no file system %q; want ext4, vfat or exfat", kind)
	}
	if err := Blank(image, size); err != nil {
		return err
	}
	path := []string{"PATH=" + os.Getenv("PATH") + ":/usr/sbin:/sbin"} // a user's own may not have them
	if _, err := output(ctx, "", path, "env", slices.Concat(command, options, []string{image})...); err != nil {
		return fmt.Errorf("board: %s: %w", image, err)
	}
	return nil
}

// PutFiles writes files into the root folder of an image with vfat, by their names, as
// who fills a stick at a desk. It needs the Debian package mtools.
func PutFiles(ctx context.Context, image string, files map[string][]byte) error {
	dir, err := os.MkdirTemp("", "ciglio-stick-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	for name, content := range files {
		from := filepath.Join(dir, name)
		if err := os.WriteFile(from, content, 0o600); err != nil {
			return err
		}
		if _, err := output(ctx, "", nil, "mcopy", "-i", image, from, "::"+name); err != nil {
			return fmt.Errorf("board: %s: %w (Debian package mtools)", image, err)
		}
	}
	return nil
}

// Files returns what is in the root folder of an image with vfat, by name.
func Files(ctx context.Context, image string) (map[string][]byte, error) {
	dir, err := os.MkdirTemp("", "ciglio-stick-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	if _, err := output(ctx, "", nil, "mcopy", "-n", "-s", "-i", image, "::", dir); err != nil {
		return nil, fmt.Errorf("board: %s: %w (Debian package mtools)", image, err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{}
	for _, e := range entries {
		if e.IsDir() {
			continue
		}
		if files[e.Name()], err = os.ReadFile(filepath.Join(dir, e.Name())); err != nil {
			return nil, err
		}
	}
	return files, nil
}

// Blank makes an image of zeros, sparse, or empties the one that is there.
func Blank(image string, size int64) error {
	f, err := os.Create(image)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Truncate(size)
}
