// Package aim finds out from the vehicles that pass whether a radar still looks where
// it was aimed: by where it sees them, against its own normal.
//
//	aim_radar  a radar that tells range and angle sees vehicles drive under another angle
//	           than when it was aimed, by more than [TurnBound]: the median of the last
//	           50 of one direction against that of the first 100. Or any radar hears
//	           vehicles less than half as far as then, or more than twice as far, by the
//	           same medians: it is turned away, covered, or its antenna is damaged.
//
// The angle of a vehicle is that of the straight line through its readings, whose weights
// fall with the square of the range, as the scatter across does. A turn of the radar
// turns them all; how they drive, and their lane, does not. A radar without
// range and angle measures by the fall of the frequency, from which its own turn
// cannot be told: only that it hears less far.
//
// The normal is learnt once and does not follow what comes: only [Watch.Renew] forgets it.
package aim

import (
	"bytes"
	"fmt"
	"math"
	"math/cmplx"
	"slices"
	"strings"
	"sync"

	"ciglio/sensor"
	"ciglio/sensor/track"
)

// CodeTurned is the code of the finding.
const CodeTurned = "aim_radar"

// TurnBound is the turn of the radar in degrees above which it is found.
const TurnBound = 1.0

const (
	reachBound = 1.0 // twice as far, or half

	learning    = 100 // vehicles
	recent      = 50
	leastPoints = 10
	leastWay    = 15.0 // m
)

// What is watched, of each direction.
const (
	heading = iota // degrees
	reach          // logarithm of metres to base 2
	kinds
)

var bounds = [kinds]float64{TurnBound, reachBound}

// A Normal is what a radar shows of vehicles while it is aimed, of each direction
// and kind. The zero Normal knows nothing.
type Normal struct{ values [2][kinds]value }

type value struct {
	known bool
	v     float64
}

// A Watch looks at passages. Its methods are safe for concurrent use.
type Watch struct {
	model string
	photo float64

	mu     sync.Mutex
	normal Normal
	seen   [2][kinds][]float64 // the last ones
}

// New returns a watch of a radar of the given model, with the distance of the photo
// position in metres and what was learnt before.
func New(model string, photo float64, n Normal) *Watch {
	return &Watch{model: model, photo: photo, normal: n}
}

// Renew forgets the normal: it is learnt anew from the next vehicles.
func (w *Watch) Renew() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.normal, w.seen = Normal{}, [2][kinds][]float64{}
}

// Normal returns what was learnt so far.
func (w *Watch) Normal() Normal {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.normal
}

// Passed takes a passage into account. It keeps numbers alone. One that does not
// stand, or whose way nobody knows, says nothing.
func (w *Watch) Passed(p sensor.Passage) {
	if !p.Valid() || p.Direction == sensor.DirectionUnknown {
		return
	}
	angle, turned := headingOf(p.Trace)
	far, heard := w.reachOf(p)
	w.mu.Lock()
	defer w.mu.Unlock()
	way := int(p.Direction - sensor.Approaching)
	if turned {
		w.add(way, heading, angle)
	}
	if heard {
		w.add(way, reach, far)
	}
}

// add takes a value into account. The caller holds mu.
func (w *Watch) add(way, kind int, v float64) {
	seen, normal := &w.seen[way][kind], &w.normal.values[way][kind]
	*seen = append(*seen, v)
	switch {
	case normal.known:
		*seen = (*seen)[max(0, len(*seen)-recent):]
	case len(*seen) == learning:
		*normal, *seen = value{true, median(*seen)}, nil
	}
}

// headingOf returns the angle of the way of a vehicle against the middle of the beam, in degrees.
func headingOf(t sensor.Trace) (degrees float64, ok bool) {
	if t.Format != track.TraceFormat {
		return 0, false
	}
	cycles, err := track.ReadTrace(bytes.NewReader(t.Data))
	if err != nil {
		return 0, false
	}
	var places []complex128
	var middle complex128
	total, least, most := 0.0, math.Inf(1), 0.0
	for _, c := range cycles {
		for _, r := range c.Readings {
			if !r.Has(sensor.FlagRange|sensor.FlagAngle) || r.Range <= 0 {
				continue
			}
			p := cmplx.Rect(float64(r.Range)/1000, float64(r.Angle)/100*math.Pi/180)
			places = append(places, p)
			weight := weightOf(p)
			middle += p * complex(weight, 0)
			total += weight
			least, most = min(least, cmplx.Abs(p)), max(most, cmplx.Abs(p))
		}
	}
	if len(places) < leastPoints || most-least < leastWay {
		return 0, false
	}
	middle /= complex(total, 0)
	var squares complex128 // its argument is twice that of the axis of the places
	for _, p := range places {
		squares += (p - middle) * (p - middle) * complex(weightOf(p), 0)
	}
	return cmplx.Phase(squares) / 2 * 180 / math.Pi, true
}

