package uplink

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"sync"
	"testing"
	"time"

	"ciglio/capture/evidence"
	"ciglio/uplink/wire"
)

// A centre takes records and chunks as a portal does, and answers each record.
type centre struct {
	mu      sync.Mutex
	t       testing.TB
	key     *ecdsa.PrivateKey
	signer  evidence.Signer
	store   *memory         // to know what belongs to a record
	mute    bool            // answers nothing
	chunks  map[string]bool // blob hash and index
	records map[evidence.Hash]int
	arrived int // chunk messages
	twice   int // chunk messages that were there already
	done    map[evidence.Hash]bool
	log     []string // of messages, by topic's last level
}

func newCentre(t testing.TB, store *memory) *centre {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := evidence.NewSigner(key)
	if err != nil {
		t.Fatal(err)
	}
	return &centre{t: t, key: key, signer: signer, store: store, chunks: map[string]bool{}, records: map[evidence.Hash]int{}, done: map[evidence.Hash]bool{}}
}

func (c *centre) lookUp(kid evidence.Hash, _ time.Time) (*ecdsa.PublicKey, error) {
	if kid != c.signer.KeyID() {
		return nil, fmt.Errorf("key %v: not a centre's", kid)
	}
	return &c.key.PublicKey, nil
}

func (c *centre) take(s *fakeSession, m Message) {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, _, what, err := wire.ParseTopic(m.Topic)
	if err != nil {
		c.t.Errorf("topic: %v", err)
		return
	}
	c.log = append(c.log, string(what))
	switch what {
	case wire.WhatRecord:
		id := evidence.Hash(sha256.Sum256(m.Payload))
		c.records[id]++
		c.answer(s, Key{binary.BigEndian.Uint64(m.Payload[6:]), binary.BigEndian.Uint64(m.Payload[14:])}, true)
	case wire.WhatBlob:
		chunk, err := wire.ParseChunk(m.Payload)
		if err != nil {
			c.t.Errorf("chunk: %v", err)
			return
		}
		c.arrived++
		name := fmt.Sprint(chunk.Blob, chunk.Index())
		if c.chunks[name] {
			c.twice++
		}
		c.chunks[name] = true
		c.store.mu.Lock()
		var owner []Key
		for _, r := range c.store.records {
			for _, b := range r.item.Blobs {
				if b.SHA256 == chunk.Blob {
					owner = append(owner, r.item.Key)
				}
			}
		}
		c.store.mu.Unlock()
		for _, k := range owner {
			c.answer(s, k, false)
		}
	}
}

// answer sends a receipt when everything is there, and otherwise a have when
// asked by the record.
func (c *centre) answer(s *fakeSession, key Key, asked bool) {
	c.store.mu.Lock()
	item := c.store.get(key).item
	c.store.mu.Unlock()
	if c.records[item.ID] == 0 || c.mute {
		return
	}
	have := wire.Have{Device: testDevice, ID: item.ID}
	for _, b := range item.Blobs {
		hb := wire.HaveBlob{SHA256: b.SHA256}
		missing := false
		for i := range b.Chunks {
			if !c.chunks[fmt.Sprint(b.SHA256, i)] {
				missing = true
				continue
			}
			from, to := wire.ChunkRange(b.Length, i)
			if n := len(hb.Ranges); n > 0 && hb.Ranges[n-1].To == from {
				hb.Ranges[n-1].To = to
			} else {
				hb.Ranges = append(hb.Ranges, wire.Range{From: from, To: to})
			}
		}
		if missing {
			have.Blobs = append(have.Blobs, hb)
		}
	}
	if len(have.Blobs) > 0 {
		if asked {
			b, err := wire.SealHave(&have, c.signer)
			if err != nil {
				c.t.Error(err)
			}
			s.inbox <- Message{Topic: wire.Topic(testShard, testDevice, wire.WhatCommand), Payload: b}
		}
		return
	}
	c.done[item.ID] = true
	s.inbox <- Message{Topic: wire.Topic(testShard, testDevice, wire.WhatReceipt), Payload: c.receipt(item)}
}

func (c *centre) receipt(items ...Item) []byte {
	r := &evidence.Receipt{Device: testDevice, LogSize: 1 << 40, UTC: time.Now().Truncate(time.Microsecond)}
	for _, i := range items {
		r.Entries = append(r.Entries, evidence.ReceiptEntry{Epoch: i.Epoch, Seq: i.Seq, ID: i.ID, Index: i.Seq})
	}
	b, err := evidence.SealReceipt(r, c.signer)
	if err != nil {
		c.t.Error(err)
		return nil
	}
	return b.Bytes
}
