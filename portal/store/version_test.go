package store_test

import (
	"database/sql"
	"path/filepath"
	"testing"
)

// setVersion claims that another program has changed the schema.
func setVersion(t *testing.T, dir string, version int) {
	t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(dir, "portal.db"))
	if err == nil {
		_, err = db.Exec(`INSERT INTO schema_version (version) VALUES ($1)`, version)
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}
