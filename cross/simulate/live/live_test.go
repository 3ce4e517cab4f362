package live

import (
	"context"
	"io"
	"mime/multipart"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"ciglio/capture"
	"ciglio/cross/simulate"
	"ciglio/sensor"
	"ciglio/sensor/clock"
	"ciglio/sensor/iqframe"
	"ciglio/sensor/port"
)

// TestRoadGoesOnWithoutListeners looks through the camera first and opens the
// radar's line later: what it hears then is of that moment.
func TestRoadGoesOnWithoutListeners(t *testing.T) {
	road, err := simulate.NewRoad(simulate.Traffic(1, 70*sensor.KmH, 20*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	radar := filepath.Join(t.TempDir(), "radar")
	side, err := Open(road, radar, "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- side.Run(ctx) }()

	answer, err := http.Get(side.CameraURL())
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.Header.Get("Ciglio-Simulated") == "" {
		t.Error("the camera passes for a real one")
	}
	parts := multipart.NewReader(answer.Body, "frame")
	const watched = 25
	for range watched {
		p, err := parts.NextPart()
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(p)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := capture.CheckJPEG(b); err != nil {
			t.Fatal(err)
		}
	}
	line, err := port.Dial(radar, Baud, "none")
	if err != nil {
		t.Fatal(err)
	}
	defer line.Close()
	rate := road.Radar().Rate
	signal, err := iqframe.NewStream(line, rate, new(clock.System))
	if err != nil {
		t.Fatal(err)
	}
	b, err := signal.Next(t.Context())
	if least := uint64(rate) * (watched - 3) * 80 / 1000; err != nil || b.Index < least {
		t.Errorf("the first pair is %d (%v), want %d or later", b.Index, err, least)
	}
	stop()
	if err := <-done; err != context.Canceled {
		t.Errorf("ended with %v", err)
	}
	if _, err := os.Lstat(radar); !os.IsNotExist(err) {
		t.Errorf("the link is still there: %v", err)
	}
}

func TestRoadEnds(t *testing.T) {
	road, err := simulate.NewRoad(simulate.Scenario{Duration: 100 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	side, err := Open(road, filepath.Join(t.TempDir(), "radar"), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := side.Run(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestOpenLeavesFilesAlone(t *testing.T) {
	file := filepath.Join(t.TempDir(), "radar")
	if err := os.WriteFile(file, []byte("notes"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(nil, file, "127.0.0.1:0"); err == nil {
		t.Error("took the place of a file")
	}
	if b, err := os.ReadFile(file); string(b) != "notes" {
		t.Errorf("the file is now %q, %v", b, err)
	}
}
