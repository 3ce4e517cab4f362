package track_test

import (
	"bytes"
	"strings"
	"testing"

	"ciglio/sensor"
	"ciglio/sensor/track"
)

// zoned returns the readings of a trace that the speed rests on.
func zoned(t testing.TB, p sensor.Passage) []sensor.Reading {
	t.Helper()
	cycles, err := track.ReadTrace(bytes.NewReader(p.Trace.Data))
	if err != nil {
		t.Fatal(err)
	}
	var all []sensor.Reading
	for i, line := range strings.Split(strings.TrimSpace(string(p.Trace.Data)), "\n")[1:] {
		if strings.HasSuffix(line, "zone") {
			all = append(all, cycles[i].Readings...)
		}
	}
	return all
}
