package still

import (
	"bytes"
	"errors"
	"slices"
	"testing"
	"time"

	"ciglio/capture/evidence"
)

// A given is a derived picture as it is given away, with what it is checked by.
type given struct {
	trust   *evidence.Trust
	record  *evidence.Sealed
	frames  [][]byte
	picture []byte
	sealed  *SealedStatement
}

func give(t *testing.T) given {
	t.Helper()
	record, frames, trust := sample(t, "violation.zip")
	bar, err := BarOf(record.Record, 1, "it")
	if err != nil {
		t.Fatal(err)
	}
	r := &Recipe{Code: Version, Redact: &Redaction{
		Keep: []Polygon{{{30, 26}, {62, 26}, {62, 50}, {30, 50}}}, Hide: []Polygon{{{36, 30}, {56, 30}, {56, 34}, {36, 34}}},
	}, Zoom: &Zoom{2, 1}, Bar: bar, Quality: PictureQuality}
	p, err := open(t, frames[1], FacingOf(record.Record.Measurement.Direction)).Redact(r)
	if err != nil {
		t.Fatal(err)
	}
	s, err := Describe(p, record, 1, record.Record.UTC.Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := s.Seal(testSigner(t, "centre"))
	if err != nil {
		t.Fatal(err)
	}
	return given{trust, record, frames, p.Bytes(), sealed}
}

func statuses(all []evidence.Check) (s []evidence.Status) {
	for _, c := range all {
		s = append(s, c.Status)
	}
	return s
}

func TestStatementsAreChecked(t *testing.T) {
	const pass, fail, open = evidence.Pass, evidence.Fail, evidence.NotChecked
	g := give(t)
	other, _, _ := sample(t, "violation-two-frames.zip")
	again := func(change func(*Statement), signer string) *SealedStatement {
		t.Helper()
		s := *g.sealed.Statement
		recipe := *s.Recipe
		s.Recipe = &recipe
		change(&s)
		sealed, err := s.Seal(testSigner(t, signer))
		if err != nil {
			t.Fatal(err)
		}
		return sealed
	}
	same := func(*Statement) {}
	for _, c := range []struct {
		name     string
		sealed   *SealedStatement
		record   *evidence.Sealed
		picture  []byte
		original []byte
		want     []evidence.Status // attested, source, bar, remade
	}{
		{"original withheld", g.sealed, g.record, g.picture, nil, []evidence.Status{pass, pass, pass, open}},
		{"in court", g.sealed, g.record, g.picture, g.frames[1], []evidence.Status{pass, pass, pass, pass}},
		{"another original", g.sealed, g.record, g.picture, g.frames[0], []evidence.Status{pass, pass, pass, fail}},
		{"another picture", g.sealed, g.record, g.frames[1], g.frames[1], []evidence.Status{fail, pass, pass, fail}},
		{"another record", g.sealed, other, g.picture, nil, []evidence.Status{pass, fail, fail, open}},
		{"signed by a stranger", again(same, "stranger"), g.record, g.picture, nil, []evidence.Status{fail, pass, pass, open}},
		{"signed by a device", again(same, "device"), g.record, g.picture, nil, []evidence.Status{fail, pass, pass, open}},
		{"of another frame", again(func(s *Statement) { s.Frame = 0 }, "centre"), g.record, g.picture, nil, []evidence.Status{pass, fail, fail, open}},
		{"another recipe", again(func(s *Statement) { s.Recipe.Quality = 80 }, "centre"), g.record, g.picture, g.frames[1], []evidence.Status{pass, pass, pass, fail}},
		{"a version that this program does not render", again(func(s *Statement) { s.Recipe.Code = 2 }, "centre"), g.record, g.picture, g.frames[1],
			[]evidence.Status{pass, pass, pass, open}},
		{"a bar that says another limit", again(func(s *Statement) {
			s.Recipe.Bar = &Bar{"it", slices.Clone(s.Recipe.Bar.Items)}
			s.Recipe.Bar.Items[7].Value = "30,00 km/h"
		}, "centre"), g.record, g.picture, nil, []evidence.Status{pass, pass, fail, open}},
		{"no bar", again(func(s *Statement) { s.Recipe.Bar = nil }, "centre"), g.record, g.picture, nil, []evidence.Status{pass, pass, open}},
		{"from before the key was valid", again(func(s *Statement) { s.UTC = time.Unix(0, 0) }, "centre"), g.record, g.picture, nil, []evidence.Status{fail, pass, pass, open}},
	} {
		got := c.sealed.Check(g.trust, c.record, c.picture, c.original)
		if !slices.Equal(statuses(got), c.want) {
			t.Errorf("%s: %+v, want %v", c.name, got, c.want)
		}
	}
}

func TestStatementsHaveOneSpelling(t *testing.T) {
	g := give(t)
	got, err := OpenStatement(g.sealed.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	one, err := g.sealed.Statement.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	two, err := got.Statement.Marshal()
	if err != nil || !bytes.Equal(one, two) || !got.Statement.UTC.Equal(g.sealed.Statement.UTC) {
		t.Errorf("read %+v, %v; want %+v", got.Statement, err, g.sealed.Statement)
	}
	for i := range g.sealed.Bytes {
		if _, err := OpenStatement(g.sealed.Bytes[:i]); err == nil {
			t.Fatalf("%d of %d bytes were read", i, len(g.sealed.Bytes))
		}
	}
}

func TestOnlyAPictureOfTheRecordIsDescribed(t *testing.T) {
	g := give(t)
	p, err := open(t, g.frames[1], Rear).Redact(g.sealed.Statement.Recipe)
	if err != nil {
		t.Fatal(err)
	}
	for _, frame := range []int{-1, 0, 2, 3} {
		if s, err := Describe(p, g.record, frame, time.Now()); !errors.Is(err, ErrOther) {
			t.Errorf("frame %d: %+v, %v", frame, s, err)
		}
	}
}

func TestCompareNamesWhatIsWrong(t *testing.T) {
	g := give(t)
	s := g.sealed.Statement
	changed := append(bytes.Clone(g.picture), 0)
	if err := s.Compare(g.frames[1], g.picture); err != nil {
		t.Errorf("the same: %v", err)
	}
	if err := s.Compare(g.frames[1], changed); !errors.Is(err, ErrOther) {
		t.Errorf("another picture: %v", err)
	}
	if err := s.Compare(changed, g.picture); !errors.Is(err, ErrOther) {
		t.Errorf("another source: %v", err)
	}
	other := *s
	other.Recipe = Thumbnail(40, 40)
	if err := other.Compare(g.frames[1], g.picture); !errors.Is(err, ErrDiffers) {
		t.Errorf("another recipe: %v", err)
	}
}

// FuzzStatement: what is read has no other spelling.
func FuzzStatement(f *testing.F) {
	record, frames, _ := sample(f, "violation.zip")
	p, err := open(f, frames[1], Rear).Redact(&Recipe{Code: Version, Redact: &Redaction{Keep: []Polygon{{{30, 26}, {62, 26}, {62, 50}}}}, Quality: 90})
	if err != nil {
		f.Fatal(err)
	}
	s, err := Describe(p, record, 1, record.Record.UTC)
	if err != nil {
		f.Fatal(err)
	}
	sealed, err := s.Seal(testSigner(f, "centre"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(sealed.Bytes)
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := OpenStatement(b)
		if err != nil {
			return
		}
		again, err := s.Statement.Marshal()
		if err != nil || !bytes.Contains(b, again) {
			t.Errorf("a second spelling of one statement was read: %x, %v", b, err)
		}
	})
}
