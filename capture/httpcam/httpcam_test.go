package httpcam

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/jpeg"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"ciglio/capture"
	"ciglio/cross/simulate"
	"ciglio/sensor"
)

// sample returns a small JPEG with its number in it, so that each differs.
func sample(t testing.TB, number int) []byte {
	t.Helper()
	m := image.NewGray(image.Rect(0, 0, 32, 24))
	for i := range m.Pix {
		m.Pix[i] = byte(i*7 + number*31)
	}
	var b bytes.Buffer
	if err := jpeg.Encode(&b, m, nil); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func part(data []byte, length bool) string {
	header := "--frame\r\nContent-Type: image/jpeg\r\n"
	if length {
		header += fmt.Sprintf("Content-Length: %d\r\n", len(data))
	}
	return header + "\r\n" + string(data) + "\r\n"
}

// readAll returns the pictures of a stream, how many bytes stood behind each, and
// the error that ended it.
func readAll(stream io.Reader, boundary string, maxPart int, counts *counts) (pictures [][]byte, behind []int, err error) {
	p := newPartReader(stream, boundary, maxPart, func() sensor.Mono { return 0 }, counts)
	for {
		got, err := p.next()
		if err != nil {
			return pictures, behind, err
		}
		pictures, behind = append(pictures, bytes.Clone(got.data)), append(behind, got.behind)
	}
}

func TestReaderWithoutProgressEnds(t *testing.T) {
	idle := readerFunc(func([]byte) (int, error) { return 0, nil })
	if _, _, err := readAll(idle, "frame", 1<<20, new(counts)); !errors.Is(err, io.ErrNoProgress) {
		t.Errorf("error %v, want %v", err, io.ErrNoProgress)
	}
}

// A pipeCamera is a camera on an in-memory connection; its behaviour is script,
// once per connection.
type pipeCamera struct {
	t      *testing.T
	dialed int
	script func(connection int, w io.Writer)
}

func (p *pipeCamera) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	device, ours := net.Pipe()
	n := p.dialed
	p.dialed++
	go func() {
		defer func() { _ = device.Close() }()
		request := make([]byte, 4096)
		if _, err := device.Read(request); err != nil {
			return
		}
		p.script(n, device)
	}()
	return ours, nil
}

// stay keeps the connection open and silent until the other side closes it.
func stay(w io.Writer) { _, _ = io.Copy(io.Discard, w.(net.Conn)) }

const okHeader = "HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=frame\r\n\r\n"

func newPipe(t *testing.T, o Options, script func(int, io.Writer)) (*Camera, *pipeCamera, *simulate.Clock) {
	t.Helper()
	clock := simulate.NewClock(0)
	p := &pipeCamera{t: t, script: script}
	o.URL, o.Dial = "http://camera/video", p.dial
	c, err := New(clock, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c, p, clock
}

func TestFrameIsStampedWithItsArrival(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := sample(t, 1), sample(t, 2)
		c, _, _ := newPipe(t, Options{Latency: 30 * time.Millisecond, Model: "X-1", Serial: "7"}, func(_ int, w io.Writer) {
			_, _ = io.WriteString(w, okHeader)
			for _, f := range [][]byte{a, b} {
				_, _ = io.WriteString(w, "--frame\r\n") // sent ahead, as many cameras do
				time.Sleep(100 * time.Millisecond)
				text := strings.TrimPrefix(part(f, true), "--frame\r\n")
				_, _ = io.WriteString(w, text[:50])
				time.Sleep(20 * time.Millisecond) // the rest of the picture takes its time
				_, _ = io.WriteString(w, text[50:])
			}
			stay(w)
		})
		for i, want := range []struct {
			at   time.Duration
			data []byte
		}{{70 * time.Millisecond, a}, {190 * time.Millisecond, b}} {
			f, err := c.Next(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if f.At != sensor.Mono(want.at) || f.Number != uint64(i) || f.Damaged || !bytes.Equal(f.Data, want.data) {
				t.Errorf("frame %d at %v, damaged %t; want %v", f.Number, time.Duration(f.At), f.Damaged, want.at)
			}
		}
		if info := c.Info(); info != (capture.Info{Model: "X-1", Serial: "7"}) {
			t.Errorf("info = %+v", info)
		}
	})
}

func TestUnpluggedInMidFrameIsNoFrame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := sample(t, 1), sample(t, 2)
		c, p, clock := newPipe(t, Options{}, func(n int, w io.Writer) {
			_, _ = io.WriteString(w, okHeader)
			if n == 0 {
				_, _ = io.WriteString(w, part(a, true)+part(b, true)[:200])
				return // unplugged
			}
			_, _ = io.WriteString(w, part(b, true))
			stay(w)
		})
		if _, err := c.Next(t.Context()); err != nil {
			t.Fatal(err)
		}
		if f, err := c.Next(t.Context()); !errors.Is(err, ErrStream) {
			t.Fatalf("frame %d, error %v; want %v", f.Number, err, ErrStream)
		}
		f, err := c.Next(t.Context())
		if err != nil || !bytes.Equal(f.Data, b) || f.Number != 1 {
			t.Fatalf("after the reconnection: frame %d, %v", f.Number, err)
		}
		if p.dialed != 2 || clock.Now() != sensor.Mono(firstBackOff) {
			t.Errorf("%d connections after %v, want the second after %v", p.dialed, time.Duration(clock.Now()), firstBackOff)
		}
	})
}

func TestSilentCameraIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _, clock := newPipe(t, Options{}, func(_ int, w io.Writer) {
			_, _ = io.WriteString(w, okHeader)
			stay(w)
		})
		if _, err := c.Next(t.Context()); !errors.Is(err, ErrStream) || !strings.Contains(err.Error(), "nothing came for 5s") {
			t.Errorf("error %v, want %v and for how long", err, ErrStream)
		}
		if clock.Now() != sensor.Mono(silence) {
			t.Errorf("given up after %v, want %v", time.Duration(clock.Now()), silence)
		}
	})
}

// A byte now and then is no picture.
func TestDrippingCameraIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _, clock := newPipe(t, Options{}, func(_ int, w io.Writer) {
			_, err := io.WriteString(w, okHeader)
			for ; err == nil; _, err = io.WriteString(w, "x") {
				time.Sleep(silence - time.Second)
			}
		})
		if _, err := c.Next(t.Context()); !errors.Is(err, ErrStream) || !strings.Contains(err.Error(), "no whole picture in 10s") {
			t.Errorf("error %v, want %v and for how long", err, ErrStream)
		}
		if clock.Now() != sensor.Mono(whole) {
			t.Errorf("given up after %v, want %v", time.Duration(clock.Now()), whole)
		}
		time.Sleep(silence) // the camera notices
	})
}

func TestBackOffGrows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _, clock := newPipe(t, Options{}, func(_ int, w io.Writer) {
			_, _ = io.WriteString(w, "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n")
		})
		want := time.Duration(0)
		for _, wait := range []time.Duration{0, 1, 2, 4, 8, 16, 30, 30} {
			want += wait * time.Second
			if _, err := c.Next(t.Context()); !errors.Is(err, ErrConnect) {
				t.Fatalf("error %v, want %v", err, ErrConnect)
			}
			if clock.Now() != sensor.Mono(want) {
				t.Fatalf("attempt at %v, want %v", time.Duration(clock.Now()), want)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := c.Next(ctx); !errors.Is(err, context.DeadlineExceeded) || clock.Now() != sensor.Mono(want+time.Second) {
			t.Errorf("error %v at %v: the wait does not end with its context", err, time.Duration(clock.Now()))
		}
	})
}

func TestCancelledInMidFrame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := sample(t, 1)
		c, p, _ := newPipe(t, Options{}, func(n int, w io.Writer) {
			_, _ = io.WriteString(w, okHeader+part(a, true)[:100])
			if n > 0 {
				_, _ = io.WriteString(w, part(a, true)[100:])
			}
			stay(w)
		})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := c.Next(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("error %v, want deadline exceeded", err)
		}
		f, err := c.Next(t.Context())
		if err != nil || !bytes.Equal(f.Data, a) || p.dialed != 2 {
			t.Errorf("afterwards: %v, %d connections", err, p.dialed)
		}
	})
}

func TestFramesThatWaitedAreGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := sample(t, 1)
		c, _, _ := newPipe(t, Options{}, func(_ int, w io.Writer) {
			_, _ = io.WriteString(w, okHeader)
			for {
				if _, err := io.WriteString(w, part(a, true)); err != nil {
					return
				}
			}
		})
		if _, err := c.Next(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(MaxStall + time.Millisecond)
		if _, err := c.Next(t.Context()); !errors.Is(err, ErrStalled) {
			t.Errorf("error %v, want %v", err, ErrStalled)
		}
		if _, err := c.Next(t.Context()); err != nil {
			t.Errorf("afterwards: %v", err)
		}
	})
}

// A picture that is none is no frame that the camera flagged: the ring says what is
// wrong with it.
func TestDamagedPictureIsTheRingsToRefuse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := sample(t, 1)
		c, _, clock := newPipe(t, Options{}, func(_ int, w io.Writer) {
			_, _ = io.WriteString(w, okHeader+part(a[:len(a)-2], true)+part(a, true))
			stay(w)
		})
		ring := capture.NewRing(2, 1<<16)
		for _, want := range []string{"ends before the end of the picture", ""} {
			f, err := c.Next(t.Context())
			if err != nil || f.Damaged {
				t.Fatalf("damaged %t, %v", f.Damaged, err)
			}
			time.Sleep(time.Millisecond)
			if f.At = clock.Now(); f.At == 0 {
				t.Fatal("the clock stands")
			}
			if err := ring.Put(f); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
				t.Errorf("the ring says %v, want %q", err, want)
			}
		}
	})
}

