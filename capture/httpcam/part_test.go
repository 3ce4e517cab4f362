package httpcam

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/jpeg"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"ciglio/capture"
	"ciglio/sensor"
)

// crlf returns lines, each with its end.
func crlf(lines ...string) string { return strings.Join(lines, "\r\n") + "\r\n" }

// typed returns a part as most cameras send it, behind its boundary line.
func typed(data []byte, headers ...string) string {
	return crlf(headers...) + "\r\n" + string(data) + "\r\n"
}

func lengthOf(n int) string { return fmt.Sprintf("Content-Length: %d", n) }

const jpegType = "Content-Type: image/jpeg"

// kinds names what is counted, by its number.
func (c *counts) kinds() string {
	var b strings.Builder
	for _, k := range []struct {
		name string
		n    uint64
	}{
		{"types", c.types.Load()}, {"empty", c.empty.Load()}, {"lengths", c.lengths.Load()}, {"boundaries", c.boundaries.Load()},
		{"large", c.large.Load()}, {"behind", c.behind.Load()}, {"between", c.between.Load()},
	} {
		if k.n > 0 {
			fmt.Fprintf(&b, "%s %d ", k.name, k.n)
		}
	}
	return strings.TrimSpace(b.String())
}

type row struct {
	name     string
	boundary string // as announced
	stream   string
	want     [][]byte
	behind   []int  // of each; nil for none at all
	counts   string // see kinds
}

func (r row) check(t *testing.T) {
	t.Run(r.name, func(t *testing.T) {
		for name, reader := range map[string]io.Reader{
			"at once":      strings.NewReader(r.stream),
			"in bits":      iotest.HalfReader(strings.NewReader(r.stream)),
			"byte by byte": iotest.OneByteReader(strings.NewReader(r.stream)),
		} {
			var odd counts
			got, behind, err := readAll(reader, r.boundary, 1<<16, &odd)
			if !errors.Is(err, ErrStream) {
				t.Errorf("%s: ended with %v, want %v", name, err, ErrStream)
			}
			if len(got) != len(r.want) {
				t.Fatalf("%s: %d pictures, want %d (%s)", name, len(got), len(r.want), odd.kinds())
			}
			for i := range got {
				if !bytes.Equal(got[i], r.want[i]) {
					t.Errorf("%s: picture %d of %d bytes differs, want %d", name, i+1, len(got[i]), len(r.want[i]))
				}
				if want := append(r.behind, make([]int, len(got))...)[i]; behind[i] != want {
					t.Errorf("%s: %d bytes behind picture %d, want %d", name, behind[i], i+1, want)
				}
			}
			if odd.kinds() != r.counts {
				t.Errorf("%s: counted %q, want %q", name, odd.kinds(), r.counts)
			}
		}
	})
}

