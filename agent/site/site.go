// Package site reads the statement of a site: where a device stands, what it
// enforces there and under which acts. It is one strict TOML file, signed by
// operator and officer, and takes the place of [site] in the configuration.
//
//	[site]
//	id = "SP46-7"
//	version = 4
//	road = "SP 46"
//	position = "7.7km"
//	latitude = "41.4000deg"
//	longitude = "12.9000deg"
//	heading = "135deg"
//	direction = "approaching"
//	photo_range = "20m"
//	frames = 3
//	lanes = "1.2m..4.7m, 4.7m..8.2m"   # as sensor.lanes; may be left out
//	patron = "11-14"                   # a local holiday, month and day; may be left out
//	[decree]
//	words = "Decreto del Prefetto n. 56/2026"
//	from = 2026-01-01                  # and to, where it ends
//	[functional_check]                 # the newest; may be left out where the calibration statement has it
//	words = "verbale n. 12"
//	on = 2026-01-10
//	[variable_sign]                    # only where there is one
//	source = "gantry 12, line 1"       # as it stands in the record
//	grace = "30s"
//	[[limit]]                          # the first that holds counts
//	speed = "50km/h"
//	hours = "22:00-07:00"
//	days = ["working"]                 # mon … sun, working, holiday
//	lanes = [1]
//	class = 3                          # 0, or left out: all
//	first = 2026-06-01
//	last = 2026-09-30
//	[[limit]]
//	speed = "70km/h"
//	[[sign]]                           # the signs that announce the device, as set up
//	words = "controllo elettronico della velocità"
//	position = "6.7km"
//
// Time is that at the site, Europe/Rome. The last limit must hold always and
// everywhere, so that no instant is without one. Unknown keys are errors. Holidays
// are computed, not listed: see [enforce.Calendar].
package site

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"ciglio/agent/config"
	"ciglio/agent/enforce"
	"ciglio/agent/lawtime"
	"ciglio/agent/trust"
	"ciglio/capture/evidence"
	"ciglio/internal/strict"
	"ciglio/sensor"
)

// MaxSize is the largest statement, in bytes: it travels inside a record, with the
// rest of the configuration.
const MaxSize = 8 << 10

// zone is that of the law.
const zone = "Europe/Rome"

// A Statement is what was read.
type Statement struct {
	Text       []byte
	Decree     trust.Permit
	Functional trust.Functional // none where its words are empty
	Calendar   enforce.Calendar
	Variable   *Variable // nil where there is no variable sign

	site  config.Site
	lanes *config.Lanes
}

// Variable is a variable sign.
type Variable struct {
	Source string
	Grace  time.Duration
}

var (
	dateForm = regexp.MustCompile(`^(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])$`)
	hourForm = regexp.MustCompile(`^([01][0-9]|2[0-3]):([0-5][0-9])-([01][0-9]|2[0-4]):([0-5][0-9])$`)
)

var dayNames = map[string]enforce.Days{
	"mon": enforce.Monday, "tue": enforce.Tuesday, "wed": enforce.Wednesday, "thu": enforce.Thursday, "fri": enforce.Friday,
	"sat": enforce.Saturday, "sun": enforce.Sunday, "working": enforce.Working, "holiday": enforce.Holiday,
}

// Parse reads a statement.
func Parse(text []byte) (*Statement, error) {
	s, err := parse(text)
	if err != nil {
		return nil, fmt.Errorf("site: %w", err)
	}
	return s, nil
}

