package provision

import (
	"context"

	"ciglio/uplink/wire"
)

// orderExtension is what the names of orders end with.
const orderExtension = ".order"

// Put writes a file into the root folder of the stick that is in: at most
// [helper.MaxPut] bytes.
type Put func(name string, content []byte) error

// A ReceiptOrder is an order that a stick brought.
type ReceiptOrder struct {
	Name    string `json:"name"`
	SHA256  string `json:"sha256"`
	Code    string `json:"code,omitempty"` // what was ordered; "" where that is not known
	Outcome string `json:"outcome"`        // as in the act of the chain, or one of the two below
	Words   string `json:"words,omitempty"`
}

// What becomes of an order without an act.
const (
	orderBefore = "before" // it was executed before
	orderPassed = "passed" // it is for another device
)

// Executed reports whether nothing is left to be done.
func (o ReceiptOrder) Executed() bool {
	return o.Outcome == "done" || o.Outcome == orderBefore || o.Outcome == orderPassed
}

// String says it in words.
func (o ReceiptOrder) String() string {
	what := "order"
	if o.Code != "" {
		what += " " + o.Code
	}
	switch o.Outcome {
	case orderBefore:
		return what + ": was executed before"
	case orderPassed:
		return what + ": for another device"
	}
	what += ": " + o.Outcome
	if o.Words != "" {
		what += ", " + o.Words
	}
	return what
}

// execute executes the orders of a stick, in the order of their names, on the device
// that runs now. Each is verified by the device itself, as one that came over the
// network is.
func (s *Station) execute(ctx context.Context, orders []Named, sticks Sticks, r *Receipt) {
	if s.o.Order == nil {
		return
	}
	if len(orders) > 0 {
		s.turn(Ordering, "")
	}
	put := func(name string, content []byte) error { return sticks.Put(ctx, name, content) }
	for _, f := range orders {
		if ctx.Err() != nil {
			return
		}
		r.Orders = append(r.Orders, s.one(f, put))
	}
}

func (s *Station) one(f Named, put Put) ReceiptOrder {
	o := ReceiptOrder{Name: f.Name, SHA256: hashOf(f.Content)}
	if sealed, err := wire.OpenOrder(f.Content); err == nil {
		// That it is for another device needs no signature: nothing is done by it here.
		if order, err := sealed.Order(); err == nil {
			o.Code = string(order.Kind)
			if order.Device != s.o.Device {
				o.Outcome = orderPassed
				return o
			}
		}
	}
	act, err := s.o.Order(f.Content, put)
	switch {
	case err != nil:
		o.Outcome, o.Words = "refused", err.Error()
	case act.Outcome == "":
		o.Outcome = orderBefore
	default:
		o.Outcome, o.Words = act.Outcome, act.New
	}
	return o
}