func TestD11_BoundariesAsTheyAreSent(t *testing.T) {
	a, b, c := sample(t, 1), sample(t, 2), sample(t, 3)
	all := [][]byte{a, b, c}
	// stream has each picture behind a boundary line, with and without lengths.
	stream := func(line string, lengths bool) string {
		var s string
		for _, data := range all {
			headers := []string{jpegType}
			if lengths {
				headers = append(headers, lengthOf(len(data)))
			}
			s += line + "\r\n" + typed(data, headers...)
		}
		return s
	}
	for _, lengths := range []bool{true, false} {
		t.Run(fmt.Sprintf("lengths %t", lengths), func(t *testing.T) {
			s := stream("--frame", lengths)
			rows := []row{
				{"by the letter", "frame", s + "--frame--\r\n", all, nil, ""},
				{"cut behind the last picture", "frame", strings.TrimSuffix(s, "\r\n"), all, nil, ""},
				{"no first boundary line", "frame", strings.TrimPrefix(s, "--frame\r\n"), all, nil, ""},
				{"each boundary line twice", "frame", stream("--frame\r\n--frame", lengths), all, nil, ""},
				{"with an empty line between", "frame", stream("--frame\r\n\r\n--frame", lengths), all, nil, ""},
				{"without dashes", "frame", stream("frame", lengths), all, nil, ""},
				{"with one dash", "frame", stream("-frame", lengths), all, nil, ""},
				{"with more dashes", "frame", stream("----frame", lengths), all, nil, ""},
				{"with dashes behind", "frame", stream("--frame--", lengths), all, nil, ""},
				{"with blanks behind", "frame", stream("--frame \t", lengths), all, nil, ""},
				{"announced with its dashes", "--frame", s, all, nil, ""},
				{"announced and sent with two more", "--frame", stream("----frame", lengths), all, nil, ""},
				{"announced with dashes at both ends", "--frame--", stream("--frame--", lengths), all, nil, ""},
				{"with dashes of its own", "--a--b", stream("----a--b", lengths), all, nil, ""},
				{"of dashes alone", "----", stream("------", lengths), all, nil, ""},
				{"of another case", "Frame", s, all, nil, ""},
				{"of one letter", "b", stream("--b", lengths), all, nil, ""},
				{"not announced", "", s, all, nil, ""},
				{"another than announced", "other", s, all, nil, ""},
				{"none at all", "frame", strings.ReplaceAll(s, "--frame\r\n", ""), all, nil, "boundaries 2"},
				{"a preamble", "frame", "This is a stream.\r\nNothing to see: here\r\n\r\n" + s, all, nil, "between 1"},
				{"a long preamble", "frame", strings.Repeat("no line end ", 10_000) + "\r\n" + s, all, nil, "between 1"},
				{"an epilogue", "frame", s + "--frame--\r\nGood bye\r\n", all, nil, ""},
				{"the answer's header once more", "frame", crlf("HTTP/1.1 200 OK", "Content-Type: multipart/x-mixed-replace; boundary=frame", "") + s, all, nil, "types 1 between 1"},
				{"empty lines before it", "frame", strings.Repeat("\r\n", 100) + s, all, nil, ""},
				{"lines that end with LF", "frame", strings.ReplaceAll(s, "\r\n", "\n"), all, nil, ""},
				{"no line end before it", "frame", strings.ReplaceAll(s, "\xff\xd9\r\n", "\xff\xd9"), all, nil, ""},
			}
			for _, r := range rows {
				if r.name == "lines that end with LF" { // the pictures keep theirs
					r.stream = ""
					for _, data := range all {
						head := "--frame\n" + jpegType + "\n"
						if lengths {
							head += lengthOf(len(data)) + "\n"
						}
						r.stream += head + "\n" + string(data) + "\n"
					}
				}
				r.check(t)
			}
		})
	}
	row{"a stream of another kind beside it", "frame", "--frame--\r\n" + typed([]byte("\x00\x00\x00\x01\xff\xd8\xff"), "Content-Type: video/x-h264", "Content-Length: 7", "X-Audio: 1") +
		"--frame--\r\n" + typed(a, jpegType, lengthOf(len(a))), [][]byte{a}, nil, "types 1"}.check(t)
	row{"pictures and nothing else", "", string(a) + string(b) + string(c), all, nil, "boundaries 2"}.check(t)
	row{"pictures with padding between", "frame", string(a) + "\x00\x00\x00\x00" + string(b) + "\x00\x00" + string(c), all, []int{4, 2}, "boundaries 2 behind 2"}.check(t)
}

func TestD11_BoundariesAsTheyAreAnnounced(t *testing.T) {
	for _, test := range []struct{ header, want string }{
		{"multipart/x-mixed-replace; boundary=frame", "frame"},
		{`multipart/x-mixed-replace; boundary="frame"`, "frame"},
		{`multipart/x-mixed-replace;boundary="--frame"`, "--frame"},
		{"multipart/x-mixed-replace; boundary=--frame", "--frame"},
		{"multipart/x-mixed-replace; BOUNDARY = frame ; charset=utf-8", "frame"},
		{"multipart/x-mixed-replace; charset=utf-8; boundary=frame;", "frame"},
		{"multipart/mixed; boundary=frame", "frame"},
		{"Multipart/X-Mixed-Replace;boundary=frame", "frame"},
		{"multipart/x-mixed-replace; boundary=my stream", "my stream"},
		{"multipart/x-mixed-replace; boundary=a=b:c/d", "a=b:c/d"},
		{`multipart/x-mixed-replace; boundary="frame`, "frame"},
		{`multipart/x-mixed-replace; boundary="a\"b;c"`, `a"b;c`},
		{"multipart/x-mixed-replace", ""},
		{"multipart/x-mixed-replace; boundary", ""},
		{"multipart/x-mixed-replace; live; boundary=frame", "frame"},
		{"", ""},
		{"video/x-motion-jpeg", ""},
		{"application/octet-stream", ""},
	} {
		if got, err := boundaryOf(test.header); err != nil || got != test.want {
			t.Errorf("%s: boundary %q, %v; want %q", test.header, got, err, test.want)
		}
	}
	for header, want := range map[string]string{
		"image/jpeg":       "address of one picture",
		"text/html":        "want multipart",
		"application/json": "want multipart",
	} {
		if _, err := boundaryOf(header); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q", header, err, want)
		}
	}
}

