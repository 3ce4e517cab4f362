package portal

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"ciglio/portal/database"
	"ciglio/portal/intake"
	"ciglio/portal/log/sequencer"
	"ciglio/uplink/wire"
)

// The roles of a process.
const (
	RoleIntake   = "intake"   // receives, verifies and stores what devices send, and sends them their receipts
	RoleLog      = "log"      // numbers records and seals their receipts; one process at a time, others wait
	RoleOfficers = "officers" // the pages
)

// roles are all there are, in the order of a record's way.
var roles = []string{RoleIntake, RoleLog, RoleOfficers}

// Errors of roles.
var (
	// ErrRole says that there is no such role.
	ErrRole = errors.New("no such role")
	// ErrOneProcess says that several processes cannot share what one has to itself.
	ErrOneProcess = errors.New("one process has all roles here")
)

// checkRoles checks that the roles and shards of a process go with where things are.
func (o Options) checkRoles() error {
	for i, r := range o.Roles {
		if !slices.Contains(roles, r) {
			return fmt.Errorf("role %q: %w; there are %s", r, ErrRole, strings.Join(roles, ", "))
		}
		if slices.Contains(o.Roles[:i], r) {
			return fmt.Errorf("role %q: twice", r)
		}
	}
	for i, s := range o.Shards {
		if err := wire.CheckShard(s); err != nil {
			return err
		}
		if slices.Contains(o.Shards[:i], s) {
			return fmt.Errorf("shard %q: twice", s)
		}
	}
	switch parted := len(o.Roles) < len(roles); {
	case parted && o.Database == "":
		return fmt.Errorf("roles %s: %w: SQLite is one process's alone; several need PostgreSQL ([database] url)", strings.Join(o.Roles, ", "), ErrOneProcess)
	case parted && o.S3 == nil:
		return fmt.Errorf("roles %s: %w: the blobs are in a folder; several processes need an S3 store ([blobs] endpoint)", strings.Join(o.Roles, ", "), ErrOneProcess)
	case len(o.Shards) > 1 && o.Broker == "":
		return fmt.Errorf("shards %s: the embedded broker carries one; several need another broker ([mqtt] broker)", strings.Join(o.Shards, ", "))
	}
	return nil
}

func (o Options) has(role string) bool { return slices.Contains(o.Roles, role) }

// intakes are those of the shards of a process. Each works while this process has the
// lease of its shard; otherwise it waits to take over.
type intakes struct {
	options func(shard string) intake.Options
	shards  []string
	db      *database.DB
	span    time.Duration
	alone   bool // no other process can have a shard
	log     *slog.Logger

	mu    sync.Mutex
	now   map[string]*intake.Intake // those that work
	ended intake.Stats              // of those that do no more
}

// run runs the intakes until ctx ends. It returns the error of one that cannot begin.
func (a *intakes) run(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	errs := make([]error, len(a.shards))
	var all sync.WaitGroup
	for i, shard := range a.shards {
		all.Go(func() {
			failed := func(err error) {
				a.log.Error("the lease of the shard cannot be asked for", "shard", shard, "error", err)
			}
			a.db.While(ctx, "intake/"+shard, a.span, failed, func(ctx context.Context, l database.Lease) {
				if errs[i] = a.one(ctx, shard, l); errs[i] != nil {
					stop()
				}
			})
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

// one runs the intake of a shard while it has the lease.
func (a *intakes) one(ctx context.Context, shard string, l database.Lease) error {
	o := a.options(shard)
	o.Lease = l
	in, err := intake.New(ctx, o)
	if errors.Is(err, database.ErrAgain) || ctx.Err() != nil { // the store may answer later
		if ctx.Err() == nil {
			a.log.Error("the intake cannot begin yet", "shard", shard, "error", err)
			wait(ctx, time.Second)
		}
		return nil
	}
	if err != nil {
		return err
	}
	a.log.Info("takes what devices send", "shard", shard, "term", l.Term)
	a.mu.Lock()
	a.now[shard] = in
	a.mu.Unlock()
	defer func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		delete(a.now, shard)
		a.ended = a.ended.And(in.Stats().Ended())
		a.log.Info("takes no more what devices send", "shard", shard, "term", l.Term)
	}()
	return in.Run(ctx)
}

func wait(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// stats are those of all shards. A process that only waits to take over is connected as
// far as it has to be.
func (a *intakes) stats() intake.Stats {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := a.ended
	s.Connected = len(a.now) > 0 || !a.alone
	for _, in := range a.now {
		one := in.Stats()
		connected := s.Connected && one.Connected
		s = s.And(one)
		s.Connected = connected
	}
	return s
}

// Stats counts what came since New.
func (p *Portal) Stats() intake.Stats {
	s := intake.Stats{Connected: true} // nothing has to be
	if p.intakes != nil {
		s = p.intakes.stats()
	}
	var numbers sequencer.Stats
	if p.sequencer != nil {
		numbers = p.sequencer.Stats()
	}
	return s.With(numbers)
}
