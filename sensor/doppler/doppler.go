// Package doppler turns the raw signal of a continuous-wave Doppler radar into
// passages, live or from a recording.
//
// A body that moves with the speed v under the angle θ to the beam shifts the
// transmit frequency f0 by f = 2·f0·v·cosθ/c: at 24.125 GHz 44.7 Hz for a km/h.
// The chain below finds that frequency for each vehicle. Each step names the file or
// package of its constants, which stand there with their reasons. What a laboratory
// can prove alone has a package of its own: [ciglio/sensor/doppler/spectrum], the
// frequency of a line, [ciglio/sensor/doppler/lines], lines in noise and through the
// frames, [ciglio/sensor/doppler/geometry], what a fall of frequency says, and
// [ciglio/sensor/doppler/chain], whose line it is and who else was there.
//
//  1. Balance (package spectrum). What strong lines show at their mirror frequency says
//     how unequal I and Q are, and is taken away.
//  2. Frames (packages spectrum and chain). The signal is cut into frames of 32 to 64 ms
//     that overlap by three quarters, weighted with a Hann window and transformed.
//     Frames of half and a quarter of that follow the fall of the frequency of
//     fast vehicles, ones eight times as long see walking pace, and ones twice as
//     long, where I and Q tell the ways apart, hear weak vehicles that hold their
//     speed: all that follows is done at five paces. What several of them followed of a
//     fast vehicle, the short ones near and the long ones far away, is joined to one
//     line where none alone could measure (join.go). What the frames of another pace
//     contradict does not stand, and what longer frames still follow leaves when they
//     have told what they heard beside it. A frame in which more than a twentieth of the
//     samples touch full scale is clipped: it may carry a track on, and measures
//     nothing.
//  3. Noise and background (package lines). The noise of a bin is the median of the
//     bins about it, made a mean. Its background is its mean power over 30 s, in
//     which no frame weighs more than three times the mean, and nothing is
//     learned under a track. A peak counts when it lies 8.5 dB above both, and
//     begins a track from 12.5 dB on: a constant false alarm rate. So mains lines
//     and constant tones fade out of sight, and a vehicle does not.
//  4. Frequency. The top of the parabola through the logarithms of three bins; for
//     a vehicle that is followed, the maximum under a Hamming window, unwound by
//     the change that its track expects within the frame (package spectrum).
//  5. Tracks (package lines). Each track predicts its next frequency and takes the
//     peak that fits it best in frequency and strength. Eight readings confirm
//     it; the way back then collects weaker ones. It ends 0.33 s after the last.
//     Lines at multiples of a stronger vehicle's frequency are its harmonics, and
//     the line at the mirror frequency, 10 dB weaker or more, is its image. What
//     is as steady as only a tone is for 8 s joins the background.
//  6. Is it a vehicle? (package geometry) Only what passes the sensor is: at its near
//     end, where it is at least 4.5 dB stronger than far away, its frequency falls
//     with the cosine of the angle. Of what is too weak to be followed so far, a
//     fall by 15 % that lies within 1 % of the cosine stands for the rest. With c the frequency over the plateau's,
//     c/√(1−c²) is the distance along the road over the offset of the vehicle's
//     path, and so a straight line in time, whose zero is the closest point. A
//     track that does not follow it, whose offset is not 0.8 to 30 m, or that has
//     the harmonics of a sound is no vehicle. So tones that are switched, hum
//     that swells, music and sirens give nothing. A line of one sign alone, which
//     takes I and Q to know, is a vehicle's also where a narrow beam loses it
//     before (slant.go).
//  7. Which lines are one vehicle? (package chain) Axles, wheels, front and rear have
//     lines of their own near the closest point. Those whose closest points lie
//     within a vehicle's length at one speed, and those told around the closest
//     point of a stronger one, are parts of it. What runs beside it elsewhere at
//     another frequency is another vehicle, and so is what a track jumps to
//     (jump.go). Who was too weak for a track is heard in the mean of 0.4 s
//     (package lines), and who shares the line of another at one speed is seen by
//     the fall of a second frequency about a second closest point (company.go): a
//     faint one more than 25 m away, and one about as strong from 13 m on. What long
//     frames alone hear, farther away than the beam reaches, is no company (audible.go).
//  8. The zone (zone.go): at most 30 m and 10 s of road, as near as the
//     cosine is above 0.984 or, where the vehicle gained speed, about the highest
//     radial speed before the fall, in which the frequency stays within 3.5 %.
//     What braking looks like at the closest point is never in it. A vehicle that
//     no one geometry explains may be a long one, whose front is still seen under a
//     large angle there: one that was faster 16 m farther out, and held its speed,
//     is measured there.
//  9. The speed is Huber's mean over the zone, never the maximum. Only where a
//     vehicle held its speed within 0.4 %, so that one geometry explains every
//     reading (fit.go), is the angle known at every instant and corrected for;
//     half of that correction counts as uncertainty. A change of speed looks much like
//     the angle, so unless the readings exclude one (change.go) nothing is stated more
//     than 0.9 % above what was read, and what may lack more does not stand; so is a vehicle measured that
//     was too weak to be followed to a zone. Otherwise the speed is the
//     radial one, which is never higher than the true one, and what the cosine may
//     hide counts as uncertainty.
//  10. The direction has two witnesses (wiring.go): the sign of the frequency, where
//     four fifths of the strong readings have 10 dB of image rejection, and the end
//     of the track at which the frequency falls. Where they contradict each other,
//     and for every real signal, it is unknown. Contradictions in a row say that I
//     and Q are swapped. A signal that both channels share is measured as that of
//     one channel.
//
// A vehicle that the signal lost in mid-passage, or whose zone is clipped,
// covered by a constant line, too short or too uneven, gives a passage with a
// reason, which is not valid.
//
// What the chain cannot do: tell two vehicles apart whose speeds differ by less
// than about 1 km/h while they pass within 13 m of road of each other, or within
// 25 m when one is 6 dB weaker, since a lorry or a bus looks the same; hear a motorcycle beside a lorry that is fifty
// times as loud at nearly its frequency; keep apart the crossing
// lines of an approaching and a leaving vehicle in a real signal; measure in a
// real signal a vehicle that leaves a narrow beam before its frequency falls by a
// twentieth; tell the angle of a beam across the road, whose speeds it states too
// low.
//
// A [Processor] and a [Source] have one user at a time.
package doppler

