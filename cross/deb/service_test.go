package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"ciglio/agent"
	"ciglio/agent/stick/helper"
	"ciglio/cross/statement"
)

// boot starts the Debian with its own systemd and waits until that is up.
func (d *debian) boot(t *testing.T) {
	t.Helper()
	needs(t, "systemd-nspawn", "nsenter")
	// The container tells us as a service manager would be told.
	socket := filepath.Join(t.TempDir(), "notify")
	manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer manager.Close()
	log, err := os.Create(filepath.Join(t.TempDir(), "console"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(d.dir, "etc/machine-id"), []byte("uninitialized\n"), 0o444); err != nil {
		t.Fatal(err)
	}
	machine := fmt.Sprintf("ciglio-test-%d", os.Getpid())
	cmd := exec.Command("systemd-nspawn", "--quiet", "--register=no", "--keep-unit", "--machine="+machine, "--directory="+d.dir,
		"--system-call-filter=adjtimex bpf", // a container is refused both otherwise; bpf confines devices
		"--private-network", "--notify-ready=yes", "--console=read-only", "--boot")
	cmd.Env = append(os.Environ(), "NOTIFY_SOCKET="+socket, "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1")
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var leader string // process number of its systemd
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		// The end of its first process is that of all in it.
		if pid, err := strconv.Atoi(leader); err == nil {
			syscall.Kill(pid, syscall.SIGKILL)
		} else {
			cmd.Process.Kill()
		}
		<-ended
		os.Remove(filepath.Join("/run/systemd/nspawn/propagate", machine))
		log.Close()
	})
	said := func() string {
		text, _ := os.ReadFile(log.Name())
		return string(text)
	}
	manager.SetReadDeadline(time.Now().Add(2 * time.Minute))
	for b := make([]byte, 4096); ; {
		n, err := manager.Read(b)
		if err != nil {
			select {
			case err := <-ended:
				ended <- err
				missing(t, fmt.Sprintf("systemd does not start in a container here: %v: %s", err, said()))
			default:
				t.Fatalf("systemd is not up: %v: %s", err, said())
			}
		}
		for line := range strings.Lines(string(b[:n])) {
			line = strings.TrimSpace(line)
			if pid, ok := strings.CutPrefix(line, "X_NSPAWN_LEADER_PID="); ok {
				leader = pid
			}
			if line == "READY=1" && leader != "" {
				d.leader = leader
				d.enter = func(ctx context.Context, args ...string) *exec.Cmd {
					return exec.CommandContext(ctx, "nsenter", append([]string{"--target", leader, "--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup", "--"}, args...)...)
				}
				return
			}
		}
	}
}

// eventually asks until it is so, for at most a minute.
func eventually(t *testing.T, what string, so func() (bool, string)) {
	t.Helper()
	deadline := time.After(time.Minute)
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	for {
		ok, last := so()
		if ok {
			return
		}
		select {
		case <-deadline:
			t.Fatalf("%s: not within a minute; last: %s", what, last)
		case <-tick.C:
		}
	}
}

// property asks systemd about the service.
func (d *debian) property(t *testing.T, name string) string {
	t.Helper()
	return d.propertyOf(t, "ciglio", name)
}

func (d *debian) propertyOf(t *testing.T, unit, name string) string {
	t.Helper()
	return strings.TrimSpace(d.run(t, "systemctl", "show", "--value", "--property="+name, unit))
}

