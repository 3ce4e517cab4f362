package outbox

import (
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"strings"

	"ciglio/internal/durable"
)

// mark is the second witness of how far the store has come: its newest segment,
// its epoch, and a number that the next record is at least.
type mark struct{ segment, epoch, next uint64 }

// newer returns the one that knows of more.
func (m mark) newer(n mark) mark {
	if n.segment > m.segment || n.segment == m.segment && at(m.epoch, m.next).Less(at(n.epoch, n.next)) {
		return n
	}
	return m
}

const markFormat = "ciglio outbox 1 segment %d epoch %d next %d"

func (m mark) String() string {
	line := fmt.Sprintf(markFormat, m.segment, m.epoch, m.next)
	return fmt.Sprintf("%s crc %08x\n", line, crc32.Checksum([]byte(line), castagnoli))
}

// parseMark reads the content of the mark file, in its one spelling.
func parseMark(b []byte) (mark, error) {
	var m mark
	line, _, _ := strings.Cut(string(b), " crc ")
	if _, err := fmt.Sscanf(line, markFormat, &m.segment, &m.epoch, &m.next); err != nil {
		return mark{}, fmt.Errorf("mark: %w", err)
	}
	if m.String() != string(b) {
		return mark{}, errors.New("mark: fails its checksum, or a second spelling")
	}
	return m, nil
}

// writeMark replaces the mark file.
func writeMark(dir string, m mark) error {
	return writeFile(filepath.Join(dir, "mark"), []byte(m.String()))
}

// writeFile writes a file that is there whole or not at all.
func writeFile(path string, b []byte) error {
	temp := path + ".new"
	if err := os.WriteFile(temp, b, 0o600); err != nil {
		return errors.Join(err, os.RemoveAll(temp))
	}
	return durable.Place(temp, path)
}

// moveAside moves a file of the store, named from its folder, to damaged/, with
// a note of the reason beside it, and returns its new name.
func moveAside(dir, name string, cause error) (string, error) {
	folder := filepath.Join(dir, "damaged")
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return "", err
	}
	base := filepath.Base(name)
	for i := 1; ; i++ {
		if _, err := os.Lstat(filepath.Join(folder, base)); errors.Is(err, os.ErrNotExist) {
			break
		} else if err != nil {
			return "", err
		}
		base = fmt.Sprintf("%s.%d", filepath.Base(name), i)
	}
	if err := os.Rename(filepath.Join(dir, name), filepath.Join(folder, base)); err != nil {
		return "", err
	}
	if err := errors.Join(durable.SyncFolder(folder), durable.SyncFolder(filepath.Dir(filepath.Join(dir, name))), durable.SyncFolder(dir)); err != nil {
		return "", err
	}
	// The note is for people; the store does not read it.
	_ = os.WriteFile(filepath.Join(folder, base+".txt"), []byte(cause.Error()+"\n"), 0o600)
	return filepath.Join("damaged", base), nil
}
