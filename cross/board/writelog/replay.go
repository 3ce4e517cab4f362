package writelog

import (
	"fmt"
	"math/rand/v2"
)

// Flushed returns how many of the first n entries a disk must have kept when its
// power was cut after them: all in front of the last flush. Later ones may be lost.
func (l *Log) Flushed(n int) int {
	for i := n - 1; i >= 0; i-- {
		if l.Entries[i].Flags&Flush != 0 {
			return i
		}
	}
	return 0
}

// A Fate says for one sector of 512 bytes, counted within its entry, whether it
// reached the medium.
type Fate func(entry, sector int) bool

// All is the fate of a disk that lost nothing, as when only the computer was cut
// off and not the disk.
func All(int, int) bool { return true }

// None is the fate of a disk that lost all it could.
func None(int, int) bool { return false }

// Random returns the fate of a disk that kept about a third of the writes whole, a
// third not at all, and of the others single sectors. Entries must be asked for
// one after the other.
func Random(r *rand.Rand) Fate {
	last, lot := -1, 0
	return func(entry, _ int) bool {
		if entry != last {
			last, lot = entry, r.IntN(3)
		}
		return lot == 0 || lot == 1 && r.IntN(2) == 0
	}
}

// Replay brings entries from up to to, which is not included, onto a disk that
// holds all before from, in their order. fate says what of them arrived; nil means
// all. What was written with FUA arrives in any case. An entry that does not lie on
// the disk is an error.
func (l *Log) Replay(disk []byte, from, to int, fate Fate) error {
	for i := from; i < to; i++ {
		e := l.Entries[i]
		if e.Offset > int64(len(disk)) || e.Length > int64(len(disk))-e.Offset {
			return fmt.Errorf("write log: entry %d: %d bytes at %d, the disk has %d", i, e.Length, e.Offset, len(disk))
		}
		data, err := l.Data(i)
		if err != nil {
			return err
		}
		part := disk[e.Offset:][:e.Length]
		for at := 0; at < len(part); at += atomicBytes {
			switch {
			case fate != nil && e.Flags&FUA == 0 && !fate(i, at/atomicBytes):
			case e.Flags&Discard != 0:
				clear(part[at:][:atomicBytes])
			default:
				copy(part[at:][:atomicBytes], data[at:])
			}
		}
	}
	return nil
}
