package browser

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// pages are one in order, and one for each fault.
var pages = map[string]string{
	"good":    `<!doctype html><html lang=en><title>x</title><style>a:focus{outline:3px solid #000}</style><main><h1>Hi</h1><a href=/good>there</a></main></html>`,
	"axe":     `<!doctype html><html lang=en><title>x</title><main><h1>Hi</h1><img src=/icon></main></html>`,
	"third":   `<!doctype html><html lang=en><title>x</title><link rel=stylesheet href=http://127.0.0.2:9/x.css><main><h1>Hi</h1></main></html>`,
	"wide":    `<!doctype html><html lang=en><title>x</title><main><h1>Hi</h1><p style="width:900px">wide</p></main></html>`,
	"hidden":  `<!doctype html><html lang=en><title>x</title><style>a:focus{outline:none}</style><main><h1>Hi</h1><a href=/x>there</a></main></html>`,
	"trap":    `<!doctype html><html lang=en><title>x</title><main><h1>Hi</h1><button id=a>a</button><button>b</button><script>a.onkeydown=(e)=>e.preventDefault()</script></main></html>`,
	"small":   `<!doctype html><html lang=en><title>x</title><main><h1>Hi</h1><button style="width:30px;height:30px">a</button></main></html>`,
	"letters": `<!doctype html><html lang=en><title>x</title><main><h1>Hi</h1><p style="font-size:11px">tiny</p></main></html>`,
	"script":  `<!doctype html><html lang=en><title>x</title><main><h1>Hi</h1><script>throw new Error("oops")</script></main></html>`,
	"mute":    `<!doctype html><html lang=en><title>x</title><main><h1>Ha</h1></main></html>`,
}

// TestFaultsAreFound looks at pages with faults, since a look that finds nothing
// proves nothing.
func TestFaultsAreFound(t *testing.T) {
	chromium, modules, err := find()
	if err != nil {
		Look(t, "", Rules{}, nil) // skips, or fails
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		page, ok := pages[strings.TrimPrefix(r.URL.Path, "/")]
		switch {
		case r.URL.Path == "/favicon.ico":
			w.WriteHeader(http.StatusNoContent)
		case !ok:
			http.NotFound(w, r)
		default:
			fmt.Fprint(w, page)
		}
	}))
	defer server.Close()
	want := map[string]string{
		"good": "", "axe": "axe image-alt", "third": "asks a third host", "wide": "wider than the window", "hidden": "place is not seen",
		"trap": "the keyboard reaches 1 of 2", "small": "smaller than 44 px: 30 by 30", "letters": "letters of 11 px", "script": "script fails: oops",
		"absent": "answer 404, want 200", "mute": `does not say "Hi"`,
	}
	var visits []Visit
	for name := range want {
		visits = append(visits, Visit{Name: name, Path: "/" + name, Language: "en", Width: 320, Want: []string{"Hi"}})
	}
	results, err := look(t, chromium, modules, server.URL, Rules{Target: 44, Letters: 16}, visits)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range results {
		faults := strings.Join(r.Faults, "\n")
		if w := want[r.Name]; w == "" && faults != "" || !strings.Contains(faults, w) {
			t.Errorf("%s: want %q, found:\n%s", r.Name, w, faults)
		}
	}
}
