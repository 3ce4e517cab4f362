package uplink_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"log/slog"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	mochi "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/hooks/auth"

	"ciglio/capture/evidence"
	"ciglio/sensor"
	"ciglio/uplink"
	"ciglio/uplink/mqtt"
	"ciglio/uplink/outbox"
	"ciglio/uplink/wire"
)

var (
	device   = evidence.DeviceID{0xde, 0x1c, 0xe0}
	centreID = "centre"
)

const shard = "lab"

// road is a network to a broker in this process that can be cut.
type road struct {
	broker *mochi.Server
	mu     sync.Mutex
	down   bool
	conns  []net.Conn
	budget int // bytes after which the next connection breaks; 0 for never
}

// A frayed connection breaks after so many bytes sent.
type frayed struct {
	net.Conn
	left int
}

func (f *frayed) Write(b []byte) (int, error) {
	if len(b) > f.left {
		f.Conn.Write(b[:f.left])
		f.Conn.Close()
		return f.left, errors.New("connection reset by peer")
	}
	f.left -= len(b)
	return f.Conn.Write(b)
}

func newRoad(t *testing.T) *road {
	t.Helper()
	server := mochi.New(&mochi.Options{Logger: slog.New(slog.DiscardHandler)})
	if err := server.AddHook(new(auth.AllowHook), nil); err != nil {
		t.Fatal(err)
	}
	return &road{broker: server}
}

func (r *road) open(context.Context) (net.Conn, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.down {
		return nil, errors.New("no carrier")
	}
	near, far := net.Pipe()
	go r.broker.EstablishConnection("pipe", far)
	r.conns = append(r.conns, near)
	if r.budget > 0 {
		near = &frayed{Conn: near, left: r.budget}
		r.budget = 0
	}
	return near, nil
}

func (r *road) cut(down bool, budget int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.down, r.budget = down, budget
	for _, c := range r.conns {
		c.Close()
	}
	r.conns = nil
}

// A receiver is the least that another party has to write: it verifies records,
// collects their blobs and answers. docs/mqtt.md explains it.
type receiver struct {
	t       *testing.T
	signer  evidence.Signer
	session uplink.Session
	mu      sync.Mutex
	records map[evidence.Hash]*evidence.Sealed
	blobs   map[evidence.Hash][]byte // being collected, or whole
	have    map[evidence.Hash]map[int]bool
	whole   map[evidence.Hash]bool // receipted
	device  *ecdsa.PublicKey
}

func (c *receiver) handle(m uplink.Message) {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, dev, what, err := wire.ParseTopic(m.Topic)
	if err != nil {
		c.t.Error(err)
		return
	}
	switch what {
	case wire.WhatRecord:
		s, err := evidence.Open(m.Payload)
		if err == nil {
			err = s.Verify(c.device)
		}
		if err != nil || s.Record.Device != dev {
			c.t.Errorf("record refused: %v", err)
			return
		}
		c.records[s.ID] = s
		c.answer(s, true)
	case wire.WhatBlob:
		chunk, err := wire.ParseChunk(m.Payload)
		if err != nil {
			c.t.Error(err)
			return
		}
		for _, s := range c.records {
			for hash, length := range blobsOf(s.Record) {
				if hash != chunk.Blob || length != chunk.Total {
					continue
				}
				if c.blobs[hash] == nil {
					c.blobs[hash], c.have[hash] = make([]byte, length), map[int]bool{}
				}
				copy(c.blobs[hash][chunk.Offset:], chunk.Data)
				c.have[hash][chunk.Index()] = true
				c.answer(s, false)
			}
		}
	}
}

func blobsOf(r *evidence.Record) map[evidence.Hash]uint64 {
	blobs := map[evidence.Hash]uint64{}
	for _, f := range r.Frames {
		blobs[f.SHA256] = uint64(f.Length)
	}
	if r.Trace != nil {
		blobs[r.Trace.SHA256] = uint64(r.Trace.Length)
	}
	return blobs
}

