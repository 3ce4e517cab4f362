package life

import (
	"math"
	"strings"
	"testing"
	"time"
)

// A lens that went out of focus while the device was off is found after its start, if
// what was learnt before is kept, and not of pictures of another size.
func TestD10_SharpnessIsKnownAfterARestart(t *testing.T) {
	sharp, soft := living(shot{noise: 1}, 13), living(shot{noise: 1, blur: 3}, 13)
	s := newStage(t, options, noon)
	s.play(3*time.Minute, 10, sharp)
	kept := s.watch.Normal()
	if kept.Width != width || kept.Height != height || kept.Bright <= 0 || kept.Dark != 0 {
		t.Fatalf("learnt %+v of bright pictures of %d by %d", kept, width, height)
	}
	for _, c := range []struct {
		name string
		was  Normal
		want []string
	}{
		{"kept", kept, []string{Unsharp, "is not sharp"}},
		{"nothing kept", Normal{}, nil},
		{"kept of larger pictures", Normal{2 * width, 2 * height, kept.Dark, kept.Bright}, nil},
		{"kept of dark pictures alone", Normal{width, height, kept.Bright, 0}, nil},
	} {
		o := options
		o.Normal = c.was
		s := newStage(t, o, noon)
		s.play(70*time.Second, 10, soft)
		s.finds(c.name, c.want...)
	}
}

func TestNormalIsReadBack(t *testing.T) {
	n := Normal{1920, 1080, 0.0312345, 0.125}
	text := string(n.Text(`"M" "1"`))
	for _, c := range []struct {
		name, text, of string
		want           Normal
		bad            bool
	}{
		{"as written", text, `"M" "1"`, n, false},
		{"of another camera", text, `"M" "2"`, Normal{}, false},
		{"cut", text[:len(text)-3], `"M" "1"`, Normal{}, true},
		{"a line more", text + "\n", `"M" "1"`, Normal{}, true},
		{"of a radar", strings.Replace(text, "camera", "radar", 1), `"M" "1"`, Normal{}, true},
		{"no number", strings.Replace(text, "0.125", "NaN", 1), `"M" "1"`, Normal{}, true},
		{"infinite", strings.Replace(text, "0.125", "+Inf", 1), `"M" "1"`, Normal{}, true},
		{"negative", strings.Replace(text, "0.125", "-0.125", 1), `"M" "1"`, Normal{}, true},
		{"another spelling", strings.Replace(text, "0.125", "0.1250", 1), `"M" "1"`, Normal{}, true},
	} {
		got, err := ParseNormal([]byte(c.text), c.of)
		if got != c.want || (err != nil) != c.bad {
			t.Errorf("%s: %+v, %v", c.name, got, err)
		}
	}
}

func FuzzNormal(f *testing.F) {
	f.Add(Normal{1920, 1080, 0.0312345, 0.125}.Text("name"))
	f.Add([]byte("ciglio camera normal 1\nname\n0 0 0 0\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		n, err := ParseNormal(text, "name")
		if err != nil || n == (Normal{}) {
			return
		}
		if string(n.Text("name")) != string(text) || math.IsNaN(n.Dark+n.Bright) {
			t.Errorf("a second spelling of %+v: %q", n, text)
		}
	})
}
