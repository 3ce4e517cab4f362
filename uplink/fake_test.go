package uplink

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"sort"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"ciglio/capture/evidence"
	"ciglio/uplink/wire"
)

var (
	testDevice = evidence.DeviceID{0xde, 0x1c, 0xe0}
	testBoot   = wire.BootID{0xb0}
	errHangUp  = errors.New("broker hung up")
)

const testShard = "lab"

// memory is a store in memory. Its records are not real ones: the sender does
// not look into them.
type memory struct {
	mu       sync.Mutex
	records  []*stored // by key
	first    int       // all before it are settled
	changed  chan struct{}
	asides   map[Key]string
	fails    error // of Unsettled
	settles  error // of Settle
	damaged  map[Key]bool
	unlisted int // Unsettled calls
}

type stored struct {
	item    Item
	blobs   [][]byte
	settled bool
}

func newMemory() *memory {
	return &memory{changed: make(chan struct{}), asides: map[Key]string{}, damaged: map[Key]bool{}}
}

func (m *memory) add(blobs ...[]byte) Key {
	m.mu.Lock()
	defer m.mu.Unlock()
	key := Key{1, uint64(len(m.records) + 1)}
	s := &stored{item: Item{Key: key, Kind: evidence.KindHeartbeat, Size: 64}, blobs: blobs}
	s.item.ID = evidence.Hash(sha256.Sum256(m.bytes(key)))
	for _, b := range blobs {
		s.item.Blobs = append(s.item.Blobs, BlobInfo{SHA256: sha256.Sum256(b), Length: uint64(len(b)), Chunks: wire.ChunkCount(uint64(len(b)))})
		s.item.Size += int64(len(b))
	}
	m.records = append(m.records, s)
	close(m.changed)
	m.changed = make(chan struct{})
	return key
}

func (m *memory) bytes(key Key) []byte {
	b := []byte("record")
	b = binary.BigEndian.AppendUint64(b, key.Epoch)
	return binary.BigEndian.AppendUint64(b, key.Seq)
}

func (m *memory) Unsettled(after Key, max int) ([]Item, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.unlisted++
	if m.fails != nil {
		return nil, m.fails
	}
	for m.first < len(m.records) && m.records[m.first].settled {
		m.first++
	}
	i := sort.Search(len(m.records), func(i int) bool { return after.Less(m.records[i].item.Key) })
	var items []Item
	for i = i + 0; i < len(m.records) && len(items) < max; i++ {
		if s := m.records[i]; !s.settled && m.asides[s.item.Key] == "" {
			items = append(items, s.item)
		}
		if i < m.first {
			i = m.first - 1
		}
	}
	return items, nil
}

func (m *memory) get(key Key) *stored { return m.records[key.Seq-1] }

func (m *memory) Record(key Key) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.damaged[key] {
		return nil, errors.New("damaged")
	}
	return m.bytes(key), nil
}

func (m *memory) Chunk(key Key, blob, chunk int) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.get(key)
	return wire.AppendChunk(nil, wire.CutChunk(s.item.Blobs[blob].SHA256, s.blobs[blob], chunk)), nil
}

func (m *memory) Settle(r *evidence.SealedReceipt) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.settles != nil {
		return 0, m.settles
	}
	n := 0
	for _, e := range r.Receipt.Entries {
		if e.Epoch == 1 && e.Seq <= uint64(len(m.records)) {
			if s := m.get(Key{1, e.Seq}); s.item.ID == e.ID && !s.settled {
				s.settled = true
				n++
			}
		}
	}
	close(m.changed)
	m.changed = make(chan struct{})
	return n, nil
}

func (m *memory) SetAside(key Key, reason string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.asides[key] = reason
	return nil
}

func (m *memory) release() {
	m.mu.Lock()
	defer m.mu.Unlock()
	clear(m.asides)
}

func (m *memory) Changed() <-chan struct{} {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.changed
}

func (m *memory) unsettled() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := 0
	for _, s := range m.records {
		if !s.settled {
			n++
		}
	}
	return n
}

// network is a dialer whose sessions a test scripts, with the centre behind it.
type network struct {
	mu       sync.Mutex
	down     error // Dial fails with it
	sessions []*fakeSession
	dials    int
	// publish decides what becomes of each message: errHangUp ends the session,
	// errLost leaves the message without an answer.
	publish func(s *fakeSession, n int, m Message) error
	centre  *centre
	delay   time.Duration // of acknowledgements
}

var errLost = errors.New("acknowledgement lost")

type fakeSession struct {
	net     *network
	options SessionOptions
	mu      sync.Mutex
	n       int
	waiting []chan error
	most    int // waiting at once
	done    chan struct{}
	err     error
	closed  bool
	inbox   chan Message
	wg      sync.WaitGroup
}

