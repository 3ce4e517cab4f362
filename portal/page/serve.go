package page

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"ciglio/internal/pages"
)

// Run serves on l until ctx ends; requests in hand get five seconds. It closes l.
func (h *Host) Run(ctx context.Context, l net.Listener) error {
	server := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       30 * time.Second,
		WriteTimeout:      5 * time.Minute, // of pages; files have their own
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    32 << 10,
		ConnState:         newConnections().changed,
		ErrorLog:          slog.NewLogLogger(h.o.Log.Handler(), slog.LevelWarn),
	}
	return pages.Serve(ctx, server, l, 5*time.Second)
}

// ServeHTTP answers a request.
func (h *Host) ServeHTTP(w http.ResponseWriter, r *http.Request) { h.guard.ServeHTTP(w, r) }

// guarded sets what every answer carries, refuses what another site has a browser ask,
// and finds the reader's language.
func (h *Host) guarded(next http.Handler) http.Handler {
	protection := http.NewCrossOriginProtection()
	protection.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { h.fail(w, r, "", errOther) }))
	next = protection.Handler(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		pages.Protect(w.Header(), "'self'")
		w.Header().Add("Vary", "Accept-Language, Cookie")
		choice := ""
		if cookie, err := r.Cookie(h.CookieName(languageCookie)); err == nil {
			choice = cookie.Value
		}
		r = h.with(r, h.words.Match(choice, r.Header.Get("Accept-Language")))
		switch {
		case h.o.Loopback && !isLoopback(r.Host):
			h.fail(w, r, "", errHost)
		case !h.rate.take(r.RemoteAddr, time.Now()):
			h.fail(w, r, "", errOften)
		case r.Header.Get("Sec-Fetch-Site") == "cross-site" && r.Header.Get("Sec-Fetch-Mode") != "navigate":
			h.fail(w, r, "", errOther)
		case r.Method == http.MethodGet && r.URL.Query().Has(languageField):
			h.choose(w, r)
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// languageCookie is the name of the cookie with the language that somebody chose.
const languageCookie = "language"

// choose keeps the language that a link has chosen, and leads to the same page.
func (h *Host) choose(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	if tag := query.Get(languageField); slices.Contains(Languages, tag) {
		cookie := h.Cookie(languageCookie, tag)
		cookie.MaxAge = int((365 * 24 * time.Hour).Seconds())
		cookie.SameSite = http.SameSiteLaxMode // who comes by a link reads on in their language
		http.SetCookie(w, cookie)
	}
	query.Del(languageField)
	http.Redirect(w, r, address(r.URL.Path, query.Encode()), http.StatusSeeOther)
}

// address is that of a page of this host: a path that begins with two slashes would be
// another's.
func address(path, query string) string {
	to := url.URL{Path: "/" + strings.TrimLeft(path, "/"), RawQuery: query}
	return to.String()
}

// CookieName is the name of a cookie of this host. Hosts on one machine may differ in
// their ports alone, which cookies do not know: so each has its own names.
func (h *Host) CookieName(name string) string { return "__Host-" + h.o.Name + "-" + name }

// Cookie is one that is sent to this host alone, encrypted or to the machine itself,
// that no script reads and no other site has sent. Without MaxAge it ends with the browser.
func (h *Host) Cookie(name, value string) *http.Cookie {
	return &http.Cookie{Name: h.CookieName(name), Value: value, Path: "/", Secure: true, HttpOnly: true, SameSite: http.SameSiteStrictMode}
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
