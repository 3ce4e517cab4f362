// Package roadside is a device on a simulated road, with its centre, in one
// process: the demonstration, and the bench on which the whole is tested for
// weeks, with kills and with power cuts. All but the road is what is delivered.
//
// What it seals are tests, signed by keys made for that run.
package roadside

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"ciglio/agent"
	"ciglio/agent/config"
	"ciglio/agent/device"
	"ciglio/capture"
	"ciglio/capture/evidence"
	"ciglio/capture/key"
	"ciglio/cross/simulate"
	"ciglio/cross/simulate/simcam"
	"ciglio/cross/statement"
	"ciglio/portal"
	"ciglio/sensor"
	"ciglio/sensor/doppler"
	"ciglio/uplink"
	"ciglio/uplink/mqtt"
	"ciglio/uplink/outbox"
	"ciglio/uplink/wire"
)

const (
	// lead is how long the camera and the broker have before the road starts.
	lead = 500 * time.Millisecond
	// patience is how long the last receipts may take after the road's end.
	patience = 15 * time.Second
)

// readerName is that of programs that look at what the broker carries.
const readerName = "reader"

// Options of a demonstration. Seed may be 0, Keep empty.
type Options struct {
	Duration time.Duration // of the road
	Seed     uint64        // which road
	Listen   string        // address of the pages; another port is taken when it is in use
	Keep     string        // folder for bundles and trust file; empty for none
	Log      *slog.Logger
	Say      func(format string, args ...any) // a line for a person

	password string // of readers, drawn
}

// Demonstrate runs the roadside until the road is over and everything is
// settled, or until ctx ends, which gives an error.
func Demonstrate(ctx context.Context, o Options) (*Report, error) {
	if o.Keep != "" {
		if err := checkKeep(o.Keep); err != nil {
			return nil, err
		}
	}
	dir, err := os.MkdirTemp("", "ciglio-demo-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)

	o.password = rand.Text()
	centre, err := openCentre(ctx, filepath.Join(dir, "portal"), o)
	if err != nil {
		return nil, err
	}
	defer centre.Close()
	clock := &roadClock{base: sensor.Mono(time.Hour)}
	origin := clock.base.Add(lead)
	side, road, err := simulated(dir, centre.MQTTAddr(), clock, origin, o)
	if err != nil {
		return nil, err
	}
	defer side.outbox.Close()

	clock.start()
	// The device ends before the centre, which takes what is under way.
	var running sync.WaitGroup
	errs := make(chan error, 3)
	start := func(ctx context.Context, part func(context.Context) error) context.CancelFunc {
		ctx, stop := context.WithCancel(ctx)
		running.Go(func() { errs <- part(ctx) })
		return stop
	}
	stopCentre := start(context.WithoutCancel(ctx), centre.Run)
	stopDevice := start(context.WithoutCancel(ctx), side.device.Run)
	stopTracker := start(context.WithoutCancel(ctx), side.tracker.run)
	defer func() {
		stopDevice()
		stopTracker()
		stopCentre()
		running.Wait()
	}()

	o.Say("A simulated road, limit %v. Everything below is a test: no real vehicle, keys of this run.", side.config.Site.Limit)
	o.Say("Open http://%s/ in a browser. Ctrl-C ends it.", centre.Addr())
	o.Say("What anybody may read, on a host of its own: http://%s/", centre.CitizensAddr())
	host, port, _ := net.SplitHostPort(centre.ReadersAddr())
	o.Say("For programs of yours: broker tcp://%s, user %s, password %s; reads all, writes nothing; docs/mqtt.md says what.", centre.ReadersAddr(), readerName, o.password)
	o.Say("  mosquitto_sub -h %s -p %s -u %s -P %s -t '%s/+/+/state' -v", host, port, readerName, o.password, wire.Root)
	o.Say("The log: http://%s/log/checkpoint, cosigned by two witnesses of this run; docs/log.md says how to follow it.", centre.Addr())
	o.Say("")

	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case err := <-errs:
		return nil, fmt.Errorf("a part ended early: %w", err)
	case <-time.After(lead + o.Duration):
	}
	settled, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	side.tracker.wait(settled)

	bundles, err := fetchBundles(ctx, centre.Addr(), side.tracker.records())
	if err != nil {
		return nil, err
	}
	trust, err := os.ReadFile(portal.TrustFile(filepath.Join(dir, "portal")))
	if err != nil {
		return nil, err
	}
	if o.Keep != "" {
		if err := keep(o.Keep, bundles, trust); err != nil {
			return nil, err
		}
	}
	return side.report(road, origin, bundles, trust, centre.Stats().Measured.Verified)
}

