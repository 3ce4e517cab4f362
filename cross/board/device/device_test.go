package device

import (
	"bytes"
	"fmt"
	"image/jpeg"
	"slices"
	"strings"
	"testing"
	"time"

	"ciglio/capture/evidence"
	"ciglio/cross/board"
	"ciglio/cross/board/boardtest"
	"ciglio/portal/portaltest"
	"ciglio/sensor"
)

const speeding = sensor.Speed(9250) // 92.50 km/h where 70 are allowed

// TestWholeDevice follows a violation from the radar's bytes to the receipt, and
// verifies what the centre then gives out. Both architectures.
func TestWholeDevice(t *testing.T) {
	boardtest.Need(t, boardtest.Short)
	for _, arch := range []string{"arm-7", "arm64"} {
		t.Run(arch, func(t *testing.T) {
			r := newRig(t, arch, vivid())
			r.onboard("TestStartProbe")
			took := r.start()
			t.Logf("the board was ready %v after its start, the device measured %v after its own", r.board.Started.Round(10*time.Millisecond), took.Round(10*time.Millisecond))
			r.violation()
			all := r.until("the record, settled", func(all []entry) bool { return !slices.ContainsFunc(all, unsettled) })
			bundle := r.verify(tests(all)[0], "yuyv")
			result := r.stop()
			compareStamps(t, bundle, r.onboard("TestEndProbe"))
			t.Logf("the service used %v and at most %d MB", (result.User + result.System).Round(10*time.Millisecond), result.RSS>>20)
		})
	}
}

// compareStamps follows each mark of the contacts from the record at the centre
// back to the edge that the kernel stamped: the two are the same number.
func compareStamps(t *testing.T, b *evidence.Bundle, edges string) {
	t.Helper()
	sealed, err := evidence.Open(b.Record)
	if err != nil {
		t.Fatal(err)
	}
	kernel := map[string]bool{}
	for line := range strings.Lines(edges) {
		var at int64
		var id, offset, number int
		if n, _ := fmt.Sscanf(line, "edge: at=%d id=%d offset=%d line=%d", &at, &id, &offset, &number); n == 4 {
			kernel[fmt.Sprintf("line %d, edge %d, at %d", offset, id, at)] = true
		}
	}
	const rising, falling = 1, 2 // GPIO_V2_LINE_EVENT_RISING_EDGE and so on
	marks := sealed.Record.Measurement.Second.Contacts.Marks
	for i, line := range []int{nearLine, farLine} {
		for m, id := range []int{rising, falling} { // front and rear
			if mark := fmt.Sprintf("line %d, edge %d, at %d", line, id, marks[i][m]); !kernel[mark] {
				t.Errorf("the record says %s; the kernel stamped:\n%s", mark, edges)
			}
		}
	}
	t.Logf("%d stamps of the record are the kernel's, of %d edges", len(marks)*len(marks[0]), len(kernel))
}

// TestDeviceAmongFaults lets what the device depends on go and come back: the
// network, the camera, the radar, and the service itself.
func TestDeviceAmongFaults(t *testing.T) {
	boardtest.Need(t, boardtest.All)
	for _, arch := range []string{"arm-7", "arm64"} {
		t.Run(arch, func(t *testing.T) {
			r := newRig(t, arch, vivid())
			r.start()

			// What is recorded without a network waits, and arrives after it.
			r.must(r.board.CutNetwork(t.Context()))
			r.violation()
			all := r.violation()
			for _, e := range tests(all) {
				if settled(e) {
					t.Errorf("record %d is settled without network", e.Seq)
				}
			}
			r.must(r.board.JoinNetwork(t.Context()))
			joined := time.Now()
			all = r.until("all records settled", func(all []entry) bool { return !slices.ContainsFunc(all, unsettled) })
			t.Logf("settled %v after the network was back", time.Since(joined).Round(time.Second))
			recorded := len(tests(all))

			// Camera and radar go and come back: nothing is recorded meanwhile.
			camera := "/sys/bus/platform/drivers/vivid/"
			serial := "/sys/bus/pci/drivers/serial/"
			for _, part := range []struct{ name, driver, device, says string }{
				{"camera", camera, "vivid.0", "camera"},
				{"sensor", serial, serial + "0000:*", "sensor"},
			} {
				device := r.set(part.driver+"unbind", part.device)
				gone := time.Now()
				if line := r.wait("gate closed"); !strings.Contains(line, part.name) || !strings.Contains(line, part.says) {
					t.Errorf("%s unplugged: %s", part.name, line)
				}
				closed := time.Since(gone)
				r.pass(speeding)
				r.set(part.driver+"bind", device)
				back := time.Now()
				r.wait("gate open")
				t.Logf("%s unplugged: the gate closed after %v, opened %v after it was back", part.name, closed.Round(time.Second), time.Since(back).Round(time.Second))
				if n := len(tests(r.records())); n != recorded { // of the vehicle that passed meanwhile
					t.Errorf("%s unplugged: %d records of vehicles, want %d", part.name, n, recorded)
				}
				recorded = len(tests(r.violation()))
			}

			// The service ends and starts again on the same store.
			r.stop()
			before := r.records()
			r.start()
			after := r.until("the records of the end and the start, settled", func(all []entry) bool {
				return len(all) > len(before) && !slices.ContainsFunc(all, unsettled)
			})
			for i, e := range after {
				if e.Seq != uint64(i)+1 || i < len(before) && e.ID != before[i].ID {
					t.Errorf("record %d in place %d: the chain has changed", e.Seq, i+1)
				}
			}
			for _, e := range tests(after) {
				r.verify(e, "yuyv")
			}
			r.stop()
		})
	}
}

