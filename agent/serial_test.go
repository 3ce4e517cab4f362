package agent

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
	"ciglio/sensor"
	"ciglio/sensor/port"
	"ciglio/sensor/sensortest"
	"ciglio/sensor/sensortest/emulator"
	"ciglio/sensor/sensortest/pty"
)

const agdKeys = "driver = \"agd\"\nport = \"/dev/ttyUSB0\"\n"

// newAGD is a sensor as configText and calibrationText name it.
func newAGD() *emulator.AGD { return &emulator.AGD{Version: "AGD350-101 V1.2", Serial: "S1"} }

// A radio is a radar that is emulated on a pipe, in a bubble of synctest.
type radio struct {
	agd     *emulator.AGD
	plugged atomic.Bool
	other   io.Closer // the sensor's end
}

func (r *radio) open() (sensor.Conn, error) {
	if !r.plugged.Load() {
		return nil, errors.New("serial port /dev/ttyUSB0: no such file or directory")
	}
	ours, theirs := net.Pipe()
	r.other = theirs
	go r.agd.Serve(context.Background(), theirs)
	return ours, nil
}

func (r *radio) unplug() {
	r.plugged.Store(false)
	r.other.Close()
}

// look reports what the road shows until it ends: targets 20 times a second, or
// else that the radar lives every 5 s.
func (r *radio) look(t *testing.T, road *sensortest.Road, clock sensor.Clock) {
	t.Helper()
	cycles := road.Cycles(sensortest.CycleOptions{Origin: clock.Now(), Numbered: true})
	for n := 0; ; n++ {
		c, err := cycles.Next(t.Context())
		if err != nil {
			return
		}
		time.Sleep(c.At.Sub(clock.Now()))
		if len(c.Readings) > 0 || n%100 == 0 {
			r.agd.Report(lifted(c)) // fails while it is unplugged
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
func passing(t *testing.T, speed sensor.Speed) *sensortest.Road {
	t.Helper()
	road, err := sensortest.NewRoad(sensortest.Scenario{
		Seed: 1, Duration: 9 * time.Second, Radar: sensortest.Radar{Lanes: []float64{3}, Beamwidth: 30, Height: 0.01},
		Vehicles: []sensortest.Vehicle{{Speed: speed, Direction: sensor.Approaching, Lane: 1, Passing: 6 * time.Second}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return road
}

// newSerialRig is a device whose sensor is an AGD 350 on a serial port.
func newSerialRig(t *testing.T, r *radio) *rig {
	t.Helper()
	return newRig(t, func(g *rig) {
		g.config.Sensor = sensorConfig(t, agdKeys).Sensor
		g.config.Sensor.Model, g.config.Sensor.Serial = "AGD350", "S1"
		g.config.Camera.Slots = 96
		live, err := newSource(g.config, g.clock, g.log)
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
	synctest.Test(t, func(t *testing.T) {
		radar := &radio{agd: newAGD()}
		radar.plugged.Store(true)
		r := newSerialRig(t, radar)
		r.start(t)
		if causes := r.Gate(); len(causes) > 0 {
			t.Fatalf("gate %v", causes)
		}
		radar.look(t, passing(t, 9250), r.clock)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if len(r.outcomes) != 1 || r.outcomes[0].Record == nil {
			t.Errorf("%d passages, reasons %v", len(r.outcomes), reasons(r))
			r.stop()
			return
		}
		sealed := r.outcomes[0].Record.Record
		if m := sealed.Measurement; sealed.Kind != evidence.KindViolation || m.Speed < 9150 || m.Speed > 9250 || m.Direction != sensor.Approaching {
			t.Errorf("%v: %+v", sealed.Kind, m)
		}
		if trace := sealed.Trace; trace.Model != "AGD350" || trace.Serial != "S1" || trace.Format != "text/csv" || trace.Samples < 30 {
			t.Errorf("trace %+v", trace)
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
		radar := &radio{agd: newAGD()}
		r := newSerialRig(t, radar)
		r.start(t)
		causes := r.Gate()
		if len(causes) != 1 || causes[0].Code != "self_test" || !strings.Contains(causes[0].Words, "/dev/ttyUSB0: no such file") {
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
		if causes := r.Gate(); len(causes) != 1 || causes[0].Code != "self_test" {
			t.Errorf("unplugged: gate %v", causes)
		}
		if got := reasons(r); len(got) != 1 || !slices.Contains(got[0], sensor.ReasonLostSamples) {
			t.Errorf("unplugged in mid-passage: %v", got)
		}

		radar.plugged.Store(true)
		time.Sleep(10 * time.Second)
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
		{"another model", func(x *emulator.AGD) { x.Version = "AGD318 V9" }, "the sensor says it is an AGD318, the configuration an AGD350"},
		{"another one of that model", func(x *emulator.AGD) { x.Serial = "S2" }, "serial number is S2, the configuration's S1"},
		{"a setting that it does not take", func(x *emulator.AGD) { x.Fixed = map[string]string{"ANGLE": "22.0"} }, "22.0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				radar := &radio{agd: newAGD()}
				c.change(radar.agd)
				radar.plugged.Store(true)
				r := newSerialRig(t, radar)
				r.start(t)
				radar.look(t, passing(t, 9250), r.clock)
				causes := r.Gate()
				if len(causes) != 1 || causes[0].Code != "self_test" || !strings.Contains(causes[0].Words, c.want) {
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
	sensortest.Clock
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
	source, err := newSource(sensorConfig(t, "driver = \"csr\"\nlanes = \"1.5m..4.5m\"\nport = \""+path+"\""), clock, slog.New(slog.DiscardHandler))
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
	plug := func(road *sensortest.Road, until time.Duration) (line *pty.PTY, reports int) {
		t.Helper()
		line = newLine(t, path)
		radar := new(emulator.CSR)
		go radar.Serve(ctx, line.Master)
		for source.Fault() != nil {
			<-clock.read
		}
		cycles := road.Cycles(sensortest.CycleOptions{})
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
