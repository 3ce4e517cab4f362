//go:build !linux

package mqtt

import "syscall"

func readUserTimeout(syscall.RawConn) (ms int, known bool, err error) { return 0, false, nil }
