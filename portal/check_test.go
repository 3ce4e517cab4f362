package portal_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ciglio/capture/evidence"
	"ciglio/portal"
	"ciglio/portal/blob/blobtest"
	"ciglio/portal/database/databasetest"
	"ciglio/portal/portaltest"
	"ciglio/portal/recheck"
	"ciglio/uplink"
	"ciglio/uplink/wire"
)

// settled serves a new centre until it has a calibration, a configuration, two violations
// and a heartbeat of a device, and a checkpoint, and ends it.
func settled(t *testing.T) (dir string, all []*evidence.Sealed, blobs [][]byte) {
	t.Helper()
	d := portaltest.NewDevice(t, "one")
	dir = newCentre(t)
	if _, err := portal.Enrol(dir, d.ID, 1, d.Certificate); err != nil {
		t.Fatal(err)
	}
	p, stop := serve(t, dir)
	session, receipts := connect(t, p, d)
	blobs = [][]byte{portaltest.Picture(t, 640, 360, 1), portaltest.Picture(t, 640, 360, 2), portaltest.Bytes(3, 20_000)}
	others := [][]byte{portaltest.Picture(t, 640, 360, 3), portaltest.Picture(t, 640, 360, 4), portaltest.Bytes(5, 20_000)}
	all = []*evidence.Sealed{
		d.Statement(t, evidence.KindCalibration, portaltest.Calibration), d.Statement(t, evidence.KindConfiguration, portaltest.Configuration),
		d.Violation(t, blobs[:2], blobs[2], nil), d.Violation(t, others[:2], others[2], nil), d.Heartbeat(t),
	}
	var messages []uplink.Message
	for _, s := range all {
		messages = append(messages, d.Message(wire.WhatRecord, s.Bytes))
	}
	for _, b := range append(append([][]byte{}, blobs...), others...) {
		messages = append(messages, d.Chunks(b)...)
	}
	for _, m := range messages {
		if err := <-session.Publish(m); err != nil {
			t.Fatal(err)
		}
	}
	for waiting := map[uint64]bool{1: true, 2: true, 3: true, 4: true, 5: true}; len(waiting) > 0; {
		for _, e := range (<-receipts).Receipt.Entries {
			delete(waiting, e.Seq)
		}
	}
	for checkpoint(t, p).N < 5 {
	}
	stop()
	return dir, all, blobs
}

