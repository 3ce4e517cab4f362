package device

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"ciglio/capture/evidence"
	"ciglio/cross/simulate"
	"ciglio/cross/simulate/emulator"
	"ciglio/sensor"
	"ciglio/sensor/port"
	"ciglio/sensor/sensortest/pty"
)

// A sensorEnd is an emulated sensor: what the road shows is reported to it at its
// own interval.
type sensorEnd struct {
	driver, model string
	serve         func(context.Context, io.ReadWriter) error
	report        func(sensor.Cycle)
	every         time.Duration // as often as the sensor is asked or prints
	idle          int           // report also every so many cycles in which nothing is seen; 0 for never
}

func asAGD(x *emulator.AGD) sensorEnd {
	return sensorEnd{"agd", "AGD350", x.Serve, func(c sensor.Cycle) { x.Report(lifted(c)) }, 50 * time.Millisecond, 100}
}

// newAGD is a sensor as configText and calibrationText name it.
func newAGD() *emulator.AGD { return &emulator.AGD{Version: "AGD350-101 V1.2", Serial: "S1"} }

// A radio is a radar that is emulated on a pipe, in a bubble of synctest.
type radio struct {
	sensorEnd
	plugged atomic.Bool
	other   io.Closer // the sensor's end
}

func newRadio(s sensorEnd, plugged bool) *radio {
	r := &radio{sensorEnd: s}
	r.plugged.Store(plugged)
	return r
}

func (r *radio) open() (sensor.Conn, error) {
	if !r.plugged.Load() {
		return nil, errors.New("serial port /dev/ttyUSB0: no such file or directory")
	}
	ours, theirs := net.Pipe()
	r.other = theirs
	go func() {
		b := newBuffered(theirs)
		defer close(b.out)
		r.serve(context.Background(), b)
	}()
	return ours, nil
}

// buffered is the end of a pipe with the memory that a serial line has: what is
// written waits for its reader, and the writer does not.
type buffered struct {
	net.Conn
	out chan []byte
}

func newBuffered(c net.Conn) *buffered {
	b := &buffered{c, make(chan []byte, 100)}
	go func() {
		for p := range b.out {
			if _, err := c.Write(p); err != nil {
				return
			}
		}
	}()
	return b
}

func (b *buffered) Write(p []byte) (int, error) {
	select {
	case b.out <- slices.Clone(p):
		return len(p), nil
	default:
		return 0, io.ErrShortWrite
	}
}

func (r *radio) unplug() {
	r.plugged.Store(false)
	r.other.Close()
}

// look shows the radar the road until it ends.
func (r *radio) look(t *testing.T, road *simulate.Road, clock sensor.Clock) {
	t.Helper()
	cycles := road.Cycles(simulate.CycleOptions{Origin: clock.Now(), Every: r.every, Numbered: true})
	for n := 0; ; n++ {
		c, err := cycles.Next(t.Context())
		if err != nil {
			return
		}
		time.Sleep(c.At.Sub(clock.Now()))
		if len(c.Readings) > 0 || r.idle > 0 && n%r.idle == 0 {
			c.Readings = slices.Clone(c.Readings) // the radar may keep them
			r.report(c)
		}
	}
}

// lifted returns c with levels as the radar has them, above zero.
func lifted(c sensor.Cycle) sensor.Cycle {
	for i := range c.Readings {
		c.Readings[i].Level += 1000
	}
	return c
}

