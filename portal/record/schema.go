package record

import "ciglio/portal/database"

// The schema, in what SQLite and PostgreSQL both read: portal/database/README.md.
// What devices may write is BYTEA.
var steps = []database.Step{
	{SQL: []string{
		`CREATE TABLE devices (
			id         BYTEA PRIMARY KEY,
			first_seen BIGINT NOT NULL,
			last_seen  BIGINT NOT NULL,
			heartbeat  BIGINT NOT NULL,
			state      BYTEA NOT NULL,
			state_at   BIGINT NOT NULL,
			health     BYTEA NOT NULL,
			health_at  BIGINT NOT NULL,
			profile    BYTEA NOT NULL,
			profile_at BIGINT NOT NULL
		)`,
		`CREATE TABLE receipts (
			hash     BYTEA PRIMARY KEY,
			device   BYTEA NOT NULL REFERENCES devices(id),
			created  BIGINT NOT NULL,
			log_size BIGINT NOT NULL,
			bytes    BYTEA NOT NULL
		)`,
		`CREATE TABLE records (
			id        BYTEA PRIMARY KEY,
			device    BYTEA NOT NULL REFERENCES devices(id),
			epoch     BIGINT NOT NULL,
			seq       BIGINT NOT NULL,
			kind      BIGINT NOT NULL,
			measured  BIGINT NOT NULL,
			utc       BIGINT NOT NULL,
			received  BIGINT NOT NULL,
			arrival   BIGINT NOT NULL UNIQUE,
			prev      BYTEA NOT NULL,
			link      BYTEA NOT NULL,
			chain     BIGINT NOT NULL,
			state     BIGINT NOT NULL,
			disputed  BIGINT NOT NULL,
			log_index BIGINT UNIQUE,
			receipt   BYTEA REFERENCES receipts(hash),
			bytes     BYTEA NOT NULL,
			UNIQUE (device, epoch, seq)
		)`,
		`CREATE INDEX records_measured ON records (measured, arrival)`,
		`CREATE INDEX records_device ON records (device, arrival)`,
		`CREATE INDEX records_incomplete ON records (device) WHERE state = 0`,
		`CREATE TABLE chains (
			device   BYTEA NOT NULL REFERENCES devices(id),
			epoch    BIGINT NOT NULL,
			highest  BIGINT NOT NULL,
			stored   BIGINT NOT NULL,
			unlinked BIGINT NOT NULL,
			broken   BIGINT NOT NULL,
			PRIMARY KEY (device, epoch)
		)`,
		`CREATE TABLE blobs (
			sha256   BYTEA PRIMARY KEY,
			length   BIGINT NOT NULL,
			received BIGINT NOT NULL
		)`,
		`CREATE TABLE statements (
			sha256 BYTEA PRIMARY KEY,
			record BYTEA NOT NULL REFERENCES records(id),
			media  BYTEA NOT NULL,
			bytes  BYTEA NOT NULL
		)`,
		`CREATE TABLE log_hashes (
			position BIGINT PRIMARY KEY,
			hash     BYTEA NOT NULL
		)`,
		`CREATE TABLE equivocations (
			id       BYTEA PRIMARY KEY,
			device   BYTEA NOT NULL REFERENCES devices(id),
			epoch    BIGINT NOT NULL,
			seq      BIGINT NOT NULL,
			first_id BYTEA NOT NULL REFERENCES records(id),
			received BIGINT NOT NULL,
			bytes    BYTEA NOT NULL
		)`,
		`CREATE INDEX equivocations_device ON equivocations (device, received)`,
		`CREATE TABLE quarantine (
			device   BYTEA NOT NULL,
			day      BIGINT NOT NULL,
			number   BIGINT NOT NULL,
			received BIGINT NOT NULL,
			topic    TEXT NOT NULL,
			reason   TEXT NOT NULL,
			detail   TEXT NOT NULL,
			bytes    BYTEA NOT NULL,
			PRIMARY KEY (device, day, number)
		)`,
	}}, {SQL: []string{
		// Which record a blob was sent for: it counts for that one alone.
		`CREATE TABLE sent (
			sha256 BYTEA NOT NULL REFERENCES blobs(sha256),
			record BYTEA NOT NULL REFERENCES records(id),
			PRIMARY KEY (sha256, record)
		)`,
		// Records whose instant is far before that of the record before.
		`ALTER TABLE records ADD COLUMN backdated BIGINT NOT NULL DEFAULT 0`,
		`CREATE INDEX records_set_aside ON records (device) WHERE state = 2`,
		`CREATE INDEX records_unlinked ON records (device, epoch, seq) WHERE chain = 0`,
		`CREATE INDEX records_backdated ON records (device) WHERE backdated = 1`,
		// How often the centre refused something, ever.
		`CREATE TABLE refusals (
			device   BYTEA NOT NULL,
			reason   TEXT NOT NULL,
			messages BIGINT NOT NULL,
			first_at BIGINT NOT NULL,
			last_at  BIGINT NOT NULL,
			PRIMARY KEY (device, reason)
		)`,
	}}, {SQL: []string{
		// What lists show of a record. A program before this step leaves them out:
		// listed says whether they are there.
		`ALTER TABLE records ADD COLUMN listed BIGINT NOT NULL DEFAULT 0`,
		`ALTER TABLE records ADD COLUMN road BYTEA`,
		`ALTER TABLE records ADD COLUMN position BIGINT`,
		`ALTER TABLE records ADD COLUMN speed BIGINT`,
		`ALTER TABLE records ADD COLUMN assessed BIGINT`,
		`ALTER TABLE records ADD COLUMN speed_limit BIGINT`,
	}}, {SQL: []string{
		// By which shard a record came, and since when it may be numbered: NULL while a
		// blob is missing. A program before this step numbers by itself.
		`ALTER TABLE records ADD COLUMN shard TEXT`,
		`ALTER TABLE records ADD COLUMN due BIGINT`,
		`CREATE INDEX records_unnumbered ON records (due, arrival) WHERE state = 0 AND due IS NOT NULL`,
		// Receipts that the broker has not acknowledged yet.
		`CREATE TABLE sending (
			receipt BYTEA PRIMARY KEY REFERENCES receipts(hash),
			shard   TEXT NOT NULL,
			since   BIGINT NOT NULL,
			asked   BIGINT NOT NULL
		)`,
		`CREATE INDEX sending_shard ON sending (shard, since, receipt)`,
		// The newest checkpoint of the log that was published.
		`CREATE TABLE checkpoints (
			id     BIGINT PRIMARY KEY,
			size   BIGINT NOT NULL,
			signed BYTEA NOT NULL
		)`,
	}}, {SQL: []string{
		// A day is looked for by when records were made.
		`CREATE INDEX records_made ON records (measured, utc)`,
	}},
}
