package portaltest

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// A Mosquitto is the real one of Debian, with docs/mosquitto.conf and
// docs/mosquitto.acl, for the length of a test.
type Mosquitto struct {
	Folder          string // /etc/mosquitto/ciglio of the shipped files
	Log             string // file to which it writes its log
	Devices, Centre string // addresses for the two, on the loopback

	t               testing.TB
	program, config string
	command         *exec.Cmd
}

func freePort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// NewMosquitto starts it with what fill writes into its folder: the certificates that
// a centre makes for it. docs is the folder of the shipped files. Where it is not
// installed the test is skipped, but on the build machine it fails.
func NewMosquitto(t testing.TB, docs string, fill func(folder string) error) *Mosquitto {
	t.Helper()
	const program = "/usr/sbin/mosquitto"
	if _, err := os.Stat(program); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	m := &Mosquitto{t: t, Folder: t.TempDir()}
	m.Log = filepath.Join(m.Folder, "mosquitto.log")
	if err := fill(m.Folder); err != nil {
		t.Fatal(err)
	}
	devices, centre := freePort(t), freePort(t)
	m.Devices, m.Centre = fmt.Sprintf("127.0.0.1:%d", devices), fmt.Sprintf("127.0.0.1:%d", centre)
	text, err := os.ReadFile(filepath.Join(docs, "mosquitto.conf"))
	if err != nil {
		t.Fatal(err)
	}
	acl, err := os.ReadFile(filepath.Join(docs, "mosquitto.acl"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(m.Folder, "mosquitto.acl"), acl, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, change := range [][2]string{
		{"/etc/mosquitto/ciglio", m.Folder},
		{"log_dest file /var/log/mosquitto/ciglio.log", "log_dest file " + m.Log},
		{"\nlistener 8883\n", fmt.Sprintf("\nlistener %d 127.0.0.1\n", devices)},
		{"\nlistener 8884 127.0.0.1\n", fmt.Sprintf("\nlistener %d 127.0.0.1\n", centre)},
	} {
		if !bytes.Contains(text, []byte(change[0])) {
			t.Fatalf("docs/mosquitto.conf has no %q", change[0])
		}
		text = bytes.ReplaceAll(text, []byte(change[0]), []byte(change[1]))
	}
	if os.Getuid() == 0 { // or it becomes a user who cannot read the test's files
		text = append(text, "user root\n"...)
	}
	m.program, m.config = program, filepath.Join(m.Folder, "mosquitto.conf")
	if err := os.WriteFile(m.config, text, 0o600); err != nil {
		t.Fatal(err)
	}
	m.start()
	t.Cleanup(m.stop)
	return m
}

func (m *Mosquitto) start() {
	m.t.Helper()
	m.command = exec.Command(m.program, "-c", m.config)
	m.command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // a Ctrl-C is for the test
	var out bytes.Buffer
	m.command.Stdout, m.command.Stderr = &out, &out
	if err := m.command.Start(); err != nil {
		m.t.Fatal(err)
	}
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		a, err := net.Dial("tcp", m.Devices)
		if err == nil {
			a.Close()
			if a, err = net.Dial("tcp", m.Centre); err == nil {
				a.Close()
				return
			}
		}
		if time.Now().After(end) {
			m.t.Fatalf("mosquitto does not run: %s%s", out.String(), m.Said())
		}
	}
}

func (m *Mosquitto) stop() {
	m.command.Process.Signal(syscall.SIGTERM)
	m.command.Wait()
}

// Restart ends it and starts it anew.
func (m *Mosquitto) Restart() {
	m.t.Helper()
	m.stop()
	m.start()
}

// Said is what it has written to its log.
func (m *Mosquitto) Said() string {
	text, _ := os.ReadFile(m.Log)
	return string(text)
}

// Reload has it read its certificates and its list of those that are revoked anew.
func (m *Mosquitto) Reload() {
	m.t.Helper()
	if err := m.command.Process.Signal(syscall.SIGHUP); err != nil {
		m.t.Fatal(err)
	}
}
