package agent

import (
	"bytes"
	"cmp"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"ciglio/sensor"
	"ciglio/sensor/gate"
)

// edgesHead is how a recording of contacts begins: one line for each event as
// the kernel gives it, in order of the instants. A group is the contacts of one
// lane, line numbers them, place_m is the distance from the sensor, and
// line_seqno counts the events of a line: a gap is what the kernel lost.
const edgesHead = "request,lane,line,place_m,kind,at_ns,edge,line_seqno"

// maxEdges bounds a recording of contacts: a day of dense traffic.
const maxEdges = 4 << 20

func fitsEdges(head []byte) bool { return bytes.HasPrefix(head, []byte(edgesHead)) }

// openEdges reads the edges of all contacts and measures what crossed them.
func openEdges(r io.Reader, _ []byte, _ int64) (recorded, error) {
	lines := csv.NewReader(r)
	lines.ReuseRecord = true
	head, err := lines.Read()
	if err != nil {
		return recorded{}, err
	}
	if !strings.HasPrefix(strings.Join(head, ",")+",", edgesHead+",") {
		return recorded{}, fmt.Errorf("the first line is not %s", edgesHead)
	}
	groups := map[int]*crossed{}
	for n := 0; ; n++ {
		fields, err := lines.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return recorded{}, err
		}
		if n == maxEdges {
			return recorded{}, fmt.Errorf("more than %d edges", maxEdges)
		}
		if err := addEdge(groups, fields); err != nil {
			row, _ := lines.FieldPos(0)
			return recorded{}, fmt.Errorf("line %d: %w", row, err)
		}
	}
	var all []sensor.Passage
	for _, number := range slices.Sorted(maps.Keys(groups)) {
		passages, err := groups[number].measure()
		if err != nil {
			return recorded{}, fmt.Errorf("contacts of group %d: %w", number, err)
		}
		all = append(all, passages...)
	}
	slices.SortStableFunc(all, func(a, b sensor.Passage) int { return cmp.Compare(a.Start, b.Start) })
	return recorded{passages: all}, nil
}

// crossed is the contacts of one lane, with what came over them.
type crossed struct {
	lane   int
	kind   gate.Kind
	places map[int]int64 // of each line, in millimetres
	counts map[int]uint32
	edges  []contactEdge
}

type contactEdge struct {
	line int
	sensor.Edge
}

func addEdge(groups map[int]*crossed, fields []string) error {
	var bad error
	number := func(i, bits int) int64 {
		v, err := strconv.ParseInt(fields[i], 10, bits)
		bad = errors.Join(bad, err)
		return v
	}
	group, lane, line, at, count := int(number(0, 32)), int(number(1, 32)), int(number(2, 32)), number(5, 64), number(7, 33)
	place, err := strconv.ParseFloat(fields[3], 64)
	bad = errors.Join(bad, err)
	var kind gate.Kind
	bad = errors.Join(bad, kind.UnmarshalText([]byte(fields[4])))
	rising := fields[6] == "rising"
	switch {
	case bad != nil:
		return bad
	case !(math.Abs(place) < 1e6):
		return fmt.Errorf("place_m %q: want metres from the sensor", fields[3])
	case !rising && fields[6] != "falling":
		return fmt.Errorf("edge %q: want rising or falling", fields[6])
	case count < 1 || count > math.MaxUint32:
		return fmt.Errorf("line_seqno %d: want 1 to %d", count, uint32(math.MaxUint32))
	}
	g := groups[group]
	if g == nil {
		g = &crossed{lane: lane, kind: kind, places: map[int]int64{}, counts: map[int]uint32{}}
		groups[group] = g
	}
	mm := int64(math.Round(place * 1000))
	if before, ok := g.places[line]; ok && before != mm {
		return fmt.Errorf("contact %d is at %d mm and at %d mm", line, before, mm)
	}
	if lane != g.lane || kind != g.kind {
		return fmt.Errorf("group %d is in lane %d and of kind %s", group, g.lane, g.kind)
	}
	g.places[line] = mm
	e := sensor.Edge{At: sensor.Mono(at), Rising: rising}
	if last := g.counts[line]; last > 0 {
		e.Lost = uint32(count) - last - 1
	}
	g.counts[line] = uint32(count)
	g.edges = append(g.edges, contactEdge{line, e})
	return nil
}

// measure returns what crossed the contacts, the speed with its uncertainty as
// the second sensor would state it.
func (g *crossed) measure() ([]sensor.Passage, error) {
	lines := slices.SortedFunc(maps.Keys(g.places), func(a, b int) int { return cmp.Compare(g.places[a], g.places[b]) })
	o := gate.Options{Kind: g.kind}
	index := map[int]int{}
	for i, line := range lines {
		o.Positions, index[line] = append(o.Positions, g.places[line]), i
	}
	t, err := gate.NewTracker(o)
	if err != nil {
		return nil, err
	}
	var all []sensor.Passage
	pop := func() {
		for c, ok := t.Pop(); ok; c, ok = t.Pop() {
			all = append(all, sensor.Passage{
				Start: c.First, End: c.Last, Speed: c.Speed, Budget: sensor.Budget{Noise: c.U},
				Direction: c.Direction, Lane: g.lane, Readings: c.Axles, Reasons: c.Reasons,
			})
		}
	}
	for _, e := range g.edges {
		t.Push(index[e.line], e.Edge)
		pop()
	}
	t.Flush()
	pop()
	return all, nil
}
