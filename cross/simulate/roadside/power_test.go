package roadside

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"ciglio/agent"
	"ciglio/capture/evidence"
	"ciglio/cross/board"
	"ciglio/cross/board/boardtest"
	"ciglio/cross/board/guest"
	"ciglio/cross/board/writelog"
	"ciglio/portal"
	"ciglio/uplink"
)

// The disk of the board: a file system, and the place of the witness behind it.
const (
	fileSystem = 96 << 20
	diskSize   = fileSystem + lineLength
)

// A cutPoint is a moment at which the power is cut, and what the disk did then.
type cutPoint struct {
	end  int    // entries of the log that the disk had been given
	disk string // "kept nothing", "kept all", or "kept some" of what was not flushed
	seed uint64 // of some
}

func (c cutPoint) String() string {
	return fmt.Sprintf("cut after entry %d, the disk %s", c.end, c.disk)
}

func (c cutPoint) fate() writelog.Fate {
	switch c.disk {
	case "kept nothing":
		return writelog.None
	case "kept all":
		return writelog.All
	}
	return writelog.Random(rand.New(rand.NewPCG(c.seed, uint64(c.end))))
}

// A history is one run of the device, from power on to the cut.
type history struct {
	base []byte // the disk when the power came on
	told told   // before that
	log  *writelog.Log
	cut  cutPoint // how it ended
	// heard is what was told with no witness, each with the size that the log had
	// when it was heard.
	heard []overheard
}

type overheard struct {
	size int64
	line string
}

// toldAt returns what the device had told when the log had n entries.
func (h *history) toldAt(n int) (told, error) {
	t := h.told.clone()
	for i := range n {
		if h.log.Entries[i].Offset != fileSystem {
			continue
		}
		line, err := h.log.Data(i)
		if err != nil {
			return t, err
		}
		t.hear(string(bytes.TrimRight(line, "\x00")))
	}
	for _, o := range h.heard {
		if h.heardBy(o, n) {
			t.hear(o.line)
		}
	}
	return t, nil
}

// heardBy reports whether something had been heard when the log had n entries.
func (h *history) heardBy(o overheard, n int) bool {
	return n >= h.cut.end || o.size <= h.log.Entries[n].Position
}

func (t told) clone() told {
	return told{maps.Clone(t.Accepted), slices.Clone(t.Answered), slices.Clone(t.Settled), slices.Clone(t.Dropped)}
}

// A plug is a board on whose disk a device works, the centre that it sends to,
// and the plug that is pulled.
type plug struct {
	*testing.T
	dir     string
	broker  string // as the board reaches it
	arch    string // of the device's programs
	program string // this one, for the board
	segment int    // size of the segments of its store
	random  *rand.Rand
	told    told // by the device, until now

	centre     *portal.Portal
	stopCentre func()

	audits, records, settled, gone int
	mounting, starting             time.Duration // the longest
}

// TestPowerCuts pulls the plug of a device that measures and sends, on a real
// kernel and file system, with what it has not flushed lost. docs/power-cuts.md
// tells how.
func TestPowerCuts(t *testing.T) {
	switch boardtest.Need(t, boardtest.Short) {
	case boardtest.Short:
		cutPower(t, "arm64", 2, 10)
	case boardtest.All:
		t.Run("arm64", func(t *testing.T) { cutPower(t, "arm64", 2, 20) })
		t.Run("arm-7", func(t *testing.T) { cutPower(t, "arm-7", 2, 20) })
	case boardtest.Soak:
		t.Run("arm64", func(t *testing.T) { cutPower(t, "arm64", 10, 25) })
		t.Run("arm-7", func(t *testing.T) { cutPower(t, "arm-7", 10, 25) })
	}
}

