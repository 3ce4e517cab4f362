package ops243

import (
	"context"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"ciglio/cross/simulate"
	"ciglio/cross/simulate/bench"
	"ciglio/cross/simulate/emulator"
	"ciglio/sensor"
)

func mustOpen(t *testing.T, ctx context.Context, c sensor.Conn, o Options) *Radar {
	t.Helper()
	r, err := Open(ctx, c, simulate.NewClock(0), o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func cycle(readings ...sensor.Reading) sensor.Cycle { return sensor.Cycle{Readings: readings} }

func at(s sensor.Speed, d sensor.Direction) sensor.Reading {
	return sensor.Reading{Speed: s, Direction: d, Level: 400}
}

const settingsJSON = `angle_correction_inbound 0.00
angle_correction_outbound 0.00
firmware 1.3.1
highest_speed 0.000
least_speed 1.000
mode json
product OPS243 Doppler
sample_size 1024
sampling_rate 20000
units m-per-sec
`

func TestOpenSetsAndReadsBack(t *testing.T) {
	for _, row := range []struct {
		name     string
		sensor   *emulator.OPS243
		options  Options
		identity sensor.Identity
	}{
		{"an OPS243-A without a serial number", &emulator.OPS243{}, Options{},
			sensor.Identity{Model: "OPS243-A", Serial: "b2000040b7a12400d5188041", Settings: []byte(settingsJSON), Unchecked: true}},
		{"over USB", &emulator.OPS243{Serial: "A1007"}, Options{Model: "OPS243-A", Serial: "A1007", USB: true},
			sensor.Identity{Model: "OPS243-A", Serial: "A1007", Settings: []byte(settingsJSON)}},
		{"an OPS243-C at 50,000 a second, plain", &emulator.OPS243{Product: "OPS243-C", Serial: "C2"}, Options{Model: "OPS243-C", Mode: CSV, Rate: 50_000},
			sensor.Identity{Model: "OPS243-C", Serial: "C2", Unchecked: true, Settings: []byte(strings.NewReplacer(
				"OPS243 Doppler", "OPS243-C", "20000", "50000", "json", "csv").Replace(settingsJSON))}},
		{"samples", &emulator.OPS243{Serial: "A1"}, Options{Mode: Raw},
			sensor.Identity{Model: "OPS243-A", Serial: "A1", Unchecked: true, Settings: []byte(strings.NewReplacer(
				"json", "raw", "1024", "512", "firmware", "carrier_hz 24125000000\nfirmware").Replace(settingsJSON))}},
		{"a name without a letter is what the configuration says", &emulator.OPS243{Product: "OPS243", Serial: "A1"}, Options{Model: "OPS243-A"},
			sensor.Identity{Model: "OPS243-A", Serial: "A1", Unchecked: true, Settings: []byte(strings.ReplaceAll(settingsJSON, " Doppler", ""))}},
		{"answers torn over reads, late", &emulator.OPS243{Serial: "A1", Torn: 3, Delay: 300 * time.Millisecond}, Options{},
			sensor.Identity{Model: "OPS243-A", Serial: "A1", Settings: []byte(settingsJSON), Unchecked: true}},
		{"alerts with broken JSON in between", &emulator.OPS243{Serial: "A1", Alert: true}, Options{},
			sensor.Identity{Model: "OPS243-A", Serial: "A1", Settings: []byte(settingsJSON), Unchecked: true}},
	} {
		t.Run(row.name, func(t *testing.T) {
			bench.Run(t, row.sensor, func(ctx context.Context, c net.Conn) {
				for range 200 { // reports of other settings between the answers
					row.sensor.Report(cycle(at(5000, sensor.Approaching)))
				}
				got := mustOpen(t, ctx, c, row.options).Identity()
				if got.Model != row.identity.Model || got.Serial != row.identity.Serial ||
					string(got.Settings) != string(row.identity.Settings) || got.Unchecked != row.identity.Unchecked || got.Separates {
					t.Errorf("identity %+v\n%swant %+v\n%s", got, got.Settings, row.identity, row.identity.Settings)
				}
			})
		})
	}
}

func TestOpenSaysWhatIsWrong(t *testing.T) {
	for _, row := range []struct {
		name    string
		sensor  *emulator.OPS243
		send    string // every 50 ms
		options Options
		want    string
	}{
		{"no power", &emulator.OPS243{Deaf: true, Quiet: true}, "", Options{}, "no answer, nothing comes"},
		{"a wrong speed of the line", &emulator.OPS243{Deaf: true, Quiet: true}, "\xfe\x00\x78\x80\xf8\n\xff\x1e\n", Options{}, "bytes that make no sense"},
		{"and with a digit and empty lines by chance", &emulator.OPS243{Deaf: true, Quiet: true}, "\xfe\x00\n\n7\n\xff\x1e\n\n", Options{}, "bytes that make no sense"},
		{"and without a line end by chance", &emulator.OPS243{Deaf: true, Quiet: true}, "\xfe\x00\x78\x80\xf8", Options{}, "half a one comes and no more"},
		{"the wire towards the sensor is open", &emulator.OPS243{Deaf: true}, "3.5\r\n", Options{}, "no answer, but other messages: a broken wire"},
		{"another model", &emulator.OPS243{Product: "OPS241-A"}, "", Options{Model: "OPS243-A"},
			`ops243: the sensor says it is an "OPS241-A", the configuration an OPS243-A`},
		{"another model where any would do", &emulator.OPS243{Product: "OPS241-B"}, "", Options{}, `says it is an "OPS241-B"`},
		{"an A where a C is configured", &emulator.OPS243{}, "", Options{Model: "OPS243-C"}, `says it is an "OPS243 Doppler", the configuration an OPS243-C`},
		{"another unit of the same model", &emulator.OPS243{Serial: "A1"}, "", Options{Serial: "A2"}, `serial number is "A1", the configuration's "A2"`},
		{"the rate stays at its default", &emulator.OPS243{Ignored: "S2"}, "", Options{}, "sampling_rate is 10000, want 20000"},
		{"the unit stays another", &emulator.OPS243{Ignored: "U?"}, "", Options{}, "Units (U?): no answer, but other messages: does the sensor know the question?"},
		{"the angle correction cannot be shown to be off", &emulator.OPS243{Ignored: "^?"}, "", Options{}, "InboundSensorAngleDegrees (^?): no answer"},
		{"the filter stays another", &emulator.OPS243{Ignored: "R>1"}, "", Options{}, "least_speed is 0.000, want 1"},
		{"a rate that it does not have", &emulator.OPS243{}, "", Options{Rate: 10_000}, "want 20000, 50000 or 100000"},
	} {
		t.Run(row.name, func(t *testing.T) {
			bench.Run(t, row.sensor, func(ctx context.Context, c net.Conn) {
				ctx, cancel := context.WithCancel(ctx)
				var sending sync.WaitGroup
				sending.Go(func() {
					for row.send != "" && ctx.Err() == nil && row.sensor.Send([]byte(row.send)) == nil {
						time.Sleep(50 * time.Millisecond)
					}
				})
				begun := time.Now()
				_, err := Open(ctx, c, simulate.NewClock(0), row.options)
				if err == nil || !strings.Contains(err.Error(), row.want) {
					t.Errorf("Open = %v, want one that says %q", err, row.want)
				}
				if took := time.Since(begun); took > 15*time.Second {
					t.Errorf("it took %v", took)
				}
				cancel()
				c.Close()
				sending.Wait()
			})
		})
	}
}

func TestReports(t *testing.T) {
	for _, row := range []struct {
		name string
		x    *emulator.OPS243
		mode Mode
	}{
		{"JSON", &emulator.OPS243{}, JSON}, {"CSV", &emulator.OPS243{}, CSV},
		{"torn over reads", &emulator.OPS243{Torn: 7}, JSON},
		{"firmware without BZ", &emulator.OPS243{Quiet: true}, JSON},
	} {
		t.Run(row.name, func(t *testing.T) {
			bench.Run(t, row.x, func(ctx context.Context, c net.Conn) {
				r := mustOpen(t, ctx, c, Options{Mode: row.mode})
				// 130 km/h lies above the sensor's default of 112.
				row.x.Report(cycle(at(13000, sensor.Approaching), at(4321, sensor.Receding)))
				got := bench.Next(t, ctx, r)
				want := []sensor.Reading{at(13000, sensor.Approaching), at(4321, sensor.Receding)}
				if row.mode == CSV {
					want = want[:1]
				}
				if len(got.Readings) != len(want) {
					t.Fatalf("%+v", got)
				}
				for n, w := range want {
					g := got.Readings[n]
					// Printed in mm/s, 0.36 of a hundredth.
					if g.Direction != w.Direction || g.Level != w.Level || g.Speed-w.Speed < -1 || g.Speed-w.Speed > 1 || len(g.Raw) == 0 {
						t.Errorf("reading %+v, want %+v", g, w)
					}
				}
				if got.Lost || got.At != got.Readings[0].At {
					t.Errorf("cycle %+v", got)
				}
				// An empty road gives empty cycles, at least two a second.
				last := got.At
				for range 20 {
					c, err := r.Next(ctx)
					if err != nil || len(c.Readings) != 0 || c.Lost {
						t.Fatalf("empty road: %+v, %v", c, err)
					}
					if step := c.At.Sub(last); step < 0 || step > 500*time.Millisecond {
						t.Errorf("%v from one cycle to the next", step)
					}
					last = c.At
				}
			})
		})
	}
}

func TestRangesAreNeverJoinedToSpeeds(t *testing.T) {
	for _, mode := range []Mode{JSON, CSV} {
		x := &emulator.OPS243{Product: "OPS243-C", Ignored: "od"}
		bench.Run(t, x, func(ctx context.Context, c net.Conn) {
			r := mustOpen(t, ctx, c, Options{Mode: mode})
			x.Report(cycle(at(9000, sensor.Approaching)))
			before := r.Tally().Unused
			got := bench.Next(t, ctx, r)
			if got.Readings[0].Flags != 0 || got.Readings[0].Range != 0 || got.Lost {
				t.Errorf("%v: %+v", mode, got)
			}
			if n := r.Tally().Unused - before; n == 0 {
				t.Error("no range was counted")
			}
			if r.Identity().Separates {
				t.Error("the sensor claims to tell two vehicles apart")
			}
		})
	}
}

func TestInstantIsThatOfTheBlocksMiddle(t *testing.T) {
	x := &emulator.OPS243{Quiet: true, Torn: 1}
	bench.Run(t, x, func(ctx context.Context, c net.Conn) {
		clock := simulate.NewClock(0)
		r, err := Open(ctx, c, clock, Options{})
		if err != nil {
			t.Fatal(err)
		}
		x.Report(cycle(at(9000, sensor.Approaching)))
		got := bench.Next(t, ctx, r)
		if late := clock.Now().Sub(got.At); late != 25600*time.Microsecond {
			t.Errorf("the reading is %v old, want half of 1,024 samples: 25.6 ms", late)
		}
	})
}

func TestSamples(t *testing.T) {
	x := &emulator.OPS243{}
	bench.Run(t, x, func(ctx context.Context, c net.Conn) {
		r := mustOpen(t, ctx, c, Options{Mode: Raw})
		for _, speeds := range [][]sensor.Reading{
			{at(5000, sensor.Approaching)}, {at(13000, sensor.Receding)}, {at(22000, sensor.Approaching)},
			{at(9000, sensor.Approaching), at(7000, sensor.Receding), at(4000, sensor.Approaching)},
		} {
			x.Report(cycle(speeds...))
			got := bench.Next(t, ctx, r)
			if len(got.Readings) != len(speeds) || got.Lost {
				t.Fatalf("%+v, want %d readings", got, len(speeds))
			}
			for n, want := range speeds {
				g := got.Readings[n]
				if d := g.Speed - want.Speed; d < -3 || d > 3 || g.Direction != want.Direction || g.Has(sensor.FlagClipped) {
					t.Errorf("reading %+v, want %v %v", g, want.Speed, want.Direction)
				}
			}
		}
		for range 10 {
			if c, err := r.Next(ctx); err != nil || len(c.Readings) != 0 {
				t.Fatalf("empty road: %+v, %v", c, err)
			}
		}
	})
}

func TestClippedSamplesSaySo(t *testing.T) {
	x := &emulator.OPS243{Overload: true}
	bench.Run(t, x, func(ctx context.Context, c net.Conn) {
		r := mustOpen(t, ctx, c, Options{Mode: Raw})
		x.Report(cycle(at(9000, sensor.Approaching)))
		for _, g := range bench.Next(t, ctx, r).Readings {
			if !g.Has(sensor.FlagClipped) {
				t.Errorf("%+v is not marked as clipped", g)
			}
		}
	})
}

func TestHalfOfABlockIsLost(t *testing.T) {
	x := &emulator.OPS243{}
	bench.Run(t, x, func(ctx context.Context, c net.Conn) {
		r := mustOpen(t, ctx, c, Options{Mode: Raw})
		if _, err := r.Next(ctx); err != nil {
			t.Fatal(err)
		}
		before := r.Tally().Missing
		go x.Send([]byte("{\"Q\":[1,2,3]}\r\n{\"I\":[1,2,3]}\r\n"))
		lost := false
		for range 3 {
			c, err := r.Next(ctx)
			if err != nil {
				t.Fatal(err)
			}
			lost = lost || c.Lost
		}
		if got := r.Tally().Missing - before; !lost || got < 2 {
			t.Errorf("lost %v, %d orphans, want 2 or more", lost, got)
		}
	})
}
