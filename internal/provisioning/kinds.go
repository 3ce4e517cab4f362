package provisioning

import (
	"slices"
	"strings"
)

// A Kind is what a bundle brings.
type Kind string

// The kinds.
const (
	Calibration  Kind = "calibration"
	Site         Kind = "site"
	Register     Kind = "register" // a snapshot of the national register
	Rules        Kind = "rules"
	Trust        Kind = "trust"
	Certificates Kind = "certificates"
	Software     Kind = "software"
)

// A Role is what a key may sign for.
type Role string

// The roles. The root is the key in the trust file; all others stand in the file
// of roles.
const (
	Laboratory Role = "laboratory" // that has calibrated the device
	Operator   Role = "operator"   // who is in charge of the device
	Officer    Role = "officer"    // of the police, who answers for limits and decrees
	Supplier   Role = "supplier"   // who builds the software
	Root       Role = "root"       // the centre's offline key
)

// A Shape is what a bundle of a kind is made of.
type Shape struct {
	Members []MemberShape // in their order; the first is the statement itself
	Signers []Role        // each of which must have signed, with a key of its own
}

// A MemberShape is a member that a kind has, or may have.
type MemberShape struct {
	Name, MediaType string
	Max             int64 // bytes
	Optional        bool
}

// maxDCC is the largest Digital Calibration Certificate, in bytes.
const maxDCC = 2 << 20

// Kinds returns every kind's shape.
func Kinds() map[Kind]Shape {
	const toml, pem, pdf, xml, program = "application/toml", "application/x-pem-file", "application/pdf", "application/xml", "application/octet-stream"
	return map[Kind]Shape{
		Calibration: {
			[]MemberShape{{"calibration.toml", toml, 12 << 10, false}, {"certificate.pdf", pdf, 8 << 20, false}, {"certificate.xml", xml, maxDCC, true}},
			[]Role{Laboratory, Operator},
		},
		Site:         {[]MemberShape{{"site.toml", toml, 12 << 10, false}}, []Role{Operator, Officer}},
		Register:     {[]MemberShape{{"register.toml", toml, 1 << 20, false}}, []Role{Operator}},
		Rules:        {[]MemberShape{{"rules.toml", toml, 64 << 10, false}}, []Role{Officer, Root}},
		Trust:        {[]MemberShape{{"trust.pem", pem, 24 << 20, false}, {"roles.toml", toml, maxRoles, false}}, []Role{Root}},
		Certificates: {[]MemberShape{{"certificates.pem", pem, 64 << 10, false}}, []Role{Operator}},
		Software:     {[]MemberShape{{"software.toml", toml, 12 << 10, false}, {"ciglio", program, 48 << 20, false}}, []Role{Operator, Supplier}},
	}
}

// fits says whether the members are those of the kind.
func (s Shape) fits(members []Member) error {
	left := members
	for _, want := range s.Members {
		if len(left) == 0 || left[0].Name != want.Name {
			if !want.Optional {
				return refuse(Malformed, "member %s is missing, or not in its place", want.Name)
			}
			continue
		}
		switch m := left[0]; {
		case m.MediaType != want.MediaType:
			return refuse(Malformed, "%s: media type %.80q, want %s", m.Name, m.MediaType, want.MediaType)
		case m.Size < 1:
			return refuse(Malformed, "%s: it is empty", m.Name)
		case m.Size > want.Max:
			return refuse(TooLarge, "%s: %d bytes, at most %d", m.Name, m.Size, want.Max)
		}
		left = left[1:]
	}
	if len(left) > 0 {
		return refuse(Malformed, "member %.80q is not one of its kind, stands twice or not in its place", left[0].Name)
	}
	return nil
}

func (s Shape) mediaType(name string) string {
	for _, m := range s.Members {
		if m.Name == name {
			return m.MediaType
		}
	}
	return ""
}

// SignerWords says who must sign: "laboratory and operator".
func (s Shape) SignerWords() string { return roleWords(s.Signers) }

func roleWords(roles []Role) string {
	words := make([]string, len(roles))
	for i, r := range roles {
		words[i] = string(r)
	}
	slices.Sort(words)
	return strings.Join(words, " and ")
}
