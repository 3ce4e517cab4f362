package agent

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ciglio/sensor/sensortest/recording"
	"ciglio/sensor/wav"
)

// measureLines runs the command and decodes its output.
func measureLines(t *testing.T, args ...string) (lines []map[string]any, stderr string, code int) {
	t.Helper()
	var out, errs bytes.Buffer
	code = Main(append([]string{"measure"}, args...), &out, &errs)
	if strings.HasPrefix(out.String(), "usage:") {
		return nil, errs.String(), code
	}
	d := json.NewDecoder(&out)
	for d.More() {
		var line map[string]any
		if err := d.Decode(&line); err != nil {
			t.Fatal(err)
		}
		lines = append(lines, line)
	}
	return lines, errs.String(), code
}

func TestMeasurePrintsPassages(t *testing.T) {
	file := recording.Path(t, "radar/uct_40kmh_v1.wav")
	for _, args := range [][]string{
		{"--carrier", "24GHz", file},
		{file, "--carrier=24000MHz", "--json"},
		{"--angle", "0deg", "--carrier", "24000000000Hz", "--format", "wav", "--", file},
	} {
		lines, stderr, code := measureLines(t, args...)
		if code != 0 || len(lines) != 1 || stderr != "" {
			t.Fatalf("%q: exit %d, %d lines, %s", args, code, len(lines), stderr)
		}
		l := lines[0]
		if v := l["speed_kmh"].(float64); math.Abs(v-37.57) > 0.5 {
			t.Errorf("speed %v", v)
		}
		if l["file"] != file || l["direction"] != "unknown" || l["valid"] != true || l["reason"] != "" || len(l) != 11 || l["carrier_ghz"] != 24.0 || l["carrier_from"] != "given" {
			t.Errorf("line %v", l)
		}
		for _, key := range []string{"start_s", "end_s", "u_kmh", "targets"} {
			if _, ok := l[key].(float64); !ok {
				t.Errorf("%s is %v", key, l[key])
			}
		}
	}
}

// A vehicle that passes the sensor tells the angle under which it is seen
// itself: a set angle must not make it faster.
func TestMeasureAngleNeverAddsToASpeedThatTellsItsOwn(t *testing.T) {
	if testing.Short() {
		t.Skip("short: one recording, measured twice more")
	}
	file := recording.Path(t, "radar/uct_40kmh_v1.wav")
	straight, _, _ := measureLines(t, "--carrier", "24GHz", file)
	slanted, _, code := measureLines(t, "--carrier", "24GHz", "--angle", "20deg", file)
	if code != 0 || len(straight) != 1 || len(slanted) != 1 || slanted[0]["speed_kmh"] != straight[0]["speed_kmh"] {
		t.Errorf("exit %d, %v, %v", code, straight, slanted)
	}
}

func TestMeasureWrongUse(t *testing.T) {
	for _, args := range [][]string{
		{},
		{"--carrier", "24GHz"},
		{"--carrier", "24", "x.wav"},
		{"--carrier", "NaNGHz", "x.wav"},
		{"--angle", "61deg", "x.wav"},
		{"--angle", "5", "x.wav"},
		{"--format", "ops241", "x.wav"},
		{"--format", "agd@100", "x.wav"},
		{"--format", "ops243@", "x.wav"},
		{"--format", "ops243@0", "x.wav"},
		{"--format", "iq16le@", "x.wav"},
		{"--colour", "x.wav"},
	} {
		lines, stderr, code := measureLines(t, args...)
		if code != 2 || len(lines) != 0 || !strings.Contains(stderr, "hint:") {
			t.Errorf("%q: exit %d, %v, %s", args, code, lines, stderr)
		}
	}
	if _, _, code := measureLines(t, "--help"); code != 0 {
		t.Errorf("--help: exit %d", code)
	}
}

