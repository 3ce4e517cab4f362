//go:build linux

package onboard_test

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"unsafe"
)

// TestTPM is the chip behind the kernel's proxy of TPMs: it makes /dev/tpm0 and
// /dev/tpmrm0 of the board, and takes what the kernel asks of the chip to the TPM
// that listens at -address, until that ends.
func TestTPM(t *testing.T) {
	needBoard(t)
	proxy, err := os.OpenFile("/dev/vtpmx", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer proxy.Close()
	const newDevice, tpm2 = 0xc014a100, 1 // VTPM_PROXY_IOC_NEW_DEV, VTPM_PROXY_FLAG_TPM2
	made := struct{ Flags, Number, FD, Major, Minor uint32 }{Flags: tpm2}
	if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, proxy.Fd(), newDevice, uintptr(unsafe.Pointer(&made))); errno != 0 {
		t.Fatal(errno)
	}
	chip := os.NewFile(uintptr(made.FD), "chip")
	defer chip.Close()
	tpm, err := net.Dial("tcp", *address)
	if err != nil {
		t.Fatal(err)
	}
	defer tpm.Close()
	fmt.Printf("tpm: number %d\n", made.Number)
	for b := make([]byte, 4096); ; {
		n, err := chip.Read(b)
		if err != nil || n < 10 {
			t.Fatalf("%d bytes, %v", n, err)
		}
		const setLocality = 0x20001000 // which the kernel asks of the proxy, not of the chip
		if binary.BigEndian.Uint32(b[6:]) == setLocality {
			if _, err := chip.Write([]byte{0x80, 1, 0, 0, 0, 10, 0, 0, 0, 0}); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if _, err := tpm.Write(b[:n]); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(tpm, b[:10]); err != nil {
			t.Fatal(err)
		}
		n = int(binary.BigEndian.Uint32(b[2:]))
		if n < 10 || n > len(b) {
			t.Fatalf("an answer of %d bytes", n)
		}
		if _, err := io.ReadFull(tpm, b[10:n]); err != nil {
			t.Fatal(err)
		}
		if _, err := chip.Write(b[:n]); err != nil {
			t.Fatal(err)
		}
	}
}
