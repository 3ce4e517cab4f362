// Package ciglio_test states what holds for the tree as a whole: which way
// imports run, which folder is the home of each third-party module, and which
// measuring core this is.
package ciglio_test

import (
	"flag"
	"go/build"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ciglio/cross/coreid"
)

var update = flag.Bool("update", false, "rewrite the golden core_id: a decision, see docs/software.md")

// homes names the only folders whose programs may import each third-party
// module. A folder counts with all below it.
var homes = map[string][]string{
	"filippo.io/age":                      {"agent", "portal"},
	"filippo.io/torchwood":                {"portal/log", "portal/witness"},
	"github.com/BurntSushi/toml":          {"internal/strict"},
	"github.com/eclipse/paho.mqtt.golang": {"uplink/mqtt"},
	"github.com/google/go-tpm":            {"capture/key"},
	"github.com/icholy/digest":            {"capture/httpcam"},

	"github.com/jackc/pgx":         {"portal/database"},
	"github.com/jba/templatecheck": {"portal/page/pagetest"},
	"github.com/minio/minio-go":    {"portal/blob"},
	"github.com/mochi-mqtt/server": {"portal/broker"},
	"go.etcd.io/bbolt":             {"uplink/outbox"},
	"golang.org/x/image":           {"capture/still"},
	"golang.org/x/mod":             {"portal/log", "portal/record", "portal/witness"},
	"golang.org/x/sync":            {"agent", "portal", "uplink"},
	"golang.org/x/sys":             {"agent/doctor", "capture/v4l2", "internal/durable", "sensor", "uplink/outbox", "uplink/mqtt"},
	"modernc.org/sqlite":           {"portal/database"},

	"github.com/warthog618/go-gpiocdev": {"sensor/port"},
	"periph.io/x/conn":                  {"sensor", "agent/provision", "capture/strobe"},
	"periph.io/x/devices":               {"sensor/tamper"},
	"periph.io/x/host":                  {"sensor/port"},
}

// testHomes names what only tests may import, and where. What cross/reference imports
// is in its own go.mod alone.
var testHomes = map[string][]string{
	"filippo.io/age":                        {"cross/whole"},
	"filippo.io/torchwood":                  {"portal"},
	"golang.org/x/mod":                      {"portal"},
	"github.com/mjibson/go-dsp":             {"cross/reference"},
	"github.com/mochi-mqtt/server":          {"uplink", "agent", "portal", "cross/simulate/roadside"},
	"github.com/rogpeppe/go-internal":       {"agent", "portal"},
	"github.com/veraison/go-cose":           {"cross/reference"},
	"go.etcd.io/bbolt":                      {"uplink/outbox"},
	"gonum.org/v1/gonum":                    {"cross/reference"},
	"github.com/santhosh-tekuri/jsonschema": {"docs", "cross/deb"},
	"gopkg.in/yaml.v3":                      {"docs"},
	"pgregory.net/rapid":                    {"portal/casefile", "portal/acts"},
	"periph.io/x/conn":                      {"cross/board/onboard", "agent/device"},
}

