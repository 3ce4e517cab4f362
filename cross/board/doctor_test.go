package board_test

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"ciglio/cross/board"
	"ciglio/cross/board/boardtest"
)

// A boardLine is a line of ciglio doctor --json.
type boardLine struct{ Check, Verdict, Thing, Fact, Hint string }

// TestDoctorOnABoard has the doctor ask a real ARM kernel: its GPIO chip by
// ioctl, its camera by ioctl, its clock, its disk with a flush.
func TestDoctorOnABoard(t *testing.T) {
	boardtest.Need(t, boardtest.All)
	for _, arch := range []string{"arm-7", "arm64"} {
		t.Run(arch, func(t *testing.T) {
			program, err := board.Build(t.Context(), arch, "ciglio/agent/cmd/ciglio")
			if err != nil {
				t.Fatal(err)
			}
			image := filepath.Join(t.TempDir(), "flash")
			if err := board.Format(t.Context(), image, "ext4", 64<<20); err != nil {
				t.Fatal(err)
			}
			b := boardtest.Start(t, board.Options{
				Arch: arch, Files: map[string]string{"/bin/ciglio": program}, Synchronised: true,
				LineNames: []string{"", "SPARE", "SPARE", "LOOP1"},
				Texts:     map[string]string{"/etc/ciglio/ciglio.toml": doctorConfig},
				Disks:     []board.Disk{{Image: image, Mount: "/var/lib/ciglio"}},
				Modules:   []string{"vivid n_devs=1", "softdog"},
			})
			r, err := b.Run(t.Context(), "ciglio", "doctor", "--config", "/etc/ciglio/ciglio.toml", "--json")
			if err != nil {
				t.Fatal(err)
			}
			var said struct{ Lines []boardLine }
			if err := json.Unmarshal(r.Stdout, &said); err != nil {
				t.Fatalf("%v: %s%s", err, r.Stdout, r.Stderr)
			}
			verdicts := map[string]string{}
			facts := map[string]string{}
			for _, l := range said.Lines {
				verdicts[l.Check+" "+l.Thing], facts[l.Check+" "+l.Thing] = l.Verdict, l.Fact
			}
			time64 := "PASS"
			if arch != "arm64" {
				time64 = "WARN"
			}
			for thing, want := range map[string][2]string{
				"config /etc/ciglio/ciglio.toml":      {"PASS", "good"},
				"kernel time after 2038":              {time64, ""},
				"clock clock source":                  {"PASS", "arch_sys_counter"},
				"clock UTC":                           {"PASS", "synchronised"},
				"watchdog watchdog0":                  {"WARN", "Software Watchdog"},
				"gpio gpiochip0":                      {"PASS", "pl061, 8 lines, version 2"},
				"gpio gpiochip0-3":                    {"PASS", "LOOP1 of 9030000.pl061, a free input"},
				"gpio gpiochip0-4":                    {"PASS", "line without a name"},
				"gpio SPARE":                          {"FAIL", "the name of 2 lines: want one of gpiochip0-1, gpiochip0-2"},
				"serial /dev/ttyS0":                   {"PASS", "free"},
				"camera /dev/video0":                  {"FAIL", "simulated by the kernel"},
				"storage file system /var/lib/ciglio": {"PASS", "ext4 on /dev/vda"},
				"storage disk vda":                    {"PASS", "virtual disk, write cache: write back"},
				"space space /var/lib/ciglio":         {"FAIL", "less than outbox.reserve"}, // of 64 MB
				"flush flush /var/lib/ciglio":         {"", "64 writes of 4 KiB"},           // as fast as the host
			} {
				if want[0] != "" && verdicts[thing] != want[0] || !strings.Contains(facts[thing], want[1]) {
					t.Errorf("%s: %s %q, want %s %q", thing, verdicts[thing], facts[thing], want[0], want[1])
				}
			}
			if r.Code != 1 {
				t.Errorf("exit %d with lines that fail", r.Code)
			}
			for thing, fact := range facts {
				if strings.HasPrefix(thing, "kernel Linux 6.") && !strings.Contains(fact, "no known fault of storage in 6.") {
					t.Errorf("%s: %s", thing, fact)
				}
			}
			if t.Failed() {
				t.Logf("%s", r.Stdout)
			}
			boardtest.Run(t, b, "ciglio", "version") // the board lives: nothing was armed
		})
	}
}

const doctorConfig = `
[device]
id = "000102030405060708090a0b0c0d0e0f"
[site]
id = "SP46-12.350"
road = "SP 46"
latitude = "45.5500000deg"
longitude = "11.5500000deg"
limit = "50km/h"
[sensor]
driver = "agd"
port = "/dev/ttyS0"
model = "AGD 350"
serial = "0042"
[second]
method = "contacts"
pins = "LOOP1 gpiochip0-4 SPARE"
positions = "10m 12m 14m"
[camera]
driver = "v4l2"
path = "/dev/video0"
format = "yuyv"
size = "640x360"
`
