package web_test

import (
	"context"
	"net/http/httptest"
	"path/filepath"
	"testing"

	"ciglio/capture/evidence"
	"ciglio/portal/intake"
	"ciglio/portal/log/sequencer"
	"ciglio/portal/page"
	"ciglio/portal/portaltest"
	"ciglio/portal/record"
	"ciglio/portal/register"
	"ciglio/portal/web"
	"ciglio/uplink"
	"ciglio/uplink/wire"
)

// A site is a centre that has received messages, and its pages.
type site struct {
	t        testing.TB
	centre   *portaltest.Centre
	store    *record.Store
	register *register.File
	handler  *page.Host
}

// receive makes a site of which the intake has dealt with messages.
func receive(t testing.TB, c *portaltest.Centre, messages ...uplink.Message) *site {
	t.Helper()
	s := &site{t: t, centre: c}
	var err error
	if s.register, err = register.Open(c.Dir); err != nil {
		t.Fatal(err)
	}
	if s.store, err = portaltest.TryStore(t, c.Dir); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.store.Close() })
	broker := portaltest.NewBroker()
	numbers, numbered := portaltest.Number(sequencer.Options{Store: s.store, Register: s.register, Signer: c.Signer})
	in, err := intake.New(t.Context(), intake.Options{
		Store: s.store, Lease: portaltest.Lease(t, s.store), Spool: filepath.Join(c.Dir, "partial"), Register: s.register, Signer: c.Signer, Dialer: broker, ClientID: "centre", Shard: portaltest.Shard,
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- in.Run(ctx) }()
	broker.Deliver(messages...)
	cancel()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	numbered()
	s.open(web.Options{Stats: func() intake.Stats { return in.Stats().With(numbers.Stats()) }})
	return s
}

// open puts pages in front of the store.
func (s *site) open(o web.Options) {
	s.t.Helper()
	host, err := page.New(page.Options{Name: "officers", Layout: page.Staff, Rooms: []page.Room{web.Room}, Title: "web.menu.site",
		Menu: []page.Link{{Path: "/", Words: "web.menu.overview"}}, Absent: web.Absent, Loopback: true})
	if err != nil {
		s.t.Fatal(err)
	}
	o.Pages, o.Store, o.Register = host.Pages("web"), s.store, s.register
	for pattern, handler := range web.New(o).Routes() {
		host.Handle(pattern, handler)
	}
	s.handler = host
}

func (s *site) get(path string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest("GET", "http://127.0.0.1:8080"+path, nil)
	r.Header.Set("Accept-Language", "en")
	for i := 0; i < len(headers); i += 2 {
		if headers[i] == "Host" {
			r.Host = headers[i+1]
		}
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	s.handler.ServeHTTP(w, r)
	return w
}

func pictures(t testing.TB) [][]byte {
	return [][]byte{portaltest.Picture(t, 160, 90, 1), portaltest.Picture(t, 160, 90, 2), portaltest.Picture(t, 160, 90, 3)}
}

// send returns the messages of a record and its blobs.
func send(d *portaltest.Device, s *evidence.Sealed, blobs ...[]byte) []uplink.Message {
	all := []uplink.Message{d.Message(wire.WhatRecord, s.Bytes)}
	for _, blob := range blobs {
		all = append(all, d.Chunks(blob)...)
	}
	return all
}

// violation is a site with one settled violation and its statements.
func violation(t testing.TB, edit func(*evidence.Record)) (*site, *evidence.Sealed) {
	d := portaltest.NewDevice(t, "one")
	c := portaltest.NewCentre(t, d)
	all := send(d, d.Statement(t, evidence.KindCalibration, portaltest.Calibration))
	all = append(all, send(d, d.Statement(t, evidence.KindConfiguration, portaltest.Configuration))...)
	s := d.Violation(t, pictures(t), trace, edit)
	all = append(all, send(d, s, append(pictures(t), trace)...)...)
	return receive(t, c, all...), s
}
