package wire

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"
)

func exampleHead() Head {
	return Head{Device: Device{1}, UTC: time.Date(2026, 7, 1, 12, 0, 0, 123456789, time.UTC)}
}

func TestMessagesComeBack(t *testing.T) {
	state := State{Head: exampleHead(), Boot: BootID{2}, Sequence: 3, Online: true}
	b, err := state.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	want := `{"v":1,"device":"01000000000000000000000000000000","utc":"2026-07-01T12:00:00.123Z",` +
		`"boot":"02000000000000000000000000000000","sequence":3,"online":true}`
	if string(b) != want {
		t.Errorf("state %s\nwant  %s", b, want)
	}
	if s, err := ParseState(b); err != nil || s.Device != state.Device || s.Boot != state.Boot || !s.Online {
		t.Errorf("state %+v, %v", s, err)
	}
	health := Health{Head: exampleHead(), Boot: BootID{2}, Sequence: 1, Alarms: []Reason{{"set_aside", "words"}}}
	if b, err = health.Marshal(); err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(b, []byte("null")) {
		t.Errorf("health has null where a list belongs: %s", b)
	}
	if h, err := ParseHealth(b); err != nil || len(h.Alarms) != 1 || h.Reasons == nil {
		t.Errorf("health %+v, %v", h, err)
	}
	profile := Profile{Head: exampleHead(), Road: "SP 14", LatitudeE7: 454_642_035, Heading: 359}
	if b, err = profile.Marshal(); err != nil {
		t.Fatal(err)
	}
	if p, err := ParseProfile(b); err != nil || p.Road != "SP 14" || p.LatitudeE7 != 454_642_035 {
		t.Errorf("profile %+v, %v", p, err)
	}
}

// TestUnknownKeysAreIgnored lets a device be newer than the centre it talks to.
func TestUnknownKeysAreIgnored(t *testing.T) {
	b, err := State{Head: exampleHead(), Boot: BootID{2}, Sequence: 3}.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	b = append([]byte(`{"mood":{"today":["good"]},`), b[1:]...)
	if _, err := ParseState(b); err != nil {
		t.Error(err)
	}
}

func TestBadMessagesAreRefused(t *testing.T) {
	good, err := State{Head: exampleHead(), Boot: BootID{2}, Sequence: 3}.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	replace := func(old, new string) string {
		if !strings.Contains(string(good), old) {
			t.Fatalf("%s has no %s", good, old)
		}
		return strings.Replace(string(good), old, new, 1)
	}
	for _, c := range []struct{ name, message string }{
		{"nothing", ""},
		{"null", "null"},
		{"an array", "[]"},
		{"cut off", string(good[:20])},
		{"two objects", string(good) + "{}"},
		{"a version of tomorrow", replace(`"v":1`, `"v":2`)},
		{"no device", replace(`"device"`, `"devise"`)},
		{"a device in capitals", replace("0100", "01FF")},
		{"no boot", replace(`"boot"`, `"boat"`)},
		{"sequence 0", replace(`"sequence":3`, `"sequence":0`)},
		{"a negative sequence", replace(`"sequence":3`, `"sequence":-3`)},
		{"a time without zone", replace(".123Z", "")},
		{"a time before all clocks", replace("2026-", "0001-")},
		{"a number for a truth", replace("false", "0")},
		{"not UTF-8", replace(`"v":1`, "\"v\":1,\"x\":\"\xff\"")},
		{"17 KB of spaces", string(good) + strings.Repeat(" ", MaxJSON)},
		{"very deep", strings.Repeat(`{"a":`, 3000)},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := ParseState([]byte(c.message)); !errors.Is(err, ErrJSON) {
				t.Errorf("error %v, want ErrJSON", err)
			}
		})
	}
	for _, p := range []Profile{
		{Head: exampleHead(), LatitudeE7: 900_000_001},
		{Head: exampleHead(), LongitudeE7: -1_800_000_001},
		{Head: exampleHead(), Heading: 360},
		{Head: exampleHead(), Limit: -1},
	} {
		if _, err := p.Marshal(); !errors.Is(err, ErrJSON) {
			t.Errorf("%+v: error %v, want ErrJSON", p, err)
		}
	}
	long := Health{Head: exampleHead(), Boot: BootID{2}, Sequence: 1, Alarms: make([]Reason, MaxReasons+1)}
	if _, err := long.Marshal(); !errors.Is(err, ErrJSON) {
		t.Errorf("%d alarms: error %v, want ErrJSON", len(long.Alarms), err)
	}
}

func FuzzJSON(f *testing.F) {
	good, err := State{Head: exampleHead(), Boot: BootID{2}, Sequence: 3}.Marshal()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte(`{"v":1,"counts":{"discarded":{"a":1}}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if s, err := ParseState(b); err == nil {
			again, err := s.Marshal()
			if err != nil {
				t.Fatalf("accepted state does not encode: %v", err)
			}
			if s2, err := ParseState(again); err != nil || s2.Boot != s.Boot || s2.Online != s.Online {
				t.Errorf("state %+v came back as %+v, %v", s, s2, err)
			}
		}
		if h, err := ParseHealth(b); err == nil {
			if _, err := h.Marshal(); err != nil && !strings.Contains(err.Error(), "bytes, want") {
				t.Errorf("accepted health does not encode: %v", err)
			}
		}
		if p, err := ParseProfile(b); err == nil {
			if _, err := p.Marshal(); err != nil && !strings.Contains(err.Error(), "bytes, want") {
				t.Errorf("accepted profile does not encode: %v", err)
			}
		}
	})
}
