package intake

import (
	"context"
	"errors"
	"time"

	"ciglio/capture/evidence"
	"ciglio/portal/orders"
	"ciglio/portal/record"
	"ciglio/uplink"
	"ciglio/uplink/wire"
)

// How often the orders are looked at, and how long after it was sent an order that
// is not answered goes again over the same session of the device.
const (
	ordersEvery = 3 * time.Second
	orderAgain  = 10 * time.Minute
)

// maxActs is how many records of a device are searched for the answers to its
// orders: the newest.
const maxActs = 2000

// A dispatcher sends orders to the devices that are there, until each is answered or
// its time is over. Only the goroutine of run uses it.
type dispatcher struct {
	in    *Intake
	book  *orders.Book
	sent  map[evidence.Hash]dispatch
	known map[evidence.Hash]bool // orders that are answered
	said  string                 // the error that was logged last
}

// A dispatch is when an order was sent, and over which session of its device.
type dispatch struct{ at, session time.Time }

func (d *dispatcher) run(ctx context.Context) {
	tick := time.NewTicker(ordersEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			err := d.look(ctx, time.Now())
			said := ""
			if err != nil && ctx.Err() == nil {
				said = err.Error()
			}
			if said != "" && said != d.said {
				d.in.o.Log.Error("orders cannot be sent", "error", err)
			}
			d.said = said
		}
	}
}

// look sends what is due. One device whose orders cannot be read keeps no other
// waiting; its error is returned.
func (d *dispatcher) look(ctx context.Context, now time.Time) (err error) {
	devices, err := d.book.Devices()
	if err != nil {
		return err
	}
	for _, id := range devices {
		if e := d.device(ctx, id, now); e != nil {
			err = e
		}
	}
	return err
}

func (d *dispatcher) device(ctx context.Context, id evidence.DeviceID, now time.Time) error {
	list, damaged := d.book.List(id)
	var due []*orders.Entry
	for _, e := range list {
		// An export comes on the stick that takes the evidence: over the network it would fail,
		// and the same order could not be executed any more. An officer hands in an order
		// console at the device.
		byHand := e.Kind == wire.OrderExport || e.Kind == wire.OrderConsole
		if !byHand && !d.known[e.Hash] && !now.Before(e.NotBefore) && !now.After(e.NotAfter) {
			due = append(due, e)
		}
	}
	if len(due) == 0 {
		return damaged
	}
	there, session, err := d.there(ctx, id)
	if err != nil || !there {
		return err
	}
	acts, err := Acts(ctx, d.in.o.Store, id)
	if err != nil {
		return err
	}
	for i := len(due) - 1; i >= 0; i-- { // the oldest first: numbers rise
		e := due[i]
		if state, _ := e.State(now, Answers(e, acts)); state != orders.Waiting {
			d.known[e.Hash] = true
			delete(d.sent, e.Hash)
			continue
		}
		if s, ok := d.sent[e.Hash]; ok && s.session.Equal(session) && now.Sub(s.at) < orderAgain {
			continue
		}
		d.sent[e.Hash] = dispatch{now, session}
		d.in.answers.send(uplink.Message{Topic: wire.Topic(d.in.o.Shard, id, wire.WhatCommand), Payload: e.Bytes})
		d.in.o.Log.Info("order sent", "device", id.String(), "kind", string(e.Kind), "number", e.Number)
	}
	return damaged
}

// there reports whether the device is connected and takes orders, and since when.
func (d *dispatcher) there(ctx context.Context, id evidence.DeviceID) (there bool, session time.Time, err error) {
	device, err := d.in.o.Store.Device(ctx, id)
	if errors.Is(err, record.ErrNotFound) { // never heard
		return false, session, nil
	}
	if err != nil {
		return false, session, err
	}
	state, err := wire.ParseState(device.State)
	if err != nil || !state.Online {
		return false, session, nil
	}
	profile, err := wire.ParseProfile(device.Profile)
	return err == nil && profile.Orders > 0, device.StateAt, nil
}

// Acts returns the records of a device in which the answers to its orders are looked
// for, the newest first.
func Acts(ctx context.Context, s *record.Store, id evidence.DeviceID) (all []*evidence.Sealed, err error) {
	records, err := s.Acts(ctx, id, maxActs)
	for _, r := range records {
		if sealed, err := evidence.Open(r.Bytes); err == nil {
			all = append(all, sealed)
		}
	}
	return all, err
}

// Answers returns what the records of a device say of an order, the newest first.
func Answers(e *orders.Entry, acts []*evidence.Sealed) (all []*orders.Answer) {
	for _, sealed := range acts {
		if a := e.AnswerOf(sealed); a != nil {
			all = append(all, a)
		}
	}
	return all
}
