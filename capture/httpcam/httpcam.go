// Package httpcam drives network cameras that send Motion JPEG over HTTP
// (multipart/x-mixed-replace), as most do.
//
// A frame holds a picture's bytes as the camera sent them, up to the end marker;
// what the camera sent behind that in the same part is counted in the frame. What
// is sent beside pictures is passed over and counted by kind, and ends nothing: see
// [Camera.Odd]. A stream that breaks off in a picture is an error and never a frame.
// Whether a picture is a good one is for the ring to say.
//
// # Login
//
// Every connection is asked for without a password first, so that no password is
// sent to a camera that wants none. A challenge is answered with digest by the
// strongest of SHA-512-256, SHA-256 and MD5 that the camera offers, once each, so
// that a nonce never grows old here. The password itself (Basic) is only sent over
// https, to this machine, or where [Options].Basic allows it. Neither user nor
// password is in any error.
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
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
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
	ErrConnect = errors.New("no picture stream")        // refused, not found, wrong type
	ErrStream  = errors.New("picture stream broke off") // in a part or between two
	ErrStalled = errors.New("frames were not fetched in time")
)

// Options says which camera it is. URL is needed; the rest has defaults.
type Options struct {
	// URL of the stream, http or https. It may hold a user and a password, instead
	// of User and Password.
	URL            string
	User, Password string
	// Basic allows that the password itself is sent over http to another machine.
	Basic bool
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
	address   url.URL     // without user and password
	login     login
	counts    counts

	number  uint64
	body    io.Closer
	cancel  context.CancelFunc // ends the open request
	parts   *partReader
	watch   *time.Timer // cancels a silent request
	left    sensor.Mono // when Next last returned a frame
	broken  error       // why the request was cancelled while the last picture came
	backOff time.Duration
	retryAt sensor.Mono
}

var (
	_ capture.Camera   = (*Camera)(nil)
	_ capture.Counting = (*Camera)(nil)
)

