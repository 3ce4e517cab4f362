package derived_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"ciglio/capture/evidence"
	"ciglio/capture/still"
	"ciglio/portal/blob"
	"ciglio/portal/database"
	"ciglio/portal/database/databasetest"
	"ciglio/portal/derived"
)

func TestMain(m *testing.M) { databasetest.Main(m) }

// A centre has one frame of the evidence's test vectors stored.
type centre struct {
	store   *derived.Store
	db      *database.DB
	address string
	blobs   blob.Folder
	dir     string
	source  []byte
	frame   derived.Frame
}

func newCentre(t *testing.T, e databasetest.Engine) *centre {
	t.Helper()
	c := &centre{dir: t.TempDir(), address: e.Address(t)}
	b, err := os.ReadFile(filepath.Join("..", "..", "capture", "evidence", "testdata", "valid", "violation.zip"))
	if err != nil {
		t.Fatal(err)
	}
	bundle, err := evidence.ReadBundle(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	record, err := evidence.Open(bundle.Record)
	if err != nil {
		t.Fatal(err)
	}
	c.source, c.frame = bundle.Frames[1], derived.FrameOf(record.Record, 1)
	if c.blobs, err = blob.OpenFolder(c.dir); err != nil {
		t.Fatal(err)
	}
	c.put(t, c.source)
	c.db = databasetest.Open(t, c.address, database.Options{})
	c.store = c.open(t, c.blobs)
	return c
}

func (c *centre) open(t *testing.T, blobs blob.Store) *derived.Store {
	t.Helper()
	s, err := derived.Open(t.Context(), c.db, blobs, 2)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (c *centre) put(t *testing.T, data []byte) evidence.Hash {
	t.Helper()
	hash := evidence.Hash(sha256.Sum256(data))
	if err := c.blobs.Put(t.Context(), hash, data); err != nil {
		t.Fatal(err)
	}
	return hash
}

func (c *centre) path(hash evidence.Hash) string {
	name := hash.String()
	return filepath.Join(c.dir, name[:2], name[2:])
}

func (c *centre) erase(t *testing.T, hash evidence.Hash) {
	t.Helper()
	if err := os.Remove(c.path(hash)); err != nil {
		t.Fatal(err)
	}
}

// recipe hides all but the middle of the frame, which is frontal, and its windscreen.
func recipe(quality int) *still.Recipe {
	return &still.Recipe{Code: still.Version, Quality: quality, Redact: &still.Redaction{
		Keep: []still.Polygon{{{X: 30, Y: 26}, {X: 62, Y: 26}, {X: 62, Y: 50}, {X: 30, Y: 50}}},
		Hide: []still.Polygon{{{X: 36, Y: 30}, {X: 56, Y: 30}, {X: 56, Y: 34}}},
	}}
}

func TestPicturesAreMadeOnce(t *testing.T) {
	databasetest.Each(t, func(t *testing.T, e databasetest.Engine) {
		c := newCentre(t, e)
		first, err := c.store.Redacted(t.Context(), c.frame, recipe(90))
		if err != nil {
			t.Fatal(err)
		}
		if first.Source() != c.frame.Hash || first.Hash() != sha256.Sum256(first.Bytes()) {
			t.Errorf("%v is not of the frame %v", first, c.frame.Hash)
		}
		review, err := c.store.Reviewed(t.Context(), c.frame, still.Thumbnail(40, 40))
		if err != nil {
			t.Fatal(err)
		}
		c.erase(t, c.frame.Hash) // nothing can be rendered any more
		for range 2 {
			again, err := c.store.Redacted(t.Context(), c.frame, recipe(90))
			if err != nil || again.Hash() != first.Hash() || !bytes.Equal(again.Bytes(), first.Bytes()) || !bytes.Equal(again.Recipe(), first.Recipe()) {
				t.Errorf("again %v, %v; want %v", again, err, first)
			}
			if again, err := c.store.Reviewed(t.Context(), c.frame, still.Thumbnail(40, 40)); err != nil || again.Hash() != review.Hash() {
				t.Errorf("again %v, %v; want %v", again, err, review)
			}
		}
		if p, err := c.store.Redacted(t.Context(), c.frame, recipe(80)); !errors.Is(err, blob.ErrDamaged) {
			t.Errorf("a frame that is gone: %v, %v", p, err)
		}
	})
}

func TestWhatIsTriedLeavesNothing(t *testing.T) {
	c := newCentre(t, databasetest.SQLite)
	p, err := c.store.Try(t.Context(), c.frame, recipe(90))
	if err != nil {
		t.Fatal(err)
	}
	if kept, err := c.store.Reviewed(t.Context(), c.frame, recipe(80)); err != nil {
		t.Fatal(err)
	} else if got, err := c.store.Forget(t.Context(), c.frame.Hash); err != nil || !slices.Equal(got, []evidence.Hash{kept.Hash()}) {
		t.Errorf("remembered is %v, %v; want %v alone", got, err, kept.Hash())
	}
	if _, err := c.blobs.Stat(t.Context(), p.Hash()); !errors.Is(err, blob.ErrAbsent) {
		t.Errorf("what was tried is stored: %v", err)
	}
	c.erase(t, c.frame.Hash)
	if p, err := c.store.Try(t.Context(), c.frame, recipe(90)); err == nil {
		t.Errorf("a picture of nothing: %v", p)
	}
}

func TestWhatIsKeptForReviewIsNotShownElsewhere(t *testing.T) {
	c := newCentre(t, databasetest.SQLite)
	open := recipe(90)
	open.Redact.Hide = nil
	for _, r := range []*still.Recipe{still.Thumbnail(40, 40), open} {
		if _, err := c.store.Reviewed(t.Context(), c.frame, r); err != nil {
			t.Fatal(err)
		}
		if p, err := c.store.Redacted(t.Context(), c.frame, r); !errors.Is(err, still.ErrUnredacted) {
			t.Errorf("%v, %v", p, err)
		}
	}
	if p, err := c.store.Redacted(t.Context(), c.frame, still.Thumbnail(20, 20)); !errors.Is(err, still.ErrUnredacted) {
		t.Errorf("before it was made: %v, %v", p, err)
	}
}

func TestDamagedPicturesAreMadeAgain(t *testing.T) {
	c := newCentre(t, databasetest.SQLite)
	first, err := c.store.Redacted(t.Context(), c.frame, recipe(90))
	if err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func() error{
		"changed": func() error { return os.WriteFile(c.path(first.Hash()), make([]byte, len(first.Bytes())), 0o600) },
		"cut":     func() error { return os.Truncate(c.path(first.Hash()), 5) },
		"gone":    func() error { return os.Remove(c.path(first.Hash())) },
	} {
		if err := spoil(); err != nil {
			t.Fatal(err)
		}
		again, err := c.store.Redacted(t.Context(), c.frame, recipe(90))
		if err != nil || again.Hash() != first.Hash() {
			t.Errorf("%s: %v, %v; want %v", name, again, err, first)
		}
		if b, err := os.ReadFile(c.path(first.Hash())); err != nil || !bytes.Equal(b, first.Bytes()) {
			t.Errorf("%s: it was not stored again: %v", name, err)
		}
	}
}

// A row that another program has written, or a renderer that makes other bytes.
func TestOtherBytesAreNotKeptInSilence(t *testing.T) {
	databasetest.Each(t, func(t *testing.T, e databasetest.Engine) {
		c := newCentre(t, e)
		hash, err := recipe(90).Hash()
		if err != nil {
			t.Fatal(err)
		}
		err = c.db.Update(t.Context(), func(tx *database.Tx) error {
			_, err := tx.Exec(t.Context(), `INSERT INTO derived (source, recipe, sha256, length) VALUES ($1, $2, $3, 7)`,
				c.frame.Hash[:], hash[:], make([]byte, 32))
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		if p, err := c.store.Redacted(t.Context(), c.frame, recipe(90)); !errors.Is(err, still.ErrDiffers) || p != nil {
			t.Errorf("%v, %v; want ErrDiffers", p, err)
		}
	})
}

func TestForgottenFramesLeaveNothing(t *testing.T) {
	databasetest.Each(t, func(t *testing.T, e databasetest.Engine) {
		c := newCentre(t, e)
		// Another frame of the same pixels: its pictures are the same bytes.
		twin := append(bytes.Clone(c.source), 0)
		other := c.frame
		other.Hash, other.Length = c.put(t, twin), uint32(len(twin))
		shared, err := c.store.Redacted(t.Context(), c.frame, recipe(90))
		if err != nil {
			t.Fatal(err)
		}
		if p, err := c.store.Redacted(t.Context(), other, recipe(90)); err != nil || p.Hash() != shared.Hash() {
			t.Fatalf("the twin: %v, %v; want %v", p, err, shared)
		}
		own, err := c.store.Redacted(t.Context(), c.frame, recipe(80))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := c.store.Forget(t.Context(), c.frame.Hash); err != nil || !slices.Equal(got, []evidence.Hash{own.Hash()}) {
			t.Errorf("first: %v, %v; want %v alone", got, err, own.Hash())
		}
		if got, err := c.store.Forget(t.Context(), c.frame.Hash); err != nil || len(got) != 0 {
			t.Errorf("again: %v, %v", got, err)
		}
		if got, err := c.store.Forget(t.Context(), other.Hash); err != nil || !slices.Equal(got, []evidence.Hash{shared.Hash()}) {
			t.Errorf("the twin: %v, %v; want %v", got, err, shared.Hash())
		}
		c.erase(t, c.frame.Hash)
		if p, err := c.store.Redacted(t.Context(), c.frame, recipe(80)); err == nil {
			t.Errorf("a forgotten picture was handed out: %v", p)
		}
	})
}

// hooked is a store that does something before it stores.
type hooked struct {
	blob.Folder
	before func()
}

func (h *hooked) Put(ctx context.Context, hash evidence.Hash, data []byte) error {
	h.before()
	return h.Folder.Put(ctx, hash, data)
}

func TestAFrameErasedMeanwhileGivesNoPicture(t *testing.T) {
	databasetest.Each(t, func(t *testing.T, e databasetest.Engine) {
		c := newCentre(t, e)
		s := c.open(t, &hooked{c.blobs, func() { c.erase(t, c.frame.Hash) }})
		if p, err := s.Redacted(t.Context(), c.frame, recipe(90)); !errors.Is(err, derived.ErrErased) || p != nil {
			t.Errorf("%v, %v; want ErrErased", p, err)
		}
		if got, err := c.store.Forget(t.Context(), c.frame.Hash); err != nil || len(got) != 0 {
			t.Errorf("it is remembered: %v, %v", got, err)
		}
	})
}

func TestManyAskForOnePicture(t *testing.T) {
	databasetest.Each(t, func(t *testing.T, e databasetest.Engine) {
		c := newCentre(t, e)
		var group sync.WaitGroup
		hashes := make([]evidence.Hash, 8)
		for i := range hashes {
			group.Go(func() {
				p, err := c.store.Redacted(t.Context(), c.frame, recipe(70))
				if err != nil {
					t.Error(err)
					return
				}
				hashes[i] = p.Hash()
			})
		}
		group.Wait()
		if all := slices.Compact(hashes); len(all) != 1 || all[0].IsZero() {
			t.Errorf("pictures %v, want one", all)
		}
	})
}

func TestWhoWaitsCanLeave(t *testing.T) {
	c := newCentre(t, databasetest.SQLite)
	ctx, cancel := context.WithCancel(t.Context())
	entered, leave := make(chan struct{}, 2), make(chan struct{})
	s := c.open(t, &hooked{c.blobs, func() { entered <- struct{}{}; <-leave }})
	var group sync.WaitGroup
	for i := range 2 { // as many as there may be
		group.Go(func() {
			if _, err := s.Redacted(t.Context(), c.frame, recipe(50+i)); err != nil {
				t.Error(err)
			}
		})
		<-entered
	}
	waits := make(chan error)
	go func() {
		_, err := s.Redacted(ctx, c.frame, recipe(60))
		waits <- err
	}()
	cancel()
	if err := <-waits; !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want that it was cancelled", err)
	}
	close(leave)
	group.Wait()
}
