// Package writelog reads the log of everything that was written to a disk, and
// rebuilds the disk as a power cut at any moment may have left it.
//
// The log is that of QEMU's block driver blklogwrites, which is also that of the
// kernel's device-mapper target log-writes. [Open] is strict: what it accepts has
// one spelling. The memory it takes is bounded by the size of the log, whatever
// the log says of itself. A [Log] is not changed by its methods, and safe for
// concurrent use if its reader is.
//
// # The format
//
// Numbers are little-endian. The log is a row of sectors, whose size the first
// one names: 512 to 65,536 bytes, a power of two. Positions and lengths on the
// disk are counted in the same sectors.
//
//	sector 0, the super block
//	   0  8  0x006A736677736872
//	   8  8  version = 1
//	  16  8  number of entries
//	  24  4  size of a sector in bytes
//	  28     zero to the end of the sector
//
// The entries follow, each in a sector of its own, and its data behind it:
//
//	 0  8  first sector on the disk
//	 8  8  number of sectors n
//	16  8  flags: 1 flush, 2 FUA, 4 discard, 8 mark
//	24  8  length d of a mark's text in bytes; else 0
//	32  d  a mark's text
//	32+d   zero to the end of the sector
//	       n sectors of data; none for a discard
//
// A flush without data and a mark have n = 0. An entry with neither flag nor data
// says nothing, and is taken for a hole that was never written. The write of one
// sector of AAAA… to sector 3, in a log with sectors of 512 bytes, is
//
//	03 00 00 00 00 00 00 00  01 00 00 00 00 00 00 00  00 × 496  41 × 512
//
// # What the log means
//
// An entry stands where the disk had carried it out. QEMU enters a write when it
// has reached the image, before the guest is told, and a flush when the image was
// flushed. With cache.no-flush=on for image and log nothing can pass between the
// two, so that the entries in front of a flush are those that were carried out
// before it. QEMU brings the number of entries up to date at each flush and after so
// many writes (log-super-update-interval), so that a process that was killed leaves a
// log that ends there, or in the middle of entries it had begun: see [TornError].
//
// A disk with a volatile cache keeps, when its power is cut, everything in front
// of the last flush, and of what came after any part, in any order, down to single
// sectors of 512 bytes, which are written whole or not at all. [Log.Replay]
// makes such states.
package writelog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
)

const (
	magic       = 0x006A736677736872
	version     = 1
	superBytes  = 28
	headBytes   = 32
	minSector   = 512
	maxSector   = 65536
	knownFlags  = Flush | FUA | Discard | Mark
	atomicBytes = 512 // what a disk writes whole or not at all
)

// Flags say what kind of entry it is.
type Flags uint64

// The flags.
const (
	Flush   Flags = 1 << iota // everything in front of it is on the medium
	FUA                       // its data are on the medium
	Discard                   // its sectors hold nothing any more: they read as zero
	Mark                      // a text that somebody has put into the log
)

// ErrFormat: the bytes are no log, or not in its one spelling.
var ErrFormat = errors.New("no write log")

// A TornError says that a log ends before the number of entries it names, as it
// does when whoever wrote it was killed.
type TornError struct {
	Want uint64 // entries by the super block
	Have int    // entries that are there, whole
}

func (e *TornError) Error() string {
	return fmt.Sprintf("write log: %d of %d entries are there", e.Have, e.Want)
}

// An Entry is one thing that was done to the disk.
type Entry struct {
	Flags    Flags
	Offset   int64  // first byte on the disk
	Length   int64  // bytes on the disk
	Text     string // of a mark
	Position int64  // first byte in the log; the data are a sector behind
}

// A Log is an open log.
type Log struct {
	Entries    []Entry
	SectorSize int
	r          io.ReaderAt
}

