package page_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"

	"ciglio/internal/catalogue"
	"ciglio/portal/page"
	"ciglio/portal/page/pagetest"
)

const (
	list = `{{define "title"}}{{.T "desk.list.title"}}{{end}}
{{define "content"}}<h1>{{template "title" .}}</h1>
{{range .Rows}}<p>{{$.T "desk.list.row" "name" .Name}} {{$.Money .Due}} {{$.Instant .At}}</p>{{end}}
{{template "pager" (.Pager "" "?after=3")}}{{end}}`
	form = `{{define "title"}}{{.T "desk.list.title"}}{{end}}
{{define "content"}}<h1>{{template "title" .}}</h1>{{template "errors" (.Faults .Errors)}}
<form method="post">{{template "key" .}}{{template "field" (.DayField "served" (.T "desk.list.served") .Errors)}}<button>{{.T "desk.list.title"}}</button></form>{{end}}`
	english = "[list]\ntitle = \"List\"\nserved = \"Day of service\"\nrow = \"of {name:text}\"\n[refused]\nearly = \"Served before it was sent.\"\n"
	italian = "[list]\ntitle = \"Elenco\"\nserved = \"Giorno di notifica\"\nrow = \"di {name:text}\"\n[refused]\nearly = \"Notificato prima dell'invio.\"\n"
	german  = "[list]\ntitle = \"Liste\"\nserved = \"Tag der Zustellung\"\nrow = \"von {name:text}\"\n[refused]\nearly = \"Zugestellt, bevor es abgesandt war.\"\n"
)

func room(change ...string) page.Room {
	files := fstest.MapFS{
		"templates/list.html": {Data: []byte(list)}, "templates/form.html": {Data: []byte(form)},
		"words/it.toml": {Data: []byte(italian)}, "words/en.toml": {Data: []byte(english)}, "words/de.toml": {Data: []byte(german)},
	}
	for i := 0; i < len(change); i += 3 {
		files[change[i]] = &fstest.MapFile{Data: []byte(strings.Replace(string(files[change[i]].Data), change[i+1], change[i+2], 1))}
	}
	return page.Room{Name: "desk", Files: files, Codes: []string{"desk.refused.early"}}
}

type row struct {
	Name string
	Due  int64
	At   time.Time
}

type listView struct {
	page.View
	Rows []row
}

type formView struct {
	page.View
	Errors page.Faults
}

// A refusal is as casefile's.
type refusal struct{}

func (refusal) Error() string                   { return "early" }
func (refusal) Refusal() (code string, _ []any) { return "desk.refused.early", nil }

var errNoRow = errors.New("no row")

// desk is a host with one room, and what its form was last told.
type desk struct {
	t testing.TB
	*page.Host
	key    string
	served page.Date
	err    error
}

func newDesk(t testing.TB, layout page.Layout) *desk {
	t.Helper()
	host, err := page.New(page.Options{Name: "test", Layout: layout, Rooms: []page.Room{room()}, Title: "desk.list.title",
		Menu: []page.Link{{Path: "/", Words: "desk.list.title"}}, Absent: []error{errNoRow}, Loopback: true})
	if err != nil {
		t.Fatal(err)
	}
	d := &desk{t: t, Host: host}
	pages := host.Pages("desk")
	at := time.Date(2026, 3, 29, 1, 30, 0, 0, time.UTC)
	host.Handle("GET /{$}", func(w http.ResponseWriter, r *http.Request) error {
		return pages.Render(w, r, "list", listView{page.NewView(r), []row{{"<b>", 2940, at}}})
	})
	host.Handle("GET /fails/{how}", func(w http.ResponseWriter, r *http.Request) error {
		switch r.PathValue("how") {
		case "unknown":
			return errors.New("secret of the database")
		case "absent":
			return errors.Join(errNoRow)
		case "panics":
			panic("secret of the program")
		case "busy":
			return page.ErrBusy
		case "late":
			io.WriteString(w, "half")
			return errors.New("broke")
		case "sending":
			for name, value := range map[string]string{"Content-Length": "7", "Content-Disposition": "attachment", "Cache-Control": "public", "Content-Security-Policy": ""} {
				w.Header().Set(name, value)
			}
			return errors.New("secret of the disk")
		case "view":
			return pages.Render(w, r, "list", formView{View: page.NewView(r)})
		}
		return page.ErrAbsent
	})
	host.Handle("POST /to/{path...}", func(w http.ResponseWriter, r *http.Request) error {
		return page.SeeOther(w, r, r.URL.Query().Get("to"))
	})
	host.Handle("GET /form", d.form)
	host.Handle("POST /form", d.form)
	return d
}

