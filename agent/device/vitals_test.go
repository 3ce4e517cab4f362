package device

import (
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"ciglio/agent/config"
	"ciglio/capture/evidence"
	"ciglio/cross/simulate"
	"ciglio/sensor"
	"ciglio/sensor/doppler"
	"ciglio/sensor/iqframe"
	"ciglio/sensor/life"
)

// An aerial is a radar that sends its raw signal over a pipe, at the pace of its own
// clock. A test may spoil both.
type aerial struct {
	driver string
	road   *simulate.Road

	mu    sync.Mutex
	off   float64 // share by which it samples too fast
	spoil func(i, q float32) (float32, float32)
}

func (a *aerial) set(off float64, spoil func(i, q float32) (float32, float32)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.off, a.spoil = off, spoil
}

// open begins to send, until the road or the connection ends.
func (a *aerial) open() (net.Conn, error) {
	ours, theirs := net.Pipe()
	go func() {
		defer theirs.Close()
		s := a.road.Unpaced(0)
		rate, at, b := s.Format().Rate, time.Now(), iqframe.Block{Rate: s.Format().Rate}
		for {
			block, err := s.Next(context.Background())
			if err != nil {
				return
			}
			a.mu.Lock()
			off, spoil := a.off, a.spoil
			a.mu.Unlock()
			var bytes []byte
			b.I, b.Q = b.I[:0], b.Q[:0]
			for k, x := range block.I {
				y := block.Q[k]
				if spoil != nil {
					x, y = spoil(x, y)
				}
				b.I, b.Q = append(b.I, whole(x)), append(b.Q, whole(y))
				bytes = binary.LittleEndian.AppendUint16(bytes, uint16(whole(x)))
				bytes = binary.LittleEndian.AppendUint16(bytes, uint16(whole(y)))
			}
			if a.driver == "iqframe" {
				b.Index = block.Index
				if bytes, err = b.Encode(nil); err != nil {
					panic(err)
				}
				b.Sequence++
			}
			at = at.Add(time.Duration(float64(len(block.I)) / (float64(rate) * (1 + off)) * 1e9))
			time.Sleep(time.Until(at))
			if _, err := theirs.Write(bytes); err != nil {
				return
			}
		}
	}()
	return ours, nil
}

func whole(x float32) int16 { return int16(min(max(math.Round(float64(x)*32768), -32768), 32767)) }

// newRawRig is a device with that radar.
func newRawRig(t *testing.T, a *aerial, s simulate.Scenario) *rig {
	t.Helper()
	s.Seed = 1
	s.Radar.Lanes = []float64{3}
	var err error
	if a.road, err = simulate.NewRoad(s); err != nil {
		t.Fatal(err)
	}
	rate := a.road.Unpaced(0).Format().Rate
	return newRig(t, withSecond(t, &fakeSecond{speed: 9250, u: 50}, func(g *rig) {
		g.manager = new(fakeManager)
		dir := g.config.Device.Dir
		where := map[string]string{"rawiq": "path", "iqframe": "port"}[a.driver]
		g.config.Sensor = sensorConfig(t, fmt.Sprintf("driver = %q\n%s = \"/dev/radar\"", a.driver, where)).Sensor
		g.config.Sensor.Rate = config.Frequency(rate)
		g.config.Device.Dir = dir
		g.config.Camera.Slots = 96
		live, err := NewSource(g.config, g.clock, g.log)
		if err != nil {
			t.Fatal(err)
		}
		live.link.listen = func() (stream, error) {
			c, err := a.open()
			live.link.conn = c
			return c, err
		}
		g.live = live
	}))
}

// unplug ends the device, and its radar.
func (r *rig) unplug(t *testing.T) {
	t.Helper()
	r.end(t)
	r.live.Close()
	time.Sleep(time.Second)
}

// selfTests returns what the signed self-tests say, in order: "" for a pass.
func (r *rig) selfTests(t *testing.T) (told []string) {
	t.Helper()
	for _, s := range r.records(t) {
		if s.Record.Kind == evidence.KindSelfTest {
			words := s.Record.Body[2].(string)
			if s.Record.Body[1] == uint64(1) {
				words = ""
			}
			told = append(told, words)
		}
	}
	return told
}

// quiet is an empty road, sampled as slowly as may be.
func quiet(d time.Duration) simulate.Scenario {
	return simulate.Scenario{Duration: d, Radar: simulate.Radar{Rate: 8000}}
}

