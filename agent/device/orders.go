package device

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"ciglio/capture/evidence"
	"ciglio/internal/durable"
	"ciglio/sensor"
	"ciglio/uplink"
	"ciglio/uplink/outbox"
	"ciglio/uplink/wire"
)

// This file executes what the centre, or an officer, orders. Each order is verified,
// taken once by its number, executed and answered by a record of the chain; so is one
// that is refused, at a bounded rate. Nothing here can change a speed, a limit, a
// rule or a key: there is no such order, see [wire.OrderKinds].

// Why an order is refused, as its record says it in act new.
const (
	refusedMalformed = "malformed" // not an order of this release
	refusedKind      = "kind"      // asks for what no device does
	refusedSigner    = "signer"    // no key of the register that may sign it, or a wrong signature
	refusedRole      = "role"      // the signer's office may not order it
	refusedDevice    = "device"    // for another device
	refusedNumber    = "number"    // the signer's number has been taken by another order
	refusedEarly     = "not_yet"   // before its first second, as far as the clock tells
	refusedLate      = "expired"   // after its last second, as far as the clock tells
	refusedClock     = "clock"     // the clock cannot tell
	refusedPlace     = "place"     // it is handed in at the console, or nowhere but there
	refusedStore     = "store"     // what must not be forgotten cannot be written down
)

// How many records refused orders may make: a burst, then one in a while. More of
// them are counted, and the next record says how many.
const (
	refusalBurst = 8
	refusalEvery = 30 * time.Minute
)

// maxSigners is how many keys an order book remembers; maxSeen how many orders, by
// their hashes, that came before and are no news.
const maxSigners, maxSeen = 256, 256

// waitingOrders is how many orders wait to be verified. More are dropped: whoever
// sent them sends them again.
const waitingOrders = 8

// errRefused is what a refused order gives to who brought it.
var errRefused = errors.New("order refused")

// orders executes orders. It is safe for concurrent use.
type orders struct {
	d        *Device
	file     string
	incoming chan []byte
	log      *slog.Logger

	// paused is the pause of the book, or nil once it is over. The gate asks for it
	// within a transaction of the store, which the holder of mu may wait for.
	paused atomic.Pointer[pause]

	mu      sync.Mutex
	book    orderBook
	unsaid  []note          // answers that are not on flash yet
	seen    []evidence.Hash // of orders that were refused or came again, the newest last
	tokens  int             // records that refusals may still make
	refill  sensor.Mono     // instant at which the next one is due
	silence int             // refusals that made no record since the last that did
	do      map[wire.OrderKind]func(*wire.Order, *evidence.Act) (string, error)
}

// orderBook is what a device must not forget of its orders.
type orderBook struct {
	Version int        `json:"v"` // 1
	Signers []taken    `json:"signers"`
	Recent  []string   `json:"recent"` // SHA-256 of the orders taken last, in hexadecimal
	Open    *openOrder `json:"open,omitempty"`
	Pause   *pause     `json:"pause,omitempty"`
}

// taken is the highest number that was taken of a signer.
type taken struct {
	Signer string `json:"signer"` // key id, in hexadecimal
	Number uint64 `json:"number"`
}

// openOrder is an order that was taken and whose answer is not known to be on flash.
type openOrder struct {
	taken
	Kind string `json:"kind"`
	Role string `json:"role"`
}

// pause is a pause of enforcement.
type pause struct {
	Until  time.Time `json:"until"`
	Reason string    `json:"reason"`
	By     string    `json:"by"`
}

