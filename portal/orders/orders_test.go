package orders

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"ciglio/capture/evidence"
	"ciglio/portal/keys"
	"ciglio/uplink/wire"
)

var device = evidence.DeviceID{0xd1}

func signer(t *testing.T) *keys.Key {
	t.Helper()
	k, err := keys.Generate()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestNumbersRise(t *testing.T) {
	b, k := Open(t.TempDir()), signer(t)
	now := time.Date(2026, 5, 1, 12, 0, 0, 999, time.UTC)
	status := wire.Order{Device: device, Kind: wire.OrderStatus}
	var last uint64
	sign := func(at time.Time) *Entry {
		t.Helper()
		e, err := b.Sign(status, k, at, time.Hour, nil)
		if err != nil {
			t.Fatal(err)
		}
		if e.Number <= last {
			t.Errorf("number %d after %d", e.Number, last)
		}
		last = e.Number
		return e
	}
	for range 3 {
		sign(now) // in one second
	}
	sign(now.Add(-24 * time.Hour)) // the clock went back
	last = 0
	if _, err := b.Sign(wire.Order{Device: evidence.DeviceID{2}, Kind: wire.OrderStatus}, signer(t), now, time.Hour, nil); err != nil {
		t.Fatal(err)
	}
	// The folder is lost, or comes from a copy of yesterday: numbers rise all the same.
	if err := os.RemoveAll(filepath.Join(b.dir, folder)); err != nil {
		t.Fatal(err)
	}
	e := sign(now.Add(time.Minute))
	if e.Number < uint64(now.Unix()) {
		t.Errorf("number %d, want more than those given before", e.Number)
	}
	if !e.NotBefore.Equal(time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)) || !e.NotAfter.Equal(time.Date(2026, 5, 1, 13, 1, 0, 0, time.UTC)) {
		t.Errorf("from %v to %v", e.NotBefore, e.NotAfter)
	}
}

// TestAnothersNumbersAreNotOurs has an officer's order carried here whose number is
// the highest there is.
func TestAnothersNumbersAreNotOurs(t *testing.T) {
	b, now := Open(t.TempDir()), time.Now()
	text, err := wire.SealOrder(&wire.Order{Device: device, Number: 1<<63 - 1, Kind: wire.OrderStatus, NotBefore: now, NotAfter: now.Add(time.Hour)}, signer(t))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Put(text); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Sign(wire.Order{Device: device, Kind: wire.OrderStatus}, signer(t), now, time.Hour, nil); err != nil {
		t.Errorf("no number is left for another key: %v", err)
	}
}

func TestListIsWhatWasSigned(t *testing.T) {
	b, k := Open(t.TempDir()), signer(t)
	now := time.Now()
	if all, err := b.List(device); err != nil || len(all) != 0 {
		t.Errorf("of nobody: %v, %v", all, err)
	}
	var signed []*Entry
	for _, kind := range []wire.OrderKind{wire.OrderStatus, wire.OrderSelfTest, wire.OrderResume} {
		e, err := b.Sign(wire.Order{Device: device, Kind: kind}, k, now, time.Hour, nil)
		if err != nil {
			t.Fatal(err)
		}
		signed = append(signed, e)
	}
	all, err := b.List(device)
	if err != nil || len(all) != 3 || !bytes.Equal(all[0].Bytes, signed[2].Bytes) || all[2].Kind != wire.OrderStatus || all[0].KeyID != k.KeyID() {
		t.Fatalf("%v, %v", all, err)
	}
	if devices, err := b.Devices(); err != nil || len(devices) != 1 || devices[0] != device {
		t.Errorf("devices %v, %v", devices, err)
	}
	dest := t.TempDir()
	if err := b.Backup(dest); err != nil {
		t.Fatal(err)
	}
	if all, err := Open(dest).List(device); err != nil || len(all) != 3 {
		t.Errorf("in the copy: %d orders, %v", len(all), err)
	}
	// One damaged file hides no other; one under another's name is not taken.
	path := filepath.Join(b.device(device), signed[1].name())
	if err := os.WriteFile(path, signed[0].Bytes, 0o600); err != nil {
		t.Fatal(err)
	}
	if all, err := b.List(device); err == nil || len(all) != 2 {
		t.Errorf("%d orders, %v", len(all), err)
	}
	if err := os.WriteFile(path, signed[1].Bytes[:20], 0o600); err != nil {
		t.Fatal(err)
	}
	if all, err := b.List(device); err == nil || len(all) != 2 {
		t.Errorf("%d orders, %v", len(all), err)
	}
}

