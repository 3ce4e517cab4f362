package ops243

import (
	"math"
	"math/rand/v2"
	"testing"

	"ciglio/sensor"
)

// The mirror image of a vehicle, 17 dB below it as two channels of unequal gain
// make it, is no second vehicle that drives the other way.
func TestImageOfAVehicleIsNoReading(t *testing.T) {
	const rate, size, hz, imbalance = 20_000, 512, 3000, 0.75
	b, err := newBlocks(rate, size, defaultCarrier)
	if err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(1, 2))
	i, q := make([]int, size), make([]int, size)
	for k := range i {
		sin, cos := math.Sincos(2 * math.Pi * hz * float64(k) / rate)
		i[k] = int(2048 + 800*cos + 10*random.NormFloat64())
		q[k] = int(2048 + 800*imbalance*sin + 10*random.NormFloat64())
	}
	got := b.readings(nil, 0, i, q)
	want := sensor.SpeedFromMPS(hz * speedOfLight / (2 * defaultCarrier))
	if len(got) != 1 || got[0].Direction != sensor.Receding || got[0].Speed < want-5 || got[0].Speed > want+5 {
		t.Errorf("readings %+v, want one of %v", got, want)
	}
}
