package citizen

import (
	"html"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ciglio/capture/evidence"
	"ciglio/portal/page"
	"ciglio/portal/page/pagetest"
)

// register is that of the shared vectors.
type register struct {
	trust *evidence.Trust
	text  []byte
}

func (r register) Trust() *evidence.Trust { return r.trust }
func (r register) Text() []byte           { return r.text }

func host(t testing.TB) *page.Host {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "capture", "evidence", "testdata", "trust.pem"))
	if err != nil {
		t.Fatal(err)
	}
	trust, err := evidence.ParseTrust(text)
	if err != nil {
		t.Fatal(err)
	}
	h, err := New(Options{Register: register{trust, text}, LogKey: "ciglio/test+00000000+AAAA",
		Published: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.Write([]byte("log " + r.URL.Path)) })})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func get(h http.Handler, path, language string) *httptest.ResponseRecorder {
	r := httptest.NewRequest("GET", "https://evidence.province.example"+path, nil)
	r.Header.Set("Accept-Language", language)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestAnybodyMayRead(t *testing.T) {
	h := host(t)
	for _, test := range []struct {
		path, language string
		status         int
		want           string
	}{
		{"/", "it", 200, "Si può verificare da sé"},
		{"/", "en", 200, "You can check it yourself"},
		{"/check", "de", 200, "Fingerabdruck des Wurzelschlüssels"},
		{"/public-log", "en", 200, "ciglio/test+00000000+AAAA"},
		{"/log/checkpoint", "en", 200, "log /checkpoint"},
		{"/log/key", "en", 200, "ciglio/test+00000000+AAAA\n"},
		{"/trust", "en", 200, "CIGLIO ROOT KEY"},
		{"/devices/" + strings.Repeat("0", 32), "en", 404, "no such page"},
		{"/records/" + strings.Repeat("0", 64), "en", 404, "no such page"},
		{"/healthz", "en", 404, "no such page"},
	} {
		if w := get(h, test.path, test.language); w.Code != test.status || !strings.Contains(html.UnescapeString(w.Body.String()), test.want) {
			t.Errorf("%s in %s: %d, want %d with %q", test.path, test.language, w.Code, test.status, test.want)
		}
	}
}

// What the page shows to compare is the root key's hash, whole.
func TestFingerprintIsThatOfTheRoot(t *testing.T) {
	h := host(t)
	body := get(h, "/check", "en").Body.String()
	_, shown, _ := strings.Cut(body, `class="fingerprint code"`)
	shown, _, _ = strings.Cut(shown, "</p>")
	var digits strings.Builder
	for _, part := range strings.Split(shown, "<span>")[1:] {
		group, _, _ := strings.Cut(part, "<")
		digits.WriteString(group)
	}
	text, err := os.ReadFile(filepath.Join("..", "..", "capture", "evidence", "testdata", "trust.pem"))
	if err != nil {
		t.Fatal(err)
	}
	trust, err := evidence.ParseTrust(text)
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.ToLower(digits.String()); got != trust.Root().String() {
		t.Errorf("shown %q, the root is %v", got, trust.Root())
	}
}

// The page that checks is that of the bundles, and runs its own script alone.
func TestPageThatChecksIsThatOfTheBundles(t *testing.T) {
	w := get(host(t), "/verify.html", "it")
	policy := w.Header().Get("Content-Security-Policy")
	if w.Body.String() != string(evidence.Page()) || !strings.Contains(policy, "script-src 'sha256-") || strings.Contains(policy, "unsafe") || !strings.HasSuffix(policy, "frame-ancestors 'none'") {
		t.Errorf("%d bytes, policy %q", w.Body.Len(), policy)
	}
	if _, err := policyOf([]byte("<html>")); err == nil {
		t.Error("a page without a policy was taken")
	}
}

func TestViewsFitTheirPages(t *testing.T) {
	pagetest.Views(t, host(t).Pages(Room.Name), map[string]any{"start": startView{}, "check": checkView{}, "log": logView{}})
}
