package session_test

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"ciglio/cross/simulate"
	"ciglio/sensor"
	"ciglio/sensor/session"
)

// bubble runs a test for every driver, in fake time.
func bubble(t *testing.T, test func(t *testing.T, r *radar)) {
	for _, r := range radars() {
		t.Run(r.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { test(t, &r) })
		})
	}
}

// plug puts a driver and a sensor on a wire and opens the driver.
func plug(t *testing.T, r *radar, x server, w *wire) (feed, net.Conn, error) {
	t.Helper()
	host, device := w.join(t)
	serve(t, x, device)
	f, err := r.open(t.Context(), host, simulate.NewClock(0))
	return f, device, err
}

func serve(t *testing.T, x server, device net.Conn) {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		x.Serve(t.Context(), device)
	}()
	t.Cleanup(func() {
		device.Close()
		<-ended
	})
	synctest.Wait()
}

// nothing is a sensor without power.
type nothing struct{}

func (nothing) Serve(ctx context.Context, conn io.ReadWriter) error {
	_, err := io.Copy(io.Discard, conn)
	return err
}

// fails opens a driver and reads until that fails, in a bounded time.
func fails(t *testing.T, r *radar, x server, w *wire) error {
	t.Helper()
	begun := time.Now()
	f, _, err := plug(t, r, x, w)
	for range 1000 {
		if err != nil {
			break
		}
		_, err = f.Next(t.Context())
	}
	if took := time.Since(begun); took > 13*time.Second {
		t.Errorf("it took %v", took)
	}
	if errors.Is(err, io.EOF) {
		t.Errorf("%v is the end of a recording", err)
	}
	return err
}

func fault(err error) session.Fault {
	var none *session.NoAnswer
	if errors.As(err, &none) {
		return none.Fault
	}
	return 99
}

func TestSilence(t *testing.T) {
	bubble(t, func(t *testing.T, r *radar) {
		err := fails(t, r, nothing{}, &wire{})
		says(t, r, err, "no answer", "no block for 1s: the sensor has fallen silent")
		if r.asks && fault(err) != session.Silence {
			t.Errorf("%v", err)
		}
	})
}

func TestWrongSpeedOfTheLine(t *testing.T) {
	bubble(t, func(t *testing.T, r *radar) {
		says(t, r, fails(t, r, r.sensor(), &wire{toHost: garble}), "bytes that make no sense", "half a one comes", "bytes but no block")
	})
}

func TestOnlyWhatIsSentComesBack(t *testing.T) {
	bubble(t, func(t *testing.T, r *radar) {
		if !r.asks {
			return
		}
		err := fails(t, r, nothing{}, &wire{echo: true})
		says(t, r, err, "only what is sent comes back")
		if fault(err) != session.Echo {
			t.Errorf("%v", err)
		}
	})
}

func TestHalfAnAnswer(t *testing.T) {
	bubble(t, func(t *testing.T, r *radar) {
		half := func(b []byte) []byte { return b[:len(b)/2] }
		want := "half a one comes and no more"
		if !r.asks {
			want = "bytes but no block"
		}
		says(t, r, fails(t, r, r.sensor(), &wire{toHost: half}), want)
	})
}

func TestAnswersOfAnotherDevice(t *testing.T) {
	for _, other := range radars() {
		bubble(t, func(t *testing.T, r *radar) {
			if r.name == other.name {
				return
			}
			err := fails(t, r, other.sensor(), &wire{})
			says(t, r, err, "no answer", "but no block", "no block for", "the sensor answers", "says it is")
		})
	}
}

func TestASettingIsRefused(t *testing.T) {
	bubble(t, func(t *testing.T, r *radar) {
		if !r.asks {
			return
		}
		says(t, r, fails(t, r, r.refuses, &wire{}), r.refused)
	})
}

// A line that returns what is sent, as two wires do, is no matter, and counted
// as nothing.
func TestEcho(t *testing.T) {
	bubble(t, func(t *testing.T, r *radar) {
		plain, _, err := plug(t, r, r.sensor(), &wire{})
		if err != nil {
			t.Fatal(err)
		}
		before := plain.Tally() // some sensors break lines in their answers
		f, _, err := plug(t, r, r.sensor(), &wire{echo: true})
		if err != nil {
			t.Fatal(err)
		}
		if a, b := string(plain.Identity().Settings), string(f.Identity().Settings); a != b {
			t.Errorf("settings\n%s\nwant\n%s", b, a)
		}
		for range 20 {
			if c, err := f.Next(t.Context()); err != nil || c.Lost {
				t.Fatalf("%+v, %v", c, err)
			}
		}
		if n := f.Tally(); n.Broken != before.Broken || n.Bytes != before.Bytes {
			t.Errorf("%+v", n)
		}
	})
}

