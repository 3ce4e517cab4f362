package portal

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"ciglio/internal/durable"
	"ciglio/portal/acts"
	"ciglio/portal/backup"
	"ciglio/portal/blob"
	"ciglio/portal/database"
	"ciglio/portal/derived"
	"ciglio/portal/log"
	"ciglio/portal/orders"
	"ciglio/portal/record"
	"ciglio/portal/register"
)

// schemas are those of all rooms.
func schemas() []database.Schema {
	return []database.Schema{record.Schema(), acts.Schema(), derived.Schema()}
}

// logPublicName is the log's public key, in a copy of a centre: its private one is not
// in it.
const logPublicName = "log.pub"

// restoringName is a file that says what a folder is being filled from.
const restoringName = "restoring"

// ErrNewest says that nobody has said what was published last.
var ErrNewest = errors.New("what was published after the copy is not known")

// database is the address of the store's database.
func (o Options) database() string {
	if o.Database != "" {
		return o.Database
	}
	return filepath.Join(o.Dir, record.DatabaseName)
}

// openBlobs opens where pictures and traces are.
func (o Options) openBlobs(ctx context.Context) (blob.Store, error) {
	if o.S3 != nil {
		return blob.OpenS3(ctx, *o.S3)
	}
	return blob.OpenFolder(filepath.Join(o.Dir, record.BlobFolder))
}

// read opens a centre to be read only, beside whoever serves it. The caller closes DB.
func (o Options) read(ctx context.Context) (c backup.Centre, err error) {
	if err := centreIn(o.Dir); err != nil {
		return c, err
	}
	r, err := register.Open(o.Dir)
	if err != nil {
		return c, err
	}
	c.Root = r.Trust().Root()
	if c.Blobs, err = o.openBlobs(ctx); err != nil {
		return c, err
	}
	c.DB, err = database.OpenRead(ctx, o.database())
	return c, err
}

// Backup copies the centre of the options, which may be running, into the folder dest:
// all but the private keys. See [backup.Back].
func Backup(ctx context.Context, o Options, dest string, keep int) (backup.Report, error) {
	c, err := o.read(ctx)
	if err != nil {
		return backup.Report{}, err
	}
	defer c.DB.Close()
	// What is published is in the database already.
	c.Before = func(dest string) error { return backupLog(o.Dir, dest) }
	c.After = func(dest string) error {
		err := register.Backup(o.Dir, dest)
		if errors.Is(err, register.ErrLost) {
			err = fmt.Errorf("%w: %w", backup.ErrLost, err)
		}
		return errors.Join(err, orders.Open(o.Dir).Backup(dest))
	}
	return backup.Back(ctx, c, dest, keep)
}

// backupLog copies the newest checkpoint and the log's public key, where there are any.
func backupLog(dir, dest string) error {
	if _, err := os.Stat(filepath.Join(dir, logKeyName)); errors.Is(err, fs.ErrNotExist) {
		return nil // it was never served
	}
	public, err := LogKey(dir)
	if err != nil {
		return err
	}
	if err := durable.WriteFile(filepath.Join(dest, logPublicName), []byte(public+"\n"), 0o600); err != nil {
		return err
	}
	text, err := durable.ReadAtMost(filepath.Join(dir, checkpointName), 1<<20)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return durable.WriteFile(filepath.Join(dest, checkpointName), text, 0o600)
}

// A Restored says what [Restore] put back.
type Restored struct {
	Dir       string        `json:"dir"`
	Copy      string        `json:"copy"`
	Began     time.Time     `json:"began"` // of the backup: what came later is not in it
	Rows      int64         `json:"rows"`
	Blobs     backup.Copied `json:"blobs"`
	LogSize   uint64        `json:"log_size"`
	Published int64         `json:"published"` // entries that the newest known checkpoint has
	Holds     []string      `json:"holds"`     // the highest number of each device and epoch
	Lacks     []string      `json:"lacks,omitempty"`
}

// RestoreOptions say what is put back.
type RestoreOptions struct {
	From string // the folder of copies
	Copy string // name of one; empty: the newest whole one
	// Checkpoint is a file with the newest that anybody has of the log, and NoNewer
	// says that nobody has a newer one than the copy. One of them must be given where
	// the log was published: what was said cannot be taken back.
	Checkpoint string
	NoNewer    bool
}

