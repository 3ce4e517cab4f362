package device

import (
	"bytes"
	"context"
	"image"
	"image/jpeg"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"ciglio/agent/journal"
	"ciglio/agent/trust"
	"ciglio/capture"
	"ciglio/capture/evidence"
	"ciglio/cross/simulate"
	"ciglio/cross/simulate/simcam"
	"ciglio/sensor"
)

// turning is a camera that looks along a road, and may be turned by two degrees.
type turning struct {
	*fakeCamera
	straight, turned [][]byte
	away             *atomic.Bool
	n                int
}

func (c *turning) Next(ctx context.Context) (capture.Frame, error) {
	f, err := c.fakeCamera.Next(ctx)
	all := c.straight
	if c.away.Load() {
		all = c.turned
	}
	f.Data = all[c.n%len(all)]
	c.n++
	return f, err
}

// along returns pictures of the simulated road in half of their size, grey.
func along(t *testing.T, right float64) (all [][]byte) {
	t.Helper()
	road, err := simulate.NewRoad(simulate.Traffic(1, 70*sensor.KmH, 10*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	camera := simcam.NewTurned(road, nil, 0, right, 0)
	for range 17 {
		f, err := camera.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		m, err := jpeg.Decode(bytes.NewReader(f.Data))
		if err != nil {
			t.Fatal(err)
		}
		y := m.(*image.YCbCr)
		g := image.NewGray(image.Rect(0, 0, simcam.Width/4, simcam.Height/4))
		for i := range g.Pix {
			sum := 0
			for k := range 16 {
				sum += int(y.Y[(i/g.Stride*4+k/4)*y.YStride+i%g.Stride*4+k%4])
			}
			g.Pix[i] = uint8(sum / 16)
		}
		var b bytes.Buffer
		if err := jpeg.Encode(&b, g, &jpeg.Options{Quality: 70}); err != nil {
			t.Fatal(err)
		}
		all = append(all, b.Bytes())
	}
	return all
}

func TestTurnedCameraClosesTheGate(t *testing.T) {
	if testing.Short() {
		t.Skip("computes much, and where goroutines meet others look")
	}
	straight, turned := along(t, 0), along(t, 2)
	synctest.Test(t, func(t *testing.T) {
		dir, away := t.TempDir(), new(atomic.Bool)
		build := func() *rig {
			r := newRig(t, func(r *rig) {
				r.config.Device.Dir, r.config.Camera.View, r.config.Camera.Slot = dir, simcam.View*1000, 64<<10
				r.camera.test = true // it has no noise
				r.wrapped = &turning{r.camera, straight, turned, away, 0}
			})
			r.start(t)
			return r
		}
		code := func(r *rig) string {
			synctest.Wait()
			causes := r.Gate()
			if len(causes) == 0 {
				return ""
			}
			return causes[0].Code + ": " + causes[0].Words
		}
		count := func(r *rig, kind evidence.Kind, words string) (n int) {
			entries, _, err := r.Journal(journal.Filter{}, 0, 100)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range entries {
				if e.Kind == kind && strings.Contains(e.Words, words) {
					n++
				}
			}
			return n
		}
		r := build()
		time.Sleep(14 * time.Minute)
		if got := code(r); got != "" || count(r, evidence.KindOperator, "marks by night") != 1 {
			t.Fatalf("before it is turned: %q, %d records of its marks", got, count(r, evidence.KindOperator, "marks"))
		}
		away.Store(true)
		time.Sleep(3 * time.Minute)
		if got := code(r); !strings.HasPrefix(got, trust.AimDrift+": ") || !strings.Contains(got, "°") || count(r, evidence.KindSelfTest, "looks elsewhere") != 1 {
			t.Errorf("turned: %q, %d records", got, count(r, evidence.KindSelfTest, "looks elsewhere"))
		}
		away.Store(false)
		time.Sleep(4 * time.Minute)
		if got := code(r); got != "" {
			t.Errorf("turned back: %q", got)
		}
		r.end(t)

		away.Store(true) // while it is off
		r = build()
		time.Sleep(3 * time.Minute)
		if got := code(r); !strings.HasPrefix(got, trust.AimDrift) {
			t.Errorf("turned while it was off: %q", got)
		}
		r.BeginService(5 * time.Minute)
		if err := r.Aimed(); err != nil {
			t.Error(err)
		}
		r.EndService()
		time.Sleep(15 * time.Minute)
		if got := code(r); got != "" || count(r, evidence.KindOperator, "marks by night") != 1 {
			t.Errorf("aimed anew: %q, %d records of its marks", got, count(r, evidence.KindOperator, "marks"))
		}
		r.end(t)
	})
}

// Where the camera looked is not learnt anew because a file is damaged.
func TestLostMarksCloseTheGate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		file := filepath.Join(dir, "camera-marks")
		if err := os.WriteFile(file, []byte("damaged"), 0o600); err != nil {
			t.Fatal(err)
		}
		for range 2 { // a restart does not help
			r := newRig(t, func(r *rig) { r.config.Device.Dir = dir })
			r.start(t)
			if causes := r.Gate(); len(causes) != 1 || causes[0].Code != trust.AimDrift || !strings.Contains(causes[0].Words, "aim them anew") {
				t.Errorf("gate %v", causes)
			}
			r.end(t)
		}
		r := newRig(t, func(r *rig) { r.config.Device.Dir = dir })
		r.start(t)
		if err := r.Aimed(); err != nil {
			t.Error(err)
		}
		time.Sleep(90 * time.Second)
		synctest.Wait()
		if causes := r.Gate(); len(causes) != 0 {
			t.Errorf("aimed: gate %v", causes)
		}
		r.end(t)
	})
}

// Vehicles that are heard less than half as far as when the radar was aimed close the
// gate, and it is recorded what they were.
func TestTurnedRadarClosesTheGate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		build := func() *rig {
			r := newRig(t, func(r *rig) { r.config.Device.Dir = dir })
			r.start(t)
			return r
		}
		pass := func(r *rig, count int, before time.Duration) {
			for range count {
				at := r.clock.Now()
				r.tell(Outcome{Passage: sensor.Passage{Direction: sensor.Approaching, Speed: 72 * sensor.KmH, Start: at.Add(-before), Photo: at, End: at.Add(time.Second)}})
			}
			time.Sleep(20 * time.Second)
			synctest.Wait()
		}
		r := build()
		pass(r, 160, 4*time.Second)
		entries, _, err := r.Journal(journal.Filter{}, 0, 1)
		if err != nil || len(entries) != 1 || !strings.Contains(entries[0].Words, "approaching vehicles are heard as far as 100 m") {
			t.Errorf("journal %+v, %v", entries, err)
		}
		r.BeginService(time.Minute)
		pass(r, 60, time.Second) // a technician turns it
		r.EndService()
		time.Sleep(time.Minute)
		if causes := r.Gate(); len(causes) > 0 {
			t.Errorf("in order: gate %v", causes)
		}
		r.end(t)
		r = build()
		pass(r, 60, time.Second)
		if causes := r.Gate(); len(causes) != 1 || causes[0].Code != trust.AimDrift || !strings.Contains(causes[0].Words, "radar M1 looks elsewhere") {
			t.Errorf("turned: gate %v", causes)
		}
		r.end(t)
	})
}
