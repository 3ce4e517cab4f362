package provision

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"ciglio/agent/stick"
	"ciglio/agent/stick/helper"
	"ciglio/capture/evidence"
	p "ciglio/internal/provisioning"
	"ciglio/uplink/wire"
)

// Limits of what is read off one stick.
const (
	maxFiles = 16
	maxBytes = 80 << 20
)

// A Signal is what the lights show.
type Signal int

// The signals.
const (
	Idle Signal = iota // no stick, or nothing to say of it
	Busy               // do not pull it out
	Good               // all that it brought is in force, or was before
	Bad                // nothing of it is in force, there was no bundle on it, or something on it was not read or executed
)

// Sticks is where sticks come from: [helper.Client].
type Sticks interface {
	Next(ctx context.Context) (name, kind string, err error)
	List(ctx context.Context) ([]stick.Entry, error)
	Read(ctx context.Context, name string, limit int64) ([]byte, error)
	Put(ctx context.Context, name string, content []byte) error
	Release(ctx context.Context) error
	Close() error
}

// StationOptions is what a station works with. Every field but Order, Leave and Show
// is needed.
type StationOptions struct {
	Store   *Store
	Device  evidence.DeviceID
	Signer  evidence.Signer // of receipts
	Connect func(ctx context.Context) (Sticks, error)
	// Restart makes the device end and start with what was installed. It returns nil
	// once it has started, and why it was taken back otherwise.
	Restart func(ctx context.Context) error
	// Note puts an act into the chain. An error says that no device runs, or that it is
	// not on flash.
	Note func(words string, act evidence.Act) error
	// Order executes a signed order on the device that runs, and returns the act that
	// answers it, the zero act when it was executed before. What it gives out goes to the
	// stick by put, while the call lasts. nil where no orders are taken from sticks.
	Order func(order []byte, put Put) (evidence.Act, error)
	// Leave returns what each stick takes away beside its receipt; nil for nothing.
	Leave func() []Named
	Show  func(Signal) // nil for no lights. It must not wait
	Log   *slog.Logger
}

// A Station takes one stick after the other.
type Station struct {
	o StationOptions

	mu  sync.Mutex
	now Now
}

// NewStation returns a station. It starts nothing.
func NewStation(o StationOptions) *Station {
	if o.Show == nil {
		o.Show = func(Signal) {}
	}
	s := &Station{o: o}
	s.turn(Away, "")
	return s
}

