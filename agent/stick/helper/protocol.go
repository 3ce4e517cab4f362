// Package helper lets a service without any right over disks use the sticks that
// are plugged in: a small privileged program mounts and reads them, [Serve], and
// speaks over a socket with the service, [Dial].
//
// What it keeps true: the privileged side understands nothing of what is on a
// stick; it lists names, hands over bytes within the limit that it was asked for,
// and writes small files into the root folder. A client that is gone, or asks for
// something else, ends its connection and nothing more; the sticks are unmounted
// then.
//
// # The conversation
//
// The client asks and the server answers, one after the other. Each message is one
// line of JSON, and where it has a size, that many bytes follow.
//
//	{"do":"next"}                          → {"event":"stick","stick":"/dev/sda 7","kind":"vfat"}: it is open now
//	                                       → {"event":"pulled"}: one that was used before has gone
//	{"do":"list"}                          → {"entries":[{"Name":"a.ciglio","Size":3}]}
//	                                         an entry with "Err" is a folder, or the rest of one, that could not be listed
//	{"do":"read","name":"a.ciglio","limit":9} → {"size":3} and 3 bytes
//	{"do":"put","name":"receipt","size":4} and 4 bytes → {}
//	{"do":"close"}                         → {}: it is unmounted, and may be pulled out
//
// What failed is {"error":"words","code":"gone"}, where code is gone, stalled,
// format, limit or other. An error of next is one of a stick that could not be
// opened: it has a stick's name, and is not told again.
package helper

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"ciglio/agent/stick"
)

// MaxPut is the largest file that is written to a stick, in bytes.
const MaxPut = 4 << 20

// MaxRead is the largest file that is read off a stick, in bytes.
const MaxRead = 64 << 20

const maxLine = 4 << 20 // ten thousand names

type request struct {
	Do    string `json:"do"`
	Name  string `json:"name,omitempty"`
	Limit int64  `json:"limit,omitempty"`
	Size  int64  `json:"size,omitempty"`
}

type reply struct {
	Error   string        `json:"error,omitempty"`
	Code    string        `json:"code,omitempty"`
	Event   string        `json:"event,omitempty"`
	Stick   string        `json:"stick,omitempty"`
	Kind    string        `json:"kind,omitempty"`
	Entries []stick.Entry `json:"entries,omitempty"`
	Size    int64         `json:"size,omitempty"`
}

// codes are those of the errors that callers branch on.
func codes() map[string]error {
	return map[string]error{"gone": stick.ErrGone, "stalled": stick.ErrStalled, "format": stick.ErrFormat, "limit": stick.ErrLimit}
}

func failed(err error) reply {
	for code, is := range codes() {
		if errors.Is(err, is) {
			return reply{Error: err.Error(), Code: code}
		}
	}
	return reply{Error: err.Error(), Code: "other"}
}

func (r reply) err() error {
	if r.Error == "" {
		return nil
	}
	return &Error{r.Error, codes()[r.Code]}
}

// An Error is what failed on the other side. It wraps the sentinel of package
// stick, where it is one.
type Error struct {
	Words string
	is    error
}

func (e *Error) Error() string { return e.Words }
func (e *Error) Unwrap() error { return e.is }

func send(w io.Writer, message any, body []byte) error {
	line, err := json.Marshal(message)
	if err != nil {
		return err
	}
	if _, err := w.Write(append(line, '\n')); err != nil {
		return err
	}
	if len(body) > 0 {
		_, err = w.Write(body)
	}
	return err
}

func receive(r *bufio.Reader, message any) error {
	var line []byte
	for {
		part, err := r.ReadSlice('\n')
		if len(line)+len(part) > maxLine {
			return fmt.Errorf("a line of more than %d bytes", maxLine)
		}
		line = append(line, part...)
		if err == nil {
			return json.Unmarshal(line, message)
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return err
		}
	}
}
