package database

import (
	"context"
	"database/sql"
	"strings"
)

// A Leased is a lease as others see it.
type Leased struct {
	Name string
	Term int64
	Held bool // by the database's clock
}

const selectLeases = `SELECT name, term, CASE WHEN ends > {now} THEN 1 ELSE 0 END FROM leases ORDER BY name`

// Leases lists those that were ever taken.
func (db *DB) Leases(ctx context.Context) ([]Leased, error) {
	rows, err := db.Query(ctx, strings.ReplaceAll(selectLeases, "{now}", db.engine.now()))
	return Scan(rows, err, func(rows *sql.Rows) (l Leased, err error) {
		var held int
		err = rows.Scan(&l.Name, &l.Term, &held)
		l.Held = held == 1
		return l, err
	})
}
