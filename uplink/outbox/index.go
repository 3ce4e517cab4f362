package outbox

import (
	"math/bits"
	"slices"
	"time"

	"ciglio/capture/evidence"
)

// segment is what is known in memory of one segment file. Its fields are
// guarded by the index's owner, except number, epoch and firstSeq, which never
// change.
type segment struct {
	number   uint64
	epoch    uint64
	firstSeq uint64
	prev     evidence.Hash // link that the first record carries
	created  time.Time

	next    uint64        // number after that of the last record
	head    evidence.Hash // link of the last record; prev when there is none
	size    int64         // bytes
	settled bitset        // by number less firstSeq
	count   uint64        // of settled

	path     string    // of its file, where that is not in segments/
	last     time.Time // of the last record, when it has been asked for
	checked  bool      // its structure has been walked in this process
	torn     bool      // one of its meta pages is lost, perhaps with the last commit
	orphan   bool      // the entry of a record after its last one lies in the file
	headless error     // why the link of the last record is not known
}

func (s *segment) records() uint64   { return s.next - s.firstSeq }
func (s *segment) unsettled() uint64 { return s.records() - s.count }

func (s *segment) isSettled(seq uint64) bool { return s.settled.has(seq - s.firstSeq) }

func (s *segment) settle(seq uint64) {
	if !s.isSettled(seq) {
		s.settled.set(seq - s.firstSeq)
		s.count++
	}
}

// index is what is known in memory of the whole store: one bit a record, and
// words about the few that are in trouble.
type index struct {
	segments []*segment // in ascending order of number, epoch and record number
	aside    map[Key]string
	damaged  map[Key]string
	lost     map[uint64]*marks // what was settled of segments that are not there
}

// search returns the position of the first segment that has a record at k or
// after it.
func (x *index) search(k Key) int {
	i, _ := slices.BinarySearchFunc(x.segments, k, func(s *segment, k Key) int {
		if at(s.epoch, s.next).Less(k) || at(s.epoch, s.next) == k {
			return -1
		}
		return 1
	})
	return i
}

// find returns the segment that holds the record at k, or nil.
func (x *index) find(k Key) *segment {
	for _, s := range x.segments[x.search(k):] {
		if s.epoch == k.Epoch && s.firstSeq <= k.Seq && k.Seq < s.next {
			return s
		}
		if k.Less(at(s.epoch, s.firstSeq)) {
			break
		}
	}
	return nil
}

// state says what is known of the record at k, which s holds.
func (x *index) state(s *segment, k Key) (State, string) {
	if why, ok := x.damaged[k]; ok {
		return Damaged, why
	}
	if s.isSettled(k.Seq) {
		return Settled, ""
	}
	if why, ok := x.aside[k]; ok {
		return SetAside, why
	}
	return Waiting, ""
}

// place is a record's place in the store.
type place struct {
	seg *segment
	key Key
}

// after lists up to max records after k; with waiting, only those that are to
// be sent.
func (x *index) after(k Key, max int, waiting bool) []place {
	var found []place
	k.Seq++
	for _, s := range x.segments[x.search(k):] {
		seq := s.firstSeq
		if s.epoch == k.Epoch && seq < k.Seq {
			seq = k.Seq
		}
		if waiting && s.unsettled() == 0 {
			continue
		}
		for len(found) < max && seq < s.next {
			if waiting {
				if seq = s.firstSeq + s.settled.clear(seq-s.firstSeq); seq >= s.next {
					break
				}
			}
			p := place{s, at(s.epoch, seq)}
			seq++
			if waiting && len(x.aside)+len(x.damaged) > 0 {
				if st, _ := x.state(s, p.key); st != Waiting {
					continue
				}
			}
			found = append(found, p)
		}
		if len(found) == max {
			break
		}
	}
	return found
}

// remove takes a segment out of the index.
func (x *index) remove(s *segment) {
	x.segments = slices.DeleteFunc(x.segments, func(o *segment) bool { return o == s })
}

// markLost takes a segment out of the index whose records were not dropped.
func (x *index) markLost(s *segment) {
	x.remove(s)
	m := &marks{}
	for seq := s.firstSeq; seq < s.next; seq++ {
		if s.isSettled(seq) {
			m.last, m.seqs = seq, append(m.seqs, seq)
		}
	}
	x.lost[s.number] = m
}

// isSettledLost reports whether a number of a segment that is not there, or lies behind
// its last record, has a receipt.
func (x *index) isSettledLost(segment, seq uint64) bool {
	m := x.lost[segment]
	return m != nil && slices.Contains(m.seqs, seq)
}

// settleLost notes that it has one now.
func (x *index) settleLost(segment, seq uint64) {
	m := x.lost[segment]
	if m == nil {
		m = &marks{}
		x.lost[segment] = m
	}
	i, _ := slices.BinarySearch(m.seqs, seq)
	m.seqs, m.last = slices.Insert(m.seqs, i, seq), max(m.last, seq)
}

// bitset is a set of numbers.
type bitset []uint64

func (b bitset) has(n uint64) bool {
	return n/64 < uint64(len(b)) && b[n/64]&(1<<(n%64)) != 0
}

func (b *bitset) set(n uint64) {
	for uint64(len(*b)) <= n/64 {
		*b = append(*b, 0)
	}
	(*b)[n/64] |= 1 << (n % 64)
}

// clear returns the first number not below n that is not in the set.
func (b bitset) clear(n uint64) uint64 {
	for w := n / 64; w < uint64(len(b)); w++ {
		rest := ^b[w]
		if w == n/64 {
			rest &= ^uint64(0) << (n % 64)
		}
		if rest != 0 {
			return w*64 + uint64(bits.TrailingZeros64(rest))
		}
	}
	return max(n, uint64(len(b))*64)
}
