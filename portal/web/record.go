package web

import (
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"

	"ciglio/capture"
	"ciglio/capture/evidence"
	"ciglio/portal/record"
	"ciglio/sensor"
)

type recordPage struct {
	Row      *record.Record
	Sealed   *evidence.Sealed
	R        *evidence.Record
	Frames   []frameView
	Body     []bodyView
	Checks   []evidence.Check
	OK       bool
	Line     string // the verdict in a sentence
	Passed   int
	Failed   int
	Previous *evidence.Hash
	Next     *evidence.Hash
	Receipt  *evidence.Receipt
	Trace    bool // stored
	Alarm    string
}

type frameView struct {
	Number int
	Stored bool
	Lost   bool   // it was here
	Unfit  string // why no browser is given it; "" for a picture that may be shown
	Offset string // from the photo position
	evidence.Frame
}

type bodyView struct {
	Name, Value string
	Long        bool
}

func (s *Server) record(w http.ResponseWriter, r *http.Request) {
	rec, sealed, err := s.find(r)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	page := recordPage{Row: rec, Sealed: sealed, R: sealed.Record}
	b, mapped, err := s.collect(r.Context(), rec, sealed)
	defer mapped.close()
	if errors.Is(err, record.ErrDamaged) {
		// The page is shown all the same: its checks say what is damaged.
		page.Alarm = "Stored bytes of this record are damaged and were left out of the checks."
		s.o.Log.Error("stored bytes are damaged", "record", sealed.ID.String(), "error", err)
	} else if err != nil {
		s.fail(w, r, err)
		return
	}
	checked := *b
	if rec.State == record.Incomplete {
		checked.Frames = nil // not all have come: that is open, not wrong
	}
	verdict := evidence.Verify(&checked, s.o.Register.Trust())
	page.Checks, page.OK, page.Line = verdict.Checks, verdict.OK(), verdict.Line()
	for _, c := range verdict.Checks {
		switch c.Status {
		case evidence.Pass:
			page.Passed++
		case evidence.Fail:
			page.Failed++
		}
	}
	if b.Receipt != nil {
		if receipt, err := evidence.OpenReceipt(b.Receipt); err == nil {
			page.Receipt = receipt.Receipt
		}
	}
	for i, f := range sealed.Record.Frames {
		view := frameView{Number: i + 1, Stored: b.Frames[i] != nil, Frame: f}
		if !view.Stored {
			senders, err := s.o.Store.Senders(r.Context(), f.SHA256)
			view.Lost = rec.State == record.Complete || err == nil && slices.Contains(senders, rec.ID)
		}
		if _, _, _, err := capture.InspectJPEG(b.Frames[i]); view.Stored && err != nil {
			view.Unfit = err.Error()
		}
		if m := sealed.Record.Measurement; m != nil {
			view.Offset = evidence.Offset(f.Mono.Sub(m.Photo))
		}
		page.Frames = append(page.Frames, view)
	}
	page.Trace = b.Trace != nil
	for _, field := range evidence.BodyFields(sealed.Record.Kind) {
		page.Body = append(page.Body, describe(field, sealed.Record.Body[field.Key]))
	}
	if err := s.neighbours(r, &page); err != nil {
		s.fail(w, r, err)
		return
	}
	s.show(w, http.StatusOK, "record", page)
}

func (s *Server) neighbours(r *http.Request, page *recordPage) error {
	for _, n := range []struct {
		seq  uint64
		into **evidence.Hash
	}{{page.R.Seq - 1, &page.Previous}, {page.R.Seq + 1, &page.Next}} {
		id, err := s.o.Store.RecordAt(r.Context(), page.R.Device, page.R.Epoch, n.seq)
		if errors.Is(err, record.ErrNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		*n.into = &id
	}
	return nil
}

// SetAside reports whether the record is never receipted for what it names.
func (p recordPage) SetAside() bool { return p.Row.State == record.Quarantined && !p.Row.Disputed }

// describe prints one field of a body.
func describe(f evidence.BodyField, value any) bodyView {
	v := bodyView{Name: strings.ReplaceAll(f.Name, "_", " ")}
	switch value := value.(type) {
	case []byte:
		v.Value = hex.EncodeToString(value)
		if f.Type == evidence.BodyBytes && utf8.Valid(value) {
			v.Value, v.Long = string(value), true
		}
	case uint64:
		v.Value = fmt.Sprint(value)
		if f.Type == evidence.BodyFlag {
			v.Value = map[uint64]string{0: "no", 1: "yes"}[value]
		}
	default:
		v.Value = fmt.Sprint(value)
	}
	return v
}

// Excess is by how much the assessed speed exceeds the limit.
func (p recordPage) Excess() sensor.Speed {
	return max(p.R.Measurement.Assessed-p.R.Measurement.Limit, 0)
}

// Testing reports whether the record is a test.
func (p recordPage) Testing() bool { return p.R.Kind == evidence.KindTest }
