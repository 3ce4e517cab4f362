package database_test

import (
	"testing"
	"time"

	"ciglio/portal/database"
	"ciglio/portal/database/databasetest"
)

func TestLeasesAreSeenByOthers(t *testing.T) {
	databasetest.Each(t, func(t *testing.T, e databasetest.Engine) {
		db := databasetest.Open(t, e.Address(t), database.Options{})
		l, err := db.Acquire(t.Context(), "log", "one", time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		if all, err := db.Leases(t.Context()); err != nil || len(all) != 1 || all[0] != (database.Leased{Name: "log", Term: 1, Held: true}) {
			t.Errorf("%+v, %v", all, err)
		}
		if err := db.Release(t.Context(), l); err != nil {
			t.Fatal(err)
		}
		if all, err := db.Leases(t.Context()); err != nil || len(all) != 1 || all[0].Held {
			t.Errorf("after it was given back: %+v, %v", all, err)
		}
	})
}
