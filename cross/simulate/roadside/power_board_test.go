package roadside

import (
	"context"
	"crypto/ecdsa"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"ciglio/agent/device"
	"ciglio/capture/evidence"
	"ciglio/capture/key"
	"ciglio/uplink"
	"ciglio/uplink/mqtt"
	"ciglio/uplink/outbox"
)

// This file is what runs on the board whose power is cut: the device under load,
// and the start after a cut with the auditor. power_test.go is the other side.

// The environment of the device on the board, beside that of one to be killed.
const (
	envWitness = "CIGLIO_TEST_WITNESS" // file and offset where it writes what it has told
	envAudit   = "CIGLIO_TEST_AUDIT"   // file with the order of an audit: audit, do not play
)

const (
	lineLength   = 4096    // how much of the disk the witness takes
	smallSegment = 4 << 20 // of the store of a device with much traffic
)

// A witness writes each thing that the device tells anybody to the disk itself,
// at one place outside of the file system, before it is told. So the log of the
// disk's writes says how far the device had come at any moment. It does not flush:
// a witness must not make durable what it is a witness of.
type witness struct {
	mu   sync.Mutex
	disk *os.File
	at   int64
	page []byte // as direct writing wants it
}

// openWitness takes "DISK@OFFSET", the disk by its serial number.
func openWitness(spec string) (*witness, error) {
	serial, offset, _ := strings.Cut(spec, "@")
	w := &witness{}
	_, err := fmt.Sscan(offset, &w.at)
	var name string
	if err == nil {
		name, err = findDisk(serial)
	}
	if err == nil {
		w.disk, err = os.OpenFile(name, os.O_WRONLY|syscall.O_DIRECT, 0)
	}
	if err == nil {
		w.page, err = syscall.Mmap(-1, 0, lineLength, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	}
	if err != nil {
		return nil, fmt.Errorf("witness %s: %w", spec, err)
	}
	return w, nil
}

// findDisk returns the device of the disk with the given serial number: the order in
// which Linux finds disks is its own.
func findDisk(serial string) (string, error) {
	files, err := filepath.Glob("/sys/block/*/serial")
	if err != nil {
		return "", err
	}
	for _, f := range files {
		if text, err := os.ReadFile(f); err == nil && strings.TrimSpace(string(text)) == serial {
			return "/dev/" + filepath.Base(filepath.Dir(f)), nil
		}
	}
	return "", fmt.Errorf("no disk has the serial number %s", serial)
}

// say returns when the line has been given to the disk. A witness that fails ends
// the device: nothing it told would count.
func (w *witness) say(format string, a ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	clear(w.page)
	copy(w.page, fmt.Sprintf(format+"\n", a...))
	if _, err := w.disk.WriteAt(w.page, w.at); err != nil {
		fmt.Fprintln(os.Stderr, "witness:", err)
		os.Exit(3)
	}
}

// playBoard is the device of playDevice on a board. Its store has small segments,
// which are dropped once they are settled, so that cuts fall into all of that.
func playBoard(dir string) error {
	w, err := openWitness(os.Getenv(envWitness))
	if err != nil {
		return err
	}
	dialer, err := mqtt.New(mqtt.Options{Broker: "tcp://" + os.Getenv(envBroker)})
	if err != nil {
		return err
	}
	due := make(chan struct{}, 1)
	accepted := 0
	side, err := newRushed(dir, os.Getenv(envDrain) != "", parts{
		dialer: witnessed{dialer, w}, segment: smallSegment, retention: time.Hour,
		observe: func(o device.Outcome) {
			if o.Record == nil {
				return
			}
			w.say("accepted %v", placed(o.Record))
			fmt.Printf("accepted %v\n", placed(o.Record))
			if accepted++; accepted%4 == 0 {
				select {
				case due <- struct{}{}:
				default:
				}
			}
		},
	})
	if err != nil {
		return err
	}
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer cancel()
	retiring := make(chan error, 1)
	go func() {
		err := retire(ctx, side.outbox, due, w)
		cancel()
		retiring <- err
	}()
	if os.Getenv(envDrain) != "" {
		go drained(side.outbox, cancel)
	}
	err = side.device.Run(ctx)
	cancel()
	return errors.Join(err, <-retiring, side.outbox.Close())
}

// placed writes a record's place and id as the host reads it.
func placed(s *evidence.Sealed) string {
	return fmt.Sprintf("%d %d %v", s.Record.Epoch, s.Record.Seq, s.ID)
}

// retire tells of what is settled, and drops it. The device itself keeps it for an
// hour.
func retire(ctx context.Context, store *outbox.Outbox, due <-chan struct{}, w *witness) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-due:
		}
		list, err := store.List(uplink.Key{}, 10_000)
		if err != nil {
			return err
		}
		for i := 0; i < len(list); i++ {
			first := list[i]
			for i < len(list) && list[i].State == outbox.Settled && list[i].Epoch == first.Epoch {
				i++
			}
			if first.State == outbox.Settled {
				i--
				w.say("settled %d %d %d", first.Epoch, first.Seq, list[i].Seq)
			}
		}
		dropped, err := store.Expire(time.Now().Add(2 * time.Hour))
		for _, r := range dropped {
			w.say("dropped %d %d %d", r.Epoch, r.From, r.To)
		}
		if errors.Is(err, outbox.ErrClosed) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// A witnessed dialer tells of each record before it goes out, and of each receipt
