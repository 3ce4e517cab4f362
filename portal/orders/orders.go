// Package orders keeps what a centre and its officers have ordered devices to do:
// one file an order, the very bytes that the device gets, under
// orders/<device>/<number>-<key>.order.
//
// What it keeps true: a key gives a device no number twice, whatever copy of the
// folder comes back; an order is whole or not there; what became of one follows
// from the device's records alone, and is never written down beside them.
//
// A Book may be used by several goroutines and programs at once.
package orders

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"ciglio/capture/evidence"
	"ciglio/internal/durable"
	"ciglio/uplink/wire"
)

const (
	folder   = "orders"
	lockName = "orders.lock"
	ending   = ".order"

	keyDigits = 16 // of the signer's key id, in the name of a file
)

// MaxListed is how many orders of a device are read: the newest.
const MaxListed = 200

// ErrUsed says that a signer's number was given to another order.
var ErrUsed = errors.New("number used before")

// A Book is the orders of one centre.
type Book struct{ dir string }

// Open returns the book of the centre in dir. There is nothing to close.
func Open(dir string) *Book { return &Book{dir} }

// An Entry is one order as it was signed.
type Entry struct {
	wire.Order
	KeyID evidence.Hash // of the signer
	Bytes []byte
	Hash  evidence.Hash // SHA-256 of Bytes
}

// Sign gives the order the next number of the signer, signs it and keeps it. It is
// good from a minute before now, for devices whose clock is a little behind, for the
// given time. What else is done with it, before does: when that fails, the order is
// not kept. It may be nil.
func (b *Book) Sign(o wire.Order, s evidence.Signer, now time.Time, valid time.Duration, before func(*Entry) error) (*Entry, error) {
	now = now.UTC().Truncate(time.Second)
	o.NotBefore, o.NotAfter = now.Add(-time.Minute), now.Add(valid)
	lock, err := b.lock()
	if err != nil {
		return nil, err
	}
	defer lock.Close()
	// The seconds since 1970 rise above whatever a copy from before has.
	o.Number = uint64(now.Unix())
	names, err := b.names(o.Device)
	if err != nil {
		return nil, err
	}
	for _, name := range names { // another key's numbers may be as high as it likes
		if number, key, ok := parseName(name); ok && key == s.KeyID().String()[:keyDigits] && number >= o.Number {
			o.Number = number + 1
		}
	}
	bytes, err := wire.SealOrder(&o, s)
	if err != nil {
		return nil, err
	}
	e, err := open(bytes)
	if err == nil && before != nil {
		err = before(e)
	}
	if err != nil {
		return nil, err
	}
	return e, b.keep(e)
}

// Put keeps an order that was signed elsewhere. The error wraps [ErrUsed] when the
// number is taken; the same order again is none.
//
// Whether its signer may order that, the caller has looked at.
func (b *Book) Put(bytes []byte) (*Entry, error) {
	e, err := open(bytes)
	if err != nil {
		return nil, err
	}
	lock, err := b.lock()
	if err != nil {
		return nil, err
	}
	defer lock.Close()
	return e, b.keep(e)
}

// lock keeps others from giving numbers until it is closed.
func (b *Book) lock() (*os.File, error) {
	if err := os.MkdirAll(filepath.Join(b.dir, folder), 0o700); err != nil {
		return nil, err
	}
	return durable.Wait(filepath.Join(b.dir, folder, lockName))
}

func open(bytes []byte) (*Entry, error) {
	sealed, err := wire.OpenOrder(bytes)
	if err != nil {
		return nil, err
	}
	o, err := sealed.Order()
	if err != nil {
		return nil, err
	}
	return &Entry{*o, sealed.KeyID, sealed.Bytes, sha256.Sum256(sealed.Bytes)}, nil
}

func (b *Book) device(id evidence.DeviceID) string {
	return filepath.Join(b.dir, folder, id.String())
}

// name is the file of an order. Numbers have as many digits as the largest.
func (e *Entry) name() string { return fmt.Sprintf("%019d-%.16s%s", e.Number, e.KeyID, ending) }

func parseName(name string) (number uint64, key string, ok bool) {
	n, err := fmt.Sscanf(name, "%19d-%16s", &number, &key)
	return number, key, err == nil && n == 2 && strings.HasSuffix(name, ending) && len(name) == 19+1+16+len(ending)
}