// may says what each folder's programs may import of the module. The longest
// matching folder counts; an entry that ends in /… allows all below it, any
// other that one package.
var may = map[string][]string{
	"sensor":                       {"sensor/…", "internal/robust"},
	"capture":                      {"sensor", "capture"},
	"capture/life":                 {"sensor", "capture", "capture/coarse"},
	"capture/aim":                  {"sensor", "capture", "capture/coarse", "capture/life"},
	"capture/displacement":         {"sensor", "capture", "internal/robust"},
	"capture/evidence":             {"sensor"},
	"capture/key":                  {"capture/evidence", "internal/durable"},
	"capture/still":                {"sensor", "capture", "capture/evidence", "internal/catalogue"},
	"uplink":                       {"sensor", "capture/evidence", "uplink", "uplink/wire"},
	"uplink/outbox":                {"sensor", "capture/evidence", "uplink", "uplink/wire", "internal/durable"},
	"uplink/wire":                  {"sensor", "capture/evidence"},
	"uplink/mqtt":                  {"uplink", "internal/mtls"},
	"agent":                        {"sensor/…", "capture/…", "uplink/…", "agent/…", "internal/…"},
	"agent/config":                 {"sensor", "capture/evidence", "internal/strict"},
	"agent/console":                {"sensor", "capture", "capture/evidence", "uplink", "uplink/wire", "uplink/outbox", "agent/device", "agent/journal", "agent/provision", "agent/trust", "internal/catalogue", "internal/durable", "internal/pages", "internal/provisioning"},
	"agent/device":                 {"sensor/…", "capture/…", "uplink/…", "agent/calibration", "agent/config", "agent/enforce", "agent/journal", "agent/lawtime", "agent/notify", "agent/rules", "agent/site", "agent/trust", "internal/…"},
	"agent/doctor":                 {"sensor", "sensor/clock", "sensor/port", "capture/v4l2"},
	"agent/enforce":                {"sensor", "capture/evidence", "internal/easter"},
	"agent/trust":                  {"sensor"},
	"agent/lawtime":                {"capture/evidence"},
	"agent/register":               {"capture/evidence", "agent/config", "agent/lawtime", "agent/trust", "internal/strict"},
	"agent/software":               {"capture/evidence", "internal/durable", "internal/provisioning", "internal/strict"},
	"agent/rules":                  {"sensor", "capture/evidence", "agent/enforce", "agent/lawtime", "internal/strict"},
	"agent/site":                   {"sensor", "capture/evidence", "agent/config", "agent/enforce", "agent/lawtime", "agent/trust", "internal/strict"},
	"cross":                        {"cross/…"},
	"portal":                       {"sensor", "capture", "capture/evidence", "capture/still", "uplink", "uplink/wire", "uplink/mqtt", "internal/…", "portal/…"},
	"portal/law":                   {"sensor", "capture/evidence", "internal/easter", "internal/strict"},
	"portal/cmd/ciglio-demo":       {"sensor/…", "capture/…", "uplink/…", "agent/…", "portal/…", "internal/provisioning", "cross/simulate/…", "cross/statement"},
	"docs":                         {},
	"internal":                     {},
	"internal/mtls":                {"internal/durable"},
	"internal/durable/durabletest": {"internal/durable"},
	"internal/mtls/mtlstest":       {"internal/mtls"},
	"internal/provisioning":        {"capture/evidence", "internal/strict"},
	"internal/catalogue":           {"internal/strict"},
	"cross/simulate/roadside":      {"sensor/…", "capture/…", "uplink/…", "agent/…", "portal", "portal/log", "portal/witness", "cross/simulate/…", "cross/statement"},
	"cross/simulate":               {"sensor/…", "capture", "cross/simulate/…", "internal/strict"},
	"sensor/sensortest":            {"sensor"},
	"sensor/sensortest/recording":  {},

	// The rooms of the centre, each above the next: none imports one below it.
	"portal/database":              {"internal/durable"},
	"portal/database/databasetest": {"portal/database"},
	"portal/blob":                  {"capture/evidence", "internal/durable"},
	"portal/derived":               {"capture/evidence", "capture/still", "portal/blob", "portal/database"},
	"portal/blob/blobtest":         {"capture/evidence", "portal/blob"},
	"portal/record":                {"sensor", "capture/evidence", "internal/durable", "portal/blob", "portal/database"},
	"portal/plate":                 {},
	"portal/casefile":              {"capture/evidence", "portal/law", "portal/plate"},
	"portal/acts":                  {"capture/evidence", "portal/casefile", "portal/database", "portal/law"},
	"portal/log":                   {"capture/evidence", "internal/durable"},
	"portal/backup":                {"capture/evidence", "internal/durable", "portal/blob", "portal/database", "portal/record"},
	"portal/log/sequencer":         {"capture/evidence", "portal/database", "portal/record", "portal/log"},
	"portal/witness":               {"internal/durable", "portal/log"},
	"portal/cmd/ciglio-witness":    {"portal/log", "portal/witness"},
	"portal/metrics":               {},
	"portal/recheck":               {"capture/evidence", "uplink/wire", "portal/blob", "portal/database", "portal/log", "portal/orders"},
	"portal/register":              {"capture/evidence", "internal/durable"},
	"portal/keys":                  {"capture/evidence", "internal/durable"},
	"portal/tally":                 {},
	"portal/page":                  {"internal/catalogue", "internal/pages"},
	"portal/page/pagetest":         {"portal/page"},
	"portal/broker":                {"capture/evidence", "uplink/wire", "internal/mtls", "portal/tally"},
	"portal/brokerlog":             {"capture/evidence", "uplink/wire", "portal/tally"},
	"portal/ca":                    {"capture/evidence", "internal/durable", "internal/mtls", "portal/keys"},
	"portal/est":                   {"capture/evidence", "uplink/wire", "internal/mtls", "internal/pages", "portal/ca", "portal/tally"},
	"portal/orders":                {"capture/evidence", "uplink/wire", "internal/durable"},
	"portal/intake":                {"capture/evidence", "uplink", "uplink/wire", "portal/database", "portal/blob", "portal/record", "portal/log/sequencer", "portal/orders", "portal/tally"},
	"portal/web":                   {"sensor", "sensor/doppler", "sensor/plot", "sensor/wav", "capture", "capture/evidence", "uplink/wire", "portal/blob", "portal/page", "portal/record", "portal/log", "portal/orders", "portal/intake"},
	"portal/officer":               {"portal/page", "portal/web"},
	"portal/citizen":               {"capture/evidence", "portal/page"},
}

