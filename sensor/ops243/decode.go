package ops243

import (
	"math"

	"ciglio/sensor"
	"ciglio/sensor/doppler"
)

const (
	speedOfLight = sensor.SpeedOfLight
	// defaultCarrier is the sensor's transmit frequency in Hz, T=0 of its commands.
	defaultCarrier = 24_125_000_000
	// lineSNR is the least signal to noise ratio of a line in a block, in dB: as
	// high as what begins a track in package doppler, since blocks do not overlap
	// and each stands for itself.
	lineSNR = 12.5
	// imageRejection is what the mirror frequency must lie below for the
	// direction to be known, in dB.
	imageRejection = 10
)

// blocks turns blocks of samples into readings.
type blocks struct {
	carrier   float64
	estimator *doppler.Estimator
	i, q      []float32
	lines     []doppler.Line
}

func newBlocks(rate, size int, carrier int64) (*blocks, error) {
	e, err := doppler.NewEstimator(doppler.Format{Rate: rate, Complex: true}, size)
	if err != nil {
		return nil, err
	}
	return &blocks{
		carrier: float64(carrier), estimator: e,
		i: make([]float32, size), q: make([]float32, size),
	}, nil
}

// readings appends what one block holds. The sensor's I + jQ has a positive
// frequency for a vehicle that leaves, so the two are swapped.
func (b *blocks) readings(dst []sensor.Reading, at sensor.Mono, i, q []int) []sensor.Reading {
	clipped := fill(b.i, q) + fill(b.q, i)
	var flags sensor.Flag
	if clipped > len(i)/10 { // a twentieth of both
		flags = sensor.FlagClipped
	}
	b.lines = b.estimator.Lines(b.lines[:0], b.i, b.q)
	for _, l := range b.lines {
		if l.SNR < lineSNR || l.Rejection < 0 {
			continue // noise, or the image of a stronger line
		}
		r := sensor.Reading{
			At: at, Speed: sensor.SpeedFromMPS(math.Abs(l.Hz) * speedOfLight / (2 * b.carrier)),
			Level: tenths(l.Level), Flags: flags,
		}
		switch {
		case l.Rejection < imageRejection:
		case l.Hz > 0:
			r.Direction = sensor.Approaching
		default:
			r.Direction = sensor.Receding
		}
		dst = append(dst, r)
	}
	return dst
}

// fill scales samples to ±1 about their mean and returns how many touch the ends
// of the converter.
func fill(dst []float32, samples []int) (clipped int) {
	sum := 0
	for _, v := range samples {
		sum += v
		if v <= 0 || v >= adcTop {
			clipped++
		}
	}
	mean := float64(sum) / float64(len(samples))
	for k, v := range samples {
		dst[k] = float32((float64(v) - mean) / (adcTop + 1) * 2)
	}
	return clipped
}

// targets appends the readings of a report of speeds. A speed of 0 is what the
// sensor prints when it sees nothing.
func targets(dst []sensor.Reading, l *Line, at sensor.Mono, raw []byte) []sensor.Reading {
	for n := range l.Speeds {
		speed, direction := l.speed(n)
		if direction == sensor.DirectionUnknown {
			continue
		}
		dst = append(dst, sensor.Reading{
			At: at, Speed: speed, Direction: direction, Level: l.level(n), Raw: raw,
		})
	}
	return dst
}
