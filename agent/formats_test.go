package agent

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ciglio/cross/simulate"
	"ciglio/cross/simulate/emulator"
	"ciglio/sensor"
	"ciglio/sensor/isys4001"
)

// pass calls report for each interval of a pass at 20 m/s, 72 km/h, towards a
// sensor beside which the vehicle goes at 3 m: with its distance along the road,
// until it is out of sight, and then with 0 for two seconds.
func pass(interval time.Duration, report func(at time.Duration, metres float64)) {
	for at := time.Duration(0); at < 6*time.Second; at += interval {
		metres := 80 - 20*at.Seconds()
		if metres < 1 {
			metres = 0
		}
		report(at, metres)
	}
}

// radial is the speed along the line of sight in m/s, and range its length.
func radial(metres float64) (speed, length float64) {
	length = math.Hypot(metres, 3)
	return 20 * metres / length, length
}

func agdBytes(xor bool) []byte {
	var out bytes.Buffer
	x := emulator.AGD{XOR: xor}
	pass(50*time.Millisecond, func(at time.Duration, metres float64) {
		if metres == 0 {
			return
		}
		speed, length := radial(metres)
		out.Write(x.Message(fmt.Sprintf("04,%08.2f,07,A,%05.1f,K,%05.1f,-%04.1f,180.0,P,071.5", at.Seconds(), speed*3.6, length, math.Asin(3/length)*180/math.Pi)))
	})
	return out.Bytes()
}

func csrBytes() []byte {
	var out []byte
	pass(26*time.Millisecond, func(_ time.Duration, metres float64) {
		if metres == 0 {
			out = append(out, 0xf7, 0)
			return
		}
		speed, _ := radial(metres)
		out = append(out, 0xf9, byte(speed*3.6))
	})
	return out
}

func ops243Bytes() []byte {
	var out []byte
	pass(60*time.Millisecond, func(at time.Duration, metres float64) {
		if metres == 0 {
			out = fmt.Appendf(out, "{\"time\":\"%.3f\",\"unit\":\"mps\",\"magnitude\":\"10\",\"speed\":\"0.0\"}\r\n", at.Seconds())
			return
		}
		speed, _ := radial(metres)
		out = fmt.Appendf(out, "{\"time\":\"%.3f\",\"unit\":\"mps\",\"magnitude\":\"900\",\"speed\":\"%.2f\"}\r\n", at.Seconds(), speed)
	})
	return out
}

func isysBytes() []byte {
	var out []byte
	pass(75*time.Millisecond, func(_ time.Duration, metres float64) {
		if metres == 0 {
			out = isys4001.AppendFrame(out, 1, 0x80, 0xda, 1, 0)
			return
		}
		speed, length := radial(metres)
		v, r, a := uint16(speed*100), uint16(length*100), uint16(int16(-math.Asin(3/length)*18000/math.Pi))
		out = isys4001.AppendFrame(out, 1, 0x80, 0xda, 1, 1, 60, byte(v>>8), byte(v), byte(r>>8), byte(r), byte(a>>8), byte(a))
	})
	return out
}

func iqframeBytes(t *testing.T) []byte {
	t.Helper()
	road, err := simulate.NewRoad(simulate.Scenario{
		Seed: 7, Duration: 8 * time.Second, Radar: simulate.Radar{Rate: 8000},
		Vehicles: []simulate.Vehicle{{Speed: 72 * sensor.KmH, Direction: sensor.Approaching, Lane: 1, Passing: 4 * time.Second}},
	})
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	x := emulator.IQFrame{Signal: road.Unpaced(0)}
	if err := x.Serve(t.Context(), &out); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestMeasureRecognisesSerialBytes(t *testing.T) {
	dir := t.TempDir()
	for name, c := range map[string]struct {
		format    string
		data      []byte
		direction string
	}{
		"a CRC-8":           {"agd", agdBytes(false), "approaching"},
		"the other sum":     {"agd", agdBytes(true), "approaching"},
		"no sum at all":     {"csr", csrBytes(), "approaching"},
		"lines of JSON":     {"ops243", ops243Bytes(), "approaching"},
		"lists of targets":  {"isys4001", isysBytes(), "approaching"},
		"framed samples":    {"iqframe", iqframeBytes(t), "approaching"},
		"noise before them": {"agd", append([]byte("\x00\xff\x02\x31\x2a"), agdBytes(false)...), "approaching"},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(dir, "x")
			if err := os.WriteFile(file, c.data, 0o600); err != nil {
				t.Fatal(err)
			}
			for _, format := range []string{"auto", c.format} {
				lines, stderr, code := measureLines(t, "--format", format, file)
				if code != 0 || len(lines) != 1 || stderr != "" {
					t.Fatalf("--format %s: exit %d, %v, %s", format, code, lines, stderr)
				}
				l := lines[0]
				u := l["u_kmh"].(float64)
				if v := l["speed_kmh"].(float64); v > 72+2*u || v < 72-1.5-2*u || l["direction"] != c.direction || l["valid"] != true {
					t.Errorf("--format %s: %v", format, l)
				}
			}
		})
	}
}

// A sensor's reports read as another's, and recordings that end in error, say so,
// and the files after them are read.
func TestMeasureSerialBytesThatAreWrong(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	x := emulator.AGD{}
	mph := write("mph", append(agdBytes(false), x.Message("04,00009.00,07,A,063.4,M,042.5,-03.2,180.0,P,071.5")...))
	good := write("good", agdBytes(false))
	lines, stderr, code := measureLines(t, mph, good)
	if code != 1 || len(lines) != 2 || !strings.Contains(stderr, mph+": agd: the sensor reports mph") {
		t.Errorf("mph: exit %d, %v, %s", code, lines, stderr)
	}
	for format, data := range map[string][]byte{
		"agd": csrBytes(), "csr": []byte("no report"), "isys4001": csrBytes(), "iqframe": csrBytes(), "ops243": csrBytes(), "wav": csrBytes(),
	} {
		file := write(format, data)
		if lines, stderr, code := measureLines(t, "--format", format, file); code != 1 || !strings.Contains(stderr, file+": ") {
			t.Errorf("another sensor's bytes as %s: exit %d, %v, %s", format, code, lines, stderr)
		}
	}
}

// Any bytes are a recording, or an error that says so.
func FuzzMeasure(f *testing.F) {
	for _, seed := range [][]byte{agdBytes(false)[:400], csrBytes()[:400], ops243Bytes()[:400], isysBytes()[:400], []byte("RIFF\x24\x00\x00\x00WAVEfmt "), []byte("CIQ\xa5\x01\x00")} {
		f.Add(seed, "auto")
	}
	for _, name := range []string{"agd", "csr", "ops243@50000", "isys4001", "iqframe", "wav", "iq16le@8000"} {
		f.Add([]byte("\x02\xf9\x32{\"speed\":12}\r\n"), name)
	}
	f.Fuzz(func(t *testing.T, data []byte, format string) {
		file := filepath.Join(t.TempDir(), "x")
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
		lines, stderr, code := measureLines(t, "--format="+format, file)
		if code < 0 || code > 2 || (code == 0) != (strings.Count(stderr, "\n") == strings.Count(stderr, ": note: ")) || code == 2 && len(lines) > 0 {
			t.Errorf("exit %d, %d lines, %q", code, len(lines), stderr)
		}
	})
}
