package intake

import (
	"context"
	"sync"
	"time"

	"ciglio/capture/evidence"
	"ciglio/portal/record"
	"ciglio/uplink"
	"ciglio/uplink/wire"
)

const (
	maxFlying     = 1024            // receipts that the broker has not acknowledged
	receiptPage   = 256             // of these, read at a time
	receiptsEvery = 5 * time.Second // between looks for receipts that nobody told of
)

// receipts sends what waits in the store to be sent, and ends its waiting when the broker
// has acknowledged it. What is in memory only keeps one from being sent twice at once.
type receipts struct {
	in   *Intake
	wake chan struct{}

	mu     sync.Mutex
	anew   bool // look from the first on
	flying map[evidence.Hash]*flight
	taken  []*record.Unsent // acknowledged, and still in the store
}

// A flight is a receipt on its way.
type flight struct{ again bool } // it was asked for meanwhile

func newReceipts(in *Intake) *receipts {
	return &receipts{in: in, wake: make(chan struct{}, 1), flying: make(map[evidence.Hash]*flight)}
}

func (r *receipts) ring() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// lookAnew has receipts looked for from the first on.
func (r *receipts) lookAnew() {
	r.mu.Lock()
	r.anew = true
	r.mu.Unlock()
	r.ring()
}

// askedAgain is called when receipts have been asked for that may have been sent.
func (r *receipts) askedAgain(again map[evidence.Hash]bool) {
	if len(again) == 0 {
		return
	}
	r.mu.Lock()
	for hash := range again {
		if f := r.flying[hash]; f != nil {
			f.again = true
		}
	}
	r.mu.Unlock()
	r.lookAnew()
}

// run sends until ctx ends.
func (r *receipts) run(ctx context.Context) {
	var listening sync.WaitGroup
	defer listening.Wait()
	listening.Go(func() { r.in.o.Store.Database().Listen(ctx, record.TellReceipts, r.ring) })
	tick := time.NewTicker(receiptsEvery)
	defer tick.Stop()
	var last *record.Unsent // behind which is looked
	r.lookAnew()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			last = nil
		case <-r.wake:
		}
		r.mu.Lock()
		if r.anew {
			last, r.anew = nil, false
		}
		taken := r.taken
		r.taken = nil
		r.mu.Unlock()
		if len(taken) > 0 {
			r.in.writer.ops <- &sentOp{receipts: taken}
		}
		last = r.send(ctx, last)
	}
}

// send sends what waits behind a receipt, as far as there is room, and returns the last.
func (r *receipts) send(ctx context.Context, last *record.Unsent) *record.Unsent {
	for ctx.Err() == nil {
		r.mu.Lock()
		room := maxFlying - len(r.flying)
		r.mu.Unlock()
		if room < receiptPage {
			return last // the next that is acknowledged wakes
		}
		page, err := r.in.o.Store.Unsent(ctx, r.in.o.Shard, last, receiptPage)
		if err != nil {
			return last // the writer says that the store does not answer
		}
		for _, u := range page {
			last = u
			r.mu.Lock()
			flies := r.flying[u.Receipt] != nil
			if !flies {
				r.flying[u.Receipt] = &flight{}
			}
			r.mu.Unlock()
			if flies {
				continue
			}
			m := uplink.Message{Topic: wire.Topic(r.in.o.Shard, u.Device, wire.WhatReceipt), Payload: u.Bytes}
			if !r.in.answers.offer(ctx, letter{m, func() { r.arrived(u) }}) {
				return last
			}
		}
		if len(page) < receiptPage {
			return last
		}
	}
	return last
}

// arrived is called when the broker has acknowledged a receipt.
func (r *receipts) arrived(u *record.Unsent) {
	r.mu.Lock()
	r.taken = append(r.taken, u)
	r.mu.Unlock()
	r.ring()
}

// landed is called when the store knows that receipts were sent, or could not be told:
// it is told again at the next look.
func (r *receipts) landed(all []*record.Unsent, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil {
		r.taken = append(r.taken, all...)
		return
	}
	for _, u := range all {
		r.anew = r.anew || r.flying[u.Receipt].again
		delete(r.flying, u.Receipt)
	}
	r.ring() // there is room
}

// sentOp ends the waiting of receipts that the broker has acknowledged.
type sentOp struct{ receipts []*record.Unsent }

func (o *sentOp) apply(r *round) error {
	for _, u := range o.receipts {
		if err := r.tx.ReceiptSent(u.Receipt, u.Asked); err != nil {
			return err
		}
	}
	return nil
}

func (o *sentOp) ended(r *round, err error) { r.in.receipts.landed(o.receipts, err) }