// Open reads the log of the given size; of the data only where they are. The
// error wraps [ErrFormat], or what reading said, or is a [TornError]: then the log
// is good as far as it goes, and returned too.
func Open(r io.ReaderAt, size int64) (*Log, error) {
	super := make([]byte, superBytes)
	if size < minSector {
		return nil, fmt.Errorf("%w: %d bytes", ErrFormat, size)
	}
	if _, err := r.ReadAt(super, 0); err != nil {
		return nil, fmt.Errorf("write log: super block: %w", err)
	}
	count := binary.LittleEndian.Uint64(super[16:])
	sector := int64(binary.LittleEndian.Uint32(super[24:]))
	switch {
	case binary.LittleEndian.Uint64(super) != magic:
		return nil, fmt.Errorf("%w: it begins with % x", ErrFormat, super[:8])
	case binary.LittleEndian.Uint64(super[8:]) != version:
		return nil, fmt.Errorf("%w: version %d", ErrFormat, binary.LittleEndian.Uint64(super[8:]))
	case sector < minSector || sector > maxSector || sector&(sector-1) != 0:
		return nil, fmt.Errorf("%w: sectors of %d bytes", ErrFormat, sector)
	}
	block := make([]byte, sector)
	if _, err := r.ReadAt(block, 0); err != nil {
		return nil, fmt.Errorf("%w: super block: %w", ErrFormat, err)
	}
	if !zero(block[superBytes:]) {
		return nil, fmt.Errorf("%w: super block: not zero behind its fields", ErrFormat)
	}
	l := &Log{SectorSize: int(sector), r: r}
	for at := sector; uint64(len(l.Entries)) < count; {
		if at > size-sector {
			return l, &TornError{count, len(l.Entries)}
		}
		if _, err := r.ReadAt(block, at); err != nil {
			return nil, fmt.Errorf("write log: entry %d: %w", len(l.Entries), err)
		}
		e, sectors, err := parseEntry(block)
		if err != nil {
			return nil, fmt.Errorf("%w: entry %d: %w", ErrFormat, len(l.Entries), err)
		}
		e.Position = at
		at += sector
		if e.Flags == 0 && sectors == 0 {
			return l, &TornError{count, len(l.Entries)}
		}
		if e.Flags&Discard == 0 {
			if sectors > uint64((size-at)/sector) {
				return l, &TornError{count, len(l.Entries)}
			}
			at += int64(sectors) * sector
		}
		l.Entries = append(l.Entries, e)
	}
	return l, nil
}

// OpenWritten is Open for the file of a log that may still be written, or whose
// writer was killed: it is good as far as it goes, and that it ends there is no error.
func OpenWritten(f *os.File) (*Log, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	l, err := Open(f, info.Size())
	if torn := (*TornError)(nil); errors.As(err, &torn) {
		err = nil
	}
	return l, err
}

// parseEntry reads the sector of an entry.
func parseEntry(block []byte) (e Entry, sectors uint64, err error) {
	first := binary.LittleEndian.Uint64(block)
	sectors = binary.LittleEndian.Uint64(block[8:])
	e.Flags = Flags(binary.LittleEndian.Uint64(block[16:]))
	text := binary.LittleEndian.Uint64(block[24:])
	limit := uint64(1<<62) / uint64(len(block))
	switch {
	case e.Flags&^knownFlags != 0:
		err = fmt.Errorf("flags %#x", uint64(e.Flags))
	case e.Flags&Mark != 0 && e.Flags != Mark, e.Flags&Discard != 0 && e.Flags&(Flush|FUA) != 0:
		err = fmt.Errorf("flags %#x do not go together", uint64(e.Flags))
	case first > limit || sectors > limit:
		err = fmt.Errorf("sectors %d and %d more", first, sectors)
	case e.Flags&Mark == 0 && text != 0, text > uint64(len(block)-headBytes):
		err = fmt.Errorf("a text of %d bytes", text)
	case e.Flags&Mark != 0 && (first != 0 || sectors != 0), sectors == 0 && first != 0:
		err = fmt.Errorf("sector %d, without data", first)
	case sectors == 0 && e.Flags&(FUA|Discard) != 0:
		err = fmt.Errorf("flags %#x without sectors", uint64(e.Flags))
	case !zero(block[headBytes+text:]):
		err = errors.New("not zero behind its fields")
	}
	e.Offset, e.Length = int64(first)*int64(len(block)), int64(sectors)*int64(len(block))
	if err == nil && text > 0 {
		e.Text = string(block[headBytes : headBytes+text])
	}
	return e, sectors, err
}

func zero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}

// Data returns what entry i has written: nil for a discard, a mark and a flush
// alone.
func (l *Log) Data(i int) ([]byte, error) {
	e := l.Entries[i]
	if e.Flags&Discard != 0 || e.Length == 0 {
		return nil, nil
	}
	b := make([]byte, e.Length)
	if _, err := l.r.ReadAt(b, e.Position+int64(l.SectorSize)); err != nil {
		return nil, fmt.Errorf("write log: data of entry %d: %w", i, err)
	}
	return b, nil
}
