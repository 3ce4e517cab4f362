package blob

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"ciglio/capture/evidence"
	"ciglio/internal/durable"
)

// A Folder is a [Store] in a folder.
type Folder struct{ dir string }

var _ Store = Folder{}

// OpenFolder opens the folder dir, and makes it, with every folder that a blob can
// lie in, so that storing a blob syncs one folder only.
func OpenFolder(dir string) (Folder, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return Folder{}, err
	}
	made := false
	for i := range 256 {
		err := os.Mkdir(filepath.Join(dir, fmt.Sprintf("%02x", i)), 0o700)
		if err != nil && !errors.Is(err, os.ErrExist) {
			return Folder{}, err
		}
		made = made || err == nil
	}
	if !made {
		return Folder{dir}, nil
	}
	return Folder{dir}, errors.Join(durable.SyncFolder(dir), durable.SyncFolder(filepath.Dir(dir)))
}

func (f Folder) path(hash evidence.Hash) string {
	return filepath.Join(f.dir, filepath.FromSlash(name(hash)))
}

// Put is that of [Store].
func (f Folder) Put(_ context.Context, hash evidence.Hash, data []byte) error {
	if sha256.Sum256(data) != hash {
		return damaged(hash, nil)
	}
	return durable.WriteFile(f.path(hash), data, 0o600)
}

// PutFile is that of [Store]. The file lies on the same disk as the folder. One
// that cannot be synced is gone, too: the next sync may succeed without what this
// one lost.
func (f Folder) PutFile(_ context.Context, path string, hash evidence.Hash, length uint64) error {
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer file.Close()
	switch same, err := sum(file, hash, length); {
	case err != nil:
		return err
	case !same:
		return errors.Join(damaged(hash, nil), os.Remove(path))
	}
	if err := errors.Join(file.Truncate(int64(length)), file.Sync()); err != nil {
		return errors.Join(err, os.Remove(path))
	}
	final := f.path(hash)
	if err := os.Rename(path, final); err != nil {
		return err
	}
	return durable.SyncFolder(filepath.Dir(final))
}

// sum reports whether the first bytes of r are the blob.
func sum(r io.Reader, hash evidence.Hash, length uint64) (bool, error) {
	h := sha256.New()
	n, err := io.Copy(h, io.LimitReader(r, int64(length)))
	return uint64(n) == length && evidence.Hash(h.Sum(nil)) == hash, err
}

// Stat is that of [Store].
func (f Folder) Stat(_ context.Context, hash evidence.Hash) (uint64, error) {
	info, err := os.Stat(f.path(hash))
	if errors.Is(err, os.ErrNotExist) {
		return 0, absent(hash)
	}
	if err != nil {
		return 0, err
	}
	return uint64(info.Size()), nil
}

// Get is that of [Store].
func (f Folder) Get(_ context.Context, hash evidence.Hash, length uint64) ([]byte, error) {
	file, err := os.Open(f.path(hash))
	if err != nil {
		return nil, damaged(hash, err)
	}
	defer file.Close()
	data := make([]byte, length)
	if _, err := io.ReadFull(file, data); err != nil {
		return nil, damaged(hash, err)
	}
	if sha256.Sum256(data) != hash {
		return nil, damaged(hash, nil)
	}
	return data, nil
}

// Range is that of [Store].
func (f Folder) Range(_ context.Context, hash evidence.Hash, from, to uint64) ([]byte, error) {
	file, err := os.Open(f.path(hash))
	if errors.Is(err, os.ErrNotExist) {
		return nil, absent(hash)
	}
	if err != nil {
		return nil, err
	}
	defer file.Close()
	data := make([]byte, to-from)
	if _, err := file.ReadAt(data, int64(from)); err != nil {
		return nil, damaged(hash, err)
	}
	return data, nil
}

// Map is that of [Store].
func (f Folder) Map(_ context.Context, hash evidence.Hash, length uint64) (*Mapped, error) {
	file, err := os.Open(f.path(hash))
	if err != nil {
		return nil, damaged(hash, err)
	}
	defer file.Close()
	return mapFile(file, hash, length)
}

// Confirm is that of [Store]: it syncs the file and its name.
func (f Folder) Confirm(_ context.Context, hash evidence.Hash, length uint64) (bool, error) {
	path := f.path(hash)
	file, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer file.Close()
	if info, err := file.Stat(); err != nil || uint64(info.Size()) != length {
		return false, err
	}
	if same, err := sum(file, hash, length); err != nil || !same {
		return false, err
	}
	err = errors.Join(file.Sync(), durable.SyncFolder(filepath.Dir(path)))
	return err == nil, err
}

// Check is that of [Store].
func (f Folder) Check(context.Context) error {
	_, err := os.Stat(f.dir)
	return err
}

// Each is that of [Store].
func (f Folder) Each(ctx context.Context, yield func(evidence.Hash, uint64) error) error {
	for i := range 256 {
		prefix := fmt.Sprintf("%02x", i)
		entries, err := os.ReadDir(filepath.Join(f.dir, prefix))
		if err != nil {
			return err
		}
		for _, e := range entries {
			hash, err := evidence.ParseHash(prefix + e.Name())
			if err != nil {
				continue // one on its way
			}
			info, err := e.Info()
			if errors.Is(err, os.ErrNotExist) {
				continue
			}
			if err := errors.Join(err, ctx.Err()); err != nil {
				return err
			}
			if err := yield(hash, uint64(info.Size())); err != nil {
				return err
			}
		}
	}
	return nil
}

// The folder of blobs that a [Bulk] has not made durable yet.
const incoming = "incoming"

// A Bulk is how many blobs are put into a folder: its disk is synced once for
// thousands of them, and a blob has its name only when its bytes are durable. So a
// power cut leaves no blob of a Bulk that is not whole. One goroutine uses it, and
// one Bulk a folder.
type Bulk struct {
	f      Folder
	staged []evidence.Hash
	bytes  int
}

// How many blobs, and bytes of them, wait at most for a sync.
const (
	bulkBlobs = 20_000
	bulkBytes = 1 << 30
)

// Bulk begins one. What an interrupted one had not ended is removed.
func (f Folder) Bulk() (*Bulk, error) {
	stage := filepath.Join(f.dir, incoming)
	if err := os.RemoveAll(stage); err != nil {
		return nil, err
	}
	return &Bulk{f: f}, os.Mkdir(stage, 0o700)
}

func (b *Bulk) stage(hash evidence.Hash) string {
	return filepath.Join(b.f.dir, incoming, hash.String())
}

// Put takes a blob, whose hash the caller has computed. It is there after [Bulk.Flush].
func (b *Bulk) Put(hash evidence.Hash, data []byte) error {
	if err := os.WriteFile(b.stage(hash), data, 0o600); err != nil {
		return err
	}
	b.staged, b.bytes = append(b.staged, hash), b.bytes+len(data)
	if len(b.staged) < bulkBlobs && b.bytes < bulkBytes {
		return nil
	}
	return b.Flush()
}

// Flush returns when all that was put is durable.
func (b *Bulk) Flush() error {
	if len(b.staged) == 0 {
		return nil
	}
	if err := durable.SyncDisk(b.f.dir); err != nil {
		return err
	}
	for _, hash := range b.staged {
		if err := os.Rename(b.stage(hash), b.f.path(hash)); err != nil {
			return err
		}
	}
	b.staged, b.bytes = b.staged[:0], 0
	return durable.SyncDisk(b.f.dir)
}

// Close ends it. What was not flushed is gone.
func (b *Bulk) Close() error { return os.RemoveAll(filepath.Join(b.f.dir, incoming)) }
