package doctor

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"

	"ciglio/capture/v4l2"
)

func TestReleases(t *testing.T) {
	for _, c := range []struct {
		name, osrelease, version, ubuntu string
		want                             release
	}{
		{"of kernel.org", "6.12.9", "Linux version 6.12.9 (root@host) #1 SMP", "", release{6, 12, 9}},
		{"first of a series", "6.12.0", "", "", release{6, 12, 0}},
		{"two numbers only", "5.10-custom", "", "", release{5, 10, 0}},
		{"a board's own", "5.15.71-bone-r29", "Linux version 5.15.71-bone-r29 (voodoo@x15)", "", release{5, 15, 71}},
		{"Debian counts its packages in the name", "6.1.0-14-arm64", "Linux version 6.1.0-14-arm64 (debian-kernel@lists.debian.org) (gcc-12 (Debian 12.2.0-14) 12.2.0, GNU ld (GNU Binutils for Debian) 2.40) #1 SMP Debian 6.1.64-1 (2023-11-30)", "", release{6, 1, 64}},
		{"built by hand with Debian's compiler", "6.12.9", "Linux version 6.12.9 (me@here) (gcc-12 (Debian 12.2.0-14) 12.2.0) #1 SMP Mon Jan 6 12:00:00 UTC 2025", "", release{6, 12, 9}},
		{"Raspberry Pi OS", "6.12.25+rpt-rpi-v8", "#1 SMP PREEMPT Debian 1:6.12.25-1+rpt1 (2025-04-30)", "", release{6, 12, 25}},
		{"Ubuntu", "6.8.0-60-generic", "#63-Ubuntu SMP", "Ubuntu 6.8.0-60.63-generic 6.8.12", release{6, 8, 12}},
	} {
		if got, ok := upstream(c.osrelease, c.version, c.ubuntu); !ok || got != c.want {
			t.Errorf("%s: %v, %v; want %v", c.name, got, ok, c.want)
		}
	}
	if r, ok := upstream("rolling", "", ""); ok {
		t.Errorf("a name without numbers was read as %v", r)
	}
}

func TestKernelFaults(t *testing.T) {
	for _, c := range []struct {
		name string
		r    release
		want Verdict
		say  string
	}{
		{"6.1.63", release{6, 1, 63}, Pass, ""},
		{"6.1.64, the first", release{6, 1, 64}, Fail, "91562895f803"},
		{"6.1.65, the last", release{6, 1, 65}, Fail, "install 6.1.66"},
		{"6.1.66", release{6, 1, 66}, Pass, ""},
		{"6.2 is no 6.1.64", release{6, 2, 0}, Pass, ""},
		{"4.18", release{4, 18, 20}, Warn, "5.10"}, // old, and nothing more is known
		{"4.19", release{4, 19, 0}, Fail, "ffe81d45322c"},
		{"4.19.7", release{4, 19, 7}, Fail, "ffe81d45322c"},
		{"4.19.8", release{4, 19, 8}, Warn, "5.10"},
		{"5.9.16 has no GPIO v2", release{5, 9, 16}, Warn, "GPIO"},
		{"5.10", release{5, 10, 0}, Pass, ""},
		{"6.6.31-rpi queues commands", release{6, 6, 31}, Warn, "6349"},
		{"6.6.31 of others does not", release{6, 6, 31}, Pass, ""},
		{"6.6.51-rpi", release{6, 6, 51}, Pass, ""},
	} {
		worst, said := Pass, ""
		name := c.r.String()
		if strings.Contains(c.name, "-rpi") {
			name += "+rpt-rpi-v8"
		}
		for _, l := range kernelLines(name, c.r, kernelFaults()) {
			worst, said = max(worst, l.Verdict), said+l.Fact+l.Hint
		}
		if worst != c.want || !strings.Contains(said, c.say) {
			t.Errorf("%s: %v %q, want %v with %q", c.name, worst, said, c.want, c.say)
		}
	}
	for _, f := range kernelFaults() {
		if f.from.compare(f.fixed) >= 0 || f.source == "" || f.verdict == Pass {
			t.Errorf("%+v: no range, or no source", f)
		}
	}
}

