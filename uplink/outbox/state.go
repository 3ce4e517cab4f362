package outbox

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"time"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"ciglio/capture/evidence"
	"ciglio/internal/durable"
)

const stateName = "state.db"

// stateFile is state.db, open for writing.
type stateFile struct{ db *bolt.DB }

func (s *stateFile) update(fn func(tx *bolt.Tx) error) error {
	err := update(s.db, fn)
	if errors.Is(err, bolterrors.ErrDatabaseNotOpen) {
		return ErrClosed
	}
	if err != nil {
		return diskError(stateName, err)
	}
	return nil
}

func (s *stateFile) view(fn func(t tree) error) error {
	return guard(func() error { return s.db.View(func(tx *bolt.Tx) error { return fn(boltTree{tx}) }) })
}

// createState makes an empty state.db.
func createState(dir string, device evidence.DeviceID) error {
	path := filepath.Join(dir, stateName)
	temp := path + ".new"
	_ = os.Remove(temp)
	db, err := bolt.Open(temp, 0o600, &bolt.Options{Timeout: time.Second, PageSize: pageSize})
	if err != nil {
		return diskError(stateName, err)
	}
	err = update(db, func(tx *bolt.Tx) error {
		for _, name := range [][]byte{bucketReceipts, bucketReferences, bucketSettled, bucketAside, bucketExpired} {
			if _, err := tx.CreateBucket(name); err != nil {
				return err
			}
		}
		b, err := tx.CreateBucket(bucketState)
		if err != nil {
			return err
		}
		return b.Put(keyAbout, append([]byte{version, 0, 0, 0, 0, 0, 0, 0}, device[:]...))
	})
	err = errors.Join(err, db.Close())
	if err == nil {
		err = durable.Rename(temp, path)
	}
	if err != nil {
		_ = os.Remove(temp)
		return diskError(stateName, err)
	}
	return nil
}

// openState opens a state.db that has been walked.
func openState(dir string) (*stateFile, error) {
	var db *bolt.DB
	err := guard(func() (err error) {
		db, err = bolt.Open(filepath.Join(dir, stateName), 0o600, &bolt.Options{
			Timeout: time.Second, PageSize: pageSize, FreelistType: bolt.FreelistMapType, NoStatistics: true,
			InitialMmapSize: 8 << 20,
		})
		return err
	})
	if err != nil {
		return nil, diskError(stateName, err)
	}
	return &stateFile{db}, nil
}

// savedState is the content of state.db.
type savedState struct {
	ack     evidence.Hash
	mark    mark              // zero when there is none
	ledger  ledger            // empty when there is none
	settled map[uint64]*marks // by number of the segment
	aside   map[Key]string
	expired map[uint64]bool
}

// marks are the settled numbers of one segment.
type marks struct {
	last uint64
	seqs []uint64
}

// loadState reads state.db page by page. A file that does not exist is nil.
func loadState(dir string, device evidence.DeviceID) (saved *savedState, err error) {
	err = readPages(filepath.Join(dir, stateName), func(p *pageFile) error {
		if err := p.check(); err != nil {
			return err
		}
		saved, err = p.savedState(device)
		return err
	})
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return saved, nil
}

func (f *pageFile) savedState(device evidence.DeviceID) (*savedState, error) {
	b, err := f.value(keyAbout, bucketState)
	if err != nil {
		return nil, err
	}
	if len(b) != 24 || b[0] != version {
		return nil, fmt.Errorf("description of %d bytes, or of another version", len(b))
	}
	if evidence.DeviceID(b[8:]) != device {
		return nil, fmt.Errorf("state of device %v", evidence.DeviceID(b[8:]))
	}
	s := &savedState{settled: map[uint64]*marks{}, aside: map[Key]string{}, expired: map[uint64]bool{}}
	if b, err = f.value(keyAck, bucketState); err != nil {
		return nil, err
	}
	if b != nil {
		if len(b) != 32 {
			return nil, fmt.Errorf("newest receipt's hash of %d bytes", len(b))
		}
		s.ack = evidence.Hash(b)
	}
	if b, err = f.value(keyMark, bucketState); err != nil {
		return nil, err
	}
	if b != nil {
		if s.mark, err = parseMark(b); err != nil {
			return nil, err
		}
	}
	if b, err = f.value(keyLedger, bucketState); err != nil {
		return nil, err
	}
	if b != nil {
		if s.ledger, err = parseLedger(b); err != nil {
			return nil, err
		}
	}
	err = f.each(func(leaf *page, e element, k []byte) error {
		if len(k) != 16 {
			return fmt.Errorf("set aside: key %x", k)
		}
		why, err := leaf.value(e)
		s.aside[at(binary.BigEndian.Uint64(k), binary.BigEndian.Uint64(k[8:]))] = string(why)
		return err
	}, bucketAside)
	if err != nil {
		return nil, err
	}
	err = f.each(func(_ *page, _ element, k []byte) error {
		n, ok := parseNumber(k)
		if !ok {
			return fmt.Errorf("dropped segment: key %x", k)
		}
		s.expired[n] = true
		return nil
	}, bucketExpired)
	if err != nil {
		return nil, err
	}
	return s, f.each(func(_ *page, _ element, k []byte) error {
		n, ok := parseNumber(k)
		if !ok {
			return fmt.Errorf("settled: key %x", k)
		}
		m := &marks{}
		s.settled[n] = m
		return f.each(func(_ *page, _ element, k []byte) error {
			seq, ok := parseNumber(k)
			if !ok {
				return fmt.Errorf("settled: key %x", k)
			}
			m.last, m.seqs = seq, append(m.seqs, seq)
			return nil
		}, bucketSettled, k)
	}, bucketSettled)
}

// apply brings the saved state into the index.
func (s *savedState) apply(x *index) {
	x.lost = map[uint64]*marks{}
	maps.Copy(x.lost, s.settled)
	for _, seg := range x.segments {
		if m := s.settled[seg.number]; m != nil {
			for _, seq := range m.seqs {
				if seq >= seg.firstSeq && seq < seg.next {
					seg.settle(seq)
				}
			}
			if m.last < seg.next {
				delete(x.lost, seg.number)
			}
		}
	}
	x.aside = s.aside
}
