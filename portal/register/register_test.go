package register_test

import (
	"crypto/sha256"
	"testing"
	"time"

	"ciglio/capture/evidence"
	"ciglio/portal/portaltest"
	"ciglio/portal/register"
)

// A device whose first clock is hours ahead, as one in local time is, makes its
// certificate for the future. What it seals once its clock is set must verify
// all the same.
func TestKeyIsInForceWhenEnrolled(t *testing.T) {
	now := time.Date(2026, 5, 4, 9, 30, 0, 500_000_000, time.UTC)
	enrolled := now.Truncate(time.Second)
	for _, row := range []struct {
		name       string
		from, want time.Time
	}{
		{"clock behind", enrolled.Add(-2 * time.Hour), enrolled.Add(-2 * time.Hour)},
		{"clock in local time", enrolled.Add(2 * time.Hour), enrolled},
	} {
		d := portaltest.NewDevice(t, row.name)
		c := portaltest.NewCentre(t)
		d.Certificate.NotBefore = row.from
		entry, err := register.Add(c.Dir, c.Root, d.ID, d.Epoch, d.Certificate, now)
		if err != nil || !entry.NotBefore.Equal(row.want) {
			t.Errorf("%s: in force from %v, want %v, %v", row.name, entry.NotBefore, row.want, err)
		}
		f, err := register.Open(c.Dir)
		if err != nil {
			t.Fatal(err)
		}
		sealed := d.Heartbeat(t)
		if _, _, err := f.Trust().DeviceKey(d.ID, d.Epoch, sealed.KeyID, now); err != nil {
			t.Errorf("%s: %v", row.name, err)
		}
		if _, _, err := f.Trust().DeviceKey(d.ID, d.Epoch, sealed.KeyID, row.want.Add(-time.Second)); err == nil {
			t.Errorf("%s: in force before the key was made", row.name)
		}
	}
}

// TestWhoIsInForce follows a device's keys: not entered, entered, ended, revoked.
func TestWhoIsInForce(t *testing.T) {
	now := time.Now()
	d := portaltest.NewDevice(t, "one")
	c := portaltest.NewCentre(t)
	in := func(at time.Time) bool {
		t.Helper()
		f, err := register.Open(c.Dir)
		if err != nil {
			t.Fatal(err)
		}
		return f.InForce(d.ID, at)
	}
	if in(now) {
		t.Error("in force without a key")
	}
	entry, err := register.Add(c.Dir, c.Root, d.ID, d.Epoch, d.Certificate, now)
	if err != nil {
		t.Fatal(err)
	}
	if !in(now) || in(entry.NotAfter) {
		t.Errorf("with a key: %v, at its end: %v", in(now), in(entry.NotAfter))
	}
	f, err := register.Open(c.Dir)
	if err != nil {
		t.Fatal(err)
	}
	next, err := register.Next(f.Trust().Register().Register, nil, []evidence.Hash{sha256.Sum256(entry.Key)}, now)
	if err != nil {
		t.Fatal(err)
	}
	text, err := register.Sign(next, c.Root)
	if err != nil {
		t.Fatal(err)
	}
	if err := register.Install(c.Dir, text, nil); err != nil {
		t.Fatal(err)
	}
	if in(now) {
		t.Error("in force with a revoked key")
	}
}