// newOrders reads the order book. What the chain says of orders counts as well: it
// stands in the place of a book that cannot be read, and knows of more than one that
// came back from a backup. deeds are to be recorded at the start.
func newOrders(d *Device) (o *orders, deeds []Deed) {
	o = &orders{
		d: d, file: filepath.Join(d.o.Config.Device.Dir, "orders.json"), incoming: make(chan []byte, waitingOrders), log: d.o.Log,
		tokens: refusalBurst, refill: d.o.Clock.Now().Add(refusalEvery),
	}
	o.do = map[wire.OrderKind]func(*wire.Order, *evidence.Act) (string, error){
		wire.OrderStatus: o.status, wire.OrderDiagnostics: o.diagnostics, wire.OrderResend: o.resend,
		wire.OrderPause: o.pause, wire.OrderResume: o.resume,
		wire.OrderReopen: d.reopen, wire.OrderExport: hook(d.o.Export),
		wire.OrderConsole: o.console,
	}
	book, err := readOrderBook(o.file)
	if err != nil {
		if !errors.Is(err, os.ErrNotExist) {
			o.log.Warn("order book lost: read again from the chain", "file", o.file, "error", err)
		}
		book = orderBook{Version: 1}
		eachAct(d.o.Outbox, book.recall)
	} else {
		eachAct(d.o.Outbox, func(a *evidence.Act) {
			if a.Signer != nil && a.Number > book.number(*a.Signer) {
				book.recall(a)
			}
		})
	}
	o.book = book
	o.paused.Store(book.Pause)
	if open := book.Open; open != nil {
		o.book.Open = nil
		if !answered(d.o.Outbox, open.taken) {
			kid, _ := evidence.ParseHash(open.Signer) // which readOrderBook has read
			deeds = append(deeds, Deed{
				What: fmt.Sprintf("order %d, %s: whether it was executed is not known, as the device was interrupted", open.Number, open.Kind),
				Act: evidence.Act{Actor: actor(open.Role, kid), Role: open.Role, Code: open.Kind, Outcome: outcomeFailed,
					New: "interrupted", Signer: &kid, Number: open.Number},
				Noted: o.forget,
			})
		} else {
			o.forget()
		}
	}
	return o, deeds
}

// forget writes the book down without the order that a start found open and whose
// answer is on flash: once retention has taken that answer, another start would
// answer it anew.
func (o *orders) forget() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if err := o.save(); err != nil {
		o.log.Error("order book not written", "error", err)
	}
}

// hook returns what executes an order in another part of the device; it is refused
// where that part is not there.
func hook(do func(*wire.Order, *evidence.Act) (string, error)) func(*wire.Order, *evidence.Act) (string, error) {
	if do == nil {
		return func(*wire.Order, *evidence.Act) (string, error) {
			return "", errors.New("this device has no part that can do it")
		}
	}
	return do
}

func readOrderBook(file string) (b orderBook, err error) {
	text, err := durable.ReadAtMost(file, 1<<20)
	if err != nil {
		return b, err
	}
	if err := json.Unmarshal(text, &b); err != nil {
		return b, err
	}
	if b.Version != 1 {
		return b, fmt.Errorf("version %d, want 1", b.Version)
	}
	signers := b.Signers
	if b.Open != nil {
		signers = append(slices.Clone(signers), b.Open.taken)
	}
	for _, t := range signers {
		if _, err := evidence.ParseHash(t.Signer); err != nil || t.Number == 0 {
			return b, fmt.Errorf("signer %.80q number %d", t.Signer, t.Number)
		}
	}
	return b, nil
}

// recall takes into the book what an act of the chain says of an order.
func (b *orderBook) recall(a *evidence.Act) {
	if a.Signer == nil || a.Outcome == outcomeRefused || !isOrder(a.Code) {
		return
	}
	b.take(*a.Signer, a.Number)
	switch until, err := time.Parse(time.RFC3339, a.New); {
	case a.Code == string(wire.OrderPause) && a.Outcome == outcomeDone && err == nil:
		b.Pause = &pause{Until: until, Reason: a.Subject, By: a.Actor}
	case a.Code == string(wire.OrderResume) && a.Outcome == outcomeDone:
		b.Pause = nil
	}
}

func isOrder(code string) bool { return slices.Contains(wire.OrderKinds(), wire.OrderKind(code)) }

// number is the highest number that was taken of a signer; 0 for none.
func (b *orderBook) number(signer evidence.Hash) uint64 {
	for _, t := range b.Signers {
		if t.Signer == signer.String() {
			return t.Number
		}
	}
	return 0
}

func (b *orderBook) take(signer evidence.Hash, number uint64) {
	for i := range b.Signers {
		if b.Signers[i].Signer == signer.String() {
			b.Signers[i].Number = max(b.Signers[i].Number, number)
			return
		}
	}
	b.Signers = append(b.Signers, taken{signer.String(), number})
}

// eachAct calls do for each act in the store, in the order of the chain.
func eachAct(store *outbox.Outbox, do func(*evidence.Act)) {
	for i, err := range store.All(uplink.Key{}) {
		if err != nil {
			return
		}
		if i.Kind != evidence.KindOperator && i.Kind != evidence.KindSelfTest {
			continue
		}
		if sealed, err := opened(store, i.Key); err == nil && sealed.Record.ActOf() != nil {
			do(sealed.Record.ActOf())
		}
	}
}

// answered reports whether a record of the store is the answer to an order.
func answered(store *outbox.Outbox, order taken) (found bool) {
	eachAct(store, func(a *evidence.Act) {
		found = found || a.Signer != nil && a.Signer.String() == order.Signer && a.Number == order.Number && a.Outcome != outcomeRefused
	})
	return found
}

