// Package console is the technician's page on the device: why it does not measure
// and what to do, what camera and radar see, self-test, aiming, acceptance.
//
// What it keeps true: nobody sees a page without a code that was asked for at the
// device itself, or an officer's signed order for this device, which opens one
// session; the table of routes says what each role may, and a technician never sees
// a picture of a violation; an officer's look at one is recorded before it is shown; every act is in the journal, or is not
// done; nothing that a page asks makes measuring wait, and what pages take of
// memory, connections and processor is bounded. No page asks another host for
// anything, holds a script or a style of its own, or needs a script to work.
//
// Sessions and codes are in memory and end with the process, not with a stick that
// brings something new; an acceptance under way
// goes on after it. A Console is safe
// for concurrent use.
package console

import (
	"bytes"
	"context"
	"embed"
	"encoding/json"
	"errors"
	"html/template"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"ciglio/agent/device"
	"ciglio/agent/journal"
	"ciglio/capture"
	"ciglio/capture/evidence"
	"ciglio/internal/catalogue"
	"ciglio/internal/pages"
	"ciglio/internal/provisioning"
	"ciglio/sensor"
	"ciglio/uplink"
)

//go:embed words templates assets
var files embed.FS

// Languages are those of the pages, the default first.
var languages = [...]string{"it", "en", "de"}

// A Device is the one whose console it is. Its methods are safe for concurrent use.
type Device interface {
	Status() device.Status
	// SelfTest looks at every part now and records what it finds.
	SelfTest(evidence.Act) ([]sensor.Finding, error)
	// Note records an act; it returns when that is on flash.
	Note(what string, a evidence.Act) error
	// ConsoleOrder takes the order with which an officer comes in, once, and returns
	// the act that is in the chain; after an error its New says why it is refused.
	ConsoleOrder([]byte) (evidence.Act, error)
	// Violations returns the newest, the newest first.
	Violations(most int) ([]device.Violation, error)
	// Violation and ViolationFrame give an error that wraps outbox.ErrNotFound for
	// what is not there.
	Violation(uplink.Key) (device.Violation, error)
	ViolationFrame(k uplink.Key, n int) ([]byte, error)
	// Journal returns at most so many entries that a filter wants, the newest first, with
	// numbers below before, 0 for no bound. next is where the following ones begin, 0
	// where there are none.
	Journal(f journal.Filter, before uint64, most int) (all []journal.Entry, next uint64, err error)

	// In service the gate is closed, and pictures and vehicles are shown.
	BeginService(lasts time.Duration)
	EndService()
	InService() bool
	// Aimed has the device learn anew where camera and sensor look.
	Aimed() error
	ServicePicture(buffer []byte) (capture.Frame, bool)
	Seen() []device.Seen
	Sight() device.Sight
	WriteSignal(io.Writer) error
}

// Options says what a console is made of. Device and Now are needed.
type Options struct {
	Device Device // nil for one that has not begun, because it lacks what a stick brings
	// Lacks says what a device that has not begun lacks. It is safe for concurrent use.
	Lacks func() []provisioning.Kind
	// Sticks tells what sticks bring; nil for a device that takes none and has nothing
	// installed.
	Sticks Sticks
	Now    func() time.Time // for codes and sessions
	Access *Access          // who is let in; nil for nobody yet
	// Acceptance is the file that keeps the acceptance under way over a restart; "":
	// none does.
	Acceptance string
	Log        *slog.Logger // nil: nothing is logged
}

// A Console answers requests for the pages.
type Console struct {
	o      Options
	words  *catalogue.Set
	pages  map[string]*template.Template
	assets pages.Assets
	access *Access

	frames  *frames
	drawing drawing
	still   sync.Mutex // held while a violation's frame is in memory
	reading sync.Mutex // held while the journal or what is installed is read: one processor is enough for it
	accept  acceptance
}

// New prepares a console. It fails when a page or a text has a fault.
func New(o Options) (*Console, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Access == nil {
		o.Access = NewAccess(o.Now)
	}
	c := &Console{o: o, pages: map[string]*template.Template{}, access: o.Access, frames: newFrames()}
	words, err := fs.Sub(files, "words")
	if err != nil {
		return nil, err
	}
	if c.words, err = catalogue.Read(words, languages[:]...); err != nil {
		return nil, err
	}
	if c.assets, err = pages.ReadAssets(files); err != nil {
		return nil, err
	}
	layout, err := template.New("layout.html").Funcs(template.FuncMap{"asset": c.assets.Link}).ParseFS(files, "templates/layout.html")
	if err != nil {
		return nil, err
	}
	all, err := fs.Glob(files, "templates/*.html")
	if err != nil {
		return nil, err
	}
	for _, file := range all {
		page, err := layout.Clone()
		if err == nil && file != "templates/layout.html" {
			page, err = page.ParseFS(files, file)
		}
		if err != nil {
			return nil, err
		}
		c.pages[strings.TrimSuffix(strings.TrimPrefix(file, "templates/"), ".html")] = page
	}
	c.resumeAcceptance()
	return c, nil
}

