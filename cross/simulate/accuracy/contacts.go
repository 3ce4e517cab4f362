package main

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"ciglio/cross/simulate"
	"ciglio/sensor"
	"ciglio/sensor/gate"
)

// loops are the contacts of every road: two in each lane, 2 m long.
var loops = gate.Options{Kind: gate.Presence, Positions: []int64{10_000, 14_000}}

// The tolerance of a site that configures none.
const (
	toleranceFlat    = 2 * sensor.KmH
	tolerancePercent = 3
)

// newLoops returns loops that have felt all of a road.
func newLoops(road *simulate.Road) (*gate.Gate, error) {
	c := simulate.Contacts{Length: 2, Jitter: 300 * time.Microsecond}
	for _, p := range loops.Positions {
		c.At = append(c.At, float64(p)/1e3)
	}
	var events []gate.Event
	for lane := range road.Radar().Lanes {
		c.Lane = lane + 1
		touches, err := road.Edges(c)
		if err != nil {
			return nil, err
		}
		for _, t := range touches {
			events = append(events, gate.Event{Lane: lane, Contact: t.Contact, Edge: t.Edge(0)})
		}
	}
	slices.SortStableFunc(events, func(a, b gate.Event) int { return cmp.Compare(a.At, b.At) })
	return gate.Recorded(len(road.Radar().Lanes), events, loops)
}

// Why a passage whose vehicle has crossed loops is not confirmed.
var (
	errDirection = errors.New("the direction is not known")
	errSlow      = errors.New("slower than contacts measure")
	errUnsure    = errors.New("the second speed is less sure than the tolerance")
	errDisagrees = errors.New("the second speed disagrees")
)

// confirm returns why a device with these loops would not seal a passage that
// the radar takes for alone; nil when it would.
func confirm(ctx context.Context, g *gate.Gate, p sensor.Passage) error {
	switch {
	case p.Direction == sensor.DirectionUnknown:
		return errDirection
	case p.Speed < 5*sensor.KmH:
		return errSlow
	}
	c, err := g.Match(ctx, p)
	if err != nil {
		return sentinel(err)
	}
	tolerance := max(toleranceFlat, p.Speed*tolerancePercent/100)
	off := p.Speed - c.Speed
	switch {
	case 2*c.U > tolerance:
		return errUnsure
	case max(off, -off) > tolerance:
		return errDisagrees
	}
	return sentinel(g.Alone(ctx, p, c))
}

// sentinel returns which of the errors of package gate err is.
func sentinel(err error) error {
	for _, k := range []error{gate.ErrCompany, gate.ErrNoSpeed, gate.ErrNone} {
		if errors.Is(err, k) {
			return k
		}
	}
	return err
}
