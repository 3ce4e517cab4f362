package doppler

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"ciglio/sensor/doppler/lines"
	"ciglio/sensor/doppler/spectrum"
)

// A Line is one frequency in one block of samples.
type Line struct {
	Hz        float64 // positive when the vehicle approaches; of a real signal always
	Sigma     float64 // Hz, standard uncertainty by noise
	SNR       float64 // dB, over the noise of its place in the spectrum
	Level     float64 // dB of full scale
	Rejection float64 // dB by which the mirror frequency is weaker; 0 of a real signal
}

// An Estimator finds the lines of single blocks of samples that need not join,
// such as a sensor sends that has no time to send them all. It has no memory:
// each block stands for itself. The frequency of a line in white noise comes
// within 1.3 times the Cramér-Rao bound. It has one user at a time.
type Estimator struct {
	format   Format
	spectrum *spectrum.Spectrum
	detector *lines.Detector
	refiner  *spectrum.Refiner
	peaks    []lines.Peak
	gain     float64 // noise of a sample over that of a bin
}

// NewEstimator returns an Estimator for blocks of the given number of samples, a
// power of two from 64 to 65,536.
func NewEstimator(f Format, size int) (*Estimator, error) {
	if err := f.check(); err != nil {
		return nil, err
	}
	if size < 64 || size > 1<<16 || size&(size-1) != 0 {
		return nil, fmt.Errorf("doppler: block of %d samples: want a power of two from 64 to 65536", size)
	}
	e := &Estimator{format: f, spectrum: spectrum.New(size, f.Complex), refiner: spectrum.NewRefiner(size)}
	bins := e.spectrum.Bins()
	e.detector = lines.NewDetector(bins, f.Complex, lines.LowestBin, size/2-4, 1)
	e.peaks = make([]lines.Peak, 0, lines.MaxPeaks)
	e.gain = e.spectrum.NoiseGain()
	return e, nil
}

// Lines appends the lines of a block to dst, the strongest first. Those within
// four bins of frequency 0 are not looked for, nor what is less than 8.5 dB above
// the noise. It panics when the block has another size than the Estimator. Q is
// nil for a real signal.
func (e *Estimator) Lines(dst []Line, i, q []float32) []Line {
	if len(i) != e.spectrum.Size() || e.format.Complex && len(q) != len(i) {
		panic("doppler: block of another size than its estimator's")
	}
	if !e.format.Complex {
		q = nil
	}
	power := e.spectrum.Compute(i, q)
	e.peaks = e.detector.Find(power, e.peaks[:0])
	binHz := float64(e.format.Rate) / float64(e.spectrum.Size())
	first := len(dst)
	for n := range e.peaks {
		p := &e.peaks[n]
		k := e.detector.Zero + int(math.Round(float64(p.F)))
		f, level := e.refiner.Refine(i, q, float64(p.F), 0)
		noise := max(float64(e.detector.Local[k]), 1e-30)
		l := Line{
			Hz:    f * binHz,
			Sigma: e.refiner.Sigma(level/(noise/e.gain)) * binHz,
			SNR:   10 * math.Log10(level/noise),
			Level: 10 * math.Log10(level),
		}
		if e.format.Complex {
			l.Rejection = 10 * math.Log10(float64(power[k])/max(float64(power[2*e.detector.Zero-k]), 1e-30))
		}
		dst = append(dst, l)
	}
	slices.SortFunc(dst[first:], func(a, b Line) int { return cmp.Compare(b.Level, a.Level) })
	return dst
}
