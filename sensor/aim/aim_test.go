package aim

import (
	"context"
	"errors"
	"flag"
	"io"
	"strings"
	"testing"
	"time"

	"ciglio/cross/simulate"
	"ciglio/sensor"
	"ciglio/sensor/doppler"
	"ciglio/sensor/track"
)

var (
	hours = flag.Int("hours", 1, "simulated `hours` of TestFalseAlarms with readings")
	heard = flag.Duration("signal", 8*time.Minute, "simulated `time` of it with a signal")
)

const photo = 20 // m

// readings plays a road with the usual traffic to a radar that tells range and angle,
// 4° from the road by its configuration, in truth turned by so many more.
func readings(t *testing.T, seed uint64, d time.Duration, turned float64, each func(sensor.Passage)) {
	t.Helper()
	s := simulate.Traffic(seed, 70*sensor.KmH, d)
	s.Radar.Angle = 4 + turned
	road, err := simulate.NewRoad(s)
	if err != nil {
		t.Fatal(err)
	}
	source, err := track.NewSource(func(context.Context) (sensor.Feed, error) {
		return road.Cycles(simulate.CycleOptions{
			Origin: sensor.Mono(time.Hour), SpeedNoise: 15, RangeNoise: 0.25, AngleNoise: 0.7, Fading: true, Missed: 0.03,
			SpeedResolution: 90, RangeResolution: 1.5, AngleResolution: 4, Ghosts: 0.1,
		}), nil
	}, track.Options{Angle: 400, Height: 1200, KeepTrace: true, Simulated: true, Separates: true, PhotoRange: photo * 1000, Step: 1})
	if err != nil {
		t.Fatal(err)
	}
	play(t, source, each)
}

// signal does the same with a radar that gives samples.
func signal(t *testing.T, seed uint64, d time.Duration, turned float64, each func(sensor.Passage)) {
	t.Helper()
	s := simulate.Traffic(seed, 70*sensor.KmH, d)
	s.Radar.Angle = turned
	road, err := simulate.NewRoad(s)
	if err != nil {
		t.Fatal(err)
	}
	source, err := doppler.NewSource(road.Unpaced(0), doppler.Options{PhotoRange: photo * 1000, Simulated: true})
	if err != nil {
		t.Fatal(err)
	}
	play(t, source, each)
}

func play(t *testing.T, source sensor.Source, each func(sensor.Passage)) {
	t.Helper()
	for {
		p, err := source.Next(t.Context())
		switch {
		case errors.Is(err, io.EOF):
			return
		case err != nil:
			t.Fatal(err)
		}
		each(p)
	}
}

// watched counts what a watch finds, and says after how many vehicles it found first.
type watched struct {
	*Watch
	vehicles, alarms, first int
	words                   string
	found                   bool
}

func (w *watched) pass(p sensor.Passage) {
	w.Passed(p)
	w.vehicles++
	found := w.Findings()
	if len(found) > 0 && !w.found {
		w.alarms++
		w.words = found[0].Words()
		if w.first == 0 {
			w.first = w.vehicles
		}
	}
	w.found = len(found) > 0
}

func TestFalseAlarms(t *testing.T) {
	if testing.Short() {
		t.Skip("minutes on an emulated processor")
	}
	w := &watched{Watch: New("M", photo, Normal{})}
	for i := range *hours {
		readings(t, uint64(100+i), time.Hour, 0, w.pass)
	}
	t.Logf("readings: %d hours, %d vehicles, %d alarms %s", *hours, w.vehicles, w.alarms, w.words)
	if w.alarms > 0 || !w.normal.values[0][heading].known {
		t.Errorf("%d alarms, normal %+v", w.alarms, w.normal)
	}
	w = &watched{Watch: New("M", photo, Normal{})}
	for done, i := time.Duration(0), uint64(0); done < *heard; done, i = done+time.Hour, i+1 {
		signal(t, 200+i, min(time.Hour, *heard-done), 0, w.pass)
	}
	t.Logf("signal: %v, %d vehicles, %d alarms %s", *heard, w.vehicles, w.alarms, w.words)
	if w.alarms > 0 {
		t.Errorf("%d alarms", w.alarms)
	}
}

// aimed returns a watch that has learnt an hour of the road.
func aimed(t *testing.T) *watched {
	t.Helper()
	w := &watched{Watch: New("M", photo, Normal{})}
	readings(t, 1, time.Hour, 0, w.pass)
	if w.alarms > 0 || !w.normal.values[0][heading].known || !w.normal.values[1][heading].known {
		t.Fatalf("%d alarms, normal %+v", w.alarms, w.normal)
	}
	return &watched{Watch: New("M", photo, w.Normal())}
}