// before the device acts on it.
type witnessed struct {
	uplink.Dialer
	w *witness
}

func (d witnessed) Dial(ctx context.Context, o uplink.SessionOptions) (uplink.Session, error) {
	handle := o.Handle
	o.Handle = func(m uplink.Message) {
		if r, err := evidence.OpenReceipt(m.Payload); err == nil {
			for _, e := range r.Receipt.Entries {
				d.w.say("answered %d %d %d", e.Epoch, e.Seq, e.Seq)
			}
		}
		handle(m)
	}
	s, err := d.Dialer.Dial(ctx, o)
	if err != nil {
		return nil, err
	}
	return witnessedSession{s, d.w}, nil
}

type witnessedSession struct {
	uplink.Session
	w *witness
}

func (s witnessedSession) Publish(m uplink.Message) <-chan error {
	if strings.HasSuffix(m.Topic, "/record") {
		if r, err := evidence.Open(m.Payload); err == nil {
			s.w.say("sent %v", placed(r))
		}
	}
	return s.Session.Publish(m)
}

// An order says what to audit: a disk, and what its device had told until the
// power was cut.
type order struct {
	Disk    string // its serial number
	Segment int    // size of the outbox's segments
	Told    told
	// Config makes it the audit of a device that was cut in its first start: ciglio
	// run starts again with this file.
	Config string
	// Look, a folder, is all there is to do: read the identity in it.
	Look string
}

// A verdict is what an audit found.
type verdict struct {
	Records int           // in the store after the cut
	Settled int           // of them
	Gone    []string      // ids that were told and are rightly gone: the centre must have them
	Mount   time.Duration // of the file system
	Start   time.Duration // from opening the store until the device has started and ended again
	Faults  []string

	Found, Made identity // of a first start: before it was repeated, and after
}

// An identity is the SHA-256 of a device's key and of its certificate; empty for
// one that is not there.
type identity struct{ Key, Certificate string }

// auditBoard mounts the disk of an order, starts the device on it, and prints a
// verdict. An error means that there is none.
func auditBoard(file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var o order
	if err := json.Unmarshal(text, &o); err != nil {
		return err
	}
	var v verdict
	if err := v.audit(o); err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(v)
}

func (v *verdict) fault(format string, a ...any) {
	v.Faults = append(v.Faults, fmt.Sprintf(format, a...))
}

func (v *verdict) audit(o order) (err error) {
	if o.Look != "" {
		v.Found, err = readIdentity(o.Look)
		return err
	}
	disk, err := findDisk(o.Disk)
	if err != nil {
		return err
	}
	const dir = "/audited"
	if err := errors.Join(forgetDisk(disk), os.MkdirAll(dir, 0o755)); err != nil {
		return err
	}
	began := time.Now()
	if err := syscall.Mount(disk, dir, "ext4", syscall.MS_NOATIME, ""); err != nil {
		v.fault("mount: %v", err)
		return nil
	}
	v.Mount = time.Since(began)
	if o.Config != "" {
		return errors.Join(v.auditFirst(dir, o.Config), syscall.Unmount(dir, 0))
	}
	return errors.Join(v.auditStore(dir, o), syscall.Unmount(dir, 0))
}

