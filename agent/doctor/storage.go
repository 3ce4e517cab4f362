package doctor

import (
	"cmp"
	"context"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A mount is one line of /proc/self/mountinfo.
type mount struct {
	device  string // major:minor
	point   string
	fstype  string
	source  string
	options []string // of the mount and of the file system
}

// parseMounts reads mountinfo as proc_pid_mountinfo(5) describes it.
func parseMounts(text string) (mounts []mount) {
	for line := range strings.Lines(text) {
		left, right, ok := strings.Cut(line, " - ")
		l, r := strings.Fields(left), strings.Fields(right)
		if !ok || len(l) < 6 || len(r) < 3 {
			continue
		}
		m := mount{device: l[2], point: unescape(l[4]), fstype: r[0], source: unescape(r[1])}
		for option := range strings.SplitSeq(l[5]+","+r[2], ",") {
			if !m.has(option) {
				m.options = append(m.options, option)
			}
		}
		mounts = append(mounts, m)
	}
	return mounts
}

// unescape undoes the kernel's \040 for a space and the like.
func unescape(s string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(s)
}

// mountOf returns the mount that a folder lies on: the longest that contains it,
// the last of those that cover each other.
func mountOf(mounts []mount, dir string) (mount, bool) {
	var best mount
	for _, m := range mounts {
		if (m.point == "/" || dir == m.point || strings.HasPrefix(dir, m.point+"/")) && len(m.point) >= len(best.point) {
			best = m
		}
	}
	return best, best.point != ""
}

func (m mount) has(option string) bool { return slices.Contains(m.options, option) }

func (e *examination) mount() (mount, error) {
	text, err := e.read("/proc/self/mountinfo")
	if err != nil {
		return mount{}, err
	}
	m, ok := mountOf(parseMounts(text), e.nearest(e.Dir))
	if !ok {
		return mount{}, fs.ErrNotExist
	}
	return m, nil
}

// storage looks at the file system and the disk that the records lie on.
func (e *examination) storage(context.Context) []Line {
	m, err := e.mount()
	if err != nil {
		return []Line{unreadable(e.Dir, err)}
	}
	lines := []Line{e.fileSystem(m)}
	d, ok := e.diskOf(m)
	if m.fstype == "ext4" {
		lines = append(lines, e.ext4(m, path.Base(d.part))...)
	}
	if ok {
		lines = append(lines, e.disk(d))
		lines = append(lines, e.wear(d)...)
	}
	return lines
}

func (e *examination) fileSystem(m mount) Line {
	thing := "file system " + m.point
	const move = "put device.dir on a partition of its own with ext4, see docs/boards.md"
	switch m.fstype {
	case "ext4":
	case "overlay":
		return e.overlay(thing, m, move)
	default:
		r := ruleOf(m.fstype)
		return doubt(r.verdict, thing, m.fstype+": "+r.what, move)
	}
	if m.has("ro") {
		return doubt(Fail, thing, "ext4, read-only: nothing can be recorded", "dmesg says why; after an error: fsck, then look for the cause in the card")
	}
	return pass(thing, "ext4 on %s, %s", m.source, strings.Join(m.options, ","))
}

// overlay asks what the upper folder of an overlay lies on.
func (e *examination) overlay(thing string, m mount, hint string) Line {
	for _, o := range m.options {
		if upper, ok := strings.CutPrefix(o, "upperdir="); ok {
			under, ok := mountOf(parseMounts(e.text("/proc/self/mountinfo")), upper)
			if ok && (under.fstype == "tmpfs" || under.fstype == "ramfs") {
				return doubt(Fail, thing, "an overlay in memory: what is written is gone with the power", hint)
			}
		}
	}
	return doubt(Warn, thing, "an overlay", hint)
}

// ext4 looks at the options in force and at the errors that the file system has
// counted in its superblock since its last check.
func (e *examination) ext4(m mount, name string) []Line {
	thing := "ext4 " + name
	options := m.options
	text, err := e.read("/proc/fs/ext4/" + name + "/options") // all of them, defaults too
	if err == nil {
		options = append(strings.Fields(text), m.options...)
	}
	lines := ext4Options(thing, options)
	if err == nil && e.exists("/proc/fs/jbd2") && !slices.ContainsFunc(e.names("/proc/fs/jbd2"), func(n string) bool { return strings.HasPrefix(n, name+"-") }) {
		lines = append(lines, doubt(Fail, thing, "no journal: a power cut damages it", "tune2fs -O has_journal, on the unmounted partition"))
	}
	if slices.Contains(options, "fc_debug_force") || fastCommits(e.text("/proc/fs/ext4/"+name+"/fc_info")) {
		r, _ := e.release() // unknown counts as old
		lines = append(lines, fastCommitLine(thing, r))
	}
	dir := "/sys/fs/ext4/" + name + "/"
	switch n, err := e.number(dir + "errors_count"); {
	case err != nil:
		lines = append(lines, unreadable(thing+" errors", err))
	case n > 0:
		last := ""
		if t, err := e.number(dir + "last_error_time"); err == nil && t > 0 {
			last = ", the last " + time.Unix(t, 0).UTC().Format(time.RFC3339)
		}
		if f := e.text(dir + "last_error_func"); f != "" {
			last += " in " + f
		}
		lines = append(lines, doubt(Fail, thing, fmt.Sprintf("%d errors counted%s", n, last), "save the records, then fsck the unmounted partition; errors that come back mean another card"))
	default:
		written := ""
		if n, err := e.number(dir + "lifetime_write_kbytes"); err == nil && n > 0 {
			written = ", " + bytesText(uint64(n)<<10) + " written since it was made"
		}
		lines = append(lines, pass(thing, "no errors counted%s", written))
	}
	return lines
}

// fastCommits reports whether the file system has made fast commits, or tried
// to, since it was mounted. Nothing else that can be read says whether the
// feature is on, but for the option fc_debug_force of a kernel built for
// debugging.
func fastCommits(info string) bool {
	for line := range strings.Lines(info) {
		var n uint64
		var what string
		if k, _ := fmt.Sscan(line, &n, &what); k == 2 && n > 0 && (what == "commits" || what == "ineligible") {
			return true
		}
	}
	return false
}

// fastCommitLine objects to ext4's fast commits.
func fastCommitLine(thing string, r release) Line {
	v, fact := Warn, "fast commits: a younger journal than the one that power cuts are tested on"
	if slices.ContainsFunc(fastCommitFaults(), func(f kernelFault) bool { return f.has(r) }) {
		v, fact = Fail, "fast commits on a kernel that loses data by them after a power cut (bbolt issue 562)"
	}
	return doubt(v, thing, fact, "tune2fs -O ^fast_commit, on the unmounted partition")
}

func ext4Options(thing string, options []string) []Line {
	var lines []Line
	for _, r := range optionRules() {
		if r.holds(options) {
			lines = append(lines, doubt(r.verdict, thing, r.what, r.hint))
		}
	}
	if len(lines) == 0 {
		lines = append(lines, pass(thing, "options that keep what is flushed"))
	}
	return lines
}

// A disk is the block device under a file system, by its folder in /sys.
type disk struct {
	part       string // its partition, or itself
	dir        string // the whole disk
	name       string
	rotational bool
	cache      string // "write back", "write through" or ""
	fua        bool
	card       string // "SD" or "MMC" (eMMC), "" for neither
}

// diskOf finds the disk of a mount: by its device number, or by its source
// where the number is one of the file system alone, as with btrfs.
func (e *examination) diskOf(m mount) (disk, bool) {
	part, err := e.link("/sys/dev/block/" + m.device)
	if err != nil {
		if part, err = e.link("/sys/class/block/" + path.Base(e.resolve(m.source))); err != nil {
			return disk{part: m.source}, false
		}
	}
	dir := part
	if e.exists(dir + "/partition") {
		dir = path.Dir(dir)
	}
	for range 4 { // encrypted on logical on a partition: down to the first disk
		slaves := e.names(dir + "/slaves")
		if len(slaves) == 0 {
			break
		}
		below, err := e.link("/sys/class/block/" + slaves[0])
		if err != nil {
			break
		}
		if dir = below; e.exists(dir + "/partition") {
			dir = path.Dir(dir)
		}
	}
	return disk{
		part: part, dir: dir, name: path.Base(dir),
		rotational: e.text(dir+"/queue/rotational") == "1",
		cache:      e.text(dir + "/queue/write_cache"),
		fua:        e.text(dir+"/queue/fua") == "1",
		card:       map[string]string{"SD": "SD", "MMC": "MMC"}[e.text(dir+"/device/type")],
	}, true
}

func (d disk) kind() string {
	switch {
	case d.card == "SD":
		return "SD card"
	case d.card == "MMC":
		return "eMMC"
	case strings.HasPrefix(d.name, "vd"), strings.HasPrefix(d.name, "xvd"):
		return "virtual disk"
	case d.rotational:
		return "rotating disk"
	}
	return "flash disk"
}

func (e *examination) disk(d disk) Line {
	fact := d.kind()
	for _, f := range []string{"name", "model", "manfid", "date"} {
		if v := strings.TrimSpace(e.text(d.dir + "/device/" + f)); v != "" {
			fact += " " + v
		}
	}
	fact += ", write cache: " + cmp.Or(d.cache, "not known")
	if d.fua {
		fact += ", FUA"
	}
	return pass("disk "+d.name, "%s", fact)
}

// wear reads what an eMMC says of its age: DEVICE_LIFE_TIME_EST_TYP_A and _B in
// steps of a tenth, and PRE_EOL_INFO (JESD84-B51, 7.4.85 to 7.4.87; the
// kernel's Documentation/driver-api/mmc/mmc-dev-attrs.rst).
func (e *examination) wear(d disk) []Line {
	thing := "wear " + d.name
	life, err := e.read(d.dir + "/device/life_time")
	if err != nil {
		if d.card == "SD" {
			return []Line{pass(thing, "an SD card does not tell its age: change it by plan")}
		}
		return nil
	}
	var worst uint64
	for field := range strings.FieldsSeq(life) {
		n, err := strconv.ParseUint(field, 0, 8)
		if err != nil {
			return []Line{doubt(Warn, thing, fmt.Sprintf("life_time %q is not understood", life), "read it with mmc extcsd read")}
		}
		worst = max(worst, n)
	}
	eol, _ := e.number(d.dir + "/device/pre_eol_info")
	const change = "change the board or its module, and look for what writes so much"
	switch {
	case worst >= 0x0b || eol >= 3:
		return []Line{doubt(Fail, thing, fmt.Sprintf("at its end: life_time %s, pre_eol_info %#02x", life, eol), change)}
	case worst >= 0x09 || eol == 2:
		return []Line{doubt(Warn, thing, fmt.Sprintf("near its end: life_time %s, pre_eol_info %#02x", life, eol), change)}
	case worst == 0:
		return []Line{pass(thing, "not told by this eMMC")}
	}
	return []Line{pass(thing, "at most %d %% of its life used", worst*10)}
}

// space compares what is free with what the configuration lets the outbox take.
func (e *examination) space(ctx context.Context) []Line {
	near := e.nearest(e.Dir)
	s, err := e.Probes.Space(near)
	if err != nil {
		return []Line{unreadable("space "+near, err)}
	}
	return spaceLines(near, s, e.used(ctx), e.Quota, e.Reserve)
}

// used adds up what the device has written already, which counts in the quota.
func (e *examination) used(ctx context.Context) (sum int64) {
	fs.WalkDir(e.Root, inFS(e.resolve(e.Dir)), func(_ string, d fs.DirEntry, err error) error {
		if err != nil || ctx.Err() != nil {
			return fs.SkipAll // what is not added makes the verdict stricter
		}
		if info, err := d.Info(); err == nil && info.Mode().IsRegular() {
			sum += info.Size()
		}
		return nil
	})
	return sum
}

func spaceLines(dir string, s Space, used, quota, reserve int64) []Line {
	thing, room := "space "+dir, int64(min(s.Free, 1<<62))+used
	fact := fmt.Sprintf("%s free of %s", bytesText(s.Free), bytesText(s.Size))
	lines := []Line{pass(thing, "%s", fact)}
	switch {
	case int64(min(s.Free, 1<<62)) < reserve:
		lines[0] = doubt(Fail, thing, fact+": less than outbox.reserve", "make room: journals, old packages, other programs' files")
	case room < quota:
		lines[0] = doubt(Warn, thing, fmt.Sprintf("%s: outbox.quota lets the records take %s", fact, bytesText(uint64(quota))), "lower outbox.quota, or take a larger partition")
	}
	if s.Inodes > 0 {
		const least = 1000
		thing, fact := "inodes "+dir, fmt.Sprintf("%d free of %d", s.FreeInodes, s.Inodes)
		if s.FreeInodes < least {
			lines = append(lines, doubt(Fail, thing, fact, "remove small files, or make the file system anew with more inodes"))
		} else {
			lines = append(lines, pass(thing, "%s", fact))
		}
	}
	return lines
}

// Flush is what small durable writes took.
type Flush struct {
	Count               int
	Least, Median, Most time.Duration
	Ends                bool // the file system does not keep a time of 2040
}

// flush measures whether a flush reaches the medium.
func (e *examination) flush(ctx context.Context) []Line {
	near := e.nearest(e.Dir)
	thing := "flush " + near
	f, err := e.Probes.Flush(ctx, near)
	if err != nil {
		if isPermission(err) {
			return []Line{unreadable(thing, err)}
		}
		return []Line{doubt(Fail, thing, plain(err), "nothing can be recorded there: dmesg says why")}
	}
	var d disk
	if m, err := e.mount(); err == nil {
		d, _ = e.diskOf(m)
	}
	lines := []Line{flushLine(thing, d, f)}
	if f.Ends {
		lines = append(lines, doubt(Warn, "file times "+near, "the file system ends on 2038-01-19", "make it anew with inodes of 256 bytes (mke2fs -I 256)"))
	}
	return lines
}

// What a flush of 4 KiB takes at the least. NAND takes 200 µs to program a page
// even as SLC, and more as MLC or TLC; the faster medium has memory behind a
// capacitor, and says "write through", because it has nothing to flush. A card
// has no capacitor. A disk has to turn to the place: half a turn at 15,000 a
// minute is 2 ms.
const (
	nandPage = 200 * time.Microsecond
	halfTurn = 2 * time.Millisecond
)

func flushLine(thing string, d disk, f Flush) Line {
	fact := fmt.Sprintf("%d writes of 4 KiB: %v least, %v median, %v most", f.Count, round(f.Least), round(f.Median), round(f.Most))
	if d.name != "" {
		fact += fmt.Sprintf(" (%s %s, write cache: %s)", d.kind(), d.name, cmp.Or(d.cache, "not known"))
	}
	floor := time.Duration(0)
	switch {
	case d.kind() == "rotating disk":
		floor = halfTurn
	case d.card != "" || d.cache == "write back":
		floor = nandPage
	}
	const slow, stall = 100 * time.Millisecond, 2 * time.Second
	switch {
	case f.Median < floor:
		return doubt(Warn, thing, fmt.Sprintf("%s: faster than such a medium can write, %v; what it calls written may be gone with the power", fact, floor),
			"cut the power under load and look at the records, or take a medium with power loss protection; a virtual disk does what its host was told")
	case f.Median > slow:
		return doubt(Warn, thing, fact+": slow, every record waits for it", "take another card, see docs/boards.md")
	case f.Most > stall:
		return doubt(Warn, thing, fact+": stalls", "the card tidies up: leave a fifth of it unused, trim it (fstrim), or take another one")
	}
	return pass(thing, "%s", fact)
}

func round(d time.Duration) time.Duration {
	if d < time.Millisecond {
		return d.Round(time.Microsecond)
	}
	return d.Round(10 * time.Microsecond)
}
