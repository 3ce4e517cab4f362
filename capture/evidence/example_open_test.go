package evidence_test

import (
	"bytes"
	"fmt"
	"os"

	"ciglio/capture/evidence"
)

// A record is read in its one spelling, or refused with the byte and the field.
func ExampleOpen() {
	data, err := os.ReadFile("testdata/valid/heartbeat.cose")
	if err != nil {
		fmt.Println(err)
		return
	}
	s, err := evidence.Open(data)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, fact := range evidence.Facts(s.Record)[:2] {
		fmt.Printf("%s: %s\n", fact.Name, fact.Value())
	}
	_, err = evidence.Open(data[:100])
	fmt.Println(err)
	// Output:
	// kind: heartbeat
	// time: 2026-03-01 15:05:09.123456 CET (2026-03-01 14:05:09.123456 UTC)
	// record: message: byte 86: payload: ends too early
}

// A bundle is judged by keys of the trust file alone, never by what lies in it.
func ExampleVerify() {
	data, err := os.ReadFile("testdata/valid/violation.zip")
	if err != nil {
		fmt.Println(err)
		return
	}
	b, err := evidence.ReadBundle(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		fmt.Println(evidence.Unreadable(err).Line())
		return
	}
	pem, err := os.ReadFile("testdata/trust.pem")
	if err != nil {
		fmt.Println(err)
		return
	}
	trust, err := evidence.ParseTrust(pem)
	if err != nil {
		fmt.Println(err)
		return
	}
	verdict := evidence.Verify(b, trust)
	fmt.Println(verdict.Word(), verdict.Line())
	fmt.Println(evidence.Verify(b, nil).Line())
	// Output:
	// good This evidence is genuine and complete.
	// Not everything could be checked. Without a trust file nothing says whose key 1b540aa6a73b121fd4cf6b5342701170801a9b66a5dbd08a40d23d93df087c5b is.
}
