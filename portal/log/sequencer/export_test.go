package sequencer

import (
	"context"

	"ciglio/portal/database"
)

// Batch numbers what is whole, under a lease.
func (s *Sequencer) Batch(ctx context.Context, l database.Lease) (int, error) {
	s.stale = true
	return s.batch(ctx, l)
}

// Lead numbers until ctx ends or the lease is lost.
func (s *Sequencer) Lead(ctx context.Context, l database.Lease) { s.lead(ctx, l) }
