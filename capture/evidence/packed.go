package evidence

import (
	"bytes"
	"cmp"
	"compress/flate"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
	"strings"
	"unicode/utf8"
)

// A bundle that a person unpacked and packed again is another archive and the same
// evidence: compressed, in another order, within a folder, with what a desktop
// leaves behind. It is read by its directory, for the files that a record can
// name; all others are told and not looked at. Two readers could be shown two
// files in one such archive, so there is one of each name, where the directory and
// the data say the same, and none overlaps another.

// maxPacked bounds the files of an archive that was packed anew.
const maxPacked = 1000

// packedEntry is what the directory says of a file.
type packedEntry struct {
	name                    string // with slashes
	raw                     string // as it stands there
	flags, method           uint16
	crc, size, full, offset uint32
	data                    uint32 // where its bytes begin
}

// readPacked reads an archive that another program packed. It returns the files
// that a bundle may hold, by their names in it, and the names of all others.
func readPacked(r io.ReaderAt, size int64) (files []file, foreign []string, err error) {
	entries, start, err := readDirectory(r, size)
	if err != nil {
		return nil, nil, err
	}
	prefix, err := folderOfRecord(entries)
	if err != nil {
		return nil, nil, err
	}
	allowed := map[string]bundleFile{}
	for _, f := range bundleFiles() {
		allowed[f.name] = f
	}
	taken := map[int]bool{}
	for i := range entries {
		e := &entries[i]
		if err := e.locate(r, start); err != nil {
			return nil, nil, fmt.Errorf("zip: %.80q: %w", e.name, err)
		}
		name, inside := strings.CutPrefix(e.name, prefix)
		f, known := allowed[name]
		switch {
		case strings.HasSuffix(e.name, "/"): // a folder
			continue
		case !inside || !known:
			foreign = append(foreign, e.name)
			continue
		case taken[f.at]:
			return nil, nil, fmt.Errorf("%s: stands twice, or another file stands in its place", name)
		}
		taken[f.at] = true
		data, err := e.read(r, f.max)
		if err != nil {
			return nil, nil, fmt.Errorf("%s: %w", name, err)
		}
		files = append(files, file{name, data})
	}
	slices.SortFunc(entries, func(a, b packedEntry) int { return cmp.Compare(a.offset, b.offset) })
	for i := 1; i < len(entries); i++ {
		if last := entries[i-1]; entries[i].offset < last.data+last.size {
			return nil, nil, fmt.Errorf("zip: %.80q and %.80q overlap", last.name, entries[i].name)
		}
	}
	slices.Sort(foreign)
	return files, foreign, nil
}

// readDirectory reads the directory at the end of an archive, and where it begins.
func readDirectory(r io.ReaderAt, size int64) ([]packedEntry, uint32, error) {
	tail := make([]byte, min(size, endSize+0xffff))
	if _, err := r.ReadAt(tail, size-int64(len(tail))); err != nil && !errors.Is(err, io.EOF) {
		return nil, 0, fmt.Errorf("zip: %w", err)
	}
	at := -1
	for i := len(tail) - endSize; i >= 0; i-- {
		if string(tail[i:i+4]) == "PK\x05\x06" && int(binary.LittleEndian.Uint16(tail[i+20:])) == len(tail)-i-endSize {
			at = i
			break
		}
	}
	if at < 0 {
		return nil, 0, fmt.Errorf("zip: %w: there is no directory at its end, so it was cut off, or something follows it", ErrTruncated)
	}
	end := tail[at:]
	count, length, start := int(binary.LittleEndian.Uint16(end[10:])), binary.LittleEndian.Uint32(end[12:]), binary.LittleEndian.Uint32(end[16:])
	switch {
	case !bytes.Equal(end[4:8], make([]byte, 4)) || !bytes.Equal(end[8:10], end[10:12]):
		return nil, 0, errors.New("zip: in several parts")
	case count > maxPacked:
		return nil, 0, fmt.Errorf("zip: %w: %d files, want at most %d", ErrTooLarge, count, maxPacked)
	case int64(start)+int64(length) != size-int64(len(tail)-at):
		return nil, 0, errors.New("zip: the directory does not lie where the end says")
	case length > 4<<20:
		return nil, 0, fmt.Errorf("zip: directory: %w", ErrTooLarge)
	}
	b := make([]byte, length)
	if _, err := r.ReadAt(b, int64(start)); err != nil && !errors.Is(err, io.EOF) {
		return nil, 0, fmt.Errorf("zip: %w", err)
	}
	var entries []packedEntry
	for range count {
		if len(b) < centralSize || string(b[:4]) != "PK\x01\x02" {
			return nil, 0, errors.New("zip: the directory is damaged")
		}
		n, extra := int(binary.LittleEndian.Uint16(b[28:])), int(binary.LittleEndian.Uint16(b[30:]))+int(binary.LittleEndian.Uint16(b[32:]))
		if len(b) < centralSize+n+extra {
			return nil, 0, errors.New("zip: the directory is damaged")
		}
		entries = append(entries, packedEntry{
			raw: string(b[centralSize : centralSize+n]), name: plainName(string(b[centralSize : centralSize+n])), flags: binary.LittleEndian.Uint16(b[8:]), method: binary.LittleEndian.Uint16(b[10:]),
			crc: binary.LittleEndian.Uint32(b[16:]), size: binary.LittleEndian.Uint32(b[20:]), full: binary.LittleEndian.Uint32(b[24:]),
			offset: binary.LittleEndian.Uint32(b[42:]),
		})
		b = b[centralSize+n+extra:]
	}
	if len(b) > 0 {
		return nil, 0, errors.New("zip: the directory is damaged")
	}
	return entries, start, nil
}

