package console

import (
	"net/http"
	"testing"
	"time"
)

// TestLookingIsBounded asks more often than the device gives, and from more places.
func TestLookingIsBounded(t *testing.T) {
	b := newBench(t)
	b.device.picture, b.device.signal, b.device.service = []byte("\xff\xd8"), "<svg/>", true
	phones := []string{b.session(Technician), b.session(Technician)}
	ask := func(path string, phone int) int { return b.request(phones[phone], "GET", path, nil).Code }
	given := 0
	for range 40 { // both, every 50 ms for two seconds
		for phone := range phones {
			switch code := ask("/picture.jpg", phone); code {
			case http.StatusOK:
				given++
			case http.StatusServiceUnavailable:
			default:
				t.Fatalf("a picture: %d", code)
			}
		}
		b.pass(50 * time.Millisecond)
	}
	if most := int(2 * time.Second / pictureEvery); given != most {
		t.Errorf("%d pictures in two seconds, want %d", given, most)
	}
	b.pass(-time.Hour) // a clock that is set back stops nobody
	if code := ask("/picture.jpg", 0); code != http.StatusOK {
		t.Errorf("after a step of the clock: %d", code)
	}
	for range mostFrames {
		<-b.frames.free // as many are being sent to slow phones
	}
	b.pass(time.Second)
	if code := ask("/picture.jpg", 0); code != http.StatusServiceUnavailable {
		t.Errorf("one picture more than memory is for: %d", code)
	}

	for range 40 {
		for phone := range phones {
			if code := ask("/signal.svg", phone); code != http.StatusOK {
				t.Fatalf("a drawing: %d", code)
			}
		}
		b.pass(50 * time.Millisecond)
	}
	if most := int(2 * time.Second / drawEvery); b.device.drawn > most {
		t.Errorf("%d drawings in two seconds, want %d", b.device.drawn, most)
	}
	b.drawing.mu.Lock()
	if code := ask("/signal.svg", 0); code != http.StatusServiceUnavailable {
		t.Errorf("beside one that is being made: %d", code)
	}
	b.drawing.mu.Unlock()
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
