package evidence

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"image"
	"image/color"
	"image/jpeg"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"

	"ciglio/sensor"
)

// testKey returns a PUBLIC TEST KEY: its private half is SHA-256 of the words
// "ciglio test key, not secret: " and the name. Nothing in service may trust it.
func testKey(t testing.TB, name string) *ecdsa.PrivateKey {
	t.Helper()
	scalar := sha256.Sum256([]byte("ciglio test key, not secret: " + name))
	key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), scalar[:])
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func testSigner(t testing.TB, name string) Signer {
	t.Helper()
	s, err := NewSigner(testKey(t, name))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

var (
	testDevice  = DeviceID{0xc1, 0x91, 0x10, 0, 0, 0, 0x40, 0, 0x80, 0, 0, 0, 0, 0, 0, 0x01}
	otherDevice = DeviceID{0xc1, 0x91, 0x10, 0, 0, 0, 0x40, 0, 0x80, 0, 0, 0, 0, 0, 0, 0x02}
	testTime    = time.Date(2026, 3, 1, 14, 5, 9, 123456000, time.UTC)
)

func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// testFrames returns three small pictures. They are read from testdata, since
// another release of the JPEG encoder may give other bytes; with -update a
// missing one is drawn.
func testFrames(t testing.TB) [][]byte {
	t.Helper()
	var frames [][]byte
	for i, role := range []string{"before", "photo", "after"} {
		path := filepath.Join("testdata", frameName(i+1, role))
		data, err := os.ReadFile(path)
		if os.IsNotExist(err) && *update {
			data = drawFrame(i)
			must(0, os.MkdirAll(filepath.Dir(path), 0o755))(t)
			err = os.WriteFile(path, data, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
		frames = append(frames, data)
	}
	return frames
}

// drawFrame draws a road with a grey box that moves from picture to picture.
func drawFrame(step int) []byte {
	m := image.NewRGBA(image.Rect(0, 0, 96, 64))
	for y := range 64 {
		for x := range 96 {
			c := color.RGBA{120, 150, 190, 255}
			if y > 24 {
				c = color.RGBA{90, 90, 95, 255}
			}
			if left := 10 + 26*step; x >= left && x < left+20 && y >= 30 && y < 44 {
				c = color.RGBA{170, 40, 40, 255}
			}
			m.Set(x, y, c)
		}
	}
	var b bytes.Buffer
	jpeg.Encode(&b, m, &jpeg.Options{Quality: 75})
	return b.Bytes()
}

// testTrace returns a WAV file, 16 bit, I and Q: a vector that turns by a
// quarter from sample to sample.
func testTrace(samples int) []byte {
	b := []byte("RIFF")
	b = binary.LittleEndian.AppendUint32(b, uint32(36+4*samples))
	b = append(b, "WAVEfmt "...)
	b = binary.LittleEndian.AppendUint32(b, 16)
	for _, v := range []uint16{1, 2} {
		b = binary.LittleEndian.AppendUint16(b, v)
	}
	b = binary.LittleEndian.AppendUint32(b, 8000)
	b = binary.LittleEndian.AppendUint32(b, 8000*4)
	b = binary.LittleEndian.AppendUint16(b, 4)
	b = binary.LittleEndian.AppendUint16(b, 16)
	b = append(b, "data"...)
	b = binary.LittleEndian.AppendUint32(b, uint32(4*samples))
	turn := []int16{6000, 0, -6000, 0}
	for i := range samples {
		b = binary.LittleEndian.AppendUint16(b, uint16(turn[i%4]))
		b = binary.LittleEndian.AppendUint16(b, uint16(turn[(i+3)%4]))
	}
	return b
}

const (
	testCalibration   = "calibration A-117, version 3\nsensor SIM-1 serial 0042\nerror within 0.4 km/h at 30 to 200 km/h\n"
	testConfiguration = "[site]\nid = \"sp14-km12\"\nlimit = \"50km/h\"\n"
)

// base returns a record without the parts that depend on its kind.
func base(kind Kind, seq uint64) *Record {
	r := &Record{
		Kind: kind, Device: testDevice, Epoch: 1, Seq: seq, Boot: [16]byte{0xb0, 15: 7},
		Mono: 30_002_140_000_000, UTC: testTime,
		Clock: sensor.ClockState{Source: "chrony", Synchronised: true, Offset: -12_345, Uncertainty: 250_000,
			LockAge: 31 * time.Second},
		Configuration: Statement{"sp14-km12", 7, sumOf([]byte(testConfiguration))},
		Software:      Software{"0.1.0", sumOf([]byte("core")), sumOf([]byte("binary"))},
		Key:           KeyInfo{Class: "file"},
	}
	if seq > 1 {
		r.Prev = sumOf([]byte("the record before"))
	}
	return r
}

// violation returns a violation: 63.05 km/h where 50 km/h are allowed.
func violation(t testing.TB) *Record {
	r := base(KindViolation, 42)
	r.Ack = sumOf([]byte("the newest receipt"))
	r.CounterClass, r.CounterValue = 2, 1234
	r.Key.Certificate = sumOf(testCertificate(t))
	r.Site = &Site{"sp14-km12", "SP 14", 12_340, 460_667_000, 111_211_000, 172, 1}
	r.Calibration = &Calibration{
		Statement: Statement{"A-117", 3, sumOf([]byte(testCalibration))},
		NotAfter:  time.Date(2026, 9, 30, 21, 59, 59, 0, time.UTC),
		Approval:  "D.D. MIT n. 1234 del 12/05/2025",
		Decree:    "Decreto del Prefetto di Trento n. 56789 del 03/02/2025",
	}
	const start, photo = 30_000_000_000_000, 30_001_500_000_000
	r.Measurement = &Measurement{
		Speed: 6305, Indicated: 6300, Reduction: 500, Assessed: 5800, Limit: 5000,
		Rule: "it-345-2", Direction: sensor.Approaching, Class: 0, Uncertainty: 21,
		Budget:  sensor.Budget{Noise: 9, Angle: 15, Carrier: 8, Clock: 1, Acceleration: 6},
		Targets: 0, Start: start, End: start + 2_100_000_000, Photo: photo,
	}
	for i, data := range testFrames(t) {
		r.Frames = append(r.Frames, Frame{
			Role: []string{"before", "photo", "after"}[i], MediaType: "image/jpeg", SHA256: sumOf(data),
			Length: uint32(len(data)), Number: uint64(81_000 + i), Mono: photo + sensor.Mono(i-1)*120_000_000,
			Exposure: 500 * time.Microsecond,
		})
	}
	trace := testTrace(100)
	r.Trace = &Trace{
		SHA256: sumOf(trace), Length: uint32(len(trace)), Format: "audio/wav", Model: "SIM-1", Serial: "0042",
		Settings: sumOf([]byte("settings")), Samples: 100, First: start, Last: start + 2_100_000_000,
	}
	return r
}

// confirmed returns what two contacts 4 m apart saw of the vehicle of violation:
// two axles that took 225 ms each, 64.00 km/h.
func confirmed(m *Measurement) *Second {
	first := m.Start + 1_200_000_000
	return &Second{Method: MethodContacts, Speed: 6400, Tolerance: 200, Contacts: &Contacts{
		Positions: []int32{10_000, 14_000},
		Marks:     [][]sensor.Mono{{first + 225_000_000, first + 375_000_000}, {first, first + 150_000_000}},
	}}
}

// strobe gives each picture the strobe's return, so long after the start of its
// exposure.
func strobe(r *Record, after ...time.Duration) {
	for i := range r.Frames {
		r.Frames[i].Strobe = r.Frames[i].Mono.Add(after[i])
	}
}

// bodies holds one body of every kind that has one.
func bodies() map[Kind]Body {
	return map[Kind]Body{
		KindHeartbeat:     {1: uint64(1210), 2: uint64(3), 3: uint64(1), 4: uint64(88)},
		KindBoot:          {1: "power on", 2: uint64(0), 3: "segment 3 moved aside"},
		KindClockStep:     {1: int64(-1_250_000_000), 2: "chrony"},
		KindCalibration:   {1: []byte(testCalibration), 2: "text/plain"},
		KindConfiguration: {1: []byte(testConfiguration), 2: "application/toml"},
		KindKeyChange:     {1: bytes.Repeat([]byte{0xab}, 32)},
		KindEviction:      {1: uint64(1), 2: uint64(40)},
		KindTamper:        {1: "door", 2: "open"},
		KindOperator:      {1: "aimed the sensor"},
		KindShutdown:      {1: "stopped"},
		KindSelfTest:      {1: uint64(1), 2: "all good"},
		KindTest:          {1: "simulated sensor"},
	}
}

// acts returns records that tell of an act, by each kind that may.
func acts() []struct {
	name, why string
	kind      Kind
	act       Act
} {
	old, new, signer := sumOf([]byte("old")), sumOf([]byte("new")), sumOf([]byte("signer"))
	least := Act{Actor: "device", Role: "device", Code: "stop", Outcome: "done"}
	return []struct {
		name, why string
		kind      Kind
		act       Act
	}{
		{"act-order", "an order of the centre with all that an act can say", KindOperator, Act{
			Actor: "centre", Role: "centre", Code: "pause", Subject: "enforcement", Old: "measuring", New: "paused until 18:00",
			OldHash: &old, NewHash: &new, Outcome: "done", Signer: &signer, Number: 1<<63 - 1,
			Answer: bytes.Repeat([]byte{'a'}, MaxAnswer), Media: "text/plain"}},
		{"act-least", "who, in which office, what and with what outcome", KindShutdown, least},
		{"act-configuration", "a configuration that was replaced", KindConfiguration, Act{Actor: "technician", Role: "technician",
			Code: "provision", Subject: "site", Old: "version 6", New: "version 7", OldHash: &old, NewHash: &new, Outcome: "done"}},
		{"act-calibration", "the first calibration, in place of none", KindCalibration, Act{Actor: "stick", Role: "laboratory",
			Code: "provision", Subject: "calibration", New: "version 3", NewHash: &new, Outcome: "done", Signer: &signer, Number: 1}},
		{"act-self-test", "a self-test that the centre asked for", KindSelfTest, Act{Actor: "centre", Role: "centre",
			Code: "selftest", Outcome: "failed", Signer: &signer, Number: 12}},
	}
}

// ofKind returns a valid record of any kind.
func ofKind(t testing.TB, k Kind) *Record {
	r := base(k, 7)
	if k.Measured() {
		r = violation(t)
		r.Kind = k
	}
	r.Body = bodies()[k]
	return r
}

// testCertificate returns the device's certificate, always the same bytes.
func testCertificate(t testing.TB) []byte {
	key := testKey(t, "device")
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: testDevice.String()},
		NotBefore: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), NotAfter: time.Date(2036, 1, 1, 0, 0, 0, 0, time.UTC),
	}
	return must(x509.CreateCertificate(nil, template, template, key.Public(), key))(t)
}

