package agent

import (
	"bytes"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ciglio/sensor/sensortest/recording"
)

func TestPlotShowsThePassage(t *testing.T) {
	file := recording.Path(t, "radar/uct_40kmh_v1.wav")
	folder := t.TempDir()
	picture := filepath.Join(folder, "pass.png")
	lines, stderr, code := measureLines(t, "--carrier", "24GHz", "--plot", picture, file)
	if code != 0 || len(lines) != 1 || stderr != "" {
		t.Fatalf("exit %d, %d lines, %s", code, len(lines), stderr)
	}
	if n := pixels(t, picture, color.RGBA{255, 214, 20, 255}); n < 1000 { // the line, its words and the legend
		t.Errorf("%d pixels of a passage", n)
	}
	if all, err := os.ReadDir(folder); err != nil || len(all) != 1 {
		t.Errorf("%d files, %v", len(all), err)
	}
}

func TestPlotShowsReadings(t *testing.T) {
	file := recording.Path(t, "serial/ops243a_uptime_magnitude_speed.csv")
	picture := filepath.Join(t.TempDir(), "readings.png")
	if _, stderr, code := measureLines(t, "--plot", picture, file); code != 0 || stderr != "" {
		t.Fatalf("exit %d: %s", code, stderr)
	}
	if n := pixels(t, picture, color.RGBA{255, 84, 96, 255}); n < 500 { // discarded, with its words
		t.Errorf("%d pixels of a passage", n)
	}
}

// pixels returns how many of a picture's pixels have a colour.
func pixels(t *testing.T, file string, colour color.RGBA) int {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	m, err := png.Decode(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for y := range m.Bounds().Dy() {
		for x := range m.Bounds().Dx() {
			if m.At(x, y) == colour {
				n++
			}
		}
	}
	return n
}

func TestPlotIsRefusedBeforeMeasuring(t *testing.T) {
	file, folder := filepath.Join(t.TempDir(), "x.wav"), t.TempDir()
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"no folder":          {[]string{"--plot", filepath.Join(folder, "no", "x.png"), file}, "there is no folder " + filepath.Join(folder, "no")},
		"a folder":           {[]string{"--plot", folder, file}, "exists and is no file"},
		"below a file":       {[]string{"--plot", filepath.Join(file, "x.png"), file}, "is no folder"},
		"several inputs":     {[]string{"--plot", filepath.Join(folder, "x.png"), file, file}, "one recording, not 2"},
		"over the recording": {[]string{"--plot", file, file}, "is the recording itself"},
	} {
		lines, stderr, code := measureLines(t, c.args...)
		if code != 2 || len(lines) != 0 || !strings.Contains(stderr, c.want) {
			t.Errorf("%s: exit %d, %d lines, %s", name, code, len(lines), stderr)
		}
	}
	if all, err := os.ReadDir(folder); err != nil || len(all) != 0 {
		t.Errorf("%d files left, %v", len(all), err)
	}
}

func TestNoPlotOfWhatCannotBeRead(t *testing.T) {
	folder := t.TempDir()
	file, picture := filepath.Join(folder, "x.wav"), filepath.Join(folder, "x.png")
	if err := os.WriteFile(file, []byte("RIFF"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, stderr, code := measureLines(t, "--plot", picture, file); code != 1 || strings.Contains(stderr, "plot") {
		t.Errorf("exit %d: %s", code, stderr)
	}
	// Two samples are read, and are no frame.
	if _, stderr, code := measureLines(t, "--format", "real16le@8000", "--plot", picture, file); code != 1 || !strings.Contains(stderr, "shorter than") {
		t.Errorf("exit %d: %s", code, stderr)
	}
	if _, err := os.Stat(picture); !os.IsNotExist(err) {
		t.Error("there is a picture")
	}
}
