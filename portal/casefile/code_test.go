package casefile

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"ciglio/capture/evidence"
	"ciglio/portal/law"
	"ciglio/portal/plate"
)

// fill gives every field a value that the format takes.
func fill(v reflect.Value, r *rand.Rand) {
	switch v.Interface().(type) {
	case law.Cents:
		v.Set(reflect.ValueOf(law.Cents(1 + r.Int64N(1e6))))
	case law.Day:
		v.Set(reflect.ValueOf(law.Date(2026, 1, 1+r.IntN(300))))
	case law.Moment:
		v.Set(reflect.ValueOf(law.At(time.UnixMicro(1790000000_000000 + r.Int64N(1e12)).UTC())))
	case time.Time:
		v.Set(reflect.ValueOf(time.UnixMicro(1790000000_000000 + r.Int64N(1e12)).UTC()))
	case Ref:
		v.Set(reflect.ValueOf(Ref(fmt.Sprintf("R-%d/%d", r.IntN(100), r.IntN(100)))))
	case Code, law.Channel:
		v.SetString(string([]byte{byte('a' + r.IntN(26)), '_', byte('a' + r.IntN(26))}))
	default:
		switch v.Kind() {
		case reflect.Struct:
			for i := range v.NumField() {
				if v.Type().Field(i).Name != "simple" {
					fill(v.Field(i), r)
				}
			}
		case reflect.Slice:
			v.Set(reflect.MakeSlice(v.Type(), 1+r.IntN(2), 2))
			for i := range v.Len() {
				fill(v.Index(i), r)
			}
		case reflect.Array:
			for i := range v.Len() {
				v.Index(i).SetUint(uint64(r.IntN(256)))
			}
		case reflect.Bool:
			v.SetBool(true)
		case reflect.Int64:
			v.SetInt(1 + r.Int64N(20))
		default:
			panic(v.Type().String())
		}
	}
}

// filled returns an act of each kind.
func filled(r *rand.Rand) (all []*Act) {
	for _, b := range bodies() {
		fill(reflect.ValueOf(b).Elem(), r)
		c := Case{ID: IDOf("latina", evidence.Hash{1}), Acts: r.Int64N(100)}
		all = append(all, c.Next(KeyOf("a form"), time.UnixMicro(1790000000_000000+r.Int64N(1e12)), Actor{"u-17", "officer"}, b))
	}
	return all
}

func TestAnActIsReadAsItWasWritten(t *testing.T) {
	for _, a := range filled(rand.New(rand.NewPCG(1, 2))) {
		b, err := a.Encode()
		if err != nil {
			t.Fatalf("%s: %v", a.Body.Kind(), err)
		}
		got, err := Decode(b)
		if err != nil {
			t.Fatalf("%s: %v", a.Body.Kind(), err)
		}
		if !reflect.DeepEqual(got, a) {
			t.Errorf("%s: read %+v, want %+v", a.Body.Kind(), got.Body, a.Body)
		}
		// Every byte counts: none can be changed without another act, or none.
		for i := range b {
			other := bytes.Clone(b)
			other[i] ^= 1
			if x, err := Decode(other); err == nil && reflect.DeepEqual(x, a) {
				t.Errorf("%s: byte %d does not count", a.Body.Kind(), i)
			}
		}
	}
}

// TestEncodingChangesNothing: an act may be in use elsewhere while it is encoded.
func TestEncodingChangesNothing(t *testing.T) {
	for _, a := range filled(rand.New(rand.NewPCG(3, 4))) {
		done := make(chan error)
		for range 2 { // which the race detector watches
			go func() { _, err := a.Encode(); done <- err }()
		}
		for range 2 {
			if err := <-done; err != nil {
				t.Errorf("%s: %v", a.Body.Kind(), err)
			}
		}
	}
}

func TestAnActThatIsNoneIsRefused(t *testing.T) {
	good := filled(rand.New(rand.NewPCG(5, 6)))[0]
	opened := good.Body.(*Opened)
	for name, spoil := range map[string]func(*Act){
		"a name in a reference": func(*Act) { opened.Institution = "Mario Rossi" },
		"no office":             func(a *Act) { a.By.Office = "" },
		"no day":                func(a *Act) { a.Day = law.Day{} },
		"number 0":              func(a *Act) { a.Number = 0 },
		"a code with a space":   func(*Act) { opened.Source = "a b" },
	} {
		act, body := *good, *opened
		spoil(&act)
		if b, err := act.Encode(); err == nil {
			t.Errorf("%s: encoded as %x", name, b)
		}
		*opened = body
	}
	b, err := good.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Decode(append(b, 0)); err == nil {
		t.Error("bytes after the end are read over")
	}
	if _, err := Decode(bytes.Replace(b, []byte("opened"), []byte("opener"), 1)); err == nil {
		t.Error("a kind that does not exist is read")
	}
	// What no encoder writes: a reference with a space.
	spaced := bytes.Replace(b, []byte(opened.Institution), []byte(strings.Replace(string(opened.Institution), "-", " ", 1)), 1)
	if _, err := Decode(spaced); err == nil {
		t.Error("a reference with a space is read")
	}
}

