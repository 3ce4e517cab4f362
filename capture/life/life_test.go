package life

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"image/draw"
	"image/jpeg"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"ciglio/capture"
	"ciglio/cross/simulate"
	"ciglio/sensor"
)

const (
	width, height = 320, 180
	second        = sensor.Mono(time.Second)
)

// noon and midnight at the place of the tests, on a day of spring.
var (
	noon     = time.Date(2026, 4, 10, 11, 15, 0, 0, time.UTC)
	midnight = noon.Add(12 * time.Hour)
	options  = Options{Model: "M", Fastest: 200 * sensor.KmH, PhotoRange: 20, North: 44.4949, East: 11.3426}
)

// A shot says what a picture of the tests shows.
type shot struct {
	noise   float64 // standard deviation
	scale   float64 // of the scene's brightness; 0 means 1
	offset  float64 // added to it
	blur    int     // half the width of a box that is laid over it, twice
	text    int     // another for each number, in the topmost rows
	quality int     // 0 means 80
	seed    uint64  // of the noise
}

// scene is a road by its edges: stripes and blocks of all sizes.
func scene(x, y int) float64 {
	v := 110.0
	if (x/7+y/5)%3 == 0 {
		v += 30
	}
	if x/40%2 == 0 {
		v -= 40
	}
	return v + float64((x*31+y*17)%13)
}

// take returns the picture.
func take(s shot) []byte {
	random := rand.New(rand.NewPCG(s.seed, 7))
	scale := s.scale
	if scale == 0 {
		scale = 1
	}
	m := image.NewGray(image.Rect(0, 0, width, height))
	for y := range height {
		for x := range width {
			v := 0.0
			for dy := -s.blur; dy <= s.blur; dy++ {
				for dx := -s.blur; dx <= s.blur; dx++ {
					v += scene(x+dx+20, y+dy+20)
				}
			}
			n := float64((2*s.blur + 1) * (2*s.blur + 1))
			v = v/n*scale + s.offset + random.NormFloat64()*s.noise
			if s.text != 0 && y < 10 {
				v = float64((x/5 + y/3) % (s.text + 1) * 60)
			}
			m.Pix[y*m.Stride+x] = uint8(max(0, min(255, math.Round(v))))
		}
	}
	quality := s.quality
	if quality == 0 {
		quality = 80
	}
	var b bytes.Buffer
	if err := jpeg.Encode(&b, m, &jpeg.Options{Quality: quality}); err != nil {
		panic(err)
	}
	return b.Bytes()
}

// A stage plays pictures to a watch.
type stage struct {
	t     *testing.T
	ring  *capture.Ring
	watch *Watch
	now   sensor.Mono
	utc   time.Time
	n     uint64
}

func newStage(t *testing.T, o Options, utc time.Time) *stage {
	ring := capture.NewRing(100, 1<<17)
	return &stage{t: t, ring: ring, watch: New(ring, o), utc: utc}
}

// put gives one picture to the ring.
func (s *stage) put(data []byte) {
	s.n++
	if err := s.ring.Put(capture.Frame{Number: s.n, At: s.now, MediaType: "image/jpeg", Data: data}); err != nil {
		s.t.Fatal(err)
	}
}

// play shows pictures for a time, so many a second, and looks every five seconds.
func (s *stage) play(d time.Duration, rate float64, picture func() []byte) {
	step := time.Duration(float64(time.Second) / rate)
	next := s.now
	for end := s.now.Add(d); s.now < end; s.now, s.utc = s.now.Add(step), s.utc.Add(step) {
		s.put(picture())
		if s.now >= next {
			f, _, _ := s.ring.Look(nil)
			s.watch.Look(f, s.utc)
			next = s.now.Add(lookEvery)
		}
	}
}

// finds checks which findings there are, each with a word.
func (s *stage) finds(when string, want ...string) {
	s.t.Helper()
	var got []string
	all := s.watch.Findings(s.now)
	for i, f := range all {
		got = append(got, f.Code)
		if i < len(want)/2 && !strings.Contains(f.Words(), want[2*i+1]) {
			s.t.Errorf("%s: %q, want %q in it", when, f.Words(), want[2*i+1])
		}
	}
	var codes []string
	for i := 0; i < len(want); i += 2 {
		codes = append(codes, want[i])
	}
	if !slices.Equal(got, codes) {
		s.t.Errorf("%s: %v, want %v", when, all, codes)
	}
}

