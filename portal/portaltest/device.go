// Package portaltest has what the tests of the portal share: a device that seals
// records in its own chain, a centre's directory with that device enrolled, and
// a broker's session made of two function calls.
//
// The keys here are made from public words. Nothing in service may trust them.
package portaltest

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"image"
	"image/color"
	"image/jpeg"
	"math/big"
	"testing"
	"time"

	"ciglio/capture/evidence"
	"ciglio/sensor"
	"ciglio/uplink"
	"ciglio/uplink/wire"
)

// Shard is the shard of every test.
const Shard = "test"

// Statements that the records of a [Device] name.
const (
	Calibration   = "calibration A-117, version 3\nsensor SIM-1 serial 0042\nerror within 0.4 km/h at 30 to 200 km/h\n"
	Configuration = "[site]\nid = \"sp14-km12\"\nlimit = \"50km/h\"\n"
)

// A Device seals records, each linked to the one before.
type Device struct {
	ID          evidence.DeviceID
	Epoch       uint64
	Seq         uint64 // of the last record sealed
	Prev        evidence.Hash
	Certificate *x509.Certificate
	signer      evidence.Signer
}

// Request is the form in which the device brings its evidence key to the centre.
func (d *Device) Request(t testing.TB) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: d.ID.String()}}, key)
	if err != nil {
		t.Fatal(err)
	}
	r, err := wire.SealRequest(&wire.Request{Device: d.ID, Epoch: d.Epoch, Class: "file", Certificate: d.Certificate.Raw, TLS: csr}, d.signer)
	if err != nil {
		t.Fatal(err)
	}
	return r.Bytes
}

// NewDevice returns the device of a name: always the same id and key.
func NewDevice(t testing.TB, name string) *Device {
	t.Helper()
	sum := sha256.Sum256([]byte("ciglio test device: " + name))
	key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), sum[:])
	if err != nil {
		t.Fatal(err)
	}
	d := &Device{ID: evidence.DeviceID(sum[:16]), Epoch: 1}
	if d.signer, err = evidence.NewSigner(key); err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: d.ID.String()},
		NotBefore: time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC), NotAfter: time.Date(2036, 1, 1, 0, 0, 0, 0, time.UTC),
	}
	der, err := x509.CreateCertificate(nil, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	if d.Certificate, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	return d
}

// Public is the device's evidence key.
func (d *Device) Public() *ecdsa.PublicKey { return d.Certificate.PublicKey.(*ecdsa.PublicKey) }

// Seal seals the next record of the chain. The edit may change what a heartbeat
// would have.
func (d *Device) Seal(t testing.TB, edit func(*evidence.Record)) *evidence.Sealed {
	t.Helper()
	r := &evidence.Record{
		Kind: evidence.KindHeartbeat, Device: d.ID, Epoch: d.Epoch, Seq: d.Seq + 1, Prev: d.Prev,
		Boot: [16]byte{0xb0, 15: 7}, Mono: 30_002_140_000_000, UTC: time.Now().UTC().Truncate(time.Microsecond),
		Clock:         sensor.ClockState{Source: "chrony", Synchronised: true, Uncertainty: 250 * time.Microsecond, LockAge: 31 * time.Second},
		Configuration: evidence.Statement{ID: "sp14-km12", Version: 7, SHA256: sha256.Sum256([]byte(Configuration))},
		Software:      evidence.Software{Version: "0.1.0", Core: sha256.Sum256([]byte("core")), Binary: sha256.Sum256([]byte("binary"))},
		Key:           evidence.KeyInfo{Class: "file", Certificate: sha256.Sum256(d.Certificate.Raw)},
		Body:          evidence.Body{1: uint64(1210), 2: uint64(3), 3: uint64(1), 4: uint64(88)},
	}
	if edit != nil {
		edit(r)
	}
	sealed, err := evidence.Seal(r, d.signer)
	if err != nil {
		t.Fatal(err)
	}
	d.Seq, d.Prev = r.Seq, sealed.Link
	return sealed
}

// Heartbeat seals a heartbeat.
func (d *Device) Heartbeat(t testing.TB) *evidence.Sealed { return d.Seal(t, nil) }

// Statement seals the record that carries a calibration or configuration text.
func (d *Device) Statement(t testing.TB, kind evidence.Kind, text string) *evidence.Sealed {
	return d.Seal(t, func(r *evidence.Record) {
		r.Kind, r.Body = kind, evidence.Body{1: []byte(text), 2: "text/plain"}
	})
}