func TestTimeAfter2038(t *testing.T) {
	for _, c := range []struct {
		arch string
		year int
		want Verdict
	}{{"amd64", 2037, Pass}, {"arm64", 2026, Pass}, {"arm", 2026, Warn}, {"386", 2026, Warn}, {"arm", 2037, Fail}} {
		e := examination{Machine: Machine{Arch: c.arch, Now: time.Date(c.year, 6, 1, 0, 0, 0, 0, time.UTC)}}
		if l := e.time64(); l.Verdict != c.want {
			t.Errorf("%s in %d: %+v, want %v", c.arch, c.year, l, c.want)
		}
	}
}

func TestMemoryLimits(t *testing.T) {
	for _, c := range []struct {
		limit string
		want  Verdict
	}{
		{"", Warn}, {"96MiB", Pass}, {"100663296", Pass}, {"100663296B", Pass}, {"1GiB", Warn}, {"off", Warn},
		{"96MB", Fail}, {"96 MiB", Fail}, {"MiB", Fail}, {"-1", Fail}, {"99999999TiB", Fail},
	} {
		if l := memoryLimit(c.limit, "here", 512<<20); l.Verdict != c.want {
			t.Errorf("%q: %+v, want %v", c.limit, l, c.want)
		}
	}
}

func TestThrottling(t *testing.T) {
	for _, c := range []struct {
		bits uint32
		want Verdict
		say  string
	}{
		{0, Pass, "no undervoltage"},
		{0x1, Fail, "now: undervoltage"},
		{0x50005, Fail, "now: undervoltage, throttled"},
		{0x50000, Warn, "since start: undervoltage, throttled"},
		{0x8, Warn, "now: soft temperature limit"},
		{0x20000, Warn, "since start: frequency capped"},
	} {
		if l := throttled(c.bits); l.Verdict != c.want || !strings.Contains(l.Fact, c.say) {
			t.Errorf("%#x: %+v, want %v %q", c.bits, l, c.want, c.say)
		}
	}
}

func TestTemperatures(t *testing.T) {
	for _, c := range []struct {
		milli, critical int64
		want            Verdict
	}{{60_000, 0, Pass}, {80_000, 0, Warn}, {90_000, 110_000, Pass}, {100_000, 110_000, Warn}, {-10_000, 0, Pass}, {76_000, 85_000, Warn}} {
		if l := temperature("cpu", c.milli, c.critical); l.Verdict != c.want {
			t.Errorf("%d of %d: %+v, want %v", c.milli, c.critical, l, c.want)
		}
	}
}

func TestMountOptions(t *testing.T) {
	for _, c := range []struct {
		name, options string
		want          Verdict
	}{
		{"as it should be", "rw noatime barrier data=ordered errors=remount-ro", Pass},
		{"the kernel's default for reading times", "rw relatime", Pass},
		{"journal of data", "rw relatime data=journal", Pass},
		{"no barrier", "rw relatime nobarrier", Fail},
		{"no barrier, as of old", "rw relatime barrier=0", Fail},
		{"old bytes", "rw relatime data=writeback", Warn},
		{"asynchronous commit", "rw relatime journal_async_commit", Warn},
		{"goes on after errors", "rw relatime errors=continue", Warn},
		{"sync", "rw relatime sync", Warn},
		{"strictatime", "rw", Warn},
	} {
		worst := Pass
		for _, l := range ext4Options("ext4", strings.Fields(c.options)) {
			worst = max(worst, l.Verdict)
		}
		if worst != c.want {
			t.Errorf("%s: %v, want %v", c.name, worst, c.want)
		}
	}
}