// answer sends a receipt when all is there, and what is there when asked by the
// record.
func (c *receiver) answer(s *evidence.Sealed, asked bool) {
	have := wire.Have{Device: device, ID: s.ID}
	for hash, length := range blobsOf(s.Record) {
		if sha256.Sum256(c.blobs[hash]) == hash {
			continue
		}
		b := wire.HaveBlob{SHA256: hash}
		for i := range wire.ChunkCount(length) {
			if from, to := wire.ChunkRange(length, i); c.have[hash][i] {
				if n := len(b.Ranges); n > 0 && b.Ranges[n-1].To == from {
					b.Ranges[n-1].To = to
				} else {
					b.Ranges = append(b.Ranges, wire.Range{From: from, To: to})
				}
			}
		}
		have.Blobs = append(have.Blobs, b)
	}
	topic, payload := wire.WhatCommand, []byte(nil)
	var err error
	switch {
	case len(have.Blobs) == 0:
		c.whole[s.ID] = true
		topic = wire.WhatReceipt
		var r *evidence.SealedReceipt
		r, err = evidence.SealReceipt(&evidence.Receipt{
			Device: device, LogSize: s.Record.Seq + 1, UTC: time.Now().Truncate(time.Microsecond),
			Entries: []evidence.ReceiptEntry{{Epoch: s.Record.Epoch, Seq: s.Record.Seq, ID: s.ID, Index: s.Record.Seq}},
		}, c.signer)
		if err == nil {
			payload = r.Bytes
		}
	case asked:
		payload, err = wire.SealHave(&have, c.signer)
	default:
		return
	}
	if err != nil {
		c.t.Error(err)
		return
	}
	c.session.Publish(uplink.Message{Topic: wire.Topic(shard, device, topic), Payload: payload})
}

func signer(t *testing.T) (*ecdsa.PublicKey, evidence.Signer) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s, err := evidence.NewSigner(key)
	if err != nil {
		t.Fatal(err)
	}
	return &key.PublicKey, s
}

// heartbeat and passage make records for the outbox.
func heartbeat(h outbox.Head) *evidence.Record {
	return &evidence.Record{
		Kind: evidence.KindHeartbeat, Device: device, Epoch: h.Epoch, Seq: h.Next, Prev: h.Prev, Ack: h.Ack,
		Boot: [16]byte{0xb0}, Mono: 1_000_000_000, UTC: time.Now().UTC().Truncate(time.Microsecond),
		Clock:         sensor.ClockState{Source: "simulated", Synchronised: true, Uncertainty: time.Millisecond},
		Configuration: evidence.Statement{ID: "lab", Version: 1, SHA256: evidence.Hash{1}},
		Software:      evidence.Software{Version: "0.0.0"},
		Key:           evidence.KeyInfo{Class: "file", Certificate: evidence.Hash{2}},
		Body:          evidence.Body{1: uint64(1), 2: uint64(0), 3: uint64(0), 4: uint64(0)},
	}
}

func passage(h outbox.Head, frames [][]byte, trace []byte) *evidence.Record {
	r := heartbeat(h)
	r.Kind, r.Body = evidence.KindTest, evidence.Body{1: "made by a test"}
	r.Site = &evidence.Site{ID: "lab", Road: "SP 14", Heading: 10, Lane: 1}
	r.Calibration = &evidence.Calibration{
		Statement: evidence.Statement{ID: "A-1", Version: 1, SHA256: evidence.Hash{3}},
		NotAfter:  r.UTC.AddDate(1, 0, 0).Truncate(time.Second), Approval: "n. 1", Decree: "n. 2",
	}
	r.Measurement = &evidence.Measurement{
		Speed: 6305, Indicated: 6300, Reduction: 500, Assessed: 5800, Limit: 5000, Rule: "it",
		Direction: sensor.Approaching, Uncertainty: 21, Start: 100, End: 900_000_000, Photo: 500_000_000,
	}
	for i, data := range frames {
		r.Frames = append(r.Frames, evidence.Frame{
			Role: []string{"before", "photo"}[i], MediaType: "image/jpeg", SHA256: sha256.Sum256(data), Length: uint32(len(data)),
			Number: uint64(i + 1), Mono: sensor.Mono(400_000_000 + i*100_000_000), Exposure: time.Millisecond,
		})
	}
	r.Trace = &evidence.Trace{
		SHA256: sha256.Sum256(trace), Length: uint32(len(trace)), Format: "audio/wav", Model: "SIM", Serial: "1", Samples: 10,
		First: 100, Last: 900_000_000,
	}
	return r
}

