package console

import (
	"bytes"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"ciglio/agent/device"
	"ciglio/capture/evidence"
	"ciglio/sensor"
	"ciglio/uplink"
)

// handIn gives an order to the login page.
func (b *bench) handIn(order string) *httptest.ResponseRecorder {
	b.t.Helper()
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	file, err := form.CreateFormFile("order", "1.order")
	if err != nil {
		b.t.Fatal(err)
	}
	file.Write([]byte(order))
	form.Close()
	r := httptest.NewRequest("POST", "http://192.168.14.1:8421/login/officer", &body)
	r.Header.Set("Content-Type", form.FormDataContentType())
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	w := httptest.NewRecorder()
	b.Handler().ServeHTTP(w, r)
	return w
}

// withViolations is a bench whose device has two, and takes the order "good" once.
func withViolations(t *testing.T) *bench {
	b := newBench(t)
	b.device.picture = []byte("picture")
	b.device.orders = map[string]evidence.Act{"good": {Actor: "officer 0badcafe", Role: "officer", Code: "console", Outcome: "done"}}
	for seq := uint64(7); seq < 9; seq++ {
		b.device.held = append(b.device.held, device.Violation{Key: uplink.Key{Epoch: 1, Seq: seq}, At: noon, Test: seq == 8,
			Measured: 9123, Assessed: 8600, Limit: 7000, Direction: sensor.Approaching, Roles: []string{"before", "photo", "after"}})
	}
	return b
}

func TestOfficerComesInByAnOrderOnce(t *testing.T) {
	b := withViolations(t)
	if got := b.handIn("forged"); got.Code != http.StatusForbidden || len(got.Result().Cookies()) != 0 || !strings.Contains(got.Body.String(), `id="refused"`) {
		t.Errorf("forged: %d %v", got.Code, got.Header())
	}
	in := b.handIn("good")
	if in.Code != http.StatusSeeOther || len(in.Result().Cookies()) != 1 {
		t.Fatalf("%d %v", in.Code, in.Header())
	}
	if got := b.request(in.Result().Cookies()[0].Value, "GET", "/violations", nil); got.Code != http.StatusOK || !strings.Contains(got.Body.String(), "91") {
		t.Errorf("list: %d", got.Code)
	}
	if got := b.handIn("good"); got.Code != http.StatusForbidden {
		t.Errorf("again: %d", got.Code)
	}
	if got := b.handIn(strings.Repeat("x", maxForm)); got.Code != http.StatusBadRequest {
		t.Errorf("a huge file: %d", got.Code)
	}
}

// TestNoFrameIsSeenUnrecorded asks for frames in every way but the one that is
// recorded first.
func TestNoFrameIsSeenUnrecorded(t *testing.T) {
	b := withViolations(t)
	officer, other := b.session(Officer), b.session(Officer)
	looks := func() (n int) {
		for _, a := range b.device.notes {
			if a.Code == "look" && a.Actor == "officer 0badcafe" && a.Role == "officer" {
				n++
			}
		}
		return n
	}
	b.device.full = true
	for _, path := range []string{"/violations", "/violations/1/7"} {
		if got := b.request(officer, "GET", path, nil); got.Code != http.StatusInsufficientStorage || strings.Contains(got.Body.String(), "86") {
			t.Errorf("%s with a full journal: %d", path, got.Code)
		}
	}
	if got := b.request(officer, "GET", "/violations/1/7/1", nil); got.Code != http.StatusNotFound {
		t.Errorf("a frame after a look that was not recorded: %d", got.Code)
	}
	b.device.full = false
	if got := b.request(officer, "GET", "/violations", nil); got.Code != http.StatusOK || looks() != 1 {
		t.Errorf("list: %d, %d looks", got.Code, looks())
	}
	if got := b.request(officer, "GET", "/violations/1/7", nil); got.Code != http.StatusOK || looks() != 2 || b.device.notes[len(b.device.notes)-1].Subject != "violation 7 of epoch 1" {
		t.Errorf("page: %d, %+v", got.Code, b.device.notes)
	}
	for _, test := range []struct {
		name, session, path string
		want                int
	}{
		{"the one that was opened", officer, "/violations/1/7/1", http.StatusOK},
		{"one that was not", officer, "/violations/1/8/1", http.StatusNotFound},
		{"another session of the same officer", other, "/violations/1/7/1", http.StatusNotFound},
		{"a technician", b.session(Technician), "/violations/1/7/1", http.StatusForbidden},
		{"nobody", "", "/violations/1/7/1", http.StatusForbidden},
		{"a frame that is not there", officer, "/violations/1/7/3", http.StatusNotFound},
		{"a number that is none", officer, "/violations/1/7/-1", http.StatusNotFound},
		{"a violation that is not there", officer, "/violations/1/9", http.StatusNotFound},
		{"an epoch beyond all", officer, "/violations/99999999999999999999/9", http.StatusNotFound},
	} {
		got := b.request(test.session, "GET", test.path, nil)
		if got.Code != test.want || (got.Body.String() == "picture") != (test.want == http.StatusOK) {
			t.Errorf("%s: %d, want %d", test.name, got.Code, test.want)
		}
	}
	if got := looks(); got != 2 {
		t.Errorf("%d looks recorded, want 2", got)
	}
}