// cutPower lets the device run so often, and each time audits so many cuts.
func cutPower(t *testing.T, arch string, runs, cuts int) {
	p := newPlug(t, arch)
	p.segment = smallSegment
	var last *history
	for run := range runs {
		s := p.boot(fmt.Sprint(run))
		if last != nil {
			p.audit(s, last, cuts)
		}
		last = p.load(s, run%2 == 1, run%4 == 1 || run%4 == 2)
	}
	s := p.boot("end")
	p.audit(s, last, cuts)
	p.auditLiar(s, last)
	p.drain(s)
	if err := s.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	told := len(p.told.Accepted)
	p.auditCentre()
	t.Logf("%d records told; %d found in the stores of all cuts, %d of them settled, %d rightly gone; longest mount %v, longest start and stop %v",
		told, p.records, p.settled, p.gone, p.mounting.Round(time.Millisecond), p.starting.Round(time.Millisecond))
	if p.audits != runs*cuts || told < 10*runs {
		t.Errorf("%d cuts and %d records, want %d and %d", p.audits, told, runs*cuts, 10*runs)
	}
	if !t.Failed() {
		boardtest.Figure(t, *update, "power cuts survived, "+arch, fmt.Sprintf("%d of %d, %d of them real", p.audits, p.audits, runs))
	}
}

// newPlug makes the disk with a device that is enrolled, and a centre that runs.
func newPlug(t *testing.T, arch string) *plug {
	dir := t.TempDir()
	centreDir, root := filepath.Join(dir, "centre"), filepath.Join(dir, "root")
	if _, err := portal.Init(centreDir); err != nil {
		t.Fatal(err)
	}
	if err := provision(root, centreDir); err != nil {
		t.Fatal(err)
	}
	p := newDisk(t, arch, dir, root)
	p.centre, p.stopCentre = runCentre(t, centreDir)
	_, port, _ := strings.Cut(p.centre.MQTTAddr(), ":")
	p.broker = guest.HostAddress + ":" + port
	return p
}

