package chain

import (
	"math"

	"ciglio/sensor/doppler/lines"
)

// Longer frames hear more: a vehicle that is too far away, or too small, to be in the
// beam by the measure of the usual ones. Such a one is not company: no picture would
// take one for the other. So what longer frames tell of who shared the beam counts
// from where the usual frames would hear it in the mean.
const (
	audibleDB    = 8.0  // over the noise in audibleBand: in the beam by the measure of cross/simulate
	audibleBand  = 20.0 // Hz
	audibleShare = 0.5  // of that in frames of twice the length: 3 dB of margin
	audibleReach = 10   // frames to each side over which the mean is taken
	hannNoise    = 1.5  // bins: the noise bandwidth of a Hann window (Harris 1978)
)

// audibleRatio returns the power over the noise of a bin from which a line counts as
// one in the beam. A line that fades every half metre of road is wider than a bin of
// the longest frames, which hold a part of its power only.
func (c *Chain) audibleRatio() float64 {
	return math.Pow(10, audibleDB/10) * audibleBand / (hannNoise * c.binHz) * audibleShare * math.Sqrt(2/c.Stretch)
}

// audible returns the first and the last frame in which a track is as loud as one in
// the beam, and whether it is anywhere. At the usual pace and shorter ones whatever is
// followed is.
func (c *Chain) audible(r []lines.Reading) (first, last int64, ok bool) {
	if c.Stretch <= 1 {
		return r[0].Frame, r[len(r)-1].Frame, true
	}
	least := float32(c.audibleRatio() * (2*audibleReach + 1))
	var sum float32
	from, to := 0, 0
	for i := range r {
		for ; to < len(r) && r[to].Frame <= r[i].Frame+audibleReach; to++ {
			sum += r[to].SNR
		}
		for ; r[from].Frame < r[i].Frame-audibleReach; from++ {
			sum -= r[from].SNR
		}
		if sum < least {
			continue
		}
		if !ok {
			first, ok = r[i].Frame, true
		}
		last = r[i].Frame
	}
	return first, last, ok
}
