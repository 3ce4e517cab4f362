package wire

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"ciglio/capture/evidence"
)

// exampleHave lacks the end of one blob and all of another.
func exampleHave() *Have {
	return &Have{
		Device: evidence.DeviceID{0: 1, 15: 2},
		ID:     evidence.Hash{0: 3, 31: 4},
		Blobs: []HaveBlob{
			{SHA256: evidence.Hash{5}, Ranges: []Range{{0, ChunkData}, {2 * ChunkData, 3 * ChunkData}}},
			{SHA256: evidence.Hash{6}},
		},
	}
}

func TestHaveComesBack(t *testing.T) {
	payload, err := exampleHave().Marshal()
	if err != nil {
		t.Fatal(err)
	}
	h, err := UnmarshalHave(payload)
	if err != nil {
		t.Fatal(err)
	}
	again, err := h.Marshal()
	if err != nil || !bytes.Equal(again, payload) {
		t.Errorf("have = %x, %v\nwant   %x", again, err, payload)
	}
	if b := h.Blobs[0]; len(b.Ranges) != 2 || b.Ranges[1] != (Range{122768, 184152}) {
		t.Errorf("ranges %v", b.Ranges)
	}
}

func TestLargestHaveFits(t *testing.T) {
	h := &Have{}
	for i := range MaxHaveBlobs {
		b := HaveBlob{SHA256: evidence.Hash{0: 1, 1: byte(i)}}
		for r := range MaxRanges {
			from := uint64(MaxBlob - 2*MaxRanges + 2*r)
			b.Ranges = append(b.Ranges, Range{from, from + 1})
		}
		h.Blobs = append(h.Blobs, b)
	}
	payload, err := h.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	if len(payload) > MaxCommand-512 {
		t.Errorf("%d bytes leave no room for a signature in %d", len(payload), MaxCommand)
	}
	if _, err := UnmarshalHave(payload); err != nil {
		t.Error(err)
	}
}

func TestBadHavesAreRefused(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*Have)
		want   string
	}{
		{"no blob: the record would be complete", func(h *Have) { h.Blobs = nil }, "0 blobs"},
		{"too many blobs", func(h *Have) {
			for i := range MaxHaveBlobs {
				h.Blobs = append(h.Blobs, HaveBlob{SHA256: evidence.Hash{9, byte(i)}})
			}
		}, "18 blobs"},
		{"one blob twice", func(h *Have) { h.Blobs[1].SHA256 = h.Blobs[0].SHA256 }, "twice"},
		{"an empty range", func(h *Have) { h.Blobs[0].Ranges[0].To = 0 }, "range 0"},
		{"ranges that touch, a second spelling of one", func(h *Have) { h.Blobs[0].Ranges[1].From = ChunkData }, "range 1"},
		{"ranges that fall", func(h *Have) { r := h.Blobs[0].Ranges; r[0], r[1] = r[1], r[0] }, "range 1"},
		{"a range beyond any blob", func(h *Have) { h.Blobs[0].Ranges[1].To = MaxBlob + 1 }, "range 1"},
		{"too many ranges", func(h *Have) {
			h.Blobs[0].Ranges = nil
			for i := range uint64(MaxRanges + 1) {
				h.Blobs[0].Ranges = append(h.Blobs[0].Ranges, Range{2 * i, 2*i + 1})
			}
		}, "65 ranges"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := exampleHave()
			c.change(h)
			if _, err := h.Marshal(); !errors.Is(err, ErrCommand) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want ErrCommand with %q", err, c.want)
			}
		})
	}
}

