package acts

import "ciglio/portal/database"

// owner is whose steps those of this package are.
const owner = "acts"

// Schema is that of this package, for whoever copies all tables.
func Schema() database.Schema { return database.Schema{Owner: owner, Steps: steps} }

// The schema, in what SQLite and PostgreSQL both read: portal/database/README.md.
var steps = []database.Step{{
	SQL: []string{
		// One row an act, never changed. What it says is in bytes; the columns are for lists.
		`CREATE TABLE acts (
			case_id BYTEA NOT NULL,
			number  BIGINT NOT NULL CHECK (number > 0),
			key     BYTEA NOT NULL,
			kind    TEXT NOT NULL,
			at      BIGINT NOT NULL,
			hash    BYTEA NOT NULL UNIQUE,
			bytes   BYTEA NOT NULL,
			PRIMARY KEY (case_id, number),
			UNIQUE (case_id, key)
		)`,
		// Acts in the order in which they were placed: in the log, and for who follows.
		`CREATE TABLE act_places (
			position BIGINT PRIMARY KEY,
			case_id  BYTEA NOT NULL,
			number   BIGINT NOT NULL,
			UNIQUE (case_id, number),
			FOREIGN KEY (case_id, number) REFERENCES acts (case_id, number)
		)`,
		// Acts that have no place yet.
		`CREATE TABLE act_waiting (
			case_id BYTEA NOT NULL,
			number  BIGINT NOT NULL,
			at      BIGINT NOT NULL,
			hash    BYTEA NOT NULL,
			PRIMARY KEY (case_id, number)
		)`,
		`CREATE INDEX act_waiting_at ON act_waiting (at, case_id, number)`,
		// Personal values with their salts: what erasure deletes.
		`CREATE TABLE act_values (
			case_id    BYTEA NOT NULL,
			commitment BYTEA NOT NULL,
			mark       TEXT NOT NULL CHECK (mark IN ('person', 'plate')),
			salt       BYTEA NOT NULL,
			value      BYTEA NOT NULL,
			PRIMARY KEY (case_id, commitment)
		)`,
		`CREATE TABLE act_cursors (
			name     TEXT PRIMARY KEY,
			position BIGINT NOT NULL
		)`,
		// Messages to the outside that are not settled.
		`CREATE TABLE act_messages (
			key       BYTEA PRIMARY KEY,
			recipient TEXT NOT NULL,
			case_id   BYTEA NOT NULL,
			number    BIGINT NOT NULL,
			state     TEXT NOT NULL CHECK (state IN ('waiting', 'given_up')),
			due       BIGINT NOT NULL,
			tries     BIGINT NOT NULL,
			reason    TEXT NOT NULL,
			body      BYTEA NOT NULL
		)`,
		`CREATE INDEX act_messages_due ON act_messages (recipient, state, due, key)`,

		// Projections: projection.go says what stands in them.
		`CREATE TABLE case_rows (
			case_id     BYTEA PRIMARY KEY,
			institution TEXT NOT NULL,
			device      BYTEA NOT NULL,
			day         BIGINT NOT NULL,
			stage       TEXT NOT NULL CHECK (stage IN ('review', 'second', 'discarded', 'accepted', 'asked', 'known', 'closed')),
			share       TEXT NOT NULL CHECK (share IN ('noticed', 'discarded', 'closed', 'waiting')),
			stopped     TEXT NOT NULL,
			hold        TEXT NOT NULL,
			excess      BIGINT NOT NULL,
			acts        BIGINT NOT NULL
		)`,
		`CREATE INDEX case_rows_day ON case_rows (institution, device, day, share)`,
		`CREATE INDEX case_rows_stage ON case_rows (institution, stage, day, case_id)`,
		`CREATE TABLE notice_rows (
			case_id     BYTEA NOT NULL,
			position    BIGINT NOT NULL,
			institution TEXT NOT NULL,
			number      TEXT NOT NULL,
			state       TEXT NOT NULL,
			PRIMARY KEY (case_id, position),
			UNIQUE (institution, number)
		)`,
		`CREATE TABLE term_rows (
			case_id     BYTEA NOT NULL,
			position    BIGINT NOT NULL,
			name        TEXT NOT NULL,
			institution TEXT NOT NULL,
			who         TEXT NOT NULL,
			reason      TEXT NOT NULL,
			begins      BIGINT NOT NULL,
			ends        BIGINT NOT NULL,
			PRIMARY KEY (case_id, position, name),
			CHECK (begins <= ends)
		)`,
		`CREATE INDEX term_rows_ends ON term_rows (institution, who, ends, case_id)`,
	},
	Sealed: []string{"acts", "act_places"},
}}
