// Package officer is the door of the officers' host: it puts the pages of the desks
// together that the staff of the centre works with. Until there is somebody who says who
// asks, the host is for the machine itself.
package officer

import (
	"log/slog"

	"ciglio/portal/page"
	"ciglio/portal/web"
)

// Options of the host.
type Options struct {
	Evidence web.Options // of the pages of what devices have sent; its Pages are set here
	Loopback bool        // see [page.Options.Loopback]
	Log      *slog.Logger
}

// Name is the host's.
const Name = "officers"

// New makes the host.
func New(o Options) (*page.Host, error) {
	host, err := page.New(page.Options{
		Name: Name, Layout: page.Staff, Rooms: []page.Room{web.Room}, Title: "web.menu.site",
		Menu:   []page.Link{{Path: "/", Words: "web.menu.overview"}, {Path: "/trust", Words: "web.menu.trust"}},
		Absent: web.Absent, Loopback: o.Loopback, Log: o.Log,
	})
	if err != nil {
		return nil, err
	}
	o.Evidence.Pages, o.Evidence.Log = host.Pages(web.Room.Name), o.Log
	for pattern, handler := range web.New(o.Evidence).Routes() {
		host.Handle(pattern, handler)
	}
	return host, nil
}
