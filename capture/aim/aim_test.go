package aim

import (
	"bytes"
	"flag"
	"math"
	"strings"
	"testing"
	"time"

	"ciglio/capture"
	"ciglio/capture/life"
	"ciglio/sensor"
)

var (
	hours = flag.Int("hours", 1, "simulated `hours` of TestFalseAlarms")
	seed  = flag.Uint64("seed", 1, "`seed` of TestFalseAlarms")
)

var options = Options{Model: "M", View: 36, North: north, East: east}

// A stage shows a site to a watch.
type stage struct {
	*site
	watch *Watch
	now   sensor.Mono
	utc   time.Time
}

func newStage(seed uint64, o Options) *stage {
	return &stage{site: newSite(roads(), seed), watch: New(o), utc: noon}
}

// play lets a time pass, and calls each with what is found; it ends when that returns false.
func (s *stage) play(d time.Duration, each func([]sensor.Finding) bool) {
	for range int(d / lookEvery) {
		s.now, s.utc = s.now.Add(lookEvery), s.utc.Add(lookEvery)
		s.change()
		sun := life.Sun(s.utc, north, east)
		s.watch.look(s.look(s.utc, sun), s.now, s.utc)
		if each != nil && !each(s.watch.Findings(s.now)) {
			return
		}
	}
}

func TestFalseAlarms(t *testing.T) {
	if testing.Short() {
		t.Skip("minutes on an emulated processor")
	}
	s := newStage(*seed, options)
	s.play(10*time.Minute, nil)
	alarms, looks, known := map[string]int{}, 0, 0
	standing := map[string]bool{}
	least, most := Pose{Size: 1}, Pose{Size: 1}
	s.play(time.Duration(*hours)*time.Hour, func(found []sensor.Finding) bool {
		looks++
		if p, ok := s.watch.Pose(s.now); ok {
			known++
			least = Pose{min(least.Right, p.Right), min(least.Down, p.Down), min(least.Turn, p.Turn), min(least.Size, p.Size)}
			most = Pose{max(most.Right, p.Right), max(most.Down, p.Down), max(most.Turn, p.Turn), max(most.Size, p.Size)}
		}
		now := map[string]bool{}
		for _, f := range found {
			now[f.Code] = true
			if !standing[f.Code] {
				alarms[f.Code]++
				t.Logf("%v: %s", s.utc, f.Words())
			}
		}
		standing = now
		return true
	})
	byDay, byNight := s.watch.Marks()
	t.Logf("%d hours, %d looks: alarms %v; aim known in %.1f %% of the looks; pose from %.2f to %.2f; %d marks by day, %d by night",
		*hours, looks, alarms, 100*float64(known)/float64(looks), least, most, byDay, byNight)
	if len(alarms) > 0 {
		t.Error("false alarms")
	}
}

// learn lets the watch learn its marks, by no more looks than that takes.
func (s *stage) learn() {
	for range learning {
		s.play(lookEvery, nil)
		s.now, s.utc = s.now.Add(learnEvery), s.utc.Add(learnEvery)
	}
}

// taught returns a stage whose watch knows the site, and which marks are always seen.
func taught(t *testing.T, seed uint64) *stage {
	t.Helper()
	s := newStage(seed, options)
	s.learn()
	n := s.watch.Normal()
	l := &n.Lights[day]
	if len(l.Marks) < 24 {
		t.Fatalf("%d marks", len(l.Marks))
	}
	l.Looks = provenOver
	for i := range l.Marks {
		l.Marks[i].Seen = provenOver
	}
	s.watch.normal = n
	return s
}

// until plays until something is found, for a time at most.
func (s *stage) until(d time.Duration) (found []sensor.Finding, after time.Duration) {
	began := s.now
	s.play(d, func(all []sensor.Finding) bool {
		found = all
		return len(all) == 0
	})
	return found, s.now.Sub(began)
}

func TestTurnOfOneDegreeIsFoundWithinThreeMinutes(t *testing.T) {
	for i, c := range []struct {
		name string
		turn func(*stage)
		say  string
	}{
		{"to the right", func(s *stage) { s.right = 1 }, "to the right"},
		{"to the left", func(s *stage) { s.right = -1 }, "to the right"},
		{"down", func(s *stage) { s.down = 1 }, "down"},
		{"up", func(s *stage) { s.down = -1 }, "down"},
		{"about its axis", func(s *stage) { s.turn = 1 }, "about its middle"},
		{"by three degrees", func(s *stage) { s.right = 3 }, "to the right"},
	} {
		s := taught(t, uint64(20+i))
		if found, _ := s.until(2 * time.Minute); len(found) > 0 {
			t.Errorf("%s: found before: %v", c.name, found)
		}
		c.turn(s)
		found, after := s.until(3 * time.Minute)
		if len(found) != 1 || found[0].Code != Turned || !strings.Contains(found[0].Words(), c.say) || !strings.Contains(found[0].Words(), "°") {
			t.Errorf("%s: found %v after %v", c.name, found, after)
		}
		s.right, s.down, s.turn = 0, 0, 0
		s.play(3*time.Minute, nil)
		if found := s.watch.Findings(s.now); len(found) > 0 {
			t.Errorf("%s: found when it was turned back: %v", c.name, found)
		}
	}
}