func (d *desk) form(w http.ResponseWriter, r *http.Request) error {
	var errs page.Faults
	status := http.StatusOK
	if r.Method == http.MethodPost {
		in := page.Read(r)
		d.served, d.key = in.Day("served"), in.Key()
		if errs = in.Errors(); errs == nil {
			if errs = page.Refused(d.err); errs == nil {
				return page.SeeOther(w, r, "/")
			}
		}
		status = http.StatusUnprocessableEntity
	}
	return d.Host.Pages("desk").RenderAs(w, r, status, "form", formView{page.NewView(r), errs})
}

func (d *desk) ask(method, path, body string, headers ...string) *httptest.ResponseRecorder {
	d.t.Helper()
	r := httptest.NewRequest(method, "http://127.0.0.1:8080"+path, strings.NewReader(body))
	if body != "" {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
		if headers[i] == "Host" {
			r.Host = headers[i+1]
		}
	}
	w := httptest.NewRecorder()
	func() {
		defer func() {
			if fault := recover(); fault != nil && fault != http.ErrAbortHandler {
				panic(fault)
			}
		}()
		d.ServeHTTP(w, r)
	}()
	return w
}

func TestPagesSpeakTheReadersLanguage(t *testing.T) {
	d := newDesk(t, page.Staff)
	for _, test := range []struct {
		name    string
		headers []string
		want    []string
	}{
		{"nothing said", nil, []string{`<html lang="it">`, "di &lt;b&gt; 29,40\u00a0€ 29 marzo 2026, 03:30:00", "Vai al contenuto"}},
		{"the browser's", []string{"Accept-Language", "de-AT"}, []string{`<html lang="de">`, "von &lt;b&gt; 29,40\u00a0€ 29. März 2026, 03:30:00"}},
		{"chosen before", []string{"Accept-Language", "de-AT", "Cookie", "__Host-test-language=en"}, []string{`<html lang="en">`, "€29.40"}},
		{"another host's choice", []string{"Cookie", "__Host-other-language=en"}, []string{`<html lang="it">`}},
		{"a choice that is none", []string{"Cookie", "__Host-test-language=xx"}, []string{`<html lang="it">`}},
	} {
		w := d.ask("GET", "/", "", test.headers...)
		for _, want := range test.want {
			if !strings.Contains(w.Body.String(), want) {
				t.Errorf("%s: no %q in\n%s", test.name, want, w.Body)
			}
		}
	}
	w := d.ask("GET", "/?after=3&lang=de", "")
	cookie := w.Header().Get("Set-Cookie")
	if w.Code != 303 || w.Header().Get("Location") != "/?after=3" || !strings.HasPrefix(cookie, "__Host-test-language=de; Path=/; Max-Age=31536000; HttpOnly; Secure") {
		t.Errorf("choosing: %d to %q, cookie %q", w.Code, w.Header().Get("Location"), cookie)
	}
	if w := d.ask("GET", "/?lang=xx", ""); w.Code != 303 || w.Header().Get("Set-Cookie") != "" {
		t.Errorf("choosing none: %d, cookie %q", w.Code, w.Header().Get("Set-Cookie"))
	}
	if w := d.ask("GET", "//evil.example/?lang=de", ""); strings.HasPrefix(w.Header().Get("Location"), "//") {
		t.Errorf("choosing leads to %q", w.Header().Get("Location"))
	}
}

