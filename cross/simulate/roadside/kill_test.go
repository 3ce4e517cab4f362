package roadside

import (
	"bufio"
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"ciglio/agent/device"
	"ciglio/capture"
	"ciglio/capture/evidence"
	"ciglio/cross/simulate"
	"ciglio/cross/simulate/simcam"
	"ciglio/portal"
	stored "ciglio/portal/record"
	"ciglio/sensor"
	"ciglio/uplink"
	"ciglio/uplink/mqtt"
	"ciglio/uplink/outbox"
)

// The environment of a process that plays the device to be killed.
const (
	envDevice = "CIGLIO_TEST_DEVICE" // folder of device and centre
	envBroker = "CIGLIO_TEST_BROKER"
	envDrain  = "CIGLIO_TEST_DRAIN" // measure nothing, end when everything is settled
)

func TestMain(m *testing.M) {
	play, what := playDevice, os.Getenv(envDevice)
	if os.Getenv(envWitness) != "" {
		play = playBoard
	}
	if file := os.Getenv(envAudit); file != "" {
		play, what = auditBoard, file
	}
	if what == "" {
		os.Exit(m.Run())
	}
	if err := play(what); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

var killedDevice = evidence.DeviceID{9, 9, 9}

// playDevice runs a device with much traffic, and prints the id of each record
// once it has been accepted.
func playDevice(dir string) error {
	dialer, err := mqtt.New(mqtt.Options{Broker: "tcp://" + os.Getenv(envBroker)})
	if err != nil {
		return err
	}
	drain := os.Getenv(envDrain) != ""
	side, err := newRushed(dir, drain, parts{
		dialer: dialer,
		observe: func(o device.Outcome) {
			if o.Record != nil {
				fmt.Printf("accepted %v\n", o.Record.ID)
			}
		},
	})
	if err != nil {
		return err
	}
	defer side.outbox.Close()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if drain {
		go drained(side.outbox, cancel)
	}
	return side.device.Run(ctx)
}

// newRushed makes a device with much traffic, or none, in the folder that also
// holds its centre.
func newRushed(dir string, none bool, p parts) (*roadside, error) {
	clock := simulate.NewClock(sensor.Mono(time.Hour))
	c := settings(killedDevice, filepath.Join(dir, "device"))
	c.Sensor.Maximum, c.Sensor.Rate = 130*sensor.KmH, 40e3 // a busy machine gives fewer pictures than 300 km/h need
	c.Outbox.Reserve = 4 << 20                             // a board's disk is small
	p.clock, p.source, p.camera = clock, &rush{clock: clock, none: none}, &steadyCamera{clock: clock, pictures: simcam.Noise(17, 480, 360)}
	p.log = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError}))
	p.say = func(string, ...any) {}
	return newRoadside(filepath.Join(dir, "portal"), c, p)
}

// drained calls then when everything in the store is settled.
func drained(store *outbox.Outbox, then func()) {
	for {
		changed := store.Changed()
		if store.Stats().Unsettled == 0 {
			break
		}
		<-changed
	}
	then()
}

// TestKilledDeviceLosesNothing kills a device that measures and sends, twenty
// times at random moments. Every record it has accepted must be at the centre
// exactly once, or still in the outbox, and the chain must be whole.
func TestKilledDeviceLosesNothing(t *testing.T) {
	const kills = 20
	dir := t.TempDir()
	centreDir := filepath.Join(dir, "portal")
	if _, err := portal.Init(centreDir); err != nil {
		t.Fatal(err)
	}
	centre, stop := runCentre(t, centreDir)
	broker := centre.MQTTAddr()

	random := rand.New(rand.NewPCG(20, 26))
	accepted := map[evidence.Hash]bool{}
	for kill := range kills {
		killAfter(t, dir, broker, 1+random.IntN(20), time.Duration(random.IntN(20_000))*time.Microsecond, accepted)
		if kill == kills/2 {
			auditOutbox(t, dir, accepted)
		}
	}
	drainDevice(t, dir, broker)
	stop()
	if len(accepted) < kills {
		t.Errorf("%d records in %d runs: too few to show anything", len(accepted), kills)
	}
	t.Logf("%d kills, %d accepted records", kills, len(accepted))
	auditCentre(t, centreDir, accepted)
}

// runCentre runs the centre in dir until stop is called, or the test ends.
func runCentre(t *testing.T, dir string) (centre *portal.Portal, stop func()) {
	t.Helper()
	centre, err := portal.New(t.Context(), portal.Options{Dir: dir, Listen: "127.0.0.1:0", MQTT: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- centre.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := errors.Join(<-done, centre.Close()); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return centre, stop
}

// program returns the process that plays the device.
func program(t *testing.T, dir, broker string, env ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), append(env, envDevice+"="+dir, envBroker+"="+broker)...)
	cmd.Stderr = os.Stderr
	return cmd
}

