package simcam

import (
	"bytes"
	"context"
	"errors"
	"image"
	"image/jpeg"
	"io"
	"math"
	"regexp"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"ciglio/capture"
	"ciglio/cross/simulate"
	"ciglio/sensor"
)

// landscape is painted once for all tests that share two lanes.
var landscape = sync.OnceValue(func() *scene { return paintScene([]float64{3.0, 6.4}, newLens(0, 0)) })

func newRoad(t testing.TB, vehicles ...simulate.Vehicle) *simulate.Road {
	t.Helper()
	r, err := simulate.NewRoad(simulate.Scenario{Duration: time.Minute, Vehicles: vehicles})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func decode(t testing.TB, b []byte) image.Image {
	t.Helper()
	if w, h, err := capture.CheckJPEG(b); err != nil || w != Width || h != Height {
		t.Fatalf("%d by %d, %v; want %d by %d", w, h, err, Width, Height)
	}
	m, err := jpeg.Decode(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// difference returns the box of the pixels above the caption that differ
// clearly, and how many do.
func difference(a, b image.Image) (box image.Rectangle, n int) {
	for y := range Height - 60 {
		for x := range Width {
			r0, g0, b0, _ := a.At(x, y).RGBA()
			r1, g1, b1, _ := b.At(x, y).RGBA()
			d := math.Abs(float64(r0)-float64(r1)) + math.Abs(float64(g0)-float64(g1)) + math.Abs(float64(b0)-float64(b1))
			if d > 60*257 {
				box = box.Union(image.Rect(x, y, x+1, y+1))
				n++
			}
		}
	}
	return box, n
}

func TestVehicleIsWhereItIs(t *testing.T) {
	empty := decode(t, newCamera(landscape(), newRoad(t), nil, 0).render(0))
	tests := []struct {
		name      string
		direction sensor.Direction
		lane      int
		class     simulate.Class
		x         float64 // m ahead
	}{
		{"car coming, far", sensor.Approaching, 1, simulate.Car, 90},
		{"car coming, at the photo", sensor.Approaching, 1, simulate.Car, 18},
		{"car coming, near", sensor.Approaching, 1, simulate.Car, 12},
		{"car going, near", sensor.Receding, 2, simulate.Car, 16},
		{"car going, far", sensor.Receding, 2, simulate.Car, 70},
		{"van coming", sensor.Approaching, 1, simulate.Van, 25},
		{"truck going", sensor.Receding, 2, simulate.Truck, 40},
		{"lorry coming", sensor.Approaching, 2, simulate.Lorry, 60},
		{"bus going", sensor.Receding, 1, simulate.Bus, 40},
		{"motorcycle coming", sensor.Approaching, 1, simulate.Motorcycle, 20},
		{"bicycle going", sensor.Receding, 2, simulate.Bicycle, 20},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			const speed = 20.0
			passing := 10 * time.Second
			at := passing - time.Duration(test.x/speed*1e9)
			if test.direction == sensor.Receding {
				at = passing + time.Duration(test.x/speed*1e9)
			}
			road := newRoad(t, simulate.Vehicle{Speed: 7200, Direction: test.direction, Lane: test.lane, Class: test.class, Passing: passing})
			c := newCamera(landscape(), road, nil, 0)
			box, n := difference(empty, decode(t, c.render(at)))
			y := []float64{3.0, 6.4}[test.lane-1]
			length, width, height := test.class.Size()
			// The near end fills its outline; the rest lies between it, the far
			// end and the shadow.
			left, _, _ := c.scene.lens.project(point{test.x, y - width/2, 0})
			right, bottom, _ := c.scene.lens.project(point{test.x, y + width/2, 0})
			_, top, _ := c.scene.lens.project(point{test.x + length/2, y, height})
			if math.Abs(float64(box.Max.Y)-bottom) > 0.12*(bottom-top)+4 || math.Abs(float64(box.Min.Y)-top) > 0.15*(bottom-top)+4 {
				t.Errorf("drawn from row %d to %d, want about %.0f to %.0f", box.Min.Y, box.Max.Y, top, bottom)
			}
			if float64(box.Min.X) > left+0.25*(right-left)+4 || float64(box.Max.X) < right-0.15*(right-left)-4 {
				t.Errorf("drawn from column %d to %d, want at least %.0f to %.0f", box.Min.X, box.Max.X, left, right)
			}
			if area := (right - left) * (bottom - top); float64(n) < 0.3*area || float64(n) > 2.5*area {
				t.Errorf("%d pixels changed, the outline has %.0f", n, area)
			}
		})
	}
}

func TestEmptyRoadChangesOnlyItsCaption(t *testing.T) {
	c := newCamera(landscape(), newRoad(t), nil, 0)
	a := bytes.Clone(c.render(time.Second))
	b := bytes.Clone(c.render(time.Second + Interval))
	if bytes.Equal(a, b) {
		t.Error("two pictures have the same bytes")
	}
	if _, n := difference(decode(t, a), decode(t, b)); n != 0 {
		t.Errorf("%d pixels of the empty road changed", n)
	}
}

func TestVehicleLeavesNothingBehind(t *testing.T) {
	road := newRoad(t, simulate.Vehicle{Speed: 9000, Direction: sensor.Approaching, Lane: 1, Passing: 15 * time.Second},
		simulate.Vehicle{Speed: 6000, Direction: sensor.Receding, Lane: 2, Class: simulate.Truck, Passing: 14 * time.Second})
	c := newCamera(landscape(), road, nil, 0)
	want := decode(t, newCamera(landscape(), newRoad(t), nil, 0).render(0))
	for at := time.Duration(0); at < 50*time.Second; at += 5 * Interval {
		c.render(at)
	}
	if box, n := difference(want, decode(t, c.render(59*time.Second))); n != 0 {
		t.Errorf("%d pixels in %v are not as before", n, box)
	}
}

func TestSameRoadSamePictures(t *testing.T) {
	road := newRoad(t, simulate.Vehicle{Speed: 8000, Direction: sensor.Approaching, Lane: 1, Passing: 10 * time.Second})
	a, b := newCamera(landscape(), road, nil, 0), newCamera(landscape(), road, nil, 0)
	b.render(8 * time.Second) // another history
	if !bytes.Equal(a.render(9*time.Second), b.render(9*time.Second)) {
		t.Error("pictures of the same instant differ")
	}
}

func TestTilesMakeTheWholePicture(t *testing.T) {
	road := newRoad(t, simulate.Vehicle{Speed: 7200, Direction: sensor.Approaching, Lane: 1, Passing: 10 * time.Second})
	c := newCamera(landscape(), road, nil, 0)
	got := decode(t, c.render(9*time.Second))
	var direct bytes.Buffer
	if err := jpeg.Encode(&direct, c.picture, &jpeg.Options{Quality: quality}); err != nil {
		t.Fatal(err)
	}
	want, err := jpeg.Decode(&direct)
	if err != nil {
		t.Fatal(err)
	}
	g, w := got.(*image.YCbCr), want.(*image.YCbCr)
	for y := range Height {
		for x := range Width {
			if a, b := g.YCbCrAt(x, y), w.YCbCrAt(x, y); a != b {
				t.Fatalf("pixel %d, %d is %v, encoded at once it is %v", x, y, a, b)
			}
		}
	}
}

func TestOtherRoadsCanBeDrawn(t *testing.T) {
	for _, lanes := range [][]float64{{4}, {2.6, 6, 9.4}} {
		road, err := simulate.NewRoad(simulate.Scenario{Duration: time.Minute, Radar: simulate.Radar{Lanes: lanes},
			Vehicles: []simulate.Vehicle{{Speed: 7200, Direction: sensor.Approaching, Lane: len(lanes), Passing: 10 * time.Second}}})
		if err != nil {
			t.Fatal(err)
		}
		decode(t, New(road, nil, 0).render(9*time.Second))
	}
}

func TestPlatesBelongToNobody(t *testing.T) {
	form := regexp.MustCompile(`^[IOQU]{2} [0-9]{3} [IOQU]{2}$`)
	seen := map[string]int{}
	for i := range 2000 {
		p := simulate.Position{Index: i, Vehicle: simulate.Vehicle{Passing: time.Duration(i) * 4 * time.Second}}
		text := Plate(p)
		if !form.MatchString(text) {
			t.Fatalf("plate %q", text)
		}
		if text != Plate(p) {
			t.Fatal("a vehicle changed its plate")
		}
		seen[text]++
	}
	if len(seen) < 1950 {
		t.Errorf("only %d plates for 2000 vehicles", len(seen))
	}
}

func TestFramesKeepTheClocksPace(t *testing.T) {
	scene := landscape()
	synctest.Test(t, func(t *testing.T) {
		clock := simulate.NewClock(7e9)
		road, err := simulate.NewRoad(simulate.Scenario{Duration: 2 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		origin := clock.Now().Add(time.Second)
		c := newCamera(scene, road, clock, origin)
		if info := c.Info(); !info.Test || info.Model != "simulated road camera" {
			t.Errorf("info = %+v", info)
		}
		n := uint64(0)
		for {
			f, err := c.Next(t.Context())
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			if f.Number != n || f.At != origin.Add(time.Duration(n)*Interval) || clock.Now() != f.At.Add(Exposure) || f.MediaType != "image/jpeg" {
				t.Fatalf("frame %d at %d, delivered at %d", f.Number, f.At, clock.Now())
			}
			n++
		}
		if n != 25 {
			t.Errorf("%d frames in 2 s, want 25", n)
		}
	})
}

func TestLateCallerLosesTheOldest(t *testing.T) {
	scene := landscape()
	synctest.Test(t, func(t *testing.T) {
		clock := simulate.NewClock(0)
		road := newRoad(t)
		c := newCamera(scene, road, clock, 0)
		time.Sleep(5*Interval + Exposure)
		if f, err := c.Next(t.Context()); err != nil || f.Number != 0 {
			t.Errorf("after five frames: number %d, %v; want 0", f.Number, err)
		}
		time.Sleep(time.Second)
		f, err := c.Next(t.Context())
		if err != nil || f.Number < 16 || f.Number > 18 {
			t.Errorf("after a second more: number %d, %v; want the newest, 17", f.Number, err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if _, err := c.Next(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v, want deadline exceeded", err)
		}
	})
}
