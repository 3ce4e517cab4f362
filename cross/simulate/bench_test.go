package simulate

import (
	"testing"
	"time"

	"ciglio/sensor"
)

// BenchmarkSignal makes a minute of traffic. The metric is how many times
// faster than the road it runs.
func BenchmarkSignal(b *testing.B) {
	road, err := NewRoad(Traffic(1, 70*sensor.KmH, time.Minute))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		s := road.Unpaced(0)
		for {
			if _, err := s.Next(b.Context()); err != nil {
				break
			}
		}
	}
	b.ReportMetric(time.Minute.Seconds()*float64(b.N)/b.Elapsed().Seconds(), "×realtime")
}

// BenchmarkOneInTheBeam makes the signal of a road that always has one vehicle
// whose echo can be heard. In the steady state nothing is allocated.
func BenchmarkOneInTheBeam(b *testing.B) {
	for _, class := range []Class{Car, Lorry} {
		b.Run(class.String(), func(b *testing.B) {
			s := Scenario{Duration: time.Hour}
			one := mustRoad(b, Scenario{Duration: time.Hour, Vehicles: []Vehicle{{Speed: 7000, Direction: sensor.Approaching, Lane: 1, Class: class}}})
			apart := instant(one.heard[0].to - one.heard[0].from)
			for at := time.Duration(0); at < s.Duration; at += apart {
				s.Vehicles = append(s.Vehicles, Vehicle{Speed: 7000, Direction: sensor.Approaching, Lane: 1, Class: class, Passing: at})
			}
			road, err := NewRoad(s)
			if err != nil {
				b.Fatal(err)
			}
			stream := road.Unpaced(0)
			for range 1000 {
				stream.Next(b.Context())
			}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := stream.Next(b.Context()); err != nil {
					stream = road.Unpaced(0)
				}
			}
			block := float64(BlockSamples) / float64(road.Radar().Rate)
			b.ReportMetric(block*float64(b.N)/b.Elapsed().Seconds(), "×realtime")
		})
	}
}

func TestSteadyStateAllocatesNothing(t *testing.T) {
	s, err := ReadScenario("dense")
	if err != nil {
		t.Fatal(err)
	}
	s.Duration = time.Hour
	stream := mustRoad(t, s).Unpaced(0)
	for range 4000 { // 100 s: as many echoes at once as there will be, nearly
		stream.Next(t.Context())
	}
	if n := testing.AllocsPerRun(1000, func() { stream.Next(t.Context()) }); n != 0 {
		t.Errorf("%g allocations a block", n)
	}
}
