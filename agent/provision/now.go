package provision

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"ciglio/capture/evidence"
	p "ciglio/internal/provisioning"
)

// A Phase is what a station does.
type Phase string

// The phases, in the order of a stick's life.
const (
	Away     Phase = "away"     // the helper that mounts sticks is not reached: none is taken
	Waiting  Phase = "waiting"  // no stick is in
	Reading  Phase = "reading"  // it is copied to memory and judged
	Applying Phase = "applying" // the device starts with what it brought
	Ordering Phase = "ordering" // its orders are executed
	Writing  Phase = "writing"  // the receipt is written to it
	Done     Phase = "done"     // it may be pulled out
)

// Phases returns every phase.
func Phases() []Phase {
	return []Phase{Away, Waiting, Reading, Applying, Ordering, Writing, Done}
}

// Now is what a station does at this moment.
type Now struct {
	Phase   Phase     `json:"phase"`
	Since   time.Time `json:"since"`
	Trouble string    `json:"trouble,omitempty"` // why no sticks are taken, in English
	Last    *Receipt  `json:"last,omitempty"`    // of the last stick since the service started. It never changes
}

// Now returns what the station does. It does not wait, and is safe to call at any time.
func (s *Station) Now() Now {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now
}

// turn notes what the station does now.
func (s *Station) turn(phase Phase, trouble string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.now.Phase == phase && s.now.Trouble == trouble {
		return
	}
	s.now.Phase, s.now.Since, s.now.Trouble = phase, s.o.Store.o.Now().UTC(), trouble
}

// finished keeps the receipt of a stick.
func (s *Station) finished(r *Receipt) {
	kept := *r
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now.Last = &kept
}

// Force is what is in force of a kind.
type Force struct {
	Kind    p.Kind        `json:"kind"`
	Version uint64        `json:"version"` // 0 for none
	SHA256  evidence.Hash `json:"sha256"`  // of the bundle
	// NotBefore and NotAfter are when it might be installed.
	NotBefore time.Time `json:"not_before"`
	NotAfter  time.Time `json:"not_after"`
	Signers   []Signer  `json:"signers"`
	Trouble   string    `json:"trouble,omitempty"` // why it cannot be read any more, in English
}

// A Signer has signed what is installed, with a key that the device knows now.
type Signer struct {
	Role p.Role `json:"role"`
	Name string `json:"name"`
}

// InForce returns what is in force of every kind that this program installs, with those
// of which there is nothing. A bundle is read once, and again when another is installed.
func (s *Store) InForce() []Force {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []Force
	for kind := range s.o.Checks {
		f := Force{Kind: kind, Signers: []Signer{}}
		e, ok := find(s.state.Installed, kind)
		if known, again := s.told[e.SHA256]; ok && again {
			f = known
		} else if ok {
			f = s.inForce(e)
		}
		all = append(all, f)
	}
	slices.SortFunc(all, func(a, b Force) int { return strings.Compare(string(a.Kind), string(b.Kind)) })
	s.told = map[string]Force{}
	for _, f := range all {
		if f.Version > 0 && f.Trouble == "" {
			s.told[f.SHA256.String()] = f
		}
	}
	return all
}

// mostTold is the largest bundle that is read to be told of, in bytes: the memory is
// for measuring.
const mostTold = 16 << 20

// inForce reads what is installed. The caller holds mu.
func (s *Store) inForce(e entry) Force {
	f := Force{Kind: e.Kind, Version: e.Version, Signers: []Signer{}}
	if h := sum(e.SHA256); h != nil {
		f.SHA256 = *h
	}
	if info, err := os.Stat(filepath.Join(s.dir, e.file())); err == nil && info.Size() > mostTold {
		f.Trouble = fmt.Sprintf("not read for this: it has %d bytes", info.Size())
		return f
	}
	b, err := s.current(e.Kind)
	if err != nil {
		f.Trouble = err.Error()
		return f
	}
	f.NotBefore, f.NotAfter = b.NotBefore, b.NotAfter
	anchor, err := s.anchor()
	if err != nil || anchor == nil {
		f.Trouble = errors.Join(errors.New("whom to believe is not known"), err).Error()
		return f
	}
	at := s.o.Now()
	if at.After(b.NotAfter) { // a key may have ended since it was installed
		at = b.NotAfter
	}
	by, _ := b.Signed(anchor, at) // what is missing was there when it was installed
	for _, k := range by {
		f.Signers = append(f.Signers, Signer{k.Role, k.Name})
	}
	return f
}
