package device

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"ciglio/agent/notify"
	"ciglio/capture"
	"ciglio/cross/simulate/emulator"
	"ciglio/sensor"
)

// watchdog is as in the service's unit.
const watchdog = 30 * time.Second

// A fakeManager is the service manager of a test.
type fakeManager struct {
	deaf  bool
	mu    sync.Mutex
	heard []string
	alive time.Time     // when it last heard so
	worst time.Duration // longest it had to wait
}

func (m *fakeManager) Watchdog() time.Duration { return watchdog }

func (m *fakeManager) Send(lines ...string) error {
	if m.deaf {
		return errors.New("nobody there")
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.heard = append(m.heard, lines...)
	if slices.Contains(lines, notify.Alive) {
		m.wait()
		m.alive = time.Now()
	}
	return nil
}

func (m *fakeManager) wait() {
	if !m.alive.IsZero() {
		m.worst = max(m.worst, time.Since(m.alive))
	}
}

// waited returns the longest time without a sign of life, and forgets it.
func (m *fakeManager) waited() time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.wait()
	worst := m.worst
	m.worst = 0
	return worst
}

// told returns what was heard besides signs of life.
func (m *fakeManager) told() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(m.heard), func(line string) bool { return line == notify.Alive })
}

func (m *fakeManager) status() string {
	told := m.told()
	for _, line := range slices.Backward(told) {
		if words, ok := strings.CutPrefix(line, "STATUS="); ok {
			return words
		}
	}
	return ""
}

func TestManagerHearsOfTheDevice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := new(fakeManager)
		r := newRig(t, func(g *rig) { g.manager = m })
		r.start(t)
		r.camera.dead.Store(true)
		time.Sleep(time.Minute)
		r.camera.dead.Store(false)
		time.Sleep(2 * time.Minute)
		if err := r.stop(); err != nil {
			t.Error(err)
		}
		want := []string{
			"READY=1", "STATUS=starting: self-test not done yet",
			"STATUS=" + gateOpen,
			"STATUS=gate closed: camera (" + m.closed() + ")",
			"STATUS=gate closed: camera (" + m.closed() + ", in order for less than 1m0s)",
			"STATUS=" + gateOpen,
			"STOPPING=1",
		}
		if got := m.told(); !slices.Equal(got, want) {
			t.Errorf("the manager heard\n%q, want\n%q", got, want)
		}
		if !strings.Contains(m.closed(), "gives no pictures") {
			t.Errorf("gate closed: %q", m.closed())
		}
	})
}

// closed returns the words of the only cause for which the gate was closed.
func (m *fakeManager) closed() string {
	for _, line := range m.told() {
		if words, ok := strings.CutPrefix(line, "STATUS=gate closed: camera ("); ok {
			return strings.TrimSuffix(words, ")")
		}
	}
	return ""
}

// turns is how often something is tried: n times, or a fifth of it in a short run.
func turns(n int) int {
	if testing.Short() {
		return n / 5
	}
	return n
}

// Nothing that the road or a cable does is a reason to start the device anew.
func TestWatchdogKnowsQuietFromHung(t *testing.T) {
	isys, ops, raw, csr := new(emulator.ISYS4001), &emulator.OPS243{Serial: "S1"}, &emulator.OPS243{Serial: "S1"}, new(emulator.CSR)
	for _, s := range []sensorEnd{
		asAGD(newAGD()),
		{driver: "isys4001", model: "iSYS-4001", serve: isys.Serve},
		{driver: "ops243", model: "OPS243-A", serve: ops.Serve},
		{driver: "ops243raw", model: "OPS243-A", serve: raw.Serve},
		{driver: "csr", model: "CSR", serve: csr.Serve},
	} {
		dumb := sensorEnd{driver: s.driver, model: s.model, serve: func(ctx context.Context, rw io.ReadWriter) error {
			_, err := io.Copy(io.Discard, rw)
			return err
		}}
		babbling := sensorEnd{driver: s.driver, model: s.model, serve: func(_ context.Context, rw io.ReadWriter) error {
			hungUp := make(chan struct{})
			go func() {
				io.Copy(io.Discard, rw)
				close(hungUp)
			}()
			for {
				select {
				case <-hungUp:
					return nil
				case <-time.After(50 * time.Millisecond):
					rw.Write([]byte("\x02#AGD {garbage}\r\n")) // or not, when its memory is full
				}
			}
		}}
		for _, c := range []struct {
			name    string
			radar   *radio
			measure bool
		}{
			{"empty road", newRadio(s, true), true},
			{"unplugged", newRadio(s, false), false},
			{"no answer", newRadio(dumb, true), false},
			{"garbage", newRadio(babbling, true), false},
		} {
			t.Run(s.driver+", "+c.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					r := newSerialRig(t, c.radar, withSecond(t, new(fakeSecond)))
					m := r.manager.(*fakeManager)
					r.start(t)
					for range turns(60) {
						if c.measure && c.radar.report != nil { // its heartbeat
							c.radar.report(sensor.Cycle{})
						}
						time.Sleep(5 * time.Second)
					}
					if open := m.status() == gateOpen; open != c.measure {
						t.Errorf("status %q", m.status())
					}
					if worst := m.waited(); worst > watchdog/2 {
						t.Errorf("the manager waited %v for a sign of life", worst)
					}
					if err := r.stop(); err != nil {
						t.Error(err)
					}
				})
			})
		}
	}
}

