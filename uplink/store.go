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
