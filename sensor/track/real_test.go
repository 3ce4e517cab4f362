package track_test

import (
	"encoding/csv"
	"errors"
	"io"
	"math"
	"os"
	"strconv"
	"testing"
	"time"

	"ciglio/sensor"
	"ciglio/sensor/doppler"
	"ciglio/sensor/sensortest/recording"
	"ciglio/sensor/track"
	"ciglio/sensor/wav"
)

// TestRealRoads follows real vehicles as a simple radar reports them: the
// strongest line of each block of a recording, with the direction that the
// reference states. What stands must lie within twice its uncertainty of the
// reference, which is the radial speed far from the closest point. Vehicles that
// are seen for less than 22 m do not stand.
func TestRealRoads(t *testing.T) {
	if testing.Short() {
		t.Skip("nine recordings take long in an emulator")
	}
	f, err := os.Open(recording.Path(t, "radar/reference_passes.csv"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	number := func(text string) float64 {
		v, err := strconv.ParseFloat(text, 64)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	valid := 0
	for i, row := range rows[1:] {
		if i > 0 && row[0] == rows[i][0] {
			continue // the recording was followed already
		}
		direction := sensor.Approaching
		if row[3] == "away" {
			direction = sensor.Receding
		}
		cycles := strongest(t, recording.Path(t, "radar/"+row[0]), number(row[12])*1e9, direction)
		for _, p := range judge(t, track.Options{Step: 10, Lanes: []track.Lane{{Left: 1500, Right: 5000}}}, cycles) {
			if !p.Valid() {
				continue
			}
			valid++
			least, u := math.Inf(1), float64(p.Budget.Total())/100
			for _, of := range rows[1:] {
				if of[0] == row[0] && p.Start < sensor.Mono(number(of[8])*1e9) && p.End > sensor.Mono(number(of[7])*1e9) {
					least = min(least, math.Abs(float64(p.Speed)/100-number(of[14])))
				}
			}
			if least > 2*u {
				t.Errorf("%s: %v ± %.2f from %.1f to %.1f s is off by %.2f km/h", row[0], p.Speed, u, p.Start.Seconds(), p.End.Seconds(), least)
			}
		}
	}
	if valid < 5 {
		t.Errorf("%d passages stand, want 5 or more of 9", valid)
	}
}

// strongest returns what a radar without range would report of a recording.
func strongest(t *testing.T, name string, carrier float64, d sensor.Direction) []sensor.Cycle {
	file, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	r, err := wav.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	rate := r.Format().Rate
	size := 1024
	for size*10 < rate {
		size *= 2
	}
	e, err := doppler.NewEstimator(doppler.Format{Rate: rate}, size)
	if err != nil {
		t.Fatal(err)
	}
	var all []sensor.Cycle
	var lines []doppler.Line
	block, spare := make([]float32, size), make([]float32, size)
	for n := 0; ; n++ {
		for got := 0; got < size; {
			k, err := r.Read(block[got:], spare[got:])
			got += k
			if errors.Is(err, io.EOF) {
				return all
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		at := sensor.Mono(time.Duration(n) * time.Duration(size) * time.Second / time.Duration(rate))
		c := sensor.Cycle{At: at}
		lines = e.Lines(lines[:0], block, nil)
		for _, l := range lines {
			if v := math.Abs(l.Hz) * 299_792_458 / 2 / carrier; v > 2 && v < 20 && l.SNR > 15 {
				c.Readings = append(c.Readings, sensor.Reading{At: at, Speed: sensor.SpeedFromMPS(v), Direction: d, Level: int16(10 * l.Level)})
				break
			}
		}
		all = append(all, c)
	}
}