// plainName returns a name with slashes between folders. Some packers of Windows
// write backslashes, which no name of a bundle has.
func plainName(raw string) string {
	if !utf8.ValidString(raw) { // of a packer without UTF-8: Latin-1, so that all verifiers show the same
		var b strings.Builder
		for i := range len(raw) {
			b.WriteRune(rune(raw[i]))
		}
		raw = b.String()
	}
	return strings.ReplaceAll(raw, `\`, "/")
}

// folderOfRecord returns the folder within the archive that the record lies in,
// with its slash: none, or the one that lies in the fewest folders.
func folderOfRecord(entries []packedEntry) (string, error) {
	prefix, found := "", 0
	for _, e := range entries {
		dir, ok := strings.CutSuffix(e.name, nameRecord)
		if !ok || dir != "" && !strings.HasSuffix(dir, "/") {
			continue
		}
		switch depth := strings.Count(dir, "/"); {
		case found == 0 || depth < strings.Count(prefix, "/"):
			prefix, found = dir, 1
		case depth == strings.Count(prefix, "/") && dir != prefix:
			found++
		}
	}
	switch found {
	case 0:
		return "", fmt.Errorf("%s: missing", nameRecord)
	case 1:
		return prefix, nil
	}
	return "", fmt.Errorf("%s: stands in %d folders: unpack the archive, and check the folder", nameRecord, found)
}

// locate finds where the bytes of a file begin, and checks that the data says the
// same of it as the directory, which begins at start.
func (e *packedEntry) locate(r io.ReaderAt, start uint32) error {
	header := make([]byte, localSize+len(e.raw))
	if _, err := r.ReadAt(header, int64(e.offset)); err != nil || string(header[:4]) != "PK\x03\x04" {
		return errors.New("the data is not where the directory says")
	}
	const follows = 8 // flag: checksum and sizes stand behind the data
	sizes := binary.LittleEndian.AppendUint32(nil, e.crc)
	sizes = binary.LittleEndian.AppendUint32(sizes, e.size)
	sizes = binary.LittleEndian.AppendUint32(sizes, e.full)
	behind := e.flags&follows != 0 && bytes.Equal(header[14:26], make([]byte, 12))
	if int(binary.LittleEndian.Uint16(header[26:])) != len(e.raw) || string(header[localSize:]) != e.raw ||
		binary.LittleEndian.Uint16(header[6:]) != e.flags || binary.LittleEndian.Uint16(header[8:]) != e.method ||
		!behind && !bytes.Equal(header[14:26], sizes) {
		return errors.New("the directory and the data say different things of it")
	}
	from := int64(e.offset) + int64(len(header)) + int64(binary.LittleEndian.Uint16(header[28:]))
	if from+int64(e.size) > int64(start) {
		return ErrTruncated
	}
	e.data = uint32(from)
	return nil
}

// read returns the bytes of a file of at most limit bytes.
func (e *packedEntry) read(r io.ReaderAt, limit int) ([]byte, error) {
	const slack = 64 << 10 // what compression may add to what does not compress
	switch {
	case e.flags&^0x080e != 0: // but hints, a size that follows the data, and names in UTF-8
		return nil, errors.New("encrypted, or packed in a way that is not known here")
	case e.method != 0 && e.method != 8:
		return nil, errors.New("packed in a way that is not known here")
	case e.full < 1 || e.full > uint32(limit) || e.size > uint32(limit)+slack:
		return nil, fmt.Errorf("%w: %d bytes, want 1 to %d", ErrTooLarge, e.full, limit)
	}
	data := make([]byte, e.size)
	if _, err := r.ReadAt(data, int64(e.data)); err != nil {
		return nil, fmt.Errorf("zip: %w", err)
	}
	if e.method == 8 {
		packed := bytes.NewReader(data)
		var out bytes.Buffer
		_, err := io.Copy(&out, io.LimitReader(flate.NewReader(packed), int64(e.full)+1))
		if err != nil || out.Len() != int(e.full) || packed.Len() > 0 {
			return nil, errors.New("damaged: it does not unpack to what the directory says")
		}
		data = out.Bytes()
	}
	if len(data) != int(e.full) || crc32.ChecksumIEEE(data) != e.crc {
		return nil, errors.New("damaged: the checksum of the zip differs")
	}
	return data, nil
}
