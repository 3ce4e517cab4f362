package wire

import (
	"bytes"
	"crypto/ecdsa"
	"errors"
	"fmt"

	"github.com/fxamacker/cbor/v2"

	"ciglio/capture/evidence"
)

// ContentCommand is the content type in the protected header of a command.
const ContentCommand = "application/vnd.ciglio.command.v1+cbor"

// Limits of a command. A centre that holds a blob in more than MaxRanges pieces
// names the first of them only, and gets the rest once more.
const (
	MaxCommand   = 16 << 10 // bytes, signature included
	MaxHaveBlobs = 16
	MaxRanges    = 64 // of one blob
)

// ErrCommand is what the errors of [OpenHave] and [UnmarshalHave] wrap.
var ErrCommand = errors.New("not a command")

// Have is the centre's answer to a record of which it still lacks something: it
// names each blob that is not complete and what is there of it. A record of
// which nothing is missing gets a receipt instead. The device sends what is
// missing, and nothing else.
//
// A Have is signed because it makes the device spend what it pays for, data
// volume. One sent again by somebody else does no more harm than that.
type Have struct {
	Device evidence.DeviceID
	ID     evidence.Hash // of the record
	Blobs  []HaveBlob    // those not complete, at most MaxHaveBlobs
}

// HaveBlob says what is there of one blob.
type HaveBlob struct {
	SHA256 evidence.Hash
	Ranges []Range // rising, apart from each other, at most MaxRanges; none when nothing is there
}

// Range is the bytes [From, To) of a blob.
type Range struct{ From, To uint64 }

// Holds reports whether all of the bytes [from, to) are there.
func (h HaveBlob) Holds(from, to uint64) bool {
	for _, r := range h.Ranges {
		if r.From <= from && to <= r.To {
			return true
		}
	}
	return false
}

// The payload is the deterministic CBOR of this map; docs/mqtt.cddl has it in
// CDDL.
type haveMap struct {
	V       uint64         `cbor:"1,keyasint"` // 1
	Command uint64         `cbor:"2,keyasint"` // 1 have
	Device  []byte         `cbor:"3,keyasint"`
	ID      []byte         `cbor:"4,keyasint"`
	Blobs   []haveBlobItem `cbor:"5,keyasint"`
}

type haveBlobItem struct {
	SHA256 []byte      `cbor:"1,keyasint"`
	Ranges [][2]uint64 `cbor:"2,keyasint"`
}

const commandHave = 1

func (h *Have) check() error {
	if len(h.Blobs) < 1 || len(h.Blobs) > MaxHaveBlobs {
		return fmt.Errorf("%w: %d blobs, want 1 to %d", ErrCommand, len(h.Blobs), MaxHaveBlobs)
	}
	seen := make(map[evidence.Hash]bool, len(h.Blobs))
	for _, b := range h.Blobs {
		if seen[b.SHA256] {
			return fmt.Errorf("%w: blob %v twice", ErrCommand, b.SHA256)
		}
		seen[b.SHA256] = true
		if len(b.Ranges) > MaxRanges {
			return fmt.Errorf("%w: blob %v: %d ranges, want at most %d", ErrCommand, b.SHA256, len(b.Ranges), MaxRanges)
		}
		for i, r := range b.Ranges {
			if r.From >= r.To || r.To > MaxBlob || i > 0 && r.From <= b.Ranges[i-1].To {
				return fmt.Errorf("%w: blob %v: range %d is [%d, %d)", ErrCommand, b.SHA256, i, r.From, r.To)
			}
		}
	}
	return nil
}

// Marshal returns the payload of the command.
func (h *Have) Marshal() ([]byte, error) {
	if err := h.check(); err != nil {
		return nil, err
	}
	m := haveMap{V: 1, Command: commandHave, Device: h.Device[:], ID: h.ID[:], Blobs: []haveBlobItem{}}
	for _, b := range h.Blobs {
		item := haveBlobItem{SHA256: b.SHA256[:], Ranges: [][2]uint64{}}
		for _, r := range b.Ranges {
			item.Ranges = append(item.Ranges, [2]uint64{r.From, r.To})
		}
		m.Blobs = append(m.Blobs, item)
	}
	mode, err := cbor.CoreDetEncOptions().EncMode()
	if err != nil {
		return nil, err
	}
	return mode.Marshal(m)
}

// UnmarshalHave reads a payload and accepts the one spelling that Marshal
// writes.
func UnmarshalHave(payload []byte) (*Have, error) {
	if len(payload) > MaxCommand {
		return nil, fmt.Errorf("%w: %d bytes, want at most %d", ErrCommand, len(payload), MaxCommand)
	}
	mode, err := cbor.DecOptions{
		DupMapKey:         cbor.DupMapKeyEnforcedAPF,
		IndefLength:       cbor.IndefLengthForbidden,
		TagsMd:            cbor.TagsForbidden,
		ExtraReturnErrors: cbor.ExtraDecErrorUnknownField,
		MaxArrayElements:  MaxRanges,
		MaxMapPairs:       16,
		MaxNestedLevels:   8,
	}.DecMode()
	if err != nil {
		return nil, err
	}
	var m haveMap
	if err := mode.Unmarshal(payload, &m); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCommand, err)
	}
	if m.V != 1 || m.Command != commandHave {
		return nil, fmt.Errorf("%w: version %d, command %d, want 1 and 1", ErrCommand, m.V, m.Command)
	}
	h := &Have{}
	if len(m.Device) != len(h.Device) || len(m.ID) != len(h.ID) {
		return nil, fmt.Errorf("%w: device of %d bytes, record id of %d, want 16 and 32", ErrCommand, len(m.Device), len(m.ID))
	}
	copy(h.Device[:], m.Device)
	copy(h.ID[:], m.ID)
	for _, item := range m.Blobs {
		b := HaveBlob{}
		if len(item.SHA256) != len(b.SHA256) {
			return nil, fmt.Errorf("%w: blob hash of %d bytes, want 32", ErrCommand, len(item.SHA256))
		}
		copy(b.SHA256[:], item.SHA256)
		for _, r := range item.Ranges {
			b.Ranges = append(b.Ranges, Range{From: r[0], To: r[1]})
		}
		h.Blobs = append(h.Blobs, b)
	}
	again, err := h.Marshal()
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(again, payload) {
		return nil, fmt.Errorf("%w: not in deterministic encoding", ErrCommand)
	}
	return h, nil
}

// A SealedHave is a signed command as it was received. Its signature is not
// checked before Verify.
type SealedHave struct {
	*Have
	KeyID evidence.Hash

	message *evidence.SealedMessage
}

// SealHave signs a command, at most MaxCommand bytes.
func SealHave(h *Have, s evidence.Signer) ([]byte, error) {
	payload, err := h.Marshal()
	if err != nil {
		return nil, err
	}
	return evidence.SealMessage(ContentCommand, payload, s)
}

// OpenHave reads a signed command, in its one spelling.
func OpenHave(b []byte) (*SealedHave, error) {
	m, err := evidence.OpenMessage(ContentCommand, MaxCommand, b)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCommand, err)
	}
	h, err := UnmarshalHave(m.Payload)
	if err != nil {
		return nil, err
	}
	return &SealedHave{Have: h, KeyID: m.KeyID, message: m}, nil
}

// Verify checks that the holder of pub, which must come from the register and
// be a centre's, sealed the command.
func (s *SealedHave) Verify(pub *ecdsa.PublicKey) error { return s.message.Verify(pub) }
