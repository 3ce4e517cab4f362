package displacement

import (
	"errors"
	"fmt"
	"math"
	"os"
	"testing"

	"ciglio/capture"
	"ciglio/sensor"
	"ciglio/sensor/sensortest/recording"
)

// TestClipIsRepeatable measures one car in a real clip of a car park, seen from
// above, over and over. Nobody knows its speed or where the ground is; 68 pixels
// a metre makes its 120 pixels the 1.76 m that a car is wide. So this shows that
// a real car with its shadow is found and that the speed does not depend on
// which frames are taken, not that it is right.
func TestClipIsRepeatable(t *testing.T) {
	const width, height, perMetre = 768, 432, 68
	m, err := New(Options{
		Marks: []Mark{
			{0, 0, height * 1000 / perMetre, 0}, {width * 100, 0, height * 1000 / perMetre, width * 1000 / perMetre},
			{0, height * 100, 0, 0}, {width * 100, height * 100, 0, width * 1000 / perMetre},
		},
		Width: width, Height: height, CameraHeight: 8000,
	})
	if err != nil {
		t.Fatal(err)
	}
	frame := func(i int) capture.Frame {
		data, err := os.ReadFile(recording.Path(t, fmt.Sprintf("images/clip-one-car/frame_%04d.jpg", i)))
		if err != nil {
			t.Fatal(err)
		}
		return capture.Frame{Number: uint64(i), At: sensor.Mono(i) * 80e6, MediaType: "image/jpeg", Data: data}
	}
	var at, speeds []float64
	for i := 70; i <= 106; i++ {
		r, err := m.Speed([]capture.Frame{frame(i - 14), frame(i - 7), frame(i)}, sensor.Receding)
		if err != nil {
			// Before frame 93 the car is not whole in the middle frame; at the end
			// its rear leaves the picture at the top.
			if !errors.Is(err, ErrNoVehicle) && !errors.Is(err, ErrUnclear) && !errors.Is(err, ErrTooShort) || i >= 93 && i <= 100 {
				t.Errorf("frame %d: %v", i, err)
			}
			continue
		}
		t.Logf("frames %d, %d, %d: %v, U %v, %.2f m to %.2f m", i-14, i-7, i, r.Speed, r.U, r.Near, r.Far)
		at, speeds = append(at, float64(i)), append(speeds, float64(r.Speed)/100)
	}
	if len(speeds) < 8 {
		t.Fatalf("%d speeds, want at least 8", len(speeds))
	}
	// The car slows down: what counts is how far each lies from a straight line.
	slope, first := line(at, speeds)
	for i, v := range speeds {
		if off := v - (first + slope*at[i]); math.Abs(off) > 0.7 || v < 5 || v > 13 {
			t.Errorf("to frame %.0f: %.2f km/h, %+.2f off the line of all", at[i], v, off)
		}
	}
}

// line returns the least squares line through the points.
func line(x, y []float64) (slope, first float64) {
	var n, sx, sy, sxx, sxy float64
	for i := range x {
		n, sx, sy, sxx, sxy = n+1, sx+x[i], sy+y[i], sxx+x[i]*x[i], sxy+x[i]*y[i]
	}
	slope = (n*sxy - sx*sy) / (n*sxx - sx*sx)
	return slope, (sy - slope*sx) / n
}
