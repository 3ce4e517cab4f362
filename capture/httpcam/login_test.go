package httpcam

import (
	"bytes"
	"context"
	"crypto/md5"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"ciglio/cross/simulate"
	"ciglio/sensor"
)

const user, password = "op \"7\"", "s3cret: µ%"

// A guard is the login of a camera, as RFC 7616 has it from the side of the server.
type guard struct {
	asks   []string // challenges, each a header; NONCE is put in
	stales int      // how many right answers are refused as too old
	always bool     // every answer is
	said   []string // Authorization of each request
	issued int
}

func (g *guard) nonce() string { return fmt.Sprintf("nonce-%d", g.issued) }

// passes says whether a request may come in, and otherwise asks.
func (g *guard) passes(w http.ResponseWriter, r *http.Request) bool {
	said := r.Header.Get("Authorization")
	g.said = append(g.said, said)
	stale := g.always
	if g.right(said, r) && !g.always {
		if g.stales == 0 {
			return true
		}
		g.stales--
		stale = true
	}
	g.issued++
	for _, ask := range g.asks {
		ask = strings.ReplaceAll(ask, "NONCE", g.nonce())
		if stale {
			ask += ", stale=TRUE"
		}
		w.Header().Add("WWW-Authenticate", ask)
	}
	w.WriteHeader(http.StatusUnauthorized)
	return false
}

func (g *guard) right(said string, r *http.Request) bool {
	if basic, ok := strings.CutPrefix(said, "Basic "); ok {
		b, err := base64.StdEncoding.DecodeString(basic)
		return err == nil && string(b) == user+":"+password
	}
	all := challenges([]string{said})
	if len(all) != 1 || all[0].scheme != "digest" {
		return false
	}
	v := all[0].values
	name, session := strings.CutSuffix(v["algorithm"], "-sess")
	h := map[string]func() hash.Hash{"": md5.New, "MD5": md5.New, "SHA-256": sha256.New, "SHA-512-256": sha512.New512_256}[name]
	if h == nil {
		return false
	}
	sum := func(parts ...string) string {
		s := h()
		_, _ = io.WriteString(s, strings.Join(parts, ":"))
		return hex.EncodeToString(s.Sum(nil))
	}
	who := user
	if v["userhash"] == "true" {
		who = sum(user, v["realm"])
	}
	a1, a2 := sum(user, v["realm"], password), sum(r.Method, r.URL.RequestURI())
	if session {
		a1 = sum(a1, v["nonce"], v["cnonce"])
	}
	want := sum(a1, v["nonce"], a2)
	if v["qop"] == "auth" {
		want = sum(a1, v["nonce"], v["nc"], v["cnonce"], "auth", a2)
	} else if v["qop"] != "" {
		return false
	}
	return v["username"] == who && v["uri"] == r.URL.RequestURI() && v["nonce"] == g.nonce() && v["response"] == want
}

// enters lets a camera show one picture behind a guard. It returns what was said to
// the camera at each request and the error of Next.
func enters(t *testing.T, g *guard, o Options) error {
	t.Helper()
	a := sample(t, 1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if g.passes(w, r) {
			w.Header().Set("Content-Type", "multipart/x-mixed-replace; boundary=frame")
			_, _ = io.WriteString(w, part(a, true))
		}
	}))
	defer server.Close()
	if o.URL == "" {
		o.URL = "http://camera/video?channel=1&x=a%20b"
	}
	o.Dial = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, server.Listener.Addr().String())
	}
	c, err := New(simulate.NewClock(0), o)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	f, err := c.Next(t.Context())
	if err == nil && !bytes.Equal(f.Data, a) {
		t.Error("another picture")
	}
	if err != nil && (strings.Contains(err.Error(), password) || strings.Contains(err.Error(), user)) {
		t.Errorf("error tells user or password: %v", err)
	}
	return err
}

