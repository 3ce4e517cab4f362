package record

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"ciglio/capture/evidence"
)

// A Device is what the centre knows of a device from its messages.
type Device struct {
	ID        evidence.DeviceID
	FirstSeen time.Time
	LastSeen  time.Time
	Heartbeat time.Time // UTC of the newest heartbeat record, no later than it came; zero when none came
	State     []byte    // newest message of its kind, as received; empty when none came
	StateAt   time.Time // when it was received
	Health    []byte
	HealthAt  time.Time
	Profile   []byte
	ProfileAt time.Time

	Records       uint64
	Incomplete    uint64 // records that wait for blobs
	Missing       uint64 // sequence numbers below the highest of their epoch that never came, at most 1e12 of each
	Gaps          uint64 // places in the chain where they are missing
	Broken        uint64 // records that name another predecessor than the one received
	Equivocations uint64 // contradicting records kept
	SetAside      uint64 // records stored that are never receipted
	Backdated     uint64 // records that go back in time without a reason
	Reused        uint64 // messages with a record that names what another record was sent with
	Misdated      uint64 // messages with a record of a time at which it cannot have been sealed
	HeldBack      uint64 // messages beyond what a device may have stored at a time
}

// Alarm reports whether what the device signed needs a person. A gap alone does
// not: records may arrive in any order.
func (d *Device) Alarm() bool {
	return d.Broken > 0 || d.Equivocations > 0 || d.SetAside > 0 || d.Backdated > 0 || d.Reused > 0 || d.Misdated > 0
}

// The reasons of refusals that the device's row counts.
const (
	RefusedReuse    = "reuse"
	RefusedAhead    = "clock_ahead"
	RefusedBack     = "backdated"
	RefusedHeldBack = "held_back"
)

// A chain's highest number is the device's word: what is missing is capped, or
// the sum of two epochs would overflow.
const selectDevice = `SELECT id, first_seen, last_seen, heartbeat, state, state_at, health, health_at, profile, profile_at,
	COALESCE((SELECT SUM(stored) FROM chains WHERE device = devices.id), 0),
	(SELECT COUNT(*) FROM records WHERE device = devices.id AND state = 0 AND due IS NULL),
	COALESCE((SELECT SUM(CASE WHEN highest - stored > 1000000000000 THEN 1000000000000 ELSE highest - stored END) FROM chains WHERE device = devices.id), 0),
	COALESCE((SELECT SUM(unlinked) FROM chains WHERE device = devices.id), 0),
	COALESCE((SELECT SUM(broken) FROM chains WHERE device = devices.id), 0),
	(SELECT COUNT(*) FROM equivocations WHERE device = devices.id),
	(SELECT COUNT(*) FROM records WHERE device = devices.id AND state = 2),
	(SELECT COUNT(*) FROM records WHERE device = devices.id AND backdated = 1),
	COALESCE((SELECT SUM(messages) FROM refusals WHERE device = devices.id AND reason = 'reuse'), 0),
	COALESCE((SELECT SUM(messages) FROM refusals WHERE device = devices.id AND reason IN ('clock_ahead', 'backdated')), 0),
	COALESCE((SELECT SUM(messages) FROM refusals WHERE device = devices.id AND reason = 'held_back'), 0)
	FROM devices`

// Devices returns every device that has been heard, in order of id.
func (s *Store) Devices(ctx context.Context) ([]*Device, error) {
	return list(ctx, s.db, selectDevice+` ORDER BY id`, nil, scanDevice)
}

// Device returns one device; the error wraps [ErrNotFound] when it was never
// heard.
func (s *Store) Device(ctx context.Context, id evidence.DeviceID) (*Device, error) {
	found, err := list(ctx, s.db, selectDevice+` WHERE id = $1`, []any{id[:]}, scanDevice)
	if err == nil && len(found) == 0 {
		err = ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	return found[0], nil
}

func scanDevice(row *sql.Rows) (*Device, error) {
	var d Device
	var id []byte
	var first, last, heartbeat, stateAt, healthAt, profileAt int64
	err := row.Scan(&id, &first, &last, &heartbeat, &d.State, &stateAt, &d.Health, &healthAt, &d.Profile, &profileAt,
		&d.Records, &d.Incomplete, &d.Missing, &d.Gaps, &d.Broken, &d.Equivocations,
		&d.SetAside, &d.Backdated, &d.Reused, &d.Misdated, &d.HeldBack)
	if err != nil {
		return nil, err
	}
	copy(d.ID[:], id)
	d.FirstSeen, d.LastSeen, d.Heartbeat = instant(first), instant(last), instant(heartbeat)
	d.StateAt, d.HealthAt, d.ProfileAt = instant(stateAt), instant(healthAt), instant(profileAt)
	return &d, nil
}

// An Equivocation is a second record that a device has signed for one place in
// its chain.
type Equivocation struct {
	ID         evidence.Hash
	First      evidence.Hash // the record that came first
	Device     evidence.DeviceID
	Epoch, Seq uint64
	Received   time.Time
	Bytes      []byte
}

const selectEquivocations = `SELECT id, first_id, epoch, seq, received, bytes FROM equivocations
	WHERE device = $1 ORDER BY received DESC LIMIT $2`

// Equivocations returns those of a device, the newest first.
func (s *Store) Equivocations(ctx context.Context, device evidence.DeviceID, limit int) ([]*Equivocation, error) {
	return list(ctx, s.db, selectEquivocations, []any{device[:], limit}, func(rows *sql.Rows) (*Equivocation, error) {
		e := Equivocation{Device: device}
		var id, first []byte
		var received int64
		if err := rows.Scan(&id, &first, &e.Epoch, &e.Seq, &received, &e.Bytes); err != nil {
			return nil, err
		}
		copy(e.ID[:], id)
		copy(e.First[:], first)
		e.Received = instant(received)
		return &e, nil
	})
}

const whereActs = ` WHERE device = $1 AND kind IN ($2, $3) ORDER BY arrival DESC LIMIT $4`

// Acts returns the newest records of a device that may tell of an act that somebody
// asked for, the newest first.
func (s *Store) Acts(ctx context.Context, device evidence.DeviceID, limit int) ([]*Record, error) {
	return s.records(ctx, selectRecord+whereActs, device[:], int64(evidence.KindOperator), int64(evidence.KindSelfTest), limit)
}

const selectHighest = `SELECT device, epoch, highest, stored FROM chains ORDER BY device, epoch`

// Highest says of each device and epoch how far its numbers go.
func (s *Store) Highest(ctx context.Context) ([]string, error) {
	return list(ctx, s.db, selectHighest, nil, func(rows *sql.Rows) (string, error) {
		var device []byte
		var epoch, highest, stored int64
		err := rows.Scan(&device, &epoch, &highest, &stored)
		words := fmt.Sprintf("device %x epoch %d up to number %d", device, epoch, highest)
		if stored != highest {
			words += fmt.Sprintf(", %d of them", stored)
		}
		return words, err
	})
}
