package portal_test

import (
	"errors"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"filippo.io/torchwood"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"ciglio/capture/evidence"
	"ciglio/portal"
	"ciglio/portal/log"
	"ciglio/portal/portaltest"
)

// checkpoint asks until one is published that the log's key has signed.
func checkpoint(t *testing.T, p *portal.Portal) torchwood.Checkpoint {
	t.Helper()
	v, err := note.NewVerifier(p.LogKey())
	if err != nil {
		t.Fatal(err)
	}
	for t.Context().Err() == nil {
		r, err := http.Get("http://" + p.Addr() + "/log/checkpoint")
		if err != nil {
			t.Fatal(err)
		}
		signed, err := io.ReadAll(r.Body)
		r.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		if r.StatusCode == http.StatusOK {
			c, _, err := torchwood.VerifyCheckpoint(signed, log.Signed(v))
			if err != nil {
				t.Fatalf("%v\n%s", err, signed)
			}
			return c
		}
	}
	t.Fatal("nothing is published")
	return torchwood.Checkpoint{}
}

// TestTheLogIsPublished settles records, reads the log as others do, and has the centre
// start again with its store as it was before.
func TestTheLogIsPublished(t *testing.T) {
	d := portaltest.NewDevice(t, "one")
	dir := newCentre(t)
	if _, err := portal.Enrol(dir, d.ID, 1, d.Certificate); err != nil {
		t.Fatal(err)
	}
	early := filepath.Join(t.TempDir(), "early")
	settle := func() (id evidence.Hash) {
		p, stop := serve(t, dir)
		defer stop()
		session, receipts := connect(t, p, d)
		for range 3 {
			h := d.Statement(t, evidence.KindCalibration, portaltest.Calibration)
			if err := <-session.Publish(d.Message("record", h.Bytes)); err != nil {
				t.Fatal(err)
			}
			<-receipts
			id = h.ID
		}
		return id
	}
	settle()
	copies := filepath.Join(t.TempDir(), "copies")
	if _, err := portal.Backup(t.Context(), portal.Options{Dir: dir}, copies, 1); err != nil {
		t.Fatal(err)
	}
	last := settle()

	p, stop := serve(t, dir)
	c := checkpoint(t, p)
	for c.N < 6 {
		c = checkpoint(t, p)
	}
	if string(get(t, p, "/log/key")) != p.LogKey()+"\n" || c.Origin != strings.SplitN(p.LogKey(), "+", 2)[0] {
		t.Errorf("origin %q, key %q", c.Origin, p.LogKey())
	}
	fetch, err := torchwood.NewTileFetcher("http://"+p.Addr()+"/log", torchwood.WithUserAgent("test"))
	if err != nil {
		t.Fatal(err)
	}
	client, err := torchwood.NewClient(fetch)
	if err != nil {
		t.Fatal(err)
	}
	entry, proof, err := client.Entry(t.Context(), c.Tree, 5)
	if err != nil || evidence.Hash(entry) != last {
		t.Fatalf("entry 5 is %x, %v, want %v", entry, err, last)
	}
	if err := tlog.CheckRecord(proof, c.N, c.Hash, 5, tlog.RecordHash(last[:])); err != nil {
		t.Error(err)
	}
	stop()

	// What was published stays with a store that is put back: nothing more is. Who does not
	// say what was published last is asked for it.
	restore := portal.RestoreOptions{From: copies}
	if _, err := portal.Restore(t.Context(), portal.Options{Dir: early}, restore); !errors.Is(err, portal.ErrNewest) {
		t.Errorf("restored without the newest checkpoint: %v", err)
	}
	restore.Checkpoint = filepath.Join(dir, "checkpoint")
	r, err := portal.Restore(t.Context(), portal.Options{Dir: early}, restore)
	if !errors.Is(err, log.ErrRolledBack) || !strings.Contains(err.Error(), "log entries 3 to 5 are lost") || r.LogSize != 3 || r.Published != 6 {
		t.Fatalf("%+v, %v", r, err)
	}
	copyKeys(t, dir, early)
	p, _ = serve(t, early)
	if got := checkpoint(t, p); got != c {
		t.Errorf("an older store publishes %+v, after %+v", got, c)
	}
	for {
		r, err := http.Get("http://" + p.Addr() + "/healthz")
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(r.Body)
		r.Body.Close()
		if strings.HasPrefix(string(body), "log: is not published") {
			break
		}
		if t.Context().Err() != nil {
			t.Fatal("health does not tell")
		}
	}
	// Nor is a number given twice: what comes now is stored, and waits.
	session, receipts := connect(t, p, d)
	h := d.Heartbeat(t)
	if err := <-session.Publish(d.Message("record", h.Bytes)); err != nil {
		t.Fatal(err)
	}
	for p.Stats().All.Verified == 0 {
		time.Sleep(time.Millisecond)
	}
	select {
	case r := <-receipts:
		t.Errorf("receipt %+v, after numbers up to 5 were published", r.Receipt.Entries)
	case <-time.After(300 * time.Millisecond):
	}
}