func TestD14_DigestLogin(t *testing.T) {
	known := Options{User: user, Password: password}
	tests := []struct {
		name  string
		asks  []string
		wants string // in the answer
		count int    // requests; 0 is 2
		guard guard
	}{
		{name: "MD5 as of old", asks: []string{`Digest realm="camera", nonce="NONCE"`}, wants: `Digest username="op \"7\""`},
		{name: "MD5 with qop", asks: []string{`Digest realm="camera", nonce="NONCE", qop="auth", algorithm=MD5`}, wants: "qop=auth, nc=00000001"},
		{name: "names and scheme in any case, values without quotes", asks: []string{`DIGEST REALM="camera",Nonce=NONCE,QOP=auth,ALGORITHM="MD5"`}, wants: "qop=auth"},
		{name: "qop of several", asks: []string{`Digest realm="camera", nonce="NONCE", qop="auth-int, auth"`}, wants: "qop=auth,"},
		{name: "MD5-sess", asks: []string{`Digest realm="camera", nonce="NONCE", qop="auth", algorithm=MD5-sess`}, wants: "algorithm=MD5-sess"},
		{name: "SHA-256", asks: []string{`Digest realm="camera", nonce="NONCE", qop="auth", algorithm=SHA-256`}, wants: "algorithm=SHA-256"},
		{name: "SHA-256 without qop", asks: []string{`Digest realm="camera", nonce="NONCE", algorithm=SHA-256`}, wants: "algorithm=SHA-256"},
		{name: "SHA-256-sess", asks: []string{`Digest realm="camera", nonce="NONCE", qop="auth", algorithm=SHA-256-sess`}, wants: "algorithm=SHA-256-sess"},
		{name: "SHA-512-256 with the user hashed", asks: []string{`Digest realm="camera", nonce="NONCE", qop="auth", algorithm=SHA-512-256, userhash=true`}, wants: "userhash=true"},
		{name: "opaque comes back", asks: []string{`Digest realm="a, \"b\"", opaque="x=y", nonce="NONCE", qop="auth"`}, wants: `opaque="x=y"`},
		{name: "two challenges, the stronger second", asks: []string{`Digest realm="camera", nonce="NONCE", qop="auth", algorithm=MD5`, `Digest realm="camera", nonce="NONCE", qop="auth", algorithm=SHA-256`}, wants: "algorithm=SHA-256"},
		{name: "two challenges, the stronger first", asks: []string{`Digest realm="camera", nonce="NONCE", qop="auth", algorithm=SHA-256`, `Digest realm="camera", nonce="NONCE", qop="auth", algorithm=MD5`}, wants: "algorithm=SHA-256"},
		{name: "two in one header", asks: []string{`Digest realm="camera", nonce="NONCE", algorithm=MD5, Digest realm="camera", nonce="NONCE", qop="auth,auth-int", algorithm=SHA-256, Basic realm="camera"`}, wants: "algorithm=SHA-256"},
		{name: "one that is not known beside one that is", asks: []string{`Digest realm="camera", nonce="NONCE", algorithm=SHA-3`, `Digest realm="camera", nonce="NONCE", qop="auth-int"`, `Negotiate abc==`, `Digest realm="camera", nonce="NONCE"`}, wants: "Digest"},
		{name: "Basic beside digest", asks: []string{`Basic realm="camera"`, `Digest realm="camera", nonce="NONCE", qop="auth"`}, wants: "Digest"},
		{name: "a nonce that is too old", asks: []string{`Digest realm="camera", nonce="NONCE", qop="auth"`}, guard: guard{stales: 1}, count: 3, wants: "nonce-2"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			g := test.guard
			g.asks = test.asks
			if err := enters(t, &g, known); err != nil {
				t.Fatalf("%v after %q", err, g.said)
			}
			if want := max(test.count, 2); len(g.said) != want || g.said[0] != "" {
				t.Errorf("said %q, want %d requests, the first without a login", g.said, want)
			}
			if last := g.said[len(g.said)-1]; !strings.Contains(last, test.wants) {
				t.Errorf("said %s, want %s", last, test.wants)
			}
		})
	}
}