// New checks the options and returns the camera. It connects at the first Next.
func New(clock sensor.Clock, o Options) (*Camera, error) {
	u, err := url.Parse(o.URL)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, errors.New("camera address: want http://host/path or https://host/path")
	}
	who, err := newLogin(u, &o)
	if err != nil {
		return nil, err
	}
	o.URL, o.User, o.Password = "", "", ""
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
	return &Camera{options: o, address: *u, login: who, clock: clock, client: &http.Client{
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

// Odd implements [capture.Counting].
func (c *Camera) Odd() capture.Odd {
	n := &c.counts
	return capture.Odd{
		Types: n.types.Load(), Empty: n.empty.Load(), Lengths: n.lengths.Load(),
		Boundaries: n.boundaries.Load(), Between: n.between.Load(), Large: n.large.Load(),
	}
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
	got, err := c.parts.next()
	silent, late := !c.watch.Stop(), !slow.Stop()
	if !stop() && ctx.Err() != nil {
		c.drop()
		return capture.Frame{}, ctx.Err()
	}
	if silent || late { // an error says only that the request was cancelled
		c.broken = fmt.Errorf("nothing came for %v: %w", silence, ErrStream)
		if !silent {
			c.broken = fmt.Errorf("no whole picture in %v: %w", whole, ErrStream)
		}
	}
	if err != nil {
		err = cmp.Or(c.broken, err)
		c.drop()
		c.postpone(firstBackOff)
		if odd := c.counts.words(); odd != "" {
			return capture.Frame{}, fmt.Errorf("camera: %w; so far %s", err, odd)
		}
		return capture.Frame{}, fmt.Errorf("camera: %w", err)
	}
	c.backOff = 0
	frame := capture.Frame{
		Number:    c.number,
		At:        got.arrived.Add(-c.options.Latency),
		MediaType: "image/jpeg",
		Data:      got.data,
		Cut:       got.behind,
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
		c.postpone(firstBackOff)
		if errors.Is(err, ErrLogin) {
			c.postpone(lockout)
		}
	}
	return err
}

func (c *Camera) open(ctx context.Context) error {
	var requestCtx context.Context
	requestCtx, c.cancel = context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, c.cancel)
	defer stop()
	response, err := c.enter(requestCtx)
	if err != nil {
		return fmt.Errorf("camera: %w", err)
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
		return fmt.Errorf("camera: %w: %w", err, ErrConnect)
	}
	watch := time.AfterFunc(silence, c.cancel)
	watch.Stop()
	c.watch = watch
	alive := readerFunc(func(p []byte) (int, error) {
		n, err := response.Body.Read(p)
		if n > 0 {
			watch.Reset(silence)
		}
		return n, err
	})
	c.parts = newPartReader(alive, boundary, c.options.MaxFrame, c.clock.Now, &c.counts)
	return nil
}

// enter asks for the stream, and once more when the camera wants a login, or twice
// when it then says that its question has grown old.
func (c *Camera) enter(ctx context.Context) (*http.Response, error) {
	authorization := ""
	for try := 0; ; try++ {
		response, err := c.ask(ctx, authorization)
		if err != nil || response.StatusCode != http.StatusUnauthorized {
			return response, err
		}
		_ = response.Body.Close() // the connection with it
		wants := response.Header.Values("WWW-Authenticate")
		if authorization != "" && (try > 1 || !slices.ContainsFunc(challenges(wants), challenge.stale)) {
			return nil, fmt.Errorf("it refuses user or password: %w; the next try is in %v, since many cameras lock out who tries often", ErrLogin, lockout)
		}
		if authorization, err = c.login.answer(wants, &c.address); err != nil {
			return nil, err
		}
	}
}

// ask sends one request.
func (c *Camera) ask(ctx context.Context, authorization string) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.address.String(), nil)
	if err != nil {
		return nil, ErrConnect
	}
	if authorization != "" {
		request.Header.Set("Authorization", authorization)
	}
	response, err := c.client.Do(request)
	if err != nil {
		// The address may hold more that is nobody's business than a password.
		var wrapped *url.Error
		if errors.As(err, &wrapped) {
			err = wrapped.Err
		}
		return nil, fmt.Errorf("%w: %w", ErrConnect, err)
	}
	return response, nil
}

// postpone sets when the next attempt may begin, at least so far away.
func (c *Camera) postpone(least time.Duration) {
	c.backOff = min(max(2*c.backOff, firstBackOff), lastBackOff)
	c.retryAt = c.clock.Now().Add(max(c.backOff, least))
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
	c.parts, c.body, c.cancel, c.watch, c.broken = nil, nil, nil, nil, nil
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// boundaryOf returns the boundary that a Content-Type announces, "" for none: the
// stream itself says it then. Cameras write it with quotes or without, with the
// dashes that only the stream should have, and with characters that need quotes.
// Programs that serve pictures may give no type that says anything.
func boundaryOf(contentType string) (string, error) {
	media, parameters, _ := strings.Cut(contentType, ";")
	switch media = strings.ToLower(strings.TrimSpace(media)); {
	case strings.HasPrefix(media, "multipart/"), media == "", media == "application/octet-stream", strings.HasPrefix(media, "video/") && strings.Contains(media, "jpeg"):
	case strings.HasPrefix(media, "image/"):
		return "", fmt.Errorf("answer of type %.60q: this is the address of one picture, want that of the MJPEG stream", contentType)
	default:
		return "", fmt.Errorf("answer of type %.60q, want multipart/x-mixed-replace", contentType)
	}
	for parameters != "" {
		name, value, ok := strings.Cut(strings.TrimLeft(parameters, "; \t"), "=")
		if !ok {
			break
		}
		name = name[strings.LastIndex(name, ";")+1:] // behind one without a value
		value = strings.TrimLeft(value, " \t")
		if strings.HasPrefix(value, `"`) {
			value, parameters = quoted(value)
		} else {
			value, parameters, _ = strings.Cut(value, ";")
		}
		if strings.EqualFold(strings.TrimSpace(name), "boundary") {
			return strings.TrimSpace(value), nil
		}
	}
	return "", nil
}
