// Package onboard holds what runs on an emulated board itself: tests that are
// built for it, carried there and started by those of package board. They skip
// themselves anywhere else. The package itself is what both sides agree on.
package onboard

import (
	"hash/fnv"
	"math/rand/v2"
	"path"
)

// Pattern returns what a file of that name holds, so that a copy can be told
// from something else.
func Pattern(name string, size int) []byte {
	h := fnv.New64a()
	h.Write([]byte(path.Base(name)))
	r := rand.NewChaCha8([32]byte(append(h.Sum(nil), make([]byte, 24)...)))
	b := make([]byte, size)
	r.Read(b)
	return b
}

// Edges is what TestEdges leaves in the shared folder.
type Edges struct {
	Seen   []EdgeSeen
	Kernel []string // the kernel's own account, a line each
}

// An EdgeSeen is what a program got of one edge, and when it had it, both in
// nanoseconds of CLOCK_MONOTONIC.
type EdgeSeen struct {
	At, Woken int64
	Rising    bool
	Lost      uint32
}
