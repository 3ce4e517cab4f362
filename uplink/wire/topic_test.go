package wire

import (
	"errors"
	"strings"
	"testing"

	"ciglio/capture/evidence"
)

const exampleDevice = "00112233445566778899aabbccddeeff"

func TestTopicsParseBack(t *testing.T) {
	device, err := evidence.ParseDeviceID(exampleDevice)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := Topic("milano-1", device, WhatRecord), "ciglio/v1/milano-1/"+exampleDevice+"/record"; got != want {
		t.Errorf("topic %q, want %q", got, want)
	}
	for _, what := range Whats() {
		shard, d, w, err := ParseTopic(Topic("milano-1", device, what))
		if err != nil || shard != "milano-1" || d != device || w != what {
			t.Errorf("%s: %q %v %q, %v", what, shard, d, w, err)
		}
	}
	if got, want := Filter("a", WhatBlob), "ciglio/v1/a/+/blob"; got != want {
		t.Errorf("filter %q, want %q", got, want)
	}
}

func TestBadTopicsAreRefused(t *testing.T) {
	for _, c := range []struct{ name, topic string }{
		{"empty", ""},
		{"another version", "ciglio/v2/a/" + exampleDevice + "/record"},
		{"no shard", "ciglio/v1/" + exampleDevice + "/record"},
		{"an empty shard", "ciglio/v1//" + exampleDevice + "/record"},
		{"a shard in capitals, a second spelling", "ciglio/v1/A/" + exampleDevice + "/record"},
		{"a wildcard as shard", "ciglio/v1/+/" + exampleDevice + "/record"},
		{"a shard that begins with a hyphen", "ciglio/v1/-a/" + exampleDevice + "/record"},
		{"a shard of 33 characters", "ciglio/v1/" + strings.Repeat("a", 33) + "/" + exampleDevice + "/record"},
		{"a device id in capitals", "ciglio/v1/a/" + strings.ToUpper(exampleDevice) + "/record"},
		{"a short device id", "ciglio/v1/a/0011/record"},
		{"an unknown thing", "ciglio/v1/a/" + exampleDevice + "/plate"},
		{"one level more", "ciglio/v1/a/" + exampleDevice + "/record/1"},
		{"a leading slash", "/ciglio/v1/a/" + exampleDevice + "/record"},
		{"64 KB", "ciglio/v1/" + strings.Repeat("/", 65000)},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, _, _, err := ParseTopic(c.topic); !errors.Is(err, ErrTopic) || len(err.Error()) > 400 {
				t.Errorf("error %v, want a short ErrTopic", err)
			}
		})
	}
}

func TestDeviceSendsFiveOfSeven(t *testing.T) {
	for _, c := range []struct {
		what What
		want bool
	}{
		{WhatRecord, true}, {WhatBlob, true}, {WhatState, true}, {WhatHealth, true}, {WhatProfile, true},
		{WhatReceipt, false}, {WhatCommand, false},
	} {
		if got := c.what.FromDevice(); got != c.want {
			t.Errorf("%s from the device: %v, want %v", c.what, got, c.want)
		}
	}
}

func FuzzTopic(f *testing.F) {
	f.Add("ciglio/v1/a/" + exampleDevice + "/record")
	f.Add("ciglio/v1/milano-1/" + exampleDevice + "/command")
	f.Add("ciglio/v1/+/+/#")
	f.Fuzz(func(t *testing.T, topic string) {
		shard, device, what, err := ParseTopic(topic)
		if err == nil && Topic(shard, device, what) != topic {
			t.Errorf("a second spelling of one topic was accepted: %q", topic)
		}
	})
}
