package portal_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ciglio/capture/evidence"
	"ciglio/portal"
	"ciglio/portal/keys"
	"ciglio/portal/orders"
	"ciglio/portal/portaltest"
	"ciglio/portal/register"
	"ciglio/uplink/wire"
)

func TestOrderCommand(t *testing.T) {
	dir := newCentre(t)
	d := portaltest.NewDevice(t, "one")
	if _, err := portal.Enrol(dir, d.ID, 1, d.Certificate); err != nil {
		t.Fatal(err)
	}
	officer := filepath.Join(t.TempDir(), "officer.key")
	run := func(args ...string) (int, string) {
		var out, errs bytes.Buffer
		exit := portal.Main(append([]string{args[0], "--dir", dir}, args[1:]...), &out, &errs)
		return exit, out.String() + errs.String()
	}
	if exit, out := run("officer", "--key", officer); exit != 0 {
		t.Fatal(out)
	}
	later := time.Now().Add(3 * time.Hour).Format(time.RFC3339)
	id, kinds := d.ID.String(), 0
	for _, test := range []struct {
		name string
		args []string
		exit int
		says string
	}{
		{"a status", []string{"--kind", "status"}, 0, "order "},
		{"a pause with its end", []string{"--kind", "pause", "--reason", "works", "--until", later}, 0, "because works"},
		{"a pause without its end", []string{"--kind", "pause", "--reason", "works"}, 2, "until"},
		{"a pause that ended last year", []string{"--kind", "pause", "--reason", "works", "--until", "2020-01-01T00:00:00Z"}, 2, "pause until"},
		{"one record again", []string{"--kind", "resend", "--from", "7"}, 0, "epoch 1 number 7"},
		{"what does not exist", []string{"--kind", "limit"}, 2, "no such order"},
		{"a seal, by the centre", []string{"--kind", "reopen", "--reason", "workshop"}, 1, "hint: reopen, export and console are signed with --key"},
		{"a seal, by an officer", []string{"--kind", "reopen", "--reason", "workshop", "--key", officer}, 0, "reopen"},
		{"a pause, by an officer", []string{"--kind", "pause", "--reason", "works", "--until", later, "--key", officer}, 1, "another office"},
		{"a device that nobody knows", []string{"--kind", "status", "--device", strings.Repeat("0", 32)}, 1, "hint: ciglio-portal enrol"},
	} {
		args := append([]string{"order", "--device", id}, test.args...)
		exit, out := run(args...)
		if exit != test.exit || !strings.Contains(out, test.says) {
			t.Errorf("%s: exit %d, says %q; want %d, %q", test.name, exit, out, test.exit, test.says)
		}
		if exit == 0 {
			kinds++
		}
	}
	all, err := orders.Open(dir).List(d.ID)
	if err != nil || len(all) != kinds {
		t.Fatalf("%d orders kept, want %d: %v", len(all), kinds, err)
	}
	f, err := register.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range all {
		public, entry, err := f.Trust().OrderKey(e.KeyID, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		sealed, err := wire.OpenOrder(e.Bytes)
		if err == nil {
			err = sealed.Verify(public)
		}
		if err != nil || entry.Role != e.Kind.Role() {
			t.Errorf("%s: by %v, %v", e.Kind, entry.Role, err)
		}
	}
	// An order that was signed elsewhere is carried here, and a written one to a stick.
	stick := filepath.Join(t.TempDir(), "1.order")
	if exit, out := run("order", "--json", "--device", id, "--kind", "selftest", "--out", stick); exit != 0 {
		t.Fatal(out)
	} else if err := json.Unmarshal([]byte(out), new(map[string]any)); err != nil {
		t.Error(err)
	}
	carried, err := os.ReadFile(stick)
	if err != nil {
		t.Fatal(err)
	}
	if exit, out := run("order-carry", "--file", stick); exit != 0 || !strings.Contains(out, "selftest") {
		t.Errorf("exit %d: %s", exit, out)
	}
	if all, err := orders.Open(dir).List(d.ID); err != nil || len(all) != kinds+1 || !bytes.Equal(all[0].Bytes, carried) {
		t.Errorf("%d orders, %v", len(all), err)
	}
	// What cannot be written for the stick is not sent either, and the other way round.
	for name, path := range map[string]string{"a file that is there": stick, "a folder that is not": filepath.Join(stick, "1.order")} {
		if exit, out := run("order", "--device", id, "--kind", "selftest", "--out", path); exit != 1 {
			t.Errorf("%s: exit %d: %s", name, exit, out)
		}
	}
	if all, err := orders.Open(dir).List(d.ID); err != nil || len(all) != kinds+1 {
		t.Errorf("%d orders after two that failed, want %d, %v", len(all), kinds+1, err)
	}
	folder := filepath.Join(dir, "orders", id)
	if err := os.Rename(folder, folder+".away"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(folder, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	second := filepath.Join(filepath.Dir(stick), "2.order")
	if exit, out := run("order", "--device", id, "--kind", "selftest", "--out", second); exit != 1 {
		t.Errorf("orders that cannot be kept: exit %d: %s", exit, out)
	}
	if _, err := os.Stat(second); !os.IsNotExist(err) {
		t.Errorf("an order that is not kept is on the stick: %v", err)
	}
	if err := errors.Join(os.Remove(folder), os.Rename(folder+".away", folder)); err != nil {
		t.Fatal(err)
	}
	// One whose signature is another's, or of nobody's key, is not.
	nobody, err := keys.Generate()
	if err != nil {
		t.Fatal(err)
	}
	foreign, err := wire.SealOrder(&wire.Order{Device: d.ID, Number: 1, Kind: wire.OrderStatus, NotBefore: time.Now(), NotAfter: time.Now().Add(time.Hour)}, nobody)
	if err != nil {
		t.Fatal(err)
	}
	spoiled := bytes.Clone(carried)
	spoiled[len(spoiled)-1] ^= 1
	for name, bad := range map[string][]byte{"of nobody's key": foreign, "with a spoiled signature": spoiled} {
		if err := os.WriteFile(stick, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		if exit, out := run("order-carry", "--file", stick); exit != 1 {
			t.Errorf("%s: exit %d, %s", name, exit, out)
		}
	}
	if all, err := orders.Open(dir).List(d.ID); err != nil || len(all) != kinds+1 {
		t.Errorf("kept what may not be ordered: %d orders, %v", len(all), err)
	}
	if _, entry, err := f.Trust().OrderKey(evidence.Hash{1}, time.Now()); err == nil {
		t.Errorf("a key that is nobody's is %v's", entry.Role)
	}
}