// A Code opens one session at the pages.
type Code struct {
	Code  string    `json:"code"`
	Until time.Time `json:"until"`
}

// A route is a request that the console answers, and who may make it.
type route struct {
	pattern string
	may     []Role
	handle  func(w http.ResponseWriter, r *http.Request, who Caller) error
	passive bool // made by the page, not by a person
}

var (
	anyone = []Role{Nobody, Technician, Officer}
	staff  = []Role{Technician, Officer}
	police = []Role{Officer}
)

// routes is the table of all that may be asked.
func (c *Console) routes() []route {
	return []route{
		{"GET /{$}", staff, c.state, false},
		{"GET /login", anyone, c.loginPage, false},
		{"POST /login", anyone, c.login, false},
		{"POST /login/officer", anyone, c.officerLogin, false},
		{"POST /selftest", staff, c.selfTest, false},
		{"GET /live", staff, c.livePage, false},
		{"GET /picture.jpg", staff, c.picture, true},
		{"GET /signal.svg", staff, c.signal, true},
		{"POST /service/begin", staff, c.serviceOn, false},
		{"POST /service/end", staff, c.serviceOff, false},
		{"GET /aim", staff, c.aimPage, false},
		{"POST /aim/done", staff, c.aimDone, false},
		{"GET /accept", staff, c.acceptPage, false},
		{"GET /accept.csv", staff, c.acceptCSV, false},
		{"POST /accept/plan", staff, c.acceptPlan, false},
		{"POST /accept/run/{run}", staff, c.acceptRun, false},
		{"POST /accept/end", staff, c.acceptEnd, false},
		{"GET /stick", staff, c.stick, false},
		{"GET /journal", staff, c.journal, false},
		{"GET /violations", police, c.violations, false},
		{"GET /violations/{epoch}/{seq}", police, c.violation, false},
		{"GET /violations/{epoch}/{seq}/{frame}", police, c.violationFrame, true},
		{"POST /logout", staff, c.logout, false},
		{"POST /language", anyone, c.language, false},
		{"GET /assets/{name}", anyone, c.asset, true},
	}
}

// local is what may be asked at the socket only, by whoever may open it.
func (c *Console) local() []route {
	return []route{
		{"POST /code", staff, c.newCode, false},
		{"GET /calibration", staff, c.calibration, false},
		{"GET /seen", staff, c.seen, false},
	}
}

// Handler answers what comes over the network.
func (c *Console) Handler() http.Handler {
	mux := http.NewServeMux()
	routes, other := c.routes(), c.absent
	if c.o.Device == nil {
		routes, other = c.waitingRoutes(), c.toWaiting
	}
	for _, t := range routes {
		mux.HandleFunc(t.pattern, c.answer(t, c.session))
	}
	mux.HandleFunc("/", c.answer(route{may: anyone, handle: other}, c.session))
	return c.guard(http.NewCrossOriginProtection().Handler(mux))
}

// Local answers what comes over the socket: whoever may open it has the device in
// hand, and is its technician.
func (c *Console) Local() http.Handler {
	mux := http.NewServeMux()
	for _, t := range slices.Concat(c.routes(), c.local()) {
		mux.HandleFunc(t.pattern, c.answer(t, peer))
	}
	return mux
}

// sessionCookie is the name of the cookie that holds that of the session.
const sessionCookie = "ciglio_session"

// session returns who makes a request over the network.
func (c *Console) session(r *http.Request, passive bool) Caller {
	cookie, err := r.Cookie(sessionCookie)
	if err != nil {
		return Caller{}
	}
	return c.access.caller(cookie.Value, !passive)
}

// peerKey is that of the caller in the context of a connection to the socket.
type peerKey struct{}

func peer(r *http.Request, _ bool) Caller {
	who, _ := r.Context().Value(peerKey{}).(Caller)
	return who
}

// answer is the one place that decides who may, and that turns errors into
// answers.
func (c *Console) answer(t route, who func(*http.Request, bool) Caller) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		caller := who(r, t.passive || r.Header.Get(renewHeader) != "")
		if !slices.Contains(t.may, caller.Role) {
			if caller.Role == Nobody && r.Method == http.MethodGet && !t.passive {
				http.Redirect(w, r, "/login", http.StatusSeeOther)
				return
			}
			c.fail(w, r, caller, refusal{http.StatusForbidden, "forbidden"})
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, maxForm)
		if err := t.handle(w, r, caller); err != nil {
			c.fail(w, r, caller, err)
		}
	}
}

// renewHeader is set on what a page asks by itself.
const renewHeader = "Ciglio-Renew"