// eachField walks the fields of a body and of what it lists.
func eachField(t reflect.Type, see func(owner reflect.Type, f reflect.StructField)) {
	for i := range t.NumField() {
		f := t.Field(i)
		switch {
		case f.Name == "simple":
		case f.Anonymous:
			eachField(f.Type, see)
		default:
			see(t, f)
			if f.Type.Kind() == reflect.Slice && f.Type.Elem().Kind() == reflect.Struct {
				eachField(f.Type.Elem(), see)
			}
		}
	}
}

// TestEveryFieldIsMarked keeps personal values out of what is hashed: a field is a
// commitment, money, or of a type that can hold no name.
func TestEveryFieldIsMarked(t *testing.T) {
	check := func(owner reflect.Type, f reflect.StructField) {
		mark, commitment, money := Mark(f.Tag.Get("mark")), f.Type == reflect.TypeFor[Commitment](), f.Type == reflect.TypeFor[law.Cents]()
		switch mark {
		case MarkPerson, MarkPlate:
			if !commitment {
				t.Errorf("%s.%s is marked %s and is no commitment", owner.Name(), f.Name, mark)
			}
		case MarkMoney:
			if !money {
				t.Errorf("%s.%s is marked money and is no sum", owner.Name(), f.Name)
			}
		case MarkPlain:
			if commitment || money || f.Type == reflect.TypeFor[string]() || f.Type == reflect.TypeFor[[]string]() || f.Type == reflect.TypeFor[[]byte]() {
				t.Errorf("%s.%s is marked plain and may hold more", owner.Name(), f.Name)
			}
		default:
			t.Errorf("%s.%s has no mark", owner.Name(), f.Name)
		}
	}
	for _, b := range bodies() {
		eachField(reflect.TypeOf(b).Elem(), check)
	}
	for i := range reflect.TypeFor[Person]().NumField() {
		if f := reflect.TypeFor[Person]().Field(i); f.Tag.Get("mark") != string(MarkPerson) {
			t.Errorf("Person.%s is not marked", f.Name)
		}
	}
}

// TestEveryFieldIsWritten compares the list of keys with the type: a field that the list
// lacks would be lost.
func TestEveryFieldIsWritten(t *testing.T) {
	for _, a := range filled(rand.New(rand.NewPCG(7, 8))) {
		want := 0
		typ := reflect.TypeOf(a.Body).Elem()
		eachField(typ, func(owner reflect.Type, f reflect.StructField) {
			listed := !strings.Contains(typ.Name(), owner.Name()) && (owner == reflect.TypeFor[Party]() || owner == reflect.TypeFor[Part]() ||
				owner == reflect.TypeFor[PayBy]() || owner == reflect.TypeFor[Instalment]() || owner == reflect.TypeFor[Erasure]())
			switch {
			case listed:
			case f.Type == reflect.TypeFor[law.Moment]():
				want += 2
			default:
				want++
			}
		})
		b, err := encode(a.Body.fields)
		if err != nil {
			t.Fatal(err)
		}
		if got := int(b[0] & 31); b[0]>>5 != 5 || got != want {
			t.Errorf("%s: %d keys, and %d in the type", a.Body.Kind(), got, want)
		}
	}
}

// TestEveryRefusalIsInTheList reads the code: words are written by the list.
func TestEveryRefusalIsInTheList(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	used := make(map[string]bool)
	call := regexp.MustCompile(`refuse\("([a-z_.]+)"`)
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range call.FindAllSubmatch(text, -1) {
			used[string(m[1])] = true
		}
	}
	codes := Codes()
	for code := range used {
		if _, ok := codes[code]; !ok {
			t.Errorf("%s is not in Codes", code)
		}
	}
	for code := range codes {
		if !used[code] {
			t.Errorf("%s is in Codes, and nothing says it", code)
		}
	}
}

