package device

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"periph.io/x/conn/v3/gpio"
	"periph.io/x/conn/v3/gpio/gpiotest"

	"ciglio/agent/trust"
	"ciglio/capture/evidence"
	"ciglio/sensor"
	"ciglio/sensor/tamper"
	"ciglio/uplink/outbox"
	"ciglio/uplink/wire"
)

// A playedDoor is a door switch of a cabinet.
type playedDoor struct{ *gpiotest.Pin }

func newPlayedDoor(open bool) playedDoor {
	return playedDoor{&gpiotest.Pin{N: "DOOR", L: gpio.Level(open), EdgesChan: make(chan gpio.Level, 1)}}
}

func (d playedDoor) set(open bool) {
	d.Lock()
	d.L = gpio.Level(open)
	d.Unlock()
	select {
	case d.EdgesChan <- gpio.Level(open):
	default:
	}
}

func (d playedDoor) watch(c sensor.Clock) *tamper.Watch {
	return tamper.New(c, []tamper.Switch{{Name: "door", High: true, Open: func() (tamper.Pin, error) { return d, nil }}}, nil)
}

// tampers returns what the chain says of the cabinet, with the instants.
func tampers(t *testing.T, o *outbox.Outbox) (words []string, at []time.Time) {
	t.Helper()
	head := o.Head()
	for seq := uint64(1); seq < head.Next; seq++ {
		b, err := o.Record(outbox.Key{Epoch: head.Epoch, Seq: seq})
		if err != nil {
			t.Fatal(err)
		}
		sealed, err := evidence.Open(b)
		if err != nil {
			t.Fatal(err)
		}
		if r := sealed.Record; r.Kind == evidence.KindTamper {
			words, at = append(words, r.Body[1].(string)+" "+r.Body[2].(string)), append(at, r.UTC)
		}
	}
	return words, at
}

func codesOf(causes []trust.Cause) (all []string) {
	for _, c := range causes {
		all = append(all, c.Code)
	}
	return all
}

// A door that is opened closes the gate, is in the chain within a second, and keeps
// the gate closed when it is closed again, until it is released.
func TestASealStaysOpenUntilItIsReleased(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		door := newPlayedDoor(false)
		r := newRig(t, func(r *rig) { r.tamper = door.watch(r.clock) })
		r.start(t)
		if o := r.pass(speeding()); o.Record == nil {
			t.Fatalf("not recorded: %v", o.Reasons)
		}
		time.Sleep(time.Minute)
		opened := time.Now()
		door.set(true)
		time.Sleep(time.Second)
		synctest.Wait()
		if got := codesOf(r.gate.found()); !slices.Equal(got, []string{trust.SealOpen}) {
			t.Errorf("a second after it was opened: %v", got)
		}
		if words, at := tampers(t, r.outbox); !slices.Equal(words, []string{"door open"}) || at[0].Sub(opened) > time.Second {
			t.Errorf("the chain says %q at %v, opened at %v", words, at, opened)
		}
		if _, err := r.seals.release(); !errors.Is(err, errStillOpen) {
			t.Errorf("released while it is open: %v", err)
		}
		door.set(false)
		time.Sleep(time.Hour)
		if o := r.pass(speeding()); o.Record != nil || !slices.Contains(o.Reasons, sensor.ReasonGate) {
			t.Errorf("an hour after it was closed: recorded %t, %v", o.Record != nil, o.Reasons)
		}
		words, err := r.seals.release()
		if err != nil || !strings.HasPrefix(words, "seal door, opened 2000-01-01T") {
			t.Errorf("released %q, %v", words, err)
		}
		time.Sleep(10 * time.Second)
		if o := r.pass(speeding()); o.Record == nil {
			t.Errorf("after the release: %v", o.Reasons)
		}
		r.end(t)
	})
}

// A vehicle that passes while the door opens gives no evidence, whenever in its track.
func TestASealOpenedInMidPassage(t *testing.T) {
	for _, before := range []time.Duration{400 * time.Millisecond, time.Second, 3 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			door := newPlayedDoor(false)
			r := newRig(t, func(r *rig) { r.tamper = door.watch(r.clock) })
			r.start(t)
			time.Sleep(time.Minute)
			door.set(true)
			time.Sleep(before)
			if o := r.send(speeding(), 3*time.Second, 300*time.Millisecond); o.Record != nil {
				t.Errorf("recorded %v after the door was opened", before)
			}
			r.end(t)
		})
	}
}

func TestSealsAreRemembered(t *testing.T) {
	at := time.Date(2026, 12, 1, 11, 5, 0, 0, time.UTC)
	log := slog.New(slog.DiscardHandler)
	dir := t.TempDir()
	s := newSeals(dir, []string{"door", "tilt"}, true, log)
	if len(s.broken())+len(s.findings()) != 0 {
		t.Fatalf("fresh: %v, %v", s.broken(), s.findings())
	}
	s.begin()
	s.show("door", true, at)
	s.show("door", false, at)
	for range 2 { // a restart, and another
		s = newSeals(dir, []string{"door", "tilt"}, false, log)
		if got := s.broken(); !slices.Equal(got, []string{"door"}) || len(s.findings()) != 0 {
			t.Fatalf("after a restart: %v, %v", got, s.findings())
		}
	}
	if s = newSeals(dir, []string{"tilt"}, false, log); len(s.findings()) != 1 || !strings.Contains(s.findings()[0].Words(), "door: was a seal") {
		t.Errorf("a seal that was taken out of the settings: %v", s.findings())
	}
	if words, err := s.release(); err != nil || !strings.Contains(words, "opened 2026-12-01T11:05:00Z") || !strings.Contains(words, "no longer watched") {
		t.Errorf("released %q, %v", words, err)
	}
	if s = newSeals(dir, []string{"tilt"}, false, log); len(s.broken())+len(s.findings()) != 0 {
		t.Errorf("after the release: %v, %v", s.broken(), s.findings())
	}
	s = newSeals(dir, []string{"tilt", "door"}, false, log)
	if len(s.broken())+len(s.findings()) != 0 {
		t.Errorf("a new seal: %v, %v", s.broken(), s.findings())
	}
}

