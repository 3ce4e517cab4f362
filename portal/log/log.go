// Package log is the centre's transparency log: a Merkle tree (RFC 6962) over
// the ids of the records in the order in which they were settled. A receipt
// names the size and the root of the tree, so no record that was receipted can
// be taken out or exchanged later without its receipt telling.
//
// The leaf of a record is SHA-256(0x00 ‖ record id). The hashes of the tree are
// stored by position, in the order of golang.org/x/mod/sumdb/tlog, in the same
// transaction as the records they cover: a [Batch] says which.
//
// A Tree is a plain value that may be copied; [Tree.Begin] does not change it. The zero Tree
// is empty.
package log

import (
	"fmt"
	"maps"
	"math/bits"

	"golang.org/x/mod/sumdb/tlog"

	"ciglio/capture/evidence"
)

// A Tree is the right edge of a log: what is needed to append to it.
type Tree struct {
	size int64
	edge map[int64]tlog.Hash // by stored position: the roots of the full subtrees
}

// Load reads the edge of a log of the given size.
func Load(size uint64, r tlog.HashReader) (Tree, error) {
	t := Tree{size: int64(size), edge: make(map[int64]tlog.Hash)}
	positions := edge(t.size)
	hashes, err := r.ReadHashes(positions)
	if err != nil {
		return Tree{}, fmt.Errorf("log of %d entries: %w", size, err)
	}
	for i, p := range positions {
		t.edge[p] = hashes[i]
	}
	return t, nil
}

// edge returns the positions of the roots of the full subtrees of a log.
func edge(size int64) []int64 {
	var positions []int64
	for start := int64(0); start < size; {
		level := bits.Len64(uint64(size-start)) - 1
		positions = append(positions, tlog.StoredHashIndex(level, start>>level))
		start += 1 << level
	}
	return positions
}

// Size returns the number of entries.
func (t Tree) Size() uint64 { return uint64(t.size) }

// Root returns the root of the tree.
func (t Tree) Root() evidence.Hash {
	root, err := tlog.TreeHash(t.size, known(t.edge))
	if err != nil {
		panic("log: the edge of the tree is not complete: " + err.Error())
	}
	return evidence.Hash(root)
}

// known reads hashes from memory.
type known map[int64]tlog.Hash

func (k known) ReadHashes(positions []int64) ([]tlog.Hash, error) {
	hashes := make([]tlog.Hash, len(positions))
	for i, p := range positions {
		h, ok := k[p]
		if !ok {
			return nil, fmt.Errorf("hash at position %d is not on the edge", p)
		}
		hashes[i] = h
	}
	return hashes, nil
}

// A Batch appends to a tree. When its hashes have been stored, Tree is the new
// tree; when not, the old one still stands.
type Batch struct {
	tree  Tree
	first int64
	fresh []tlog.Hash
}

// Begin begins a batch.
func (t Tree) Begin() *Batch {
	edge := maps.Clone(t.edge)
	if edge == nil {
		edge = make(map[int64]tlog.Hash)
	}
	return &Batch{
		tree:  Tree{size: t.size, edge: edge},
		first: tlog.StoredHashCount(t.size),
	}
}

// Append adds the record with the given id and returns its index.
func (b *Batch) Append(id evidence.Hash) uint64 {
	n := b.tree.size
	hashes, err := tlog.StoredHashesForRecordHash(n, tlog.RecordHash(id[:]), known(b.tree.edge))
	if err != nil {
		panic("log: the edge of the tree is not complete: " + err.Error())
	}
	at := tlog.StoredHashIndex(0, n)
	for i, h := range hashes {
		b.tree.edge[at+int64(i)] = h
	}
	b.fresh = append(b.fresh, hashes...)
	b.tree.size++
	keep := make(map[int64]tlog.Hash)
	for _, p := range edge(b.tree.size) {
		keep[p] = b.tree.edge[p]
	}
	b.tree.edge = keep
	return uint64(n)
}

// Hashes returns what has to be stored: the hashes and the position of the
// first.
func (b *Batch) Hashes() (first int64, hashes []tlog.Hash) { return b.first, b.fresh }

// Tree returns the tree with everything appended.
func (b *Batch) Tree() Tree { return b.tree }

// Prove returns the proof that the entry index lies in the log as it was when it
// had size entries.
func Prove(index, size uint64, r tlog.HashReader) (evidence.Proof, error) {
	hashes, err := tlog.ProveRecord(int64(size), int64(index), r)
	if err != nil {
		return evidence.Proof{}, fmt.Errorf("log entry %d of %d: %w", index, size, err)
	}
	proof := evidence.Proof{Index: index, Size: size, Hashes: make([]evidence.Hash, len(hashes))}
	for i, h := range hashes {
		proof.Hashes[i] = evidence.Hash(h)
	}
	return proof, nil
}
