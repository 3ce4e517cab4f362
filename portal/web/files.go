package web

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"ciglio/capture/evidence"
	"ciglio/portal/log"
	"ciglio/portal/store"
)

// parseHash reads a record id as addresses spell it.
func parseHash(text string) (evidence.Hash, error) {
	b, err := hex.DecodeString(text)
	if err != nil || len(b) != len(evidence.Hash{}) || hex.EncodeToString(b) != text {
		return evidence.Hash{}, store.ErrNotFound
	}
	return evidence.Hash(b), nil
}

// find returns the record that a request names.
func (s *Server) find(r *http.Request) (*store.Record, *evidence.Sealed, error) {
	id, err := parseHash(r.PathValue("id"))
	if err != nil {
		return nil, nil, err
	}
	rec, err := s.o.Store.Record(r.Context(), id)
	if err != nil {
		return nil, nil, err
	}
	sealed, err := evidence.Open(rec.Bytes)
	if err == nil && sealed.ID != id {
		err = errors.New("has another id")
	}
	if err != nil {
		return nil, nil, fmt.Errorf("record %v: %w: %w", id, store.ErrDamaged, err)
	}
	return rec, sealed, nil
}

// collect puts together everything the centre has about a record. What is not
// there yet is left out.
func (s *Server) collect(ctx context.Context, rec *store.Record, sealed *evidence.Sealed) (*evidence.Bundle, error) {
	r := sealed.Record
	b := &evidence.Bundle{Record: rec.Bytes, DeviceCertificate: s.o.Register.Certificate(r.Key.Certificate)}
	optional := func(into *[]byte, get func(context.Context, evidence.Hash) ([]byte, error), hash evidence.Hash) error {
		data, err := get(ctx, hash)
		if errors.Is(err, store.ErrNotFound) {
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
		errs = append(errs, optional(&b.Frames[i], s.o.Store.Blob, f.SHA256))
	}
	if r.Trace != nil {
		errs = append(errs, optional(&b.Trace, s.o.Store.Blob, r.Trace.SHA256))
	}
	if r.Calibration != nil {
		errs = append(errs, optional(&b.Calibration, s.o.Store.Statement, r.Calibration.SHA256))
	}
	errs = append(errs, optional(&b.Configuration, s.o.Store.Statement, r.Configuration.SHA256))
	if rec.State == store.Complete {
		errs = append(errs, optional(&b.Receipt, s.o.Store.Receipt, rec.Receipt), s.prove(ctx, rec, b))
	}
	return b, errors.Join(errs...)
}

// prove adds the proof that the record stands in the log of the receipt. What is
// missing for it was there when the record was settled.
func (s *Server) prove(ctx context.Context, rec *store.Record, b *evidence.Bundle) error {
	text, err := s.o.Store.Receipt(ctx, rec.Receipt)
	if err != nil {
		return lost(fmt.Errorf("receipt %v: %w", rec.Receipt, err))
	}
	receipt, err := evidence.OpenReceipt(text)
	if err != nil {
		return fmt.Errorf("receipt %v: %w: %w", rec.Receipt, store.ErrDamaged, err)
	}
	proof, err := log.Prove(rec.LogIndex, receipt.Receipt.LogSize, s.o.Store.Hashes(ctx))
	if err != nil {
		return lost(err)
	}
	b.Proof, err = proof.Marshal()
	return err
}

// lost makes damage of an error that says something is not in the store.
func lost(err error) error {
	if errors.Is(err, store.ErrNotFound) {
		return fmt.Errorf("%w: %v", store.ErrDamaged, err)
	}
	return err
}

func fileName(sealed *evidence.Sealed, rest string) string {
	return fmt.Sprintf("%s-%d-%d%s", sealed.Record.Device.String()[:8], sealed.Record.Epoch, sealed.Record.Seq, rest)
}

func (s *Server) recordBytes(w http.ResponseWriter, r *http.Request) {
	rec, sealed, err := s.find(r)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	download(w, "application/cose; cose-type=\"cose-sign1\"", fileName(sealed, ".cose"))
	w.Write(rec.Bytes)
}

func (s *Server) bundle(w http.ResponseWriter, r *http.Request) {
	rec, sealed, err := s.find(r)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	b, err := s.collect(r.Context(), rec, sealed)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	var zip bytes.Buffer
	if err := evidence.WriteBundle(&zip, b); err != nil {
		s.fail(w, r, err)
		return
	}
	download(w, "application/zip", fileName(sealed, ".zip"))
	w.Header().Set("Content-Length", strconv.Itoa(zip.Len()))
	w.Write(zip.Bytes())
}

// frame serves the camera's bytes as they were signed.
func (s *Server) frame(w http.ResponseWriter, r *http.Request) {
	_, sealed, err := s.find(r)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	n, err := strconv.Atoi(r.PathValue("number"))
	if err != nil || n < 1 || n > len(sealed.Record.Frames) || r.PathValue("number") != strconv.Itoa(n) {
		s.absent(w, r)
		return
	}
	frame := sealed.Record.Frames[n-1]
	data, err := s.o.Store.Blob(r.Context(), frame.SHA256)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	name := fileName(sealed, fmt.Sprintf("-frame-%d", n))
	if media, _, _ := strings.Cut(frame.MediaType, ";"); media == "image/jpeg" {
		w.Header().Set("Content-Type", "image/jpeg")
		w.Header().Set("Content-Disposition", `inline; filename="`+name+`.jpg"`)
	} else {
		download(w, "application/octet-stream", name+".bin")
	}
	// The bytes under this address never change, and are of persons: kept by the
	// reader's browser only.
	w.Header().Set("Cache-Control", "private, max-age=3600, immutable")
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
}

func (s *Server) trace(w http.ResponseWriter, r *http.Request) {
	_, sealed, err := s.find(r)
	if err == nil && sealed.Record.Trace == nil {
		err = store.ErrNotFound
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	data, err := s.o.Store.Blob(r.Context(), sealed.Record.Trace.SHA256)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	media, ending := "application/octet-stream", ".bin"
	if sealed.Record.Trace.Format == "audio/wav" {
		media, ending = "audio/wav", ".wav"
	}
	download(w, media, fileName(sealed, "-trace"+ending))
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
}
