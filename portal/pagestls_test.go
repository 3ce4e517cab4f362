package portal

import (
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"ciglio/internal/mtls/mtlstest"
)

// TestCertificateOfThePagesIsReadAgain changes the files while pages are served.
func TestCertificateOfThePagesIsReadAgain(t *testing.T) {
	ours, next := mtlstest.NewAuthority(t, "ours"), mtlstest.NewAuthority(t, "next")
	first, second := ours.Server(), next.Server()
	files := first.Write(t, ours.PEM())
	book := new(notebook)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	pages, _, err := PagesTLS{Certificate: files.Certificate, Key: files.Key}.wrap(l, slog.New(slog.NewTextHandler(book, nil)))
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for {
			c, err := pages.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				io.Copy(io.Discard, c)
			}()
		}
	}()
	shown := func() string {
		t.Helper()
		c, err := tls.Dial("tcp", l.Addr().String(), &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		return c.ConnectionState().PeerCertificates[0].Issuer.CommonName
	}
	if got := shown(); got != "ours" {
		t.Errorf("shows a certificate of %s", got)
	}
	second.Rewrite(t, files, next.PEM())
	if got := shown(); got != "next" {
		t.Errorf("after the change shows one of %s", got)
	}
	if err := os.WriteFile(files.Certificate, []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := shown(); got != "next" || !strings.Contains(book.String(), "the one before stays in use") {
		t.Errorf("after a bad file shows one of %s; the log: %s", got, book)
	}
	for name, o := range map[string]PagesTLS{
		"a certificate without key": {Certificate: files.Certificate}, "a key without certificate": {Key: files.Key},
		"a bad file": {Certificate: files.Certificate, Key: files.Key},
	} {
		if _, _, err := o.wrap(l, slog.New(slog.DiscardHandler)); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
}

// TestCertificateOfThePagesIsTriedAgain has a reading fail for a reason that passes
// and leaves the files as they are.
func TestCertificateOfThePagesIsTriedAgain(t *testing.T) {
	ours, next := mtlstest.NewAuthority(t, "ours"), mtlstest.NewAuthority(t, "next")
	files := ours.Server().Write(t, ours.PEM())
	f := &pageFiles{certificate: files.Certificate, key: files.Key, log: slog.New(slog.DiscardHandler)}
	if err := f.load(); err != nil {
		t.Fatal(err)
	}
	before := f.own
	next.Server().Rewrite(t, files, next.PEM())
	f.marks, f.trouble, f.tried = f.look(), os.ErrDeadlineExceeded, time.Now() // the reading of the new files failed
	if f.current() != before {
		t.Error("read again at once")
	}
	f.tried = f.tried.Add(-pageRetry)
	if f.current() == before || f.trouble != nil {
		t.Errorf("not read again in time: %v", f.trouble)
	}
}