func TestBadPayloadsAreRefused(t *testing.T) {
	good, err := exampleHave().Marshal()
	if err != nil {
		t.Fatal(err)
	}
	blobs := "81a201" + "5820" + strings.Repeat("07", 32) + "0280"
	head := "0350" + strings.Repeat("01", 16) + "045820" + strings.Repeat("02", 32)
	for _, c := range []struct{ name, hex string }{
		{"nothing", ""},
		{"an array", "80"},
		{"a map of indefinite length", "bfff"},
		{"a missing key", "a401010201" + head},
		{"an unknown key", "a601010201" + head + "05" + blobs + "0600"},
		{"a version of tomorrow", "a501020201" + head + "05" + blobs},
		{"an unknown command", "a501010202" + head + "05" + blobs},
		{"a number longer than need be", "a50118010201" + head + "05" + blobs},
		{"keys out of order", "a502010101" + head + "05" + blobs},
		{"the same key twice", "a60101010102" + "01" + head + "05" + blobs},
		{"null for the blobs", "a501010201" + head + "05f6"},
		{"a tag", "c0a501010201" + head + "05" + blobs},
		{"an array that claims 2^32 blobs", "a501010201" + head + "059b0000000100000000"},
		{"a device of 15 bytes", "a501010201" + "034f" + strings.Repeat("01", 15) + "045820" + strings.Repeat("02", 32) + "05" + blobs},
		{"something behind the map", hex.EncodeToString(good) + "00"},
		{"cut in the middle", hex.EncodeToString(good[:len(good)/2])},
		{"17 KB", strings.Repeat("00", 17<<10)},
	} {
		t.Run(c.name, func(t *testing.T) {
			b, err := hex.DecodeString(c.hex)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := UnmarshalHave(b); !errors.Is(err, ErrCommand) {
				t.Errorf("error %v, want ErrCommand", err)
			}
		})
	}
	b, err := hex.DecodeString("a501010201" + head + "05" + blobs)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := UnmarshalHave(b); err != nil {
		t.Errorf("the payload the others are made of: %v", err)
	}
}

func TestHolds(t *testing.T) {
	b := HaveBlob{Ranges: []Range{{10, 20}, {30, 40}}}
	for _, c := range []struct {
		name     string
		from, to uint64
		want     bool
	}{
		{"a whole range", 10, 20, true},
		{"inside a range", 31, 39, true},
		{"over a gap", 10, 40, false},
		{"one byte too far", 30, 41, false},
		{"before all", 0, 5, false},
	} {
		if got := b.Holds(c.from, c.to); got != c.want {
			t.Errorf("%s: Holds(%d, %d) = %v", c.name, c.from, c.to, got)
		}
	}
}

func FuzzCommand(f *testing.F) {
	good, err := exampleHave().Marshal()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte{0xa5, 1, 1, 2, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := UnmarshalHave(b)
		if err != nil {
			return
		}
		again, err := h.Marshal()
		if err != nil || !bytes.Equal(again, b) {
			t.Errorf("a second spelling of one command was accepted: %x (%v)", b, err)
		}
	})
}

func newSigner(t testing.TB) (*ecdsa.PrivateKey, evidence.Signer) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s, err := evidence.NewSigner(key)
	if err != nil {
		t.Fatal(err)
	}
	return key, s
}

func TestSealedHave(t *testing.T) {
	key, signer := newSigner(t)
	other, _ := newSigner(t)
	b, err := SealHave(exampleHave(), signer)
	if err != nil {
		t.Fatal(err)
	}
	h, err := OpenHave(b)
	if err != nil {
		t.Fatal(err)
	}
	if h.KeyID != signer.KeyID() || h.ID != exampleHave().ID {
		t.Errorf("have %+v", h)
	}
	if err := h.Verify(&key.PublicKey); err != nil {
		t.Error(err)
	}
	if err := h.Verify(&other.PublicKey); err == nil {
		t.Error("verified with another key")
	}
	// A receipt or record is not taken for a command.
	payload, err := exampleHave().Marshal()
	if err != nil {
		t.Fatal(err)
	}
	if b, err = evidence.SealMessage(evidence.ContentTypeReceipt, payload, signer); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenHave(b); !errors.Is(err, ErrCommand) {
		t.Errorf("a receipt opened as command: %v", err)
	}
}
