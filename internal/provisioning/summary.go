package provisioning

import (
	"fmt"
	"strings"
	"time"

	"ciglio/capture/evidence"
)

// A Summary is what a person wants to know of a bundle.
type Summary struct {
	Kind        Kind            `json:"kind"`
	Version     uint64          `json:"version"`
	Institution string          `json:"institution"`
	Devices     []string        `json:"devices"` // empty for all of the institution
	NotBefore   time.Time       `json:"not_before"`
	NotAfter    time.Time       `json:"not_after"`
	Members     []SummaryMember `json:"members"`
	SHA256      evidence.Hash   `json:"sha256"`
	Needs       string          `json:"needs"`     // whose signatures
	SignedBy    []string        `json:"signed_by"` // ids of keys, with their roles as far as they were checked
	// Complete says that every signature it needs is there and verifies, and Why what
	// is wrong otherwise; both are empty as long as nobody said whom to believe.
	Complete bool   `json:"complete"`
	Why      string `json:"why,omitempty"`
}

// A SummaryMember is a member of the bundle.
type SummaryMember struct {
	Name   string        `json:"name"`
	Size   int64         `json:"size"`
	SHA256 evidence.Hash `json:"sha256"`
}

// Summarize describes the bundle. Signatures are checked by the anchor; nil for
// not at all.
func (b *Bundle) Summarize(a *Anchor, now time.Time) Summary {
	s := Summary{
		Kind: b.Kind, Version: b.Version, Institution: b.Institution, Devices: []string{}, NotBefore: b.NotBefore, NotAfter: b.NotAfter,
		Members: []SummaryMember{}, SHA256: b.SHA256(), Needs: Kinds()[b.Kind].SignerWords(), SignedBy: []string{},
	}
	for _, d := range b.Devices {
		s.Devices = append(s.Devices, d.String())
	}
	for _, m := range b.Members {
		s.Members = append(s.Members, SummaryMember{m.Name, m.Size, m.SHA256})
	}
	known := map[evidence.Hash]string{}
	if a != nil {
		by, err := b.Signed(a, now)
		for _, k := range by {
			known[k.ID] = ", " + string(k.Role) + " " + k.Name
		}
		if s.Complete = err == nil; err != nil {
			s.Why = err.Error()
		}
	}
	for _, g := range b.Signatures {
		s.SignedBy = append(s.SignedBy, g.KeyID.String()+known[g.KeyID])
	}
	return s
}

// String says the summary in lines.
func (s Summary) String() string {
	var b strings.Builder
	devices := "every device of " + s.Institution
	if len(s.Devices) > 0 {
		devices = strings.Join(s.Devices, ", ") + " of " + s.Institution
	}
	fmt.Fprintf(&b, "%s version %d\nfor         %s\ninstallable %s to %s\n", s.Kind, s.Version, devices, s.NotBefore.Format(instant), s.NotAfter.Format(instant))
	for _, m := range s.Members {
		fmt.Fprintf(&b, "holds       %s, %d bytes, SHA-256 %v\n", m.Name, m.Size, m.SHA256)
	}
	fmt.Fprintf(&b, "SHA-256     %v\nneeds       %s\n", s.SHA256, s.Needs)
	for _, k := range s.SignedBy {
		fmt.Fprintf(&b, "signed by   %s\n", k)
	}
	switch {
	case s.Complete:
		b.WriteString("signatures  complete\n")
	case s.Why != "":
		fmt.Fprintf(&b, "signatures  %s\n", s.Why)
	default:
		b.WriteString("signatures  not checked: nobody said whom to believe\n")
	}
	return b.String()
}
