package pages

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"
)

func files() fstest.MapFS {
	return fstest.MapFS{"assets/style.css": {Data: []byte("a{}")}, "assets/live.js": {Data: []byte("1")}, "assets/icon.svg": {Data: []byte("<svg/>")}}
}

func TestAssetsAreKeptByTheirHash(t *testing.T) {
	all, err := ReadAssets(files())
	if err != nil {
		t.Fatal(err)
	}
	other := files()
	other["assets/style.css"].Data = []byte("b{}")
	changed, err := ReadAssets(other)
	if err != nil {
		t.Fatal(err)
	}
	link, err := all.Link("style.css")
	if err != nil {
		t.Fatal(err)
	}
	if fresh, _ := changed.Link("style.css"); !strings.HasPrefix(link, "/assets/style.") || !strings.HasSuffix(link, ".css") || link == fresh {
		t.Errorf("links %s, %s", link, fresh)
	}
	if _, err := all.Link("none.css"); err == nil {
		t.Error("an asset is missing, and nobody says so")
	}
	send := func(a Assets, name string) (string, string) {
		w := httptest.NewRecorder()
		Protect(w.Header(), "'none'")
		if !a.Send(w, name) {
			return "none", ""
		}
		return w.Body.String(), w.Header().Get("Cache-Control")
	}
	const kept = "public, max-age=31536000, immutable"
	for _, test := range []struct {
		name         string
		all          Assets
		asked        string
		body, policy string
	}{
		{"its address", all, strings.TrimPrefix(link, "/assets/"), "a{}", kept},
		{"the address of another program's", changed, strings.TrimPrefix(link, "/assets/"), "b{}", "no-store"},
		{"its name", all, "style.css", "a{}", "no-store"},
		{"another file", all, "../pages.go", "none", ""},
		{"another ending", all, strings.TrimSuffix(strings.TrimPrefix(link, "/assets/"), ".css") + ".js", "none", ""},
		{"an empty hash", all, "style..css", "none", ""},
		{"no name", all, "", "none", ""},
	} {
		if body, policy := send(test.all, test.asked); body != test.body || policy != test.policy {
			t.Errorf("%s: %q, %q, want %q, %q", test.name, body, policy, test.body, test.policy)
		}
	}
	if _, err := ReadAssets(files(), files()); err == nil {
		t.Error("two assets of one name")
	}
	if _, err := ReadAssets(fstest.MapFS{"assets/a.exe": {}}); err == nil {
		t.Error("an asset of a kind that no page refers to")
	}
}

// one is a listener of a single connection.
type one struct {
	conn   chan net.Conn
	closed chan struct{}
}

func (l one) Accept() (net.Conn, error) {
	select {
	case c := <-l.conn:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}
func (l one) Close() error   { close(l.closed); return nil }
func (l one) Addr() net.Addr { return &net.UnixAddr{} }

func TestServingEndsWithinGrace(t *testing.T) {
	for _, test := range []struct {
		name         string
		takes, grace time.Duration
		answered     bool
	}{
		{"in time", time.Second, 2 * time.Second, true},
		{"too slow", time.Minute, 2 * time.Second, false},
	} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			begun := make(chan struct{})
			server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				close(begun)
				select {
				case <-time.After(test.takes):
				case <-r.Context().Done():
				}
			})}
			near, far := net.Pipe()
			l := one{make(chan net.Conn, 1), make(chan struct{})}
			l.conn <- far
			done := make(chan error)
			go func() { done <- Serve(ctx, server, l, test.grace) }()
			answer := make(chan string)
			go func() {
				_, _ = io.WriteString(near, "GET / HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n")
				b, _ := io.ReadAll(near)
				answer <- string(b)
			}()
			<-begun
			began := time.Now()
			cancel()
			text := <-answer
			if err := <-done; err != nil {
				t.Errorf("%s: %v", test.name, err)
			}
			if took := time.Since(began); took > test.grace {
				t.Errorf("%s: took %v", test.name, took)
			}
			if strings.HasPrefix(text, "HTTP/1.1 200") != test.answered {
				t.Errorf("%s: answer %q", test.name, text)
			}
		})
	}
}