func TestAPersonalValueIsInItsPrivateAlone(t *testing.T) {
	typed, err := plate.Parse("AB012CD")
	if err != nil {
		t.Fatal(err)
	}
	first := SealPlate(typed)
	if first.Again("AB012CD").Commitment() != first.Commitment() || first.Again("AB012CE").Commitment() == first.Commitment() {
		t.Error("two readings under one salt are compared by their commitments")
	}
	if SealPlate(typed).Commitment() == first.Commitment() {
		t.Error("two salts give one commitment")
	}
	person := Person{Name: "D’Angiò Łukasz", TaxCode: "RCCMNL83S18D96VW", Address: []string{"Via Roma 1", "04100 Latina LT"}, Country: "it"}
	sealed, err := person.Seal()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := ParsePerson(sealed.Value); err != nil || !reflect.DeepEqual(got, person) {
		t.Errorf("read %v, %v", got, err)
	}
	for _, shown := range []string{fmt.Sprintf("%v %+v %#v %s %q", sealed, sealed, sealed, sealed, sealed), fmt.Sprintf("%v %+v %#v", person, &person, person), sealed.LogValue().String()} {
		if strings.Contains(shown, "Angi") || strings.Contains(shown, "RCCMNL") {
			t.Errorf("shown as %s", shown)
		}
	}
}

func TestCommitmentsAreFoundWhereverTheyStand(t *testing.T) {
	one, two := Seal(MarkPerson, "a").Commitment(), Seal(MarkPlate, "b").Commitment()
	for _, test := range []struct {
		body Body
		want map[Commitment]Mark
	}{
		{&OwnerFound{Parties: []Party{{Person: one}, {}}}, map[Commitment]Mark{one: MarkPerson}},
		{&Reviewed{Plate: two, Note: one}, map[Commitment]Mark{one: MarkPerson, two: MarkPlate}},
		{&NoticeReissued{Notice: Notice{Recipient: one}}, map[Commitment]Mark{one: MarkPerson}},
		{&Opened{}, map[Commitment]Mark{}},
	} {
		if got := Commitments(test.body); !reflect.DeepEqual(got, test.want) {
			t.Errorf("%s: %v, want %v", test.body.Kind(), got, test.want)
		}
	}
}

func TestIDs(t *testing.T) {
	id := IDOf("latina", evidence.Hash{1})
	if got, err := ParseID(id.String()); err != nil || got != id {
		t.Errorf("read %v, %v", got, err)
	}
	for _, wrong := range []string{"", id.String()[1:], id.String() + "00", strings.ToUpper(IDOf("latina", evidence.Hash{2}).String()), strings.Repeat("g", 32)} {
		if _, err := ParseID(wrong); err == nil {
			t.Errorf("%q is read", wrong)
		}
	}
	if IDOf("latina", evidence.Hash{1}) == IDOf("roma", evidence.Hash{1}) || KeyOf("a", "bc") == KeyOf("ab", "c") {
		t.Error("two things have one id")
	}
}

func FuzzDecode(f *testing.F) {
	for _, a := range filled(rand.New(rand.NewPCG(9, 9))) {
		b, err := a.Encode()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		a, err := Decode(b)
		if err != nil {
			return
		}
		if again, err := a.Encode(); err != nil || !bytes.Equal(again, b) {
			t.Errorf("a second spelling of one act was accepted: %x, written as %x, %v", b, again, err)
		}
		Fold(a.Case, []*Act{a}) // must not panic
		c, err := Fold(a.Case, filledUpTo(a))
		if err == nil {
			c.Apply(a)
			a.Number, a.Prev = c.Acts+1, c.Head
			c.next(a)
		}
	})
}

// filledUpTo is a short life before a: an open case without positions.
func filledUpTo(a *Act) []*Act {
	c := New(a.Case)
	return []*Act{c.Next(KeyOf("open"), time.UnixMicro(1790000000_000000), Actor{"", "intake"},
		&Opened{Institution: "latina", Source: "violation", At: time.UnixMicro(1780000000_000000).UTC()})}
}

func FuzzParsePerson(f *testing.F) {
	p, err := Person{Name: "Đỗ Nuñez", Country: "vn"}.Seal()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(p.Value)
	f.Fuzz(func(t *testing.T, value string) {
		p, err := ParsePerson(value)
		if err != nil {
			return
		}
		if again, err := p.Seal(); err != nil || again.Value != value {
			t.Errorf("%q is written as %q, %v", value, again.Value, err)
		}
	})
}
