package device

import (
	"errors"
	"log/slog"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"ciglio/capture"
	"ciglio/capture/evidence"
	"ciglio/capture/life"
	"ciglio/cross/simulate/simcam"
)

// What a camera gives behind the end of its pictures is no part of the evidence, and
// the record says that there was something.
func TestD13_RecordTellsWhatWasCut(t *testing.T) {
	for _, cut := range []int{0, 512} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, func(r *rig) { r.camera.cut = cut })
			r.start(t)
			o := r.pass(speeding())
			if o.Record == nil {
				t.Fatalf("not recorded: %v", o.Reasons)
			}
			for i, f := range o.Record.Record.Frames {
				if int(f.Cut) != cut {
					t.Errorf("frame %d: %d bytes cut, want %d", i+1, f.Cut, cut)
				}
			}
			r.end(t)
		})
	}
}

func TestD12_HealthCountsWhatTheCameraGave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(r *rig) {
			r.camera.pictures[3], r.camera.cut = r.camera.pictures[2], 7
			r.camera.odd = capture.Odd{Types: 1, Empty: 2, Lengths: 3, Boundaries: 4, Between: 5, Large: 6}
		})
		r.start(t)
		time.Sleep(17 * 80 * time.Millisecond * 10)
		got := r.health().Sensing.Pictures
		if got.Kept < 150 || got.Cut != got.Kept || got.Repeated < got.Kept/17 || got.Repeated > got.Kept/17+1 || got.Odd != 15 || got.TooLarge != 6 {
			t.Errorf("health says %+v", got)
		}
		r.end(t)
	})
}

// A camera that gives pictures, and none that are worth anything, closes the gate,
// and one record says so.
func TestD10_CameraThatLivesAndDoesNotWork(t *testing.T) {
	if testing.Short() {
		t.Skip("computes much, and where goroutines meet others look")
	}
	for _, test := range []struct {
		name, want string
		spoil      func(*fakeCamera)
	}{
		{"the same bytes for ever", "camera fake is frozen", func(c *fakeCamera) { c.pictures = c.pictures[:1] }},
		{"1.6 pictures a second", "camera fake gives 1.6 pictures a second", func(c *fakeCamera) { c.every = 625 * time.Millisecond }},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, func(r *rig) {
					r.camera.pictures = simcam.Noise(17, 64, 48)
					test.spoil(r.camera)
				})
				r.start(t)
				time.Sleep(time.Minute)
				causes := r.Gate()
				if len(causes) != 1 || !strings.Contains(causes[0].Words, test.want) {
					t.Errorf("gate: %v, want %q", causes, test.want)
				}
				if o := r.pass(speeding()); o.Record != nil {
					t.Error("a violation was recorded")
				}
				time.Sleep(time.Hour)
				r.end(t)
				var told []string
				for _, s := range r.records(t) {
					if s.Record.Kind == evidence.KindSelfTest {
						told = append(told, s.Record.Body[2].(string))
					}
				}
				if len(told) != 2 || !strings.Contains(told[1], test.want) {
					t.Errorf("records %q, want one of a device in order and one of %q", told, test.want)
				}
			})
		})
	}
}

// What was learnt of a sharp camera holds after a restart: a soft lens closes the gate
// a minute later. A file that cannot be read is told, and learnt anew.
func TestD10_SharpnessIsKeptOverARestart(t *testing.T) {
	for _, test := range []struct {
		name  string
		spoil func(file string) error
		gate  string // "" for open
		log   string
	}{
		{"as it was", func(string) error { return nil }, "", ""},
		{"eight times the detail before", func(file string) error {
			text, err := os.ReadFile(file)
			if err != nil {
				return err
			}
			n, err := life.ParseNormal(text, `"fake" ""`)
			n.Dark, n.Bright = 8*n.Dark, 8*n.Bright
			return errors.Join(err, os.WriteFile(file, n.Text(`"fake" ""`), 0o600))
		}, "camera fake is not sharp", ""},
		{"damaged", func(file string) error { return os.WriteFile(file, []byte("damaged"), 0o600) }, "", "what was learnt of the site is lost"},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, func(r *rig) { r.camera.pictures = simcam.Noise(17, 64, 48) })
				r.start(t)
				time.Sleep(3 * time.Minute)
				r.end(t)
				if err := test.spoil(r.config.Device.Dir + "/camera-normal"); err != nil {
					t.Fatal(err)
				}
				log := new(logText)
				again := newRig(t, func(again *rig) {
					again.camera.pictures, again.config.Device.Dir = r.camera.pictures, r.config.Device.Dir
					again.log = slog.New(slog.NewTextHandler(log, nil))
				})
				again.start(t)
				time.Sleep(90 * time.Second)
				causes := again.Gate()
				if (len(causes) > 0) != (test.gate != "") || len(causes) > 0 && !strings.Contains(causes[0].Words, test.gate) {
					t.Errorf("gate: %v, want %q", causes, test.gate)
				}
				if !strings.Contains(log.String(), test.log) {
					t.Errorf("log: %v", log)
				}
				again.end(t)
			})
		})
	}
}
