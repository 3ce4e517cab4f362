package session_test

import (
	"bytes"
	"context"
	"io"
	"math"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"ciglio/cross/simulate"
	"ciglio/cross/simulate/emulator"
	"ciglio/sensor"
	"ciglio/sensor/agd"
	"ciglio/sensor/csr"
	"ciglio/sensor/doppler"
	"ciglio/sensor/iqframe"
	"ciglio/sensor/isys4001"
	"ciglio/sensor/ops243"
)

// feed is a driver in operation.
type feed interface {
	sensor.Feed
	sensor.Tallied
}

// server is an emulator.
type server interface {
	Serve(ctx context.Context, conn io.ReadWriter) error
}

// A radar is a driver with the emulator of its sensor.
type radar struct {
	name    string
	every   time.Duration // from report to report
	asks    bool
	ranged  bool
	sensor  func() server
	report  func(x server, c sensor.Cycle)
	restart func(x server) // nil when its clock going back says it
	open    func(ctx context.Context, c net.Conn, clock sensor.Clock) (feed, error)
	refuses server // does not take a setting,
	refused string // and what is said of it
}

// opened keeps a driver that is nil from becoming a feed that is not.
func opened[F feed](f F, err error) (feed, error) {
	if err != nil {
		return nil, err
	}
	return f, nil
}

func radars() []radar {
	return []radar{
		{
			name: "ops243", every: 60 * time.Millisecond, asks: true,
			sensor:  func() server { return &emulator.OPS243{} },
			report:  func(x server, c sensor.Cycle) { x.(*emulator.OPS243).Report(c) },
			restart: func(x server) { x.(*emulator.OPS243).Restart() },
			open: func(ctx context.Context, c net.Conn, clock sensor.Clock) (feed, error) {
				return opened(ops243.Open(ctx, c, clock, ops243.Options{USB: true}))
			},
			refuses: &emulator.OPS243{Ignored: "S2"}, refused: "sampling_rate is 10000, want 20000",
		},
		{
			name: "isys4001", every: 75 * time.Millisecond, asks: true, ranged: true,
			sensor:  func() server { return &emulator.ISYS4001{} },
			report:  func(x server, c sensor.Cycle) { x.(*emulator.ISYS4001).Report(c) },
			restart: func(x server) { x.(*emulator.ISYS4001).Restart() },
			open: func(ctx context.Context, c net.Conn, clock sensor.Clock) (feed, error) {
				return opened(isys4001.Open(ctx, c, clock, isys4001.Options{}))
			},
			refuses: &emulator.ISYS4001{Ignored: 0x16}, refused: "filter_signal is 1, want 0",
		},
		{
			name: "agd", every: 50 * time.Millisecond, asks: true, ranged: true,
			sensor: func() server { return &emulator.AGD{} },
			report: func(x server, c sensor.Cycle) { x.(*emulator.AGD).Report(c) },
			open: func(ctx context.Context, c net.Conn, clock sensor.Clock) (feed, error) {
				return opened(agd.Open(ctx, c, clock, agd.Options{}))
			},
			refuses: &emulator.AGD{Refused: map[string]bool{"ANGLE": true}}, refused: "*ANGLE=0: the sensor answers error",
		},
		{
			name: "csr", every: 26 * time.Millisecond, asks: true,
			sensor:  func() server { return &emulator.CSR{} },
			report:  func(x server, c sensor.Cycle) { x.(*emulator.CSR).Report(c) },
			restart: func(x server) { x.(*emulator.CSR).Restart() },
			open: func(ctx context.Context, c net.Conn, clock sensor.Clock) (feed, error) {
				return opened(csr.Open(ctx, c, clock, csr.Options{}))
			},
			refuses: &emulator.CSR{Stubborn: true}, refused: "data format is 0x30, want 0x31",
		},
		{
			name: "iqframe", every: 10 * time.Millisecond,
			sensor: func() server { return samples(time.Minute) },
			report: func(server, sensor.Cycle) {},
			open: func(_ context.Context, c net.Conn, clock sensor.Clock) (feed, error) {
				s, err := iqframe.NewStream(c, iqRate, clock)
				return &blocks{s}, err
			},
		},
	}
}

const iqRate = 8000

// samples is the firmware of a sensor beside a road on which a vehicle passes
// every twelve seconds.
func samples(d time.Duration) server {
	s := simulate.Scenario{Seed: 5, Duration: d, Radar: simulate.Radar{Rate: iqRate}}
	for at := 8 * time.Second; at < d; at += 12 * time.Second {
		s.Vehicles = append(s.Vehicles, simulate.Vehicle{Speed: 7200, Direction: sensor.Approaching, Lane: 1, Passing: at})
	}
	road, err := simulate.NewRoad(s)
	if err != nil {
		panic(err)
	}
	clock := simulate.NewClock(0)
	return &emulator.IQFrame{Signal: road.Stream(clock, clock.Now()), Pairs: 80}
}

