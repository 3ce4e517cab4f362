package web

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"ciglio/capture"
	"ciglio/capture/evidence"
	"ciglio/portal/log"
	"ciglio/portal/page"
	"ciglio/portal/record"
)

// parseHash reads a record id as addresses spell it.
func parseHash(text string) (evidence.Hash, error) {
	h, err := evidence.ParseHash(text)
	if err != nil {
		return h, record.ErrNotFound
	}
	return h, nil
}

// find returns the record that a request names.
func (d *Desk) find(r *http.Request) (*record.Record, *evidence.Sealed, error) {
	id, err := parseHash(r.PathValue("id"))
	if err != nil {
		return nil, nil, err
	}
	rec, err := d.o.Store.Record(r.Context(), id)
	if err != nil {
		return nil, nil, err
	}
	sealed, err := evidence.Open(rec.Bytes)
	if err == nil && sealed.ID != id {
		err = errors.New("has another id")
	}
	if err != nil {
		return nil, nil, fmt.Errorf("record %v: %w: %w", id, record.ErrDamaged, err)
	}
	return rec, sealed, nil
}

// collect puts together everything the centre has about a record. What is not
// there yet is left out.
//
// Frames and trace are mapped: the bundle must not be used after the mapping is
// closed.
func (d *Desk) collect(ctx context.Context, rec *record.Record, sealed *evidence.Sealed) (*evidence.Bundle, *mapping, error) {
	m := &mapping{d: d, rec: rec}
	r := sealed.Record
	b := &evidence.Bundle{Record: rec.Bytes, DeviceCertificate: d.o.Register.Certificate(r.Key.Certificate)}
	optional := func(into *[]byte, get func(context.Context, evidence.Hash) ([]byte, error), hash evidence.Hash) error {
		data, err := get(ctx, hash)
		if errors.Is(err, record.ErrNotFound) {
			return nil
		}
		*into = data
		return err
	}
	var errs []error
	if len(r.Frames) > 0 {
		b.Frames = make([][]byte, len(r.Frames))
	}
	for i, f := range r.Frames {
		errs = append(errs, optional(&b.Frames[i], m.blob, f.SHA256))
	}
	if r.Trace != nil {
		errs = append(errs, optional(&b.Trace, m.blob, r.Trace.SHA256))
	}
	if r.Calibration != nil {
		errs = append(errs, optional(&b.Calibration, d.o.Store.Statement, r.Calibration.SHA256))
	}
	errs = append(errs, optional(&b.Configuration, d.o.Store.Statement, r.Configuration.SHA256))
	if rec.State == record.Complete {
		errs = append(errs, optional(&b.Receipt, d.o.Store.Receipt, rec.Receipt), d.prove(ctx, rec, b))
	}
	return b, m, errors.Join(errs...)
}

// blob maps a blob of the record.
func (m *mapping) blob(ctx context.Context, hash evidence.Hash) ([]byte, error) {
	mapped, err := m.d.o.Store.MapBlob(ctx, m.rec, hash)
	if err != nil {
		return nil, err
	}
	m.held = append(m.held, mapped)
	return mapped.Data, nil
}

// prove adds the proof that the record stands in the log of the receipt. What is
// missing for it was there when the record was settled.
func (d *Desk) prove(ctx context.Context, rec *record.Record, b *evidence.Bundle) error {
	text, err := d.o.Store.Receipt(ctx, rec.Receipt)
	if err != nil {
		return lost(fmt.Errorf("receipt %v: %w", rec.Receipt, err))
	}
	receipt, err := evidence.OpenReceipt(text)
	if err != nil {
		return fmt.Errorf("receipt %v: %w: %w", rec.Receipt, record.ErrDamaged, err)
	}
	proof, err := log.Prove(rec.LogIndex, receipt.Receipt.LogSize, d.o.Store.Hashes(ctx))
	if err != nil {
		return lost(err)
	}
	b.Proof, err = proof.Marshal()
	return err
}

// lost makes damage of an error that says something is not in the store.
func lost(err error) error {
	if errors.Is(err, record.ErrNotFound) {
		return fmt.Errorf("%w: %v", record.ErrDamaged, err)
	}
	return err
}

