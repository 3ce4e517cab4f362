// Package recheck computes everything that a centre says from the bytes that devices
// and the centre have signed, and compares. It shares no code with what wrote the
// rows: README.md lists what it looks at.
//
// It reads as a stream: its memory grows with what is wrong, not with what there is.
// The store may be in use. What it could not look at is told with what is wrong.
package recheck

import (
	"bytes"
	"cmp"
	"context"
	"crypto/ecdsa"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"

	"ciglio/capture/evidence"
	"ciglio/portal/blob"
	"ciglio/portal/database"
	"ciglio/portal/orders"
	"ciglio/uplink/wire"
)

// A Code is a kind of finding.
type Code string

// The codes.
const (
	RecordDamaged   Code = "record_damaged"    // its bytes are no record, or another one
	Signature       Code = "signature"         // not by the key that the register has for device and epoch
	Unknown         Code = "key_unknown"       // the register has no such key
	Column          Code = "column"            // a column is not what the bytes say
	ChainBroken     Code = "chain_broken"      // it names another predecessor than the one that is there
	NumberMissing   Code = "number_missing"    // never came, though later ones have
	SetAside        Code = "set_aside"         // never receipted
	Disputed        Code = "disputed"          // the device has signed another record of this number
	BlobMissing     Code = "blob_missing"      // a row has no bytes
	BlobDamaged     Code = "blob_damaged"      // the bytes have another hash or length
	BlobUnnamed     Code = "blob_row_missing"  // a complete record names a blob that no row does
	ReceiptDamaged  Code = "receipt_damaged"   // its bytes, hash, signature or columns
	ReceiptMissing  Code = "receipt_missing"   // a complete record has none that is of it
	ReceiptedLost   Code = "receipted_missing" // a receipt is of a record that is not there
	ReceiptIndex    Code = "receipt_index"     // a receipt gives a record another entry of the log than its row
	LogHash         Code = "log_hash"          // the stored tree is not that of the records
	LogRoot         Code = "log_root"          // a receipt or checkpoint names another root than the records have
	LogGap          Code = "log_gap"           // an index of the log that no record has
	Published       Code = "log_rolled_back"   // more was published than there is
	StatementWrong  Code = "statement"         // a text that is not what its hash, or its record, says
	Counter         Code = "counter"           // of a chain
	Certificate     Code = "certificate"       // of the register, missing or damaged
	OrderWrong      Code = "order"             // damaged, or not signed by a key of the register
	EquivocationBad Code = "equivocation"      // kept, and is none
)

// A Finding is one fact about consecutive numbers of a device, or about something that
// has none.
type Finding struct {
	Code   Code   `json:"code"`
	Device string `json:"device,omitempty"`
	Epoch  uint64 `json:"epoch,omitempty"`
	From   uint64 `json:"from,omitempty"` // numbers; 0 when it has none
	To     uint64 `json:"to,omitempty"`
	Words  string `json:"words,omitempty"` // of the first
}

// String says it in a line.
func (f Finding) String() string {
	s := string(f.Code)
	if f.Device != "" {
		s += fmt.Sprintf(": device %s epoch %d", f.Device, f.Epoch)
	}
	switch {
	case f.From != f.To:
		s += fmt.Sprintf(" numbers %d to %d", f.From, f.To)
	case f.From != 0:
		s += fmt.Sprintf(" number %d", f.From)
	}
	if f.Words != "" {
		s += ": " + f.Words
	}
	return s
}

// A Result is what was looked at, and what is wrong.
type Result struct {
	Records    int64     `json:"records"`
	Waiting    int64     `json:"waiting"` // records that wait for pictures, or for their receipt
	Blobs      int64     `json:"blobs"`
	BlobBytes  uint64    `json:"blob_bytes"`
	Spare      int64     `json:"spare"` // blobs that no row names, as a power cut leaves: harmless
	Receipts   int64     `json:"receipts"`
	LogEntries int64     `json:"log_entries"`
	LogRoot    string    `json:"log_root"`
	Statements int64     `json:"statements"`
	Orders     int64     `json:"orders"`
	Findings   []Finding `json:"findings"`
	Untold     int64     `json:"untold,omitempty"` // findings beyond [MaxFindings]
	NotChecked []string  `json:"not_checked"`
}

// OK reports whether nothing is wrong.
func (r *Result) OK() bool { return len(r.Findings) == 0 && r.Untold == 0 }

// MaxFindings is how many numbers are told; the rest is counted.
const MaxFindings = 1_000_000

// A Centre is what is looked at.
type Centre struct {
	DB    *database.DB
	Blobs blob.Store // nil: pictures and traces are not looked at
	Trust *evidence.Trust
	// Certificate returns one of the register by its hash; nil when there is none.
	Certificate func(evidence.Hash) []byte
	Orders      *orders.Book
	// Size and Root are what was published last of the log; 0 for nothing.
	Size uint64
	Root evidence.Hash
}

// A checker is one run.
type checker struct {
	Centre
	ctx    context.Context
	result Result
	keys   map[signer]*ecdsa.PublicKey
}

// A signer is whose a key is.
type signer struct {
	role   evidence.Role
	device evidence.DeviceID
	epoch  uint64
	key    evidence.Hash
}