// helps starts what mounts sticks, alone, and asks it something over its socket.
func (d *debian) helps(t *testing.T) {
	t.Helper()
	d.run(t, "systemctl", "start", "ciglio-stick")
	const socket = "/run/ciglio-stick/socket"
	eventually(t, "the helper listens", func() (bool, string) {
		_, err := d.try(t, "test", "-S", socket)
		return err == nil, d.propertyOf(t, "ciglio-stick", "ActiveState")
	})
	if mode := strings.TrimSpace(d.run(t, "stat", "--format=%U %G %a", socket, filepath.Dir(socket))); mode != "root ciglio 770\nroot ciglio 750" {
		t.Errorf("the socket and its folder are of %q", mode)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	client, err := helper.Dial(ctx, "/proc/"+d.leader+"/root"+socket)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	// No stick is open, and it says so.
	var answer *helper.Error
	if _, err := client.List(ctx); !errors.As(err, &answer) {
		t.Errorf("the helper answers %v", err)
	}
}

// confined looks at the sandbox of the running helper: root, who may mount and pass by
// permissions, and nothing else.
func (d *debian) confined(t *testing.T) {
	t.Helper()
	pid := d.propertyOf(t, "ciglio-stick", "MainPID")
	if pid == "0" || d.propertyOf(t, "ciglio-stick", "ActiveState") != "active" {
		t.Fatalf("the helper is %s, process %s", d.propertyOf(t, "ciglio-stick", "ActiveState"), pid)
	}
	const mountAndPass = "0000000000200002" // CAP_SYS_ADMIN, CAP_DAC_OVERRIDE
	for name, want := range map[string]string{"Uid": "0 0 0 0", "NoNewPrivs": "1", "Seccomp": "2", "CapBnd": mountAndPass, "CapEff": mountAndPass} {
		if got := d.field(t, pid, name); got != want {
			t.Errorf("%s of the helper is %s, want %s", name, got, want)
		}
	}
	for path, ok := range map[string]bool{"/run/ciglio-stick/x": true, "/var/lib/ciglio/x": false, "/etc/ciglio/x": false, "/usr/x": false} {
		if _, err := d.try(t, "nsenter", "--target", pid, "--mount", "touch", path); (err == nil) != ok {
			t.Errorf("%s can be written by the helper: %t", path, err == nil)
		}
	}
	if journal := d.run(t, "journalctl", "--unit=ciglio", "--output=cat"); strings.Contains(journal, "no sticks are taken") {
		t.Errorf("the service does not reach the helper:\n%s", journal)
	}
	score := d.run(t, "systemd-analyze", "security", "--no-pager", fmt.Sprintf("--threshold=%d", helperExposure), "ciglio-stick.service")
	t.Log(strings.TrimSpace(score[strings.LastIndex(strings.TrimSpace(score), "\n")+1:]))
}

const configuration = `
[device]
id = "00112233445566778899aabbccddeeff"
[site]
id = "SP14-12"
road = "SP 14"
latitude = "44.4949deg"
longitude = "11.3426deg"
limit = "70km/h"
[sensor]
driver = "ops243"
port = "/dev/ttyUSB0"
model = "OPS243-A"
serial = "S1"
maximum = "200km/h"
[camera]
url = "http://127.0.0.1:9/"
[uplink]
broker = "tcp://127.0.0.1:9"
`

// inForce returns the statement as it is in force today for the program's core.
func inForce(t *testing.T) string {
	t.Helper()
	core, err := agent.CoreID()
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	return string(statement.Calibration{
		ID: "A-117", Serial: "S1", Core: core, From: now.AddDate(-1, 0, 0), To: now.AddDate(1, 0, 0), Checked: now.AddDate(0, 0, -1),
	}.Text())
}

// records returns the ids of those in the outbox.
func (d *debian) records(t *testing.T) []string {
	t.Helper()
	var ids []string
	for decoder := json.NewDecoder(strings.NewReader(d.run(t, "ciglio", "outbox", "list", "--json"))); ; {
		var r struct {
			ID string `json:"id"`
		}
		err := decoder.Decode(&r)
		if err == io.EOF {
			return ids
		}
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, r.ID)
	}
}

