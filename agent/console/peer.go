package console

import (
	"fmt"
	"net"
	"syscall"
)

// callerOf names who has opened a connection to the socket: by the user that the
// kernel says it is. The socket's mode and folder say who may.
func callerOf(conn net.Conn) Caller {
	c := Caller{Name: "local user", Role: Technician}
	if k, ok := conn.(*counted); ok {
		conn = k.Conn
	}
	u, ok := conn.(*net.UnixConn)
	if !ok {
		return Caller{}
	}
	raw, err := u.SyscallConn()
	if err != nil {
		return c
	}
	_ = raw.Control(func(fd uintptr) {
		if cred, err := syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED); err == nil {
			c.Name = fmt.Sprintf("local user %d", cred.Uid)
		}
	})
	return c
}