func TestD05_GateClosesOnASignalWithoutLife(t *testing.T) {
	if testing.Short() {
		t.Skip("computes much, and where goroutines meet others look")
	}
	for _, driver := range []string{"rawiq", "iqframe"} {
		for _, c := range []struct {
			words string
			spoil func(i, q float32) (float32, float32)
		}{
			{"I and Q do not change, they stay at zero", func(_, _ float32) (float32, float32) { return 0, 0 }},
			{"I and Q do not change, they stay at the rail", func(_, _ float32) (float32, float32) { return 1, 1 }},
			{"they stay at 0.250 of full scale", func(_, _ float32) (float32, float32) { return 0.25, 0.25 }},
			{"I and Q show one signal", func(i, _ float32) (float32, float32) { return i, i }},
			{"Q does not change", func(i, _ float32) (float32, float32) { return i, 0 }},
			{"I has noise of", func(i, q float32) (float32, float32) { return 20 * i, 20 * q }},
		} {
			t.Run(driver+", "+c.words, func(t *testing.T) {
				few := testing.Short() || driver == "iqframe"
				if few && !strings.HasSuffix(c.words, "zero") && !strings.HasSuffix(c.words, "signal") {
					t.Skip("short, or the other driver has shown it")
				}
				for _, fromTheStart := range []bool{true, false} {
					if few && fromTheStart {
						continue
					}
					synctest.Test(t, func(t *testing.T) {
						a := &aerial{driver: driver}
						r := newRawRig(t, a, quiet(5*time.Minute))
						if fromTheStart {
							a.set(0, c.spoil)
						}
						r.start(t)
						if open := len(r.Gate()) == 0; open == fromTheStart {
							t.Errorf("after the start: %v", r.Gate())
						}
						a.set(0, c.spoil)
						time.Sleep(20 * time.Second)
						if causes := r.Gate(); len(causes) != 1 || !strings.Contains(causes[0].Words, c.words) {
							t.Errorf("gate %v, want %q", causes, c.words)
						}
						if status := r.manager.(*fakeManager).status(); !strings.Contains(status, c.words) {
							t.Errorf("status %q", status)
						}
						a.set(0, nil)
						time.Sleep(inOrder - 5*time.Second)
						if len(r.Gate()) == 0 {
							t.Error("open before it was in order for a minute")
						}
						time.Sleep(20 * time.Second)
						if causes := r.Gate(); len(causes) > 0 {
							t.Errorf("in order again: %v", causes)
						}
						r.unplug(t)
						told := r.selfTests(t)
						if !fromTheStart {
							if told[0] != "" {
								t.Errorf("the first self-test says %q", told[0])
							}
							told = told[1:]
						}
						if len(told) != 2 || !strings.Contains(told[0], c.words) || told[1] != "" {
							t.Errorf("self-tests %q, want one for each change", told)
						}
					})
				}
			})
		}
	}
}

func TestD06_PaceClosesTheGateOnce(t *testing.T) {
	if testing.Short() {
		t.Skip("short: minutes of signal, several times")
	}
	for _, driver := range []string{"rawiq", "iqframe"} {
		for _, off := range []float64{0.01, -0.01, 0.003, -0.003, 0.0015} {
			t.Run(fmt.Sprintf("%s, %+.2f %%", driver, 100*off), func(t *testing.T) {
				if driver == "iqframe" && off != 0.01 && off != -0.003 {
					t.Skip("the other driver has shown it")
				}
				synctest.Test(t, func(t *testing.T) {
					a := &aerial{driver: driver}
					r := newRawRig(t, a, quiet(15*time.Minute))
					r.start(t)
					time.Sleep(time.Minute)
					if causes := r.Gate(); len(causes) > 0 {
						t.Fatalf("in order: %v", causes)
					}
					a.set(off, nil)
					time.Sleep(20 * time.Second)
					for range 100 {
						if causes := r.Gate(); len(causes) != 1 || !strings.Contains(causes[0].Words, "radar samples: ") {
							t.Fatalf("off: %v", causes)
						}
						time.Sleep(time.Second)
					}
					a.set(0, nil)
					time.Sleep(inOrder - time.Second)
					if len(r.Gate()) == 0 {
						t.Error("open before it was in order for a minute")
					}
					time.Sleep(life.PaceSpan + 10*time.Second)
					if causes := r.Gate(); len(causes) > 0 {
						t.Errorf("in order again: %v", causes)
					}
					r.unplug(t)
					if told := r.selfTests(t); len(told) != 3 || told[0] != "" || !strings.HasPrefix(told[1], "radar samples: ") || told[2] != "" {
						t.Errorf("self-tests %q, want one for each change", told)
					}
				})
			})
		}
	}
}

// A device whose sensor is off from the start never says that it is in order.
func TestD06_PaceThatIsOffFromTheStart(t *testing.T) {
	for _, off := range []float64{0.01, -0.01, 0.003, -0.003} {
		if testing.Short() && off != -0.003 {
			continue // a minute of signal each
		}
		synctest.Test(t, func(t *testing.T) {
			a := &aerial{driver: "rawiq"}
			a.set(off, nil)
			r := newRawRig(t, a, quiet(5*time.Minute))
			r.start(t)
			time.Sleep(time.Minute)
			r.unplug(t)
			if told := r.selfTests(t); len(told) != 1 || !strings.HasPrefix(told[0], "radar samples: ") {
				t.Errorf("%+.1f %%: self-tests %q", 100*off, told)
			}
		})
	}
}

