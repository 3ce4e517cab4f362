package backup

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"

	"golang.org/x/sync/errgroup"

	"ciglio/capture/evidence"
	"ciglio/portal/blob"
	"ciglio/portal/database"
)

// A wanted blob is one that a row names.
type wanted struct {
	hash   evidence.Hash
	length uint64
}

// wantedOf reads a row of the table of blobs.
func wantedOf(columns []database.Column, row []any) (w wanted, err error) {
	var hash []byte
	var length int64
	for i, c := range columns {
		switch c.Name {
		case "sha256":
			hash, _ = row[i].([]byte)
		case "length":
			length, _ = row[i].(int64)
		}
	}
	if len(hash) != len(w.hash) || length < 0 {
		return w, fmt.Errorf("blob %x of %d bytes: no such can be", hash, length)
	}
	return wanted{evidence.Hash(hash), uint64(length)}, nil
}

// blobTable is the table whose rows name all blobs.
const blobTable = "blobs"

// A putter is where blobs go. Its Put makes nothing durable before its Flush.
type putter interface {
	Put(hash evidence.Hash, data []byte) error
	Flush() error
	Close() error
}

// putterTo is how many blobs go into a store.
func putterTo(ctx context.Context, to blob.Store) (putter, error) {
	if f, ok := to.(blob.Folder); ok {
		b, err := f.Bulk()
		if err != nil {
			return nil, err
		}
		return &oneByOne{putter: b}, nil
	}
	return direct{ctx, to}, nil
}

// oneByOne has several goroutines use a putter.
type oneByOne struct {
	mu sync.Mutex
	putter
}

func (o *oneByOne) Put(hash evidence.Hash, data []byte) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.putter.Put(hash, data)
}

// direct puts each by itself: what the store has said is durable.
type direct struct {
	ctx context.Context
	to  blob.Store
}

func (d direct) Put(hash evidence.Hash, data []byte) error { return d.to.Put(d.ctx, hash, data) }
func (d direct) Flush() error                              { return nil }
func (d direct) Close() error                              { return nil }

// Copied counts blobs, and their bytes.
type Copied struct {
	Blobs int64  `json:"blobs"` // that rows name
	New   int64  `json:"new"`   // that were not there
	Bytes uint64 `json:"bytes"` // of those
}

// readers is how many blobs are read at once.
const readers = 8

// copyBlobs copies those that are named, in the order of their hashes, and not there. Each
// is hashed on the way. What is damaged or lost is left out, and returned with why.
func copyBlobs(ctx context.Context, from, to blob.Store, named iter.Seq2[wanted, error]) (c Copied, bad map[evidence.Hash]error, err error) {
	out, err := putterTo(ctx, to)
	if err != nil {
		return c, nil, err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	next, stop := there(ctx, to)
	defer stop()
	var mu sync.Mutex
	bad = map[evidence.Hash]error{}
	g, working := errgroup.WithContext(ctx)
	g.SetLimit(readers)
	have, more, err := next()
	for w, werr := range named {
		if err = errors.Join(err, werr, working.Err()); err != nil {
			break
		}
		c.Blobs++
		for more && err == nil && bytes.Compare(have.hash[:], w.hash[:]) < 0 {
			have, more, err = next()
		}
		if err != nil {
			break
		}
		if more && have == w {
			continue
		}
		g.Go(func() error {
			data, err := from.Get(working, w.hash, w.length)
			if errors.Is(err, blob.ErrDamaged) {
				mu.Lock()
				bad[w.hash] = err
				mu.Unlock()
				return nil
			}
			if err != nil {
				return err
			}
			if err := out.Put(w.hash, data); err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			c.New, c.Bytes = c.New+1, c.Bytes+w.length
			return nil
		})
	}
	if failed := g.Wait(); failed != nil && (err == nil || errors.Is(err, context.Canceled)) {
		err = failed
	}
	return c, bad, errors.Join(err, out.Flush())
}

// there lists what a store has, in the order of hashes.
func there(ctx context.Context, s blob.Store) (next func() (wanted, bool, error), stop func()) {
	ended := errors.New("enough")
	seq := func(yield func(wanted, error) bool) {
		err := s.Each(ctx, func(hash evidence.Hash, length uint64) error {
			if !yield(wanted{hash, length}, nil) {
				return ended
			}
			return nil
		})
		if err != nil && !errors.Is(err, ended) {
			yield(wanted{}, err)
		}
	}
	pull, stop := iter.Pull2(iter.Seq2[wanted, error](seq))
	return func() (wanted, bool, error) {
		w, err, more := pull()
		return w, more && err == nil, err
	}, stop
}

// namedBy are the blobs that a file of rows names.
func namedBy(path string) iter.Seq2[wanted, error] {
	return func(yield func(wanted, error) bool) {
		ended := errors.New("enough")
		_, err := readRows(path, func(columns []database.Column, row []any) error {
			w, err := wantedOf(columns, row)
			if err == nil && !yield(w, nil) {
				err = ended
			}
			return err
		})
		if err != nil && !errors.Is(err, ended) {
			yield(wanted{}, err)
		}
	}
}
