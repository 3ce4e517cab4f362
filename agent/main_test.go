package agent

import (
	"bytes"
	"fmt"
	"io"
	"testing"
)

func TestMainRefusesWhatItDoesNotKnow(t *testing.T) {
	for name, args := range map[string][]string{
		"no command":      nil,
		"unknown command": {"mesure"},
		"half a command":  {"outbox"},
		"unknown flag":    {"version", "--verbose"},
	} {
		if code := Main(args, io.Discard, io.Discard); code != exitUsage {
			t.Errorf("%s: exit %d, want %d", name, code, exitUsage)
		}
	}
	var out bytes.Buffer
	if code := Main([]string{"help"}, &out, io.Discard); code != exitGood || !bytes.Contains(out.Bytes(), []byte("measure")) {
		t.Errorf("help: exit %d, prints %s", code, fmt.Sprintf("%.80s", out.String()))
	}
}
