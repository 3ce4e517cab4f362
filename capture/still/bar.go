package still

import (
	"embed"
	"fmt"
	"image"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"time"

	"ciglio/capture/evidence"
	"ciglio/internal/catalogue"
	"ciglio/sensor"
)

// minBar is the width of the narrowest picture that a data bar fits below, in pixels.
const minBar = 160

//go:embed words/*.toml
var wordFiles embed.FS

// languages are the words of data bars, by language. Their texts go into the recipe:
// other words make other recipes, and none of before another picture.
var languages = sync.OnceValue(func() map[string]catalogue.Words {
	folder, err := fs.Sub(wordFiles, "words")
	if err != nil {
		panic(err) // the folder is embedded
	}
	names := []string{"it", "en", "de"}
	set, err := catalogue.Read(folder, names...)
	if err != nil {
		panic(err) // a test reads them
	}
	all := map[string]catalogue.Words{}
	for _, name := range names {
		all[name], _ = set.In(name)
	}
	return all
})

// The codes of a data bar's items, in their order.
const (
	ItemKind        = "kind" // of a record that accuses nobody
	ItemTime        = "time" // local time with its offset, of the photo position
	ItemPicture     = "picture"
	ItemPlace       = "place" // id of the site, road, position
	ItemDirection   = "direction"
	ItemLane        = "lane"
	ItemMeasured    = "measured"
	ItemAssessed    = "assessed"
	ItemLimit       = "limit"
	ItemSerial      = "serial" // of the sensor; its model
	ItemCalibration = "calibration"
	ItemRecord      = "record" // epoch and number
	ItemDevice      = "device"
)

// BarOf returns the data bar of a record's frame, from the signed fields and nothing
// else. frame counts from 0. Language is "it", "en" or "de".
//
// Times are local times at the site to the millisecond, cut off. Speeds have two
// decimals, as they are sealed. The picture tells how long before or after the photo
// position it was exposed.
func BarOf(r *evidence.Record, frame int, language string) (*Bar, error) {
	words, known := languages()[language]
	switch {
	case !known:
		return nil, fmt.Errorf("%w: bar in %.2q, want it, en or de", ErrRecipe, language)
	case !r.Kind.Measured() || r.Site == nil || r.Measurement == nil || r.Trace == nil || r.Calibration == nil:
		return nil, fmt.Errorf("%w: data bar of a record of kind %v, want one that measured", ErrRecipe, r.Kind)
	case frame < 0 || frame >= len(r.Frames):
		return nil, fmt.Errorf("%w: data bar of picture %d of %d", ErrRecipe, frame+1, len(r.Frames))
	}
	bar := &Bar{Language: language}
	add := func(code, format string, args ...any) {
		bar.Items = append(bar.Items, Item{code, word(words, "bar."+code), fmt.Sprintf(format, args...)})
	}
	point := ","
	if language == "en" {
		point = "."
	}
	km := func(s sensor.Speed) string { return strings.Replace(s.String(), ".", point, 1) }
	s, m := r.Site, r.Measurement
	if r.Kind != evidence.KindViolation {
		add(ItemKind, "%s", word(words, "value.test"))
	}
	add(ItemTime, "%s", moment(r.UTC, language, point))
	add(ItemPicture, "%d/%d, %s", frame+1, len(r.Frames), away(r.Frames[frame].Mono.Sub(m.Photo), point))
	place := fmt.Sprintf("%s km %d%s%03d", s.Road, s.Position/1000, point, s.Position%1000)
	add(ItemPlace, "%s, %s", s.ID, place)
	add(ItemDirection, "%s", word(words, "direction."+directionCode(m.Direction)))
	if s.Lane > 0 {
		add(ItemLane, "%d", s.Lane)
	} else {
		add(ItemLane, "%s", word(words, "value.lane"))
	}
	add(ItemMeasured, "%s", km(m.Speed))
	add(ItemAssessed, "%s", km(m.Assessed))
	add(ItemLimit, "%s", km(m.Limit))
	add(ItemSerial, "%s", strings.TrimSpace(r.Trace.Serial+" ("+r.Trace.Model+")"))
	add(ItemCalibration, "%s", moment(r.Calibration.NotAfter, language, ""))
	add(ItemRecord, "%d/%d", r.Epoch, r.Seq)
	add(ItemDevice, "%v", r.Device)
	return bar, nil
}

// A Mismatch is a field of a data bar that says something else than the record.
type Mismatch struct {
	Code       string // of the item
	Shown      string // "" for one that the bar lacks
	Want       string // "" for one that the record does not give
	WrongLabel bool   // the value is right, and stands under another name
}

// Error names the field and both values.
func (m Mismatch) Error() string {
	if m.WrongLabel {
		return fmt.Sprintf("data bar: %s stands under the label %q, want %q", m.Code, m.Shown, m.Want)
	}
	return fmt.Sprintf("data bar: %s is %q, the record says %q", m.Code, m.Shown, m.Want)
}

// CheckBar compares a data bar with the signed fields of the record's frame: each
// value, each label, and that none is missing or added. None is returned for a bar
// that [BarOf] makes of them. The error is that of BarOf.
func CheckBar(b *Bar, r *evidence.Record, frame int) ([]Mismatch, error) {
	want, err := BarOf(r, frame, b.Language)
	if err != nil {
		return nil, err
	}
	var wrong []Mismatch
	for _, w := range want.Items {
		i := slices.IndexFunc(b.Items, func(i Item) bool { return i.Code == w.Code })
		switch {
		case i < 0:
			wrong = append(wrong, Mismatch{Code: w.Code, Want: w.Value})
		case b.Items[i].Value != w.Value:
			wrong = append(wrong, Mismatch{Code: w.Code, Shown: b.Items[i].Value, Want: w.Value})
		case b.Items[i].Label != w.Label:
			wrong = append(wrong, Mismatch{Code: w.Code, Shown: b.Items[i].Label, Want: w.Label, WrongLabel: true})
		}
	}
	seen := map[string]bool{}
	for _, i := range b.Items {
		known := slices.ContainsFunc(want.Items, func(w Item) bool { return i.Code == w.Code })
		if !known || seen[i.Code] {
			wrong = append(wrong, Mismatch{Code: i.Code, Shown: i.Value})
		}
		seen[i.Code] = true
	}
	return wrong, nil
}

