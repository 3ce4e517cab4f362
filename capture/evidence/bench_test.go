package evidence

import (
	"bytes"
	"testing"
)

func BenchmarkSeal(b *testing.B) {
	r, s := violation(b), testSigner(b, "device")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Seal(r, s); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkOpen(b *testing.B) {
	sealed := must(Seal(violation(b), testSigner(b, "device")))(b).Bytes
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Open(sealed); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkVerify checks a bundle of usual size: three frames of 400 KB and a
// trace of 200 KB.
func BenchmarkVerify(b *testing.B) {
	r := violation(b)
	bundle := bundleOf(b, r, "device")
	for i := range r.Frames {
		bundle.Frames[i] = bytes.Repeat([]byte{byte(i)}, 400_000)
		r.Frames[i].Length, r.Frames[i].SHA256 = 400_000, sumOf(bundle.Frames[i])
	}
	bundle.Trace = make([]byte, 200_000)
	r.Trace.Length, r.Trace.SHA256 = 200_000, sumOf(bundle.Trace)
	bundle.Record = must(Seal(r, testSigner(b, "device")))(b).Bytes
	bundle.Receipt, bundle.Proof = nil, nil
	trust := must(ParseTrust(trustFiles(b)["trust.pem"]))(b)
	b.ReportAllocs()
	b.SetBytes(1_400_000)
	for b.Loop() {
		if v := Verify(bundle, trust); !v.OK() {
			b.Fatalf("%+v", v.Checks)
		}
	}
}
