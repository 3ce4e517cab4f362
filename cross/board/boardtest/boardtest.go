// Package boardtest says which tests on an emulated board run: the variable
// CIGLIO_BOARD chooses, since an emulated board takes seconds where other tests
// take none.
package boardtest

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"testing"
	"time"

	"ciglio/cross/board"
)

// Effort is how much of the tests CIGLIO_BOARD asks for.
type Effort int

const (
	Short Effort = iota + 1 // "short": a few of each kind, in every make check
	All                     // "all": make board
	Soak                    // "soak": hours, make board-soak
)

// Need skips the test, visibly, unless CIGLIO_BOARD asks for at least as much
// as it takes. It returns how much is asked for. Where the machine cannot run a
// board that is asked for, the test fails if CI=true, and is skipped elsewhere.
func Need(t testing.TB, least Effort) Effort {
	t.Helper()
	efforts := map[string]Effort{"": 0, "short": Short, "all": All, "soak": Soak}
	value := os.Getenv("CIGLIO_BOARD")
	asked, ok := efforts[value]
	if !ok {
		t.Fatalf("CIGLIO_BOARD is %q; want short, all or soak", value)
	}
	if asked < least {
		t.Skipf("runs on an emulated board: make board (CIGLIO_BOARD is %q)", value)
	}
	_, err := exec.LookPath("qemu-system-aarch64")
	if err == nil {
		_, err = board.FetchKernel(t.Context())
	}
	switch {
	case err != nil && os.Getenv("CI") == "true":
		t.Fatal(err)
	case err != nil:
		t.Skipf("no emulated board on this machine: %v", err)
	}
	return asked
}

// Start starts a board for the length of the test. Its console is printed when
// the test fails.
func Start(t testing.TB, o board.Options) *board.Board {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	b, err := board.Start(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("console of the board:\n%s", b.Console())
		}
	})
	return b
}

// Run runs a program on the board and fails the test unless it ends with exit
// code 0. It returns what it wrote to its standard output.
func Run(t testing.TB, b *board.Board, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	r, err := b.Run(ctx, args...)
	if err != nil {
		t.Fatal(err)
	}
	if r.Code != 0 {
		t.Fatalf("%v ended with %d, signal %d:\n%s%s", args, r.Code, r.Signal, r.Stdout, r.Stderr)
	}
	return string(bytes.TrimSpace(r.Stdout))
}
