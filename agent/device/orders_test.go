package device

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"ciglio/capture/evidence"
	"ciglio/uplink"
	"ciglio/uplink/wire"
)

// A chancery signs orders: a root whose register names a centre and an officer.
type chancery struct {
	trust                            *evidence.Trust
	centre, officer, device, mallory evidence.Signer
}

func newChancery(t *testing.T) *chancery {
	t.Helper()
	key := func() (evidence.Signer, *ecdsa.PrivateKey) {
		k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		s, err := evidence.NewSigner(k)
		if err != nil {
			t.Fatal(err)
		}
		return s, k
	}
	c := &chancery{}
	root, rootKey := key()
	register := &evidence.Register{Sequence: 1, Issued: time.Now().UTC()}
	add := func(role evidence.Role) evidence.Signer {
		s, k := key()
		spki, err := evidence.EncodeKey(&k.PublicKey)
		if err != nil {
			t.Fatal(err)
		}
		e := evidence.RegisterEntry{Role: role, Key: spki, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(10, 0, 0)}
		if role == evidence.RoleDevice {
			e.Device, e.Epoch = evidence.DeviceID{1}, 1
		}
		register.Entries = append(register.Entries, e)
		return s
	}
	c.centre, c.officer = add(evidence.RoleCentre), add(evidence.RoleOfficer)
	c.device = add(evidence.RoleDevice)
	c.mallory, _ = key()
	sealed, err := evidence.SealRegister(register, root)
	if err != nil {
		t.Fatal(err)
	}
	if c.trust, err = evidence.NewTrust(&rootKey.PublicKey, sealed); err != nil {
		t.Fatal(err)
	}
	return c
}

// order returns a signed order of a kind that is good for an hour from now.
func (c *chancery) order(t *testing.T, r *rig, number uint64, kind wire.OrderKind, s evidence.Signer, change func(*wire.Order)) []byte {
	t.Helper()
	_, utc := r.clock.Pair()
	o := &wire.Order{Device: r.id, Number: number, Kind: kind, NotBefore: utc.Add(-time.Minute), NotAfter: utc.Add(time.Hour)}
	switch kind {
	case wire.OrderPause:
		o.Reason, o.Until = "works on the road", utc.Add(6*time.Hour)
	case wire.OrderResend:
		o.Epoch, o.From, o.To = 1, 1, 3
	case wire.OrderReopen, wire.OrderConsole:
		o.Reason = "opened by the workshop"
	case wire.OrderExport:
		o.Reason, o.Epoch, o.From, o.To, o.Recipient = "the court", 1, 1, 1, "age1"
	}
	if change != nil {
		change(o)
	}
	b, err := wire.SealOrder(o, s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// withOrders runs a test with a rig that knows a chancery.
func withOrders(t *testing.T, test func(t *testing.T, r *rig, c *chancery)) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		c := newChancery(t)
		r.o.Trust = c.trust
		r.o.Diagnostics = func() ([]byte, string, error) { return []byte("all is well"), "text/plain", nil }
		r.remake(t)
		test(t, r, c)
	})
}

// remake makes the device anew, as a start of the program does.
func (r *rig) remake(t *testing.T) {
	t.Helper()
	d, err := New(r.o)
	if err != nil {
		t.Fatal(err)
	}
	r.Device = d
}

// last returns the newest record.
func (r *rig) last(t *testing.T) *evidence.Record {
	t.Helper()
	all := r.records(t)
	return all[len(all)-1].Record
}

