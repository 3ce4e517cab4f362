package roadside

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	mochi "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/hooks/auth"
	"github.com/mochi-mqtt/server/v2/listeners"

	"ciglio/agent"
	"ciglio/agent/device"
	"ciglio/capture/evidence"
	"ciglio/portal"
	"ciglio/sensor"
	"ciglio/uplink"
	"ciglio/uplink/mqtt"
	"ciglio/uplink/outbox"
)

// BenchmarkDrain empties an outbox that was filled while the centre was away,
// until the last record is receipted: verified, stored and logged. Beside it
// stands the limit of the transport in the same run: the same messages through
// the same broker at the same window, to a subscriber that only counts.
func BenchmarkDrain(b *testing.B) {
	b.Run("2000x4KB", func(b *testing.B) { benchmarkDrain(b, 2000, 4<<10) })
	b.Run("200x1MB", func(b *testing.B) { benchmarkDrain(b, 200, 1<<20) })
}

func benchmarkDrain(b *testing.B, records, size int) {
	var drained, limit time.Duration
	for b.Loop() {
		b.StopTimer()
		r := newDrainRig(b, records, size)
		limit += r.countOnly(b)
		b.StartTimer()
		drained += r.drain(b)
		b.StopTimer()
		r.stop()
		b.StartTimer()
	}
	n := float64(b.N * records)
	b.ReportMetric(n/drained.Seconds(), "records/s")
	b.ReportMetric(n*float64(size)/drained.Seconds()/1e6, "MB/s")
	b.ReportMetric(n/limit.Seconds(), "mqtt-alone-records/s")
	b.ReportMetric(limit.Seconds()/drained.Seconds(), "of-mqtt-alone")
}

// window is how many messages the sender has unacknowledged.
const window = 20

var drainedDevice = evidence.DeviceID{7}

type drainRig struct {
	outbox *outbox.Outbox
	sender *uplink.Sender
	stop   func()
}

// newDrainRig runs a centre, and fills an outbox for it.
func newDrainRig(b *testing.B, records, size int) *drainRig {
	dir := b.TempDir()
	centreDir := filepath.Join(dir, "portal")
	if _, err := portal.Init(centreDir); err != nil {
		b.Fatal(err)
	}
	signer, certificate, err := enrol(centreDir, filepath.Join(dir, "evidence.key"), drainedDevice)
	if err != nil {
		b.Fatal(err)
	}
	r := &drainRig{}
	if r.outbox, err = outbox.Open(filepath.Join(dir, "outbox"), outbox.Options{Device: drainedDevice}); err != nil {
		b.Fatal(err)
	}
	for i := range records {
		record, blobs := sized(i, size, sha256.Sum256(certificate))
		if _, err := r.outbox.Append(func(h outbox.Head) (*evidence.Sealed, error) {
			record.Epoch, record.Seq, record.Prev, record.Ack = h.Epoch, h.Next, h.Prev, h.Ack
			return evidence.Seal(record, signer)
		}, blobs...); err != nil {
			b.Fatal(err)
		}
	}
	centre, err := portal.New(b.Context(), portal.Options{Dir: centreDir, Listen: "127.0.0.1:0", MQTT: "127.0.0.1:0"})
	if err != nil {
		b.Fatal(err)
	}
	dialer, err := mqtt.New(mqtt.Options{Broker: "tcp://" + centre.MQTTAddr()})
	if err != nil {
		b.Fatal(err)
	}
	trustText, err := os.ReadFile(portal.TrustFile(centreDir))
	if err != nil {
		b.Fatal(err)
	}
	trust, err := evidence.ParseTrust(trustText)
	if err != nil {
		b.Fatal(err)
	}
	if r.sender, err = uplink.NewSender(uplink.SenderOptions{
		Store: r.outbox, Dialer: dialer, Device: drainedDevice, Shard: "0", CentreKey: device.CentreKeys(trust), Boot: [16]byte{1},
	}); err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- centre.Run(ctx) }()
	r.stop = func() {
		cancel()
		for _, err := range []error{<-done, centre.Close(), r.outbox.Close()} {
			if err != nil {
				b.Error(err)
			}
		}
	}
	return r
}

