package portaltest

import (
	"context"
	"crypto/rand"
	"errors"
	"testing"
	"time"

	"ciglio/portal/database"
	"ciglio/portal/log/sequencer"
	"ciglio/portal/record"
)

// Lease takes the lease of [Shard] from whoever has it, who has ended.
func Lease(t testing.TB, s *record.Store) database.Lease {
	t.Helper()
	for {
		l, err := s.Database().Acquire(t.Context(), "intake/"+Shard, rand.Text(), time.Hour)
		if !errors.Is(err, database.ErrHeld) {
			if err != nil {
				t.Fatal(err)
			}
			return l
		}
		if err := s.Database().Update(t.Context(), func(tx *database.Tx) error {
			_, err := tx.Exec(t.Context(), `UPDATE leases SET ends = 0`)
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
}

// Number runs a sequencer until stop is called, which returns when all that is whole by
// then is numbered.
func Number(o sequencer.Options) (s *sequencer.Sequencer, stop func()) {
	s = sequencer.New(o)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.Run(ctx)
	}()
	return s, func() {
		for !s.Stats().Leading {
			time.Sleep(time.Millisecond)
		}
		cancel()
		<-ended
	}
}