func TestOrdersAreAnsweredInTheChain(t *testing.T) {
	withOrders(t, func(t *testing.T, r *rig, c *chancery) {
		r.start(t)
		for i, test := range []struct {
			kind    wire.OrderKind
			signer  evidence.Signer
			record  evidence.Kind
			outcome string
			answer  string
		}{
			{wire.OrderSelfTest, c.centre, evidence.KindSelfTest, "done", ""},
			{wire.OrderStatus, c.centre, evidence.KindOperator, "done", `"measuring":true`},
			{wire.OrderDiagnostics, c.centre, evidence.KindOperator, "done", "all is well"},
			{wire.OrderResend, c.centre, evidence.KindOperator, "done", ""},
			{wire.OrderPause, c.centre, evidence.KindOperator, "done", ""},
			{wire.OrderResume, c.centre, evidence.KindOperator, "done", ""},
			{wire.OrderReopen, c.officer, evidence.KindOperator, "done", ""},
			{wire.OrderExport, c.officer, evidence.KindOperator, "failed", ""}, // this rig has no part that can
		} {
			before := len(r.records(t))
			b := c.order(t, r, uint64(i+1), test.kind, test.signer, nil)
			act, err := r.Order(b)
			if err != nil {
				t.Fatalf("%s: %v", test.kind, err)
			}
			all := r.records(t)
			if len(all) != before+1 {
				t.Fatalf("%s: %d records more, want 1", test.kind, len(all)-before)
			}
			got := all[before].Record
			a := got.ActOf()
			if got.Kind != test.record || a == nil || a.Code != string(test.kind) || a.Outcome != test.outcome || *a.Signer != test.signer.KeyID() ||
				a.Number != uint64(i+1) || !strings.Contains(string(a.Answer), test.answer) || act.Code != a.Code {
				t.Errorf("%s: %v %+v", test.kind, got.Body[1], a)
			}
			// The same again, from a stick or a centre that has not heard, is no news.
			if act, err := r.Order(b); err != nil || act.Code != "" || len(r.records(t)) != before+1 {
				t.Errorf("%s again: %+v, %v", test.kind, act, err)
			}
		}
		r.end(t)
	})
}

func TestRefusedOrdersAreRecorded(t *testing.T) {
	withOrders(t, func(t *testing.T, r *rig, c *chancery) {
		r.start(t)
		if _, err := r.Order(c.order(t, r, 5, wire.OrderStatus, c.centre, nil)); err != nil {
			t.Fatal(err)
		}
		spoiled := c.order(t, r, 6, wire.OrderPause, c.centre, nil)
		spoiled[len(spoiled)-1] ^= 1
		limit, err := evidence.EncodeForm(func(m *evidence.Form) {
			kind, one, from, to := "limit", int64(9), time.Now().Unix(), time.Now().Unix()
			m.Constant(1, "v", 1)
			m.Fixed(2, "device", r.id[:])
			m.Integer(3, "number", &one, 1, 99)
			m.Code(4, "kind", &kind)
			m.Integer(5, "from", &from, 0, to)
			m.Integer(6, "to", &to, 0, to)
		})
		if err != nil {
			t.Fatal(err)
		}
		unknown, err := evidence.SealMessage(wire.ContentOrder, limit, c.centre)
		if err != nil {
			t.Fatal(err)
		}
		garbage, err := evidence.SealMessage(wire.ContentOrder, []byte{0xa0}, c.centre)
		if err != nil {
			t.Fatal(err)
		}
		for _, test := range []struct {
			name, reason string
			order        []byte
			signed       bool // the record names signer and number
		}{
			{"no order", "malformed", []byte("pause!"), false},
			{"signed by nobody", "signer", c.order(t, r, 7, wire.OrderPause, c.mallory, nil), false},
			{"signed by a device", "signer", c.order(t, r, 7, wire.OrderPause, c.device, nil), false},
			{"a bit flipped in the signature", "signer", spoiled, false},
			{"a limit", "kind", unknown, false},
			{"signed garbage", "malformed", garbage, false},
			{"for another device", "device", c.order(t, r, 7, wire.OrderPause, c.centre, func(o *wire.Order) { o.Device[0] ^= 1 }), false},
			{"the centre reopens a seal", "role", c.order(t, r, 7, wire.OrderReopen, c.centre, nil), true},
			{"an officer pauses", "role", c.order(t, r, 7, wire.OrderPause, c.officer, nil), true},
			{"the number of another order", "number", c.order(t, r, 5, wire.OrderSelfTest, c.centre, nil), true},
			{"a number from before", "number", c.order(t, r, 4, wire.OrderSelfTest, c.centre, nil), true},
			{"tomorrow's", "not_yet", c.order(t, r, 8, wire.OrderStatus, c.centre, func(o *wire.Order) {
				o.NotBefore, o.NotAfter = o.NotBefore.Add(time.Hour*24), o.NotAfter.Add(time.Hour*24)
			}), true},
			{"yesterday's", "expired", c.order(t, r, 8, wire.OrderStatus, c.centre, func(o *wire.Order) {
				o.NotBefore, o.NotAfter = o.NotBefore.Add(-time.Hour*24), o.NotAfter.Add(-time.Hour*24)
			}), true},
		} {
			before := len(r.records(t))
			if _, err := r.Order(test.order); !errors.Is(err, errRefused) {
				t.Errorf("%s: %v", test.name, err)
			}
			got := r.last(t)
			if a := got.ActOf(); len(r.records(t)) != before+1 || a == nil || a.Outcome != "refused" || a.New != test.reason || (a.Signer != nil) != test.signed {
				t.Errorf("%s: %v %+v", test.name, got.Body[1], a)
			}
			time.Sleep(refusalEvery)
		}
		if causes := r.Gate(); len(causes) != 0 {
			t.Errorf("a refused order closed the gate: %v", causes)
		}
		r.end(t)
	})
}