// answer is an error as the reader gets it; the log has what of it is damage.
func (d *Desk) answer(r *http.Request, err error) error {
	if errors.Is(err, record.ErrDamaged) && !errors.Is(err, record.ErrNotFound) {
		return d.damage(r, err)
	}
	return err
}

func fileName(sealed *evidence.Sealed, rest string) string {
	return fmt.Sprintf("%s-%d-%d%s", sealed.Record.Device.String()[:8], sealed.Record.Epoch, sealed.Record.Seq, rest)
}

func (d *Desk) recordBytes(w http.ResponseWriter, r *http.Request) error {
	rec, sealed, err := d.find(r)
	if err != nil {
		return d.answer(r, err)
	}
	download(w, "application/cose; cose-type=\"cose-sign1\"", fileName(sealed, ".cose"))
	w.Write(rec.Bytes)
	return nil
}

func (d *Desk) bundle(w http.ResponseWriter, r *http.Request) error {
	rec, sealed, err := d.find(r)
	if err != nil {
		return d.answer(r, err)
	}
	done, err := d.limits.work(r.Context())
	if err != nil {
		return err
	}
	defer done()
	b, mapped, err := d.collect(r.Context(), rec, sealed)
	defer mapped.close()
	if err != nil {
		return d.answer(r, err)
	}
	var length size64
	if err := evidence.WriteBundle(&length, b); err != nil {
		return d.answer(r, err)
	}
	done() // what follows takes as long as the reader
	download(w, "application/zip", fileName(sealed, ".zip"))
	w.Header().Set("Content-Length", strconv.FormatInt(int64(length), 10))
	if err := evidence.WriteBundle(w, b); err != nil {
		panic(http.ErrAbortHandler) // the reader is told by the length
	}
	return nil
}

// size64 counts bytes written to it.
type size64 int64

func (s *size64) Write(b []byte) (int, error) {
	*s += size64(len(b))
	return len(b), nil
}

// frame serves the camera's bytes as they were signed.
func (d *Desk) frame(w http.ResponseWriter, r *http.Request) error {
	rec, sealed, err := d.find(r)
	if err != nil {
		return d.answer(r, err)
	}
	n, err := strconv.Atoi(r.PathValue("number"))
	if err != nil || n < 1 || n > len(sealed.Record.Frames) || r.PathValue("number") != strconv.Itoa(n) {
		return page.ErrAbsent
	}
	frame := sealed.Record.Frames[n-1]
	mapped, err := d.o.Store.MapBlob(r.Context(), rec, frame.SHA256)
	if err != nil {
		return d.answer(r, err)
	}
	defer mapped.Close()
	// What would keep a decoder busy goes to no browser; the bundle has it.
	if _, _, _, err := capture.InspectJPEG(mapped.Data); err != nil {
		return &page.Answer{Status: http.StatusUnprocessableEntity, Code: "web.damaged.unfit", Args: []any{"why", err.Error()}}
	}
	name := fileName(sealed, fmt.Sprintf("-frame-%d", n))
	if media, _, _ := strings.Cut(frame.MediaType, ";"); media == "image/jpeg" {
		w.Header().Set("Content-Type", "image/jpeg")
		w.Header().Set("Content-Disposition", `inline; filename="`+name+`.jpg"`)
	} else {
		download(w, "application/octet-stream", name+".bin")
	}
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(mapped.Data))
	return nil
}

func (d *Desk) trace(w http.ResponseWriter, r *http.Request) error {
	rec, sealed, err := d.find(r)
	if err == nil && sealed.Record.Trace == nil {
		err = record.ErrNotFound
	}
	if err != nil {
		return d.answer(r, err)
	}
	mapped, err := d.o.Store.MapBlob(r.Context(), rec, sealed.Record.Trace.SHA256)
	if err != nil {
		return d.answer(r, err)
	}
	defer mapped.Close()
	media, ending := "application/octet-stream", ".bin"
	if sealed.Record.Trace.Format == "audio/wav" {
		media, ending = "audio/wav", ".wav"
	}
	download(w, media, fileName(sealed, "-trace"+ending))
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(mapped.Data))
	return nil
}
