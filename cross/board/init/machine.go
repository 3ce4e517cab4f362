//go:build linux

package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
	"time"
	"unsafe"

	"ciglio/cross/board/guest"
)

// load loads a kernel module. One that is there already is good.
func load(m guest.Module) error {
	image, err := os.ReadFile(m.File)
	if err != nil {
		return err
	}
	params, err := syscall.BytePtrFromString(m.Params)
	if err != nil {
		return err
	}
	_, _, errno := syscall.Syscall(syscall.SYS_INIT_MODULE,
		uintptr(unsafe.Pointer(&image[0])), uintptr(len(image)), uintptr(unsafe.Pointer(params)))
	if errno != 0 && errno != syscall.EEXIST {
		return errno
	}
	return nil
}

// network gives lo and eth0 their addresses. The host is on the same link, so
// there is no route to set.
func network() error {
	var all error
	for _, i := range []struct {
		name, address string
		mask          [4]byte
	}{
		{"lo", "127.0.0.1", [4]byte{255, 0, 0, 0}},
		{"eth0", guest.Address, [4]byte{255, 255, 255, 0}},
	} {
		if err := setInterface(i.name, net.ParseIP(i.address).To4(), i.mask[:]); err != nil {
			all = errors.Join(all, fmt.Errorf("%s: %w", i.name, err))
		}
	}
	return all
}

// ifreq is struct ifreq of the kernel: a name and a union, here large enough
// for every architecture.
type ifreq struct {
	name [syscall.IFNAMSIZ]byte
	data [24]byte
}

func setInterface(name string, address, mask net.IP) error {
	for end := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		if _, err := os.Stat("/sys/class/net/" + name); err == nil {
			break
		}
		if time.Now().After(end) {
			return fmt.Errorf("not there after %v", patience)
		}
	}
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_DGRAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer syscall.Close(fd)
	set := func(request uintptr, fill func(data []byte)) error {
		var r ifreq
		copy(r.name[:], name)
		fill(r.data[:])
		if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, uintptr(fd), request, uintptr(unsafe.Pointer(&r))); errno != 0 {
			return errno
		}
		return nil
	}
	socketAddress := func(ip net.IP) func([]byte) {
		return func(data []byte) {
			binary.NativeEndian.PutUint16(data, syscall.AF_INET)
			copy(data[4:], ip)
		}
	}
	if err := set(syscall.SIOCSIFADDR, socketAddress(address)); err != nil {
		return fmt.Errorf("address: %w", err)
	}
	if err := set(syscall.SIOCSIFNETMASK, socketAddress(mask)); err != nil {
		return fmt.Errorf("mask: %w", err)
	}
	err = set(syscall.SIOCSIFFLAGS, func(data []byte) {
		binary.NativeEndian.PutUint16(data, syscall.IFF_UP|syscall.IFF_RUNNING)
	})
	if err != nil {
		return fmt.Errorf("up: %w", err)
	}
	return nil
}

// synchronise tells the kernel what a time daemon would: UTC, which the board
// took from the host at its start, is right to 1 ms. The kernel believes it for
// 16 s only, and lets the bound grow meanwhile.
func synchronise() error {
	const (
		adjMaxError, adjEstError, adjStatus = 0x0004, 0x0008, 0x0010
		statusPLL                           = 0x0001
	)
	t := syscall.Timex{Modes: adjMaxError | adjEstError | adjStatus, Status: statusPLL, Maxerror: 1000, Esterror: 1000}
	_, err := syscall.Adjtimex(&t)
	return err
}
