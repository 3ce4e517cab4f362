package console

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"ciglio/agent/trust"
	"ciglio/capture/evidence"
	"ciglio/sensor"
	"ciglio/uplink/outbox"
	"ciglio/uplink/wire"
)

// serviceLasts is for how long the gate stays closed after the last thing that a
// technician did.
const serviceLasts = 15 * time.Minute

// keepService has a service that runs go on: somebody looks.
func (c *Console) keepService() {
	if c.o.Device.InService() {
		c.o.Device.BeginService(serviceLasts)
	}
}

// note records an act of somebody. What is not recorded is not done.
func (c *Console) note(who Caller, what string, a evidence.Act) error {
	a.Actor, a.Role = who.Name, string(who.Role)
	return fullOr(c.o.Device.Note(what, a))
}

// fullOr makes of a store without room the refusal that says so.
func fullOr(err error) error {
	if errors.Is(err, outbox.ErrFull) {
		return refusal{http.StatusInsufficientStorage, "journal_full"}
	}
	return err
}

// noteSession records that one begins or ends. It goes on without: whoever comes because
// the store is full must see so.
func (c *Console) noteSession(who Caller, outcome string) {
	if err := c.note(who, "session at the console "+outcome, evidence.Act{Code: "session", Subject: "console", Outcome: outcome}); err != nil {
		c.o.Log.Error("console: session not recorded", "who", who.Name, "error", err)
	}
}

// beginService closes the gate for somebody who works at the device.
func (c *Console) beginService(who Caller) error {
	if !c.o.Device.InService() {
		if err := c.note(who, "service begun: the gate is closed", evidence.Act{Code: "command", Subject: "service", Outcome: "begun"}); err != nil {
			return err
		}
	}
	c.o.Device.BeginService(serviceLasts)
	return nil
}

// serviceOn is the act of a page.
func (c *Console) serviceOn(w http.ResponseWriter, r *http.Request, who Caller) error {
	if err := c.beginService(who); err != nil {
		return err
	}
	return c.done(w, r, back(r))
}

func (c *Console) serviceOff(w http.ResponseWriter, r *http.Request, who Caller) error {
	if c.o.Device.InService() {
		c.o.Device.EndService()
		if err := c.note(who, "service ended", evidence.Act{Code: "command", Subject: "service", Outcome: "ended"}); err != nil {
			return err
		}
	}
	return c.done(w, r, "/")
}

// done answers an act: the page after it, or a word to a program.
func (c *Console) done(w http.ResponseWriter, r *http.Request, path string) error {
	if wantsJSON(r) {
		return writeJSON(w, http.StatusOK, struct{}{})
	}
	http.Redirect(w, r, path, http.StatusSeeOther)
	return nil
}

// A SelfTest is what one found.
type SelfTest struct {
	Pass     bool          `json:"pass"`
	Findings []wire.Reason `json:"findings"`
}

// selfTest has the device look at all its parts now, and record what it finds.
func (c *Console) selfTest(w http.ResponseWriter, r *http.Request, who Caller) error {
	findings, err := c.o.Device.SelfTest(evidence.Act{Actor: who.Name, Role: string(who.Role), Code: "selftest"})
	if err != nil {
		return fullOr(err)
	}
	result := SelfTest{Pass: len(findings) == 0, Findings: []wire.Reason{}}
	for _, f := range findings {
		result.Findings = append(result.Findings, wire.Reason{Code: f.Code, Words: f.Words()})
	}
	if wantsJSON(r) {
		return writeJSON(w, http.StatusOK, result)
	}
	v := c.view(r, who)
	page := selfTestView{View: v, Pass: result.Pass, Words: c.text(v.words, "selftest.passed")}
	if !result.Pass {
		page.Words = c.text(v.words, "selftest.failed", "n", len(findings))
	}
	page.Findings = teller{c, v.words}.findings(findings)
	return c.show(w, http.StatusOK, "selftest", page)
}

type selfTestView struct {
	View
	Pass     bool
	Words    string
	Findings []fact
}

// An Aim is how aiming stands.
type Aim struct {
	InService bool `json:"in_service"`
	Camera    bool `json:"camera_good"`
	Sensor    bool `json:"sensor_good"`
	Marks     bool `json:"marks"` // lanes and photo position can be drawn
	Vehicles  int  `json:"vehicles"`
	Stand     int  `json:"stand"` // of them, with a speed that stands
	Good      bool `json:"good"`

	cameraFound, sensorFound []sensor.Finding // what is wrong with them
}

