package roadside

import (
	"fmt"
	"slices"
	"time"

	"ciglio/capture/evidence"
	"ciglio/cross/simulate"
	"ciglio/sensor"
	"ciglio/uplink"
)

// maxError is how far a recorded speed may lie from the truth.
const maxError = sensor.KmH / 2

// A recorded is one violation as the device recorded it.
type recorded struct {
	Key        uplink.Key
	ID         evidence.Hash
	Speed      sensor.Speed
	Direction  sensor.Direction
	Start, End time.Duration // of the track, from the start of the road
	Settled    bool
}

// An audit compares what the device recorded with what happened on the road.
type audit struct {
	Expected int          // violations of the road
	Matched  int          // of them recorded, settled, and with the right speed
	MaxError sensor.Speed // largest difference of a matched speed from the truth
	Faults   []string     // each thing that is not as it must be
}

// compare matches every record with the one violation of the road it shows. Any
// violation without a settled record, any record without a violation and any
// speed off by more than maxError is a fault.
func compare(truth []simulate.Truth, limit sensor.Speed, records []recorded) audit {
	var a audit
	taken := make([]bool, len(records))
	for _, v := range truth {
		if !v.Violation(limit) {
			continue
		}
		a.Expected++
		name := fmt.Sprintf("%s at %v passing after %v", v.Direction, v.Speed, v.Passing.Round(10*time.Millisecond))
		i := slices.IndexFunc(records, func(r recorded) bool {
			return r.Direction == v.Direction && r.Start < v.Leave && r.End > v.Enter
		})
		switch {
		case i < 0:
			a.Faults = append(a.Faults, name+": no record")
			continue
		case taken[i]:
			a.Faults = append(a.Faults, name+": its record stands for another vehicle already")
			continue
		}
		taken[i] = true
		off := records[i].Speed - v.Speed
		if off < 0 {
			off = -off
		}
		a.MaxError = max(a.MaxError, off)
		switch {
		case off > maxError:
			a.Faults = append(a.Faults, fmt.Sprintf("%s: recorded with %v", name, records[i].Speed))
		case !records[i].Settled:
			a.Faults = append(a.Faults, name+": recorded, not settled")
		default:
			a.Matched++
		}
	}
	for i, r := range records {
		if !taken[i] {
			a.Faults = append(a.Faults, fmt.Sprintf("record %d: %s at %v at %v: no such violation on the road",
				r.Key.Seq, r.Direction, r.Speed, r.Start.Round(10*time.Millisecond)))
		}
	}
	return a
}

// quantile returns the value below which the share q of the sorted values lies,
// by the nearest rank; 0 when there are none.
func quantile(sorted []time.Duration, q float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	rank := int(q*float64(len(sorted))+0.999999) - 1
	return sorted[min(max(rank, 0), len(sorted)-1)]
}
