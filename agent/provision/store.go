// Package provision keeps what a device was provisioned with, and is the life of
// a stick that brings it something new.
//
// A [Store] keeps these promises. What is installed is exactly what was verified:
// the bundle itself lies in the store and is hashed whenever it is read. A change
// is one file renamed: before it all is as it was, after it all is new, whichever
// instant the power is cut at. A new state is on trial until the device has
// started with it; a state that it cannot start with is rolled back by itself, and
// so is one during whose start the device ended three times. Each change and each
// roll back waits in the store until it is in the chain.
//
// # The folder
//
//	provisioned/lock              held by the process that may change it
//	provisioned/SHA256.ciglio     each bundle that is installed, or was before the trial
//	provisioned/state.json        which of them is in force: the only pointer
//
// A Store is safe for concurrent use.
package provision

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"ciglio/capture/evidence"
	"ciglio/internal/durable"
	p "ciglio/internal/provisioning"
)

// ErrNotInstalled says that the store has nothing of a kind.
var ErrNotInstalled = errors.New("not installed")

// Checks says of each kind that the device can use whether it can use what is in a
// bundle. A kind without one is refused.
type Checks map[p.Kind]func(b *p.Bundle) error

// Options are what a store must know.
type Options struct {
	Device evidence.DeviceID
	Checks Checks
	Now    func() time.Time // UTC; nil means time.Now
	// Trust is the trust file that counts as long as none is installed, and Root the
	// id of the root's key that counts where there is not even that; empty or zero
	// for none.
	Trust []byte
	Root  evidence.Hash

	disk durable.Disk // nil means the real one
}

// A Store is the provisioned state of a device.
type Store struct {
	dir  string
	o    Options
	lock *os.File

	mu    sync.Mutex
	state state
	told  map[string]Force // what InForce has read, by the bundle
}

// state is the content of state.json. It is never changed in place.
type state struct {
	Format    int      `json:"format"`
	Installed []entry  `json:"installed"` // ascending by kind
	Trial     *trial   `json:"trial,omitempty"`
	Failed    []string `json:"failed,omitempty"` // bundles that the last roll back took out
	Pending   []Event  `json:"pending,omitempty"`
}

type entry struct {
	Kind    p.Kind `json:"kind"`
	Version uint64 `json:"version"`
	SHA256  string `json:"sha256"` // of the bundle, in hexadecimal
	Text    string `json:"text"`   // SHA-256 of the statement itself
}

// A trial is what it was before, and how often the device has begun to start since.
type trial struct {
	Previous []entry `json:"previous"`
	Starts   int     `json:"starts"`
}

// An Event is a change of the installed state, for the chain.
type Event struct {
	At         time.Time `json:"at"`
	What       What      `json:"what"`
	Kind       p.Kind    `json:"kind"`
	OldVersion uint64    `json:"old_version"` // 0 for none
	NewVersion uint64    `json:"new_version"`
	Old        string    `json:"old"` // SHA-256 of the statement in hexadecimal; "" for none
	New        string    `json:"new"`
	Bundle     string    `json:"bundle"` // SHA-256 of the bundle that came, or was taken out
	By         string    `json:"by"`     // whose signatures it has
	Why        string    `json:"why"`    // of a roll back
}

// What has happened.
type What string

// What can happen.
const (
	Installed  What = "installed"
	RolledBack What = "rolled back"
	Refused    What = "refused" // Old and New are empty then
)

// maxStarts is how often the device may begin to start with a new state without
// ever having started.
const maxStarts = 3

// Open opens the store in a folder, makes it where there is none, and takes its
// lock: the error wraps [durable.ErrLocked] when another process has it. What a
// power cut has left behind is removed.
func Open(dir string, o Options) (*Store, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.disk == nil {
		o.disk = durable.Real{}
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	lock, err := durable.Lock(filepath.Join(dir, "lock"))
	if err != nil {
		return nil, err
	}
	s := &Store{dir: dir, o: o, lock: lock}
	err = begin(dir)
	if err == nil {
		s.state, err = readState(filepath.Join(dir, "state.json"))
	}
	if err == nil {
		err = s.clean()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("provisioned state: %w", err), lock.Close())
	}
	return s, nil
}

// begin writes down the state of a new folder, before anything is installed. One that
// has bundles and no state has lost it: with it would be forgotten how far versions
// have come, and an older stick be taken.
func begin(dir string) error {
	path := filepath.Join(dir, "state.json")
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	bundles, err := filepath.Glob(filepath.Join(dir, "*"+p.Extension))
	if err != nil {
		return err
	}
	if len(bundles) > 0 {
		return fmt.Errorf("%s: missing, and bundles are there: restore it from a backup of the device, or provision the device anew in an empty folder", path)
	}
	text, err := json.Marshal(state{Format: 1, Installed: []entry{}})
	if err != nil {
		return err
	}
	return durable.WriteFile(path, text, 0o600)
}

