// Package web is the pages of what devices have sent: the devices, the records, one
// record with its pictures and every check of it, and the bundle to download.
//
// They work without JavaScript; a small script only renews the overview. Text that
// devices send is never trusted: templates escape it, and pictures are served as the
// bytes that were signed, as pictures only.
//
// The verdict on a record is computed when its page is asked for, from the bytes
// in the store and the register, never remembered.
//
// A Desk is safe for concurrent use.
package web

import (
	"cmp"
	"embed"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"ciglio/capture/evidence"
	"ciglio/portal/intake"
	"ciglio/portal/log"
	"ciglio/portal/orders"
	"ciglio/portal/page"
	"ciglio/portal/record"
)

//go:embed templates words
var files embed.FS

// Room is the pages, with their words.
var Room = page.Room{Name: "web", Files: files, Codes: codes}

// Absent are the errors that wrap what is not there.
var Absent = []error{record.ErrNotFound}

// A Register says which keys count and has their certificates.
// [*ciglio/portal/register.File] is one.
type Register interface {
	Trust() *evidence.Trust
	Text() []byte
	Certificate(evidence.Hash) []byte
}

// Options of a [Desk]. Pages, Store, Register and Stats are needed.
type Options struct {
	Pages    *page.Pages
	Store    *record.Store
	Register Register
	Orders   *orders.Book // what devices are to do; nil for nothing
	Stats    func() intake.Stats
	// Session says when the newest session with the broker began, which told
	// then what devices it holds. nil: a device is connected if it ever said so.
	Session func() time.Time
	// Dropped counts messages to devices that the embedded broker has dropped; nil
	// with another broker.
	Dropped func() uint64
	// Warnings says in words what at the centre itself needs a person: certificates
	// and keys that end soon, and files that cannot be read; nil for nothing.
	Warnings func(now time.Time) []string
	// Published serves the log under /log/, whose public key is LogKey; nil: nobody does.
	Published Published
	LogKey    string
	Zone      *time.Location // local time on the pages; nil means Europe/Rome
	Log       *slog.Logger   // nil: nothing is logged
}

// Published is the log as others read it, and whether it can be published.
type Published interface {
	http.Handler
	Trouble() error
}

// A Desk answers requests for the pages.
type Desk struct {
	o      Options
	limits *limits
}

// New prepares a desk.
func New(o Options) *Desk {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Session == nil {
		o.Session = func() time.Time { return time.Time{} }
	}
	return &Desk{o: o, limits: newLimits()}
}

// Routes are the pages and files of the desk by the patterns of [http.ServeMux].
func (d *Desk) Routes() map[string]page.Handler {
	all := map[string]page.Handler{
		"GET /{$}":                          d.overview,
		"GET /devices/{device}":             d.device,
		"GET /records/{id}":                 d.surviving(d.record),
		"GET /records/{id}/record.cose":     d.recordBytes,
		"GET /records/{id}/bundle.zip":      d.sending(d.bundle),
		"GET /records/{id}/frames/{number}": d.sending(d.frame),
		"GET /records/{id}/trace":           d.sending(d.trace),
		"GET /records/{id}/signal.svg":      d.sending(d.signal),
		"GET /trust":                        d.trust,
		"GET /healthz":                      d.health,
	}
	if d.o.Published != nil {
		log := http.StripPrefix("/log", d.o.Published)
		all["GET /log/"] = func(w http.ResponseWriter, r *http.Request) error {
			w.Header().Del("Vary") // tiles are the same to everybody, and may be kept for all
			log.ServeHTTP(w, r)
			return nil
		}
		all["GET /log/key"] = d.logKey
	}
	return all
}

// damaged is the answer for bytes that are no longer those that were signed. The log has
// what they are.
var damaged = &page.Answer{Status: http.StatusInternalServerError, Code: "web.damaged.words"}

// damage has the log say what its answer does not.
func (d *Desk) damage(r *http.Request, err error) error {
	d.o.Log.Error("stored bytes are damaged", "pattern", r.Pattern, "error", err)
	return damaged
}

// health says whether the centre works, and what waits, one number a line.
func (d *Desk) health(w http.ResponseWriter, r *http.Request) error {
	stats := d.o.Stats()
	trouble := ""
	switch {
	case d.o.Store.Check(r.Context()) != nil:
		trouble = "store: does not answer"
	case d.o.Published != nil && errors.Is(d.o.Published.Trouble(), log.ErrRolledBack): // and nothing is numbered
		trouble = "log: is not published; the journal says why"
	case stats.Failing:
		trouble = "store: takes nothing; the journal says why"
	case !stats.Connected:
		trouble = "broker: not connected"
	case d.o.Published != nil && d.o.Published.Trouble() != nil:
		trouble = "log: is not published; the journal says why"
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if trouble != "" {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	fmt.Fprintln(w, cmp.Or(trouble, "ok"))
	refused := uint64(0)
	for _, n := range stats.Refused {
		refused += n
	}
	dropped := uint64(0)
	if d.o.Dropped != nil {
		dropped = d.o.Dropped()
	}
	for _, line := range []struct {
		name  string
		value uint64
	}{
		{"answers_waiting", uint64(stats.Answering)},
		{"messages_waiting", uint64(stats.Waiting)},
		{"receipts_held", uint64(stats.Held)},
		{"answers_unsaid", stats.Unanswered},
		{"answers_dropped", dropped},
		{"messages_refused", refused},
		{"transactions_failed", stats.Failed},
	} {
		fmt.Fprintln(w, line.name, line.value)
	}
	if trouble != "" {
		return nil
	}
	// What people have to look at; only a store that answers knows.
	totals, err := d.o.Store.Totals(r.Context())
	if err != nil {
		d.o.Log.Error("totals cannot be read", "error", err)
		return nil
	}
	fmt.Fprintln(w, "records_incomplete", totals.Incomplete)
	fmt.Fprintln(w, "records_unnumbered", totals.Unnumbered)
	fmt.Fprintln(w, "receipts_waiting", totals.Unsent)
	fmt.Fprintln(w, "records_set_aside", totals.SetAside)
	fmt.Fprintln(w, "records_missing", totals.Missing)
	fmt.Fprintln(w, "messages_quarantined", totals.Quarantined)
	return nil
}

// download sets the headers of a file to be saved.
func download(w http.ResponseWriter, media, name string) {
	w.Header().Set("Content-Type", media)
	w.Header().Set("Content-Disposition", `attachment; filename="`+name+`"`)
}

func (d *Desk) logKey(w http.ResponseWriter, _ *http.Request) error {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	fmt.Fprintln(w, d.o.LogKey)
	return nil
}

func (d *Desk) trust(w http.ResponseWriter, _ *http.Request) error {
	download(w, "application/x-pem-file", "ciglio-trust.pem")
	w.Write(d.o.Register.Text())
	return nil
}
