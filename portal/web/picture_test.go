package web_test

import (
	"bytes"
	"strings"
	"testing"

	"ciglio/portal/portaltest"
)

// A frame that few bytes make costly is evidence that is stored, and no browser is
// given it as a picture.
func TestH11_CostlyPictureIsNotShown(t *testing.T) {
	frames := pictures(t)
	end := len(frames[1]) - 2
	frames[1] = append(bytes.Clone(frames[1][:end]), append(bytes.Repeat([]byte{0xFF, 0xD0, 0}, 5000), 0xFF, 0xD9)...)
	d := portaltest.NewDevice(t, "one")
	v := d.Violation(t, frames, trace, nil)
	s := receive(t, portaltest.NewCentre(t, d), send(d, v, append(frames, trace)...)...)
	record := "/records/" + v.ID.String()
	const words = "restart markers without an interval"
	if w := s.get(record + "/frames/2"); w.Code != 422 || strings.Contains(w.Header().Get("Content-Type"), "image") || !strings.Contains(w.Body.String(), words) {
		t.Errorf("answer %d of type %s: %.200s", w.Code, w.Header().Get("Content-Type"), w.Body)
	}
	if w := s.get(record + "/frames/1"); w.Code != 200 || w.Header().Get("Content-Type") != "image/jpeg" {
		t.Errorf("another frame: answer %d", w.Code)
	}
	body := s.get(record).Body.String()
	if !strings.Contains(body, words) || strings.Contains(body, `img src="`+record+`/frames/2"`) || !strings.Contains(body, `img src="`+record+`/frames/1"`) {
		t.Error("the page of the record shows it, or does not say why it does not")
	}
}