func TestWatchdogFindsHungDriver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		radar := newRadio(asAGD(newAGD()), true)
		r := newSerialRig(t, radar)
		m := r.manager.(*fakeManager)
		release := make(chan struct{})
		hang := false
		r.live.link.open = func() (sensor.Conn, error) {
			if hang {
				<-release // a kernel driver that does not come back
			}
			return radar.open()
		}
		r.start(t)
		time.Sleep(time.Minute)
		if worst := m.waited(); worst > watchdog/2 {
			t.Errorf("before: the manager waited %v", worst)
		}
		synctest.Wait() // the driver waits for bytes: it looks at nothing of the test
		hang = true
		radar.other.Close()
		time.Sleep(sensorTurn + watchdog + 10*time.Second)
		if worst := m.waited(); worst <= watchdog {
			t.Errorf("a driver that hangs went unnoticed: the manager waited %v", worst)
		}
		if !strings.HasPrefix(m.status(), "the sensor's driver has not come back for ") {
			t.Errorf("status %q", m.status())
		}
		close(release)
		if err := r.stop(); err != nil {
			t.Error(err)
		}
	})
}

// A hungSecond never gives its speed, whatever it is told.
type hungSecond struct {
	fakeSecond
	release chan struct{}
}

func (s *hungSecond) Measure(context.Context, sensor.Passage, []capture.Shot) (SecondSpeed, error) {
	<-s.release
	return SecondSpeed{}, errors.New("too late")
}

func TestWatchdogFindsHungJudgement(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		second := &hungSecond{release: make(chan struct{})}
		m := new(fakeManager)
		r := newRig(t, func(g *rig) {
			withSecond(t, second)(g)
			g.manager = m
		})
		r.start(t)
		time.Sleep(time.Duration(turns(60)) * time.Minute) // an empty road
		if worst := m.waited(); worst > watchdog/2 {
			t.Errorf("without a passage: the manager waited %v", worst)
		}
		p := speeding()
		p.End = r.clock.Now().Add(-300 * time.Millisecond)
		p.Start = p.End.Add(-3 * time.Second)
		p.Trace.First, p.Trace.Last = p.Start, p.End
		r.sensor.passages <- p
		time.Sleep(sealTurn)
		if worst := m.waited(); worst > watchdog/2 {
			t.Errorf("within the time of a judgement: the manager waited %v", worst)
		}
		time.Sleep(watchdog + 10*time.Second)
		if worst := m.waited(); worst <= watchdog {
			t.Errorf("a judgement that hangs went unnoticed: the manager waited %v", worst)
		}
		if !strings.HasPrefix(m.status(), "a violation has waited for its second speed and the store for ") {
			t.Errorf("status %q", m.status())
		}
		close(second.release)
		time.Sleep(watchdog)
		if worst := m.waited(); m.status() != gateOpen {
			t.Errorf("once it came back: status %q, waited %v", m.status(), worst)
		}
		if err := r.stop(); err != nil {
			t.Error(err)
		}
	})
}

// A manager that cannot be reached is logged once and changes nothing else.
func TestDeafManagerIsNoFault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(g *rig) { g.manager = &fakeManager{deaf: true} })
		r.start(t)
		if o := r.pass(speeding()); o.Record == nil {
			t.Errorf("not recorded: %v", o.Reasons)
		}
		if err := r.stop(); err != nil {
			t.Error(err)
		}
	})
}
