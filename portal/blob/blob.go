// Package blob keeps bytes under their SHA-256, in a folder or in an S3 store.
// README.md says what it keeps true.
package blob

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"syscall"

	"ciglio/capture/evidence"
)

// Errors of a Store.
var (
	// ErrAbsent says that there is no blob of this hash.
	ErrAbsent = errors.New("no such blob")
	// ErrDamaged says that bytes do not have the hash, or the length, that they
	// are stored under.
	ErrDamaged = errors.New("stored bytes are damaged")
)

// A Store keeps blobs. Lengths are in bytes. What Put or PutFile has returned nil
// for is durable. Any other error than [ErrAbsent] and [ErrDamaged] says nothing
// of what is stored. It is safe for concurrent use.
type Store interface {
	// Put stores bytes, whether they are there already or not. The error wraps
	// [ErrDamaged] when they do not have the hash.
	Put(ctx context.Context, hash evidence.Hash, data []byte) error
	// PutFile stores the first bytes of a file, which nobody else writes to. The
	// file is gone when it returns nil, and when the error wraps [ErrDamaged].
	PutFile(ctx context.Context, path string, hash evidence.Hash, length uint64) error
	// Stat returns the length of a blob. It reads none of it.
	Stat(ctx context.Context, hash evidence.Hash) (length uint64, err error)
	// Get returns a blob that has this length. A blob that is absent is damaged
	// here, and in Map: whoever knows its length knows that it was stored.
	Get(ctx context.Context, hash evidence.Hash, length uint64) ([]byte, error)
	// Range returns the bytes from one offset to before another, unchecked.
	Range(ctx context.Context, hash evidence.Hash, from, to uint64) ([]byte, error)
	// Map is Get of a blob that takes no memory of its own.
	Map(ctx context.Context, hash evidence.Hash, length uint64) (*Mapped, error)
	// Confirm reports whether the whole blob is there, undamaged, and makes sure
	// that it is so durably.
	Confirm(ctx context.Context, hash evidence.Hash, length uint64) (bool, error)
	// Each calls yield for every blob that the store has, in the order of their
	// hashes, with its length. It reads none of them.
	Each(ctx context.Context, yield func(hash evidence.Hash, length uint64) error) error
	// Check asks whether the store answers.
	Check(ctx context.Context) error
}

// A Mapped is a blob in the pages of its file: it takes no memory of its own,
// however large it is and however long somebody reads it. Data must not be
// changed, and not be used after Close.
//
// A disk that fails while Data is read is a fault of memory: a reader that must
// survive it calls [runtime/debug.SetPanicOnFault].
type Mapped struct{ Data []byte }

// Close releases the pages.
func (m *Mapped) Close() error {
	if m.Data == nil {
		return nil
	}
	data := m.Data
	m.Data = nil
	return syscall.Munmap(data)
}

// mapFile maps the first bytes of a file and checks them.
func mapFile(f *os.File, hash evidence.Hash, length uint64) (*Mapped, error) {
	info, err := f.Stat()
	if err != nil || uint64(info.Size()) < length {
		return nil, damaged(hash, fmt.Errorf("shorter than %d bytes (%w)", length, err))
	}
	m := &Mapped{}
	if length > 0 { // no page of nothing
		if m.Data, err = syscall.Mmap(int(f.Fd()), 0, int(length), syscall.PROT_READ, syscall.MAP_SHARED); err != nil {
			return nil, damaged(hash, err)
		}
	}
	if sha256.Sum256(m.Data) != hash {
		m.Close()
		return nil, damaged(hash, nil)
	}
	return m, nil
}

func damaged(hash evidence.Hash, why error) error {
	if why == nil {
		return fmt.Errorf("blob %s: %w", hash, ErrDamaged)
	}
	return fmt.Errorf("blob %s: %w: %w", hash, ErrDamaged, why)
}

func absent(hash evidence.Hash) error { return fmt.Errorf("blob %s: %w", hash, ErrAbsent) }

// name is that of a blob, with a slash.
func name(hash evidence.Hash) string {
	text := hash.String()
	return text[:2] + "/" + text[2:]
}
