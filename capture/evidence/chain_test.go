package evidence

import (
	"fmt"
	"slices"
	"testing"

	"golang.org/x/mod/sumdb/tlog"
)

// chain seals n heartbeats, one after the other.
func chain(t testing.TB, n int) []*Sealed {
	var all []*Sealed
	var prev Hash
	for i := range n {
		r := ofKind(t, KindHeartbeat)
		r.Seq, r.Prev = uint64(i+1), prev
		s := must(Seal(r, testSigner(t, "device")))(t)
		all, prev = append(all, s), s.Link
	}
	return all
}

func TestChainFaults(t *testing.T) {
	whole := chain(t, 6)
	other := ofKind(t, KindHeartbeat)
	other.Seq, other.Prev, other.Body[1] = 4, whole[2].Link, uint64(0)
	twin := must(Seal(other, testSigner(t, "device")))(t)
	foreign := ofKind(t, KindHeartbeat)
	foreign.Seq = 4
	stray := must(Seal(foreign, testSigner(t, "device")))(t)

	for _, test := range []struct {
		name    string
		records []*Sealed
		want    string
	}{
		{"whole", whole, "[]"},
		{"none", nil, "[]"},
		{"one record twice", []*Sealed{whole[0], whole[1], whole[1], whole[2]}, "[]"},
		{"a cut head", whole[2:], "[3 cut]"},
		{"a gap", slices.Concat(whole[:2], whole[4:]), "[5 gap]"},
		{"two gaps", []*Sealed{whole[0], whole[2], whole[5]}, "[3 gap 6 gap]"},
		{"reordered", []*Sealed{whole[0], whole[2], whole[1], whole[3]}, "[2 order]"},
		{"replaced by another", slices.Concat(whole[:3], []*Sealed{twin}, whole[4:]), "[5 link]"},
		{"linked to nothing", slices.Concat(whole[:3], []*Sealed{stray}), "[4 link]"},
		{"two records with one number", slices.Concat(whole[:4], []*Sealed{twin}, whole[4:]), "[4 equivocation]"},
	} {
		got := []string{}
		for _, b := range VerifyChain(test.records) {
			got = append(got, fmt.Sprint(b.Seq, " ", b.Fault))
		}
		if fmt.Sprint(got) != test.want {
			t.Errorf("%s: %v, want %s", test.name, got, test.want)
		}
	}
}

func TestReceiptsShowACutTail(t *testing.T) {
	whole := chain(t, 4)
	receipt, _ := receipted(t, whole[3], testTime, "centre") // names 3 with another id, and 4
	for _, test := range []struct {
		name    string
		records []*Sealed
		want    string
	}{
		{"the centre has another record 3", whole, "[3 equivocation]"},
		{"the last record is gone", whole[:3], "[3 equivocation 4 cut]"},
		{"all is gone", nil, "[3 cut 4 cut]"},
	} {
		got := []string{}
		for _, b := range VerifyChain(test.records, receipt) {
			got = append(got, fmt.Sprint(b.Seq, " ", b.Fault))
		}
		if fmt.Sprint(got) != test.want {
			t.Errorf("%s: %v, want %s", test.name, got, test.want)
		}
	}
}

func TestChainsOfDevicesAndEpochsAreApart(t *testing.T) {
	a := chain(t, 2)
	r := ofKind(t, KindHeartbeat)
	r.Device, r.Seq, r.Prev = otherDevice, 1, Hash{}
	b := must(Seal(r, testSigner(t, "other device")))(t)
	r.Device, r.Epoch = testDevice, 2
	c := must(Seal(r, testSigner(t, "device")))(t)
	if breaks := VerifyChain([]*Sealed{a[0], b, a[1], c}); breaks != nil {
		t.Errorf("breaks: %v", breaks)
	}
}

// TestInclusionAgreesWithAnotherLog checks every leaf of every small tree
// against the log of Go's checksum database.
func TestInclusionAgreesWithAnotherLog(t *testing.T) {
	hashes := map[int64]tlog.Hash{}
	reader := tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		var all []tlog.Hash
		for _, i := range indexes {
			all = append(all, hashes[i])
		}
		return all, nil
	})
	for size := int64(1); size <= 33; size++ {
		id := sumOf([]byte{byte(size)})
		for i, h := range must(tlog.StoredHashes(size-1, id[:], reader))(t) {
			hashes[tlog.StoredHashIndex(0, size-1)+int64(i)] = h
		}
		root := must(tlog.TreeHash(size, reader))(t)
		for n := range size {
			leaf := sumOf([]byte{byte(n + 1)})
			var proof []Hash
			for _, h := range must(tlog.ProveRecord(size, n, reader))(t) {
				proof = append(proof, Hash(h))
			}
			if err := CheckInclusion(uint64(n), uint64(size), LeafHash(leaf), proof, Hash(root)); err != nil {
				t.Errorf("leaf %d of %d: %v", n, size, err)
			}
			for other := range size {
				if other != n && CheckInclusion(uint64(other), uint64(size), LeafHash(leaf), proof, Hash(root)) == nil {
					t.Errorf("leaf %d of %d passes as leaf %d", n, size, other)
				}
			}
			if CheckInclusion(uint64(n), uint64(size), LeafHash(leaf), append(proof, Hash{}), Hash(root)) == nil ||
				len(proof) > 0 && CheckInclusion(uint64(n), uint64(size), LeafHash(leaf), proof[1:], Hash(root)) == nil {
				t.Errorf("leaf %d of %d: a proof of another length passes", n, size)
			}
		}
	}
	if CheckInclusion(5, 5, Hash{}, nil, Hash{}) == nil || CheckInclusion(0, 0, Hash{}, nil, Hash{}) == nil {
		t.Error("a leaf beyond the end passes")
	}
}
