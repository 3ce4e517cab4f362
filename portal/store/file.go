package store

import (
	"errors"
	"os"
	"path/filepath"

	"ciglio/capture/evidence"
)

// syncFolder makes the names in a folder durable.
func syncFolder(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

func syncFile(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// copyBlob copies a blob to another blob folder and syncs it. The caller syncs
// the folder. The error wraps [ErrDamaged] when the bytes are not those stored;
// then nothing is copied.
func copyBlob(from, to string, hash evidence.Hash, length uint64) error {
	data, err := readBlob(from, hash, length)
	if err != nil {
		return err
	}
	out, err := os.OpenFile(blobPath(to, hash), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = out.Write(data)
	return errors.Join(err, out.Sync(), out.Close())
}

// WriteFile replaces the file at path by one with the given bytes so that after
// a power cut either the old or the new file is there, whole.
func WriteFile(path string, data []byte, mode os.FileMode) error {
	folder := filepath.Dir(path)
	f, err := os.CreateTemp(folder, ".new-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // fails once renamed
	_, err = f.Write(data)
	if err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	return syncFolder(folder)
}
