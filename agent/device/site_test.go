package device

import (
	"crypto/sha256"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"ciglio/agent/config"
	"ciglio/agent/rules"
	"ciglio/agent/site"
	"ciglio/agent/trust"
	"ciglio/sensor"
	"ciglio/uplink"
)

// A site with a limit of 50 at night, which ends at seven in the morning, and of 100
// by day.
const siteText = `[site]
id = "SP14-12"
version = 2
road = "SP 14"
latitude = "44.4949deg"
direction = "approaching"
photo_range = "20m"
frames = 3
[decree]
words = "none: simulated road"
from = 1999-01-01
[[limit]]
speed = "50km/h"
hours = "22:00-07:00"
[[limit]]
speed = "100km/h"
`

// A vehicle of 92 km/h exceeds the limit of the night, and not that of the day; one
// that passes as the limit changes is discarded.
func TestTheInstalledSiteSaysTheLimit(t *testing.T) {
	seven := time.Date(2000, 1, 1, 6, 0, 0, 0, time.UTC) // at the site
	for _, c := range []struct {
		name     string
		end      time.Duration // of the track, from seven
		recorded bool
		reasons  []sensor.Reason
	}{
		{"by night", -time.Minute, true, nil},
		{"as it changes", time.Second, false, []sensor.Reason{sensor.ReasonLimit}},
		{"by day", time.Minute, false, nil},
	} {
		if testing.Short() && c.reasons == nil {
			continue // hours of pictures each
		}
		synctest.Test(t, func(t *testing.T) {
			s, err := site.Parse([]byte(siteText))
			if err != nil {
				t.Fatal(err)
			}
			r := newRig(t, func(r *rig) {
				r.site = s
				if err := s.Apply(r.config); err != nil {
					t.Fatal(err)
				}
			})
			r.start(t)
			time.Sleep(time.Until(seven.Add(c.end)) + 300*time.Millisecond)
			o := r.send(speeding(), 3*time.Second, 300*time.Millisecond)
			if (o.Record != nil) != c.recorded || !slices.Equal(o.Reasons, c.reasons) {
				t.Errorf("%s: recorded %t, %v, limit %v", c.name, o.Record != nil, o.Reasons, o.Assessment.Limit)
			}
			if o.Record != nil && (o.Record.Record.Measurement.Limit != 50*sensor.KmH || o.Record.Record.Configuration.Version != 2) {
				t.Errorf("%s: sealed %+v", c.name, o.Record.Record.Measurement)
			}
			r.end(t)
		})
	}
}

// A device of which nobody has said where it stands runs, tells so, and issues
// nothing; no record of it speaks of a place.
func TestWithoutASiteNothingIsMeasured(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(r *rig) { r.config.Site = config.Default().Site })
		r.start(t)
		if found := r.gate.found(); len(found) != 1 || found[0].Code != trust.SiteMissing {
			t.Errorf("the gate has %+v", found)
		}
		if o := r.pass(speeding()); o.Record != nil || !slices.Equal(o.Reasons, []sensor.Reason{sensor.ReasonLimit}) {
			t.Errorf("recorded %v, %v", o.Record, o.Reasons)
		}
		if _, any := r.profile(); any {
			t.Error("the public map has it")
		}
		r.end(t)
		items, err := r.outbox.List(uplink.Key{}, 100)
		if err != nil || len(items) == 0 {
			t.Fatalf("%d records, %v", len(items), err)
		}
		for _, i := range items {
			sealed, err := opened(r.outbox, i.Key)
			if err != nil {
				t.Fatal(err)
			}
			if x := sealed.Record; x.Site != nil || x.Configuration.ID != "" {
				t.Errorf("record %d, %v, speaks of site %+v", i.Seq, i.Kind, x.Site)
			}
		}
	})
}

// The installed rules judge, and every record names them; where they cannot be used
// nothing is measured.
func TestTheInstalledRulesJudge(t *testing.T) {
	const text = "schema = 1\nversion = 3\n[[rule]]\nid = \"it-345-2\"\nvalid_from = 1993-01-01\nvalid_to = 1999-12-31\nsource = \"s\"\nflat = \"5km/h\"\npercent = 5\n"
	const next = "[[rule]]\nid = \"new\"\nvalid_from = 2000-01-01\nsource = \"s\"\nflat = \"10km/h\"\npercent = 10\n"
	for _, c := range []struct {
		name, text string
		fault      error
		closed     bool
	}{
		{"a new one", text + next, nil, false},
		{"none today", text, nil, true},
		{"of another schema", text + next, errors.New("schema 2"), true},
	} {
		synctest.Test(t, func(t *testing.T) {
			law, err := rules.Parse([]byte(c.text))
			if err != nil {
				t.Fatal(err)
			}
			r := newRig(t, func(r *rig) { r.rules, r.rulesFault = law, c.fault })
			r.start(t)
			found := r.gate.found()
			if closed := len(found) == 1 && found[0].Code == trust.Rules; closed != c.closed || len(found) > 1 {
				t.Errorf("%s: the gate has %+v", c.name, found)
			}
			o := r.pass(speeding())
			if (o.Record == nil) != c.closed {
				t.Fatalf("%s: recorded %v, %v", c.name, o.Record, o.Reasons)
			}
			if o.Record != nil {
				m := o.Record.Record.Measurement
				settings, err := r.settings()
				if m.Rule != "new" || m.Reduction != 10*sensor.KmH || err != nil || o.Record.Record.Configuration.SHA256 != sha256.Sum256(settings) || !strings.Contains(string(settings), law.SHA256.String()) {
					t.Errorf("%s: rule %s takes %v, %v", c.name, m.Rule, m.Reduction, err)
				}
			}
			r.end(t)
		})
	}
}
