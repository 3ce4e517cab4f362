// Package edges plays contacts in tests: lists of edges as a line in order gives
// them, what may go wrong on the way, and a [sensor.Edges] that plays the
// result.
//
// The faults change a copy and leave the list that they are given alone, so that
// they can be put together: edges.Play(edges.Bounce(edges.Lose(list, 2), 0, …)).
package edges

import (
	"context"
	"io"
	"slices"
	"time"

	"ciglio/sensor"
)

// Line plays edges. It implements [sensor.Edges].
type Line struct {
	edges <-chan sensor.Edge
}

// Play returns a line that gives the edges of list at once, whatever their
// instants, and then io.EOF.
func Play(list ...sensor.Edge) *Line {
	edges := make(chan sensor.Edge, len(list))
	for _, e := range list {
		edges <- e
	}
	close(edges)
	return &Line{edges}
}

// Follow returns a line that gives what is sent to edges, and io.EOF once that
// is closed.
func Follow(edges <-chan sensor.Edge) *Line { return &Line{edges} }

// Next implements [sensor.Edges].
func (l *Line) Next(ctx context.Context) (sensor.Edge, error) {
	if ctx.Err() != nil {
		return sensor.Edge{}, ctx.Err()
	}
	select {
	case <-ctx.Done():
		return sensor.Edge{}, ctx.Err()
	case e, ok := <-l.edges:
		if !ok {
			return sensor.Edge{}, io.EOF
		}
		return e, nil
	}
}

// Pulse returns the two edges of a contact that closes at that instant for so
// long: rising, then falling.
func Pulse(at sensor.Mono, length time.Duration) []sensor.Edge {
	return []sensor.Edge{{At: at, Rising: true}, {At: at.Add(length)}}
}

// Lose takes edge i away, and the one after it tells.
func Lose(list []sensor.Edge, i int) []sensor.Edge {
	lost := list[i].Lost + 1
	list = Hide(list, i)
	if i < len(list) {
		list[i].Lost += lost
	}
	return list
}

// Hide takes edge i away and nothing tells: the contact did not close, or so
// shortly that the kernel did not see it.
func Hide(list []sensor.Edge, i int) []sensor.Edge {
	return slices.Delete(slices.Clone(list), i, i+1)
}

// Repeat gives edge i twice, with the same instant.
func Repeat(list []sensor.Edge, i int) []sensor.Edge {
	return slices.Insert(slices.Clone(list), i, list[i])
}

// Bounce lets the contact open and close again n times after edge i, with that
// much time from edge to edge.
func Bounce(list []sensor.Edge, i, n int, spacing time.Duration) []sensor.Edge {
	extra := make([]sensor.Edge, 0, 2*n)
	for e := (sensor.Edge{At: list[i].At, Rising: list[i].Rising}); len(extra) < 2*n; {
		e.At, e.Rising = e.At.Add(spacing), !e.Rising
		extra = append(extra, e)
	}
	return slices.Insert(slices.Clone(list), i+1, extra...)
}

// Swap gives edge i after edge i+1, each with its own instant, so that time
// runs backwards.
func Swap(list []sensor.Edge, i int) []sensor.Edge {
	list = slices.Clone(list)
	list[i], list[i+1] = list[i+1], list[i]
	return list
}
