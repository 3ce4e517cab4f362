package wire

import (
	"bytes"
	"crypto/ecdsa"
	"errors"
	"fmt"
	"time"

	"github.com/fxamacker/cbor/v2"

	"ciglio/capture/evidence"
)

// Refused is the centre's answer to a record that is the device's own and that it
// does not take: not at all, or not yet. The device keeps the record, sends
// nothing more of it, and sends it again when Wait has passed. It raises an alarm:
// a person has to look.
//
// An answer of code [RefusedHeldBack] is about everything that the device wants to
// have stored: it sends no record before Wait has passed.
type Refused struct {
	Device evidence.DeviceID
	ID     evidence.Hash // of the record
	Code   string        // 1 to 32 of a-z and _; docs/mqtt.md lists them
	Wait   time.Duration // whole seconds, 1 s to MaxWait
}

// MaxWait is the longest that a device is told to wait.
const MaxWait = 24 * time.Hour

// RefusedHeldBack is the code that says: too much at once.
const RefusedHeldBack = "held_back"

const commandRefused = 2

type refusedMap struct {
	V       uint64 `cbor:"1,keyasint"` // 1
	Command uint64 `cbor:"2,keyasint"` // 2 refused
	Device  []byte `cbor:"3,keyasint"`
	ID      []byte `cbor:"4,keyasint"`
	Code    string `cbor:"5,keyasint"`
	Wait    uint64 `cbor:"6,keyasint"` // seconds
}

func (r *Refused) check() error {
	if len(r.Code) < 1 || len(r.Code) > 32 {
		return fmt.Errorf("%w: code of %d letters, want 1 to 32", ErrCommand, len(r.Code))
	}
	for _, c := range r.Code {
		if c != '_' && (c < 'a' || c > 'z') {
			return fmt.Errorf("%w: code %.40q: want a-z and _", ErrCommand, r.Code)
		}
	}
	if r.Wait < time.Second || r.Wait > MaxWait || r.Wait%time.Second != 0 {
		return fmt.Errorf("%w: wait of %v, want whole seconds up to %v", ErrCommand, r.Wait, MaxWait)
	}
	return nil
}

// Marshal returns the payload of the command.
func (r *Refused) Marshal() ([]byte, error) {
	if err := r.check(); err != nil {
		return nil, err
	}
	mode, err := cbor.CoreDetEncOptions().EncMode()
	if err != nil {
		return nil, err
	}
	return mode.Marshal(refusedMap{1, commandRefused, r.Device[:], r.ID[:], r.Code, uint64(r.Wait / time.Second)})
}

// UnmarshalRefused reads a payload and accepts the one spelling that Marshal
// writes.
func UnmarshalRefused(payload []byte) (*Refused, error) {
	if len(payload) > MaxCommand {
		return nil, fmt.Errorf("%w: %d bytes, want at most %d", ErrCommand, len(payload), MaxCommand)
	}
	mode, err := cbor.DecOptions{
		DupMapKey: cbor.DupMapKeyEnforcedAPF, IndefLength: cbor.IndefLengthForbidden, TagsMd: cbor.TagsForbidden,
		ExtraReturnErrors: cbor.ExtraDecErrorUnknownField, MaxArrayElements: 16, MaxMapPairs: 16, MaxNestedLevels: 4,
	}.DecMode()
	if err != nil {
		return nil, err
	}
	var m refusedMap
	if err := mode.Unmarshal(payload, &m); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCommand, err)
	}
	r := &Refused{Code: m.Code}
	switch {
	case m.V != 1 || m.Command != commandRefused:
		return nil, fmt.Errorf("%w: version %d, command %d, want 1 and 2", ErrCommand, m.V, m.Command)
	case len(m.Device) != len(r.Device) || len(m.ID) != len(r.ID):
		return nil, fmt.Errorf("%w: device of %d bytes, record id of %d, want 16 and 32", ErrCommand, len(m.Device), len(m.ID))
	case m.Wait > uint64(MaxWait/time.Second):
		return nil, fmt.Errorf("%w: wait of %d s, want at most %v", ErrCommand, m.Wait, MaxWait)
	}
	copy(r.Device[:], m.Device)
	copy(r.ID[:], m.ID)
	r.Wait = time.Duration(m.Wait) * time.Second
	again, err := r.Marshal()
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(again, payload) {
		return nil, fmt.Errorf("%w: not in deterministic encoding", ErrCommand)
	}
	return r, nil
}

// A SealedCommand is a signed command as it was received: one of Have and Refused
// is not nil. Its signature is not checked before Verify.
type SealedCommand struct {
	Have    *Have
	Refused *Refused
	KeyID   evidence.Hash

	message *evidence.SealedMessage
}

// Device is the device that the command is for.
func (s *SealedCommand) Device() evidence.DeviceID {
	if s.Have != nil {
		return s.Have.Device
	}
	return s.Refused.Device
}

// SealRefused signs a command.
func SealRefused(r *Refused, s evidence.Signer) ([]byte, error) {
	payload, err := r.Marshal()
	if err != nil {
		return nil, err
	}
	return evidence.SealMessage(ContentCommand, payload, s)
}

// OpenCommand reads a signed command, in its one spelling.
func OpenCommand(b []byte) (*SealedCommand, error) {
	m, err := evidence.OpenMessage(ContentCommand, MaxCommand, b)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCommand, err)
	}
	c := &SealedCommand{KeyID: m.KeyID, message: m}
	var haveErr, refusedErr error
	if c.Have, haveErr = UnmarshalHave(m.Payload); haveErr == nil {
		return c, nil
	}
	c.Have = nil
	if c.Refused, refusedErr = UnmarshalRefused(m.Payload); refusedErr == nil {
		return c, nil
	}
	return nil, errors.Join(haveErr, refusedErr)
}

// Verify checks that the holder of pub, which must come from the register and
// be a centre's, sealed the command.
func (s *SealedCommand) Verify(pub *ecdsa.PublicKey) error { return s.message.Verify(pub) }
