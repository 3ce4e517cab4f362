package sensortest

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