// living returns pictures of a scene, in turn, that differ by their noise.
func living(s shot, count int) func() []byte {
	var all [][]byte
	for i := range count {
		s.seed = uint64(i + 1)
		all = append(all, take(s))
	}
	i := 0
	return func() []byte { i++; return all[i%count] }
}

func TestD10_SameBytesForEverAreFrozen(t *testing.T) {
	s := newStage(t, options, noon)
	s.play(10*time.Second, 12.5, living(shot{noise: 2}, 13))
	s.finds("a living camera")
	still := take(shot{noise: 2})
	s.play(5*time.Second, 12.5, func() []byte { return still })
	s.finds("the same for less than five seconds")
	s.play(2*time.Second, 12.5, func() []byte { return still })
	s.finds("the same for longer", Frozen, "camera M is frozen: it gives the same pictures again, byte for byte, for 7 s")
	s.play(time.Hour, 2, func() []byte { return still })
	s.finds("for ever, and slowly", Frozen, "3607 s")
	s.play(6*time.Second, 12.5, living(shot{noise: 2}, 13))
	s.finds("it lives again")
}

func TestD10_SamePictureUnderAChangingTextIsFrozen(t *testing.T) {
	for name, picture := range map[string]func(n int) []byte{
		"a text in the picture": func(n int) []byte { return take(shot{noise: 2, text: n%12 + 1}) },
		"a comment in the file": func(n int) []byte {
			b := take(shot{noise: 2})
			return append([]byte{0xFF, 0xD8, 0xFF, 0xFE, 0, 4, byte(n >> 8), byte(n)}, b[2:]...)
		},
	} {
		t.Run(name, func(t *testing.T) {
			for _, noiseless := range []bool{false, true} {
				o := options
				o.Noiseless = func() bool { return noiseless }
				s := newStage(t, o, noon)
				n := 0
				next := func() []byte { n++; return picture(n) }
				s.play(29*time.Second, 10, next)
				s.finds("for less than half a minute")
				s.play(10*time.Second, 10, next)
				if noiseless {
					s.finds("a simulated camera")
				} else {
					s.finds("for longer", Frozen, "not changed in any pixel for 34 s")
				}
			}
		})
	}
}

// What a sensor's noise leaves of a picture is enough to see that it lives, also
// when the road is empty and the camera compresses strongly.
func TestD10_LivingPicturesAreNotFrozen(t *testing.T) {
	for name, s := range map[string]shot{
		"by day":              {noise: 2},
		"under a fixed text":  {noise: 2, text: 1},
		"compressed strongly": {noise: 2, quality: 40},
		"with little noise":   {noise: 1},
		"at dusk":             {noise: 3, scale: 0.4},
		"light that changes":  {noise: 1, offset: 10},
	} {
		stage := newStage(t, options, noon)
		stage.play(2*time.Minute, 10, living(s, 31))
		stage.finds(name)
	}
}

func TestD10_SlowCamera(t *testing.T) {
	picture := living(shot{noise: 2}, 13)
	for _, test := range []struct {
		name string
		rate float64
		o    func(*Options)
		want []string
	}{
		{"1.6 a second", 1.6, nil, []string{Slow, "camera M gives 1.6 pictures a second: a vehicle of 200.00 km/h is in the 12.0 m around the photo position for 0.22 s, and two pictures of it there need 9.3 a second"}},
		{"one in four seconds", 0.25, nil, []string{Slow, "0.2 pictures a second"}},
		{"a little too slow", 8.5, nil, []string{Slow, "8.5 pictures"}},
		{"just enough", 9.3, nil, nil},
		{"ten a second", 10, nil, nil},
		{"the same for slower vehicles", 8.5, func(o *Options) { o.Fastest = 150 * sensor.KmH }, nil},
		{"the same nearer by", 12.5, func(o *Options) { o.PhotoRange = 10 }, []string{Slow, "6.0 m"}},
		{"nothing is known of the site", 1.6, func(o *Options) { o.PhotoRange = 0 }, nil},
	} {
		o := options
		if test.o != nil {
			test.o(&o)
		}
		s := newStage(t, o, noon)
		s.put(picture())
		s.finds(test.name + ": one picture says nothing")
		s.now += 1
		s.play(20*time.Second, test.rate, picture)
		s.finds(test.name, test.want...)
	}
	// A ring that holds little more than a moment tells the pace all the same.
	s := newStage(t, options, noon)
	s.ring = capture.NewRing(8, 1<<17)
	s.watch = New(s.ring, options)
	s.play(5*time.Second, 25, picture)
	s.finds("a short ring")
}

