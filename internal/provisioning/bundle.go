// Package provisioning reads, checks and makes provisioning bundles: the files
// that bring a device its calibration, its site, its rules and the keys that it
// believes.
//
// What it keeps true: a [Bundle] has one spelling, so that whoever changes a bit
// of it has another bundle or none; nothing is allocated by a length that was
// not checked; no name in it is a path; and what [Bundle.Judge] lets pass was
// signed by different keys in every role that its kind needs, is meant for this
// device and this day, and is newer than what is installed.
//
// # Format
//
// A bundle is one file: a line, an envelope of that length, and the members, one
// after the other without anything between them.
//
//	ciglio-bundle v1 LENGTH\n     LENGTH of the envelope in bytes, decimal, no leading zero
//	envelope                      DSSE v1, JSON
//	member, member, …             in the order and of the sizes that the payload says
//
// The envelope is {"payloadType":…,"payload":…,"signatures":[{"keyid":…,"sig":…}]}
// in that order without white space. The payload type is [PayloadType]; payload
// and sig are in standard base64 with padding; keyid is the SHA-256 of the key's
// SubjectPublicKeyInfo in hexadecimal; a signature is ES256 over DSSE's
// pre-authentication encoding, r and s of 32 bytes each with s in its lower half.
// Signatures ascend by keyid.
//
// The payload is JSON in the order of [Statement]'s fields without white space:
//
//	{"format":1,"kind":"calibration","version":7,"institution":"comune-di-esempio",
//	 "devices":["00112233445566778899aabbccddeeff"],
//	 "not_before":"2026-01-10T00:00:00Z","not_after":"2026-02-09T23:59:59Z",
//	 "members":[{"name":"calibration.toml","media_type":"application/toml","size":412,"sha256":"…"}]}
//
// where "all_devices":true stands in place of devices for a bundle that is meant
// for every device of the institution. Which members a kind has, and whose
// signatures it needs, says [Kinds].
//
// Everything here is a pure function of its arguments; a Bundle and a [Roles] are
// safe for concurrent use as long as nobody changes them.
package provisioning

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"ciglio/capture/evidence"
)

// PayloadType is that of every bundle's envelope.
const PayloadType = "application/vnd.ciglio.provision.v1+json"

// Extension is that of a bundle's file name.
const Extension = ".ciglio"

// Limits of a bundle.
const (
	MaxBundle     = 64 << 20 // bytes of the file
	maxEnvelope   = 256 << 10
	maxDevices    = 1000
	maxSignatures = 8
	maxMembers    = 8
	maxVersion    = 1<<53 - 1 // what every reader of JSON can hold
)

const magic = "ciglio-bundle v1 "

// A Statement is what the signatures of a bundle are about.
type Statement struct {
	Kind        Kind
	Version     uint64              // rises with each bundle of the kind for a device
	Institution string              // whose devices it is for
	Devices     []evidence.DeviceID // for which of them; empty when AllDevices
	AllDevices  bool
	// The first and the last second in which it may be installed. What is installed
	// stays in force after.
	NotBefore, NotAfter time.Time
	Members             []Member
}

// A Member is one file of a bundle.
type Member struct {
	Name      string
	MediaType string
	Size      int64
	SHA256    evidence.Hash
}

// A File is a member's name and content, to make a bundle of.
type File struct {
	Name    string
	Content []byte
}

// A Signature is one of a bundle's.
type Signature struct {
	KeyID evidence.Hash
	sig   [64]byte
}

// A Bundle is a file that has the form of one, and members as its payload says.
// Who signed it is for [Bundle.Judge] to say.
type Bundle struct {
	Statement
	Signatures []Signature
	Bytes      []byte // the whole file

	payload  []byte
	contents [][]byte // of the members
}

// The JSON of envelope and payload. Their fields stand in the order of the format.
type (
	envelopeJSON struct {
		PayloadType string          `json:"payloadType"`
		Payload     string          `json:"payload"`
		Signatures  []signatureJSON `json:"signatures"`
	}
	signatureJSON struct {
		KeyID string `json:"keyid"`
		Sig   string `json:"sig"`
	}
	payloadJSON struct {
		Format      int          `json:"format"`
		Kind        string       `json:"kind"`
		Version     uint64       `json:"version"`
		Institution string       `json:"institution"`
		Devices     []string     `json:"devices,omitempty"`
		AllDevices  bool         `json:"all_devices,omitempty"`
		NotBefore   string       `json:"not_before"`
		NotAfter    string       `json:"not_after"`
		Members     []memberJSON `json:"members"`
	}
	memberJSON struct {
		Name      string `json:"name"`
		MediaType string `json:"media_type"`
		Size      int64  `json:"size"`
		SHA256    string `json:"sha256"`
	}
)