// Close frees the lock.
func (s *Store) Close() error { return s.lock.Close() }

const maxState = 1 << 20

func readState(path string) (state, error) {
	none := state{Format: 1, Installed: []entry{}}
	text, err := durable.ReadAtMost(path, maxState)
	if errors.Is(err, fs.ErrNotExist) {
		return none, nil
	}
	if err != nil {
		return none, err
	}
	var st state
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&st); err != nil {
		return none, fmt.Errorf("%s: %w", path, err)
	}
	if st.Format != 1 {
		return none, fmt.Errorf("%s: format %d, want 1", path, st.Format)
	}
	return st, nil
}

// clean removes what no state names.
func (s *Store) clean() error {
	used := map[string]bool{}
	for _, e := range s.state.Installed {
		used[e.file()] = true
	}
	if s.state.Trial != nil {
		for _, e := range s.state.Trial.Previous {
			used[e.file()] = true
		}
	}
	all, err := os.ReadDir(s.dir)
	if err != nil {
		return err
	}
	for _, d := range all {
		name := d.Name()
		if durable.Unfinished(name) || strings.HasSuffix(name, p.Extension) && !used[name] {
			_ = s.o.disk.Remove(filepath.Join(s.dir, name)) // it harms nobody; the next start tries again
		}
	}
	return nil
}

func (e entry) file() string { return e.SHA256 + p.Extension }

func find(list []entry, k p.Kind) (entry, bool) {
	for _, e := range list {
		if e.Kind == k {
			return e, true
		}
	}
	return entry{}, false
}

// Current returns the bundle of a kind that is in force. The error is
// [ErrNotInstalled] where there is none; any other says that what is installed
// cannot be read any more, and nothing else may stand in for it then.
func (s *Store) Current(k p.Kind) (*p.Bundle, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.current(k)
}

// Peek returns the bundle of a kind that is installed in a folder, as [Store.Current]
// does, but takes no lock and writes nothing: for whoever looks beside the service. What
// is installed at this very moment it may miss, or not find any more.
func Peek(dir string, k p.Kind) (*p.Bundle, error) {
	st, err := readState(filepath.Join(dir, "state.json"))
	if err != nil {
		return nil, err
	}
	return (&Store{dir: dir, state: st}).current(k)
}

func hashOf(text []byte) string {
	h := sha256.Sum256(text)
	return hex.EncodeToString(h[:])
}

func (s *Store) current(k p.Kind) (*p.Bundle, error) {
	e, ok := find(s.state.Installed, k)
	if !ok {
		return nil, ErrNotInstalled
	}
	text, err := durable.ReadAtMost(filepath.Join(s.dir, e.file()), p.MaxBundle)
	if err != nil {
		return nil, fmt.Errorf("installed %s: %w", k, err)
	}
	if hashOf(text) != e.SHA256 {
		return nil, fmt.Errorf("installed %s: not what was installed: its hash differs", k)
	}
	b, err := p.Open(text)
	if err == nil && (b.Kind != k || b.Version != e.Version) {
		err = fmt.Errorf("it is %s version %d", b.Kind, b.Version)
	}
	if err != nil {
		return nil, fmt.Errorf("installed %s: %w", k, err)
	}
	return b, nil
}

// anchor returns whom the device believes; nil for nobody.
func (s *Store) anchor() (*p.Anchor, error) {
	b, err := s.current(p.Trust)
	switch {
	case err == nil:
		return b.Anchor()
	case !errors.Is(err, ErrNotInstalled):
		return nil, err
	case len(s.o.Trust) > 0:
		return p.NewAnchor(s.o.Trust, nil)
	case s.o.Root != evidence.Hash{}:
		return &p.Anchor{Root: s.o.Root}, nil
	}
	return nil, nil
}

// Centre returns the age recipient to which evidence is encrypted that leaves on a
// stick; "" where none is installed.
func (s *Store) Centre() (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a, err := s.anchor()
	if err != nil || a == nil || a.Roles == nil {
		return "", err
	}
	return a.Roles.Centre, nil
}

// turn makes next the state. When it fails, the old state is in force as long as
// this process lives, and on flash unless the rename alone was done: then, too,
// the next start finds one of the two, whole.
func (s *Store) turn(next state) error {
	text, err := json.Marshal(next)
	if err != nil {
		return err
	}
	if len(text) > maxState {
		return fmt.Errorf("state.json: %d bytes, at most %d", len(text), maxState)
	}
	path := filepath.Join(s.dir, "state.json")
	if err := s.write(path, text); err != nil {
		// The new one may have its name already, and the sync of the folder alone have
		// failed. What is said to have failed must not come into force later.
		if now, again := readState(path); again == nil && !same(now, s.state) {
			if old, e := json.Marshal(s.state); e == nil {
				err = errors.Join(err, s.write(path, old))
			}
		}
		return err
	}
	s.state = next
	return nil
}

