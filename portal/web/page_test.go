package web

import (
	"strings"
	"testing"

	"ciglio/capture/evidence"
	"ciglio/portal/page"
	"ciglio/portal/page/pagetest"
)

func TestViewsFitTheirPages(t *testing.T) {
	host, err := page.New(page.Options{Name: "officers", Layout: page.Staff, Rooms: []page.Room{Room}, Title: "web.menu.site",
		Menu: []page.Link{{Path: "/", Words: "web.menu.overview"}, {Path: "/trust", Words: "web.menu.trust"}}})
	if err != nil {
		t.Fatal(err)
	}
	pagetest.Views(t, host.Pages("web"), map[string]any{"overview": overviewView{}, "device": deviceView{}, "record": recordView{}})
	// What devices and the intake give by code.
	pagetest.Says(t, host, ".", "web.cause.", "web.refused.", "web.order.", "web.order_state.", "web.kind.", "web.banner.", "web.state.")
}

// A page of a record names its kind in its title, and again among what it says, where a
// verifier speaks: in one word. In Italian a test is none that means evidence, too.
func TestKindsAreNamedAsVerifiersDo(t *testing.T) {
	host, err := page.New(page.Options{Name: "officers", Layout: page.Staff, Rooms: []page.Room{Room}, Title: "web.menu.site",
		Menu: []page.Link{{Path: "/", Words: "web.menu.overview"}, {Path: "/trust", Words: "web.menu.trust"}}})
	if err != nil {
		t.Fatal(err)
	}
	for _, language := range page.Languages {
		words, _ := host.Words().In(language)
		for k := evidence.KindViolation; k <= evidence.KindTest; k++ {
			if strings.HasPrefix(k.String(), "kind ") {
				continue // there is none of the number
			}
			got, err := words.Text("web.kind." + strings.NewReplacer(" ", "_", "-", "_").Replace(k.String()))
			if want := evidence.Language(language).Word("term." + k.String()); err != nil || !strings.EqualFold(got, want) {
				t.Errorf("%s: a record of kind %v is %q, a verifier says %q, %v", language, k, got, want, err)
			}
		}
		if banner, err := words.Text("web.banner.test"); err != nil || banner != "TEST" {
			t.Errorf("%s: a test is told to be %q, %v", language, banner, err)
		}
	}
}
