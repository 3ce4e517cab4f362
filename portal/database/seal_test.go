package database_test

import (
	"testing"

	"ciglio/portal/database"
	"ciglio/portal/database/databasetest"
)

func TestASealedTableKeepsItsRows(t *testing.T) {
	databasetest.Each(t, func(t *testing.T, e databasetest.Engine) {
		db := databasetest.Open(t, e.Address(t), database.Options{})
		err := db.Migrate(t.Context(), "test", []database.Step{{
			SQL:    []string{`CREATE TABLE kept (id BIGINT PRIMARY KEY, said TEXT NOT NULL)`, `CREATE TABLE free (id BIGINT PRIMARY KEY)`},
			Sealed: []string{"kept"},
		}, {
			SQL:    []string{`CREATE TABLE also (id BIGINT PRIMARY KEY)`}, // what is made once is made again
			Sealed: []string{"also"},
		}})
		if err != nil {
			t.Fatal(err)
		}
		exec := func(text string) error {
			return db.Update(t.Context(), func(tx *database.Tx) error {
				_, err := tx.Exec(t.Context(), text)
				return err
			})
		}
		if e == databasetest.PostgreSQL {
			if err := exec(`TRUNCATE kept`); err == nil {
				t.Error("TRUNCATE kept: done")
			}
		}
		for _, text := range []string{`DELETE FROM kept`, `INSERT INTO kept (id, said) VALUES (1, 'so')`, `INSERT INTO free (id) VALUES (1)`, `DELETE FROM free`} {
			if err := exec(text); err != nil {
				t.Fatalf("%s: %v", text, err)
			}
		}
		for _, text := range []string{
			`UPDATE kept SET said = 'otherwise'`, `DELETE FROM kept`, `DELETE FROM kept WHERE id = 1`,
			`INSERT INTO kept (id, said) VALUES (1, 'otherwise') ON CONFLICT (id) DO UPDATE SET said = excluded.said`,
		} {
			if err := exec(text); err == nil {
				t.Errorf("%s: done", text)
			}
		}
		var said string
		if err := db.Row(t.Context(), `SELECT said FROM kept WHERE id = 1`, nil, &said); err != nil || said != "so" {
			t.Errorf("the row says %q, %v", said, err)
		}
	})
}