// TestSimulatedCameraIsBelieved: what it gives is no evidence, from the first
// picture on, and also when a later answer does not say so.
func TestSimulatedCameraIsBelieved(t *testing.T) {
	say := "true"
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "multipart/x-mixed-replace; boundary=frame")
		if say != "" {
			w.Header().Set("Ciglio-Simulated", say)
		}
		say = ""
		_, _ = io.WriteString(w, part(sample(t, 1), true))
	}))
	defer server.Close()
	c, err := New(simulate.NewClock(0), Options{URL: server.URL})
	if err != nil || c.Info().Test {
		t.Fatalf("before it was reached: %+v, %v", c.Info(), err)
	}
	for range 2 {
		if _, err := c.Next(t.Context()); err != nil || !c.Info().Test {
			t.Errorf("%+v, %v", c.Info(), err)
		}
		c.Close()
	}
}

func TestOverARealSocket(t *testing.T) {
	pictures := [][]byte{sample(t, 1), sample(t, 2), sample(t, 3)}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		if user != "op" || password != "secret" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		w.Header().Set("Content-Type", `multipart/x-mixed-replace; boundary="--frame"`)
		for _, p := range pictures {
			_, _ = io.WriteString(w, part(p, true))
		}
	}))
	defer server.Close()
	c, err := New(simulate.NewClock(0), Options{URL: strings.Replace(server.URL, "://", "://op:secret@", 1)})
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range pictures {
		f, err := c.Next(t.Context())
		if err != nil || !bytes.Equal(f.Data, p) {
			t.Fatalf("frame %d: %v", i, err)
		}
	}
	if _, err := c.Next(t.Context()); !errors.Is(err, ErrStream) {
		t.Errorf("at the end: %v, want %v", err, ErrStream)
	}
}

func TestErrorsDoNotTellThePassword(t *testing.T) {
	c, err := New(simulate.NewClock(0), Options{URL: "http://op:secret@camera/video",
		Dial: func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("no route to host") }})
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Next(t.Context())
	if !errors.Is(err, ErrConnect) || strings.Contains(err.Error(), "secret") || !strings.Contains(err.Error(), "no route") {
		t.Errorf("error %v", err)
	}
	if _, err := New(nil, Options{URL: "http://op:secret@%zz"}); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("error %v", err)
	}
}

func TestAnswersThatAreNoStream(t *testing.T) {
	tests := []struct{ name, answer string }{
		{"elsewhere", "HTTP/1.1 302 Found\r\nLocation: http://other/\r\nContent-Length: 0\r\n\r\n"},
		{"not found", "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"},
		{"one picture", "HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\nContent-Length: 0\r\n\r\n"},
		{"a page", "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 0\r\n\r\n"},
		{"endless header", "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("a", 1<<16) + "\r\n\r\n"},
		{"no HTTP at all", "SSH-2.0-OpenSSH_9.2\r\n"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, _, _ := newPipe(t, Options{}, func(_ int, w io.Writer) { _, _ = io.WriteString(w, test.answer) })
				if _, err := c.Next(t.Context()); !errors.Is(err, ErrConnect) {
					t.Errorf("error %v, want %v", err, ErrConnect)
				}
			})
		})
	}
}

func TestOptionsAreChecked(t *testing.T) {
	tests := []struct {
		name string
		o    Options
	}{
		{"no address", Options{}},
		{"a file", Options{URL: "file:///dev/video0"}},
		{"no host", Options{URL: "http:///video"}},
		{"negative latency", Options{URL: "http://camera", Latency: -1}},
		{"latency of a minute", Options{URL: "http://camera", Latency: time.Minute}},
		{"negative frame", Options{URL: "http://camera", MaxFrame: -1}},
	}
	for _, test := range tests {
		if _, err := New(nil, test.o); err == nil {
			t.Errorf("%s: accepted", test.name)
		}
	}
}

// Every kind of odd part is counted, and an error that no picture came says which.
func TestD12_OddPartsAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := sample(t, 1)
		c, _, _ := newPipe(t, Options{MaxFrame: 4096}, func(_ int, w io.Writer) {
			_, _ = io.WriteString(w, okHeader+part(a, true)+"--frame\r\nContent-Type: text/plain\r\n\r\nhello\r\n"+
				part(make([]byte, 99), true)+part(append(sample(t, 1)[:len(a)-2], make([]byte, 5000)...), false)+part(a, true))
			stay(w)
		})
		for range 2 {
			if f, err := c.Next(t.Context()); err != nil || !bytes.Equal(f.Data, a) {
				t.Fatal(err)
			}
		}
		if want := (capture.Odd{Types: 1, Empty: 1, Large: 1}); c.Odd() != want {
			t.Errorf("counted %+v, want %+v", c.Odd(), want)
		}
		if _, err := c.Next(t.Context()); err == nil || !strings.Contains(err.Error(), "so far 1 too large, 1 parts of another type, 1 parts without a picture") {
			t.Errorf("error %v", err)
		}
	})
}
