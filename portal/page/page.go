// Package page is what all pages of the centre are made of: layouts and blocks, forms,
// errors, texts in three languages, files that pages refer to, and the two hosts on
// which they stand.
//
// What it keeps true:
//
//   - A page is made whole before anything of it is sent: a handler answers, or returns
//     an error and has written nothing. One place turns errors into answers; what it
//     does not know is an answer without detail.
//   - Language belongs to the view of one request. A text is an entry of the catalogue:
//     outside its tags a template has no letter. A key that a language lacks, that nobody
//     uses or that takes other arguments stops the start.
//   - No page takes anything from another host, has a script or style of its own, or
//     needs a script to work.
//   - No page is on two hosts, and no cookie of one is read by the other.
//
// It knows nothing of cases, records or devices. A desk brings its pages as a [Room]; the
// door ([ciglio/portal/officer], [ciglio/portal/citizen]) makes a [Host] of its rooms,
// hands each desk its [Pages] and takes its routes:
//
//	host, err := page.New(page.Options{Name: "officers", Layout: page.Staff, Rooms: []page.Room{appeal.Room, …}})
//	desk := appeal.New(appeal.Options{Pages: host.Pages("appeal"), …})
//	for pattern, handler := range desk.Routes() {
//		host.Handle(pattern, handler)
//	}
//
// # A room
//
// A folder templates with a file a page, named by it. It defines "title" and "content",
// and may define "head" for what a page refers to; files in templates/blocks are shared
// by the pages of the room. A folder words with it.toml,
// en.toml and de.toml, as [ciglio/internal/catalogue] describes; the key of a text is the
// room's name, its section and its name: appeal.decide.title. What only the program uses,
// such as words of refusals, is named in [Room.Codes].
//
//	{{define "title"}}{{.T "appeal.decide.title"}}{{end}}
//	{{define "content"}}<h1>{{template "title" .}}</h1>
//	{{template "errors" (.Faults .Errors)}}
//	<form method="post">{{template "key" .}}
//	{{template "field" (.DayField "served" (.T "appeal.decide.served") .Errors)}}
//	<button>{{.T "appeal.decide.confirm"}}</button></form>{{end}}
//
// A [Host] is safe for concurrent use once it serves.
package page

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"html/template"
	"io/fs"
	"log/slog"
	"net/http"
	"path"
	"slices"
	"strings"
	"time"
	_ "time/tzdata" // local time is part of what is shown

	"ciglio/internal/catalogue"
	"ciglio/internal/pages"
)

//go:embed templates words assets
var files embed.FS

// Languages are those of all pages, the one of the law first.
var Languages = []string{"it", "en", "de"}

// A Layout is what stands about the content of a page.
type Layout string

// The layouts: one a host.
const (
	Staff  Layout = "staff"  // dense, for people who look at it all day
	Public Layout = "public" // calm, for people who come once
)

// A Room is the pages of one desk.
type Room struct {
	Name  string // before the keys of its words, as in appeal.decide.title
	Files fs.FS  // with the folders templates and words
	// Codes are keys that its program uses and no template; "appeal.refused.*" are all of
	// a section, which pagetest holds against the program's text.
	Codes []string
}

// A Link leads to a page of the same host. Words is the key of its text.
type Link struct{ Path, Words string }

// Options of a [Host]. Name and Layout are needed.
type Options struct {
	Name   string // such as officers: part of the names of its cookies, and in its log
	Layout Layout
	Rooms  []Room
	Title  string // key of the host's name, which stands on every page
	Menu   []Link
	// Absent are errors that wrap what is not there, or is not the reader's: one answer,
	// beside that to [ErrAbsent].
	Absent []error
	// Loopback has requests refused that name another host than this machine:
	// otherwise any page in the same browser could read these.
	Loopback bool
	Limits   Limits         // zero: those of the layout
	Zone     *time.Location // of the times on its pages; nil means Europe/Rome
	Log      *slog.Logger   // nil: nothing is logged
}

