package capture

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"ciglio/sensor"
)

// frame returns a JPEG of about size bytes taken at the given instant. Its
// bytes depend on the number alone, so that a mixture of two frames shows.
func frame(number uint64, at sensor.Mono, size int) Frame {
	return Frame{Number: number, At: at, MediaType: "image/jpeg", Data: fakeJPEG(number, size)}
}

// fakeJPEG is a JPEG by its markers, with numbers in place of pixels.
func fakeJPEG(number uint64, size int) []byte {
	b := append(fakeTables(), 0xFF, 0xC0, 0, 11, 8, 0, 16, 0, 16, 1, 1, 0x11, 0,
		0xFF, 0xDA, 0, 8, 1, 1, 0, 0, 63, 0)
	for len(b) < size-2 {
		// Six bits a byte, so that none is 0xFF.
		for shift := 0; shift < 64; shift += 6 {
			b = append(b, byte(number>>shift&0x3F))
		}
	}
	return append(b, 0xFF, 0xD9)
}

// fakeTables is the start of a JPEG with a quantisation table and two Huffman
// tables of one code each.
func fakeTables() []byte {
	b := append([]byte{0xFF, 0xD8, 0xFF, 0xDB, 0, 67, 0}, bytes.Repeat([]byte{1}, 64)...)
	for _, class := range []byte{0x00, 0x10} {
		b = append(b, 0xFF, 0xC4, 0, 20, class, 1)
		b = append(b, make([]byte, 16)...)
	}
	return b
}

const ms = sensor.Mono(time.Millisecond)