// What a vehicle's samples were is known only some seconds later: its violation waits.
func TestD06_SpeedsOfAWrongPaceAreDiscarded(t *testing.T) {
	if testing.Short() {
		t.Skip("short: minutes of signal, several times")
	}
	const passing = 30 * time.Second
	for _, c := range []struct {
		name   string
		off    float64
		from   time.Duration // before the vehicle is beside the radar
		sealed bool
	}{
		{"in order", 0, 0, true},
		{"too slow from a second before", -0.01, time.Second, false},
		{"too fast from a second before", 0.01, time.Second, false},
		{"0.4 % too slow from three seconds before", -0.004, 3 * time.Second, false},
		{"too slow for half a minute", -0.01, 29 * time.Second, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := &aerial{driver: "rawiq"}
				r := newRawRig(t, a, simulate.Scenario{
					Duration: 2 * time.Minute, Radar: simulate.Radar{Beamwidth: 30, Height: 0.01},
					Vehicles: []simulate.Vehicle{{Speed: 9250, Direction: sensor.Approaching, Lane: 1, Passing: passing}},
				})
				time.AfterFunc(passing-c.from, func() { a.set(c.off, nil) })
				r.start(t)
				time.Sleep(50 * time.Second)
				synctest.Wait()
				if len(r.outcomes) != 1 {
					t.Fatalf("%d passages, want 1: %v", len(r.outcomes), reasons(r))
				}
				if o := r.outcomes[0]; (o.Record != nil) != c.sealed {
					t.Errorf("sealed %t: %v, reasons %v", o.Record != nil, o.Passage.Speed, o.Reasons)
				}
				r.unplug(t)
			})
		})
	}
}

// A violation is not sealed before its time base is known, and not without it.
func TestD06_ViolationWaitsForItsTimeBase(t *testing.T) {
	for _, late := range []time.Duration{0, 9 * time.Second, time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, nil)
			r.o.Live = &fakeLive{clock: r.clock, covered: func() sensor.Mono { return r.clock.Now().Add(-late) }}
			r.start(t)
			time.Sleep(10 * time.Second)
			sent := r.clock.Now()
			o := r.send(speeding(), 3*time.Second, 300*time.Millisecond)
			if sealed := o.Record != nil; sealed != (late < coverPatience) {
				t.Errorf("known %v later: sealed %t, reasons %v", late, sealed, o.Reasons)
			}
			if waited := r.clock.Now().Sub(sent); o.Record != nil && waited < late-time.Second {
				t.Errorf("sealed after %v", waited)
			}
			r.end(t)
		})
	}
}

// What was learnt of the site outlives a restart.
func TestD05_NormalIsKept(t *testing.T) {
	if testing.Short() {
		t.Skip("short: an hour of samples")
	}
	synctest.Test(t, func(t *testing.T) {
		c := sensorConfig(t, "path = \"/dev/radar\"")
		c.Sensor.Rate, c.Device.Dir = 8000, t.TempDir()
		road, err := simulate.NewRoad(quiet(4 * time.Second))
		if err != nil {
			t.Fatal(err)
		}
		var blocks []doppler.Block
		for s := road.Unpaced(0); ; {
			b, err := s.Next(t.Context())
			if err != nil {
				break
			}
			b.I, b.Q = slices.Clone(b.I), slices.Clone(b.Q)
			blocks = append(blocks, b)
		}
		var log logText
		clock := &fakeClock{start: time.Now()}
		random := rand.New(rand.NewPCG(1, 2))
		// hear makes the device hear the road for so long, louder or not. Other signs
		// each time make other noise of it: the same again would be a fault.
		hear := func(v *vitals, d time.Duration, gain float32) []sensor.Finding {
			index := uint64(0)
			for end := time.Now().Add(d); time.Now().Before(end); {
				for _, b := range blocks {
					for k := range b.I {
						sign := 1 - 2*float32(random.IntN(2))
						b.I[k], b.Q[k] = b.I[k]*gain*sign, b.Q[k]*gain*sign
					}
					b.Index = index
					index += uint64(len(b.I))
					time.Sleep(time.Duration(len(b.I)) * time.Second / 8000)
					v.push(b)
				}
			}
			return v.findings(clock.Now())
		}
		newOne := func() *vitals { return newVitals(c, clock, slog.New(slog.NewTextHandler(&log, nil))) }
		v := newOne()
		if found := hear(v, 61*time.Minute, 1); len(found) > 0 {
			t.Errorf("an hour in order: %v", found)
		}
		if err := v.keep(); err != nil {
			t.Fatal(err)
		}
		v = newOne()
		if found := hear(v, 8*time.Second, 1); len(found) > 0 {
			t.Errorf("after a restart: %v", found)
		}
		v = newOne()
		if found := hear(v, 4*time.Second, 1.0/8); len(found) != 1 || !strings.Contains(found[0].Words(), "at this site it is") {
			t.Errorf("after a restart with 18 dB less noise: %v", found)
		}
		if err := v.keep(); err != nil {
			t.Error(err)
		}
		if err := os.WriteFile(v.learnt.file, []byte("damaged"), 0o600); err != nil {
			t.Fatal(err)
		}
		if v = newOne(); len(hear(v, 4*time.Second, 8)) > 0 || !strings.Contains(log.String(), "is lost") {
			t.Errorf("a damaged file: %v, log %q", v.findings(clock.Now()), &log)
		}
	})
}
