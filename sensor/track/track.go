// Package track makes tracks of the readings of a sensor that reports targets
// ([sensor.Feed]), and of each finished track a passage with a verdict.
//
// What it keeps true: a passage is valid only when every reading its speed
// rests on belongs to one vehicle as far as the sensor can tell, when the angle
// between its line of sight and the road was known at each of them, and when
// nothing is missing between them. Two vehicles nearer than the sensor's
// [Resolution] are both refused with [sensor.ReasonTwoTargets]. The target
// numbers of a sensor are written to the trace and otherwise not used: they
// swap and are reused.
//
// # Tracks
//
// Each cycle, the readings are given to the tracks by the assignment that
// explains most of them with the least distance, over all tracks at once
// (assign.go). The distance is that of speed, place along the road and place
// across the road from what the track predicts, in standard deviations; where a
// sensor has no range or no angle, these say nothing (state.go). Three readings
// confirm a track, and it ends half a second after the last.
//
// # The speed
//
// The measuring zone is the stretch of at most 30 m, or one second, nearest to
// the photo position in which the angle is known (zone.go):
//
//   - with range and angle, wherever the line of sight lies within 45° of the
//     road: the cosine follows from range, height and the vehicle's place across
//     the road;
//   - with range only, from 4.5 times the farthest lane's distance on, where the
//     cosine is above 0.976 for every lane;
//   - without range, the same, the distance being at least the way driven until
//     the track ends beside the sensor, or since it began there; anywhere, when
//     the beam is so narrow that nothing is seen under a larger angle; but where
//     the whole beam is turned away from the road, what was seen while the
//     vehicle can have been in it, with the angle of its middle.
//
// The angle is corrected for here and nowhere else. The speed is Huber's mean of
// the corrected readings, rounded down, never the maximum. Where the cosine is
// known to lie between 1 and a smaller value only, it is taken as 1, in the
// driver's favour, and the difference counts as uncertainty. docs/tracking.md
// has the budget with its formulae and sources.
//
// # What a sensor's own verdict is good for
//
// A reading with [sensor.FlagFinal] never begins a track and is no part of a
// mean. When it lies within the readings of a track it is written to the
// track's trace; when it fits none, another vehicle was in the beam.
//
// # Time
//
// Cycles come in the order of their instants. When an instant lies before the
// one of the cycle before, the tracks under way end with [sensor.ReasonClock].
// When no cycle came for half a second, those that were seen until then end
// with [sensor.ReasonLostSamples]. That holds from the first cycle on that has
// no readings; before it, the sensor may be one that reports only what it sees,
// as many recordings do, and its silence means that nothing is there.
//
// Memory is bounded and allocated at the start; a cycle allocates nothing unless
// a passage leaves. A [Tracker] and a [Source] have one user at a time;
// Identity and Counters may be called at any time.
package track

import (
	"fmt"
	"log/slog"
	"math"
	"slices"
	"time"

	"ciglio/sensor"
)

const (
	maxLive     = 192 // tracks under way: 128 vehicles and what may become one
	maxTracks   = 256 // with those that ended and wait for the verdict
	maxReadings = 256 // of one cycle
	maxPoints   = 512 // of one track: 25 s at 20 cycles a second
	maxDone     = 1024

	confirmReadings = 3
	coast           = 500 * time.Millisecond // from the last reading to the end of a track

	// A passage leaves holdTime after its last reading. What began up to
	// guardTime after it, or ended up to guardTime before its first, was with
	// it in the beam.
	guardTime = 300 * time.Millisecond
	holdTime  = coast + guardTime + 200*time.Millisecond

	highestSpeed = 400 * sensor.KmH // beyond which a reading is no road vehicle's
)

// A Lane is a strip of road between two lateral distances from the sensor in
// millimetres, positive to the right of someone who looks along the beam.
type Lane struct{ Left, Right int32 }

// A Resolution says how far apart two vehicles must be for the sensor to report
// two: they are told apart when any of the three differs by as much.
type Resolution struct {
	Speed sensor.Speed // zero means 2 km/h
	Range int32        // millimetres; zero means 2500
	Angle int32        // hundredths of a degree; zero means 300
}

// Options says what the sensor is and how it is mounted. The zero value works:
// a sensor that looks along the road and reports speeds.
type Options struct {
	// Model and Serial are what the sensor must say it is; empty means whatever.
	Model, Serial string
	// Simulated says that no real vehicle is measured.
	Simulated bool
	// Separates and Unchecked are those of [sensor.Identity]. A Source adds
	// what its feed says.
	Separates, Unchecked bool

	// Angle lies between the middle of the beam and the road, in hundredths of
	// a degree, -8000 to 8000, positive when the beam is turned to the right of
	// the road. The sign counts only for a sensor that reports angles.
	Angle int
	// AngleTolerance is the half width within which Angle is known, in
	// hundredths of a degree; zero means 50.
	AngleTolerance int
	// Beam is the width outside of which the sensor sees nothing, in hundredths
	// of a degree: about twice the half-power beamwidth. Zero means 4000. It
	// counts for a sensor without range.
	Beam int
	// CarrierTolerance is the half width within which the sensor's carrier is
	// known, in parts per million; zero means 100. A module that was never
	// measured has 5,000.
	CarrierTolerance int
	// ClockTolerance is the same for the sensor's sampling clock; zero means 50.
	ClockTolerance int
	// Step is the step of the sensor's speeds; zero means 1 km/h.
	Step sensor.Speed
	// Resolution tells when two vehicles are one to the sensor.
	Resolution Resolution
	// Height of the sensor above the reflecting parts of the vehicles, in
	// millimetres.
	Height int32
	// Lanes are those of the road, lane 1 first. None means that the lane is not
	// told and that vehicles pass at up to 10 m.
	Lanes []Lane
	// PhotoRange is the distance along the road at which a vehicle is
	// photographed, in millimetres; zero means 20,000.
	PhotoRange int32
	// KeepTrace adds the readings to each passage, see [ReadTrace].
	KeepTrace bool
	// Log gets one line a change of state of a Source; nil means none.
	Log *slog.Logger
}