func TestPutKeepsWhatOthersSigned(t *testing.T) {
	b, k := Open(t.TempDir()), signer(t)
	now := time.Now()
	seal := func(kind wire.OrderKind) []byte {
		t.Helper()
		o := wire.Order{Device: device, Number: 7, Kind: kind, NotBefore: now, NotAfter: now.Add(time.Hour)}
		sealed, err := wire.SealOrder(&o, k)
		if err != nil {
			t.Fatal(err)
		}
		return sealed
	}
	first := seal(wire.OrderStatus)
	for range 2 {
		if _, err := b.Put(first); err != nil {
			t.Error(err)
		}
	}
	if _, err := b.Put(seal(wire.OrderSelfTest)); !errors.Is(err, ErrUsed) {
		t.Errorf("another order with the same number: %v", err)
	}
	if _, err := b.Put([]byte("an order")); err == nil {
		t.Error("something else was kept")
	}
}

func TestStateFollowsFromTheRecords(t *testing.T) {
	k := signer(t)
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	b := Open(t.TempDir())
	e, err := b.Sign(wire.Order{Device: device, Kind: wire.OrderStatus}, k, now, time.Hour, nil)
	if err != nil {
		t.Fatal(err)
	}
	id := k.KeyID()
	act := func(change func(*evidence.Act)) *evidence.Sealed {
		a := &evidence.Act{Actor: "centre", Role: "centre", Code: "status", Outcome: "done", Signer: &id, Number: e.Number}
		change(a)
		return &evidence.Sealed{Record: &evidence.Record{Device: device, Kind: evidence.KindOperator, Body: evidence.Body{1: "words"}.WithAct(a)}}
	}
	outcome := func(o, reason string) *evidence.Sealed {
		return act(func(a *evidence.Act) { a.Outcome, a.New = o, reason })
	}
	other := evidence.Hash{1}
	for _, test := range []struct {
		name    string
		records []*evidence.Sealed // the newest first
		at      time.Time
		want    State
	}{
		{"nothing heard", nil, now, Waiting},
		{"its last second", nil, e.NotAfter, Waiting},
		{"too late", nil, e.NotAfter.Add(2 * time.Second), Expired},
		{"done, looked at much later", []*evidence.Sealed{outcome("done", "")}, now.AddDate(1, 0, 0), Done},
		{"failed", []*evidence.Sealed{outcome("failed", "interrupted")}, now, Failed},
		{"refused for good", []*evidence.Sealed{outcome("refused", "role")}, now, Refused},
		{"refused while the clock is bad", []*evidence.Sealed{outcome("refused", "clock")}, now, Waiting},
		{"refused at first, done later", []*evidence.Sealed{outcome("done", ""), outcome("refused", "not_yet")}, now, Done},
		{"done, and its number refused behind it", []*evidence.Sealed{outcome("refused", "number"), outcome("done", "")}, now, Done},
		{"another number", []*evidence.Sealed{act(func(a *evidence.Act) { a.Number++ })}, now, Waiting},
		{"another signer", []*evidence.Sealed{act(func(a *evidence.Act) { a.Signer = &other })}, now, Waiting},
		{"of nobody", []*evidence.Sealed{act(func(a *evidence.Act) { a.Signer = nil })}, now, Waiting},
	} {
		var answers []*Answer
		for _, r := range test.records {
			if a := e.AnswerOf(r); a != nil {
				answers = append(answers, a)
			}
		}
		if got, _ := e.State(test.at, answers); got != test.want {
			t.Errorf("%s: %s, want %s", test.name, got, test.want)
		}
	}
	foreign := outcome("done", "")
	foreign.Record.Device = evidence.DeviceID{2}
	if e.AnswerOf(foreign) != nil {
		t.Error("another device answered")
	}
}