// passing returns a road of eight seconds with one vehicle, which is beside the
// sensor after six.
func passing(t *testing.T, speed sensor.Speed) *simulate.Road {
	t.Helper()
	road, err := simulate.NewRoad(simulate.Scenario{
		Seed: 1, Duration: 9 * time.Second, Radar: simulate.Radar{Lanes: []float64{3}, Beamwidth: 30, Height: 0.01},
		Vehicles: []simulate.Vehicle{{Speed: speed, Direction: sensor.Approaching, Lane: 1, Passing: 6 * time.Second}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return road
}

// newSerialRig is a device with that sensor on a serial port.
func newSerialRig(t *testing.T, r *radio, more ...func(*rig)) *rig {
	t.Helper()
	return newRig(t, func(g *rig) {
		for _, change := range more {
			change(g)
		}
		g.manager = new(fakeManager)
		g.config.Sensor = sensorConfig(t, "driver = \""+r.driver+"\"\nport = \"/dev/ttyUSB0\"\nlanes = \"1.5m..4.5m\"").Sensor
		g.config.Sensor.Model = r.model
		g.config.Camera.Slots = 96
		live, err := NewSource(g.config, g.clock, g.log)
		if err != nil {
			t.Fatal(err)
		}
		live.link.open = r.open
		g.live = live
	})
}

// reasons returns those of each passage so far.
func reasons(r *rig) (all [][]sensor.Reason) {
	for _, o := range r.outcomes {
		all = append(all, o.Reasons)
	}
	return all
}

func TestSerialViolationIsSealed(t *testing.T) {
	xor := newAGD()
	xor.XOR = true
	isys, ops, raw, csr := new(emulator.ISYS4001), &emulator.OPS243{Serial: "S1"}, &emulator.OPS243{Serial: "S1"}, new(emulator.CSR)
	for _, c := range []struct {
		sensor sensorEnd
		low    sensor.Speed
		alone  bool // proves something without a second speed
	}{
		{asAGD(newAGD()), 9150, true},
		{sensorEnd{"agdxor", "AGD350", xor.Serve, func(c sensor.Cycle) { xor.Report(lifted(c)) }, 50 * time.Millisecond, 100}, 9150, true},
		{sensorEnd{"isys4001", "iSYS-4001", isys.Serve, isys.Report, 75 * time.Millisecond, 0}, 9150, true},
		{sensorEnd{"ops243", "OPS243-A", ops.Serve, ops.Report, 60 * time.Millisecond, 0}, 9150, false},
		{sensorEnd{"ops243raw", "OPS243-A", raw.Serve, raw.Report, 60 * time.Millisecond, 0}, 9150, false},
		{sensorEnd{"csr", "CSR", csr.Serve, csr.Report, 26 * time.Millisecond, 0}, 9050, false},
	} {
		t.Run(c.sensor.driver, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				radar := newRadio(c.sensor, true)
				r := newSerialRig(t, radar)
				r.start(t)
				time.Sleep(10 * time.Second)
				if causes := r.Gate(); (len(causes) == 0) != c.alone {
					t.Errorf("gate %v", causes)
				}
				var want []sensor.Reason
				if !c.alone {
					want = []sensor.Reason{sensor.ReasonSecondMissing, sensor.ReasonGate}
				}
				radar.look(t, passing(t, 9250), r.clock)
				time.Sleep(2 * time.Second)
				synctest.Wait()
				if got := reasons(r); len(got) != 1 || !slices.Equal(got[0], want) {
					t.Errorf("%d passages, reasons %v, want %v", len(got), got, want)
				} else if p := r.outcomes[0].Passage; p.Speed < c.low || p.Speed > 9250 || p.Direction != sensor.Approaching {
					t.Errorf("%v %v", p.Speed, p.Direction)
				} else if s := r.outcomes[0].Record; s != nil {
					trace := s.Record.Trace
					if s.Record.Kind != evidence.KindViolation || trace.Model != c.sensor.model || trace.Serial != "S1" || trace.Format != "text/csv" {
						t.Errorf("%v with trace %+v", s.Record.Kind, trace)
					}
				}
				if err := r.stop(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// A sensor whose reports stay as they are closes the gate.
func TestReportsThatStayCloseTheGate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		radar := newRadio(asAGD(newAGD()), true)
		r := newSerialRig(t, radar)
		r.start(t)
		for range 10 * 20 {
			radar.report(sensor.Cycle{At: r.clock.Now(), Readings: []sensor.Reading{{
				At: r.clock.Now(), Speed: 5010, Direction: sensor.Approaching, Level: 400, Range: 30_000, Target: 1,
				Flags: sensor.FlagRange | sensor.FlagAngle,
			}}})
			time.Sleep(50 * time.Millisecond)
		}
		if causes := r.Gate(); len(causes) != 1 || !strings.Contains(causes[0].Words, "radar reports: the same values come for ") {
			t.Errorf("gate %v", causes)
		}
		for range 75 {
			radar.report(sensor.Cycle{At: r.clock.Now()})
			time.Sleep(time.Second)
		}
		if causes := r.Gate(); len(causes) > 0 {
			t.Errorf("nothing in the beam: %v", causes)
		}
		if err := r.stop(); err != nil {
			t.Error(err)
		}
	})
}

// A device whose sensor is not plugged in starts, lives and says why it does not
// measure; it measures once the sensor is there, and again after a replug.
func TestSerialSensorMayComeLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		radar := newRadio(asAGD(newAGD()), false)
		r := newSerialRig(t, radar)
		r.start(t)
		causes := r.Gate()
		if len(causes) != 1 || causes[0].Code != "sensor" || !strings.Contains(causes[0].Words, "/dev/ttyUSB0: no such file") {
			t.Errorf("gate %v", causes)
		}
		time.Sleep(time.Hour)
		radar.plugged.Store(true)
		time.Sleep(10 * time.Second)
		if causes := r.Gate(); len(causes) > 0 {
			t.Errorf("plugged in: gate %v", causes)
		}

		cut := passing(t, 9250)
		go func() {
			time.Sleep(5 * time.Second) // in the measuring zone
			radar.unplug()
		}()
		radar.look(t, cut, r.clock)
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if causes := r.Gate(); len(causes) != 1 || causes[0].Code != "sensor" {
			t.Errorf("unplugged: gate %v", causes)
		}
		if got := reasons(r); len(got) != 1 || !slices.Contains(got[0], sensor.ReasonLostSamples) {
			t.Errorf("unplugged in mid-passage: %v", got)
		}

		radar.plugged.Store(true)
		for range int(inOrder/(5*time.Second)) + 2 {
			time.Sleep(5 * time.Second)
			radar.report(sensor.Cycle{}) // its heartbeat
		}
		radar.look(t, passing(t, 9250), r.clock)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if n := len(r.outcomes); n != 2 || r.outcomes[1].Record == nil {
			t.Errorf("plugged in again: %v, gate %v", reasons(r), r.Gate())
		}
		if err := r.stop(); err != nil {
			t.Error(err)
		}
		var kinds []evidence.Kind
		for _, s := range r.records(t) {
			kinds = append(kinds, s.Record.Kind)
		}
		if n := len(slices.DeleteFunc(kinds, func(k evidence.Kind) bool { return k != evidence.KindHeartbeat })); n < 2 {
			t.Errorf("%d heartbeats in an hour without a sensor", n)
		}
	})
}

func TestSerialSensorOfAnotherKindMeasuresNothing(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*emulator.AGD)
		want   string
	}{
		{"another model", func(x *emulator.AGD) { x.Version = "AGD318 V9" }, `the sensor says it is an "AGD318", the configuration an AGD350`},
		{"another one of that model", func(x *emulator.AGD) { x.Serial = "S2" }, `serial number is "S2", the configuration's "S1"`},
		{"a setting that it does not take", func(x *emulator.AGD) { x.Fixed = map[string]string{"ANGLE": "22.0"} }, "22.0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				x := newAGD()
				c.change(x)
				radar := newRadio(asAGD(x), true)
				r := newSerialRig(t, radar)
				r.start(t)
				radar.look(t, passing(t, 9250), r.clock)
				causes := r.Gate()
				if len(causes) != 1 || causes[0].Code != "sensor" || !strings.Contains(causes[0].Words, c.want) {
					t.Errorf("gate %v, want %q", causes, c.want)
				}
				if len(r.outcomes) > 0 {
					t.Errorf("%d passages", len(r.outcomes))
				}
				if err := r.stop(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// tickClock goes on by the interval of a road's cycles whenever it is read, as
// it is for each report that arrives. It tells when it is read.
type tickClock struct {
	simulate.Clock
	now  atomic.Int64
	read chan struct{}
}

func (c *tickClock) Now() sensor.Mono {
	select {
	case c.read <- struct{}{}:
	default:
	}
	return sensor.Mono(c.now.Add(int64(50 * time.Millisecond)))
}

// On a real terminal: unplugged in mid-passage, plugged in again as another one
// under the same link, and the next passage is measured.
func TestSerialPortIsOpenedAgain(t *testing.T) {
	path := t.TempDir() + "/radar"
	clock := &tickClock{read: make(chan struct{})}
	source, err := NewSource(sensorConfig(t, "driver = \"csr\"\nlanes = \"1.5m..4.5m\"\nport = \""+path+"\""), clock, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	ctx, cancel := context.WithCancel(t.Context())
	passages, done := make(chan sensor.Passage, 10), make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			if p, err := source.Next(ctx); err == nil {
				passages <- p
			}
		}
	}()
	defer func() { cancel(); <-done }()

	// plug connects a radar, and shows it the road once it is heard.
	plug := func(road *simulate.Road, until time.Duration) (line *pty.PTY, reports int) {
		t.Helper()
		line = newLine(t, path)
		radar := new(emulator.CSR)
		go radar.Serve(ctx, line.Master)
		for source.Fault() != nil {
			<-clock.read
		}
		cycles := road.Cycles(simulate.CycleOptions{})
		for {
			c, err := cycles.Next(t.Context())
			if err != nil || time.Duration(c.At) > until {
				return line, reports
			}
			if len(c.Readings) > 0 {
				c.Readings = slices.Clone(c.Readings) // it is kept
				radar.Report(c)
				reports++
			}
		}
	}
	line, reports := plug(passing(t, 9250), 5*time.Second)
	for range reports {
		<-clock.read
	}
	line.Hangup()
	if p := <-passages; !slices.Contains(p.Reasons, sensor.ReasonLostSamples) {
		t.Errorf("unplugged in mid-passage: %v with %v", p.Speed, p.Reasons)
	}
	for source.Fault() == nil {
		runtime.Gosched() // until Next has returned why
	}
	if !errors.Is(source.Fault(), port.ErrUnplugged) && !errors.Is(source.Fault(), os.ErrNotExist) {
		t.Errorf("unplugged: %v", source.Fault())
	}
	plug(passing(t, 9250), time.Hour)
	if p := <-passages; !p.Valid() || p.Speed < 8900 || p.Speed > 9250 || p.Direction != sensor.Approaching {
		t.Errorf("plugged in again: %v with %v, %d readings", p.Speed, p.Reasons, p.Readings)
	}
}
