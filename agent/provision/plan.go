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
	Code PassedCode // "" for one that could not be read
	Why  string     // in English
}

// A PassedCode says why a bundle was passed over.
type PassedCode string

// Why one is.
const (
	PassedForeign   PassedCode = "foreign"   // it is for other devices
	PassedInstalled PassedCode = "installed" // it is in force
	PassedTwice     PassedCode = "twice"     // it is on the stick twice
	PassedNeeds     PassedCode = "needs"     // it needs another that could not be read
)

// PassedCodes returns every code.
func PassedCodes() []PassedCode {
	return []PassedCode{PassedForeign, PassedInstalled, PassedTwice, PassedNeeds}
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
	Name   string
	Err    *p.Refusal
	Others []*BundleError // refused beside it
}

func (e *BundleError) Error() string {
	words := e.Name + ": " + e.Err.Error()
	for _, o := range e.Others {
		words += "; " + o.Error()
	}
	return words
}

func (e *BundleError) Unwrap() error { return e.Err }

// Plan judges the bundles of one stick and changes nothing. Those for other
// devices are passed over, and so are those that are in force already; one that is
// refused refuses them all. The error is then a [*BundleError], which names every one. A trust bundle
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
	var refused refusals
	for _, f := range files {
		b, err := p.Open(f.Content)
		if err != nil {
			if err := refused.add(f.Name, err); err != nil {
				return nil, err
			}
			continue
		}
		if !b.For(s.o.Device) {
			plan.Passed = append(plan.Passed, Passed{f.Name, PassedForeign, "it is for other devices"})
			continue
		}
		if e, ok := find(s.state.Installed, b.Kind); ok && e.SHA256 == b.SHA256().String() {
			plan.Passed = append(plan.Passed, Passed{f.Name, PassedInstalled, "it is installed already"})
			continue
		}
		if i := slices.IndexFunc(found, func(c candidate) bool { return c.Kind == b.Kind }); i >= 0 {
			if found[i].SHA256() == b.SHA256() {
				plan.Passed = append(plan.Passed, Passed{f.Name, PassedTwice, "it is the same as " + found[i].name})
				continue
			}
			_ = refused.add(f.Name, p.Refuse(p.TwoOfAKind, "%s and %s, both %s", found[i].name, f.Name, b.Kind)) // it is a refusal
			continue
		}
		found = append(found, candidate{f.Name, b})
	}
	if s.state.Trial != nil && len(found) > 0 {
		return nil, &BundleError{Name: found[0].name, Err: p.Refuse(p.Busy, "%d starts so far", s.state.Trial.Starts)}
	}
	anchor, err := s.anchor()
	if err != nil {
		return nil, fmt.Errorf("whom to believe: %w", err)
	}
	slices.SortStableFunc(found, func(a, b candidate) int { return trustFirst(a.Kind) - trustFirst(b.Kind) })
	now := s.o.Now()
	for _, c := range found {
		old, _ := find(s.state.Installed, c.Kind)
		by, next, err := s.judge(c.Bundle, old.Version, anchor, how.again, now)
		if r := reasonOf(err); how.part && (r == p.HalfSigned || r == p.NoAnchor) {
			plan.Passed = append(plan.Passed, Passed{c.name, PassedNeeds, "it needs what could not be read: " + err.Error()})
			continue
		}
		if err != nil {
			if err := refused.add(c.name, err); err != nil {
				return nil, err
			}
			if c.Kind == p.Trust {
				break // whom to believe about the others is what it would have said
			}
			continue
		}
		anchor = next
		e := entry{c.Kind, c.Version, c.SHA256().String(), hashOf(c.Text())}
		plan.changes = append(plan.changes, change{c.Bundle, e, old})
		plan.Events = append(plan.Events, Event{
			At: now.UTC().Truncate(time.Second), What: Installed, Kind: c.Kind,
			OldVersion: old.Version, NewVersion: c.Version, Old: old.Text, New: e.Text, Bundle: e.SHA256, By: signers(by),
		})
	}
	if len(refused) > 0 {
		refused[0].Others = refused[1:]
		return nil, refused[0]
	}
	return plan, nil
}

// judge says whether a bundle may be installed, who has signed it, and whom to believe
// after it. The caller holds mu.
func (s *Store) judge(b *p.Bundle, installed uint64, anchor *p.Anchor, again bool, now time.Time) (by []p.RoleKey, next *p.Anchor, err error) {
	if err := b.Judge(p.Target{Device: s.o.Device, Now: now, Anchor: anchor, Installed: installed}); err != nil {
		return nil, nil, err
	}
	if !again && slices.Contains(s.state.Failed, b.SHA256().String()) {
		return nil, nil, p.Refuse(p.NoStart, "%s version %d was rolled back: it needs a new version", b.Kind, b.Version)
	}
	check, known := s.o.Checks[b.Kind]
	if !known {
		return nil, nil, p.Refuse(p.UnknownKind, "kind %s", b.Kind)
	}
	if err := check(b); err != nil {
		return nil, nil, p.Refuse(p.BadContent, "%v", err)
	}
	next = anchor
	if b.Kind == p.Trust {
		if next, err = b.Anchor(); err != nil {
			return nil, nil, err
		}
		if anchor == nil || anchor.Roles == nil {
			anchor = next
		}
	}
	by, err = b.Signed(anchor, now)
	return by, next, err
}

func trustFirst(k p.Kind) int {
	if k == p.Trust {
		return 0
	}
	return 1
}

// refusals are the bundles of one stick that are refused, in the order in which that
// was found.
type refusals []*BundleError

// add keeps a refusal; an error that is none is returned.
func (all *refusals) add(name string, err error) error {
	var r *p.Refusal
	if !errors.As(err, &r) {
		return err
	}
	*all = append(*all, &BundleError{Name: name, Err: r})
	return nil
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
