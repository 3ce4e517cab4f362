package outbox

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"math/big"
	mathrand "math/rand/v2"
	"path/filepath"
	"testing"
	"time"

	"ciglio/capture/evidence"
	"ciglio/sensor"
)

var (
	device = evidence.DeviceID{0xC1, 0x61, 0x10, 15: 7}
	noon   = time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)
)

// signer is a P-256 key in memory.
type signer struct {
	key *ecdsa.PrivateKey
	id  evidence.Hash
}

func newSigner(t testing.TB) *signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	return &signer{key, sha256.Sum256(der)}
}

func (s *signer) KeyID() evidence.Hash { return s.id }

func (s *signer) Sign(m evidence.ToBeSigned) (sig [64]byte, err error) {
	sum := m.Digest()
	r, v, err := ecdsa.Sign(rand.Reader, s.key, sum[:])
	if err != nil {
		return sig, err
	}
	n := elliptic.P256().Params().N
	if v.Cmp(new(big.Int).Rsh(n, 1)) > 0 {
		v.Sub(n, v)
	}
	r.FillBytes(sig[:32])
	v.FillBytes(sig[32:])
	return sig, nil
}

// heartbeat returns a record that continues the chain at h.
func heartbeat(h Head, utc time.Time) *evidence.Record {
	return &evidence.Record{
		Kind: evidence.KindHeartbeat, Device: device,
		Epoch: h.Epoch, Seq: h.Next, Prev: h.Prev, Ack: h.Ack,
		Boot: [16]byte{1}, Mono: 1, UTC: utc,
		Clock:         sensor.ClockState{Source: "adjtimex"},
		Software:      evidence.Software{Version: "test"},
		Key:           evidence.KeyInfo{Class: "file"},
		Configuration: evidence.Statement{ID: "cfg", Version: 1},
		Body:          evidence.Body{1: uint64(1), 2: uint64(0), 3: uint64(0), 4: uint64(0)},
	}
}

// violation returns a record of the given frames and trace.
func violation(h Head, utc time.Time, kind evidence.Kind, blobs []BlobInfo) *evidence.Record {
	r := heartbeat(h, utc)
	r.Kind, r.Body = kind, nil
	if kind == evidence.KindTest {
		r.Body = evidence.Body{1: "test of the store"}
	}
	r.Site = &evidence.Site{ID: "s1", Road: "SP 14", Lane: 1}
	r.Measurement = &evidence.Measurement{
		Speed: 10000, Indicated: 10000, Reduction: 500, Assessed: 9500, Limit: 9000, Rule: "it-2026",
		Direction: sensor.Approaching, Uncertainty: 10, Start: 1, Photo: 2, End: 3,
	}
	r.Calibration = &evidence.Calibration{
		Statement: evidence.Statement{ID: "A-117", Version: 1}, NotAfter: utc.Add(time.Hour).Truncate(time.Second),
		Approval: "a", Decree: "d",
	}
	last := len(blobs) - 1
	for i, b := range blobs[:last] {
		role := "after"
		if i == 0 {
			role = "photo"
		}
		r.Frames = append(r.Frames, evidence.Frame{
			Role: role, MediaType: "image/jpeg", SHA256: b.SHA256, Length: uint32(b.Length),
			Number: uint64(i + 1), Mono: sensor.Mono(i + 1), Exposure: time.Millisecond,
		})
	}
	r.Trace = &evidence.Trace{
		SHA256: blobs[last].SHA256, Length: uint32(blobs[last].Length),
		Format: "audio/wav", Model: "m", Serial: "1", Samples: 2, First: 1, Last: 2,
	}
	return r
}

// bed is a store and what it needs.
type bed struct {
	testing.TB
	dir     string
	options Options
	now     time.Time
	device  *signer
	centre  *signer
	logSize uint64
	*Outbox
}

func newBed(t testing.TB, change ...func(*Options)) *bed {
	t.Helper()
	b := &bed{TB: t, dir: filepath.Join(t.TempDir(), "outbox"), now: noon, device: newSigner(t), centre: newSigner(t)}
	b.options = Options{Device: device, SegmentSize: 4 << 20, Reserve: 1 << 20, Now: func() time.Time { return b.now }}
	for _, c := range change {
		c(&b.options)
	}
	b.open()
	t.Cleanup(func() {
		if b.Outbox != nil {
			b.shut()
		}
	})
	return b
}

func (b *bed) open() {
	b.Helper()
	o, err := Open(b.dir, b.options)
	if err != nil {
		b.Fatal(err)
	}
	b.Outbox = o
}

func (b *bed) shut() {
	b.Helper()
	if err := b.Outbox.Close(); err != nil {
		b.Error(err)
	}
	b.Outbox = nil
}

