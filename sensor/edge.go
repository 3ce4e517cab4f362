package sensor

import "context"

// An Edge is one change of level on a contact's input line.
type Edge struct {
	At     Mono // the kernel's timestamp, taken in the interrupt
	Rising bool
	Lost   uint32 // edges lost between the one before and this one; a vehicle that they touch has no speed
}

// Edges is an input line whose edges are read one by one.
type Edges interface {
	// Next blocks until the line's next edge. It returns ctx.Err() when ctx
	// ends, and another error when the line is gone; a recording that has ended
	// gives io.EOF. Instants do not run backwards on a line in order, but the
	// caller checks that. Only one goroutine may call Next at a time.
	Next(ctx context.Context) (Edge, error)
}