func TestTurnOfTwoDegreesIsFound(t *testing.T) {
	for _, turned := range []float64{2, -2, 5} {
		w := aimed(t)
		readings(t, 2, 30*time.Minute, turned, w.pass)
		if w.first == 0 || w.first > 250 || !strings.Contains(w.words, "drive under") {
			t.Errorf("turned by %g°: found after %d of %d vehicles: %q", turned, w.first, w.vehicles, w.words)
		}
		t.Logf("turned by %g°: found after %d vehicles: %s", turned, w.first, w.words)
	}
}

func TestNormalIsKeptUntilItIsRenewed(t *testing.T) {
	w := aimed(t)
	n, err := ParseNormal(w.Normal().Text("R"), "R")
	if err != nil {
		t.Fatal(err)
	}
	w = &watched{Watch: New("M", photo, n)}
	readings(t, 3, 30*time.Minute, 3, w.pass)
	if w.alarms != 1 {
		t.Errorf("after a restart: %d alarms", w.alarms)
	}
	w.Renew()
	if len(w.Findings()) > 0 || w.Normal() != (Normal{}) {
		t.Errorf("renewed: %v", w.Findings())
	}
	readings(t, 4, 30*time.Minute, 3, w.pass)
	if w.alarms != 1 {
		t.Errorf("renewed: %d alarms: %s", w.alarms, w.words)
	}
}

// What does not stand, is not alone or has no trace teaches no more than it can.
func TestWhatSaysNothing(t *testing.T) {
	w := New("M", photo, Normal{})
	good := sensor.Passage{Direction: sensor.Receding, Speed: 7200, Start: 1e9, Photo: 2e9, End: 5e9}
	for name, change := range map[string]func(*sensor.Passage){
		"does not stand":    func(p *sensor.Passage) { p.Reasons = []sensor.Reason{sensor.ReasonUncertain} },
		"no direction":      func(p *sensor.Passage) { p.Direction = sensor.DirectionUnknown },
		"no photo position": func(p *sensor.Passage) { p.Photo = 0 },
		"not alone":         func(p *sensor.Passage) { p.Targets = 1 },
	} {
		p := good
		change(&p)
		w.Passed(p)
		if n := len(w.seen[1][reach]) + len(w.seen[0][reach]); n != 0 {
			t.Errorf("%s: taken", name)
		}
	}
	w.Passed(good)
	if got := w.seen[1][reach]; len(got) != 1 || got[0] < 6.32 || got[0] > 6.33 { // 20 m and 3 s of 20 m/s
		t.Errorf("reach %v", got)
	}
	for _, trace := range []string{"", "no trace", track.TraceHeader + "\n"} {
		if _, ok := headingOf(sensor.Trace{Format: track.TraceFormat, Data: []byte(trace)}); ok {
			t.Errorf("%q: has an angle", trace)
		}
	}
}

// A radar that hears half as far as it did is found, in the words of metres.
func TestReachThatIsGone(t *testing.T) {
	w := New("M", photo, Normal{})
	p := sensor.Passage{Direction: sensor.Approaching, Speed: 7200, Start: 1e9, Photo: 5e9, End: 6e9}
	for range learning + recent {
		w.Passed(p)
	}
	if found := w.Findings(); len(found) > 0 {
		t.Errorf("found %v", found)
	}
	p.Start = 4e9 // 40 m instead of 100
	for range recent/2 - 1 {
		w.Passed(p)
	}
	if found := w.Findings(); len(found) > 0 {
		t.Errorf("found %v by less than half of them", found)
	}
	for range 2 {
		w.Passed(p)
	}
	if found := w.Findings(); len(found) != 1 || found[0].Code != CodeTurned || !strings.Contains(found[0].Words(), "40 m, when it was aimed 100 m") {
		t.Errorf("found %v", found)
	}
}

func TestNormalIsReadAsWritten(t *testing.T) {
	var n Normal
	n.values[0][heading], n.values[1][reach] = value{true, -4.25}, value{true, 6.5}
	text := string(n.Text("R"))
	if got, err := ParseNormal([]byte(text), "R"); err != nil || got != n {
		t.Errorf("%+v, %v", got, err)
	}
	if got, err := ParseNormal([]byte(text), "S"); err != nil || got != (Normal{}) {
		t.Errorf("of another radar: %+v, %v", got, err)
	}
	for _, bad := range []string{"", text + "1\n", text[:len(text)-1], strings.Replace(text, "-4.2500", "-4.25", 1), strings.Replace(text, "-4.2500", "NaN", 1), strings.Replace(text, "-4.2500", "181.0000", 1), strings.Replace(text, " -\n", "\n", 1), strings.Replace(text, "aim 1", "aim 2", 1)} {
		if _, err := ParseNormal([]byte(bad), "R"); err == nil {
			t.Errorf("%q is read", bad)
		}
	}
}

func FuzzNormal(f *testing.F) {
	f.Add([]byte(headNormal + "\nR\n-4.2500 -\n- 6.5000\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		n, err := ParseNormal(text, "R")
		if err == nil && n != (Normal{}) && string(n.Text("R")) != string(text) {
			t.Errorf("a second spelling of a normal is read: %q", text)
		}
	})
}
