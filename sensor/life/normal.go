package life

import (
	"fmt"
	"math"
	"strings"
)

// How far a site may be from its own normal.
const (
	noiseFrom   = 12.0 // dB either way: rain, warmth and other radars change less
	balanceFrom = 3.0  // dB
	levelFrom   = 0.2  // of full scale
)

// A Normal is what a radar shows at its site while it is in order. Each quarter of
// an hour in which nothing at all was found gives one value, the median of its
// seconds; the normal is the median of the last 96 values, a day of them, once
// there are 4. So it follows the seasons, a fault teaches it nothing, and what
// happens within an hour moves it by less than the scatter of its values. Until
// then only the physical limits hold.
type Normal struct {
	values []Reading // oldest first
}

const (
	quarter     = 15 * 60 // s
	leastValues = 4
	mostValues  = 96
)

// Reading returns the normal; known is false while too little was learnt.
func (n *Normal) Reading() (r Reading, known bool) {
	return middle(n.values), len(n.values) >= leastValues
}

func (n *Normal) learn(r Reading) {
	n.values = append(n.values, r)
	n.values = n.values[max(0, len(n.values)-mostValues):]
}

// middle returns the median of each value.
func middle(all []Reading) Reading {
	of := func(value func(Reading) float64) float64 {
		values := make([]float64, len(all))
		for i, r := range all {
			values[i] = value(r)
		}
		return median(values)
	}
	return Reading{
		LevelI: of(func(r Reading) float64 { return r.LevelI }), LevelQ: of(func(r Reading) float64 { return r.LevelQ }),
		NoiseI: of(func(r Reading) float64 { return r.NoiseI }), NoiseQ: of(func(r Reading) float64 { return r.NoiseQ }),
	}
}

// A period is the quarter of an hour in hand.
type period struct {
	seconds []Reading
	found   bool // something was wrong in it
	n       int  // seconds, with or without reading
}

// add adds a second, and teaches n what a whole period in order shows.
func (p *period) add(r Reading, good bool, n *Normal) {
	p.n++
	p.found = p.found || !good && p.n > least
	if good {
		p.seconds = append(p.seconds, r)
	}
	if p.n < quarter {
		return
	}
	if !p.found {
		n.learn(middle(p.seconds))
	}
	*p = period{seconds: p.seconds[:0]}
}

// head is the first line of a normal's text.
const head = "ciglio radar normal 1"

// Text returns n for the sensor of the given name, to be kept over restarts: a head,
// the name, and a line for each value, oldest first.
func (n *Normal) Text(name string) []byte {
	b := fmt.Appendf(nil, "%s\n%s\n", head, name)
	for _, r := range n.values {
		b = fmt.Appendf(b, "%.5f %.5f %.2f %.2f\n", r.LevelI, r.LevelQ, r.NoiseI, r.NoiseQ)
	}
	return b
}

// ParseNormal reads what [Normal.Text] wrote for the same sensor. That of another
// one, which teaches nothing of this one, gives an empty Normal.
func ParseNormal(text []byte, name string) (Normal, error) {
	var n Normal
	lines := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
	if len(lines) < 2 || lines[0] != head {
		return n, fmt.Errorf("radar normal: the first line is not %q", head)
	}
	if lines[1] != name {
		return n, nil
	}
	for i, line := range lines[2:] {
		var r Reading
		if _, err := fmt.Sscanf(line, "%f %f %f %f", &r.LevelI, &r.LevelQ, &r.NoiseI, &r.NoiseQ); err != nil {
			return Normal{}, fmt.Errorf("radar normal: line %d: %w", i+3, err)
		}
		inside := math.Abs(r.LevelI) <= 1 && math.Abs(r.LevelQ) <= 1 && math.Abs(r.NoiseI) <= 200 && math.Abs(r.NoiseQ) <= 200
		if !inside { // nor is what is no number
			return Normal{}, fmt.Errorf("radar normal: line %d: out of range", i+3)
		}
		n.learn(r)
	}
	return n, nil
}

// Normal returns a copy of what the monitor knows of the site.
func (m *Monitor) Normal() Normal {
	m.mu.Lock()
	defer m.mu.Unlock()
	return Normal{values: append([]Reading(nil), m.normal.values...)}
}

// Len returns how many values n rests on.
func (n *Normal) Len() int { return len(n.values) }

func levelWords(now, usual Reading, known bool) string {
	for _, c := range []struct {
		name       string
		now, usual float64
	}{{"I", now.LevelI, usual.LevelI}, {"Q", now.LevelQ, usual.LevelQ}} {
		switch {
		case math.Abs(c.now) > mostLevel:
			return fmt.Sprintf("the level of %s is %.2f of full scale, at most ±%.1f is in order", c.name, c.now, mostLevel)
		case known && math.Abs(c.now-c.usual) > levelFrom:
			return fmt.Sprintf("the level of %s is %.2f of full scale, at this site it is %.2f", c.name, c.now, c.usual)
		}
	}
	return ""
}

func noiseWords(now, usual Reading, known bool) string {
	lowest, highest := 20*math.Log10(leastNoise), 20*math.Log10(mostNoise)
	var words []string
	for _, c := range []struct {
		name       string
		now, usual float64
	}{{"I", now.NoiseI, usual.NoiseI}, {"Q", now.NoiseQ, usual.NoiseQ}} {
		switch {
		case c.now < lowest:
			words = append(words, fmt.Sprintf("%s has noise of %.1f dBFS, a radar in order has more than %.1f", c.name, c.now, lowest))
		case c.now > highest:
			words = append(words, fmt.Sprintf("%s has noise of %.1f dBFS, a radar in order has less than %.1f", c.name, c.now, highest))
		case known && math.Abs(c.now-c.usual) > noiseFrom:
			words = append(words, fmt.Sprintf("%s has noise of %.1f dBFS, at this site it is %.1f", c.name, c.now, c.usual))
		}
	}
	return strings.Join(words, ", ")
}

func balanceWords(now, usual Reading, known bool) string {
	balance, own := now.NoiseI-now.NoiseQ, usual.NoiseI-usual.NoiseQ
	switch {
	case math.Abs(balance) > mostBalance:
		return fmt.Sprintf("I is %+.1f dB against Q, at most ±%.0f dB is in order", balance, mostBalance)
	case known && math.Abs(balance-own) > balanceFrom:
		return fmt.Sprintf("I is %+.1f dB against Q, at this site it is %+.1f dB", balance, own)
	}
	return ""
}
