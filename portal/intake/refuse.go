package intake

import (
	"cmp"
	"context"
	"log/slog"
	"maps"
	"sync"
	"time"

	"ciglio/capture/evidence"
	"ciglio/portal/log/sequencer"
	"ciglio/portal/record"
	"ciglio/portal/tally"
	"ciglio/uplink"
	"ciglio/uplink/wire"
)

// A Reason says why a message was not taken. It is counted, stored and shown.
type Reason string

// The reasons.
const (
	ReasonTopic         Reason = "topic"          // not a topic of a device
	ReasonUnknownDevice Reason = "unknown_device" // no key of the device is in the register
	ReasonMalformed     Reason = "malformed"      // not a record of profile 1
	ReasonOtherDevice   Reason = "other_device"   // names another device than its topic
	ReasonUnknownKey    Reason = "unknown_key"    // the key is not in the register
	ReasonForeignKey    Reason = "foreign_key"    // the key is of another device or epoch
	ReasonKeyNotValid   Reason = "key_not_valid"  // the key was not valid then
	ReasonRevoked       Reason = "revoked"        // the key is revoked
	ReasonSignature     Reason = "signature"      // the signature does not match
	ReasonEquivocation  Reason = "equivocation"   // another record has this place in the chain
	ReasonQuota         Reason = "quota"          // too many records of the device wait for blobs
	ReasonChunk         Reason = "chunk"          // not a chunk
	ReasonUnannounced   Reason = "unannounced"    // a chunk of a blob that no record of the device waits for
	ReasonBehind        Reason = "behind_refused" // a chunk behind a record that was not taken: counted, not kept
	ReasonChunkLength   Reason = "chunk_length"   // a chunk that gives its blob another length than the record
	ReasonBlobDamaged   Reason = "blob_damaged"   // the chunks do not make up the blob
	ReasonReport        Reason = "report"         // not a state, health or profile message
	ReasonStoreUnable   Reason = "store"          // the store could not take it

	// Of records that are the device's own: it is told.
	ReasonReuse     Reason = record.RefusedReuse    // names a blob that was sent for another record
	ReasonAhead     Reason = record.RefusedAhead    // dated later than it came
	ReasonBackdated Reason = record.RefusedBack     // sealed with an expired key, and before the record before
	ReasonHeldBack  Reason = record.RefusedHeldBack // more than the device's quota
)

// Bounds of a record's time, seen from its arrival.
const (
	// MaxAhead is how far a record may be dated ahead. Its receipt waits until
	// then.
	MaxAhead = sequencer.MaxAhead
	// MaxLate is how long after its key has expired a record may come: a device
	// may have been offline for a month.
	MaxLate = 31 * 24 * time.Hour
)

// waitFor is what a device is told to wait before it sends a refused record
// again.
const waitFor = time.Hour

// MaxQuarantined is how many refused messages are kept of one device on one
// day, and of all unknown devices together. The rest are counted.
const MaxQuarantined = 20

const maxQuarantinedBytes = 64 << 10

type refusal struct {
	device  evidence.DeviceID // zero when it is not one of the register
	reason  Reason
	topic   string
	err     error
	payload []byte
	record  evidence.Hash // zero when it was none of the device's own
	wait    time.Duration // before it may come again; zero for the usual
}

// refusals counts what was not taken and has the first of each device kept.
type refusals struct {
	in    *Intake
	tally *tally.Tally

	mu      sync.Mutex
	counted map[Reason]uint64
	unsaved map[refusedKey]uint64 // not yet in the store
	day     int64
	kept    map[evidence.DeviceID]int
}

type refusedKey struct {
	device evidence.DeviceID
	reason Reason
}

func newRefusals(ctx context.Context, in *Intake) (*refusals, error) {
	day := record.Day(in.o.Now())
	kept, err := in.o.Store.Quarantined(ctx, day)
	return &refusals{in: in, tally: tally.New(in.o.Log), counted: make(map[Reason]uint64),
		unsaved: make(map[refusedKey]uint64), day: day, kept: kept}, err
}

func (r *refusals) counts() map[Reason]uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.counted)
}

// add counts a refusal, keeps its message and tells the device.
func (r *refusals) add(m refusal) {
	now := r.in.o.Now()
	number, keep := r.number(m, now)
	r.say(slog.LevelWarn, "message refused", m)
	if keep {
		r.in.writer.ops <- &quarantineOp{record.Refused{
			Device: m.device, Number: number, Received: now, Topic: m.topic, Reason: string(m.reason),
			Detail: m.err.Error(), Bytes: m.payload[:min(len(m.payload), maxQuarantinedBytes)],
		}}
	}
	if !m.record.IsZero() {
		r.tell(m)
	}
}

// tell answers a record that is the device's own.
func (r *refusals) tell(m refusal) {
	wait := min(cmp.Or(m.wait, waitFor), wire.MaxWait)
	command, err := wire.SealRefused(&wire.Refused{
		Device: m.device, ID: m.record, Code: string(m.reason), Wait: wait.Round(time.Second),
	}, r.in.o.Signer)
	if err != nil {
		r.in.o.Log.Error("answer cannot be sealed", "error", err)
		return
	}
	r.in.answers.send(uplink.Message{Topic: wire.Topic(r.in.o.Shard, m.device, wire.WhatCommand), Payload: command})
}

// alarm counts and logs a refusal whose message is kept elsewhere.
func (r *refusals) alarm(m refusal) {
	r.count(m.device, m.reason)
	r.say(slog.LevelError, "device contradicts itself", m)
}

func (r *refusals) say(level slog.Level, message string, m refusal) {
	key := tally.Key{Level: level, Message: message, Reason: string(m.reason)}
	if m.device != (evidence.DeviceID{}) {
		key.Device = m.device.String()
	}
	r.tally.Add(key, "error", m.err)
}

// count counts a refusal of which nothing is kept.
func (r *refusals) count(device evidence.DeviceID, reason Reason) {
	r.mu.Lock()
	r.counted[reason]++
	r.unsaved[refusedKey{device, reason}]++
	r.mu.Unlock()
}

// number counts a refusal and says whether it is to be kept. What is only too much
// or what the store could not take comes again.
func (r *refusals) number(m refusal, now time.Time) (int, bool) {
	r.count(m.device, m.reason)
	r.mu.Lock()
	defer r.mu.Unlock()
	if day := record.Day(now); day != r.day {
		r.day = day
		clear(r.kept)
	}
	n := r.kept[m.device]
	if n >= MaxQuarantined || m.reason == ReasonHeldBack {
		return 0, false
	}
	r.kept[m.device] = n + 1
	return n, true
}

// save hands the counts to the writer.
func (r *refusals) save() {
	r.mu.Lock()
	counted := r.unsaved
	r.unsaved = make(map[refusedKey]uint64)
	r.mu.Unlock()
	if len(counted) > 0 {
		r.in.writer.ops <- &countOp{counted: counted, now: r.in.o.Now()}
	}
}

// saveEvery is how old a count in the store may be.
const saveEvery = 2 * time.Second

// run saves counts until ctx ends.
func (r *refusals) run(ctx context.Context) {
	tick := time.NewTicker(saveEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			r.save()
		case <-ctx.Done():
			return
		}
	}
}
