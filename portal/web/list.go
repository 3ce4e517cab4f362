package web

import (
	"net/http"
	"net/url"
	"strconv"
	"time"

	"ciglio/capture/evidence"
	"ciglio/portal/page"
	"ciglio/portal/record"
	"ciglio/sensor"
)

const (
	pageSize = 50
	lookBack = 20_000 // arrivals that one page of a search without day and device looks at
)

// A recordList is one page of records, and what it was asked for.
type recordList struct {
	page.View
	Path     string
	All      bool // every kind, not only violations and tests
	Owned    bool // of one device
	Rows     []recordRow
	Empty    string
	Pager    page.Pager
	Filtered bool
	Fields   []page.Field
	Errors   page.Faults
	Tabs     []page.MenuItem
}

// A recordRow is a record as lists show it.
type recordRow struct {
	ID, Device, Short, Number       string
	Time                            when
	Kind, KindClass, Place          string
	Measures                        bool
	Limit, Measured, Assessed, Over string
	State                           mark
	Alarm, Damaged                  bool
}

// states are those by which a list may be asked for.
var states = map[string]record.State{"settled": record.Complete, "waiting": record.Incomplete, "set_aside": record.Quarantined}

// list reads the page of records that a request asks for.
func (d *Desk) list(r *http.Request, v page.View, device *evidence.DeviceID) (recordList, error) {
	in, asked := page.Read(r), r.URL.Query()
	l := recordList{View: v, Path: r.URL.Path, Owned: device != nil, All: asked.Get("show") == "all"}
	q := record.Query{Device: device, Measured: !l.All, Limit: pageSize + 1}
	if text := asked.Get("before"); text != "" {
		n, err := strconv.ParseUint(text, 10, 63)
		if err != nil || n == 0 {
			return l, page.ErrAbsent
		}
		q.Before = n
	}
	l.filter(in, &q)
	if l.Errors != nil { // nothing is found for what is no question
		l.Empty = v.Say("web.list.wrong")
		l.links(asked, q, nil)
		return l, nil
	}
	if l.Filtered && q.From.IsZero() && q.Device == nil {
		// What is rare would be looked for in all that there is: pages lead on.
		var err error
		if q.After, err = d.o.Store.Back(r.Context(), q.Measured, q.Before, lookBack); err != nil {
			return l, err
		}
	}
	rows, err := d.o.Store.List(r.Context(), q)
	if err != nil {
		return l, err
	}
	l.links(asked, q, rows)
	for _, row := range rows[:min(len(rows), pageSize)] {
		l.Rows = append(l.Rows, listed(v, row))
	}
	switch {
	case len(rows) > 0:
	case q.Before > 0 && q.After == 0:
		l.Empty = v.Say("web.list.none_older")
	case q.After > 0:
		l.Empty = v.Say("web.list.none_near", "n", int(lookBack))
	case l.Filtered:
		l.Empty = v.Say("web.list.none_found")
	case l.All:
		l.Empty = v.Say("web.list.none")
	default:
		l.Empty = v.Say("web.list.no_violation")
	}
	return l, nil
}

// filter reads by what the list is narrowed.
func (l *recordList) filter(in *page.Input, q *record.Query) {
	if in.Given("day") {
		day := in.Day("day")
		q.From, q.To = evidence.SiteDay(day.Year, day.Month, day.Day), evidence.SiteDay(day.Year, day.Month, day.Day+1)
	}
	if in.Given("road") {
		q.Road = in.Text("road", 100)
	}
	if in.Given("over") {
		q.Over = sensor.Speed(in.Number("over", 1, 300)) * sensor.KmH
	}
	if in.Given("device") && !l.Owned {
		if id, err := evidence.ParseDeviceID(in.Text("device", 40)); err == nil {
			q.Device = &id
		} else {
			in.Fault("device", "web.list.device_shape")
		}
	}
	if in.Given("state") {
		if name := page.Choice(in, "state", []string{"settled", "waiting", "set_aside"}); name != "" {
			state := states[name]
			q.State = &state
		}
	}
	for _, name := range []string{"day", "road", "over", "device", "state"} {
		l.Filtered = l.Filtered || in.Given(name)
	}
	l.Errors = in.Errors()
}