// filled returns a ring that holds frames 80 ms apart from the given one on.
func filled(t testing.TB, slots int, from, to uint64) *Ring {
	t.Helper()
	r := NewRing(slots, 1000)
	for n := from; n <= to; n++ {
		if err := r.Put(frame(n, sensor.Mono(n)*80*ms, 200)); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

func TestShotsAreChosenByTime(t *testing.T) {
	type shot struct {
		role   string
		number uint64
	}
	tests := []struct {
		name    string
		photo   sensor.Mono
		count   int
		spacing time.Duration
		want    []shot
	}{
		{"two: the photo and one after", 800 * ms, 2, 80 * time.Millisecond, []shot{{"photo", 10}, {"after", 11}}},
		{"three: one on each side", 800 * ms, 3, 80 * time.Millisecond, []shot{{"before", 9}, {"photo", 10}, {"after", 11}}},
		{"four: two after", 800 * ms, 4, 80 * time.Millisecond, []shot{{"before", 9}, {"photo", 10}, {"after", 11}, {"after", 12}}},
		{"five: two on each side", 800 * ms, 5, 80 * time.Millisecond,
			[]shot{{"before", 8}, {"before", 9}, {"photo", 10}, {"after", 11}, {"after", 12}}},
		{"instant between frames takes the nearer", 845 * ms, 2, 80 * time.Millisecond, []shot{{"photo", 11}, {"after", 12}}},
		{"wide spacing passes frames over", 800 * ms, 3, 400 * time.Millisecond, []shot{{"before", 5}, {"photo", 10}, {"after", 15}}},
		{"spacing that is no multiple takes the nearest", 800 * ms, 3, 110 * time.Millisecond, []shot{{"before", 9}, {"photo", 10}, {"after", 11}}},
		{"spacing below the camera's takes no frame twice", 800 * ms, 5, 50 * time.Millisecond,
			[]shot{{"before", 8}, {"before", 9}, {"photo", 10}, {"after", 11}, {"after", 12}}},
		{"photo at the oldest frame", 160 * ms, 2, 80 * time.Millisecond, []shot{{"photo", 2}, {"after", 3}}},
	}
	r := filled(t, 30, 2, 20)
	for _, test := range tests {
		got, err := r.Shots(test.photo, test.count, test.spacing, 62*time.Millisecond)
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		if len(got) != len(test.want) {
			t.Errorf("%s: %d shots, want %d", test.name, len(got), len(test.want))
			continue
		}
		for i, want := range test.want {
			f := got[i].Frame
			if got[i].Role != want.role || f.Number != want.number || f.At != sensor.Mono(want.number)*80*ms ||
				!bytes.Equal(f.Data, fakeJPEG(want.number, 200)) {
				t.Errorf("%s: shot %d is %s %d, want %s %d", test.name, i, got[i].Role, f.Number, want.role, want.number)
			}
		}
	}
}

func TestGapIsNamed(t *testing.T) {
	r := filled(t, 10, 1, 20) // holds 11 to 20: 880 to 1600 ms
	tests := []struct {
		name  string
		photo sensor.Mono
		count int
		want  GapError
	}{
		{"photo that was overwritten", 500 * ms, 2, GapError{Role: "photo", At: 500 * ms, Off: 380 * time.Millisecond}},
		{"photo that is not there yet", 1900 * ms, 2, GapError{Role: "photo", At: 1900 * ms, Off: -300 * time.Millisecond}},
		{"nothing before", 880 * ms, 3, GapError{Role: "before", At: 800 * ms, Empty: true}},
		{"nothing after", 1600 * ms, 2, GapError{Role: "after", At: 1680 * ms, Empty: true}},
		{"second after not there yet", 1520 * ms, 5, GapError{Role: "after", At: 1680 * ms, Empty: true}},
	}
	for _, test := range tests {
		test.want.Within = 40 * time.Millisecond
		_, err := r.Shots(test.photo, test.count, 80*time.Millisecond, 40*time.Millisecond)
		var gap *GapError
		if !errors.As(err, &gap) || *gap != test.want {
			t.Errorf("%s: error %v, want %v", test.name, err, &test.want)
		}
	}
	if _, err := NewRing(3, 100).Shots(0, 2, 1, 0); err == nil {
		t.Error("an empty ring gave shots")
	}
	if want, got := `frame "photo" at 0.500s: the nearest is 380ms later, allowed is 40ms`,
		(&GapError{Role: "photo", At: 500 * ms, Within: 40 * time.Millisecond, Off: 380 * time.Millisecond}).Error(); got != want {
		t.Errorf("error reads %q, want %q", got, want)
	}
}

func TestShotsRefusesWhatIsNoRequest(t *testing.T) {
	r := filled(t, 10, 1, 10)
	for _, count := range []int{-1, 0, 1, 6, 1 << 30} {
		if _, err := r.Shots(400*ms, count, 80*time.Millisecond, time.Second); err == nil {
			t.Errorf("%d shots: accepted", count)
		}
	}
	if _, err := r.Shots(400*ms, 2, 0, time.Second); err == nil {
		t.Error("no spacing: accepted")
	}
}

func TestRingHoldsWholeFramesOnly(t *testing.T) {
	good := frame(5, 400*ms, 200)
	tests := []struct {
		name   string
		change func(*Frame)
		want   error
	}{
		{"larger than a slot", func(f *Frame) { f.Data = fakeJPEG(5, 2000) }, ErrTooLarge},
		{"flagged by the camera", func(f *Frame) { f.Damaged = true }, ErrDamaged},
		{"cut off", func(f *Frame) { f.Data = f.Data[:100] }, ErrDamaged},
		{"empty", func(f *Frame) { f.Data = nil }, ErrDamaged},
		{"no picture type", func(f *Frame) { f.MediaType = "video/h264" }, ErrDamaged},
		{"taken at the same instant", func(f *Frame) { f.At = 320 * ms }, ErrOrder},
		{"taken before the newest", func(f *Frame) { f.At = 100 * ms }, ErrOrder},
	}
	for _, test := range tests {
		r := filled(t, 10, 1, 4)
		f := good
		test.change(&f)
		if err := r.Put(f); !errors.Is(err, test.want) {
			t.Errorf("%s: error %v, want %v", test.name, err, test.want)
		}
		if at, _ := r.Newest(); at != 320*ms {
			t.Errorf("%s: newest frame at %d", test.name, at)
		}
		if s := r.Stats(); s.Stored != 4 || s.TooLarge+s.Damaged+s.Order != 1 || s.Lost != 0 {
			t.Errorf("%s: stats %+v", test.name, s)
		}
	}
}

func TestLostFramesAreCounted(t *testing.T) {
	r := filled(t, 10, 1, 3)
	if err := r.Put(frame(8, 640*ms, 200)); err != nil {
		t.Fatal(err)
	}
	if s := r.Stats(); s.Lost != 4 {
		t.Errorf("lost %d, want 4", s.Lost)
	}
	// A camera that was restarted counts from the start.
	if err := r.Put(frame(0, 720*ms, 200)); err != nil {
		t.Fatal(err)
	}
	if s := r.Stats(); s.Lost != 4 {
		t.Errorf("lost %d after a restart, want 4", s.Lost)
	}
}

func TestShotsAreOwnedCopies(t *testing.T) {
	r := filled(t, 4, 1, 4)
	shots, err := r.Shots(160*ms, 2, 80*time.Millisecond, 0)
	if err != nil {
		t.Fatal(err)
	}
	for n := uint64(5); n < 20; n++ {
		if err := r.Put(frame(n, sensor.Mono(n)*80*ms, 200)); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(shots[0].Frame.Data, fakeJPEG(2, 200)) {
		t.Error("a shot changed when the ring went on")
	}
}

func TestReadersNeverSeeATornFrame(t *testing.T) {
	r := NewRing(4, 40_000)
	var group sync.WaitGroup
	done := make(chan struct{})
	for range 3 {
		group.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				at, ok := r.Newest()
				if !ok {
					continue
				}
				shots, err := r.Shots(at-3, 2, 1, 100)
				if err != nil {
					continue
				}
				for _, s := range shots {
					if !bytes.Equal(s.Frame.Data, fakeJPEG(s.Frame.Number, int(20_000+s.Frame.Number%7*1000))) {
						t.Errorf("frame %d is a mixture", s.Frame.Number)
						return
					}
				}
			}
		})
	}
	for n := range uint64(400) {
		if err := r.Put(frame(n, sensor.Mono(n+1), int(20_000+n%7*1000))); err != nil {
			t.Fatal(err)
		}
	}
	close(done)
	group.Wait()
}