// auditFirst repeats a first start that was cut. It must come as far as the first
// one, to the calibration that is not there, and make only what is missing.
func (v *verdict) auditFirst(dir, config string) error {
	began := time.Now()
	var err error
	if v.Found, err = readIdentity(dir); err != nil {
		return err
	}
	out, err := exec.Command("/bin/ciglio", "run", "--config", config).CombinedOutput()
	if exit := (*exec.ExitError)(nil); !errors.As(err, &exit) {
		return fmt.Errorf("ciglio run: %v\n%s", err, out)
	}
	if !strings.Contains(string(out), "calibration.toml: no such file") {
		v.fault("start: %s", out)
	}
	v.Start = time.Since(began)
	v.Made, err = readIdentity(dir)
	if v.Made.Key == "" || v.Made.Certificate == "" || v.Found.Key != "" && v.Found.Key != v.Made.Key ||
		v.Found.Certificate != "" && v.Found.Certificate != v.Made.Certificate {
		v.fault("found %+v, and after the start %+v", v.Found, v.Made)
	}
	return err
}

// readIdentity reads the identity of the device whose state is in dir.
func readIdentity(dir string) (i identity, err error) {
	c := settings(killedDevice, filepath.Join(dir, "device"))
	for file, sum := range map[string]*string{c.Device.Key: &i.Key, filepath.Join(c.Device.Dir, "device.crt"): &i.Certificate} {
		text, err := os.ReadFile(file)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return i, err
		}
		*sum = fmt.Sprintf("%x", sha256.Sum256(text))
	}
	return i, nil
}

// forgetDisk makes the kernel read a disk anew, whose content the host has changed.
func forgetDisk(disk string) error {
	f, err := os.Open(disk)
	if err != nil {
		return err
	}
	defer f.Close()
	const flushBuffers = 0x1261 // BLKFLSBUF
	if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, f.Fd(), flushBuffers, 0); errno != 0 {
		return fmt.Errorf("%s: %w", disk, errno)
	}
	return nil
}

// auditStore starts the device as after any cut, and judges what its store holds.
func (v *verdict) auditStore(dir string, o order) error {
	told := o.Told
	began := time.Now()
	side, err := newRushed(dir, true, parts{dialer: deaf{}, segment: o.Segment, retention: time.Hour})
	if err != nil {
		v.fault("start: %v", err)
		return nil
	}
	k, err := key.LoadFile(side.config.Device.Key)
	if err != nil {
		return errors.Join(err, side.outbox.Close())
	}
	r := side.outbox.Report()
	if r.Fresh && len(told.Accepted) == 0 { // the cut came before the first record
		r.Fresh = false
	}
	if r.Raised != "" || r.Rebuilt || r.Fresh || len(r.Moved)+len(r.Missing)+len(r.Records)+len(r.Foreign) > 0 {
		v.fault("report of the store: %+v", r)
	}
	v.compare(side.outbox, told)
	head := side.outbox.Head()

	// It goes on: the record of its start follows the last one.
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	changed := side.outbox.Changed()
	go func() { <-changed; cancel() }()
	if err := side.device.Run(ctx); err != nil {
		v.fault("the device does not run: %v", err)
	}
	v.Start = time.Since(began)
	if now := side.outbox.Head(); now.Epoch != head.Epoch || now.Next < head.Next+2 {
		v.fault("the chain stands at %d %d after the start, before it at %d %d", now.Epoch, now.Next, head.Epoch, head.Next)
	}
	v.chain(side.outbox, told, k.Public())
	if err := side.outbox.Close(); err != nil {
		v.fault("closing: %v", err)
	}
	return nil
}