// save writes the book down.
func (o *orders) save() error {
	text, err := json.Marshal(o.book)
	if err != nil {
		return err
	}
	return durable.WriteFile(o.file, text, 0o600)
}

// receive takes what came over the network. It never waits.
func (o *orders) receive(b []byte) {
	select {
	case o.incoming <- b:
	default:
	}
}

// run executes what is received, until ctx ends.
func (o *orders) run(ctx context.Context) error {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case b := <-o.incoming:
			if _, err := o.d.Order(b); err != nil {
				o.log.Warn("order not executed", "error", err)
			}
		case <-tick.C:
			o.catchUp()
		}
	}
}

// catchUp records what could not be recorded when it happened, and the end of a
// pause.
func (o *orders) catchUp() {
	o.mu.Lock()
	defer o.mu.Unlock()
	_, utc := o.d.o.Clock.Pair()
	if p := o.paused.Load(); p != nil && !utc.Before(p.Until) {
		o.book.Pause = nil
		o.paused.Store(nil)
		o.unsaid = append(o.unsaid, note{evidence.KindOperator, operatorBody("the pause of enforcement is over",
			evidence.Act{Actor: itself, Role: itself, Code: string(wire.OrderPause), Subject: p.Reason, Old: p.Until.Format(time.RFC3339), Outcome: "ended"})})
		if err := o.save(); err != nil {
			o.log.Error("order book not written", "error", err)
		}
		o.log.Info("pause of enforcement is over")
	}
	o.say()
}

// say records what could not be recorded before.
func (o *orders) say() {
	for len(o.unsaid) > 0 {
		if o.d.recorder.note(o.unsaid[0].kind, o.unsaid[0].body) != nil {
			return // the gate says why
		}
		o.unsaid = o.unsaid[1:]
	}
	if o.book.Open != nil {
		o.closeOrder()
	}
}

// closeOrder forgets the open order: its answer is on flash.
func (o *orders) closeOrder() {
	o.book.Open = nil
	if err := o.save(); err != nil {
		o.log.Error("order book not written", "error", err)
	}
}

// words says by whom and until when enforcement is paused at a time, and why; "" when
// it is not.
func (o *orders) words(at time.Time) string {
	p := o.paused.Load()
	if p == nil || !at.Before(p.Until) {
		return ""
	}
	return fmt.Sprintf("by %s until %s: %s", p.By, p.Until.Format(time.RFC3339), p.Reason)
}

// Order verifies an order and executes it, wherever it comes from, and returns the
// act that answers it. An order that was taken before gives the zero act and no
// error. One that is refused gives an error with its reason. It returns when the
// answer is on flash, or is kept to be written when there is room.
func (d *Device) Order(b []byte) (evidence.Act, error) { return d.orders.take(b, false) }

// ConsoleOrder is Order for what somebody hands in at the console: the one order that
// lets an officer in, and none beside it. The same order again is refused. What no key
// of the register has signed leaves no record: anybody may hand that in.
func (d *Device) ConsoleOrder(b []byte) (evidence.Act, error) { return d.orders.take(b, true) }

