package device

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"testing"
	"testing/synctest"

	"ciglio/uplink"
	"ciglio/uplink/outbox"
)

// TestOfficerSeesWhatWasSealed compares what is shown with the records themselves.
func TestOfficerSeesWhatWasSealed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.start(t)
		var ids [][]byte
		for range 3 {
			o := r.pass(speeding())
			if o.Record == nil {
				t.Fatalf("not sealed: %v", o.Reasons)
			}
			ids = append(ids, o.Record.ID[:])
		}
		got, err := r.Violations(2)
		if err != nil || len(got) != 2 || !bytes.Equal(got[0].ID[:], ids[2]) || !bytes.Equal(got[1].ID[:], ids[1]) {
			t.Fatalf("the two newest: %+v, %v", got, err)
		}
		b, err := r.outbox.Record(got[0].Key)
		if err != nil {
			t.Fatal(err)
		}
		var frames int
		for _, s := range r.records(t) {
			if s.ID != got[0].ID {
				continue
			}
			m := s.Record.Measurement
			if !bytes.Equal(b, s.Bytes) || got[0].Measured != m.Speed || got[0].Assessed != m.Assessed || got[0].Limit != m.Limit {
				t.Errorf("%+v of %+v", got[0], m)
			}
			for i, f := range s.Record.Frames {
				data, err := r.ViolationFrame(got[0].Key, i)
				if err != nil || sha256.Sum256(data) != f.SHA256 {
					t.Errorf("frame %d: %v", i, err)
				}
				frames++
			}
		}
		if frames == 0 || frames != len(got[0].Roles) {
			t.Errorf("%d frames, %d named", frames, len(got[0].Roles))
		}
		// Behind the frames lies the trace: it is none.
		if _, err := r.ViolationFrame(got[0].Key, frames); !errors.Is(err, outbox.ErrNotFound) {
			t.Errorf("a frame too far: %v", err)
		}
		for name, k := range map[string]uplink.Key{"the start of the device": {Epoch: 1, Seq: 1}, "none": {Epoch: 1, Seq: 999}, "no epoch": {}} {
			if _, err := r.Violation(k); !errors.Is(err, outbox.ErrNotFound) {
				t.Errorf("%s: %v", name, err)
			}
		}
		r.end(t)
	})
}
