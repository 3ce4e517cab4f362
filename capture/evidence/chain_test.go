package evidence

import (
	"fmt"
	"slices"
	"testing"
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
		{"records given again", []*Sealed{whole[0], whole[1], whole[0], whole[1], whole[2]}, "[]"},
		{"records given again do not hide their order", []*Sealed{whole[1], whole[0], whole[1], whole[2]}, "[1 order]"},
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

// TestInclusion checks every leaf of every small tree against a log that is
// written as RFC 6962 section 2.1 defines it, without regard for speed.
func TestInclusion(t *testing.T) {
	for size := 1; size <= 33; size++ {
		l := logWith(size, 0, sumOf([]byte("first")))
		for n := range size {
			proof := l.path(n)
			check := func(index int, proof []Hash) error {
				return CheckInclusion(uint64(index), uint64(size), LeafHash(l[n]), proof, l.root())
			}
			if err := check(n, proof); err != nil {
				t.Errorf("leaf %d of %d: %v", n, size, err)
			}
			for other := range size {
				if other != n && check(other, proof) == nil {
					t.Errorf("leaf %d of %d passes as leaf %d", n, size, other)
				}
			}
			if check(n, append(slices.Clone(proof), Hash{})) == nil || len(proof) > 0 && check(n, proof[1:]) == nil {
				t.Errorf("leaf %d of %d: a proof of another length passes", n, size)
			}
		}
	}
	if CheckInclusion(5, 5, Hash{}, nil, Hash{}) == nil || CheckInclusion(0, 0, Hash{}, nil, Hash{}) == nil {
		t.Error("a leaf beyond the end passes")
	}
}
