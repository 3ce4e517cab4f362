package wire

import (
	"crypto/ecdsa"
	"errors"
	"fmt"
	"time"

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

// fields lists the payload, a map; docs/mqtt.cddl has it in CDDL.
func (r *Refused) fields(m *evidence.Form) {
	seconds := int64(r.Wait / time.Second)
	m.Constant(1, "version", 1)
	m.Constant(2, "command", commandRefused)
	m.Fixed(3, "device", r.Device[:])
	m.Fixed(4, "record id", r.ID[:])
	m.Text(5, "code", &r.Code, 1, 32)
	m.Integer(6, "wait", &seconds, 1, int64(MaxWait/time.Second))
	r.Wait = time.Duration(seconds) * time.Second
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
	return evidence.EncodeForm(r.fields)
}

// UnmarshalRefused reads a payload and accepts the one spelling that Marshal
// writes.
func UnmarshalRefused(payload []byte) (*Refused, error) {
	if len(payload) > MaxCommand {
		return nil, fmt.Errorf("%w: %d bytes, want at most %d", ErrCommand, len(payload), MaxCommand)
	}
	r := &Refused{}
	if err := evidence.DecodeForm(payload, r.fields); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCommand, err)
	}
	if err := r.check(); err != nil {
		return nil, err
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
