package life

import (
	"fmt"
	"strings"
)

// Levels are those that vehicles have at a site while its radar is in order. Each 500
// cycles with a target in which nothing was found give one value, the median of their
// strongest; the normal is the median of the last 96 values, once there are 4. The
// zero value knows nothing.
type Levels struct {
	values []float64 // dB by the sensor's scale, oldest first
}

func (l *Levels) learn(level float64) {
	l.values = append(l.values, level)
	l.values = l.values[max(0, len(l.values)-mostValues):]
}

func (l *Levels) usual() (level float64, known bool) {
	return median(l.values), len(l.values) >= leastValues
}

// Len returns how many values l rests on.
func (l *Levels) Len() int { return len(l.values) }

// headLevels is the first line of the text of levels.
const headLevels = "ciglio radar levels 1"

// Text returns l for the sensor of the given name, to be kept over restarts: a head,
// the name, and a line for each value in dB, oldest first.
func (l *Levels) Text(name string) []byte {
	b := fmt.Appendf(nil, "%s\n%s\n", headLevels, name)
	for _, v := range l.values {
		b = fmt.Appendf(b, "%.2f\n", v)
	}
	return b
}

// ParseLevels reads what [Levels.Text] wrote for the same sensor. Those of another
// one, which teach nothing of this one, give empty Levels.
func ParseLevels(text []byte, name string) (Levels, error) {
	var l Levels
	lines := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
	switch {
	case len(lines) < 2 || lines[0] != headLevels:
		return l, fmt.Errorf("radar levels: the first line is not %q", headLevels)
	case lines[1] != name:
		return l, nil
	}
	for i, line := range lines[2:] {
		var v float64
		if _, err := fmt.Sscanf(line, "%f", &v); err != nil {
			return Levels{}, fmt.Errorf("radar levels: line %d: %w", i+3, err)
		}
		if !(v >= -4000 && v <= 4000) {
			return Levels{}, fmt.Errorf("radar levels: line %d: out of range", i+3)
		}
		l.learn(v)
	}
	return l, nil
}