func TestD14_WhatIsNotAnswered(t *testing.T) {
	digest := `Digest realm="camera", nonce="NONCE", qop="auth"`
	secret := base64.StdEncoding.EncodeToString([]byte(user + ":" + password))
	tests := []struct {
		name string
		asks []string
		o    Options
		want string // of the error
		most int    // requests
		old  bool
	}{
		{"a wrong password is tried once", []string{digest}, Options{User: user, Password: "wrong"}, "refuses user or password", 2, false},
		{"a question that is always too old", []string{digest}, Options{User: user, Password: password}, "refuses user or password", 3, true},
		{"no user is known", []string{digest}, Options{}, "none is configured", 1, false},
		{"protection of the body", []string{`Digest realm="camera", nonce="NONCE", qop="auth-int"`}, Options{User: user, Password: password}, `qop "auth-int"`, 1, false},
		{"an unknown hash", []string{`Digest realm="camera", nonce="NONCE", algorithm=SHA-3`}, Options{User: user, Password: password}, `algorithm "SHA-3"`, 1, false},
		{"another scheme", []string{`NTLM`}, Options{User: user, Password: password}, "ntlm", 1, false},
		{"Basic over a network", []string{`Basic realm="camera"`}, Options{User: user, Password: password}, "shows the password", 1, false},
		{"no question, over a network", nil, Options{User: user, Password: password}, "shows the password", 1, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			g := guard{asks: test.asks, always: test.old}
			err := enters(t, &g, test.o)
			if !errors.Is(err, ErrLogin) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want %q", err, test.want)
			}
			if len(g.said) != test.most {
				t.Errorf("%d requests, want %d", len(g.said), test.most)
			}
			for _, said := range g.said {
				if strings.Contains(said, secret) || strings.Contains(said, "Basic") {
					t.Errorf("the password was sent: %s", said)
				}
			}
		})
	}
}

func TestD14_BasicWhereItIsAllowed(t *testing.T) {
	for name, o := range map[string]Options{
		"by the configuration": {User: user, Password: password, Basic: true},
		"to this machine":      {User: user, Password: password, URL: "http://127.0.0.1/video"},
		"in the address":       {URL: "http://op%20%227%22:s3cret%3A%20%C2%B5%25@localhost/video"},
	} {
		g := guard{asks: []string{`Basic realm="camera"`}}
		if err := enters(t, &g, o); err != nil || len(g.said) != 2 || g.said[0] != "" {
			t.Errorf("%s: %v, said %q", name, err, g.said)
		}
	}
	var silent guard // some do not say what they want
	if err := enters(t, &silent, Options{User: user, Password: password, Basic: true}); err != nil {
		t.Errorf("a camera that does not ask: %v", err)
	}
}

// Cameras lock out an address that tries a wrong password often.
func TestD14_RefusedLoginWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, p, clock := newPipe(t, Options{User: user, Password: "wrong"}, func(_ int, w io.Writer) {
			_, _ = io.WriteString(w, "HTTP/1.1 401 No\r\nWWW-Authenticate: Digest realm=\"c\", nonce=\"1\"\r\nContent-Length: 0\r\n\r\n")
		})
		for i, at := range []time.Duration{0, lockout, 2 * lockout} {
			if _, err := c.Next(t.Context()); !errors.Is(err, ErrLogin) {
				t.Fatalf("error %v, want %v", err, ErrLogin)
			}
			if p.dialed != 2*(i+1) || clock.Now() != sensor.Mono(at) {
				t.Errorf("%d requests at %v, want %d at %v", p.dialed, time.Duration(clock.Now()), 2*(i+1), at)
			}
		}
	})
}

func TestD14_LoginsAreChecked(t *testing.T) {
	for name, o := range map[string]Options{
		"twice":                   {URL: "http://a:b@camera/", User: "c", Password: "s3cret"},
		"a password without user": {URL: "http://camera/", Password: "s3cret"},
		"a user with a colon":     {URL: "http://camera/", User: "a:b", Password: "s3cret"},
		"a password of two lines": {URL: "http://camera/", User: "a", Password: "s3cret\r\nX: y"},
	} {
		if _, err := New(nil, o); err == nil || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzChallenges(f *testing.F) {
	f.Add(`Digest realm="a, \"b\"", nonce=x, qop="auth", Basic realm="c"`)
	f.Add(`Negotiate abc==, , = "`)
	f.Fuzz(func(t *testing.T, text string) {
		for _, c := range challenges([]string{text}) {
			if c.scheme == "" || strings.ContainsAny(c.scheme, ", \t=\"") || len(c.values) > len(text) {
				t.Fatalf("scheme %q of %q", c.scheme, text)
			}
			_ = c.strength()
		}
	})
}
