// Command accuracy says how well the Doppler chain measures vehicles whose true
// speed is known: it drives simulated roads of every class through the chain
// and compares each passage with the vehicle it belongs to.
//
// # Which vehicle a passage belongs to
//
// By time and direction, never by speed: a wrong speed must show as an error of
// the vehicle that was there, not as a vehicle that was missed. A passage may
// belong to a vehicle when their directions agree, or the passage has none,
// when its track lies in the time in which the radar could see the vehicle, and
// when its near end (the end of what approaches, the start of what recedes)
// lies within 1 s, or 30 m of road where that takes longer, of the vehicle's
// closest point. Among all such pairs the nearest in time are joined first, each
// passage and each vehicle once. What is left over is a vehicle that was missed,
// a second passage of a vehicle, or a passage that no vehicle explains.
//
// # What is counted
//
// A passage that is valid and has no other target could accuse a driver. Of
// these three are faults, and must not occur: a wrong speed, off by more than
// 1 km/h and 1 %; a wrong assignment, where another vehicle could be seen in the
// beam for [maxOverlap] or longer while it was measured, or the speed is another vehicle's; and one
// that no vehicle explains, or a second one of the same vehicle. A passage that
// is marked with other targets accuses nobody: its errors are counted apart.
//
// Everything follows from one seed; how many cores worked on it does not show.
//
// With -docs it rewrites docs/accuracy.md and its pictures. It exits with 1 when
// the chain falls short of what bound.go says, and with 2 when it is called
// wrongly.
package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"ciglio/cross/simulate"
	"ciglio/sensor"
	"ciglio/sensor/doppler"
)

const (
	mostOff   = sensor.KmH // and
	mostShare = 0.01       // of the speed: what is farther off is wrong

	// maxOverlap is how long two vehicles may both be visible during the track
	// of a passage that does not count the other. The first moments of an echo fade in
	// and out of the noise.
	maxOverlap = time.Second

	nearTime = time.Second
	nearWay  = 30.0 // m
)

// A Fate is what became of one vehicle.
type Fate uint8

// The fates.
const (
	Missed    Fate = iota // no passage
	Found                 // a valid passage, and no other target
	Marked                // a valid passage with other targets: nobody can be accused
	Discarded             // a passage with reasons
)

// An Outcome is one vehicle of a road and what the chain said of it.
type Outcome struct {
	Class   string
	Seed    uint64 // of the road
	Truth   simulate.Truth
	True    stretch // of speeds where it was measured
	Fate    Fate
	Passage sensor.Passage // of a vehicle that was not missed
	Error   float64        // km/h, of a valid passage, to the nearest of True
	Best    float64        // share of the speed: the least standard uncertainty that physics allows, of what was alone
}

// Wrong reports whether the speed of a valid passage is off by more than
// 1 km/h and 1 %.
func (o *Outcome) Wrong() bool {
	return (o.Fate == Found || o.Fate == Marked) && o.True.wrong(o.Passage.Speed)
}

// kinds are the kinds of faults.
var kinds = []string{wrongSpeed, wrongVehicle, invented, twice}

const (
	wrongSpeed   = "wrong speed"
	wrongVehicle = "wrong assignment"
	invented     = "invented"
	twice        = "twice"
)

// A Fault is what must not occur.
type Fault struct {
	Kind  string
	Class string
	Seed  uint64  // of the road
	Off   float64 // km/h by which the speed is wrong; all of it of one that was invented
	Text  string
}

// String names the road, so that it can be driven again.
func (f Fault) String() string {
	return fmt.Sprintf("%s: class %q, seed %d: %s", f.Kind, f.Class, f.Seed, f.Text)
}

// A Result is all that came of a set of roads, in their order.
type Result struct {
	Outcomes []Outcome
	Faults   []Fault
	Spare    int // discarded passages that belong to no vehicle, or to one that has another
	Seconds  float64

	// Sealed is what a device with loops in every lane would have put into
	// records: the same roads, with no passages but those that the loops confirm.
	Sealed *Result
	// Refused counts by reason the passages that they did not confirm.
	Refused map[string]int
}

