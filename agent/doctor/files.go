package doctor

import (
	"errors"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// inFS is a path of the machine as the file system wants it.
func inFS(name string) string {
	name = strings.TrimPrefix(path.Clean("/"+name), "/")
	if name == "" {
		return "."
	}
	return name
}

// read returns a small text file without its last line break.
func (e *examination) read(name string) (string, error) {
	b, err := fs.ReadFile(e.Root, inFS(name))
	return strings.TrimRight(string(b), "\n\x00"), err
}

// text is read for a file that need not be there. One that is there and cannot
// be read becomes a line of its own: what it would have said is not known.
func (e *examination) text(name string) string {
	s, err := e.read(name)
	e.blind(name, err)
	return s
}

// blind notes a file that could not be looked at. What other users hide from
// this one, in /proc, is no such file, nor is a process that has just ended.
func (e *examination) blind(name string, err error) {
	name = path.Clean("/" + name)
	process := strings.HasPrefix(name, "/proc/") && strings.Trim(strings.Split(name, "/")[2], "0123456789") == ""
	if err == nil || process || errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return
	}
	e.unseen = append(e.unseen, unreadable(name, err))
}

// number reads a file that holds one number, decimal or 0x….
func (e *examination) number(name string) (int64, error) {
	s, err := e.read(name)
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(strings.TrimSpace(s), 0, 64)
}

func (e *examination) exists(name string) bool {
	_, err := fs.Stat(e.Root, inFS(name))
	e.blind(name, err)
	return err == nil
}

// names returns what is in a folder, sorted as people count; none where there
// is no folder.
func (e *examination) names(dir string) []string {
	entries, err := fs.ReadDir(e.Root, inFS(dir))
	e.blind(dir, err)
	var names []string
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	slices.SortFunc(names, natural)
	return names
}

// natural orders tty2 before tty10.
func natural(a, b string) int {
	cut := func(s string) (string, int) {
		stem := strings.TrimRight(s, "0123456789")
		n, _ := strconv.Atoi(s[len(stem):])
		return stem, n
	}
	stemA, a0 := cut(a)
	stemB, b0 := cut(b)
	if stemA != stemB {
		return strings.Compare(stemA, stemB)
	}
	return a0 - b0
}

// glob returns the paths that match a pattern. A bad pattern is a mistake of ours.
func (e *examination) glob(pattern string) []string {
	found := []string{"/"}
	for part := range strings.SplitSeq(inFS(pattern), "/") {
		var next []string
		for _, dir := range found {
			if !strings.ContainsAny(part, "*[") {
				if name := path.Join(dir, part); e.exists(name) {
					next = append(next, name)
				}
				continue
			}
			for _, name := range e.names(dir) {
				if ok, err := path.Match(part, name); err != nil {
					panic(err)
				} else if ok {
					next = append(next, path.Join(dir, name))
				}
			}
		}
		found = next
	}
	return found
}

// link returns where a symbolic link leads, as a path of the machine.
func (e *examination) link(name string) (string, error) {
	to, err := fs.ReadLink(e.Root, inFS(name))
	if err != nil {
		return "", err
	}
	if !path.IsAbs(to) {
		to = path.Join("/", path.Dir(inFS(name)), to)
	}
	return path.Clean(to), nil
}

// resolve follows all links of a path, such as one of /dev/serial/by-id, or a
// folder that is a link to another partition. What is not there stays as it is.
func (e *examination) resolve(name string) string {
	const most = 40 // more is a loop
	at, left, links := "/", strings.Split(inFS(name), "/"), 0
	for len(left) > 0 {
		next := path.Join(at, left[0])
		left = left[1:]
		to, err := e.link(next)
		if err != nil || links == most {
			at = next
			continue
		}
		links++
		at, left = "/", append(strings.Split(inFS(to), "/"), left...)
	}
	return at
}

// nearest returns where dir leads, or the closest folder above it that is there.
func (e *examination) nearest(dir string) string {
	for dir = e.resolve(dir); dir != "/" && !e.exists(dir); {
		dir = path.Dir(dir)
	}
	return dir
}

func isPermission(err error) bool { return errors.Is(err, fs.ErrPermission) }

// plain is an error without the operation and path that its line names already.
func plain(err error) string {
	var where *fs.PathError
	if errors.As(err, &where) {
		return where.Err.Error()
	}
	return err.Error()
}
