package web

import (
	"testing"

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