func same(a, b state) bool {
	x, err := json.Marshal(a)
	y, err2 := json.Marshal(b)
	return err == nil && err2 == nil && bytes.Equal(x, y)
}

// write is [durable.WriteFile] on the store's disk.
func (s *Store) write(path string, content []byte) error {
	return durable.WriteOn(s.o.disk, path, 0o600, func(w io.Writer) error {
		_, err := w.Write(content)
		return err
	})
}

// Trial reports whether a new state waits for the device to start with it.
func (s *Store) Trial() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state.Trial != nil
}

// Start is called before the device is built. It counts the start of a trial,
// and takes back a state that was tried often enough; rolledBack says so.
func (s *Store) Start() (rolledBack bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.state.Trial
	if t == nil {
		return false, nil
	}
	if t.Starts >= maxStarts {
		return true, s.rollBack(fmt.Sprintf("the device ended %d times while it started", t.Starts))
	}
	next := s.state
	next.Trial = &trial{t.Previous, t.Starts + 1}
	return false, s.turn(next)
}

// Started ends a trial: the device has started.
func (s *Store) Started() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state.Trial == nil {
		return nil
	}
	next := s.state
	next.Trial, next.Failed = nil, nil
	if err := s.turn(next); err != nil {
		return err
	}
	return s.clean()
}

// RollBack takes back the state on trial, and says why. Without a trial it does
// nothing.
func (s *Store) RollBack(why string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rollBack(why)
}

func (s *Store) rollBack(why string) error {
	t := s.state.Trial
	if t == nil {
		return nil
	}
	next := s.state
	next.Installed, next.Trial, next.Failed = t.Previous, nil, nil
	next.Pending = slices.Clone(s.state.Pending)
	for _, e := range s.state.Installed {
		old, _ := find(t.Previous, e.Kind)
		if old.SHA256 == e.SHA256 {
			continue
		}
		next.Failed = append(next.Failed, e.SHA256)
		next.Pending = append(next.Pending, Event{
			At: s.o.Now().UTC().Truncate(time.Second), What: RolledBack, Kind: e.Kind,
			OldVersion: e.Version, NewVersion: old.Version, Old: e.Text, New: old.Text, Bundle: e.SHA256, Why: evidence.CleanText(why),
		})
	}
	if err := s.turn(next); err != nil {
		return err
	}
	return s.clean()
}

// Pending returns the events that are not in the chain yet, oldest first.
func (s *Store) Pending() []Event {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.state.Pending)
}

// Recorded forgets the n oldest events: they are in the chain, on flash. A power
// cut just before makes the chain tell them twice, never not at all.
func (s *Store) Recorded(n int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n == 0 {
		return nil
	}
	next := s.state
	next.Pending = slices.Clone(s.state.Pending[n:])
	return s.turn(next)
}

// maxPending bounds what waits for the chain: of refusals while no device runs only
// so many are kept.
const maxPending = 64

// Keep lets an event wait for the chain that no change of the store has made.
func (s *Store) Keep(e Event) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.state.Pending) >= maxPending {
		return fmt.Errorf("%d events wait for the chain already", len(s.state.Pending))
	}
	next := s.state
	next.Pending = append(slices.Clone(s.state.Pending), e)
	return s.turn(next)
}

// Versions returns what is in force, by kind.
func (s *Store) Versions() map[p.Kind]uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	versions := map[p.Kind]uint64{}
	for _, e := range s.state.Installed {
		versions[e.Kind] = e.Version
	}
	return versions
}

// Act returns the event as it stands in the chain: in words, and as an act.
func (e Event) Act() (words string, act evidence.Act) {
	subject := string(e.Kind)
	if e.Bundle != "" {
		subject += ", bundle " + e.Bundle
	}
	act = evidence.Act{Actor: "stick", Role: "technician", Code: "provision", Subject: clip(subject), Outcome: "done"}
	version := func(v uint64) string {
		if v == 0 {
			return ""
		}
		return fmt.Sprintf("version %d", v)
	}
	act.Old, act.New = version(e.OldVersion), version(e.NewVersion)
	act.OldHash, act.NewHash = sum(e.Old), sum(e.New)
	switch e.What {
	case RolledBack:
		act.Actor, act.Role, act.Outcome = "device", "device", "failed"
		return fmt.Sprintf("%s: taken back: %s", e.Kind, e.Why), act
	case Refused:
		act.Outcome = "refused"
		return "stick refused: " + e.Why, act
	}
	return fmt.Sprintf("%s: installed, signed by %s", e.Kind, e.By), act
}

func clip(s string) string {
	return strings.ToValidUTF8(s[:min(len(s), evidence.MaxText)], "")
}

func sum(text string) *evidence.Hash {
	h, err := evidence.ParseHash(text)
	if err != nil {
		return nil
	}
	return &h
}
