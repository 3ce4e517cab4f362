package console

import (
	"errors"
	"net/http"
)

type loginView struct {
	View
	Trouble string // why the last code did not do
}

func (c *Console) loginPage(w http.ResponseWriter, r *http.Request, who Caller) error {
	if who.Role != Nobody {
		http.Redirect(w, r, "/", http.StatusSeeOther)
		return nil
	}
	return c.show(w, http.StatusOK, "login", loginView{View: c.view(r, who)})
}

func (c *Console) login(w http.ResponseWriter, r *http.Request, who Caller) error {
	name, entered, err := c.access.enter(r.PostFormValue("code"))
	if err != nil {
		status, key := http.StatusForbidden, "login.wrong"
		if errors.Is(err, errTooSoon) {
			status, key = http.StatusTooManyRequests, "login.soon"
		}
		c.o.Log.Warn("console: not let in", "error", err)
		v := c.view(r, who)
		return c.show(w, status, "login", loginView{v, c.text(v.words, key)})
	}
	c.noteSession(entered, "begun")
	http.SetCookie(w, &http.Cookie{Name: sessionCookie, Value: name, Path: "/", HttpOnly: true, SameSite: http.SameSiteStrictMode, Secure: r.TLS != nil})
	http.Redirect(w, r, "/", http.StatusSeeOther)
	return nil
}

func (c *Console) logout(w http.ResponseWriter, r *http.Request, who Caller) error {
	if cookie, err := r.Cookie(sessionCookie); err == nil {
		c.access.leave(cookie.Value)
		c.noteSession(who, "ended")
	}
	http.SetCookie(w, &http.Cookie{Name: sessionCookie, Path: "/", MaxAge: -1, HttpOnly: true, SameSite: http.SameSiteStrictMode})
	http.Redirect(w, r, "/login", http.StatusSeeOther)
	return nil
}

// newCode makes a code for the pages.
func (c *Console) newCode(w http.ResponseWriter, r *http.Request, who Caller) error {
	code, until, err := c.access.issue(Technician)
	if err != nil {
		return err
	}
	c.o.Log.Info("console: code made", "who", who.Name)
	return writeJSON(w, http.StatusOK, Code{code, until})
}
