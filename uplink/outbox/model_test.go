package outbox

import (
	"bytes"
	"fmt"
	mathrand "math/rand/v2"
	"testing"
	"time"

	"ciglio/capture/evidence"
)

// model is what a store should hold.
type model struct {
	records []stored // in the order of the chain; never shortened
	settled map[Key]bool
	aside   map[Key]bool
	gone    map[Key]bool
}

func (m *model) waiting() (keys []Key) {
	for _, s := range m.records {
		if k := key(s.Sealed); !m.settled[k] && !m.aside[k] {
			keys = append(keys, k)
		}
	}
	return keys
}

// TestModel drives the store and a model of it with the same random steps.
func TestModel(t *testing.T) {
	for seed := range uint64(4) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) { runModel(t, seed, 250) })
	}
}

func runModel(t *testing.T, seed uint64, steps int) {
	r := mathrand.New(mathrand.NewPCG(seed, 1))
	b := newBed(t, func(o *Options) { o.SegmentSize, o.Retention = MinSegmentSize, 24*time.Hour })
	m := &model{settled: map[Key]bool{}, aside: map[Key]bool{}, gone: map[Key]bool{}}
	epoch := uint64(1)
	for step := range steps {
		switch n := r.IntN(100); {
		case n < 30:
			m.records = append(m.records, stored{Sealed: b.beat()})
		case n < 50:
			s := stored{blobs: [][]byte{noise(r.Uint64(), 1+r.IntN(200_000)), noise(r.Uint64(), 1+r.IntN(50_000)), noise(r.Uint64(), 1+r.IntN(300))}}
			s.Sealed = b.violate(evidence.KindTest, s.blobs...)
			m.records = append(m.records, s)
		case n < 65: // a receipt for some of the records, in order, some of them answered before
			var named []*evidence.Sealed
			want := 0
			for _, s := range m.records {
				if k := key(s.Sealed); !m.gone[k] && r.IntN(3) == 0 {
					if !m.settled[k] {
						want++
					}
					named = append(named, s.Sealed)
					m.settled[k] = true
					delete(m.aside, k)
				}
			}
			if len(named) == 0 {
				continue
			}
			receipt := b.receipt(named...)
			if got, err := b.Settle(receipt); got != want || err != nil {
				t.Fatalf("step %d: settled %d, want %d: %v", step, got, want, err)
			}
			if want > 0 && b.Head().Ack != receipt.Hash {
				t.Fatalf("step %d: the newest receipt is another one", step)
			}
		case n < 70:
			if w := m.waiting(); len(w) > 0 {
				k := w[r.IntN(len(w))]
				if err := b.SetAside(k, "poison"); err != nil {
					t.Fatal(err)
				}
				m.aside[k] = true
			}
		case n < 72:
			if got, err := b.Retry(); got != len(m.aside) || err != nil {
				t.Fatalf("step %d: %d offered again, want %d: %v", step, got, len(m.aside), err)
			}
			clear(m.aside)
		case n < 80:
			b.now = b.now.Add(time.Duration(r.IntN(20)-3) * time.Hour) // now and then the clock steps back
		case n < 86:
			dropped, err := b.Expire(b.now)
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range dropped {
				for seq := d.From; seq <= d.To; seq++ {
					k := at(d.Epoch, seq)
					if !m.settled[k] {
						t.Fatalf("step %d: %v was dropped unsettled", step, k)
					}
					m.gone[k] = true
				}
			}
		case n < 90:
			b.shut()
			b.open()
		case n < 94:
			b.crash()
			b.open()
		case n < 96:
			b.shut()
			remove("state.db")(t, b.dir)
			b.open()
			for k := range m.settled {
				if !m.gone[k] {
					delete(m.settled, k)
				}
			}
			clear(m.aside)
		case n < 97:
			b.shut()
			epoch++
			b.options.Epoch = epoch
			b.open()
		default:
			b.compare(m, step)
		}
		if rep := b.Report(); rep.Raised != "" || len(rep.Moved) > 0 {
			t.Fatalf("step %d: %+v", step, rep)
		}
	}
	b.compare(m, steps)
}

// compare checks everything the store says against the model.
func (b *bed) compare(m *model, step int) {
	b.Helper()
	var got []Key
	for after := (Key{}); ; after = got[len(got)-1] {
		items, err := b.Unsettled(after, 7)
		if err != nil {
			b.Fatal(err)
		}
		if len(items) == 0 {
			break
		}
		for _, it := range items {
			got = append(got, it.Key)
		}
	}
	if fmt.Sprint(got) != fmt.Sprint(m.waiting()) {
		b.Fatalf("step %d: waiting %v, want %v", step, got, m.waiting())
	}
	list, err := b.List(Key{}, 1<<20)
	if err != nil {
		b.Fatal(err)
	}
	var prev *evidence.Sealed
	for _, s := range m.records {
		k := key(s.Sealed)
		if p := prev; p != nil && p.Record.Epoch == k.Epoch && (s.Record.Seq != p.Record.Seq+1 || s.Record.Prev != p.Link) {
			b.Fatalf("step %d: %v does not follow %v", step, k, key(p))
		}
		prev = s.Sealed
		if m.gone[k] {
			continue
		}
		if len(list) == 0 || list[0].Key != k || list[0].ID != s.ID || (list[0].State == Settled) != m.settled[k] || (list[0].State == SetAside) != m.aside[k] {
			b.Fatalf("step %d: %v listed as %+v", step, k, list[:min(1, len(list))])
		}
		list = list[1:]
		if raw, err := b.Record(k); err != nil || !bytes.Equal(raw, s.Bytes) {
			b.Fatalf("step %d: %v: %v", step, k, err)
		}
		for i, want := range s.blobs {
			if blob, err := b.Blob(k, i); err != nil || !bytes.Equal(blob, want) {
				b.Fatalf("step %d: %v blob %d: %v", step, k, i, err)
			}
		}
		if _, err := b.Receipt(k); (err == nil) != m.settled[k] {
			b.Fatalf("step %d: receipt of %v: %v", step, k, err)
		}
	}
	if len(list) > 0 {
		b.Fatalf("step %d: %d more records than there should be", step, len(list))
	}
	if st := b.Stats(); st.Unsettled != uint64(len(m.waiting())+len(m.aside)) {
		b.Fatalf("step %d: %+v", step, st)
	}
}
