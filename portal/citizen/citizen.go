// Package citizen is the door of the citizens' host: what anybody may read. Today that
// is how to check evidence without trusting this centre: the page that checks a bundle,
// the fingerprint of the root key to compare, the public log.
//
// What it keeps true: nothing of a record or a person is on it but what the public log has,
// which are hashes, and of devices what the trust file has: their ids and keys, no place.
package citizen

import (
	"bytes"
	"embed"
	"errors"
	"log/slog"
	"net/http"
	"strings"

	"ciglio/capture/evidence"
	"ciglio/portal/page"
)

//go:embed templates words
var files embed.FS

// Room is the door's own pages.
var Room = page.Room{Name: "citizen", Files: files, Codes: []string{"citizen.menu.*"}}

// A Register has the keys that count. [*ciglio/portal/register.File] is one.
type Register interface {
	Trust() *evidence.Trust
	Text() []byte
}

// Options of the host. Register, Published and LogKey are needed.
type Options struct {
	Register  Register
	Published http.Handler // serves the log under /log/
	LogKey    string
	Log       *slog.Logger
}

// Name is the host's.
const Name = "citizens"

// A door answers for its own pages.
type door struct {
	o     Options
	pages *page.Pages
	check []byte // the page that checks a bundle
	may   string // its content security policy
}

// New makes the host.
func New(o Options) (*page.Host, error) {
	host, err := page.New(page.Options{
		Name: Name, Layout: page.Public, Rooms: []page.Room{Room}, Title: "citizen.menu.site",
		Menu: []page.Link{{Path: "/", Words: "citizen.menu.start"}, {Path: "/check", Words: "citizen.menu.check"}, {Path: "/public-log", Words: "citizen.menu.log"}},
		Log:  o.Log,
	})
	if err != nil {
		return nil, err
	}
	d := &door{o: o, pages: host.Pages(Room.Name), check: evidence.Page()}
	if d.may, err = policyOf(d.check); err != nil {
		return nil, err
	}
	log := http.StripPrefix("/log", o.Published)
	for pattern, handler := range map[string]page.Handler{
		"GET /{$}":         d.start,
		"GET /check":       d.checking,
		"GET /public-log":  d.log,
		"GET /verify.html": d.verify,
		"GET /trust":       d.trust,
		"GET /log/": func(w http.ResponseWriter, r *http.Request) error {
			w.Header().Del("Vary") // tiles are the same to everybody, and may be kept for all
			log.ServeHTTP(w, r)
			return nil
		},
		"GET /log/key": d.logKey,
	} {
		host.Handle(pattern, handler)
	}
	return host, nil
}

// policyOf returns the policy that the page that checks states itself: its one script
// and style by their hashes. It is sent with it, too.
func policyOf(check []byte) (string, error) {
	_, rest, ok := bytes.Cut(check, []byte(`http-equiv="Content-Security-Policy" content="`))
	policy, _, end := bytes.Cut(rest, []byte(`"`))
	if !ok || !end || !bytes.HasPrefix(policy, []byte("default-src 'none'")) {
		return "", errors.New("verify.html states no policy")
	}
	return string(policy) + "; frame-ancestors 'none'", nil
}

type startView struct{ page.View }

func (d *door) start(w http.ResponseWriter, r *http.Request) error {
	return d.pages.Render(w, r, "start", startView{page.NewView(r)})
}

type checkView struct {
	page.View
	Fingerprint []string // of the root key, four digits each
}

func (d *door) checking(w http.ResponseWriter, r *http.Request) error {
	return d.pages.Render(w, r, "check", checkView{page.NewView(r), fingerprint(d.o.Register.Trust().Root())})
}

// fingerprint is a hash as people compare it.
func fingerprint(h evidence.Hash) (groups []string) {
	text := strings.ToUpper(h.String())
	for ; len(text) > 4; text = text[4:] {
		groups = append(groups, text[:4])
	}
	return append(groups, text)
}

type logView struct {
	page.View
	Key, Checkpoint string
}

func (d *door) log(w http.ResponseWriter, r *http.Request) error {
	return d.pages.Render(w, r, "log", logView{page.NewView(r), d.o.LogKey, "/log/checkpoint"})
}

// verify is the page that every bundle has, byte for byte.
func (d *door) verify(w http.ResponseWriter, _ *http.Request) error {
	w.Header().Set("Content-Security-Policy", d.may)
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, err := w.Write(d.check)
	return err
}

func (d *door) trust(w http.ResponseWriter, _ *http.Request) error {
	w.Header().Set("Content-Type", "application/x-pem-file")
	w.Header().Set("Content-Disposition", `attachment; filename="ciglio-trust.pem"`)
	_, err := w.Write(d.o.Register.Text())
	return err
}

func (d *door) logKey(w http.ResponseWriter, _ *http.Request) error {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, err := w.Write([]byte(d.o.LogKey + "\n"))
	return err
}
