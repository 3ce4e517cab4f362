//go:build linux

package port

import (
	"os"
	"testing"

	"periph.io/x/conn/v3/uart/uartreg"
)

func TestList(t *testing.T) {
	root := t.TempDir()
	for _, dir := range []string{
		"sys/class/tty/console", "sys/class/tty/ttyS0/device", "sys/class/tty/ttyS1/device",
		"sys/class/tty/ttyUSB0/device", "dev/serial/by-id",
	} {
		if err := os.MkdirAll(root+"/"+dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	os.WriteFile(root+"/sys/class/tty/ttyS0/type", []byte("4\n"), 0o600)
	os.WriteFile(root+"/sys/class/tty/ttyS1/type", []byte("0\n"), 0o600)
	os.Symlink("../../ttyUSB0", root+"/dev/serial/by-id/usb-Radar_1-if00")
	os.Symlink("../../ttyUSB0", root+"/dev/serial/by-id/usb-Radar_1:0")
	line := newPTY(t)
	os.Symlink(line.Name, root+"/dev/ttyUSB0")

	ports, err := list(root)
	if err != nil || len(ports) != 2 || ports[0].Name != "ttyS0" || ports[1].Name != "ttyUSB0" || len(ports[1].Links) != 2 {
		t.Fatalf("%+v, %v, want the chip's port and the adapter with its links", ports, err)
	}
	for range 2 { // the second time finds them known
		if err := register(ports); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		for _, l := range ports {
			uartreg.Unregister(l.Name)
		}
	})
	for _, name := range []string{"ttyUSB0", root + "/dev/ttyUSB0", root + "/dev/serial/by-id/usb-Radar_1-if00"} {
		p, err := uartreg.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	}
	if p, err := uartreg.Open("ttyS0"); err == nil || p != nil {
		t.Errorf("a port without a file: %v, %v", p, err)
	}
}