// TestOutboxToReceipt is the whole uplink: a real outbox, paho and a broker,
// over a network that is cut in the middle of frames, for hours, and then works.
func TestOutboxToReceipt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		road := newRoad(t)
		defer road.broker.Close()
		devicePub, deviceKey := signer(t)
		centrePub, centreKey := signer(t)

		// The centre stands beside its broker: its connection is never cut.
		beside, err := mqtt.New(mqtt.Options{Open: func(context.Context) (net.Conn, error) {
			near, far := net.Pipe()
			go road.broker.EstablishConnection("pipe", far)
			return near, nil
		}})
		if err != nil {
			t.Fatal(err)
		}
		centre := &receiver{
			t: t, signer: centreKey, device: devicePub, records: map[evidence.Hash]*evidence.Sealed{},
			blobs: map[evidence.Hash][]byte{}, have: map[evidence.Hash]map[int]bool{}, whole: map[evidence.Hash]bool{},
		}
		centre.mu.Lock()
		centre.session, err = beside.Dial(t.Context(), uplink.SessionOptions{
			ClientID: centreID, Subscribe: []string{wire.Filter(shard, wire.WhatRecord), wire.Filter(shard, wire.WhatBlob)}, Handle: centre.handle,
		})
		centre.mu.Unlock()
		if err != nil {
			t.Fatal(err)
		}
		defer centre.session.Close()

		box, err := outbox.Open(t.TempDir(), outbox.Options{Device: device})
		if err != nil {
			t.Fatal(err)
		}
		defer box.Close()
		dialer, err := mqtt.New(mqtt.Options{Open: road.open})
		if err != nil {
			t.Fatal(err)
		}
		sender, err := uplink.NewSender(uplink.SenderOptions{
			Store: box, Dialer: dialer, Device: device, Shard: shard, Boot: wire.BootID{1},
			CentreKey: func(kid evidence.Hash, _ time.Time) (*ecdsa.PublicKey, error) {
				if kid != centreKey.KeyID() {
					return nil, errors.New("not a centre's key")
				}
				return centrePub, nil
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- sender.Run(ctx) }()

		var sealed []*evidence.Sealed
		for hour := range 24 {
			road.cut(hour%4 != 0, 30_000+hour*70_000)
			frames := [][]byte{bytes.Repeat([]byte{byte(hour), 1}, 200_000), bytes.Repeat([]byte{byte(hour), 2}, 150_000)}
			trace := bytes.Repeat([]byte{byte(hour), 3}, 40_000)
			for _, put := range []func() (*evidence.Sealed, error){
				func() (*evidence.Sealed, error) {
					return box.Append(func(h outbox.Head) (*evidence.Sealed, error) { return evidence.Seal(heartbeat(h), deviceKey) })
				},
				func() (*evidence.Sealed, error) {
					return box.Append(func(h outbox.Head) (*evidence.Sealed, error) {
						return evidence.Seal(passage(h, frames, trace), deviceKey)
					},
						frames[0], frames[1], trace)
				},
			} {
				s, err := put()
				if err != nil {
					t.Fatal(err)
				}
				sealed = append(sealed, s)
			}
			time.Sleep(time.Hour)
		}
		road.cut(false, 0)
		time.Sleep(10 * time.Minute)
		if n := box.Stats().Unsettled; n != 0 {
			t.Errorf("%d records without receipt, %+v", n, sender.Snapshot())
		}
		centre.mu.Lock()
		for _, s := range sealed {
			if !centre.whole[s.ID] {
				t.Errorf("record %d did not arrive whole", s.Record.Seq)
			}
		}
		centre.mu.Unlock()
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		t.Logf("%+v", sender.Snapshot())
	})
}
