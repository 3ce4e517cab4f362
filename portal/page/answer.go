package page

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"runtime/debug"
	"strings"

	"ciglio/internal/pages"
)

// A Handler answers a request, or returns an error and has written nothing.
type Handler func(w http.ResponseWriter, r *http.Request) error

// An Answer is one other than the page that was asked for, as an error. Code is the key
// of its text.
type Answer struct {
	Status int
	Code   string
	Args   []any
}

func (a *Answer) Error() string { return fmt.Sprintf("%d %s", a.Status, a.Code) }

// Is reports whether other is an answer of the same code.
func (a *Answer) Is(other error) bool {
	o, ok := other.(*Answer)
	return ok && o.Code == a.Code
}

// Answers that any desk may give. "Not there" and "not yours" are one.
var (
	ErrAbsent = &Answer{Status: http.StatusNotFound, Code: "error.absent"}
	ErrBusy   = &Answer{Status: http.StatusServiceUnavailable, Code: "error.busy"}
	ErrForm   = &Answer{Status: http.StatusBadRequest, Code: "error.form"}
)

var (
	errFailed = &Answer{Status: http.StatusInternalServerError, Code: "error.failed"}
	errOften  = &Answer{Status: http.StatusTooManyRequests, Code: "error.often"}
	errOther  = &Answer{Status: http.StatusForbidden, Code: "error.other"}
	errHost   = &Answer{Status: http.StatusMisdirectedRequest, Code: "error.host"}
)

// ownCodes are the keys that this package uses.
var ownCodes = []string{
	"error.absent", "error.busy", "error.form", "error.failed", "error.often", "error.other", "error.host",
	CodeRequired, CodeLong, CodeLetters, CodeChoice, CodeDayShape, CodeDayUnreal, CodeInstantShape, CodeInstantUnreal, CodeMoneyShape, CodeMoneyLarge,
	CodeNumberShape, CodeNumberRange, CodePlate, CodeFileLarge, CodeFileKind, CodeKey, CodeUnreadable, CodeLarge,
}

// SeeOther answers a form that was taken: 303 to a path, relative to that of the
// request.
func SeeOther(w http.ResponseWriter, r *http.Request, to string) error {
	target, err := url.Parse(to)
	if err != nil || target.IsAbs() || target.Host != "" {
		return fmt.Errorf("see other %q: want a path", to)
	}
	target = (&url.URL{Path: r.URL.Path}).ResolveReference(target)
	target.Path, target.RawPath = "/"+strings.TrimLeft(target.Path, "/"), "" // two slashes would be another host
	http.Redirect(w, r, target.String(), http.StatusSeeOther)
	return nil
}

// Handle has a handler answer what a pattern of [http.ServeMux] matches.
func (h *Host) Handle(pattern string, handler Handler) {
	h.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		answered := &answered{ResponseWriter: w}
		err := h.try(handler, answered, r)
		switch {
		case err == nil, (answered.begun || errors.Is(err, context.Canceled)) && r.Context().Err() != nil: // or the reader has gone
		case answered.begun:
			h.o.Log.Error("answer broke off", "host", h.o.Name, "pattern", pattern, "error", err)
			panic(http.ErrAbortHandler) // the reader sees that it is not whole
		default:
			h.fail(w, r, pattern, err)
		}
	})
}

// try runs a handler. One that panics has failed, and no other with it.
func (h *Host) try(handler Handler, w http.ResponseWriter, r *http.Request) (err error) {
	defer func() {
		fault := recover()
		if fault == http.ErrAbortHandler {
			panic(fault)
		}
		if fault != nil {
			err = fmt.Errorf("panic: %v\n%s", fault, debug.Stack())
		}
	}()
	return handler(w, r)
}

// fail is the one place that turns an error into an answer. The log names the pattern,
// never the address: what people write there is nobody's.
func (h *Host) fail(w http.ResponseWriter, r *http.Request, pattern string, err error) {
	answer := errFailed
	if !errors.As(err, &answer) {
		answer = errFailed
		for _, absent := range h.o.Absent {
			if errors.Is(err, absent) {
				answer = ErrAbsent
			}
		}
	}
	if answer == errFailed {
		h.o.Log.Error("request failed", "host", h.o.Name, "pattern", pattern, "error", err)
	}
	// What the handler has said of what it wanted to send is not said of this.
	for _, name := range []string{"Content-Disposition", "Content-Encoding", "Content-Length", "Content-Range", "Etag", "Last-Modified"} {
		w.Header().Del(name)
	}
	pages.Protect(w.Header(), "'self'")
	if answer.Status == http.StatusServiceUnavailable || answer.Status == http.StatusTooManyRequests {
		w.Header().Set("Retry-After", "10")
	}
	view := answerView{View: h.view(r)}
	var fault error
	if view.Words, fault = view.T(answer.Code, answer.Args...); fault == nil {
		fault = h.rooms[""].RenderAs(w, r, answer.Status, "answer", view)
	}
	if fault != nil {
		h.o.Log.Error("page failed", "host", h.o.Name, "error", fault)
		http.Error(w, http.StatusText(answer.Status), answer.Status)
	}
}

// answerView is the page of an error.
type answerView struct {
	View
	Words string
}

// answered knows whether anything was sent.
type answered struct {
	http.ResponseWriter
	begun bool
}

// Unwrap lets a ResponseController through.
func (a *answered) Unwrap() http.ResponseWriter { return a.ResponseWriter }

func (a *answered) WriteHeader(status int) {
	a.begun = true
	a.ResponseWriter.WriteHeader(status)
}

func (a *answered) Write(b []byte) (int, error) {
	a.begun = true
	return a.ResponseWriter.Write(b)
}