// A Host is one of the centre's two sites. Everything is told to it before it serves.
type Host struct {
	o      Options
	words  *catalogue.Set
	used   map[string]bool // keys of the templates
	rooms  map[string]*Pages
	assets pages.Assets
	mux    *http.ServeMux
	guard  http.Handler
	rate   *rate
}

// New makes a host of its rooms. It fails when a page or a text has a fault, and names
// all of them.
func New(o Options) (*Host, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Zone == nil {
		zone, err := time.LoadLocation("Europe/Rome")
		if err != nil {
			return nil, err
		}
		o.Zone = zone
	}
	if o.Limits == (Limits{}) {
		o.Limits = limitsOf[o.Layout]
	}
	h := &Host{o: o, used: map[string]bool{}, rooms: map[string]*Pages{}, mux: http.NewServeMux(), rate: newRate(o.Limits)}
	var err error
	if err = h.read(); err != nil {
		return nil, fmt.Errorf("pages of %s: %w", o.Name, err)
	}
	h.Handle("GET /assets/{name}", h.asset)
	h.Handle("/", func(http.ResponseWriter, *http.Request) error { return ErrAbsent })
	h.guard = h.guarded(h.mux)
	return h, nil
}

// read reads words, templates and assets, and checks them against each other.
func (h *Host) read() error {
	own, err := fs.Sub(files, "words")
	if err != nil {
		return err
	}
	parts, folders := []catalogue.Part{{Folder: own}}, []fs.FS{files}
	for _, room := range h.o.Rooms {
		words, err := fs.Sub(room.Files, "words")
		if err != nil {
			return err
		}
		parts = append(parts, catalogue.Part{Prefix: room.Name, Folder: words})
		folders = append(folders, room.Files)
	}
	if h.words, err = catalogue.ReadParts(parts, Languages...); err != nil {
		return err
	}
	if h.assets, err = pages.ReadAssets(folders...); err != nil {
		return err
	}
	var faults []error
	for _, room := range slices.Concat([]Room{{Name: "", Files: files}}, h.o.Rooms) {
		p, err := h.parse(room)
		if err != nil {
			return err
		}
		h.rooms[room.Name] = p
		faults = append(faults, h.check(p)...)
	}
	codes := slices.Concat(ownCodes, []string{h.o.Title})
	for _, link := range h.o.Menu {
		codes = append(codes, link.Words)
	}
	for _, room := range h.o.Rooms {
		codes = append(codes, room.Codes...)
	}
	codes, missing := h.sections(codes)
	for _, section := range missing {
		faults = append(faults, fmt.Errorf("words: %s: there are none", section))
	}
	for language, key := range h.words.Missing(codes) {
		faults = append(faults, fmt.Errorf("%s.toml: %s is missing", language, key))
	}
	used := map[string]bool{}
	for _, key := range slices.Concat(codes, h.Keys()) {
		used[key] = true
	}
	for _, key := range h.words.Unused(used) {
		faults = append(faults, fmt.Errorf("words: nobody uses %s", key))
	}
	return errors.Join(faults...)
}

// sections returns codes with the keys of the sections in them, and the sections that
// have no key.
func (h *Host) sections(codes []string) (all, missing []string) {
	for _, code := range codes {
		section, whole := strings.CutSuffix(code, "*")
		if !whole {
			all = append(all, code)
			continue
		}
		before := len(all)
		for _, key := range h.words.Keys() {
			if strings.HasPrefix(key, section) {
				all = append(all, key)
			}
		}
		if len(all) == before {
			missing = append(missing, code)
		}
	}
	return all, missing
}

// Words are the texts of all pages of the host.
func (h *Host) Words() *catalogue.Set { return h.words }

