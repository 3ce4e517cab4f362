package backup_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ciglio/capture/evidence"
	"ciglio/portal/backup"
	"ciglio/portal/blob"
	"ciglio/portal/blob/blobtest"
	"ciglio/portal/database"
	"ciglio/portal/database/databasetest"
	"ciglio/portal/portaltest"
	"ciglio/portal/record"
)

func TestMain(m *testing.M) { portaltest.Main(m) }

var (
	root    = evidence.Hash{1}
	schemas = []database.Schema{record.Schema()}
	none    = func(string) error { return nil }
)

// An engine is one of the two sets that a centre may stand on.
type engine string

const (
	disk    engine = "disk"
	servers engine = "servers"
)

// store opens an empty store: what a target is.
func (e engine) store(t *testing.T, filling bool) (backup.Centre, string) {
	t.Helper()
	c := backup.Centre{Root: root, Before: none, After: none}
	var err error
	address := databasetest.SQLite.Address(t)
	if e == servers {
		databasetest.Need(t)
		address = databasetest.PostgreSQL.Address(t)
		c.Blobs, err = blob.OpenS3(t.Context(), blobtest.Bucket(t))
	} else {
		c.Blobs, err = blob.OpenFolder(filepath.Join(filepath.Dir(address), "blobs"))
	}
	if err != nil {
		t.Fatal(err)
	}
	c.DB = databasetest.Open(t, address, database.Options{Filling: filling})
	return c, address
}

