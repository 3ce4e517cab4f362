// Package derived keeps derived pictures of frames: rendered when they are asked for,
// once, and then read from the blob store. README.md says what it keeps true.
package derived

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"ciglio/capture/evidence"
	"ciglio/capture/still"
	"ciglio/portal/blob"
	"ciglio/portal/database"
)

// ErrErased says that the frame was erased while its picture was rendered.
var ErrErased = errors.New("the frame was erased")

// owner is whose steps those of this package are.
const owner = "derived"

var steps = []database.Step{
	{SQL: []string{
		`CREATE TABLE derived (
			source BYTEA NOT NULL,
			recipe BYTEA NOT NULL,
			sha256 BYTEA NOT NULL,
			length BIGINT NOT NULL,
			PRIMARY KEY (source, recipe)
		)`,
		`CREATE INDEX derived_sha256 ON derived (sha256)`,
	}},
}

// A Store makes and keeps pictures. It is safe for concurrent use.
type Store struct {
	db    *database.DB
	blobs blob.Store
	slots chan struct{}
}

// Schema is that of this package, for whoever copies all tables.
func Schema() database.Schema { return database.Schema{Owner: owner, Steps: steps} }

// Open brings the table to its last step. At most atOnce pictures are rendered at a
// time, 1 or more.
func Open(ctx context.Context, db *database.DB, blobs blob.Store, atOnce int) (*Store, error) {
	if atOnce < 1 {
		return nil, fmt.Errorf("derived: %d pictures at once, want 1 or more", atOnce)
	}
	if err := db.Migrate(ctx, owner, steps); err != nil {
		return nil, err
	}
	return &Store{db, blobs, make(chan struct{}, atOnce)}, nil
}

// A Frame is one picture of a record, as its signed fields name it.
type Frame struct {
	Hash   evidence.Hash
	Length uint32
	Facing still.Facing
}

// FrameOf returns a frame of a record, which counts from 0 and must be there.
func FrameOf(r *evidence.Record, frame int) Frame {
	f := Frame{Hash: r.Frames[frame].SHA256, Length: r.Frames[frame].Length}
	if r.Measurement != nil {
		f.Facing = still.FacingOf(r.Measurement.Direction)
	}
	return f
}

// Redacted returns what may be shown outside review. Its errors are those of
// [still.Original.Redact], of the blob store, and [ErrErased].
func (s *Store) Redacted(ctx context.Context, f Frame, r *still.Recipe) (p *still.Redacted, err error) {
	err = s.get(ctx, f, r, func(k kept, data []byte) error {
		p, err = still.RecallRedacted(f.Hash, f.Facing, r, k.hash, data)
		return err
	}, func(o *still.Original) (picture, error) {
		p, err = o.Redact(r)
		return p, err
	})
	if err != nil {
		return nil, err
	}
	return p, nil
}

// Reviewed returns a picture for review.
func (s *Store) Reviewed(ctx context.Context, f Frame, r *still.Recipe) (p *still.Reviewed, err error) {
	err = s.get(ctx, f, r, func(k kept, data []byte) error {
		p, err = still.RecallReviewed(f.Hash, r, k.hash, data)
		return err
	}, func(o *still.Original) (picture, error) {
		p, err = o.Review(r)
		return p, err
	})
	if err != nil {
		return nil, err
	}
	return p, nil
}

// Try renders a picture for review and keeps nothing: for what an officer tries out, as
// each step of a zoom.
func (s *Store) Try(ctx context.Context, f Frame, r *still.Recipe) (p *still.Reviewed, err error) {
	err = s.render(ctx, f, func(o *still.Original) error {
		p, err = o.Review(r)
		return err
	})
	return p, err
}

type picture interface {
	Hash() evidence.Hash
	Bytes() []byte
}

// kept is what a row names.
type kept struct {
	hash   evidence.Hash
	length uint64
}