// What is lost or damaged counts as opened, and is not written over before an order.
func TestSealsThatAreForgottenCountAsOpened(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	for name, text := range map[string]string{
		"no file": "-", "empty": "", "cut off": "version = 1\n[[se", "another version": "version = 2\n",
		"unknown key": "version = 1\n[[seal]]\nname = \"door\"\nclosed = true\n", "twice": "version = 1\n[[seal]]\nname = \"door\"\n[[seal]]\nname = \"door\"\n",
		"too long": "version = 1\n" + strings.Repeat("#", maxSealsFile),
	} {
		dir := t.TempDir()
		path := filepath.Join(dir, sealsFile)
		if text != "-" {
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		for range 2 {
			s := newSeals(dir, []string{"door"}, false, log)
			s.begin()
			s.show("door", true, time.Now())
			s.show("door", false, time.Now())
			if f := s.findings(); len(f) != 1 || f[0].Code != "seal_lost" {
				t.Errorf("%s: %v", name, f)
			}
		}
		s := newSeals(dir, []string{"door"}, false, log)
		if words, err := s.release(); err != nil || !strings.Contains(words, "was lost") {
			t.Errorf("%s: released %q, %v", name, words, err)
		}
		if s = newSeals(dir, []string{"door"}, false, log); len(s.findings()) != 0 {
			t.Errorf("%s: after the release: %v", name, s.findings())
		}
	}
	// What cannot be written is told.
	dir := filepath.Join(t.TempDir(), "gone")
	s := newSeals(dir, nil, true, log)
	if s.begin(); len(s.findings()) != 1 || s.findings()[0].Code != "seal_memory" {
		t.Errorf("no folder: %v", s.findings())
	}
}

// A seal that was opened while the power was off, and is open, is seen at the start;
// so is one whose line is not there, or comes later.
func TestSealsAtTheStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		door := newPlayedDoor(true)
		r := newRig(t, func(r *rig) { r.tamper = door.watch(r.clock) })
		r.start(t)
		if words, _ := tampers(t, r.outbox); !slices.Equal(words, []string{"door open at the start"}) {
			t.Errorf("the chain says %q", words)
		}
		if got := codesOf(r.Gate()); !slices.Equal(got, []string{trust.SealOpen}) {
			t.Errorf("gate %v", got)
		}
		r.end(t)
	})
	for _, open := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			var there atomic.Bool
			r := newRig(t, func(r *rig) {
				r.tamper = tamper.New(r.clock, []tamper.Switch{{Name: "door", High: true, Open: func() (tamper.Pin, error) {
					if !there.Load() {
						return nil, errors.New("pin GPIO5: no such line")
					}
					return newPlayedDoor(open), nil
				}}}, nil)
			})
			r.start(t)
			causes := r.Gate()
			if got := codesOf(causes); !slices.Equal(got, []string{trust.SealFault}) || !strings.Contains(causes[0].Words, "GPIO5") {
				t.Errorf("gate %v", causes)
			}
			there.Store(true)
			time.Sleep(2 * time.Minute)
			want := map[bool][]string{false: nil, true: {trust.SealOpen}}[open]
			if got := codesOf(r.Gate()); !slices.Equal(got, want) {
				t.Errorf("once the line is there, open %t: gate %v, want %v", open, got, want)
			}
			r.end(t)
		})
	}
}

// The officer's order opens the gate again, and is in the chain with what it released.
func TestAnOfficerReopensASeal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		door := newPlayedDoor(true)
		r := newRig(t, func(r *rig) { r.tamper = door.watch(r.clock) })
		c := newChancery(t)
		r.o.Trust = c.trust
		r.remake(t)
		r.start(t)
		for n, closed := range []bool{false, true} {
			door.set(!closed)
			time.Sleep(time.Minute)
			act, err := r.Order(c.order(t, r, uint64(n+1), wire.OrderReopen, c.officer, nil))
			if err != nil {
				t.Fatal(err)
			}
			if want := map[bool]string{false: outcomeFailed, true: outcomeDone}[closed]; act.Outcome != want || act.Old != "door" {
				t.Errorf("door closed %t: %+v", closed, act)
			}
			if open := len(r.Gate()) == 0; open != closed {
				t.Errorf("door closed %t: gate %v", closed, r.Gate())
			}
		}
		if act, err := r.Order(c.order(t, r, 9, wire.OrderReopen, c.centre, nil)); err == nil && act.Outcome == outcomeDone {
			t.Errorf("the centre's own key reopens: %+v", act)
		}
		r.end(t)
	})
}

func FuzzParseSeals(f *testing.F) {
	f.Add([]byte("version = 1\n[[seal]]\nname = \"door\"\nopened = 2026-12-01T11:05:00Z\n[[seal]]\nname = \"tilt\"\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		all, err := parseSeals(text)
		if err != nil {
			return
		}
		back, err := parseSeals(appendSeals(nil, all))
		if err != nil || len(back) != len(all) {
			t.Fatalf("%v reads back as %v, %v", all, back, err)
		}
		for name, at := range all {
			if back[name].IsZero() != at.IsZero() {
				t.Errorf("%q: %v reads back as %v", name, at, back[name])
			}
		}
	})
}