// Open reads a bundle's file. The bundle shares its memory. The error is a
// [*Refusal].
func Open(file []byte) (*Bundle, error) {
	if len(file) > MaxBundle {
		return nil, refuse(TooLarge, "%d bytes, at most %d", len(file), MaxBundle)
	}
	const digits = 6
	head, _, whole := bytes.Cut(file[:min(len(file), len(magic)+digits+1)], []byte("\n"))
	number, ours := strings.CutPrefix(string(head), magic)
	if !ours && !strings.HasPrefix(magic, string(head)) || ours && !whole && len(number) > digits {
		return nil, refuse(NoBundle, "it does not begin as one")
	}
	if !whole {
		return nil, refuse(Truncated, "it ends after %d bytes", len(file))
	}
	length, err := strconv.Atoi(number)
	if err != nil || length < 1 || strconv.Itoa(length) != number {
		return nil, refuse(NoBundle, "length %.20q of its envelope", number)
	}
	body := file[len(head)+1:]
	switch {
	case length > maxEnvelope:
		return nil, refuse(TooLarge, "an envelope of %d bytes, at most %d", length, maxEnvelope)
	case length > len(body):
		return nil, refuse(Truncated, "it ends within its envelope")
	}
	b := &Bundle{Bytes: file}
	if err := b.readEnvelope(body[:length]); err != nil {
		return nil, err
	}
	return b, b.readMembers(body[length:])
}

func (b *Bundle) readEnvelope(text []byte) error {
	var e envelopeJSON
	if err := exact(text, &e); err != nil {
		return refuse(Malformed, "envelope: %v", err)
	}
	if e.PayloadType != PayloadType {
		return refuse(Malformed, "payload type %.80q", e.PayloadType)
	}
	var err error
	if b.payload, err = base64.StdEncoding.Strict().DecodeString(e.Payload); err != nil {
		return refuse(Malformed, "payload: %v", err)
	}
	if len(e.Signatures) > maxSignatures {
		return refuse(TooLarge, "%d signatures, at most %d", len(e.Signatures), maxSignatures)
	}
	for i, s := range e.Signatures {
		var g Signature
		id, err := evidence.ParseHash(s.KeyID)
		sig, err2 := base64.StdEncoding.Strict().DecodeString(s.Sig)
		if err != nil || err2 != nil || len(sig) != len(g.sig) {
			return refuse(Malformed, "signature %d: not a key id and 64 bytes", i+1)
		}
		g.KeyID = id
		copy(g.sig[:], sig)
		if i > 0 && bytes.Compare(b.Signatures[i-1].KeyID[:], g.KeyID[:]) >= 0 {
			return refuse(Malformed, "signatures that do not ascend by key: one key signs once")
		}
		b.Signatures = append(b.Signatures, g)
	}
	var p payloadJSON
	if err := exact(b.payload, &p); err != nil {
		return refuse(Malformed, "payload: %v", err)
	}
	return b.Statement.from(p)
}

// exact reads JSON that is spelled as this package spells it.
func exact(text []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return err
	}
	if !bytes.Equal(spell(v), text) {
		return fmt.Errorf("not spelled as the format says: its keys in order, each once, no white space")
	}
	return nil
}

func spell(v any) []byte {
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic("provisioning: " + err.Error()) // strings and numbers are always encoded
	}
	return bytes.TrimSuffix(text.Bytes(), []byte("\n"))
}

func (s *Statement) from(p payloadJSON) error {
	if p.Format != 1 {
		return refuse(Malformed, "format %d, want 1", p.Format)
	}
	*s = Statement{Kind: Kind(p.Kind), Version: p.Version, Institution: p.Institution, AllDevices: p.AllDevices}
	if len(p.Devices) > maxDevices {
		return refuse(TooLarge, "%d devices, at most %d", len(p.Devices), maxDevices)
	}
	for _, d := range p.Devices {
		id, err := evidence.ParseDeviceID(d)
		if err != nil || id.String() != d {
			return refuse(Malformed, "device %.40q: want 32 hexadecimal digits", d)
		}
		s.Devices = append(s.Devices, id)
	}
	for _, t := range []struct {
		text string
		to   *time.Time
	}{{p.NotBefore, &s.NotBefore}, {p.NotAfter, &s.NotAfter}} {
		at, err := time.Parse(instant, t.text)
		if err != nil || at.Format(instant) != t.text {
			return refuse(Malformed, "time %.40q: want one such as 2026-01-10T00:00:00Z", t.text)
		}
		*t.to = at
	}
	if len(p.Members) > maxMembers {
		return refuse(TooLarge, "%d members, at most %d", len(p.Members), maxMembers)
	}
	for _, m := range p.Members {
		sum, err := evidence.ParseHash(m.SHA256)
		if err != nil {
			return refuse(Malformed, "member %.80q: no SHA-256", m.Name)
		}
		s.Members = append(s.Members, Member{m.Name, m.MediaType, m.Size, sum})
	}
	return s.check()
}

// instant is how times stand in a payload: in UTC, whole seconds.
const instant = "2006-01-02T15:04:05Z"

