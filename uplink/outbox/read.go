package outbox

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"iter"
	"sync"

	"ciglio/capture/evidence"
	"ciglio/uplink/wire"
)

// source gives access to the files of a store: an [Outbox] through bbolt, a
// [View] page by page.
type source interface {
	view(s *segment, fn func(t tree) error) error
	viewState(fn func(t tree) error) error
	// elsewhere returns the segment that holds the record at k and is not in
	// use, or nil.
	elsewhere(k Key) *segment
}

// library is what an [Outbox] and a [View] have in common: reading.
type library struct {
	dir    string
	source source
	// quarantined is called, with no lock held, when a record turns out
	// damaged for the first time.
	quarantined func(k Key, cause error)

	mu    sync.RWMutex
	index // guarded by mu
}

// Unsettled lists up to max records after the given place that wait to be sent,
// in the order of the chain. Each call costs as much as what it returns, however
// many records there are. Records that turn out damaged are passed over.
func (l *library) Unsettled(after Key, max int) ([]Item, error) {
	var items []Item
	for len(items) < max {
		l.mu.RLock()
		places := l.after(after, max-len(items), true)
		l.mu.RUnlock()
		if len(places) == 0 {
			break
		}
		after = places[len(places)-1].key
		err := l.entries(places, func(it Listed, err error) {
			if err == nil {
				items = append(items, it.Item)
			}
		})
		if err != nil {
			return nil, err
		}
	}
	return items, nil
}

// List lists up to max records after the given place, in whatever state, in the
// order of the chain. Of a damaged one there may be no more than its place.
func (l *library) List(after Key, max int) ([]Listed, error) {
	var list []Listed
	var err error
	for len(list) == 0 && err == nil { // a whole run of places may have gone with its segment
		l.mu.RLock()
		places := l.after(after, max, false)
		l.mu.RUnlock()
		if len(places) == 0 {
			break
		}
		after = places[len(places)-1].key
		err = l.entries(places, func(it Listed, _ error) { list = append(list, it) })
	}
	l.mu.RLock()
	defer l.mu.RUnlock()
	for i := range list {
		if s := l.find(list[i].Key); s != nil {
			list[i].State, list[i].Note = l.state(s, list[i].Key)
		}
	}
	return list, err
}

// All lists every record after the given place as [List] does, a bounded number at a
// time; records that are appended meanwhile may be among them. An error is the last.
func (l *library) All(after Key) iter.Seq2[Listed, error] {
	const atOnce = 1000
	return func(yield func(Listed, error) bool) {
		for {
			list, err := l.List(after, atOnce)
			if err != nil {
				yield(Listed{}, err)
				return
			}
			if len(list) == 0 {
				return
			}
			for _, it := range list {
				if after = it.Key; !yield(it, nil) {
					return
				}
			}
		}
	}
}

// entries reads what the entries at the given places say, one transaction a
// segment. do also gets an error for each that is damaged, which is quarantined,
// and is not called for those whose segment is gone; any other error ends the
// reading.
func (l *library) entries(places []place, do func(it Listed, err error)) error {
	type result struct {
		it  Listed
		err error
	}
	read := func(t tree, k Key) result {
		e, err := readEntry(t, k)
		if err != nil {
			return result{Listed{Item: Item{Key: k}}, err}
		}
		return result{Listed{Item: e.item(k), Time: e.time}, nil}
	}
	for len(places) > 0 {
		n := 1
		for n < len(places) && places[n].seg == places[0].seg {
			n++
		}
		results := make([]result, 0, n)
		err := l.source.view(places[0].seg, func(t tree) error {
			results = results[:0] // a view may have to start again
			for _, p := range places[:n] {
				results = append(results, read(t, p.key))
			}
			return nil
		})
		for errors.Is(err, ErrDamaged) && len(results) < n { // bbolt gave way on one of them
			k := places[len(results)].key
			r := result{it: Listed{Item: Item{Key: k}}}
			r.err = l.source.view(places[0].seg, func(t tree) error {
				r = read(t, k)
				return r.err
			})
			results = append(results, r)
		}
		if err != nil && !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrNotFound) {
			return err
		}
		for _, r := range results {
			if r.err != nil {
				r.err = l.quarantine(r.it.Key, r.err)
			}
			do(r.it, r.err)
		}
		places = places[n:]
	}
	return nil
}

// readEntry reads one entry and checks that it is what was written.
func readEntry(t tree, k Key) (*entry, error) {
	v, err := t.value(number(k.Seq), bucketRecords)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if v == nil {
		return nil, fmt.Errorf("%w: its segment does not have it", ErrDamaged)
	}
	e, err := parseEntry(v)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return e, nil
}

// quarantine names the record in an error and, when it says that the record is
// damaged, keeps it from being offered again.
func (l *library) quarantine(k Key, cause error) error {
	err := fmt.Errorf("record epoch %d number %d: %w", k.Epoch, k.Seq, cause)
	if !errors.Is(cause, ErrDamaged) {
		return err
	}
	l.mu.Lock()
	_, known := l.damaged[k]
	if !known {
		l.damaged[k] = cause.Error()
	}
	l.mu.Unlock()
	if !known && l.quarantined != nil {
		l.quarantined(k, err)
	}
	return err
}

// with reads the record at k: its segment, then fn on its entry.
func (l *library) with(k Key, fn func(t tree, e *entry) error) error {
	s := l.holder(k)
	if s == nil {
		return fmt.Errorf("record epoch %d number %d: %w", k.Epoch, k.Seq, ErrNotFound)
	}
	err := l.source.view(s, func(t tree) error {
		e, err := readEntry(t, k)
		if err != nil {
			return err
		}
		return fn(t, e)
	})
	if err != nil {
		return l.quarantine(k, err)
	}
	return nil
}

