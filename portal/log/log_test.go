package log

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"testing"

	"golang.org/x/mod/sumdb/tlog"

	"ciglio/capture/evidence"
)

// naive is the root of RFC 6962 section 2.1, by its definition.
func naive(ids []evidence.Hash) evidence.Hash {
	switch len(ids) {
	case 0:
		return sha256.Sum256(nil)
	case 1:
		return sha256.Sum256(append([]byte{0}, ids[0][:]...))
	}
	k := 1
	for k*2 < len(ids) {
		k *= 2
	}
	left, right := naive(ids[:k]), naive(ids[k:])
	return sha256.Sum256(append(append([]byte{1}, left[:]...), right[:]...))
}

func id(n int) evidence.Hash { return sha256.Sum256(binary.BigEndian.AppendUint64(nil, uint64(n))) }

// stored keeps hashes as the SQL table does.
type stored []tlog.Hash

func (s stored) ReadHashes(positions []int64) ([]tlog.Hash, error) {
	hashes := make([]tlog.Hash, len(positions))
	for i, p := range positions {
		if p < 0 || p >= int64(len(s)) {
			return nil, fmt.Errorf("no hash at %d", p)
		}
		hashes[i] = s[p]
	}
	return hashes, nil
}

func TestLogIsTheTreeOfRFC6962(t *testing.T) {
	const most = 130
	var ids []evidence.Hash
	var hashes stored
	tree, err := Load(0, hashes)
	if err != nil {
		t.Fatal(err)
	}
	if tree.Root() != naive(nil) {
		t.Errorf("root of the empty log = %v", tree.Root())
	}
	for len(ids) < most {
		batch := tree.Begin()
		for range len(ids)%5 + 1 {
			if n := batch.Append(id(len(ids))); n != uint64(len(ids)) {
				t.Fatalf("index %d, want %d", n, len(ids))
			}
			ids = append(ids, id(len(ids)))
		}
		first, fresh := batch.Hashes()
		if first != int64(len(hashes)) {
			t.Fatalf("first position %d, want %d", first, len(hashes))
		}
		if lost := tree.Begin(); lost.Tree().Size() != tree.Size() {
			t.Fatal("a batch changed the tree it began from")
		}
		hashes = append(hashes, fresh...)
		tree = batch.Tree()
		again, err := Load(uint64(len(ids)), hashes)
		if err != nil {
			t.Fatal(err)
		}
		root := naive(ids)
		if tree.Root() != root || again.Root() != root {
			t.Fatalf("%d entries: root %v, loaded %v, want %v", len(ids), tree.Root(), again.Root(), root)
		}
		for i, leaf := range ids {
			proof, err := Prove(uint64(i), uint64(len(ids)), hashes)
			if err != nil {
				t.Fatal(err)
			}
			if err := evidence.CheckInclusion(proof.Index, proof.Size, evidence.LeafHash(leaf), proof.Hashes, root); err != nil {
				t.Errorf("entry %d of %d: %v", i, len(ids), err)
			}
			if err := evidence.CheckInclusion(proof.Index, proof.Size, evidence.LeafHash(id(-1)), proof.Hashes, root); err == nil {
				t.Errorf("entry %d of %d: the proof holds for another leaf", i, len(ids))
			}
		}
	}
}

// Receipts name the log as it was; their proofs must hold when it has grown.
func TestProofOfAnEarlierSize(t *testing.T) {
	var hashes stored
	tree, _ := Load(0, hashes)
	var ids []evidence.Hash
	for range 40 {
		b := tree.Begin()
		b.Append(id(len(ids)))
		ids = append(ids, id(len(ids)))
		_, fresh := b.Hashes()
		hashes, tree = append(hashes, fresh...), b.Tree()
	}
	for size := 1; size <= len(ids); size++ {
		for i := range size {
			proof, err := Prove(uint64(i), uint64(size), hashes)
			if err == nil {
				err = evidence.CheckInclusion(uint64(i), uint64(size), evidence.LeafHash(ids[i]), proof.Hashes, naive(ids[:size]))
			}
			if err != nil {
				t.Errorf("entry %d of %d: %v", i, size, err)
			}
		}
	}
	if _, err := Prove(40, 40, hashes); err == nil {
		t.Error("an entry that is not there was proven")
	}
}
