// Package conform tests an implementation of [sensor.Source] against the words
// of its contract:
//
//   - Next returns a passage, ctx.Err() when ctx ends, or io.EOF, and io.EOF
//     again from then on;
//   - after any other error it may be called again, and a passage that was under
//     way at that moment is lost or has a reason;
//   - the Identity is constant, from the first passage on;
//   - a passage begins before it ends, its trace overlaps its track, its
//     reasons are known, ascending and once each, and a valid one has a speed, a
//     budget and readings.
//
// The tests of a driver or of a chain of processing call [Run].
package conform

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"ciglio/sensor"
)

// A Subject makes the sources to be tested. Each call makes a new one.
type Subject struct {
	// Whole returns a source whose input ends, and before that holds at least
	// one vehicle that gives a valid passage.
	Whole func(t testing.TB) sensor.Source
	// Broken returns a source whose input fails once, at the instant cut, while
	// a vehicle is in the beam. After that it goes on, with at least one vehicle
	// that gives a valid passage, and ends.
	Broken func(t testing.TB) (s sensor.Source, cut sensor.Mono)
	// Silent returns a source whose sensor works and gives nothing. It is made
	// and used in a bubble of testing/synctest.
	Silent func(t testing.TB) sensor.Source
}

// Run tests a Source.
func Run(t *testing.T, s Subject) {
	t.Run("gives passages until its end", func(t *testing.T) { whole(t, s.Whole(t)) })
	t.Run("goes on after an error", func(t *testing.T) {
		source, cut := s.Broken(t)
		broken(t, source, cut)
	})
	t.Run("ends with its context", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) { silent(t, s.Silent(t)) })
	})
}

func whole(t *testing.T, s sensor.Source) {
	all, failed := drain(t, s)
	if failed > 0 {
		t.Errorf("%d errors before the end", failed)
	}
	if !slices.ContainsFunc(all, func(p sensor.Passage) bool { return p.Valid() }) {
		t.Errorf("none of %d passages is valid", len(all))
	}
	for range 2 {
		if _, err := s.Next(t.Context()); !errors.Is(err, io.EOF) {
			t.Errorf("after the end Next returns %v, want io.EOF", err)
		}
	}
}

func broken(t *testing.T, s sensor.Source, cut sensor.Mono) {
	all, failed := drain(t, s)
	if failed == 0 {
		t.Error("the input failed and Next did not say so")
	}
	after := 0
	for _, p := range all {
		switch {
		case p.Valid() && p.Start < cut && p.End > cut:
			t.Errorf("the passage from %.3f to %.3f s is valid, the input failed at %.3f s", p.Start.Seconds(), p.End.Seconds(), cut.Seconds())
		case p.Valid() && p.Start >= cut:
			after++
		}
	}
	if after == 0 {
		t.Error("no valid passage after the error")
	}
}

// drain calls Next until io.EOF and checks every passage.
func drain(t *testing.T, s sensor.Source) (all []sensor.Passage, failed int) {
	t.Helper()
	const tooMany = 1000
	var first sensor.Identity
	for {
		p, err := s.Next(t.Context())
		switch {
		case errors.Is(err, io.EOF):
			return all, failed
		case err != nil:
			if failed++; failed > tooMany {
				t.Fatalf("%d errors, the last: %v", failed, err)
			}
			continue
		}
		check(t, &p)
		all = append(all, p)
		if len(all) == 1 {
			first = s.Identity()
			first.Settings = bytes.Clone(first.Settings)
		} else if !same(first, s.Identity()) {
			t.Errorf("the identity changed from %+v to %+v", first, s.Identity())
		}
	}
}

func same(a, b sensor.Identity) bool {
	equal := bytes.Equal(a.Settings, b.Settings)
	return equal && a.Model == b.Model && a.Serial == b.Serial && a.Separates == b.Separates &&
		a.Simulated == b.Simulated && a.Unchecked == b.Unchecked
}

// check looks at one passage.
func check(t *testing.T, p *sensor.Passage) {
	t.Helper()
	must := func(ok bool, fact string) {
		t.Helper()
		if !ok {
			t.Errorf("%s: %v, %.3f to %.3f s, %v, budget %+v, %d readings, trace of %d %s from %.3f to %.3f s", fact,
				p.Speed, p.Start.Seconds(), p.End.Seconds(), p.Reasons, p.Budget, p.Readings,
				p.Trace.Samples, p.Trace.Format, p.Trace.First.Seconds(), p.Trace.Last.Seconds())
		}
	}
	must(p.Start <= p.End, "the track ends before it begins")
	must(p.Speed >= 0, "negative speed")
	must(p.Lane >= 0 && p.Targets >= 0 && p.Readings >= 0, "negative count")
	must(slices.Contains([]sensor.Direction{sensor.DirectionUnknown, sensor.Approaching, sensor.Receding}, p.Direction), "unknown number of a direction")
	b := p.Budget
	must(min(b.Noise, b.Angle, b.Carrier, b.Clock, b.Acceleration) >= 0, "negative uncertainty")
	for i, r := range p.Reasons {
		must(slices.Contains(sensor.Reasons(), r), "unknown reason")
		must(i == 0 || p.Reasons[i-1] < r, "reasons are not ascending")
	}
	if p.Valid() {
		must(p.Start < p.End, "a valid track of no time")
		must(p.Speed > 0, "a valid passage without a speed")
		must(p.Readings > 0, "a valid passage without readings")
		must(b.Total() > 0, "a valid passage without uncertainty")
	}
	const beside = sensor.Mono(10 * time.Second)
	must(p.Photo == 0 || p.Photo > p.Start-beside && p.Photo < p.End+beside, "the photo position lies beside the track")
	if tr := p.Trace; len(tr.Data) > 0 {
		must(tr.Format != "" && tr.Samples > 0, "a trace without format or samples")
		must(tr.First <= tr.Last, "the trace ends before it begins")
		must(tr.First <= p.End && tr.Last >= p.Start, "the trace lies beside the track")
	} else {
		must(tr.Samples == 0, "samples without data")
	}
}

func silent(t *testing.T, s sensor.Source) {
	for _, wait := range []time.Duration{0, time.Millisecond, time.Minute} {
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() {
			_, err := s.Next(ctx)
			done <- err
		}()
		time.Sleep(wait) // no wall time passes inside the bubble
		cancel()
		synctest.Wait()
		select {
		case err := <-done:
			if !errors.Is(err, context.Canceled) {
				t.Errorf("after %v, when its context ends, Next returns %v", wait, err)
			}
		default:
			t.Fatalf("after %v, Next does not return when its context ends", wait)
		}
	}
}
