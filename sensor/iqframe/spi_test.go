package iqframe_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"periph.io/x/conn/v3/conntest"
	"periph.io/x/conn/v3/physic"
	"periph.io/x/conn/v3/spi"
	"periph.io/x/conn/v3/spi/spitest"

	"ciglio/sensor/iqframe"
)

// playback is a slave that sends these transfers.
func playback(t *testing.T, transfers ...[]byte) (spi.Conn, *spitest.Playback) {
	t.Helper()
	p := &spitest.Playback{Playback: conntest.Playback{DontPanic: true}}
	for _, b := range transfers {
		p.Ops = append(p.Ops, conntest.IO{R: b})
	}
	c, err := p.Connect(10*physic.MegaHertz, spi.Mode0, 8)
	if err != nil {
		t.Fatal(err)
	}
	return c, p
}

func TestSPI(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first, second := frame(t, 0, 0), frame(t, 1, 80)
		size := len(first)
		idle := bytes.Repeat([]byte{0xff}, size)
		// The second frame lies across two transfers.
		c, slave := playback(t, first, idle, make([]byte, size),
			append(bytes.Clone(idle[:100]), second[:size-100]...), append(bytes.Clone(second[size-100:]), idle[:size-100]...))
		r, err := iqframe.NewSPI(c, size, 2*time.Millisecond)
		if err != nil {
			t.Fatal(err)
		}
		s, err := iqframe.NewStream(r, rate, bubbleClock{time.Now()})
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []uint64{0, 80} {
			if b, err := s.Next(t.Context()); err != nil || b.Index != want {
				t.Errorf("block at %d, %v, want %d", b.Index, err, want)
			}
		}
		if c := s.Tally(); c.Used != 2 || c.Broken != 0 || c.Missing != 0 {
			t.Errorf("%+v", c)
		}
		if _, err := s.Next(t.Context()); err == nil || !strings.Contains(err.Error(), "SPI") {
			t.Errorf("beyond the playback: %v", err)
		}
		if err := slave.Close(); err != nil {
			t.Error(err)
		}
	})
}

// still is a slave that never has anything.
type still struct{ spi.Conn }

func (still) Tx(w, r []byte) error { return nil }
func (still) MaxTxSize() int       { return 256 }

func TestSPIDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, err := iqframe.NewSPI(still{}, 256, 2*time.Millisecond)
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		r.SetReadDeadline(start.Add(time.Second))
		if _, err := r.Read(make([]byte, 10)); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(start) != time.Second {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
		// A deadline that is set while Read waits.
		r.SetReadDeadline(time.Time{})
		go func() {
			time.Sleep(time.Minute)
			r.SetReadDeadline(time.Unix(1, 0))
		}()
		if _, err := io.ReadFull(r, make([]byte, 10)); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(start) != time.Minute+time.Second {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
		s, err := iqframe.NewStream(r, rate, bubbleClock{start})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Next(t.Context()); err == nil || !strings.Contains(err.Error(), "no block for 1s") {
			t.Errorf("a silent slave: %v", err)
		}
	})
	for _, c := range []struct {
		size  int
		pause time.Duration
	}{{0, 1}, {257, 1}, {256, 0}, {256, -1}} {
		if _, err := iqframe.NewSPI(still{}, c.size, c.pause); err == nil {
			t.Errorf("%+v was accepted", c)
		}
	}
}
