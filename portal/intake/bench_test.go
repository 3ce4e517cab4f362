package intake_test

import (
	"fmt"
	"runtime"
	"sync"
	"testing"

	"ciglio/capture/evidence"
	"ciglio/portal/portaltest"
	"ciglio/uplink"
	"ciglio/uplink/wire"
)

// fill delivers messages from one goroutine a device, as a broker does from one,
// and waits until every record has its receipt.
func fill(b *bench, records int, messages []uplink.Message) {
	var all sync.WaitGroup
	all.Go(func() { b.Deliver(messages...) })
	for settled := 0; settled < records; {
		if m := <-b.Published(); m.Topic[len(m.Topic)-7:] == string(wire.WhatReceipt) {
			r, err := evidence.OpenReceipt(m.Payload)
			if err != nil {
				b.t.Fatal(err)
			}
			settled += len(r.Receipt.Entries)
		}
	}
	all.Wait()
}

// BenchmarkSmallRecords verifies, stores, logs and receipts heartbeats.
func BenchmarkSmallRecords(b *testing.B) {
	for _, devices := range []int{1, 100} {
		b.Run(fmt.Sprintf("devices=%d", devices), func(b *testing.B) {
			const each = 2000
			var all []*portaltest.Device
			for i := range devices {
				all = append(all, portaltest.NewDevice(b, fmt.Sprint("bench", i)))
			}
			c := portaltest.NewCentre(b, all...)
			bench := start(b, c)
			b.ReportAllocs()
			for b.Loop() {
				b.StopTimer()
				var messages []uplink.Message
				for i := range each {
					d := all[i%devices]
					messages = append(messages, sealedMessage(d, d.Heartbeat(b)))
				}
				runtime.GC()
				b.StartTimer()
				fill(bench, each, messages)
			}
			b.ReportMetric(float64(each*b.N)/b.Elapsed().Seconds(), "records/s")
			b.ReportMetric(float64(bench.stats().Receipts)/float64(b.N), "receipts/op")
		})
	}
}

// BenchmarkMegabytes takes 200 violations of 1 MB: three frames and a trace.
func BenchmarkMegabytes(b *testing.B) {
	for _, devices := range []int{1, 20} {
		b.Run(fmt.Sprintf("devices=%d", devices), func(b *testing.B) {
			const each = 200
			var all []*portaltest.Device
			for i := range devices {
				all = append(all, portaltest.NewDevice(b, fmt.Sprint("bench", i)))
			}
			c := portaltest.NewCentre(b, all...)
			bench := start(b, c)
			seed := uint64(0)
			for b.Loop() {
				b.StopTimer()
				var messages []uplink.Message
				for i := range each {
					d := all[i%devices]
					var blobs [][]byte
					for _, n := range []int{320_000, 320_000, 320_000, 64_000} {
						seed++
						blobs = append(blobs, portaltest.Bytes(seed, n))
					}
					messages = append(messages, sealedMessage(d, d.Violation(b, blobs[:3], blobs[3], nil)))
					for _, blob := range blobs {
						messages = append(messages, d.Chunks(blob)...)
					}
				}
				runtime.GC()
				b.StartTimer()
				fill(bench, each, messages)
			}
			b.ReportMetric(float64(each*b.N)/b.Elapsed().Seconds(), "violations/s")
			b.SetBytes(each * 1_024_000)
		})
	}
}
