package console

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"ciglio/agent/device"
	"ciglio/internal/catalogue"
	"ciglio/sensor"
)

// A sightView is what is drawn over the picture: never into it.
type sightView struct {
	Width, Height int
	Lanes         []string // points of polygons
	Photo         string   // points of a line
}

func sightOf(s device.Sight) sightView {
	points := func(all []device.Pixel) string {
		var b strings.Builder
		for _, p := range all {
			fmt.Fprintf(&b, "%.1f,%.1f ", p.X, p.Y)
		}
		return strings.TrimSpace(b.String())
	}
	v := sightView{Width: s.Width, Height: s.Height, Photo: points(s.Photo)}
	for _, lane := range s.Lanes {
		v.Lanes = append(v.Lanes, points(lane))
	}
	return v
}

// A liveView is what camera and sensor see now: part of the pages of a technician
// at work.
type liveView struct {
	View
	InService bool
	Sight     sightView
	Seen      []seenView
}

type seenView struct {
	Number    int
	At, Speed string
	U, Lane   string
	Direction string
	Stands    bool
	Why       string // why it does not stand
}

func (c *Console) liveOf(v View) liveView {
	l := liveView{View: v, InService: c.o.Device.InService(), Sight: sightOf(c.o.Device.Sight())}
	zone := c.o.Device.Status().At.Location()
	all := c.o.Device.Seen()
	for i := len(all) - 1; i >= 0 && len(l.Seen) < mostShown; i-- {
		l.Seen = append(l.Seen, c.seenOf(v.words, all[i], zone))
	}
	return l
}

// mostShown is how many vehicles a page lists.
const mostShown = 12

func (c *Console) seenOf(w catalogue.Words, s device.Seen, zone *time.Location) seenView {
	v := seenView{
		Number: s.Number, At: s.At.In(zone).Format(time.TimeOnly), Stands: len(s.Reasons) == 0,
		Speed: c.text(w, "live.kmh", "speed", number(int64(s.Speed), 2)), U: c.text(w, "live.kmh", "speed", number(int64(s.U), 2)),
		Direction: c.text(w, directionKey(s.Direction)), Lane: "–",
	}
	if s.Lane > 0 {
		v.Lane = fmt.Sprint(s.Lane)
	}
	why := make([]string, len(s.Reasons))
	for i, code := range s.Reasons {
		why[i] = teller{c, w}.coded("reason", code)
	}
	v.Why = strings.Join(why, "; ")
	return v
}

func directionKey(d sensor.Direction) string {
	switch d {
	case sensor.Approaching:
		return "direction.approaching"
	case sensor.Receding:
		return "direction.receding"
	}
	return "direction.unknown"
}

func (c *Console) livePage(w http.ResponseWriter, r *http.Request, who Caller) error {
	c.keepService()
	v := c.view(r, who)
	v.Script = true
	return c.show(w, http.StatusOK, "live", c.liveOf(v))
}

// frames are the memory that pictures pass through: so many are sent at once, and no
// more often than pictureEvery, whoever asks: who comes too early waits for a moment,
// and is refused when many do.
type frames struct {
	free chan []byte

	mu   sync.Mutex
	next time.Time // before which no picture is sent
}

const (
	mostFrames   = 2
	pictureEvery = 250 * time.Millisecond
	pictureWait  = time.Second
)

// turn waits until a picture may be sent. It reports whether one may.
func (f *frames) turn(ctx context.Context) bool {
	f.mu.Lock()
	now := time.Now()
	at := f.next
	if at.Before(now) {
		at = now
	}
	wait := at.Sub(now)
	if wait <= pictureWait {
		f.next = at.Add(pictureEvery)
	}
	f.mu.Unlock()
	if wait > pictureWait {
		return false
	}
	select {
	case <-time.After(wait):
		return true
	case <-ctx.Done():
		return false
	}
}

func newFrames() *frames {
	f := &frames{free: make(chan []byte, mostFrames)}
	for range mostFrames {
		f.free <- nil
	}
	return f
}

// picture sends the newest picture, as the camera gave it. There is one in service
// only, so that it is in no violation.
func (c *Console) picture(w http.ResponseWriter, r *http.Request, _ Caller) error {
	switch {
	case !c.o.Device.InService():
		return errNoPicture
	case !c.frames.turn(r.Context()):
		return errBusy
	}
	var buffer []byte
	select {
	case buffer = <-c.frames.free:
	default:
		return errBusy
	}
	f, ok := c.o.Device.ServicePicture(buffer)
	defer func() { c.frames.free <- f.Data }()
	if !ok {
		return errNoPicture
	}
	w.Header().Set("Content-Type", "image/jpeg")
	w.Write(f.Data)
	return nil
}

var errNoPicture = refusal{http.StatusConflict, "no_picture"}

var errBusy = refusal{http.StatusServiceUnavailable, "busy"}

// drawEvery is how old a drawing of the signal may be: one takes a good part of a
// second of a small processor.
const drawEvery = 2 * time.Second

// A drawing is the newest picture of the signal, one for all who look.
type drawing struct {
	mu  sync.Mutex // held while it is drawn: nobody draws beside
	svg []byte
	at  time.Time
}

// signal sends the newest seconds of what the sensor gives.
func (c *Console) signal(w http.ResponseWriter, r *http.Request, _ Caller) error {
	if !c.drawing.mu.TryLock() {
		return errBusy
	}
	defer c.drawing.mu.Unlock()
	d := &c.drawing
	if now := c.o.Now(); d.svg == nil || now.Sub(d.at) >= drawEvery || now.Before(d.at) {
		var b bytes.Buffer
		if err := c.o.Device.WriteSignal(&b); errors.Is(err, device.ErrNoSignal) {
			return refusal{http.StatusConflict, "no_signal"}
		} else if err != nil {
			return err
		}
		d.svg, d.at = b.Bytes(), now
	}
	w.Header().Set("Content-Type", "image/svg+xml")
	w.Write(d.svg)
	return nil
}

// seen tells a program which vehicles have passed in service.
func (c *Console) seen(w http.ResponseWriter, _ *http.Request, _ Caller) error {
	return writeJSON(w, http.StatusOK, c.o.Device.Seen())
}