func TestD12_PartsAsTheyAreSent(t *testing.T) {
	a, b, c := sample(t, 1), sample(t, 2), sample(t, 3)
	all := [][]byte{a, b, c}
	const line = "--frame\r\n"
	length := func(data []byte, more int) string { return lengthOf(len(data) + more) }
	fine := func(data []byte) string { return line + typed(data, jpegType, length(data, 0)) }
	// middle has an odd part, or the picture b with odd headers, between two good ones.
	middle := func(odd string) string { return fine(a) + odd + fine(c) }
	with := func(headers ...string) string { return middle(line + typed(b, headers...)) }
	short := b[:len(b)-40]
	noise := encoded(t, noisy())
	rows := []row{
		{"no type", "frame", with(length(b, 0)), all, nil, ""},
		{"no header at all", "frame", with(), all, nil, ""},
		{"no header and no empty line", "frame", middle(line + string(b) + "\r\n"), all, nil, ""},
		{"image/jpg", "frame", with("Content-Type: image/jpg", length(b, 0)), all, nil, ""},
		{"parameters behind the type", "frame", with("Content-Type: image/jpeg; charset=utf-8; name=\"a.jpg\"", length(b, 0)), all, nil, ""},
		{"a type in capitals", "frame", with("CONTENT-TYPE: IMAGE/JPEG", "content-length:"+fmt.Sprint(len(b))), all, nil, ""},
		{"blanks before the colon", "frame", with("Content-Type : image/jpeg", "Content-Length : "+fmt.Sprint(len(b))), all, nil, ""},
		{"a type that says nothing", "frame", with("Content-Type: application/octet-stream", length(b, 0)), all, nil, ""},
		{"the type twice", "frame", with(jpegType, jpegType, length(b, 0)), all, nil, ""},
		{"a hundred header lines", "frame", with(append(strings.Split(strings.Repeat("X-A: b\n", 100), "\n")[:100], jpegType, length(b, 0))...), all, nil, ""},
		{"a header line of a megabyte", "frame", with("X-A: "+strings.Repeat("b", 1<<20), jpegType, length(b, 0)), all, nil, ""},
		{"a header folded", "frame", with("X-A: b", "\tand more", jpegType, length(b, 0)), all, nil, ""},
		{"a header without a colon", "frame", with("X-A", jpegType, length(b, 0)), all, nil, ""},
		{"the same length twice", "frame", with(jpegType, length(b, 0), length(b, 0)), all, nil, ""},
		{"two lengths", "frame", with(jpegType, length(b, 0), length(b, 7)), all, nil, "lengths 1"},
		{"two lengths, both wrong", "frame", with(jpegType, length(b, -9), length(b, 7)), all, nil, "lengths 1"},
		{"no length", "frame", with(jpegType), all, nil, ""},
		{"a length of zero", "frame", with(jpegType, lengthOf(0)), all, nil, "lengths 1"},
		{"a negative length", "frame", with(jpegType, lengthOf(-1)), all, nil, "lengths 1"},
		{"a length that overflows", "frame", with(jpegType, "Content-Length: 99999999999999999999"), all, nil, "lengths 1"},
		{"a length in words", "frame", with(jpegType, "Content-Length: many"), all, nil, "lengths 1"},
		{"one byte too short", "frame", with(jpegType, length(b, -1)), all, nil, "lengths 1"},
		{"100 bytes too short", "frame", with(jpegType, length(b, -100)), all, nil, "lengths 1"},
		{"the line end counted", "frame", with(jpegType, length(b, 2)), all, nil, ""},
		{"seven bytes too long", "frame", with(jpegType, length(b, 7)), all, nil, "lengths 1"},
		{"so long that it ends in the next header", "frame", with(jpegType, length(b, 40)), all, nil, "lengths 1"},
		{"so long that it ends in the next picture", "frame", with(jpegType, length(b, 200)), all, nil, "lengths 1"},
		{"longer than is allowed", "frame", with(jpegType, lengthOf(2_000_000_000)), all, nil, "lengths 1"},
		{"a text", "frame", middle(line + typed([]byte("hello"), "Content-Type: text/plain", lengthOf(5)) + fine(b)), all, nil, "types 1"},
		{"a text with lines", "frame", middle(line + typed([]byte("hello:\r\n\r\nContent-Language: it\r\n--fram"), "Content-Type: text/plain") + fine(b)), all, nil, "types 1"},
		{"a text that holds a picture", "frame", middle(line + typed(b, "Content-Type: text/plain")), [][]byte{a, c}, nil, "types 1"},
		{"a text larger than a picture may be", "frame", middle(line + typed(bytes.Repeat([]byte("text\r\n"), 30_000), "Content-Type: text/plain") + fine(b)), all, nil, "types 1"},
		{"another kind of picture", "frame", middle(line + typed([]byte("\x89PNG\r\n\x1a\n"), "Content-Type: image/png", lengthOf(8)) + fine(b)), all, nil, "empty 1"},
		{"sound", "frame", middle(line + typed(bytes.Repeat([]byte{0xFF, 0xD8, 0xFF}, 99), "Content-Type: audio/basic") + fine(b)), all, nil, "types 1"},
		{"a part without anything", "frame", middle(line + typed(nil, jpegType, lengthOf(0)) + fine(b)), all, nil, "empty 1"},
		{"a part of zeros", "frame", middle(line + typed(make([]byte, 5000), jpegType, lengthOf(5000)) + fine(b)), all, nil, "empty 1"},
		{"a picture cut short with the next part behind it", "frame", middle(line + typed(short, jpegType)), [][]byte{a, short, c}, nil, ""},
		{"the same with the length of the whole", "frame", middle(line + typed(short, jpegType, length(b, 0))), [][]byte{a, short, c}, nil, ""},
		{"the same with its own length", "frame", middle(line + typed(short, jpegType, length(short, 0))), [][]byte{a, short, c}, nil, ""},
		{"a picture cut in its tables", "frame", middle(line + typed(b[:90], jpegType, lengthOf(90))), [][]byte{a, b[:90], c}, nil, ""},
		{"garbage behind a start of image", "frame", middle(line + typed([]byte("\xff\xd8\xff\xe0 garbage\r\nand more"), jpegType)), [][]byte{a, []byte("\xff\xd8\xff\xe0 garbage\r\nand more"), c}, nil, ""},
		{"a picture too large", "frame", middle(line + typed(noise, jpegType, length(noise, 0)) + fine(b)), all, nil, "large 1"},
		{"the same without a length", "frame", middle(line + typed(noise, jpegType) + fine(b)), all, nil, "large 1"},
		{"the same that never ends", "frame", middle(line + typed(noise[:len(noise)-2], jpegType) + fine(b)), all, nil, "large 1"},
		{"garbage too large", "frame", middle(line + typed(append([]byte{0xFF, 0xD8, 0xFF, 1}, noise[4:]...), jpegType) + fine(b)), all, nil, "large 1"},
		{"the boundary within a picture's comment", "frame", fine(commented(a, "\r\n--frame\r\nContent-Type: image/jpeg\r\n\r\n")), [][]byte{commented(a, "\r\n--frame\r\nContent-Type: image/jpeg\r\n\r\n")}, nil, ""},
		{"a small picture within a picture", "frame", fine(commented(a, string(b))), [][]byte{commented(a, string(b))}, nil, ""},
	}
	for _, r := range rows {
		r.check(t)
	}
}

