// Package httpcam drives network cameras that send Motion JPEG over HTTP
// (multipart/x-mixed-replace), as most do.
//
// A frame holds the bytes that the camera sent, unchanged. A part that breaks
// off is an error and never a frame; a part that is not a whole JPEG is a frame
// flagged as damaged.
//
// # Time of exposure
//
// Motion JPEG carries no time that can be trusted, so a frame's instant is the
// arrival of the first byte of its part, less the latency of the camera: from
// the start of exposure until that byte has travelled. The latency is measured
// at the installation with a clock in the picture. What varies of it, from
// one frame to the next, stays in the instant: 20 to 60 ms are usual on a direct
// cable, and no bound holds on a shared network. The instants serve to choose
// the frame nearest to the photo position; no speed comes from them.
//
// Frames must be fetched as they come. When the caller stays away for longer
// than [MaxStall] while a connection is open, frames have waited for an unknown
// time; the connection is then given up with [ErrStalled].
//
// A Camera has one user at a time.
package httpcam

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"ciglio/capture"
	"ciglio/sensor"
)

const (
	// MaxStall is the longest time between two calls of Next while connected.
	MaxStall = 500 * time.Millisecond
	// MaxLatency is the largest latency that can be configured.
	MaxLatency = 2 * time.Second

	silence      = 5 * time.Second  // without a byte, the camera is gone
	whole        = 10 * time.Second // without a whole picture, too
	firstBackOff = time.Second      // before the second attempt to connect
	lastBackOff  = 30 * time.Second // and the longest
)

// The errors of [Camera.Next], wrapped with what happened. Next may be called
// again and then connects anew.
var (
	ErrConnect = errors.New("no picture stream")           // refused, not found, wrong type
	ErrStream  = errors.New("picture stream broke off")    // in a part or between two
	ErrFormat  = errors.New("picture stream is malformed") // not what was announced
	ErrStalled = errors.New("frames were not fetched in time")
)

// Options says which camera it is. URL is needed; the rest has defaults.
type Options struct {
	// URL of the stream, http or https. A user and a password in it are sent as
	// HTTP Basic authorisation, and never logged or put into an error.
	URL string
	// Model and Serial are what the records say. An empty Model is "network
	// camera".
	Model, Serial string
	// Latency from the start of exposure to the arrival of the first byte, 0 to
	// [MaxLatency].
	Latency time.Duration
	// MaxFrame is the largest picture in bytes; 0 means 4 MiB.
	MaxFrame int
	// Dial opens the connection; nil means an ordinary one.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// A Camera is a network camera, a [capture.Camera].
type Camera struct {
	options Options
	clock   sensor.Clock
	client  *http.Client

	simulated atomic.Bool // it said so, once

	number  uint64
	body    io.Closer
	cancel  context.CancelFunc // ends the open request
	parts   *partReader
	watch   *time.Timer // cancels a silent request
	left    sensor.Mono // when Next last returned a frame
	backOff time.Duration
	retryAt sensor.Mono
}

var _ capture.Camera = (*Camera)(nil)

// New checks the options and returns the camera. It connects at the first Next.
func New(clock sensor.Clock, o Options) (*Camera, error) {
	u, err := url.Parse(o.URL)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, errors.New("camera address: want http://host/path or https://host/path")
	}
	if o.Latency < 0 || o.Latency > MaxLatency {
		return nil, fmt.Errorf("camera latency %v: want 0 to %v", o.Latency, MaxLatency)
	}
	if o.MaxFrame < 0 {
		return nil, fmt.Errorf("largest frame of %d bytes: want more than 0", o.MaxFrame)
	}
	if o.MaxFrame == 0 {
		o.MaxFrame = 4 << 20
	}
	if o.Model == "" {
		o.Model = "network camera"
	}
	dial := o.Dial
	if dial == nil {
		dial = (&net.Dialer{Timeout: silence}).DialContext
	}
	return &Camera{options: o, clock: clock, client: &http.Client{
		// A camera that sends its visitors elsewhere is not the one configured.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			DialContext:            dial,
			DisableCompression:     true,
			DisableKeepAlives:      true,
			ResponseHeaderTimeout:  silence,
			TLSHandshakeTimeout:    silence,
			MaxResponseHeaderBytes: 16 << 10,
		},
	}}, nil
}

// Info implements [capture.Camera]. A camera whose answer has the header
// Ciglio-Simulated is a simulated one, from its first frame on.
func (c *Camera) Info() capture.Info {
	return capture.Info{Model: c.options.Model, Serial: c.options.Serial, Test: c.simulated.Load()}
}