// TestCheckNamesWhatIsWrong changes one thing after the other behind the back of a centre.
func TestCheckNamesWhatIsWrong(t *testing.T) {
	dir, all, blobs := settled(t)
	at := func(name string) string { return filepath.Join(dir, name) }
	r, err := portal.Check(t.Context(), portal.Options{Dir: dir}, true)
	if err != nil || !r.OK() || r.Records != 5 || r.Blobs != 6 || r.LogEntries != 5 || r.Statements != 2 || len(r.NotChecked) != 1 {
		t.Fatalf("a centre that is good: %+v, %v", r, err)
	}
	hash := sha256.Sum256(blobs[0])
	name := fmt.Sprintf("blobs/%x/%x", hash[:1], hash[1:])
	sql := func(text string, args ...any) func() error {
		return func() error {
			databasetest.Execute(t, at("portal.db"), text, args...)
			return nil
		}
	}
	third := all[2]
	before := read(t, dir, "portal.db", name, "certificates/*")
	for _, row := range []struct {
		name   string
		change func() error
		want   recheck.Code
		number uint64 // of the device; 0: none
	}{
		{"another speed in a list", sql(`UPDATE records SET speed = speed + 100 WHERE seq = 3`), recheck.Column, 3},
		{"another place in a list", sql(`UPDATE records SET road = $1 WHERE seq = 4`, []byte("A 1")), recheck.Column, 4},
		{"a row that says less", sql(`UPDATE records SET position = NULL WHERE seq = 4`), recheck.Column, 4},
		{"another instant", sql(`UPDATE records SET utc = utc + 1 WHERE seq = 5`), recheck.Column, 5},
		{"a link that is called broken", sql(`UPDATE records SET chain = 2 WHERE seq = 2`), recheck.Column, 2},
		{"other bytes", sql(`UPDATE records SET bytes = $1 WHERE seq = 3`, all[3].Bytes), recheck.RecordDamaged, 3},
		{"a record that is gone", sql(`DELETE FROM records WHERE seq = 5`), recheck.ReceiptedLost, 5},
		{"a record set aside", sql(`UPDATE records SET state = 2 WHERE seq = 4`), recheck.SetAside, 4},
		{"a receipt that is gone", sql(`UPDATE records SET receipt = (SELECT receipt FROM records WHERE seq = 1) WHERE seq = 4`), recheck.ReceiptMissing, 4},
		{"a receipt with other bytes", sql(`UPDATE receipts SET bytes = $1`, []byte("nothing")), recheck.ReceiptDamaged, 0},
		{"two entries of the log exchanged", sql(`UPDATE log_hashes SET hash = (SELECT hash FROM log_hashes WHERE position = 1) WHERE position = 0`), recheck.LogHash, 0},
		{"two records exchanged in the log", func() error {
			for _, text := range []string{"1000 + (SELECT SUM(log_index) FROM records WHERE seq IN (3, 4)) - log_index", "log_index - 1000"} {
				databasetest.Execute(t, at("portal.db"), "UPDATE records SET log_index = "+text+" WHERE seq IN (3, 4)")
			}
			return nil
		}, recheck.ReceiptIndex, 3},
		{"the log cut short", sql(`DELETE FROM log_hashes WHERE position > 5`), recheck.LogHash, 0},
		{"a blob row that is gone", sql(`DELETE FROM blobs WHERE sha256 = $1`, hash[:]), recheck.BlobUnnamed, 3},
		{"a text of a statement", sql(`UPDATE statements SET bytes = $1`, []byte("limit = 10")), recheck.StatementWrong, 0},
		{"a counter", sql(`UPDATE chains SET stored = stored - 1`), recheck.Counter, 0},
		{"a blob that is gone", func() error { return os.Remove(at(name)) }, recheck.BlobMissing, 3},
		{"a blob cut short", func() error { return os.Truncate(at(name), 10) }, recheck.BlobDamaged, 3},
		{"a blob with other bytes", func() error { return os.WriteFile(at(name), make([]byte, len(blobs[0])), 0o600) }, recheck.BlobDamaged, 3},
		{"certificates that are gone", func() error { return os.RemoveAll(at("certificates")) }, recheck.Certificate, 0},
		{"less than was published", sql(`UPDATE records SET log_index = NULL, state = 0 WHERE log_index = 4`), recheck.Published, 0},
	} {
		t.Run(row.name, func(t *testing.T) {
			defer putBack(t, before)
			if err := row.change(); err != nil {
				t.Fatal(err)
			}
			r, err := portal.Check(t.Context(), portal.Options{Dir: dir}, true)
			if err != nil {
				t.Fatal(err)
			}
			found := false
			for _, f := range r.Findings {
				found = found || f.Code == row.want && (row.number == 0 || f.From <= row.number && row.number <= f.To && f.Device == third.Record.Device.String())
			}
			if !found {
				t.Errorf("found %v, want %s of number %d", r.Findings, row.want, row.number)
			}
		})
	}
	// A blob that nobody names is no harm, and what is left out is told.
	spare := sha256.Sum256([]byte("spare"))
	if err := os.WriteFile(at(fmt.Sprintf("blobs/%x/%x", spare[:1], spare[1:])), []byte("spare"), 0o600); err != nil {
		t.Fatal(err)
	}
	if r, err := portal.Check(t.Context(), portal.Options{Dir: dir}, true); err != nil || !r.OK() || r.Spare != 1 {
		t.Errorf("%+v, %v", r, err)
	}
	if r, err := portal.Check(t.Context(), portal.Options{Dir: dir}, false); err != nil || !r.OK() || len(r.NotChecked) != 2 {
		t.Errorf("%+v, %v", r, err)
	}
	// The command's exit code, and ranges.
	databasetest.Execute(t, at("portal.db"), `UPDATE records SET speed = 1, utc = 1 WHERE seq IN (3, 4)`)
	var stdout, stderr bytes.Buffer
	if exit := portal.Main([]string{"check", "--json", "--dir", dir}, &stdout, &stderr); exit != 1 {
		t.Errorf("exit %d", exit)
	}
	var said struct{ Check recheck.Result }
	if err := json.Unmarshal(stdout.Bytes(), &said); err != nil || len(said.Check.Findings) != 1 || said.Check.Findings[0].From != 3 || said.Check.Findings[0].To != 4 {
		t.Errorf("%v\n%s", err, &stdout)
	}
	if !strings.Contains(stderr.String(), "column: device "+third.Record.Device.String()+" epoch 1 numbers 3 to 4: ") {
		t.Errorf("%s", &stderr)
	}
}

