package acts

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"ciglio/capture/evidence"
	"ciglio/portal/casefile"
	"ciglio/portal/database"
	"ciglio/portal/law"
)

// A Projection is a table that shows cases: its rows follow from each case alone, so that
// they are written in the transaction of an act, rebuilt at any time, and compared.
type Projection struct {
	Table string // whose first column is case_id
	// Columns are the others: of BIGINT, TEXT or BYTEA.
	Columns []string
	// Rows are those of a case, in the order of Columns, as int64, string and []byte. It is
	// pure: the same case has the same rows.
	Rows func(*casefile.Case) [][]any
}

// builtin are the projections of this room: cases by device and day, numbers of notices,
// and running terms by the law's table.
func builtin(l *law.Law) []Projection {
	return []Projection{
		{"case_rows", []string{"institution", "device", "day", "stage", "share", "stopped", "hold", "excess", "acts"}, caseRows},
		{"notice_rows", []string{"position", "institution", "number", "state"}, noticeRows},
		{"term_rows", []string{"position", "name", "institution", "who", "reason", "begins", "ends"},
			func(c *casefile.Case) [][]any { return termRows(c, l) }},
	}
}

func caseRows(c *casefile.Case) [][]any {
	o, device, hold := c.Opened, evidence.DeviceID{}, ""
	if len(c.Holds) > 0 {
		hold = string(c.Holds[0].Reason)
	}
	if o.Source == "violation" { // the balance counts records
		device = o.Device
	}
	return [][]any{{string(o.Institution), device[:], number(c.Day), string(c.Stage), string(c.Share()),
		string(c.Stopped), hold, int64(c.Money.Excess), c.Acts}}
}

func noticeRows(c *casefile.Case) (rows [][]any) {
	for _, p := range c.Positions {
		rows = append(rows, []any{p.Number, string(c.Opened.Institution), string(p.Notice.Number), string(p.State)})
	}
	return rows
}

// termRows has a row of its own for a term that no row of the law says: somebody must look.
func termRows(c *casefile.Case, l *law.Law) (rows [][]any) {
	terms, err := c.Terms(l)
	for _, t := range terms {
		rows = append(rows, []any{t.Position, string(t.Name), string(c.Opened.Institution), string(t.Who), string(t.Reason), number(t.Begin), number(t.End)})
	}
	if missing, ok := errors.AsType[*law.Error](err); ok {
		rows = append(rows, []any{int64(0), "law", string(c.Opened.Institution), "office", missing.Code, number(c.Day), number(c.Day)})
	}
	return rows
}

// number counts days since 1970.
func number(d law.Day) int64 { return int64(d.Since(law.Date(1970, 1, 1))) }

const selectNumber = `SELECT 1 FROM notice_rows WHERE institution = $1 AND number = $2 AND case_id <> $3`

