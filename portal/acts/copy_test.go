package acts_test

import (
	"testing"

	"ciglio/portal/acts"
	"ciglio/portal/backup"
	"ciglio/portal/blob"
	"ciglio/portal/database"
	"ciglio/portal/database/databasetest"
	"ciglio/portal/law"
	"ciglio/portal/record"
)

// TestActsMoveBetweenEngines: what was copied to the other engine is the same cases, and
// sealed there too.
func TestActsMoveBetweenEngines(t *testing.T) {
	each(t, func(from room) {
		id := from.live(1, 12)
		from.live(2, 5)
		from.place()
		other := databasetest.PostgreSQL
		if database.IsURL(from.address) {
			other = databasetest.SQLite
		} else {
			databasetest.Need(from.T)
		}
		centre := func(db *database.DB) backup.Centre {
			blobs, err := blob.OpenFolder(from.TempDir())
			if err != nil {
				from.Fatal(err)
			}
			return backup.Centre{DB: db, Blobs: blobs}
		}
		source := centre(from.db)
		if _, err := record.Open(from.Context(), from.db, source.Blobs); err != nil {
			from.Fatal(err)
		}
		to := centre(databasetest.Open(from.T, other.Address(from.T), database.Options{}))
		if _, _, err := backup.Migrate(from.Context(), source, to, []database.Schema{record.Schema(), acts.Schema()}); err != nil {
			from.Fatal(err)
		}
		l, err := law.Italy()
		if err != nil {
			from.Fatal(err)
		}
		s, err := acts.Open(from.Context(), to.DB, l)
		if err != nil {
			from.Fatal(err)
		}
		moved := room{from.T, s, to.DB, ""}
		moved.checked(0)
		was, err1 := from.Case(from.Context(), from.db, id)
		is, err2 := moved.Case(from.Context(), moved.db, id)
		if err1 != nil || err2 != nil || !was.Equal(is) {
			from.Errorf("%v, %v", err1, err2)
		}
		moved.live(2, 8) // and it goes on
		if err := moved.db.Update(from.Context(), func(tx *database.Tx) error {
			_, err := tx.Exec(from.Context(), `DELETE FROM acts`)
			return err
		}); err == nil {
			from.Error("acts can be deleted")
		}
	})
}
