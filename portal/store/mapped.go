package store

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"ciglio/capture/evidence"
)

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

// MapBlob returns a blob that counts for a record: one that was sent for it. The
// bytes are hashed first. The errors are those of [Store.Blob]; a blob that was
// sent for another record alone is not found.
func (s *Store) MapBlob(ctx context.Context, r *Record, hash evidence.Hash) (*Mapped, error) {
	length, err := s.BlobLength(ctx, hash)
	if err != nil {
		return nil, err
	}
	if r.State != Complete {
		senders, err := s.Senders(ctx, hash)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(senders, r.ID) {
			return nil, fmt.Errorf("blob %s: not sent for record %s: %w", hash, r.ID, ErrNotFound)
		}
	}
	f, err := os.Open(blobPath(filepath.Join(s.dir, blobFolder), hash))
	if err != nil {
		return nil, fmt.Errorf("blob %s: %w: %w", hash, ErrDamaged, err)
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || uint64(info.Size()) < length {
		return nil, fmt.Errorf("blob %s: %w: shorter than %d bytes (%v)", hash, ErrDamaged, length, err)
	}
	data, err := syscall.Mmap(int(f.Fd()), 0, int(length), syscall.PROT_READ, syscall.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("blob %s: %w: %w", hash, ErrDamaged, err)
	}
	m := &Mapped{Data: data}
	if sha256.Sum256(data) != hash {
		m.Close()
		return nil, fmt.Errorf("blob %s: %w", hash, ErrDamaged)
	}
	return m, nil
}
