package whole

import (
	"bufio"
	"context"
	"io"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"ciglio/capture/evidence"
	"ciglio/uplink"
	"ciglio/uplink/mqtt"
	"ciglio/uplink/wire"
)

// TestDemoLetsIntegratorsRead takes broker and credential from what the
// demonstration prints, follows a record with them, and tries to write.
func TestDemoLetsIntegratorsRead(t *testing.T) {
	if testing.Short() {
		t.Skip("short: plays a road")
	}
	t.Parallel()
	program := filepath.Join(programs(t), "ciglio-demo")
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	demo := exec.CommandContext(ctx, program, "--for", "20s", "--listen", "127.0.0.1:0")
	stdout, err := demo.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var stderr strings.Builder
	demo.Stderr = &stderr
	if err := demo.Start(); err != nil {
		t.Fatal(err)
	}
	said := new(output)
	lines := bufio.NewScanner(io.TeeReader(stdout, said))
	credential := regexp.MustCompile(`broker (tcp://\S+), user (\S+), password ([^\s;]+)`)
	var session uplink.Session
	messages := make(chan uplink.Message, 10_000)
	for lines.Scan() {
		m := credential.FindStringSubmatch(lines.Text())
		if m == nil || session != nil {
			continue
		}
		dialer, err := mqtt.New(mqtt.Options{Broker: m[1], Username: m[2], Password: m[3]})
		if err != nil {
			t.Fatal(err)
		}
		if session, err = dialer.Dial(ctx, uplink.SessionOptions{ClientID: "integrator", Subscribe: []string{wire.Root + "/#"},
			Handle: func(m uplink.Message) { messages <- m }}); err != nil {
			t.Fatal(err)
		}
		defer session.Close()
		writer, err := dialer.Dial(ctx, uplink.SessionOptions{ClientID: "writer"})
		if err != nil {
			t.Fatal(err)
		}
		defer writer.Close()
		select {
		case err := <-writer.Publish(uplink.Message{Topic: wire.Topic("0", evidence.DeviceID{1}, wire.WhatState), Payload: []byte("forged"), Retained: true}):
			if err == nil {
				t.Error("an integrator may write")
			}
		case <-writer.Done():
		}
	}
	// Whether the road was measured well is not asked here: on a machine that is
	// busy with other tests pictures may come late.
	if err := demo.Wait(); session == nil {
		t.Fatalf("%v\n%s%s", err, said, &stderr)
	}
	<-session.Done() // the broker has ended
	heard := map[wire.What]int{}
	for len(messages) > 0 {
		m := <-messages
		if string(m.Payload) == "forged" {
			t.Error("what an integrator wrote came through")
		}
		if _, _, what, err := wire.ParseTopic(m.Topic); err == nil {
			heard[what]++
		}
	}
	for _, what := range []wire.What{wire.WhatRecord, wire.WhatState, wire.WhatReceipt} {
		if heard[what] == 0 {
			t.Errorf("no %s was heard: %v\n%s", what, heard, said)
		}
	}
}