// deviceNever lists what must not be linked into the device's program.
var deviceNever = []string{
	"github.com/mochi-mqtt/", "modernc.org/", "database/sql", "testing",
	"ciglio/portal", "ciglio/sensor/sensortest", "ciglio/cross",
}

func TestImportsRunOneWay(t *testing.T) {
	for _, p := range packages(t) {
		if p.Dir == "." {
			continue
		}
		allowed := may[longest(p.Dir, may)]
		for _, path := range p.Imports {
			own, ok := strings.CutPrefix(path, "ciglio/")
			switch {
			case ok:
				if own != p.Dir && !slices.ContainsFunc(allowed, func(a string) bool { return matches(a, own) }) {
					t.Errorf("%s imports %s, which it may not", p.Dir, path)
				}
			case strings.Contains(strings.SplitN(path, "/", 2)[0], "."):
				if !atHome(homes, path, p.Dir) {
					t.Errorf("%s imports %s, whose home it is not", p.Dir, path)
				}
			}
		}
		for _, path := range slices.Concat(p.TestImports, p.XTestImports) {
			if !strings.HasPrefix(path, "ciglio/") && strings.Contains(strings.SplitN(path, "/", 2)[0], ".") &&
				!atHome(homes, path, p.Dir) && !atHome(testHomes, path, p.Dir) {
				t.Errorf("a test of %s imports %s, whose home it is not", p.Dir, path)
			}
		}
	}
}

// TestOnlyCommandsAndTestsImportTheSimulator keeps the simulated world out of
// every package that could measure, whatever the table above allows.
func TestOnlyCommandsAndTestsImportTheSimulator(t *testing.T) {
	const simulator = "cross/simulate/…"
	for _, p := range packages(t) {
		for _, path := range p.Imports {
			own, _ := strings.CutPrefix(path, "ciglio/")
			if matches(simulator, own) && p.Name != "main" && !matches(simulator, p.Dir) {
				t.Errorf("%s imports %s, and is no command", p.Dir, path)
			}
		}
	}
}

func TestDeviceLinksNoBrokerSQLOrSimulator(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", "./agent/cmd/ciglio").Output()
	if err != nil {
		t.Fatal(err)
	}
	for path := range strings.FieldsSeq(string(out)) {
		for _, never := range deviceNever {
			if path == never || strings.HasPrefix(path, never+"/") || strings.HasSuffix(never, "/") && strings.HasPrefix(path, never) {
				t.Errorf("the device's program links %s", path)
			}
		}
	}
}

// TestCoreID fails when the measuring core has changed. If that was meant, say
// why in the commit and run: go test . -run TestCoreID -update
func TestCoreID(t *testing.T) {
	const golden = "agent/core_id"
	got, err := coreid.Compute(".")
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(golden, []byte(got+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if strings.TrimSpace(string(want)) != got {
		t.Errorf("core_id is %s, %s pins %s: the measuring core changed; "+
			"if that is meant, say why in the commit and run go test . -run TestCoreID -update", got, golden, strings.TrimSpace(string(want)))
	}
}

// pkg is one folder with Go files, by its path from the root.
type pkg struct {
	*build.Package
	Dir string
}

func packages(t *testing.T) []pkg {
	t.Helper()
	var all []pkg
	context := build.Default
	context.UseAllFiles = true // a build tag is no way around a rule
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		if name := d.Name(); path != "." && (strings.HasPrefix(name, ".") || name == "testdata") {
			return filepath.SkipDir
		}
		p, err := context.ImportDir(path, 0)
		if _, none := err.(*build.NoGoError); none {
			return nil
		}
		if err != nil {
			return err
		}
		all = append(all, pkg{p, filepath.ToSlash(path)})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// longest returns the longest key of rules that is dir or a folder above it.
func longest(dir string, rules map[string][]string) string {
	for d := dir; d != "."; d = filepath.ToSlash(filepath.Dir(d)) {
		if _, ok := rules[d]; ok {
			return d
		}
	}
	return ""
}

func matches(rule, path string) bool {
	if folder, all := strings.CutSuffix(rule, "/…"); all {
		return path == folder || strings.HasPrefix(path, folder+"/")
	}
	return path == rule
}

func atHome(homes map[string][]string, path, dir string) bool {
	for module, folders := range homes {
		if path == module || strings.HasPrefix(path, module+"/") {
			for _, folder := range folders {
				if dir == folder || strings.HasPrefix(dir, folder+"/") {
					return true
				}
			}
		}
	}
	return false
}
