package doppler

import (
	"bytes"
	"encoding/csv"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"ciglio/sensor"
	"ciglio/sensor/sensortest/recording"
	"ciglio/sensor/wav"
)

var update = flag.Bool("update", false, "rewrite docs/recordings.md")

// A reference is one vehicle of reference_passes.csv.
type reference struct {
	file, kind  string
	from, to    float64 // s
	kmh, spread float64 // the spread includes what the driver changed
	carrier     int64
}

func readReferences(t *testing.T) []reference {
	t.Helper()
	data, err := os.ReadFile(recording.Path(t, "radar/reference_passes.csv"))
	if err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(bytes.NewReader(data)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	column := map[string]int{}
	for i, name := range rows[0] {
		column[name] = i
	}
	number := func(row []string, name string) float64 {
		v, err := strconv.ParseFloat(row[column[name]], 64)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	var all []reference
	for _, row := range rows[1:] {
		carrier := number(row, "f0_nominal_ghz") * 1e9
		all = append(all, reference{
			file:    row[column["file"]],
			kind:    row[column["kind"]],
			from:    number(row, "track_t0"),
			to:      number(row, "track_t1"),
			kmh:     number(row, "v_radial_kmh"),
			spread:  number(row, "f_plateau_sd_hz") * sensor.SpeedOfLight / (2 * carrier) * 3.6,
			carrier: int64(math.Round(carrier)),
		})
	}
	return all
}

// measureFile runs a WAV file through a processor in blocks of the given size.
func measureFile(t testing.TB, path string, o Options, block int) []sensor.Passage {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	return measureWAV(t, f, o, func() int { return block })
}

func measureWAV(t testing.TB, r io.Reader, o Options, block func() int) []sensor.Passage {
	t.Helper()
	w, err := wav.NewReader(r)
	if err != nil {
		t.Fatal(err)
	}
	format := Format{Rate: w.Format().Rate, Complex: w.Format().Channels == 2}
	p, err := NewProcessor(format, o)
	if err != nil {
		t.Fatal(err)
	}
	var all []sensor.Passage
	for index := uint64(0); ; {
		b := Block{Index: index, At: sensor.Mono(p.span(int64(index))), I: make([]float32, block())}
		if format.Complex {
			b.Q = make([]float32, len(b.I))
		}
		n, err := w.Read(b.I, b.Q)
		if err != nil && !errors.Is(err, io.EOF) {
			t.Fatal(err)
		}
		if err != nil {
			p.Flush()
		} else {
			b.I = b.I[:n]
			if format.Complex {
				b.Q = b.Q[:n]
			}
			if err := p.Push(b); err != nil {
				t.Fatal(err)
			}
		}
		index += uint64(n)
		for x, ok := p.Pop(); ok; x, ok = p.Pop() {
			all = append(all, x)
		}
		if err != nil {
			return all
		}
	}
}

const limitKmh = 0.5 // or the reference's own spread where that is larger

func TestRecordings(t *testing.T) {
	all := readReferences(t)
	passages := map[string][]sensor.Passage{}
	var out bytes.Buffer
	out.WriteString(recordingsHead)
	for n := range all {
		r := &all[n]
		got, ok := passages[r.file]
		if !ok {
			got = measureFile(t, recording.Path(t, "radar/"+r.file), Options{Carrier: r.carrier}, 4096)
		}
		best := -1
		for i, p := range got {
			shared := min(p.End.Seconds(), r.to) - max(p.Start.Seconds(), r.from)
			if p.Valid() && shared > 0.5*(r.to-r.from) && (best < 0 || math.Abs(kmh(p)-r.kmh) < math.Abs(kmh(got[best])-r.kmh)) {
				best = i
			}
		}
		if best < 0 {
			t.Errorf("%s: the %s at %.1f to %.1f s was missed", r.file, r.kind, r.from, r.to)
			continue
		}
		p := got[best]
		passages[r.file] = append(got[:best:best], got[best+1:]...)
		e, limit := kmh(p)-r.kmh, max(limitKmh, r.spread)
		if math.Abs(e) > limit {
			t.Errorf("%s: the %s at %.1f to %.1f s: %v, reference %.2f km/h, limit %.2f", r.file, r.kind, r.from, r.to, p.Speed, r.kmh, limit)
		}
		fmt.Fprintf(&out, "| `%s` | %s | %.2f to %.2f | %.2f | %.2f | %.2f | %+.2f | %.2f | %d |\n",
			r.file, r.kind, p.Start.Seconds(), p.End.Seconds(), r.kmh, limit, kmh(p), e, float64(p.Budget.Total())/100, p.Targets)
	}
	for file, rest := range passages {
		for _, p := range rest {
			t.Errorf("%s: invented: %.2f to %.2f s %v %v", file, p.Start.Seconds(), p.End.Seconds(), p.Speed, p.Reasons)
		}
	}
	out.WriteString(recordingsTail)
	for _, folder := range []string{"radar", "serial"} {
		files, err := os.ReadDir(recording.Path(t, folder))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			if !strings.Contains(out.String(), "`"+f.Name()+"`") {
				t.Errorf("%s/%s is not told of", folder, f.Name())
			}
		}
	}
	if t.Failed() {
		return
	}
	path := filepath.Join("..", "..", "docs", "recordings.md")
	if *update {
		if err := os.WriteFile(path, out.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(want, out.Bytes()) {
		t.Errorf("%s differs; run with -update and review it:\n%s", path, out.String())
	}
}

// TestRecordingsFromOtherSamplesOn starts each recording at other samples, so
// that every frame is another: what the chain finds must not hang on luck.
func TestRecordingsFromOtherSamplesOn(t *testing.T) {
	if testing.Short() {
		t.Skip("short: minutes of signal")
	}
	all := readReferences(t)
	for _, skip := range []int{97, 1180, 1684} {
		passages := map[string][]sensor.Passage{}
		for _, r := range all {
			got, ok := passages[r.file]
			if !ok {
				data, err := os.ReadFile(recording.Path(t, "radar/"+r.file))
				if err != nil {
					t.Fatal(err)
				}
				rest := append(data[:44:44], data[44+6*skip:]...) // whole frames of 2 and of 3 bytes
				for _, p := range measureWAV(t, bytes.NewReader(rest), Options{Carrier: r.carrier}, func() int { return 4096 }) {
					if p.Valid() {
						got = append(got, p)
					}
				}
			}
			found := slices.IndexFunc(got, func(p sensor.Passage) bool {
				return math.Abs(kmh(p)-r.kmh) <= max(limitKmh, r.spread) && p.Start.Seconds() < r.to && p.End.Seconds() > r.from-1
			})
			if found < 0 {
				t.Errorf("%s from sample %d: the %s at %.1f s was missed", r.file, skip, r.kind, r.from)
			} else {
				got = slices.Delete(got, found, found+1)
			}
			passages[r.file] = got
		}
		for file, rest := range passages {
			for _, p := range rest {
				t.Errorf("%s from sample %d: invented: %.2f s %v", file, skip, p.Start.Seconds(), p.Speed)
			}
		}
	}
}

const recordingsTail = `
## The other files

They are not recordings that a vehicle's speed can be measured in:

| file | why |
| --- | --- |
| ` + "`reference_passes.csv`, `reference_ridge.csv`" + ` | the references above, and the lines that they were read from |
| ` + "`hb100_periods_prius_30mph.csv`, `hb100_periods_public_road_a.csv`" + ` | times of single zero crossings, from which another program computed its speeds: no samples of a signal |
| ` + "`citrad_noise_floor_1024bins_12kHz_iq.csv`" + ` | the noise of a sensor, without vehicles |
| ` + "`fmcw77_frame_128x128_complex128.npy`" + ` | one frame of a radar that measures range, indoors; no sensor of ours gives such |
| ` + "`ops243a_uptime_magnitude_speed.csv`" + ` | nine lines of an OPS243: ` + "`ciglio measure`" + ` reads them, and gives no valid speed of so few |
| ` + "`ops243a_object.jsonl`" + ` | one report about a whole vehicle, by the sensor's own rule: its readings, which the evidence needs, are not in it, so it is refused |
`

const recordingsHead = `# Measured against reference

The speeds that the measuring chain finds in recordings of real vehicles. The
recordings and their references were made by others; the references are read
from spectrograms by hand and are radial speeds, far from the closest point. The
limit is 0.5 km/h, or the spread of the reference where that is larger. All are
recordings of one channel, so no direction can be known. Where the carrier of a
sensor is known to 0.5 % only, that adds 0.3 % of the speed to the uncertainty;
the column u, a standard uncertainty, leaves it out, since reference and
measurement use the same nominal carrier.

This page is written by ` + "`go test ./sensor/doppler -run TestRecordings -update`" + `, and
the same test fails when a change of the chain changes it.

| recording | vehicle | track, s | reference, km/h | limit | measured, km/h | error | u | other targets |
| --- | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |
`