// TestOrderInTimeByTheClocksOwnBound moves the bound over both ends.
func TestOrderInTimeByTheClocksOwnBound(t *testing.T) {
	withOrders(t, func(t *testing.T, r *rig, c *chancery) {
		_, now := r.clock.Pair()
		for i, test := range []struct {
			name                string
			notBefore, notAfter time.Duration // from now
			off                 time.Duration
			want                string
		}{
			{"well within", -time.Minute, time.Minute, 0, ""},
			{"the first second, by a clock that is good to 2 ms", 0, time.Minute, 0, "not_yet"},
			{"a second later", -time.Second, time.Minute, 0, ""},
			{"the last second", -time.Minute, 0, 0, ""},
			{"the second after", -time.Minute, -time.Second, 0, "expired"},
			{"a minute left, by a clock that may be off by two", -time.Hour, time.Minute, 2 * time.Minute, "expired"},
			{"a minute gone, by a clock that may be off by two", -time.Minute, time.Hour, -2 * time.Minute, "not_yet"},
		} {
			r.clock.drift(test.off)
			b := c.order(t, r, uint64(i+1), wire.OrderSelfTest, c.centre, func(o *wire.Order) { o.NotBefore, o.NotAfter = now.Add(test.notBefore), now.Add(test.notAfter) })
			act, err := r.Order(b)
			if (err == nil) != (test.want == "") || act.Outcome == "refused" && act.New != test.want {
				t.Errorf("%s: %+v, %v", test.name, act, err)
			}
		}
	})
}

func TestOrderTakenOnceOverARestart(t *testing.T) {
	withOrders(t, func(t *testing.T, r *rig, c *chancery) {
		b := c.order(t, r, 3, wire.OrderPause, c.centre, nil)
		if _, err := r.Order(b); err != nil {
			t.Fatal(err)
		}
		for _, test := range []struct {
			name  string
			spoil func(file string) error
		}{
			{"as it was", func(string) error { return nil }},
			{"a book that is gone", os.Remove},
			{"a book that is damaged", func(f string) error { return os.WriteFile(f, []byte("{"), 0o600) }},
			{"a book of a later release", func(f string) error { return os.WriteFile(f, []byte(`{"v":2}`), 0o600) }},
		} {
			if err := test.spoil(r.orders.file); err != nil {
				t.Fatal(err)
			}
			r.remake(t)
			if _, err := r.Order(c.order(t, r, 3, wire.OrderStatus, c.centre, nil)); !errors.Is(err, errRefused) {
				t.Errorf("%s: number 3 is taken twice: %v", test.name, err)
			}
			if causes := r.Gate(); len(causes) == 0 || causes[len(causes)-1].Code != "paused" {
				t.Errorf("%s: the pause is forgotten: %v", test.name, causes)
			}
		}
	})
}