// links makes the addresses of other pages of the list, and its fields.
func (l *recordList) links(asked url.Values, q record.Query, rows []*record.Row) {
	v := l.View
	to := func(set, value string) string {
		query := url.Values{}
		for _, name := range []string{"show", "day", "road", "over", "device", "state"} {
			if asked.Get(name) != "" {
				query.Set(name, asked.Get(name))
			}
		}
		if query.Del(set); value != "" {
			query.Set(set, value)
		}
		if len(query) == 0 {
			return l.Path
		}
		return l.Path + "?" + query.Encode()
	}
	first, next := "", ""
	if q.Before > 0 {
		first = to("", "")
	}
	switch {
	case len(rows) <= pageSize && q.After > 0:
		next = to("before", digits(q.After+1))
	case len(rows) > pageSize:
		next = to("before", strconv.FormatUint(rows[pageSize-1].Arrival, 10))
	}
	l.Pager = v.Pager(first, next)
	l.Tabs = []page.MenuItem{{Path: to("show", ""), Words: v.Say("web.list.violations"), Here: !l.All}, {Path: to("show", "all"), Words: v.Say("web.list.all"), Here: l.All}}
	field := func(f page.Field) { l.Fields = append(l.Fields, f.With(asked.Get(f.Name)).MayBeEmpty()) }
	field(v.DayField("day", v.Say("web.list.day"), l.Errors))
	field(v.Field("road", v.Say("web.list.road"), l.Errors))
	field(v.NumberField("over", v.Say("web.list.over"), l.Errors))
	if !l.Owned {
		field(v.Field("device", v.Say("web.list.device"), l.Errors))
	}
	options := []page.Option{{Value: "", Words: v.Say("web.list.any_state")}}
	for _, name := range []string{"settled", "waiting", "set_aside"} {
		options = append(options, page.Option{Value: name, Words: v.Say("web.state." + name)})
	}
	l.Fields = append(l.Fields, v.Field("state", v.Say("web.list.state"), l.Errors).With(asked.Get("state")).MayBeEmpty().Among(options))
}

func listed(v page.View, row *record.Row) recordRow {
	r := recordRow{ID: row.ID.String(), Device: row.Device.String(), Short: row.Device.String()[:8], Number: numbered(row.Epoch, row.Seq),
		Time: at(v, row.UTC), Kind: kind(v, row.Kind), KindClass: "k" + strconv.Itoa(int(row.Kind)), Alarm: row.Disputed || row.Damaged, Damaged: row.Damaged}
	if row.Damaged {
		r.State = mark{"state bad", v.Say("web.state.damaged")}
		return r
	}
	r.State = stateMark(v, row.State, row.Disputed)
	if row.Place != nil {
		r.Place = evidence.Place(row.Place.Road, row.Place.Position)
	}
	if s := row.Speeds; s != nil {
		r.Measures, r.Limit, r.Measured, r.Assessed = true, speed(v, s.Limit), speed(v, s.Measured), speed(v, s.Assessed)
		if s.Assessed > s.Limit {
			r.Over = "+" + speed(v, s.Assessed-s.Limit)
		}
	}
	return r
}

// stateMark says how far the centre is with a record.
func stateMark(v page.View, s record.State, disputed bool) mark {
	switch {
	case disputed:
		return mark{"state bad", v.Say("web.state.disputed")}
	case s == record.Complete:
		return mark{"state good", v.Say("web.state.settled")}
	case s == record.Incomplete:
		return mark{"state warn", v.Say("web.state.waiting")}
	}
	return mark{"state bad", v.Say("web.state.set_aside")}
}

// numbered is a record's epoch and number.
func numbered(epoch, seq uint64) string {
	return digits(epoch) + "·" + digits(seq)
}

// speed writes hundredths of km/h, all of them.
func speed(v page.View, s sensor.Speed) string { return v.Decimal(int64(s), 2) }

// sign writes a speed as a road sign does: without decimals that are zero.
func sign(v page.View, s sensor.Speed) string {
	if s%sensor.KmH == 0 {
		return strconv.Itoa(int(s / sensor.KmH))
	}
	return speed(v, s)
}

// moment is an instant in local time and UTC, as every verifier prints it.
func moment(t time.Time) string { return evidence.Moment(t) }
