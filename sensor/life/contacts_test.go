package life

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"ciglio/sensor"
)

// lanes plays vehicles over contacts.
type lanes struct {
	*Contacts
	now sensor.Mono
}

func newLanes() *lanes {
	return &lanes{NewContacts([][]string{{"17", "27"}}, 10*time.Minute, false), sensor.Mono(time.Hour)}
}

func (l *lanes) pulse(line int) {
	l.Edge(0, line, sensor.Edge{At: l.now, Rising: true})
	l.Edge(0, line, sensor.Edge{At: l.now.Add(100 * time.Millisecond)})
}

func (l *lanes) codes() string { return strings.Join(codes(l.Findings(l.now)), "+") }

func TestContactsThatAreSilent(t *testing.T) {
	for _, c := range []struct {
		name  string
		share float64 // of the vehicles cross the contacts
		dead  int     // the line that is, from the start on; -1 for none
	}{
		{"every vehicle crosses", 1, -1},
		{"one in ten crosses", 0.1, -1},
		{"one in fifty crosses", 0.02, -1},
		{"one line is dead from the start", 1, 1},
		{"and one in three crosses", 0.33, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			l, random := newLanes(), rand.New(rand.NewPCG(1, 2))
			cross := func(dead int) {
				if random.Float64() < c.share {
					for line := range 2 {
						if line != dead {
							l.pulse(line)
						}
					}
				}
				l.now = l.now.Add(10 * time.Second)
				l.Vehicle()
			}
			l.pulse(0) // both have moved once, but for the dead one
			l.pulse(1)
			if c.dead >= 0 {
				l = newLanes()
			}
			for n := range 20_000 {
				cross(c.dead)
				if got := l.codes(); (got != "") != (c.dead >= 0 && n+1 >= fewVehicles) {
					t.Fatalf("after %d vehicles: %v", n+1, l.Findings(l.now))
				}
			}
			if c.dead >= 0 {
				return
			}
			n := 0
			for ; l.codes() == "" && n < 10_000; n++ {
				cross(1)
			}
			if most := max(fewVehicles, int(1.3*surely/c.share)); n < fewVehicles || n > most || l.codes() != CodeSilent {
				t.Errorf("a line that died was found after %d vehicles, want at most %d: %v", n, most, l.Findings(l.now))
			}
			if words := l.Findings(l.now)[0].Words(); !strings.Contains(words, "contact 2 of lane 1 (27)") {
				t.Errorf("words %q", words)
			}
			l.pulse(1)
			if got := l.codes(); got != "" {
				t.Errorf("it moved: %s", got)
			}
		})
	}
}

func TestContactThatIsClosed(t *testing.T) {
	l := newLanes()
	l.Edge(0, 1, sensor.Edge{At: l.now, Rising: true})
	for range 10 * 60 {
		l.now = l.now.Add(time.Second)
		if got := l.codes(); got != "" {
			t.Fatalf("after %v: %s", l.now, got)
		}
	}
	l.now = l.now.Add(time.Second)
	if found := l.Findings(l.now); len(found) != 1 || found[0].Code != CodeClosed || !strings.Contains(found[0].Words(), "contact 2 of lane 1 (27) has been closed for 10m0s") {
		t.Errorf("%v", found)
	}
	l.Edge(0, 1, sensor.Edge{At: l.now})
	if got := l.codes(); got != "" {
		t.Errorf("open again: %s", got)
	}
	l.Edge(0, 1, sensor.Edge{At: l.now, Rising: true})
	l.Reset()
	l.now = l.now.Add(time.Hour)
	if got := l.codes(); got != "" {
		t.Errorf("opened anew: %s", got)
	}
}

func TestRadarThatIsDeaf(t *testing.T) {
	for _, c := range []struct {
		name  string
		share float64 // of those that cross, the radar sees; 0 for a deaf one
		most  int     // crossings until a deafness from then on is found
	}{
		{"it sees every vehicle", 1, fewVehicles + 1},
		{"it sees one in five", 0.2, 150},
		{"it sees one in fifty", 0.02, 1500},
		{"it is deaf from the start", 0, unsure * fewVehicles},
	} {
		t.Run(c.name, func(t *testing.T) {
			l, random := newLanes(), rand.New(rand.NewPCG(3, 4))
			for range 20_000 * int(math.Ceil(c.share)) {
				l.pulse(0)
				l.pulse(1)
				l.now = l.now.Add(10 * time.Second)
				if l.Crossed(); random.Float64() < c.share {
					l.Vehicle()
				}
				if got := l.codes(); got != "" {
					t.Fatalf("in order: %v", l.Findings(l.now))
				}
			}
			n := 0
			for ; l.codes() == "" && n < 10_000; n++ {
				l.Crossed()
			}
			if n > c.most || l.codes() != CodeDeaf {
				t.Errorf("found after %d, want at most %d: %v", n, c.most, l.Findings(l.now))
			}
			l.Vehicle()
			if got := l.codes(); got != "" {
				t.Errorf("it saw one: %s", got)
			}
		})
	}
}
