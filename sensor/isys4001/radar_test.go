package isys4001

import (
	"context"
	"errors"
	"io"
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

var car = sensor.Reading{Speed: 13000, Direction: sensor.Approaching, Range: 62_310, Angle: -312, Level: 550}

const settingsText = `address 128
direction 3
filter 0
filter_signal 0
form_bits 32
frequency_channel 5
range_150m 1
range_max_dm 1500
range_min_dm 0
signal_max_ddb 2500
signal_min_ddb 100
speed_max_dmps 694
speed_min_dmps 10
`

func TestOpenSetsAndReadsBack(t *testing.T) {
	for _, row := range []struct {
		name     string
		x        *emulator.ISYS4001
		o        Options
		model    string
		settings string
	}{
		{"an iSYS-4001", &emulator.ISYS4001{}, Options{Serial: "07"}, "iSYS-4001", settingsText},
		{"16 bits", &emulator.ISYS4001{}, Options{Narrow: true}, "iSYS-4001", strings.ReplaceAll(settingsText, "bits 32", "bits 16")},
		{"at another address", &emulator.ISYS4001{Address: 0x81}, Options{Address: 0x81}, "iSYS-4001", strings.ReplaceAll(settingsText, "128", "129")},
		{"an iSYS-4002 on two wires, with echo", &emulator.ISYS4001{Name: "iSYS-4002", Echo: true}, Options{Model: "iSYS-4002"}, "iSYS-4002", settingsText},
		{"older firmware, without a long range", &emulator.ISYS4001{Old: true}, Options{}, "iSYS-4001", strings.ReplaceAll(settingsText, "150m 1", "150m unknown")},
		{"answers torn over reads", &emulator.ISYS4001{Torn: 2}, Options{}, "iSYS-4001", settingsText},
		{"slow answers", &emulator.ISYS4001{Delay: 250 * time.Millisecond}, Options{}, "iSYS-4001", settingsText},
		{"noise before each answer", &emulator.ISYS4001{Prefix: []byte("\x00\xff\x68\x05")}, Options{}, "iSYS-4001", settingsText},
		{"a false start before each answer", &emulator.ISYS4001{Prefix: []byte("\x68\x40\x40\x68")}, Options{}, "iSYS-4001", settingsText},
		{"every third answer broken", &emulator.ISYS4001{Spoil: 3}, Options{}, "iSYS-4001", settingsText},
	} {
		t.Run(row.name, func(t *testing.T) {
			bench.Run(t, row.x, func(ctx context.Context, c net.Conn) {
				got := mustOpen(t, ctx, c, row.o).Identity()
				if got.Model != row.model || got.Serial != row.o.Serial || string(got.Settings) != row.settings || !got.Separates || got.Unchecked {
					t.Errorf("identity %+v\n%swant %s\n%s", got, got.Settings, row.model, row.settings)
				}
			})
		})
	}
}

func TestOpenSaysWhatIsWrong(t *testing.T) {
	for _, row := range []struct {
		name string
		x    *emulator.ISYS4001
		send string // every 50 ms
		o    Options
		want string
	}{
		{"no power", &emulator.ISYS4001{Deaf: true}, "", Options{}, "no answer of address 0x80, nothing comes"},
		{"a wrong speed of the line", &emulator.ISYS4001{Deaf: true}, "\xfe\x00\x78\x80\xf8\x68\x68", Options{}, "bytes that make no sense (fe 00 78 80 f8 68 68"},
		{"only a beginning", &emulator.ISYS4001{Deaf: true}, "\x68", Options{}, "half a one comes and no more"},
		{"another address", &emulator.ISYS4001{Address: 0x81, Echo: true}, "", Options{}, "no answer of address 0x80, only what is sent comes back"},
		{"too slow", &emulator.ISYS4001{Delay: time.Second}, "", Options{}, "no answer of address 0x80, but other messages"},
		{"another model", &emulator.ISYS4001{Name: "iSYS-6003"}, "", Options{}, `the sensor says it is an "iSYS-6003", the configuration an iSYS-4001`},
		{"the model that folds at 45 km/h", &emulator.ISYS4001{Name: "iSYS-4003"}, "", Options{}, `says it is an "iSYS-4003"`},
		{"a 4002 where a 4001 is configured", &emulator.ISYS4001{Name: "iSYS-4002"}, "", Options{Model: "iSYS-4001"}, `says it is an "iSYS-4002"`},
		{"the filter makes one target of all", &emulator.ISYS4001{Ignored: 0x16}, "", Options{}, "filter_signal is 1, want 0"},
		{"the range stays short", &emulator.ISYS4001{Ignored: 0x09}, "", Options{}, "range_max_dm is 500, want 1500"},
		{"every answer broken", &emulator.ISYS4001{Spoil: 1}, "", Options{}, "messages whose check sum is wrong"},
	} {
		t.Run(row.name, func(t *testing.T) {
			bench.Run(t, row.x, func(ctx context.Context, c net.Conn) {
				ctx, cancel := context.WithCancel(ctx)
				var sending sync.WaitGroup
				sending.Go(func() {
					for row.send != "" && ctx.Err() == nil && row.x.Send([]byte(row.send)) == nil {
						time.Sleep(50 * time.Millisecond)
					}
				})
				begun := time.Now()
				_, err := Open(ctx, c, simulate.NewClock(0), row.o)
				if err == nil || !strings.Contains(err.Error(), row.want) {
					t.Errorf("Open = %v, want one that says %q", err, row.want)
				}
				if took := time.Since(begun); took > 10*time.Second {
					t.Errorf("it took %v", took)
				}
				cancel()
				c.Close()
				sending.Wait()
			})
		})
	}
}

func TestTargets(t *testing.T) {
	truck := sensor.Reading{Speed: 7000, Direction: sensor.Receding, Range: 20_000, Angle: 1500, Level: 700}
	for _, narrow := range []bool{false, true} {
		x := &emulator.ISYS4001{Torn: 5}
		bench.Run(t, x, func(ctx context.Context, c net.Conn) {
			r := mustOpen(t, ctx, c, Options{Narrow: narrow})
			x.Report(cycle(car, truck))
			got := bench.Next(t, ctx, r)
			if len(got.Readings) != 2 || got.Lost {
				t.Fatalf("%+v", got)
			}
			for n, want := range []sensor.Reading{car, truck} {
				g := got.Readings[n]
				slack := sensor.Speed(1) // the list is in mm/s
				if narrow {
					slack = 4 // or cm/s
				}
				if d := g.Speed - want.Speed; d < -slack || d > slack || g.Direction != want.Direction || g.Range != want.Range ||
					g.Angle != want.Angle || g.Level != want.Level || !g.Has(sensor.FlagRange|sensor.FlagAngle) || g.At != got.At {
					t.Errorf("narrow %v: %+v, want %+v", narrow, g, want)
				}
			}
			// An empty road gives an empty cycle each 75 ms.
			for range 40 {
				c, err := r.Next(ctx)
				if err != nil || len(c.Readings) != 0 || c.Lost {
					t.Fatalf("empty road: %+v, %v", c, err)
				}
			}
			if c := r.Tally(); c.Used < 41 || c.Broken != 0 || c.Bytes != 0 {
				t.Errorf("%+v", c)
			}
		})
	}
}

func TestListsComeOncePerCycle(t *testing.T) {
	x := &emulator.ISYS4001{}
	bench.Run(t, x, func(ctx context.Context, c net.Conn) {
		r := mustOpen(t, ctx, c, Options{})
		first, err := r.Next(ctx)
		if err != nil {
			t.Fatal(err)
		}
		var last sensor.Cycle
		for range 10 {
			if last, err = r.Next(ctx); err != nil {
				t.Fatal(err)
			}
		}
		if d := last.At.Sub(first.At); d != 10*period {
			t.Errorf("ten cycles took %v, want %v", d, 10*period)
		}
	})
}

func TestOverdrivenInputSaysSo(t *testing.T) {
	x := &emulator.ISYS4001{}
	bench.Run(t, x, func(ctx context.Context, c net.Conn) {
		r := mustOpen(t, ctx, c, Options{})
		x.Report(cycle(sensor.Reading{Flags: sensor.FlagClipped}))
		got := bench.Next(t, ctx, r)
		if !got.Lost || len(got.Readings) != 1 || !got.Readings[0].Has(sensor.FlagClipped) || got.Readings[0].Speed != 0 {
			t.Errorf("%+v, want a cycle marked as clipped and lost", got)
		}
		if c := r.Tally(); c.Clipped != 1 {
			t.Errorf("%+v", c)
		}
	})
}

func TestBrokenListsAreLostAndNotRead(t *testing.T) {
	for name, x := range map[string]*emulator.ISYS4001{
		"every fourth check sum wrong": {Spoil: 4},
		"noise before each":            {Prefix: []byte("\xa2\x01\x80\xda\x01\x22")},
	} {
		t.Run(name, func(t *testing.T) {
			bench.Run(t, x, func(ctx context.Context, c net.Conn) {
				r := mustOpen(t, ctx, c, Options{})
				lost := 0
				for k := range 40 {
					one := car
					one.Range -= int32(100 * k)
					x.Report(cycle(one))
				}
				for range 20 {
					got := bench.Next(t, ctx, r)
					if got.Lost {
						lost++
					}
					if d := got.Readings[0].Speed - car.Speed; d < -1 || d > 1 {
						t.Errorf("%+v", got)
					}
				}
				if c := r.Tally(); lost == 0 || c.Broken+c.Bytes == 0 {
					t.Errorf("%d lost, %+v", lost, c)
				}
			})
		})
	}
}

func TestAListThatComesTwiceIsOneMeasurement(t *testing.T) {
	x := &emulator.ISYS4001{Stuck: true}
	bench.Run(t, x, func(ctx context.Context, c net.Conn) {
		r := mustOpen(t, ctx, c, Options{})
		x.Report(cycle(car))
		if got := bench.Next(t, ctx, r); len(got.Readings) != 1 {
			t.Fatalf("%+v", got)
		}
		if got, err := r.Next(ctx); err == nil || !strings.Contains(err.Error(), "has not changed for 2s") {
			t.Errorf("Next = %+v, %v", got, err)
		}
		if c := r.Tally(); c.Repeated < 20 {
			t.Errorf("%+v", c)
		}
	})
}

func TestASensorThatStartsAnewIsAnError(t *testing.T) {
	for name, state := range map[string]struct {
		running bool
		want    string
	}{
		"and stands still":  {false, "the sensor does not measure: it has started anew"},
		"and measures anew": {true, "the sensor has started anew"},
	} {
		t.Run(name, func(t *testing.T) {
			x := &emulator.ISYS4001{}
			bench.Run(t, x, func(ctx context.Context, c net.Conn) {
				r := mustOpen(t, ctx, c, Options{})
				if _, err := r.Next(ctx); err != nil {
					t.Fatal(err)
				}
				x.Restart()
				if state.running {
					x.Start()
				}
				begun := time.Now()
				for {
					if _, err := r.Next(ctx); err != nil {
						if !strings.Contains(err.Error(), state.want) {
							t.Errorf("Next = %v", err)
						}
						break
					}
				}
				if took := time.Since(begun); took > 12*time.Second {
					t.Errorf("noticed after %v, want each setting read within 12 s", took)
				}
			})
		})
	}
}

func TestSilenceIsAnError(t *testing.T) {
	x := &emulator.ISYS4001{}
	bench.Run(t, x, func(ctx context.Context, c net.Conn) {
		r := mustOpen(t, ctx, c, Options{})
		x.Silence()
		begun := time.Now()
		_, err := r.Next(ctx)
		if err == nil || !strings.Contains(err.Error(), "fallen silent") || time.Since(begun) > 4*time.Second {
			t.Errorf("Next = %v after %v", err, time.Since(begun))
		}
	})
}

func TestNextEndsWithItsContext(t *testing.T) {
	x := &emulator.ISYS4001{}
	bench.Run(t, x, func(ctx context.Context, c net.Conn) {
		r := mustOpen(t, ctx, c, Options{})
		x.Silence()
		short, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
		defer cancel()
		if _, err := r.Next(short); err != context.DeadlineExceeded {
			t.Errorf("Next = %v", err)
		}
	})
}

func TestPulledCableIsAnError(t *testing.T) {
	x := &emulator.ISYS4001{}
	bench.Run(t, x, func(ctx context.Context, c net.Conn) {
		r := mustOpen(t, ctx, c, Options{})
		c.Close()
		if _, err := r.Next(ctx); !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("Next = %v", err)
		}
	})
}
