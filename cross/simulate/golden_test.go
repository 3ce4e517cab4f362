package simulate

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"hash"
	"io"
	"math"
	"os"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "rewrite the golden hashes of the scenarios: a decision, since every road changes")

// quick are the scenarios that every processor makes; the others take long in
// an emulator.
var quick = map[string]bool{"single": true, "rain": true, "overtaking": true, "motorway-350": true, "real-output": true, "acceleration": true}

// TestOneSeedIsOneRoad makes every scenario and compares the SHA-256 of its
// samples, and of its truth, cycles and edges, with those that are known. It
// passes on every processor, or the arithmetic is not what it says.
func TestOneSeedIsOneRoad(t *testing.T) {
	const file = "testdata/golden.txt"
	known := map[string]string{}
	text, err := os.ReadFile(file)
	if err != nil && !*update {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		name, hashes, _ := strings.Cut(strings.TrimSpace(line), " ")
		known[name] = hashes
	}
	var out strings.Builder
	for _, name := range Scenarios() {
		if testing.Short() && !quick[name] && !*update {
			continue
		}
		s, err := ReadScenario(name)
		if err != nil {
			t.Fatal(err)
		}
		r := mustRoad(t, s)
		got := fmt.Sprintf("%x %x", samplesOf(t, r), restOf(t, r, s))
		fmt.Fprintln(&out, name, got)
		if !*update && got != known[name] {
			t.Errorf("%s: %s, want %s", name, got, known[name])
		}
	}
	if *update {
		if err := os.WriteFile(file, []byte(out.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func samplesOf(t *testing.T, r *Road) []byte {
	h := sha256.New()
	s := r.Unpaced(0)
	var b []byte
	for {
		block, err := s.Next(t.Context())
		if errors.Is(err, io.EOF) {
			return h.Sum(nil)
		}
		if err != nil {
			t.Fatal(err)
		}
		b = b[:0]
		for n := range block.I {
			b = binary.LittleEndian.AppendUint32(b, math.Float32bits(block.I[n]))
			if block.Q != nil {
				b = binary.LittleEndian.AppendUint32(b, math.Float32bits(block.Q[n]))
			}
		}
		h.Write(b)
	}
}

// restOf hashes the truth, the cycles and the edges.
func restOf(t *testing.T, r *Road, s Scenario) []byte {
	h := sha256.New()
	for _, v := range r.Truth() {
		x, y := v.PlaceAt(v.Enter)
		put(h, v.Speed, v.Passing, v.Enter, v.Leave, v.Overlap, v.Alone, v.SpeedAt(v.Enter), v.MeanSpeed(v.Enter, v.Leave),
			math.Float64bits(x), math.Float64bits(y))
	}
	cycles := r.Cycles(s.Readings)
	for {
		c, err := cycles.Next(t.Context())
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, reading := range c.Readings {
			reading.Raw = nil
			put(h, reading)
		}
	}
	contacts := append(s.Contacts, Contacts{Lane: 1, At: []float64{8, 12}, Length: 2, Jitter: time.Millisecond / 5})
	for _, c := range contacts {
		edges, err := r.Edges(c)
		if err != nil {
			t.Fatal(err)
		}
		put(h, edges)
	}
	return h.Sum(nil)
}

func put(h hash.Hash, values ...any) { fmt.Fprintln(h, values...) }