func (b *Book) keep(e *Entry) error {
	dir := b.device(e.Device)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	path := filepath.Join(dir, e.name())
	switch before, err := os.ReadFile(path); {
	case err == nil && string(before) == string(e.Bytes):
		return nil
	case err == nil:
		return fmt.Errorf("order %d of key %.8s: %w", e.Number, e.KeyID, ErrUsed)
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	return durable.WriteFile(path, e.Bytes, 0o600)
}

// names lists the files of a device's orders, by their numbers.
func (b *Book) names(id evidence.DeviceID) ([]string, error) {
	entries, err := os.ReadDir(b.device(id))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if _, _, ok := parseName(e.Name()); ok {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

// Devices lists the devices that have orders, in order of their ids.
func (b *Book) Devices() ([]evidence.DeviceID, error) {
	entries, err := os.ReadDir(filepath.Join(b.dir, folder))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var all []evidence.DeviceID
	for _, e := range entries {
		if id, err := evidence.ParseDeviceID(e.Name()); err == nil {
			all = append(all, id)
		}
	}
	return all, nil
}

// List returns the newest orders of a device, up to [MaxListed], the newest first.
// An order whose file is damaged is an error beside the others.
func (b *Book) List(id evidence.DeviceID) (all []*Entry, err error) {
	names, err := b.names(id)
	if err != nil {
		return nil, err
	}
	var errs []error
	for _, name := range slices.Backward(names[max(0, len(names)-MaxListed):]) {
		path := filepath.Join(b.device(id), name)
		bytes, err := os.ReadFile(path)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		e, err := open(bytes)
		if err == nil && (e.name() != name || e.Device != id) {
			err = errors.New("under the name of another order")
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", path, err))
			continue
		}
		all = append(all, e)
	}
	return all, errors.Join(errs...)
}

// State says how far an order is.
type State string

// The states of an order.
const (
	Waiting State = "waiting" // not answered, and still in time
	Done    State = "done"
	Failed  State = "failed"
	Refused State = "refused" // for a reason that stays
	Expired State = "expired" // not answered in time: it is never executed
)

// An Answer is what a record of the device says of an order.
type Answer struct {
	Record evidence.Hash
	UTC    time.Time // of the record
	Words  string
	Act    *evidence.Act
}

// AnswerOf returns what a verified record of the device says of the order; nil when
// it says nothing of it.
func (e *Entry) AnswerOf(s *evidence.Sealed) *Answer {
	a := s.Record.ActOf()
	if a == nil || s.Record.Device != e.Device || a.Signer == nil || *a.Signer != e.KeyID || a.Number != e.Number {
		return nil
	}
	words, _ := s.Record.Body[1].(string)
	if w, ok := s.Record.Body[2].(string); ok && words == "" {
		words = w
	}
	return &Answer{s.ID, s.Record.UTC, words, a}
}

// The reasons of a device that refuses for the time being: docs/mqtt.md.
const tooSoon, badClock, noStore = "not_yet", "clock", "store"

// Final reports whether the answer stays whatever comes: a device that refuses for
// the time being may execute the order later.
func (a *Answer) Final() bool {
	return a.Act.Outcome != string(Refused) || a.Act.New != tooSoon && a.Act.New != badClock && a.Act.New != noStore
}

// State returns how far the order is, at a time, by all that the device's records
// say of it, the newest first, and the answer that says so.
func (e *Entry) State(now time.Time, answers []*Answer) (State, *Answer) {
	var last *Answer
	best := -1
	for _, a := range answers { // the newest first
		rank := 0
		switch {
		case a.Act.Outcome != string(Refused):
			rank = 2
		case a.Final():
			rank = 1
		}
		if rank > best {
			best, last = rank, a
		}
	}
	switch {
	case best == 2 && last.Act.Outcome == string(Done):
		return Done, last
	case best == 2:
		return Failed, last
	case best == 1:
		return Refused, last
	case now.After(e.NotAfter.Add(time.Second)):
		return Expired, last
	}
	return Waiting, last
}

// Backup copies every order to the folder of another centre.
func (b *Book) Backup(dest string) error {
	devices, err := b.Devices()
	if err != nil {
		return err
	}
	for _, id := range devices {
		names, err := b.names(id)
		if err != nil {
			return err
		}
		to := (&Book{dest}).device(id)
		if err := os.MkdirAll(to, 0o700); err != nil {
			return err
		}
		for _, name := range names {
			bytes, err := os.ReadFile(filepath.Join(b.device(id), name))
			if err != nil {
				return err
			}
			if err := durable.WriteFile(filepath.Join(to, name), bytes, 0o600); err != nil {
				return err
			}
		}
	}
	return nil
}
