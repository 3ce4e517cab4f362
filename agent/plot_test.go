package agent

import (
	"cmp"
	"encoding/xml"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ciglio/sensor/sensortest/recording"
)

func TestPlotShowsThePassage(t *testing.T) {
	file := recording.Path(t, "radar/uct_40kmh_v1.wav")
	folder := t.TempDir()
	picture := filepath.Join(folder, "pass.svg")
	lines, stderr, code := measureLines(t, "--carrier", "24GHz", "--plot", picture, file)
	if code != 0 || len(lines) != 1 || stderr != "" {
		t.Fatalf("exit %d, %d lines, %s", code, len(lines), stderr)
	}
	if n := colours(t, picture)["#ffd614"]; n != 5 { // the line, two lines of words, the box about them and the legend
		t.Errorf("%d elements of a passage", n)
	}
	if all, err := os.ReadDir(folder); err != nil || len(all) != 1 {
		t.Errorf("%d files, %v", len(all), err)
	}
}

func TestPlotShowsReadings(t *testing.T) {
	file := recording.Path(t, "serial/ops243a_uptime_magnitude_speed.csv")
	picture := filepath.Join(t.TempDir(), "readings.svg")
	if _, stderr, code := measureLines(t, "--plot", picture, file); code != 0 || stderr != "" {
		t.Fatalf("exit %d: %s", code, stderr)
	}
	if n := colours(t, picture)["#ff5460"]; n != 5 { // the same of one discarded
		t.Errorf("%d elements of a passage", n)
	}
}

// A name of a recording is no markup.
func TestPlotNamesTheRecording(t *testing.T) {
	data, err := os.ReadFile(recording.Path(t, "serial/ops243a_uptime_magnitude_speed.csv"))
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	file, picture := filepath.Join(folder, `<b>&"'.csv`), filepath.Join(folder, "x.svg")
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, stderr, code := measureLines(t, "--plot", picture, file); code != 0 || stderr != "" {
		t.Fatalf("exit %d: %s", code, stderr)
	}
	colours(t, picture)
	if got, err := os.ReadFile(picture); err != nil || !strings.Contains(string(got), "&lt;b&gt;&amp;&#34;&#39;.csv  OPS243") {
		t.Errorf("%v, %s", err, got)
	}
}

// colours returns how many elements of a picture have a colour, as stroke or as
// fill.
func colours(t *testing.T, file string) map[string]int {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	n := map[string]int{}
	for d := xml.NewDecoder(f); ; {
		token, err := d.Token()
		if err == io.EOF {
			return n
		}
		if err != nil {
			t.Fatal(err)
		}
		if e, ok := token.(xml.StartElement); ok {
			for _, a := range e.Attr {
				if a.Name.Local == "stroke" || a.Name.Local == "fill" {
					n[a.Value]++
				}
			}
		}
	}
}

func TestPlotIsRefusedBeforeMeasuring(t *testing.T) {
	file, folder := filepath.Join(t.TempDir(), "x.wav"), t.TempDir()
	shaped, named := filepath.Join(t.TempDir(), "folder.svg"), filepath.Join(t.TempDir(), "recording.svg")
	if err := cmp.Or(os.WriteFile(file, nil, 0o600), os.WriteFile(named, nil, 0o600), os.Mkdir(shaped, 0o700)); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"no folder":          {[]string{"--plot", filepath.Join(folder, "no", "x.svg"), file}, "there is no folder " + filepath.Join(folder, "no")},
		"a folder":           {[]string{"--plot", shaped, file}, "exists and is no file"},
		"PNG":                {[]string{"--plot", filepath.Join(folder, "x.png"), file}, "the picture is SVG, not .png: let its name end in .svg"},
		"no ending":          {[]string{"--plot", filepath.Join(folder, "x"), file}, "let its name end in .svg"},
		"below a file":       {[]string{"--plot", filepath.Join(file, "x.svg"), file}, "is no folder"},
		"several inputs":     {[]string{"--plot", filepath.Join(folder, "x.svg"), file, file}, "one recording, not 2"},
		"over the recording": {[]string{"--plot", named, named}, "is the recording itself"},
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
	file, picture := filepath.Join(folder, "x.wav"), filepath.Join(folder, "x.svg")
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
