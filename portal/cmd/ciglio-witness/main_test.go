package main

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"ciglio/portal/log"
)

func TestWrongUse(t *testing.T) {
	key, err := log.OpenKey(filepath.Join(t.TempDir(), "log.key"), "log.example")
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "w")
	for _, c := range []struct {
		args []string
		code int
	}{
		{nil, 2}, {[]string{"--help"}, 0}, {[]string{"--dir", dir}, 2}, {[]string{"--nonsense"}, 2},
		{[]string{"--dir", dir, "--name", "w.example", "--log", key.Verifier(), "more"}, 2},
		{[]string{"--dir", dir, "--name", "w.example", "--log", "nonsense"}, 1},
		{[]string{"--dir", dir, "--name", "w.example", "--log", key.Verifier(), "--listen", "nowhere"}, 1},
		{[]string{"--dir", filepath.Join(dir, "x"), "--name", "a name", "--log", key.Verifier()}, 1},
	} {
		var out, errs bytes.Buffer
		if code := run(t.Context(), c.args, &out, &errs); code != c.code || code > 0 && errs.Len() == 0 {
			t.Errorf("%q: %d, want %d: %s", c.args, code, c.code, errs.String())
		}
	}
}

// TestServes starts one, reads its line, and asks it.
func TestServes(t *testing.T) {
	key, err := log.OpenKey(filepath.Join(t.TempDir(), "log.key"), "log.example")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	r, w := io.Pipe()
	ended := make(chan int)
	go func() {
		ended <- run(ctx, []string{"--dir", t.TempDir(), "--name", "w.example", "--log", key.Verifier(), "--listen", "127.0.0.1:0"}, w, io.Discard)
	}()
	text := make([]byte, 1024)
	n, err := r.Read(text)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := log.ParseWitnesses(string(text[:n])); err != nil {
		t.Errorf("%s: %v", text[:n], err)
	}
	fields := strings.Fields(string(text[:n]))
	answer, err := http.Post(fields[3]+"add-checkpoint", "text/plain", strings.NewReader("nonsense"))
	if err != nil || answer.StatusCode != http.StatusBadRequest {
		t.Errorf("%v, %v", answer, err)
	}
	stop()
	if code := <-ended; code != 0 {
		t.Errorf("ended with %d", code)
	}
}
