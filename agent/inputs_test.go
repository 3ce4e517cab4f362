package agent

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ciglio/agent/config"
	"ciglio/capture/evidence"
	"ciglio/capture/key"
	"ciglio/sensor"
	"ciglio/sensor/agd"
	"ciglio/sensor/sensortest/recording"
	"ciglio/sensor/track"
)

// bundleOf writes a bundle whose trace and settings are the given ones.
func bundleOf(t *testing.T, trace sensor.Trace, c *config.Config) string {
	t.Helper()
	settings, err := c.Statement()
	if err != nil {
		t.Fatal(err)
	}
	k, err := key.CreateFile(filepath.Join(t.TempDir(), "key"))
	if err != nil {
		t.Fatal(err)
	}
	b := &evidence.Bundle{Trace: trace.Data, Configuration: settings}
	now := time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)
	r := &evidence.Record{
		Kind: evidence.KindTest, Device: evidence.DeviceID{1}, Epoch: 1, Seq: 1, Boot: [16]byte{1}, Mono: 1, UTC: now,
		Clock: sensor.ClockState{Source: "adjtimex"}, Software: evidence.Software{Version: "test"}, Key: evidence.KeyInfo{Class: "file"},
		Configuration: evidence.Statement{ID: "s1", Version: 1, SHA256: sha256.Sum256(settings)}, Body: evidence.Body{1: "test of measure"},
		Site: &evidence.Site{ID: "s1", Road: "SP 14", Lane: 1},
		Measurement: &evidence.Measurement{
			Speed: 10000, Indicated: 10000, Reduction: 500, Assessed: 9500, Limit: 9000, Rule: "it-2026",
			Direction: sensor.Approaching, Uncertainty: 10, Start: 1, Photo: 2, End: 3,
		},
		Calibration: &evidence.Calibration{Statement: evidence.Statement{ID: "A-117", Version: 1}, NotAfter: now.Add(time.Hour), Approval: "a", Decree: "d"},
		Trace: &evidence.Trace{
			SHA256: sha256.Sum256(trace.Data), Length: uint32(len(trace.Data)), Format: trace.Format, Model: "m", Serial: "1",
			Samples: 2, First: 1, Last: 2,
		},
	}
	frames, err := filepath.Glob("../capture/evidence/testdata/frames/*.jpg")
	if err != nil || len(frames) < 2 {
		t.Fatalf("%d frames, %v", len(frames), err)
	}
	for i, name := range frames[:2] {
		picture, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		b.Frames = append(b.Frames, picture)
		r.Frames = append(r.Frames, evidence.Frame{
			Role: []string{"photo", "after"}[i], MediaType: "image/jpeg", SHA256: sha256.Sum256(picture), Length: uint32(len(picture)),
			Number: uint64(i + 1), Mono: sensor.Mono(i + 1), Exposure: time.Millisecond,
		})
	}
	s, err := evidence.Seal(r, k)
	if err != nil {
		t.Fatal(err)
	}
	b.Record = s.Bytes
	var out bytes.Buffer
	if err := evidence.WriteBundle(&out, b); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "1-1.zip")
	if err := os.WriteFile(path, out.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// unpacked is the folder of a bundle.
func unpacked(t *testing.T, bundle string) string {
	t.Helper()
	raw, err := os.ReadFile(bundle)
	if err != nil {
		t.Fatal(err)
	}
	b, err := evidence.ReadBundle(bytes.NewReader(raw), int64(len(raw)))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	name := map[bool]string{true: "trace.wav", false: "trace.csv"}[bytes.HasPrefix(b.Trace, []byte("RIFF"))]
	for file, data := range map[string][]byte{"record.cose": b.Record, "configuration.txt": b.Configuration, name: b.Trace} {
		if err := os.WriteFile(filepath.Join(dir, file), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestD20_CarrierIsSaidOrBrought(t *testing.T) {
	if testing.Short() {
		t.Skip("short: one recording, measured five times more")
	}
	file := recording.Path(t, "radar/uct_40kmh_v1.wav")
	wave, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	c := config.Default()
	c.Sensor.Carrier, c.Site.ID = 10.525e9, "s1"
	bundle := bundleOf(t, sensor.Trace{Format: "audio/wav", Data: wave}, c)
	folder := unpacked(t, bundle)
	given, _, _ := measureLines(t, "--carrier", "10.525GHz", file)
	if len(given) != 1 || given[0]["carrier_from"] != "given" || given[0]["remarks"] != nil {
		t.Fatalf("%v", given)
	}
	for name, path := range map[string]string{"a bundle": bundle, "its folder": folder, "the trace in it": filepath.Join(folder, "trace.wav")} {
		lines, stderr, code := measureLines(t, path)
		if code != 0 || stderr != "" || len(lines) != 1 || lines[0]["carrier_ghz"] != 10.525 || lines[0]["carrier_from"] != "bundle" || lines[0]["speed_kmh"] != given[0]["speed_kmh"] {
			t.Errorf("%s: exit %d, %v, want speed %v, %s", name, code, lines, given[0]["speed_kmh"], stderr)
		}
	}
	alone, _, code := measureLines(t, file)
	if code != 0 || len(alone) != 1 || alone[0]["carrier_from"] != "assumed" || !strings.Contains(fmt.Sprint(alone[0]["remarks"]), "carrier 24.125GHz assumed") {
		t.Errorf("by itself: exit %d, %v", code, alone)
	}
	// Settings that the record does not name are no settings.
	if err := os.WriteFile(filepath.Join(folder, "configuration.txt"), []byte("[sensor]\ncarrier = \"24.125GHz\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	other, _, _ := measureLines(t, folder)
	if len(other) != 1 || other[0]["carrier_from"] != "assumed" || !strings.Contains(fmt.Sprint(other[0]["remarks"]), "not those that the record names") {
		t.Errorf("with other settings: %v", other)
	}
}

// A trace of readings is measured again as its sensor was set, and gives what the
// sensor's own bytes gave.
func TestD20_TraceOfReadingsIsMeasuredAgain(t *testing.T) {
	file := filepath.Join(t.TempDir(), "agd.bin")
	if err := os.WriteFile(file, agdBytes(false), 0o600); err != nil {
		t.Fatal(err)
	}
	feed := agd.NewPlayback(bytes.NewReader(agdBytes(false)), agd.CRC8)
	tracker, err := track.NewTracker(track.Options{Angle: 2000, Step: agd.Step, Separates: true, KeepTrace: true})
	if err != nil {
		t.Fatal(err)
	}
	for {
		cycle, err := feed.Next(t.Context())
		if err != nil {
			break
		}
		tracker.Push(cycle)
	}
	tracker.Flush()
	p, ok := tracker.Pop()
	if !ok {
		t.Fatal("no passage")
	}
	c := config.Default()
	c.Site.ID, c.Sensor.Driver, c.Sensor.Angle = "s1", "agd", 20_000
	bundle := bundleOf(t, p.Trace, c)
	folder := unpacked(t, bundle)
	want := fmt.Sprintf("%d.%02d", p.Speed/sensor.KmH, p.Speed%sensor.KmH)
	for name, path := range map[string]string{"a bundle": bundle, "its folder": folder, "the trace in it": filepath.Join(folder, "trace.csv")} {
		lines, stderr, code := measureLines(t, path)
		if code != 0 || stderr != "" || len(lines) != 1 || fmt.Sprintf("%.2f", lines[0]["speed_kmh"]) != want || lines[0]["direction"] != p.Direction.String() || lines[0]["valid"] != true {
			t.Errorf("%s: exit %d, %v, want %s, %s", name, code, lines, want, stderr)
			continue
		}
		if lines[0]["carrier_ghz"] != nil || !strings.Contains(fmt.Sprint(lines[0]["remarks"]), "whether others were in the beam is not told") {
			t.Errorf("%s: %v", name, lines[0])
		}
	}
	// By itself it says what its speed hangs on.
	alone := filepath.Join(t.TempDir(), "trace.csv")
	if err := os.WriteFile(alone, p.Trace.Data, 0o600); err != nil {
		t.Fatal(err)
	}
	if lines, _, code := measureLines(t, alone); code != 0 || len(lines) != 1 || !strings.Contains(fmt.Sprint(lines[0]["remarks"]), "angle 0deg taken") {
		t.Errorf("by itself: exit %d, %v", code, lines)
	}
	if lines, stderr, code := measureLines(t, "--format", "trace", file); code != 1 || !strings.Contains(stderr, "trace:") {
		t.Errorf("bytes of a sensor as a trace: exit %d, %v, %s", code, lines, stderr)
	}
}

func TestD17_StreamedRecordingIsMeasuredToItsEnd(t *testing.T) {
	if testing.Short() {
		t.Skip("short: one recording, measured six times")
	}
	wave, err := os.ReadFile(recording.Path(t, "radar/uct_40kmh_v1.wav"))
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.Index(wave, []byte("data")) + 4
	dir := t.TempDir()
	measureSized := func(name string, size uint32, cut int) ([]map[string]any, string, int) {
		b := bytes.Clone(wave[:len(wave)-cut])
		binary.LittleEndian.PutUint32(b[at:], size)
		file := filepath.Join(dir, name+".wav")
		if err := os.WriteFile(file, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return measureLines(t, "--carrier", "24GHz", file)
	}
	right := binary.LittleEndian.Uint32(wave[at:])
	want, _, _ := measureSized("x", right, 0)
	for _, size := range []uint32{0, 0xffffffff, 0x80000000, right + 12345} {
		got, stderr, code := measureSized("x", size, 0)
		if code != 0 || stderr != "" || len(got) != 1 || got[0]["speed_kmh"] != want[0]["speed_kmh"] || !strings.Contains(fmt.Sprint(got[0]["remarks"]), "to the end of the file") {
			t.Errorf("size %#x: exit %d, %v, %s", size, code, got, stderr)
		}
	}
	// No passage in it: said all the same. No sample: an error.
	if _, stderr, code := measureSized("short", right, len(wave)-at-5000); code != 0 || !strings.Contains(stderr, "note: its data chunk should hold") {
		t.Errorf("a short piece: exit %d, %s", code, stderr)
	}
	for _, size := range []uint32{0, 0xffffffff, 0x80000000, right} {
		if lines, stderr, code := measureSized("empty", size, len(wave)-at-4); code != 1 || len(lines) > 0 || !strings.Contains(stderr, "empty recording, not an empty road") {
			t.Errorf("nothing, of size %#x: exit %d, %s", size, code, stderr)
		}
	}
}

// A sensor's bytes that end within a message are measured to their end, and that is
// said; a whole recording has nothing to say.
func TestD17_BytesThatEndInAMessageAreSaid(t *testing.T) {
	dir := t.TempDir()
	for format, whole := range map[string][]byte{
		"agd": agdBytes(false), "csr": csrBytes(), "ops243": ops243Bytes(), "isys4001": isysBytes(), "iqframe": iqframeBytes(t),
	} {
		for cut := range 2 {
			file := filepath.Join(dir, "x")
			if err := os.WriteFile(file, whole[:len(whole)-cut], 0o600); err != nil {
				t.Fatal(err)
			}
			lines, stderr, code := measureLines(t, "--format", format, "--carrier", "24.125GHz", file)
			if code != 0 || stderr != "" || len(lines) != 1 || lines[0]["valid"] != true {
				t.Fatalf("%s less %d bytes: exit %d, %v, %s", format, cut, code, lines, stderr)
			}
			said := fmt.Sprint(lines[0]["remarks"])
			if strings.Contains(said, "bytes of no whole message") != (cut > 0) {
				t.Errorf("%s less %d bytes says %s", format, cut, said)
			}
		}
		file := filepath.Join(dir, "empty")
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, stderr, code := measureLines(t, "--format", format, file); code != 1 || !strings.Contains(stderr, "empty") {
			t.Errorf("nothing as %s: exit %d, %s", format, code, stderr)
		}
	}
}