// serve is the life of the service under a systemd of its own: skipped without a
// configuration, then ready, watched, in its sandbox, upgraded, removed.
func serve(t *testing.T, d *debian, packages [3]string) {
	d.boot(t)
	for i, p := range packages {
		d.add(t, p, fmt.Sprintf("%d.deb", i+1))
	}

	d.run(t, "dpkg", "--install", "/1.deb")
	if state := d.property(t, "ActiveState"); state != "inactive" {
		t.Errorf("without a configuration the service is %s", state)
	}
	if journal := d.run(t, "journalctl", "--unit=ciglio", "--output=cat"); !strings.Contains(journal, "device.id") {
		t.Errorf("the journal does not say what is missing:\n%s", journal)
	}

	for path, text := range map[string]string{"etc/ciglio/ciglio.toml": configuration, "var/lib/ciglio/calibration.toml": inForce(t)} {
		if err := os.WriteFile(filepath.Join(d.dir, path), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	d.add(t, filepath.Join(root, "capture/evidence/testdata/trust.pem"), "var/lib/ciglio/trust.pem")
	d.helps(t)
	d.run(t, "systemctl", "start", "ciglio") // comes back once it was told READY=1
	pid := d.property(t, "MainPID")
	if state := d.property(t, "ActiveState"); state != "active" || pid == "0" {
		t.Fatalf("the service is %s, process %s", state, pid)
	}
	if got := d.property(t, "WatchdogUSec"); got != "30s" {
		t.Errorf("watchdog of %s", got)
	}

	// What it says includes what it found, and the clock is not unknown: adjtimex
	// passes the filter.
	status := func(want string) {
		t.Helper()
		eventually(t, "status "+want, func() (bool, string) {
			text := d.property(t, "StatusText")
			return strings.Contains(text, "gate closed: ") && regexp.MustCompile(want).MatchString(text), text
		})
	}
	status(`sensor .*/dev/ttyUSB0: no such file or directory`)
	if text := d.property(t, "StatusText"); strings.Contains(text, "clock_unknown") {
		t.Errorf("the sandbox keeps the clock from being read: %s", text)
	}
	d.sandboxed(t, pid)
	d.confined(t)
	t.Logf("resident after the start: %s", d.field(t, pid, "VmRSS"))
	score := d.run(t, "systemd-analyze", "security", "--no-pager", fmt.Sprintf("--threshold=%d", exposure), "ciglio.service")
	t.Log(strings.TrimSpace(score[strings.LastIndex(strings.TrimSpace(score), "\n")+1:]))

	// Upgraded while it runs: started anew, with all that it had.
	before := d.records(t)
	if len(before) < 4 {
		t.Errorf("records %q: want boot, calibration, configuration and self-test", before)
	}
	d.run(t, "dpkg", "--force-confold", "--install", "/2.deb")
	if now := d.property(t, "MainPID"); now == pid || now == "0" || d.property(t, "ActiveState") != "active" {
		t.Errorf("upgrade: process %s, was %s", now, pid)
	}
	after := d.records(t)
	if len(after) < len(before)+4 || strings.Join(after[:len(before)], " ") != strings.Join(before, " ") {
		t.Errorf("upgrade: records were %q, are %q", before, after)
	}

	// One that hangs is ended and started anew.
	override := filepath.Join(d.dir, "etc/systemd/system/ciglio.service.d")
	if err := os.Mkdir(override, 0o755); err != nil {
		t.Fatal(err)
	}
	reconfigure := func(text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(override, "test.conf"), []byte("[Service]\n"+text), 0o644); err != nil {
			t.Fatal(err)
		}
		d.run(t, "systemctl", "daemon-reload")
		d.run(t, "systemctl", "restart", "ciglio")
	}
	reconfigure("WatchdogSec=2s\nTimeoutAbortSec=2s\nRestartSec=100ms\n")
	pid = d.property(t, "MainPID")
	d.run(t, "bash", "-c", "kill -STOP "+pid)
	eventually(t, "started anew by the watchdog", func() (bool, string) {
		now, n := d.property(t, "MainPID"), d.property(t, "NRestarts")
		return now != pid && now != "0" && n != "0" && d.property(t, "ActiveState") == "active", "process " + now + ", restarts " + n
	})
	if journal := d.run(t, "journalctl", "--unit=ciglio", "--output=cat"); !strings.Contains(journal, "Watchdog timeout") {
		t.Errorf("the journal says nothing of the watchdog:\n%s", journal)
	}

	if os.Getenv("CIGLIO_PACKAGES") == "all" { // why the unit does without ProtectClock
		reconfigure("ProtectClock=yes\n")
		status("clock_unknown")
	}

	// Stopped in good order, removed, purged: the evidence stays.
	d.run(t, "systemctl", "stop", "ciglio")
	if journal := d.run(t, "journalctl", "--unit=ciglio", "--output=cat"); !strings.Contains(journal, "device stopped") {
		t.Errorf("the journal does not say that it has stopped:\n%s", journal)
	}
	reconfigure("")
	before = d.records(t)
	d.run(t, "dpkg", "--remove", "ciglio")
	if _, err := d.try(t, "pgrep", "-x", "ciglio"); err == nil {
		t.Error("removed: it still runs")
	}
	kept := d.state(t)
	d.run(t, "dpkg", "--purge", "ciglio")
	if now := d.state(t); now != kept {
		t.Errorf("purge: /var/lib/ciglio was\n%s, is\n%s", kept, now)
	}
	d.run(t, "dpkg", "--install", "/1.deb")
	if after := d.records(t); len(after) < len(before) || strings.Join(after[:len(before)], " ") != strings.Join(before, " ") {
		t.Errorf("installed again after a purge: records were %q, are %q", before, after)
	}
}

// field returns a line of what the kernel says of a process.
func (d *debian) field(t *testing.T, pid, name string) string {
	t.Helper()
	for line := range strings.Lines(d.run(t, "cat", "/proc/"+pid+"/status")) {
		if value, ok := strings.CutPrefix(line, name+":"); ok {
			return strings.Join(strings.Fields(value), " ")
		}
	}
	t.Fatalf("/proc/%s/status: no %s", pid, name)
	return ""
}

// sandboxed looks at what the kernel says of the running service.
func (d *debian) sandboxed(t *testing.T, pid string) {
	t.Helper()
	uid := strings.TrimSpace(d.run(t, "id", "-u", "ciglio"))
	for name, want := range map[string]string{
		"Uid": strings.Join([]string{uid, uid, uid, uid}, " "), "NoNewPrivs": "1", "Seccomp": "2", "CapBnd": "0000000000000000", "CapEff": "0000000000000000",
	} {
		if got := d.field(t, pid, name); got != want {
			t.Errorf("%s of the service is %s, want %s", name, got, want)
		}
	}
	if env := d.run(t, "cat", "/proc/"+pid+"/environ"); !strings.Contains(env, "GOMEMLIMIT=80MiB") {
		t.Errorf("environment %q", env)
	}
	// Of devices, serial ports and no memory. The numbers are the kernel's; a port
	// that this machine has not got answers otherwise than one that is refused.
	for name, allowed := range map[string]bool{"ttyS1 c 4 65": true, "kmsg0 c 1 11": false, "mem0 c 1 1": false} {
		node := strings.Fields(name)
		d.run(t, append([]string{"mknod", "/dev/" + node[0]}, node[1:]...)...)
		out, err := d.try(t, "sh", "-c", "echo $$ >/sys/fs/cgroup/system.slice/ciglio.service/cgroup.procs && dd count=0 iflag=nonblock if=/dev/"+node[0])
		if refused := err != nil && strings.Contains(out, "Operation not permitted"); refused == allowed {
			t.Errorf("device %s, refused %t: %s", name, refused, out)
		}
		// The same outside of the service, so that it is the service that is refused.
		if out, err := d.try(t, "dd", "count=0", "iflag=nonblock", "if=/dev/"+node[0]); err != nil && strings.Contains(out, "Operation not permitted") {
			t.Errorf("device %s is refused to all: %s", name, out)
		}
	}
	// In its own view of the files only its state may be written.
	for path, ok := range map[string]bool{"/var/lib/ciglio/x": true, "/etc/ciglio/x": false, "/usr/x": false, "/var/lib/x": false} {
		_, err := d.try(t, "nsenter", "--target", pid, "--mount", "--setuid", "0", "touch", path)
		if (err == nil) != ok {
			t.Errorf("%s can be written by the service: %t", path, err == nil)
		}
	}
}
