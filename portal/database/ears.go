package database

import (
	"context"
	"sync"
)

// Tell wakes those who [DB.Listen] to a name, in every process. It is a hint that may
// be lost, and comes after the commit that it tells of: whoever listens also looks by
// itself from time to time.
func (db *DB) Tell(ctx context.Context, name string) error {
	return db.sort(db.engine.tell(ctx, name))
}

// Listen calls wake whenever a name may have been told, until ctx ends. Wake must not
// wait.
func (db *DB) Listen(ctx context.Context, name string, wake func()) {
	db.engine.listen(ctx, name, wake)
}

// ears are those who listen in this process.
type ears struct {
	mu   sync.Mutex
	last int
	all  map[string]map[int]func()
}

func (e *ears) tell(name string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, wake := range e.all[name] {
		wake()
	}
}

func (e *ears) listen(ctx context.Context, name string, wake func()) {
	e.mu.Lock()
	e.last++
	me := e.last
	if e.all == nil {
		e.all = make(map[string]map[int]func())
	}
	if e.all[name] == nil {
		e.all[name] = make(map[int]func())
	}
	e.all[name][me] = wake
	e.mu.Unlock()
	wake()
	<-ctx.Done()
	e.mu.Lock()
	delete(e.all[name], me)
	e.mu.Unlock()
}
