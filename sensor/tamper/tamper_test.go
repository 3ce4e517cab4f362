package tamper

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"periph.io/x/conn/v3/gpio"
	"periph.io/x/conn/v3/gpio/gpiotest"

	"ciglio/sensor"
)

type clock struct{ start time.Time }

func (c clock) Now() sensor.Mono                  { return sensor.Mono(time.Since(c.start)) }
func (c clock) Pair() (sensor.Mono, time.Time)    { return c.Now(), time.Now() }
func (c clock) State() (sensor.ClockState, error) { return sensor.ClockState{}, nil }

// A played cabinet keeps what was told.
type played struct {
	*Watch
	door *gpiotest.Pin
	mu   sync.Mutex
	told []Event
	at   []sensor.Mono
	stop func()
}

// play starts a watch of a door, which is open while its line is high, and of gauges.
func play(t *testing.T, level gpio.Level, gauges ...Gauge) *played {
	c := clock{time.Now()}
	p := &played{door: &gpiotest.Pin{N: "DOOR", L: level, EdgesChan: make(chan gpio.Level, 1)}}
	p.Watch = New(c, []Switch{{Name: "door", High: true, Open: func() (Pin, error) { return p.door, nil }}}, gauges)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() {
		done <- p.Run(ctx, func(e Event) {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.told, p.at = append(p.told, e), append(p.at, c.Now())
		})
	}()
	p.stop = func() {
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("Run: %v", err)
		}
	}
	return p
}

// set puts the door's line to a level, with an edge.
func (p *played) set(l gpio.Level) {
	p.door.Lock()
	p.door.L = l
	p.door.Unlock()
	select {
	case p.door.EdgesChan <- l:
	default: // an edge is lost: the level counts
	}
}

func (p *played) words() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var all []string
	for _, e := range p.told {
		all = append(all, e.What+" "+e.Words)
	}
	return all
}

func TestADoorIsToldOnce(t *testing.T) {
	for _, c := range []struct {
		name  string
		level gpio.Level // at the start
		play  func(*played)
		want  []string
	}{
		{"closed all the time", gpio.Low, func(*played) { time.Sleep(time.Hour) }, nil},
		{"open at the start", gpio.High, func(*played) { time.Sleep(time.Millisecond) }, []string{"door open at the start"}},
		{"opened", gpio.Low, func(p *played) { time.Sleep(10 * time.Minute); p.set(gpio.High) }, []string{"door open"}},
		{"opened and closed", gpio.Low, func(p *played) { p.set(gpio.High); time.Sleep(time.Second); p.set(gpio.Low) }, []string{"door open", "door closed"}},
		{"a bounce of 40 ms", gpio.Low, func(p *played) {
			time.Sleep(time.Hour)
			p.set(gpio.High)
			time.Sleep(40 * time.Millisecond)
			p.set(gpio.Low)
		}, nil},
		{"open for a tenth of a second", gpio.Low, func(p *played) {
			time.Sleep(time.Hour)
			p.set(gpio.High)
			time.Sleep(100 * time.Millisecond)
			p.set(gpio.Low)
		},
			[]string{"door open", "door closed"}},
		{"an edge that was lost", gpio.Low, func(p *played) { time.Sleep(time.Minute); p.door.Lock(); p.door.L = gpio.High; p.door.Unlock() }, []string{"door open"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := play(t, c.level)
				synctest.Wait()
				c.play(p)
				time.Sleep(time.Second)
				synctest.Wait()
				if got := p.words(); !slices.Equal(got, c.want) {
					t.Errorf("%q, want %q", got, c.want)
				}
				p.stop()
			})
		})
	}
}

// An opening is told within a second, with the instant at which it began.
func TestAnOpeningIsToldInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := play(t, gpio.Low)
		var opened []sensor.Mono
		for n := range 5 {
			time.Sleep(time.Minute + time.Duration(n)*7*time.Millisecond)
			opened = append(opened, p.clock.Now())
			p.set(gpio.High)
			time.Sleep(time.Second)
			p.set(gpio.Low)
			time.Sleep(time.Second)
		}
		p.stop()
		worst := time.Duration(0)
		for n, at := range opened {
			e, told := p.told[2*n], p.at[2*n]
			worst = max(worst, told.Sub(at))
			if !e.Open || e.At.Sub(at).Abs() > turn {
				t.Errorf("opening %d: %+v, opened at %v", n, e, at)
			}
		}
		if worst > 150*time.Millisecond {
			t.Errorf("told after %v", worst)
		}
	})
}

// A contact that flaps for a day is worth a bounded number of records, and each change
// is told.
func TestFlappingIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := play(t, gpio.Low)
		const changes = 1800
		for n := range changes {
			p.set(n%2 == 0)
			time.Sleep(time.Second)
		}
		time.Sleep(time.Second)
		p.stop()
		loud := 0
		for _, e := range p.told {
			if !e.Quiet {
				loud++
			}
		}
		if len(p.told) != changes {
			t.Errorf("%d changes told, want %d", len(p.told), changes)
		}
		if most := Burst + int(changes*time.Second/Refill); loud > most || loud < most-2 {
			t.Errorf("%d changes worth a record, want %d", loud, most)
		}
		if !strings.Contains(p.told[slices.IndexFunc(p.told[Burst:], func(e Event) bool { return !e.Quiet })+Burst].Words, "changes before it are not recorded") {
			t.Error("the quiet ones are not counted")
		}
	})
}

