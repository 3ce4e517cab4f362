//go:build linux

package agd_test

import (
	"strings"
	"testing"

	"ciglio/cross/simulate/emulator"
	"ciglio/sensor/agd"
	"ciglio/sensor/clock"
	"ciglio/sensor/port"
	"ciglio/sensor/sensortest/pty"
)

// On a pseudo-terminal: set up, a target, unplugged in the middle of a message.
func TestOnASerialPort(t *testing.T) {
	line, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	x := &emulator.AGD{}
	served := make(chan error, 1)
	go func() { served <- x.Serve(t.Context(), line.Master) }()
	defer func() {
		line.Close()
		<-served
	}()
	c, err := port.Dial(line.Name, 115_200, "none")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	r, err := agd.Open(t.Context(), c, &clock.System{}, agd.Options{Model: "AGD350"})
	if err != nil {
		t.Fatal(err)
	}
	if err := x.Report(target(6e9, 1, 6340, 0)); err != nil {
		t.Fatal(err)
	}
	for {
		c, err := r.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if len(c.Readings) == 1 {
			if c.Readings[0].Speed != 6340 {
				t.Errorf("%+v", c)
			}
			break
		}
	}
	x.Send([]byte(example[:20]))
	line.Hangup()
	for range 100 {
		if _, err = r.Next(t.Context()); err != nil {
			break
		}
	}
	if err == nil || strings.Contains(err.Error(), "no message") {
		t.Errorf("unplugged: %v", err)
	}
}