// TestInterruptedOrderIsAnswered cuts the power behind the taking of the number, and
// behind the answer.
// TestOrdersRunOnceWhateverComes has orders of two signers come twice, late, in another
// order, at once, over restarts, and again with an order book and a folder that come
// back from a backup. Each is executed once at most, and never after a later one.
func TestOrdersRunOnceWhateverComes(t *testing.T) {
	withOrders(t, func(t *testing.T, r *rig, c *chancery) {
		path := filepath.Join(r.config.Device.Dir, "orders.json")
		var ran []string
		r.o.Diagnostics = func() ([]byte, string, error) {
			ran = append(ran, "diagnostics")
			return []byte("all is well"), "text/plain", nil
		}
		r.remake(t)
		done := func() (n int) {
			for _, s := range r.records(t) {
				if a := s.Record.ActOf(); a != nil && a.Signer != nil && a.Outcome == outcomeDone {
					n++
				}
			}
			return n
		}
		order := func(n uint64) []byte { return c.order(t, r, n, wire.OrderDiagnostics, c.centre, nil) }
		// Sealed now, so that the window of each is the same: one is as good as another.
		var all [][]byte
		for n := range uint64(8) {
			all = append(all, order(n+1))
		}
		seal := c.order(t, r, 3, wire.OrderReopen, c.officer, nil)
		r.start(t)
		backup := func() []byte {
			t.Helper()
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			return text
		}
		give := func(orders ...[]byte) {
			t.Helper()
			for _, b := range orders {
				r.orders.receive(b)
				time.Sleep(time.Second)
				synctest.Wait()
			}
		}
		expect := func(moment string, diagnostics, acts int) {
			t.Helper()
			if n := done(); len(ran) != diagnostics || n != acts {
				t.Errorf("%s: %d executed, %d answered as done; want %d and %d", moment, len(ran), n, diagnostics, acts)
			}
		}
		again := func() {
			t.Helper()
			r.end(t)
			r.remake(t)
			r.start(t)
		}
		give(all[0], all[0], all[0])
		expect("one order three times", 1, 1)
		old := backup()
		give(all[3], all[1], all[2], all[3])
		expect("later ones first", 2, 2)
		give(seal, seal)
		expect("another signer's, whose numbers are its own", 2, 3)
		again()
		give(all[0], all[3], all[2], seal)
		expect("all again after a restart", 2, 3)
		var work sync.WaitGroup
		for range 4 {
			work.Go(func() { r.Order(all[4]) })
		}
		work.Wait()
		expect("four at once", 3, 4)
		r.end(t)
		if err := os.WriteFile(path, old, 0o600); err != nil { // of when one order was taken
			t.Fatal(err)
		}
		r.remake(t)
		r.start(t)
		give(all[0], all[1], all[3], all[4], seal)
		expect("with an order book from a backup", 3, 4)
		r.end(t)
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		r.remake(t)
		r.start(t)
		give(all[4], all[2], seal)
		expect("without an order book", 3, 4)
		give(all[6], all[5], all[7])
		expect("new ones after all that", 5, 6)
		r.end(t)
	})
}

func TestInterruptedOrderIsAnswered(t *testing.T) {
	withOrders(t, func(t *testing.T, r *rig, c *chancery) {
		order := &wire.Order{Device: r.id, Number: 9, Kind: wire.OrderPause}
		if err := r.orders.open(evidence.Hash{1}, order, c.centre.KeyID(), "centre"); err != nil {
			t.Fatal(err)
		}
		r.remake(t)
		if err := r.recorder.begin(); err != nil {
			t.Fatal(err)
		}
		var found int
		for _, s := range r.records(t) {
			if a := s.Record.ActOf(); a != nil && a.Number == 9 {
				found++
				if a.Outcome != "failed" || a.New != "interrupted" || *a.Signer != c.centre.KeyID() {
					t.Errorf("%+v", a)
				}
			}
		}
		if found != 1 {
			t.Fatalf("%d answers, want 1", found)
		}
		// The record goes by retention one day, and must not be made anew then.
		if book, err := readOrderBook(r.orders.file); err != nil || book.Open != nil || book.number(c.centre.KeyID()) != 9 {
			t.Errorf("the book has %+v, %v", book, err)
		}
		r.remake(t)
		if err := r.recorder.begin(); err != nil {
			t.Fatal(err)
		}
		for _, s := range r.records(t) {
			if a := s.Record.ActOf(); a != nil && a.Number == 9 {
				found++
			}
		}
		if found != 2 {
			t.Errorf("%d answers after another start, want 1", found-1)
		}
	})
}