// newDisk makes in dir the disk that holds what is in root, without a centre.
func newDisk(t *testing.T, arch, dir, root string) *plug {
	p := &plug{T: t, dir: dir, arch: arch, told: told{Accepted: map[string]uplink.Key{}}}
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv("CIGLIO_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("seed %d: CIGLIO_SEED makes the same choices again", seed)
	p.random = rand.New(rand.NewPCG(seed, 1))
	if err := errors.Join(board.Blank(p.file("disk"), diskSize), board.Blank(p.file("audited"), diskSize)); err != nil {
		t.Fatal(err)
	}
	p.tool("mkfs.ext4", "-q", "-F", "-b", "4096", "-E", "lazy_itable_init=0,lazy_journal_init=0,nodiscard", "-d", root,
		p.file("disk"), fmt.Sprint(fileSystem/4096))
	var err error
	if p.program, err = board.BuildTest(t.Context(), arch, "ciglio/cross/simulate/roadside"); err != nil {
		t.Fatal(err)
	}
	return p
}

// provision puts into the folder what a device needs that is enrolled at the
// centre in centreDir.
func provision(root, centreDir string) error {
	c := settings(killedDevice, filepath.Join(root, "device"))
	if err := errors.Join(os.MkdirAll(c.Device.Dir, 0o700), os.MkdirAll(filepath.Join(root, "portal"), 0o700)); err != nil {
		return err
	}
	_, der, err := enrol(centreDir, c.Device.Key, killedDevice)
	if err != nil {
		return err
	}
	trust, err := os.ReadFile(portal.TrustFile(centreDir))
	if err != nil {
		return err
	}
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	core, err := agent.CoreID()
	if err != nil {
		return err
	}
	return errors.Join(
		os.WriteFile(portal.TrustFile(filepath.Join(root, "portal")), trust, 0o644),
		os.WriteFile(filepath.Join(c.Device.Dir, "device.crt"), certificate, 0o644),
		os.WriteFile(filepath.Join(c.Device.Dir, "calibration.toml"), calibrationOf(time.Now(), core), 0o644),
	)
}

func (p *plug) file(name string) string { return filepath.Join(p.dir, name+".img") }

// tool runs a program of the host that ext4 comes with.
func (p *plug) tool(name string, args ...string) {
	p.Helper()
	c := exec.Command(name, args...)
	c.Env = append(os.Environ(), "PATH="+os.Getenv("PATH")+":/usr/sbin:/sbin")
	if out, err := c.CombinedOutput(); err != nil {
		p.Fatalf("%v: %v\n%s", c, err, out)
	}
}

// auditCentre finds at the centre every record that the device has ever told of.
func (p *plug) auditCentre() {
	p.Helper()
	p.stopCentre()
	accepted := map[evidence.Hash]bool{}
	for id := range p.told.Accepted {
		b, err := hex.DecodeString(id)
		if err != nil {
			p.Fatal(err)
		}
		accepted[evidence.Hash(b)] = true
	}
	auditCentre(p.T, filepath.Join(p.dir, "centre"), accepted)
}

// A session is a board that is switched on.
type session struct {
	*board.Board
	history
	name string
}

// boot switches the board on, with a log of what it writes to its disk.
func (p *plug) boot(name string, change ...func(*board.Options)) *session {
	p.Helper()
	r := &session{name: name, history: history{told: p.told.clone()}}
	var err error
	if r.base, err = os.ReadFile(p.file("disk")); err != nil {
		p.Fatal(err)
	}
	if err := board.Blank(p.file("log-"+name), 0); err != nil {
		p.Fatal(err)
	}
	// Without no-flush the host's own flush would take time, in which writes may
	// come to stand in front of a flush that did not wait for them.
	const file = "driver=file,cache.no-flush=on,node-name=%s,filename=%s"
	o := board.Options{
		Arch:  p.arch,
		Files: map[string]string{"/bin/device": p.program},
		QEMUArgs: []string{
			"-blockdev", fmt.Sprintf(file, "image", p.file("disk")),
			"-blockdev", fmt.Sprintf(file, "log", p.file("log-"+name)),
			"-blockdev", "driver=blklogwrites,node-name=logged,file=image,log=log",
		},
		Disks: []board.Disk{{Node: "logged", Mount: "/flash"}, {Image: p.file("audited")}},
	}
	for _, c := range change {
		c(&o)
	}
	r.Board = boardtest.Start(p.T, o)
	return r
}

// start starts the device on the board's disk.
func (p *plug) start(r *session, env ...string) *board.Process {
	p.Helper()
	env = append(env, envDevice+"=/flash", envBroker+"="+p.broker, fmt.Sprintf("%s=disk0@%d", envWitness, fileSystem))
	device, err := r.Go(guest.Command{Args: []string{"device"}, Env: env})
	if err != nil {
		p.Fatal(err)
	}
	return device
}

// load lets the device work, and pulls the plug at a random moment. When the device
// is alone, the network goes before; when it is ending, it was told to end.
func (p *plug) load(r *session, alone, ending bool) *history {
	p.Helper()
	if !alone {
		p.drain(r) // or the store would fill up from run to run
	}
	ctx, cancel := context.WithTimeout(p.Context(), 3*time.Minute)
	defer cancel()
	device := p.start(r)
	n := 10 + p.random.IntN(30)
	for i := range n {
		if alone && i == n/4 {
			if err := r.CutNetwork(ctx); err != nil {
				p.Fatal(err)
			}
		}
		if _, err := r.Wait(ctx, "device: accepted "); err != nil {
			p.Fatal(err)
		}
	}
	moment := 300 * time.Millisecond
	if ending {
		moment *= 10
		if err := device.Signal(syscall.SIGTERM); err != nil {
			p.Fatal(err)
		}
	}
	<-time.After(time.Duration(p.random.Int64N(int64(moment)))) // any moment will do
	p.pull(r)
	p.read(r)
	for line := range strings.Lines(r.Console()) {
		if text, ok := strings.CutPrefix(line, "device: accepted "); ok {
			if f := strings.Fields(text); len(f) == 3 && p.told.Accepted[f[2]] == (uplink.Key{}) {
				p.Errorf("the log knows nothing of what was heard: %s", line)
			}
		}
	}
	return &r.history
}

// pull cuts the power.
func (p *plug) pull(r *session) {
	p.Helper()
	ctx, cancel := context.WithTimeout(p.Context(), time.Minute)
	defer cancel()
	if err := r.Freeze(ctx); err != nil {
		p.Fatal(err)
	}
	r.Cut()
}

// read reads the log of a session whose power was cut, and leaves the disk with
// some of what was not flushed.
func (p *plug) read(r *session) {
	p.Helper()
	f, err := os.Open(p.file("log-" + r.name))
	if err != nil {
		p.Fatal(err)
	}
	p.Cleanup(func() { f.Close() })
	info, err := f.Stat()
	if err != nil {
		p.Fatal(err)
	}
	if r.log, err = writelog.Open(f, info.Size()); err != nil {
		p.Fatal(err)
	}
	p.asQEMUSays(r)
	// The flush at the end is Freeze's, or else one of the board's after which the
	// witness has written nothing. What was heard without it may rest on that.
	r.cut = cutPoint{len(r.log.Entries), "kept some", p.random.Uint64()}
	last := r.log.Entries[r.cut.end-1]
	if last.Flags&writelog.Flush != 0 && !slices.ContainsFunc(r.heard, func(o overheard) bool { return o.size > last.Position }) {
		r.cut.end--
	}
	if p.told, err = r.toldAt(r.cut.end); err != nil {
		p.Fatal(err)
	}
	disk, err := r.at(nil, 0, r.cut)
	if err != nil {
		p.Fatal(err)
	}
	p.write("disk", disk)
}

// asQEMUSays holds our reading of a log against what QEMU has done to the disk.
func (p *plug) asQEMUSays(r *session) {
	p.Helper()
	disk, err := os.ReadFile(p.file("disk"))
	if err != nil {
		p.Fatal(err)
	}
	again := bytes.Clone(r.base)
	if err := r.log.Replay(again, 0, len(r.log.Entries), nil); err != nil {
		p.Fatal(err)
	}
	if !bytes.Equal(disk, again) {
		p.Error("the log, replayed, does not give the disk that QEMU has written")
	}
	var flushes, written, other int
	for _, e := range r.log.Entries {
		switch {
		case e.Flags == writelog.Flush && e.Length == 0:
			flushes++
		case e.Flags == 0:
			written += int(e.Length)
		default:
			other++
		}
	}
	p.Logf("run %s: %d entries: %d flushes, %.1f MB written", r.name, len(r.log.Entries), flushes, float64(written)/1e6)
	if flushes == 0 || other > 0 {
		p.Errorf("%d flushes, and %d entries of other kinds, which the board should not give", flushes, other)
	}
}

// at returns the disk as the cut left it. state is a disk that holds all entries
// before from, and is brought forward; nil stands for the base.
func (h *history) at(state []byte, from int, c cutPoint) ([]byte, error) {
	if state == nil {
		state = bytes.Clone(h.base)
	}
	flushed := h.log.Flushed(c.end)
	if err := h.log.Replay(state, from, flushed, nil); err != nil {
		return nil, err
	}
	left := bytes.Clone(state)
	return left, h.log.Replay(left, flushed, c.end, h.superblockWhole(c.fate()))
}

// superblockWhole keeps the first block of the file system whole, or loses it whole.
// ext4 writes it in place, beside its journal, and a half one is beyond what mounting
// and e2fsck -p repair: docs/power-cuts.md.
func (h *history) superblockWhole(fate writelog.Fate) writelog.Fate {
	var kept bool
	return func(entry, sector int) bool {
		if sector == 0 || sector >= 4096/512 || h.log.Entries[entry].Offset != 0 {
			kept = fate(entry, sector)
		}
		return kept
	}
}

// write changes an image in place, as a board may have it open.
func (p *plug) write(image string, disk []byte) {
	p.Helper()
	f, err := os.OpenFile(p.file(image), os.O_WRONLY, 0)
	if err != nil {
		p.Fatal(err)
	}
	_, err = f.WriteAt(disk, 0)
	if err := errors.Join(err, f.Close()); err != nil {
		p.Fatal(err)
	}
}

// cutPoints chooses n moments of a history: how it ended, the same with a disk
// that lost nothing, and random ones, some of them in the start after the cut before.
func (p *plug) cutPoints(h *history, n int) []cutPoint {
	whole := h.cut
	whole.disk = "kept all"
	cuts := []cutPoint{h.cut, whole}
	start := 1 + slices.IndexFunc(h.log.Entries, func(e writelog.Entry) bool { return e.Offset == fileSystem })
	for len(cuts) < n {
		until := h.cut.end
		if start > 0 && p.random.IntN(4) == 0 {
			until = start
		}
		c := cutPoint{1 + p.random.IntN(until), "kept some", p.random.Uint64()}
		if p.random.IntN(8) == 0 {
			c.disk = "kept nothing"
		}
		cuts = append(cuts, c)
	}
	slices.SortStableFunc(cuts, func(a, b cutPoint) int { return a.end - b.end })
	return cuts
}

// audit starts the device on the disks of n cuts of a history, one after the
// other, on a board that is up.
func (p *plug) audit(r *session, h *history, n int) {
	p.Helper()
	var state []byte
	from := 0
	for _, c := range p.cutPoints(h, n) {
		if state == nil {
			state = bytes.Clone(h.base)
		}
		left, err := h.at(state, from, c)
		if err != nil {
			p.Fatal(err)
		}
		from = h.log.Flushed(c.end)
		told, err := h.toldAt(c.end)
		if err != nil {
			p.Fatal(err)
		}
		v := p.judge(r, left, order{Told: told})
		p.audits++
		p.records += v.Records
		p.settled += v.Settled
		p.gone += len(v.Gone)
		p.mounting, p.starting = max(p.mounting, v.Mount), max(p.starting, v.Start)
		for _, f := range v.Faults {
			p.Errorf("%v: %s", c, f)
		}
		if len(v.Faults) > 0 {
			p.keep(left, told)
		}
		p.tool("e2fsck", "-f", "-n", p.file("audited"))
	}
}

// judge lets the board mount a disk and start the device on it.
func (p *plug) judge(r *session, disk []byte, o order) verdict {
	p.Helper()
	p.write("audited", disk)
	o.Disk, o.Segment = "disk1", p.segment
	return p.ask(r, o)
}

// ask gives an order to the auditor on the board.
func (p *plug) ask(r *session, o order) verdict {
	p.Helper()
	text, err := json.Marshal(o)
	if err != nil {
		p.Fatal(err)
	}
	name := fmt.Sprintf("order-%d-%d.json", p.audits, len(o.Told.Accepted))
	if err := os.WriteFile(filepath.Join(r.Share, name), text, 0o644); err != nil {
		p.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(p.Context(), 2*time.Minute)
	defer cancel()
	device, err := r.Go(guest.Command{Args: []string{"device"}, Env: []string{envAudit + "=" + guest.Share + "/" + name}})
	if err != nil {
		p.Fatal(err)
	}
	result, err := device.Wait(ctx)
	if err != nil {
		p.Fatal(err)
	}
	var v verdict
	if err := json.Unmarshal(result.Stdout, &v); err != nil || result.Code != 0 {
		p.Fatalf("no verdict: %v\n%s%s", err, result.Stdout, result.Stderr)
	}
	return v
}

// keep leaves the disk of a cut that was not survived, to be looked at.
func (p *plug) keep(disk []byte, told told) {
	p.Helper()
	dir := os.Getenv("CIGLIO_KEEP")
	if dir == "" {
		p.Log("CIGLIO_KEEP=DIR keeps the disks of cuts that were not survived")
		return
	}
	text, err := json.Marshal(told)
	name := filepath.Join(dir, fmt.Sprintf("cut-%d", p.audits))
	if err := errors.Join(err, os.WriteFile(name+".img", disk, 0o600), os.WriteFile(name+".json", text, 0o600)); err != nil {
		p.Error(err)
	}
}

// auditLiar shows that the auditor would have found a loss: this disk confirmed
// flushes and kept nothing of them.
func (p *plug) auditLiar(r *session, h *history) {
	p.Helper()
	all, err := h.toldAt(h.cut.end)
	if err != nil {
		p.Fatal(err)
	}
	for end := h.cut.end; ; {
		if end = h.log.Flushed(end); end == 0 {
			p.Fatal("no record was told in this run")
		}
		then, err := h.toldAt(end)
		if err != nil {
			p.Fatal(err)
		}
		if len(then.Accepted) > len(all.Accepted)-2 {
			continue
		}
		disk, err := h.at(nil, 0, cutPoint{end: end, disk: "kept nothing"})
		if err != nil {
			p.Fatal(err)
		}
		if v := p.judge(r, disk, order{Told: all}); !strings.Contains(strings.Join(v.Faults, "\n"), "was accepted and is lost") {
			p.Errorf("a disk that lied was not found out: %q", v.Faults)
		}
		return
	}
}

// drain lets the device send what it has.
func (p *plug) drain(r *session) {
	p.Helper()
	ctx, cancel := context.WithTimeout(p.Context(), 5*time.Minute)
	defer cancel()
	result, err := p.start(r, envDrain+"=1").Wait(ctx)
	if err != nil || result.Code != 0 {
		p.Fatalf("the device does not send what it has: %v, exit code %d\n%s", err, result.Code, result.Stderr)
	}
}
