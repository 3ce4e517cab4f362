package still

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/sha256"
	"errors"
	"fmt"
	"math"
	"time"

	"ciglio/capture/evidence"
)

// ContentTypeStatement is the content type of a sealed statement.
const ContentTypeStatement = "application/vnd.ciglio.derived.v1+cbor"

// MaxStatement is the length of the longest sealed statement, in bytes.
const MaxStatement = MaxRecipe + 1<<10

// Why a derived picture does not agree with a statement.
var (
	// ErrOther says that the bytes are not those that the statement speaks of.
	ErrOther = errors.New("other bytes than the statement's")
	// ErrDiffers says that the recipe makes another picture of the source.
	ErrDiffers = errors.New("the recipe makes another picture")
)

// A Statement is what the centre attests of a derived picture that it gives away
// without its source: the bytes Derived are what Recipe makes of the bytes Source,
// and Source is a frame of the record.
type Statement struct {
	Record  evidence.Hash // id of the record
	Frame   int           // of its frames, from 0
	Source  evidence.Hash // SHA-256 of the frame
	Derived evidence.Hash // SHA-256 of the derived picture
	Recipe  *Recipe
	UTC     time.Time // when it was said; microseconds
}

// Describe returns what can be said of a redacted picture of a record's frame. The
// error wraps [ErrOther] when the picture was not made from that frame.
func Describe(p *Redacted, record *evidence.Sealed, frame int, at time.Time) (*Statement, error) {
	frames := record.Record.Frames
	if frame < 0 || frame >= len(frames) || frames[frame].SHA256 != p.Source() {
		return nil, fmt.Errorf("%w: record %v: picture %d is not the source %v", ErrOther, record.ID, frame+1, p.Source())
	}
	recipe, err := ParseRecipe(p.Recipe())
	if err != nil {
		return nil, err
	}
	return &Statement{record.ID, frame, p.Source(), p.Hash(), recipe, at.UTC().Truncate(time.Microsecond)}, nil
}

// SealedStatement is a statement as it is stored and given away. It must not be
// changed.
type SealedStatement struct {
	Statement *Statement
	KeyID     evidence.Hash // of the centre's key
	Bytes     []byte        // COSE_Sign1

	message *evidence.SealedMessage
}

// fields lists the keys of a statement, for both directions.
func (s *Statement) fields(recipe *[]byte, m *evidence.Form) {
	m.Constant(1, "v", 1)
	m.Fixed(2, "record", s.Record[:])
	number(m, 3, "frame", &s.Frame, 0, evidence.MaxFrames-1)
	m.Fixed(4, "source", s.Source[:])
	m.Fixed(5, "derived", s.Derived[:])
	m.Bytes(6, "recipe", recipe, 1, MaxRecipe)
	us := s.UTC.UnixMicro()
	m.Integer(7, "utc_us", &us, 0, math.MaxInt64/1000)
	s.UTC = time.UnixMicro(us).UTC()
}

// Marshal returns the canonical form of a statement, which is what is signed:
// deterministic CBOR.
func (s *Statement) Marshal() ([]byte, error) {
	recipe, err := s.Recipe.Marshal()
	if err != nil {
		return nil, err
	}
	same := *s
	return evidence.EncodeForm(func(m *evidence.Form) { same.fields(&recipe, m) })
}

// Seal signs a statement with the centre's key.
func (s *Statement) Seal(centre evidence.Signer) (*SealedStatement, error) {
	payload, err := s.Marshal()
	if err != nil {
		return nil, fmt.Errorf("statement: %w", err)
	}
	b, err := evidence.SealMessage(ContentTypeStatement, payload, centre)
	if err != nil {
		return nil, fmt.Errorf("statement: %w", err)
	}
	return OpenStatement(b)
}

// OpenStatement reads a sealed statement in its one spelling. It does not check the
// signature: see [SealedStatement.Verify].
func OpenStatement(b []byte) (*SealedStatement, error) {
	m, err := evidence.OpenMessage(ContentTypeStatement, MaxStatement, b)
	if err != nil {
		return nil, fmt.Errorf("statement: %w", err)
	}
	s, recipe := &Statement{}, []byte(nil)
	if err := evidence.DecodeForm(m.Payload, func(f *evidence.Form) { s.fields(&recipe, f) }); err != nil {
		return nil, fmt.Errorf("statement: %w", err)
	}
	if s.Recipe, err = ParseRecipe(recipe); err != nil {
		return nil, fmt.Errorf("statement: %w", err)
	}
	return &SealedStatement{s, m.KeyID, m.Bytes, m}, nil
}