func (n *network) Dial(ctx context.Context, o SessionOptions) (Session, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.dials++
	if n.down != nil {
		return nil, n.down
	}
	s := &fakeSession{net: n, options: o, done: make(chan struct{}), inbox: make(chan Message, 3000)}
	n.sessions = append(n.sessions, s)
	s.wg.Go(func() {
		for {
			select {
			case m := <-s.inbox:
				o.Handle(m)
			case <-s.done:
				return
			}
		}
	})
	return s, nil
}

func (s *fakeSession) Publish(m Message) <-chan error {
	result := make(chan error, 1)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		result <- errors.New("session has ended")
		return result
	}
	s.n++
	s.waiting = append(s.waiting, result)
	s.most = max(s.most, len(s.waiting))
	verdict := error(nil)
	s.net.mu.Lock()
	if s.net.publish != nil {
		verdict = s.net.publish(s, s.n, m)
	}
	centre, delay := s.net.centre, s.net.delay
	s.net.mu.Unlock()
	switch {
	case errors.Is(verdict, errHangUp):
		s.endLocked(verdict)
		return result
	case verdict == errLost:
		return result
	}
	if centre != nil {
		centre.take(s, m)
	}
	answer := func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		for i, w := range s.waiting {
			if w == result {
				s.waiting = append(s.waiting[:i], s.waiting[i+1:]...)
				result <- nil
				return
			}
		}
	}
	if delay > 0 {
		s.wg.Go(func() {
			select {
			case <-time.After(delay):
				answer()
			case <-s.done:
			}
		})
	} else {
		s.waiting = s.waiting[:len(s.waiting)-1]
		result <- nil
	}
	return result
}

func (s *fakeSession) endLocked(err error) {
	if s.closed {
		return
	}
	s.closed, s.err = true, err
	for _, w := range s.waiting {
		w <- fmt.Errorf("unacknowledged: %w", err)
	}
	s.waiting = nil
	close(s.done)
}

func (s *fakeSession) end(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.endLocked(err)
}

func (s *fakeSession) Done() <-chan struct{} { return s.done }

func (s *fakeSession) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

func (s *fakeSession) Close() error {
	s.mu.Lock()
	if !s.closed {
		s.endLocked(errors.New("closed"))
		s.err = nil
	}
	s.mu.Unlock()
	s.wg.Wait()
	return nil
}

// change changes what a running network does.
func (n *network) change(f func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	f()
}

// dialled says how many sessions there were.
func (n *network) dialled() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.sessions)
}

// last returns the newest session.
func (n *network) last() *fakeSession {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.sessions) == 0 {
		return nil
	}
	return n.sessions[len(n.sessions)-1]
}

// cut ends the newest session and lets nobody in, or lets them in again.
func (n *network) cut(err error) {
	n.mu.Lock()
	n.down = err
	n.mu.Unlock()
	if err != nil {
		if s := n.last(); s != nil {
			s.end(err)
		}
	}
}

// lab is a sender with all its surroundings.
type lab struct {
	t      *testing.T
	store  *memory
	centre *centre
	net    *network
	sender *Sender
	log    *bytes.Buffer
	cancel context.CancelFunc
	ended  chan error
}

// newLab starts nothing: see run.
func newLab(t *testing.T, change func(*SenderOptions)) *lab {
	t.Helper()
	l := &lab{t: t, store: newMemory(), net: &network{}, log: &bytes.Buffer{}, ended: make(chan error, 1)}
	l.centre = newCentre(t, l.store)
	l.net.centre = l.centre
	o := SenderOptions{
		Store: l.store, Dialer: l.net, Device: testDevice, Shard: testShard, CentreKey: l.centre.lookUp, Boot: testBoot,
		Log: slog.New(slog.NewTextHandler(l.log, nil)),
	}
	if change != nil {
		change(&o)
	}
	var err error
	if l.sender, err = NewSender(o); err != nil {
		t.Fatal(err)
	}
	return l
}

func (l *lab) run() {
	ctx, cancel := context.WithCancel(l.t.Context())
	l.cancel = cancel
	go func() { l.ended <- l.sender.Run(ctx) }()
}

func (l *lab) stop() {
	l.cancel()
	if err := <-l.ended; err != nil {
		l.t.Errorf("Run: %v", err)
	}
}

// blob returns n bytes that no other blob has.
func blob(seed uint64, n int) []byte {
	b := make([]byte, n)
	binary.BigEndian.PutUint64(b, seed)
	return b
}

// rest lets time pass and everything settle that is due by then.
func rest(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}
