package uplink

import (
	"errors"
	"fmt"
	"time"

	"ciglio/capture/evidence"
	"ciglio/uplink/wire"
)

// errForeign is the error of a message that is not for this device.
var errForeign = errors.New("for another device")

// handle takes what the centre sends. Nothing of it is believed before its
// signature by a centre of the register is verified. It runs in a goroutine of
// the session.
func (r *run) handle(m Message) {
	var e event
	var err error
	switch m.Topic {
	case r.topic[wire.WhatReceipt]:
		e.receipt, e.unsettled, err = r.receipt(m.Payload)
	case r.topic[wire.WhatCommand]:
		if _, no := wire.OpenOrder(m.Payload); no == nil && r.o.Order != nil {
			r.o.Order(m.Payload)
			break // whoever takes it says what is wrong with it
		}
		e.have, e.refused, err = r.command(m.Payload)
	default:
		err = fmt.Errorf("topic %.100q", m.Topic)
	}
	if err != nil {
		r.counters.refused.Add(1)
	}
	r.changes.set(r.log, "uplink message refused", err)
	select {
	case r.events <- e:
	case <-r.gone:
	}
}

// receipt verifies a receipt and settles what it names. The receipt may be good
// and the store unable to settle all of it.
func (r *run) receipt(b []byte) (receipt *evidence.Receipt, unsettled bool, err error) {
	sealed, err := evidence.OpenReceipt(b)
	if err != nil {
		return nil, false, err
	}
	if sealed.Receipt.Device != r.o.Device {
		return nil, false, fmt.Errorf("receipt: %w %v", errForeign, sealed.Receipt.Device)
	}
	key, err := r.o.CentreKey(sealed.KeyID, time.Now())
	if err == nil {
		// Verifiers ask for the time that the receipt states.
		_, err = r.o.CentreKey(sealed.KeyID, sealed.Receipt.UTC)
	}
	if err != nil {
		return nil, false, fmt.Errorf("receipt: %w", err)
	}
	if err := sealed.Verify(key); err != nil {
		return nil, false, err
	}
	r.counters.receipts.Add(1)
	settled, err := r.o.Store.Settle(sealed)
	r.counters.settled.Add(uint64(settled))
	r.changes.set(r.log, "receipt not settled", err)
	return sealed.Receipt, err != nil, nil
}

// command verifies a command. Without an error one of the two is not nil.
func (r *run) command(b []byte) (*wire.Have, *wire.Refused, error) {
	c, err := wire.OpenCommand(b)
	if err != nil {
		return nil, nil, err
	}
	if c.Device() != r.o.Device {
		return nil, nil, fmt.Errorf("command: %w %v", errForeign, c.Device())
	}
	key, err := r.o.CentreKey(c.KeyID, time.Now())
	if err != nil {
		return nil, nil, fmt.Errorf("command: %w", err)
	}
	if err := c.Verify(key); err != nil {
		return nil, nil, fmt.Errorf("command: %w", err)
	}
	return c.Have, c.Refused, nil
}