// A camera that creeps is found as one that is turned at once: the normal does not
// follow it.
func TestDriftIsFound(t *testing.T) {
	s := taught(t, 40)
	for s.right < 1.2 {
		if found, _ := s.until(time.Minute); len(found) > 0 {
			if s.right < 0.3 || found[0].Code != Turned {
				t.Errorf("found at %.2f°: %v", s.right, found)
			}
			return
		}
		s.right += 0.04
	}
	t.Error("not found")
}

func TestCoveredPartIsFound(t *testing.T) {
	if testing.Short() {
		t.Skip("minutes on an emulated processor")
	}
	s := taught(t, 50)
	s.covered = 0.45
	found, after := s.until(35 * time.Minute)
	if len(found) != 1 || found[0].Code != Covered || after < goneAfter {
		t.Errorf("found %v after %v", found, after)
	}
	s = taught(t, 51)
	s.queue, s.waits = s.roads[3], 1<<20 // vehicles that stand on the road cover less
	if found, after := s.until(35 * time.Minute); len(found) > 0 {
		t.Errorf("vehicles that stand: found %v after %v", found, after)
	}
}

func TestLostByDayAlone(t *testing.T) {
	if testing.Short() {
		t.Skip("minutes on an emulated processor")
	}
	s := taught(t, 60)
	s.right = 20
	found, after := s.until(12 * time.Minute)
	if len(found) != 1 || found[0].Code != Lost || after < lostAfter {
		t.Errorf("by day: found %v after %v", found, after)
	}
	s = taught(t, 61)
	s.utc, s.right = noon.Add(12*time.Hour), 20
	if found, _ := s.until(12 * time.Minute); len(found) > 0 {
		t.Errorf("by night: found %v", found)
	}
}

// What was learnt holds over a restart: a camera that is turned while nobody looks is
// found. Only who has aimed it anew may have it forgotten.
func TestNormalIsKept(t *testing.T) {
	s := taught(t, 70)
	n, err := ParseNormal(s.watch.Normal().Text("A"), "A")
	if err != nil {
		t.Fatal(err)
	}
	o := options
	o.Normal = n
	s.watch = New(o)
	s.right = 0.8
	if found, _ := s.until(3 * time.Minute); len(found) != 1 || found[0].Code != Turned {
		t.Errorf("found %v", found)
	}
	s.watch.Renew()
	if byDay, _ := s.watch.Marks(); byDay != 0 {
		t.Errorf("%d marks after it was renewed", byDay)
	}
	s.learn()
	if found, _ := s.until(3 * time.Minute); len(found) > 0 {
		t.Errorf("found %v after it was renewed", found)
	}
	if byDay, _ := s.watch.Marks(); byDay < 24 {
		t.Errorf("%d marks are learnt", byDay)
	}
}

// The pictures of a camera: whole ones, and of one that is turned by a degree, of each
// way to read them.
func TestPicturesOfATurnedCamera(t *testing.T) {
	if testing.Short() {
		t.Skip("minutes on an emulated processor")
	}
	before, after := filmed(learning, 0, 0), filmed(enough, 1, -1)
	for _, scale := range []int{1, 2} {
		w := New(options)
		at, n := sensor.Mono(0), uint64(0)
		show := func(every time.Duration, all [][]byte) {
			for _, data := range all {
				at, n = at.Add(every), n+1
				if scale > 1 {
					data = grey(halved(data))
				}
				w.Look(capture.Frame{Number: n, At: at, MediaType: "image/jpeg", Data: data}, noon)
			}
		}
		show(learnEvery, before)
		if byDay, _ := w.Marks(); byDay < 24 {
			t.Fatalf("%d marks", byDay)
		}
		show(lookEvery, after)
		for len(w.views[day].poses) > enough { // those before the turn
			w.views[day].poses = w.views[day].poses[1:]
		}
		p, ok := w.Pose(at)
		degree := 42.97 / float64(scale)
		if !ok || math.Abs(p.Right+degree) > 0.1*degree || math.Abs(p.Down-degree) > 0.1*degree || math.Abs(p.Size-1) > 0.01 {
			t.Errorf("scale %d: pose %+v, %v; want %.1f pixels to the left and down", scale, p, ok, degree)
		}
		if found := w.Findings(at); len(found) != 1 || found[0].Code != Turned {
			t.Errorf("found %v", found)
		}
		w.Look(capture.Frame{At: at.Add(1), Data: []byte("no picture")}, noon)
		w.Look(capture.Frame{At: 1, Data: before[0]}, noon) // older
	}
}

func TestPicturesOfAnotherSizeHaveNoMarks(t *testing.T) {
	s := taught(t, 80)
	other := &small{width: 640, height: 480, w: 160, h: 120, pix: bytes.Repeat([]byte{1, 200, 90}, 160*40)}
	for range 125 {
		s.now, s.utc = s.now.Add(lookEvery), s.utc.Add(lookEvery)
		s.watch.look(other, s.now, s.utc)
	}
	if found := s.watch.Findings(s.now); len(found) != 1 || found[0].Code != Lost {
		t.Errorf("found %v", found)
	}
}

// Without the angle of the lens, findings are in pixels.
func TestAngleOfTheLensIsNotKnown(t *testing.T) {
	s := taught(t, 90)
	s.watch.o.View = 0
	s.right = 1
	found, _ := s.until(3 * time.Minute)
	if len(found) != 1 || strings.Contains(found[0].Words(), "°") {
		t.Errorf("found %v", found)
	}
}