func TestWaitEndsWithTheFrame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := filled(t, 10, 1, 3)
		if err := r.Wait(t.Context(), 240*ms); err != nil {
			t.Errorf("a frame that is there: %v", err)
		}
		var group sync.WaitGroup
		for range 3 {
			group.Go(func() {
				if err := r.Wait(t.Context(), 400*ms); err != nil {
					t.Error(err)
				}
				if at, _ := r.Newest(); at != 400*ms {
					t.Errorf("ended with the frame of %d", at)
				}
			})
		}
		for n := uint64(4); n <= 5; n++ {
			synctest.Wait()
			if err := r.Put(frame(n, sensor.Mono(n)*80*ms, 200)); err != nil {
				t.Fatal(err)
			}
		}
		group.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := r.Wait(ctx, 480*ms); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v, want deadline exceeded", err)
		}
	})
}

// script is a camera that gives what it was told to.
type script struct {
	steps []any // Frame or error
}

func (*script) Info() Info { return Info{Model: "script"} }

func (s *script) Next(ctx context.Context) (Frame, error) {
	if len(s.steps) == 0 {
		<-ctx.Done()
		return Frame{}, ctx.Err()
	}
	step := s.steps[0]
	s.steps = s.steps[1:]
	if err, ok := step.(error); ok {
		return Frame{}, err
	}
	return step.(Frame), nil
}

func TestRunGoesOnAfterErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		unplugged := errors.New("unplugged")
		damaged := frame(3, 240*ms, 200)
		damaged.Damaged = true
		c := &script{steps: []any{frame(1, 80*ms, 200), unplugged, unplugged, frame(2, 160*ms, 200), damaged, frame(4, 320*ms, 200), io.EOF}}
		r := NewRing(10, 1000)
		var reports []error
		if err := r.Run(t.Context(), c, func(err error) { reports = append(reports, err) }); err != nil {
			t.Errorf("error %v at the end of a recording, want none", err)
		}
		if len(reports) != 3 || !errors.Is(reports[1], unplugged) || !errors.Is(reports[2], ErrDamaged) {
			t.Errorf("reports = %v", reports)
		}
		if s := r.Stats(); s.Stored != 3 || s.Damaged != 1 {
			t.Errorf("stats %+v", s)
		}
	})
}

func TestRunEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := NewRing(2, 1000).Run(ctx, &script{}, func(error) { t.Error("reported") }); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v, want deadline exceeded", err)
		}
		failing := &script{}
		for range 10 {
			failing.steps = append(failing.steps, errors.New("dead"))
		}
		ctx, cancel = context.WithTimeout(t.Context(), 250*time.Millisecond)
		defer cancel()
		reports := 0
		if err := NewRing(2, 1000).Run(ctx, failing, func(error) { reports++ }); !errors.Is(err, context.DeadlineExceeded) || reports != 3 {
			t.Errorf("error %v after %d reports, want 3 in 250 ms", err, reports)
		}
	})
}

