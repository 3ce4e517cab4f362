package software

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"ciglio/capture/evidence"
	"ciglio/internal/durable"
	p "ciglio/internal/provisioning"
)

// Names of the files. Those of the service lie in its own folder, those of the keeper
// in one that the service can read and not write.
const (
	Folder      = "software" // below the service's folder
	RequestName = "request.json"
	HealthyName = "healthy.json"
	AnswerName  = "answer.json"
	askedName   = "asked.json" // the request as the service remembers it

	provisioned = "provisioned" // where the service keeps bundles
	stateName   = "state.json"
	trialName   = "trial.json" // is there while a program is on trial
	oldName     = "old"        // the program of before, as long as that is
)

// maxNote is the largest of these files, in bytes.
const maxNote = 64 << 10

// DefaultPatience is how long a new program may take to start and say so: it may have
// to read all that waits on flash.
const DefaultPatience = 20 * time.Minute

// A Request asks for the program of a bundle. Both are named by their SHA-256.
type Request struct {
	Format int    `json:"format"`
	Number string `json:"number"` // of its own; the answer has it, too
	Bundle string `json:"bundle"`
	Trust  string `json:"trust"` // the trust bundle by which it counts
}

// What becomes of a request.
const (
	Installed = "installed"
	Refused   = "refused"  // nothing has changed
	PutBack   = "put back" // the new program did not start, or not in time
	Stuck     = "stuck"    // the same, and the old one is not back: the next start of the machine tries again
)

// An Answer says what became of a request.
type Answer struct {
	Format  int       `json:"format"`
	At      time.Time `json:"at"`
	Number  string    `json:"number"`
	Bundle  string    `json:"bundle"`
	Outcome string    `json:"outcome"`
	Why     string    `json:"why,omitempty"`
	Old     string    `json:"old,omitempty"` // SHA-256 of the program of before
	New     string    `json:"new,omitempty"` // and of the one of the bundle
}

// Healthy is what a program says of itself when the device has started with a bundle.
type Healthy struct {
	Format  int    `json:"format"`
	Bundle  string `json:"bundle"`
	Program string `json:"program"`
	Core    string `json:"core"`
}

// A Machine runs programs and the service.
type Machine interface {
	// Identity asks the program in a file for its version and core_id.
	Identity(ctx context.Context, program string) (version, core string, err error)
	// Restart ends the service and starts it anew. It returns nil when it has said
	// that it is ready.
	Restart(ctx context.Context) error
}

// Options of a Keeper. All but Now are needed.
type Options struct {
	Dir          string // the keeper's own folder
	Program      string // where the program is
	Service      string // the service's folder
	Device       evidence.DeviceID
	Root         evidence.Hash // id of the root's key, as the machine's configuration has it
	Architecture string
	Machine      Machine
	Patience     time.Duration
	Now          func() time.Time

	disk durable.Disk // nil means the real one
}

// A Keeper is the privileged side. One process uses it at a time.
type Keeper struct{ o Options }

// NewKeeper returns one. It does nothing yet.
func NewKeeper(o Options) *Keeper {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.disk == nil {
		o.disk = durable.Real{}
	}
	return &Keeper{o}
}

// state is the keeper's own memory: what it has installed, and how new a trust bundle
// it has seen. The service cannot take it back to an older one.
type state struct {
	Format  int    `json:"format"`
	Version uint64 `json:"version"` // of the bundle
	Trust   uint64 `json:"trust"`   // version
}

// trial says what is being tried.
type trial struct {
	Format int    `json:"format"`
	Number string `json:"number"`
	Bundle string `json:"bundle"`
	Old    string `json:"old"`
	New    string `json:"new"`
	Next   state  `json:"next"` // once it has passed
}

// write replaces a file of the keeper, so that it is the old or the new one whenever
// the power is cut.
func (k *Keeper) write(path string, mode os.FileMode, from func(io.Writer) error) error {
	return durable.WriteOn(k.o.disk, path, mode, from)
}