// get hands what is kept to recall, or makes the picture and keeps it.
func (s *Store) get(ctx context.Context, f Frame, r *still.Recipe, recall func(kept, []byte) error, render func(*still.Original) (picture, error)) error {
	recipe, err := r.Hash()
	if err != nil {
		return err
	}
	k, err := s.row(ctx, s.db, f.Hash, recipe)
	switch {
	case err == nil:
		data, err := s.blobs.Get(ctx, k.hash, k.length)
		if err == nil {
			return recall(k, data)
		}
		if !errors.Is(err, blob.ErrDamaged) {
			return err
		}
	case !errors.Is(err, database.ErrAbsent):
		return err
	}
	return s.render(ctx, f, func(o *still.Original) error {
		p, err := render(o)
		if err != nil {
			return err
		}
		return s.keep(ctx, f, recipe, p)
	})
}

// render opens a frame when there is room to render.
func (s *Store) render(ctx context.Context, f Frame, with func(*still.Original) error) error {
	select {
	case s.slots <- struct{}{}:
		defer func() { <-s.slots }()
	case <-ctx.Done():
		return ctx.Err()
	}
	source, err := s.blobs.Get(ctx, f.Hash, uint64(f.Length))
	if err != nil {
		return fmt.Errorf("frame %v: %w", f.Hash, err)
	}
	o, err := still.Open(source, f.Facing)
	if err != nil {
		return fmt.Errorf("frame %v: %w", f.Hash, err)
	}
	return with(o)
}

const (
	selectDerived = `SELECT sha256, length FROM derived WHERE source = $1 AND recipe = $2`
	insertDerived = `INSERT INTO derived (source, recipe, sha256, length) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING`
)

func (s *Store) row(ctx context.Context, from database.Reader, source, recipe evidence.Hash) (kept, error) {
	var hash []byte
	var length int64
	if err := from.Row(ctx, selectDerived, []any{source[:], recipe[:]}, &hash, &length); err != nil {
		return kept{}, err
	}
	if len(hash) != len(evidence.Hash{}) || length < 0 {
		return kept{}, fmt.Errorf("derived picture of %v: the row is damaged", source)
	}
	return kept{evidence.Hash(hash), uint64(length)}, nil
}

// keep stores a picture and then its row.
func (s *Store) keep(ctx context.Context, f Frame, recipe evidence.Hash, p picture) error {
	hash := p.Hash()
	if err := s.blobs.Put(ctx, hash, p.Bytes()); err != nil {
		return err
	}
	err := s.db.Update(ctx, func(tx *database.Tx) error {
		if _, err := tx.Exec(ctx, insertDerived, f.Hash[:], recipe[:], hash[:], int64(len(p.Bytes()))); err != nil {
			return err
		}
		k, err := s.row(ctx, tx, f.Hash, recipe)
		if err == nil && k.hash != hash {
			return fmt.Errorf("derived picture of %v: %w: %v, and %v is kept", f.Hash, still.ErrDiffers, hash, k.hash)
		}
		return err
	})
	if err != nil {
		return err
	}
	// Who erases the frame erases its blob before it forgets the pictures: a row that
	// came after that is found here.
	if _, err := s.blobs.Stat(ctx, f.Hash); errors.Is(err, blob.ErrAbsent) {
		_, err := s.Forget(ctx, f.Hash)
		return errors.Join(fmt.Errorf("frame %v: %w", f.Hash, ErrErased), err)
	} else if err != nil {
		return err
	}
	return nil
}

const (
	selectOnly = `SELECT DISTINCT sha256 FROM derived WHERE source = $1
		AND NOT EXISTS (SELECT 1 FROM derived o WHERE o.sha256 = derived.sha256 AND o.source <> $1) ORDER BY sha256`
	deleteDerived = `DELETE FROM derived WHERE source = $1`
)

// Forget drops what is remembered of a frame and returns the blobs that no other
// frame's pictures are, for the caller to erase.
func (s *Store) Forget(ctx context.Context, source evidence.Hash) (blobs []evidence.Hash, err error) {
	err = s.db.Update(ctx, func(tx *database.Tx) error {
		rows, err := tx.Query(ctx, selectOnly, source[:])
		blobs, err = database.Scan(rows, err, func(rows *sql.Rows) (h evidence.Hash, err error) {
			var b []byte
			if err := rows.Scan(&b); err != nil {
				return h, err
			}
			if len(b) != len(h) {
				return h, fmt.Errorf("derived picture of %v: the row is damaged", source)
			}
			return evidence.Hash(b), nil
		})
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, deleteDerived, source[:])
		return err
	})
	return blobs, err
}