// Violation seals a violation with the given pictures, of which the second is
// the photo, and trace: 63.05 km/h where 50 km/h are allowed.
func (d *Device) Violation(t testing.TB, frames [][]byte, trace []byte, edit func(*evidence.Record)) *evidence.Sealed {
	return d.Seal(t, func(r *evidence.Record) {
		r.Kind, r.Body = evidence.KindViolation, nil
		r.Site = &evidence.Site{ID: "sp14-km12", Road: "SP 14", Position: 12_340, Latitude: 460_667_000, Longitude: 111_211_000, Heading: 172, Lane: 1}
		r.Calibration = &evidence.Calibration{
			Statement: evidence.Statement{ID: "A-117", Version: 3, SHA256: sha256.Sum256([]byte(Calibration))},
			NotAfter:  r.UTC.AddDate(1, 0, 0).Truncate(time.Second),
			Approval:  "D.D. MIT n. 1234 del 12/05/2025",
			Decree:    "Decreto del Prefetto di Trento n. 56789 del 03/02/2025",
		}
		const start, photo = 30_000_000_000_000, 30_001_500_000_000
		r.Measurement = &evidence.Measurement{
			Speed: 6305, Indicated: 6300, Reduction: 500, Assessed: 5800, Limit: 5000, Rule: "it-345-2",
			Direction: sensor.Approaching, Uncertainty: 21,
			Budget: sensor.Budget{Noise: 9, Angle: 15, Carrier: 8, Clock: 1, Acceleration: 6},
			Start:  start, End: start + 2_100_000_000, Photo: photo,
		}
		for i, data := range frames {
			r.Frames = append(r.Frames, evidence.Frame{
				Role: []string{"before", "photo", "after", "after", "after"}[i], MediaType: "image/jpeg", SHA256: sha256.Sum256(data),
				Length: uint32(len(data)), Number: uint64(81_000 + i), Mono: photo + sensor.Mono(i-1)*120_000_000,
				Exposure: 500 * time.Microsecond,
			})
		}
		r.Trace = &evidence.Trace{
			SHA256: sha256.Sum256(trace), Length: uint32(len(trace)), Format: "audio/wav", Model: "SIM-1", Serial: "0042",
			Samples: 100, First: start, Last: start + 2_100_000_000,
		}
		if edit != nil {
			edit(r)
		}
	})
}

// Message returns a message of the device.
func (d *Device) Message(what wire.What, payload []byte) uplink.Message {
	return uplink.Message{Topic: wire.Topic(Shard, d.ID, what), Payload: payload}
}

// Chunks returns the chunk messages of a blob.
func (d *Device) Chunks(blob []byte) []uplink.Message {
	var all []uplink.Message
	hash := sha256.Sum256(blob)
	for i := range wire.ChunkCount(uint64(len(blob))) {
		all = append(all, d.Message(wire.WhatBlob, wire.AppendChunk(nil, wire.CutChunk(hash, blob, i))))
	}
	return all
}

// Bytes returns n bytes that differ by seed and do not compress.
func Bytes(seed uint64, n int) []byte {
	b := make([]byte, 0, n+32)
	for block := binary.BigEndian.AppendUint64(nil, seed); len(b) < n; {
		sum := sha256.Sum256(block)
		b, block = append(b, sum[:]...), sum[:]
	}
	return b[:n]
}

// Picture draws a JPEG of a road in the given size with a car that stands
// further on with each step.
func Picture(t testing.TB, width, height, step int) []byte {
	t.Helper()
	m := image.NewRGBA(image.Rect(0, 0, width, height))
	for y := range height {
		for x := range width {
			c := color.RGBA{uint8(120 + 60*y/height), uint8(150 + 40*y/height), 200, 255}
			if y > height*2/5 {
				c = color.RGBA{84, 86, 90, 255}
				if near := width / 2; abs(x-near) < 3+(y-height*2/5)/40 && y/24%2 == 0 {
					c = color.RGBA{235, 235, 225, 255}
				}
			}
			s := height/8 + step*height/14
			if left, top := width/4+step*width/9, height/2+step*height/16; x >= left && x < left+s*2 && y >= top && y < top+s {
				c = color.RGBA{140, 32, 36, 255}
			}
			m.Set(x, y, c)
		}
	}
	var b bytes.Buffer
	if err := jpeg.Encode(&b, m, &jpeg.Options{Quality: 88}); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func abs(n int) int { return max(n, -n) }
