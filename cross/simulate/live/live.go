// Package live is a simulated road that other programs measure: its radar is
// a serial line, a pseudo-terminal that speaks framed I/Q (docs/iqframe.md), and
// its camera a network camera that gives MJPEG over HTTP. A device is set up for
// them as for real ones, and what it records is a test: a port that is a
// pseudo-terminal and a camera that says it is simulated are known for what they
// are.
//
// Radar and camera see one road, at the pace of CLOCK_MONOTONIC, which a device
// on the same machine measures with.
package live

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"sync"
	"time"

	"ciglio/cross/simulate"
	"ciglio/cross/simulate/emulator"
	"ciglio/cross/simulate/simcam"
	"ciglio/sensor"
	"ciglio/sensor/clock"
	"ciglio/sensor/sensortest/pty"
)

const (
	// Latency is from the start of exposure to the first byte of a picture.
	Latency = 40 * time.Millisecond
	// Baud is the speed of line that the signal of 20,000 pairs a second needs. A
	// pseudo-terminal takes any.
	Baud = 921_600

	path = "/video.mjpeg"
	// lead is how long the road waits until it starts: the landscape is painted.
	lead = 2 * time.Second
	// ahead is how long before a picture is there its rendering begins.
	ahead = 200 * time.Millisecond
	// patience is how long bytes wait for a program that does not read. Then they
	// are lost, as on a line that nobody listens to.
	patience = 100 * time.Millisecond
)

// A Roadside plays one road. Use [Open], then Run once.
type Roadside struct {
	road   *simulate.Road
	radar  string
	line   *pty.PTY
	listen net.Listener

	mu       sync.Mutex
	watching map[chan []byte]bool // those who look through the camera
}

// Open makes the radar's serial line, a link of that name in place of an older
// one, and the camera's address, host:port. What is there under the name and no
// link is left alone: an error.
func Open(road *simulate.Road, radar, camera string) (*Roadside, error) {
	if info, err := os.Lstat(radar); err == nil && info.Mode()&os.ModeSymlink == 0 {
		return nil, fmt.Errorf("radar %s: is there already, and is no link", radar)
	}
	listen, err := net.Listen("tcp", camera)
	if err != nil {
		return nil, fmt.Errorf("camera: %w", err)
	}
	line, err := pty.Open()
	if err != nil {
		return nil, errors.Join(err, listen.Close())
	}
	if err := line.Link(radar); err != nil {
		return nil, errors.Join(fmt.Errorf("radar: %w", err), line.Close(), listen.Close())
	}
	return &Roadside{road: road, radar: radar, line: line, listen: listen, watching: map[chan []byte]bool{}}, nil
}

// CameraURL is the address of the camera's pictures.
func (r *Roadside) CameraURL() string { return "http://" + r.listen.Addr().String() + path }

// errOver ends a road in good order.
var errOver = errors.New("the road is over")

// Run plays the road. It returns nil when the road is over, and ctx.Err() when
// ctx ended before. Line, link and address are gone then.
func (r *Roadside) Run(ctx context.Context) error {
	system := new(clock.System)
	origin := system.Now().Add(lead)
	camera := simcam.New(r.road, early{system}, origin)

	ctx, end := context.WithCancelCause(ctx)
	server := &http.Server{
		Handler: http.HandlerFunc(r.watch), ReadHeaderTimeout: 5 * time.Second, MaxHeaderBytes: 16 << 10,
		BaseContext: func(net.Listener) context.Context { return ctx },
	}
	radar := emulator.IQFrame{Signal: r.road.Stream(system, origin)}
	var running sync.WaitGroup
	part := func(name string, run func() error) {
		running.Go(func() {
			switch err := run(); {
			case err == nil, errors.Is(err, io.EOF):
				end(errOver)
			default:
				end(fmt.Errorf("%s: %w", name, err))
			}
		})
	}
	part("camera", func() error { return server.Serve(r.listen) })
	part("camera", func() error { return r.film(ctx, camera, system) })
	part("radar", func() error { return radar.Serve(ctx, &lossy{File: r.line.Master}) })
	<-ctx.Done()
	server.Close()
	os.Remove(r.radar)
	r.line.Close()
	running.Wait()
	if err := context.Cause(ctx); err != errOver {
		return err
	}
	return nil
}

// early is a clock by which pictures are rendered before they are due.
type early struct{ sensor.Clock }

func (e early) Now() sensor.Mono { return e.Clock.Now().Add(ahead) }

// lossy is a line that does not wait for those who do not listen.
type lossy struct {
	*os.File
	alone bool // nobody took the last bytes
}

func (l *lossy) Write(b []byte) (int, error) {
	wait := patience
	if l.alone {
		wait = time.Millisecond // far less than a block lasts: the road goes on
	}
	l.SetWriteDeadline(time.Now().Add(wait))
	_, err := l.File.Write(b)
	if l.alone = os.IsTimeout(err); l.alone {
		err = nil
	}
	return len(b), err
}

// film gives each picture to those who watch, when it is there.
func (r *Roadside) film(ctx context.Context, camera *simcam.Camera, system sensor.Clock) error {
	for {
		f, err := camera.Next(ctx)
		if err != nil {
			return err
		}
		if err := simulate.Until(ctx, system, f.At.Add(Latency)); err != nil {
			return err
		}
		picture := slices.Clone(f.Data)
		r.mu.Lock()
		for w := range r.watching {
			select {
			case w <- picture:
			default: // who is too slow for the last one loses this one
			}
		}
		r.mu.Unlock()
	}
}

// watch gives pictures to one who asked for them.
func (r *Roadside) watch(w http.ResponseWriter, request *http.Request) {
	if request.URL.Path != path {
		http.NotFound(w, request)
		return
	}
	pictures := make(chan []byte, 1)
	r.mu.Lock()
	r.watching[pictures] = true
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.watching, pictures)
	}()
	w.Header().Set("Content-Type", "multipart/x-mixed-replace; boundary=frame")
	w.Header().Set("Ciglio-Simulated", "true") // package httpcam believes it
	for {
		select {
		case <-request.Context().Done():
			return
		case picture := <-pictures:
			_, err := fmt.Fprintf(w, "--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n%s\r\n", len(picture), picture)
			if err == nil {
				err = http.NewResponseController(w).Flush()
			}
			if err != nil {
				return
			}
		}
	}
}
