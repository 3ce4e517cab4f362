package console

import (
	"errors"
	"io"
	"net/http"

	"ciglio/capture/evidence"
	"ciglio/uplink/wire"
)

type loginView struct {
	View
	Trouble string // why the last code did not do
	Refused string // why the last order did not
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
		return c.show(w, status, "login", loginView{View: v, Trouble: c.text(v.words, key)})
	}
	return c.enter(w, r, name, entered, "/")
}

// enter gives a browser the session that was opened for it.
func (c *Console) enter(w http.ResponseWriter, r *http.Request, name string, who Caller, path string) error {
	c.noteSession(who, "begun")
	http.SetCookie(w, &http.Cookie{Name: sessionCookie, Value: name, Path: "/", HttpOnly: true, SameSite: http.SameSiteStrictMode, Secure: r.TLS != nil})
	http.Redirect(w, r, path, http.StatusSeeOther)
	return nil
}

// officerLogin lets in whoever hands in an officer's order for it. There is no wait
// after a wrong one: a signature cannot be guessed.
func (c *Console) officerLogin(w http.ResponseWriter, r *http.Request, who Caller) error {
	file, _, err := r.FormFile("order")
	if err != nil {
		return refusal{http.StatusBadRequest, "form"}
	}
	defer file.Close()
	order, err := io.ReadAll(io.LimitReader(file, wire.MaxOrder+1))
	if err != nil {
		return err
	}
	act, err := c.o.Device.ConsoleOrder(order)
	if err != nil {
		c.o.Log.Warn("console: officer not let in", "error", err)
		v := c.view(r, who)
		v.Path = "/login"
		return c.show(w, http.StatusForbidden, "login", loginView{View: v, Refused: teller{c, v.words}.coded("order", act.New)})
	}
	name, entered := c.access.admit(Caller{Name: act.Actor, Role: Officer})
	return c.enter(w, r, name, entered, "/violations")
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
	// It goes on without: whoever comes because the store is full must get in.
	if err := c.note(who, "code for the console made", evidence.Act{Code: "session", Subject: "code for the console", Outcome: "made"}); err != nil {
		c.o.Log.Error("console: code not recorded", "who", who.Name, "error", err)
	}
	return writeJSON(w, http.StatusOK, Code{code, until})
}
