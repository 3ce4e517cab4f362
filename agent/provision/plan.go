package provision

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	p "ciglio/internal/provisioning"
)

// A Named is a file of a stick.
type Named struct {
	Name    string
	Content []byte
}

// A Passed is a bundle that was passed over, and why.
type Passed struct {
	Name string
	Why  string
}

// A Plan is what the bundles of a stick would change.
type Plan struct {
	Events []Event  // one of each bundle; empty when the stick brings nothing new
	Passed []Passed // those for other devices, and those that are installed already

	changes []change // one of each event
}

// A change is a bundle, its entry, and the one that it replaces.
type change struct {
	bundle     *p.Bundle
	entry, old entry
}

// A BundleError says which bundle was refused.
type BundleError struct {
	Name string
	Err  *p.Refusal
}

func (e *BundleError) Error() string { return e.Name + ": " + e.Err.Error() }
func (e *BundleError) Unwrap() error { return e.Err }

// Plan judges the bundles of one stick and changes nothing. Those for other
// devices are passed over, and so are those that are in force already; one that is
// refused refuses them all. The error is then a [*BundleError]. A trust bundle
// counts for the others beside it.
func (s *Store) Plan(files []Named) (*Plan, error) { return s.plan(files, how{}) }

// PlanAgain is [Store.Plan], and takes what was rolled back once more.
func (s *Store) PlanAgain(files []Named) (*Plan, error) { return s.plan(files, how{again: true}) }

// PlanPart is [Store.Plan] for the bundles of a stick of which others could not be
// read. One of them may have been the trust bundle that says who signs: a bundle
// whose signers the device does not know is passed over then, and refuses nothing.
func (s *Store) PlanPart(files []Named) (*Plan, error) { return s.plan(files, how{part: true}) }

// how a stick is judged.
type how struct{ again, part bool }

func (s *Store) plan(files []Named, how how) (*Plan, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	plan := &Plan{}
	type candidate struct {
		name string
		*p.Bundle
	}
	var found []candidate
	for _, f := range files {
		b, err := p.Open(f.Content)
		if err != nil {
			return nil, named(f.Name, err)
		}
		if !b.For(s.o.Device) {
			plan.Passed = append(plan.Passed, Passed{f.Name, "it is for other devices"})
			continue
		}
		if e, ok := find(s.state.Installed, b.Kind); ok && e.SHA256 == b.SHA256().String() {
			plan.Passed = append(plan.Passed, Passed{f.Name, "it is installed already"})
			continue
		}
		if i := slices.IndexFunc(found, func(c candidate) bool { return c.Kind == b.Kind }); i >= 0 {
			if found[i].SHA256() == b.SHA256() {
				plan.Passed = append(plan.Passed, Passed{f.Name, "it is the same as " + found[i].name})
				continue
			}
			return nil, named(f.Name, p.Refuse(p.TwoOfAKind, "%s and %s, both %s", found[i].name, f.Name, b.Kind))
		}
		found = append(found, candidate{f.Name, b})
	}
	if s.state.Trial != nil && len(found) > 0 {
		return nil, named(found[0].name, p.Refuse(p.Busy, "%d starts so far", s.state.Trial.Starts))
	}
	anchor, err := s.anchor()
	if err != nil {
		return nil, fmt.Errorf("whom to believe: %w", err)
	}
	slices.SortStableFunc(found, func(a, b candidate) int { return trustFirst(a.Kind) - trustFirst(b.Kind) })
	now := s.o.Now()
	for _, c := range found {
		old, _ := find(s.state.Installed, c.Kind)
		if err := c.Judge(p.Target{Device: s.o.Device, Now: now, Anchor: anchor, Installed: old.Version}); err != nil {
			if r := reasonOf(err); how.part && (r == p.HalfSigned || r == p.NoAnchor) {
				plan.Passed = append(plan.Passed, Passed{c.name, "it needs what could not be read: " + err.Error()})
				continue
			}
			return nil, named(c.name, err)
		}
		if !how.again && slices.Contains(s.state.Failed, c.SHA256().String()) {
			return nil, named(c.name, p.Refuse(p.NoStart, "%s version %d was rolled back: it needs a new version", c.Kind, c.Version))
		}
		check, known := s.o.Checks[c.Kind]
		if !known {
			return nil, named(c.name, p.Refuse(p.UnknownKind, "kind %s", c.Kind))
		}
		if err := check(c.Bundle); err != nil {
			return nil, named(c.name, p.Refuse(p.BadContent, "%v", err))
		}
		before := anchor
		if c.Kind == p.Trust {
			if anchor, err = c.Anchor(); err != nil {
				return nil, named(c.name, err)
			}
			if before == nil || before.Roles == nil {
				before = anchor
			}
		}
		by, err := c.Signed(before, now)
		if err != nil {
			return nil, named(c.name, err)
		}
		e := entry{c.Kind, c.Version, c.SHA256().String(), hashOf(c.Text())}
		plan.changes = append(plan.changes, change{c.Bundle, e, old})
		plan.Events = append(plan.Events, Event{
			At: now.UTC().Truncate(time.Second), What: Installed, Kind: c.Kind,
			OldVersion: old.Version, NewVersion: c.Version, Old: old.Text, New: e.Text, Bundle: e.SHA256, By: signers(by),
		})
	}
	return plan, nil
}

func trustFirst(k p.Kind) int {
	if k == p.Trust {
		return 0
	}
	return 1
}

func named(name string, err error) error {
	var r *p.Refusal
	if !errors.As(err, &r) {
		return err
	}
	return &BundleError{name, r}
}

func signers(by []p.RoleKey) string {
	words := make([]string, len(by))
	for i, k := range by {
		words[i] = string(k.Role) + " " + k.Name
	}
	slices.Sort(words)
	return strings.Join(words, ", ")
}

// Install brings a plan into force, on trial. An error says that nothing has
// changed; a *[p.Refusal] with [p.NotStored] that the flash did not take it.
func (s *Store) Install(plan *Plan) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(plan.changes) == 0 {
		return nil
	}
	if s.state.Trial != nil {
		return p.Refuse(p.Busy, "%d starts so far", s.state.Trial.Starts)
	}
	next := s.state
	next.Installed = slices.Clone(s.state.Installed)
	next.Trial = &trial{Previous: s.state.Installed}
	next.Pending = slices.Concat(s.state.Pending, plan.Events)
	for _, c := range plan.changes {
		kind := c.entry.Kind
		if old, _ := find(s.state.Installed, kind); old != c.old {
			return p.Refuse(p.Busy, "%s has changed meanwhile", kind)
		}
		if err := s.write(filepath.Join(s.dir, c.entry.file()), c.bundle.Bytes); err != nil {
			return p.Refuse(p.NotStored, "%v", err)
		}
		next.Installed = slices.DeleteFunc(next.Installed, func(o entry) bool { return o.Kind == kind })
		next.Installed = append(next.Installed, c.entry)
	}
	slices.SortFunc(next.Installed, func(a, b entry) int { return strings.Compare(string(a.Kind), string(b.Kind)) })
	if err := s.turn(next); err != nil {
		return p.Refuse(p.NotStored, "%v", err)
	}
	return nil
}
