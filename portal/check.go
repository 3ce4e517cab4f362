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
	"strings"

	"ciglio/capture/evidence"
	"ciglio/internal/durable"
	"ciglio/portal/backup"
	"ciglio/portal/database"
	"ciglio/portal/log"
	"ciglio/portal/orders"
	"ciglio/portal/recheck"
	"ciglio/portal/record"
	"ciglio/portal/register"
)

// Check computes everything of the centre of the options from its bytes. The centre may
// be running. Without blobs, pictures and traces are not looked at.
func Check(ctx context.Context, o Options, blobs bool) (*recheck.Result, error) {
	c, err := o.read(ctx)
	if err != nil {
		return nil, err
	}
	defer c.DB.Close()
	r, err := register.Open(o.Dir)
	if err != nil {
		return nil, err
	}
	all := recheck.Centre{DB: c.DB, Trust: r.Trust(), Certificate: r.Certificate, Orders: orders.Open(o.Dir)}
	if blobs {
		all.Blobs = c.Blobs
	}
	// What was published before this is read is in the store.
	published := "the newest checkpoint: there is none"
	text, err := durable.ReadAtMost(filepath.Join(o.Dir, checkpointName), 1<<20)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, err
	default:
		public, err := publicLogKey(o.Dir)
		if err != nil {
			published = "the newest checkpoint: the log's key is not there"
			break
		}
		tree, err := log.ReadCheckpoint(text, public)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", checkpointName, err)
		}
		all.Size, all.Root, published = uint64(tree.N), evidence.Hash(tree.Hash), ""
	}
	result, err := recheck.Run(ctx, all)
	if err == nil && published != "" {
		result.NotChecked = append(result.NotChecked, published)
	}
	return result, err
}

// publicLogKey is the log's public key: of its private one, or as a copy of the centre
// has it.
func publicLogKey(dir string) (string, error) {
	if _, err := os.Stat(filepath.Join(dir, logKeyName)); err == nil {
		return LogKey(dir)
	}
	text, err := durable.ReadAtMost(filepath.Join(dir, logPublicName), 1<<10)
	return strings.TrimSpace(string(text)), err
}

// errWrong says that a check has found something.
var errWrong = errors.New("not everything is as the signed bytes say")

type checked struct{ *recheck.Result }

func (c checked) String() string {
	var s strings.Builder
	for _, f := range c.Findings {
		fmt.Fprintln(&s, f)
	}
	if c.Untold > 0 {
		fmt.Fprintf(&s, "and %d more\n", c.Untold)
	}
	for _, n := range c.NotChecked {
		fmt.Fprintln(&s, "not checked:", n)
	}
	fmt.Fprintf(&s, "%d records (%d of them wait), %d blobs of %d bytes (and %d that no row names, which is harmless), %d receipts, %d log entries, %d statements, %d orders\nlog root %s\n",
		c.Records, c.Waiting, c.Blobs, c.BlobBytes, c.Spare, c.Receipts, c.LogEntries, c.Statements, c.Orders, c.LogRoot)
	if c.OK() {
		s.WriteString("all as the signed bytes say")
	} else {
		fmt.Fprintf(&s, "WRONG: %d findings", int64(len(c.Findings))+c.Untold)
	}
	return s.String()
}

func checkFlags(flags *flag.FlagSet) func(context.Context, io.Writer, io.Writer, bool) (any, error) {
	store := onStore(flags)
	rows := flags.Bool("rows", false, "leave pictures and traces out, which take longest")
	return func(ctx context.Context, stdout, _ io.Writer, asJSON bool) (any, error) {
		o, err := store()
		if err != nil {
			return nil, err
		}
		r, err := Check(ctx, o, !*rows)
		if err != nil || r.OK() {
			return checked{r}, err
		}
		return nil, &wrongness{r}
	}
}

// wrongness is the error of a check that has found something.
type wrongness struct{ result *recheck.Result }

func (w *wrongness) Error() string { return fmt.Sprintf("%v\n%v", errWrong, checked{w.result}) }
func (w *wrongness) Unwrap() error { return errWrong }

// Migrated says what [Migrate] has copied.
type Migrated struct {
	Tables []backup.Moved `json:"tables"`
	Blobs  backup.Copied  `json:"blobs"`
}

func (m Migrated) String() string {
	var s strings.Builder
	for _, t := range m.Tables {
		fmt.Fprintf(&s, "%-14s %10d rows  %s\n", t.Table, t.Rows, t.Sum)
	}
	fmt.Fprintf(&s, "%d blobs, %d of them copied now (%d bytes)\nBoth have the same. Serve with the new settings, and keep the old store until ciglio-portal check has passed.", m.Blobs.Blobs, m.Blobs.New, m.Blobs.Bytes)
	return s.String()
}

// ErrServed says that a centre that is to be moved is being served.
var ErrServed = errors.New("is being served: end that first")

// Migrate copies the records and blobs of a centre from where one configuration has them
// to where another has, of the same folder. The source is only read, and held so that
// nobody serves it. See [backup.Migrate].
func Migrate(ctx context.Context, from, to Options) (m Migrated, err error) {
	if one, other := filepath.Clean(from.Dir), filepath.Clean(to.Dir); one != other {
		return m, fmt.Errorf("%w: the folders are %s and %s: keys, register and orders stay where they are", errUsage, one, other)
	}
	if from.database() == to.database() {
		return m, fmt.Errorf("%w: both settings name the same database", errUsage)
	}
	source, err := from.read(ctx)
	if err != nil {
		return m, err
	}
	defer func() { err = errors.Join(err, source.DB.Close()) }()
	if from.Database == "" {
		lock, err := database.LockFile(from.database())
		if err != nil {
			return m, fmt.Errorf("%w: %w", ErrServed, err)
		}
		defer lock.Close()
	}
	target := backup.Centre{Root: source.Root}
	if target.Blobs, err = to.openBlobs(ctx); err != nil {
		return m, err
	}
	if target.DB, err = database.Open(ctx, to.database(), database.Options{Filling: true}); err != nil {
		return m, err
	}
	defer func() { err = errors.Join(err, target.DB.Close()) }()
	m.Tables, m.Blobs, err = backup.Migrate(ctx, source, target, schemas())
	return m, err
}

func migrateFlags(flags *flag.FlagSet) func(context.Context, io.Writer, io.Writer, bool) (any, error) {
	from := flags.String("from", "", "`file` of serve that says where the store is (required)")
	to := flags.String("to", "", "`file` of serve that says where it is to be: a new database, a new bucket (required)")
	return func(ctx context.Context, _, stderr io.Writer, _ bool) (any, error) {
		if err := errors.Join(required("from", *from), required("to", *to)); err != nil {
			return nil, err
		}
		source, err := ReadOptions(*from)
		if err != nil {
			return nil, err
		}
		target, err := ReadOptions(*to)
		if err != nil {
			return nil, err
		}
		m, err := Migrate(ctx, source, target)
		if damage := (*record.DamageError)(nil); errors.As(err, &damage) {
			fmt.Fprintln(stderr, m)
		}
		return m, err
	}
}
