//go:build linux

package csr_test

import (
	"strings"
	"testing"

	"ciglio/cross/simulate/emulator"
	"ciglio/sensor"
	"ciglio/sensor/clock"
	"ciglio/sensor/csr"
	"ciglio/sensor/port"
	"ciglio/sensor/sensortest/pty"
)

// On a pseudo-terminal: set up, a target, unplugged, and plugged in again.
func TestOnASerialPort(t *testing.T) {
	for _, speed := range []sensor.Speed{6300, 24000} {
		line, err := pty.Open()
		if err != nil {
			t.Fatal(err)
		}
		x := &emulator.CSR{}
		served := make(chan error, 1)
		go func() { served <- x.Serve(t.Context(), line.Master) }()
		c, err := port.Dial(line.Name, 9600, "none")
		if err != nil {
			t.Fatal(err)
		}
		r, err := csr.Open(t.Context(), c, &clock.System{}, csr.Options{})
		if err != nil {
			t.Fatal(err)
		}
		x.Report(reading(speed, sensor.Receding))
		for {
			c, err := r.Next(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if len(c.Readings) == 1 {
				if c.Readings[0].Speed != speed {
					t.Errorf("%+v", c)
				}
				break
			}
		}
		x.Send([]byte{0xf9})
		line.Hangup()
		for range 100 {
			if _, err = r.Next(t.Context()); err != nil {
				break
			}
		}
		if err == nil || strings.Contains(err.Error(), "no report") {
			t.Errorf("unplugged: %v", err)
		}
		c.Close()
		<-served
	}
}
