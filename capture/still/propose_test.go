package still

import (
	"bytes"
	"errors"
	"image"
	"image/jpeg"
	"math"
	"os"
	"testing"
	"time"

	"ciglio/capture/displacement"
	"ciglio/capture/evidence"
	"ciglio/cross/simulate"
	"ciglio/cross/simulate/simcam"
	"ciglio/sensor"
)

// pinhole projects as simcam's camera does: 2.6 m up, turned 9.5° to the road and 4.4°
// down, 36° across the picture.
func pinhole(along, across float64) (px, py float64) {
	const yaw, pitch, angle, height = 9.5 * math.Pi / 180, 4.4 * math.Pi / 180, 36 * math.Pi / 180, 2.6
	focal := simcam.Width / 2 / math.Tan(angle/2)
	sy, cy := math.Sincos(yaw)
	sp, cp := math.Sincos(pitch)
	depth := along*cp*cy + across*cp*sy + height*sp
	right := across*cy - along*sy
	up := along*sp*cy + across*sp*sy - height*cp
	return simcam.Width/2 + focal*right/depth, simcam.Height/2 - focal*up/depth
}

func surveyed(t testing.TB) *displacement.View {
	t.Helper()
	var marks []displacement.Mark
	for _, p := range [][2]float64{{10, 1.2}, {10, 4.5}, {20, 1.2}, {20, 8}, {40, 1.2}, {40, 8}} {
		px, py := pinhole(p[0], p[1])
		marks = append(marks, displacement.Mark{
			X: int32(math.Round(px * 100)), Y: int32(math.Round(py * 100)), Along: int32(p[0] * 1000), Across: int32(p[1] * 1000),
		})
	}
	v, err := displacement.NewView(marks)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

var road = []Lane{{1300, 4700}, {4700, 8100}}

// clockAt is set by hand.
type clockAt struct {
	sensor.Clock
	now sensor.Mono
}

func (c *clockAt) Now() sensor.Mono { return c.now }

// pictured returns the simulated road with one car at that distance, and without it.
func pictured(t testing.TB, lane int, d sensor.Direction, away float64) (with, without []byte) {
	t.Helper()
	v := simulate.Vehicle{Speed: 70 * sensor.KmH, Direction: d, Lane: lane, Class: simulate.Car, Passing: 30 * time.Second}
	r, err := simulate.NewRoad(simulate.Scenario{Duration: time.Minute, Vehicles: []simulate.Vehicle{v}})
	if err != nil {
		t.Fatal(err)
	}
	clock := &clockAt{}
	camera := simcam.New(r, clock, 0)
	at := v.Passing + time.Duration(away/v.Speed.MPS()*1e9)
	if d == sensor.Approaching {
		at = v.Passing - time.Duration(away/v.Speed.MPS()*1e9)
	}
	shot := func(at time.Duration) []byte {
		number := uint64(at / simcam.Interval)
		clock.now = sensor.Mono(number)*sensor.Mono(simcam.Interval) + sensor.Mono(simcam.Exposure)
		for {
			f, err := camera.Next(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if f.Number >= number {
				return bytes.Clone(f.Data)
			}
		}
	}
	without = shot(time.Second)
	return shot(at), without
}

// A proposal shows the car that was measured, of all of the simulated road, whichever
// way it drives; and of one that approaches not who sits in it.
func TestProposalShowsTheCar(t *testing.T) {
	if testing.Short() {
		t.Skip("renders the simulated road: several seconds")
	}
	site := Site{surveyed(t), road}
	for _, c := range []struct {
		name   string
		lane   int
		d      sensor.Direction
		away   float64
		facing Facing
	}{
		{"approaching", 1, sensor.Approaching, 25, Front},
		{"receding in the far lane", 2, sensor.Receding, 30, Rear},
	} {
		with, without := pictured(t, c.lane, c.d, c.away)
		d, err := Propose(site, uint8(c.lane), Place{Along: int32(c.away * 1000)}, c.facing, image.Pt(simcam.Width, simcam.Height))
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		a, err := jpeg.Decode(bytes.NewReader(with))
		if err != nil {
			t.Fatal(err)
		}
		b, err := jpeg.Decode(bytes.NewReader(without))
		if err != nil {
			t.Fatal(err)
		}
		one, two := a.(*image.YCbCr), b.(*image.YCbCr)
		car, within, hidden := 0, 0, 0
		for y := range simcam.Height - 60 { // below is the time
			for x := range simcam.Width {
				if math.Abs(float64(one.Y[one.YOffset(x, y)])-float64(two.Y[two.YOffset(x, y)])) < 20 {
					continue
				}
				car++
				if inside(d.Keep[0], x, y) != 0 {
					within++
				}
				if len(d.Hide) > 0 && inside(d.Hide[0], x, y) != 0 {
					hidden++
				}
			}
		}
		t.Logf("%s: %d pixels of the car, %d within the outline, %d hidden; %+v", c.name, car, within, hidden, d)
		if car < 5000 || within < car*97/100 {
			t.Errorf("%s: the outline holds %d of %d pixels of the car, want 97 %%", c.name, within, car)
		}
		if front := c.facing.Frontal(); front != (len(d.Hide) > 0) || front && (hidden < car/5 || hidden > car*3/5) {
			t.Errorf("%s: %d of %d pixels of the car are hidden", c.name, hidden, car)
		}
		p, err := open(t, with, c.facing).Redact(&Recipe{Code: Version, Redact: d, Bar: recordBar(t, "it"), Quality: PictureQuality})
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if dir := os.Getenv("CIGLIO_STILLS"); dir != "" { // to look at
			if err := os.WriteFile(dir+"/"+c.name+".jpg", p.Bytes(), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestProposalsAtTheEdges(t *testing.T) {
	view, size := surveyed(t), image.Pt(simcam.Width, simcam.Height)
	for _, c := range []struct {
		name string
		site Site
		lane uint8
		at   Place
		ok   bool
	}{
		{"lane 1", Site{view, road}, 1, Place{Along: 25000}, true},
		{"lane 2", Site{view, road}, 2, Place{Along: 25000}, true},
		{"which of two is not known", Site{view, road}, 0, Place{Along: 25000}, false},
		{"one lane needs no number", Site{view, road[:1]}, 0, Place{Along: 25000}, true},
		{"a lane that the site lacks", Site{view, road}, 3, Place{Along: 25000}, false},
		{"no lanes", Site{Ground: view}, 0, Place{Along: 25000}, false},
		{"no marks", Site{Lanes: road}, 1, Place{Along: 25000}, false},
		{"at the camera", Site{view, road}, 1, Place{}, true},
		{"beyond the picture's right edge", Site{view, []Lane{{40000, 43000}}}, 1, Place{Along: 10000}, false},
		{"as far as may be", Site{view, road}, 1, Place{Along: 400000}, true},
		{"farther", Site{view, road}, 1, Place{Along: 400001}, false},
		{"behind the camera", Site{view, road}, 1, Place{Along: -1}, false},
		{"a lorry", Site{view, road}, 1, Place{Along: 25000, Length: 16000, Height: 4000}, true},
	} {
		for _, facing := range []Facing{Unknown, Front, Rear} {
			d, err := Propose(c.site, c.lane, c.at, facing, size)
			if (err == nil) != c.ok || err != nil && !errors.Is(err, ErrNoProposal) {
				t.Errorf("%s: %+v, %v", c.name, d, err)
			}
			if d == nil {
				continue
			}
			r := &Recipe{Code: Version, Redact: d, Quality: 90}
			if _, err := r.Marshal(); err != nil {
				t.Errorf("%s: %+v is no redaction: %v", c.name, d, err)
			}
			if _, err := r.fits(size); err != nil {
				t.Errorf("%s: %+v: %v", c.name, d, err)
			}
			if err := r.redacts(facing); err != nil {
				t.Errorf("%s: %v", c.name, err)
			}
		}
	}
}

func TestPlaceFollowsTheSpeed(t *testing.T) {
	record := altered(t, func(r *evidence.Record) {
		r.Measurement.Speed = 72 * sensor.KmH // 20 m/s
		r.Frames[0].Mono = r.Measurement.Photo - 100_000_000
		r.Frames[1].Mono = r.Measurement.Photo
		r.Frames[2].Mono = r.Measurement.Photo + 100_000_000
	})
	for _, c := range []struct {
		d    sensor.Direction
		want [3]int32
	}{
		{sensor.Approaching, [3]int32{27000, 25000, 23000}},
		{sensor.Receding, [3]int32{23000, 25000, 27000}},
	} {
		record.Measurement.Direction = c.d
		for frame, want := range c.want {
			if got, ok := PlaceOf(record, frame, 25000); !ok || got.Along != want {
				t.Errorf("%v, frame %d: %+v, %v; want %d", c.d, frame, got, ok, want)
			}
		}
	}
	if p, ok := PlaceOf(record, 0, 1000); ok {
		t.Errorf("behind the camera: %+v", p)
	}
	record.Measurement.Direction = sensor.DirectionUnknown
	if p, ok := PlaceOf(record, 1, 25000); ok {
		t.Errorf("direction unknown: %+v", p)
	}
	if p, ok := PlaceOf(record, 3, 25000); ok {
		t.Errorf("no such frame: %+v", p)
	}
}
