//go:build linux

package onboard_test

import (
	"fmt"
	"net"
	"os"
	"testing"
)

// TestAttach gives the kernel's virtual USB hub a device that speaks USB/IP at
// -address. The kernel keeps the connection.
func TestAttach(t *testing.T) {
	needBoard(t)
	conn, err := net.Dial("tcp", *address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	raw, err := conn.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	const port, id, highSpeed = 0, 0x10002, 3
	var attached error
	if err := raw.Control(func(fd uintptr) {
		attached = os.WriteFile("/sys/devices/platform/vhci_hcd.0/attach", fmt.Appendf(nil, "%d %d %d %d", port, fd, id, highSpeed), 0)
	}); err != nil || attached != nil {
		t.Fatal(err, attached)
	}
}
