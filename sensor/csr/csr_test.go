package csr_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"ciglio/cross/simulate/emulator"
	"ciglio/sensor"
	"ciglio/sensor/csr"
)

func TestParse(t *testing.T) {
	for name, c := range map[string]struct {
		bytes []byte
		want  csr.Report
		good  bool
	}{
		"the manual's 125 km/h":  {[]byte{0xf9, 0x7d}, csr.Report{Direction: sensor.Approaching, Speed: 12500}, true},
		"leaving":                {[]byte{0xf8, 0x02}, csr.Report{Direction: sensor.Receding, Speed: 200}, true},
		"no word of a direction": {[]byte{0xf7, 0x59}, csr.Report{Speed: 8900}, true},
		"nothing":                {[]byte{0xf7, 0x00}, csr.Report{}, true},
		"the highest":            {[]byte{0xf9, 0xf0}, csr.Report{Direction: sensor.Approaching, Speed: 24000}, true},
		"beyond the highest":     {[]byte{0xf9, 0xf1}, csr.Report{}, false},
		"below the lowest":       {[]byte{0xf9, 0x01}, csr.Report{}, false},
		"two directions":         {[]byte{0xf9, 0xf9}, csr.Report{}, false},
		"a start":                {[]byte{0xfe, 0xfd}, csr.Report{}, false},
		"no direction":           {[]byte{0x7d, 0x7d}, csr.Report{}, false},
		"half":                   {[]byte{0xf9}, csr.Report{}, false},
		"more":                   {[]byte{0xf9, 0x7d, 0xf9}, csr.Report{}, false},
	} {
		r, err := csr.Parse(c.bytes)
		if (err == nil) != c.good || r != c.want {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
	}
	if _, err := csr.Parse(nil); err == nil {
		t.Error("nothing is a report")
	}
}

func TestPlaybackOfTheRecordedBytes(t *testing.T) {
	data, err := os.ReadFile("testdata/reports.bin")
	if err != nil {
		t.Fatal(err)
	}
	p := csr.NewPlayback(bytes.NewReader(data))
	if id := p.Identity(); !id.Unchecked || id.Separates {
		t.Errorf("%+v", id)
	}
	type seen struct {
		speed sensor.Speed
		way   sensor.Direction
		lost  bool
	}
	want := []seen{ // after the four bytes of a start
		{0, 0, false}, {0, 0, false}, {12500, 1, false}, {12400, 1, false}, {0, 0, false}, {5000, 2, false},
		{8900, 0, true}, // a speed without direction before it
		{500, 1, true},  // two directions: which was meant, nobody knows
		{0, 0, true},    // 1 km/h is no speed
	}
	for k, w := range want {
		c, err := p.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		s := seen{lost: c.Lost}
		for _, r := range c.Readings {
			s.speed, s.way = r.Speed, r.Direction
		}
		if s != w || c.At != sensor.Mono(k)*26e6 {
			t.Errorf("report %d: %+v at %d, want %+v", k, s, c.At, w)
		}
	}
	if _, err := p.Next(t.Context()); err != io.EOF {
		t.Errorf("at the end: %v", err)
	}
	if n := p.Tally(); n.Used != 9 || n.Broken != 2 || n.Bytes != 5 {
		t.Errorf("%+v", n)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte{0xf9, 0x7d, 0xf9, 0x7c, 0xf7, 0x00})
	f.Add([]byte{0xfe, 0xfd, 0xfd, 0xfe, 0xfa, 0x32, 0x30, 0x31, 0xfb})
	f.Fuzz(func(t *testing.T, b []byte) {
		// A report behind anything is found, but for one that a direction before
		// it takes for its speed.
		p := csr.NewPlayback(io.MultiReader(bytes.NewReader(b), bytes.NewReader([]byte{0xf8, 0x32, 0xf8, 0x32})))
		cycles := 0
		var last sensor.Cycle
		for {
			c, err := p.Next(t.Context())
			if err != nil {
				break
			}
			if cycles++; len(c.Readings) == 1 {
				if r := c.Readings[0]; r.Speed < 200 || r.Speed > 24000 || r.Speed%100 != 0 {
					t.Errorf("% x: %v", b, r.Speed)
				}
			}
			last = c
			last.Readings = append([]sensor.Reading(nil), c.Readings...)
		}
		if len(last.Readings) != 1 || last.Readings[0].Speed != 5000 || last.Readings[0].Direction != sensor.Receding {
			t.Errorf("% x: ends with %+v", b, last)
		}
		if n := p.Tally(); 2*n.Used+n.Bytes > int64(len(b))+4 {
			t.Errorf("% x: %+v", b, n)
		}
	})
}

// bubbleClock is the time of a synctest bubble.
type bubbleClock struct{ start time.Time }

func (c bubbleClock) Now() sensor.Mono                  { return sensor.Mono(time.Since(c.start)) }
func (c bubbleClock) Pair() (sensor.Mono, time.Time)    { return c.Now(), time.Now() }
func (c bubbleClock) State() (sensor.ClockState, error) { return sensor.ClockState{}, nil }

// plug connects an emulator and opens it.
func plug(t *testing.T, x *emulator.CSR, o csr.Options) (*csr.Radar, net.Conn, error) {
	t.Helper()
	host, device := net.Pipe()
	served := make(chan error, 1)
	go func() { served <- x.Serve(t.Context(), device) }()
	t.Cleanup(func() {
		host.Close()
		<-served
	})
	r, err := csr.Open(t.Context(), host, bubbleClock{time.Now()}, o)
	return r, device, err
}

func reading(speed sensor.Speed, way sensor.Direction) sensor.Cycle {
	return sensor.Cycle{Readings: []sensor.Reading{{Speed: speed, Direction: way}}}
}

func TestOpenSetsAndReadsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, _, err := plug(t, &emulator.CSR{}, csr.Options{Serial: "CS-17", Version: "CSR-I V2"})
		if err != nil {
			t.Fatal(err)
		}
		id := r.Identity()
		const settings = "angle 0x00\nformat 0x31\njump 0x14\nlowest 0x05\nmode 0x31\nsensitivity 0x35\ntrigger 0x00\nversion CSR-I V2.3\n"
		if id.Model != "CSR" || id.Serial != "CS-17" || string(id.Settings) != settings || !id.Unchecked || id.Separates || id.Simulated {
			t.Errorf("%+v\n%s", id, id.Settings)
		}
	})
}

func TestOpenRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		x    *emulator.CSR
		want string
	}{
		"other software":          {&emulator.CSR{Version: "CSR-II V1"}, `software is "CSR-II V1", the configuration's "CSR-I V"`},
		"an angle correction":     {&emulator.CSR{Angle: 20}, "angle correction is 0x14, want 0x00"},
		"a zero as a character":   {&emulator.CSR{Angle: '0'}, "angle correction is 0x30, want 0x00"},
		"a format that stays":     {&emulator.CSR{Stubborn: true}, "data format is 0x30, want 0x31"},
		"a mode that says little": {&emulator.CSR{Triggers: true}, "set the work mode to continuous"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, _, err := plug(t, c.x, csr.Options{Version: "CSR-I V"})
				if err == nil || !strings.Contains(err.Error(), c.want) {
					t.Errorf("%v, want %q", err, c.want)
				}
			})
		})
	}
}

// A line on which no such radar answers is told apart, within a bounded time.
func TestOpenSaysWhatTheLineLooksLike(t *testing.T) {
	for name, c := range map[string]struct {
		sends []byte
		want  string
	}{
		"nothing":                  {nil, "no answer, nothing comes: no power"},
		"what another baud gives":  {[]byte{0x00, 0x80, 0xe0, 0x1c}, "bytes that make no sense"},
		"another radar's lines":    {[]byte("{\"speed\":\"12.3\"}\r\n"), "bytes that make no sense"},
		"reports, no answers":      {[]byte{0xf9, 0x32}, "no answer, but other messages"},
		"half an answer":           {[]byte{0xfa, 0x32, 0x30}, "bytes that make no sense (fa 32 30"},
		"that it was not done":     {[]byte{0xfa, 0x32, 0x31, 0x31, 0xfb}, "begin set-up: the sensor answers fa 32 31 31 fb"},
		"one answer to everything": {[]byte{0xfa, 0x32, 0x30, 0x31, 0xfb}, "version: the sensor answers fa 32 30 31 fb"},
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
						time.Sleep(30 * time.Millisecond)
					}
				})
				start := time.Now()
				_, err := csr.Open(t.Context(), host, bubbleClock{start}, csr.Options{})
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

