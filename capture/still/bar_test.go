package still

import (
	"image"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/image/font/sfnt"

	"ciglio/capture/evidence"
	"ciglio/sensor"
)

func TestBarSaysWhatTheRecordSays(t *testing.T) {
	record, _, _ := sample(t, "violation.zip")
	for language, want := range map[string][]Item{
		"it": {
			{"time", "Data e ora", "01.03.2026 15:05:09,123 +01:00"},
			{"picture", "Immagine", "2/3, +0,0 ms"},
			{"place", "Postazione", "sp14-km12, SP 14 km 12,340"},
			{"direction", "Direzione", "in avvicinamento"},
			{"lane", "Corsia", "1"},
			{"measured", "Velocità rilevata", "63,05 km/h"},
			{"assessed", "Velocità considerata", "58,00 km/h"},
			{"limit", "Limite", "50,00 km/h"},
			{"serial", "Matricola", "0042 (SIM-1)"},
			{"calibration", "Taratura valida fino al", "30.09.2026 23:59 +02:00"},
			{"record", "Registrazione n.", "1/42"},
			{"device", "Dispositivo", "c1911000000040008000000000000001"},
		},
		"en": {
			{"time", "Date and time", "2026-03-01 15:05:09.123 +01:00"},
			{"picture", "Picture", "2/3, +0.0 ms"},
			{"place", "Place", "sp14-km12, SP 14 km 12.340"},
			{"direction", "Direction", "approaching"},
			{"lane", "Lane", "1"},
			{"measured", "Measured speed", "63.05 km/h"},
			{"assessed", "Assessed speed", "58.00 km/h"},
			{"limit", "Limit", "50.00 km/h"},
			{"serial", "Serial number", "0042 (SIM-1)"},
			{"calibration", "Calibration valid until", "2026-09-30 23:59 +02:00"},
			{"record", "Record no.", "1/42"},
			{"device", "Device", "c1911000000040008000000000000001"},
		},
	} {
		bar, err := BarOf(record.Record, 1, language)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(bar.Items, want) {
			t.Errorf("%s: %q, want %q", language, bar.Items, want)
		}
	}
}

// altered returns the sample's record with one thing changed.
func altered(t *testing.T, change func(*evidence.Record)) *evidence.Record {
	t.Helper()
	record, _, _ := sample(t, "violation.zip")
	change(record.Record)
	return record.Record
}

