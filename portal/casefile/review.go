package casefile

import (
	"slices"
	"time"

	"ciglio/capture/evidence"
	"ciglio/portal/law"
)

// Opened begins a case: a receipted violation, or the silence of who was to say who drove
// (art. 126-bis(2)).
type Opened struct {
	Institution Ref               `mark:"plain"`
	Source      Code              `mark:"plain"` // violation, driver_silent
	About       evidence.Hash     `mark:"plain"` // the record, or [SilentOf] the other case
	From        ID                `mark:"plain"` // the other case; zero for a violation
	Device      evidence.DeviceID `mark:"plain"`
	At          time.Time         `mark:"plain"` // of the violation, or of the day after the term that was missed
	Simulated   bool              `mark:"plain"` // of a record of kind test, in a centre that is a simulation
}

func (*Opened) Kind() Kind      { return KindOpened }
func (b *Opened) variant() Code { return b.Source }

func (b *Opened) fields(m *form) {
	m.ref(1, "institution", &b.Institution)
	m.code(2, "source", &b.Source)
	m.Fixed(3, "about", b.About[:])
	m.Fixed(4, "from", b.From[:])
	m.Fixed(5, "device", b.Device[:])
	m.instant(6, "at", &b.At)
	m.flag(7, "simulated", &b.Simulated)
}

func (b *Opened) check(c *Case, a *Act) error {
	if c.ID != IDOf(b.Institution, b.About) {
		return refuse("open.id", c.ID)
	}
	return nil
}

func (b *Opened) apply(c *Case, a *Act) { c.Opened, c.Day = b, law.DayOf(b.At) }

// A Reading is one of the plate: typed blind, or proposed by a reader.
type Reading struct {
	Plate    Commitment
	Country  Code
	By       Actor
	Proposed bool
}

// PlateProposed is a reader's proposal: never a decision.
type PlateProposed struct {
	simple
	Plate    Commitment `mark:"plate"`
	Country  Code       `mark:"plain"`
	Permille int64      `mark:"plain"` // of confidence
	Reader   Ref        `mark:"plain"` // program and version
}

func (*PlateProposed) Kind() Kind { return KindPlateProposed }

func (b *PlateProposed) fields(m *form) {
	m.commitment(1, "plate", &b.Plate)
	m.code(2, "country", &b.Country)
	m.Integer(3, "permille", &b.Permille, 0, 1000)
	m.ref(4, "reader", &b.Reader)
}

func (b *PlateProposed) apply(c *Case, a *Act) {
	c.Readings = append(slices.Clip(c.Readings), Reading{b.Plate, b.Country, a.By, true})
}

// PlateTyped is an officer's reading, typed without sight of the others.
type PlateTyped struct {
	simple
	Plate   Commitment `mark:"plate"` // sealed with the salt of the first reading: [Private.Again]
	Country Code       `mark:"plain"`
}

func (*PlateTyped) Kind() Kind { return KindPlateTyped }

func (b *PlateTyped) fields(m *form) {
	m.commitment(1, "plate", &b.Plate)
	m.code(2, "country", &b.Country)
}

func (b *PlateTyped) apply(c *Case, a *Act) {
	c.Readings = append(slices.Clip(c.Readings), Reading{b.Plate, b.Country, a.By, false})
}

// DiscardReasons are the fixed list of why a record becomes no notice.
func DiscardReasons() []Code {
	return []Code{"plate_unreadable", "wrong_vehicle", "emergency", "exempt", "redaction_impossible", "other"}
}

// Reviewed is an officer's decision: accepted, second_look, discarded.
type Reviewed struct {
	Outcome Code       `mark:"plain"`
	Plate   Commitment `mark:"plate"` // of an accepted one
	Country Code       `mark:"plain"`
	Vehicle Code       `mark:"plain"` // class, as the law's: see docs/law.md
	Make    Ref        `mark:"plain"` // as seen; compared with the register
	Reason  Code       `mark:"plain"` // of a discarded one, or why a second look
	Note    Commitment `mark:"person"`
}

func (*Reviewed) Kind() Kind      { return KindReviewed }
func (b *Reviewed) variant() Code { return b.Outcome }

func (b *Reviewed) fields(m *form) {
	m.code(1, "outcome", &b.Outcome)
	m.commitment(2, "plate", &b.Plate)
	m.optionalCode(3, "country", &b.Country)
	m.optionalCode(4, "vehicle", &b.Vehicle)
	m.optionalRef(5, "make", &b.Make)
	m.optionalCode(6, "reason", &b.Reason)
	m.commitment(7, "note", &b.Note)
}

// check asks for two equal readings, one of them by a person, and for another officer after
// a second look was wanted.
func (b *Reviewed) check(c *Case, a *Act) error {
	if c.Stage == StageSecond && a.By.Person == c.Reviewer {
		return refuse("review.first_person")
	}
	switch b.Outcome {
	case "discarded":
		if !slices.Contains(DiscardReasons(), b.Reason) {
			return refuse("review.reason", b.Reason)
		}
	case "accepted":
		alike, typed := 0, false
		for _, r := range c.Readings {
			if r.Plate == b.Plate && r.Country == b.Country {
				alike++
				typed = typed || !r.Proposed
			}
		}
		if alike < 2 || !typed || b.Plate.Zero() || b.Vehicle == "" {
			return refuse("review.plate")
		}
	}
	return nil
}

func (b *Reviewed) apply(c *Case, a *Act) {
	c.Review, c.Reviewer = b, a.By.Person
	if b.Outcome == "discarded" {
		c.Ended = a.At
	}
}

// ReviewReopened sends an accepted case back: the register tells of another vehicle.
type ReviewReopened struct {
	Reason Code       `mark:"plain"`
	Note   Commitment `mark:"person"`
}

func (*ReviewReopened) Kind() Kind    { return KindReviewReopened }
func (*ReviewReopened) variant() Code { return "" }

func (b *ReviewReopened) fields(m *form) {
	m.code(1, "reason", &b.Reason)
	m.commitment(2, "note", &b.Note)
}

// check asks that no notice stands on the review.
func (b *ReviewReopened) check(c *Case, a *Act) error {
	for _, p := range c.Positions {
		if p.State != StateAnnulled {
			return refuse("position.state", KindReviewReopened, p.Number, p.State)
		}
	}
	return nil
}

func (b *ReviewReopened) apply(c *Case, a *Act) {
	c.Review, c.Reviewer, c.Readings = nil, "", nil
	c.Since, c.NotFound = law.Day{}, "" // were of another plate
	c.Parties = slices.Clone(c.Parties)
	for i := range c.Parties { // annulled notices name them by number
		c.Parties[i].Gone = true
	}
}