func TestFastCommits(t *testing.T) {
	for info, want := range map[string]bool{
		"fc stats:\n0 commits\n0 ineligible\n0 numblks\n0us avg_commit_time\n":                                                             false,
		"fc stats:\n5 commits\n1 ineligible\n5 numblks\n716us avg_commit_time\nIneligible reasons:\n\"Extended attributes changed\":\t0\n": true,
		"fc stats:\n0 commits\n1 ineligible\n0 numblks\n":                                                                                  true,
		"": false,
	} {
		if got := fastCommits(info); got != want {
			t.Errorf("%q: %t", info, got)
		}
	}
	for _, c := range []struct {
		r    release
		want Verdict
	}{
		{release{5, 10, 94}, Fail}, {release{5, 15, 26}, Fail}, {release{5, 15, 27}, Warn}, {release{5, 16, 20}, Fail}, {release{5, 17, 0}, Warn}, {release{6, 12, 0}, Warn},
		{release{}, Fail}, // not known
	} {
		if l := fastCommitLine("ext4", c.r); l.Verdict != c.want {
			t.Errorf("%v: %+v, want %v", c.r, l, c.want)
		}
	}
	on := fstest.MapFS{
		"proc/sys/kernel/osrelease":     {Data: []byte("5.15.9\n")},
		"proc/fs/ext4/sda1/options":     {Data: []byte("rw\nrelatime\ndata=ordered\n")},
		"proc/fs/ext4/sda1/fc_info":     {Data: []byte("fc stats:\n7 commits\n")},
		"proc/fs/jbd2/sda1-8/info":      {},
		"sys/fs/ext4/sda1/errors_count": {Data: []byte("0\n")},
	}
	e := examination{Machine: Machine{Root: on}}
	worst := Pass
	for _, l := range e.ext4(mount{fstype: "ext4", options: []string{"rw", "relatime"}}, "sda1") {
		worst = max(worst, l.Verdict)
	}
	if worst != Fail {
		t.Errorf("a file system with fast commits on 5.15.9: %v", worst)
	}
}

func TestFileSystems(t *testing.T) {
	const overlays = "1 0 0:1 / / rw - overlay overlay rw,upperdir=/media/upper/x\n" +
		"2 1 0:2 / /media/upper rw - tmpfs tmpfs rw\n3 1 8:1 / /media/disk rw - ext4 /dev/sda1 rw\n"
	for _, c := range []struct {
		name string
		m    mount
		want Verdict
	}{
		{"ext4", mount{fstype: "ext4", options: []string{"rw"}}, Pass},
		{"ext4, read-only", mount{fstype: "ext4", options: []string{"ro"}}, Fail},
		{"in memory", mount{fstype: "tmpfs", options: []string{"rw"}}, Fail},
		{"no journal", mount{fstype: "vfat", options: []string{"rw"}}, Fail},
		{"elsewhere", mount{fstype: "nfs4", options: []string{"rw"}}, Fail},
		{"not tested here", mount{fstype: "btrfs", options: []string{"rw"}}, Warn},
		{"overlay in memory", mount{fstype: "overlay", options: []string{"rw", "upperdir=/media/upper/x"}}, Fail},
		{"overlay on a disk", mount{fstype: "overlay", options: []string{"rw", "upperdir=/media/disk/x"}}, Warn},
		{"overlay of which nothing is known", mount{fstype: "overlay", options: []string{"rw"}}, Warn},
	} {
		e := examination{Machine: Machine{Root: fstest.MapFS{"proc/self/mountinfo": {Data: []byte(overlays)}}}}
		if l := e.fileSystem(c.m); l.Verdict != c.want {
			t.Errorf("%s: %+v, want %v", c.name, l, c.want)
		}
	}
}

