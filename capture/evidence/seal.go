package evidence

import (
	"crypto/ecdsa"
	"errors"
	"fmt"
)

// ContentTypeRecord is the content type of a sealed record.
const ContentTypeRecord = "application/vnd.ciglio.record.v1+cbor"

// Sealed is a record as it is stored, sent and signed. It must not be changed.
type Sealed struct {
	Record *Record
	KeyID  Hash   // of the key that sealed it
	ID     Hash   // record id: SHA-256("ciglio/rec/v1" || 0x00 || ToBeSigned)
	Link   Hash   // what the next record's Prev must be: the same with "ciglio/chain/v1"
	Bytes  []byte // the COSE_Sign1

	message *SealedMessage
}

// Seal validates and signs a record. The result holds the record as a reader
// will see it, not r itself, so that r may be used again.
func Seal(r *Record, s Signer) (*Sealed, error) {
	payload, err := r.Marshal()
	if err != nil {
		return nil, err
	}
	b, err := sealMessage(ContentTypeRecord, payload, s)
	if err != nil {
		return nil, fmt.Errorf("record: %w", err)
	}
	return Open(b)
}

// Open reads a sealed record of at most [MaxRecord] bytes. It accepts exactly
// one spelling of each record and checks every rule of the format, but not the
// signature: see [Sealed.Verify].
func Open(b []byte) (*Sealed, error) {
	m, err := OpenMessage(ContentTypeRecord, MaxRecord, b)
	if err != nil {
		return nil, fmt.Errorf("record: %w", err)
	}
	r, err := Unmarshal(m.Payload)
	if err != nil {
		return nil, m.locate(err)
	}
	return &Sealed{
		Record: r, KeyID: m.KeyID, Bytes: m.Bytes, message: m,
		ID: m.hash("ciglio/rec/v1"), Link: m.hash("ciglio/chain/v1"),
	}, nil
}

// locate turns the offset of a [DecodeError] within the payload into one from
// the start of the message.
func (m *SealedMessage) locate(err error) error {
	var d *DecodeError
	if errors.As(err, &d) {
		d.Offset += int64(len(m.Bytes) - 66 - len(m.Payload)) // 66: the signature and its head
	}
	return err
}

// Verify checks that pub's key sealed the record. pub must come from a trusted
// place, such as [Trust.DeviceKey], never from beside the record.
func (s *Sealed) Verify(pub *ecdsa.PublicKey) error {
	if err := s.message.Verify(pub); err != nil {
		return fmt.Errorf("record %v: %w", s.ID, err)
	}
	return nil
}