// Run takes sticks until ctx ends. A helper that is not there, or goes, is tried
// again: a device must measure without one, too.
func (s *Station) Run(ctx context.Context) error {
	const again = 5 * time.Second
	defer s.o.Show(Idle)
	for told := ""; ctx.Err() == nil; {
		sticks, err := s.o.Connect(ctx)
		if err == nil {
			told = ""
			s.turn(Waiting, "")
			err = s.serve(ctx, sticks)
			sticks.Close()
		}
		if ctx.Err() != nil {
			break
		}
		s.turn(Away, err.Error())
		if err.Error() != told {
			told = err.Error()
			s.o.Log.Warn("no sticks are taken", "error", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(again):
		}
	}
	return ctx.Err()
}

func (s *Station) serve(ctx context.Context, sticks Sticks) error {
	for {
		name, _, err := sticks.Next(ctx)
		var own *helper.Error
		switch {
		case err != nil && !errors.As(err, &own):
			return err
		case name == "":
			s.turn(Waiting, "")
			s.o.Show(Idle)
			continue
		}
		s.turn(Reading, "")
		s.o.Show(Busy)
		r := s.visit(ctx, name, sticks, err)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		s.finished(&r)
		s.turn(Done, "")
		if !r.Good() {
			s.o.Show(Bad)
		} else {
			s.o.Show(Good)
		}
	}
}

// Good reports whether all that a stick brought is in force, or was before, and every
// order on it is executed.
func (r *Receipt) Good() bool {
	return r.Outcome != outcomeRefused && r.Outcome != outcomeUndone && len(r.Unread) == 0 && !r.Empty()
}

// Outcomes returns what can come of a stick.
func Outcomes() []string {
	return []string{outcomeInstalled, outcomeNothing, outcomeOrders, outcomeUndone, outcomePart, outcomeRefused}
}

// What came of a stick.
const (
	outcomeInstalled = "installed"
	outcomeNothing   = "nothing new"
	outcomeOrders    = "executed"
	outcomeUndone    = "not all executed" // an order; the bundles, if any, are in force
	outcomePart      = "read in part"     // what was read and needs nothing else is in force
	outcomeRefused   = "refused"
)

// ReceiptType is the content type of a receipt: a COSE_Sign1 by the device's
// evidence key over the JSON of a [Receipt].
const ReceiptType = "application/vnd.ciglio.provision-receipt.v1+json"

// A Receipt says what came of a stick.
type Receipt struct {
	Format  int            `json:"format"`
	Device  string         `json:"device"`
	At      string         `json:"at"` // UTC, RFC 3339
	Outcome string         `json:"outcome"`
	Reason  p.Reason       `json:"reason,omitempty"`
	Words   string         `json:"words"`
	Files   []ReceiptFile  `json:"files"`
	Changes []Event        `json:"changes"`
	Passed  []Passed       `json:"passed"`
	Refused []Rejected     `json:"refused,omitempty"` // each bundle that was refused, where it was one
	Unread  []Passed       `json:"unread"`            // what could not be read, and why
	Orders  []ReceiptOrder `json:"orders"`
	Force   []ReceiptForce `json:"in_force"` // when this was written

	Written bool `json:"-"` // it is on the stick
}

// A Rejected is a bundle that was refused.
type Rejected struct {
	Name   string     `json:"name"`
	Reason p.Reason   `json:"reason"`
	Fact   string     `json:"fact"` // what exactly, in English
	Why    *p.Refusal `json:"-"`    // the same, with its arguments
}

// rejected returns the bundles that an error of [Store.Plan] names.
func rejected(err error) (all []Rejected) {
	var b *BundleError
	if !errors.As(err, &b) {
		return nil
	}
	for _, one := range append([]*BundleError{b}, b.Others...) {
		all = append(all, Rejected{one.Name, one.Err.Reason, one.Err.Fact, one.Err})
	}
	return all
}

// A ReceiptFile is one that was read off the stick.
type ReceiptFile struct {
	Name   string `json:"name"`
	SHA256 string `json:"sha256"`
}

// A ReceiptForce is what is in force of a kind.
type ReceiptForce struct {
	Kind    p.Kind `json:"kind"`
	Version uint64 `json:"version"`
}

// visit takes what a stick brings, and writes the receipt to it. opened is why the
// stick could not be opened.
func (s *Station) visit(ctx context.Context, name string, sticks Sticks, opened error) Receipt {
	log := s.o.Log.With("stick", name)
	r := Receipt{Format: 1, Device: s.o.Device.String(), Files: []ReceiptFile{}, Changes: []Event{}, Passed: []Passed{}, Unread: []Passed{}, Orders: []ReceiptOrder{}}
	var files, orders []Named
	err := opened
	if err == nil {
		files, orders, err = s.read(ctx, sticks, &r)
	}
	if err == nil && len(r.Unread) > 0 && len(files)+len(orders) == 0 { // and nothing was read
		err = p.Refuse(p.Unreadable, "%s", r.unread())
	}
	if err != nil && reasonOf(err) == "" {
		err = p.Refuse(p.Unreadable, "%v", err)
	}
	for _, f := range files {
		r.Files = append(r.Files, ReceiptFile{f.Name, hashOf(f.Content)})
	}
	var plan *Plan
	if err == nil {
		judge := s.o.Store.Plan
		if len(r.Unread) > 0 {
			judge = s.o.Store.PlanPart
		}
		plan, err = judge(files)
	}
	files = nil // they may be large, and the plan has what is needed
	if err == nil {
		r.Passed = append(r.Passed, plan.Passed...)
		if len(plan.Events) > 0 {
			err = s.install(ctx, plan, &r)
		}
	}
	if err == nil {
		s.execute(ctx, orders, sticks, &r)
	}
	if ctx.Err() != nil {
		return r
	}
	switch {
	case err != nil:
		r.Outcome, r.Reason, r.Words, r.Refused = outcomeRefused, reasonOf(err), err.Error(), rejected(err)
		log.Warn("stick refused", "reason", string(r.Reason), "error", err)
		s.refused(r)
	case len(r.Unread) > 0:
		r.Outcome, r.Reason, r.Words = outcomePart, p.Unreadable, strings.TrimPrefix(r.changeWords()+"; "+r.unread(), "; ")
		log.Warn("stick read in part", "unread", r.unread(), "changes", r.changeWords())
		s.refused(Receipt{Reason: p.Unreadable, Words: r.unread()})
	case slices.ContainsFunc(r.Orders, func(o ReceiptOrder) bool { return !o.Executed() }):
		r.Outcome, r.Words = outcomeUndone, r.changeWords()
		log.Warn("stick taken, but for an order", "changes", r.Words)
	case len(r.Changes) > 0:
		r.Outcome, r.Words = outcomeInstalled, r.changeWords()
		log.Info("stick taken", "changes", r.Words)
	case len(r.Orders) > 0:
		r.Outcome, r.Words = outcomeOrders, r.changeWords()
		log.Info("orders of a stick executed", "orders", r.Words)
	case r.Empty():
		r.Outcome, r.Words = outcomeNothing, "there is nothing for a device in its root folder, nor in a folder ciglio"
		log.Warn("stick brings no bundle and no order")
	default:
		r.Outcome, r.Words = outcomeNothing, "there is nothing on it that this device needs"
		log.Info("stick brings nothing new", "files", len(r.Files))
	}
	if opened == nil {
		s.turn(Writing, "")
		s.answer(ctx, sticks, &r, log)
	}
	return r
}

// changeWords says what was installed and what became of each order.
func (r *Receipt) changeWords() string {
	var words []string
	for _, e := range r.Changes {
		words = append(words, fmt.Sprintf("%s version %d is in force", e.Kind, e.NewVersion))
	}
	for _, o := range r.Orders {
		words = append(words, o.String())
	}
	return strings.Join(words, "; ")
}

// unread names what could not be read.
func (r *Receipt) unread() string {
	words := make([]string, len(r.Unread))
	for i, f := range r.Unread {
		words[i] = f.Name + " could not be read: " + f.Why
	}
	return strings.Join(words, "; ")
}

// Empty reports whether the stick brought neither bundle nor order.
func (r *Receipt) Empty() bool { return len(r.Files) == 0 && len(r.Orders) == 0 }

func reasonOf(err error) p.Reason {
	var r *p.Refusal
	if errors.As(err, &r) {
		return r.Reason
	}
	return ""
}

// read copies to memory what a stick brings: the bundles in its root folder and in
// one named ciglio, and the orders in a folder named orders beside them. A file that
// cannot be read is noted in r, and so is one of these folders that cannot be listed;
// the others are read. Orders count one after the other, in what the bundles brought:
// those behind one that cannot be read, and all of them where that is a bundle, are
// noted, too. The error is that of a stick of which
// it is not known what is on it, or that brings too much.
func (s *Station) read(ctx context.Context, sticks Sticks, r *Receipt) (bundles, orders []Named, err error) {
	list, err := sticks.List(ctx)
	if err != nil {
		return nil, nil, err
	}
	total := int64(0)
	stalled := error(nil) // once it does not answer it is asked for nothing more
	first := ""           // the first order that cannot be read
	blind := false        // a bundle cannot be read
	for _, e := range list {
		folder, base := path.Split(e.Name)
		folder = strings.ToLower(folder)
		if e.Err != "" {
			holds := folder == "ciglio/"
			if holds || folder == "orders/" || folder == "ciglio/orders/" {
				r.Unread = append(r.Unread, Passed{e.Name, "", evidence.CleanText(e.Err)})
				blind = blind || holds
				if first == "" || e.Name < first { // it is not known which come behind
					first = e.Name
				}
			}
			continue
		}
		what, to := "bundles", &bundles
		most := int64(p.MaxBundle)
		switch ext := strings.ToLower(path.Ext(base)); {
		case strings.HasPrefix(base, "."):
			continue
		case ext == p.Extension && (folder == "" || folder == "ciglio/"):
		case ext == orderExtension && (folder == "orders/" || folder == "ciglio/orders/"):
			what, to, most = "orders", &orders, wire.MaxOrder
		default:
			continue
		}
		if len(*to) == maxFiles {
			return nil, nil, p.Refuse(p.TooLarge, "more than %d %s", maxFiles, what)
		}
		total += e.Size
		if e.Size > most || total > maxBytes {
			return nil, nil, p.Refuse(p.TooLarge, "%s: %d bytes, and %d of all %s so far; at most %d and %d", e.Name, e.Size, total, what, most, maxBytes)
		}
		content, err := []byte(nil), stalled
		if stalled == nil {
			content, err = sticks.Read(ctx, e.Name, e.Size)
		}
		var own *helper.Error
		switch {
		case err == nil:
			*to = append(*to, Named{e.Name, content})
			continue
		case errors.Is(err, stick.ErrStalled):
			stalled = err
		case !errors.As(err, &own) || errors.Is(err, stick.ErrGone):
			return nil, nil, err
		}
		r.Unread = append(r.Unread, Passed{e.Name, "", evidence.CleanText(err.Error())})
		blind = blind || to == &bundles
		if to == &orders && (first == "" || e.Name < first) {
			first = e.Name
		}
	}
	slices.SortFunc(orders, func(a, b Named) int { return strings.Compare(a.Name, b.Name) })
	orders = slices.DeleteFunc(orders, func(o Named) bool {
		needs := blind || first != "" && o.Name > first
		if needs {
			r.Passed = append(r.Passed, Passed{o.Name, PassedNeeds, "it may need what could not be read"})
		}
		return needs
	})
	return bundles, orders, nil
}

// install brings a plan into force and waits until the device has started with it.
func (s *Station) install(ctx context.Context, plan *Plan, r *Receipt) error {
	if err := s.o.Store.Install(plan); err != nil {
		return err
	}
	s.turn(Applying, "")
	if err := s.o.Restart(ctx); err != nil {
		return p.Refuse(p.NoStart, "%v", err)
	}
	r.Changes = plan.Events
	return nil
}

// refused lets the chain know, now or with the next start.
func (s *Station) refused(r Receipt) {
	e := Event{At: s.o.Store.o.Now().UTC().Truncate(time.Second), What: Refused, Why: evidence.CleanText(cmp.Or(string(r.Reason), "failed") + ": " + r.Words)}
	words, act := e.Act()
	if err := s.o.Note(words, act); err != nil {
		if err := s.o.Store.Keep(e); err != nil {
			s.o.Log.Error("refusal not recorded", "error", err)
		}
	}
}

// answer writes the receipt to the stick: signed, and in words. A stick that does
// not take it changes nothing of what is in force.
func (s *Station) answer(ctx context.Context, sticks Sticks, r *Receipt, log *slog.Logger) {
	at := s.o.Store.o.Now().UTC()
	r.At = at.Format(time.RFC3339)
	r.Force = []ReceiptForce{}
	versions := s.o.Store.Versions()
	for _, k := range slices.Sorted(maps.Keys(versions)) {
		r.Force = append(r.Force, ReceiptForce{k, versions[k]})
	}
	text, err := json.Marshal(r)
	if err != nil {
		log.Error("receipt not written", "error", err)
		return
	}
	sealed, err := evidence.SealMessage(ReceiptType, text, s.o.Signer)
	if s.o.Leave != nil {
		for _, f := range s.o.Leave() {
			if err := sticks.Put(ctx, f.Name, f.Content); err != nil && ctx.Err() == nil {
				log.Warn("not written to the stick", "file", f.Name, "error", err)
			}
		}
	}
	if err == nil {
		base := fmt.Sprintf("receipt-%.8s-%s", r.Device, at.Format("20060102-150405"))
		err = errors.Join(sticks.Put(ctx, base+".cose", sealed), sticks.Put(ctx, base+".txt", []byte(r.text())))
		r.Written = err == nil
	}
	if err != nil && ctx.Err() == nil {
		log.Warn("receipt not written to the stick", "error", err)
	}
	if err := sticks.Release(ctx); err != nil && ctx.Err() == nil {
		log.Warn("stick not released", "error", err)
	}
}

// text says the receipt to people.
func (r *Receipt) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "Ciglio device %s, %s\r\n\r\nThis stick: %s.\r\n%s.\r\n", r.Device, r.At, r.Outcome, r.Words)
	for _, f := range r.Unread {
		fmt.Fprintf(&b, "%s could not be read: %s.\r\n", f.Name, f.Why)
	}
	for _, f := range r.Passed {
		fmt.Fprintf(&b, "%s was passed over: %s.\r\n", f.Name, f.Why)
	}
	for _, o := range r.Orders {
		fmt.Fprintf(&b, "%s: %s.\r\n", o.Name, o)
	}
	b.WriteString("\r\nIn force now:\r\n")
	for _, f := range r.Force {
		fmt.Fprintf(&b, "  %s version %d\r\n", f.Kind, f.Version)
	}
	return b.String()
}