func TestD13_BytesBehindThePictureAreCounted(t *testing.T) {
	a, b := sample(t, 1), sample(t, 2)
	both := [][]byte{a, b}
	const line = "--frame\r\n"
	// odd has something behind the picture a, and a good one behind that.
	odd := func(behind string, headers ...string) string {
		return line + typed(append(bytes.Clone(a), behind...), headers...) + line + typed(b, jpegType, lengthOf(len(b)))
	}
	stated := func(behind string) string { return odd(behind, jpegType, lengthOf(len(a)+len(behind))) }
	rows := []row{
		{"a word, within the length", "frame", stated("junk!"), both, []int{5}, "behind 1"},
		{"a word, without a length", "frame", odd("junk!", jpegType), both, []int{5}, "behind 1"},
		{"a word, beyond the length", "frame", odd("junk!", jpegType, lengthOf(len(a))), both, nil, "between 1"},
		{"zeros, within the length", "frame", stated(string(make([]byte, 500))), both, []int{500}, "behind 1"},
		{"zeros, without a length", "frame", odd(string(make([]byte, 500)), jpegType), both, []int{500}, "behind 1"},
		{"lines, within the length", "frame", stated("one\r\ntwo\n"), both, []int{9}, "behind 1"},
		{"lines, without a length", "frame", odd("one\r\ntwo\n", jpegType), both, []int{9}, "behind 1"},
		{"a trailer larger than a picture may be", "frame", stated(strings.Repeat("trailer ", 20_000)), both, []int{160_000}, "behind 1"},
		{"a second picture within the length", "frame", stated(string(b)), both, []int{len(b)}, "behind 1"},
		{"another end of image", "frame", stated("\xff\xd9"), both, []int{2}, "behind 1"},
		{"line ends alone are none", "frame", odd("\r\n\r\n", jpegType), both, nil, ""},
	}
	for _, r := range rows {
		r.check(t)
	}
}

