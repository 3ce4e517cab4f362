package doppler_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"testing"
	"time"

	"ciglio/cross/simulate"
	"ciglio/sensor"
	"ciglio/sensor/doppler"
	"ciglio/sensor/sensortest/recording"
	"ciglio/sensor/wav"
)

// A wired stream changes the samples of another on their way.
type wired struct {
	doppler.Stream
	change func(i, q []float32)
}

func (w wired) Next(ctx context.Context) (doppler.Block, error) {
	b, err := w.Stream.Next(ctx)
	w.change(b.I, b.Q)
	return b, err
}

// drive returns what a sensor says of a road whose channels are wired in some
// way, and the sensor.
func drive(t *testing.T, s simulate.Scenario, change func(i, q []float32)) ([]sensor.Passage, *doppler.Source) {
	t.Helper()
	road, err := simulate.NewRoad(s)
	if err != nil {
		t.Fatal(err)
	}
	return listen(t, wired{road.Unpaced(0), change}, doppler.Options{Carrier: s.Radar.Carrier, Simulated: true})
}

func listen(t *testing.T, s doppler.Stream, o doppler.Options) ([]sensor.Passage, *doppler.Source) {
	t.Helper()
	source, err := doppler.NewSource(s, o)
	if err != nil {
		t.Fatal(err)
	}
	var all []sensor.Passage
	for {
		p, err := source.Next(context.Background())
		if errors.Is(err, io.EOF) {
			return all, source
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}

func say(p sensor.Passage) string {
	return fmt.Sprintf("%v %v from %.2f to %.2f s, %d targets %v", p.Speed, p.Direction, p.Start.Seconds(), p.End.Seconds(), p.Targets, p.Reasons)
}

// oneByOne returns a road on which vehicles of every class pass alone, both ways.
func oneByOne(radar simulate.Radar, seed uint64) simulate.Scenario {
	classes := []simulate.Class{simulate.Car, simulate.Van, simulate.Motorcycle, simulate.Truck}
	s := simulate.Scenario{Seed: seed, Radar: radar, Duration: 10 * time.Second}
	for n := range 8 {
		d := sensor.Approaching
		if n%3 == 1 {
			d = sensor.Receding
		}
		s.Vehicles = append(s.Vehicles, simulate.Vehicle{Class: classes[n%4], Speed: sensor.Speed(3500 + 900*n), Direction: d, Lane: 1 + n%2, Passing: s.Duration})
		s.Duration += 12 * time.Second
	}
	return s
}

func asItIs(i, q []float32) {}

func swapped(i, q []float32) {
	for k := range q {
		i[k], q[k] = q[k], i[k]
	}
}

func inverted(_, q []float32) {
	for k := range q {
		q[k] = -q[k]
	}
}

// TestD07_SwappedChannels wires I and Q the wrong way: neither the sign nor the
// place of the closest point is believed, and the wiring is named.
func TestD07_SwappedChannels(t *testing.T) {
	if testing.Short() {
		t.Skip("short: minutes of signal")
	}
	for _, c := range []struct {
		name   string
		radar  simulate.Radar
		change func(i, q []float32)
		want   error
	}{
		{"in order", simulate.Radar{}, asItIs, nil},
		{"in order, narrow beam", simulate.Radar{Beamwidth: 24}, asItIs, nil},
		{"swapped", simulate.Radar{}, swapped, doppler.ErrSwapped},
		{"Q inverted", simulate.Radar{}, inverted, doppler.ErrSwapped},
		{"swapped, narrow beam", simulate.Radar{Beamwidth: 24}, swapped, doppler.ErrSwapped},
		{"I inverted, 10 GHz", simulate.Radar{Carrier: 10_525_000_000, Rate: 16_000}, func(i, q []float32) { inverted(q, i) }, doppler.ErrSwapped},
	} {
		t.Run(c.name, func(t *testing.T) {
			all, source := drive(t, oneByOne(c.radar, 5), c.change)
			if len(all) < 6 {
				t.Errorf("%d passages of 8 vehicles", len(all))
			}
			for _, p := range all {
				if known := p.Direction != sensor.DirectionUnknown; p.Valid() && known != (c.want == nil) {
					t.Error(say(p))
				}
			}
			if got := source.Wiring(); !errors.Is(got, c.want) {
				t.Errorf("wiring: %v, want %v", got, c.want)
			}
		})
	}
}

// copied is one channel in both, with an error of gain, and one of phase that a
// delay of a part of a sample makes.
func copied(gain, delay float32) func(i, q []float32) {
	var last float32
	return func(i, q []float32) {
		for k := range q {
			q[k] = gain * ((1-delay)*i[k] + delay*last)
			last = i[k]
		}
	}
}

var copies = []struct {
	name   string
	change func(i, q []float32)
}{
	{"copied", copied(1, 0)},
	{"a little weaker and later", copied(0.97, 0.05)},
	{"louder and later", copied(1.12, 0.25)},
	{"inverted", copied(-0.95, 0.02)},
	{"Q dead", copied(0, 0)},
	{"I dead", func(i, q []float32) { copy(q, i); clear(i) }},
}

// TestD08_OneSignalInBothChannels copies one channel to the other: each vehicle
// passes once, and in no direction.
func TestD08_OneSignalInBothChannels(t *testing.T) {
	if testing.Short() {
		t.Skip("short: minutes of signal")
	}
	for _, c := range copies {
		t.Run(c.name, func(t *testing.T) {
			s := oneByOne(simulate.Radar{}, 5)
			all, source := drive(t, s, c.change)
			for _, v := range s.Vehicles {
				n := 0
				for _, p := range all {
					if p.Start < sensor.Mono(v.Passing+time.Second) && p.End > sensor.Mono(v.Passing-time.Second) {
						n++
						if p.Direction != sensor.DirectionUnknown || p.Targets > 0 || p.Valid() && math.Abs(float64(p.Speed-v.Speed)) > 100 {
							t.Errorf("%v: %s", v.Speed, say(p))
						}
					}
				}
				if n != 1 {
					t.Errorf("%v at %v: %d passages", v.Speed, v.Passing, n)
				}
			}
			if got := source.Wiring(); !errors.Is(got, doppler.ErrOneChannel) {
				t.Errorf("wiring: %v", got)
			}
		})
	}
}

// TestD08_CopiedRecordings gives real recordings of one channel to both: what is
// measured is what the one channel shows.
func TestD08_CopiedRecordings(t *testing.T) {
	for _, name := range []string{"prius_30mph_hb100.wav", "uct_06_bus_away.wav", "uct_05_car_motorcycle_towards.wav"} {
		t.Run(name, func(t *testing.T) {
			f, err := os.Open(recording.Path(t, "radar/"+name))
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			r, err := wav.NewReader(f)
			if err != nil {
				t.Fatal(err)
			}
			var samples []float32
			for {
				b := make([]float32, 4096)
				n, err := r.Read(b, nil)
				samples = append(samples, b[:n]...)
				if err != nil {
					break
				}
			}
			o := doppler.Options{Carrier: 10_525_000_000}
			want, _ := listen(t, &samplesOf{format: doppler.Format{Rate: r.Format().Rate}, i: samples}, o)
			for _, c := range copies {
				q := make([]float32, len(samples))
				i := append([]float32{}, samples...)
				c.change(i, q)
				got, source := listen(t, &samplesOf{format: doppler.Format{Rate: r.Format().Rate, Complex: true}, i: i, q: q}, o)
				if !errors.Is(source.Wiring(), doppler.ErrOneChannel) {
					t.Errorf("%s: wiring: %v", c.name, source.Wiring())
				}
				if len(got) != len(want) {
					t.Errorf("%s: %d passages, of one channel %d", c.name, len(got), len(want))
					continue
				}
				for n, p := range got {
					if p.Direction != sensor.DirectionUnknown || math.Abs(float64(p.Speed-want[n].Speed)) > 30 || p.Valid() != want[n].Valid() {
						t.Errorf("%s: %s, of one channel %s", c.name, say(p), say(want[n]))
					}
				}
			}
		})
	}
}

// samplesOf is a stream of samples that are there.
type samplesOf struct {
	format doppler.Format
	i, q   []float32
	at     int
}

func (s *samplesOf) Format() doppler.Format { return s.format }

func (s *samplesOf) Next(context.Context) (doppler.Block, error) {
	n := min(1000, len(s.i)-s.at)
	if n == 0 {
		return doppler.Block{}, io.EOF
	}
	b := doppler.Block{Index: uint64(s.at), At: sensor.Mono(float64(s.at) / float64(s.format.Rate) * 1e9), I: s.i[s.at : s.at+n]}
	if s.q != nil {
		b.Q = s.q[s.at : s.at+n]
	}
	s.at += n
	return b, nil
}
