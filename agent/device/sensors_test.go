package device

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"

	"ciglio/agent/config"
	"ciglio/sensor"
	"ciglio/sensor/clock"
	"ciglio/sensor/iqframe"
	"ciglio/sensor/sensortest/pty"
)

func sensorConfig(t *testing.T, keys string) *config.Config {
	t.Helper()
	c, err := config.Parse([]byte(strings.Replace(configText, `model = "M1"`, "model = \"M1\"\n"+keys, 1)), nil)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func newLine(t *testing.T, link string) *pty.PTY {
	t.Helper()
	p, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	if err := p.Link(link); err != nil {
		t.Fatal(err)
	}
	return p
}

func TestTableHoldsEveryDriver(t *testing.T) {
	want := slices.Sorted(slices.Values(config.Drivers()))
	if got := slices.Sorted(maps.Keys(drivers())); !slices.Equal(got, want) {
		t.Errorf("drivers %v, the configuration knows %v", got, want)
	}
	for name, d := range drivers() {
		if (d.readings == nil) == (d.samples == nil) {
			t.Errorf("%s gives neither readings nor samples, or both", name)
		}
		c := sensorConfig(t, "driver = \""+name+"\"")
		if d.samples == nil == c.Sensor.Samples() {
			t.Errorf("%s: the configuration has it otherwise", name)
		}
		if _, err := NewSource(c, new(clock.System), slog.New(slog.DiscardHandler)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What is measured anew from a recording has the uncertainty of the record.
func TestStepIsThatOfTheSensor(t *testing.T) {
	for name, want := range map[string]string{"agd": "10", "agdxor": "10", "isys4001": "4", "csr": "100", "ops243": "44", "ops243raw": "10"} {
		source, err := NewSource(sensorConfig(t, "driver = \""+name+"\""), new(clock.System), slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		if s := string(source.Identity().Settings); !strings.Contains(s, "track.step_ckmh "+want+"\n") {
			t.Errorf("%s: want a step of %s, settings\n%s", name, want, s)
		}
	}
}

// newLiveStream returns the stream of a configuration, and its source.
func newLiveStream(t *testing.T, keys string) (*liveStream, *LiveSource) {
	t.Helper()
	s, err := NewSource(sensorConfig(t, keys), new(clock.System), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return &liveStream{link: s.link}, s
}

func TestSamplesComeAgainAfterUnplugging(t *testing.T) {
	frame := func() []byte {
		b := iqframe.Block{Rate: 20_000, I: make([]int16, 400), Q: make([]int16, 400)}
		text, err := b.Encode(nil)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	for _, c := range []struct {
		name, keys string
		block      []byte
		missing    string
	}{
		{"raw samples", "path = ", make([]byte, 1600), "no such file or directory"},
		{"framed samples", "driver = \"iqframe\"\nbaud = 115200\nport = ", frame(), "this machine has"},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := t.TempDir() + "/radar"
			stream, source := newLiveStream(t, c.keys+"\""+path+"\"")
			if source.Fault() == nil || source.Identity().Simulated {
				t.Errorf("before the sensor was reached: fault %v, simulated %v", source.Fault(), source.Identity().Simulated)
			}
			for range 2 {
				if _, err := stream.Next(t.Context()); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), c.missing) {
					t.Fatalf("not plugged in: %v", err)
				}
			}
			for range 2 { // plugged in, unplugged, and so again
				line := newLine(t, path)
				go func() { // what comes before the port is set is lost
					for {
						if _, err := line.Master.Write(c.block); err != nil {
							return
						}
					}
				}()
				b, err := stream.Next(t.Context())
				for err == nil && len(b.I) < 400 { // the rest came later
					b, err = stream.Next(t.Context())
				}
				if err != nil || source.Fault() != nil {
					t.Fatalf("plugged in: %v, fault %v", err, source.Fault())
				}
				if !source.Identity().Simulated {
					t.Error("a program behind a pseudo-terminal passes for a sensor")
				}
				line.Hangup()
				for err == nil { // what had come already is still there
					_, err = stream.Next(t.Context())
				}
				if errors.Is(err, io.EOF) {
					t.Errorf("unplugged: %v", err)
				}
			}
		})
	}
}

func TestNamedPipeStaysOpenWhileItsWriterRests(t *testing.T) {
	path := t.TempDir() + "/pipe"
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	stream, _ := newLiveStream(t, "path = \""+path+"\"")
	write := func() {
		t.Helper()
		f, err := os.OpenFile(path, os.O_WRONLY|syscall.O_NONBLOCK, 0)
		if err != nil {
			t.Fatal(err) // nobody reads
		}
		defer f.Close()
		if _, err := f.Write(make([]byte, 1600)); err != nil {
			t.Fatal(err)
		}
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := stream.Next(ended); !errors.Is(err, context.Canceled) { // opens the pipe
		t.Fatal(err)
	}
	write()
	if b, err := stream.Next(t.Context()); err != nil || len(b.I) != 400 {
		t.Fatalf("%d samples, %v", len(b.I), err)
	}
	write()
	if b, err := stream.Next(t.Context()); err != nil || len(b.I) != 400 {
		t.Errorf("%d samples of the next writer, %v", len(b.I), err)
	}
	if !stream.link.samePipe() {
		t.Error("the pipe is taken for another")
	}
	os.Remove(path)
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if stream.link.samePipe() {
		t.Error("another pipe is taken for the same")
	}
}

// A line that ends while the sensor is set up is no recording that has ended: that
// would end the device.
func TestLineThatEndsIsAFaultAtAnyTime(t *testing.T) {
	for name, d := range drivers() {
		if d.readings == nil {
			continue // nothing is set up
		}
		source, err := NewSource(sensorConfig(t, "driver = \""+name+"\""), new(clock.System), slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		source.link.open = func() (sensor.Conn, error) {
			ours, theirs := net.Pipe()
			go func() { // it takes the first question, and is gone
				theirs.Read(make([]byte, 64))
				theirs.Close()
			}()
			return ours, nil
		}
		for range 2 {
			if _, err := source.Next(t.Context()); err == nil || errors.Is(err, io.EOF) || source.Fault() == nil {
				t.Errorf("%s: %v, fault %v", name, err, source.Fault())
			}
		}
		source.Close()
	}
}

func TestRecordingIsNoSensor(t *testing.T) {
	path := t.TempDir() + "/road.wav"
	if err := os.WriteFile(path, make([]byte, 1600), 0o600); err != nil {
		t.Fatal(err)
	}
	stream, _ := newLiveStream(t, "path = \""+path+"\"")
	if _, err := stream.Next(t.Context()); err == nil || !strings.Contains(err.Error(), "ciglio measure") {
		t.Errorf("a plain file: %v", err)
	}
}
