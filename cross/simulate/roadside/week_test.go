package roadside

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"ciglio/capture"
	"ciglio/capture/evidence"
	"ciglio/cross/simulate"
	"ciglio/cross/simulate/simcam"
	"ciglio/portal"
	"ciglio/portal/broker"
	"ciglio/portal/intake"
	"ciglio/portal/keys"
	"ciglio/portal/log/sequencer"
	"ciglio/portal/portaltest"
	stored "ciglio/portal/record"
	"ciglio/portal/register"
	"ciglio/sensor"
	"ciglio/sensor/doppler"
	"ciglio/uplink/mqtt"
)

// TestOutageOfAWeek runs a device from radar samples to receipts, in fake time,
// with a network that is away for a week while vehicles go on passing.
func TestOutageOfAWeek(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		network := newPipeNetwork()
		centre := startCentre(t, filepath.Join(dir, "portal"), network)

		clock := simulate.NewClock(sensor.Mono(time.Hour))
		id := evidence.DeviceID{1, 2, 3}
		c := settings(id, filepath.Join(dir, "device"))
		c.Camera.Slots, c.Camera.Slot = 200, 16<<10
		const day = 24 * time.Hour
		bursts := newBursts(t, clock, c.Site.Limit,
			10*time.Second,    // with the network
			day, 4*day, 7*day, // without
			7*day+2*time.Hour) // with it again
		radar, err := newRadar(bursts, c)
		if err != nil {
			t.Fatal(err)
		}
		dialer, err := mqtt.New(mqtt.Options{Open: network.Dial})
		if err != nil {
			t.Fatal(err)
		}
		side, err := newRoadside(filepath.Join(dir, "portal"), c, parts{
			clock: clock, source: endless{radar}, camera: &burstCamera{bursts: bursts, clock: clock, pictures: simcam.Noise(17, 64, 48)},
			dialer: dialer, log: slog.New(slog.DiscardHandler), say: t.Logf,
		})
		if err != nil {
			t.Fatal(err)
		}
		defer side.outbox.Close()
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 2)
		go func() { done <- side.device.Run(ctx) }()
		go func() { done <- side.tracker.run(ctx) }()

		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if n := side.outbox.Stats().Unsettled; n != 0 {
			t.Errorf("before the outage %d records wait", n)
		}
		first := len(side.tracker.records())
		network.cut()
		time.Sleep(7*day + time.Hour)
		synctest.Wait()
		away := len(side.tracker.records())
		if n := side.outbox.Stats().Unsettled; away <= first || n < uint64(away-first) {
			t.Errorf("after a week without network %d records wait, with %d violations among them", n, away-first)
		}
		network.mend()
		time.Sleep(3 * time.Hour)
		synctest.Wait()
		if n := side.outbox.Stats().Unsettled; n != 0 {
			t.Errorf("after the outage %d records wait", n)
		}
		for i, origin := range bursts.origins {
			all, _ := side.tracker.result(origin)
			length := bursts.roads[i].Duration()
			var own []recorded
			for _, r := range all {
				if r.End > 0 && r.Start < length {
					own = append(own, r)
				}
			}
			a := compare(bursts.roads[i].Truth(), c.Site.Limit, own)
			if a.Expected == 0 || a.Matched != a.Expected || len(a.Faults) > 0 {
				t.Errorf("burst %d: %+v", i, a)
			}
		}
		cancel()
		for range 2 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		stats := centre.stop()
		t.Logf("%d violations in %d bursts; the centre: %+v", len(side.tracker.records()), len(bursts.roads), stats)
		if stats.Measured.Settled != uint64(len(side.tracker.records())) {
			t.Errorf("the centre settled %d records, the device recorded %d", stats.Measured.Settled, len(side.tracker.records()))
		}
	})
}

// A testCentre is the centre without its pages, on a network of pipes.
type testCentre struct{ stop func() intake.Stats }