func TestRefusalsDoNotFillTheChain(t *testing.T) {
	withOrders(t, func(t *testing.T, r *rig, c *chancery) {
		forged := func(i int) []byte { return c.order(t, r, uint64(i+1), wire.OrderPause, c.mallory, nil) }
		first := forged(0)
		for range 100 {
			r.Order(first)
		}
		if n := len(r.records(t)); n != 1 {
			t.Errorf("one forged order a hundred times made %d records, want 1", n)
		}
		for i := range 200 {
			r.Order(forged(i))
		}
		if n := len(r.records(t)); n != refusalBurst {
			t.Errorf("200 forged orders made %d records, want %d", n, refusalBurst)
		}
		time.Sleep(refusalEvery)
		r.Order(forged(1000))
		if words := fmt.Sprint(r.last(t).Body[1]); len(r.records(t)) != refusalBurst+1 || !strings.Contains(words, "192 more were refused") {
			t.Errorf("%d records, the last says %q", len(r.records(t)), words)
		}
		time.Sleep(10 * 24 * time.Hour)
		before := len(r.records(t))
		for i := range 100 {
			r.Order(forged(2000 + i))
		}
		if n := len(r.records(t)) - before; n != refusalBurst {
			t.Errorf("after ten days: %d records, want %d", n, refusalBurst)
		}
	})
}

func TestPauseHoldsAndEnds(t *testing.T) {
	withOrders(t, func(t *testing.T, r *rig, c *chancery) {
		r.start(t)
		if out := r.pass(speeding()); out.Record == nil {
			t.Fatalf("not recorded before the pause: %+v", out)
		}
		if _, err := r.Order(c.order(t, r, 1, wire.OrderPause, c.centre, nil)); err != nil {
			t.Fatal(err)
		}
		if out := r.pass(speeding()); out.Record != nil {
			t.Error("recorded during a pause")
		}
		if a := r.last(t).ActOf(); a == nil || a.Code != "pause" || a.Old != notPaused {
			t.Errorf("%+v", a)
		}
		time.Sleep(6 * time.Hour)
		synctest.Wait()
		if out := r.pass(speeding()); out.Record == nil {
			t.Errorf("not recorded after the pause: %v", r.Gate())
		}
		ended := false
		for _, s := range r.records(t) {
			if a := s.Record.ActOf(); a != nil && a.Code == "pause" && a.Outcome == "ended" {
				ended = true
			}
		}
		if !ended {
			t.Error("the end of the pause is not in the chain")
		}
		if _, err := r.Order(c.order(t, r, 2, wire.OrderPause, c.centre, nil)); err != nil {
			t.Fatal(err)
		}
		if _, err := r.Order(c.order(t, r, 3, wire.OrderResume, c.centre, nil)); err != nil {
			t.Fatal(err)
		}
		if out := r.pass(speeding()); out.Record == nil {
			t.Errorf("not recorded after it was resumed: %v", r.Gate())
		}
		r.end(t)
	})
}

// TestOrderNotExecutedUnrecorded fails what must be written before anything is done.
func TestOrderNotExecutedUnrecorded(t *testing.T) {
	withOrders(t, func(t *testing.T, r *rig, c *chancery) {
		r.orders.file = t.TempDir() + "/no/such/folder/orders.json"
		if act, err := r.Order(c.order(t, r, 1, wire.OrderPause, c.centre, nil)); !errors.Is(err, errRefused) || act.New != refusedStore {
			t.Errorf("%+v, %v", act, err)
		}
		for _, cause := range r.Gate() {
			if cause.Code == "paused" {
				t.Error("paused, though it would be forgotten")
			}
		}
	})
}

// TestAnswerWaitsForRoom executes an order whose answer cannot be recorded, and
// takes no other before it is.
func TestAnswerWaitsForRoom(t *testing.T) {
	withOrders(t, func(t *testing.T, r *rig, c *chancery) {
		key := &moodySigner{Signer: r.recorder.signer}
		r.recorder.signer = key
		key.failing.Store(true)
		if act, err := r.Order(c.order(t, r, 1, wire.OrderPause, c.centre, nil)); err != nil || act.Outcome != "done" {
			t.Fatalf("%+v, %v", act, err)
		}
		if _, err := r.Order(c.order(t, r, 2, wire.OrderStatus, c.centre, nil)); !errors.Is(err, errRefused) {
			t.Errorf("taken, with an answer unsaid: %v", err)
		}
		key.failing.Store(false)
		r.orders.catchUp()
		if a := r.last(t).ActOf(); a == nil || a.Number != 1 || r.orders.book.Open != nil {
			t.Errorf("%+v, open %+v", a, r.orders.book.Open)
		}
		if _, err := r.Order(c.order(t, r, 2, wire.OrderStatus, c.centre, nil)); err != nil {
			t.Error(err)
		}
	})
}

