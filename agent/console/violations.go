package console

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"ciglio/agent/device"
	"ciglio/capture/evidence"
	"ciglio/uplink"
	"ciglio/uplink/outbox"
)

// This file is what an officer sees and a technician does not.

// mostViolations is how many a page lists: the newest.
const mostViolations = 50

type violationsView struct {
	View
	Violations []violationView
}

type violationView struct {
	Path, When                string
	Measured, Assessed, Limit string
	Direction                 string
	Number, ID                string
	Test                      bool
	Frames                    []link // their addresses and what they are
}

func (t teller) violation(v device.Violation) violationView {
	kmh := func(n int64) string { return t.text("live.kmh", "speed", number(n, 2)) }
	view := violationView{
		Path: fmt.Sprintf("/violations/%d/%d", v.Epoch, v.Seq), When: t.text("state.at", "at", v.At),
		Measured: kmh(int64(v.Measured)), Assessed: kmh(int64(v.Assessed)), Limit: kmh(int64(v.Limit)),
		Direction: t.text(directionKey(v.Direction)), Number: fmt.Sprintf("%d/%d", v.Epoch, v.Seq), ID: v.ID.String(), Test: v.Test,
	}
	for i, role := range v.Roles {
		view.Frames = append(view.Frames, link{Path: fmt.Sprintf("%s/%d", view.Path, i), Words: t.coded("frame", role)})
	}
	return view
}

// look records that somebody looks at violations: before anything of them is shown.
func (c *Console) look(who Caller, at string) error {
	return c.note(who, "looked at "+at, evidence.Act{Code: "look", Subject: at, Outcome: "done"})
}

func (c *Console) violations(w http.ResponseWriter, r *http.Request, who Caller) error {
	if err := c.look(who, "the list of violations"); err != nil {
		return err
	}
	all, err := c.o.Device.Violations(mostViolations)
	if err != nil {
		return err
	}
	v := c.view(r, who)
	page := violationsView{View: v}
	for _, one := range all {
		page.Violations = append(page.Violations, teller{c, v.words}.violation(one))
	}
	return c.show(w, http.StatusOK, "violations", page)
}

// keyOf reads which violation a request is for.
func keyOf(r *http.Request) (k uplink.Key, err error) {
	if k.Epoch, err = strconv.ParseUint(r.PathValue("epoch"), 10, 63); err == nil {
		k.Seq, err = strconv.ParseUint(r.PathValue("seq"), 10, 63)
	}
	if err != nil {
		return k, errAbsent
	}
	return k, nil
}

// absentOr makes what the store does not have an absent page.
func absentOr(err error) error {
	if errors.Is(err, outbox.ErrNotFound) {
		return errAbsent
	}
	return err
}

func (c *Console) violation(w http.ResponseWriter, r *http.Request, who Caller) error {
	k, err := keyOf(r)
	if err != nil {
		return err
	}
	one, err := c.o.Device.Violation(k)
	if err != nil {
		return absentOr(err)
	}
	if err := c.look(who, fmt.Sprintf("violation %d of epoch %d", k.Seq, k.Epoch)); err != nil {
		return err
	}
	c.access.look(who, k)
	v := c.view(r, who)
	return c.show(w, http.StatusOK, "violation", struct {
		View
		V violationView
	}{v, teller{c, v.words}.violation(one)})
}

// violationFrame sends a frame to whoever has opened the page of its violation: so
// no frame is seen without a record of it.
func (c *Console) violationFrame(w http.ResponseWriter, r *http.Request, who Caller) error {
	k, err := keyOf(r)
	if err != nil {
		return err
	}
	n, err := strconv.Atoi(r.PathValue("frame"))
	if err != nil || !c.access.looked(who, k) {
		return errAbsent
	}
	c.still.Lock() // one in memory at a time: it may be a still of 20 MP
	defer c.still.Unlock()
	data, err := c.o.Device.ViolationFrame(k, n)
	if err != nil {
		return absentOr(err)
	}
	w.Header().Set("Content-Type", "image/jpeg")
	w.Write(data)
	return nil
}