// Next implements [capture.Camera]. It connects when there is no connection,
// and waits before that when the last attempt failed: 1 s at first, up to 30 s.
// The wait ends with ctx.
func (c *Camera) Next(ctx context.Context) (capture.Frame, error) {
	if err := ctx.Err(); err != nil {
		return capture.Frame{}, err
	}
	if c.parts != nil && c.clock.Now().Sub(c.left) > MaxStall {
		c.drop()
		return capture.Frame{}, fmt.Errorf("camera: %v between two frames: %w", c.clock.Now().Sub(c.left).Round(time.Millisecond), ErrStalled)
	}
	// The request lives until ctx ends or the stream does, over several calls;
	// each call lends it its own ctx.
	if c.parts == nil {
		if err := c.connect(ctx); err != nil {
			if ctx.Err() != nil {
				return capture.Frame{}, ctx.Err()
			}
			return capture.Frame{}, err
		}
	}
	stop := context.AfterFunc(ctx, c.cancel)
	c.watch.Reset(silence)
	slow := time.AfterFunc(whole, c.cancel)
	arrived, data, err := c.parts.next()
	silent, late := !c.watch.Stop(), !slow.Stop()
	if !stop() && ctx.Err() != nil {
		c.drop()
		return capture.Frame{}, ctx.Err()
	}
	if err != nil {
		c.drop()
		c.postpone()
		if silent { // err says only that the watch has cancelled the request
			err = fmt.Errorf("nothing came for %v: %w", silence, ErrStream)
		} else if late {
			err = fmt.Errorf("no whole picture in %v: %w", whole, ErrStream)
		}
		return capture.Frame{}, fmt.Errorf("camera: %w", err)
	}
	c.backOff = 0
	frame := capture.Frame{
		Number:    c.number,
		At:        arrived.Add(-c.options.Latency),
		MediaType: "image/jpeg",
		Data:      data,
	}
	if _, _, err := capture.CheckJPEG(data); err != nil {
		frame.Damaged = true
	}
	c.number++
	c.left = c.clock.Now()
	return frame, nil
}

// Close gives up the connection.
func (c *Camera) Close() error {
	c.drop()
	return nil
}

// connect opens the stream after the wait that is due.
func (c *Camera) connect(ctx context.Context) error {
	if wait := c.retryAt.Sub(c.clock.Now()); c.backOff > 0 && wait > 0 {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-timer.C:
		}
	}
	err := c.open(ctx)
	if err != nil {
		c.drop()
		c.postpone()
	}
	return err
}

func (c *Camera) open(ctx context.Context) error {
	var requestCtx context.Context
	requestCtx, c.cancel = context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, c.cancel)
	defer stop()
	request, err := http.NewRequestWithContext(requestCtx, http.MethodGet, c.options.URL, nil)
	if err != nil {
		return fmt.Errorf("camera: %w", ErrConnect)
	}
	response, err := c.client.Do(request)
	if err != nil {
		// The url.Error would print the address, which may hold a password.
		var wrapped *url.Error
		if errors.As(err, &wrapped) {
			err = wrapped.Err
		}
		return fmt.Errorf("camera: %w: %w", ErrConnect, err)
	}
	c.body = response.Body
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("camera: answer %d: %w", response.StatusCode, ErrConnect)
	}
	if response.Header.Get("Ciglio-Simulated") != "" {
		c.simulated.Store(true)
	}
	boundary, err := boundaryOf(response.Header.Get("Content-Type"))
	if err != nil {
		return err
	}
	c.watch = time.AfterFunc(silence, c.cancel)
	c.watch.Stop()
	alive := readerFunc(func(p []byte) (int, error) {
		n, err := response.Body.Read(p)
		if n > 0 {
			c.watch.Reset(silence)
		}
		return n, err
	})
	c.parts = newPartReader(alive, boundary, c.options.MaxFrame, c.clock.Now)
	return nil
}

// postpone sets when the next attempt may begin.
func (c *Camera) postpone() {
	c.backOff = min(max(2*c.backOff, firstBackOff), lastBackOff)
	c.retryAt = c.clock.Now().Add(c.backOff)
}

func (c *Camera) drop() {
	if c.watch != nil {
		c.watch.Stop()
	}
	if c.cancel != nil {
		c.cancel()
	}
	if c.body != nil {
		// Its error would say that the request was cancelled.
		_ = c.body.Close()
	}
	c.parts, c.body, c.cancel, c.watch = nil, nil, nil, nil
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// boundaryOf reads the boundary from a Content-Type. Many cameras announce it
// with the two dashes that only the stream should have; both are understood.
func boundaryOf(contentType string) (string, error) {
	media, parameters, err := mime.ParseMediaType(contentType)
	if err != nil || media != "multipart/x-mixed-replace" {
		return "", fmt.Errorf("camera: answer of type %.60q, want multipart/x-mixed-replace: %w", contentType, ErrConnect)
	}
	boundary := strings.TrimPrefix(parameters["boundary"], "--")
	if len(boundary) < 1 || len(boundary) > 70 {
		return "", fmt.Errorf("camera: boundary of %d characters, want 1 to 70: %w", len(boundary), ErrConnect)
	}
	return boundary, nil
}