// Run looks at everything. An error says that it could not; what is wrong is in the
// result.
func Run(ctx context.Context, c Centre) (*Result, error) {
	k := &checker{Centre: c, ctx: ctx, keys: map[signer]*ecdsa.PublicKey{}}
	k.result.NotChecked = []string{"what was refused, and reports of state, health and profile: nobody has signed them"}
	for _, e := range c.Trust.Register().Register.Entries {
		key, err := evidence.ParseKey(e.Key)
		if err != nil {
			return nil, fmt.Errorf("register: %w", err)
		}
		k.keys[signer{e.Role, e.Device, e.Epoch, sha256.Sum256(e.Key)}] = key
		if !e.Certificate.IsZero() && c.Certificate(e.Certificate) == nil {
			k.add(Finding{Code: Certificate, Words: fmt.Sprintf("device %v epoch %d: %v", e.Device, e.Epoch, e.Certificate)})
		}
	}
	for _, part := range []func() error{k.records, k.log, k.blobs, k.statements, k.equivocations, k.orders} {
		if err := part(); err != nil {
			return nil, err
		}
	}
	k.result.Findings = together(k.result.Findings)
	return &k.result, nil
}

func (k *checker) add(f Finding) {
	if len(k.result.Findings) >= MaxFindings {
		k.result.Untold++
		return
	}
	k.result.Findings = append(k.result.Findings, f)
}

// of is a finding of one number.
func of(code Code, device evidence.DeviceID, epoch, seq uint64, format string, a ...any) Finding {
	return Finding{code, device.String(), epoch, seq, seq, fmt.Sprintf(format, a...)}
}

// together puts findings in order, and consecutive numbers into one.
func together(all []Finding) []Finding {
	slices.SortStableFunc(all, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.Device, b.Device), cmp.Compare(a.Epoch, b.Epoch), cmp.Compare(a.Code, b.Code), cmp.Compare(a.From, b.From))
	})
	var out []Finding
	for _, f := range all {
		if n := len(out); n > 0 && f.Device != "" && f.From > 0 {
			if last := &out[n-1]; last.Code == f.Code && last.Device == f.Device && last.Epoch == f.Epoch && f.From <= last.To+1 {
				last.To = max(last.To, f.To)
				continue
			}
		}
		out = append(out, f)
	}
	return out
}

const selectStatements = `SELECT s.sha256, s.bytes, s.record, r.bytes FROM statements s LEFT JOIN records r ON r.id = s.record ORDER BY s.sha256`

// statements are texts that records carry.
func (k *checker) statements() error {
	rows, err := k.DB.Query(k.ctx, selectStatements)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var hash, text, id, raw []byte
		if err := rows.Scan(&hash, &text, &id, &raw); err != nil {
			return err
		}
		k.result.Statements++
		sealed, err := evidence.Open(raw)
		if err == nil {
			if body, _ := sealed.Record.Body[1].([]byte); !bytes.Equal(body, text) {
				err = errors.New("its record carries another text")
			}
		}
		if sum := sha256.Sum256(text); err == nil && !bytes.Equal(sum[:], hash) {
			err = errors.New("another hash")
		}
		if err != nil {
			k.add(Finding{Code: StatementWrong, Words: fmt.Sprintf("%x of record %x: %v", hash, id, err)})
		}
	}
	return rows.Err()
}

const selectEquivocations = `SELECT id, device, epoch, seq, first_id, bytes FROM equivocations ORDER BY device, epoch, seq`

// equivocations are second records of one number.
func (k *checker) equivocations() error {
	rows, err := k.DB.Query(k.ctx, selectEquivocations)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var id, device, first, raw []byte
		var epoch, seq uint64
		if err := rows.Scan(&id, &device, &epoch, &seq, &first, &raw); err != nil {
			return err
		}
		sealed, err := evidence.Open(raw)
		if err == nil {
			r := sealed.Record
			key := k.keys[signer{evidence.RoleDevice, r.Device, r.Epoch, sealed.KeyID}]
			switch {
			case !bytes.Equal(sealed.ID[:], id), !bytes.Equal(r.Device[:], device), r.Epoch != epoch, r.Seq != seq, bytes.Equal(first, id):
				err = errors.New("it is another record than its row says")
			case key == nil:
				err = errors.New("by no key of the register")
			default:
				err = sealed.Verify(key)
			}
		}
		if err != nil {
			k.add(of(EquivocationBad, evidence.DeviceID(device), epoch, seq, "%v", err))
		}
	}
	return rows.Err()
}

// orders are what devices were to do.
func (k *checker) orders() error {
	if k.Orders == nil {
		k.result.NotChecked = append(k.result.NotChecked, "orders")
		return nil
	}
	devices, err := k.Orders.Devices()
	if err != nil {
		return err
	}
	for _, device := range devices {
		all, err := k.Orders.List(device)
		if err != nil {
			k.add(Finding{Code: OrderWrong, Words: err.Error()})
		}
		if len(all) == orders.MaxListed {
			k.result.NotChecked = append(k.result.NotChecked, fmt.Sprintf("device %v: orders before the newest %d", device, orders.MaxListed))
		}
		for _, o := range all {
			k.result.Orders++
			key := k.keys[signer{role: evidence.RoleCentre, key: o.KeyID}]
			if key == nil {
				key = k.keys[signer{role: evidence.RoleOfficer, key: o.KeyID}]
			}
			sealed, err := wire.OpenOrder(o.Bytes)
			switch {
			case key == nil:
				err = errors.New("by no key of the register")
			case err == nil:
				err = sealed.Verify(key)
			}
			if err != nil {
				k.add(Finding{Code: OrderWrong, Words: fmt.Sprintf("device %v order %d: %v", device, o.Number, err)})
			}
		}
	}
	return nil
}