// openCentre makes a centre with keys of its own. Its pages take another port
// when the one asked for is in use.
func openCentre(ctx context.Context, dir string, o Options) (*portal.Portal, error) {
	if _, err := portal.Init(dir); err != nil {
		return nil, err
	}
	policy, err := openWitnesses(ctx, dir)
	if err != nil {
		return nil, err
	}
	options := portal.Options{Dir: dir, Listen: o.Listen, Citizens: "127.0.0.1:0", MQTT: "127.0.0.1:0", Log: o.Log, Witnesses: policy,
		Readers: "127.0.0.1:0", ReaderName: readerName, ReaderPassword: o.password}
	centre, err := portal.New(ctx, options)
	if errors.Is(err, syscall.EADDRINUSE) {
		host, _, _ := net.SplitHostPort(o.Listen)
		options.Listen = net.JoinHostPort(host, "0")
		centre, err = portal.New(ctx, options)
	}
	return centre, err
}

// simulated builds a road and the device beside it.
func simulated(dir, broker string, clock sensor.Clock, origin sensor.Mono, o Options) (*roadside, *simulate.Road, error) {
	var id evidence.DeviceID
	rand.Read(id[:])
	c := settings(id, filepath.Join(dir, "device"))
	c.Uplink.Broker = "tcp://" + broker
	// Faster than anyone on this road who is alone. The self-test wants two pictures
	// of each vehicle up to it: a busy machine may then lose every second one.
	c.Sensor.Maximum = 130 * sensor.KmH
	road, err := simulate.NewRoad(simulate.Traffic(o.Seed, c.Site.Limit, o.Duration))
	if err != nil {
		return nil, nil, err
	}
	source, err := newRadar(road.Stream(clock, origin), c)
	if err != nil {
		return nil, nil, err
	}
	dialer, err := mqtt.New(mqtt.Options{Broker: c.Uplink.Broker})
	if err != nil {
		return nil, nil, err
	}
	side, err := newRoadside(filepath.Join(dir, "portal"), c, parts{
		clock: clock, source: endless{source}, camera: simcam.New(road, clock, origin),
		dialer: dialer, log: o.Log, say: o.Say,
	})
	return side, road, err
}

// newRadar returns the device's sensor on a simulated signal.
func newRadar(stream doppler.Stream, c *config.Config) (*doppler.Source, error) {
	return doppler.NewSource(stream, doppler.Options{
		Carrier: int64(c.Sensor.Carrier), PhotoRange: int32(c.Site.PhotoRange), KeepTrace: true, Model: c.Sensor.Model, Serial: c.Sensor.Serial, Simulated: true,
	})
}

// serial is that of the simulated radar, on its calibration.
const serial = "SIM-0001"

// settings returns the configuration of a simulated device that keeps its state
// in dir.
func settings(id evidence.DeviceID, dir string) *config.Config {
	c := config.Default()
	c.Device.ID, c.Device.Dir, c.Device.Key = id.String(), dir, filepath.Join(dir, "evidence.key")
	c.Site.ID, c.Site.Road, c.Site.Position = "DEMO-1", "SP 14 (simulated)", 12_400_000
	c.Site.Latitude, c.Site.Longitude, c.Site.Heading = 446_949_000, 112_426_000, 90
	c.Site.Limit, c.Site.Direction = 70*sensor.KmH, sensor.DirectionUnknown
	c.Sensor.Model, c.Sensor.Serial = "simulated radar 24.125 GHz", serial
	c.Camera.Slot = 512 << 10
	return c
}

// parts is what a roadside is made of that differs between the demonstration
// and the tests.
type parts struct {
	clock  sensor.Clock
	source sensor.Source
	camera capture.Camera
	dialer uplink.Dialer
	log    *slog.Logger
	say    func(format string, args ...any)
	// observe is told of each passage, beside the tracker; nil for nobody.
	observe func(device.Outcome)
	// Of the outbox: the size of its segments, 0 for the usual one, and how long
	// it keeps what is settled.
	segment   int
	retention time.Duration
}

// A roadside is a device that is enrolled at a centre.
type roadside struct {
	config  *config.Config
	outbox  *outbox.Outbox
	device  *device.Device
	tracker *tracker
}

