// Package files writes what the sensors beside a simulated road give into a
// folder: docs/simulator.md says what is in it. The same scenario gives the same
// bytes everywhere, but for the pictures.
package files

import (
	"bufio"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"ciglio/cross/simulate"
)

// A File is one that was written.
type File struct {
	Name   string `json:"name"`
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
}

// Written is what a folder holds.
type Written struct {
	Seconds  float64 `json:"seconds"`
	Vehicles int     `json:"vehicles"`
	Frames   int     `json:"frames"`
	Files    []File  `json:"files"` // without the pictures
}

// Write makes the folder of a scenario, whose text is given too. The folder
// appears when it is complete, or not at all.
func Write(ctx context.Context, folder string, s simulate.Scenario, text []byte) (result Written, err error) {
	folder = filepath.Clean(folder)
	if _, err := os.Lstat(folder); err == nil {
		return result, fmt.Errorf("%s: exists already\nhint: remove it, or name another folder with --out", folder)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return result, err
	}
	road, err := simulate.NewRoad(s)
	if err != nil {
		return result, err
	}
	partial, err := os.MkdirTemp(filepath.Dir(folder), "."+filepath.Base(folder)+"-*")
	if err != nil {
		return result, err
	}
	defer func() {
		if err != nil && ctx.Err() != nil {
			err = errors.New("stopped, nothing is written")
		}
		if err != nil {
			err = errors.Join(err, os.RemoveAll(partial))
		}
	}()
	result.Seconds, result.Vehicles = road.Duration().Seconds(), len(road.Truth())
	w := &folderWriter{dir: partial, result: &result}
	w.file("scenario.toml", func(out io.Writer) error { _, err := out.Write(text); return err })
	w.file("truth.csv", func(out io.Writer) error { return writeTruth(out, road) })
	w.file("edges.csv", func(out io.Writer) error { return writeEdges(out, road, s.Contacts) })
	w.file("radar.wav", func(out io.Writer) error { return writeSignal(ctx, out, road) })
	for _, radar := range radars(road, s) {
		w.file(radar.file, func(out io.Writer) error { return radar.write(ctx, out) })
	}
	if w.err == nil {
		w.err = writeFrames(ctx, w, road)
	}
	if w.err != nil {
		return result, w.err
	}
	if err := os.Chmod(partial, 0o755); err != nil {
		return result, err
	}
	return result, os.Rename(partial, folder)
}

// folderWriter writes the files of a folder until one fails.
type folderWriter struct {
	dir    string
	result *Written
	err    error
}

// counter counts and hashes what is written.
type counter struct {
	n int64
	h hash.Hash
}

func (c *counter) Write(p []byte) (int, error) {
	c.n += int64(len(p))
	return c.h.Write(p)
}

func (w *folderWriter) file(name string, write func(io.Writer) error) {
	if w.err != nil {
		return
	}
	f, err := os.OpenFile(filepath.Join(w.dir, name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		w.err = err
		return
	}
	c := counter{h: sha256.New()}
	out := bufio.NewWriterSize(io.MultiWriter(f, &c), 1<<16)
	err = write(out)
	if err := errors.Join(err, out.Flush(), f.Sync(), f.Close()); err != nil {
		w.err = fmt.Errorf("%s: %w", name, err)
		return
	}
	w.result.Files = append(w.result.Files, File{name, c.n, fmt.Sprintf("%x", c.h.Sum(nil))})
}

// seconds prints nanoseconds as seconds with every digit.
func seconds(ns int64) string {
	sign := ""
	if ns < 0 {
		sign, ns = "-", -ns
	}
	return sign + strconv.FormatInt(ns/1e9, 10) + fmt.Sprintf(".%09d", ns%1e9)
}
