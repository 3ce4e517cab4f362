//go:build linux

package iqframe_test

import (
	"testing"

	"ciglio/sensor/clock"
	"ciglio/sensor/iqframe"
	"ciglio/sensor/port"
	"ciglio/sensor/sensortest/pty"
)

// On a pseudo-terminal: blocks, half a block, unplugged.
func TestOnASerialPort(t *testing.T) {
	line, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer line.Close()
	c, err := port.Dial(line.Name, 115_200, "none")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	s, err := iqframe.NewStream(c, rate, &clock.System{})
	if err != nil {
		t.Fatal(err)
	}
	for k := range 3 {
		line.Master.Write([]byte("noise"))
		line.Master.Write(frame(t, uint32(k), uint64(k)*pairs))
		if b, err := s.Next(t.Context()); err != nil || b.Index != uint64(k)*pairs {
			t.Fatalf("block at %d, %v", b.Index, err)
		}
	}
	line.Master.Write(frame(t, 3, 240)[:100])
	line.Hangup()
	if b, err := s.Next(t.Context()); err == nil {
		t.Errorf("unplugged: a block at %d", b.Index)
	}
}
