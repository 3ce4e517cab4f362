package evidence

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"math"
)

// ErrInclusion reports a log proof that does not lead to the root.
var ErrInclusion = errors.New("the log proof does not lead to the log's root")

// A Proof shows that a record stands in the centre's log (RFC 6962): it leads
// from the leaf to the root that the receipt names.
type Proof struct {
	Index, Size uint64 // of the leaf; of the log
	Hashes      []Hash // from the leaf's sibling upwards; at most 63
}

const maxProof = 4 << 10 // bytes of an encoded proof

func (p *Proof) fields(f *form) {
	f.constant(1, "v", 1)
	integer(f, 2, "index", &p.Index, 0, math.MaxInt64)
	integer(f, 3, "size", &p.Size, 1, math.MaxInt64)
	if f.key(4, "hashes") {
		list(f, "hashes", &p.Hashes, 0, 63, func(h *Hash, f *form) { f.plainFixed("hash", h[:]) })
	}
	if f.err == nil && p.Index >= p.Size {
		f.failRule(fmt.Errorf("index: %w: %d in a log of %d", ErrRange, p.Index, p.Size))
	}
}

// Marshal returns the proof as the bundle file log.cbor: deterministic CBOR.
func (p *Proof) Marshal() ([]byte, error) {
	b, err := encode(p.fields)
	if err != nil {
		return nil, fmt.Errorf("log proof: %w", err)
	}
	return b, nil
}

// UnmarshalProof reads what [Proof.Marshal] writes and no other spelling.
func UnmarshalProof(b []byte) (*Proof, error) {
	if len(b) > maxProof {
		return nil, fmt.Errorf("log proof: %w: %d bytes, want at most %d", ErrTooLarge, len(b), maxProof)
	}
	p := &Proof{}
	if err := decode(b, p.fields); err != nil {
		return nil, fmt.Errorf("log proof: %w", err)
	}
	return p, nil
}

// LeafHash is the hash of a record's leaf in the log: SHA-256(0x00 || record id).
func LeafHash(id Hash) Hash { return sha256.Sum256(append([]byte{0}, id[:]...)) }

func nodeHash(left, right Hash) Hash {
	b := append([]byte{1}, left[:]...)
	return sha256.Sum256(append(b, right[:]...))
}

// CheckInclusion checks a proof of inclusion as RFC 9162 section 2.1.3.2 says
// for the trees of RFC 6962. Any error wraps [ErrInclusion].
func CheckInclusion(index, size uint64, leaf Hash, proof []Hash, root Hash) error {
	if index >= size {
		return fmt.Errorf("%w: leaf %d of %d", ErrInclusion, index, size)
	}
	at, last, hash := index, size-1, leaf
	for _, p := range proof {
		if last == 0 {
			return fmt.Errorf("%w: too many hashes", ErrInclusion)
		}
		if at&1 == 1 || at == last {
			hash = nodeHash(p, hash)
			for at&1 == 0 && at != 0 {
				at, last = at>>1, last>>1
			}
		} else {
			hash = nodeHash(hash, p)
		}
		at, last = at>>1, last>>1
	}
	if last != 0 {
		return fmt.Errorf("%w: too few hashes", ErrInclusion)
	}
	if hash != root {
		return ErrInclusion
	}
	return nil
}
