package aim

import (
	"strings"
	"testing"
)

// sample returns a normal with marks by day.
func sample() Normal {
	n := Normal{Width: 1600, Height: 900}
	n.Lights[day].Looks = 7
	for i := range leastMarks {
		m := Mark{Cell: i, X: 10 + i, Y: 20, Seen: i % 8}
		m.Patch[i] = 200
		n.Lights[day].Marks = append(n.Lights[day].Marks, m)
	}
	return n
}

func TestNormalIsReadAsWritten(t *testing.T) {
	for _, n := range []Normal{{}, {Width: 640, Height: 480}, sample()} {
		text := n.Text(`"C1" "7"`)
		again, err := ParseNormal(text, `"C1" "7"`)
		if err != nil || string(again.Text(`"C1" "7"`)) != string(text) {
			t.Errorf("%v: %+v", err, again)
		}
		if other, err := ParseNormal(text, `"C1" "8"`); err != nil || !other.none() || other.Width != 0 {
			t.Errorf("of another camera: %+v, %v", other, err)
		}
	}
}

func TestNormalThatIsNone(t *testing.T) {
	good := string(sample().Text("C"))
	for name, bad := range map[string]string{
		"empty":           "",
		"another head":    strings.Replace(good, "marks 1", "marks 2", 1),
		"cut short":       good[:len(good)/2],
		"without its end": strings.TrimSuffix(good, "\n"),
		"too few marks":   strings.Replace(good, "\n12 7\n", "\n11 7\n", 1),
		"too many":        strings.Replace(good, "\n12 7\n", "\n61 7\n", 1),
		"looks":           strings.Replace(good, "\n12 7\n", "\n12 9999\n", 1),
		"another number":  strings.Replace(good, "\n12 7\n", "\n+12 7\n", 1),
		"part":            strings.Replace(good, "\n3 13 20 3 ", "\n60 13 20 3 ", 1),
		"place":           strings.Replace(good, "\n3 13 20 3 ", "\n3 1601 20 3 ", 1),
		"seen too often":  strings.Replace(good, "\n3 13 20 3 ", "\n3 13 20 8 ", 1),
		"patch":           strings.Replace(good, "c8", "zz", 1),
		"behind the end":  good + "1\n",
	} {
		if bad == good {
			t.Fatalf("%s: is not bad", name)
		}
		if _, err := ParseNormal([]byte(bad), "C"); err == nil {
			t.Errorf("%s: is read", name)
		}
	}
}

func FuzzNormal(f *testing.F) {
	f.Add(sample().Text("C"))
	f.Add(Normal{}.Text("C"))
	f.Fuzz(func(t *testing.T, text []byte) {
		n, err := ParseNormal(text, "C")
		if err != nil || n.Width == 0 && n.none() {
			return
		}
		if string(n.Text("C")) != string(text) {
			t.Errorf("a second spelling of a normal is read: %q", text)
		}
	})
}
