package portal

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"ciglio/portal/acts"
	"ciglio/portal/database"
	"ciglio/portal/law"
	"ciglio/portal/record"
)

// errCasesDiffer marks lists that are not what the acts make, errCasesDamaged acts that
// are not what was written.
var (
	errCasesDiffer  = errors.New("what lists show is not what the acts make")
	errCasesDamaged = errors.New("acts are damaged")
)

type casesRebuilt struct {
	Cases     int64           `json:"cases"`
	Acts      int64           `json:"acts"`
	Different []caseDifferent `json:"different"`
	Mended    bool            `json:"mended"`
}

type caseDifferent struct {
	Case  string `json:"case"`
	Table string `json:"table,omitempty"`
	Error string `json:"error,omitempty"` // of acts that are damaged: nothing mends them
}

func (r casesRebuilt) String() string {
	var b strings.Builder
	for _, d := range r.Different {
		if d.Error != "" {
			fmt.Fprintf(&b, "case %s: its acts are damaged: %s\n", d.Case, d.Error)
			continue
		}
		fmt.Fprintf(&b, "case %s: %s is not what its acts make\n", d.Case, d.Table)
	}
	b.WriteString(plural(r.Cases, "case") + ", " + plural(r.Acts, "act"))
	switch {
	case len(r.Different) == 0:
		b.WriteString(": all tables are what the acts make")
	case r.Mended:
		fmt.Fprintf(&b, ": %d differed, made anew", len(r.Different))
	default:
		fmt.Fprintf(&b, ": %d differ", len(r.Different))
	}
	return b.String()
}

func plural(n int64, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %ss", n, one)
}

// casesRebuildFlags compares what lists show of cases with what their acts make, and makes
// it anew unless it is only to be checked.
func casesRebuildFlags(flags *flag.FlagSet) func(context.Context, io.Writer, io.Writer, bool) (any, error) {
	dir := flags.String("dir", "", "`folder` of a centre that has its database there, and does not run")
	address := flags.String("database", "", "`URL` of its PostgreSQL instead; the centre may run")
	check := flags.Bool("check", false, "change nothing; exit 1 where something differs")
	return func(ctx context.Context, stdout, _ io.Writer, asJSON bool) (any, error) {
		if (*dir == "") == (*address == "") || *address != "" && !database.IsURL(*address) {
			return nil, fmt.Errorf("%w: --dir or --database", errUsage)
		}
		db, err := openCases(ctx, *dir, *address)
		if err != nil {
			return nil, err
		}
		l, err := law.Italy()
		if err != nil {
			return nil, errors.Join(err, db.Close())
		}
		store, err := acts.Open(ctx, db, l)
		if err != nil {
			return nil, errors.Join(err, db.Close())
		}
		report, err := store.Rebuild(ctx, *check)
		if err = errors.Join(err, db.Close()); err != nil {
			return nil, err
		}
		r, err := rebuilt(report, *check)
		if err != nil && !asJSON {
			fmt.Fprintln(stdout, r)
		}
		if err != nil {
			return nil, err
		}
		return r, nil
	}
}

// openCases opens the database of a centre that is there.
func openCases(ctx context.Context, dir, address string) (*database.DB, error) {
	if address == "" {
		address = filepath.Join(dir, record.DatabaseName)
		if _, err := os.Stat(address); err != nil {
			return nil, fmt.Errorf("directory %s: %w: no %s", dir, ErrNoCentre, record.DatabaseName)
		}
	}
	return database.Open(ctx, address, database.Options{})
}

func rebuilt(report acts.Report, check bool) (r casesRebuilt, err error) {
	r = casesRebuilt{Cases: report.Cases, Acts: report.Acts, Different: []caseDifferent{}, Mended: !check && len(report.Different) > 0}
	if check && len(report.Different) > 0 {
		err = errCasesDiffer
	}
	for _, d := range report.Different {
		one := caseDifferent{Case: d.Case.String(), Table: d.Table}
		if d.Err != nil {
			one.Error, err, r.Mended = d.Err.Error(), errCasesDamaged, false
		}
		r.Different = append(r.Different, one)
	}
	return r, err
}