// take verifies an order and executes it.
func (o *orders) take(b []byte, console bool) (evidence.Act, error) {
	d := o.d
	o.mu.Lock()
	defer o.mu.Unlock()
	hash := evidence.Hash(sha256.Sum256(b))
	known := !console // who asks
	refuse := func(a evidence.Act, reason string, err error) (evidence.Act, error) {
		a.Outcome, a.New = outcomeRefused, reason
		if known {
			o.refuse(hash, a, err)
		}
		return a, fmt.Errorf("%w: %s: %w", errRefused, reason, err)
	}
	a := evidence.Act{Actor: "unknown", Role: "unknown", Code: "order"}
	sealed, err := wire.OpenOrder(b)
	if err != nil {
		return refuse(a, refusedMalformed, err)
	}
	_, utc := d.o.Clock.Pair()
	public, entry, err := d.o.Trust.OrderKey(sealed.KeyID, utc)
	if err == nil {
		err = sealed.Verify(public)
	}
	if err != nil {
		return refuse(a, refusedSigner, err)
	}
	known = true
	a.Role, a.Actor = entry.Role.String(), actor(entry.Role.String(), sealed.KeyID)
	order, err := sealed.Order()
	if errors.Is(err, wire.ErrOrderKind) {
		return refuse(a, refusedKind, err)
	} else if err != nil {
		return refuse(a, refusedMalformed, err)
	}
	if order.Device != d.id {
		return refuse(a, refusedDevice, fmt.Errorf("for device %v", order.Device))
	}
	a.Code, a.Signer, a.Number = string(order.Kind), &sealed.KeyID, order.Number
	if entry.Role != order.Kind.Role() {
		return refuse(a, refusedRole, fmt.Errorf("%s is ordered by %v, not by %v", order.Kind, order.Kind.Role(), entry.Role))
	}
	if console != (order.Kind == wire.OrderConsole) {
		return refuse(a, refusedPlace, fmt.Errorf("%s: handed in at the console is an order console, and nowhere else", order.Kind))
	}
	if !console && slices.Contains(o.book.Recent, hash.String()) {
		return evidence.Act{}, nil
	}
	if last := o.book.number(sealed.KeyID); order.Number <= last {
		return refuse(a, refusedNumber, fmt.Errorf("number %d, and %d was taken", order.Number, last))
	}
	if reason, err := o.inTime(order); err != nil {
		return refuse(a, reason, err)
	}
	if o.say(); len(o.unsaid) > 0 {
		return refuse(a, refusedStore, errors.New("what was executed before cannot be recorded"))
	}
	if err := o.open(hash, order, sealed.KeyID, a.Role); err != nil {
		return refuse(a, refusedStore, err)
	}
	return o.execute(order, a), nil
}

// actor names the holder of a key as the journal does.
func actor(role string, kid evidence.Hash) string { return role + " " + kid.String()[:8] }

// inTime says why an order may not be executed now. What the clock cannot vouch for
// is not in time.
func (o *orders) inTime(order *wire.Order) (reason string, err error) {
	state, err := o.d.o.Clock.State()
	if err == nil && !state.Synchronised && state.LockAge == 0 {
		err = errors.New("the clock was never synchronised")
	}
	if err != nil {
		return refusedClock, err
	}
	const drift = 10_000 // the inverse: what a clock that nobody steers gains, 100 ppm
	off := state.Bound()
	if !state.Synchronised {
		off += state.LockAge / drift
	}
	_, utc := o.d.o.Clock.Pair()
	switch {
	case utc.Add(-off).Before(order.NotBefore):
		return refusedEarly, fmt.Errorf("from %s on, it is %s ± %v", order.NotBefore.Format(time.RFC3339), utc.Format(time.RFC3339), off)
	case !utc.Add(off).Before(order.NotAfter.Add(time.Second)):
		return refusedLate, fmt.Errorf("until %s, it is %s ± %v", order.NotAfter.Format(time.RFC3339), utc.Format(time.RFC3339), off)
	}
	return "", nil
}

// open takes the number of an order, durably, before anything of it is done.
func (o *orders) open(hash evidence.Hash, order *wire.Order, signer evidence.Hash, role string) error {
	before := o.book
	o.book.Signers = slices.Clone(before.Signers)
	o.book.take(signer, order.Number)
	if len(o.book.Signers) > maxSigners {
		o.book = before
		return fmt.Errorf("orders of %d keys are remembered", maxSigners)
	}
	o.book.Recent = append(slices.Clone(before.Recent), hash.String())
	o.book.Recent = o.book.Recent[max(0, len(o.book.Recent)-maxSeen):]
	o.book.Open = &openOrder{taken{signer.String(), order.Number}, string(order.Kind), role}
	if err := o.save(); err != nil {
		o.book = before
		return err
	}
	return nil
}

// execute does what is ordered and records the answer.
func (o *orders) execute(order *wire.Order, a evidence.Act) evidence.Act {
	var answer note
	if order.Kind == wire.OrderSelfTest {
		findings := o.d.faults.retest()
		a.Outcome = outcomeOf(findings)
		answer = note{evidence.KindSelfTest, selfTestBody(findings).WithAct(&a)}
	} else {
		words, err := o.do[order.Kind](order, &a)
		a.Outcome = outcomeDone
		if err != nil {
			a.Outcome, words = outcomeFailed, fmt.Sprintf("failed: %v", err)
		}
		if words != "" {
			words = ": " + words
		}
		answer = note{evidence.KindOperator, operatorBody(fmt.Sprintf("order %d: %v%s", order.Number, order, words), a)}
	}
	o.log.Info("order executed", "kind", string(order.Kind), "number", order.Number, "by", a.Actor, "outcome", a.Outcome)
	if err := o.d.recorder.note(answer.kind, answer.body); err != nil {
		o.log.Error("answer to an order not recorded yet", "error", err)
		o.unsaid = append(o.unsaid, answer)
		return a
	}
	o.closeOrder()
	return a
}

