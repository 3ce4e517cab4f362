package device

import (
	"testing"
	"testing/synctest"
	"time"

	"ciglio/sensor"
)

// TestServiceAndEvidenceNeverMeet: what is seen in service is never evidence, and
// what is evidence is never seen.
func TestServiceAndEvidenceNeverMeet(t *testing.T) {
	for _, test := range []struct {
		name   string
		works  func(r *rig) // what the technician does before the vehicle is judged
		sealed bool
	}{
		{"no service", func(*rig) {}, true},
		{"in service", func(r *rig) { r.BeginService(time.Hour) }, false},
		{"service that ended by itself, long ago", func(r *rig) { r.BeginService(time.Second); time.Sleep(time.Minute) }, true},
		{"a service that fell into the track", func(r *rig) { r.BeginService(time.Hour); time.Sleep(time.Second); r.EndService() }, false},
		{"a track that began when it ended", func(r *rig) {
			r.BeginService(time.Hour)
			time.Sleep(time.Second)
			r.EndService()
			time.Sleep(3 * time.Second)
		}, false},
		{"ended twice, well before", func(r *rig) {
			r.BeginService(time.Hour)
			r.EndService()
			r.EndService()
			time.Sleep(time.Minute)
		}, true},
	} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, nil)
			r.start(t)
			defer func() { r.stop() }()
			time.Sleep(10 * time.Second)
			test.works(r)
			p := speeding()
			p.End = r.clock.Now().Add(-300 * time.Millisecond)
			p.Start = p.End.Add(-3 * time.Second)
			p.Trace.First, p.Trace.Last = p.Start, p.End
			r.sensor.passages <- p
			for len(r.told()) == 0 {
				time.Sleep(time.Second)
			}
			o := r.told()[0]
			if sealed := o.Record != nil; sealed != test.sealed {
				t.Errorf("%s: sealed = %v (%v), want %v", test.name, sealed, o.Reasons, test.sealed)
			}
			if !test.sealed && (len(o.Reasons) != 1 || o.Reasons[0] != sensor.ReasonGate) {
				t.Errorf("%s: reasons = %v", test.name, o.Reasons)
			}
		})
	}
}

func TestPicturesAreShownInServiceOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.start(t)
		defer func() { r.stop() }()
		if _, ok := r.ServicePicture(nil); ok || r.InService() {
			t.Error("a picture is shown out of service")
		}
		began := r.clock.Now()
		r.BeginService(time.Minute)
		if f, ok := r.ServicePicture(nil); ok && f.At <= began {
			t.Error("a picture from before the service is shown")
		}
		time.Sleep(time.Second)
		f, ok := r.ServicePicture(nil)
		if !ok || f.At <= began || len(f.Data) == 0 || !r.InService() {
			t.Errorf("in service: %v, taken %v after its begin", ok, f.At.Sub(began))
		}
		time.Sleep(50 * time.Second)
		r.BeginService(time.Minute) // goes on
		time.Sleep(50 * time.Second)
		if _, ok := r.ServicePicture(nil); !ok {
			t.Error("no picture in a service that goes on")
		}
		causes := r.Gate()
		if len(causes) != 1 || causes[0].Code != CauseService {
			t.Errorf("causes = %v", causes)
		}
		time.Sleep(11 * time.Second)
		if _, ok := r.ServicePicture(nil); ok {
			t.Error("a picture is shown after the service has ended by itself")
		}
		time.Sleep(afterService)
		if causes := r.Gate(); len(causes) != 0 {
			t.Errorf("after the service: causes = %v", causes)
		}
	})
}
