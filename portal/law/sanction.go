package law

import (
	"slices"
	"strings"
	"time"

	"ciglio/capture/evidence"
	"ciglio/sensor"
)

// A Class is the kind of vehicle as art. 142(3) parts them.
type Class string

// Classes that art. 142(11) names pay twice the sums; docs/law.md tells them apart.
const (
	Car            Class = "car"
	Van            Class = "van"
	Motorcycle     Class = "motorcycle"
	Moped          Class = "moped"
	Quadricycle    Class = "quadricycle"
	Agricultural   Class = "agricultural"
	DangerousGoods Class = "dangerous_goods"
	Trailer        Class = "trailer"
	Bus            Class = "bus"
	Lorry          Class = "lorry"
	HeavyLorry     Class = "heavy_lorry"
	PersonsLorry   Class = "persons_lorry"
	Works          Class = "works"
)

// classes says of each class whether art. 142(11) doubles its sanctions: the letters
// b, e, f, g, h, i and l of paragraph 3.
var classes = map[Class]bool{
	Car: false, Van: false, Motorcycle: false, Moped: false, Quadricycle: false, Agricultural: false,
	DangerousGoods: true, Trailer: true, Bus: true, Lorry: true, HeavyLorry: true, PersonsLorry: true, Works: true,
}

// Classes returns the names of all classes, sorted.
func Classes() []string {
	var names []string
	for c := range classes {
		names = append(names, string(c))
	}
	slices.Sort(names)
	return names
}

type band struct {
	Article   string `toml:"article"`
	Over      int    `toml:"over"` // km/h above the limit
	Points    int    `toml:"points"`
	Reducible bool   `toml:"reducible"`
}

type night struct {
	From     Day    `toml:"from"`
	Source   string `toml:"source"`
	After    int    `toml:"after"`  // o'clock
	Before   int    `toml:"before"` // o'clock
	Rounding string `toml:"rounding"`
	Maximum  bool   `toml:"maximum"` // the third is on both limits
}

// at reports whether an instant is after 22:00:00 and before 07:00:00 in Italy. Neither
// of the two is night.
func (n night) at(at time.Time) bool {
	day := DayOf(at)
	if day.Before(n.From) {
		return false
	}
	// By what the clock on the wall shows, so that the hour that comes twice counts twice.
	h, m, s := evidence.SiteTime(at).Clock()
	clock := time.Duration(h)*time.Hour + time.Duration(m)*time.Minute + time.Duration(s)*time.Second + time.Duration(at.Nanosecond())
	return clock > time.Duration(n.After)*time.Hour || clock < time.Duration(n.Before)*time.Hour
}

// third returns a sum and a third more.
func (n night) third(c Cents) Cents {
	if n.Rounding == "down" {
		return c * 4 / 3
	}
	return share(c, 4, 3)
}

// A Violation is what a device or an officer found.
type Violation struct {
	Limit     int // km/h, of the road for this class
	Indicated int // km/h, whole, before the reduction of art. 345 of the regulation
	Class     Class
	Instant   time.Time
	Repeated  bool // the second within a year in a built-up area: art. 142(8), second sentence
}

// A Sanction is what a violation costs.
type Sanction struct {
	Article   string
	Row       string // id of the row of the amounts
	Minimum   Cents
	Maximum   Cents
	Reducible bool // by 30 % within five days
	Points    int  // of a driver who is no novice
	Night     bool
	Doubled   bool
}

