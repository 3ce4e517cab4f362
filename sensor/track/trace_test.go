package track_test

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"ciglio/sensor"
	"ciglio/sensor/track"
)

const header = "at_ns,speed_kmh,direction,range_m,angle_deg,level_db,target,flags\n"

func TestTraceIsReadStrictly(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"the example of the documentation", header + "81002450000000,63.05,approaching,41.200,-3.50,21.5,7,zone\n", ""},
		{"neither range nor angle", header + "5,63.05,unknown,,,-0.5,0,\n", ""},
		{"every flag", header + "5,63.05,receding,0.001,0.00,0.0,0,clipped simulated final lost crowded zone\n", ""},
		{"nothing", "", "EOF"},
		{"another header", "time,speed\n", "wrong number of fields"},
		{"another column", strings.Replace(header, "level_db", "level", 1), "first line"},
		{"a column too few", header + "5,63.05,receding,,,0.0,0\n", "wrong number of fields"},
		{"a speed with one decimal", header + "5,63.5,receding,,,0.0,0,\n", "2 decimals"},
		{"a speed beyond the type", header + "5,99999999999.05,receding,,,0.0,0,\n", "2 decimals"},
		{"a sign within a number", header + "5,6.-5,receding,,,0.0,0,\n", "2 decimals"},
		{"a direction of no name", header + "5,63.50,left,,,0.0,0,\n", "direction"},
		{"a flag of no name", header + "5,63.50,receding,,,0.0,0,fast\n", "unknown flag"},
		{"a target that is no number", header + "5,63.50,receding,,,0.0,x,\n", "line 2"},
		{"a quote that does not end", header + "0\"", "bare"},
		{"an instant that is no number", header + "x,63.50,receding,,,0.0,1,\n", "line 2"},
	} {
		cycles, err := track.ReadTrace(strings.NewReader(c.text))
		switch {
		case c.want == "" && (err != nil || len(cycles) != 1):
			t.Errorf("%s: %v", c.name, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: error %v, want one with %q", c.name, err, c.want)
		}
	}
	if _, err := track.ReadTrace(strings.NewReader(header + strings.Repeat("5,63.50,receding,,,0.0,1,\n", 600))); err == nil {
		t.Error("a trace with more readings than a track holds was read")
	}
}

// FuzzReadTrace reads any text. What it accepts can be tracked.
func FuzzReadTrace(f *testing.F) {
	f.Add(header + "81002450000000,63.05,approaching,41.200,-3.50,21.5,7,zone\n")
	f.Add(header + "5,63.05,unknown,,,-0.5,0,lost final\n6,-63.05,receding,-0.001,,0.0,0,\n")
	f.Fuzz(func(t *testing.T, text string) {
		cycles, err := track.ReadTrace(strings.NewReader(text))
		if err != nil {
			return
		}
		for _, p := range judge(t, track.Options{KeepTrace: true}, cycles) {
			again, err := track.ReadTrace(strings.NewReader(string(p.Trace.Data)))
			if err != nil || int64(len(again)) != p.Trace.Samples {
				t.Errorf("a trace that was written is not read: %v\n%s", err, p.Trace.Data)
			}
		}
	})
}

// FuzzTracker pushes any readings at any instants.
func FuzzTracker(f *testing.F) {
	f.Add([]byte("0123456789abcdef0123456789abcdef0123456789abcdef"), true)
	r := rand.New(rand.NewPCG(1, 1))
	some := make([]byte, 2000)
	for i := range some {
		some[i] = byte(r.Uint32())
	}
	f.Add(some, false)
	f.Fuzz(func(t *testing.T, data []byte, separates bool) {
		tracker, err := track.NewTracker(track.Options{Separates: separates, KeepTrace: true, Lanes: oneLane})
		if err != nil {
			t.Fatal(err)
		}
		const size = 20
		var c sensor.Cycle
		for ; len(data) >= size; data = data[size:] {
			n := func(i int) uint32 { return binary.LittleEndian.Uint32(data[i:]) }
			switch data[0] % 8 {
			case 0:
				c.At = sensor.Mono(binary.LittleEndian.Uint64(data[4:]))
			case 1, 2, 3:
				c.At += sensor.Mono(50 * time.Millisecond)
			}
			r := sensor.Reading{
				At: c.At, Speed: sensor.Speed(n(4)), Range: int32(n(8)), Angle: int32(n(12)), Level: int16(n(16)),
				Direction: sensor.Direction(data[1] % 4), Flags: sensor.Flag(data[2]), Target: int(int32(n(16))),
			}
			if data[3]%2 == 0 {
				r.Speed, r.Range = r.Speed%4000, r.Range%100_000
			}
			c.Readings = append(c.Readings, r)
			if data[0]%8 < 5 {
				c.Lost = data[3]%16 == 1
				tracker.Push(c)
				c.Readings = nil
			}
			if data[3] == 7 {
				tracker.Break(sensor.ReasonLostSamples)
			}
		}
		tracker.Flush()
		for p, ok := tracker.Pop(); ok; p, ok = tracker.Pop() {
			if p.Start > p.End || p.Speed < 0 || p.Budget.Total() < 0 || p.Valid() && p.Speed == 0 {
				t.Errorf("%+v", p)
			}
		}
	})
}

// TestCyclesAllocateNothing holds when no vehicle leaves.
func TestCyclesAllocateNothing(t *testing.T) {
	tracker, err := track.NewTracker(track.Options{Separates: true})
	if err != nil {
		t.Fatal(err)
	}
	readings := make([]sensor.Reading, 40)
	at := sensor.Mono(0)
	cycle := func() {
		at = at.Add(cycleTime)
		for i := range readings {
			x, y := 20+float64(i/4)*12, 2+3.5*float64(i%4)
			rng := math.Hypot(x, y)
			readings[i] = sensor.Reading{At: at, Speed: 20, Direction: sensor.Approaching, Range: int32(1000 * rng),
				Angle: int32(100 * 180 / math.Pi * math.Asin(y/rng)), Flags: sensor.FlagRange | sensor.FlagAngle}
		}
		tracker.Push(sensor.Cycle{At: at, Readings: readings})
	}
	cycle()
	if n := testing.AllocsPerRun(100, cycle); n != 0 {
		t.Errorf("%v allocations a cycle", n)
	}
	if c := tracker.Counters(); c.Cycles != 102 || c.Ignored+c.Overflow+c.Gaps+c.Backwards != 0 {
		t.Errorf("%+v", c)
	}
}

// TestTooManyReadings fills every place there is: what does not fit is counted,
// and what was followed goes on.
func TestTooManyReadings(t *testing.T) {
	tracker, err := track.NewTracker(track.Options{Separates: true, Step: 1, Lanes: oneLane})
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(5, 5))
	for _, c := range lone(6 * time.Second) {
		for range 300 {
			c.Readings = append(c.Readings, sensor.Reading{At: c.At, Speed: sensor.Speed(1 + r.IntN(30_000)), Direction: sensor.Receding,
				Range: int32(r.IntN(200_000)), Angle: int32(r.IntN(4000)), Flags: sensor.FlagRange | sensor.FlagAngle})
		}
		tracker.Push(c)
	}
	tracker.Flush()
	if tracker.Counters().Overflow == 0 {
		t.Error("no overflow was counted")
	}
	for p, ok := tracker.Pop(); ok; p, ok = tracker.Pop() {
		if p.Direction == sensor.Approaching && p.Valid() && p.Speed > 7180 && p.Speed < 7220 {
			return
		}
	}
	t.Error("the car among them was lost")
}
