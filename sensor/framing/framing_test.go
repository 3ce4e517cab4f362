package framing

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"ciglio/sensor"
)

// framed is a toy protocol: 7E, length, data, sum of the data modulo 256.
func framed(b []byte) (int, Verdict) {
	switch {
	case b[0] != 0x7E:
		return 1, Skip
	case len(b) < 2 || len(b) < int(b[1])+3:
		return 0, More
	}
	n := int(b[1])
	var sum byte
	for _, c := range b[2 : 2+n] {
		sum += c
	}
	if sum != b[2+n] {
		return 1, Broken
	}
	return n + 3, Good
}

var frame = []byte{0x7E, 3, 1, 2, 3, 6}

func still() sensor.Mono { return 0 }

// scan returns every frame, with its Lost as a leading "!".
func scan(t testing.TB, s *Scanner) (frames []string) {
	t.Helper()
	for {
		f, err := s.Scan()
		if err == io.EOF {
			return frames
		}
		if err != nil {
			t.Fatal(err)
		}
		text := string(f.Bytes)
		if f.Lost {
			text = "!" + text
		}
		frames = append(frames, text)
	}
}

func TestFramesAreFoundBehindGarbage(t *testing.T) {
	good := string(frame)
	for _, row := range []struct {
		name  string
		bytes string
		want  []string
		count Counters
	}{
		{"nothing", "", nil, Counters{}},
		{"one after another", good + good, []string{good, good}, Counters{Frames: 2}},
		{"noise before", "\x00\xff" + good, []string{"!" + good}, Counters{Frames: 1, Dropped: 2}},
		{"a wrong check sum hides no frame behind it", "\x7e\x01\x01\x02" + good, []string{"!" + good}, Counters{1, 1, 4}},
		{"nor one inside it", "\x7e\x06\x01" + good, []string{"!" + good}, Counters{1, 1, 3}},
		{"a start in the noise that asks for more than comes", "\x7e\xff" + good, []string{"!" + good}, Counters{Frames: 1, Dropped: 2}},
		{"half a frame at the end", good + good[:4], []string{good}, Counters{Frames: 1, Dropped: 4}},
	} {
		for _, read := range []struct {
			name string
			wrap func(io.Reader) io.Reader
		}{{"at once", func(r io.Reader) io.Reader { return r }}, {"byte by byte", iotest.OneByteReader}, {"with its end", iotest.DataErrReader}} {
			s := NewScanner(read.wrap(strings.NewReader(row.bytes)), still, 300, framed)
			if got := scan(t, s); !slices.Equal(got, row.want) {
				t.Errorf("%s, %s: frames %q, want %q", row.name, read.name, got, row.want)
			}
			if c := s.Counters(); c != row.count {
				t.Errorf("%s, %s: %+v, want %+v", row.name, read.name, c, row.count)
			}
		}
	}
}

func TestAFrameLongerThanMemoryIsBroken(t *testing.T) {
	s := NewScanner(strings.NewReader("\x7e\x40"+strings.Repeat("x", 30)+string(frame)), still, 8, framed)
	if got := scan(t, s); len(got) != 1 || got[0] != "!"+string(frame) {
		t.Errorf("frames %q", got)
	}
	if c := s.Counters(); c.Broken != 1 {
		t.Errorf("%+v, want one broken", c)
	}
}

func TestResyncFindsAFrameBehindAFalseStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		here, there := net.Pipe()
		defer there.Close()
		defer here.Close()
		s := NewScanner(here, still, 300, framed)
		go there.Write([]byte("\x7e\xf0" + string(frame)))
		var f Frame
		err := Within(t.Context(), here, time.Second, func() (err error) { f, err = s.Scan(); return err })
		if !errors.Is(err, ErrSilence) {
			t.Fatalf("Scan = %v, want silence: the false start asks for 240 bytes", err)
		}
		if !s.Resync() {
			t.Fatal("nothing to give up")
		}
		if f, err = s.Scan(); err != nil || !bytes.Equal(f.Bytes, frame) || !f.Lost {
			t.Errorf("after Resync: %q, %v", f.Bytes, err)
		}
		if s.Resync() {
			t.Error("there was something left to give up")
		}
	})
}

func TestInstantsAreThoseOfTheFirstAndTheLastByte(t *testing.T) {
	now := sensor.Mono(0)
	r, w := io.Pipe()
	go func() {
		w.Write(frame[:2])
		w.Write(frame[2:])
		w.Write(frame)
		w.Close()
	}()
	s := NewScanner(r, func() sensor.Mono { now += 10; return now }, 16, framed)
	f, err := s.Scan()
	if err != nil || f.First != 10 || f.Last != 20 {
		t.Errorf("first frame %+v, %v, want instants 10 and 20", f, err)
	}
	if f, err = s.Scan(); err != nil || f.First != 30 || f.Last != 30 {
		t.Errorf("second frame %+v, %v, want instant 30", f, err)
	}
}

