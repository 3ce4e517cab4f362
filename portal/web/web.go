// Package web shows the centre in a browser: the devices, the records, one
// record with its pictures and every check of it, and the bundle to download.
//
// Pages are made on the server and work without JavaScript; a small script only
// renews the overview. Nothing comes from another host, and the policy sent with
// every page forbids it. Text that devices send is never trusted: templates
// escape it, and pictures are served as the bytes that were signed, as pictures
// only.
//
// The verdict on a record is computed when its page is asked for, from the bytes
// in the store and the register, never remembered.
//
// A Server is safe for concurrent use.
package web

import (
	"cmp"
	"context"
	"embed"
	"errors"
	"fmt"
	"html/template"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"
	_ "time/tzdata" // local time is part of what is shown

	"ciglio/capture/evidence"
	"ciglio/internal/pages"
	"ciglio/portal/intake"
	"ciglio/portal/orders"
	"ciglio/portal/record"
)

//go:embed templates assets
var files embed.FS

// A Register says which keys count and has their certificates.
// [*ciglio/portal/register.File] is one.
type Register interface {
	Trust() *evidence.Trust
	Text() []byte
	Certificate(evidence.Hash) []byte
}

// Options of a Server.
type Options struct {
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
	// Loopback has requests refused that name another host than this machine:
	// otherwise any page in the same browser could read these.
	Loopback bool
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

// A Server answers requests for the pages.
type Server struct {
	o       Options
	pages   *template.Template
	assets  pages.Assets
	handler http.Handler
	limits  *limits
}

// New prepares a server.
func New(o Options) (*Server, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Session == nil {
		o.Session = func() time.Time { return time.Time{} }
	}
	if o.Zone == nil {
		zone, err := time.LoadLocation("Europe/Rome")
		if err != nil {
			return nil, err
		}
		o.Zone = zone
	}
	s := &Server{o: o, limits: newLimits()}
	var err error
	if s.assets, err = pages.ReadAssets(files); err != nil {
		return nil, err
	}
	s.pages, err = template.New("").Funcs(s.functions()).ParseFS(files, "templates/*.html")
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", s.overview)
	mux.HandleFunc("GET /devices/{device}", s.device)
	mux.HandleFunc("GET /records/{id}", s.surviving(s.record))
	mux.HandleFunc("GET /records/{id}/record.cose", s.recordBytes)
	mux.HandleFunc("GET /records/{id}/bundle.zip", s.sending(s.bundle))
	mux.HandleFunc("GET /records/{id}/frames/{number}", s.sending(s.frame))
	mux.HandleFunc("GET /records/{id}/trace", s.sending(s.trace))
	mux.HandleFunc("GET /trust", s.trust)
	if o.Published != nil {
		mux.Handle("GET /log/", http.StripPrefix("/log", o.Published))
		mux.HandleFunc("GET /log/key", s.logKey)
	}
	mux.HandleFunc("GET /healthz", s.health)
	mux.HandleFunc("GET /assets/{name}", s.asset)
	mux.HandleFunc("GET /", s.absent)
	s.handler = s.guard(mux)
	return s, nil
}

// Handler answers requests.
func (s *Server) Handler() http.Handler { return s.handler }

// Run serves on l until ctx ends; requests in hand get five seconds. It closes l.
func (s *Server) Run(ctx context.Context, l net.Listener) error {
	server := &http.Server{
		Handler:           s.handler,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       30 * time.Second,
		WriteTimeout:      5 * time.Minute, // of pages; files have their own
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    32 << 10,
		ConnState:         newConnections().changed,
		ErrorLog:          slog.NewLogLogger(s.o.Log.Handler(), slog.LevelWarn),
	}
	return pages.Serve(ctx, server, l, 5*time.Second)
}

// guard sets what every answer carries and refuses requests that another site
// has the browser make.
func (s *Server) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		pages.Protect(w.Header(), "'none'")
		if s.o.Loopback && !isLoopback(r.Host) {
			http.Error(w, "this address serves this machine only", http.StatusMisdirectedRequest)
			return
		}
		if site := r.Header.Get("Sec-Fetch-Site"); site == "cross-site" && r.Header.Get("Sec-Fetch-Mode") != "navigate" {
			http.Error(w, "not for other sites", http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// isLoopback reports whether a Host header names this machine.
func isLoopback(host string) bool {
	name, _, err := net.SplitHostPort(host)
	if err != nil {
		name = host
	}
	if name == "localhost" {
		return true
	}
	ip := net.ParseIP(strings.Trim(name, "[]"))
	return ip != nil && ip.IsLoopback()
}

// show renders a page. It is made whole before anything of it is sent.
func (s *Server) show(w http.ResponseWriter, status int, name string, data any) {
	var page strings.Builder
	if err := s.pages.ExecuteTemplate(&page, name, data); err != nil {
		s.o.Log.Error("page failed", "page", name, "error", err)
		http.Error(w, "this page cannot be made", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	fmt.Fprint(w, page.String())
}

type errorPage struct {
	Title, Words string
}

func (s *Server) absent(w http.ResponseWriter, r *http.Request) {
	s.show(w, http.StatusNotFound, "error", errorPage{"Not found", "There is no such page at this centre."})
}

// fail answers with the page for an error of the store.
func (s *Server) fail(w http.ResponseWriter, r *http.Request, err error) {
	switch {
	case errors.Is(err, record.ErrNotFound):
		s.absent(w, r)
	case errors.Is(err, context.Canceled):
	case errors.Is(err, record.ErrDamaged):
		s.o.Log.Error("stored bytes are damaged", "path", r.URL.Path, "error", err)
		s.show(w, http.StatusInternalServerError, "error", errorPage{"Damaged",
			"The stored bytes are no longer those that were signed. They are not shown. Restore them from a backup."})
	default:
		s.o.Log.Error("request failed", "path", r.URL.Path, "error", err)
		s.show(w, http.StatusInternalServerError, "error", errorPage{"Not available", "The store does not answer. The journal says why."})
	}
}

func (s *Server) asset(w http.ResponseWriter, r *http.Request) {
	if !s.assets.Send(w, r.PathValue("name")) {
		s.absent(w, r)
	}
}

// health says whether the centre works, and what waits, one number a line.
func (s *Server) health(w http.ResponseWriter, r *http.Request) {
	stats := s.o.Stats()
	trouble := ""
	switch {
	case s.o.Store.Check(r.Context()) != nil:
		trouble = "store: does not answer"
	case stats.Failing:
		trouble = "store: takes nothing; the journal says why"
	case !stats.Connected:
		trouble = "broker: not connected"
	case s.o.Published != nil && s.o.Published.Trouble() != nil:
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
	if s.o.Dropped != nil {
		dropped = s.o.Dropped()
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
		return
	}
	// What people have to look at; only a store that answers knows.
	totals, err := s.o.Store.Totals(r.Context())
	if err != nil {
		s.o.Log.Error("totals cannot be read", "error", err)
		return
	}
	fmt.Fprintln(w, "records_incomplete", totals.Incomplete)
	fmt.Fprintln(w, "records_unnumbered", totals.Unnumbered)
	fmt.Fprintln(w, "receipts_waiting", totals.Unsent)
	fmt.Fprintln(w, "records_set_aside", totals.SetAside)
	fmt.Fprintln(w, "records_missing", totals.Missing)
	fmt.Fprintln(w, "messages_quarantined", totals.Quarantined)
}

// download sets the headers of a file to be saved.
func download(w http.ResponseWriter, media, name string) {
	w.Header().Set("Content-Type", media)
	w.Header().Set("Content-Disposition", `attachment; filename="`+name+`"`)
}

func (s *Server) logKey(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	fmt.Fprintln(w, s.o.LogKey)
}

func (s *Server) trust(w http.ResponseWriter, r *http.Request) {
	download(w, "application/x-pem-file", "ciglio-trust.pem")
	w.Write(s.o.Register.Text())
}
