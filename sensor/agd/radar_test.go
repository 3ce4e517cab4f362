package agd_test

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"ciglio/cross/simulate/emulator"
	"ciglio/sensor"
	"ciglio/sensor/agd"
)

// bubbleClock is the time of a synctest bubble.
type bubbleClock struct{ start time.Time }

func (c bubbleClock) Now() sensor.Mono                  { return sensor.Mono(time.Since(c.start)) }
func (c bubbleClock) Pair() (sensor.Mono, time.Time)    { return c.Now(), time.Now() }
func (c bubbleClock) State() (sensor.ClockState, error) { return sensor.ClockState{}, nil }

// plug connects an emulator and opens it.
func plug(t *testing.T, x *emulator.AGD, o agd.Options) (*agd.Radar, net.Conn, error) {
	t.Helper()
	host, device := net.Pipe()
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- x.Serve(ctx, device) }()
	t.Cleanup(func() {
		cancel()
		host.Close()
		<-served
	})
	r, err := agd.Open(t.Context(), host, bubbleClock{time.Now()}, o)
	return r, device, err
}

func target(at time.Duration, number int, speed sensor.Speed, flags sensor.Flag) sensor.Cycle {
	return sensor.Cycle{At: sensor.Mono(at), Readings: []sensor.Reading{{
		Target: number, Speed: speed, Direction: sensor.Approaching, Range: 42500, Angle: -320, Level: 715, Flags: flags,
	}}}
}

func TestOpenSetsAndReadsBack(t *testing.T) {
	for name, check := range map[string]agd.Check{"crc8": agd.CRC8, "xor": agd.XOR} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r, _, err := plug(t, &emulator.AGD{XOR: check == agd.XOR}, agd.Options{Model: "AGD350", Serial: "35000123", Check: check})
				if err != nil {
					t.Fatal(err)
				}
				id := r.Identity()
				settings := "angle 0\ncheck_sum " + name + "\ncoordinates P\ndirection B\nheartbeat_s 5\nunits K\nversion AGD350-101 V1.2\n"
				if id.Model != "AGD350" || id.Serial != "35000123" || string(id.Settings) != settings || !id.Separates || id.Unchecked || id.Simulated {
					t.Errorf("%+v\n%s", id, id.Settings)
				}
			})
		})
	}
}

func TestOpenRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		x    *emulator.AGD
		o    agd.Options
		want string
	}{
		"another model":            {&emulator.AGD{Version: "AGD342-100 V3.1"}, agd.Options{Model: "AGD350"}, `says it is an "AGD342", the configuration an AGD350`},
		"another family":           {&emulator.AGD{Version: "AGD 645 V1"}, agd.Options{}, "no AGD 3xx"},
		"another maker":            {&emulator.AGD{Version: "radar V1"}, agd.Options{}, "no AGD 3xx"},
		"another serial number":    {&emulator.AGD{}, agd.Options{Serial: "35000124"}, `"35000123", the configuration's "35000124"`},
		"a correction that stays":  {&emulator.AGD{Fixed: map[string]string{"ANGLE": "22.0"}}, agd.Options{}, "ANGLE is 22.0, want 0"},
		"no word of a correction":  {&emulator.AGD{Refused: map[string]bool{"ANGLE": true}}, agd.Options{}, "*ANGLE=0: the sensor answers error"},
		"miles":                    {&emulator.AGD{Fixed: map[string]string{"SU": "M"}}, agd.Options{}, "SU is M, want K"},
		"one direction":            {&emulator.AGD{Fixed: map[string]string{"DIR": "A"}}, agd.Options{}, "DIR is A, want B"},
		"a number with its unit":   {&emulator.AGD{Fixed: map[string]string{"HBP": "5 Seconds", "ANGLE": "0.0 Degrees"}}, agd.Options{}, ""},
		"a number that is not one": {&emulator.AGD{Fixed: map[string]string{"HBP": "five"}}, agd.Options{}, "HBP is five, want 5"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, _, err := plug(t, c.x, c.o)
				if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
					t.Errorf("%v, want %q", err, c.want)
				}
			})
		})
	}
}

