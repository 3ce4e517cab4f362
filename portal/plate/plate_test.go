package plate

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
)

func parse(t *testing.T, typed string) Plate {
	t.Helper()
	p, err := Parse(typed)
	if err != nil {
		t.Fatalf("%q: %v", typed, err)
	}
	return p
}

func TestTypingIsForgivenWhatAPlateDoesNotShow(t *testing.T) {
	for name, typed := range map[string]string{
		"as it stands":         "AB012CD",
		"small with spaces":    " ab 012 cd\n",
		"dashes":               "AB-012–CD",
		"no-break, zero-width": "AB\u00a0012\u200bCD",
		"full width":           "ＡＢ０１２ｃｄ",
	} {
		if p := parse(t, typed); p.Reveal() != "AB012CD" || p != parse(t, "AB012CD") {
			t.Errorf("%s: %q", name, p.Reveal())
		}
	}
	// As it stands on plates of Germany and Croatia, in either spelling of Unicode.
	if p := parse(t, "Bö-ab 123"); p.Reveal() != "BÖAB123" || p != parse(t, "BO\u0308 AB123") || p == parse(t, "BO AB 123") || p.Same(parse(t, "BO AB 123")) {
		t.Errorf("%q", p.Reveal())
	}
	for typed, code := range map[string]string{
		"Ô012CD": "plate.character", "B\u0308": "plate.character", strings.Repeat("Ö", MaxLength+1): "plate.length",
		"": "plate.empty", " - ": "plate.empty", "AB/12": "plate.character", "ÀB012CD": "plate.character",
		"AB012CD;DROP": "plate.character", strings.Repeat("A", MaxLength+1): "plate.length", "\xff": "plate.character",
	} {
		var wrong *Error
		if _, err := Parse(typed); !errors.As(err, &wrong) || wrong.Code != code {
			t.Errorf("%q: %v, want %s", typed, err, code)
		}
	}
}

func TestNothingPrintsAPlate(t *testing.T) {
	p := parse(t, "AB012CD")
	type view struct {
		Open   Plate
		hidden Plate
	}
	v := view{p, p}
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		fmt.Fprintf(&out, verb+verb+verb, p, v, &v)
	}
	slog.New(slog.NewJSONHandler(&out, nil)).Info("event", "plate", p, "view", v)
	slog.New(slog.NewTextHandler(&out, nil)).Info("event", "plate", p, "view", v)
	if err := json.NewEncoder(&out).Encode(v); err != nil {
		t.Fatal(err)
	}
	for _, leak := range []string{"AB012CD", "ab012cd", fmt.Sprintf("%x", "AB012CD"), fmt.Sprintf("%d", []byte("AB012CD"))} {
		if strings.Contains(out.String(), leak) {
			t.Errorf("%q stands in %s", leak, &out)
		}
	}
}

func TestFormats(t *testing.T) {
	for _, test := range []struct {
		country, typed string
		want           []Format
	}{
		{Italy, "FX 421 KP", []Format{Car}},
		{Italy, "XA 123 BC", []Format{Car}}, // a trailer since 2013
		{Italy, "AI 123 BC", nil},           // I is no letter of it
		{Italy, "AB 12345", []Format{Motorcycle}},
		{Italy, "X4BC5D", []Format{Moped}},
		{Italy, "AB 123 C", []Format{Agricultural}},
		{Italy, "ROMA 12345A", []Format{Provincial}},
		{Italy, "LT 123456", []Format{Provincial}},
		{Italy, "MI 3A1234", []Format{Provincial}},
		{Italy, "ZZ 123456", nil}, // no such province
		{Italy, "CC 123 AB", []Format{Car, Diplomatic}},
		{Italy, "CD 1234 AB", []Format{Diplomatic}},
		{Italy, "UNP 123 AB", []Format{Diplomatic}},
		{Italy, "EE 123 AB", []Format{Car, Visitor}},
		{Italy, "POLIZIA H1234", []Format{Police}},
		{Italy, "CC DN 123", []Format{Armed}},
		{Italy, "EI AB 123", []Format{Armed}},
		{Italy, "GdiF 123 AB", []Format{Armed}},
		{Italy, "VF 12345", []Format{Motorcycle, FireBrigade}},
		{Italy, "CRI 123 AB", []Format{RedCross}},
		{Italy, "CRI A123B", []Format{RedCross}},
		{"de", "B-MW 1234", []Format{Foreign}},
		{"at", "W 1", []Format{Foreign}},
		{"de", "GÖ-AB 1234", []Format{Foreign}},
		{"hr", "ŽU 123-AB", []Format{Foreign}},
		{Italy, "BÖ 123 AB", nil},
		{"de", "X", nil},
	} {
		if got := Formats(test.country, parse(t, test.typed)); !slices.Equal(got, test.want) {
			t.Errorf("%s %s: %v, want %v", test.country, test.typed, got, test.want)
		}
	}
}

func TestConfusionsAreNamedAndNeverCorrected(t *testing.T) {
	for _, test := range []struct {
		typed string
		want  []Confusion
	}{
		{"AB012CD", nil},
		{"AB0I2CD", []Confusion{{3, '1'}}}, // C12
		{"ABOI2CD", []Confusion{{2, '0'}, {3, '1'}}},
		{"LTO123456", nil}, // seven digits are none
		{"ZZZZZZZ", nil},   // nothing helps
	} {
		p := parse(t, test.typed)
		if got := Confusions(Italy, p); !slices.Equal(got, test.want) {
			t.Errorf("%s: %v, want %v", test.typed, got, test.want)
		}
		if p.Reveal() != test.typed {
			t.Errorf("%s became %s", test.typed, p.Reveal())
		}
	}
	if a, b := parse(t, "AB0I2CD"), parse(t, "AB012CD"); !a.Same(b) || a == b || a.Same(parse(t, "AB022CD")) {
		t.Error("0 and O, 1 and I are the same to who searches, and nothing else is")
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{"AB012CD", "ab 0i2 cd", "ROMA 12345A", "0O1I0O1I0O1I0O", "BO\u0308 0"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, typed string) {
		p, err := Parse(typed)
		if err != nil {
			return
		}
		if again, err := Parse(p.Reveal()); err != nil || again != p {
			t.Errorf("%q reads as %q, which reads as %q, %v", typed, p.Reveal(), again.Reveal(), err)
		}
		mended := []byte(p.Reveal())
		swaps := Confusions(Italy, p)
		for _, c := range swaps {
			mended[c.At] = c.Perhaps
		}
		if len(swaps) > 0 && len(formatsOf(Italy, string(mended))) == 0 {
			t.Errorf("%q: %v leads to no format", typed, swaps)
		}
	})
}
