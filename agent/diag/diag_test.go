package diag

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

func TestSecretsAreTakenOut(t *testing.T) {
	const planted = "hunter2-PLANTED"
	for _, test := range []struct{ name, text, gone, stays string }{
		{"a password in TOML", `password = "` + planted + `"`, planted, "password ="},
		{"a password in TOML, with a quote in it", `password = "a\"` + planted + `"`, planted, "password ="},
		{"a password in single quotes", `camera_password = '` + planted + `'`, planted, "camera_password"},
		{"a password in JSON", `{"user":"u","Password":"` + planted + `","next":"stays"}`, planted, `"next":"stays"`},
		{"a password in a log line", `level=INFO msg=x passwd=` + planted + ` next=stays`, planted, "next=stays"},
		{"a password of several words", "passphrase: correct horse " + planted + "\nnext: stays", planted, "next: stays"},
		{"a token in a query", "GET /a?token=" + planted + "&next=stays", planted, "next=stays"},
		{"an API key", "x-api-key: " + planted, planted, "x-api-key"},
		{"an authorization header", "Authorization: Bearer " + planted, planted, "Authorization"},
		{"basic access without its header", "sent Basic aHVudGVyMjpQTEFOVEVE to it", "aHVudGVyMjpQTEFOVEVE", "to it"},
		{"an address with a password", "rtsp://admin:" + planted + "@192.168.1.20/video", planted, "@192.168.1.20/video"},
		{"an address with a user alone", "mqtt://" + planted + "@broker:1883", planted, "@broker:1883"},
		{"a web token", "is eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl here", "eyJzdWIiOiIxIn0", "here"},
		{"a private key", "a\n-----BEGIN PRIVATE KEY-----\nMIG" + planted + "\n-----END PRIVATE KEY-----\nstays", planted, "stays"},
		{"a private key of another sort", "-----BEGIN EC PRIVATE KEY-----\n" + planted + "\n-----END EC PRIVATE KEY-----\nstays", planted, "stays"},
		{"a private key that was cut", "-----BEGIN ENCRYPTED PRIVATE KEY-----\n" + planted, planted, ""},
		{"a key of age", "AGE-SECRET-KEY-1QQQPLANTEDQQQ", "QQQPLANTED", ""},
		{"a one-time code", "one_time_code=934188 next=stays", "934188", "next=stays"},
		{"a plate", "seen AB123CD at noon", "AB123CD", "at noon"},
		{"a plate with blanks", "seen AB 123 CD at noon", "AB 123 CD", "at noon"},
		{"a plate in small letters", "seen ab123cd at noon", "ab123cd", "at noon"},
		{"a motorcycle's plate", "seen EF12345 at noon", "EF12345", "at noon"},
		{"a tax code", "of RSSMRA85T10A562S today", "RSSMRA85T10A562S", "today"},
		{"a mail address", "tell mario.rossi@example.org today", "mario.rossi", "today"},
		{"what a password file holds", "some line with s3cr3tword in it", "s3cr3tword", "in it"},
	} {
		got := string(Redact([]byte(test.text), "s3cr3tword", ""))
		if strings.Contains(got, test.gone) || !strings.Contains(got, test.stays) || !strings.Contains(got, redacted) {
			t.Errorf("%s: %q", test.name, got)
		}
	}
}

func TestWhatADiagnosisNeedsStays(t *testing.T) {
	for _, text := range []string{
		"sha256=1b540aa6a73b121fd4cf6b5342701170801a9b66a5dbd08a40d23d93df087c5b",
		"device c1911000000040008000000000000001 epoch 1 number 42",
		"password_file = \"\"", "uplink tcp://127.0.0.1:1883 connected", "key file /var/lib/ciglio/evidence.key",
		"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----", "calibration A-117 version 3", "limit = \"70km/h\"",
		"time=2026-05-04T12:00:00.000Z level=WARN msg=\"gate closed\" causes=clock_bound", "go1.26.0 linux/arm64 v1.2.3",
	} {
		if got := string(Redact([]byte(text))); got != text {
			t.Errorf("%q became %q", text, got)
		}
	}
}

func TestArchiveFits(t *testing.T) {
	var log bytes.Buffer
	for i := range 8_000 {
		fmt.Fprintf(&log, "line %d of the log, %x\n", i, i*7919)
	}
	parts := []Part{
		{Name: "version.json", Text: []byte(`{"version":"1"}`)},
		{Name: "log.txt", Text: log.Bytes(), Newest: true},
		{Name: "config.toml", Text: []byte("password = \"PLANTED\"\n")},
	}
	for _, limit := range []int{12 << 10, 1 << 20} {
		b, err := Archive(parts, limit)
		if err != nil || len(b) > limit {
			t.Fatalf("%d bytes of %d: %v", len(b), limit, err)
		}
		again, err := Archive(parts, limit)
		if err != nil || !bytes.Equal(again, b) {
			t.Errorf("the same parts gave other bytes: %v", err)
		}
		got, err := Open(b)
		if err != nil || Names(got) != Names(parts) {
			t.Fatalf("%s, %v", Names(got), err)
		}
		text := string(got[1].Text)
		if !strings.Contains(text, "line 7999") || (limit < 1<<16) != strings.HasPrefix(text, leftOut) {
			t.Errorf("limit %d: the log begins %.60q", limit, text)
		}
		if strings.Contains(string(got[2].Text), "PLANTED") || bytes.Contains(b, []byte("PLANTED")) {
			t.Error("a secret is in the archive")
		}
	}
	if _, err := Archive(parts, 300); err == nil {
		t.Error("three files in 300 bytes")
	}
}

func TestTailKeepsTheEnd(t *testing.T) {
	tail := NewTail(100)
	for i := range 1000 {
		fmt.Fprintf(tail, "line %d\n", i)
	}
	text := string(tail.Text())
	if len(text) > 100 || !strings.HasPrefix(text, "line ") || !strings.HasSuffix(text, "line 999\n") {
		t.Errorf("%q", text)
	}
	if tail.Write(bytes.Repeat([]byte("x"), 1000)); len(tail.Text()) > 100 {
		t.Error("one long line is more than it keeps")
	}
}

func FuzzRedact(f *testing.F) {
	f.Add("password=x token: y", "x")
	f.Add("-----BEGIN PRIVATE KEY-----", "")
	f.Fuzz(func(t *testing.T, text, secret string) {
		got := Redact([]byte(text), secret)
		if len(secret) >= 3 && !strings.Contains(redacted, secret) && bytes.Contains(got, []byte(secret)) && !strings.Contains(secret, "redacted") {
			t.Errorf("%q is still in %q", secret, got)
		}
	})
}
