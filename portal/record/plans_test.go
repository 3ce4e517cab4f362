package record

import (
	"database/sql"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"ciglio/capture/evidence"
	"ciglio/portal/database"
)

// No statement of a page or of a start reads all records: each is found by an
// index, or is one of the first in the order of one.
func TestStatementsFindRecordsByIndexes(t *testing.T) {
	dir := t.TempDir()
	s, err := OpenFolder(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Update(t.Context(), func(tx *Tx) error { return tx.exec(`ANALYZE`) }); err != nil {
		t.Fatal(err)
	}
	all := func(q Query) string {
		text, _ := q.text()
		return text
	}
	// These have the few records of one state alone.
	few := []string{"records_incomplete", "records_unnumbered", "records_set_aside", "records_unlinked", "records_backdated"}
	var device evidence.DeviceID
	day := time.Date(2026, 5, 4, 0, 0, 0, 0, time.UTC)
	for name, row := range map[string]struct {
		text    string
		args    int
		ordered bool // reads the first in the order of an index
	}{
		"how far the store is":     {selectCounts, 0, false},
		"what waits for blobs":     {selectRecord + whereIncomplete, 1, false},
		"what is to be numbered":   {selectUnnumbered, 2, false},
		"what is put off":          {selectPutOff, 0, false},
		"how long the log is":      {selectLogSize, 0, false},
		"in a seat":                {selectSeat, 3, false},
		"of a device":              {selectRecord + whereIncompleteOf, 1, false},
		"a record":                 {selectRecord + ` WHERE id = $1`, 1, false},
		"its place":                {selectRecordAt, 3, false},
		"totals":                   {selectTotals, 0, false},
		"devices":                  {selectDevice + ` ORDER BY id`, 0, false},
		"gaps":                     {selectSpans, 2, false},
		"acts":                     {selectRecord + whereActs, 4, false},
		"overview":                 {all(Query{Measured: true, Limit: 50}), 1, false},
		"overview, further down":   {all(Query{Measured: true, Before: 7, Limit: 50}), 2, false},
		"every kind":               {all(Query{Limit: 50}), 1, true},
		"every kind, further down": {all(Query{Before: 7, Limit: 50}), 2, false},
		"of one device":            {all(Query{Device: &device, Limit: 50}), 2, false},
		"of a day":                 {all(Query{Measured: true, From: day, To: day.AddDate(0, 0, 1), Road: "SP 14", Limit: 50}), 4, false},
		"of a day, every kind":     {all(Query{From: day, To: day.AddDate(0, 0, 1), Before: 7, Limit: 50}), 4, false},
		"narrowed, not too far":    {all(Query{Measured: true, Road: "SP 14", Over: 7000, Before: 9, After: 7, Limit: 50}), 5, false},
		"of one, further down":     {all(Query{Device: &device, Measured: true, Before: 7, Limit: 50}), 3, false},
	} {
		args := make([]any, row.args)
		for i := range args {
			args[i] = int64(1)
		}
		plan, err := list(t.Context(), s.db, `EXPLAIN QUERY PLAN `+row.text, args, func(rows *sql.Rows) (detail string, err error) {
			var id, parent, unused int
			err = rows.Scan(&id, &parent, &unused, &detail)
			return detail, err
		})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for _, step := range plan {
			scan := strings.HasPrefix(step, "SCAN records") && !slices.ContainsFunc(few, func(index string) bool { return strings.HasSuffix(step, " "+index) })
			if scan && !(row.ordered && strings.Contains(step, "USING INDEX")) || row.ordered && strings.Contains(step, "TEMP B-TREE") {
				t.Errorf("%s reads every record: %q", name, plan)
			}
		}
	}
}

// A database of the version before is taken over as it is.
func TestDatabaseOfBeforeThereWereOwners(t *testing.T) {
	dir := t.TempDir()
	db, err := database.Open(t.Context(), filepath.Join(dir, DatabaseName), database.Options{})
	if err != nil {
		t.Fatal(err)
	}
	old := []database.Step{{SQL: []string{`CREATE TABLE schema_version (version BIGINT NOT NULL)`}}}
	for i, step := range steps[:2] {
		text := make([]string, len(step.SQL))
		for j := range step.SQL { // reports were TEXT then
			text[j] = strings.ReplaceAll(step.SQL[j], "profile    BYTEA", "profile    TEXT")
		}
		old = append(old, database.Step{SQL: append(text, `INSERT INTO schema_version VALUES (`+string(rune('1'+i))+`)`)})
	}
	if err := db.Migrate(t.Context(), "old", old); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		s, err := OpenFolder(t.Context(), dir)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Devices(t.Context()); err != nil {
			t.Error(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
