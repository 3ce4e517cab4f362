package web

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"strconv"
	"time"

	"ciglio/capture/evidence"
	"ciglio/portal/intake"
	"ciglio/portal/orders"
	"ciglio/portal/record"
	"ciglio/uplink/wire"
)

const pageSize = 50

// silentAfter is when a device without a new heartbeat is shown as silent: they
// come every hour.
const silentAfter = 2 * time.Hour

// A deviceRow is a device as lists and its own page show it.
type deviceRow struct {
	*record.Device
	Now     time.Time
	Session time.Time // when that with the broker began
	State   *wire.State
	Health  *wire.Health
	Profile *wire.Profile
}

func (s *Server) deviceRow(d *record.Device, now time.Time) deviceRow {
	row := deviceRow{Device: d, Now: now, Session: s.o.Session()}
	// What is stored was parsed when it came; what no longer parses is not shown.
	if s, err := wire.ParseState(d.State); err == nil {
		row.State = &s
	}
	if h, err := wire.ParseHealth(d.Health); err == nil {
		row.Health = &h
	}
	if p, err := wire.ParseProfile(d.Profile); err == nil {
		row.Profile = &p
	}
	return row
}

// Online reports whether the device said to the present broker that it is
// connected, and nobody since that it is not.
func (d deviceRow) Online() bool { return d.State != nil && d.State.Online && !d.Stale() }

// Stale reports whether the state is from before the session with the broker.
// The broker retains the state of each device that it holds: it would have come
// again.
func (d deviceRow) Stale() bool { return d.StateAt.Before(d.Session) }

// Alarm reports whether the device needs a person: by what the centre found in
// its records, or because it says so.
func (d deviceRow) Alarm() bool {
	return d.Device.Alarm() || d.Health != nil && len(d.Health.Alarms) > 0
}

// Silent reports whether heartbeats have stopped coming.
func (d deviceRow) Silent() bool {
	return !d.Heartbeat.IsZero() && d.Now.Sub(d.Heartbeat) > silentAfter
}

// Place is where the device says it stands.
func (d deviceRow) Place() string {
	if d.Profile == nil {
		return ""
	}
	return evidence.Place(d.Profile.Road, d.Profile.PositionM)
}

// A listing is one page of records.
type listing struct {
	Listed []*record.Row
	All    bool   // every kind, not only violations and tests
	Before uint64 // 0 on the first page
	Older  uint64 // Before of the next page; 0 when there is none
	Path   string
	Owned  bool // the records of one device
}

// list reads the page of records that a request asks for.
func (s *Server) list(ctx context.Context, r *http.Request, device *evidence.DeviceID) (listing, error) {
	l := listing{Path: r.URL.Path, Owned: device != nil, All: r.URL.Query().Get("show") == "all"}
	if text := r.URL.Query().Get("before"); text != "" {
		n, err := strconv.ParseUint(text, 10, 63)
		if err != nil || n == 0 {
			return l, record.ErrNotFound
		}
		l.Before = n
	}
	records, err := s.o.Store.List(ctx, record.Query{Device: device, Measured: !l.All, Before: l.Before, Limit: pageSize + 1})
	if len(records) > pageSize {
		records = records[:pageSize]
		l.Older = records[pageSize-1].Arrival
	}
	l.Listed = records
	return l, err
}

type overviewPage struct {
	Now     time.Time
	Devices []deviceRow
	Online  int
	Alarms  int // devices
	Stats   intake.Stats
	Log     uint64   // records settled, ever
	Centre  []string // what at the centre needs a person
	listing
}

func (s *Server) overview(w http.ResponseWriter, r *http.Request) {
	page := overviewPage{Now: time.Now(), Stats: s.o.Stats()}
	if s.o.Warnings != nil {
		page.Centre = s.o.Warnings(page.Now)
	}
	devices, err := s.o.Store.Devices(r.Context())
	if err == nil {
		page.listing, err = s.list(r.Context(), r, nil)
	}
	if err == nil {
		page.Log, err = s.o.Store.Settled(r.Context())
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	for _, d := range devices {
		row := s.deviceRow(d, page.Now)
		page.Devices = append(page.Devices, row)
		if row.Online() {
			page.Online++
		}
		if row.Alarm() {
			page.Alarms++
		}
	}
	// Those that need a person come first, then by place.
	slices.SortStableFunc(page.Devices, func(a, b deviceRow) int {
		switch {
		case a.Alarm() == b.Alarm():
			return cmp.Compare(a.Place(), b.Place())
		case a.Alarm():
			return -1
		}
		return 1
	})
	s.show(w, http.StatusOK, "overview", page)
}

type devicePage struct {
	deviceRow
	listing
	ListEquivocations []*record.Equivocation
	Refused           []*record.Refused
	Counts            []record.RefusalCount
	MissingSpans      []record.Span
	MoreSpans         bool
	Orders            []orderRow
	OrdersDamaged     bool
}

// maxOrders is how many orders a page shows: the newest.
const maxOrders = 20

// An orderRow is an order and what became of it.
type orderRow struct {
	*orders.Entry
	State  orders.State
	Answer *orders.Answer // nil when there is none
}

// orders returns the newest orders of a device with what its records say of them.
func (s *Server) orders(ctx context.Context, id evidence.DeviceID, now time.Time) (rows []orderRow, damaged bool, err error) {
	if s.o.Orders == nil {
		return nil, false, nil
	}
	list, unread := s.o.Orders.List(id)
	if unread != nil {
		s.o.Log.Error("orders cannot be read", "device", id.String(), "error", unread)
	}
	if len(list) == 0 {
		return nil, unread != nil, nil
	}
	acts, err := intake.Acts(ctx, s.o.Store, id)
	for _, e := range list[:min(len(list), maxOrders)] {
		row := orderRow{Entry: e}
		row.State, row.Answer = e.State(now, intake.Answers(e, acts))
		rows = append(rows, row)
	}
	return rows, unread != nil, err
}

// TakesOrders reports whether the device says that it takes orders.
func (d deviceRow) TakesOrders() bool { return d.Profile != nil && d.Profile.Orders > 0 }

// maxSpans is how many gaps of a chain a page names.
const maxSpans = 20

func (s *Server) device(w http.ResponseWriter, r *http.Request) {
	id, err := evidence.ParseDeviceID(r.PathValue("device"))
	if err != nil {
		s.absent(w, r)
		return
	}
	var page devicePage
	d, err := s.o.Store.Device(r.Context(), id)
	if err == nil {
		page.deviceRow = s.deviceRow(d, time.Now())
		page.listing, err = s.list(r.Context(), r, &id)
	}
	if err == nil {
		page.ListEquivocations, err = s.o.Store.Equivocations(r.Context(), id, 20)
	}
	if err == nil {
		page.Refused, err = s.o.Store.Refused(r.Context(), &id, 20)
	}
	if err == nil {
		page.Counts, err = s.o.Store.RefusalCounts(r.Context(), id)
	}
	if err == nil {
		page.MissingSpans, err = s.o.Store.MissingSpans(r.Context(), id, maxSpans+1)
	}
	if err == nil {
		page.Orders, page.OrdersDamaged, err = s.orders(r.Context(), id, time.Now())
	}
	if len(page.MissingSpans) > maxSpans {
		page.MissingSpans, page.MoreSpans = page.MissingSpans[:maxSpans], true
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	s.show(w, http.StatusOK, "device", page)
}
