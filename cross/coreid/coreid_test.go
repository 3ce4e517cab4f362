package coreid

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const root = "../.."

// outside says what stands beside the core and why it measures nothing.
var outside = map[string]string{
	"capture/httpcam":             "fetches pictures: the record says when and by what",
	"capture/key":                 "signs what the core has written",
	"capture/still":               "draws for people, from what is sealed",
	"capture/v4l2":                "fetches pictures",
	"sensor/plot":                 "draws for people",
	"sensor/sensortest/conform":   "is for tests",
	"sensor/sensortest/pty":       "is for tests",
	"sensor/sensortest/recording": "is for tests",
}

// A new folder below those of the core is in it, or beside it, by decision.
func TestEveryFolderIsInTheCoreOrBesideIt(t *testing.T) {
	if !slices.IsSorted(Folders) {
		t.Error("the list is not in order")
	}
	for _, top := range []string{"sensor", "capture", "agent/enforce", "agent/trust"} {
		err := filepath.WalkDir(filepath.Join(root, top), func(path string, d fs.DirEntry, err error) error {
			if err != nil || !d.IsDir() {
				return err
			}
			if d.Name() == "testdata" {
				return filepath.SkipDir
			}
			folder, err := filepath.Rel(root, path)
			if err != nil {
				return err
			}
			folder = filepath.ToSlash(folder)
			_, beside := outside[folder]
			if in := slices.Contains(Folders, folder); programs(t, path) && in == beside {
				t.Errorf("%s is neither in the core nor beside it, or both: list it in one", folder)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// programs reports whether a folder has Go files that are no tests.
func programs(t *testing.T, folder string) bool {
	files, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	return slices.ContainsFunc(files, func(f fs.DirEntry) bool {
		return strings.HasSuffix(f.Name(), ".go") && !strings.HasSuffix(f.Name(), "_test.go")
	})
}

// What the core imports of this module is in the core, and what it embeds is in
// its folders: else a change could pass the identity by.
func TestTheCoreRestsOnItselfAlone(t *testing.T) {
	args := []string{"-deps", "-f", `{{if and .Module .Module.Main}}{{.ImportPath}} {{join .EmbedFiles " "}}{{end}}`}
	for _, folder := range Folders {
		args = append(args, "./"+folder)
	}
	lines, err := list(root, args...)
	if err != nil {
		t.Fatal(err)
	}
	if len(lines) < len(Folders) {
		t.Errorf("%d packages in %d folders", len(lines), len(Folders))
	}
	for _, line := range lines {
		fields := strings.Fields(line)
		if folder := strings.TrimPrefix(fields[0], "ciglio/"); !slices.Contains(Folders, folder) {
			t.Errorf("the core imports %s, which is not in it", folder)
		}
		for _, file := range fields[1:] {
			if strings.Contains(file, "/") {
				t.Errorf("%s embeds %s from below its folder", fields[0], file)
			}
		}
	}
}

// A file that changes, appears or goes changes the identity; a test does not.
func TestIdentityFollowsTheSources(t *testing.T) {
	lines, err := sources(root)
	if err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]bool{
		"sensor/sensor.go": true, "sensor/sensor_test.go": false, "sensor/README.md": false,
		"capture/evidence/verify.html": true, "sensor/plot/plot.go": false, "internal/robust/robust.go": true,
	} {
		if got := slices.ContainsFunc(lines, func(l string) bool { return strings.HasSuffix(l, " "+file) }); got != want {
			t.Errorf("%s counts: %t, want %t", file, got, want)
		}
	}
}
