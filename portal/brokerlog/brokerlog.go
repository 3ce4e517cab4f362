// Package brokerlog reads the log of Mosquitto, so that the centre tells what that
// broker has refused: Mosquitto 2.0 acknowledges a message on another's topic and
// drops it, and says so in its log alone.
//
// A Reader follows the file as it grows, is rotated or truncated, and keeps
// nothing but a line of at most [MaxLine] bytes. It begins at the file's end:
// what was refused before the centre started was told before, or is in the file.
package brokerlog

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"

	"ciglio/capture/evidence"
	"ciglio/portal/tally"
	"ciglio/uplink/wire"
)

// MaxLine is how much of a line is read, in bytes.
const MaxLine = 4096

const lookTime = time.Second // between two looks at the file

// An Event is one refusal.
type Event struct {
	Message string // constant, as in the log of the embedded broker
	Device  string // the device's id, as its certificate says; empty when there is none
	Topic   string // of a message
	Reason  string
}

// Parse reads one line of Mosquitto's log, and reports whether it tells a refusal.
func Parse(line string) (Event, bool) {
	// 1764590000: words, or with a log_timestamp_format of one's own.
	for {
		if e, ok := parseWords(line); ok {
			return e, true
		}
		_, rest, more := strings.Cut(line, ": ")
		if !more {
			return Event{}, false
		}
		line = rest
	}
}

func parseWords(words string) (Event, bool) {
	if rest, ok := strings.CutPrefix(words, "Denied PUBLISH from "); ok {
		client, rest, ok := strings.Cut(rest, " (d")
		_, rest, quoted := strings.Cut(rest, ", '")
		topic, _, closed := cutLast(rest, "', ... (")
		if !ok || !quoted || !closed {
			return Event{}, false
		}
		e := Event{Message: "topic refused", Device: deviceIn(client), Topic: topic, Reason: "not its own"}
		// What is the device's own is refused when no device may say it.
		if _, d, _, err := wire.ParseTopic(topic); err == nil && d.String() == e.Device {
			e.Reason = "not a device's to say"
		}
		return e, true
	}
	if rest, ok := strings.CutPrefix(words, "Client connection from "); ok {
		_, why, ok := strings.Cut(rest, " failed: ")
		return Event{Message: "client refused", Reason: strings.TrimSuffix(why, ".")}, ok
	}
	if rest, ok := strings.CutPrefix(words, "OpenSSL Error["); ok {
		_, why, ok := strings.Cut(rest, "]: error:")
		// 0A000086:SSL routines::certificate verify failed
		if i := strings.LastIndex(why, "::"); i >= 0 {
			why = why[i+2:]
		}
		return Event{Message: "client refused", Reason: why}, ok && why != ""
	}
	if rest, ok := strings.CutPrefix(words, "Client "); ok {
		client, ok := strings.CutSuffix(rest, " disconnected, not authorised.")
		return Event{Message: "client refused", Device: deviceIn(client), Reason: "not authorised"}, ok && !strings.Contains(client, " ")
	}
	return Event{}, false
}

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}

func deviceIn(client string) string {
	if _, err := evidence.ParseDeviceID(client); err != nil {
		return ""
	}
	return client
}

// A Reader follows one log.
type Reader struct {
	path  string
	log   *slog.Logger
	tally *tally.Tally
}

// New returns a reader of the file at path, which need not be there yet.
func New(path string, log *slog.Logger) *Reader {
	return &Reader{path: path, log: log, tally: tally.New(log)}
}

// Run tells what is refused until ctx ends.
func (r *Reader) Run(ctx context.Context) {
	var counting sync.WaitGroup
	defer counting.Wait()
	counting.Go(func() { r.tally.Run(ctx) })
	tick := time.NewTicker(lookTime)
	defer tick.Stop()
	f := &follower{path: r.path}
	defer f.close()
	failing := false
	for {
		err := f.read(r.tell)
		if failed := err != nil; failed != failing {
			failing = failed
			if failed {
				r.log.Error("the broker's log cannot be read: what it refuses is not told", "error", err)
			} else {
				r.log.Info("the broker's log is read")
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

func (r *Reader) tell(line string) {
	e, ok := Parse(line)
	if !ok {
		return
	}
	// A topic is what a stranger wrote: the log quotes it, and it is no key.
	r.tally.Add(tally.Key{Level: slog.LevelWarn, Message: e.Message, Device: e.Device, Reason: e.Reason}, "broker", "mosquitto", "topic", e.Topic)
}

// A follower reads a file on from where it was.
type follower struct {
	path   string
	begun  bool
	file   *os.File
	info   os.FileInfo
	at     int64
	lines  *bufio.Reader
	part   []byte // of a line that is not at its end
	passes bool   // over the rest of a line that is too long
}

func (f *follower) close() {
	if f.file != nil {
		f.file.Close()
	}
	f.file = nil
}

// read gives every line that is whole.
func (f *follower) read(tell func(string)) error {
	for {
		if err := f.open(); err != nil {
			return err
		}
		if err := f.drain(tell); err != nil {
			return err
		}
		now, err := os.Stat(f.path)
		if err != nil {
			if errors.Is(err, fs.ErrNotExist) {
				return nil // it is being rotated
			}
			return err
		}
		if os.SameFile(now, f.info) && now.Size() >= f.at {
			return nil
		}
		if err := f.drain(tell); err != nil { // what came before it was rotated
			return err
		}
		f.close() // another file has its name, or it was truncated
	}
}

func (f *follower) open() error {
	if f.file != nil {
		return nil
	}
	file, err := os.Open(f.path)
	if err != nil {
		return err
	}
	info, err := file.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = &fs.PathError{Op: "read", Path: f.path, Err: errors.New("not a plain file")}
	}
	at := int64(0)
	if err == nil && !f.begun {
		at, err = file.Seek(0, io.SeekEnd)
	}
	if err != nil {
		file.Close()
		return err
	}
	f.begun, f.file, f.info, f.at, f.part, f.passes = true, file, info, at, nil, false
	f.lines = bufio.NewReaderSize(file, MaxLine)
	return nil
}

func (f *follower) drain(tell func(string)) error {
	for {
		b, err := f.lines.ReadSlice('\n')
		f.at += int64(len(b))
		whole := bytes.HasSuffix(b, []byte("\n"))
		if !f.passes {
			f.part = append(f.part, b[:min(len(b), MaxLine-len(f.part))]...)
		}
		if whole {
			tell(strings.TrimSuffix(string(f.part), "\n"))
			f.part, f.passes = f.part[:0], false
		} else if len(f.part) >= MaxLine {
			f.passes = true
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil && !errors.Is(err, bufio.ErrBufferFull):
			return err
		}
	}
}
