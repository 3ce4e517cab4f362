package evidence

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

// A bundle's zip has one spelling: every file stored without compression, in
// the order of [bundleFiles], dated 1 January 1980, without comments, extra
// fields or anything between. Any program opens it, and ours, which reads from
// the front and then compares the directory, cannot be shown other files than
// they see. What has another spelling was packed anew: see packed.go.

const (
	localSize   = 30
	centralSize = 46
	endSize     = 22
)

// file is one file of a bundle.
type file struct {
	name string
	data []byte
}

// zipEntry is what the local header and the directory say of a file.
type zipEntry struct {
	name              string
	crc, size, offset uint32
}

// common appends the fields that both headers share: version needed 2.0, no
// flags, stored, 1980-01-01 00:00, checksum, both sizes, length of the name, no
// extra field.
func (e *zipEntry) common(b []byte) []byte {
	b = append(b, 20, 0, 0, 0, 0, 0, 0, 0, 0x21, 0)
	b = binary.LittleEndian.AppendUint32(b, e.crc)
	b = binary.LittleEndian.AppendUint32(b, e.size)
	b = binary.LittleEndian.AppendUint32(b, e.size)
	b = binary.LittleEndian.AppendUint16(b, uint16(len(e.name)))
	return append(b, 0, 0)
}

func (e *zipEntry) local() []byte {
	return append(e.common([]byte("PK\x03\x04")), e.name...)
}

func (e *zipEntry) central(b []byte) []byte {
	b = e.common(append(b, "PK\x01\x02\x14\x00"...)) // made by version 2.0
	b = append(b, make([]byte, 10)...)               // no comment, disk 0, no attributes
	b = binary.LittleEndian.AppendUint32(b, e.offset)
	return append(b, e.name...)
}

// directory returns what follows the last file.
func directory(entries []zipEntry, start uint32) []byte {
	var b []byte
	for i := range entries {
		b = entries[i].central(b)
	}
	size, count := len(b), uint16(len(entries))
	b = append(b, "PK\x05\x06\x00\x00\x00\x00"...)
	b = binary.LittleEndian.AppendUint16(b, count)
	b = binary.LittleEndian.AppendUint16(b, count)
	b = binary.LittleEndian.AppendUint32(b, uint32(size))
	b = binary.LittleEndian.AppendUint32(b, start)
	return append(b, 0, 0)
}

// writeZip writes the files in the given order.
func writeZip(w io.Writer, files []file) error {
	var entries []zipEntry
	var offset uint32
	for _, f := range files {
		e := zipEntry{name: f.name, crc: crc32.ChecksumIEEE(f.data), size: uint32(len(f.data)), offset: offset}
		entries = append(entries, e)
		header := e.local()
		if _, err := w.Write(header); err != nil {
			return err
		}
		if _, err := w.Write(f.data); err != nil {
			return err
		}
		offset += uint32(len(header)) + e.size
	}
	_, err := w.Write(directory(entries, offset))
	return err
}

// readZip reads what [writeZip] writes, and no other spelling. allow tells the
// largest size of a file of that name, or why it may not come next; memory for a
// file is taken only after it has agreed.
func readZip(r *io.SectionReader, allow func(name string) (max int, err error)) ([]file, error) {
	var files []file
	var entries []zipEntry
	var offset uint32
	for {
		header := make([]byte, localSize)
		if err := fill(r, header[:4]); err != nil {
			return nil, err
		}
		if string(header[:4]) != "PK\x03\x04" {
			return files, checkDirectory(r, header[:4], directory(entries, offset))
		}
		if err := fill(r, header[4:]); err != nil {
			return nil, err
		}
		name := make([]byte, min(binary.LittleEndian.Uint16(header[26:]), 64))
		if err := fill(r, name); err != nil {
			return nil, err
		}
		e := zipEntry{
			name: string(name), crc: binary.LittleEndian.Uint32(header[14:]),
			size: binary.LittleEndian.Uint32(header[22:]), offset: offset,
		}
		if !bytes.Equal(append(header, name...), e.local()) {
			return nil, fmt.Errorf("zip: file %q: compressed, or not written as a bundle is", name)
		}
		limit, err := allow(e.name)
		if err != nil {
			return nil, err
		}
		if e.size < 1 || e.size > uint32(limit) {
			return nil, fmt.Errorf("%s: %w: %d bytes, want 1 to %d", e.name, ErrTooLarge, e.size, limit)
		}
		next := offset + uint32(len(header)+len(name)) + e.size
		if int64(next) > r.Size() {
			return nil, fmt.Errorf("%s: %w", e.name, ErrTruncated)
		}
		data := make([]byte, e.size)
		if err := fill(r, data); err != nil {
			return nil, fmt.Errorf("%s: %w", e.name, err)
		}
		if crc32.ChecksumIEEE(data) != e.crc {
			return nil, fmt.Errorf("%s: damaged: the checksum of the zip differs", e.name)
		}
		files, entries = append(files, file{e.name, data}), append(entries, e)
		offset = next
	}
}

// checkDirectory compares what follows the last file, of which the first bytes
// are read, with what must follow.
func checkDirectory(r io.Reader, begun, want []byte) error {
	got, err := io.ReadAll(io.LimitReader(r, int64(len(want))))
	switch {
	case err != nil:
		return fmt.Errorf("zip: %w", err)
	case !bytes.Equal(append(begun[:4:4], got...), want):
		return errors.New("zip: the directory is not the one of the files, or something follows it")
	}
	return nil
}

// fill reads exactly as many bytes as b has.
func fill(r io.Reader, b []byte) error {
	_, err := io.ReadFull(r, b)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = ErrTruncated
	}
	if err != nil {
		return fmt.Errorf("zip: %w", err)
	}
	return nil
}
