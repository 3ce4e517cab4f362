package evidence

import (
	"cmp"
	"crypto/ecdsa"
	"fmt"
	"math"
	"time"
)

// ContentTypeReceipt is the content type of a sealed receipt.
const ContentTypeReceipt = "application/vnd.ciglio.receipt.v1+cbor"

// Limits of a receipt.
const (
	MaxReceipt        = 60 << 10 // bytes of a sealed receipt
	MaxReceiptEntries = 1000
)

// A Receipt is the centre's statement that it has verified and durably stored
// records of one device with all their blobs, and has put them into its log.
type Receipt struct {
	Device  DeviceID
	Entries []ReceiptEntry // 1 to MaxReceiptEntries, in ascending order of epoch and number
	LogSize uint64         // of the log of the centre, which holds every entry
	LogRoot Hash           // RFC 6962 root of the log at that size
	UTC     time.Time      // microseconds
}

// A ReceiptEntry names one record.
type ReceiptEntry struct {
	Epoch, Seq uint64
	ID         Hash   // record id
	Index      uint64 // of the record's leaf in the log
}

// SealedReceipt is a receipt as it is stored, sent and signed. It must not be
// changed.
type SealedReceipt struct {
	Receipt *Receipt
	KeyID   Hash
	Hash    Hash // SHA-256("ciglio/receipt/v1" || 0x00 || ToBeSigned): the next record's Ack
	Bytes   []byte

	message *SealedMessage
}

func (r *Receipt) fields(f *form) {
	f.constant(1, "v", 1)
	f.fixed(2, "dev", r.Device[:])
	if f.key(3, "entries") {
		list(f, "entries", &r.Entries, 1, MaxReceiptEntries, func(e *ReceiptEntry, f *form) { e.item(f) })
	}
	integer(f, 4, "log_size", &r.LogSize, 1, math.MaxInt64)
	f.fixed(5, "log_root", r.LogRoot[:])
	f.instant(6, "utc_us", &r.UTC, time.Microsecond)
	if f.err == nil {
		f.failRule(r.rules())
	}
}

// item is one entry: the array [epoch, seq, id, index].
func (e *ReceiptEntry) item(f *form) {
	f.arrayOf(4, "entry")
	plainInteger(f, "entry epoch", &e.Epoch, 1, math.MaxInt64)
	plainInteger(f, "entry seq", &e.Seq, 1, math.MaxInt64)
	f.plainFixed("entry id", e.ID[:])
	plainInteger(f, "entry index", &e.Index, 0, math.MaxInt64)
}

func (r *Receipt) rules() error {
	for i, e := range r.Entries {
		if i > 0 {
			before := r.Entries[i-1]
			if cmp.Or(cmp.Compare(before.Epoch, e.Epoch), cmp.Compare(before.Seq, e.Seq)) >= 0 {
				return fmt.Errorf("entry %d: %w: not in ascending order of epoch and number", i+1, ErrRange)
			}
		}
		if e.Index >= r.LogSize {
			return fmt.Errorf("entry %d: %w: index %d in a log of %d", i+1, ErrRange, e.Index, r.LogSize)
		}
	}
	return nil
}

// SealReceipt validates and signs a receipt.
func SealReceipt(r *Receipt, s Signer) (*SealedReceipt, error) {
	payload, err := encode(r.fields)
	if err != nil {
		return nil, fmt.Errorf("receipt: %w", err)
	}
	b, err := SealMessage(ContentTypeReceipt, payload, s)
	if err != nil {
		return nil, fmt.Errorf("receipt: %w", err)
	}
	return OpenReceipt(b)
}

// OpenReceipt reads a sealed receipt of at most [MaxReceipt] bytes, in its one
// spelling. It does not check the signature: see [SealedReceipt.Verify].
func OpenReceipt(b []byte) (*SealedReceipt, error) {
	m, err := OpenMessage(ContentTypeReceipt, MaxReceipt, b)
	if err != nil {
		return nil, fmt.Errorf("receipt: %w", err)
	}
	r := &Receipt{}
	if err := decode(m.Payload, r.fields); err != nil {
		return nil, fmt.Errorf("receipt: %w", m.locate(err))
	}
	return &SealedReceipt{Receipt: r, KeyID: m.KeyID, Hash: m.hash("ciglio/receipt/v1"), Bytes: m.Bytes, message: m}, nil
}

// Verify checks that pub's key sealed the receipt. pub must come from
// [Trust.CentreKey].
func (s *SealedReceipt) Verify(pub *ecdsa.PublicKey) error {
	if err := s.message.Verify(pub); err != nil {
		return fmt.Errorf("receipt: %w", err)
	}
	return nil
}

// Entry returns the entry that names the record with the given place in its
// chain.
func (r *Receipt) Entry(epoch, seq uint64) (ReceiptEntry, bool) {
	for _, e := range r.Entries {
		if e.Epoch == epoch && e.Seq == seq {
			return e, true
		}
	}
	return ReceiptEntry{}, false
}