func (o Options) withDefaults() Options {
	or(&o.AngleTolerance, 50)
	or(&o.Beam, 4000)
	or(&o.CarrierTolerance, 100)
	or(&o.ClockTolerance, 50)
	or(&o.Step, sensor.KmH)
	or(&o.Resolution.Speed, 2*sensor.KmH)
	or(&o.Resolution.Range, 2500)
	or(&o.Resolution.Angle, 300)
	or(&o.PhotoRange, 20_000)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	o.Lanes = slices.Clone(o.Lanes)
	return o
}

func or[T comparable](v *T, other T) {
	var zero T
	if *v == zero {
		*v = other
	}
}

func (o Options) check() error {
	for _, c := range []struct {
		name      string
		value     int64
		low, high int64
		unit      string
	}{
		{"angle", int64(o.Angle), -8000, 8000, "hundredths of a degree"},
		{"angle tolerance", int64(o.AngleTolerance), 0, 1000, "hundredths of a degree"},
		{"beam", int64(o.Beam), 100, 12_000, "hundredths of a degree"},
		{"carrier tolerance", int64(o.CarrierTolerance), 0, 100_000, "ppm"},
		{"clock tolerance", int64(o.ClockTolerance), 0, 100_000, "ppm"},
		{"step", int64(o.Step), 1, 1000, "hundredths of a km/h"},
		{"resolution in speed", int64(o.Resolution.Speed), 1, 5000, "hundredths of a km/h"},
		{"resolution in range", int64(o.Resolution.Range), 1, 100_000, "mm"},
		{"resolution in angle", int64(o.Resolution.Angle), 1, 9000, "hundredths of a degree"},
		{"height", int64(o.Height), 0, 20_000, "mm"},
		{"photo range", int64(o.PhotoRange), 1, 200_000, "mm"},
		{"number of lanes", int64(len(o.Lanes)), 0, 16, "lanes"},
	} {
		if c.value < c.low || c.value > c.high {
			return fmt.Errorf("track: %s %d lies outside %d to %d %s", c.name, c.value, c.low, c.high, c.unit)
		}
	}
	for i, l := range o.Lanes {
		if l.Left >= l.Right || l.Left < -50_000 || l.Right > 50_000 {
			return fmt.Errorf("track: lane %d from %d to %d mm: want left before right, within 50 m", i+1, l.Left, l.Right)
		}
	}
	return nil
}

// settings returns what the result depends on besides the sensor's own
// settings, one "key value" a line, in order of the keys.
func (o Options) settings() []byte {
	lanes := ""
	for _, l := range o.Lanes {
		lanes += fmt.Sprintf(" %d..%d", l.Left, l.Right)
	}
	return fmt.Appendf(nil, "track.angle_cdeg %d\ntrack.angle_corrected here\ntrack.angle_tolerance_cdeg %d\ntrack.beam_cdeg %d\n"+
		"track.carrier_tolerance_ppm %d\ntrack.clock_tolerance_ppm %d\ntrack.height_mm %d\ntrack.lanes_mm%s\ntrack.photo_range_mm %d\n"+
		"track.resolution_angle_cdeg %d\ntrack.resolution_range_mm %d\ntrack.resolution_speed_ckmh %d\ntrack.step_ckmh %d\n",
		o.Angle, o.AngleTolerance, o.Beam, o.CarrierTolerance, o.ClockTolerance, o.Height, lanes, o.PhotoRange,
		o.Resolution.Angle, o.Resolution.Range, o.Resolution.Speed, o.Step)
}

// A geometry is the mounting in metres and radians.
type geometry struct {
	angle, tolerance, half float64 // of the beam
	height, photo          float64
	nearest, farthest      float64 // smallest and largest distance of a lane, across the road
	crossing               bool    // the whole beam is turned away from the road
}

func (o Options) geometry() geometry {
	g := geometry{
		angle: radians(o.Angle), tolerance: radians(o.AngleTolerance), half: radians(o.Beam) / 2,
		height: float64(o.Height) / 1000, photo: float64(o.PhotoRange) / 1000, farthest: 10,
	}
	g.crossing = math.Abs(g.angle) > g.half+g.tolerance
	if len(o.Lanes) > 0 {
		g.nearest, g.farthest = math.Inf(1), 0
	}
	for _, l := range o.Lanes {
		left, right := float64(l.Left)/1000, float64(l.Right)/1000
		g.farthest = max(g.farthest, math.Abs(left), math.Abs(right))
		if left < 0 && right > 0 {
			g.nearest = 0
		}
		g.nearest = min(g.nearest, math.Abs(left), math.Abs(right))
	}
	return g
}

// edge returns the largest angle to the road at which anything is seen.
func (g *geometry) edge() float64 {
	return min(math.Abs(g.angle)+g.half+g.tolerance, math.Pi/2-0.01)
}

func radians[T int | int32](hundredths T) float64 { return float64(hundredths) / 100 * math.Pi / 180 }
