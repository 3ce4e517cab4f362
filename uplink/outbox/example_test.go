package outbox_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"fmt"
	"os"
	"time"

	"ciglio/capture/evidence"
	"ciglio/sensor"
	"ciglio/uplink/outbox"
)

// A record gets its place in the chain from the store, and is on flash when Append
// returns. It settles by the receipt that the centre signs for it.
func ExampleOutbox() {
	dir, err := os.MkdirTemp("", "outbox-")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	device := evidence.DeviceID{1}
	store, err := outbox.Open(dir, outbox.Options{Device: device})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer store.Close()
	own, centre := newSigner(), newSigner()
	now := time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)

	sealed, err := store.Append(func(h outbox.Head) (*evidence.Sealed, error) {
		return evidence.Seal(&evidence.Record{
			Kind: evidence.KindHeartbeat, Device: device, Epoch: h.Epoch, Seq: h.Next, Prev: h.Prev, Ack: h.Ack,
			Boot: [16]byte{1}, Mono: 1, UTC: now, Clock: sensor.ClockState{Source: "adjtimex"},
			Software: evidence.Software{Version: "1.0"}, Key: evidence.KeyInfo{Class: "file"},
			Configuration: evidence.Statement{ID: "SP14-12", Version: 1},
			Body:          evidence.Body{1: uint64(0), 2: uint64(0), 3: uint64(0), 4: uint64(0)},
		}, own)
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("record %d of epoch %d, %d waits\n", sealed.Record.Seq, sealed.Record.Epoch, store.Stats().Unsettled)

	receipt, err := evidence.SealReceipt(&evidence.Receipt{
		Device: device, UTC: now, LogSize: 1, LogRoot: evidence.Hash{1},
		Entries: []evidence.ReceiptEntry{{Epoch: 1, Seq: 1, ID: sealed.ID}},
	}, centre)
	if err != nil {
		fmt.Println(err)
		return
	}
	settled, err := store.Settle(receipt) // whose signature the caller has verified
	fmt.Printf("%d settled, %d waits, %v\n", settled, store.Stats().Unsettled, err)
	// Output:
	// record 1 of epoch 1, 1 waits
	// 1 settled, 0 waits, <nil>
}

// newSigner returns a key in memory; those of a device lie in a TPM or a file.
func newSigner() evidence.Signer {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	signer, err := evidence.NewSigner(key)
	if err != nil {
		panic(err)
	}
	return signer
}
