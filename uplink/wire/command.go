package wire

import (
	"crypto/ecdsa"
	"errors"
	"fmt"

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

const commandHave = 1

// fields lists the payload, a map; docs/mqtt.cddl has it in CDDL.
func (h *Have) fields(m *evidence.Form) {
	m.Constant(1, "version", 1)
	m.Constant(2, "command", commandHave)
	m.Fixed(3, "device", h.Device[:])
	m.Fixed(4, "record id", h.ID[:])
	evidence.FormMaps(m, 5, "blobs", &h.Blobs, 1, MaxHaveBlobs, func(b *HaveBlob, m *evidence.Form) {
		m.Fixed(1, "blob hash", b.SHA256[:])
		evidence.FormList(m, 2, "ranges", &b.Ranges, 0, MaxRanges, func(r *Range, m *evidence.Form) {
			m.Pair("range", &r.From, &r.To)
		})
	})
}

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
	return evidence.EncodeForm(h.fields)
}

// UnmarshalHave reads a payload and accepts the one spelling that Marshal
// writes.
func UnmarshalHave(payload []byte) (*Have, error) {
	if len(payload) > MaxCommand {
		return nil, fmt.Errorf("%w: %d bytes, want at most %d", ErrCommand, len(payload), MaxCommand)
	}
	h := &Have{}
	if err := evidence.DecodeForm(payload, h.fields); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCommand, err)
	}
	if err := h.check(); err != nil {
		return nil, err
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