func TestD10_DarkPictures(t *testing.T) {
	dark := take(shot{scale: 0.05})
	still := func() []byte { return dark }
	night := newStage(t, options, midnight)
	night.play(10*time.Minute, 10, still)
	night.finds("a dark night")
	night.play(10*time.Minute, 10, living(shot{noise: 4, scale: 0.3}, 13))
	night.finds("a lit night")
	day := newStage(t, options, noon)
	day.play(50*time.Second, 10, still)
	day.finds("less than a minute of darkness")
	day.play(20*time.Second, 10, still)
	day.finds("a dark day", Exposure, "is dark by day")
	day.play(20*time.Second, 10, living(shot{noise: 2}, 13))
	day.finds("light again")
}

// A road so dark that noise seldom makes a step gives few pictures that differ, and
// is in order.
func TestD10_DarkPicturesThatSeldomDiffer(t *testing.T) {
	pictures := [][]byte{take(shot{scale: 0.05}), take(shot{scale: 0.05, noise: 1, seed: 1}), take(shot{scale: 0.05, noise: 1, seed: 2})}
	for _, often := range []int{1, 2, 3, 5} { // frames with the same picture
		n := 0
		night := newStage(t, options, midnight)
		for range 30 {
			night.play(2*time.Second, 10, func() []byte { n++; return pictures[n/often%3] })
			night.finds("a dark night")
		}
	}
}

// A camera whose buffers nobody fills gives them in turn.
func TestD10_FewPicturesInTurnAreFrozen(t *testing.T) {
	for _, count := range []int{2, 4, 8} {
		s := newStage(t, options, noon)
		s.play(time.Minute, 10, living(shot{noise: 2}, 13))
		s.finds("a camera in order")
		s.play(7*time.Second, 10, living(shot{noise: 2, seed: 100}, count))
		s.finds("in turn", Frozen, "again, byte for byte")
	}
}

func TestD10_WhitePictures(t *testing.T) {
	for _, utc := range []time.Time{noon, midnight} {
		s := newStage(t, options, utc)
		s.play(70*time.Second, 10, living(shot{noise: 2, offset: 160}, 13))
		s.finds("overexposed", Exposure, "% of the picture is white")
	}
}

func TestD10_UnsharpPictures(t *testing.T) {
	sharp, soft := living(shot{noise: 1}, 13), living(shot{noise: 1, blur: 2}, 13)
	s := newStage(t, options, noon)
	s.play(3*time.Minute, 10, sharp)
	s.finds("a sharp camera")
	s.play(50*time.Second, 10, soft)
	s.finds("less than a minute out of focus")
	s.play(10*time.Second, 10, sharp)
	s.play(50*time.Second, 10, soft)
	s.finds("and again")
	s.play(20*time.Second, 10, soft)
	s.finds("out of focus", Unsharp, "is not sharp: its pictures show")
	s.play(20*time.Minute, 10, soft)
	s.finds("which does not become normal", Unsharp, "is not sharp")
	s.play(10*time.Second, 10, sharp)
	s.finds("sharp again")
	s.play(10*time.Minute, 10, living(shot{noise: 3, scale: 0.3}, 13))
	s.finds("the evening has a normal of its own")
	s.play(70*time.Second, 10, living(shot{noise: 1, scale: 0.01, offset: 100}, 13))
	s.finds("behind a cover", Unsharp, "shows nothing: the whole picture has one brightness")
}

// A camera that starts at dusk, with all its gain, is in order by day. Noise is no
// detail.
func TestD10_NoiseOfTheEveningIsNoDetail(t *testing.T) {
	for _, noise := range []float64{4, 8} {
		for _, scale := range []float64{1, 0.7} {
			s := newStage(t, options, noon)
			s.play(3*time.Minute, 10, living(shot{noise: noise, scale: scale}, 13))
			s.finds("learnt in the evening")
			s.play(3*time.Minute, 10, living(shot{noise: 1}, 13))
			s.finds(fmt.Sprintf("by day, after an evening with noise of %g", noise))
			s.play(3*time.Minute, 10, living(shot{noise: 1, blur: 3}, 13))
			s.finds("out of focus", Unsharp, "is not sharp")
		}
	}
}

