package device

import (
	"errors"
	"io/fs"
	"log/slog"
	"os"

	"ciglio/internal/durable"
)

// learnt is a file in the device's folder that keeps over restarts what was learnt of
// the site. Its methods have one user at a time.
type learnt struct {
	file string
	log  *slog.Logger
	text string // as it is in the file, for the device in its name
	lost error  // why the file could not be read
}

// read returns what the file says of the part of the given name. What cannot be read
// is told, and learnt anew.
func read[T any](l *learnt, name string, parse func(text []byte, name string) (T, error)) (kept T) {
	text, err := os.ReadFile(l.file)
	if err == nil {
		kept, err = parse(text, name)
	}
	switch {
	case err == nil:
		l.text = string(text)
	case !errors.Is(err, fs.ErrNotExist):
		l.lost = err
		l.log.Warn("what was learnt of the site is lost", "file", l.file, "error", err)
	}
	return kept
}

// keep writes the text to the file, unless it is there.
func (l *learnt) keep(text []byte) error {
	if string(text) == l.text {
		return nil
	}
	if err := durable.WriteFile(l.file, text, 0o600); err != nil {
		return err
	}
	l.text = string(text)
	return nil
}
