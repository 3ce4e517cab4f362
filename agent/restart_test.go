package agent

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"ciglio/cross/simulate/emulator"
	"ciglio/sensor/isys4001"
)

const ops243Banner = "{\"Product\":\"OPS243\"}\r\n{\"Version\":\"1.3.1\"}\r\n{\"SamplingRate\":10000, \"resolution\":0.0608}\r\n" +
	"{\"SampleSize\":1024}\r\n{\"Clock\":\"0\"}\r\n"

// csvBytes is the pass in plain reports, with the time since the sensor's start.
func csvBytes(start float64) []byte {
	var out []byte
	pass(60*time.Millisecond, func(at time.Duration, metres float64) {
		if metres > 0 {
			speed, _ := radial(metres)
			out = fmt.Appendf(out, "%.3f,900,%.2f\n", start+at.Seconds(), speed)
		}
	})
	return out
}

// bareBytes is the same with nothing but the speed.
func bareBytes() []byte {
	var out []byte
	pass(100*time.Millisecond, func(_ time.Duration, metres float64) {
		speed := 0.0
		if metres > 0 {
			speed, _ = radial(metres)
		}
		out = fmt.Appendf(out, "%.2f\r\n", speed)
	})
	return out
}

// A recording in which the sensor starts anew while a vehicle is in the beam: the
// vehicles before and behind are measured, and that one is not, unless it may have
// left: a radar that says nothing of an empty road, and had measured it in full.
func TestD19_BothPartsOfARecordingAreMeasured(t *testing.T) {
	x := emulator.AGD{}
	isys := isys4001.AppendFrame(nil, 1, 0x80, 0xd0, []byte("iSYS-4001")...)
	isys = isys4001.AppendFrame(isys, 1, 0x80, 0xd1)
	lists := append(isys4001.AppendFrame(nil, 1, 0x80, 0xda, 1, 0), isysBytes()...) // the road is empty at first
	iq := iqframeBytes(t)
	for name, c := range map[string]struct {
		format   string
		whole    []byte // one vehicle
		between  string // what the sensor says when it starts
		again    []byte // the vehicle behind; nil for whole
		inMiddle int    // percent of whole after which it is cut
	}{
		"JSON, banner and settings":    {"ops243", ops243Bytes(), ops243Banner + "{\"OutputFeature\":\"T\"}\r\n{\"Units\":\"m-per-sec\"}\r\n", nil, 40},
		"JSON, only the time":          {"ops243", ops243Bytes(), "", nil, 40},
		"JSON, whole lines":            {"ops243", ops243Bytes(), "\r\n", nil, 40},
		"JSON behind a long time":      {"ops243", ops243Bytes(), ops243Banner, []byte(strings.ReplaceAll(string(ops243Bytes()), `"time":"`, `"time":"50`)), 40},
		"plain, only the time":         {"ops243", csvBytes(3689529), "", csvBytes(0), 50},
		"plain, banner":                {"ops243", csvBytes(3689529), "\r\n" + ops243Banner, csvBytes(12), 50},
		"plain, reports before set":    {"ops243", csvBytes(3689529), "\n" + ops243Banner + "3.5\n-2.0\n\n3.5\n", csvBytes(12), 50},
		"plain, settings are lost":     {"ops243", csvBytes(3689529), "\n" + ops243Banner + strings.Repeat("0.0\n", 20), bareBytes(), 50},
		"plain, then JSON":             {"ops243", csvBytes(3689529), "\n" + ops243Banner, ops243Bytes(), 50},
		"bare speeds, words":           {"ops243", bareBytes(), "\r\nOmniPreSense OPS243-A\r\n", nil, 40},
		"bare speeds":                  {"ops243", bareBytes(), "\r\n" + ops243Banner, nil, 40},
		"lists, set up anew":           {"isys4001", lists, string(isys), nil, 40},
		"lists, refused before":        {"isys4001", lists, string(isys4001.AppendFrame(nil, 1, 0x80, 0xfd)), nil, 40},
		"targets, the time":            {"agd", agdBytes(false), "", nil, 50},
		"targets, reports before set":  {"agd", agdBytes(false), "#AGD AGD350-101 V1.2\r" + string(x.Message("04,00000.01,07,A,039.4,M,042.5,-03.2,180.0,P,071.5")), nil, 50},
		"reports, a start":             {"csr", csrBytes(), "\xfe\xfd\xfd\xfe", nil, 40},
		"reports, cut in their middle": {"csr", csrBytes(), "\xf9\xfe\xfd\xfd\xfe", nil, 40},
		"samples":                      {"iqframe", iq, "", nil, 45},
		"samples, the first lost":      {"iqframe", iq, "", iq[3*(24+800+4):], 45},
	} {
		t.Run(name, func(t *testing.T) {
			again := c.again
			if again == nil {
				again = c.whole
			}
			cut := len(c.whole)*c.inMiddle/100 + 3
			file := filepath.Join(t.TempDir(), "x")
			for k := range 4 {
				whole, format := k%2 == 1, c.format
				if k > 1 {
					format = "auto"
				}
				parts := [][]byte{c.whole[:cut], []byte(c.between), again}
				if whole {
					parts[0] = c.whole
				}
				if err := os.WriteFile(file, slices.Concat(parts...), 0o600); err != nil {
					t.Fatal(err)
				}
				lines, stderr, code := measureLines(t, "--format", format, file)
				if code != 0 || stderr != "" {
					t.Fatalf("exit %d, %v, %s", code, lines, stderr)
				}
				var valid []float64
				for _, l := range lines {
					if l["valid"] != true {
						continue
					}
					valid = append(valid, l["speed_kmh"].(float64))
					if d := l["end_s"].(float64) - l["start_s"].(float64); d > 4.5 {
						t.Errorf("a valid passage of %.1f s goes across the start: %v", d, l)
					}
				}
				want := 1
				if whole || c.format == "agd" {
					want = 2
				}
				if len(valid) != want {
					t.Errorf("%d valid passages, want %d: %v", len(valid), want, lines)
				}
				for _, v := range valid {
					if v < 69 || v > 73 {
						t.Errorf("%.2f km/h, want 72", v)
					}
				}
			}
		})
	}
}