// read returns the files of a folder by their names.
func read(t *testing.T, dir string, patterns ...string) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	for _, p := range patterns {
		paths, err := filepath.Glob(filepath.Join(dir, p))
		if err != nil || len(paths) == 0 {
			t.Fatalf("%s: %q, %v", p, paths, err)
		}
		for _, path := range paths {
			if files[path], err = os.ReadFile(path); err != nil {
				t.Fatal(err)
			}
		}
	}
	return files
}

// putBack writes them again.
func putBack(t *testing.T, files map[string][]byte) {
	t.Helper()
	for path, text := range files {
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, text, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
}

// TestMigratedCentreGoesOn moves a centre to PostgreSQL and S3 by its settings.
func TestMigratedCentreGoesOn(t *testing.T) {
	databasetest.Need(t)
	bucket := blobtest.Bucket(t)
	t.Setenv("AWS_ACCESS_KEY_ID", bucket.Key)
	t.Setenv("AWS_SECRET_ACCESS_KEY", bucket.Secret)
	dir, all, _ := settled(t)
	from, to := filepath.Join(t.TempDir(), "from.toml"), filepath.Join(t.TempDir(), "to.toml")
	old := fmt.Sprintf("[centre]\ndir = %q\n", dir)
	text := old + fmt.Sprintf("[database]\nurl = %q\n[blobs]\nendpoint = %q\nbucket = %q\n", databasetest.PostgreSQL.Address(t), bucket.Endpoint, bucket.Bucket)
	if err := errors.Join(os.WriteFile(from, []byte(old), 0o600), os.WriteFile(to, []byte(text), 0o600)); err != nil {
		t.Fatal(err)
	}
	run := func(want int, args ...string) string {
		t.Helper()
		var stdout, stderr bytes.Buffer
		if exit := portal.Main(args, &stdout, &stderr); exit != want {
			t.Fatalf("%v: exit %d\n%s%s", args, exit, &stdout, &stderr)
		}
		return stdout.String() + stderr.String()
	}
	_, stop := serve(t, dir)
	if said := run(1, "migrate", "--from", from, "--to", to); !strings.Contains(said, "is being served") {
		t.Error(said)
	}
	stop()
	if said := run(0, "migrate", "--from", from, "--to", to); !strings.Contains(said, "6 blobs, 6 of them copied now") {
		t.Error(said)
	}
	run(0, "migrate", "--from", from, "--to", to) // all is there
	if said := run(0, "check", "--config", to); !strings.Contains(said, "5 records (0 of them wait), 6 blobs") {
		t.Error(said)
	}
	run(0, "check", "--config", from) // untouched
	run(2, "migrate", "--from", from, "--to", from)
	o, err := portal.ReadOptions(to)
	if err != nil {
		t.Fatal(err)
	}
	p, stop := serveWith(t, o)
	if body := get(t, p, "/records/"+all[2].ID.String()); !strings.Contains(string(body), "This evidence is genuine and complete.") {
		t.Error("its page does not say that it is genuine")
	}
	// A copy of the servers goes back to one disk.
	copies, restored := filepath.Join(t.TempDir(), "copies"), filepath.Join(t.TempDir(), "restored")
	run(0, "backup", "--config", to, "--to", copies)
	stop()
	run(0, "restore", "--from", copies, "--dir", restored, "--checkpoint", filepath.Join(dir, "checkpoint"))
	if said := run(0, "check", "--dir", restored); !strings.Contains(said, "5 records (0 of them wait), 6 blobs") {
		t.Error(said)
	}
}