// sized returns record number i of about size bytes: one message when it is
// small, else a test record with two frames and a trace.
func sized(i, size int, certificate evidence.Hash) (*evidence.Record, [][]byte) {
	utc := time.Now().UTC().Truncate(time.Microsecond)
	r := &evidence.Record{
		Device: drainedDevice, Boot: [16]byte{1}, Mono: 1e12, UTC: utc,
		Configuration: evidence.Statement{ID: "bench", Version: 1},
		Software:      evidence.Software{Version: agent.Version},
		Key:           evidence.KeyInfo{Certificate: certificate, Class: "file"},
	}
	r.Clock.Source = "simulated"
	fill := func(n int) []byte {
		data := make([]byte, n)
		for k := 0; k+8 <= n; k += 8 {
			binary.LittleEndian.PutUint64(data[k:], uint64(i)<<32|uint64(n+k))
		}
		return data
	}
	statement := evidence.Statement{ID: "bench", Version: 1}
	if size < 10<<10 {
		text := fill(size - 500)
		statement.SHA256 = sha256.Sum256(text)
		r.Kind, r.Body = evidence.KindCalibration, evidence.Body{1: text, 2: "application/octet-stream"}
		r.Calibration = &evidence.Calibration{Statement: statement, NotAfter: utc.Truncate(time.Second).AddDate(1, 0, 0), Approval: "none", Decree: "none"}
		return r, nil
	}
	r.Kind, r.Body = evidence.KindTest, evidence.Body{1: "benchmark"}
	r.Site = &evidence.Site{ID: "bench", Road: "bench"}
	r.Calibration = &evidence.Calibration{Statement: statement, NotAfter: utc.Truncate(time.Second).AddDate(1, 0, 0), Approval: "none", Decree: "none"}
	r.Measurement = &evidence.Measurement{
		Speed: 9250, Indicated: 9200, Reduction: 500, Assessed: 8700, Limit: 7000, Rule: "it-345-2", Direction: 1,
		Uncertainty: 10, Start: 9e11, Photo: 95e10, End: 99e10,
	}
	blobs := [][]byte{fill(size * 2 / 5), fill(size*2/5 - 8), fill(size / 5)}
	for k, role := range []string{"photo", "after"} {
		r.Frames = append(r.Frames, evidence.Frame{
			Role: role, MediaType: "image/jpeg", SHA256: sha256.Sum256(blobs[k]), Length: uint32(len(blobs[k])),
			Number: uint64(k + 1), Mono: r.Measurement.Photo + sensor.Mono(k),
		})
	}
	r.Trace = &evidence.Trace{
		SHA256: sha256.Sum256(blobs[2]), Length: uint32(len(blobs[2])), Format: "audio/wav", Model: "bench", Serial: "bench",
		Samples: 1, First: 9e11, Last: 99e10,
	}
	return r, blobs
}

// drain runs the sender until nothing waits for a receipt.
func (r *drainRig) drain(b *testing.B) time.Duration {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	begin := time.Now()
	go func() { done <- r.sender.Run(ctx) }()
	for changed := r.outbox.Changed(); r.outbox.Stats().Unsettled > 0; changed = r.outbox.Changed() {
		<-changed
	}
	took := time.Since(begin)
	cancel()
	<-done
	return took
}

// countOnly sends what the outbox holds through a broker of the same make that
// checks nothing, to a subscriber that counts.
func (r *drainRig) countOnly(b *testing.B) time.Duration {
	server := mochi.New(&mochi.Options{Logger: slog.New(slog.DiscardHandler)})
	defer server.Close()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	if err := errors.Join(server.AddHook(new(auth.AllowHook), nil), server.AddListener(listeners.NewNet("bench", listener)), server.Serve()); err != nil {
		b.Fatal(err)
	}
	dialer, err := mqtt.New(mqtt.Options{Broker: "tcp://" + listener.Addr().String()})
	if err != nil {
		b.Fatal(err)
	}
	var messages []uplink.Message
	items, err := r.outbox.Unsettled(uplink.Key{}, 1<<20)
	if err != nil {
		b.Fatal(err)
	}
	const topic = "bench"
	for _, item := range items {
		record, err := r.outbox.Record(item.Key)
		if err != nil {
			b.Fatal(err)
		}
		messages = append(messages, uplink.Message{Topic: topic, Payload: record})
		for k, blob := range item.Blobs {
			for c := range blob.Chunks {
				chunk, err := r.outbox.Chunk(item.Key, k, c)
				if err != nil {
					b.Fatal(err)
				}
				messages = append(messages, uplink.Message{Topic: topic, Payload: chunk})
			}
		}
	}
	arrived := make(chan struct{}, len(messages))
	dial := func(o uplink.SessionOptions) uplink.Session {
		session, err := dialer.Dial(b.Context(), o)
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { session.Close() })
		return session
	}
	dial(uplink.SessionOptions{ClientID: "counter", Subscribe: []string{topic}, Handle: func(uplink.Message) { arrived <- struct{}{} }})
	session := dial(uplink.SessionOptions{ClientID: "device"})
	begin := time.Now()
	acked := make([]<-chan error, 0, window)
	for _, m := range messages {
		if len(acked) == window {
			if err := <-acked[0]; err != nil {
				b.Fatal(err)
			}
			acked = acked[1:]
		}
		acked = append(acked, session.Publish(m))
	}
	for range messages {
		<-arrived
	}
	return time.Since(begin)
}