// Keys returns the keys of the texts in all templates, sorted.
func (h *Host) Keys() []string {
	keys := make([]string, 0, len(h.used))
	for key := range h.used {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

// Pages returns those of a room, nil when the host has none of the name.
func (h *Host) Pages(room string) *Pages { return h.rooms[room] }

// Pages are the templates of one room on one host. They are safe for concurrent use.
type Pages struct {
	host *Host
	all  map[string]*template.Template
}

// parse reads the templates of a room.
func (h *Host) parse(room Room) (*Pages, error) {
	layout := "templates/" + string(h.o.Layout) + ".html"
	base, err := template.New(path.Base(layout)).Funcs(template.FuncMap{"asset": h.assets.Link}).ParseFS(files, "templates/blocks/*.html", layout)
	if err != nil {
		return nil, err
	}
	names, err := fs.Glob(room.Files, "templates/*.html")
	if err != nil {
		return nil, err
	}
	blocks, err := fs.Glob(room.Files, "templates/blocks/*.html")
	if err != nil {
		return nil, err
	}
	if room.Name != "" && len(blocks) > 0 {
		if base, err = base.ParseFS(room.Files, "templates/blocks/*.html"); err != nil {
			return nil, err
		}
	}
	p := &Pages{host: h, all: map[string]*template.Template{}}
	for _, file := range names {
		name := strings.TrimSuffix(path.Base(file), ".html")
		if room.Name == "" && (name == string(Staff) || name == string(Public)) {
			continue
		}
		one, err := base.Clone()
		if err == nil {
			one, err = one.ParseFS(room.Files, file)
		}
		if err != nil {
			return nil, err
		}
		p.all[name] = one.Lookup(path.Base(layout))
		for _, part := range []string{"title", "content"} {
			if one.Lookup(part) == nil {
				return nil, fmt.Errorf("%s: %s: defines no %q", room.Name, file, part)
			}
		}
	}
	return p, nil
}

// check returns what is wrong with the texts of templates.
func (h *Host) check(p *Pages) (faults []error) {
	for _, page := range p.all {
		for _, t := range page.Templates() {
			if t.Tree != nil {
				faults = append(faults, h.words.Uses(t.Tree, h.used)...)
				faults = append(faults, letters(t.Tree)...)
			}
		}
	}
	// One layout of the two is not this host's: its words are no fault.
	for _, layout := range []Layout{Staff, Public} {
		t, err := template.New("").Funcs(template.FuncMap{"asset": h.assets.Link}).ParseFS(files, "templates/blocks/*.html", "templates/"+string(layout)+".html")
		if err != nil {
			return append(faults, err)
		}
		for _, one := range t.Templates() {
			if one.Tree != nil {
				faults = append(faults, h.words.Uses(one.Tree, h.used)...)
			}
		}
	}
	slices.SortFunc(faults, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return slices.CompactFunc(faults, func(a, b error) bool { return a.Error() == b.Error() })
}

// Names returns those of the pages, sorted.
func (p *Pages) Names() (names []string) {
	for name := range p.all {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Template returns that of a page, for tests; nil when there is none of the name.
func (p *Pages) Template(name string) *template.Template { return p.all[name] }

// Render answers with a page. After an error nothing was sent.
func (p *Pages) Render(w http.ResponseWriter, r *http.Request, name string, view any) error {
	return p.RenderAs(w, r, http.StatusOK, name, view)
}

// RenderAs is [Pages.Render] with another status, such as 422 for a form with errors.
func (p *Pages) RenderAs(w http.ResponseWriter, r *http.Request, status int, name string, view any) error {
	t, ok := p.all[name]
	if !ok {
		return fmt.Errorf("no page %q", name)
	}
	var page bytes.Buffer
	if err := t.Execute(&page, view); err != nil {
		return fmt.Errorf("page %s: %w", name, err)
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		w.Write(page.Bytes())
	}
	return nil
}

func (h *Host) asset(w http.ResponseWriter, r *http.Request) error {
	w.Header().Del("Vary") // it is the same to everybody, and may be kept for all
	if !h.assets.Send(w, r.PathValue("name")) {
		return ErrAbsent
	}
	return nil
}
