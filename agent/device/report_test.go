package device

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"ciglio/uplink/outbox"
	"ciglio/uplink/wire"
)

func TestD01_HealthTellsLoss(t *testing.T) {
	r := outbox.Report{
		Missing: []outbox.Range{{Epoch: 1, From: 6, To: 10, Settled: 1}, {Epoch: 2, From: 3, To: 4, Open: true}},
		Moved:   []outbox.Trouble{{Name: "damaged/00000002.db", Fact: "segment 00000002.db: damaged: 9 bytes, too short for a bbolt file"}},
	}
	for i := range 200 { // more than a message can tell
		r.Records = append(r.Records, outbox.Trouble{Name: fmt.Sprintf("epoch 3 number %d", i+1), Fact: strings.Repeat("damaged ", 100)})
	}
	h := wire.Health{Head: wire.Head{Device: wire.Device{1}, UTC: time.Now()}, Boot: wire.BootID{1}, Sequence: 1}
	tellLosses(&h, r)
	b, err := h.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	got, err := wire.ParseHealth(b)
	if err != nil {
		t.Fatal(err)
	}
	if got.Outbox.Unaccounted != 6 || !got.Outbox.AtLeast || fmt.Sprint(got.Outbox.Missing) != fmt.Sprint(r.Missing) {
		t.Errorf("%+v", got.Outbox)
	}
	for i, l := range r.Losses()[:3] {
		if a := got.Alarms[i]; a.Code != l.Code || a.Words != l.Words {
			t.Errorf("alarm %+v, want %+v", a, l)
		}
	}
	if last := got.Alarms[len(got.Alarms)-1].Words; last != "and 183 more: ciglio outbox stats names them" {
		t.Errorf("%d alarms, the last: %s", len(got.Alarms), last)
	}
}
