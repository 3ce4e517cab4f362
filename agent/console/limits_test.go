package console

import (
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// TestLookingIsBounded asks more often than the device gives, and from more places.
func TestLookingIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.device.picture, b.device.signal, b.device.service = []byte("\xff\xd8"), "<svg/>", true
		phone := b.session(Technician)
		ask := func(path string) int { return b.request(phone, "GET", path, nil).Code }
		begin := time.Now()
		given := 0
		for time.Since(begin) < 10*time.Second { // as fast as answers come
			if code := ask("/picture.jpg"); code != http.StatusOK {
				t.Fatalf("a picture: %d", code)
			}
			given++
		}
		if most := int(10*time.Second/pictureEvery) + 1; given > most {
			t.Errorf("%d pictures in ten seconds, want %d", given, most)
		}
		time.Sleep(time.Minute)
		var all sync.WaitGroup
		codes := make(chan int, 20)
		for range cap(codes) { // at one instant
			all.Go(func() { codes <- ask("/picture.jpg") })
		}
		all.Wait()
		close(codes)
		got := map[int]int{}
		for code := range codes {
			got[code]++
		}
		if most := int(pictureWait/pictureEvery) + 1; got[http.StatusOK] != most || got[http.StatusServiceUnavailable] != cap(codes)-most {
			t.Errorf("asked at one instant: %v, want %d pictures", got, most)
		}
		time.Sleep(time.Minute)
		for range mostFrames {
			<-b.frames.free // as many are being sent to slow phones
		}
		if code := ask("/picture.jpg"); code != http.StatusServiceUnavailable {
			t.Errorf("one picture more than memory is for: %d", code)
		}

		const step = 50 * time.Millisecond
		for range 2 * time.Second / step {
			if code := ask("/signal.svg"); code != http.StatusOK {
				t.Fatalf("a drawing: %d", code)
			}
			b.pass(step)
		}
		if most := int(2 * time.Second / drawEvery); b.device.drawn > most {
			t.Errorf("%d drawings in two seconds, want %d", b.device.drawn, most)
		}
		b.drawing.mu.Lock()
		if code := ask("/signal.svg"); code != http.StatusServiceUnavailable {
			t.Errorf("beside one that is being made: %d", code)
		}
		b.drawing.mu.Unlock()
	})
}

// TestSessionsOutliveTheConsole has the device start anew with what a stick brought.
func TestSessionsOutliveTheConsole(t *testing.T) {
	b := newBench(t)
	s := b.session(Technician)
	next, err := New(Options{Device: b.device, Now: b.o.Now, Access: b.access})
	if err != nil {
		t.Fatal(err)
	}
	b.Console = next
	if got := b.request(s, "GET", "/", nil); got.Code != http.StatusOK {
		t.Errorf("the technician is logged out: %d", got.Code)
	}
	if got := b.request(s, "GET", "/stick", nil); got.Code != http.StatusOK {
		t.Errorf("the page of a device without sticks: %d", got.Code)
	}
}
