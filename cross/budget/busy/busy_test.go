//go:build linux

package busy_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/pem"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"ciglio/agent"
	"ciglio/agent/config"
	"ciglio/agent/device"
	"ciglio/capture"
	"ciglio/capture/evidence"
	"ciglio/capture/key"
	"ciglio/cross/board/guest"
	"ciglio/cross/simulate/simcam"
	"ciglio/sensor"
	"ciglio/sensor/clock"
	"ciglio/uplink/mqtt"
	"ciglio/uplink/outbox"
)

var (
	every   = flag.Duration("every", 100*time.Millisecond, "a violation each")
	records = flag.Int("records", 100, "how many")
)

// TestDevice runs the device with one offender after the other. It is the whole
// way of a record but for the drivers of sensor and camera: pictures and traces
// of the usual size, seals, the store on flash, the sender to a centre outside.
// The configuration and what the device needs are in the shared folder.
func TestDevice(t *testing.T) {
	if _, err := os.Stat(guest.PlanFile); err != nil {
		t.Skip("runs on an emulated board only: the test of cross/budget carries it there")
	}
	read := func(name string) []byte {
		b, err := os.ReadFile(filepath.Join(guest.Share, name))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	c, err := config.Parse(read("ciglio.toml"), nil)
	if err != nil {
		t.Fatal(err)
	}
	id, err := evidence.ParseDeviceID(c.Device.ID)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := key.LoadFile(c.Device.Key)
	if err != nil {
		t.Fatal(err)
	}
	certificate, _ := pem.Decode(read("device.crt"))
	trust, err := evidence.ParseTrust(read("trust.pem"))
	if err != nil {
		t.Fatal(err)
	}
	software, err := agent.Software()
	if err != nil {
		t.Fatal(err)
	}
	system := new(clock.System)
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	store, err := outbox.Open(filepath.Join(c.Device.Dir, "busy"), outbox.Options{
		Device: id, Epoch: uint64(c.Device.Epoch), Quota: int64(c.Outbox.Quota), Reserve: int64(c.Outbox.Reserve), Log: log,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	dialer, err := mqtt.New(mqtt.Options{Broker: c.Uplink.Broker})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	made := 0
	var began time.Time
	d, err := device.New(device.Options{
		Config: c, Calibration: read("calibration.toml"), Certificate: sha256.Sum256(certificate.Bytes), Signer: signer, Software: software, Clock: system,
		Source: &rush{clock: system, next: time.Now()}, Camera: &camera{clock: system, pictures: simcam.Noise(17, 480, 360)},
		Outbox: store, Dialer: dialer, Trust: trust, Boot: [16]byte{1}, Log: log,
		Observe: func(o device.Outcome) {
			if o.Record == nil {
				return
			}
			if made++; made == 1 {
				began = time.Now()
			}
			if made == *records {
				fmt.Printf("busy: %.2f records a second\n", float64(made-1)/time.Since(began).Seconds())
				cancel()
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Run(ctx); err != nil {
		t.Fatal(err)
	}
	fmt.Printf("busy: %d unsettled\n", store.Stats().Unsettled)
	for counted, n := range d.Counts().Discarded {
		fmt.Printf("busy: %d discarded: %v\n", n, counted.Code())
	}
}

// rush is a sensor past which an offender drives every so often.
type rush struct {
	clock sensor.Clock
	next  time.Time
}

func (*rush) Identity() sensor.Identity {
	return sensor.Identity{Model: "rush", Serial: "S1", Settings: []byte("none"), Simulated: true}
}

func (r *rush) Next(ctx context.Context) (sensor.Passage, error) {
	if r.next = r.next.Add(*every); time.Until(r.next) < -time.Second {
		r.next = time.Now() // the board is too slow: the rate that is told shows it
	}
	select {
	case <-ctx.Done():
		return sensor.Passage{}, ctx.Err()
	case <-time.After(time.Until(r.next)):
	}
	const length = 120_000 // bytes: 1.5 s of signal
	end := r.clock.Now()
	start := end.Add(-time.Second)
	return sensor.Passage{
		Start: start, End: end, Speed: 140 * sensor.KmH, Direction: sensor.Approaching, Readings: 30, Budget: sensor.Budget{Noise: 3},
		Trace: sensor.Trace{Format: "audio/wav", Data: bytes.Repeat([]byte("trace "), length/6), Samples: 1, First: start, Last: end},
	}, nil
}

// camera gives ten pictures a second, each in memory of its own as from a network.
type camera struct {
	clock    sensor.Clock
	pictures [][]byte // of the size that those of a road have
	number   uint64
}

func (*camera) Info() capture.Info { return capture.Info{Model: "noise", Test: true} }

func (c *camera) Next(ctx context.Context) (capture.Frame, error) {
	select {
	case <-ctx.Done():
		return capture.Frame{}, ctx.Err()
	case <-time.After(100 * time.Millisecond):
	}
	c.number++
	return capture.Frame{Number: c.number, At: c.clock.Now(), MediaType: "image/jpeg", Data: bytes.Clone(c.pictures[c.number%uint64(len(c.pictures))])}, nil
}
