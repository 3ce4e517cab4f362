package intake

import (
	"context"
	"maps"
	"sync"
	"time"

	"ciglio/capture/evidence"
	"ciglio/portal/store"
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
	ReasonChunkLength   Reason = "chunk_length"   // a chunk that gives its blob another length than the record
	ReasonBlobDamaged   Reason = "blob_damaged"   // the chunks do not make up the blob
	ReasonReport        Reason = "report"         // not a state, health or profile message
	ReasonStoreUnable   Reason = "store"          // the store could not take it
)

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
}

// refusals counts what was not taken and has the first of each device kept.
type refusals struct {
	in *Intake

	mu      sync.Mutex
	counted map[Reason]uint64
	day     int64
	kept    map[evidence.DeviceID]int
}

func newRefusals(ctx context.Context, in *Intake) (*refusals, error) {
	day := store.Day(time.Now())
	kept, err := in.o.Store.Quarantined(ctx, day)
	return &refusals{in: in, counted: make(map[Reason]uint64), day: day, kept: kept}, err
}

func (r *refusals) counts() map[Reason]uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.counted)
}

func (r *refusals) add(m refusal) {
	now := time.Now()
	number, keep := r.number(m, now)
	if !keep {
		return
	}
	r.in.o.Log.Warn("message refused", "device", m.device.String(), "reason", string(m.reason), "error", m.err)
	r.in.writer.ops <- &quarantineOp{store.Refused{
		Device: m.device, Number: number, Received: now, Topic: m.topic, Reason: string(m.reason),
		Detail: m.err.Error(), Bytes: m.payload[:min(len(m.payload), maxQuarantinedBytes)],
	}}
}

// alarm counts and logs a refusal whose message is kept elsewhere.
func (r *refusals) alarm(m refusal) {
	if _, keep := r.number(m, time.Now()); keep {
		r.in.o.Log.Error("device contradicts itself", "device", m.device.String(), "reason", string(m.reason), "error", m.err)
	}
}

// number counts a refusal and says whether it is to be kept.
func (r *refusals) number(m refusal, now time.Time) (int, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.counted[m.reason]++
	if day := store.Day(now); day != r.day {
		r.day = day
		clear(r.kept)
	}
	n := r.kept[m.device]
	if n >= MaxQuarantined {
		return 0, false
	}
	r.kept[m.device] = n + 1
	return n, true
}
