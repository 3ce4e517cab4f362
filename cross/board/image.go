package board

import (
	"context"
	"fmt"
	"os"
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

// Blank makes an image of zeros, sparse, or empties the one that is there.
func Blank(image string, size int64) error {
	f, err := os.Create(image)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Truncate(size)
}