// TestCameraDriver runs the test of the camera's driver on the board's kernel, with
// each layout of the structs that a program of this architecture may use.
func TestCameraDriver(t *testing.T) {
	boardtest.Need(t, boardtest.All)
	for _, arch := range []string{"arm-7", "arm64"} {
		t.Run(arch, func(t *testing.T) {
			program, err := board.BuildTest(t.Context(), arch, "ciglio/capture/v4l2")
			if err != nil {
				t.Fatal(err)
			}
			b := boardtest.Start(t, board.Options{Arch: arch, Files: map[string]string{"/bin/v4l2": program}, Modules: vivid().modules})
			t.Log(boardtest.Run(t, b, "v4l2", "-test.v", "-test.run=^TestReal", "-camera=/dev/video0"))
		})
	}
}

// TestUSBCamera takes JPEGs of a USB camera through uvcvideo: what is sealed are the
// camera's own bytes.
func TestUSBCamera(t *testing.T) {
	boardtest.Need(t, boardtest.All)
	var pictures [][]byte
	for step := range 50 {
		pictures = append(pictures, portaltest.Picture(t, 320, 240, step))
	}
	for _, arch := range []string{"arm-7", "arm64"} {
		t.Run(arch, func(t *testing.T) {
			r := newRig(t, arch, source{[]string{"vhci-hcd", "uvcvideo"}, `format = "mjpeg"
size = "320x240"
interval = "100ms"
latency = "5ms"
model = "USB camera"
slot = "128KiB"`})
			camera := &usbCamera{pictures: pictures, width: 320, height: 240, interval: 100 * time.Millisecond}
			r.plugCamera(camera)
			r.start()
			own := func() {
				t.Helper()
				all := tests(r.violation())
				r.until("the record, settled", func(all []entry) bool { return !slices.ContainsFunc(tests(all), unsettled) })
				for i, frame := range r.verify(all[len(all)-1], "").Frames {
					if !slices.ContainsFunc(pictures, func(p []byte) bool { return bytes.Equal(p, frame) }) {
						t.Errorf("frame %d is not one that the camera gave", i+1)
					}
				}
			}
			own()
			camera.unplug()
			if line := r.wait("gate closed"); !strings.Contains(line, "camera") {
				t.Errorf("unplugged: %s", line)
			}
			r.plugCamera(camera)
			r.wait("gate open")
			own()
			r.stop()
		})
	}
}

// verify checks a record as everybody can: the bundle from the centre, offline.
// source is the layout of the pictures before the device compressed them, "" when it
// did not.
func (r *rig) verify(e entry, source string) *evidence.Bundle {
	t := r.t
	t.Helper()
	data, _ := r.get("/records/" + e.ID + "/bundle.zip")
	bundle, err := evidence.ReadBundle(bytes.NewReader(data), int64(len(data)))
	r.must(err)
	verdict := evidence.Verify(bundle, r.trust)
	for _, c := range verdict.Checks {
		// No verifier knows which software is approved, and the page is no evidence.
		unknowable := c.Name == "software" || c.Name == "page"
		if c.Status != evidence.Pass && !(unknowable && c.Status == evidence.NotChecked) {
			t.Errorf("%s: %v: %s", c.Name, c.Status, c.Words())
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
		if f.Source() != source {
			t.Errorf("frame %d is of type %q", i+1, f.MediaType)
		}
		picture, err := jpeg.Decode(bytes.NewReader(bundle.Frames[i]))
		r.must(err)
		if size := picture.Bounds().Size(); size.X != 320 || size.Y != 180 && size.Y != 240 {
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
	return bundle
}
