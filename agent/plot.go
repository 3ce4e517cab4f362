package agent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"ciglio/internal/durable"
	"ciglio/sensor"
	"ciglio/sensor/doppler"
	"ciglio/sensor/plot"
)

// A drawing is the picture that --plot asks for: what a recording holds, and
// the passages found in it. A nil drawing draws nothing.
type drawing struct {
	file    string
	picture interface{ WriteSVG(io.Writer) error } // nil until there is something to draw
	failed  error
}

// newDrawing checks that a picture can be written before anything is measured.
// Without a file it returns nil.
func newDrawing(file string, inputs []string) (*drawing, error) {
	if file == "" {
		return nil, nil
	}
	if len(inputs) > 1 {
		return nil, fmt.Errorf("--plot draws one recording, not %d: give one FILE, or call once for each", len(inputs))
	}
	if ending := filepath.Ext(file); ending != ".svg" {
		return nil, fmt.Errorf("--plot %s: the picture is SVG, not %s: let its name end in .svg", file, cmp.Or(ending, "a file without ending"))
	}
	folder, err := os.Stat(filepath.Dir(file))
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil, fmt.Errorf("--plot %s: there is no folder %s", file, filepath.Dir(file))
	case err != nil:
		return nil, fmt.Errorf("--plot: %w", err)
	case !folder.IsDir():
		return nil, fmt.Errorf("--plot %s: %s is no folder", file, filepath.Dir(file))
	}
	if at, err := os.Stat(file); err == nil && !at.Mode().IsRegular() {
		return nil, fmt.Errorf("--plot %s: exists and is no file", file)
	}
	if at, err := os.Stat(file); err == nil {
		if from, err := os.Stat(inputs[0]); err == nil && os.SameFile(at, from) {
			return nil, fmt.Errorf("--plot %s: is the recording itself", file)
		}
	}
	return &drawing{file: file}, nil
}

// signal returns a stream of the same signal that is drawn as it is read, and
// sets o to draw the passages found in it.
func (d *drawing) signal(name string, s doppler.Stream, o *doppler.Options) doppler.Stream {
	if d == nil {
		return s
	}
	f := s.Format()
	channels := "one channel"
	if f.Complex {
		channels = "I/Q"
	}
	picture, err := plot.NewSpectrogram(f, plot.Options{
		Title:   fmt.Sprintf("%s  %d Hz, %s, %.6g GHz", filepath.Base(name), f.Rate, channels, float64(o.Carrier)/1e9),
		Carrier: o.Carrier,
		Angle:   o.Angle,
	})
	if err != nil {
		d.failed = err
		return s
	}
	d.picture, o.Observe = picture, picture.Passage
	return drawnStream{s, picture}
}

type drawnStream struct {
	doppler.Stream
	picture *plot.Spectrogram
}

func (s drawnStream) Next(ctx context.Context) (doppler.Block, error) {
	b, err := s.Stream.Next(ctx)
	if err == nil {
		err = s.picture.Push(b)
	}
	return b, err
}

// feed returns a feed of the same readings that are drawn as they are read.
func (d *drawing) feed(name string, f sensor.Feed) sensor.Feed {
	if d == nil {
		return f
	}
	picture := plot.NewReadings(plot.Options{Title: filepath.Base(name) + "  " + f.Identity().Model})
	d.picture = picture
	return drawnFeed{f, picture}
}

type drawnFeed struct {
	sensor.Feed
	picture *plot.Readings
}

func (f drawnFeed) Next(ctx context.Context) (sensor.Cycle, error) {
	c, err := f.Feed.Next(ctx)
	if err == nil {
		f.picture.Push(c)
	}
	return c, err
}

// passage draws a passage in that was found in readings. Those of a signal come
// by the chain itself, with their lines.
func (d *drawing) passage(p sensor.Passage) {
	if d == nil {
		return
	}
	if r, ok := d.picture.(*plot.Readings); ok {
		r.Passage(p)
	}
}

// write writes the picture, whole or not at all. A recording that could not be
// read gives none: that was said already.
func (d *drawing) write() error {
	if d == nil || d.picture == nil && d.failed == nil {
		return nil
	}
	if d.failed != nil {
		return d.failed
	}
	if err := durable.Write(d.file, public, d.picture.WriteSVG); err != nil {
		return fmt.Errorf("--plot %s: %w", d.file, err)
	}
	return nil
}