// So many vehicles, most of them with a speed that stands, show that the radar looks
// along the road.
const (
	aimVehicles = 5
	aimShare    = 0.8
)

func (c *Console) aimed() Aim {
	s := c.o.Device.Status()
	a := Aim{InService: c.o.Device.InService(), Camera: true, Sensor: true, Marks: c.o.Device.Sight().Width > 0}
	for _, f := range s.Findings {
		switch trust.Part(f.Code) {
		case trust.SelfTest: // of neither anything is known yet
			a.Camera, a.Sensor, a.sensorFound = false, false, append(a.sensorFound, f)
		case trust.CameraFault:
			a.Camera, a.cameraFound = false, append(a.cameraFound, f)
		case trust.SensorFault:
			a.Sensor, a.sensorFound = false, append(a.sensorFound, f)
		}
	}
	for _, v := range c.o.Device.Seen() {
		a.Vehicles++
		if len(v.Reasons) == 0 && v.Direction != sensor.DirectionUnknown {
			a.Stand++
		}
	}
	a.Good = a.InService && a.Camera && a.Sensor && a.enough()
	return a
}

// enough reports whether the vehicles show that the radar looks along the road.
func (a Aim) enough() bool {
	return a.Vehicles >= aimVehicles && float64(a.Stand) >= aimShare*float64(a.Vehicles)
}

type aimView struct {
	liveView
	Steps []fact // of aiming, as the device sees them
	Good  bool
}

func (c *Console) aimPage(w http.ResponseWriter, r *http.Request, who Caller) error {
	c.keepService()
	a := c.aimed()
	if wantsJSON(r) {
		return writeJSON(w, http.StatusOK, a)
	}
	v := c.view(r, who)
	v.Script = a.InService
	t := teller{c, v.words}
	level := func(ok bool) level {
		if ok {
			return good
		}
		return warn
	}
	page := aimView{liveView: c.liveOf(v), Good: a.Good}
	add := func(ok bool, name, words, do string, found []sensor.Finding) {
		if ok {
			do = ""
		}
		f := t.fact(level(ok), name, words, do)
		f.Findings = t.findings(found)
		page.Steps = append(page.Steps, f)
	}
	add(a.Camera, "aim.camera", t.text("aim.camera_why"), "do.camera", a.cameraFound)
	add(a.Marks, "aim.lanes", t.text("aim.lanes_why"), "aim.lanes_do", nil)
	add(a.Sensor, "aim.sensor", t.text("aim.sensor_why"), "do.sensor", a.sensorFound)
	add(a.enough(), "aim.vehicles", t.text("aim.vehicles_so_far", "stand", a.Stand, "vehicles", a.Vehicles), "aim.vehicles_do", nil)
	return c.show(w, http.StatusOK, "aim", page)
}

// aimDone ends aiming. What the technician has seen with their own eyes is their
// word; the rest is the device's.
func (c *Console) aimDone(w http.ResponseWriter, r *http.Request, who Caller) error {
	a := c.aimed()
	if !a.InService {
		return refusal{http.StatusConflict, "not_in_service"}
	}
	seen := r.PostFormValue("lanes") == "on" && r.PostFormValue("fixed") == "on"
	if !seen {
		return refusal{http.StatusBadRequest, "not_confirmed"}
	}
	outcome := "done"
	if !a.Good {
		outcome = "failed"
	}
	words := fmt.Sprintf("camera in order: %s; sensor in order: %s; lanes drawn from marks: %s; speeds that stand: %d of %d vehicles; lanes and photo position seen in the picture, mounting fixed: confirmed",
		yes(a.Camera), yes(a.Sensor), yes(a.Marks), a.Stand, a.Vehicles)
	if err := c.note(who, "aiming ended: "+words, evidence.Act{Code: "aim", Subject: "camera and sensor", New: words, Outcome: outcome}); err != nil {
		return err
	}
	if a.Good {
		if err := c.o.Device.Aimed(); err != nil {
			return err
		}
	}
	c.o.Device.EndService()
	return c.done(w, r, "/")
}

func yes(ok bool) string {
	if ok {
		return "yes"
	}
	return "no"
}