// commented returns a JPEG with a comment behind its start.
func commented(data []byte, text string) []byte {
	b := append([]byte{0xFF, 0xD8, 0xFF, 0xFE, byte((len(text) + 2) >> 8), byte(len(text) + 2)}, text...)
	return append(b, data[2:]...)
}

// noisy returns a picture that no encoder makes small.
func noisy() image.Image {
	m := image.NewGray(image.Rect(0, 0, 400, 400))
	x := uint32(1)
	for i := range m.Pix {
		x = x*1664525 + 1013904223
		m.Pix[i] = byte(x >> 24)
	}
	return m
}

func encoded(t testing.TB, m image.Image) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := jpeg.Encode(&b, m, &jpeg.Options{Quality: 95}); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// An endless stream of anything takes no more memory than the largest picture.
func TestD12_MemoryIsBounded(t *testing.T) {
	const most = 1 << 16
	for name, text := range map[string]string{
		"lines":          "line\r\n",
		"no line end":    "no line end ",
		"boundaries":     "--frame\r\n",
		"headers":        "X-A: b\r\n",
		"starts":         "\xff\xd8\xff",
		"fill bytes":     "\xff",
		"endless scan":   "\x00\x01\x02",
		"segments":       "\xff\xe0\xff\xff" + strings.Repeat("x", 65533),
		"texts":          "--frame\r\nContent-Type: text/plain\r\n\r\nhello\r\n",
		"lines of a MiB": strings.Repeat("x", 1<<20) + "\r\n",
	} {
		before := "--frame\r\n" + jpegType + "\r\n\r\n"
		switch name {
		case "endless scan":
			before += string(sample(t, 1)[:len(sample(t, 1))-2])
		case "segments":
			before += "\xff\xd8"
		}
		var odd counts
		stream := io.MultiReader(strings.NewReader(before), io.LimitReader(&endless{text: text}, 8<<20))
		p := newPartReader(stream, "frame", most, nil, &odd)
		p.now = func() sensor.Mono { return 0 }
		var err error
		for err == nil {
			_, err = p.next()
		}
		if !errors.Is(err, ErrStream) {
			t.Errorf("%s: %v", name, err)
		}
		if n := cap(p.part) + cap(p.buffer) + cap(p.text); n > 3*(most+readAhead) {
			t.Errorf("%s: %d bytes of memory", name, n)
		}
	}
}

type endless struct {
	text string
	at   int
}

func (e *endless) Read(b []byte) (n int, err error) {
	for n < len(b) {
		k := copy(b[n:], e.text[e.at:])
		n += k
		e.at = (e.at + k) % len(e.text)
	}
	return n, nil
}

func FuzzPartReader(f *testing.F) {
	a, b := sample(f, 1), sample(f, 2)
	f.Add([]byte(part(a, true)+part(b, false)+"--frame--"), "frame")
	f.Add([]byte("\r\n--frame\nContent-type:image/jpg\n\nabc\n--frame"), "--frame")
	f.Add([]byte(part(a, false)[:100]), "")
	f.Add([]byte(part(append(bytes.Clone(a), "junk\r\n"...), true)+part(b[:200], false)+part(a, true)), "b")
	f.Add([]byte(string(a)+"\x00\x00"+string(b)), "----")
	f.Fuzz(func(t *testing.T, stream []byte, boundary string) {
		const most = 4096
		var odd, oddOfBits counts
		whole, behind, err := readAll(bytes.NewReader(stream), boundary, most, &odd)
		if err == nil {
			t.Fatal("a stream that ends gave no error")
		}
		bits, behindBits, _ := readAll(iotest.OneByteReader(bytes.NewReader(stream)), boundary, most, &oddOfBits)
		if len(bits) != len(whole) || odd.kinds() != oddOfBits.kinds() {
			t.Fatalf("%d pictures and %q when read in bits, %d and %q when read whole", len(bits), oddOfBits.kinds(), len(whole), odd.kinds())
		}
		for i := range whole {
			if len(whole[i]) > most {
				t.Fatalf("picture of %d bytes", len(whole[i]))
			}
			if !bytes.Equal(bits[i], whole[i]) || behind[i] != behindBits[i] {
				t.Fatalf("picture %d depends on how the stream is read", i)
			}
			// What is a picture by its markers ends with the bytes that are given.
			if _, _, length, err := capture.InspectJPEG(whole[i]); err == nil && length != len(whole[i]) {
				t.Fatalf("picture %d has %d bytes, %d are given", i, length, len(whole[i]))
			}
		}
	})
}
