//go:build linux

package onboard_test

import (
	"flag"
	"fmt"
	"syscall"
	"testing"
	"time"
)

var utc = flag.String("utc", "", "TestSetClock: the instant, by RFC 3339")

// TestSetClock sets the board's UTC, as a time daemon that steps does.
func TestSetClock(t *testing.T) {
	needBoard(t)
	at, err := time.Parse(time.RFC3339Nano, *utc)
	if err != nil {
		t.Fatal(err)
	}
	to := syscall.NsecToTimeval(at.UnixNano())
	if err := syscall.Settimeofday(&to); err != nil {
		t.Fatal(err)
	}
	fmt.Println("clock: set", time.Now().UTC().Format(time.RFC3339Nano))
}