func parse(text []byte) (*Statement, error) {
	if len(text) > MaxSize {
		return nil, fmt.Errorf("%d bytes, at most %d", len(text), MaxSize)
	}
	var file struct {
		Site struct {
			ID         string            `toml:"id"`
			Version    int64             `toml:"version"`
			Road       string            `toml:"road"`
			Position   config.Length     `toml:"position"`
			Latitude   config.Coordinate `toml:"latitude"`
			Longitude  config.Coordinate `toml:"longitude"`
			Heading    config.Heading    `toml:"heading"`
			Direction  sensor.Direction  `toml:"direction"`
			PhotoRange config.Length     `toml:"photo_range"`
			Frames     int               `toml:"frames"`
			Lanes      *config.Lanes     `toml:"lanes"`
			Patron     string            `toml:"patron"`
		} `toml:"site"`
		Decree struct {
			Words string        `toml:"words"`
			From  lawtime.Begin `toml:"from"`
			To    lawtime.End   `toml:"to"`
		} `toml:"decree"`
		Functional struct {
			Words string      `toml:"words"`
			On    lawtime.Day `toml:"on"`
		} `toml:"functional_check"`
		Variable *struct {
			Source string `toml:"source"`
			Grace  string `toml:"grace"`
		} `toml:"variable_sign"`
		Limit []limitFile `toml:"limit"`
		Sign  []struct {
			Words    string        `toml:"words"`
			Position config.Length `toml:"position"`
		} `toml:"sign"`
	}
	if _, err := strict.Decode(string(text), &file); err != nil {
		return nil, err
	}
	f := file.Site
	s := &Statement{Text: text, lanes: f.Lanes, site: config.Site{
		ID: f.ID, Version: int(f.Version), Road: f.Road, Position: f.Position, Latitude: f.Latitude, Longitude: f.Longitude,
		Heading: f.Heading, TimeZone: zone, Direction: f.Direction, PhotoRange: f.PhotoRange, Frames: f.Frames,
	}}
	var err error
	if s.Calendar.Zone, err = time.LoadLocation(zone); err != nil {
		return nil, err
	}
	if f.Version < 1 || int64(int(f.Version)) != f.Version {
		return nil, fmt.Errorf("site.version: want 1 or more")
	}
	if f.Patron != "" {
		m := dateForm.FindStringSubmatch(f.Patron)
		if m == nil {
			return nil, fmt.Errorf("site.patron: %q: want month and day, such as 11-14", f.Patron)
		}
		month, _ := strconv.Atoi(m[1])
		day, _ := strconv.Atoi(m[2])
		if time.Date(2000, time.Month(month), day, 0, 0, 0, 0, time.UTC).Day() != day {
			return nil, fmt.Errorf("site.patron: there is no %s", f.Patron)
		}
		s.Calendar.Patron = enforce.Date{Month: time.Month(month), Day: day}
	}
	d := file.Decree
	switch {
	case !evidence.Printable(d.Words, evidence.MaxText):
		return nil, fmt.Errorf("decree.words: want a text of 1 to 256 bytes")
	case d.From.IsZero():
		return nil, fmt.Errorf("decree.from: missing")
	case !d.To.IsZero() && d.To.Before(d.From.Time):
		return nil, fmt.Errorf("decree.to: lies before decree.from")
	}
	s.Decree = trust.Permit{Words: d.Words, From: d.From.Time, To: d.To.Time}
	if c := file.Functional; c.Words != "" || !c.On.IsZero() {
		if !evidence.Printable(c.Words, evidence.MaxText) || c.On.IsZero() {
			return nil, fmt.Errorf("functional_check: want words of at most 256 bytes and on")
		}
		s.Functional = trust.Functional{Words: c.Words, On: c.On.Time}
	}
	if v := file.Variable; v != nil {
		grace, err := time.ParseDuration(v.Grace)
		switch {
		case err != nil || grace < time.Second || grace > 10*time.Minute:
			return nil, fmt.Errorf("variable_sign.grace: %q: want 1s to 10m", v.Grace)
		case !evidence.Printable(v.Source, evidence.MaxID):
			return nil, fmt.Errorf("variable_sign.source: want a text of 1 to 64 bytes")
		}
		s.Variable = &Variable{v.Source, grace}
	}
	for i, l := range file.Limit {
		limit, err := l.limit()
		if err != nil {
			return nil, fmt.Errorf("limit %d: %w", i+1, err)
		}
		s.Calendar.Limits = append(s.Calendar.Limits, limit)
	}
	if err := whole(s.Calendar.Limits); err != nil {
		return nil, err
	}
	for i, sign := range file.Sign {
		if !evidence.Printable(sign.Words, evidence.MaxText) {
			return nil, fmt.Errorf("sign %d: words: want a text of 1 to 256 bytes", i+1)
		}
	}
	s.site.Limit, _ = s.Calendar.Range()
	return s, nil
}