// No link of a page leads to another host, whatever its own address was.
func TestLinksStayOnTheHost(t *testing.T) {
	d := newDesk(t, page.Public)
	for _, test := range []struct{ path, want string }{
		{"/%2Fevil.example/", `href="/evil.example/?lang=de"`},
		{"/%2F%2Fevil.example", `href="/evil.example?lang=de"`},
		{"/%5Cevil.example", `href="/%5cevil.example?lang=de"`},
		{"/a%3Fb", `href="/a%3fb?lang=de"`},
	} {
		body := d.ask("GET", test.path, "").Body.String()
		if !strings.Contains(strings.ToLower(body), test.want) {
			t.Errorf("%s: no %s in\n%s", test.path, test.want, body)
		}
	}
	for _, test := range []struct{ path, to, want string }{
		{"/to/case", "done", "/to/done"},
		{"/to/a%3Fb/case", "done?after=3#end", "/to/a%3Fb/done?after=3#end"},
		{"/to/case", "/other", "/other"},
		{"/to/case", "//evil.example", ""},
		{"/to/case", "///evil.example", "/evil.example"},
		{"/to/case", `/\evil.example`, "/%5Cevil.example"},
		{"/to/case", "https://evil.example", ""},
		{"/to/case", "javascript:1", ""},
	} {
		w := d.ask("POST", test.path+"?to="+url.QueryEscape(test.to), "")
		if got := w.Header().Get("Location"); got != test.want || (w.Code == 303) != (test.want != "") {
			t.Errorf("%s to %s: %d to %q, want %q", test.path, test.to, w.Code, got, test.want)
		}
	}
}

func TestOnePlaceTurnsErrorsIntoAnswers(t *testing.T) {
	d := newDesk(t, page.Public)
	absent := ""
	for _, test := range []struct {
		how    string
		status int
		want   string
	}{
		{"absent", 404, "There is no such page"},
		{"elsewhere", 404, "There is no such page"},
		{"unknown", 500, "The request failed."},
		{"panics", 500, "The request failed."},
		{"view", 500, "The request failed."},
		{"busy", 503, "Others are being served"},
		{"sending", 500, "The request failed."},
		{"late", 200, "half"},
	} {
		w := d.ask("GET", "/fails/"+test.how, "", "Accept-Language", "en")
		body := w.Body.String()
		if w.Code != test.status || !strings.Contains(body, test.want) || strings.Contains(body, "secret") {
			t.Errorf("%s: %d\n%s", test.how, w.Code, body)
		}
		if w.Code == 404 {
			body = strings.ReplaceAll(body, test.how, "")
			if absent != "" && body != absent {
				t.Errorf("%s: not there and not yours are two answers:\n%s\n%s", test.how, body, absent)
			}
			absent = body
		}
		if h := w.Header(); h.Get("Content-Length")+h.Get("Content-Disposition") != "" || h.Get("Cache-Control") != "no-store" || h.Get("Content-Security-Policy") == "" {
			t.Errorf("%s: the answer is said to be a file: %v", test.how, h)
		}
		if (w.Code == 503) != (w.Header().Get("Retry-After") != "") {
			t.Errorf("%s: Retry-After %q", test.how, w.Header().Get("Retry-After"))
		}
	}
	if w := d.ask("GET", "/nowhere", "", "Accept-Language", "en"); w.Code != 404 || !strings.Contains(w.Body.String(), "There is no such page") {
		t.Errorf("a path of nobody: %d", w.Code)
	}
}

