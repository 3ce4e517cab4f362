package portal_test

import (
	"bytes"
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ciglio/capture/evidence"
	"ciglio/portal"
	"ciglio/portal/acts"
	"ciglio/portal/casefile"
	"ciglio/portal/database"
	"ciglio/portal/database/databasetest"
	"ciglio/portal/law"
	"ciglio/portal/record"
)

// TestCasesRebuild spoils what a list shows, and has it named and made anew.
func TestCasesRebuild(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, record.DatabaseName)
	l, err := law.Italy()
	if err != nil {
		t.Fatal(err)
	}
	db, err := database.Open(t.Context(), path, database.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s, err := acts.Open(t.Context(), db, l)
	if err != nil {
		t.Fatal(err)
	}
	id := casefile.IDOf("latina", evidence.Hash{1})
	at := time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)
	err = db.Update(t.Context(), func(tx *database.Tx) error {
		_, err := s.Add(t.Context(), tx, id, acts.New{Key: casefile.KeyOf("k"), At: at, By: casefile.Actor{Office: "intake"},
			Body: &casefile.Opened{Institution: "latina", Source: "violation", About: evidence.Hash{1}, At: at}})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	run := func(want int, args ...string) (string, string) {
		t.Helper()
		var out, errs bytes.Buffer
		if code := portal.Main(append([]string{"cases", "rebuild", "--dir", dir}, args...), &out, &errs); code != want {
			t.Fatalf("%q: exit %d, want %d; %s%s", args, code, want, &out, &errs)
		}
		return out.String(), errs.String()
	}
	if out, _ := run(0, "--check"); out != "1 case, 1 act: all tables are what the acts make\n" {
		t.Errorf("%q", out)
	}
	databasetest.Execute(t, path, `UPDATE case_rows SET stage = 'closed'`)
	if out, errs := run(1, "--check"); !strings.Contains(out, "case "+id.String()+": case_rows is not what its acts make") || !strings.Contains(errs, "without --check") {
		t.Errorf("%q %q", out, errs)
	}
	out, _ := run(0, "--json")
	var got struct {
		Cases, Acts int64
		Mended      bool
		Different   []struct{ Case, Table string }
	}
	if err := json.Unmarshal([]byte(out), &got); err != nil || !got.Mended || got.Cases != 1 || len(got.Different) != 1 || got.Different[0].Table != "case_rows" {
		t.Errorf("%s, %v", out, err)
	}
	run(0, "--check")
	databasetest.Execute(t, path, `DROP TRIGGER acts_kept_UPDATE`)
	databasetest.Execute(t, path, `UPDATE acts SET bytes = x'00'`)
	if out, errs := run(1); !strings.Contains(out, "damaged") || !strings.Contains(errs, "backup") {
		t.Errorf("%q %q", out, errs)
	}
	var errs bytes.Buffer
	if code := portal.Main([]string{"cases", "rebuild", "--dir", t.TempDir()}, new(bytes.Buffer), &errs); code != 1 || !strings.Contains(errs.String(), "holds no centre") {
		t.Errorf("a folder that is no centre: %d, %s", code, &errs)
	}
}
