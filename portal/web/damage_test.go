package web_test

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ciglio/capture/evidence"
	"ciglio/portal/backup"
	"ciglio/portal/database"
	"ciglio/portal/intake"
	"ciglio/portal/portaltest"
	"ciglio/portal/record"
	"ciglio/portal/web"
	"ciglio/uplink/wire"
)

// The pages are read from a store that may take nothing any more.
func TestFullStoreShows(t *testing.T) {
	s, _ := violation(t, nil)
	for _, failing := range []bool{false, true} {
		s.open(web.Options{Stats: func() intake.Stats { return intake.Stats{Connected: true, Failing: failing} }})
		if w := s.get("/healthz"); (w.Code == 503) != failing || strings.Contains(w.Body.String(), "takes nothing") != failing {
			t.Errorf("failing %v: health = %d %q", failing, w.Code, w.Body)
		}
		if body := s.get("/").Body.String(); strings.Contains(body, "Store takes nothing") != failing || strings.Contains(body, "Receiving") == failing {
			t.Errorf("failing %v: not on the overview:\n%s", failing, body)
		}
	}
}

// Numbers of a chain are the device's word, and one device must not take the
// pages of all down.
func TestHugeNumbersLeaveThePagesUp(t *testing.T) {
	one, other, next := portaltest.NewDevice(t, "one"), portaltest.NewDevice(t, "other"), portaltest.NewDevice(t, "next")
	next.ID, next.Epoch = one.ID, 2
	next.Certificate.Subject.CommonName = one.ID.String()
	leap := func(r *evidence.Record) { r.Seq, r.Prev = math.MaxInt64, evidence.Hash{1} }
	c := portaltest.NewCentre(t, one, other, next)
	messages := append(send(one, one.Seal(t, leap)), send(next, next.Seal(t, leap))...)
	s := receive(t, c, append(messages, send(other, other.Heartbeat(t))...)...)
	for _, path := range []string{"/", "/devices/" + one.ID.String()} {
		if w := s.get(path); w.Code != 200 || !strings.Contains(w.Body.String(), " missing") {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
}

// A record set aside before its pictures came was never settled.
func TestOnlyRecordsInTheLogAreSettled(t *testing.T) {
	d := portaltest.NewDevice(t, "one")
	twin := *d
	first, other := d.Violation(t, pictures(t), trace, nil), twin.Heartbeat(t)
	c := portaltest.NewCentre(t, d)
	const settled = "<dt>Records settled</dt><dd>%d</dd>"
	s := receive(t, c, append(send(d, first), send(d, other)...)...)
	if body := s.get("/").Body.String(); !strings.Contains(body, fmt.Sprintf(settled, 0)) {
		t.Errorf("none is settled:\n%s", body)
	}
	if err := s.store.Close(); err != nil {
		t.Fatal(err)
	}
	s = receive(t, c, append(send(d, d.Heartbeat(t)), send(d, d.Heartbeat(t))...)...)
	if body := s.get("/").Body.String(); !strings.Contains(body, fmt.Sprintf(settled, 2)) {
		t.Errorf("two are settled:\n%s", body)
	}
}

// The verdict is of the stored bytes as they are now.
func TestDamagedBlobShows(t *testing.T) {
	portaltest.OnOneDisk(t, "files are changed behind the back of the centre")
	s, v := violation(t, nil)
	hash := v.Record.Frames[1].SHA256.String()
	path := filepath.Join(s.centre.Dir, "blobs", hash[:2], hash[2:])
	if err := os.WriteFile(path, pictures(t)[0], 0o600); err != nil {
		t.Fatal(err)
	}
	w := s.get("/records/" + v.ID.String())
	if body := w.Body.String(); w.Code != 200 || !strings.Contains(body, "DAMAGED") || strings.Contains(body, "This evidence is genuine and complete.") {
		t.Errorf("status %d: the damage does not show", w.Code)
	}
	for _, part := range []string{"/frames/2", "/bundle.zip"} {
		if w := s.get("/records/" + v.ID.String() + part); w.Code != 500 {
			t.Errorf("%s: %d, want 500", part, w.Code)
		}
	}
}

// alter changes the database of a site behind its back.
func (s *site) alter(query string, args ...any) {
	s.t.Helper()
	portaltest.Execute(s.t, s.centre.Dir, query, args...)
}

// Lists open no record: they show what it said when it was verified, whatever has
// become of its bytes since. Of one that a program before has stored they show no
// bytes that are not the record's. Its page tells the damage.
func TestForeignBytesShowAsDamage(t *testing.T) {
	s, v := violation(t, nil)
	stranger := portaltest.NewDevice(t, "stranger").Violation(t, pictures(t), trace, func(r *evidence.Record) {
		r.Measurement.Speed, r.Measurement.Indicated, r.Measurement.Assessed = 9_905, 9_900, 9_400
	})
	lists := []string{"/", "/devices/" + v.Record.Device.String()}
	table := func() string {
		_, rest, _ := strings.Cut(s.get(lists[0]).Body.String(), `<table class="list cards">`)
		text, _, _ := strings.Cut(rest, "</table>")
		return text
	}
	columns := table()
	if !strings.Contains(columns, `<span class="state good">Settled</span>`) {
		t.Errorf("the record is not listed: %s", columns)
	}
	s.alter(`UPDATE records SET listed = 0, road = NULL, position = NULL, speed = NULL, assessed = NULL, speed_limit = NULL`)
	if opened := table(); opened != columns {
		t.Errorf("columns say:\n%s\nthe record says:\n%s", columns, opened)
	}
	for name, bytes := range map[string][]byte{"another record": stranger.Bytes, "no record": []byte("nothing")} {
		s.alter(`UPDATE records SET bytes = $1 WHERE id = $2`, bytes, v.ID[:])
		for _, path := range lists {
			w := s.get(path)
			if body := w.Body.String(); w.Code != 200 || strings.Contains(body, "99.05") ||
				!strings.Contains(body, "stored bytes are damaged") || strings.Contains(body, `<span class="state good">Settled</span>`) {
				t.Errorf("%s, %s: %d, the damage does not show", name, path, w.Code)
			}
		}
		if w := s.get("/records/" + v.ID.String()); w.Code != 500 {
			t.Errorf("%s: its page is %d, want 500", name, w.Code)
		}
	}
}

// A settled record is never said to wait for what was lost here.
func TestLostFrameOfSettledRecordIsSaidToBeLost(t *testing.T) {
	portaltest.OnOneDisk(t, "files are changed behind the back of the centre")
	s, v := violation(t, nil)
	blob := func(i int) string {
		hash := v.Record.Frames[i].SHA256.String()
		return filepath.Join(s.centre.Dir, "blobs", hash[:2], hash[2:])
	}
	if err := errors.Join(os.Truncate(blob(0), 10), os.Remove(blob(1))); err != nil {
		t.Fatal(err)
	}
	body := s.get("/records/" + v.ID.String()).Body.String()
	if n := strings.Count(body, "This frame is damaged or missing here."); n != 2 || strings.Contains(body, "has not come yet") {
		t.Errorf("%d frames are said to be lost, want 2", n)
	}
}

func TestLostLogHashIsDamage(t *testing.T) {
	s, v := violation(t, nil)
	record := "/records/" + v.ID.String()
	s.alter(`DELETE FROM log_hashes`)
	if w := s.get(record); w.Code != 200 || !strings.Contains(w.Body.String(), "DAMAGED") {
		t.Errorf("page: %d, the damage does not show", w.Code)
	}
	if w := s.get(record + "/bundle.zip"); w.Code != 500 {
		t.Errorf("bundle: %d, want 500", w.Code)
	}
}

// A device that misses numbers is never shown as one in which nothing waits.
func TestD01_DevicePageTellsLoss(t *testing.T) {
	d := portaltest.NewDevice(t, "one")
	c := portaltest.NewCentre(t, d)
	health, err := wire.Health{
		Head: wire.Head{Device: wire.Device(d.ID), UTC: time.Now()}, Boot: wire.BootID{1}, Sequence: 1, Measuring: true,
		Alarms: []wire.Reason{{Code: "records_missing", Words: "epoch 1 numbers 6 to 10 missing"}},
		Outbox: wire.HealthOutbox{Unaccounted: 5, Missing: []wire.Numbers{{Epoch: 1, From: 6, To: 10}}},
	}.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	s := receive(t, c, d.Message(wire.WhatHealth, health))
	body := s.get("/devices/" + d.ID.String()).Body.String()
	for _, want := range []string{"The device reports: epoch 1 numbers 6 to 10 missing", "no record that can be read", "5 unaccounted for", "<br>epoch 1, numbers 6 to 10"} {
		if !strings.Contains(body, want) {
			t.Errorf("no %q in\n%s", want, body)
		}
	}
	if strings.Contains(body, "0 records</dd>") && strings.Contains(body, "<dt>Waiting in the device</dt><dd>0") {
		t.Error("says that nothing waits")
	}
	if body := s.get("/").Body.String(); strings.Contains(body, "0 in the device") || !strings.Contains(body, "5 unaccounted for") {
		t.Errorf("overview:\n%s", body)
	}
	if err := s.store.Close(); err != nil {
		t.Error(err)
	}
}

// backup copies the store, which is open, into a folder.
func (s *site) backup(to string) error {
	db, err := database.OpenRead(s.t.Context(), filepath.Join(s.centre.Dir, record.DatabaseName))
	if err != nil {
		return err
	}
	defer db.Close()
	none := func(string) error { return nil }
	_, err = backup.Back(s.t.Context(), backup.Centre{Root: s.centre.Root.KeyID(), DB: db, Blobs: s.store.Blobs(), Before: none, After: none}, to, 1)
	return err
}

// A copy names the records that it cannot have whole.
func TestBackupNamesDamagedRecords(t *testing.T) {
	portaltest.OnOneDisk(t, "files are changed behind the back of the centre")
	s, v := violation(t, nil)
	place := fmt.Sprintf("device %v epoch %d number %d: ", v.Record.Device, v.Record.Epoch, v.Record.Seq)
	backup := func() string {
		t.Helper()
		var damage *record.DamageError
		if err := s.backup(filepath.Join(t.TempDir(), "copy")); err != nil && !errors.As(err, &damage) {
			t.Fatal(err)
		} else if err == nil {
			return ""
		}
		return strings.Join(damage.Things, "\n")
	}
	if got := backup(); got != "" {
		t.Fatalf("nothing is wrong, and it names\n%s", got)
	}
	hash := v.Record.Frames[1].SHA256
	path := filepath.Join(s.centre.Dir, "blobs", hash.String()[:2], hash.String()[2:])
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if got := backup(); strings.Count(got, "\n") != 0 || !strings.HasPrefix(got, place+"frame 2: blob "+hash.String()) {
		t.Errorf("a lost picture: %s", got)
	}
	s.alter(`DELETE FROM blobs WHERE sha256 = $1`, hash[:])
	if got := backup(); got != place+"frame 2: blob "+hash.String()+" missing" {
		t.Errorf("a picture that nothing knows of: %s", got)
	}
	s.alter(`UPDATE records SET bytes = $1 WHERE id = $2`, []byte("nothing"), v.ID[:])
	if got := backup(); !strings.HasPrefix(got, place+"record "+v.ID.String()+" damaged: ") {
		t.Errorf("other bytes: %s", got)
	}
}