func TestFormIsShownAgainWithWhatIsWrong(t *testing.T) {
	d := newDesk(t, page.Staff)
	const key = "0123456789abcdef0123456789abcdef"
	for _, test := range []struct {
		name, body string
		err        error
		status     int
		want       []string
	}{
		{"right", "key=" + key + "&served=28.2.2026", nil, 303, nil},
		{"no such day", "key=" + key + "&served=30.02.2026", nil, 422, []string{`value="30.02.2026"`, `href="#served"`, "This day is not in the calendar.", `value="` + key + `"`, `aria-invalid="true"`}},
		{"empty", "key=" + key + "&served=+", nil, 422, []string{"This is empty."}},
		{"no key", "served=28.2.2026", nil, 422, []string{"The page was incomplete.", `value="2026-02-28"`}},
		{"a key of another shape", "key=X&served=28.2.2026", nil, 422, []string{"The page was incomplete."}},
		{"refused by the law", "key=" + key + "&served=28.2.2026", refusal{}, 422, []string{"Served before it was sent."}},
		{"no form", "%zz", nil, 422, []string{"The form came incomplete."}},
		{"without end", "served=" + strings.Repeat("x", 1<<17), nil, 422, []string{"The form is too large."}},
	} {
		d.err = test.err
		w := d.ask("POST", "/form", test.body, "Accept-Language", "en")
		if w.Code != test.status {
			t.Errorf("%s: %d, want %d", test.name, w.Code, test.status)
		}
		for _, want := range test.want {
			if !strings.Contains(w.Body.String(), want) {
				t.Errorf("%s: no %q in\n%s", test.name, want, w.Body)
			}
		}
	}
	one, two := d.ask("GET", "/form", "").Body.String(), d.ask("GET", "/form", "").Body.String()
	if one == two {
		t.Error("two forms have one key")
	}
	if w := d.ask("POST", "/form", "key="+key+"&served=28.2.2026", "Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate"); w.Code != 403 {
		t.Errorf("a form of another site: %d", w.Code)
	}
	if w := d.ask("POST", "/form", "key="+key+"&served=28.2.2026", "Origin", "https://evil.example"); w.Code != 403 {
		t.Errorf("a form of another origin: %d", w.Code)
	}
}

func TestEveryAnswerIsProtected(t *testing.T) {
	d := newDesk(t, page.Staff)
	for path, status := range map[string]int{"/": 200, "/nowhere": 404, "/fails/unknown": 500, "/assets/staff.css": 200, "/assets/..%2fpage.go": 404} {
		w := d.ask("GET", path, "")
		policy := w.Header().Get("Content-Security-Policy")
		if w.Code != status || !strings.HasPrefix(policy, "default-src 'none'") || strings.Contains(policy, "unsafe") || w.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %d, policy %q, cache %q", path, w.Code, policy, w.Header().Get("Cache-Control"))
		}
	}
	if w := d.ask("GET", "/", "", "Host", "evil.example"); w.Code != 421 {
		t.Errorf("another host's name: %d", w.Code)
	}
	if w := d.ask("GET", "/", "", "Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "no-cors"); w.Code != 403 {
		t.Errorf("part of another site: %d", w.Code)
	}
	if w := d.ask("HEAD", "/", ""); w.Code != 200 || w.Body.Len() > 0 {
		t.Errorf("HEAD: %d, %d bytes", w.Code, w.Body.Len())
	}
}

// Whoever asks without end waits, and nobody else does.
func TestOneAddressIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, page.Public)
		from := func(address string, headers ...string) int {
			r := httptest.NewRequest("GET", "http://127.0.0.1:8080/", nil)
			r.RemoteAddr = address
			for i := 0; i < len(headers); i += 2 {
				r.Header.Set(headers[i], headers[i+1])
			}
			w := httptest.NewRecorder()
			d.ServeHTTP(w, r)
			return w.Code
		}
		for i := range 200 {
			if code := from("192.0.2.1:5000"); code != 200 {
				t.Fatalf("request %d: %d", i+1, code)
			}
		}
		for address, want := range map[string]int{"192.0.2.1:5001": 429, "192.0.2.2:5000": 200, "[2001:db8::1]:5000": 200, "127.0.0.1:5000": 200} {
			if code := from(address); code != want {
				t.Errorf("%s: %d, want %d", address, code, want)
			}
		}
		if code := from("192.0.2.1:5000", "Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "no-cors"); code != 429 {
			t.Errorf("what is refused costs nothing: %d", code)
		}
		time.Sleep(100 * time.Millisecond)
		if one, two, three := from("192.0.2.1:5000"), from("192.0.2.1:5000"), from("192.0.2.1:5000"); one != 200 || two != 200 || three != 429 {
			t.Errorf("a tenth of a second later: %d, %d, %d", one, two, three)
		}
	})
}