func TestMountOfAFolder(t *testing.T) {
	mounts := parseMounts(`20 1 8:1 / / rw - ext4 /dev/sda1 rw
21 20 8:2 / /var/lib/ciglio rw,noatime shared:1 master:2 - ext4 /dev/sda2 rw,noatime
22 20 8:3 / /var/lib/ci rw - ext4 /dev/sda3 rw
23 20 0:9 / /mnt/two\040words rw - tmpfs tmpfs rw
24 20 8:4 / /data rw - ext4 /dev/sda4 rw
25 24 8:5 / /data rw - ext4 /dev/sda5 rw
not a line of mountinfo
`)
	for dir, want := range map[string]string{
		"/": "8:1", "/var/lib": "8:1", "/var/lib/ciglio": "8:2", "/var/lib/ciglio/outbox": "8:2", "/var/lib/ciglio2": "8:1",
		"/mnt/two words/x": "0:9", "/data/x": "8:5", // the later one covers
	} {
		if m, ok := mountOf(mounts, dir); !ok || m.device != want {
			t.Errorf("%s: %+v, want %s", dir, m, want)
		}
	}
	if m := mounts[1]; len(m.options) != 2 {
		t.Errorf("options %q, want each once", m.options)
	}
	if _, ok := mountOf(nil, "/"); ok {
		t.Error("a folder on no mount")
	}
}

func TestFlushTimes(t *testing.T) {
	sd := disk{name: "mmcblk0", card: "SD", cache: "write through"}
	emmc := disk{name: "mmcblk1", card: "MMC", cache: "write back"}
	for _, c := range []struct {
		name         string
		d            disk
		median, most time.Duration
		want         Verdict
	}{
		{"a card that programs", sd, 3 * time.Millisecond, 40 * time.Millisecond, Pass},
		{"a card that answers before", sd, 150 * time.Microsecond, time.Millisecond, Warn},
		{"just as long as a page", sd, nandPage, time.Millisecond, Pass},
		{"eMMC that flushes", emmc, 900 * time.Microsecond, time.Millisecond, Pass},
		{"eMMC that does not", emmc, 90 * time.Microsecond, time.Millisecond, Warn},
		{"memory behind a capacitor", disk{name: "nvme0n1", cache: "write through"}, 25 * time.Microsecond, time.Millisecond, Pass},
		{"a cache that is not flushed", disk{name: "nvme0n1", cache: "write back"}, 25 * time.Microsecond, time.Millisecond, Warn},
		{"a disk that turns", disk{name: "sda", rotational: true, cache: "write back"}, 8 * time.Millisecond, 30 * time.Millisecond, Pass},
		{"a disk that cannot have turned", disk{name: "sda", rotational: true, cache: "write back"}, time.Millisecond, 30 * time.Millisecond, Warn},
		{"virtual disks call themselves rotating", disk{name: "vda", rotational: true, cache: "write back"}, 379 * time.Microsecond, time.Millisecond, Pass},
		{"nothing known of the disk", disk{}, 10 * time.Microsecond, time.Millisecond, Pass},
		{"slow", sd, 150 * time.Millisecond, time.Second, Warn},
		{"stalls", sd, 3 * time.Millisecond, 3 * time.Second, Warn},
	} {
		if l := flushLine("flush", c.d, Flush{Count: 64, Least: c.median, Median: c.median, Most: c.most}); l.Verdict != c.want {
			t.Errorf("%s: %+v, want %v", c.name, l, c.want)
		}
	}
}

func TestWear(t *testing.T) {
	for _, c := range []struct {
		name, life, eol string
		want            Verdict
	}{
		{"new", "0x01 0x01", "0x01", Pass}, {"not told", "0x00 0x00", "0x00", Pass}, {"four fifths", "0x02 0x08", "0x01", Pass},
		{"nine tenths", "0x09 0x01", "0x01", Warn}, {"beyond", "0x01 0x0b", "0x01", Fail},
		{"spare blocks low", "0x01 0x01", "0x02", Warn}, {"spare blocks gone", "0x01 0x01", "0x03", Fail}, {"not a number", "new", "0x01", Warn},
	} {
		e := examination{Machine: Machine{Root: fstest.MapFS{
			"d/device/life_time": {Data: []byte(c.life + "\n")}, "d/device/pre_eol_info": {Data: []byte(c.eol + "\n")},
		}}}
		if l := e.wear(disk{dir: "/d", card: "MMC"}); len(l) != 1 || l[0].Verdict != c.want {
			t.Errorf("%s: %+v, want %v", c.name, l, c.want)
		}
	}
}

