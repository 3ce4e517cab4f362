package ops243

import (
	"testing"

	"ciglio/sensor"
)

func TestStepIsOneLineOfTheTransform(t *testing.T) {
	for rate, want := range map[int]sensor.Speed{0: 44, 20_000: 44, 50_000: 110, 100_000: 219} {
		if got := Step(rate, 0); got != want {
			t.Errorf("Step(%d) = %v, want %v", rate, got, want)
		}
	}
}