// maxForm bounds what a page sends.
const maxForm = 64 << 10

// A refusal is an answer other than a page, with the code of its words.
type refusal struct {
	status int
	code   string
}

func (e refusal) Error() string { return e.code }

var errAbsent = refusal{http.StatusNotFound, "absent"}

func (c *Console) absent(http.ResponseWriter, *http.Request, Caller) error { return errAbsent }

// fail answers with the page of an error.
func (c *Console) fail(w http.ResponseWriter, r *http.Request, who Caller, err error) {
	var e refusal
	if !errors.As(err, &e) {
		c.o.Log.Error("request failed", "path", r.URL.Path, "error", err)
		e = refusal{http.StatusInternalServerError, "failed"}
	}
	if wantsJSON(r) {
		writeJSON(w, e.status, struct {
			Error string `json:"error"`
			Words string `json:"words"`
		}{e.code, err.Error()})
		return
	}
	v := c.view(r, who)
	words, fault := v.T("error." + e.code)
	if fault != nil {
		c.o.Log.Error("page failed", "page", "error", "error", fault)
	}
	if fault = c.show(w, e.status, "error", errorView{v, words}); fault != nil {
		http.Error(w, http.StatusText(e.status), e.status)
	}
}

type errorView struct {
	View
	Words string
}

// show renders a page. It is made whole before anything of it is sent: after an
// error nothing is.
func (c *Console) show(w http.ResponseWriter, status int, name string, view any) error {
	var page bytes.Buffer
	if err := c.pages[name].ExecuteTemplate(&page, name, view); err != nil {
		return err
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	w.Write(page.Bytes())
	return nil
}

// wantsJSON reports whether a program asks.
func wantsJSON(r *http.Request) bool { return r.Header.Get("Accept") == "application/json" }

func writeJSON(w http.ResponseWriter, status int, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	w.Write(append(text, '\n'))
	return nil
}

func (c *Console) asset(w http.ResponseWriter, r *http.Request, _ Caller) error {
	if !c.assets.Send(w, r.PathValue("name")) {
		return errAbsent
	}
	return nil
}

// guard sets what every answer carries, and refuses requests that name another host
// than an address: otherwise any page in the same browser could read these by a name
// of its own that leads here.
func (c *Console) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		pages.Protect(w.Header(), "'self'")
		if !isAddress(r.Host) {
			http.Error(w, "ask for this page by the device's address", http.StatusMisdirectedRequest)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// isAddress reports whether a Host header is an address, or this machine's own name
// for itself.
func isAddress(host string) bool {
	name, _, err := net.SplitHostPort(host)
	if err != nil {
		name = host
	}
	return name == "localhost" || net.ParseIP(strings.Trim(name, "[]")) != nil
}

// What the pages take at most: one technician, a phone and a notebook.
const (
	maxConnections = 32
	headerTime     = 5 * time.Second
	requestTime    = 15 * time.Second
	answerTime     = 30 * time.Second
	idleTime       = time.Minute
	grace          = 2 * time.Second
)

// Serve answers on l until ctx ends, and closes it. Requests in hand get a moment.
func (c *Console) Serve(ctx context.Context, l net.Listener) error {
	return c.serve(ctx, &http.Server{Handler: c.Handler()}, newLimited(l, maxConnections))
}

// ServeLocal is Serve for the socket of [Console.Local].
func (c *Console) ServeLocal(ctx context.Context, l net.Listener) error {
	return c.serve(ctx, &http.Server{Handler: c.Local(), ConnContext: func(ctx context.Context, conn net.Conn) context.Context {
		return context.WithValue(ctx, peerKey{}, callerOf(conn))
	}}, newLimited(l, maxConnections))
}

func (c *Console) serve(ctx context.Context, server *http.Server, l net.Listener) error {
	server.ReadHeaderTimeout, server.ReadTimeout, server.WriteTimeout, server.IdleTimeout = headerTime, requestTime, answerTime, idleTime
	server.MaxHeaderBytes = 16 << 10
	server.ErrorLog = slog.NewLogLogger(c.o.Log.Handler(), slog.LevelDebug)
	return pages.Serve(ctx, server, l, grace)
}

// A limited listener has so many connections open at most. One more is closed at
// once: it would wait for those who hold the others.
type limited struct {
	net.Listener
	free chan struct{}
}

func newLimited(l net.Listener, most int) *limited {
	return &limited{l, make(chan struct{}, most)}
}

// Accept implements [net.Listener].
func (l *limited) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		select {
		case l.free <- struct{}{}:
			return &counted{Conn: conn, done: sync.OnceFunc(func() { <-l.free })}, nil
		default:
			conn.Close()
		}
	}
}

type counted struct {
	net.Conn
	done func()
}

// Close implements [net.Conn].
func (c *counted) Close() error {
	defer c.done()
	return c.Conn.Close()
}
