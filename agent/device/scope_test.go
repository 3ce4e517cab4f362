package device

import (
	"bytes"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"ciglio/agent/config"
	"ciglio/sensor"
	"ciglio/sensor/doppler"
)

func TestScopeKeepsNothingUnlessSomebodyLooks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := config.Default()
		s := newScope(c, &fakeClock{start: time.Now()}, doppler.Format{Rate: 20_000, Complex: true})
		time.Sleep(time.Minute)
		index := uint64(0)
		push := func(seconds int) {
			for range 10 * seconds {
				i, q := make([]float32, 2000), make([]float32, 2000)
				for n := range i {
					i[n], q[n] = float32(n%7)/100, float32(n%5)/100
				}
				s.push(doppler.Block{Index: index, At: s.clock.Now(), I: i, Q: q})
				s.hear(sensor.Cycle{At: s.clock.Now()})
				index += 2000
				time.Sleep(100 * time.Millisecond)
			}
		}
		push(2)
		if s.samples != 0 || s.blocks != nil || s.cycles != nil {
			t.Errorf("kept %d samples for nobody", s.samples)
		}
		var b bytes.Buffer
		if err := s.writeSVG(&b, nil); !errors.Is(err, ErrNoSignal) {
			t.Errorf("the first look: %v", err)
		}
		push(3)
		if err := s.writeSVG(&b, nil); err != nil || !bytes.Contains(b.Bytes(), []byte("<svg")) {
			t.Errorf("the second look: %v", err)
		}
		for range 4 {
			push(10)
			s.writeSVG(&b, nil)
		}
		if s.samples > int(scopeSpan.Seconds()*20_000) || len(s.cycles) > scopeCycles {
			t.Errorf("kept %d samples, %d cycles", s.samples, len(s.cycles))
		}
		time.Sleep(scopeWatched)
		push(1)
		if s.samples != 0 || s.blocks != nil {
			t.Errorf("kept %d samples after the last look", s.samples)
		}
	})
}

// The cost that a look has for the measuring goroutine.
func BenchmarkScope(b *testing.B) {
	for name, asked := range map[string]sensor.Mono{"nobody looks": 0, "somebody looks": 1 << 62} {
		b.Run(name, func(b *testing.B) {
			s := newScope(config.Default(), &fakeClock{start: time.Now()}, doppler.Format{Rate: 20_000, Complex: true})
			s.asked = asked
			block := doppler.Block{I: make([]float32, 400), Q: make([]float32, 400)}
			b.ReportAllocs()
			for b.Loop() {
				s.push(block)
			}
		})
	}
}
