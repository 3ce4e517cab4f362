package device

import (
	"time"

	"ciglio/agent/trust"
	"ciglio/sensor"
	"ciglio/uplink/wire"
)

// Status is what a device tells a technician beside it, at one instant: the report
// that the centre gets, and what only somebody who stands there can do about it.
type Status struct {
	At          time.Time      `json:"at"` // local time of the site
	Device      string         `json:"device"`
	Site        StatusSite     `json:"site"`
	Sensor      StatusPart     `json:"sensor"`
	Camera      StatusPart     `json:"camera"`
	Calibration StatusValidity `json:"calibration"`
	ClockOff    time.Duration  `json:"clock_off_ns"`   // offset and twice its uncertainty: within this in 95 of 100 cases
	ClockBound  time.Duration  `json:"clock_bound_ns"` // above which the device does not measure
	Test        string         `json:"test,omitempty"` // why what it records accuses nobody; empty when it does
	Uplink      StatusUplink   `json:"uplink"`
	Health      wire.Health    `json:"health"`

	// What the self-test holds against the device, and what keeps its seals from being
	// watched, for whoever tells it in another language than the report does.
	Findings   []sensor.Finding `json:"-"`
	SealFaults []sensor.Finding `json:"-"`
}

// StatusSite says where the device stands.
type StatusSite struct {
	ID         string           `json:"id"`
	Version    int              `json:"version"`
	Road       string           `json:"road"`
	Limit      sensor.Speed     `json:"limit"`
	Direction  sensor.Direction `json:"direction"`
	PhotoRange float64          `json:"photo_range_m"`
	Lanes      int              `json:"lanes"` // that the sensor tells apart; 0 when it tells none
}

// StatusPart says which sensor or camera works.
type StatusPart struct {
	Model     string `json:"model"`
	Serial    string `json:"serial"`
	Simulated bool   `json:"simulated"`
}

// StatusValidity says under which calibration the device measures.
type StatusValidity struct {
	ID          string       `json:"id"`
	Version     uint64       `json:"version"`
	Serial      string       `json:"sensor_serial"`
	NotBefore   time.Time    `json:"not_before"`
	NotAfter    time.Time    `json:"not_after"`
	Uncertainty sensor.Speed `json:"uncertainty"` // 0: no bound
	Approval    StatusPermit `json:"approval"`
	Decree      StatusPermit `json:"decree"`
	Register    StatusPermit `json:"register"`
}

// StatusPermit is a public act with its time in force.
type StatusPermit struct {
	Words string     `json:"words"`
	From  time.Time  `json:"from"`
	To    *time.Time `json:"to,omitempty"` // absent while without end
}

// StatusUplink says whether the centre is reached.
type StatusUplink struct {
	Broker    string    `json:"broker"`
	Connected bool      `json:"connected"`
	Since     time.Time `json:"since"`
	Trouble   string    `json:"trouble,omitempty"` // why it is not
}

// Status returns what the device knows of itself now. It waits for nothing.
func (d *Device) Status() Status {
	_, utc := d.o.Clock.Pair()
	site, identity, camera := d.o.Config.Site, d.o.Source.Identity(), d.o.Camera.Info()
	uplink := d.sender.Snapshot()
	s := Status{
		At: utc.In(d.zone), Device: d.id.String(),
		Site: StatusSite{ID: site.ID, Version: site.Version, Road: site.Road, Limit: site.Limit, Direction: site.Direction,
			PhotoRange: site.PhotoRange.Metres(), Lanes: len(d.o.Config.Sensor.Lanes)},
		Sensor:      StatusPart{identity.Model, identity.Serial, identity.Simulated},
		Camera:      StatusPart{camera.Model, camera.Serial, camera.Test},
		Calibration: d.validity(),
		ClockBound:  d.o.Config.Clock.Bound, Test: d.whyTest(),
		Uplink:   StatusUplink{d.o.Config.Uplink.Broker, uplink.Connected, uplink.Since, uplink.Trouble},
		Findings: d.faults.found(), SealFaults: d.sealFaults(),
	}
	s.Health = d.healthOf(s.Findings)
	if state, err := d.o.Clock.State(); err == nil {
		s.ClockOff = state.Bound()
	}
	return s
}

func (d *Device) validity() StatusValidity {
	c := d.calibration
	permit := func(p trust.Permit) StatusPermit {
		s := StatusPermit{Words: p.Words, From: p.From.In(d.zone)}
		if !p.To.IsZero() {
			to := p.To.In(d.zone)
			s.To = &to
		}
		return s
	}
	return StatusValidity{
		ID: c.ID, Version: c.Version, Serial: c.Serial, NotBefore: c.NotBefore.In(d.zone), NotAfter: c.NotAfter.In(d.zone),
		Uncertainty: c.Uncertainty, Approval: permit(c.Approval), Decree: permit(c.Decree), Register: permit(c.Register),
	}
}