// Restore puts a copy where the options say, where nothing is yet, or where the same was
// interrupted. The private keys come back by [RestoreKeys]. The error is a
// [*record.DamageError] when the copy lacks blobs, and wraps [log.ErrRolledBack] when
// more was published than it holds; all that it has is there then.
func Restore(ctx context.Context, o Options, from RestoreOptions) (r Restored, err error) {
	found, err := backup.Find(ctx, from.From, from.Copy)
	if err != nil {
		return r, err
	}
	r = Restored{Dir: o.Dir, Copy: found.Name, Began: found.Manifest.Began, Lacks: found.Manifest.Lacks}
	checkpoint, err := newestCheckpoint(found.Files(), from)
	if err != nil {
		return r, err
	}
	if err := o.beginRestore(found.Name); err != nil {
		return r, err
	}
	var to backup.Centre
	if to.Blobs, err = o.openBlobs(ctx); err != nil {
		return r, err
	}
	if to.DB, err = database.Open(ctx, o.database(), database.Options{Filling: true}); err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, to.DB.Close()) }()
	var lost error
	r.Blobs, lost = found.Fill(ctx, to, schemas())
	var damage *record.DamageError
	if lost != nil && !errors.As(lost, &damage) {
		return r, lost
	}
	if damage != nil {
		r.Lacks = damage.Things
	}
	for _, t := range found.Manifest.Tables {
		r.Rows += t.Rows
	}
	s, err := record.Open(ctx, to.DB, to.Blobs)
	if err != nil {
		return r, err
	}
	if r.LogSize, err = s.Settled(ctx); err != nil {
		return r, err
	}
	if r.Holds, err = s.Highest(ctx); err != nil {
		return r, err
	}
	if err := found.PutFiles(o.Dir); err != nil {
		return r, err
	}
	if checkpoint != nil {
		public, err := os.ReadFile(filepath.Join(found.Files(), logPublicName))
		if err != nil {
			return r, err
		}
		tree, err := log.ReadCheckpoint(checkpoint, strings.TrimSpace(string(public)))
		if err != nil {
			return r, err
		}
		r.Published = tree.N
		if err := durable.WriteFile(filepath.Join(o.Dir, checkpointName), checkpoint, 0o644); err != nil {
			return r, err
		}
		if err := log.Holds(ctx, s, tree); errors.Is(err, log.ErrRolledBack) {
			lost = errors.Join(lost, fmt.Errorf("log entries %d to %d are lost: %w", r.LogSize, tree.N-1, err))
		} else if err != nil {
			return r, err
		}
	}
	if err := os.Remove(filepath.Join(o.Dir, restoringName)); err != nil {
		return r, err
	}
	return r, errors.Join(lost, durable.SyncFolder(o.Dir))
}

// beginRestore takes a folder that is new, empty, or where the same was begun.
func (o Options) beginRestore(name string) error {
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return err
	}
	mark := filepath.Join(o.Dir, restoringName)
	begun, err := durable.ReadAtMost(mark, 1000)
	if err == nil && string(begun) == name+"\n" {
		return nil
	}
	if err == nil {
		return fmt.Errorf("directory %s: %w: the restore of %s was begun", o.Dir, ErrExists, strings.TrimSpace(string(begun)))
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	entries, err := os.ReadDir(o.Dir)
	if err != nil {
		return err
	}
	if len(entries) > 0 {
		return fmt.Errorf("directory %s: %w: %s", o.Dir, ErrNotEmpty, entries[0].Name())
	}
	return durable.WriteFile(mark, []byte(name+"\n"), 0o600)
}

// ErrNotEmpty says that a directory holds something.
var ErrNotEmpty = errors.New("not empty")

// newestCheckpoint returns the newer of the copy's checkpoint and the one that was
// given; nil when nothing was ever published.
func newestCheckpoint(files string, from RestoreOptions) ([]byte, error) {
	public, err := durable.ReadAtMost(filepath.Join(files, logPublicName), 1<<10)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if (from.Checkpoint == "") == !from.NoNewer {
		return nil, ErrNewest
	}
	var newest []byte
	size := int64(-1)
	for _, path := range []string{filepath.Join(files, checkpointName), from.Checkpoint} {
		if path == "" {
			continue
		}
		text, err := durable.ReadAtMost(path, 1<<20)
		if errors.Is(err, fs.ErrNotExist) && path != from.Checkpoint {
			continue
		}
		if err != nil {
			return nil, err
		}
		tree, err := log.ReadCheckpoint(text, strings.TrimSpace(string(public)))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		if tree.N > size {
			newest, size = text, tree.N
		}
	}
	return newest, nil
}