func TestSpaceAgainstTheQuota(t *testing.T) {
	const gib = 1 << 30
	for _, c := range []struct {
		name string
		s    Space
		used int64
		want Verdict
	}{
		{"room for all", Space{Free: 21 * gib, Inodes: 1e6, FreeInodes: 1e5}, 0, Pass},
		{"what is used counts", Space{Free: 5 * gib, Inodes: 1e6, FreeInodes: 1e5}, 15 * gib, Pass},
		{"less than the quota", Space{Free: 5 * gib, Inodes: 1e6, FreeInodes: 1e5}, 10 * gib, Warn},
		{"less than the reserve", Space{Free: 1 << 20, Inodes: 1e6, FreeInodes: 1e5}, 20 * gib, Fail},
		{"no inodes left", Space{Free: 21 * gib, Inodes: 1e6, FreeInodes: 10}, 0, Fail},
		{"a file system without inodes", Space{Free: 21 * gib}, 0, Pass},
		{"absurdly large", Space{Free: 1<<64 - 1}, 0, Pass},
	} {
		worst := Pass
		for _, l := range spaceLines("/d", c.s, c.used, 20*gib, 64<<20) {
			worst = max(worst, l.Verdict)
		}
		if worst != c.want {
			t.Errorf("%s: %v, want %v", c.name, worst, c.want)
		}
	}
}

func TestPermissions(t *testing.T) {
	owned := func(mode fs.FileMode, uid, gid uint32) *fstest.MapFile {
		return &fstest.MapFile{Mode: mode, Sys: &syscall.Stat_t{Uid: uid, Gid: gid}}
	}
	tree := fstest.MapFS{
		"dev": owned(fs.ModeDir|0o755, 0, 0), "dev/tty": owned(0o660, 0, 20), "dev/own": owned(0o600, 7, 7), "dev/odd": owned(0o606, 7, 20),
		"dev/root": owned(0o600, 0, 0), "shut": owned(fs.ModeDir|0o700, 0, 0), "shut/f": owned(0o666, 0, 0),
		"etc/group": {Data: []byte("root:x:0:\ndialout:x:20:\n")},
	}
	e := examination{Machine: Machine{Root: tree}}
	for _, c := range []struct {
		name, file string
		a          account
		want, hint string
	}{
		{"the group may", "/dev/tty", account{uid: 7, gids: []int{7, 20}}, "", ""},
		{"not of the group", "/dev/tty", account{name: "ciglio", uid: 7, gids: []int{7}}, "may not open it", "usermod -aG dialout ciglio"},
		{"the owner may", "/dev/own", account{uid: 7}, "", ""},
		{"root may", "/dev/own", account{uid: 0}, "", ""},
		{"the group's bits count for its members, not those of others", "/dev/odd", account{uid: 8, gids: []int{20}}, "may not", "udev"},
		{"nobody is told to join root's group", "/dev/root", account{uid: 8, gids: []int{20}}, "may not", "udev"},
		{"a folder that is shut", "/shut/f", account{name: "ciglio", uid: 7}, "ciglio may not enter /shut", "chmod"},
		{"not there", "/dev/none", account{uid: 7}, "not exist", "correct"},
	} {
		obstacle, hint := e.open(c.a, c.file, toRead|toWrite)
		if c.want == "" && obstacle != "" || !strings.Contains(obstacle, c.want) || !strings.Contains(hint, c.hint) {
			t.Errorf("%s: %q, %q; want %q, %q", c.name, obstacle, hint, c.want, c.hint)
		}
	}
}