// add joins the result of another road. Both may be without Sealed.
func (r *Result) add(o Result) {
	r.Outcomes = append(r.Outcomes, o.Outcomes...)
	r.Faults = append(r.Faults, o.Faults...)
	r.Spare += o.Spare
	r.Seconds += o.Seconds
	for why, n := range o.Refused {
		r.Refused[why] += n
	}
	if o.Sealed != nil {
		r.Sealed.add(*o.Sealed)
	}
}

// Run drives the roads through the chain on all cores.
func Run(ctx context.Context, roads []Road) (Result, error) {
	return run(ctx, roads, runtime.GOMAXPROCS(0))
}

func run(ctx context.Context, roads []Road, workers int) (Result, error) {
	results, errs := make([]Result, len(roads)), make([]error, len(roads))
	var next atomic.Int64
	var all sync.WaitGroup
	for range workers {
		all.Go(func() {
			for n := int(next.Add(1) - 1); n < len(roads) && ctx.Err() == nil; n = int(next.Add(1) - 1) {
				results[n], errs[n] = drive(ctx, roads[n])
			}
		})
	}
	all.Wait()
	sum := Result{Sealed: new(Result), Refused: map[string]int{}}
	for _, r := range results {
		sum.add(r)
	}
	return sum, errors.Join(append(errs, ctx.Err())...)
}

// drive measures one road.
func drive(ctx context.Context, r Road) (Result, error) {
	road := newRoad(r.Scenario)
	source, err := doppler.NewSource(road.Unpaced(0), r.options())
	if err != nil {
		return Result{}, fmt.Errorf("%s, seed %d: %w", r.Class, r.Seed, err)
	}
	loops, err := newLoops(road)
	if err != nil {
		return Result{}, fmt.Errorf("%s, seed %d: %w", r.Class, r.Seed, err)
	}
	var passages, sealed []sensor.Passage
	refused := map[string]int{}
	for {
		p, err := source.Next(ctx)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return Result{}, fmt.Errorf("%s, seed %d: %w", r.Class, r.Seed, err)
		}
		passages = append(passages, p)
		if !p.Valid() || p.Targets > 0 {
			continue
		}
		if why := confirm(ctx, loops, p); why != nil {
			refused[why.Error()]++
			continue
		}
		sealed = append(sealed, p)
	}
	result, records := compare(r, road.Truth(), passages), compare(r, road.Truth(), sealed)
	bound(road, result.Outcomes)
	result.Seconds, records.Seconds = road.Duration().Seconds(), road.Duration().Seconds()
	result.Sealed, result.Refused = &records, refused
	return result, nil
}

// A pair is a passage that may belong to a vehicle.
type pair struct {
	passage, vehicle int
	apart            time.Duration
}

// compare joins passages and vehicles and says what became of each.
func compare(r Road, truth []simulate.Truth, passages []sensor.Passage) Result {
	var pairs []pair
	for i, p := range passages {
		for k, v := range truth {
			if apart, ok := belongs(p, v); ok {
				pairs = append(pairs, pair{i, k, apart})
			}
		}
	}
	slices.SortStableFunc(pairs, func(a, b pair) int { return cmp.Compare(a.apart, b.apart) })
	of := make([]int, len(passages)) // index of the vehicle, plus 1
	has := make([]int, len(truth))   // index of the passage, plus 1
	for _, p := range pairs {
		if of[p.passage] == 0 && has[p.vehicle] == 0 {
			of[p.passage], has[p.vehicle] = p.vehicle+1, p.passage+1
		}
	}
	var result Result
	fault := func(kind string, off float64, format string, args ...any) {
		result.Faults = append(result.Faults, Fault{kind, r.Class, r.Seed, math.Abs(off), fmt.Sprintf(format, args...)})
	}
	for k, v := range truth {
		if v.Enter == v.Leave { // the radar never could see it
			continue
		}
		o := Outcome{Class: r.Class, Seed: r.Seed, Truth: v}
		if n := has[k]; n > 0 {
			o.Passage = passages[n-1]
			o.Passage.Trace = sensor.Trace{}
			o.True = measuredOn(o.Passage, v)
			o.Error = float64(o.True.off(o.Passage.Speed)) / 100
			o.Fate = Discarded
			if o.Passage.Valid() {
				o.Fate = Marked
				if o.Passage.Targets == 0 {
					o.Fate = Found
				}
			}
		}
		if r.whole(v) {
			result.Outcomes = append(result.Outcomes, o)
		}
		if o.Fate != Found {
			continue
		}
		switch other := another(truth, k, o.Passage); {
		case o.Wrong() && other != "":
			fault(wrongVehicle, o.Error, "%s; the speed is that of %s", describe(o), other)
		case o.Wrong():
			fault(wrongSpeed, o.Error, "%s", describe(o))
		default:
			if i, from, to := company(truth, k, o.Passage); to-from >= maxOverlap {
				fault(wrongVehicle, o.Error, "%s; in the beam from %.2f to %.2f s: %s", describe(o), from.Seconds(), to.Seconds(), vehicle(truth[i]))
			}
		}
	}
	for i, p := range passages {
		switch {
		case of[i] > 0:
		case !p.Valid():
			result.Spare++
		case p.Targets > 0:
			result.Spare++
		case piece(truth, p) != "":
			fault(twice, 0, "a piece of %s: %s", piece(truth, p), said(p))
		case slices.ContainsFunc(pairs, func(x pair) bool { return x.passage == i }):
			fault(twice, 0, "a second passage, %s", said(p))
		default:
			fault(invented, float64(p.Speed)/100, "no vehicle explains %s", said(p))
		}
	}
	return result
}