// blocks gives blocks of samples as cycles that see something.
type blocks struct{ *iqframe.Stream }

func (b *blocks) Identity() sensor.Identity { return sensor.Identity{} }

func (b *blocks) Next(ctx context.Context) (sensor.Cycle, error) {
	before := b.Tally()
	block, err := b.Stream.Next(ctx)
	return sensor.Cycle{At: block.At, Readings: make([]sensor.Reading, 1), Lost: b.Tally().Missing > before.Missing}, err
}

var _ doppler.Stream = (*iqframe.Stream)(nil)

// drive reports a vehicle that approaches at 20 m/s and passes at 3 m, from one
// place on the road to another. The radar's clock begins with start.
func (r *radar) drive(ctx context.Context, x server, start time.Duration, from, to float64) {
	begun := time.Now()
	for ctx.Err() == nil {
		passed := time.Since(begun)
		at := from - 20*passed.Seconds()
		if at < to {
			return
		}
		length := math.Hypot(at, 3)
		reading := sensor.Reading{Target: 4, Speed: sensor.SpeedFromMPS(20 * at / length), Direction: sensor.Approaching, Level: 700}
		if r.ranged {
			reading.Range, reading.Angle = int32(1000*length), int32(-100*math.Asin(3/length)*180/math.Pi)
		}
		r.report(x, sensor.Cycle{At: sensor.Mono(start + passed), Readings: []sensor.Reading{reading}})
		select {
		case <-ctx.Done():
		case <-time.After(r.every):
		}
	}
}

// driving does so until the test ends.
func (r *radar) driving(t *testing.T, x server) {
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		r.drive(ctx, x, time.Hour, 80, 2)
	}()
	t.Cleanup(func() {
		cancel()
		<-ended
	})
}

// A wire joins a driver and a sensor, and does something to what it carries.
type wire struct {
	echo bool

	mu     sync.Mutex
	toHost func([]byte) []byte
}

// swap changes what the wire does to what comes from the sensor.
func (w *wire) swap(f func([]byte) []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.toHost = f
}

// join returns the two ends. They are closed together, when the test ends at the
// latest.
func (w *wire) join(t *testing.T) (host, device net.Conn) {
	host, near := net.Pipe()
	device, far := net.Pipe()
	queue, commands := make(chan []byte, 1<<16), make(chan []byte, 1<<10)
	var running sync.WaitGroup
	closeAll := func() {
		for _, c := range []net.Conn{near, device, far} { // the host sees the other end go
			c.Close()
		}
	}
	copies := func(from net.Conn, to func([]byte) bool) {
		defer closeAll()
		b := make([]byte, 1<<16)
		for {
			n, err := from.Read(b)
			if err != nil || !to(b[:n]) {
				return
			}
		}
	}
	running.Go(func() {
		copies(near, func(b []byte) bool {
			if w.echo {
				queue <- bytes.Clone(b)
			}
			commands <- bytes.Clone(b)
			return true
		})
	})
	running.Go(func() {
		copies(far, func(b []byte) bool {
			b = bytes.Clone(b)
			w.mu.Lock()
			if w.toHost != nil {
				b = w.toHost(b)
			}
			w.mu.Unlock()
			queue <- b
			return true
		})
	})
	var writing sync.WaitGroup
	writing.Go(func() { write(near, queue) })
	writing.Go(func() { write(far, commands) }) // a sensor may read nothing
	t.Cleanup(func() {
		closeAll()
		host.Close()
		running.Wait()
		close(queue)
		close(commands)
		writing.Wait()
	})
	return host, device
}

func write(c net.Conn, queue <-chan []byte) {
	for b := range queue {
		if len(b) > 0 {
			c.Write(b)
		}
	}
}

// garble is what a line of another speed makes of bytes.
func garble(b []byte) []byte {
	out := make([]byte, len(b))
	for k, v := range b {
		out[k] = 0x80 | v&0x3f
	}
	return out
}

// says fails unless an error names the driver and says one of some words.
func says(t *testing.T, r *radar, err error, words ...string) {
	t.Helper()
	if err == nil || !strings.HasPrefix(err.Error(), r.name+": ") {
		t.Fatalf("%v, want an error of %s", err, r.name)
	}
	if strings.Count(err.Error(), r.name+": ") != 1 {
		t.Errorf("%v names the driver twice", err)
	}
	for _, w := range words {
		if strings.Contains(err.Error(), w) {
			return
		}
	}
	t.Errorf("%v, want one that says %q", err, words)
}
