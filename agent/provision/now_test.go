package provision

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"ciglio/capture/evidence"
	p "ciglio/internal/provisioning"
)

// TestEveryBundleIsToldItsReason has a stick with several bad bundles beside a good
// one: nothing of it is in force, and each bad one has its own reason.
func TestEveryBundleIsToldItsReason(t *testing.T) {
	s := open(t, t.TempDir())
	st := newStand(t, s)
	st.use(t, stickOf(trustBundle(t, 1), calibrationBundle(t, 2)))
	bad := stickOf(calibrationBundle(t, 1), calibrationBundle(t, 3)[:100], []byte("no bundle"), trustBundle(t, 2))
	if sig := st.use(t, bad); sig != Bad {
		t.Fatalf("light %d", sig)
	}
	var got []p.Reason
	for _, r := range bad.receipt(t).Refused {
		got = append(got, r.Reason)
	}
	if want := []p.Reason{p.Truncated, p.NoBundle, p.Older}; !slices.Equal(got, want) {
		t.Errorf("reasons %q, want %q", got, want)
	}
	if version(t, s, p.Calibration) != 2 || version(t, s, p.Trust) != 1 {
		t.Error("the good one beside them was installed")
	}
}

// TestTheStationSaysWhatItDoes asks at each step of a stick's life.
func TestTheStationSaysWhatItDoes(t *testing.T) {
	s := open(t, t.TempDir())
	var st *stand
	var phases []Phase
	ask := func() { phases = append(phases, st.station.Now().Phase) }
	st = newStandWith(t, s, func(o *StationOptions) {
		restart, show := o.Restart, o.Show
		o.Restart = func(ctx context.Context) error {
			ask()
			return restart(ctx)
		}
		o.Order = func([]byte, Put) (evidence.Act, error) {
			ask()
			return evidence.Act{Outcome: "done"}, nil
		}
		o.Leave = func() []Named {
			ask()
			return nil
		}
		o.Show = func(sig Signal) {
			if sig != Idle {
				ask()
			}
			show(sig)
		}
	})
	stick := stickOf(trustBundle(t, 1), calibrationBundle(t, 1))
	stick.files["orders/1.order"] = []byte("an order")
	if sig := st.use(t, stick); sig != Good {
		t.Fatalf("light %d: %+v", sig, stick.receipt(t))
	}
	if want := []Phase{Reading, Applying, Ordering, Writing, Done}; !slices.Equal(phases, want) {
		t.Errorf("%q, want %q", phases, want)
	}
	if n := st.station.Now(); n.Phase != Waiting || n.Last == nil || !n.Last.Good() || n.Last.Outcome != outcomeInstalled {
		t.Errorf("after it: %+v", n)
	}
}

// TestWhatIsInForce tells each kind with its signers, also of a key that has ended since,
// and of a kind of which nothing is installed.
func TestWhatIsInForce(t *testing.T) {
	dir, o := t.TempDir(), options(t)
	at := now
	o.Now = func() time.Time { return at }
	s := openWith(t, dir, o)
	newStand(t, s).use(t, stickOf(trustBundle(t, 1), calibrationBundle(t, 4)))
	for _, later := range []time.Duration{0, 100 * 365 * 24 * time.Hour} {
		at = now.Add(later)
		s.told = nil
		for range 2 { // the second time from memory
			all := s.InForce()
			if len(all) != len(o.Checks) {
				t.Fatalf("%d kinds, %d are known", len(all), len(o.Checks))
			}
			for _, f := range all {
				switch f.Kind {
				case p.Calibration:
					if f.Version != 4 || f.SHA256 == (evidence.Hash{}) || f.NotAfter.IsZero() || f.Trouble != "" || len(f.Signers) != 2 {
						t.Errorf("after %v: %+v", later, f)
					}
				case p.Trust:
					if f.Version != 1 || len(f.Signers) != 1 || f.Signers[0].Role != p.Root {
						t.Errorf("after %v: %+v", later, f)
					}
				default:
					if f.Version != 0 || f.Trouble != "" {
						t.Errorf("%+v", f)
					}
				}
			}
		}
	}
	e, _ := find(s.state.Installed, p.Calibration)
	if err := os.WriteFile(filepath.Join(dir, e.file()), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.told = nil
	if i := slices.IndexFunc(s.InForce(), func(f Force) bool { return f.Kind == p.Calibration && f.Version == 4 && f.Trouble != "" }); i < 0 {
		t.Error("one that cannot be read any more is told as if it were in order")
	}
}
