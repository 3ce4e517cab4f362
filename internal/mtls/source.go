package mtls

import (
	"cmp"
	"crypto"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"syscall"
	"time"
)

// Files name whom an end believes and what it shows.
type Files struct {
	Authority   string // authorities and what they revoked; see [ParseAuthority]
	Certificate string // see [Identity]
	Key         string // the certificate's key
}

// Load reads the files. The key is read by whoever knows how keys are kept.
func (f Files) Load(loadKey func(path string) (crypto.Signer, error)) (*Authority, *tls.Certificate, error) {
	text, err := readFile(f.Authority)
	if err != nil {
		return nil, nil, err
	}
	authority, err := ParseAuthority(text)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", f.Authority, err)
	}
	key, err := loadKey(f.Key)
	if err != nil {
		return nil, nil, err
	}
	if text, err = readFile(f.Certificate); err != nil {
		return nil, nil, err
	}
	own, err := Identity(text, key)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", f.Certificate, err)
	}
	return authority, own, nil
}

// readFile reads a plain file of at most MaxFile bytes.
func readFile(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > MaxFile { // a pipe would never end
		return nil, fmt.Errorf("%s: want a plain file of at most %d bytes", path, MaxFile)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, MaxFile))
}

// A Source is [Files] that are read again when they have changed. Files that are
// not good, such as a new certificate whose key is still to come, change nothing;
// the log says so once. It is safe for concurrent use.
type Source struct {
	files   Files
	loadKey func(string) (crypto.Signer, error)
	log     *slog.Logger

	mu        sync.Mutex
	marks     [3]mark
	authority *Authority
	own       *tls.Certificate
}

// mark tells one version of a file from another.
type mark struct {
	mtime time.Time
	size  int64
	inode uint64
}

// NewSource reads the files.
func NewSource(files Files, loadKey func(string) (crypto.Signer, error), log *slog.Logger) (*Source, error) {
	s := &Source{files: files, loadKey: loadKey, log: log}
	s.marks = s.look()
	var err error
	s.authority, s.own, err = files.Load(loadKey)
	return s, err
}

func (s *Source) look() (marks [3]mark) {
	for i, path := range []string{s.files.Authority, s.files.Certificate, s.files.Key} {
		info, err := os.Stat(path)
		if err != nil {
			continue
		}
		marks[i] = mark{mtime: info.ModTime(), size: info.Size()}
		if st, ok := info.Sys().(*syscall.Stat_t); ok {
			marks[i].inode = st.Ino
		}
	}
	return marks
}

// Get returns what the files say, or said when they were last good.
func (s *Source) Get() (*Authority, *tls.Certificate) {
	s.mu.Lock()
	defer s.mu.Unlock()
	marks := s.look()
	if marks == s.marks {
		return s.authority, s.own
	}
	s.marks = marks
	authority, own, err := s.files.Load(s.loadKey)
	if err != nil {
		s.log.Error("certificates refused, those before stay in use", "error", err)
		return s.authority, s.own
	}
	s.authority, s.own = authority, own
	s.log.Info("certificates read", "name", cmp.Or(own.Leaf.Subject.CommonName, "none"), "until", own.Leaf.NotAfter.UTC())
	return s.authority, s.own
}
