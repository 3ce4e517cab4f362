package device

import (
	"errors"
	"testing"
	"testing/synctest"

	"ciglio/capture/evidence"
	"ciglio/uplink/outbox"
)

func TestRecorderStoresWhatIsNotRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		c := r.recorder
		refusal := errors.New("not now")
		if _, err := c.add(evidence.KindHeartbeat, r.heart().body, nil, func(*evidence.Record, []evidence.Hash) error { return refusal }); err != refusal {
			t.Errorf("refused: %v", err)
		}
		if err := c.failed(); err != nil || len(r.records(t)) != 0 {
			t.Errorf("a refusal is no fault of the store: %v, %d records", err, len(r.records(t)))
		}
		for range 2 {
			if err := c.note(evidence.KindOperator, evidence.Body{1: "looked"}); err != nil {
				t.Fatal(err)
			}
		}
		all := r.records(t)
		if len(all) != 2 || all[1].Record.Prev != all[0].Link || all[1].Record.Seq != all[0].Record.Seq+1 {
			t.Fatalf("%d records, or no chain", len(all))
		}
		if got := all[0].Record; got.Kind != evidence.KindOperator || got.Device != r.id || got.Software != r.o.Software || !got.Clock.Synchronised || got.Boot != r.o.Boot {
			t.Errorf("record %+v", got)
		}
	})
}

func TestRecorderKnowsItsFault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		c, key := r.recorder, &moodySigner{Signer: r.recorder.signer}
		c.signer = key
		key.failing.Store(true)
		if err := c.note(evidence.KindOperator, evidence.Body{1: "looked"}); err == nil || c.failed() == nil {
			t.Fatalf("%v, fault %v", err, c.failed())
		}
		if err := c.tryAgain(r.heart); err != nil || c.failed() == nil {
			t.Errorf("tried again: %v, fault %v", err, c.failed())
		}
		key.failing.Store(false)
		if err := c.tryAgain(r.heart); err != nil || c.failed() != nil || len(r.records(t)) != 1 {
			t.Errorf("tried again: %v, fault %v, %d records", err, c.failed(), len(r.records(t)))
		}
		if err := c.tryAgain(r.heart); err != nil || len(r.records(t)) != 1 {
			t.Errorf("a store in order is not tried: %v, %d records", err, len(r.records(t)))
		}
		if err := c.stored(outbox.ErrFull); !errors.Is(err, outbox.ErrFull) || c.failed() != nil {
			t.Errorf("a full store is no fault: %v", c.failed())
		}
	})
}

func TestRecorderBeginsOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		if r.recorder.room() {
			t.Error("room for a violation before the start is recorded")
		}
		for range 2 {
			if err := r.recorder.begin(); err != nil {
				t.Fatal(err)
			}
		}
		if n := len(r.records(t)); n != 3 || !r.recorder.room() {
			t.Errorf("%d records, room %t", n, r.recorder.room())
		}
	})
}
