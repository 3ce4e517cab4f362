package citizen

import (
	"context"
	"fmt"
	"net"
	"testing"

	"ciglio/cross/browser"
)

// TestBrowser looks at every page in every language, on a phone, at 200 % and on a desk.
func TestBrowser(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	h := host(t)
	go func() { ended <- h.Run(ctx, l) }()
	defer func() { cancel(); <-ended }()
	var visits []browser.Visit
	for _, lang := range []string{"it", "en", "de"} {
		for _, width := range []int{320, 640, 1280} { // 640 is a desk at 200 %
			if width == 640 && lang != "it" {
				continue
			}
			for _, path := range []string{"/", "/check", "/public-log"} {
				visits = append(visits, browser.Visit{Name: fmt.Sprintf("citizens %s %s %d", path, lang, width), Path: path, Language: lang, Width: width})
			}
		}
		visits = append(visits, browser.Visit{Name: "citizens absent " + lang, Path: "/nothing", Status: 404, Language: lang, Width: 320})
	}
	visits = append(visits,
		browser.Visit{Name: "citizens keep their language, without script", Path: "/", Language: "it", Width: 320, NoScript: true, Steps: []browser.Step{
			{Do: "click", Selector: ".languages a[lang=de]"},
			{Do: "click", Selector: ".menu a[href='/check']"},
		}, Want: []string{"Fingerabdruck des Wurzelschlüssels"}})
	browser.Look(t, "http://"+l.Addr().String(), browser.Rules{Letters: 14}, visits)
}