// newRoadside makes a device with its state in the folder that c names, or opens
// it again, and enrols it at the centre in centreDir when it is new there.
func newRoadside(centreDir string, c *config.Config, p parts) (*roadside, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	id, err := evidence.ParseDeviceID(c.Device.ID)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(c.Device.Dir, 0o700); err != nil {
		return nil, err
	}
	signer, certificate, err := enrol(centreDir, c.Device.Key, id)
	if err != nil {
		return nil, err
	}
	trustText, err := os.ReadFile(portal.TrustFile(centreDir))
	if err != nil {
		return nil, err
	}
	trust, err := evidence.ParseTrust(trustText)
	if err != nil {
		return nil, err
	}
	software, err := agent.Software()
	if err != nil {
		return nil, err
	}
	side := &roadside{config: c}
	if side.outbox, err = outbox.Open(filepath.Join(c.Device.Dir, "outbox"), outbox.Options{
		Device: id, Quota: int64(c.Outbox.Quota), Reserve: int64(c.Outbox.Reserve), Log: p.log,
		SegmentSize: p.segment, Retention: p.retention,
	}); err != nil {
		return nil, err
	}
	var boot [16]byte
	rand.Read(boot[:])
	side.tracker = newTracker(side.outbox, p.clock, p.say)
	observe := func(o device.Outcome) {
		side.tracker.observe(o)
		if p.observe != nil {
			p.observe(o)
		}
	}
	side.device, err = device.New(device.Options{
		Config: c, Calibration: calibrationOf(time.Now(), software.Core), Certificate: sha256.Sum256(certificate),
		Signer: signer, Software: software, Clock: p.clock, Source: p.source, Camera: p.camera,
		Outbox: side.outbox, Dialer: p.dialer, Trust: trust, Boot: boot, Log: p.log, Observe: observe,
	})
	if err != nil {
		return nil, errors.Join(err, side.outbox.Close())
	}
	return side, nil
}

// enrol loads the device's evidence key and certificate (DER). A device without
// them gets them, and is registered at the centre.
func enrol(centreDir, keyFile string, id evidence.DeviceID) (*key.Key, []byte, error) {
	certificateFile := keyFile + ".crt"
	if der, err := os.ReadFile(certificateFile); err == nil {
		k, err := key.LoadFile(keyFile)
		return k, der, err
	}
	k, err := key.CreateFile(keyFile)
	if err != nil {
		return nil, nil, err
	}
	der, err := key.Certificate(k, id, time.Now().Add(-time.Minute), 1, nil, nil)
	if err != nil {
		return nil, nil, err
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, nil, err
	}
	if _, err := portal.Enrol(centreDir, id, 1, certificate); err != nil {
		return nil, nil, err
	}
	return k, der, os.WriteFile(certificateFile, der, 0o644)
}

// calibrationOf returns a statement for the simulated radar, in force for a
// month from the day before now.
func calibrationOf(now time.Time, core evidence.Hash) []byte {
	from := now.UTC().Truncate(24*time.Hour).AddDate(0, 0, -1)
	return statement.Calibration{
		ID: "DEMO", Serial: serial, Core: core, From: from, To: from.AddDate(0, 1, 0), Checked: from, Uncertainty: "1.5km/h",
	}.Text()
}

// endless keeps a device running when its road is over.
type endless struct{ sensor.Source }

func (e endless) Next(ctx context.Context) (sensor.Passage, error) {
	p, err := e.Source.Next(ctx)
	if err != nil && ctx.Err() == nil {
		<-ctx.Done()
		err = ctx.Err()
	}
	return p, err
}

// report compares what came to the centre with what happened on the road.
func (side *roadside) report(road *simulate.Road, origin sensor.Mono, bundles []bundle, trustText []byte, received uint64) (*Report, error) {
	trust, err := evidence.ParseTrust(trustText)
	if err != nil {
		return nil, err
	}
	counts := side.device.Counts()
	recorded, latencies := side.tracker.result(origin)
	a := compare(road.Truth(), side.config.Site.Limit, recorded)
	r := &Report{
		Passages: counts.Passages, Expected: a.Expected, Violations: counts.Violations, Received: received,
		Settled: len(latencies), Discarded: map[string]uint64{}, Latency: newLatency(latencies),
		MaxError: float64(a.MaxError) / float64(sensor.KmH), Faults: a.Faults,
	}
	for reason, n := range counts.Discarded {
		r.Discarded[reason.Code()] = n
	}
	for _, b := range bundles {
		if err := b.verify(trust); err != nil {
			r.Faults = append(r.Faults, err.Error())
			continue
		}
		r.Verified++
	}
	if r.Verified != a.Expected {
		r.Faults = append(r.Faults, fmt.Sprintf("%d bundles verified, want %d", r.Verified, a.Expected))
	}
	if r.Faults == nil {
		r.Faults = []string{}
	}
	r.OK = len(r.Faults) == 0 && a.Matched == a.Expected && a.Expected > 0
	return r, nil
}
