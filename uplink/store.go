package uplink

import "ciglio/capture/evidence"

// Key is a record's place in the chain of its device.
type Key struct{ Epoch, Seq uint64 }

// Less reports whether k comes before l.
func (k Key) Less(l Key) bool {
	return k.Epoch < l.Epoch || k.Epoch == l.Epoch && k.Seq < l.Seq
}

// Item describes one record of a store without its bytes.
type Item struct {
	Key
	ID    evidence.Hash // record id
	Kind  evidence.Kind
	Size  int64 // bytes of the record and of every chunk message
	Blobs []BlobInfo
}

// BlobInfo describes one blob of a record.
type BlobInfo struct {
	SHA256 evidence.Hash
	Length uint64 // bytes
	Chunks int    // chunk messages it makes
}

// Store is where a [Sender] takes records from: package uplink/outbox in the
// field. Its methods are safe for concurrent use.
type Store interface {
	// Unsettled lists, oldest first, up to max records after the given key that
	// have no receipt and are not set aside. It reads from flash what it lists
	// and no more.
	Unsettled(after Key, max int) ([]Item, error)
	// Record returns a sealed record, checked as it was read.
	Record(key Key) ([]byte, error)
	// Chunk returns one chunk message of a record's blob as package uplink/wire
	// spells it, checked as it was read.
	Chunk(key Key, blob, chunk int) ([]byte, error)
	// Settle stores a receipt whose signature the caller has verified, and says
	// how many records it settled that were not settled before.
	Settle(receipt *evidence.SealedReceipt) (int, error)
	// SetAside keeps a record but offers it no more, with the reason.
	SetAside(key Key, reason string) error
	// Changed is closed when something was appended or settled after the call.
	Changed() <-chan struct{}
}
