package mqtt

import (
	"syscall"

	"golang.org/x/sys/unix"
)

func readUserTimeout(c syscall.RawConn) (ms int, known bool, err error) {
	if e := c.Control(func(fd uintptr) {
		ms, err = unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT)
	}); e != nil {
		err = e
	}
	return ms, true, err
}