// entry returns a register entry for a test key.
func entry(t testing.TB, role Role, dev DeviceID, epoch uint64, name string) RegisterEntry {
	pub := testKey(t, name).Public().(*ecdsa.PublicKey)
	return RegisterEntry{
		Role: role, Device: dev, Epoch: epoch, Key: must(EncodeKey(pub))(t),
		NotBefore: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), NotAfter: time.Date(2030, 12, 31, 23, 59, 59, 0, time.UTC),
	}
}

// testRegister returns a register with keys of every sort.
func testRegister(t testing.TB) *Register {
	device := entry(t, RoleDevice, testDevice, 1, "device")
	device.Certificate = sumOf(testCertificate(t))
	expired := entry(t, RoleDevice, testDevice, 2, "expired")
	expired.NotAfter = time.Date(2026, 2, 1, 0, 0, 0, 0, time.UTC)
	revoked := entry(t, RoleDevice, testDevice, 3, "revoked")
	revoked.Revoked = at(time.Date(2026, 2, 1, 0, 0, 0, 0, time.UTC))
	revokedLater := entry(t, RoleDevice, testDevice, 4, "revoked later")
	revokedLater.Revoked = at(time.Date(2026, 4, 1, 0, 0, 0, 0, time.UTC))
	return &Register{
		Sequence: 12, Issued: time.Date(2026, 5, 1, 8, 0, 0, 0, time.UTC),
		Entries: []RegisterEntry{
			device, expired, revoked, revokedLater,
			entry(t, RoleDevice, otherDevice, 1, "other device"),
			entry(t, RoleCentre, DeviceID{}, 0, "centre"),
		},
	}
}