func TestResendNeedsRecords(t *testing.T) {
	withOrders(t, func(t *testing.T, r *rig, c *chancery) {
		if err := r.recorder.begin(); err != nil {
			t.Fatal(err)
		}
		for i, test := range []struct {
			name     string
			from, to uint64
			outcome  string
			new      string
		}{
			{"what is there", 1, 2, "done", "2 of 2 records"},
			{"some of it", 2, 100, "done", "3 of 99 records"},
			{"none of it", 50, 60, "failed", "0 of 11 records"},
			{"more than may wait", 1, uplink.MaxWanted + 1, "failed", ""},
		} {
			act, err := r.Order(c.order(t, r, uint64(i+1), wire.OrderResend, c.centre, func(o *wire.Order) { o.From, o.To = test.from, test.to }))
			if err != nil || act.Outcome != test.outcome || act.New != test.new {
				t.Errorf("%s: %+v, %v", test.name, act, err)
			}
		}
	})
}

func FuzzOrderBook(f *testing.F) {
	f.Add([]byte(`{"v":1,"signers":[{"signer":"` + strings.Repeat("0", 64) + `","number":3}],"recent":[]}`))
	f.Add([]byte(`{"v":1,"open":{"signer":"00","number":3,"kind":"pause","role":"centre"}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		file := t.TempDir() + "/orders.json"
		if err := os.WriteFile(file, b, 0o600); err != nil {
			t.Fatal(err)
		}
		book, err := readOrderBook(file)
		if err != nil {
			return
		}
		for _, s := range book.Signers {
			if len(s.Signer) != 64 || s.Number == 0 || bytes.ContainsAny([]byte(s.Signer), "\n") {
				t.Errorf("taken: %+v", s)
			}
		}
	})
}

// TestConsoleOrderIsHandedInOnce hands orders in at the console, where anybody may.
func TestConsoleOrderIsHandedInOnce(t *testing.T) {
	withOrders(t, func(t *testing.T, r *rig, c *chancery) {
		r.start(t)
		good := c.order(t, r, 5, wire.OrderConsole, c.officer, nil)
		for _, test := range []struct {
			name, outcome, reason string // reason of a refusal
			take                  func([]byte) (evidence.Act, error)
			order                 []byte
			recorded              bool
		}{
			{"anything, by anybody", "refused", "malformed", r.ConsoleOrder, []byte("let me in"), false},
			{"signed by nobody", "refused", "signer", r.ConsoleOrder, c.order(t, r, 5, wire.OrderConsole, c.mallory, nil), false},
			{"signed by the centre", "refused", "role", r.ConsoleOrder, c.order(t, r, 5, wire.OrderConsole, c.centre, nil), true},
			{"over the network: its number is not taken", "refused", "place", r.Order, good, true},
			{"at the console", "done", "", r.ConsoleOrder, good, true},
			{"again", "refused", "number", r.ConsoleOrder, good, false}, // the record of the refusal before is its
			{"another order of the officer", "refused", "place", r.ConsoleOrder, c.order(t, r, 6, wire.OrderReopen, c.officer, nil), true},
			{"of another device", "refused", "device", r.ConsoleOrder, c.order(t, r, 7, wire.OrderConsole, c.officer, func(o *wire.Order) { o.Device[0] ^= 1 }), true},
		} {
			before := len(r.records(t))
			act, err := test.take(test.order)
			if act.Outcome != test.outcome || test.outcome == "refused" && act.New != test.reason || (err != nil) != (test.outcome == "refused") {
				t.Errorf("%s: %+v, %v", test.name, act, err)
			}
			if got := len(r.records(t)) - before; (got == 1) != test.recorded || got > 1 {
				t.Errorf("%s: %d records", test.name, got)
			}
			if a := r.last(t).ActOf(); test.outcome == "done" && (a == nil || a.Code != "console" || a.Role != "officer" || a.Number != 5) {
				t.Errorf("%s: record %+v", test.name, a)
			}
		}
		r.end(t)
	})
}
