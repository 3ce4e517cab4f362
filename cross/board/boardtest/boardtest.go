// Package boardtest says which tests on an emulated board run: the variable
// CIGLIO_BOARD chooses, since an emulated board takes seconds where other tests
// take none.
package boardtest

import (
	"bytes"
	"context"
	"os"
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
// as it takes. It returns how much is asked for.
func Need(t testing.TB, least Effort) Effort {
	t.Helper()
	names := []string{Short: "short", All: "all", Soak: "soak"}
	asked := os.Getenv("CIGLIO_BOARD")
	for e := Short; e <= Soak; e++ {
		if asked == names[e] && e >= least {
			return e
		}
	}
	if asked != "" && asked != "short" && asked != "all" && asked != "soak" {
		t.Fatalf("CIGLIO_BOARD is %q; want short, all or soak", asked)
	}
	t.Skipf("runs on an emulated board with CIGLIO_BOARD=%s or more (now %q): make board", names[least], asked)
	return 0
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
