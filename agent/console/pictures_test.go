package console

import (
	"net"
	"os"
	"testing"

	"ciglio/cross/browser"
)

// TestPicturesOfTheConsole shows what docs/technician.md says is there, and with
// CIGLIO_SCREENSHOTS draws it: make pictures.
func TestPicturesOfTheConsole(t *testing.T) {
	if os.Getenv("CIGLIO_SCREENSHOTS") == "" {
		t.Skip("make pictures draws them; TestBrowser looks at the same pages")
	}
	b := atWork(t)
	b.accepted(false)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error)
	go func() { served <- b.Serve(t.Context(), l) }()
	in := []browser.Cookie{{Name: sessionCookie, Value: b.session(Technician)}}
	var visits []browser.Visit
	for _, v := range []browser.Visit{
		{Name: "login", Path: "/login"}, {Name: "state", Path: "/", Cookies: in},
		{Name: "stick", Path: "/stick", Cookies: in}, {Name: "journal", Path: "/journal", Cookies: in},
		{Name: "aim", Path: "/aim", Cookies: in}, {Name: "accept", Path: "/accept", Cookies: in},
	} {
		v.Language, v.Width = "en", 390
		visits = append(visits, v)
	}
	browser.Look(t, "http://"+l.Addr().String(), browser.Rules{Target: 44, Letters: 16}, visits)
}
