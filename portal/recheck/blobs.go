package recheck

import (
	"bytes"
	"errors"
	"fmt"
	"iter"
	"sync"

	"golang.org/x/sync/errgroup"

	"ciglio/capture/evidence"
	"ciglio/portal/blob"
)

const selectBlobs = `SELECT sha256, length FROM blobs ORDER BY sha256`

// A kept blob is one that the store lists.
type kept struct {
	hash   evidence.Hash
	length uint64
}

// readers is how many blobs are hashed at once.
const readers = 4

// blobs hashes each that a row names, and counts those that none does.
func (k *checker) blobs() error {
	if k.Blobs == nil {
		k.result.NotChecked = append(k.result.NotChecked, "pictures and traces")
		return nil
	}
	// What is listed first is stored before a row that is read later names it, not the
	// other way round: a blob that is not listed is looked for again.
	pull, stop := iter.Pull2(func(yield func(kept, error) bool) {
		ended := errors.New("enough")
		err := k.Blobs.Each(k.ctx, func(hash evidence.Hash, length uint64) error {
			if !yield(kept{hash, length}, nil) {
				return ended
			}
			return nil
		})
		if err != nil && !errors.Is(err, ended) {
			yield(kept{}, err)
		}
	})
	defer stop()
	rows, err := k.DB.Query(k.ctx, selectBlobs)
	if err != nil {
		return err
	}
	defer rows.Close()
	var mu sync.Mutex
	bad := map[evidence.Hash]Finding{}
	g, ctx := errgroup.WithContext(k.ctx)
	g.SetLimit(readers)
	have, err, more := pull()
	for err == nil && rows.Next() {
		var raw []byte
		var length uint64
		if err = rows.Scan(&raw, &length); err != nil {
			break
		}
		hash := evidence.Hash(raw)
		k.result.Blobs++
		k.result.BlobBytes += length
		for more && err == nil && bytes.Compare(have.hash[:], hash[:]) < 0 {
			k.result.Spare++
			have, err, more = pull()
		}
		if err != nil {
			break
		}
		if more && have.hash == hash {
			have, err, more = pull()
		}
		g.Go(func() error {
			m, err := k.Blobs.Map(ctx, hash, length)
			if err == nil {
				return m.Close()
			}
			if !errors.Is(err, blob.ErrDamaged) {
				return err
			}
			code := BlobDamaged
			if _, err := k.Blobs.Stat(ctx, hash); errors.Is(err, blob.ErrAbsent) {
				code = BlobMissing
			} else if err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			if len(bad) < MaxFindings {
				bad[hash] = Finding{Code: code, Words: err.Error()}
			}
			return nil
		})
	}
	if err := errors.Join(err, g.Wait(), rows.Err()); err != nil {
		return err
	}
	for ; more; have, err, more = pull() {
		if err != nil {
			return err
		}
		k.result.Spare++
	}
	for hash, f := range bad {
		if err := k.tell(hash, f); err != nil {
			return err
		}
	}
	return nil
}

const selectSenders = `SELECT r.device, r.epoch, r.seq FROM sent s JOIN records r ON r.id = s.record WHERE s.sha256 = $1`

// tell names the records that a bad blob was sent for.
func (k *checker) tell(hash evidence.Hash, f Finding) error {
	rows, err := k.DB.Query(k.ctx, selectSenders, hash[:])
	if err != nil {
		return err
	}
	defer rows.Close()
	found := false
	for rows.Next() {
		var device []byte
		var epoch, seq uint64
		if err := rows.Scan(&device, &epoch, &seq); err != nil {
			return err
		}
		found = true
		k.add(of(f.Code, evidence.DeviceID(device), epoch, seq, "%s", f.Words))
	}
	if !found {
		k.add(Finding{Code: f.Code, Words: fmt.Sprintf("%s; no row says whose it is", f.Words)})
	}
	return rows.Err()
}
