package simulate

import (
	"os"
	"reflect"
	"strings"
	"testing"
)

// TestDocumentDescribesTheScenarios parses every example of docs/simulator.md
// and looks for every key.
func TestDocumentDescribesTheScenarios(t *testing.T) {
	b, err := os.ReadFile("../../docs/simulator.md")
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	examples := strings.Split(text, "```toml\n")[1:]
	for _, e := range examples {
		e, _, _ = strings.Cut(e, "```")
		s, err := ParseScenario([]byte(e))
		if err != nil {
			t.Errorf("%v in the example\n%s", err, e)
			continue
		}
		if _, err := NewRoad(s); err != nil {
			t.Errorf("%v in the example\n%s", err, e)
		}
	}
	if len(examples) < 2 {
		t.Errorf("%d examples, want several", len(examples))
	}
	var keys func(reflect.Type)
	keys = func(of reflect.Type) {
		switch of.Kind() {
		case reflect.Pointer, reflect.Slice:
			keys(of.Elem())
		case reflect.Struct:
			for i := range of.NumField() {
				f := of.Field(i)
				name := f.Tag.Get("toml")
				if name == "" {
					name = strings.ToLower(f.Name)
				}
				if !strings.Contains(text, "`"+name+"`") && !strings.Contains(text, "["+name+"]") &&
					!strings.Contains(text, "{ "+name) && !strings.Contains(text, ", "+name) {
					t.Errorf("%s is not described", name)
				}
				keys(f.Type)
			}
		}
	}
	keys(reflect.TypeFor[scenarioFile]())
	for _, c := range Classes() {
		if !strings.Contains(text, "| `"+c.String()+"` |") {
			t.Errorf("class %v is not described", c)
		}
	}
}