// project writes the rows that an act has changed.
func (s *Store) project(ctx context.Context, tx *database.Tx, before, after casefile.Case) error {
	for _, p := range after.Positions[len(before.Positions):] {
		var one int
		err := tx.Row(ctx, selectNumber, []any{string(after.Opened.Institution), string(p.Notice.Number), after.ID[:]}, &one)
		if err == nil {
			return &casefile.Refusal{Code: "notice.number", Args: []string{string(p.Notice.Number)}}
		}
		if !errors.Is(err, database.ErrAbsent) {
			return err
		}
	}
	for _, p := range s.projections {
		rows := p.Rows(&after)
		if before.Acts > 0 && reflect.DeepEqual(rows, p.Rows(&before)) {
			continue
		}
		err := p.write(ctx, tx, after.ID, rows)
		if errors.Is(err, database.ErrThere) { // another case took a number meanwhile
			err = fmt.Errorf("%s: %w", p.Table, database.ErrAgain)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (p Projection) write(ctx context.Context, tx *database.Tx, id casefile.ID, rows [][]any) error {
	if _, err := tx.Exec(ctx, `DELETE FROM `+p.Table+` WHERE case_id = $1`, id[:]); err != nil {
		return err
	}
	var values strings.Builder
	for i := range p.Columns {
		fmt.Fprintf(&values, ", $%d", i+2)
	}
	text := `INSERT INTO ` + p.Table + ` (case_id, ` + strings.Join(p.Columns, ", ") + `) VALUES ($1` + values.String() + `)`
	for _, row := range rows {
		if _, err := tx.Exec(ctx, text, append([]any{id[:]}, row...)...); err != nil {
			return fmt.Errorf("%s: %w", p.Table, err)
		}
	}
	return nil
}

// stored returns the rows of a case.
func (p Projection) stored(ctx context.Context, r database.Reader, id casefile.ID) ([][]any, error) {
	rows, err := r.Query(ctx, `SELECT `+strings.Join(p.Columns, ", ")+` FROM `+p.Table+` WHERE case_id = $1`, id[:])
	return database.Scan(rows, err, func(rows *sql.Rows) ([]any, error) {
		row := make([]any, len(p.Columns))
		into := make([]any, len(row))
		for i := range row {
			into[i] = &row[i]
		}
		return row, rows.Scan(into...)
	})
}

// same reports whether two lists have the same rows, in any order.
func same(a, b [][]any) bool {
	return slices.Equal(printed(a), printed(b))
}

func printed(rows [][]any) []string {
	all := make([]string, len(rows))
	for i, row := range rows {
		all[i] = fmt.Sprintf("%v", row)
	}
	slices.Sort(all)
	return all
}

// A Difference is a case whose rows in a table are not those that its acts make.
type Difference struct {
	Case  casefile.ID
	Table string // empty: the acts themselves are damaged
	Err   error  // of damaged acts
}

// A Report says what a rebuild has found.
type Report struct {
	Cases, Acts int64
	Different   []Difference
}

const selectCases = `SELECT case_id FROM acts WHERE number = 1 AND case_id > $1 ORDER BY case_id LIMIT 100`

// Rebuild makes the rows of every projection anew from the acts, a hundred cases a
// transaction, and says where they differed. With check it changes nothing. Others may work
// meanwhile.
func (s *Store) Rebuild(ctx context.Context, check bool) (Report, error) {
	var report Report
	last := []byte{}
	for {
		var page Report
		var ids [][]byte
		work := func(tx *database.Tx) (err error) {
			page = Report{}
			ids, err = idsBehind(ctx, tx, selectCases, last)
			for i := 0; err == nil && i < len(ids); i++ {
				err = s.rebuild(ctx, tx, casefile.ID(ids[i]), check, &page)
			}
			return err
		}
		run := s.db.Update
		if check {
			run = s.db.View
		}
		if err := run(ctx, work); err != nil {
			return report, err
		}
		report.Cases += page.Cases
		report.Acts += page.Acts
		report.Different = append(report.Different, page.Different...)
		if len(ids) == 0 {
			return report, s.orphans(ctx, check, &report)
		}
		last = ids[len(ids)-1]
	}
}

func idsBehind(ctx context.Context, r database.Reader, text string, args ...any) ([][]byte, error) {
	rows, err := r.Query(ctx, text, args...)
	return database.Scan(rows, err, func(rows *sql.Rows) (id []byte, err error) {
		err = rows.Scan(&id)
		return id, err
	})
}

func (s *Store) rebuild(ctx context.Context, tx *database.Tx, id casefile.ID, check bool, report *Report) error {
	c, err := s.Case(ctx, tx, id)
	if errors.Is(err, ErrDamaged) {
		report.Different = append(report.Different, Difference{Case: id, Err: err})
		return nil
	}
	if err != nil {
		return err
	}
	report.Cases++
	report.Acts += c.Acts
	for _, p := range s.projections {
		want := p.Rows(&c)
		have, err := p.stored(ctx, tx, id)
		if err != nil {
			return err
		}
		if same(have, want) {
			continue
		}
		report.Different = append(report.Different, Difference{Case: id, Table: p.Table})
		if check {
			continue
		}
		if err := p.write(ctx, tx, id, want); err != nil {
			return err
		}
	}
	return nil
}

// orphans finds rows of cases that have no acts.
func (s *Store) orphans(ctx context.Context, check bool, report *Report) error {
	for _, p := range s.projections {
		const none = ` WHERE NOT EXISTS (SELECT 1 FROM acts WHERE acts.case_id = `
		ids, err := idsBehind(ctx, s.db, `SELECT DISTINCT case_id FROM `+p.Table+none+p.Table+`.case_id)`)
		if err != nil {
			return err
		}
		for _, id := range ids {
			d := Difference{Table: p.Table}
			copy(d.Case[:], id)
			report.Different = append(report.Different, d)
			if check {
				continue
			}
			err := s.db.Update(ctx, func(tx *database.Tx) error {
				_, err := tx.Exec(ctx, `DELETE FROM `+p.Table+` WHERE case_id = $1`, id)
				return err
			})
			if err != nil {
				return err
			}
		}
	}
	return nil
}

const selectBalance = `SELECT share, COUNT(*) FROM case_rows
	WHERE institution = $1 AND device = $2 AND day >= $3 AND day <= $4 GROUP BY share`

// Balance counts what became of a device's records of the days from first to last.
func (s *Store) Balance(ctx context.Context, r database.Reader, institution casefile.Ref, device evidence.DeviceID, first, last law.Day) (casefile.Balance, error) {
	var b casefile.Balance
	rows, err := r.Query(ctx, selectBalance, string(institution), device[:], number(first), number(last))
	_, err = database.Scan(rows, err, func(rows *sql.Rows) (share string, err error) {
		var n int64
		if err = rows.Scan(&share, &n); err != nil {
			return share, err
		}
		b.Captured += n
		switch share {
		case "noticed":
			b.Noticed = n
		case "discarded":
			b.Discarded = n
		case "closed":
			b.Closed = n
		case "waiting":
			b.Waiting = n
		}
		return share, nil
	})
	return b, err
}