func TestBarAtTheEdges(t *testing.T) {
	at := func(text string) time.Time {
		v, err := time.Parse(time.RFC3339Nano, text)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	for _, c := range []struct {
		name   string
		change func(*evidence.Record)
		code   string
		want   string
	}{
		{"the hour that comes twice, first", func(r *evidence.Record) { r.UTC = at("2026-10-25T00:30:00Z") }, ItemTime, "25.10.2026 02:30:00,000 +02:00"},
		{"the hour that comes twice, second", func(r *evidence.Record) { r.UTC = at("2026-10-25T01:30:00Z") }, ItemTime, "25.10.2026 02:30:00,000 +01:00"},
		{"the last millisecond of a year", func(r *evidence.Record) { r.UTC = at("2026-12-31T22:59:59.9999Z") }, ItemTime, "31.12.2026 23:59:59,999 +01:00"},
		{"milliseconds keep their zeros", func(r *evidence.Record) { r.UTC = at("2026-01-02T03:04:05.006Z") }, ItemTime, "02.01.2026 04:04:05,006 +01:00"},
		{"one lane", func(r *evidence.Record) { r.Site.Lane = 0 }, ItemLane, "non distinta"},
		{"receding", func(r *evidence.Record) { r.Measurement.Direction = sensor.Receding }, ItemDirection, "in allontanamento"},
		{"at the first metre", func(r *evidence.Record) { r.Site.Position = 7 }, ItemPlace, "sp14-km12, SP 14 km 0,007"},
		{"before the photo position", func(r *evidence.Record) { r.Frames[1].Mono = r.Measurement.Photo - 240_060_000 }, ItemPicture, "2/3, -240,1 ms"},
		{"a sensor without a number", func(r *evidence.Record) { r.Trace.Serial = "" }, ItemSerial, "(SIM-1)"},
		{"a test", func(r *evidence.Record) { r.Kind = evidence.KindTest }, ItemKind, "TEST, senza valore legale"},
		{"a hundredth", func(r *evidence.Record) { r.Measurement.Speed = 10001 }, ItemMeasured, "100,01 km/h"},
	} {
		bar, err := BarOf(altered(t, c.change), 1, "it")
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		i := slices.IndexFunc(bar.Items, func(i Item) bool { return i.Code == c.code })
		if i < 0 || bar.Items[i].Value != c.want {
			t.Errorf("%s: %q, want %s %q", c.name, bar.Items, c.code, c.want)
		}
	}
}

// Whatever a record may hold, its bar can be rendered.
func TestTheLongestRecordHasABar(t *testing.T) {
	r := altered(t, func(r *evidence.Record) {
		r.Site.ID, r.Site.Road = strings.Repeat("W", evidence.MaxID), strings.Repeat("è", evidence.MaxText/2)
		r.Trace.Model, r.Trace.Serial = strings.Repeat("M", evidence.MaxText), strings.Repeat("漢", evidence.MaxText/3)
		r.Epoch, r.Seq = 1<<63-1, 1<<63-1
	})
	for _, language := range []string{"it", "en", "de"} {
		bar, err := BarOf(r, 1, language)
		if err != nil {
			t.Fatal(err)
		}
		p, err := open(t, sceneJPEG(t, minBar, 100), Rear).Review(&Recipe{Code: Version, Bar: bar, Quality: 50})
		if err != nil {
			t.Errorf("%s: %v", language, err)
			continue
		}
		got, err := ParseRecipe(p.Recipe())
		if err != nil {
			t.Errorf("%s: %v", language, err)
			continue
		}
		if wrong, err := CheckBar(got.Bar, r, 1); err != nil || len(wrong) > 0 {
			t.Errorf("%s: %v, %v", language, wrong, err)
		}
	}
}

func TestBarsThatCannotBe(t *testing.T) {
	record, _, _ := sample(t, "violation.zip")
	for _, c := range []struct {
		name     string
		r        *evidence.Record
		frame    int
		language string
	}{
		{"a language without words", record.Record, 1, "fr"},
		{"a picture that the record lacks", record.Record, 3, "it"},
		{"one before the first", record.Record, -1, "it"},
		{"a record that measured nothing", altered(t, func(r *evidence.Record) { r.Kind = evidence.KindBoot }), 1, "it"},
		{"one without a site", altered(t, func(r *evidence.Record) { r.Site = nil }), 1, "it"},
	} {
		if bar, err := BarOf(c.r, c.frame, c.language); err == nil {
			t.Errorf("%s: %+v", c.name, bar)
		}
	}
}

func TestCheckBarFindsEachFalseValue(t *testing.T) {
	record, _, _ := sample(t, "violation.zip")
	good, err := BarOf(record.Record, 1, "it")
	if err != nil {
		t.Fatal(err)
	}
	check := func(name string, b *Bar, frame int, codes ...string) {
		t.Helper()
		wrong, err := CheckBar(b, record.Record, frame)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, m := range wrong {
			got = append(got, m.Code)
			if !strings.Contains(m.Error(), m.Code) {
				t.Errorf("%s: %q does not name the field", name, m.Error())
			}
		}
		if !slices.Equal(got, codes) {
			t.Errorf("%s: found %q, want %q", name, got, codes)
		}
	}
	check("as made", good, 1)
	check("of another picture", good, 0, ItemPicture)
	for i, item := range good.Items {
		b := &Bar{good.Language, slices.Clone(good.Items)}
		b.Items[i].Value += "0"
		check("another value", b, 1, item.Code)
		b.Items[i] = item
		b.Items[i].Label = good.Items[(i+1)%len(good.Items)].Label
		check("another label", b, 1, item.Code)
		b.Items = slices.Delete(slices.Clone(good.Items), i, i+1)
		check("without it", b, 1, item.Code)
	}
	b := &Bar{good.Language, append(slices.Clone(good.Items), Item{"driver", "Conducente", "X"})}
	check("with one too many", b, 1, "driver")
	b.Items[len(b.Items)-1] = Item{ItemLimit, "Limite", "30,00 km/h"}
	check("with a second limit", b, 1, ItemLimit)
}

// Every word and every character of it is there in every language.
func TestWordsAreWhole(t *testing.T) {
	var b sfnt.Buffer
	for name, words := range languages() {
		for _, code := range []string{ItemKind, ItemTime, ItemPicture, ItemPlace, ItemDirection, ItemLane, ItemMeasured, ItemAssessed,
			ItemLimit, ItemSerial, ItemCalibration, ItemRecord, ItemDevice} {
			label := word(words, "bar."+code)
			if len(label) > 64 {
				t.Errorf("%s: the label %q is longer than a recipe may hold", name, label)
			}
			for _, r := range label {
				if g, err := regular().font.GlyphIndex(&b, r); g == 0 || err != nil {
					t.Errorf("%s: %q: the font lacks %q", name, label, r)
				}
			}
		}
		for _, key := range []string{"direction.approaching", "direction.receding", "direction.unknown", "value.lane", "value.test"} {
			for _, r := range word(words, key) {
				if g, err := bold().font.GlyphIndex(&b, r); g == 0 || err != nil {
					t.Errorf("%s: %s: the font lacks %q", name, key, r)
				}
			}
		}
	}
}

// At every width each text lies within its cell and the cells within the picture, and
// none of the picture is covered.
func TestBarFitsEveryWidth(t *testing.T) {
	bar := recordBar(t, "de")
	bar.Items = append(bar.Items, Item{"long", strings.Repeat("W", 64), strings.Repeat("W", 512)})
	for _, width := range []int{minBar, 161, 320, 640, 1600, 3840, 8192} {
		s := bar.set(width)
		texts := 0
		for _, row := range s.rows {
			used := 0
			for _, c := range row {
				used += c.wide + 2*s.pad
				texts += len(c.lines)
				for _, line := range c.lines {
					if w := bold().width(line, s.large); w > c.wide {
						t.Errorf("at %d: %q takes %d of %d pixels", width, line, w, c.wide)
					}
				}
			}
			if used > width {
				t.Errorf("at %d: a row of %d pixels", width, used)
			}
		}
		if texts < len(bar.Items) {
			t.Errorf("at %d: %d texts of %d items", width, texts, len(bar.Items))
		}
	}
	m := image.NewYCbCr(image.Rect(0, 0, 321, 201), image.YCbCrSubsampleRatio420)
	fillWith(m.Y, 99)
	fillWith(m.Cb, 99)
	fillWith(m.Cr, 99)
	out := bar.apply(m)
	for y := range 201 {
		for x := range 321 {
			if out.YCbCrAt(x, y) != m.YCbCrAt(x, y) {
				t.Fatalf("the bar covers the pixel at %d, %d", x, y)
			}
		}
	}
	if ink := slices.Max(out.Y[out.YOffset(0, 208):]); ink != loud {
		t.Errorf("the lightest pixel of the bar is %d, want %d", ink, loud)
	}
}

func TestCutTextsLoseNothing(t *testing.T) {
	for _, text := range []string{"", "x", "01.03.2026 15:05:09,123 +01:00", "Übergröße ñ €", strings.Repeat("i", 300)} {
		for most := range 80 {
			if got := strings.Join(bold().cut(text, 12, most), ""); got != text {
				t.Errorf("%q cut at %d is %q", text, most, got)
			}
		}
	}
}
