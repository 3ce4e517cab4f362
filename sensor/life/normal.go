package life

import (
	"fmt"
	"math"
	"strings"

	"ciglio/sensor"
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

func levelFacts(now, usual Reading, known bool) []sensor.Fact {
	for _, c := range []struct {
		name       string
		now, usual float64
	}{{"I", now.LevelI, usual.LevelI}, {"Q", now.LevelQ, usual.LevelQ}} {
		level := sensor.Ratio.Of(c.now, 2)
		switch {
		case math.Abs(c.now) > mostLevel:
			return []sensor.Fact{{Key: "signal_level_most", Words: "the level of {channel} is {now} of full scale, at most ±{most} is in order",
				Args: sensor.Args{"channel": c.name, "now": level, "most": sensor.Ratio.Of(mostLevel, 1)}}}
		case known && math.Abs(c.now-c.usual) > levelFrom:
			return []sensor.Fact{{Key: "signal_level_usual", Words: "the level of {channel} is {now} of full scale, at this site it is {usual}",
				Args: sensor.Args{"channel": c.name, "now": level, "usual": sensor.Ratio.Of(c.usual, 2)}}}
		}
	}
	return nil
}

func noiseFacts(now, usual Reading, known bool) (facts []sensor.Fact) {
	lowest, highest := 20*math.Log10(leastNoise), 20*math.Log10(mostNoise)
	for _, c := range []struct {
		name       string
		now, usual float64
	}{{"I", now.NoiseI, usual.NoiseI}, {"Q", now.NoiseQ, usual.NoiseQ}} {
		level := sensor.FullScale.Of(c.now, 1)
		switch {
		case c.now < lowest:
			facts = append(facts, sensor.Fact{Key: "signal_noise_least", Words: "{channel} has noise of {now}, a radar in order has more than {least:bare}",
				Args: sensor.Args{"channel": c.name, "now": level, "least": sensor.FullScale.Of(lowest, 1)}})
		case c.now > highest:
			facts = append(facts, sensor.Fact{Key: "signal_noise_most", Words: "{channel} has noise of {now}, a radar in order has less than {most:bare}",
				Args: sensor.Args{"channel": c.name, "now": level, "most": sensor.FullScale.Of(highest, 1)}})
		case known && math.Abs(c.now-c.usual) > noiseFrom:
			facts = append(facts, sensor.Fact{Key: "signal_noise_usual", Words: "{channel} has noise of {now}, at this site it is {usual:bare}",
				Args: sensor.Args{"channel": c.name, "now": level, "usual": sensor.FullScale.Of(c.usual, 1)}})
		}
	}
	return facts
}

func balanceFacts(now, usual Reading, known bool) []sensor.Fact {
	balance, own := now.NoiseI-now.NoiseQ, usual.NoiseI-usual.NoiseQ
	against := sensor.Decibels.Difference(balance, 1)
	switch {
	case math.Abs(balance) > mostBalance:
		return []sensor.Fact{{Key: "signal_balance_most", Words: "I is {now} against Q, at most ±{most} is in order",
			Args: sensor.Args{"now": against, "most": sensor.Decibels.Of(mostBalance, 0)}}}
	case known && math.Abs(balance-own) > balanceFrom:
		return []sensor.Fact{{Key: "signal_balance_usual", Words: "I is {now} against Q, at this site it is {usual}",
			Args: sensor.Args{"now": against, "usual": sensor.Decibels.Difference(own, 1)}}}
	}
	return nil
}
