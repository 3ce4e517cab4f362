package brokerlog

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const (
	one   = "fff38655e36941bb0c108615c3b0af8a"
	other = "831fc0b630526c671be3df6d32ed7364"
)

// The lines are Mosquitto 2.0.11's.
func TestParse(t *testing.T) {
	for _, row := range []struct {
		name, line string
		want       Event
	}{
		{"on another's topic", "1796125763: Denied PUBLISH from " + one + " (d0, q1, r0, m3, 'ciglio/v1/0/" + other + "/record', ... (1 bytes))",
			Event{"topic refused", one, "ciglio/v1/0/" + other + "/record", "not its own"}},
		{"what the centre says to it", "1: Denied PUBLISH from " + one + " (d0, q1, r0, m3, 'ciglio/v1/0/" + one + "/receipt', ... (1 bytes))",
			Event{"topic refused", one, "ciglio/v1/0/" + one + "/receipt", "not a device's to say"}},
		{"a topic that would be another line", "1: Denied PUBLISH from " + one + " (d0, q1, r0, m3, 'x', ... (9 bytes)): Denied PUBLISH from " + other + " (d0, q1, r0, m3, 'y', ... (1 bytes))",
			Event{"topic refused", one, "x', ... (9 bytes)): Denied PUBLISH from " + other + " (d0, q1, r0, m3, 'y", "not its own"}},
		{"with a time in words", "2026-12-01T11:00:00: Denied PUBLISH from " + one + " (d0, q0, r1, m0, 'x', ... (0 bytes))",
			Event{"topic refused", one, "x", "not its own"}},
		{"by nobody known", "1: Denied PUBLISH from door (d0, q0, r1, m0, 'x', ... (0 bytes))", Event{"topic refused", "", "x", "not its own"}},
		{"a bad certificate", "1796125762: OpenSSL Error[0]: error:0A000086:SSL routines::certificate verify failed",
			Event{Message: "client refused", Reason: "certificate verify failed"}},
		{"no handshake", "1796125762: Client connection from 127.0.0.1 failed: error:0A000126:SSL routines::unexpected eof while reading.",
			Event{Message: "client refused", Reason: "error:0A000126:SSL routines::unexpected eof while reading"}},
		{"not authorised", "1: Client " + one + " disconnected, not authorised.", Event{"client refused", one, "", "not authorised"}},
		{"a message that passes", "1: Received PUBLISH from " + one + " (d0, q1, r0, m3, 'x', ... (1 bytes))", Event{}},
		{"cut short", "1: Denied PUBLISH from " + one + " (d0, q1, r0", Event{}},
		{"nothing", "", Event{}},
		{"no words of the broker", "Denied PUBLISH", Event{}},
	} {
		got, ok := Parse(row.line)
		if got != row.want && (ok || row.want != Event{}) {
			t.Errorf("%s: %+v, want %+v", row.name, got, row.want)
		}
		if ok != (row.want != Event{}) {
			t.Errorf("%s: told: %v", row.name, ok)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("1: Denied PUBLISH from " + one + " (d0, q1, r0, m3, 'x', ... (1 bytes))")
	f.Add("1: OpenSSL Error[0]: error:0A000086:SSL routines::x")
	f.Fuzz(func(t *testing.T, line string) {
		if e, ok := Parse(line); ok && (e.Message == "" || e.Device != "" && !strings.Contains(line, e.Device)) {
			t.Errorf("%q tells %+v", line, e)
		}
	})
}

func TestTheFileIsFollowed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	write := func(flags int, text string) {
		t.Helper()
		f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|flags, 0o600)
		if err == nil {
			_, err = f.WriteString(text)
		}
		if err == nil {
			err = f.Close()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	f := &follower{path: path}
	defer f.close()
	var got []string
	read := func() {
		t.Helper()
		if err := f.read(func(l string) { got = append(got, l) }); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.read(nil); err == nil {
		t.Error("a file that is not there is read")
	}
	long := strings.Repeat("x", 3*MaxLine)
	for _, step := range []struct {
		name string
		do   func()
		want []string
	}{
		{"what was before", func() { write(os.O_APPEND, "old\n") }, nil},
		{"two lines and a half", func() { write(os.O_APPEND, "a\nb\nc") }, []string{"a", "b"}},
		{"the other half", func() { write(os.O_APPEND, "d\n") }, []string{"cd"}},
		{"nothing", func() {}, nil},
		{"a line too long", func() { write(os.O_APPEND, long+"\nnext\n") }, []string{long[:MaxLine], "next"}},
		{"rotated", func() { os.Rename(path, path+".1"); write(os.O_APPEND, "new\n") }, []string{"new"}},
		{"truncated", func() { write(os.O_TRUNC, "z\n") }, []string{"z"}},
		{"taken away", func() { os.Remove(path) }, nil},
	} {
		got = nil
		step.do()
		read()
		if !slices.Equal(got, step.want) {
			t.Errorf("%s: %d lines %.40q, want %.40q", step.name, len(got), got, step.want)
		}
	}
}
