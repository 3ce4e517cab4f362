package device

import (
	"sync"
	"time"

	"ciglio/agent/trust"
	"ciglio/capture"
	"ciglio/sensor"
)

// A service is the time in which a technician works at the device: the camera or
// the radar may be moved, a reference vehicle passes. The gate is closed for as
// long, and for a moment after. So what is seen in service is never evidence, and
// what is evidence is never seen in service: the camera's pictures are shown in
// service alone, and only those taken since it began. It is safe for concurrent
// use.
type service struct {
	clock sensor.Clock

	mu    sync.Mutex
	began sensor.Mono // instant since when pictures may be shown; 0 when there is no service
	until sensor.Mono // instant until which nothing may be recorded
}

// afterService is how long the gate stays closed after the last picture that was
// shown: a violation holds pictures of up to two spacings before its first instant.
const afterService = 2 * (2*shotSpacing + shotWithin)

// begin opens the service for a time, or keeps it open for that time from now.
func (s *service) begin(lasts time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.clock.Now()
	if s.began == 0 || now > s.until-sensor.Mono(afterService) {
		s.began = now
	}
	s.until = now.Add(lasts + afterService)
}

func (s *service) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.began != 0 {
		s.began, s.until = 0, min(s.until, s.clock.Now().Add(afterService))
	}
}

// since returns the instant since when pictures may be shown; false when they may
// not.
func (s *service) since() (sensor.Mono, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.began, s.began != 0 && s.clock.Now() <= s.until-sensor.Mono(afterService)
}

// closed reports whether nothing may be recorded of an instant.
func (s *service) closed(at sensor.Mono) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.until != 0 && at <= s.until
}

// CauseService is the code of the cause that closes the gate in service.
const CauseService = trust.Service

// BeginService closes the gate for a time, because a technician works at the
// device; called again it lasts that long from then. It ends by itself.
func (d *Device) BeginService(lasts time.Duration) {
	if !d.InService() {
		d.seen.forget()
	}
	d.service.begin(lasts)
	d.gate.look()
}

// EndService lets the gate open again, a moment later. What passed is forgotten.
func (d *Device) EndService() {
	d.service.end()
	d.seen.forget()
}

// InService reports whether a technician works at the device.
func (d *Device) InService() bool {
	_, ok := d.service.since()
	return ok
}

// ServicePicture copies the newest picture into buffer, which grows as needed. It
// returns false out of service, and before there is one that was taken in service:
// such a picture is in no violation, now or later.
func (d *Device) ServicePicture(buffer []byte) (capture.Frame, bool) {
	since, ok := d.service.since()
	if !ok {
		return capture.Frame{Data: buffer}, false
	}
	f, _, ok := d.ring.Look(buffer)
	if !ok || f.At <= since {
		return capture.Frame{Data: f.Data}, false
	}
	// It may have ended meanwhile.
	if again, still := d.service.since(); !still || again != since {
		return capture.Frame{Data: f.Data}, false
	}
	return f, true
}
