package device

import (
	"errors"
	"fmt"
	"path/filepath"
	"sync"

	"ciglio/capture/aim"
	"ciglio/capture/evidence"
	"ciglio/sensor"
	radaraim "ciglio/sensor/aim"
)

// findingAim is that of a part of which is lost where it looked.
const findingAim = "aim_unknown"

// An aimed watches where camera and radar look. What is normal is learnt once, recorded and
// kept; whoever aims has it learnt anew. It is safe for concurrent use, but for
// tellAim, which has one user.
type aimed struct {
	camera     *aim.Watch
	cameraName string
	radar      *radaraim.Watch
	radarName  string

	mu                    sync.Mutex
	cameraFile, radarFile learnt

	// What is recorded: marks by day and by night, and what is known of the radar.
	byDay, byNight int
	way            radaraim.Normal
}

func (d *Device) newAimed() *aimed {
	c := d.o.Config
	file := func(name string) learnt { return learnt{file: filepath.Join(c.Device.Dir, name), log: d.o.Log} }
	a := &aimed{
		cameraName: cameraName(d.o.Camera), cameraFile: file("camera-marks"),
		radarName: fmt.Sprintf("%q %q", c.Sensor.Model, c.Sensor.Serial), radarFile: file("radar-aim"),
	}
	a.camera = aim.New(aim.Options{
		Model: d.o.Camera.Info().Model, View: float64(c.Camera.View) / 1000,
		North: float64(c.Site.Latitude) / 1e7, East: float64(c.Site.Longitude) / 1e7,
		Normal: read(&a.cameraFile, a.cameraName, aim.ParseNormal),
	})
	a.radar = radaraim.New(c.Sensor.Model, c.Site.PhotoRange.Metres(), read(&a.radarFile, a.radarName, radaraim.ParseNormal))
	a.byDay, a.byNight = a.camera.Marks()
	a.way = a.radar.Normal()
	return a
}

// keep writes what was learnt to its files, but for one that is damaged: only who aims
// may replace that.
func (a *aimed) keep() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	var err error
	write := func(l *learnt, known bool, text []byte) {
		if l.lost == nil && (known || l.text != "") {
			err = errors.Join(err, l.keep(text))
		}
	}
	camera, radar := a.camera.Normal(), a.radar.Normal()
	write(&a.cameraFile, camera.Width != 0, camera.Text(a.cameraName))
	write(&a.radarFile, radar != radaraim.Normal{}, radar.Text(a.radarName))
	return err
}

// Aimed has the device learn anew where camera and radar look: someone has just aimed
// them, which the caller has recorded. It returns when the old normal is gone from
// flash.
func (d *Device) Aimed() error {
	a := d.aim
	a.camera.Renew()
	a.radar.Renew()
	a.mu.Lock()
	a.cameraFile.lost, a.radarFile.lost = nil, nil
	a.mu.Unlock()
	return a.keep()
}

func (d *Device) checkAim(now sensor.Mono) (all []sensor.Finding) {
	a := d.aim
	a.mu.Lock()
	lost := errors.Join(a.cameraFile.lost, a.radarFile.lost)
	a.mu.Unlock()
	if lost != nil {
		all = append(all, sensor.Finding{Code: findingAim, About: "where camera or radar looked when they were aimed is lost: aim them anew", Facts: sensor.Told(lost.Error())})
	}
	return append(append(all, a.camera.Findings(now)...), a.radar.Findings()...)
}

// tellAim records and keeps what has just been learnt.
func (d *Device) tellAim() {
	a := d.aim
	byDay, byNight := a.camera.Marks()
	way := a.radar.Normal()
	if byDay == a.byDay && byNight == a.byNight && way == a.way {
		return
	}
	tell := func(subject, words string) {
		d.o.Log.Info("aim learnt", "subject", subject, "normal", words)
		d.recorder.noteOrLog(evidence.KindOperator, operatorBody("where it looks is learnt: "+words,
			evidence.Act{Actor: itself, Role: "unknown", Code: "aim", Subject: subject, New: words, Outcome: outcomeDone}))
	}
	if byDay > 0 && byDay != a.byDay {
		tell("camera", fmt.Sprintf("%d marks by day", byDay))
	}
	if byNight > 0 && byNight != a.byNight {
		tell("camera", fmt.Sprintf("%d marks by night", byNight))
	}
	if words := way.String(); words != "" && way != a.way {
		tell("radar", words)
	}
	a.byDay, a.byNight, a.way = byDay, byNight, way
	if err := a.keep(); err != nil {
		d.o.Log.Warn("what was learnt of the site is not kept", "error", err)
	}
}
