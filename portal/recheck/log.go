package recheck

import (
	"bytes"
	"database/sql"
	"errors"
	"fmt"

	"ciglio/capture/evidence"
	"ciglio/portal/database"
	"ciglio/portal/log"
)

const (
	selectEntries  = `SELECT log_index, id, device, epoch, seq FROM records WHERE log_index IS NOT NULL ORDER BY log_index`
	selectHashes   = `SELECT position, hash FROM log_hashes ORDER BY position`
	selectReceipts = `SELECT hash, device, log_size, bytes FROM receipts ORDER BY log_size`
)

// A cursor is a query that is read a row at a time.
type cursor struct {
	rows *sql.Rows
	more bool
}

func (k *checker) open(text string) (*cursor, error) {
	rows, err := k.DB.Query(k.ctx, text)
	if err != nil {
		return nil, err
	}
	return &cursor{rows, rows.Next()}, nil
}

func (c *cursor) take(into ...any) error {
	err := c.rows.Scan(into...)
	c.more = c.rows.Next()
	return err
}

// log computes the tree from the records, compares the hashes that are stored, and at each
// size that a receipt names, the root.
func (k *checker) log() error {
	// Each is of an instant no earlier than the one before: what is newer is more.
	receipts, err := k.open(selectReceipts)
	if err != nil {
		return err
	}
	defer receipts.rows.Close()
	entries, err := k.open(selectEntries)
	if err != nil {
		return err
	}
	defer entries.rows.Close()
	hashes, err := k.open(selectHashes)
	if err != nil {
		return err
	}
	defer hashes.rows.Close()
	var tree log.Tree
	var next uint64
	told := false // a tree that is wrong once is wrong everywhere
	torn := false // nor can it be computed further
	for {
		if err := k.receiptsAt(receipts, tree); err != nil {
			return err
		}
		if k.Size > 0 && tree.Size() == k.Size && tree.Root() != k.Root {
			k.add(Finding{Code: LogRoot, Words: fmt.Sprintf("the checkpoint of %d entries has root %v, the records have %v", k.Size, k.Root, tree.Root())})
		}
		if !entries.more {
			break
		}
		var index, epoch, seq uint64
		var id, device []byte
		if err := entries.take(&index, &id, &device, &epoch, &seq); err != nil {
			return err
		}
		if index != next {
			k.add(Finding{Code: LogGap, Words: fmt.Sprintf("entries %d to %d are of no record", next, index-1)})
			k.result.NotChecked = append(k.result.NotChecked, fmt.Sprintf("the log from entry %d on, and the roots of receipts and checkpoints behind it", next))
			torn = true
			break
		}
		next++
		batch := tree.Begin()
		batch.Append(evidence.Hash(id))
		first, fresh := batch.Hashes()
		tree = batch.Tree()
		for i, want := range fresh {
			var position int64
			var hash []byte
			if hashes.more {
				if err := hashes.take(&position, &hash); err != nil {
					return err
				}
			}
			if !told && (position != first+int64(i) || !bytes.Equal(hash, want[:])) {
				k.add(of(LogHash, evidence.DeviceID(device), epoch, seq, "entry %d: hash %d is %x, the records say %x; further ones are not told", index, first+int64(i), hash, want[:]))
				told = true
			}
		}
	}
	k.result.LogEntries, k.result.LogRoot = int64(tree.Size()), tree.Root().String()
	if k.Size > tree.Size() && !torn {
		k.add(Finding{Code: Published, Words: fmt.Sprintf("entries %d to %d were published, and are not there", tree.Size(), k.Size-1)})
	}
	for receipts.more {
		root := beyond
		if torn {
			root = unknown
		}
		if err := k.receipt(receipts, tree, root); err != nil {
			return err
		}
	}
	return errors.Join(receipts.rows.Err(), entries.rows.Err(), hashes.rows.Err())
}

// receiptsAt looks at the receipts of the size that the tree has.
func (k *checker) receiptsAt(c *cursor, tree log.Tree) error {
	for c.more {
		if done, err := k.receiptIf(c, tree); err != nil || done {
			return err
		}
	}
	return nil
}

// held is the receipt that the cursor has read and the tree has not reached.
type held struct {
	hash, device, raw []byte
	size              uint64
}

// receiptIf looks at the next receipt unless it is of a larger log.
func (k *checker) receiptIf(c *cursor, tree log.Tree) (done bool, err error) {
	var h held
	if err := c.rows.Scan(&h.hash, &h.device, &h.size, &h.raw); err != nil {
		return true, err
	}
	if h.size > tree.Size() {
		return true, nil
	}
	return false, k.receipt(c, tree, known)
}

const selectPlace = `SELECT id, COALESCE(log_index, -1) FROM records WHERE device = $1 AND epoch = $2 AND seq = $3`

// What there is of the tree that a receipt names.
type root int

const (
	known   root = iota // it is the one at hand
	beyond              // it is larger than there is
	unknown             // it cannot be computed
)

// receipt looks at the receipt under the cursor.
func (k *checker) receipt(c *cursor, tree log.Tree, at root) error {
	var h held
	if err := c.take(&h.hash, &h.device, &h.size, &h.raw); err != nil {
		return err
	}
	k.result.Receipts++
	sealed, err := evidence.OpenReceipt(h.raw)
	if err == nil {
		key := k.keys[signer{role: evidence.RoleCentre, key: sealed.KeyID}]
		switch r := sealed.Receipt; {
		case !bytes.Equal(sealed.Hash[:], h.hash), !bytes.Equal(r.Device[:], h.device), r.LogSize != h.size:
			err = errors.New("it is another receipt than its row says")
		case key == nil:
			err = fmt.Errorf("by key %v, which the register has of no centre", sealed.KeyID)
		default:
			err = sealed.Verify(key)
		}
	}
	if err != nil {
		k.add(Finding{Code: ReceiptDamaged, Words: fmt.Sprintf("receipt %x of device %x: %v", h.hash, h.device, err)})
		return nil
	}
	r := sealed.Receipt
	switch {
	case at == beyond:
		k.add(Finding{Code: LogRoot, Words: fmt.Sprintf("receipt %x is of a log of %d entries, %d are there", h.hash, h.size, tree.Size())})
	case at == known && tree.Root() != r.LogRoot:
		k.add(Finding{Code: LogRoot, Words: fmt.Sprintf("receipt %x names root %v of %d entries, the records have %v", h.hash, r.LogRoot, h.size, tree.Root())})
	}
	for _, e := range r.Entries {
		var id []byte
		var index int64
		err := k.DB.Row(k.ctx, selectPlace, []any{r.Device[:], int64(e.Epoch), int64(e.Seq)}, &id, &index)
		switch {
		case errors.Is(err, database.ErrAbsent):
			k.add(of(ReceiptedLost, r.Device, e.Epoch, e.Seq, "record %v, which receipt %x is of", e.ID, h.hash))
		case err != nil:
			return err
		case !bytes.Equal(id, e.ID[:]):
			k.add(of(ReceiptedLost, r.Device, e.Epoch, e.Seq, "record %v has receipt %x; another is there", e.ID, h.hash))
		case index != int64(e.Index):
			k.add(of(ReceiptIndex, r.Device, e.Epoch, e.Seq, "receipt %x gives it entry %d of the log, its row %d (-1: none)", h.hash, e.Index, index))
		}
	}
	return nil
}