// payload spells the statement.
func (s *Statement) payload() []byte {
	p := payloadJSON{
		Format: 1, Kind: string(s.Kind), Version: s.Version, Institution: s.Institution, AllDevices: s.AllDevices,
		NotBefore: s.NotBefore.UTC().Format(instant), NotAfter: s.NotAfter.UTC().Format(instant),
	}
	for _, d := range s.Devices {
		p.Devices = append(p.Devices, d.String())
	}
	for _, m := range s.Members {
		p.Members = append(p.Members, memberJSON{m.Name, m.MediaType, m.Size, hex.EncodeToString(m.SHA256[:])})
	}
	return spell(p)
}

// check says what no bundle may state.
func (s *Statement) check() error {
	switch {
	case s.Version < 1 || s.Version > maxVersion:
		return refuse(Malformed, "version %d: want 1 to 2^53-1", s.Version)
	case !identifier(s.Institution):
		return refuse(Malformed, "institution %.80q: want 1 to 64 small letters, digits, dots and dashes", s.Institution)
	case s.AllDevices == (len(s.Devices) > 0):
		return refuse(Malformed, "want either devices or all_devices")
	case s.NotAfter.Before(s.NotBefore):
		return refuse(Malformed, "not_after lies before not_before")
	}
	for i := 1; i < len(s.Devices); i++ {
		if bytes.Compare(s.Devices[i-1][:], s.Devices[i][:]) >= 0 {
			return refuse(Malformed, "devices that do not ascend")
		}
	}
	shape, ok := Kinds()[s.Kind]
	if !ok {
		return refuse(UnknownKind, "kind %.40q", s.Kind)
	}
	return shape.fits(s.Members)
}

// identifier reports whether s is a name of 1 to 64 small letters, digits, dots
// and dashes that begins with a letter or digit: never a path.
func identifier(s string) bool {
	for i, c := range []byte(s) {
		if !(c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || i > 0 && (c == '.' || c == '-')) {
			return false
		}
	}
	return s != "" && len(s) <= 64
}

func (b *Bundle) readMembers(rest []byte) error {
	for _, m := range b.Members {
		if int64(len(rest)) < m.Size {
			return refuse(Truncated, "it ends within %s", m.Name)
		}
		content := rest[:m.Size:m.Size]
		rest = rest[m.Size:]
		if sha256.Sum256(content) != m.SHA256 {
			return refuse(Damaged, "%s is not what was signed", m.Name)
		}
		b.contents = append(b.contents, content)
	}
	if len(rest) > 0 {
		return refuse(Malformed, "%d bytes after its last member", len(rest))
	}
	return nil
}

// Content returns a member's bytes, which the caller must not change; nil when
// there is none of that name.
func (b *Bundle) Content(name string) []byte {
	for i, m := range b.Members {
		if m.Name == name {
			return b.contents[i]
		}
	}
	return nil
}

// Text returns the statement itself: the content of the kind's first member.
func (b *Bundle) Text() []byte { return b.contents[0] }

// SHA256 names the bundle.
func (b *Bundle) SHA256() evidence.Hash { return sha256.Sum256(b.Bytes) }

// Make returns a bundle of the files, without signatures. Members of s are set
// from the files, which must be in the order of the kind's.
func Make(s Statement, files []File) (*Bundle, error) {
	shape, ok := Kinds()[s.Kind]
	if !ok {
		return nil, refuse(UnknownKind, "kind %.40q", s.Kind)
	}
	s.Members = nil
	b := &Bundle{}
	for _, f := range files {
		s.Members = append(s.Members, Member{f.Name, shape.mediaType(f.Name), int64(len(f.Content)), sha256.Sum256(f.Content)})
		b.contents = append(b.contents, f.Content)
	}
	if err := s.check(); err != nil {
		return nil, err
	}
	b.payload = s.payload()
	return b.assemble()
}

// toBeSigned is what every signature of the bundle is over.
func (b *Bundle) toBeSigned() evidence.ToBeSigned {
	return evidence.EnvelopeToBeSigned(PayloadType, b.payload)
}

// Sign returns the bundle with one more signature.
func (b *Bundle) Sign(key evidence.Signer) (*Bundle, error) {
	id := key.KeyID()
	at, signed := slices.BinarySearchFunc(b.Signatures, id, func(s Signature, id evidence.Hash) int {
		return bytes.Compare(s.KeyID[:], id[:])
	})
	if signed {
		return nil, fmt.Errorf("key %v has signed this bundle already", id)
	}
	sig, err := key.Sign(b.toBeSigned())
	if err != nil {
		return nil, err
	}
	more := *b
	more.Signatures = slices.Insert(slices.Clone(b.Signatures), at, Signature{id, sig})
	return more.assemble()
}

// assemble spells the file of payload, signatures and contents, and reads it back.
func (b *Bundle) assemble() (*Bundle, error) {
	e := envelopeJSON{PayloadType, base64.StdEncoding.EncodeToString(b.payload), []signatureJSON{}}
	for _, s := range b.Signatures {
		e.Signatures = append(e.Signatures, signatureJSON{hex.EncodeToString(s.KeyID[:]), base64.StdEncoding.EncodeToString(s.sig[:])})
	}
	envelope := spell(e)
	file := fmt.Appendf(nil, "%s%d\n%s", magic, len(envelope), envelope)
	return Open(append(file, bytes.Join(b.contents, nil)...))
}