// Sanction returns what a violation costs by the row of its day. Codes of errors:
// violation.limit, .speed, .class, .none (no excess), .repeated (not of paragraph 8),
// sanction.no_table (no row for the day).
func (l *Law) Sanction(v Violation) (Sanction, error) {
	double, known := classes[v.Class]
	switch {
	case v.Limit < 5 || v.Limit > 150 || v.Limit%5 != 0:
		return Sanction{}, no("violation.limit", "%d km/h: limits are 5 to 150 in steps of 5", v.Limit)
	case v.Indicated < 0 || v.Indicated > 400:
		return Sanction{}, no("violation.speed", "%d km/h", v.Indicated)
	case !known:
		return Sanction{}, no("violation.class", "%q: want one of %s", v.Class, strings.Join(Classes(), ", "))
	}
	excess, err := l.excess(v)
	if err != nil {
		return Sanction{}, err
	}
	day := DayOf(v.Instant)
	var b band
	for _, next := range l.bands {
		if excess > sensor.Speed(next.Over)*sensor.KmH {
			b = next
		}
	}
	if b.Article == "" {
		return Sanction{}, no("violation.none", "%d km/h less the reduction does not exceed %d", v.Indicated, v.Limit)
	}
	if v.Repeated {
		if b.Article != "142(8)" {
			return Sanction{}, no("violation.repeated", "art. %s has no second sentence", b.Article)
		}
		b.Article += " second sentence"
	}
	row, limits, ok := l.amounts(day, b.Article)
	if !ok {
		return Sanction{}, no("sanction.no_table", "no amounts of art. %s for %v", b.Article, day)
	}
	s := Sanction{
		Article: b.Article, Row: row, Points: b.Points, Reducible: b.Reducible && !day.Before(l.reduction.From), Doubled: double, Night: l.night.at(v.Instant),
		Minimum: Cents(limits[0]) * 100, Maximum: Cents(limits[1]) * 100,
	}
	if s.Doubled {
		s.Minimum *= 2
		s.Maximum *= 2
	}
	if s.Night {
		s.Minimum = l.night.third(s.Minimum)
		if l.night.Maximum {
			s.Maximum = l.night.third(s.Maximum)
		}
	}
	return s, nil
}

// excess returns by how much the assessed speed, which is not rounded, exceeds the limit.
func (l *Law) excess(v Violation) (sensor.Speed, error) {
	at := evidence.SiteTime(v.Instant)
	for _, r := range l.speed.Rules {
		if r.On(at) {
			indicated := sensor.Speed(v.Indicated) * sensor.KmH
			return indicated - r.Reduction(indicated) - sensor.Speed(v.Limit)*sensor.KmH, nil
		}
	}
	return 0, no("sanction.no_table", "no reduction of the speed for %v", DayOf(v.Instant))
}

// amounts returns the limits of an article on a day, in euro.
func (l *Law) amounts(day Day, article string) (row string, limits [2]int64, ok bool) {
	for _, s := range l.Sanctions {
		if limits, there := s.Euro[article]; there && s.on(day) {
			return s.ID, limits, true
		}
	}
	return "", limits, false
}

// SilenceOfOwner returns what an owner pays who does not name the driver: art. 126-bis(2),
// by the day on which the term ended.
func (l *Law) SilenceOfOwner(day Day) (Sanction, error) {
	const article = "126-bis(2)"
	row, limits, ok := l.amounts(day, article)
	if !ok {
		return Sanction{}, no("sanction.no_table", "no amounts of art. %s for %v", article, day)
	}
	return Sanction{Article: article, Row: row, Reducible: true, Minimum: Cents(limits[0]) * 100, Maximum: Cents(limits[1]) * 100}, nil
}

const (
	askOffice   = "ask the office"
	leastOfBoth = "least of sum and most serious by four thirds"
)

type several struct {
	From    Day    `toml:"from"`
	Source  string `toml:"source"`
	Rule    string `toml:"rule"`
	Minutes int    `toml:"minutes"`
	Days    int    `toml:"days"`
}

// Several returns what several violations of one vehicle within an hour of the first cost
// together (art. 142(6-ter)), without their costs, which stay due for each. Codes:
// several.ask_office while the row leaves it open, several.none, .too_far, .no_row.
func (l *Law) Several(first time.Time, last time.Time, minima []Cents) (Cents, error) {
	switch {
	case len(minima) < 2:
		return 0, no("several.none", "want at least two violations")
	case DayOf(first).Before(l.several.From):
		return 0, no("several.no_row", "art. 142(6-ter) is in force from %v", l.several.From)
	case last.Before(first) || last.Sub(first) > time.Duration(l.several.Minutes)*time.Minute:
		return 0, no("several.too_far", "more than %d minutes after the first", l.several.Minutes)
	case l.several.Rule == askOffice:
		return 0, no("several.ask_office", "how art. 142(6-ter) is computed is not settled")
	}
	var sum, most Cents
	for _, c := range minima {
		sum += c
		most = max(most, c)
	}
	return min(sum, l.night.third(most)), nil
}

// Points returns the points of several violations found together, and what a novice
// loses for them; without a suspension a cap holds: art. 126-bis(1), (1-bis) and (4).
func (l *Law) Points(each []int, novice, suspended bool) int {
	sum := 0
	for _, p := range each {
		if novice {
			p *= 2
		}
		sum += p
	}
	if len(each) > 1 && !suspended || novice && !suspended {
		sum = min(sum, l.points)
	}
	return sum
}