func TestLines(t *testing.T) {
	for _, row := range []struct {
		name   string
		midway bool
		bytes  string
		want   []string
		broken int64
	}{
		{"with either end", false, "one\r\ntwo\n\nthree\n", []string{"one\r\n", "two\n", "\n", "three\n"}, 0},
		{"the last without an end", false, "one\ntwo", []string{"one\n"}, 0},
		{"too long goes up to its end", false, "0123456789\nok\n", []string{"!ok\n"}, 1},
		{"much too long too", false, strings.Repeat("x", 100) + "\nok\n", []string{"!ok\n"}, 1},
		{"just long enough", false, "0123456\nok\n", []string{"0123456\n", "ok\n"}, 0},
		{"the rest of a line at the beginning", true, "rest\nok\n", []string{"!ok\n"}, 0},
	} {
		for _, one := range []bool{false, true} {
			var r io.Reader = strings.NewReader(row.bytes)
			if one {
				r = iotest.OneByteReader(r)
			}
			s := NewScanner(r, still, 8, Lines(8, row.midway))
			if got := scan(t, s); !slices.Equal(got, row.want) {
				t.Errorf("%s: lines %q, want %q", row.name, got, row.want)
			}
			if c := s.Counters(); c.Broken != row.broken {
				t.Errorf("%s: %+v, want %d broken", row.name, c, row.broken)
			}
		}
	}
}

func TestTrim(t *testing.T) {
	for in, want := range map[string]string{"": "", " \r\n": "", "a\r\n": "a", " a b ": "a b"} {
		if got := Trim([]byte(in)); string(got) != want {
			t.Errorf("Trim(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestWithin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		here, there := net.Pipe()
		defer there.Close()
		read := func() error { _, err := here.Read(make([]byte, 1)); return err }
		if err := Within(t.Context(), here, time.Hour, read); !errors.Is(err, ErrSilence) {
			t.Errorf("silence: %v", err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		begun := time.Now()
		if err := Within(ctx, here, time.Hour, read); err != context.DeadlineExceeded || time.Since(begun) != time.Minute {
			t.Errorf("end of the context: %v after %v", err, time.Since(begun))
		}
		go there.Write([]byte{1})
		if err := Within(t.Context(), here, time.Hour, read); err != nil {
			t.Errorf("a byte: %v", err)
		}
		here.Close()
		if err := Within(t.Context(), here, time.Hour, read); err == nil || errors.Is(err, ErrSilence) {
			t.Errorf("closed: %v", err)
		}
	})
}

func TestScanningAllocatesNothing(t *testing.T) {
	stream := bytes.Repeat(append([]byte("noise"), frame...), 100)
	r := bytes.NewReader(stream)
	s := NewScanner(r, still, 300, framed)
	if n := testing.AllocsPerRun(10, func() {
		r.Reset(stream)
		for {
			if _, err := s.Scan(); err != nil {
				return
			}
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzScanner(f *testing.F) {
	f.Add([]byte("\x7e\x03\x01\x02\x03\x06"), uint64(1))
	f.Add([]byte("\x7e\xff\x7e\x00\x00"), uint64(2))
	f.Fuzz(func(t *testing.T, garbage []byte, seed uint64) {
		// Behind any garbage the second of two good frames is found, once as many
		// bytes have come as a false start can ask for.
		stream := append(slices.Clone(garbage), bytes.Repeat([]byte{0}, 300)...)
		stream = append(append(stream, frame...), frame...)
		rng := rand.New(rand.NewPCG(seed, 0))
		s := NewScanner(&chopped{stream, rng}, still, 300, framed)
		var last Frame
		total := int64(0)
		for {
			f, err := s.Scan()
			if err != nil {
				break
			}
			last = f
			total += int64(len(f.Bytes))
		}
		if !bytes.Equal(last.Bytes, frame) {
			t.Errorf("the last frame is %x", last.Bytes)
		}
		if c := s.Counters(); c.Dropped+total != int64(len(stream)) {
			t.Errorf("%d bytes dropped and %d in frames of %d", c.Dropped, total, len(stream))
		}
	})
}

// chopped gives its bytes in pieces of any size.
type chopped struct {
	rest []byte
	rng  *rand.Rand
}

func (c *chopped) Read(b []byte) (int, error) {
	if len(c.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(b[:min(len(b), 1+c.rng.IntN(40))], c.rest)
	c.rest = c.rest[n:]
	return n, nil
}
