package wire

import (
	"crypto/ecdsa"
	"errors"
	"fmt"
	"strings"
	"time"

	"ciglio/capture/evidence"
)

// ContentOrder is the content type in the protected header of an order.
const ContentOrder = "application/vnd.ciglio.order.v1+cbor"

// MaxOrder is the largest order, in bytes, signature included.
const MaxOrder = 4 << 10

// MaxPause is the longest pause of enforcement that one order can ask for.
const MaxPause = 31 * 24 * time.Hour

// ErrOrder is what the errors of this file wrap.
var ErrOrder = errors.New("not an order")

// ErrOrderKind is wrapped as well when the order asks for what no device does.
var ErrOrderKind = errors.New("no such order")

// An OrderKind says what an order asks for. There is none that could change a
// speed, a limit, a rule or a key.
type OrderKind string

// What an order may ask for. The first six are a centre's, the last three an
// officer's: see [OrderKind.Role].
const (
	OrderSelfTest    OrderKind = "selftest"    // test yourself now
	OrderStatus      OrderKind = "status"      // say how you are
	OrderDiagnostics OrderKind = "diagnostics" // give what a technician would look at, redacted
	OrderResend      OrderKind = "resend"      // send records From to To of Epoch again
	OrderPause       OrderKind = "pause"       // do not enforce before Until
	OrderResume      OrderKind = "resume"      // end a pause
	OrderReopen      OrderKind = "reopen"      // open the gate again after a seal
	OrderExport      OrderKind = "export"      // give records From to To of Epoch, encrypted to Recipient, to the stick
	OrderConsole     OrderKind = "console"     // let the officer who hands it in at the console see the violations
)

// OrderKinds lists the kinds.
func OrderKinds() []OrderKind {
	return []OrderKind{OrderSelfTest, OrderStatus, OrderDiagnostics, OrderResend, OrderPause, OrderResume, OrderReopen, OrderExport, OrderConsole}
}

// Role returns whose key must have signed such an order.
func (k OrderKind) Role() evidence.Role {
	switch k {
	case OrderReopen, OrderExport, OrderConsole:
		return evidence.RoleOfficer
	}
	return evidence.RoleCentre
}

// An Order asks one device for one act. It is signed, and the same bytes come by
// wire or from a stick. A device executes it once, or refuses it, and a record of
// its chain is the answer.
//
// Which of the arguments a kind has, is fixed: Reason for pause, reopen,
// export and console; Until for pause; Epoch, From and To for resend and export; Recipient for
// export. All others are zero.
type Order struct {
	Device evidence.DeviceID
	// Number rises strictly with each order that one key signs for a device. A
	// device that has taken a number takes none below it, nor the same again.
	Number uint64
	Kind   OrderKind
	// NotBefore and NotAfter are the first and the last second in which it may be
	// executed, in UTC. A device compares them with what its clock can vouch for.
	NotBefore, NotAfter time.Time

	Reason    string    // in words, 1 to evidence.MaxText bytes
	Until     time.Time // whole seconds, at most MaxPause after NotBefore
	Epoch     uint64    // of the records
	From, To  uint64    // their first and last number
	Recipient string    // an age recipient, 1 to evidence.MaxText bytes
}

// fields lists the payload, a map; docs/mqtt.cddl has it in CDDL.
func (o *Order) fields(m *evidence.Form) {
	kind, number := string(o.Kind), int64(o.Number)
	from, to, until := o.NotBefore.Unix(), o.NotAfter.Unix(), int64(0)
	if !o.Until.IsZero() {
		until = o.Until.Unix()
	}
	epoch, first, last := int64(o.Epoch), int64(o.From), int64(o.To)
	const most = 1<<63 - 1
	const maxUnix = 253402300799 // the end of the year 9999
	m.Constant(1, "version", 1)
	m.Fixed(2, "device", o.Device[:])
	m.Integer(3, "number", &number, 1, most)
	m.Code(4, "kind", &kind)
	m.Integer(5, "not before", &from, 0, maxUnix)
	m.Integer(6, "not after", &to, 0, maxUnix)
	m.OptionalText(7, "reason", &o.Reason, evidence.MaxText)
	m.OptionalInteger(8, "until", &until, maxUnix)
	m.OptionalInteger(9, "epoch", &epoch, most)
	m.OptionalInteger(10, "from", &first, most)
	m.OptionalInteger(11, "to", &last, most)
	m.OptionalText(12, "recipient", &o.Recipient, evidence.MaxText)
	o.Kind, o.Number = OrderKind(kind), uint64(number)
	o.NotBefore, o.NotAfter = time.Unix(from, 0).UTC(), time.Unix(to, 0).UTC()
	if until != 0 {
		o.Until = time.Unix(until, 0).UTC()
	}
	o.Epoch, o.From, o.To = uint64(epoch), uint64(first), uint64(last)
}