// crash leaves the store as a process does that is killed: without Close.
func (b *bed) crash() {
	b.Helper()
	if err := errors.Join(b.Outbox.release(), b.Outbox.lock.Close()); err != nil {
		b.Fatal(err)
	}
	b.Outbox = nil
}

func (b *bed) beat() *evidence.Sealed {
	b.Helper()
	s, err := b.tryBeat()
	if err != nil {
		b.Fatal(err)
	}
	return s
}

func (b *bed) tryBeat() (*evidence.Sealed, error) {
	return b.Append(func(h Head) (*evidence.Sealed, error) { return evidence.Seal(heartbeat(h, b.now), b.device) })
}

func (b *bed) violate(kind evidence.Kind, blobs ...[]byte) *evidence.Sealed {
	b.Helper()
	s, err := b.tryViolate(kind, blobs...)
	if err != nil {
		b.Fatal(err)
	}
	return s
}

func (b *bed) tryViolate(kind evidence.Kind, blobs ...[]byte) (*evidence.Sealed, error) {
	p, err := b.Prepare(blobs...)
	if err != nil {
		return nil, err
	}
	return b.AppendPrepared(func(h Head) (*evidence.Sealed, error) {
		return evidence.Seal(violation(h, b.now, kind, p.Blobs), b.device)
	}, p)
}

// returns fails the test when a call does not return, as one that waits for a
// lock that nobody gives back. Its error is the call's.
func (b *bed) returns(what string, call func() error) error {
	b.Helper()
	done := make(chan error, 1)
	go func() { done <- call() }()
	select {
	case err := <-done:
		return err
	case <-time.After(10 * time.Second):
		b.Outbox = nil // closing it would wait as well
		b.Fatalf("%s does not return", what)
		return nil
	}
}

// receipt is the centre's answer to records.
func (b *bed) receipt(records ...*evidence.Sealed) *evidence.SealedReceipt {
	b.Helper()
	r := &evidence.Receipt{Device: device, UTC: b.now, LogRoot: evidence.Hash{1}}
	for _, s := range records {
		r.Entries = append(r.Entries, evidence.ReceiptEntry{Epoch: s.Record.Epoch, Seq: s.Record.Seq, ID: s.ID, Index: b.logSize})
		b.logSize++
	}
	r.LogSize = b.logSize
	s, err := evidence.SealReceipt(r, b.centre)
	if err != nil {
		b.Fatal(err)
	}
	return s
}

func (b *bed) settle(records ...*evidence.Sealed) {
	b.Helper()
	if n, err := b.Settle(b.receipt(records...)); err != nil || n != len(records) {
		b.Fatalf("settled %d of %d: %v", n, len(records), err)
	}
}

// noise returns n bytes that do not compress, the same for the same seed.
func noise(seed uint64, n int) []byte {
	b := make([]byte, n)
	c := mathrand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8), byte(seed >> 16)})
	c.Read(b)
	return b
}

func key(s *evidence.Sealed) Key { return at(s.Record.Epoch, s.Record.Seq) }

// holds checks that the store gives back the record with all its blobs.
func (b *bed) holds(s *evidence.Sealed, blobs ...[]byte) {
	b.Helper()
	got, err := b.Record(key(s))
	if err != nil {
		b.Error(err)
		return
	}
	if !bytes.Equal(got, s.Bytes) {
		b.Errorf("record %v is another one", key(s))
	}
	for i, want := range blobs {
		if got, err := b.Blob(key(s), i); err != nil || !bytes.Equal(got, want) {
			b.Errorf("record %v blob %d: %d bytes, want %d, error %v", key(s), i, len(got), len(want), err)
		}
	}
}

func TestRecordsSurviveReopening(t *testing.T) {
	b := newBed(t)
	if r := b.Report(); !r.Fresh || r.Epoch != 1 {
		t.Errorf("report of a fresh store: %+v", r)
	}
	blobs := [][]byte{noise(1, 200_000), noise(2, 61384), noise(3, 10)}
	first := b.beat()
	second := b.violate(evidence.KindViolation, blobs...)
	b.settle(first)
	b.shut()
	b.open()
	if r := b.Report(); r.Fresh || !r.Clean || r.Rebuilt || r.Raised != "" || len(r.Missing)+len(r.Moved) > 0 {
		t.Errorf("report: %+v", r)
	}
	b.holds(first)
	b.holds(second, blobs...)
	items, err := b.Unsettled(Key{}, 10)
	if err != nil || len(items) != 1 || items[0].ID != second.ID || len(items[0].Blobs) != 3 {
		t.Errorf("unsettled: %+v, %v", items, err)
	}
	if h := b.Head(); h.Next != 3 || h.Prev != second.Link || h.Ack.IsZero() {
		t.Errorf("head: %+v", h)
	}
	if _, err := b.Receipt(key(first)); err != nil {
		t.Error(err)
	}
	b.beat()
}