func TestMeasureNamesWhatItCannotRead(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	var whole bytes.Buffer
	w, err := wav.NewWriter(&whole, wav.Format{Rate: 20000, Channels: 2, Bits: 16}, 30000)
	if err != nil {
		t.Fatal(err)
	}
	silence := make([]float32, 30000)
	silence[0] = 0.25 // no recording of one value
	if err := w.Write(silence, silence); err != nil {
		t.Fatal(err)
	}
	serial := write("capture.txt", []byte("Reports of the day, in words.\r\n"))
	short := write("short.wav", whole.Bytes()[:5000])
	empty := write("empty.wav", nil)
	missing := filepath.Join(dir, "missing.wav")
	good := write("good.wav", whole.Bytes())
	_, stderr, code := measureLines(t, serial, short, good, empty, missing, dir)
	if code != 1 {
		t.Errorf("exit %d", code)
	}
	for _, want := range []string{serial + ": none of wav, trace, iqframe", "say --format", short + ": ", "read to the end of the file", empty + ": empty", missing + ": no such file", dir + ": is a directory"} {
		if !strings.Contains(stderr, want) {
			t.Errorf("no %q in:\n%s", want, stderr)
		}
	}
	if strings.Contains(strings.ReplaceAll(stderr, good+": note: carrier", ""), good) {
		t.Errorf("the good file failed:\n%s", stderr)
	}
	if _, _, code := measureLines(t, "--format", "iq16le@20000", good); code != 0 {
		t.Errorf("headerless: exit %d", code)
	}
	if _, _, code := measureLines(t, "--format", "real16le@100", good); code != 1 {
		t.Errorf("absurd rate: exit %d", code)
	}
}

func TestD17_ARecordingOfOneValueIsNoEmptyRoad(t *testing.T) {
	const frames = 48_000
	for name, frame := range map[string]string{
		"zero":                 "\x00\x00",
		"at the rail":          "\xff\x7f",
		"a constant":           "\x64\x00",
		"zero, I and Q":        "\x00\x00\x00\x00",
		"constants of I and Q": "\x64\x00\x9c\xff",
	} {
		t.Run(name, func(t *testing.T) {
			format := map[int]string{2: "real16le@48000", 4: "iq16le@48000"}[len(frame)]
			file := filepath.Join(t.TempDir(), "still.raw")
			for _, spoiled := range []bool{false, true} {
				samples := []byte(strings.Repeat(frame, frames))
				if spoiled { // a single other bit is no proof of a dead sensor
					samples[len(samples)-2] ^= 1
				}
				if err := os.WriteFile(file, samples, 0o600); err != nil {
					t.Fatal(err)
				}
				lines, errs, code := measureLines(t, "--carrier", "24GHz", "--format", format, file)
				if told := strings.Contains(errs, "not an empty road"); len(lines) != 0 || told == spoiled || (code == exitFailed) == spoiled {
					t.Errorf("spoiled %v: exit %d, %d lines, %s", spoiled, code, len(lines), errs)
				}
			}
		})
	}
}

func TestD17_ARecordingTooShortForAVehicleIsNoEmptyRoad(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	file := filepath.Join(t.TempDir(), "short.wav")
	for _, c := range []struct {
		name  string
		count int
		told  bool
	}{
		{"one sample", 1, true},
		{"a hundred", 100, true},
		{"one less than 32 ms", 639, true},
		{"32 ms", 640, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			var out bytes.Buffer
			w, err := wav.NewWriter(&out, wav.Format{Rate: 20000, Channels: 2, Bits: 16}, int64(c.count))
			if err != nil {
				t.Fatal(err)
			}
			i, q := make([]float32, c.count), make([]float32, c.count)
			for k := range i {
				i[k], q[k] = float32(random.NormFloat64()/100), float32(random.NormFloat64()/100)
			}
			if err := errors.Join(w.Write(i, q), os.WriteFile(file, out.Bytes(), 0o600)); err != nil {
				t.Fatal(err)
			}
			lines, stderr, code := measureLines(t, "--carrier", "24GHz", file)
			said := strings.Contains(stderr, fmt.Sprintf("holds %d samples", c.count)) && strings.Contains(stderr, "not an empty road")
			if len(lines) != 0 || said != c.told || (code == exitFailed) != c.told {
				t.Errorf("exit %d, %d lines, %s", code, len(lines), stderr)
			}
		})
	}
}
