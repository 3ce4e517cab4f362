package store

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"ciglio/capture/evidence"
	"ciglio/internal/durable"
)

func blobPath(folder string, hash evidence.Hash) string {
	name := hash.String()
	return filepath.Join(folder, name[:2], name[2:])
}

// Blob returns the bytes of a blob. They are hashed on the way: the error wraps
// [ErrDamaged] when they are not what was stored, [ErrNotFound] when the store
// does not name the blob.
func (s *Store) Blob(ctx context.Context, hash evidence.Hash) ([]byte, error) {
	length, err := s.BlobLength(ctx, hash)
	if err != nil {
		return nil, err
	}
	return readBlob(filepath.Join(s.dir, blobFolder), hash, length)
}

// readBlob reads a blob that some transaction names, as [Store.Blob] does.
func readBlob(folder string, hash evidence.Hash, length uint64) ([]byte, error) {
	f, err := os.Open(blobPath(folder, hash))
	if err != nil {
		return nil, fmt.Errorf("blob %s: %w: %w", hash, ErrDamaged, err)
	}
	defer f.Close()
	data := make([]byte, length)
	if _, err := io.ReadFull(f, data); err != nil {
		return nil, fmt.Errorf("blob %s: %w: %w", hash, ErrDamaged, err)
	}
	if sha256.Sum256(data) != hash {
		return nil, fmt.Errorf("blob %s: %w", hash, ErrDamaged)
	}
	return data, nil
}

// BlobLength returns the length in bytes of a blob that the store names;
// otherwise the error wraps [ErrNotFound].
func (s *Store) BlobLength(ctx context.Context, hash evidence.Hash) (uint64, error) {
	var length int64
	err := s.queryRow(ctx, s.stmts.blobLength, []any{hash[:]}, &length)
	if err != nil {
		return 0, fmt.Errorf("blob %s: %w", hash, err)
	}
	return uint64(length), nil
}

// OnDisk reports whether a file of this length lies under the blob's final name,
// named by a transaction or about to be. It does not read it.
func (s *Store) OnDisk(hash evidence.Hash, length uint64) bool {
	info, err := os.Stat(blobPath(filepath.Join(s.dir, blobFolder), hash))
	return err == nil && uint64(info.Size()) == length
}

// Orphan reports whether a whole blob of this hash and length lies on disk
// although no transaction may name it: power was cut, or the process ended,
// between the two. It makes sure that the blob is there durably, so that the next
// transaction may name it.
func (s *Store) Orphan(hash evidence.Hash, length uint64) bool {
	path := blobPath(filepath.Join(s.dir, blobFolder), hash)
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	sum, n := sha256.New(), int64(0)
	if n, err = io.Copy(sum, io.LimitReader(f, int64(length)+1)); err != nil || uint64(n) != length {
		return false
	}
	if evidence.Hash(sum.Sum(nil)) != hash {
		return false
	}
	return f.Sync() == nil && durable.SyncFolder(filepath.Dir(path)) == nil
}
