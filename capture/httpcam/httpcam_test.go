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
	"testing/iotest"
	"testing/synctest"
	"time"

	"ciglio/capture"
	"ciglio/cross/simulate"
	"ciglio/sensor"
)

// picture returns a small JPEG with its number in it, so that each differs.
func picture(t testing.TB, number int) []byte {
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

func readAll(stream io.Reader, maxPart int) (parts [][]byte, err error) {
	p := newPartReader(stream, "frame", maxPart, func() sensor.Mono { return 0 })
	for {
		_, data, err := p.next()
		if err != nil {
			return parts, err
		}
		parts = append(parts, bytes.Clone(data))
	}
}

func TestPartsKeepTheirBytes(t *testing.T) {
	a, b, c := picture(t, 1), picture(t, 2), picture(t, 3)
	lf := strings.ReplaceAll(part(nil, false), "\r\n", "\n")
	tests := []struct {
		name   string
		stream string
		want   [][]byte
	}{
		{"with lengths", part(a, true) + part(b, true) + part(c, true), [][]byte{a, b, c}},
		{"without lengths the last needs its boundary", part(a, false) + part(b, false) + part(c, false) + "--frame", [][]byte{a, b, c}},
		{"mixed", part(a, false) + part(b, true) + part(c, false) + "--frame\r\n", [][]byte{a, b, c}},
		{"lines that end with LF", strings.TrimSuffix(lf, "\n") + string(a) + "\n" + "--frame\n", [][]byte{a}},
		{"empty line before the first boundary", "\r\n" + part(a, true), [][]byte{a}},
		{"image/jpg, as some say", strings.Replace(part(a, true), "image/jpeg", "image/jpg", 1), [][]byte{a}},
		{"other headers are passed over", strings.Replace(part(a, true), "\r\n", "\r\nX-Timestamp: 12.5\r\n", 1), [][]byte{a}},
		{"a boundary within a part of known length is a picture's bytes",
			part([]byte("\xff\xd8\r\n--frame\r\n\xff\xd9"), true), [][]byte{[]byte("\xff\xd8\r\n--frame\r\n\xff\xd9")}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			for _, slow := range []bool{false, true} {
				var r io.Reader = strings.NewReader(test.stream)
				if slow {
					r = iotest.OneByteReader(r)
				}
				got, err := readAll(r, 1<<20)
				if !errors.Is(err, ErrStream) {
					t.Errorf("ended with %v, want %v", err, ErrStream)
				}
				if len(got) != len(test.want) {
					t.Fatalf("byte by byte %t: %d parts, want %d", slow, len(got), len(test.want))
				}
				for i := range got {
					if !bytes.Equal(got[i], test.want[i]) {
						t.Errorf("byte by byte %t: part %d differs", slow, i)
					}
				}
			}
		})
	}
}