func (k *Keeper) remove(path string) error {
	err := k.o.disk.Remove(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return k.o.disk.SyncFolder(filepath.Dir(path))
}

func (k *Keeper) note(name string, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return k.write(filepath.Join(k.o.Dir, name), 0o644, func(w io.Writer) error {
		_, err := w.Write(text)
		return err
	})
}

func read(path string, v any) error {
	text, err := durable.ReadAtMost(path, maxNote)
	if err != nil {
		return err
	}
	if err := exact(text, v); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

func exact(text []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("more behind it")
	}
	return nil
}

// theirs returns a file of the service: a plain one of at most so many bytes, that no
// link leads out to.
func (k *Keeper) theirs(name string, most int64) ([]byte, error) {
	root, err := os.OpenRoot(k.o.Service)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	f, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOFOLLOW, 0) // a pipe would never end
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s: no file", name)
	case info.Size() > most:
		return nil, fmt.Errorf("%s: %d bytes, at most %d", name, info.Size(), most)
	}
	text, err := io.ReadAll(io.LimitReader(f, most+1))
	if err == nil && int64(len(text)) > most {
		err = fmt.Errorf("%s: more than %d bytes", name, most)
	}
	return text, err
}

func (k *Keeper) removeTheirs(name string) error {
	root, err := os.OpenRoot(k.o.Service)
	if err != nil {
		return err
	}
	defer root.Close()
	if err := root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// Apply does what the service has asked for, and says what became of it. It is called
// when there is a request. An error is one of the machine: the request is done all the
// same, or tried again by the next call.
func (k *Keeper) Apply(ctx context.Context) (*Answer, error) {
	lock, err := durable.Lock(filepath.Join(k.o.Dir, "lock"))
	if err != nil {
		return nil, err
	}
	defer lock.Close()
	switch back, err := k.recover(); {
	case err != nil:
		return nil, err
	case back:
		a := new(Answer)
		return a, errors.Join(read(filepath.Join(k.o.Dir, AnswerName), a), k.o.Machine.Restart(ctx))
	}
	text, err := k.theirs(filepath.Join(Folder, RequestName), maxNote)
	if err != nil {
		return nil, err
	}
	a := &Answer{Format: 1, At: k.o.Now().UTC().Truncate(time.Second), Outcome: Refused}
	if err := k.apply(ctx, text, a); err != nil {
		a.Why = evidence.CleanText(err.Error())
	}
	// The answer first: whoever asks again after a power cut is answered again.
	if err := k.note(AnswerName, a); err != nil {
		return a, err
	}
	if err := k.removeTheirs(filepath.Join(Folder, RequestName)); err != nil {
		return a, err
	}
	if a.Outcome == PutBack {
		return a, k.o.Machine.Restart(ctx) // with the old program, which reads the answer
	}
	return a, nil
}

func (k *Keeper) apply(ctx context.Context, request []byte, a *Answer) error {
	var q Request
	if err := exact(request, &q); err != nil || q.Format != 1 {
		return fmt.Errorf("request: want one of format 1: %v", err)
	}
	a.Number, a.Bundle = q.Number, q.Bundle
	var had state
	if err := read(filepath.Join(k.o.Dir, stateName), &had); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	b, next, err := k.verify(q, had)
	if err != nil {
		return err
	}
	m, err := Check(b, k.o.Architecture)
	if err != nil {
		return err
	}
	a.New = m.Program.String()
	old, err := hashOf(k.o.Program)
	if err != nil {
		return err
	}
	a.Old = old.String()
	if old == m.Program {
		a.Outcome = Installed
		return k.note(stateName, next)
	}
	// It must run here, and be what its statement says, before it takes the place of
	// one that does.
	fresh, err := k.o.disk.Prepare(k.o.Program, 0o755, func(w io.Writer) error {
		_, err := w.Write(b.Content("ciglio"))
		return err
	})
	if err != nil {
		return err
	}
	placed, tried := false, false
	defer func() { // what cannot be removed now, clean removes
		if !placed {
			_ = k.o.disk.Remove(fresh)
		}
		if !tried {
			_ = k.o.disk.Remove(filepath.Join(k.o.Dir, oldName))
		}
	}()
	if err := k.o.disk.SyncFile(fresh); err != nil {
		return err
	}
	version, core, err := k.o.Machine.Identity(ctx, fresh)
	switch {
	case err != nil:
		return fmt.Errorf("the new program does not run: %w", err)
	case version != m.Version || core != m.Core.String():
		return fmt.Errorf("the new program says it is version %.64s with core %.64s, its statement %s with %v", version, core, m.Version, m.Core)
	}
	if err := k.copy(k.o.Program, filepath.Join(k.o.Dir, oldName)); err != nil {
		return err
	}
	if kept, err := hashOf(filepath.Join(k.o.Dir, oldName)); err != nil || kept != old {
		return errors.Join(errors.New("the copy of the old program is not what it was"), err)
	}
	if err := k.removeTheirs(filepath.Join(Folder, HealthyName)); err != nil {
		return err
	}
	// From here to the end of the trial a power cut puts the old one back.
	tried = true
	if err = k.note(trialName, trial{1, q.Number, q.Bundle, a.Old, a.New, next}); err == nil {
		err = k.o.disk.Rename(fresh, k.o.Program)
	}
	if err == nil {
		placed = true
		err = k.o.disk.SyncFolder(filepath.Dir(k.o.Program))
	}
	if err == nil {
		err = k.try(ctx, q.Bundle, m)
	}
	if err == nil {
		// The new one stays as soon as the state names it: then the trial is over.
		err = k.note(stateName, next)
	}
	if err != nil {
		back, failed := k.recover()
		for again := 0; failed != nil && again < 3; again++ { // a device without program is worth some tries
			back, failed = k.recover()
		}
		switch {
		case failed != nil:
			a.Outcome = Stuck
			return errors.Join(err, fmt.Errorf("and the old program is not back: %w", failed))
		case back:
			a.Outcome = PutBack
		default: // the state named it before the disk failed
			if runs, failed := hashOf(k.o.Program); failed == nil && runs == m.Program {
				a.Outcome = Installed
				return nil
			}
		}
		return err
	}
	a.Outcome = Installed
	return k.end()
}

// end ends a trial. The old program goes last: as long as there is a trial it is
// needed.
func (k *Keeper) end() error {
	if err := k.remove(filepath.Join(k.o.Dir, trialName)); err != nil {
		return err
	}
	return k.remove(filepath.Join(k.o.Dir, oldName))
}

// verify returns the bundle of a request, and what is remembered once it is installed.
func (k *Keeper) verify(q Request, had state) (*p.Bundle, state, error) {
	open := func(name string) (*p.Bundle, error) {
		if id, err := hex.DecodeString(name); err != nil || len(id) != sha256.Size || hex.EncodeToString(id) != name {
			return nil, fmt.Errorf("bundle %.80q: want its SHA-256", name)
		}
		content, err := k.theirs(filepath.Join(provisioned, name+p.Extension), p.MaxBundle)
		if err != nil {
			return nil, err
		}
		b, err := p.Open(content)
		if err == nil && b.SHA256().String() != name {
			err = errors.New("it is another one")
		}
		if err != nil {
			return nil, fmt.Errorf("bundle %s: %w", name, err)
		}
		return b, nil
	}
	if k.o.Root.IsZero() {
		return nil, had, errors.New("provision.root is missing in the machine's configuration: nobody knows whose programs may be installed")
	}
	now := k.o.Now()
	t, err := open(q.Trust)
	if err != nil {
		return nil, had, err
	}
	anchor, err := t.Anchor()
	if err == nil && anchor.Root != k.o.Root {
		err = fmt.Errorf("of root %v, provision.root is %v", anchor.Root, k.o.Root)
	}
	if err == nil {
		_, err = t.Signed(anchor, now)
	}
	if err == nil && (!t.For(k.o.Device) || t.Version < had.Trust) {
		err = fmt.Errorf("for other devices, or older than version %d, which was here", had.Trust)
	}
	if err != nil {
		return nil, had, fmt.Errorf("trust bundle: %w", err)
	}
	b, err := open(q.Bundle)
	if err != nil {
		return nil, had, err
	}
	if b.Kind != p.Software {
		return nil, had, fmt.Errorf("a bundle of kind %s", b.Kind)
	}
	if err := b.Judge(p.Target{Device: k.o.Device, Now: now, Anchor: anchor, Installed: had.Version}); err != nil {
		return nil, had, err
	}
	return b, state{1, b.Version, t.Version}, nil
}

// try starts the service with the new program, and waits for its word.
func (k *Keeper) try(ctx context.Context, bundle string, m *Manifest) error {
	ctx, cancel := context.WithTimeout(ctx, k.o.Patience)
	defer cancel()
	if err := k.o.Machine.Restart(ctx); err != nil {
		return fmt.Errorf("the device does not start with the new program: %w", err)
	}
	text, err := k.theirs(filepath.Join(Folder, HealthyName), maxNote)
	var h Healthy
	if err == nil {
		err = exact(text, &h)
	}
	switch {
	case err != nil:
		return fmt.Errorf("the new program has not said that the device started: %w", err)
	case h != Healthy{1, bundle, m.Program.String(), m.Core.String()}:
		return errors.New("the device has started with another program")
	}
	return nil
}

// Recover puts the old program back where a trial was not ended, as by a power cut. It
// reports whether there was one. It restarts nothing: it is called before the service
// starts.
func (k *Keeper) Recover() (bool, error) {
	lock, err := durable.Lock(filepath.Join(k.o.Dir, "lock"))
	if err != nil {
		return false, err
	}
	defer lock.Close()
	return k.recover()
}

func (k *Keeper) recover() (bool, error) {
	var t trial
	err := read(filepath.Join(k.o.Dir, trialName), &t)
	if errors.Is(err, fs.ErrNotExist) {
		return false, k.clean()
	}
	if err != nil {
		return false, err
	}
	var had state
	if err := read(filepath.Join(k.o.Dir, stateName), &had); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	if had == t.Next { // it had passed
		if err := k.end(); err != nil {
			return false, err
		}
		return false, k.clean()
	}
	old := filepath.Join(k.o.Dir, oldName)
	kept, err := hashOf(old)
	if err == nil && kept.String() != t.Old {
		err = errors.New("it is not what it was")
	}
	if err != nil {
		return false, fmt.Errorf("the old program, %s: %w", old, err)
	}
	there, err := hashOf(k.o.Program)
	if err != nil && !errors.Is(err, fs.ErrNotExist) || there != kept {
		if err := k.copy(old, k.o.Program); err != nil {
			return false, err
		}
	}
	a := Answer{1, k.o.Now().UTC().Truncate(time.Second), t.Number, t.Bundle, PutBack, "the trial of the new program was not ended, as by a power cut", t.Old, t.New}
	if err := k.note(AnswerName, a); err != nil {
		return false, err
	}
	if err := k.removeTheirs(filepath.Join(Folder, RequestName)); err != nil {
		return false, err
	}
	if err := k.end(); err != nil {
		return false, err
	}
	return true, k.clean()
}

// clean removes what a power cut has left half written, and an old program that no
// trial needs.
func (k *Keeper) clean() error {
	_ = k.o.disk.Remove(filepath.Join(k.o.Dir, oldName))
	for _, dir := range []string{k.o.Dir, filepath.Dir(k.o.Program)} {
		all, err := os.ReadDir(dir)
		if err != nil {
			return err
		}
		for _, d := range all {
			if durable.Unfinished(d.Name()) {
				_ = k.o.disk.Remove(filepath.Join(dir, d.Name())) // it harms nobody
			}
		}
	}
	return nil
}

// copy puts a copy of a program into a place.
func (k *Keeper) copy(from, to string) error {
	f, err := os.Open(from)
	if err != nil {
		return err
	}
	defer f.Close()
	return k.write(to, 0o755, func(w io.Writer) error {
		_, err := io.Copy(w, f)
		return err
	})
}

func hashOf(path string) (h evidence.Hash, err error) {
	f, err := os.Open(path)
	if err != nil {
		return h, err
	}
	defer f.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		return h, err
	}
	return evidence.Hash(sum.Sum(nil)), nil
}