// The same of photographs of roads and cars: noise that a night's gain brings, at
// half the contrast, is not taken for detail that is missing by day, but a soft
// lens is found.
func TestD10_NoiseAndBlurOfPhotographs(t *testing.T) {
	files, err := filepath.Glob("../../../shared/data/images/eu-plates/*.jpg")
	if err != nil {
		t.Fatal(err)
	}
	if len(files) == 0 {
		if os.Getenv("CI") == "true" {
			t.Fatal("no photographs")
		}
		t.Skip("no photographs: ../shared/data is not there")
	}
	random := rand.New(rand.NewPCG(3, 4))
	worst, found := 1.0, 0
	files = files[:min(24, len(files))]
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		picture, err := jpeg.Decode(bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		b := picture.Bounds()
		day, night := image.NewGray(b), image.NewGray(b)
		draw.Draw(day, b, picture, b.Min, draw.Src)
		for i, v := range day.Pix {
			night.Pix[i] = uint8(max(0, min(255, 80+0.5*(float64(v)-110)+4*random.NormFloat64())))
		}
		of := func(m *image.Gray) float64 { return detail(m.Pix, m.Stride, b.Dx(), b.Dy()) }
		worst = min(worst, of(day)/of(night))
		if of(boxed(boxed(day))) < detailShare*of(day) {
			found++
		}
	}
	t.Logf("by day at least %.0f %% of the detail of a night, 25 would be too little; %d of %d soft lenses found", 100*worst, found, len(files))
	if worst < 0.35 {
		t.Errorf("a photograph has by day %.0f %% of the detail that it has in the night's noise", 100*worst)
	}
	if found < len(files)*3/4 {
		t.Errorf("%d of %d soft lenses found", found, len(files))
	}
}

// boxed returns a picture whose pixels are the means of 3 × 3.
func boxed(m *image.Gray) *image.Gray {
	r := image.NewGray(m.Rect)
	for y := 1; y < m.Rect.Dy()-1; y++ {
		for x := 1; x < m.Rect.Dx()-1; x++ {
			sum := 0
			for d := range 9 {
				sum += int(m.Pix[(y+d/3-1)*m.Stride+x+d%3-1])
			}
			r.Pix[y*r.Stride+x] = uint8(sum / 9)
		}
	}
	return r
}

func TestNothingIsSaidOfWhatIsNotKnown(t *testing.T) {
	s := newStage(t, options, noon)
	s.finds("an empty ring")
	s.play(10*time.Second, 1, living(shot{noise: 2}, 13))
	s.now += sensor.Mono(stale) + 1
	s.finds("no picture for a while, which others say")
	broken := take(shot{noise: 2})
	broken = append(bytes.Clone(broken[:len(broken)-600]), append(bytes.Repeat([]byte{0x55}, 598), 0xFF, 0xD9)...)
	other := newStage(t, options, noon)
	i := byte(0)
	other.play(2*time.Minute, 10, func() []byte { i++; b := bytes.Clone(broken); b[len(b)-9] = i & 0x7F; return b })
	other.finds("pictures that cannot be decoded")
	large := take(shot{})
	if _, err := see(large[:100]); err == nil {
		t.Error("half a picture was looked at")
	}
}

func TestRunLooksNowAndThen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		clock := simulate.NewClock(0)
		ring := capture.NewRing(10, 1<<17)
		w := New(ring, options)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- w.Run(ctx, clock) }()
		picture := living(shot{noise: 2}, 13)
		for n := range uint64(700) {
			time.Sleep(100 * time.Millisecond)
			if err := ring.Put(capture.Frame{Number: n, At: clock.Now(), MediaType: "image/jpeg", Data: picture()}); err != nil {
				t.Error(err)
			}
			w.Findings(clock.Now())
		}
		cancel()
		if err := <-done; err != context.Canceled {
			t.Error(err)
		}
		if w.mu.Lock(); w.at < 64*second {
			t.Errorf("the last look was at %v", time.Duration(w.at))
		}
		w.mu.Unlock()
	})
}