// A pass of one vehicle with line noise in it, then the radar starts anew.
func TestNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := &emulator.CSR{}
		r, _, err := plug(t, x, csr.Options{})
		if err != nil {
			t.Fatal(err)
		}
		next := func() sensor.Cycle {
			t.Helper()
			c, err := r.Next(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			return c
		}
		first := next()
		if len(first.Readings) != 0 {
			t.Errorf("%+v", first)
		}
		x.Report(reading(6300, sensor.Approaching))
		x.Report(reading(6200, sensor.Approaching))
		c := next()
		for len(c.Readings) == 0 { // what was on its way
			c = next()
		}
		if c.Readings[0].Speed != 6300 || c.Readings[0].Direction != sensor.Approaching || c.Lost {
			t.Errorf("%+v", c)
		}
		go x.Send([]byte{0x55, 0xaa})
		synctest.Wait()
		if c := next(); len(c.Readings) != 1 || c.Readings[0].Speed != 6200 || !c.Lost {
			t.Errorf("after the noise: %+v", c)
		}
		if c := next(); len(c.Readings) != 0 || c.Lost {
			t.Errorf("after the vehicle: %+v", c)
		}
		go x.Restart()
		for {
			if _, err = r.Next(t.Context()); err != nil {
				break
			}
		}
		if !strings.Contains(err.Error(), "started anew") {
			t.Errorf("%v", err)
		}
	})
}

func TestNextFails(t *testing.T) {
	for name, c := range map[string]struct {
		fail func(x *emulator.CSR, device net.Conn)
		want string
	}{
		"unplugged":               {func(_ *emulator.CSR, device net.Conn) { device.Close() }, "connection has ended"},
		"unplugged in a report":   {func(x *emulator.CSR, device net.Conn) { x.Send([]byte{0xf9}); device.Close() }, "connection has ended"},
		"other bytes from now on": {func(x *emulator.CSR, device net.Conn) { x.Restart() }, "started anew"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				x := &emulator.CSR{}
				r, device, err := plug(t, x, csr.Options{})
				if err != nil {
					t.Fatal(err)
				}
				go c.fail(x, device)
				for range 10 {
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

func TestSilenceIsAnError(t *testing.T) {
	for want, sends := range map[string][]byte{"no report for 1s": nil, "bytes but no report for 1s": {0x32, 0x33}} {
		t.Run(want, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				x := &emulator.CSR{}
				r, _, err := plug(t, x, csr.Options{})
				if err != nil {
					t.Fatal(err)
				}
				x.Pause()
				done := make(chan struct{})
				go func() {
					for {
						select {
						case <-done:
							return
						case <-time.After(50 * time.Millisecond):
							x.Send(sends)
						}
					}
				}()
				for range 10 {
					if _, err = r.Next(t.Context()); err != nil {
						break
					}
				}
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("%v", err)
				}
				ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
				defer cancel()
				if _, err := r.Next(ctx); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("with an end: %v", err)
				}
				close(done)
			})
		})
	}
}