func weightOf(p complex128) float64 { return 1 / (real(p)*real(p) + imag(p)*imag(p)) }

// reachOf returns how far away from its closest point a vehicle was heard that was alone.
func (w *Watch) reachOf(p sensor.Passage) (log2 float64, ok bool) {
	if p.Photo == 0 || p.Targets > 0 {
		return 0, false
	}
	beyond := p.Photo.Sub(p.Start)
	if p.Direction == sensor.Receding {
		beyond = p.End.Sub(p.Photo)
	}
	far := w.photo + p.Speed.MPS()*beyond.Seconds()
	return math.Log2(max(far, 1)), true
}

// Findings says how the vehicles differ from the normal; nothing while too few have
// passed.
func (w *Watch) Findings() (all []sensor.Finding) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var facts []sensor.Fact
	for way := range w.seen {
		for kind, bound := range bounds {
			normal, seen := w.normal.values[way][kind], w.seen[way][kind]
			if !normal.known || len(seen) < recent {
				continue
			}
			now := median(seen)
			direction := sensor.Approaching + sensor.Direction(way)
			switch {
			case math.Abs(now-normal.v) <= bound:
			case kind == heading:
				facts = append(facts, sensor.Fact{Key: "aim_radar_heading", Words: "it sees {way} vehicles drive under {now}, when it was aimed under {aimed}; {most} of difference is in order",
					Args: sensor.Args{"way": direction, "now": sensor.Degrees.Difference(now, 1), "aimed": sensor.Degrees.Difference(normal.v, 1), "most": sensor.Degrees.Of(bound, 0)}})
			default:
				facts = append(facts, sensor.Fact{Key: "aim_radar_reach", Words: "it hears {way} vehicles as far as {now}, when it was aimed {aimed}",
					Args: sensor.Args{"way": direction, "now": sensor.Metres.Of(math.Exp2(now), 0), "aimed": sensor.Metres.Of(math.Exp2(normal.v), 0)}})
			}
		}
	}
	if len(facts) == 0 {
		return nil
	}
	return []sensor.Finding{{Code: CodeTurned, About: "radar " + w.model + " looks elsewhere than when it was aimed", Facts: facts}}
}

// String says in words what is known; "" for nothing.
func (n Normal) String() string {
	var words []string
	for way, kinds := range n.values {
		direction := sensor.Approaching + sensor.Direction(way)
		if v := kinds[heading]; v.known {
			words = append(words, fmt.Sprintf("%v vehicles drive under %+.1f°", direction, v.v))
		}
		if v := kinds[reach]; v.known {
			words = append(words, fmt.Sprintf("%v vehicles are heard as far as %.0f m", direction, math.Exp2(v.v)))
		}
	}
	return strings.Join(words, ", ")
}

func median(all []float64) float64 {
	all = slices.Sorted(slices.Values(all))
	return (all[(len(all)-1)/2] + all[len(all)/2]) / 2
}

// headNormal is the first line of a normal's text.
const headNormal = "ciglio radar aim 1"

// Text returns n for the radar of the given name, to be kept over restarts: a head, the
// name, and a line for each direction with the angle in degrees and the logarithm of
// the reach, "-" for what is not known.
func (n Normal) Text(name string) []byte {
	b := fmt.Appendf(nil, "%s\n%s\n", headNormal, name)
	for _, way := range n.values {
		for kind, v := range way {
			end := " \n"[kind]
			if v.known {
				b = fmt.Appendf(b, "%.4f%c", v.v, end)
			} else {
				b = fmt.Appendf(b, "-%c", end)
			}
		}
	}
	return b
}

// ParseNormal reads what [Normal.Text] wrote for the same radar. That of another one
// gives the zero Normal.
func ParseNormal(text []byte, name string) (Normal, error) {
	var n Normal
	lines := strings.Split(string(text), "\n")
	switch {
	case len(lines) != 5 || lines[0] != headNormal:
		return n, fmt.Errorf("radar aim: want %q, a name and two lines of values", headNormal)
	case lines[1] != name:
		return n, nil
	}
	for way, line := range lines[2:4] {
		fields := strings.Fields(line)
		if len(fields) != kinds {
			return Normal{}, fmt.Errorf("radar aim: line %d: want %d values", way+3, int(kinds))
		}
		for kind, f := range fields {
			v := &n.values[way][kind]
			if f == "-" {
				continue
			}
			if _, err := fmt.Sscan(f, &v.v); err != nil || !(math.Abs(v.v) <= 180) {
				return Normal{}, fmt.Errorf("radar aim: line %d: %q is no value", way+3, f)
			}
			v.known = true
		}
	}
	if string(n.Text(name)) != string(text) {
		return Normal{}, fmt.Errorf("radar aim: not as it was written")
	}
	return n, nil
}