// whole makes sure that there is a limit always and everywhere.
func whole(limits []enforce.Limit) error {
	if len(limits) == 0 {
		return fmt.Errorf("no limit")
	}
	last := limits[len(limits)-1]
	if last.Class != 0 || len(last.Lanes) > 0 || last.Days != 0 || last.From != last.To || !last.First.IsZero() || !last.Last.IsZero() {
		return fmt.Errorf("limit %d: it is the last, and must hold always and everywhere: speed alone", len(limits))
	}
	return nil
}

// limitFile is a limit as it is written.
type limitFile struct {
	Speed sensor.Speed `toml:"speed"`
	Class int          `toml:"class"`
	Lanes []int        `toml:"lanes"`
	Days  []string     `toml:"days"`
	Hours string       `toml:"hours"`
	First lawtime.Day  `toml:"first"`
	Last  lawtime.Day  `toml:"last"`
}

func (f limitFile) limit() (enforce.Limit, error) {
	l := enforce.Limit{Speed: f.Speed, Class: uint8(f.Class), Lanes: f.Lanes, First: f.First.Time, Last: f.Last.Time}
	law, err := evidence.PresentLaw()
	if err != nil {
		return l, err
	}
	if b := law.Limits; f.Speed < b.Least || f.Speed > b.Most || f.Speed%b.Step != 0 {
		return l, fmt.Errorf("speed: want %v to %v in steps of %v: there is no other", b.Least, b.Most, b.Step)
	}
	if f.Class < 0 || f.Class > 255 {
		return l, fmt.Errorf("class: want 0 to 255")
	}
	for i, lane := range f.Lanes {
		if lane < 1 || lane > 16 || i > 0 && lane <= f.Lanes[i-1] {
			return l, fmt.Errorf("lanes: want numbers from 1 to 16, in ascending order")
		}
	}
	for _, name := range f.Days {
		day, known := dayNames[name]
		if !known || l.Days&day != 0 {
			return l, fmt.Errorf("days: %q: want mon, tue, wed, thu, fri, sat, sun, working or holiday, each once", name)
		}
		l.Days |= day
	}
	if f.Hours != "" {
		m := hourForm.FindStringSubmatch(f.Hours)
		if m == nil {
			return l, fmt.Errorf("hours: %q: want such as 22:00-07:00", f.Hours)
		}
		n := make([]int, 4)
		for i := range n {
			n[i], _ = strconv.Atoi(m[i+1])
		}
		l.From, l.To = 60*n[0]+n[1], 60*n[2]+n[3]
		if l.To > 24*60 || l.From == l.To {
			return l, fmt.Errorf("hours: %q: want two times of a day, at most 24:00", f.Hours)
		}
	}
	if !l.Last.IsZero() && l.Last.Before(l.First) {
		return l, fmt.Errorf("last: lies before first")
	}
	return l, nil
}

// Apply puts the site in the place of that of the configuration, and the lanes, where
// it has them, in the place of those of its sensor. Its limit is the lowest of the
// calendar: what depends on how slow a violation may be depends on that.
func (s *Statement) Apply(c *config.Config) error {
	c.Site = s.site
	if s.lanes != nil {
		c.Sensor.Lanes = *s.lanes
	}
	if err := c.Validate(); err != nil {
		return fmt.Errorf("site %s version %d: %w", s.site.ID, s.site.Version, err)
	}
	return nil
}

// Sealed returns what a measurement depends on, as it is sealed into the chain: the
// configuration without its site, and the statement in its place. The configuration
// is one that the statement was applied to. Of a nil statement it is the
// configuration's own, where that has a site.
func (s *Statement) Sealed(c *config.Config) ([]byte, error) {
	switch {
	case s == nil && c.Placed():
		return c.Statement()
	case s == nil:
		return c.StatementWithoutSite()
	}
	rest, err := c.StatementWithoutSite()
	if err != nil {
		return nil, err
	}
	return append([]byte(strings.TrimRight(string(s.Text), "\n")+"\n\n"), rest...), nil
}