func startCentre(t *testing.T, dir string, network *pipeNetwork) *testCentre {
	t.Helper()
	if _, err := portal.Init(dir); err != nil {
		t.Fatal(err)
	}
	signer, err := keys.Load(filepath.Join(dir, "centre.key"))
	if err != nil {
		t.Fatal(err)
	}
	reg, err := register.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	st, err := stored.OpenFolder(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	b, err := broker.New(broker.Options{Listener: network, Shard: "0", Known: func(evidence.DeviceID) bool { return true }})
	if err != nil {
		t.Fatal(err)
	}
	dialer, err := mqtt.New(mqtt.Options{Open: b.Dial})
	if err != nil {
		t.Fatal(err)
	}
	in, err := intake.New(t.Context(), intake.Options{
		Store: st, Lease: portaltest.Lease(t, st), Spool: t.TempDir(), Register: reg, Signer: signer, Dialer: dialer, ClientID: "centre", Shard: "0",
	})
	if err != nil {
		t.Fatal(err)
	}
	numbers, numbered := portaltest.Number(sequencer.Options{Store: st, Register: reg, Signer: signer})
	brokerCtx, stopBroker := context.WithCancel(context.Background())
	intakeCtx, stopIntake := context.WithCancel(context.Background())
	brokerDone, intakeDone := make(chan error, 1), make(chan error, 1)
	go func() { brokerDone <- b.Run(brokerCtx) }()
	go func() { intakeDone <- in.Run(intakeCtx) }()
	return &testCentre{stop: func() intake.Stats {
		stopIntake()
		err := <-intakeDone
		stopBroker()
		numbered()
		if err := errors.Join(err, <-brokerDone, st.Close()); err != nil {
			t.Error(err)
		}
		return in.Stats().With(numbers.Stats())
	}}
}

// A pipeNetwork carries connections within the process. While it is cut, none
// can be opened and those open are closed.
type pipeNetwork struct {
	calls chan net.Conn
	ended chan struct{}
	once  sync.Once
	away  atomic.Bool

	mu   sync.Mutex
	open []net.Conn
}

func newPipeNetwork() *pipeNetwork {
	return &pipeNetwork{calls: make(chan net.Conn), ended: make(chan struct{})}
}

func (n *pipeNetwork) Dial(ctx context.Context) (net.Conn, error) {
	if n.away.Load() {
		return nil, errors.New("network is away")
	}
	near, far := net.Pipe()
	select {
	case n.calls <- far:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.open = append(n.open, near)
	return near, nil
}

func (n *pipeNetwork) cut() {
	n.away.Store(true)
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, c := range n.open {
		c.Close()
	}
	n.open = nil
}

func (n *pipeNetwork) mend() { n.away.Store(false) }

// Accept, Close and Addr make it a net.Listener.
func (n *pipeNetwork) Accept() (net.Conn, error) {
	select {
	case c := <-n.calls:
		return c, nil
	case <-n.ended:
		return nil, net.ErrClosed
	}
}

func (n *pipeNetwork) Close() error {
	n.once.Do(func() { close(n.ended) })
	return nil
}

func (n *pipeNetwork) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "unix"} }

// bursts are stretches of traffic with long silence between them.
type bursts struct {
	roads   []*simulate.Road
	origins []sensor.Mono
	clock   sensor.Clock
	current *simulate.Stream
	next    int
	index   uint64 // of the first sample of the current stretch
	end     uint64
}

const burstLength = 20 * time.Second

func newBursts(t *testing.T, clock sensor.Clock, limit sensor.Speed, after ...time.Duration) *bursts {
	t.Helper()
	b := &bursts{clock: clock}
	start := clock.Now()
	for i, a := range after {
		road, err := simulate.NewRoad(simulate.Traffic(uint64(i+1), limit, burstLength))
		if err != nil {
			t.Fatal(err)
		}
		b.roads = append(b.roads, road)
		b.origins = append(b.origins, start.Add(a))
	}
	return b
}

func (b *bursts) Format() doppler.Format {
	return doppler.Format{Rate: b.roads[0].Radar().Rate, Complex: true}
}

// Next gives the samples of each stretch in its time. The numbers of the samples
// show the silence between them as a gap.
func (b *bursts) Next(ctx context.Context) (doppler.Block, error) {
	for {
		if b.current == nil {
			if b.next == len(b.roads) {
				return doppler.Block{}, io.EOF
			}
			b.current = b.roads[b.next].Stream(b.clock, b.origins[b.next])
			b.next++
			b.index = b.end + 1_000_000
		}
		block, err := b.current.Next(ctx)
		if errors.Is(err, io.EOF) {
			b.current = nil
			continue
		}
		block.Index += b.index
		b.end = block.Index + uint64(len(block.I))
		return block, err
	}
}

// A burstCamera gives 12.5 small pictures a second while vehicles pass and ten
// otherwise.
type burstCamera struct {
	bursts   *bursts
	clock    sensor.Clock
	pictures [][]byte // in turn
	number   uint64
}

func (c *burstCamera) Info() capture.Info { return capture.Info{Model: "small pictures", Test: true} }

func (c *burstCamera) Next(ctx context.Context) (capture.Frame, error) {
	wait := 100 * time.Millisecond
	for _, origin := range c.bursts.origins {
		if since := c.clock.Now().Sub(origin); since > -2*time.Second && since < burstLength+5*time.Second {
			wait = 80 * time.Millisecond
		}
	}
	select {
	case <-ctx.Done():
		return capture.Frame{}, ctx.Err()
	case <-time.After(wait):
	}
	c.number++
	return capture.Frame{
		Number: c.number, At: c.clock.Now(), Exposure: time.Millisecond, MediaType: "image/jpeg",
		Data: c.pictures[c.number%uint64(len(c.pictures))],
	}, nil
}
