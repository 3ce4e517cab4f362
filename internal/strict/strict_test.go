package strict_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"ciglio/internal/strict"
)

func TestDecodeRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"name = \"x\"":                       "",
		"name = \"x\"\n[part]\nsize = 3":     "",
		"nam = \"x\"":                        "unknown key nam",
		"Name = \"x\"":                       "unknown key Name",
		"name = \"x\"\nNAME = \"y\"":         "unknown key NAME",
		"[part]\nsize = 3\nother = 1":        "unknown key part.other",
		"name = \"x\"\nname = \"y\"":         "line 2: ",
		"name = 3":                           "line 1 ",
		"name = ":                            "line 1: ",
		"[part]\nsize = 9223372036854775808": "line 2: ",
	} {
		var v struct {
			Name string
			Part struct{ Size int64 }
		}
		_, err := strict.Decode(text, &v)
		if (err == nil) != (want == "") || err != nil && (!strings.HasPrefix(err.Error(), want) || strings.Contains(err.Error(), "\n")) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
	var v struct{ Part struct{ Size int64 } }
	keys, err := strict.Decode("[part]\nsize = 3", &v)
	if err != nil || !keys.Has("part", "size") || keys.Has("size") {
		t.Errorf("%v", err)
	}
}

func TestAFileTellsEveryFault(t *testing.T) {
	f, err := strict.Open("odd = 1\neven = \"x\"\n[site]\nwait = 3\ncount = 7\nspare = 1\nname = 5\n[other]\nx = 1\n[[list]]\nx = 1\n")
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(f.Loose(), []string{"odd", "even", "list"}) {
		t.Errorf("loose %v", f.Loose())
	}
	var wait time.Duration
	if there, err := f.Key("site", "wait", &wait); !there || err == nil || !strings.Contains(err.Error(), "with its unit") {
		t.Errorf("wait: %t, %v", there, err)
	}
	var count int
	if there, err := f.Key("site", "count", &count); !there || err != nil || count != 7 {
		t.Errorf("count: %t, %d, %v", there, count, err)
	}
	var name string
	if there, err := f.Key("site", "name", &name); !there || err == nil {
		t.Errorf("name: %t, %v", there, err)
	}
	if there, err := f.Key("site", "missing", &name); there || err != nil {
		t.Errorf("missing: %t, %v", there, err)
	}
	if left := f.Left(); !slices.Equal(left, []string{"site.spare", "other.x"}) {
		t.Errorf("left %v", left)
	}
}

func TestQuantities(t *testing.T) {
	units := []strict.Unit{{Suffix: "km", Scale: 1e6}, {Suffix: "m", Scale: 1e3}, {Suffix: "mm", Scale: 1}}
	for text, want := range map[string]int64{"12.4km": 12_400_000, "15 m": 15_000, "-0.25m": -250, "7mm": 7, "0.000001km": 1} {
		if n, err := strict.Quantity("length", text, units); err != nil || n != want {
			t.Errorf("%s: %d, %v, want %d", text, n, err, want)
		}
		if n, err := strict.Quantity("length", strict.Format(want, units), units); err != nil || n != want {
			t.Errorf("%d is written %s", want, strict.Format(want, units))
		}
	}
	for text, want := range map[string]string{
		"15": "with unit km", "15cm": "with unit km", "m": "decimal number", "1.m": "decimal number", ".5m": "decimal number",
		"0.5mm": "finer than can be kept", "9999999999999km": "in range", "1e3m": "in range", "+1m": "in range", "51m": "want -50m to 50m",
	} {
		if n, err := strict.Bounded("length", text, units, -50_000, 50_000); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %d, %v, want %q", text, n, err, want)
		}
	}
}
