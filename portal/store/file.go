package store

import (
	"errors"
	"os"

	"ciglio/capture/evidence"
)

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