// killAfter starts the device, and kills it a moment after it has accepted n
// records. What it accepted is added to accepted, however late it was printed.
func killAfter(t *testing.T, dir, broker string, n int, moment time.Duration, accepted map[evidence.Hash]bool) {
	t.Helper()
	cmd := program(t, dir, broker)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := 0
	for s := bufio.NewScanner(out); s.Scan(); {
		text, ok := strings.CutPrefix(s.Text(), "accepted ")
		if !ok || len(text) != 64 {
			continue // the line that was being printed when it was killed
		}
		id, err := hex.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		accepted[evidence.Hash(id)] = true
		if lines++; lines == n {
			time.AfterFunc(moment, func() { cmd.Process.Kill() })
		}
	}
	cmd.Wait() // it was killed: that is no news
	if lines < n {
		t.Fatalf("the device ended by itself after %d records", lines)
	}
}

// drainDevice runs the device without traffic until everything is settled.
func drainDevice(t *testing.T, dir, broker string) {
	t.Helper()
	if out, err := program(t, dir, broker, envDrain+"=1").Output(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

// auditOutbox looks into the store of a killed device, which retention has not
// touched: all it has accepted must be there.
func auditOutbox(t *testing.T, dir string, accepted map[evidence.Hash]bool) {
	t.Helper()
	view, err := outbox.OpenView(filepath.Join(dir, "device", "outbox"), killedDevice)
	if err != nil {
		t.Fatal(err)
	}
	defer view.Close()
	inOutbox := map[evidence.Hash]bool{}
	for i, err := range view.All(uplink.Key{}) {
		if err != nil {
			t.Fatal(err)
		}
		inOutbox[i.ID] = true
	}
	for id := range accepted {
		if !inOutbox[id] {
			t.Errorf("record %v was accepted and is not in the outbox", id)
		}
	}
}

// auditCentre finds every accepted record at the centre, whole, settled and
// once, in a chain without a break.
func auditCentre(t *testing.T, dir string, accepted map[evidence.Hash]bool) {
	t.Helper()
	st, err := stored.OpenFolder(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	var chain []*evidence.Sealed
	passages := map[sensor.Mono]evidence.Hash{}
	for seq := uint64(1); ; seq++ {
		id, err := st.RecordAt(t.Context(), killedDevice, 1, seq)
		if err != nil {
			break
		}
		r, err := st.Record(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		sealed, err := evidence.Open(r.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		chain = append(chain, sealed)
		if m := sealed.Record.Measurement; m != nil {
			if other, twice := passages[m.Start]; twice && sealed.Record.Boot == chain[len(chain)-2].Record.Boot {
				t.Errorf("passage %v is in records %v and %v", m.Start, other, id)
			}
			passages[m.Start] = id
			for _, f := range sealed.Record.Frames {
				if _, err := st.Blob(t.Context(), f.SHA256); err != nil {
					t.Errorf("record %d: frame: %v", seq, err)
				}
			}
		}
		delete(accepted, id)
	}
	if len(accepted) > 0 {
		t.Errorf("%d accepted records are not at the centre", len(accepted))
	}
	if breaks := evidence.VerifyChain(chain); len(breaks) > 0 {
		t.Errorf("chain: %v", breaks)
	}
}

// rush is a sensor with one offender after the other.
type rush struct {
	clock sensor.Clock
	none  bool
}

func (*rush) Identity() sensor.Identity {
	return sensor.Identity{Model: "rush", Serial: serial, Settings: []byte("none"), Simulated: true}
}

func (r *rush) Next(ctx context.Context) (sensor.Passage, error) {
	if r.none {
		<-ctx.Done()
		return sensor.Passage{}, ctx.Err()
	}
	select {
	case <-ctx.Done():
		return sensor.Passage{}, ctx.Err()
	case <-time.After(5 * time.Millisecond):
	}
	end := r.clock.Now()
	return sensor.Passage{
		Start: end.Add(-time.Second), End: end, Speed: 120 * sensor.KmH, Direction: sensor.Approaching, Readings: 30,
		Budget: sensor.Budget{Noise: 3},
		Trace:  sensor.Trace{Format: "audio/wav", Data: bytes.Repeat([]byte("trace "), 20_000), Samples: 1, First: end.Add(-time.Second), Last: end},
	}, nil
}

// steadyCamera gives 12.5 pictures a second.
type steadyCamera struct {
	clock    sensor.Clock
	pictures [][]byte // in turn; of several chunks, or small
	number   uint64
}

func (*steadyCamera) Info() capture.Info { return capture.Info{Model: "steady", Test: true} }

func (c *steadyCamera) Next(ctx context.Context) (capture.Frame, error) {
	select {
	case <-ctx.Done():
		return capture.Frame{}, ctx.Err()
	case <-time.After(80 * time.Millisecond):
	}
	c.number++
	return capture.Frame{Number: c.number, At: c.clock.Now(), MediaType: "image/jpeg", Data: c.pictures[c.number%uint64(len(c.pictures))]}, nil
}
