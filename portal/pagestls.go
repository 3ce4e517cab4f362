package portal

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"golang.org/x/crypto/acme"
	"golang.org/x/crypto/acme/autocert"
)

// PagesTLS says how the pages are served by TLS: with a certificate in files, or
// with one that an ACME server such as Let's Encrypt gives. Zero: they are not.
type PagesTLS struct {
	Certificate, Key string // PEM; read again when they change
	// ACMEHost is the host name of the pages, for which a certificate is asked
	// from ACMEDirectory, empty for Let's Encrypt, and kept in ACMECache. The
	// server asks the pages' own port, which must be reached as 443 (TLS-ALPN-01).
	ACMEHost, ACMEDirectory, ACMECache string
	// ACMERoots are whom to believe that the ACME server is who it says; nil for
	// those of the system.
	ACMERoots *x509.CertPool
}

func (o PagesTLS) enabled() bool { return o.Certificate != "" || o.ACMEHost != "" }

// wrap serves l by TLS if o says so. Browsers may speak TLS 1.2, too.
func (o PagesTLS) wrap(l net.Listener, log *slog.Logger) (net.Listener, error) {
	if !o.enabled() {
		return l, nil
	}
	if (o.Certificate == "") != (o.Key == "") || o.Certificate != "" && o.ACMEHost != "" {
		return l, errors.New("want a certificate with its key, or the name for ACME, and not both")
	}
	if o.ACMEHost != "" {
		return tls.NewListener(l, o.acme()), nil
	}
	files := &pageFiles{certificate: o.Certificate, key: o.Key, log: log}
	if err := files.load(); err != nil {
		return l, err
	}
	return tls.NewListener(l, &tls.Config{
		MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return files.current(), nil },
	}), nil
}

func (o PagesTLS) acme() *tls.Config {
	m := &autocert.Manager{
		Prompt: autocert.AcceptTOS, Cache: autocert.DirCache(o.ACMECache), HostPolicy: autocert.HostWhitelist(o.ACMEHost),
		Client: &acme.Client{DirectoryURL: o.ACMEDirectory, HTTPClient: acmeHTTP(o.ACMERoots), UserAgent: "ciglio-portal"},
	}
	c := m.TLSConfig()
	c.MinVersion = tls.VersionTLS12
	return c
}

// pageFiles is a certificate in files.
type pageFiles struct {
	certificate, key string
	log              *slog.Logger

	mu    sync.Mutex
	marks [2]string
	own   *tls.Certificate
}

func (f *pageFiles) look() (marks [2]string) {
	for i, path := range []string{f.certificate, f.key} {
		if info, err := os.Stat(path); err == nil {
			marks[i] = fmt.Sprint(info.ModTime().UnixNano(), info.Size())
		}
	}
	return marks
}

func (f *pageFiles) load() error {
	own, err := tls.LoadX509KeyPair(f.certificate, f.key)
	if err != nil {
		return fmt.Errorf("certificate %s: %w", f.certificate, err)
	}
	f.own = &own
	return nil
}

// current returns the certificate, read again if the files have changed. Files
// that are not good change nothing, and the log says so once.
func (f *pageFiles) current() *tls.Certificate {
	f.mu.Lock()
	defer f.mu.Unlock()
	marks := f.look()
	if marks == f.marks {
		return f.own
	}
	f.marks = marks
	if err := f.load(); err != nil {
		f.log.Error("certificate of the pages refused, the one before stays in use", "error", err)
	}
	return f.own
}

// acmeHTTP asks an ACME server.
func acmeHTTP(roots *x509.CertPool) *http.Client {
	return &http.Client{
		Timeout:   time.Minute,
		Transport: &http.Transport{Proxy: http.ProxyFromEnvironment, TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots}},
	}
}