// Noise costs the reports that it falls into, shows in the next, and is counted.
func TestNoiseInMidStream(t *testing.T) {
	bubble(t, func(t *testing.T, r *radar) {
		x, w := r.sensor(), &wire{}
		f, _, err := plug(t, r, x, w)
		if err != nil {
			t.Fatal(err)
		}
		chunks := 0
		w.swap(func(b []byte) []byte {
			if chunks++; chunks%7 == 0 {
				return append([]byte("\xb1\x9c\xbf"), b...)
			}
			return b
		})
		before := f.Tally()
		r.driving(t, x)
		good, lost := 0, 0
		for range 200 {
			c, err := f.Next(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if c.Lost {
				lost++
			}
			for _, reading := range c.Readings {
				if good++; r.asks && (reading.Direction != sensor.Approaching || reading.Speed > 7200) {
					t.Errorf("%+v", reading)
				}
			}
			if good > 30 {
				break
			}
		}
		n := f.Tally()
		if good <= 30 || lost == 0 && r.asks || n.Bytes+n.Broken == before.Bytes+before.Broken || n.Used == before.Used {
			t.Errorf("%d readings, %d cycles behind a loss, %+v", good, lost, n)
		}
	})
}

func TestItFallsSilentInMidStream(t *testing.T) {
	for name, spoil := range map[string]func(b []byte) []byte{
		"nothing": func(b []byte) []byte { return nil }, "garbage": garble,
		"halves": func(b []byte) []byte { return b[:len(b)/2] },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *radar) {
				x, w := r.sensor(), &wire{}
				f, _, err := plug(t, r, x, w)
				if err != nil {
					t.Fatal(err)
				}
				r.driving(t, x)
				for range 5 {
					if _, err := f.Next(t.Context()); err != nil {
						t.Fatal(err)
					}
				}
				w.swap(spoil)
				begun := time.Now()
				for err == nil {
					_, err = f.Next(t.Context())
				}
				says(t, r, err, "fallen silent", "bytes but no", "started anew", "no answer")
				if took := time.Since(begun); took > 13*time.Second || errors.Is(err, io.EOF) {
					t.Errorf("%v after %v", err, took)
				}
			})
		})
	}
}

// The cable is pulled while a vehicle is in the beam: an error, and never the end
// of a recording.
func TestUnpluggedInMidPassage(t *testing.T) {
	bubble(t, func(t *testing.T, r *radar) {
		x := r.sensor()
		f, device, err := plug(t, r, x, &wire{})
		if err != nil {
			t.Fatal(err)
		}
		r.driving(t, x)
		for seen := 0; seen < 5; {
			c, err := f.Next(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			seen += len(c.Readings)
		}
		device.Close()
		begun := time.Now()
		for err == nil {
			_, err = f.Next(t.Context())
		}
		if errors.Is(err, io.EOF) || time.Since(begun) > time.Second || strings.Count(err.Error(), r.name+": ") > 1 {
			t.Errorf("%v after %v", err, time.Since(begun))
		}
	})
}

// It goes while it is set up.
func TestUnpluggedInSetUp(t *testing.T) {
	bubble(t, func(t *testing.T, r *radar) {
		w := &wire{}
		host, device := w.join(t)
		said := 0
		w.swap(func(b []byte) []byte {
			if said++; said == 4 {
				device.Close()
			}
			return b
		})
		serve(t, r.sensor(), device)
		f, err := r.open(t.Context(), host, simulate.NewClock(0))
		for err == nil {
			_, err = f.Next(t.Context())
		}
		says(t, r, err, "the connection has ended", "closed pipe")
	})
}

func TestEveryWaitEndsWithItsContext(t *testing.T) {
	bubble(t, func(t *testing.T, r *radar) {
		host, device := (&wire{}).join(t)
		serve(t, nothing{}, device)
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		f, err := r.open(ctx, host, simulate.NewClock(0))
		if err == nil {
			_, err = f.Next(ctx)
		}
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v", err)
		}
	})
}