func TestHostileStreamsAreRefused(t *testing.T) {
	a := picture(t, 1)
	many := strings.Repeat("X-A: b\r\n", maxHeaders+1)
	tests := []struct {
		name   string
		stream string
		want   error
	}{
		{"cut within a part of known length", part(a, true)[:200], ErrStream},
		{"cut within a part of unknown length", part(a, false)[:200], ErrStream},
		{"cut in the header", "--frame\r\nContent-Ty", ErrStream},
		{"nothing at all", "", ErrStream},
		{"closed by the camera", "--frame--\r\n", ErrStream},
		{"another boundary", strings.Replace(part(a, true), "--frame", "--other", 1), ErrFormat},
		{"a boundary with something behind it", strings.Replace(part(a, true), "--frame", "--frames", 1), ErrFormat},
		{"part longer than announced", part(a, true)[:len(part(a, true))-2] + "junk\r\n" + part(a, true), ErrFormat},
		{"length over the limit", "--frame\r\nContent-Type: image/jpeg\r\nContent-Length: 2000000\r\n\r\n", ErrFormat},
		{"length that overflows", "--frame\r\nContent-Type: image/jpeg\r\nContent-Length: 99999999999999999999\r\n\r\n", ErrFormat},
		{"negative length", "--frame\r\nContent-Type: image/jpeg\r\nContent-Length: -1\r\n\r\n", ErrFormat},
		{"length of zero", "--frame\r\nContent-Type: image/jpeg\r\nContent-Length: 0\r\n\r\n", ErrFormat},
		{"two lengths", "--frame\r\nContent-Type: image/jpeg\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", ErrFormat},
		{"part without a type", "--frame\r\nContent-Length: 5\r\n\r\nabcde", ErrFormat},
		{"text instead of a picture", "--frame\r\nContent-Type: text/html\r\n\r\n", ErrFormat},
		{"header without a colon", "--frame\r\nContent-Type\r\n\r\n", ErrFormat},
		{"too many headers", "--frame\r\n" + many + "\r\n", ErrFormat},
		{"endless line", strings.Repeat("a", maxLine+1), ErrFormat},
		{"endless part", "--frame\r\nContent-Type: image/jpeg\r\n\r\n" + strings.Repeat("a", 1<<20+100), ErrFormat},
		{"nothing but empty lines", strings.Repeat("\r\n", 100), ErrFormat},
	}
	for _, test := range tests {
		got, err := readAll(strings.NewReader(test.stream), 1<<20)
		if !errors.Is(err, test.want) {
			t.Errorf("%s: error %v, want %v", test.name, err, test.want)
		}
		if n := len(got); n > 1 || n == 1 && !bytes.Equal(got[0], a) {
			t.Errorf("%s: gave %d parts", test.name, n)
		}
	}
}

func TestReaderWithoutProgressEnds(t *testing.T) {
	idle := readerFunc(func([]byte) (int, error) { return 0, nil })
	if _, err := readAll(idle, 1<<20); !errors.Is(err, io.ErrNoProgress) {
		t.Errorf("error %v, want %v", err, io.ErrNoProgress)
	}
}

func FuzzPartReader(f *testing.F) {
	a := picture(f, 1)
	f.Add([]byte(part(a, true) + part(a, false) + "--frame--"))
	f.Add([]byte("\r\n--frame\nContent-type:image/jpg\n\nabc\n--frame"))
	f.Add([]byte(part(a, false)[:100]))
	f.Fuzz(func(t *testing.T, stream []byte) {
		const most = 4096
		whole, err := readAll(bytes.NewReader(stream), most)
		if err == nil {
			t.Fatal("a stream that ends gave no error")
		}
		bits, _ := readAll(iotest.HalfReader(bytes.NewReader(stream)), most)
		if len(bits) != len(whole) {
			t.Fatalf("%d parts when read in bits, %d when read whole", len(bits), len(whole))
		}
		for i := range whole {
			if len(whole[i]) > most {
				t.Fatalf("part of %d bytes", len(whole[i]))
			}
			if !bytes.Equal(bits[i], whole[i]) {
				t.Fatalf("part %d depends on how the stream is read", i)
			}
		}
	})
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
		a, b := picture(t, 1), picture(t, 2)
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
		a, b := picture(t, 1), picture(t, 2)
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
		a := picture(t, 1)
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
		a := picture(t, 1)
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

func TestDamagedPictureIsFlagged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := picture(t, 1)
		c, _, _ := newPipe(t, Options{}, func(_ int, w io.Writer) {
			_, _ = io.WriteString(w, okHeader+part(a[:len(a)-2], true)+part(a, true))
			stay(w)
		})
		for _, damaged := range []bool{true, false} {
			f, err := c.Next(t.Context())
			if err != nil || f.Damaged != damaged {
				t.Errorf("damaged %t, %v; want %t", f.Damaged, err, damaged)
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
		_, _ = io.WriteString(w, part(picture(t, 1), true))
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
	pictures := [][]byte{picture(t, 1), picture(t, 2), picture(t, 3)}
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
		{"no type", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"},
		{"no boundary", "HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace\r\n\r\n"},
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