func TestConsoles(t *testing.T) {
	link := func(to string) *fstest.MapFile {
		return &fstest.MapFile{Data: []byte(to), Mode: fs.ModeSymlink | 0o777}
	}
	file := func(s string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(s)} }
	const wants, unit = "etc/systemd/system/getty.target.wants/", "serial-getty@ttyS1.service"
	for _, c := range []struct {
		name string
		tree fstest.MapFS
		want string
	}{
		{"free", fstest.MapFS{"proc/cmdline": file("console=tty1 quiet\n"), "sys/class/tty/console/active": file("tty1\n")}, ""},
		{"on the command line", fstest.MapFS{"proc/cmdline": file("console=ttyS1,115200 quiet\n")}, "console (console=ttyS1,115200)"},
		{"of another port", fstest.MapFS{"proc/cmdline": file("console=ttyS10,115200\n")}, ""},
		{"chosen by the device tree", fstest.MapFS{"sys/class/tty/console/active": file("tty0 ttyS1\n")}, "console"},
		{"a login by systemd", fstest.MapFS{wants + unit: link("/lib/systemd/system/serial-getty@.service")}, "login"},
		{"a login by its generator", fstest.MapFS{"run/systemd/generator/getty.target.wants/" + unit: link("/x")}, "login"},
		{"a login that is masked", fstest.MapFS{wants + unit: link("/x"), "etc/systemd/system/" + unit: link("/dev/null")}, ""},
		{"a login by init", fstest.MapFS{"etc/inittab": file("#ttyS1::respawn:/sbin/getty ttyS1\nttyS1::respawn:/sbin/getty -L /dev/ttyS1 115200 vt100\n")}, "login"},
		{"one that is commented out", fstest.MapFS{"etc/inittab": file("#T1:23:respawn:/sbin/getty -L ttyS1 115200\n")}, ""},
	} {
		e := examination{Machine: Machine{Root: c.tree}}
		if got := e.consoleOn("ttyS1"); (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

func TestUnitsAndDropIns(t *testing.T) {
	file := func(s string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(s)} }
	e := examination{Machine: Machine{Env: []string{"GOMEMLIMIT=1GiB"}, Root: fstest.MapFS{
		"usr/lib/systemd/system/ciglio.service":                  file("[Service]\nUser=ciglio\nSupplementaryGroups=dialout\n Environment = \"GOMEMLIMIT=96MiB\" X=1\n"),
		"usr/lib/systemd/system/ciglio.service.d/10-vendor.conf": file("[Service]\nUser=vendor\n"),
		"etc/systemd/system/ciglio.service.d/10-vendor.conf":     file("[Service]\nSupplementaryGroups=\nSupplementaryGroups=gpio\n"),
		"etc/systemd/system/ciglio.service.d/20-site.conf":       file("[Service]\nUser=site\nSupplementaryGroups=video\n"),
	}}}
	if got := e.unitSetting("User"); got != "site" {
		t.Errorf("User = %q, want that of the last drop-in", got)
	}
	if got := strings.Join(e.unitSettings("SupplementaryGroups"), " "); got != "gpio video" {
		t.Errorf("SupplementaryGroups = %q, want those after the empty one", got)
	}
	if got, from := e.serviceEnv("GOMEMLIMIT"); got != "96MiB" || from != "in the service's unit" {
		t.Errorf("GOMEMLIMIT = %q %s", got, from)
	}
	if got, _ := (&examination{Machine: Machine{Env: e.Env, Root: fstest.MapFS{}}}).serviceEnv("GOMEMLIMIT"); got != "1GiB" {
		t.Errorf("GOMEMLIMIT = %q without a unit", got)
	}
}

func TestCameras(t *testing.T) {
	const name = "/dev/video0"
	good := v4l2.Description{Card: "Camera", Driver: "uvcvideo", Streams: true, Modes: []v4l2.Mode{
		{Code: "MJPG", Width: 640, Height: 480}, {Code: "YUYV", Width: 1280, Height: 720, Range: true}, {Code: "MJPG", Width: 1920, Height: 1080}, {Code: "GREY"}}}
	change := func(f func(*v4l2.Description)) v4l2.Description { d := good; f(&d); return d }
	for _, c := range []struct {
		what    string
		d       v4l2.Description
		picture v4l2.Mode
		named   bool
		want    Verdict
		say     string
	}{
		{"as it should be", good, v4l2.Mode{Code: "mjpeg", Width: 640, Height: 480}, true, Pass, "MJPG 1920x1080 and 1 less, YUYV 1280x720 and less, GREY"},
		{"a size that it has not", good, v4l2.Mode{Code: "mjpeg", Width: 800, Height: 600}, true, Fail, "no mjpeg of 800x600"},
		{"found only", good, v4l2.Mode{}, false, Pass, "MJPG"},
		{"metadata that is named", change(func(d *v4l2.Description) { d.Streams = false }), v4l2.Mode{}, true, Fail, "no pictures"},
		{"metadata that is found", change(func(d *v4l2.Description) { d.Streams = false }), v4l2.Mode{}, false, Pass, "no pictures"},
		{"simulated and named", change(func(d *v4l2.Description) { d.Simulated = true }), v4l2.Mode{}, true, Fail, "no evidence"},
		{"simulated and found", change(func(d *v4l2.Description) { d.Simulated = true }), v4l2.Mode{}, false, Warn, "no evidence"},
		{"a pipeline that is not set up", change(func(d *v4l2.Description) { d.Modes = nil }), v4l2.Mode{}, true, Warn, "no format"},
	} {
		e := examination{
			Machine: Machine{Root: fstest.MapFS{"dev/video0": {Sys: &syscall.Stat_t{}}}, Probes: fakeProbes{cameras: map[string]v4l2.Description{name: c.d}}},
			Subject: Subject{Picture: c.picture},
		}
		if c.named {
			e.Camera = name
		}
		if l := e.video(account{}, name); l.Verdict != c.want || !strings.Contains(l.Fact, c.say) {
			t.Errorf("%s: %+v, want %v %q", c.what, l, c.want, c.say)
		}
	}
}

func TestPulses(t *testing.T) {
	for assert, want := range map[string]Verdict{
		"1772366399.999999871#7": Pass, "1772366390.000000000#7": Warn, "0.000000000#0": Warn, "": Warn,
	} {
		e := examination{Machine: Machine{Now: now, Root: fstest.MapFS{"sys/class/pps/pps0/assert": {Data: []byte(assert)}}}}
		if l := e.pps(); len(l) != 1 || l[0].Verdict != want {
			t.Errorf("%q: %+v, want %v", assert, l, want)
		}
	}
}

func TestFoldersThatAreLinks(t *testing.T) {
	link := func(to string) *fstest.MapFile {
		return &fstest.MapFile{Data: []byte(to), Mode: fs.ModeSymlink | 0o777}
	}
	e := examination{Subject: Subject{Dir: "/var/lib/ciglio"}, Machine: Machine{Root: fstest.MapFS{
		"var/lib/ciglio":      link("../../data/ciglio"),
		"data":                link("mnt/flash"),
		"mnt/flash/ciglio/x":  {Data: []byte("1234")},
		"proc/self/mountinfo": {Data: []byte("1 0 8:1 / / rw - ext4 /dev/a rw\n2 1 8:2 / /mnt/flash rw - ext4 /dev/b rw\n")},
	}}}
	if got := e.resolve("/var/lib/ciglio/new"); got != "/mnt/flash/ciglio/new" {
		t.Errorf("resolved to %s", got)
	}
	if m, err := e.mount(); err != nil || m.device != "8:2" {
		t.Errorf("%+v, %v, want the partition that the link leads to", m, err)
	}
	if got := e.used(t.Context()); got != 4 {
		t.Errorf("%d bytes used, want 4", got)
	}
}

func TestLoopsOfLinksEnd(t *testing.T) {
	dir := t.TempDir()
	for name, to := range map[string]string{"a": "b", "b": "a"} {
		if err := os.Symlink(to, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	e := examination{Machine: Machine{Root: os.DirFS(dir)}}
	if l := e.port(account{}, "/a", nil); l.Verdict != Fail {
		t.Errorf("%+v", l)
	}
}

// TestHangingCheckIsALine: a check that never returns costs its own deadline and
// no other check's line.
func TestHangingCheckIsALine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		never := make(chan struct{})
		start := time.Now()
		lines := examine(t.Context(), Machine{}, Subject{}, []check{
			{"dead", 2 * time.Second, func(*examination, context.Context) []Line { <-never; return nil }},
			{"slow", 3 * time.Second, func(_ *examination, ctx context.Context) []Line {
				<-ctx.Done() // keeps to its deadline
				return []Line{pass("slow", "in time")}
			}},
			{"good", time.Second, func(*examination, context.Context) []Line { return []Line{pass("good", "at once")} }},
		})
		if took := time.Since(start); took != 3*time.Second {
			t.Errorf("took %v, want the longest deadline", took)
		}
		if len(lines) != 3 || lines[0].Verdict != Fail || lines[0].Check != "dead" || lines[1].Verdict != Pass || lines[2].Verdict != Pass {
			t.Errorf("%+v", lines)
		}
		close(never)
	})
	var longest time.Duration
	for _, c := range checks() {
		longest = max(longest, c.limit)
	}
	if longest > 15*time.Second {
		t.Errorf("a check may take %v", longest)
	}
}

