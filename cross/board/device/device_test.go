package device

import (
	"bytes"
	"image/jpeg"
	"testing"
	"time"

	"ciglio/capture/evidence"
	"ciglio/cross/board/boardtest"
	"ciglio/sensor"
)

const speeding = 9250 * sensor.KmH / sensor.KmH // 92.50 km/h where 70 are allowed

// TestWholeDevice follows a violation from the radar's bytes to the receipt, and
// verifies what the centre then gives out. Both architectures.
func TestWholeDevice(t *testing.T) {
	boardtest.Need(t, boardtest.Short)
	for _, arch := range []string{"arm-7", "arm64"} {
		t.Run(arch, func(t *testing.T) {
			r := newRig(t, arch)
			took := r.start()
			t.Logf("the board was ready %v after its start, the device measured %v after its own", r.board.Started.Round(10*time.Millisecond), took.Round(10*time.Millisecond))
			r.pass(speeding)
			all := r.until("a record of the vehicle, settled", func(all []entry) bool {
				vehicles := tests(all)
				return len(vehicles) == 1 && settled(vehicles[0])
			})
			r.verify(tests(all)[0])
			result := r.stop()
			t.Logf("the service used %v and at most %d MB", (result.User + result.System).Round(10*time.Millisecond), result.RSS>>20)
		})
	}
}

// verify checks a record as everybody can: the bundle from the centre, offline.
func (r *rig) verify(e entry) *evidence.Record {
	t := r.t
	t.Helper()
	data, _ := r.get("/records/" + e.ID + "/bundle.zip")
	bundle, err := evidence.ReadBundle(bytes.NewReader(data), int64(len(data)))
	r.must(err)
	verdict := evidence.Verify(bundle, r.trust)
	for _, c := range verdict.Checks {
		if c.Status != evidence.Pass {
			t.Errorf("%s: %v: %s", c.Name, c.Status, c.Words)
		}
	}
	if !verdict.OK() || verdict.Record.ID.String() != e.ID {
		t.Fatalf("the bundle does not hold: %+v", verdict.Checks)
	}
	record := verdict.Record.Record
	if why := record.Body[1]; record.Kind != evidence.KindTest || why != "pictures not taken by a camera on the road" {
		t.Errorf("kind %v, because of %q", record.Kind, why)
	}
	m := record.Measurement
	if m.Speed < 9150 || m.Speed > speeding || m.Direction != sensor.Approaching || m.Second == nil {
		t.Errorf("measurement %+v, want 92.50 km/h, confirmed", m)
	} else {
		t.Logf("record %d: %v by radar, %v by contacts", record.Seq, m.Speed, m.Second.Speed)
	}
	if record.Clock.Source != "adjtimex" || !record.Clock.Synchronised {
		t.Errorf("clock %+v", record.Clock)
	}
	for i, f := range record.Frames {
		if f.MediaType != "image/jpeg;source=yuyv" {
			t.Errorf("frame %d is of type %q", i+1, f.MediaType)
		}
		picture, err := jpeg.Decode(bytes.NewReader(bundle.Frames[i]))
		r.must(err)
		if size := picture.Bounds().Size(); size.X != 320 || size.Y != 180 {
			t.Errorf("frame %d of %v", i+1, size)
		}
		if off := f.Mono.Sub(m.Photo); f.Role == "photo" && off.Abs() > 150*time.Millisecond {
			t.Errorf("the photo was taken %v from the photo position", off)
		}
	}
	page, media := r.get("/records/" + e.ID + "/frames/1")
	if media != "image/jpeg" || !bytes.Equal(page, bundle.Frames[0]) {
		t.Errorf("the centre shows frame 1 as %s, %d bytes", media, len(page))
	}
	return record
}