import (
	"context"
	"fmt"

	"ciglio/sensor"
)

// A Block is a stretch of consecutive samples.
type Block struct {
	// Index is the running number of the first sample, or of the first I/Q
	// pair. A number other than the end of the block before means that samples
	// were lost.
	Index uint64
	// At is the instant of the first sample.
	At sensor.Mono
	// I and Q are the samples, full scale ±1. Both have the same length; Q is
	// nil for a real signal. A positive frequency of I + jQ is a vehicle that
	// approaches: the driver swaps the two where its sensor has it otherwise.
	I, Q []float32
	// Clipped says that the sensor reported an overdriven input, which the
	// samples need not show.
	Clipped bool
}

// Format describes the samples of a [Stream].
type Format struct {
	Rate    int  // samples or I/Q pairs a second, 8,000 to 200,000
	Complex bool // I and Q; else I only
}

func (f Format) check() error {
	if f.Rate < 8000 || f.Rate > 200000 {
		return fmt.Errorf("doppler: sampling rate %d Hz lies outside 8000 to 200000 Hz", f.Rate)
	}
	return nil
}

// A Stream delivers the signal of one sensor.
type Stream interface {
	// Format returns the form of the samples. It is constant.
	Format() Format

	// Next blocks until samples are there and returns them. The Block's slices
	// are valid until the next call. It returns ctx.Err() when ctx ends, and
	// io.EOF when a recording has ended. After any other error Next may be
	// called again. Only one goroutine may call Next at a time.
	Next(ctx context.Context) (Block, error)
}

// Options tunes the chain. The zero value works: a 24.125 GHz sensor that looks
// along the road.
type Options struct {
	// Carrier is the transmit frequency in Hz, 1 to 100 GHz; zero means
	// 24.125 GHz.
	Carrier int64
	// CarrierTolerance is the half width within which the carrier is known, in
	// parts per million; zero means 100. A module that was never measured has
	// 5,000 (0.5 %). Negative is refused.
	CarrierTolerance int
	// ClockTolerance is the same for the sampling clock; zero means 50.
	ClockTolerance int
	// Angle lies between the beam and the direction of travel, in thousandths
	// of a degree, 0 to 60,000. It corrects nothing: a wide beam sees vehicles
	// from far away, under next to no angle, whichever way it looks, and where
	// they pass the sensor their frequency tells the angle. It widens the
	// uncertainty of those that a narrow beam lost before.
	Angle int
	// PhotoRange is the distance along the road at which a vehicle is
	// photographed, in millimetres, up to 200,000; zero means 20,000.
	PhotoRange int32
	// KeepTrace adds the signal of each passage to it, as WAV.
	KeepTrace bool
	// Observe is called for each passage, when it is given out, with what was
	// read of it; nil for nobody.
	Observe func(p sensor.Passage, line []Point)
	// Model and Serial name the sensor.
	Model, Serial string
	// Simulated says that the stream is no real road's.
	Simulated bool
}

// A Point is the frequency of a vehicle's line at one instant.
type Point struct {
	At sensor.Mono
	Hz float64 // positive when it approaches; of a real signal always
}

func (o Options) withDefaults() Options {
	if o.Carrier == 0 {
		o.Carrier = 24_125_000_000
	}
	if o.CarrierTolerance == 0 {
		o.CarrierTolerance = 100
	}
	if o.ClockTolerance == 0 {
		o.ClockTolerance = 50
	}
	if o.PhotoRange == 0 {
		o.PhotoRange = 20_000
	}
	return o
}

func (o Options) check() error {
	switch {
	case o.Carrier < 1_000_000_000 || o.Carrier > 100_000_000_000:
		return fmt.Errorf("doppler: carrier %d Hz lies outside 1 to 100 GHz", o.Carrier)
	case o.CarrierTolerance < 0 || o.CarrierTolerance > 100_000:
		return fmt.Errorf("doppler: carrier tolerance %d ppm lies outside 0 to 100000", o.CarrierTolerance)
	case o.ClockTolerance < 0 || o.ClockTolerance > 100_000:
		return fmt.Errorf("doppler: clock tolerance %d ppm lies outside 0 to 100000", o.ClockTolerance)
	case o.PhotoRange < 0 || o.PhotoRange > 200_000:
		return fmt.Errorf("doppler: photo range %d lies outside 0 to 200000 mm", o.PhotoRange)
	case o.Angle < 0 || o.Angle > 60_000:
		return fmt.Errorf("doppler: angle %d lies outside 0 to 60000 thousandths of a degree", o.Angle)
	}
	return nil
}
