package store

import (
	"database/sql"
	"errors"
)

// statements are the prepared ones: of the write connection first, then those
// of reading.
type statements struct {
	all []*sql.Stmt

	seen, at, link, next, setChain, insert, mend, chain, heartbeat, settle, waiting *sql.Stmt
	blob, statement, receipt, receiptBytes, logHash                                 *sql.Stmt
	dispute, disputes, equivocation, quarantine, expire                             *sql.Stmt
	state, setState, setHealth, setProfile                                          *sql.Stmt
	sent, sentElsewhere, setAside, backdated, refusal, recordIn                     *sql.Stmt
	blobLength, readLogHash, record, statementText, readReceipt, atRead, senders    *sql.Stmt
}

func (s *Store) prepare() error {
	var errs []error
	prepare := func(db *sql.DB, into **sql.Stmt, text string) {
		stmt, err := db.Prepare(text)
		if err != nil {
			errs = append(errs, err)
			return
		}
		*into = stmt
		s.stmts.all = append(s.stmts.all, stmt)
	}
	for _, p := range []struct {
		into **sql.Stmt
		text string
	}{
		{&s.stmts.seen, `INSERT INTO devices (id, first_seen, last_seen, heartbeat, state, state_at, health, health_at, profile, profile_at)
			VALUES ($1, $2, $2, 0, '', 0, '', 0, '', 0) ON CONFLICT (id) DO UPDATE SET last_seen = excluded.last_seen`},
		{&s.stmts.at, `SELECT id, state, disputed, receipt FROM records WHERE device = $1 AND epoch = $2 AND seq = $3`},
		{&s.stmts.link, `SELECT link, utc FROM records WHERE device = $1 AND epoch = $2 AND seq = $3`},
		{&s.stmts.next, `SELECT id, prev, chain, kind, utc FROM records WHERE device = $1 AND epoch = $2 AND seq = $3`},
		{&s.stmts.setChain, `UPDATE records SET chain = $2 WHERE id = $1`},
		{&s.stmts.backdated, `UPDATE records SET backdated = 1 WHERE id = $1`},
		{&s.stmts.recordIn, selectRecord + ` WHERE id = $1`},
		{&s.stmts.sent, `INSERT INTO sent (sha256, record) VALUES ($1, $2) ON CONFLICT (sha256, record) DO NOTHING`},
		{&s.stmts.sentElsewhere, `SELECT record FROM sent WHERE sha256 = $1 AND record <> $2`},
		{&s.stmts.setAside, `UPDATE records SET state = 2 WHERE id = $1 AND state = 0`},
		{&s.stmts.refusal, `INSERT INTO refusals (device, reason, messages, first_at, last_at) VALUES ($1, $2, $3, $4, $4)
			ON CONFLICT (device, reason) DO UPDATE SET messages = refusals.messages + excluded.messages, last_at = excluded.last_at`},
		{&s.stmts.insert, `INSERT INTO records (id, device, epoch, seq, kind, measured, utc, received, arrival, prev, link, chain, state, disputed, bytes, backdated)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, 0, 0, $13, $14)`},
		{&s.stmts.mend, `UPDATE records SET bytes = $2 WHERE id = $1 AND state = 0 AND bytes <> $2`},
		{&s.stmts.chain, `INSERT INTO chains (device, epoch, highest, stored, unlinked, broken) VALUES ($1, $2, $3, 1, $4, $5)
			ON CONFLICT (device, epoch) DO UPDATE SET
				highest = CASE WHEN excluded.highest > chains.highest THEN excluded.highest ELSE chains.highest END,
				stored = chains.stored + 1,
				unlinked = chains.unlinked + excluded.unlinked,
				broken = chains.broken + excluded.broken`},
		{&s.stmts.heartbeat, `UPDATE devices SET heartbeat = $2 WHERE id = $1 AND heartbeat < $2`},
		{&s.stmts.waiting, `SELECT device, epoch, seq, kind, utc, bytes FROM records WHERE id = $1 AND state = 0`},
		{&s.stmts.settle, `UPDATE records SET state = 1, log_index = $2, receipt = $3 WHERE id = $1`},
		{&s.stmts.blob, `INSERT INTO blobs (sha256, length, received) VALUES ($1, $2, $3) ON CONFLICT (sha256) DO NOTHING`},
		{&s.stmts.statement, `INSERT INTO statements (sha256, record, media, bytes) VALUES ($1, $2, $3, $4) ON CONFLICT (sha256) DO NOTHING`},
		{&s.stmts.receipt, `INSERT INTO receipts (hash, device, created, log_size, bytes) VALUES ($1, $2, $3, $4, $5)`},
		{&s.stmts.receiptBytes, `SELECT bytes FROM receipts WHERE hash = $1`},
		{&s.stmts.logHash, `INSERT INTO log_hashes (position, hash) VALUES ($1, $2)`},
		{&s.stmts.dispute, `UPDATE records SET disputed = 1, state = CASE WHEN state = 0 THEN 2 ELSE state END WHERE id = $1`},
		{&s.stmts.disputes, `SELECT COUNT(*) FROM equivocations WHERE device = $1`},
		{&s.stmts.equivocation, `INSERT INTO equivocations (id, device, epoch, seq, first_id, received, bytes)
			VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (id) DO NOTHING`},
		{&s.stmts.quarantine, `INSERT INTO quarantine (device, day, number, received, topic, reason, detail, bytes)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (device, day, number) DO NOTHING`},
		{&s.stmts.expire, `DELETE FROM quarantine WHERE day < $1`},
		{&s.stmts.state, `SELECT state FROM devices WHERE id = $1`},
		{&s.stmts.setState, `UPDATE devices SET state = $2, state_at = $3 WHERE id = $1`},
		{&s.stmts.setHealth, `UPDATE devices SET health = $2, health_at = $3 WHERE id = $1`},
		{&s.stmts.setProfile, `UPDATE devices SET profile = $2, profile_at = $3 WHERE id = $1`},
	} {
		prepare(s.write, p.into, p.text)
	}
	for _, p := range []struct {
		into **sql.Stmt
		text string
	}{
		{&s.stmts.senders, `SELECT record FROM sent WHERE sha256 = $1`},
		{&s.stmts.blobLength, `SELECT length FROM blobs WHERE sha256 = $1`},
		{&s.stmts.readLogHash, `SELECT hash FROM log_hashes WHERE position = $1`},
		{&s.stmts.record, selectRecord + ` WHERE id = $1`},
		{&s.stmts.atRead, `SELECT id FROM records WHERE device = $1 AND epoch = $2 AND seq = $3`},
		{&s.stmts.statementText, `SELECT bytes FROM statements WHERE sha256 = $1`},
		{&s.stmts.readReceipt, `SELECT bytes FROM receipts WHERE hash = $1`},
	} {
		prepare(s.read, p.into, p.text)
	}
	return errors.Join(errs...)
}

func (s *statements) close() error {
	var errs []error
	for _, stmt := range s.all {
		errs = append(errs, stmt.Close())
	}
	return errors.Join(errs...)
}