// refuse records a refusal, unless the same order was refused before or too many
// were.
func (o *orders) refuse(hash evidence.Hash, a evidence.Act, err error) {
	if slices.Contains(o.seen, hash) {
		return
	}
	o.seen = append(o.seen, hash)
	o.seen = o.seen[max(0, len(o.seen)-maxSeen):]
	now := o.d.o.Clock.Now()
	for ; now >= o.refill && o.tokens < refusalBurst; o.refill = o.refill.Add(refusalEvery) {
		o.tokens++
	}
	if o.tokens == refusalBurst {
		o.refill = max(o.refill, now.Add(refusalEvery))
	}
	if o.tokens == 0 {
		o.silence++
		return
	}
	o.tokens--
	words := fmt.Sprintf("order refused: %v", err)
	if o.silence > 0 {
		words = fmt.Sprintf("%s; %d more were refused before it without a record", words, o.silence)
	}
	if o.d.recorder.note(evidence.KindOperator, operatorBody(words, a)) == nil {
		o.silence = 0
	} else {
		o.silence++
	}
}

func (o *orders) status(_ *wire.Order, a *evidence.Act) (string, error) {
	h := o.d.health()
	_, utc := o.d.o.Clock.Pair()
	h.Head, h.Boot, h.Sequence = wire.Head{V: 1, Device: wire.Device(o.d.id), UTC: utc.UTC()}, wire.BootID(o.d.o.Boot), 1
	b, err := json.Marshal(h)
	if err != nil {
		return "", err
	}
	return "", answerWith(a, b, "application/json")
}

// answerWith puts an answer into an act, if it has the size of one.
func answerWith(a *evidence.Act, b []byte, media string) error {
	if len(b) == 0 || len(b) > evidence.MaxAnswer {
		return fmt.Errorf("an answer of %d bytes, want 1 to %d", len(b), evidence.MaxAnswer)
	}
	a.Answer, a.Media = b, media
	return nil
}

func (o *orders) diagnostics(_ *wire.Order, a *evidence.Act) (string, error) {
	if o.d.o.Diagnostics == nil {
		return "", errors.New("this device has nothing that collects them")
	}
	b, media, err := o.d.o.Diagnostics()
	if err != nil {
		return "", err
	}
	return "", answerWith(a, b, media)
}

func (o *orders) resend(order *wire.Order, a *evidence.Act) (string, error) {
	if order.To-order.From >= uplink.MaxWanted {
		return "", fmt.Errorf("at most %d records at once", uplink.MaxWanted)
	}
	var items []uplink.Item
	for i, err := range o.d.o.Outbox.All(uplink.Key{Epoch: order.Epoch, Seq: order.From - 1}) {
		if err != nil {
			return "", err
		}
		if i.Epoch != order.Epoch || i.Seq > order.To {
			break
		}
		if i.Kind != 0 {
			items = append(items, i.Item)
		}
	}
	a.Subject = wire.Numbers{Epoch: order.Epoch, From: order.From, To: order.To}.String()
	a.New = fmt.Sprintf("%d of %d records", len(items), order.To-order.From+1)
	if len(items) == 0 {
		return "", errors.New("none of these records is in the store")
	}
	return a.New + " go again", o.d.sender.Resend(items)
}

func (o *orders) pause(order *wire.Order, a *evidence.Act) (string, error) {
	p := &pause{Until: order.Until, Reason: order.Reason, By: a.Actor}
	a.Subject, a.Old, a.New = order.Reason, o.pauseWords(), order.Until.Format(time.RFC3339)
	return "", o.setPause(p)
}

// console lets an officer in. The session itself is the console's.
func (o *orders) console(order *wire.Order, a *evidence.Act) (string, error) {
	a.Subject = order.Reason
	return "", nil
}

func (o *orders) resume(_ *wire.Order, a *evidence.Act) (string, error) {
	a.Old, a.New = o.pauseWords(), notPaused
	return "", o.setPause(nil)
}

const notPaused = "not paused"

func (o *orders) pauseWords() string {
	if p := o.paused.Load(); p != nil {
		return p.Until.Format(time.RFC3339)
	}
	return notPaused
}

// setPause begins or ends a pause, durably, and lets the gate look again.
func (o *orders) setPause(p *pause) error {
	before := o.book.Pause
	o.book.Pause = p
	if err := o.save(); err != nil {
		o.book.Pause = before
		return err
	}
	o.paused.Store(p)
	o.d.gate.look()
	return nil
}