func at(t time.Time) *time.Time { return &t }

// testLog is a small log: its leaves, of which the record under test is one.
type testLog []Hash

func (l testLog) root() Hash {
	if len(l) == 1 {
		return LeafHash(l[0])
	}
	k := l.split()
	return nodeHash(l[:k].root(), l[k:].root())
}

// split is the largest power of two below the size (RFC 6962 section 2.1).
func (l testLog) split() int {
	k := 1
	for k*2 < len(l) {
		k *= 2
	}
	return k
}

func (l testLog) path(m int) []Hash {
	if len(l) == 1 {
		return nil
	}
	if k := l.split(); m < k {
		return append(l[:k].path(m), l[k:].root())
	} else {
		return append(l[k:].path(m-k), l[:k].root())
	}
}

// logWith returns a log of the given size with the id at the given place.
func logWith(size, index int, id Hash) testLog {
	l := make(testLog, size)
	for i := range l {
		l[i] = sumOf([]byte{byte(i)})
	}
	l[index] = id
	return l
}

// receipted returns the centre's receipt and the log proof of a record.
func receipted(t testing.TB, s *Sealed, utc time.Time, signer string) (*SealedReceipt, *Proof) {
	const size, index = 7, 4
	l := logWith(size, index, s.ID)
	r := &Receipt{
		Device: s.Record.Device, LogSize: size, LogRoot: l.root(), UTC: utc,
		Entries: []ReceiptEntry{
			{s.Record.Epoch, s.Record.Seq - 1, sumOf([]byte("another record")), index - 1},
			{s.Record.Epoch, s.Record.Seq, s.ID, index},
		},
	}
	return must(SealReceipt(r, testSigner(t, signer)))(t), &Proof{Index: index, Size: size, Hashes: l.path(index)}
}

// bundleOf returns the whole bundle of a record.
func bundleOf(t testing.TB, r *Record, signer string) *Bundle {
	s := must(Seal(r, testSigner(t, signer)))(t)
	receipt, proof := receipted(t, s, testTime.Add(time.Hour), "centre")
	b := &Bundle{Record: s.Bytes, Configuration: []byte(testConfiguration), Receipt: receipt.Bytes,
		Proof: must(proof.Marshal())(t)}
	if r.Kind.Measured() {
		b.Frames, b.Trace, b.Calibration, b.DeviceCertificate = testFrames(t), testTrace(100), []byte(testCalibration), testCertificate(t)
	}
	return b
}