// word is a text without arguments. A test asks for all of them in every language.
func word(words catalogue.Words, key string) string {
	text, err := words.Text(key)
	if err != nil {
		panic(err)
	}
	return text
}

func directionCode(d sensor.Direction) string {
	switch d {
	case sensor.Approaching:
		return "approaching"
	case sensor.Receding:
		return "receding"
	}
	return "unknown"
}

// moment prints an instant as local time of the site, with its offset from UTC: to the
// millisecond, or to the minute where there is no decimal point for more.
func moment(t time.Time, language, point string) string {
	t = evidence.SiteTime(t)
	layout := "02.01.2006 15:04"
	if language == "en" {
		layout = "2006-01-02 15:04"
	}
	if point == "" {
		return t.Format(layout + " -07:00")
	}
	return t.Format(layout+":05") + fmt.Sprintf("%s%03d", point, t.Nanosecond()/1e6) + t.Format(" -07:00")
}

// away prints how far a picture is from the photo position, rounded to 0.1 ms.
func away(d time.Duration, point string) string {
	sign := "+"
	if d < 0 {
		sign = "-"
	}
	tenths := (d.Abs() + 50*time.Microsecond) / (100 * time.Microsecond)
	return fmt.Sprintf("%s%d%s%d ms", sign, tenths/10, point, tenths%10)
}

// The tones of a data bar: what is read stands light on dark.
const (
	ground   = 20
	quiet    = 165 // labels
	loud     = 235 // values
	dividing = 60
)

// A cell is an item that was set: its label above the lines of its value.
type cellOf struct {
	label string
	lines []string
	wide  int
}

// A setting is a data bar set for a width, in pixels.
type setting struct {
	small, large int // of the letters of labels and values
	pad          int
	rows         [][]cellOf
	high         []int // of each row
}

// set lays a data bar out: letters grow with the picture, cells stand in rows as many
// as fit, and what a row leaves is shared among its cells.
func (b *Bar) set(width int) setting {
	s := setting{large: min(max(width/64, 12), 48)}
	s.small, s.pad = max(s.large*5/8, 9), s.large/2
	most, free := width-2*s.pad, 0
	for _, item := range b.Items {
		c := cellOf{label: item.Label}
		c.lines = bold().cut(item.Value, s.large, most)
		c.wide = min(max(regular().width(item.Label, s.small), bold().width(item.Value, s.large)), most)
		if need := c.wide + 2*s.pad; len(s.rows) == 0 || need > free {
			s.rows, free = append(s.rows, nil), width
		}
		last := len(s.rows) - 1
		s.rows[last] = append(s.rows[last], c)
		free -= c.wide + 2*s.pad
	}
	for _, row := range s.rows {
		lines, used := 1, 0
		for _, c := range row {
			lines, used = max(lines, len(c.lines)), used+c.wide+2*s.pad
		}
		share := (width - used) / len(row)
		for i := range row {
			row[i].wide += share
		}
		s.high = append(s.high, s.pad+s.small+lines*(s.large+s.large/4)+s.pad/2)
	}
	return s
}

// height is how many rows of pixels the bar takes below a picture of that width,
// without those that round the picture's own up to a block of the encoder.
func (b *Bar) height(width int) int {
	sum := 0
	for _, h := range b.set(width).high {
		sum += h
	}
	return sum
}

// apply returns the picture with the bar below. It begins at a block of the encoder
// of its own, so that compression carries nothing across.
func (b *Bar) apply(m *image.YCbCr) *image.YCbCr {
	size, s := m.Rect.Size(), b.set(m.Rect.Dx())
	top := (size.Y + 15) &^ 15
	out := image.NewYCbCr(image.Rect(0, 0, size.X, top+b.height(size.X)), m.SubsampleRatio)
	fillWith(out.Y, ground)
	fillWith(out.Cb, neutral)
	fillWith(out.Cr, neutral)
	for y := range size.Y {
		copy(out.Y[out.YOffset(0, y):], m.Y[m.YOffset(0, y):][:size.X])
	}
	across, down := cell(m)
	for y := 0; y < size.Y; y += down {
		wide := (size.X + across - 1) / across
		copy(out.Cb[out.COffset(0, y):], m.Cb[m.COffset(0, y):][:wide])
		copy(out.Cr[out.COffset(0, y):], m.Cr[m.COffset(0, y):][:wide])
	}
	for i, row := range s.rows {
		x := 0
		for k, c := range row {
			if k > 0 {
				line(out, x, top+s.pad, top+s.high[i]-s.pad/2)
			}
			base := top + s.pad + s.small
			regular().draw(out, x+s.pad, base-s.small/4, s.small, c.label, quiet)
			for _, text := range c.lines {
				base += s.large + s.large/4
				bold().draw(out, x+s.pad, base-s.large/4, s.large, text, loud)
			}
			x += c.wide + 2*s.pad
		}
		top += s.high[i]
	}
	return out
}

func fillWith(plane []byte, v byte) {
	for i := range plane {
		plane[i] = v
	}
}

// line draws a line down.
func line(m *image.YCbCr, x, from, to int) {
	for y := from; y < to; y++ {
		m.Y[m.YOffset(x, y)] = dividing
	}
}
