package console

import (
	"net/http"
	"slices"
	"time"

	"ciglio/internal/catalogue"
)

// View is what every page knows.
type View struct {
	words  catalogue.Words
	Path   string // of the page
	In     bool   // somebody is logged in
	Pages  []link // of the menu
	Other  []link // the languages that may be chosen
	Script bool   // the page renews itself where there are scripts
}

type link struct {
	Path, Words string
	Here        bool
}

// T makes a text of the catalogue in the reader's language.
func (v View) T(key string, pairs ...any) (string, error) { return v.words.Text(key, pairs...) }

// Lang is the tag of the page's language.
func (v View) Lang() string { return v.words.Language() }

// own are the languages by their own names: a reader finds theirs in any other.
var own = map[string]string{"it": "Italiano", "en": "English", "de": "Deutsch"}

// languageCookie holds the language that somebody chose.
const languageCookie = "ciglio_language"

// menu is the pages in their order, with the keys of their names.
var menu = [...]struct {
	path, key string
	may       []Role
}{
	{"/", "menu.state", staff}, {"/live", "menu.live", staff}, {"/aim", "menu.aim", staff}, {"/accept", "menu.accept", staff},
	{"/stick", "menu.stick", staff}, {"/violations", "menu.violations", police}, {"/journal", "menu.journal", staff},
}

// view returns what the page of a request knows.
func (c *Console) view(r *http.Request, who Caller) View {
	choice := ""
	if cookie, err := r.Cookie(languageCookie); err == nil {
		choice = cookie.Value
	}
	v := View{words: c.words.Match(choice, r.Header.Get("Accept-Language")), Path: r.URL.Path, In: who.Role != Nobody}
	if r.Method != http.MethodGet {
		v.Path = "/" // nobody can go back to the answer of a form
	}
	for _, tag := range languages {
		v.Other = append(v.Other, link{Path: tag, Words: own[tag], Here: tag == v.Lang()})
	}
	for _, m := range menu {
		if slices.Contains(m.may, who.Role) {
			v.Pages = append(v.Pages, link{m.path, c.text(v.words, m.key), v.Path == m.path})
		}
	}
	return v
}

// text is a text whose arguments the program itself gives: that they fit is what
// the tests show. A fault is logged, and leaves a hole rather than no page.
func (c *Console) text(w catalogue.Words, key string, pairs ...any) string {
	text, err := w.Text(key, pairs...)
	if err != nil {
		c.o.Log.Error("text failed", "error", err)
	}
	return text
}

// back is where a form wants to return: a page of the menu, and nothing else.
func back(r *http.Request) string {
	path := r.PostFormValue("back")
	for _, m := range menu {
		if m.path == path {
			return path
		}
	}
	if path == "/login" {
		return path
	}
	return "/"
}

func (c *Console) language(w http.ResponseWriter, r *http.Request, _ Caller) error {
	tag := r.PostFormValue("language")
	if _, ok := c.words.In(tag); !ok {
		return refusal{http.StatusBadRequest, "form"}
	}
	http.SetCookie(w, &http.Cookie{Name: languageCookie, Value: tag, Path: "/", MaxAge: int((365 * 24 * time.Hour).Seconds()), HttpOnly: true, SameSite: http.SameSiteStrictMode, Secure: r.TLS != nil})
	http.Redirect(w, r, back(r), http.StatusSeeOther)
	return nil
}
