package agent

import (
	"archive/tar"
	"bytes"
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"os"
	"sync"

	"filippo.io/age"

	"ciglio/agent/journal"
	"ciglio/agent/provision"
	"ciglio/agent/stick/helper"
	"ciglio/capture/evidence"
	"ciglio/uplink"
	"ciglio/uplink/outbox"
	"ciglio/uplink/wire"
)

// This file does what a stick brings orders for, and fills what it takes away.

// maxExport is how many records one order takes out.
const maxExport = 1000

// errNoStick says that evidence leaves on the stick that brought the order, and by no
// other way.
var errNoStick = errors.New("evidence is written to the stick that brings the order itself, and none has")

// An errand is an order of the stick that is in, and the way to write to it. It is
// safe for concurrent use.
type errand struct {
	mu    sync.Mutex
	order *wire.Order
	put   provision.Put
}

// run calls do while the order in b may write to the stick.
func (e *errand) run(b []byte, put provision.Put, do func([]byte) (evidence.Act, error)) (evidence.Act, error) {
	if sealed, err := wire.OpenOrder(b); err == nil {
		if order, err := sealed.Order(); err == nil {
			e.set(order, put)
			defer e.set(nil, nil)
		}
	}
	return do(b)
}

func (e *errand) set(order *wire.Order, put provision.Put) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.order, e.put = order, put
}

// of returns the way to the stick for an order that came by it; nil for another.
func (e *errand) of(order *wire.Order) provision.Put {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.order == nil || *e.order != *order {
		return nil
	}
	return e.put
}

// order executes an order of a stick on the device that runs.
func (l *lives) order(b []byte, put provision.Put) (evidence.Act, error) {
	d, err := l.device()
	if err != nil {
		return evidence.Act{}, err
	}
	return l.errand.run(b, put, d.Order)
}

// export executes an officer's order to give records out: one archive, encrypted to
// the centre as the root has named it, in files that age reads when they are put
// together again.
func (l *lives) export(order *wire.Order, a *evidence.Act) (string, error) {
	a.Subject = wire.Numbers{Epoch: order.Epoch, From: order.From, To: order.To}.String()
	put := l.errand.of(order)
	if put == nil {
		return "", errNoStick
	}
	if order.To-order.From >= maxExport {
		return "", fmt.Errorf("at most %d records at once", maxExport)
	}
	switch centre, err := l.state.Centre(); {
	case err != nil:
		return "", err
	case centre == "":
		return "", errors.New("no recipient of the centre is installed: a trust bundle brings it")
	case centre != order.Recipient:
		return "", errors.New("the recipient is not that of the centre")
	}
	recipient, err := age.ParseX25519Recipient(order.Recipient)
	if err != nil {
		return "", err
	}
	view, err := outbox.OpenView(outboxDir(l.config), l.id)
	if err != nil {
		return "", err
	}
	defer view.Close()
	keys, err := recordsOf(view, order)
	if err != nil {
		return "", err
	}
	if len(keys) == 0 {
		return "", errors.New("none of these records is in the store")
	}
	to := newParts(put, fmt.Sprintf("evidence-%.8s-%d-%d-%d.tar.age", l.id, order.Epoch, order.From, order.To))
	if err := writeArchive(to, recipient, view, keys); err != nil {
		return "", err
	}
	sum := evidence.Hash(to.hash.Sum(nil))
	a.NewHash = &sum
	a.New = fmt.Sprintf("%d of %d records, %d bytes in %d files", len(keys), order.To-order.From+1, to.size, to.files)
	return a.New + " on the stick", nil
}

// recordsOf returns the records of an order that are in the store.
func recordsOf(view *outbox.View, order *wire.Order) (keys []uplink.Key, err error) {
	for i, err := range view.All(uplink.Key{Epoch: order.Epoch, Seq: order.From - 1}) {
		if err != nil {
			return keys, err
		}
		if i.Epoch != order.Epoch || i.Seq > order.To {
			break
		}
		if i.Kind != 0 {
			keys = append(keys, i.Key)
		}
	}
	return keys, nil
}

// writeArchive writes the bundles of records as one encrypted archive.
func writeArchive(to *parts, recipient age.Recipient, view *outbox.View, keys []uplink.Key) error {
	sealed, err := age.Encrypt(to, recipient)
	if err != nil {
		return err
	}
	archive := tar.NewWriter(sealed)
	for _, k := range keys {
		b, noReceipt, err := readBundle(view, k)
		if err := cmp.Or(err, noReceipt); err != nil {
			return fmt.Errorf("record %d of epoch %d: %w", k.Seq, k.Epoch, err)
		}
		var text bytes.Buffer
		if err := evidence.WriteBundle(&text, b); err != nil {
			return err
		}
		const own = 0o600 // there are pictures in it
		if err := archive.WriteHeader(&tar.Header{Name: fmt.Sprintf("%d-%d.zip", k.Epoch, k.Seq), Mode: own, Size: int64(text.Len())}); err != nil {
			return err
		}
		if _, err := archive.Write(text.Bytes()); err != nil {
			return err
		}
	}
	return errors.Join(archive.Close(), sealed.Close(), to.Close())
}

// parts writes a stream to a stick in files as large as one may be: NAME.001 and so
// on.
type parts struct {
	put   provision.Put
	name  string
	part  []byte
	files int
	size  int64
	hash  hash.Hash // of the whole
}

func newParts(put provision.Put, name string) *parts {
	return &parts{put: put, name: name, hash: sha256.New()}
}

func (p *parts) Write(b []byte) (n int, err error) {
	p.hash.Write(b)
	p.size += int64(len(b))
	for n < len(b) {
		take := min(len(b)-n, helper.MaxPut-len(p.part))
		p.part = append(p.part, b[n:n+take]...)
		n += take
		if len(p.part) == helper.MaxPut {
			if err := p.flush(); err != nil {
				return n, err
			}
		}
	}
	return n, nil
}

// Close writes what is left.
func (p *parts) Close() error {
	if len(p.part) == 0 {
		return nil
	}
	return p.flush()
}

func (p *parts) flush() error {
	p.files++
	err := p.put(fmt.Sprintf("%s.%03d", p.name, p.files), p.part)
	p.part = p.part[:0]
	return err
}

// maxLeft is how many entries of the journal a stick takes away: the newest.
const maxLeft = 2000

// leave returns what each stick takes away: the request for certificates, and the
// journal. What cannot be made is logged.
func (l *lives) leave() []provision.Named {
	var files []provision.Named
	p := &person{c: l.config, id: l.id}
	if r, err := p.request(l.keys, l.certificate); err != nil {
		l.log.Warn("no request for the stick", "error", err)
	} else {
		files = append(files, provision.Named{Name: fmt.Sprintf("request-%.8s.cose", l.id), Content: r.Bytes})
	}
	entries, err := outboxJournal(outboxDir(l.config), journal.Filter{Last: maxLeft})
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		l.log.Warn("journal for the stick is not whole", "error", err)
	}
	if len(entries) > 0 {
		var text bytes.Buffer
		printJournal(&text, entries)
		files = append(files, provision.Named{Name: fmt.Sprintf("journal-%.8s.txt", l.id), Content: text.Bytes()[:min(text.Len(), helper.MaxPut)]})
	}
	return files
}