func TestAGaugeIsToldOutsideOfItsRange(t *testing.T) {
	for _, c := range []struct {
		name     string
		readings []int64 // one a second, the last one for ever; negative: none
		want     []string
		finding  string
	}{
		{"in its range, at both ends", []int64{11_000, 15_000, 12_000}, nil, ""},
		{"two readings outside are a spike", []int64{12_000, 9_000, 9_000, 12_000}, nil, ""},
		{"three readings below", []int64{12_000, 9_800}, []string{"supply 9800mV, below 11V"}, "cabinet: supply 9800mV, below 11V"},
		{"above", []int64{15_001}, []string{"supply 15001mV, above 15V"}, "cabinet: supply 15001mV, above 15V"},
		{"not back by a hundredth", []int64{9_000, 9_000, 9_000, 11_039}, []string{"supply 9V, below 11V"}, "cabinet: supply 11039mV, in its range again"},
		{"back", []int64{9_000, 9_000, 9_000, 11_040}, []string{"supply 9V, below 11V", "supply 11040mV, in its range again"}, ""},
		{"gives no reading", []int64{12_000, -1}, nil, "seal_line: supply: no answer"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := -1
				p := play(t, gpio.Low, Gauge{Name: "supply", Low: 11_000, High: 15_000, Unit: sensor.Volts, Read: func() (int64, error) {
					n++
					if v := c.readings[min(n, len(c.readings)-1)]; v >= 0 {
						return v, nil
					}
					return 0, errors.New("no answer")
				}})
				time.Sleep(20*time.Second + 500*time.Millisecond)
				if got := p.words(); !slices.Equal(got, c.want) {
					t.Errorf("told %q, want %q", got, c.want)
				}
				var finding string
				for _, f := range p.Findings(p.clock.Now()) {
					finding = f.Code + ": " + f.Words()
				}
				if finding != c.finding {
					t.Errorf("finding %q, want %q", finding, c.finding)
				}
				p.stop()
			})
		})
	}
}

func TestWhatIsNotThereIsAFinding(t *testing.T) {
	w := New(clock{time.Now()}, []Switch{{Name: "door", Open: func() (Pin, error) { return nil, errors.New("pin GPIO5: no such line") }}}, nil)
	f := w.Findings(w.clock.Now())
	if len(f) != 1 || f[0].Code != CodeLine || !strings.Contains(f[0].Words(), "GPIO5") {
		t.Errorf("findings %v", f)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := w.Run(ctx, func(Event) { t.Error("an event of nothing") }); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// A line that is missing at the start is looked for, and what it shows when it comes
// counts as at the start.
func TestALineThatComesLaterIsWatched(t *testing.T) {
	for _, row := range []struct {
		name  string
		level gpio.Level
		want  []string
	}{
		{"closed", gpio.Low, nil},
		{"open", gpio.High, []string{"door open at the start"}},
	} {
		synctest.Test(t, func(t *testing.T) {
			var tries []time.Duration
			start, missing := time.Now(), true
			door := &gpiotest.Pin{N: "DOOR", L: row.level, EdgesChan: make(chan gpio.Level, 1)}
			w := New(clock{start}, []Switch{{Name: "door", High: true, Open: func() (Pin, error) {
				tries = append(tries, time.Since(start))
				if missing {
					return nil, errors.New("pin GPIO5: no such line")
				}
				return door, nil
			}}}, nil)
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error)
			var told []string
			go func() { done <- w.Run(ctx, func(e Event) { told = append(told, e.What+" "+e.Words) }) }()
			time.Sleep(2 * time.Minute)
			synctest.Wait()
			if f := w.Findings(w.clock.Now()); len(f) != 1 || f[0].Code != CodeLine || !strings.Contains(f[0].Words(), "GPIO5") {
				t.Errorf("%s: while it is missing: %v", row.name, f)
			}
			want := []time.Duration{0, 1, 3, 7, 15, 31, 61, 91}
			for i := range want {
				want[i] *= time.Second
			}
			if !slices.Equal(tries, want) {
				t.Errorf("%s: tried after %v, want %v", row.name, tries, want)
			}
			missing = false
			time.Sleep(lastTry + 100*time.Millisecond)
			synctest.Wait()
			if f := w.Findings(w.clock.Now()); len(f) != 0 || !slices.Equal(told, row.want) {
				t.Errorf("%s: once it is there: findings %v, told %q", row.name, f, told)
			}
			cancel()
			<-done
			if err := w.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// A line that hangs gives no readings: that is a finding, too.
func TestAGaugeThatHangsIsAFinding(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hang := make(chan int)
		p := play(t, gpio.Low, Gauge{Name: "supply", Read: func() (int64, error) { <-hang; return 0, nil }})
		time.Sleep(6 * time.Second)
		if f := p.Findings(p.clock.Now()); len(f) != 1 || !strings.Contains(f[0].Words(), "no reading for 6s") {
			t.Errorf("findings %v", f)
		}
		close(hang)
		p.stop()
	})
}