// holder returns the segment that holds the record at k, in use or not, or nil.
func (l *library) holder(k Key) *segment {
	l.mu.RLock()
	s := l.find(k)
	l.mu.RUnlock()
	if s == nil {
		s = l.source.elsewhere(k)
	}
	return s
}

// Record returns a sealed record. It has been hashed: it is the record that was
// stored under this place. The signature is not checked.
func (l *library) Record(k Key) ([]byte, error) {
	var b []byte
	err := l.with(k, func(_ tree, e *entry) error {
		b = append([]byte(nil), e.sealed...)
		s, err := evidence.Open(b)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrDamaged, err)
		}
		if s.ID != e.id || s.Record.Epoch != k.Epoch || s.Record.Seq != k.Seq {
			return fmt.Errorf("%w: it is epoch %d number %d, id %v", ErrDamaged, s.Record.Epoch, s.Record.Seq, s.ID)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return b, nil
}

// Chunk returns one chunk message of a record's blob, as it is to be sent. Its
// header and checksum have been checked; the hash of the whole blob has not, see
// [Outbox.Blob].
func (l *library) Chunk(k Key, blob, chunk int) ([]byte, error) {
	var b []byte
	err := l.with(k, func(t tree, e *entry) error {
		_, raw, err := readChunk(t, e, k, blob, chunk)
		b = append([]byte(nil), raw...)
		return err
	})
	if err != nil {
		return nil, err
	}
	return b, nil
}

// readChunk reads one chunk and checks that it is the one meant.
func readChunk(t tree, e *entry, k Key, blob, chunk int) (wire.Chunk, []byte, error) {
	if blob < 0 || blob >= len(e.blobs) || chunk < 0 || chunk >= wire.ChunkCount(uint64(e.blobs[blob].length)) {
		return wire.Chunk{}, nil, fmt.Errorf("blob %d chunk %d: %w", blob, chunk, ErrNotFound)
	}
	raw, err := t.value(chunkKey(blob, chunk), bucketBlobs, number(k.Seq))
	if err == nil && raw == nil {
		err = errors.New("not stored")
	}
	var c wire.Chunk
	if err == nil {
		c, err = wire.ParseChunk(raw)
	}
	if ref := e.blobs[blob]; err == nil && (c.Blob != ref.hash || c.Total != uint64(ref.length) || c.Index() != chunk) {
		err = errors.New("another chunk in its place")
	}
	if err != nil {
		return wire.Chunk{}, nil, fmt.Errorf("%w: blob %d chunk %d: %w", ErrDamaged, blob, chunk, err)
	}
	return c, raw, nil
}

// Blob returns a whole blob of a record. It has been hashed: it is what the
// record names.
func (l *library) Blob(k Key, blob int) ([]byte, error) {
	var b []byte
	err := l.with(k, func(t tree, e *entry) error {
		if blob < 0 || blob >= len(e.blobs) {
			return fmt.Errorf("blob %d: %w", blob, ErrNotFound)
		}
		ref := e.blobs[blob]
		b = make([]byte, 0, ref.length)
		for chunk := range wire.ChunkCount(uint64(ref.length)) {
			c, _, err := readChunk(t, e, k, blob, chunk)
			if err != nil {
				return err
			}
			b = append(b, c.Data...)
		}
		if have := evidence.Hash(sha256.Sum256(b)); have != ref.hash {
			return fmt.Errorf("%w: blob %d: its hash is %v, the record names %v", ErrDamaged, blob, have, ref.hash)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return b, nil
}

// Receipt returns the sealed receipt that settled the record.
func (l *library) Receipt(k Key) ([]byte, error) {
	s := l.holder(k)
	if s == nil {
		return nil, fmt.Errorf("receipt of epoch %d number %d: %w", k.Epoch, k.Seq, ErrNotFound)
	}
	var b []byte
	err := l.source.viewState(func(t tree) error {
		n, err := t.value(number(k.Seq), bucketSettled, number(s.number))
		if err == nil && n == nil {
			err = ErrNotFound
		}
		if err != nil {
			return err
		}
		raw, err := t.value(n, bucketReceipts)
		b = append([]byte(nil), raw...)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("receipt of epoch %d number %d: %w", k.Epoch, k.Seq, err)
	}
	r, err := evidence.OpenReceipt(b)
	if err != nil {
		return nil, fmt.Errorf("receipt of epoch %d number %d: %w: %w", k.Epoch, k.Seq, ErrDamaged, err)
	}
	if _, ok := r.Receipt.Entry(k.Epoch, k.Seq); !ok {
		return nil, fmt.Errorf("receipt of epoch %d number %d: %w: it names others", k.Epoch, k.Seq, ErrDamaged)
	}
	return b, nil
}

// bytes returns the size of all segments. mu is held.
func (l *library) bytes() (n int64) {
	for _, s := range l.segments {
		n += s.size
	}
	return n
}

// stats counts what the index knows.
func (l *library) stats() Stats {
	l.mu.RLock()
	st := Stats{SetAside: len(l.aside), Damaged: len(l.damaged), Segments: len(l.segments), Bytes: l.bytes()}
	var oldest []place
	for _, s := range l.segments {
		st.Records += s.records()
		if n := s.unsettled(); n > 0 {
			st.Unsettled += n
			if oldest == nil {
				oldest = []place{{s, at(s.epoch, s.firstSeq+s.settled.clear(0))}}
			}
		}
	}
	l.mu.RUnlock()
	// A record whose entry cannot be read has no time that could be told.
	_ = l.entries(oldest, func(it Listed, _ error) { st.Oldest = it.Time })
	return st
}
