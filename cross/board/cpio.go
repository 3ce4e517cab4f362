package board

import (
	"fmt"
	"io"
	"os"
	"path"
	"strings"
)

// An archive writes the kernel's initial file system: a cpio archive in the
// "newc" format, as Documentation/driver-api/early-userspace/buffer-format.rst
// of Linux tells it. Every entry is a header of 13 numbers in 8 hexadecimal
// digits, the name and the content, each filled with zeros to 4 bytes.
type archive struct {
	w       io.Writer
	err     error // the first
	entries int
	folders map[string]bool
}

func newArchive(w io.Writer) *archive {
	return &archive{w: w, folders: map[string]bool{".": true, "/": true}}
}

const (
	modeFolder = 0o040755
	modeFile   = 0o100755
	modeDevice = 0o020600
)

// file adds the file at from as name, and the folders above it.
func (a *archive) file(name, from string) {
	f, err := os.Open(from)
	if err != nil {
		a.fail(err)
		return
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		a.fail(err)
		return
	}
	if info.Size() >= 1<<32 {
		a.fail(fmt.Errorf("%s: %d bytes do not fit into an initial file system", from, info.Size()))
		return
	}
	a.folder(path.Dir(path.Clean(name)))
	a.entry(name, modeFile, info.Size(), 0, 0, f)
}

// text adds a file by its content.
func (a *archive) text(name, content string) {
	a.folder(path.Dir(path.Clean(name)))
	a.entry(name, modeFile, int64(len(content)), 0, 0, strings.NewReader(content))
}

func (a *archive) folder(name string) {
	if a.folders[name] {
		return
	}
	a.folder(path.Dir(name))
	a.folders[name] = true
	a.entry(name, modeFolder, 0, 0, 0, nil)
}

// device adds a character device.
func (a *archive) device(name string, major, minor int) {
	a.folder(path.Dir(name))
	a.entry(name, modeDevice, 0, major, minor, nil)
}

// close writes the trailer and returns the first error of all.
func (a *archive) close() error {
	a.entry("TRAILER!!!", 0, 0, 0, 0, nil)
	return a.err
}

func (a *archive) entry(name string, mode int, size int64, major, minor int, content io.Reader) {
	name = strings.TrimPrefix(path.Clean(name), "/")
	a.entries++
	const links, device = 1, 0
	head := fmt.Sprintf("070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%s\x00",
		a.entries, mode, 0, 0, links, 0, size, device, device, major, minor, len(name)+1, 0, name)
	a.write(head + zeros(len(head)))
	if content == nil || a.err != nil {
		return
	}
	n, err := io.Copy(a.w, content)
	if err == nil && n != size {
		err = fmt.Errorf("%s: %d bytes, and %d when it was read", name, size, n)
	}
	a.fail(err)
	a.write(zeros(int(size & 3)))
}

func (a *archive) write(s string) {
	if a.err == nil {
		_, a.err = io.WriteString(a.w, s)
	}
}

func (a *archive) fail(err error) {
	if a.err == nil {
		a.err = err
	}
}

// zeros fills n bytes to a multiple of 4.
func zeros(n int) string { return "\x00\x00\x00"[:-n&3] }
