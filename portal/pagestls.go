package portal

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"ciglio/internal/durable"
)

// PagesTLS says how the pages are served by TLS: with a certificate in files, which
// may be another program's to renew. Zero: they are not.
type PagesTLS struct {
	Certificate, Key string // PEM; read again when they change
}

func (o PagesTLS) enabled() bool { return o != PagesTLS{} }

// wrap serves l by TLS if o says so, with the files that it returns. Browsers may
// speak TLS 1.2, too.
func (o PagesTLS) wrap(l net.Listener, log *slog.Logger) (net.Listener, *pageFiles, error) {
	if !o.enabled() {
		return l, nil, nil
	}
	if o.Certificate == "" || o.Key == "" {
		return l, nil, errors.New("want a certificate with its key")
	}
	files := &pageFiles{certificate: o.Certificate, key: o.Key, log: log}
	if err := files.load(); err != nil {
		return l, nil, err
	}
	return tls.NewListener(l, &tls.Config{
		MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return files.current(), nil },
	}), files, nil
}

// pageRetry is how long a certificate of the pages that was refused is left before
// it is read again, with files that have not changed.
const pageRetry = 5 * time.Second

// pageFiles is a certificate in files.
type pageFiles struct {
	certificate, key string
	log              *slog.Logger

	mu      sync.Mutex
	marks   [2]durable.Mark
	tried   time.Time
	trouble error // of the last reading
	own     *tls.Certificate
}

func (f *pageFiles) look() (marks [2]durable.Mark) {
	for i, path := range []string{f.certificate, f.key} {
		marks[i], _ = durable.MarkOf(path)
	}
	return marks
}

func (f *pageFiles) load() error {
	f.marks, f.tried = f.look(), time.Now()
	own, err := tls.LoadX509KeyPair(f.certificate, f.key)
	if err != nil {
		return fmt.Errorf("certificate %s: %w", f.certificate, err)
	}
	f.own = &own
	return nil
}

// current returns the certificate, read again if the files have changed, and every
// five seconds after a reading that failed. Files that are not good change nothing,
// and the log says so once.
func (f *pageFiles) current() *tls.Certificate {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.look() == f.marks && (f.trouble == nil || time.Since(f.tried) < pageRetry) {
		return f.own
	}
	before := f.trouble
	if f.trouble = f.load(); f.trouble != nil && (before == nil || before.Error() != f.trouble.Error()) {
		f.log.Error("certificate of the pages refused, the one before stays in use", "error", f.trouble)
	}
	return f.own
}

// lastTrouble says why the certificate in use is not that of the files.
func (f *pageFiles) lastTrouble() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.trouble
}