// Verify checks that pub's key sealed the statement. pub must come from
// [evidence.Trust.CentreKey].
func (s *SealedStatement) Verify(pub *ecdsa.PublicKey) error {
	if err := s.message.Verify(pub); err != nil {
		return fmt.Errorf("statement: %w", err)
	}
	return nil
}

// Remake renders the recipe on the source, as a court does that has it. The error
// wraps [ErrOther] when it is not the source, [ErrVersion] when this program renders
// another version of recipes.
func (s *Statement) Remake(source []byte) ([]byte, error) {
	if sha256.Sum256(source) != s.Source {
		return nil, fmt.Errorf("%w: the source has another hash than %v", ErrOther, s.Source)
	}
	o, err := Open(source, Unknown)
	if err != nil {
		return nil, err
	}
	p, err := o.Review(s.Recipe)
	if err != nil {
		return nil, err
	}
	return p.Bytes(), nil
}

// Compare remakes the derived picture and compares it. It returns nil when both are
// the same bytes and those of the statement.
func (s *Statement) Compare(source, picture []byte) error {
	if sha256.Sum256(picture) != s.Derived {
		return fmt.Errorf("%w: the derived picture has another hash than %v", ErrOther, s.Derived)
	}
	again, err := s.Remake(source)
	if err != nil {
		return err
	}
	if !bytes.Equal(again, picture) {
		return fmt.Errorf("%w: %v instead of %v", ErrDiffers, evidence.Hash(sha256.Sum256(again)), s.Derived)
	}
	return nil
}

// The names of the checks of a derived picture.
const (
	CheckAttested = "derived picture attested"
	CheckSource   = "source in the record"
	CheckDataBar  = "data bar"
	CheckRemade   = "derived picture remade"
)

// Check looks at a derived picture that stands in place of a frame of the record,
// which the caller has verified. source is the frame, nil where it is withheld; then
// the last check says so, and passes nothing: what remains is the centre's word.
func (s *SealedStatement) Check(trust *evidence.Trust, record *evidence.Sealed, picture, source []byte) []evidence.Check {
	t := s.Statement
	all := []evidence.Check{
		verdict(CheckAttested, s.attested(trust, picture), evidence.Said{Code: "still.attested", Args: evidence.Args{"frame": t.Source}}),
		verdict(CheckSource, t.ofRecord(record), evidence.Said{Code: "still.named"}),
	}
	if t.Recipe.Bar != nil {
		all = append(all, verdict(CheckDataBar, t.bar(record), evidence.Said{Code: "still.bar"}))
	}
	if source == nil {
		return append(all, evidence.Check{Name: CheckRemade, Said: evidence.Said{Code: "still.withheld"}})
	}
	err := t.Compare(source, picture)
	last := verdict(CheckRemade, err, evidence.Said{Code: "still.remade"})
	if errors.Is(err, ErrVersion) {
		last.Status, last.Mandatory = evidence.NotChecked, false
	}
	return append(all, last)
}

// verdict is a check that holds unless err says what is wrong.
func verdict(name string, err error, holds evidence.Said) evidence.Check {
	if err != nil {
		return evidence.Check{Name: name, Status: evidence.Fail, Mandatory: true,
			Said: evidence.Said{Code: "still.wrong", Args: evidence.Args{"detail": evidence.Detail(err.Error())}}}
	}
	return evidence.Check{Name: name, Status: evidence.Pass, Mandatory: true, Said: holds}
}

func (s *SealedStatement) attested(trust *evidence.Trust, picture []byte) error {
	pub, entry, err := trust.CentreKey(s.KeyID, s.Statement.UTC)
	switch {
	case err != nil:
		return err
	case entry.Revoked != nil:
		return fmt.Errorf("%w: the holder of the key could have dated the statement back", evidence.ErrRevoked)
	}
	if err := s.Verify(pub); err != nil {
		return err
	}
	if sha256.Sum256(picture) != s.Statement.Derived {
		return fmt.Errorf("%w: the picture has another hash than %v", ErrOther, s.Statement.Derived)
	}
	return nil
}

func (s *Statement) ofRecord(record *evidence.Sealed) error {
	frames := record.Record.Frames
	switch {
	case record.ID != s.Record:
		return fmt.Errorf("%w: it is of the record %v", ErrOther, s.Record)
	case s.Frame >= len(frames) || frames[s.Frame].SHA256 != s.Source:
		return fmt.Errorf("%w: picture %d of the record is not the frame %v", ErrOther, s.Frame+1, s.Source)
	}
	return nil
}

func (s *Statement) bar(record *evidence.Sealed) error {
	wrong, err := CheckBar(s.Recipe.Bar, record.Record, s.Frame)
	for _, m := range wrong {
		err = errors.Join(err, m)
	}
	return err
}