// A line on which no AGD answers is told apart, within a bounded time.
func TestOpenSaysWhatTheLineLooksLike(t *testing.T) {
	wrongSum := (&emulator.AGD{XOR: true}).Message("HB,00012.34")
	rightSum := (&emulator.AGD{}).Message("HB,00012.34")
	for name, c := range map[string]struct {
		sends []byte
		want  string
	}{
		"nothing":                 {nil, "no answer, nothing comes: no power"},
		"what another baud gives": {[]byte{0x00, 0xf8, 0x80, 0x1c, 0xe0, 0xfe}, "bytes that make no sense"},
		"another radar's lines":   {[]byte("{\"speed\":\"12.3\"}\r\n"), `bytes that make no sense ("{\"speed\"")`},
		"another radar's bytes":   {[]byte{0xf7, 0x00, 0xf9, 0x32}, "bytes that make no sense"},
		"the other check sum":     {wrongSum, "messages whose check sum is no crc8"},
		"heartbeats, no answers":  {rightSum, "no answer, but other messages"},
		"half a line of answers":  {[]byte("#AGD AGD350"), "half a one comes and no more"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				host, device := net.Pipe()
				var sending sync.WaitGroup
				defer sending.Wait()
				defer host.Close()
				go io.Copy(io.Discard, device)
				sending.Go(func() {
					for len(c.sends) > 0 {
						if _, err := device.Write(c.sends); err != nil {
							return
						}
						time.Sleep(50 * time.Millisecond)
					}
				})
				start := time.Now()
				_, err := agd.Open(t.Context(), host, bubbleClock{start}, agd.Options{})
				if err == nil || !strings.Contains(err.Error(), c.want) {
					t.Errorf("%v, want %q", err, c.want)
				}
				if d := time.Since(start); d > 2*time.Second {
					t.Errorf("took %v", d)
				}
			})
		})
	}
}

func TestNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := &emulator.AGD{}
		r, _, err := plug(t, x, agd.Options{})
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			x.Report(sensor.Cycle{At: 5e9}) // a heartbeat says nothing of targets
			x.Report(target(6*time.Second, 1, 6340, 0))
			x.Report(target(6*time.Second, 2, 9990, 0))
			x.Send([]byte("\x00\xfe\xfe")) // line noise
			time.Sleep(50 * time.Millisecond)
			x.Report(target(6050*time.Millisecond, 1, 6330, sensor.FlagSimulated))
		}()
		c, err := r.Next(t.Context())
		if err != nil || len(c.Readings) != 2 || c.Readings[0].Speed != 6340 || c.Readings[1].Speed != 9990 || c.Lost {
			t.Fatalf("two targets: %+v, %v", c, err)
		}
		first := c.At
		c, err = r.Next(t.Context())
		if err != nil || len(c.Readings) != 1 || !c.Readings[0].Has(sensor.FlagSimulated) || !c.Lost || c.At.Sub(first) != 50*time.Millisecond {
			t.Fatalf("after the noise: %+v, %v", c, err)
		}
		// Nothing more: empty cycles, then a dead radar.
		for n := 1; ; n++ {
			c, err = r.Next(t.Context())
			if err != nil {
				if n < 30 || !strings.Contains(err.Error(), "no message for 12s") {
					t.Errorf("after %d empty cycles: %v", n, err)
				}
				break
			}
			if len(c.Readings) != 0 || c.Lost {
				t.Fatalf("%+v", c)
			}
		}
		if n := r.Tally(); n.Used != 3 || n.Bytes != 3 {
			t.Errorf("%+v", n)
		}
	})
}

func TestNextEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, _, err := plug(t, &emulator.AGD{}, agd.Options{})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		if _, err := r.Next(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v", err)
		}
		if _, err := r.Next(t.Context()); err != nil {
			t.Errorf("after it: %v", err)
		}
	})
}

func TestNextFails(t *testing.T) {
	x := emulator.AGD{}
	for name, c := range map[string]struct {
		sends string
		want  string
	}{
		"a radar that lost its settings": {string(x.Message("04,00006.00,01,A,063.4,M,042.5,-03.2,180.0,P,071.5")), "mph"},
		"messages that are not known":    {string(x.Message("ES,0000A1B2,A,063.4")), "unknown type"},
		"a radar that started anew":      {example + string(x.Message("04,00000.50,01,A,063.4,K,042.5,-03.2,180.0,P,071.5")), "started anew"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				x := &emulator.AGD{}
				r, _, err := plug(t, x, agd.Options{})
				if err != nil {
					t.Fatal(err)
				}
				go x.Send([]byte(c.sends))
				for range 2 {
					if _, err = r.Next(t.Context()); err != nil {
						break
					}
				}
				if err == nil || !strings.Contains(err.Error(), c.want) {
					t.Errorf("%v, want %q", err, c.want)
				}
			})
		})
	}
}

// A radar that is unplugged in the middle of a message is an error, and one that
// is plugged in again is set up anew.
func TestUnplugged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := &emulator.AGD{}
		r, device, err := plug(t, x, agd.Options{})
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			x.Report(target(6*time.Second, 1, 6340, 0))
			x.Send([]byte(example[:20]))
			device.Close()
		}()
		for n := 0; ; n++ {
			c, err := r.Next(t.Context())
			if err != nil {
				if n == 0 {
					t.Errorf("no cycle before %v", err)
				}
				break
			}
			if n > 1 || len(c.Readings) == 1 && c.Readings[0].Speed != 6340 {
				t.Fatalf("cycle %d: %+v", n, c)
			}
		}
		again, _, err := plug(t, &emulator.AGD{}, agd.Options{})
		if err != nil || string(again.Identity().Settings) != string(r.Identity().Settings) {
			t.Errorf("plugged in again: %v", err)
		}
	})
}
