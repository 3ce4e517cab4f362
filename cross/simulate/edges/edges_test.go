package edges_test

import (
	"context"
	"errors"
	"io"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"ciglio/cross/simulate/edges"
	"ciglio/sensor"
)

// list is a contact that closes at 1 s and at 2 s, for a tenth of a second each.
func list() []sensor.Edge {
	const second = sensor.Mono(time.Second)
	return slices.Concat(edges.Pulse(second, 100*time.Millisecond), edges.Pulse(2*second, 100*time.Millisecond))
}

func edge(ms int, rising bool, lost uint32) sensor.Edge {
	return sensor.Edge{At: sensor.Mono(ms) * sensor.Mono(time.Millisecond), Rising: rising, Lost: lost}
}

func TestFaults(t *testing.T) {
	for _, c := range []struct {
		name string
		got  []sensor.Edge
		want []sensor.Edge
	}{
		{"in order", list(), []sensor.Edge{edge(1000, true, 0), edge(1100, false, 0), edge(2000, true, 0), edge(2100, false, 0)}},
		{"one is lost and told", edges.Lose(list(), 1), []sensor.Edge{edge(1000, true, 0), edge(2000, true, 1), edge(2100, false, 0)}},
		{"two in a row", edges.Lose(edges.Lose(list(), 1), 1), []sensor.Edge{edge(1000, true, 0), edge(2100, false, 2)}},
		{"the last one: nobody is left to tell", edges.Lose(list(), 3), []sensor.Edge{edge(1000, true, 0), edge(1100, false, 0), edge(2000, true, 0)}},
		{"one is missing and not told", edges.Hide(list(), 0), []sensor.Edge{edge(1100, false, 0), edge(2000, true, 0), edge(2100, false, 0)}},
		{"one comes twice", edges.Repeat(list(), 3), []sensor.Edge{edge(1000, true, 0), edge(1100, false, 0), edge(2000, true, 0), edge(2100, false, 0), edge(2100, false, 0)}},
		{"the contact bounces", edges.Bounce(list()[:2], 0, 2, time.Millisecond),
			[]sensor.Edge{edge(1000, true, 0), edge(1001, false, 0), edge(1002, true, 0), edge(1003, false, 0), edge(1004, true, 0), edge(1100, false, 0)}},
		{"two change places", edges.Swap(list()[:2], 0), []sensor.Edge{edge(1100, false, 0), edge(1000, true, 0)}},
	} {
		if !slices.Equal(c.got, c.want) {
			t.Errorf("%s: %+v, want %+v", c.name, c.got, c.want)
		}
	}
}

func TestFaultsLeaveTheirListAlone(t *testing.T) {
	l := list()
	edges.Lose(l, 1)
	edges.Hide(l, 0)
	edges.Repeat(l, 0)
	edges.Bounce(l, 0, 3, time.Millisecond)
	edges.Swap(l, 0)
	if !slices.Equal(l, list()) {
		t.Errorf("the list became %+v", l)
	}
}

func TestPlayEnds(t *testing.T) {
	line := edges.Play(list()...)
	for _, want := range list() {
		if got, err := line.Next(t.Context()); err != nil || got != want {
			t.Errorf("edge %+v, %v, want %+v", got, err, want)
		}
	}
	if _, err := line.Next(t.Context()); err != io.EOF {
		t.Errorf("error %v at the end", err)
	}
}

func TestFollowWaitsForTheNextEdge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := make(chan sensor.Edge)
		line := edges.Follow(source)
		go func() {
			time.Sleep(time.Hour)
			source <- edge(7, true, 0)
		}()
		begin := time.Now()
		if got, err := line.Next(t.Context()); err != nil || got != edge(7, true, 0) || time.Since(begin) != time.Hour {
			t.Errorf("edge %+v, %v after %v", got, err, time.Since(begin))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := line.Next(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v when its context ended", err)
		}
	})
}