func TestFaultsStopTheStart(t *testing.T) {
	for _, test := range []struct {
		name   string
		change []string
		want   string
	}{
		{"right", nil, ""},
		{"a key that German lacks", []string{"words/de.toml", `title = "Liste"`, ""}, "de.toml: desk.list.title is missing"},
		{"a key that nobody uses", []string{"words/de.toml", "[list]", "[list]\nold = \"x\"", "words/it.toml", "[list]", "[list]\nold = \"x\"", "words/en.toml", "[list]", "[list]\nold = \"x\""}, "nobody uses desk.list.old"},
		{"a key of a template that nobody wrote", []string{"templates/list.html", "desk.list.row", "desk.list.line"}, `no such text`},
		{"a code that nobody wrote", []string{"words/de.toml", "early", "late", "words/it.toml", "early", "late", "words/en.toml", "early", "late"}, "de.toml: desk.refused.early is missing"},
		{"other arguments", []string{"templates/list.html", `"name" .Name`, `"who" .Name`}, "want {name:text}"},
		{"a letter outside tags", []string{"templates/list.html", "<p>", "<p>of "}, `"of" is no text of the catalogue`},
		{"a letter in what is read aloud", []string{"templates/list.html", "<p>", `<p title="of">`}, `"title=of" is no text of the catalogue`},
		{"a page without a title", []string{"templates/list.html", `"title"`, `"name"`}, `defines no "title"`},
		{"no template", []string{"templates/list.html", "{{end}}", "{{en"}, "list.html"},
	} {
		r := room(test.change...)
		if test.name == "a page without a title" {
			delete(r.Files.(fstest.MapFS), "templates/form.html")
		}
		_, err := page.New(page.Options{Name: "test", Layout: page.Staff, Rooms: []page.Room{r}, Title: "site.menu"})
		if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
			t.Errorf("%s: %v, want %q", test.name, err, test.want)
		}
	}
}

func TestViewsFitTheirPages(t *testing.T) {
	d := newDesk(t, page.Staff)
	pages := d.Host.Pages("desk")
	pagetest.Views(t, pages, map[string]any{"list": listView{}, "form": formView{}})
	for want, views := range map[string]map[string]any{
		"page form has no view": {"list": listView{}},
		"view more has no page": {"list": listView{}, "form": formView{}, "more": formView{}},
		"can't use field Rows":  {"list": formView{}, "form": formView{}},
		"catalogue.Number reaches a template": {"list": listView{}, "form": struct {
			formView
			N catalogue.Number
		}{}},
		"map[string]string reaches a template": {"list": listView{}, "form": mapView{}},
	} {
		if err := errors.Join(pagetest.Check(pages, views)...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

type mapView struct {
	formView
	Rows map[string]string
}

// What is asked for by its hash may be kept for ever.
func TestAssetsOfAPageAreKept(t *testing.T) {
	d := newDesk(t, page.Staff)
	body := d.ask("GET", "/", "").Body.String()
	_, link, ok := strings.Cut(body, `rel="stylesheet" href="`)
	link, _, _ = strings.Cut(link, `"`)
	if w := d.ask("GET", link, ""); !ok || w.Code != 200 || !strings.Contains(w.Header().Get("Cache-Control"), "immutable") || w.Header().Get("Vary") != "" {
		t.Errorf("%s: %d, %q, Vary %q", link, w.Code, w.Header().Get("Cache-Control"), w.Header().Get("Vary"))
	}
}

func TestKeysAreThoseOfTheTemplates(t *testing.T) {
	d := newDesk(t, page.Staff)
	for language, key := range d.Words().Missing(d.Keys()) {
		t.Errorf("%s lacks %s", language, key)
	}
	var missing []string
	for language, key := range d.Words().Missing([]string{"desk.none"}) {
		missing = append(missing, language+" "+key)
	}
	if len(missing) != len(page.Languages) {
		t.Errorf("missing = %q", missing)
	}
}