// belongs reports whether a passage may be a vehicle's, and how far apart their
// closest points are.
func belongs(p sensor.Passage, v simulate.Truth) (time.Duration, bool) {
	if p.Direction != sensor.DirectionUnknown && p.Direction != v.Direction {
		return 0, false
	}
	if time.Duration(p.End) < v.Enter || time.Duration(p.Start) > v.Leave {
		return 0, false
	}
	near := p.End
	if v.Direction == sensor.Receding {
		near = p.Start
	}
	apart := (time.Duration(near) - v.Passing).Abs()
	return apart, apart <= max(nearTime, time.Duration(nearWay/v.Speed.MPS()*1e9))
}

// piece names the vehicle of which a passage that was left over tells once more.
func piece(truth []simulate.Truth, p sensor.Passage) string {
	for _, v := range truth {
		if (p.Direction == v.Direction || p.Direction == sensor.DirectionUnknown) && !measuredOn(p, v).wrong(p.Speed) &&
			time.Duration(p.End) > v.Enter && time.Duration(p.Start) < v.Leave {
			return vehicle(v)
		}
	}
	return ""
}

// another names the vehicle beside vehicle k whose speed a passage tells.
func another(truth []simulate.Truth, k int, p sensor.Passage) string {
	for i, v := range truth {
		if i != k && !measuredOn(p, v).wrong(p.Speed) && time.Duration(p.End) > v.Enter && time.Duration(p.Start) < v.Leave {
			return vehicle(v)
		}
	}
	return ""
}

// company returns which other vehicle could be seen longest beside vehicle k
// during the track of a passage, and from when to when.
func company(truth []simulate.Truth, k int, p sensor.Passage) (other int, from, to time.Duration) {
	first, last := max(time.Duration(p.Start), truth[k].Enter), min(time.Duration(p.End), truth[k].Leave)
	for i, v := range truth {
		a, b := max(v.Enter, first), min(v.Leave, last)
		if i != k && v.Enter != v.Leave && b-a > to-from {
			other, from, to = i, a, b
		}
	}
	return other, from, to
}

func vehicle(v simulate.Truth) string {
	return fmt.Sprintf("the %v in lane %d, %v, %v at %.2f s", v.Class, v.Lane, v.Speed, v.Direction, v.Passing.Seconds())
}

func said(p sensor.Passage) string {
	return fmt.Sprintf("%v ± %v %v from %.2f to %.2f s, %d other targets %v", p.Speed, p.Budget.Total(), p.Direction, p.Start.Seconds(), p.End.Seconds(), p.Targets, p.Reasons)
}

func describe(o Outcome) string {
	if o.True.slowest != o.True.fastest {
		return fmt.Sprintf("%s, %v to %v where it was measured: %s", vehicle(o.Truth), o.True.slowest, o.True.fastest, said(o.Passage))
	}
	return vehicle(o.Truth) + ": " + said(o.Passage)
}