// arguments says which arguments a kind has, in the order of their keys: reason,
// until, records, recipient. ok is false for a kind that does not exist.
func (k OrderKind) arguments() (has [4]bool, ok bool) {
	switch k {
	case OrderSelfTest, OrderStatus, OrderDiagnostics, OrderResume:
		return [4]bool{}, true
	case OrderPause:
		return [4]bool{true, true, false, false}, true
	case OrderResend:
		return [4]bool{false, false, true, false}, true
	case OrderReopen, OrderConsole:
		return [4]bool{true, false, false, false}, true
	case OrderExport:
		return [4]bool{true, false, true, true}, true
	}
	return has, false
}

// Check says what is wrong with the order.
func (o *Order) Check() error {
	want, known := o.Kind.arguments()
	if !known {
		return fmt.Errorf("%w: %w: %.40q", ErrOrder, ErrOrderKind, o.Kind)
	}
	has := [4]bool{o.Reason != "", !o.Until.IsZero(), o.Epoch != 0 || o.From != 0 || o.To != 0, o.Recipient != ""}
	for i, name := range []string{"reason", "until", "records", "recipient"} {
		if has[i] != want[i] {
			return fmt.Errorf("%w: %s: %s is there = %t, want %t", ErrOrder, o.Kind, name, has[i], want[i])
		}
	}
	switch {
	case o.Number == 0:
		return fmt.Errorf("%w: number 0", ErrOrder)
	case o.NotAfter.Before(o.NotBefore):
		return fmt.Errorf("%w: ends before it begins", ErrOrder)
	case want[1] && (!o.Until.After(o.NotBefore) || o.Until.Sub(o.NotBefore) > MaxPause):
		return fmt.Errorf("%w: pause until %s, want after %s and at most %v later", ErrOrder,
			o.Until.Format(time.RFC3339), o.NotBefore.Format(time.RFC3339), MaxPause)
	case want[2] && (o.Epoch == 0 || o.From == 0 || o.To < o.From):
		return fmt.Errorf("%w: records %d to %d of epoch %d", ErrOrder, o.From, o.To, o.Epoch)
	}
	return nil
}

// Marshal returns the payload of the order. Times lose what is finer than a second.
func (o *Order) Marshal() ([]byte, error) {
	if err := o.Check(); err != nil {
		return nil, err
	}
	c := *o
	b, err := evidence.EncodeForm(c.fields)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrOrder, err)
	}
	return b, nil
}

// UnmarshalOrder reads a payload and accepts the one spelling that Marshal writes.
func UnmarshalOrder(payload []byte) (*Order, error) {
	if len(payload) > MaxOrder {
		return nil, fmt.Errorf("%w: %d bytes, want at most %d", ErrOrder, len(payload), MaxOrder)
	}
	o := &Order{}
	if err := evidence.DecodeForm(payload, o.fields); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrOrder, err)
	}
	if err := o.Check(); err != nil {
		return nil, err
	}
	return o, nil
}

// String says in words what the order asks for.
func (o *Order) String() string {
	words := []string{string(o.Kind)}
	if o.Epoch != 0 {
		words = append(words, Numbers{Epoch: o.Epoch, From: o.From, To: o.To}.String())
	}
	if !o.Until.IsZero() {
		words = append(words, "until "+o.Until.Format(time.RFC3339))
	}
	if o.Recipient != "" {
		words = append(words, "to "+o.Recipient)
	}
	if o.Reason != "" {
		words = append(words, "because "+o.Reason)
	}
	return strings.Join(words, ", ")
}

// A SealedOrder is a signed order as it was received. Its signature is not checked
// before Verify, and what its payload says is not looked at before [SealedOrder.Order].
type SealedOrder struct {
	KeyID evidence.Hash
	Bytes []byte

	message *evidence.SealedMessage
}

// SealOrder signs an order.
func SealOrder(o *Order, s evidence.Signer) ([]byte, error) {
	payload, err := o.Marshal()
	if err != nil {
		return nil, err
	}
	return evidence.SealMessage(ContentOrder, payload, s)
}

// OpenOrder reads the envelope of a signed order, in its one spelling.
func OpenOrder(b []byte) (*SealedOrder, error) {
	m, err := evidence.OpenMessage(ContentOrder, MaxOrder, b)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrOrder, err)
	}
	return &SealedOrder{KeyID: m.KeyID, Bytes: m.Bytes, message: m}, nil
}

// Verify checks that the holder of pub sealed the order. pub must come from the
// register: see [evidence.Trust.OrderKey].
func (s *SealedOrder) Verify(pub *ecdsa.PublicKey) error { return s.message.Verify(pub) }

// Order reads what is ordered. An order that a later release knows and this one does
// not gives an error that wraps [ErrOrderKind].
func (s *SealedOrder) Order() (*Order, error) { return UnmarshalOrder(s.message.Payload) }