func TestInterrupted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		never := make(chan struct{})
		lines := examine(ctx, Machine{}, Subject{}, []check{{"dead", time.Second, func(*examination, context.Context) []Line { <-never; return nil }}})
		if len(lines) != 1 || lines[0].Verdict != Fail || lines[0].Fact != "interrupted" {
			t.Errorf("%+v", lines)
		}
		close(never)
	})
}

// TestThisMachine runs every check with the kernel that is here, as whoever runs
// the test, and leaves nothing behind.
func TestThisMachine(t *testing.T) {
	dir := t.TempDir()
	start := time.Now()
	lines := Examine(t.Context(), ThisMachine(runtime.GOARCH), Subject{Dir: dir, Key: filepath.Join(dir, "evidence.key"), Quota: 1, Reserve: 1})
	if took := time.Since(start); took > 20*time.Second {
		t.Errorf("took %v", took)
	}
	seen := map[string]bool{}
	for _, l := range lines {
		seen[l.Check] = true
		if l.Thing == "" || l.Fact == "" || (l.Verdict == Pass) != (l.Hint == "") {
			t.Errorf("%+v", l)
		}
	}
	for _, c := range checks() {
		if !seen[c.name] {
			t.Errorf("check %s says nothing", c.name)
		}
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestFlushProbe(t *testing.T) {
	dir := t.TempDir()
	f, err := kernelProbes{}.Flush(t.Context(), dir)
	if err != nil || f.Count < flushLeast || f.Least <= 0 || f.Median < f.Least || f.Most < f.Median {
		t.Errorf("%+v, %v", f, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := (kernelProbes{}).Flush(ctx, dir); !errors.Is(err, errFlush) {
		t.Errorf("without time: %v", err)
	}
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	if _, err := (kernelProbes{}).Flush(t.Context(), filepath.Join(dir, "none")); err == nil {
		t.Error("a folder that is not there was measured")
	}
}

func TestChipThatIsNone(t *testing.T) {
	if c, err := (kernelProbes{}).Chip("null", nil); err == nil {
		t.Errorf("/dev/null described as %+v", c)
	}
}
