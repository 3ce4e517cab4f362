package config

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"ciglio/sensor"
)

const contacts = `
[second]
method = "contacts"
pins = "gpiochip0-17 gpiochip0-27"
positions = "10m 12.005m"
`

const frames = `
[second]
method = "frames"
picture = "1600x900"
camera_height = "2.6m"
marks = "535.25,860=10m,1.2m; 1200.5,812=10m,4.5m; 402,301=40m,1.2m; 812,300=40m,-0.5m"
`

func TestSecondReadsBackWithItsTolerance(t *testing.T) {
	for _, c := range []struct {
		name, text string
		flat       sensor.Speed
		percent    int
	}{
		{"none has no tolerance", "", 0, 0},
		{"contacts: 2 km/h and 3 %", contacts, 200, 3},
		{"frames: 10 %", frames, 0, 10},
		{"stated: taken as it is", contacts + "flat = \"1km/h\"\n", 100, 0},
	} {
		got, err := Parse([]byte(minimal+c.text), nil)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if got.Second.Flat != c.flat || got.Second.Percent != c.percent {
			t.Errorf("%s: tolerance %v and %d %%", c.name, got.Second.Flat, got.Second.Percent)
		}
		printed, err := got.AppendText(nil)
		if err != nil {
			t.Fatal(err)
		}
		if back, err := Parse(printed, nil); err != nil || !reflect.DeepEqual(back, got) {
			t.Errorf("%s: read back %+v, %v, printed\n%s", c.name, back, err, printed)
		}
	}
}

func TestSecondIsPartOfTheStatement(t *testing.T) {
	c, err := Parse([]byte(minimal+frames), nil)
	if err != nil {
		t.Fatal(err)
	}
	statement, err := c.Statement()
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"percent = 10\n", `camera_height = "2600mm"`, `535.25,860=10m,1200mm; `, "812,300=40m,-500mm\"\n"} {
		if !strings.Contains(string(statement), line) {
			t.Errorf("%q is not in\n%s", line, statement)
		}
	}
}

func TestBadSecondIsRefused(t *testing.T) {
	for _, c := range []struct{ name, text, from, to, want string }{
		{"unknown method", contacts, `"contacts"`, `"guess"`, "second.method"},
		{"one pin", contacts, " gpiochip0-27", "", "second.pins"},
		{"the same pin twice", contacts, "0-27", "0-17", "second.pins"},
		{"a position for one of two", contacts, " 12.005m", "", "second.positions"},
		{"an empty second lane", contacts, "0-27", "0-27;", "0 in lane 2"},
		{"a second lane with one pin", contacts, "0-27", "0-27; gpiochip0-22", "1 in lane 2"},
		{"a pin in two lanes", contacts, "0-27", "0-27; gpiochip0-22 gpiochip0-17", "gpiochip0-17 twice"},
		{"three in lane 2", contacts, "0-27", "0-27; gpiochip0-22 gpiochip0-23 gpiochip0-24", "lane 2"},
		{"the farthest first", contacts, "12.005m", "9m", "nearest first"},
		{"contacts beyond any track", contacts, "12.005m", "101m", "100m"},
		{"loops in one of the lanes that the sensor tells", contacts, "method", "kind = \"presence\"\nmethod", "the 2 of sensor.lanes"},
		{"cables in three of two lanes", contacts, "0-27", "0-27; gpiochip0-1 gpiochip0-2; gpiochip0-3 gpiochip0-4", "the 2 of sensor.lanes"},
		{"positions without unit", contacts, "12.005m", "12", "length"},
		{"unknown kind", contacts, "method", "kind = \"wheels\"\nmethod", "second.kind"},
		{"unknown pull", contacts, "method", "pull = \"sideways\"\nmethod", "second.pull"},
		{"a tolerance that confirms anything", contacts, "method", "percent = 50\nmethod", "second.percent"},
		{"jitter without end", contacts, "method", "jitter = \"1s\"\nmethod", "second.jitter"},
		{"no picture", frames, `"1600x900"`, `""`, "second.picture"},
		{"half a picture size", frames, `"1600x900"`, `"1600"`, "picture"},
		{"three marks", frames, "; 812,300=40m,-0.5m", "", "second.marks"},
		{"a mark without its place", frames, "=40m,-0.5m", "", "mark"},
		{"a mark in inches", frames, "-0.5m", "-20in", "length"},
		{"a mark finer than a hundredth of a pixel", frames, "535.25", "535.251", "pixel"},
		{"no height of the camera", frames, `"2.6m"`, `"0m"`, "second.camera_height"},
	} {
		text := minimal + strings.Replace(c.text, c.from, c.to, 1)
		if strings.Contains(c.want, "sensor.lanes") {
			text = strings.Replace(text, "[sensor]\n", "[sensor]\nlanes = \"1.2m..4.7m, 4.7m..8.2m\"\n", 1)
		}
		_, err := Parse([]byte(text), nil)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
	two := strings.Replace(minimal, "limit =", "frames = 2\nlimit =", 1)
	if _, err := Parse([]byte(two+frames), nil); err == nil || !strings.Contains(err.Error(), "site.frames") {
		t.Errorf("frames of two pictures: %v", err)
	}
	if c, err := Parse([]byte(minimal+contacts), nil); err != nil || c.Second.Jitter != 500*time.Microsecond {
		t.Errorf("%+v, %v", c, err)
	}
}

func FuzzMarks(f *testing.F) {
	f.Add("535.25,860=10m,1.2m; 812,300=40m,-0.5m")
	f.Add(";;=,")
	f.Fuzz(func(t *testing.T, text string) {
		var m, back Marks
		if m.UnmarshalText([]byte(text)) != nil {
			return
		}
		printed, err := m.MarshalText()
		if err != nil {
			t.Fatal(err)
		}
		if err := back.UnmarshalText(printed); err != nil || len(m) > 16 || !reflect.DeepEqual(m, back) {
			t.Errorf("%q gave %v, %q gave %v, %v", text, m, printed, back, err)
		}
	})
}
