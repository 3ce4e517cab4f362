package mtls

import (
	"bytes"
	"cmp"
	"crypto"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"ciglio/internal/durable"
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
	authority, err := f.authority(text)
	if err != nil {
		return nil, nil, err
	}
	own, err := f.identity(loadKey)
	if err != nil {
		return nil, nil, err
	}
	return authority, own, nil
}

func (f Files) authority(text []byte) (*Authority, error) {
	a, err := ParseAuthority(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.Authority, err)
	}
	return a, nil
}

func (f Files) identity(loadKey func(path string) (crypto.Signer, error)) (*tls.Certificate, error) {
	key, err := loadKey(f.Key)
	if err != nil {
		return nil, err
	}
	text, err := readFile(f.Certificate)
	if err != nil {
		return nil, err
	}
	own, err := Identity(text, key)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.Certificate, err)
	}
	return own, nil
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
	return durable.ReadAtMost(path, MaxFile)
}

// retryTime is how long a Source waits after a reading that failed, with files that
// have not changed: the machine may have been out of descriptors, or a disk late.
const retryTime = 5 * time.Second

// A Source is [Files] that are read again when they have changed, and every five
// seconds after a reading that failed. Whom to believe and what is shown are two
// things: a new certificate whose key is still to come keeps no list of what is
// revoked from counting. A file that is not good changes nothing; the log says so
// once, and [Source.Trouble] as long as it is so. It is safe for concurrent use.
type Source struct {
	files   Files
	loadKey func(string) (crypto.Signer, error)
	log     *slog.Logger
	read    func(path string) ([]byte, error) // of the authorities; a test's own

	mu        sync.Mutex
	marks     [3]durable.Mark
	tried     time.Time // the last reading
	trouble   error     // of the last reading
	text      []byte    // of authority
	authority *Authority
	own       *tls.Certificate
}

// NewSource reads the files.
func NewSource(files Files, loadKey func(string) (crypto.Signer, error), log *slog.Logger) (*Source, error) {
	s := &Source{files: files, loadKey: loadKey, log: log, read: readFile}
	s.marks = s.look()
	s.load()
	return s, s.trouble
}

// look tells the versions of the files that are there. One that cannot be looked at
// has none: to read it will fail, and be tried again.
func (s *Source) look() (marks [3]durable.Mark) {
	for i, path := range []string{s.files.Authority, s.files.Certificate, s.files.Key} {
		marks[i], _ = durable.MarkOf(path)
	}
	return marks
}

// load reads the files, and keeps what was good before of what is not good now.
func (s *Source) load() {
	s.tried = time.Now()
	text, err := s.read(s.files.Authority)
	if err == nil && !bytes.Equal(text, s.text) {
		var authority *Authority
		if authority, err = s.files.authority(text); err == nil {
			s.text, s.authority = text, authority
		}
	}
	own, ownErr := s.files.identity(s.loadKey)
	if ownErr == nil {
		s.own = own
	}
	s.trouble = errors.Join(err, ownErr)
}

// Get returns what the files say, or said when they were last good.
func (s *Source) Get() (*Authority, *tls.Certificate) {
	s.mu.Lock()
	defer s.mu.Unlock()
	marks := s.look()
	if marks == s.marks && (s.trouble == nil || time.Since(s.tried) < retryTime) {
		return s.authority, s.own
	}
	s.marks = marks
	before := s.trouble
	s.load()
	switch {
	case s.trouble == nil:
		s.log.Info("certificates read", "name", cmp.Or(s.own.Leaf.Subject.CommonName, "none"), "until", s.own.Leaf.NotAfter.UTC(), "revocations_until", s.authority.until.UTC())
	case before == nil || before.Error() != s.trouble.Error():
		s.log.Error("certificates refused, those before stay in use", "error", s.trouble)
	}
	return s.authority, s.own
}

// Trouble says why what [Source.Get] returns is not what the files say now; nil when
// it is.
func (s *Source) Trouble() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.trouble
}
