package web

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"ciglio/capture/evidence"
	"ciglio/portal/page"
	"ciglio/portal/record"
	"ciglio/sensor"
	"ciglio/sensor/doppler"
	"ciglio/sensor/plot"
	"ciglio/sensor/wav"
)

// drawable reports whether a trace is a signal of which there is a picture.
func drawable(t *evidence.Trace, data []byte) bool {
	if t == nil || t.Format != "audio/wav" || data == nil {
		return false
	}
	_, err := openSignal(data)
	return err == nil
}

func openSignal(data []byte) (*wav.Reader, error) {
	r, err := wav.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	_, err = plot.NewSpectrogram(signalFormat(r), plot.Options{})
	return r, err
}

func signalFormat(r *wav.Reader) doppler.Format {
	f := r.Format()
	return doppler.Format{Rate: f.Rate, Complex: f.Channels == 2}
}

// signal draws the trace of a record as it was signed. Nothing of it is kept.
func (d *Desk) signal(w http.ResponseWriter, r *http.Request) error {
	rec, sealed, err := d.find(r)
	if err == nil && sealed.Record.Trace == nil {
		err = record.ErrNotFound
	}
	if err != nil {
		return d.answer(r, err)
	}
	done, err := d.limits.work(r.Context())
	if err != nil {
		return err
	}
	defer done()
	mapped, err := d.o.Store.MapBlob(r.Context(), rec, sealed.Record.Trace.SHA256)
	if err != nil {
		return d.answer(r, err)
	}
	defer mapped.Close()
	if !drawable(sealed.Record.Trace, mapped.Data) {
		return page.ErrAbsent
	}
	var picture bytes.Buffer
	if err := draw(&picture, sealed.Record.Trace, mapped.Data); err != nil {
		return fmt.Errorf("trace of record %v: %w", sealed.ID, err)
	}
	done() // the reader may be slow
	// Opened by itself it is a document: one that runs nothing, and has its picture within.
	w.Header().Set("Content-Security-Policy", "default-src 'none'; img-src data:; frame-ancestors 'none'; sandbox")
	w.Header().Set("Content-Type", "image/svg+xml")
	_, err = w.Write(picture.Bytes())
	return err
}

// draw writes the spectrogram of a signal. Its time begins with the first sample.
func draw(w io.Writer, t *evidence.Trace, data []byte) error {
	r, err := openSignal(data)
	if err != nil {
		return err
	}
	f := signalFormat(r)
	picture, err := plot.NewSpectrogram(f, plot.Options{Title: fmt.Sprintf("%s %s  %d Hz", t.Model, t.Serial, f.Rate)})
	if err != nil {
		return err
	}
	left, right := make([]float32, 4096), make([]float32, 4096)
	for index := uint64(0); ; {
		q := right
		if !f.Complex {
			q = nil
		}
		n, err := r.Read(left, q)
		if n > 0 {
			b := doppler.Block{Index: index, At: sensor.Mono(time.Duration(index) * time.Second / time.Duration(f.Rate)), I: left[:n]}
			if f.Complex {
				b.Q = right[:n]
			}
			if err := picture.Push(b); err != nil {
				return err
			}
			index += uint64(n)
		}
		switch {
		case errors.Is(err, io.EOF):
			return picture.WriteSVG(w)
		case err != nil:
			return err
		}
	}
}