// fill puts records of every kind of row into a store, from a number on.
func fill(t *testing.T, c backup.Centre, d *portaltest.Device, n int) (blobs []evidence.Hash) {
	t.Helper()
	s, err := record.Open(t.Context(), c.DB, c.Blobs)
	if err != nil {
		t.Fatal(err)
	}
	counts, err := s.Counts(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var all []*evidence.Sealed
	for i := range n {
		picture := portaltest.Bytes(counts.Arrivals+uint64(i), 1000)
		hash := evidence.Hash(sha256.Sum256(picture))
		blobs = append(blobs, hash)
		all = append(all, d.Violation(t, [][]byte{picture, picture}, picture, nil))
		if err := c.Blobs.Put(t.Context(), hash, picture); err != nil {
			t.Fatal(err)
		}
	}
	err = s.Update(t.Context(), func(tx *record.Tx) error {
		for i, sealed := range all {
			r := sealed.Record
			err := errors.Join(
				tx.Seen(d.ID, time.Now()),
				tx.Insert(&record.Record{ID: sealed.ID, Device: d.ID, Epoch: r.Epoch, Seq: r.Seq, Kind: r.Kind, UTC: r.UTC, Received: time.Now(),
					Prev: r.Prev, Link: sealed.Link, Arrival: counts.Arrivals + uint64(i) + 1, Bytes: sealed.Bytes, Content: r}, false),
				tx.Blob(blobs[i], 1000, time.Now()),
				tx.Sent(blobs[i], sealed.ID),
				tx.Refusals(d.ID, "held_back", 1, time.Now()),
				tx.Quarantine(&record.Refused{Device: d.ID, Number: int(counts.Arrivals) + i, Received: time.Now(), Topic: "a\x00\"\n", Reason: "form", Detail: "über"}),
			)
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return blobs
}

func back(t *testing.T, c backup.Centre, dest string) backup.Report {
	t.Helper()
	r, err := backup.Back(t.Context(), c, dest, 3)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func restore(t *testing.T, dest string, to backup.Centre) (backup.Copied, error) {
	t.Helper()
	r, err := backup.Find(t.Context(), dest, "")
	if err != nil {
		t.Fatal(err)
	}
	return r.Fill(t.Context(), to, schemas)
}

// same compares two stores, whatever engines they stand on: migrating the one to where
// the other is would find every row there.
func same(t *testing.T, a, b backup.Centre) {
	t.Helper()
	for _, c := range []backup.Centre{a, b} {
		if err := c.DB.Check(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	one, other := rows(t, a.DB), rows(t, b.DB)
	if one != other {
		t.Errorf("the stores differ:\n%s\n%s", one, other)
	}
}

func rows(t *testing.T, db *database.DB) string {
	t.Helper()
	tables, err := db.Tables(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	err = db.View(t.Context(), func(tx *database.Tx) error {
		for _, table := range tables {
			fmt.Fprintln(&all, table.Name)
			if err := tx.Rows(t.Context(), table, 0, func(row []any) error {
				_, err := fmt.Fprintln(&all, row...)
				return err
			}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all.String()
}

// A copy of either set of engines becomes a store on either.
func TestACopyIsPutBackOnEitherEngine(t *testing.T) {
	for _, from := range []engine{disk, servers} {
		t.Run("from "+string(from), func(t *testing.T) {
			source, _ := from.store(t, false)
			d := portaltest.NewDevice(t, "one")
			fill(t, source, d, 7)
			dest := filepath.Join(t.TempDir(), "copies")
			if r := back(t, source, dest); r.Records != 7 || r.Blobs.New != 7 || r.Blobs.Bytes != 7000 {
				t.Errorf("%+v", r)
			}
			fill(t, source, d, 2)
			// Only what is new is copied.
			if r := back(t, source, dest); r.Records != 9 || r.Blobs.Blobs != 9 || r.Blobs.New != 2 || len(r.Kept) != 2 {
				t.Errorf("%+v", r)
			}
			for _, to := range []engine{disk, servers} {
				t.Run("to "+string(to), func(t *testing.T) {
					target, address := to.store(t, true)
					if copied, err := restore(t, dest, target); err != nil || copied.New != 9 {
						t.Fatalf("%+v, %v", copied, err)
					}
					same(t, source, target)
					s, err := record.Open(t.Context(), target.DB, target.Blobs)
					if err != nil {
						t.Fatal(err)
					}
					if c, err := s.Counts(t.Context()); err != nil || c.Arrivals != 9 {
						t.Errorf("%+v, %v", c, err)
					}
					// Nothing is put over what is there.
					fill(t, target, portaltest.NewDevice(t, "other"), 1)
					back(t, source, dest)
					if _, err := restore(t, dest, target); !errors.Is(err, database.ErrOccupied) {
						t.Errorf("a store with records of its own: %v", err)
					}
					_ = address
				})
			}
		})
	}
}

// What an interrupted backup leaves is told, never taken for a copy, and removed by the
// next one.
func TestAnInterruptedBackupIsNoCopy(t *testing.T) {
	source, _ := disk.store(t, false)
	fill(t, source, portaltest.NewDevice(t, "one"), 3)
	dest := filepath.Join(t.TempDir(), "copies")
	ctx, cancel := context.WithCancel(t.Context())
	source.After = func(string) error { cancel(); return ctx.Err() }
	if _, err := backup.Back(ctx, source, dest, 3); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	whole, broken, err := backup.Copies(dest)
	if err != nil || len(whole) != 0 || len(broken) != 1 {
		t.Fatalf("whole %q, interrupted %q, %v", whole, broken, err)
	}
	for _, name := range []string{"", broken[0]} {
		if _, err := backup.Find(t.Context(), dest, name); !errors.Is(err, backup.ErrNoCopy) || !strings.Contains(err.Error(), broken[0]) {
			t.Errorf("%q: %v", name, err)
		}
	}
	// A blob that was on its way has no name yet.
	stage := filepath.Join(dest, "blobs", "incoming")
	if err := os.MkdirAll(stage, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(stage, evidence.Hash{9}.String()), []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	source.After = none
	if r := back(t, source, dest); len(r.Interrupted) != 1 || r.Interrupted[0] != broken[0] || len(r.Kept) != 1 || r.Blobs.New != 0 {
		t.Errorf("%+v", r)
	}
	if _, err := os.Stat(stage); !errors.Is(err, os.ErrNotExist) {
		t.Error("what was on its way is left")
	}
}

// A copy that was changed is not put back, and one of another centre is not taken for
// one of this.
func TestADamagedCopyIsRefused(t *testing.T) {
	source, _ := disk.store(t, false)
	fill(t, source, portaltest.NewDevice(t, "one"), 3)
	dest := filepath.Join(t.TempDir(), "copies")
	r := back(t, source, dest)
	path := filepath.Join(dest, "copies", r.Copy, "tables", "records.jsonl")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for name, bad := range map[string][]byte{"cut short": text[:len(text)-1], "one byte": append([]byte{' '}, text[1:]...)} {
		if err := os.WriteFile(path, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := backup.Find(t.Context(), dest, ""); !errors.Is(err, backup.ErrDamagedCopy) {
			t.Errorf("%s: %v", name, err)
		}
	}
	source.Root = evidence.Hash{2}
	if _, err := backup.Back(t.Context(), source, dest, 3); !errors.Is(err, backup.ErrForeign) {
		t.Errorf("a copy of another centre: %v", err)
	}
	if err := os.WriteFile(filepath.Join(dest, "letters.txt"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	source.Root = root
	if _, err := backup.Back(t.Context(), source, dest, 3); !errors.Is(err, backup.ErrForeign) {
		t.Errorf("a folder with other things: %v", err)
	}
}

// Only the newest copies are kept.
func TestOlderCopiesAreDropped(t *testing.T) {
	source, _ := disk.store(t, false)
	fill(t, source, portaltest.NewDevice(t, "one"), 1)
	dest := filepath.Join(t.TempDir(), "copies")
	first := back(t, source, dest)
	for range 2 {
		back(t, source, dest)
	}
	r := back(t, source, dest)
	if len(r.Kept) != 3 || len(r.Dropped) != 1 || r.Dropped[0] != first.Copy {
		t.Errorf("%+v", r)
	}
	if _, err := backup.Find(t.Context(), dest, first.Copy); !errors.Is(err, backup.ErrNoCopy) {
		t.Errorf("a dropped one is found: %v", err)
	}
}

// What is damaged or lost is named, with the ranges of its numbers, by the backup and by
// the restore, and all the rest is copied.
func TestDamageIsToldByNumbers(t *testing.T) {
	source, address := disk.store(t, false)
	d := portaltest.NewDevice(t, "one")
	blobs := fill(t, source, d, 9)
	path := func(dir string, h evidence.Hash) string {
		return filepath.Join(dir, "blobs", h.String()[:2], h.String()[2:])
	}
	for _, i := range []int{1, 2, 3, 7} {
		if err := os.Remove(path(filepath.Dir(address), blobs[i])); err != nil {
			t.Fatal(err)
		}
	}
	dest := filepath.Join(t.TempDir(), "copies")
	var damage *record.DamageError
	r, err := backup.Back(t.Context(), source, dest, 3)
	if !errors.As(err, &damage) || len(damage.Things) != 12 || r.Blobs.New != 5 {
		t.Fatalf("%+v, %v", r, err)
	}
	want := []string{fmt.Sprintf("device %v epoch 1 numbers 2 to 4", d.ID), fmt.Sprintf("device %v epoch 1 number 8", d.ID)}
	if got := damage.Ranges(); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("ranges %q, want %q", got, want)
	}
	// The copy loses one more, and one is changed.
	if err := errors.Join(os.Remove(path(dest, blobs[4])), os.WriteFile(path(dest, blobs[5]), make([]byte, 1000), 0o600)); err != nil {
		t.Fatal(err)
	}
	target, _ := disk.store(t, true)
	copied, err := restore(t, dest, target)
	if !errors.As(err, &damage) || copied.New != 3 {
		t.Fatalf("%+v, %v", copied, err)
	}
	want[0] = fmt.Sprintf("device %v epoch 1 numbers 2 to 6", d.ID)
	if got := damage.Ranges(); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("ranges %q, want %q", got, want)
	}
	same(t, source, target)
}

// A restore that was interrupted goes on, and until it is whole nobody opens the store.
func TestARestoreGoesOn(t *testing.T) {
	for _, e := range []engine{disk, servers} {
		t.Run(string(e), func(t *testing.T) {
			source, _ := disk.store(t, false)
			fill(t, source, portaltest.NewDevice(t, "one"), 6)
			dest := filepath.Join(t.TempDir(), "copies")
			back(t, source, dest)
			target, address := e.store(t, true)
			interrupted := target
			interrupted.Blobs = failing{target.Blobs}
			if _, err := restore(t, dest, interrupted); !errors.Is(err, errPower) {
				t.Fatal(err)
			}
			target.DB.Close()
			if db, err := database.Open(t.Context(), address, database.Options{}); !errors.Is(err, database.ErrUnfinished) {
				t.Errorf("a store that is not whole is opened: %v, %v", db, err)
			}
			target.DB = databasetest.Open(t, address, database.Options{Filling: true})
			if copied, err := restore(t, dest, target); err != nil || copied.Blobs != 6 {
				t.Fatalf("%+v, %v", copied, err)
			}
			same(t, source, target)
			target.DB.Close()
			databasetest.Open(t, address, database.Options{})
		})
	}
}

var errPower = errors.New("the power is cut")

// failing is a store whose power is cut when it is to take a blob.
type failing struct{ blob.Store }

func (failing) Put(context.Context, evidence.Hash, []byte) error { return errPower }

// The source is not touched, and the target is the same to the last row.
func TestMigration(t *testing.T) {
	source, address := disk.store(t, false)
	d := portaltest.NewDevice(t, "one")
	fill(t, source, d, 8)
	if err := source.DB.Close(); err != nil {
		t.Fatal(err)
	}
	before := sum(t, address)
	var err error
	if source.DB, err = database.OpenRead(t.Context(), address); err != nil {
		t.Fatal(err)
	}
	target, _ := servers.store(t, true)
	interrupted := target
	interrupted.Blobs = failing{target.Blobs}
	if _, _, err := backup.Migrate(t.Context(), source, interrupted, schemas); !errors.Is(err, errPower) {
		t.Fatal(err)
	}
	moved, copied, err := backup.Migrate(t.Context(), source, target, schemas)
	if err != nil || copied.Blobs != 8 {
		t.Fatalf("%+v, %+v, %v", moved, copied, err)
	}
	for _, m := range moved {
		if m.Table == "records" && m.Rows != 8 {
			t.Errorf("%+v", m)
		}
	}
	same(t, source, target)
	source.DB.Close()
	if sum(t, address) != before {
		t.Error("the source was changed")
	}
	// Another centre does not come over it.
	other, _ := disk.store(t, false)
	fill(t, other, portaltest.NewDevice(t, "other"), 1)
	if _, _, err := backup.Migrate(t.Context(), other, target, schemas); !errors.Is(err, database.ErrOccupied) {
		t.Errorf("over another centre: %v", err)
	}
	// Nor into a bucket that has something.
	used, _ := servers.store(t, true)
	data := []byte("a picture")
	if err := used.Blobs.Put(t.Context(), sha256.Sum256(data), data); err != nil {
		t.Fatal(err)
	}
	if _, _, err := backup.Migrate(t.Context(), other, used, schemas); !errors.Is(err, database.ErrOccupied) {
		t.Errorf("into a used bucket: %v", err)
	}
}

func sum(t *testing.T, path string) [32]byte {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return sha256.Sum256(text)
}
