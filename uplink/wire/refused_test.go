package wire_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"ciglio/capture/evidence"
	"ciglio/uplink/wire"
)

func TestRefusedHasOneSpelling(t *testing.T) {
	good := wire.Refused{Device: evidence.DeviceID{1}, ID: evidence.Hash{2}, Code: "clock_ahead", Wait: time.Hour}
	b, err := good.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	back, err := wire.UnmarshalRefused(b)
	if err != nil || *back != good {
		t.Fatalf("read %+v, %v", back, err)
	}
	for _, row := range []struct {
		name   string
		change func(*wire.Refused)
	}{
		{"no code", func(r *wire.Refused) { r.Code = "" }},
		{"a long code", func(r *wire.Refused) { r.Code = strings.Repeat("a", 33) }},
		{"a code for people", func(r *wire.Refused) { r.Code = "Too late" }},
		{"no wait", func(r *wire.Refused) { r.Wait = 0 }},
		{"half a second", func(r *wire.Refused) { r.Wait = time.Second / 2 }},
		{"a wait of more than a day", func(r *wire.Refused) { r.Wait = wire.MaxWait + time.Second }},
	} {
		bad := good
		row.change(&bad)
		if _, err := bad.Marshal(); !errors.Is(err, wire.ErrCommand) {
			t.Errorf("%s: %v", row.name, err)
		}
	}
	for name, bad := range map[string][]byte{
		"empty": {}, "cut": b[:len(b)-1], "longer": append(bytes.Clone(b), 0),
		"a wait of 600 years": append(bytes.Clone(b[:len(b)-3]), 0x1b, 4, 0, 0, 0, 0, 0, 0, 0),
	} {
		if _, err := wire.UnmarshalRefused(bad); !errors.Is(err, wire.ErrCommand) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzUnmarshalRefused(f *testing.F) {
	b, err := (&wire.Refused{Code: wire.RefusedHeldBack, Wait: time.Second}).Marshal()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := wire.UnmarshalRefused(b)
		if err != nil {
			return
		}
		if again, err := r.Marshal(); err != nil || !bytes.Equal(again, b) {
			t.Errorf("a second spelling of one command was accepted: %x", b)
		}
	})
}
