package uplink

import (
	"context"
	"testing"

	"ciglio/capture/evidence"
)

// BenchmarkSender sends b.N records to a network that takes no time, settled in
// receipts of 100, which it also has to sign. The limit is the verification of
// the receipts alone.
func BenchmarkSender(b *testing.B) {
	b.Run("limit", func(b *testing.B) {
		store := newMemory()
		c := newCentre(b, store)
		var items []Item
		for range 100 {
			items = append(items, store.get(store.add()).item)
		}
		receipt := c.receipt(items...)
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			if i%100 != 0 {
				continue
			}
			r, err := evidence.OpenReceipt(receipt)
			if err != nil {
				b.Fatal(err)
			}
			if err := r.Verify(&c.key.PublicKey); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("records", func(b *testing.B) {
		store := newMemory()
		c := newCentre(b, store)
		n := &network{}
		var batch []Item
		seq := 0
		ended := make(chan bool)
		n.publish = func(s *fakeSession, _ int, m Message) error {
			if len(m.Payload) != 22 {
				return nil
			}
			batch = append(batch, store.records[seq].item)
			if seq++; len(batch) == 100 || seq == b.N {
				s.inbox <- Message{Topic: s.options.Subscribe[0], Payload: c.receipt(batch...)}
				batch = nil
			}
			if seq == b.N {
				close(ended)
			}
			return nil
		}
		for range b.N {
			store.add()
		}
		s, err := NewSender(SenderOptions{Store: store, Dialer: n, Device: testDevice, Shard: testShard, CentreKey: c.lookUp, Boot: testBoot})
		if err != nil {
			b.Fatal(err)
		}
		ctx, cancel := context.WithCancel(b.Context())
		b.ReportAllocs()
		b.ResetTimer()
		go func() { <-ended; cancel() }()
		if err := s.Run(ctx); err != nil {
			b.Fatal(err)
		}
	})
}