// compare holds against the store what was told.
func (v *verdict) compare(store *outbox.Outbox, told told) {
	list, err := store.List(uplink.Key{}, 100_000)
	if err != nil {
		v.fault("listing: %v", err)
	}
	v.Records = len(list)
	held := map[uplink.Key]outbox.Listed{}
	for _, it := range list {
		held[it.Key] = it
		if it.State == outbox.Settled {
			v.Settled++
		}
		for b := range it.Blobs {
			if _, err := store.Blob(it.Key, b); err != nil {
				v.fault("blob %d: %v", b, err)
			}
		}
	}
	for id, k := range told.Accepted {
		it, there := held[k]
		switch {
		case there && it.ID.String() != id:
			v.fault("epoch %d number %d is %v, it was %v when it was told", k.Epoch, k.Seq, it.ID, id)
		case !there && covers(told.Answered, k):
			v.Gone = append(v.Gone, id)
		case !there:
			v.fault("epoch %d number %d, record %v, was accepted and is lost", k.Epoch, k.Seq, id)
		}
	}
	for k, it := range held {
		if covers(told.Settled, k) && it.State != outbox.Settled {
			v.fault("epoch %d number %d was settled and is %v", k.Epoch, k.Seq, it.State)
		}
		if covers(told.Dropped, k) {
			v.fault("epoch %d number %d was dropped and is there again", k.Epoch, k.Seq)
		}
	}
}

// chain verifies every record of the store, their receipts, and that nothing is
// missing between them.
func (v *verdict) chain(store *outbox.Outbox, told told, public *ecdsa.PublicKey) {
	list, err := store.List(uplink.Key{}, 100_000)
	if err != nil {
		v.fault("listing: %v", err)
	}
	var chain []*evidence.Sealed
	var receipts []*evidence.SealedReceipt
	for _, it := range list {
		b, err := store.Record(it.Key)
		if err != nil {
			v.fault("%v", err)
			continue
		}
		s, err := evidence.Open(b)
		if err == nil {
			err = s.Verify(public)
		}
		if err != nil {
			v.fault("epoch %d number %d: %v", it.Epoch, it.Seq, err)
			continue
		}
		chain = append(chain, s)
		if it.State != outbox.Settled {
			continue
		}
		b, err = store.Receipt(it.Key)
		if err != nil {
			v.fault("%v", err)
			continue
		}
		receipt, err := evidence.OpenReceipt(b)
		if err != nil {
			v.fault("receipt of epoch %d number %d: %v", it.Epoch, it.Seq, err)
			continue
		}
		receipts = append(receipts, receipt)
	}
	for _, b := range evidence.VerifyChain(chain, receipts...) {
		// What was answered and dropped is missing at the start, and only there.
		if b.Fault == evidence.FaultCut && covers(told.Answered, uplink.Key{Epoch: b.Epoch, Seq: b.Seq - 1}) {
			continue
		}
		v.fault("chain at epoch %d number %d: %s", b.Epoch, b.Seq, b.Words())
	}
}

// deaf is a network without a centre.
type deaf struct{}

func (deaf) Dial(ctx context.Context, _ uplink.SessionOptions) (uplink.Session, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// told is what a device has told others until some moment.
type told struct {
	Accepted map[string]uplink.Key // by id: somebody may know of these records
	Answered []outbox.Range        // it had the centre's receipt for these
	Settled  []outbox.Range        // it has said that these are settled
	Dropped  []outbox.Range        // and that these are gone
}

// hear takes a line of the witness. Another one is no error: the place may hold
// nothing yet.
func (t *told) hear(line string) {
	word, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
	var a, b, c uint64
	var id string
	switch word {
	case "accepted", "sent":
		if n, _ := fmt.Sscanf(rest, "%d %d %s", &a, &b, &id); n == 3 && len(id) == 64 {
			t.Accepted[id] = uplink.Key{Epoch: a, Seq: b}
		}
	default:
		ranges := map[string]*[]outbox.Range{"answered": &t.Answered, "settled": &t.Settled, "dropped": &t.Dropped}[word]
		if n, _ := fmt.Sscanf(rest, "%d %d %d", &a, &b, &c); n == 3 && ranges != nil {
			*ranges = append(*ranges, outbox.Range{Epoch: a, From: b, To: c})
		}
	}
}

func covers(ranges []outbox.Range, k uplink.Key) bool {
	for _, r := range ranges {
		if r.Epoch == k.Epoch && r.From <= k.Seq && k.Seq <= r.To {
			return true
		}
	}
	return false
}