func TestHeightOfTheSun(t *testing.T) {
	for _, test := range []struct {
		name        string
		utc         time.Time
		north, east float64
		want        float64
	}{
		// Noon is where the sun's declination adds to the height of the equator.
		{"summer solstice on the tropic, at noon", time.Date(2026, 6, 21, 12, 2, 0, 0, time.UTC), 23.436, 0, 90},
		{"winter solstice at Bologna, at noon", time.Date(2026, 12, 21, 11, 13, 0, 0, time.UTC), 44.4949, 11.3426, 90 - 44.4949 - 23.436},
		{"equinox at the pole", time.Date(2026, 3, 20, 14, 46, 0, 0, time.UTC), 90, 0, 0},
		{"equinox at the equator, at midnight", time.Date(2026, 3, 20, 0, 7, 0, 0, time.UTC), 0, 0, -90},
		{"summer night at the polar circle", time.Date(2026, 6, 21, 0, 2, 0, 0, time.UTC), 66.564, 0, 0},
	} {
		if got := Sun(test.utc, test.north, test.east); math.Abs(got-test.want) > 0.6 {
			t.Errorf("%s: %.2f°, want %.2f°", test.name, got, test.want)
		}
	}
}

func BenchmarkLook(b *testing.B) {
	m := image.NewYCbCr(image.Rect(0, 0, 1600, 900), image.YCbCrSubsampleRatio420)
	random := rand.New(rand.NewPCG(1, 2))
	for i := range m.Y {
		m.Y[i] = uint8(scene(i%1600, i/1600) + random.NormFloat64()*2)
	}
	var data bytes.Buffer
	if err := jpeg.Encode(&data, m, &jpeg.Options{Quality: 80}); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.SetBytes(int64(data.Len()))
	for b.Loop() {
		if _, err := see(data.Bytes()); err != nil {
			b.Fatal(err)
		}
	}
}

// A picture of more than 8 megapixels is looked at by its blocks: black by day, covered, white
// and standing still are found, as of a small one.
func TestLargePictureIsLookedAt(t *testing.T) {
	if testing.Short() {
		t.Skip("encodes 8 megapixels some times")
	}
	const columns, rows = 3600, 2400
	road := func(seed uint64, scale, offset, contrast float64) []byte {
		random := rand.New(rand.NewPCG(seed, 9))
		m := image.NewGray(image.Rect(0, 0, columns, rows))
		noise := make([]float64, 4099)
		for i := range noise {
			noise[i] = 2 * random.NormFloat64()
		}
		for y := range rows {
			for x := range columns {
				v := (110+(scene(x/17, y/20)-110)*contrast)*scale + offset + noise[(y*columns+x)%len(noise)]*scale
				m.Pix[y*m.Stride+x] = uint8(min(max(v, 0), 255))
			}
		}
		return encoded(t, m, 60)
	}
	for _, c := range []struct {
		name, want string
		pictures   [][]byte
	}{
		{"the road", "", [][]byte{road(1, 1, 0, 1), road(2, 1, 0, 1)}},
		{"black", Exposure, [][]byte{road(1, 0.02, 0, 1), road(2, 0.02, 0, 1)}},
		{"white", Exposure, [][]byte{road(1, 1, 240, 1), road(2, 1, 240, 1)}},
		{"a cover", Unsharp, [][]byte{road(1, 1, 0, 0), road(2, 1, 0, 0)}},
		{"frozen, but for a header", Frozen, [][]byte{road(1, 1, 0, 1)}},
	} {
		ring := capture.NewRing(8, 12<<20)
		w := New(ring, options)
		var now sensor.Mono
		for i := range 14 {
			now += 5 * second
			data := c.pictures[i%len(c.pictures)]
			data = append([]byte{0xff, 0xd8, 0xff, 0xfe, 0, 3, byte('a' + i)}, data[2:]...) // a comment
			if err := ring.Put(capture.Frame{Number: uint64(i), At: now, MediaType: "image/jpeg", Data: data}); err != nil {
				t.Fatal(err)
			}
			w.Look(capture.Frame{At: now, Data: data}, noon)
		}
		got := ""
		for _, f := range w.Findings(now) {
			if f.Code != Slow {
				got += f.Code
			}
		}
		if got != c.want {
			t.Errorf("%s: found %q, want %q", c.name, got, c.want)
		}
	}
}

func encoded(t testing.TB, m image.Image, quality int) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := jpeg.Encode(&b, m, &jpeg.Options{Quality: quality}); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