type backupResult struct {
	To string `json:"to"`
	backup.Report
}

func (r backupResult) String() string {
	s := fmt.Sprintf("copied to %s: %s\n%d records, %d blobs, %d of them new (%d bytes)\n", r.To, r.Copy, r.Records, r.Blobs.Blobs, r.Blobs.New, r.Blobs.Bytes)
	for _, name := range r.Interrupted {
		s += fmt.Sprintf("%s was interrupted and never whole: removed\n", name)
	}
	return s + fmt.Sprintf("whole copies there: %d\nThe private keys root.key and centre.key are not in it: keep their copy apart.", len(r.Kept))
}

// onStore adds the flags that say where a store is, and returns what reads them.
func onStore(flags *flag.FlagSet) func() (Options, error) {
	dir := flags.String("dir", "", "`directory` of the centre (required, here or in the file)")
	config := flags.String("config", "", "`file` of serve, which says where database and blobs are")
	return func() (Options, error) {
		var o Options
		if *config != "" {
			var err error
			if o, err = ReadOptions(*config); err != nil {
				return o, err
			}
		}
		if *dir != "" {
			o.Dir = *dir
		}
		return o, required("dir", o.Dir)
	}
}

func backupFlags(flags *flag.FlagSet) func(context.Context, io.Writer, io.Writer, bool) (any, error) {
	store := onStore(flags)
	to := flags.String("to", "", "`folder` of copies, new, empty, or with earlier ones: only blobs that it lacks are copied (required)")
	keep := flags.Int("keep", 7, "how many copies of the database are kept there, `N`")
	return func(ctx context.Context, stdout, stderr io.Writer, _ bool) (any, error) {
		o, err := store()
		if err := errors.Join(err, required("to", *to)); err != nil {
			return nil, err
		}
		r, err := Backup(ctx, o, *to, *keep)
		warnOpen(stderr, *to)
		return backupResult{*to, r}, err
	}
}

func (r Restored) String() string {
	s := fmt.Sprintf("restored to %s: copy %s\n%d rows, %d blobs; the log has %d entries", r.Dir, r.Copy, r.Rows, r.Blobs.Blobs, r.LogSize)
	for _, h := range r.Holds[:min(len(r.Holds), 20)] {
		s += "\n" + h
	}
	if more := len(r.Holds) - 20; more > 0 {
		s += fmt.Sprintf("\nand %d more (--json names them)", more)
	}
	return s + fmt.Sprintf("\nWhat devices sent after %s is not in it. The private keys come back with ciglio-portal restore-keys.", r.Began.Format(time.RFC3339))
}

func restoreFlags(flags *flag.FlagSet) func(context.Context, io.Writer, io.Writer, bool) (any, error) {
	store := onStore(flags)
	var from RestoreOptions
	flags.StringVar(&from.From, "from", "", "`folder` of copies (required)")
	flags.StringVar(&from.Copy, "copy", "", "`name` of one (default the newest that is whole)")
	flags.StringVar(&from.Checkpoint, "checkpoint", "", "`file` with the newest checkpoint of the log that anybody has: of the centre that was lost, a witness, a monitor")
	flags.BoolVar(&from.NoNewer, "no-newer", false, "nobody has a newer checkpoint than the copy")
	return func(ctx context.Context, stdout, stderr io.Writer, _ bool) (any, error) {
		o, err := store()
		if err := errors.Join(err, required("from", from.From)); err != nil {
			return nil, err
		}
		if from.Checkpoint != "" && from.NoNewer {
			return nil, fmt.Errorf("%w: want either --checkpoint or --no-newer", errUsage)
		}
		r, err := Restore(ctx, o, from)
		var damage *record.DamageError
		if errors.As(err, &damage) || errors.Is(err, log.ErrRolledBack) {
			fmt.Fprintln(stderr, r)
		}
		if err == nil && len(r.Lacks) > 0 {
			err = &record.DamageError{Things: slices.Clone(r.Lacks)}
			fmt.Fprintln(stderr, r)
		}
		return r, err
	}
}
