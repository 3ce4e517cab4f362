package budget

import (
	"strings"
	"testing"
)

func TestBudgetIsRead(t *testing.T) {
	b, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]int64{"binary": 20e6, "start": 2e9, "memory.idle": 40e6, "memory.busy": 96e6, "goroutines.more": 0} {
		if limit, ok := b[name]; !ok || limit.Most != want {
			t.Errorf("%s: %d, %v, want %d", name, limit.Most, ok, want)
		}
	}
}

func TestMoreThanTheBudgetIsAnError(t *testing.T) {
	b, err := parse("size 15MB # of it\n\ntime 2s\ncount 0\n")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name  string
		value int64
		want  string
	}{
		{"size", 15e6, ""},
		{"size", 15_100_000, "size is 15.1 MB, more than the 15.0 MB of the budget"},
		{"time", 2_000_000_001, "time is 2s, more than the 2s of the budget"},
		{"count", 1, "count is 1, more than the 0 of the budget"},
		{"weight", 0, "budget.txt has no weight"},
	} {
		err := b.Check(c.name, c.value)
		if c.want == "" && err != nil || c.want != "" && (err == nil || err.Error() != c.want) {
			t.Errorf("%s of %d: %v, want %q", c.name, c.value, err, c.want)
		}
	}
}

func TestBadBudgetIsRefused(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"size\n", ":1: want a name and a limit"},
		{"a 1\na 2\n", ":2: a is there twice"},
		{"\nsize 15bananas\n", ":2: size: "},
	} {
		if _, err := parse(c.text); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v, want %q", c.text, err, c.want)
		}
	}
}
