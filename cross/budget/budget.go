// Package budget holds what the device's program may take of its board: the
// lines of budget.txt, each of which a test measures.
package budget

import (
	_ "embed" // of budget.txt
	"fmt"
	"strconv"
	"strings"
	"time"
)

//go:embed budget.txt
var text string

// A Budget is the limit of each thing: bytes, nanoseconds or a plain number.
type Budget map[string]Limit

// A Limit is what a thing may be at most.
type Limit struct {
	Most int64
	kind kind
}

type kind int

const (
	number kind = iota
	bytes
	duration
)

// Load returns the budget of budget.txt.
func Load() (Budget, error) { return parse(text) }

func parse(text string) (Budget, error) {
	b := Budget{}
	n := 0
	for line := range strings.Lines(text) {
		n++
		line, _, _ = strings.Cut(line, "#")
		fields := strings.Fields(line)
		if len(fields) == 0 {
			continue
		}
		if len(fields) != 2 {
			return nil, fmt.Errorf("budget.txt:%d: want a name and a limit", n)
		}
		if _, twice := b[fields[0]]; twice {
			return nil, fmt.Errorf("budget.txt:%d: %s is there twice", n, fields[0])
		}
		limit, err := parseLimit(fields[1])
		if err != nil {
			return nil, fmt.Errorf("budget.txt:%d: %s: %w", n, fields[0], err)
		}
		b[fields[0]] = limit
	}
	return b, nil
}

func parseLimit(s string) (Limit, error) {
	for unit, size := range map[string]int64{"GB": 1e9, "MB": 1e6, "kB": 1e3} {
		if digits, ok := strings.CutSuffix(s, unit); ok {
			n, err := strconv.ParseInt(digits, 10, 32)
			return Limit{n * size, bytes}, err
		}
	}
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		return Limit{n, number}, nil
	}
	d, err := time.ParseDuration(s)
	return Limit{int64(d), duration}, err
}

// Check returns an error when value is more than the budget allows, or when
// the budget knows no such thing.
func (b Budget) Check(name string, value int64) error {
	limit, ok := b[name]
	switch {
	case !ok:
		return fmt.Errorf("budget.txt has no %s", name)
	case value > limit.Most:
		return fmt.Errorf("%s is %s, more than the %s of the budget", name, limit.say(value), limit.say(limit.Most))
	}
	return nil
}

// Say writes a value in the unit of its limit.
func (b Budget) Say(name string, value int64) string { return b[name].say(value) }

func (l Limit) say(value int64) string {
	switch l.kind {
	case bytes:
		return fmt.Sprintf("%.1f MB", float64(value)/1e6)
	case duration:
		return time.Duration(value).Round(time.Millisecond).String()
	}
	return strconv.FormatInt(value, 10)
}
