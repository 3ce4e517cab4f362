package simcam

import (
	"testing"
	"time"

	"ciglio/cross/simulate"
	"ciglio/sensor"
)

// BenchmarkPictures takes the pictures of half a minute of traffic.
func BenchmarkPictures(b *testing.B) {
	const duration = 30 * time.Second
	road, err := simulate.NewRoad(simulate.Traffic(1, 70*sensor.KmH, duration))
	if err != nil {
		b.Fatal(err)
	}
	c := New(road, nil, 0)
	b.ReportAllocs()
	n, size := 0, 0
	for b.Loop() {
		size += len(c.render(time.Duration(n) * Interval % duration))
		n++
	}
	b.ReportMetric(float64(size)/float64(n), "bytes/picture")
}

func BenchmarkScene(b *testing.B) {
	for b.Loop() {
		paintScene([]float64{3.0, 6.4}, newLens(0, 0))
	}
}