// Ask asks for the program of a bundle, which counts by a trust bundle, in the
// service's folder; both are named by their SHA-256. It asks once, until [Settled].
func Ask(service, bundle, trust string) (*Request, error) {
	dir := filepath.Join(service, Folder)
	q := new(Request)
	if err := read(filepath.Join(dir, askedName), q); err == nil && q.Bundle == bundle {
		return q, nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	number := make([]byte, 16)
	rand.Read(number)
	*q = Request{1, hex.EncodeToString(number), bundle, trust}
	text, err := json.Marshal(q)
	for _, name := range []string{askedName, RequestName} {
		if err == nil {
			err = durable.WriteFile(filepath.Join(dir, name), text, 0o600)
		}
	}
	return q, err
}

// Settled forgets what was asked for.
func Settled(service string) error {
	for _, name := range []string{RequestName, askedName} {
		if err := os.Remove(filepath.Join(service, Folder, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// Say says that the device has started with the program of a bundle.
func Say(service, bundle string, program, core evidence.Hash) error {
	dir := filepath.Join(service, Folder)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	text, err := json.Marshal(Healthy{1, bundle, program.String(), core.String()})
	if err != nil {
		return err
	}
	return durable.WriteFile(filepath.Join(dir, HealthyName), text, 0o600)
}

// Answered returns what the keeper has said of a request; nil as long as it has said
// nothing of that one.
func Answered(keeper string, q *Request) (*Answer, error) {
	a := new(Answer)
	err := read(filepath.Join(keeper, AnswerName), a)
	if errors.Is(err, fs.ErrNotExist) || err == nil && a.Number != q.Number {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return a, nil
}
