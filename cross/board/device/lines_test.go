package device

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// lines are the inputs of the board's GPIO controller, which QEMU lets a test
// drive: one socket finds the controller, the other one sets its inputs.
type lines struct {
	conn       net.Conn
	answers    *bufio.Reader
	controller string // its path in QEMU's tree of objects
}

// linesArgs are QEMU's options for the two sockets in dir.
func linesArgs(dir string) []string {
	return []string{
		"-qtest", "unix:" + filepath.Join(dir, "lines") + ",server=on,wait=off", "-qtest-log", "none",
		"-chardev", "socket,id=objects,server=on,wait=off,path=" + filepath.Join(dir, "objects"), "-mon", "chardev=objects,mode=control",
	}
}

func newLines(t *testing.T, dir string) *lines {
	t.Helper()
	dial := func(name string) net.Conn {
		c, err := new(net.Dialer).DialContext(t.Context(), "unix", filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	controller, err := findController(dial("objects"))
	if err != nil {
		t.Fatal(err)
	}
	conn := dial("lines")
	return &lines{conn, bufio.NewReader(conn), controller}
}

// findController asks QEMU for the PL061, the GPIO controller of its board.
func findController(c net.Conn) (string, error) {
	const folder = "/machine/unattached"
	answers := json.NewDecoder(c)
	var greeting struct{}
	if err := answers.Decode(&greeting); err != nil {
		return "", err
	}
	var reply struct {
		Return json.RawMessage
		Error  *struct{ Desc string }
	}
	for _, command := range []string{`{"execute":"qmp_capabilities"}`, `{"execute":"qom-list","arguments":{"path":"` + folder + `"}}`} {
		if _, err := fmt.Fprintln(c, command); err != nil {
			return "", err
		}
		for reply.Return = nil; reply.Return == nil; { // events come in between
			if err := answers.Decode(&reply); err != nil {
				return "", err
			}
			if reply.Error != nil {
				return "", fmt.Errorf("QEMU: %s", reply.Error.Desc)
			}
		}
	}
	var objects []struct{ Name, Type string }
	if err := json.Unmarshal(reply.Return, &objects); err != nil {
		return "", err
	}
	for _, o := range objects {
		if o.Type == "child<pl061>" {
			return folder + "/" + o.Name, nil
		}
	}
	return "", fmt.Errorf("QEMU has no pl061 among %d objects", len(objects))
}

// set sets the level of an input.
func (l *lines) set(line int, high bool) error {
	level := 0
	if high {
		level = 1
	}
	l.conn.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := fmt.Fprintf(l.conn, "set_irq_in %s unnamed-gpio-in %d %d\n", l.controller, line, level); err != nil {
		return err
	}
	answer, err := l.answers.ReadString('\n')
	if err == nil && !strings.HasPrefix(answer, "OK") {
		err = fmt.Errorf("QEMU: %s", strings.TrimSpace(answer))
	}
	return err
}