func BenchmarkPut(b *testing.B) {
	r := NewRing(20, 401_000)
	f := frame(1, 0, 400_000)
	b.SetBytes(int64(len(f.Data)))
	b.ReportAllocs()
	for b.Loop() {
		f.At++
		if err := r.Put(f); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkShots(b *testing.B) {
	r := NewRing(20, 401_000)
	for n := range uint64(20) {
		if err := r.Put(frame(n, sensor.Mono(n)*80*ms, 400_000)); err != nil {
			b.Fatal(err)
		}
	}
	b.SetBytes(3 * 400_000)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.Shots(800*ms, 3, 80*time.Millisecond, 40*time.Millisecond); err != nil {
			b.Fatal(err)
		}
	}
}

func TestPutAllocatesNothing(t *testing.T) {
	r := filled(t, 4, 1, 8)
	f := frame(9, 720*ms, 900)
	if n := testing.AllocsPerRun(100, func() {
		f.At++
		f.Number++
		if err := r.Put(f); err != nil {
			t.Error(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations a frame", n)
	}
}

// The torn-frame test rests on this.
func TestFakePicturesDiffer(t *testing.T) {
	seen := map[uint64]bool{}
	for n := range uint64(500) {
		b := fakeJPEG(n, 200)
		if _, _, err := CheckJPEG(b); err != nil {
			t.Fatal(err)
		}
		seen[binary.LittleEndian.Uint64(b[len(fakeTables())+23:])] = true
	}
	if len(seen) != 500 {
		t.Errorf("%d different pictures of 500", len(seen))
	}
}

// A frame that is the one before once more was taken when that one was.
func TestD10_RepeatedFramesAreNoShots(t *testing.T) {
	r := NewRing(30, 1000)
	for n := uint64(1); n <= 20; n++ {
		f := frame(n, sensor.Mono(n)*80*ms, 200)
		switch {
		case n >= 8 && n <= 10:
			f.Data = fakeJPEG(7, 200)
		case n >= 16:
			f.Data = fakeJPEG(15, 200)
		}
		if err := r.Put(f); err != nil {
			t.Fatal(err)
		}
	}
	if s := r.Stats(); s.Repeated != 8 || s.Stored != 20 {
		t.Errorf("stored %d, repeated %d, want 20 and 8", s.Stored, s.Repeated)
	}
	shots, err := r.Shots(9*80*ms, 3, 80*time.Millisecond, 250*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []uint64{6, 7, 11} {
		if shots[i].Frame.Number != want {
			t.Errorf("shot %d is frame %d, want %d", i, shots[i].Frame.Number, want)
		}
	}
	var gap *GapError
	if _, err := r.Shots(19*80*ms, 2, 80*time.Millisecond, 100*time.Millisecond); !errors.As(err, &gap) {
		t.Errorf("a picture of a frozen camera: %v", err)
	}
	if since, newest, ok := r.Still(); !ok || since != 15*80*ms || newest != 20*80*ms {
		t.Errorf("still from %d to %d, %t", since, newest, ok)
	}
	f, since, ok := r.Look(nil)
	if !ok || f.Number != 20 || since != 15*80*ms || !bytes.Equal(f.Data, fakeJPEG(15, 200)) {
		t.Errorf("newest frame %d, the same since %d, %t", f.Number, since, ok)
	}
	if n, over := r.Pace(0, false); n != 12 || over != 14*80*time.Millisecond {
		t.Errorf("%d pictures over %v", n, over)
	}
	if n, over := r.Pace(0, true); n != 20 || over != 19*80*time.Millisecond {
		t.Errorf("%d pictures over %v with repeats", n, over)
	}
	if n, over := r.Pace(12*80*ms, false); n != 3 || over != 2*80*time.Millisecond {
		t.Errorf("%d pictures over %v after the twelfth", n, over)
	}
	empty := NewRing(2, 10)
	_, _, still := empty.Still()
	if _, _, ok := empty.Look(nil); ok || still {
		t.Error("an empty ring has a frame")
	}
	if n, _ := empty.Pace(0, false); n != 0 {
		t.Error("an empty ring has a pace")
	}
}

// TestRingKeepsOriginals passes stills of 20 megapixels, and the pictures of a second
// of video at 2 MB, byte for byte.
func TestRingKeepsOriginals(t *testing.T) {
	for _, test := range []struct {
		name   string
		slots  int
		size   int
		frames uint64
		every  sensor.Mono
	}{
		{"stills of 12 MB, four a second", 8, 12_000_000, 12, 250 * ms},
		{"pictures of 2 MB, thirty a second", 32, 2_000_000, 40, 33 * ms},
	} {
		r := NewRing(test.slots, 16<<20)
		var last Frame
		for n := range test.frames {
			last = frame(n, sensor.Mono(n)*test.every+1, test.size)
			if err := r.Put(last); err != nil {
				t.Fatalf("%s: %v", test.name, err)
			}
		}
		got, _, ok := r.Look(nil)
		if !ok || got.Number != last.Number || !bytes.Equal(got.Data, last.Data) {
			t.Errorf("%s: picture %d of %d bytes, want %d of %d as they came", test.name, got.Number, len(got.Data), last.Number, test.size)
		}
		if s := r.Stats(); s.Stored != test.frames || s.TooLarge+s.Damaged+s.Lost != 0 {
			t.Errorf("%s: %+v", test.name, s)
		}
	}
}
