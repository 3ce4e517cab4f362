package evidence

import (
	"bytes"
	"encoding/binary"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"ciglio/sensor"
)

type bundleVector struct {
	name, why, trust, fails, words string
	row                            string // of [consistency] that it breaks, with its check
	data                           []byte
}

// bundleVectors returns bundles, good and bad.
func bundleVectors(t testing.TB) []bundleVector {
	var all []bundleVector
	add := func(name, why, fails, words string, data []byte) {
		all = append(all, bundleVector{name: name, why: why, fails: fails, words: words, data: data})
	}
	// changed builds a good bundle of a record, then spoils the bundle.
	changed := func(name, why, fails, words string, signer string, record func(*Record), spoil func(*Bundle)) {
		r := violation(t)
		if record != nil {
			record(r)
		}
		b := bundleOf(t, r, signer)
		if spoil != nil {
			spoil(b)
		}
		add(name, why, fails, words, zipOf(t, b))
	}

	changed("violation", "a violation with everything that belongs to it", "", "", "device", nil, nil)
	changed("violation-without-receipt", "a violation fresh from the device", "", "", "device", nil, func(b *Bundle) {
		b.Receipt, b.Proof = nil, nil
	})
	changed("violation-least", "only what is mandatory", "", "", "device", nil, func(b *Bundle) {
		*b = Bundle{Record: b.Record, Frames: b.Frames, Trace: b.Trace}
	})
	changed("violation-second-speed", "a second sensor confirms", "", "", "device", func(r *Record) {
		r.Measurement.Second = confirmed(r.Measurement)
	}, nil)
	changed("violation-second-speed-receding", "three contacts, the nearest first", "", "", "device", func(r *Record) {
		m := r.Measurement
		m.Direction = sensor.Receding
		m.Second = confirmed(m)
		c := m.Second.Contacts
		c.Positions = []int32{-2000, 1000, 2000}
		c.Marks = [][]sensor.Mono{c.Marks[1], {m.Start + 1_300_000_000, m.Start + 1_500_000_000}, c.Marks[0]}
	}, nil)
	three := func(r *Record, middle sensor.Mono) {
		r.Measurement.Second = confirmed(r.Measurement)
		c := r.Measurement.Second.Contacts
		c.Positions = []int32{10_000, 12_000, 14_000}
		c.Marks = [][]sensor.Mono{c.Marks[0], {c.Marks[1][0] + middle, c.Marks[1][1] + 100_000_000}, c.Marks[1]}
	}
	changed("violation-three-contacts", "three contacts, approaching", "", "", "device", func(r *Record) { three(r, 100_000_000) }, nil)
	changed("violation-contacts-early", "the contacts saw it 10 s before the track", "", "", "device", func(r *Record) {
		r.Measurement.Second = confirmed(r.Measurement)
		r.Measurement.Start += 11_200_000_000
		r.Measurement.End += 11_200_000_000
		r.Measurement.Photo += 11_200_000_000
		r.Trace.First, r.Trace.Last = r.Trace.First+11_200_000_000, r.Trace.Last+11_200_000_000
		for i := range r.Frames {
			r.Frames[i].Mono += 11_200_000_000
		}
	}, nil)
	changed("violation-contacts-sixteen", "sixteen marks, of the axles of a road train", "", "", "device", func(r *Record) {
		m := r.Measurement
		m.Second = confirmed(m)
		near, far := []sensor.Mono{}, []sensor.Mono{}
		for i := range 16 {
			far = append(far, m.Start+sensor.Mono(i)*70_000_000)
			near = append(near, far[i]+225_000_000)
		}
		m.Second.Contacts.Marks = [][]sensor.Mono{near, far}
	}, nil)
	changed("violation-displacement", "the pictures confirm", "", "", "device", func(r *Record) {
		r.Measurement.Second = &Second{Method: MethodDisplacement, Speed: 6000, Tolerance: 630}
	}, nil)
	fast := []byte("[site]\nid = \"sp14-km12\"\nlimit = \"130km/h\"\ndirection = \"approaching\"\n[sensor]\nmaximum = \"200km/h\"\n[second]\nmethod = \"none\"\n[clock]\nbound = \"100ms\"\n")
	changed("violation-fast", "five per cent, not 5 km/h, at 137 where 130 is allowed; the whole configuration", "", "", "device", func(r *Record) {
		m := r.Measurement
		m.Speed, m.Indicated, m.Reduction, m.Assessed, m.Limit = 13799, 13700, 685, 13015, 13000
		r.Configuration.SHA256 = sumOf(fast)
	}, func(b *Bundle) { b.Configuration = fast })
	changed("violation-csv", "the trace of another kind of sensor", "", "", "device", func(r *Record) { r.Trace.Format = "text/csv" }, nil)
	changed("violation-two-frames", "two frames are enough", "", "", "device", func(r *Record) { r.Frames = r.Frames[1:] },
		func(b *Bundle) { b.Frames = b.Frames[1:] })
	changed("violation-cut", "the camera gave bytes behind two of its pictures", "", "", "device", func(r *Record) {
		r.Frames[0].Cut, r.Frames[1].Cut = 1, math.MaxUint32
	}, nil)
	strobed := []byte("[site]\nid = \"sp14-km12\"\n[camera]\nstrobe_return = \"GPIO22\"\nstrobe_bound = \"2ms\"\n")
	changed("violation-strobe", "the strobe came back at both ends of what its bound allows, and between", "", "", "device", func(r *Record) {
		strobe(r, -2*time.Millisecond, 200*time.Microsecond, 2500*time.Microsecond)
		r.Configuration.SHA256 = sumOf(strobed)
	}, func(b *Bundle) { b.Configuration = strobed })
	changed("violation-strobe-widest", "the strobe came back at both ends of what any bound allows; one camera does not tell its exposure", "", "", "device", func(r *Record) {
		r.Frames[2].Exposure = 0
		strobe(r, -50*time.Millisecond, 50500*time.Microsecond, 50*time.Millisecond)
	}, nil)
	for _, source := range []string{"yuyv", "uyvy", "grey"} {
		changed("violation-raw-"+source, "pictures that the device compressed", "", "", "device", func(r *Record) {
			for i := range r.Frames {
				r.Frames[i].MediaType = "image/jpeg;source=" + source
			}
		}, nil)
	}
	changed("test", "a test has everything and accuses nobody", "", "", "device", func(r *Record) {
		r.Kind, r.Body = KindTest, Body{1: "simulated sensor"}
	}, nil)
	changed("test-below-limit", "a test may be of any speed", "", "", "device", func(r *Record) {
		r.Kind, r.Body = KindTest, Body{1: "simulated sensor"}
		m := r.Measurement
		m.Speed, m.Indicated, m.Assessed = 399, 300, 0
	}, nil)
	changed("revoked-later-with-receipt", "the key was revoked later, and the receipt is from before", "", "", "revoked later", func(r *Record) {
		r.Epoch, r.Key.Certificate = 4, Hash{}
	}, func(b *Bundle) { b.DeviceCertificate = nil })
	dated := func(months, days int, why, name, fails, words string, receipt *time.Time) {
		changed(name, why, fails, words, "expired", func(r *Record) {
			r.Epoch, r.Key.Certificate, r.UTC = 2, Hash{}, testTime.AddDate(0, -months, -days)
		}, func(b *Bundle) {
			b.DeviceCertificate, b.Receipt, b.Proof = nil, nil, nil
			if receipt != nil {
				s, p := receipted(t, must(Open(b.Record))(t), *receipt, "centre")
				b.Receipt, b.Proof = s.Bytes, must(p.Marshal())(t)
			}
		})
	}
	dated(1, 10, "the key's time is over, and the receipt is from before", "key-expired-with-receipt", "", "", at(testTime.AddDate(0, -1, -9)))
	dated(1, 10, "dated back under a key whose time was over when the register was issued", "key-expired-dated-back", "device key", "no receipt", nil)
	dated(1, 10, "dated back under a key whose time was over when the centre had it", "key-expired-received-later", "device key", "no receipt", at(testTime))
	heartbeat := bundleOf(t, ofKind(t, KindHeartbeat), "device")
	add("heartbeat-bundle", "a heartbeat with its receipt", "", "", zipOf(t, heartbeat))

	changed("frames-swapped", "two pictures are exchanged", "frames", "Picture 1", "device", nil, func(b *Bundle) {
		b.Frames[0], b.Frames[1] = b.Frames[1], b.Frames[0]
	})
	changed("frame-changed", "one bit of a picture", "frames", "Picture 2", "device", nil, func(b *Bundle) {
		b.Frames[1] = bytes.Clone(b.Frames[1])
		b.Frames[1][300] ^= 1
	})
	changed("frame-truncated", "a picture lacks its last byte", "frames", "Picture 3", "device", nil, func(b *Bundle) {
		b.Frames[2] = b.Frames[2][:len(b.Frames[2])-1]
	})
	changed("frame-extended", "a byte behind the end of a picture", "frames", "Picture 3", "device", nil, func(b *Bundle) {
		b.Frames[2] = append(bytes.Clone(b.Frames[2]), 0)
	})
	changed("frame-missing", "the picture of the photo position is gone", "frames", "Picture 2", "device", nil, func(b *Bundle) { b.Frames[1] = nil })
	changed("frame-missing-last", "the last picture is gone", "frames", "Picture 3", "device", nil, func(b *Bundle) { b.Frames = b.Frames[:2] })
	changed("frame-extra", "a picture that the record does not name", "frames", "4 pictures", "device", nil, func(b *Bundle) {
		b.Frames = append(b.Frames, b.Frames[0])
	})
	changed("frames-missing", "no pictures at all", "frames", "not here", "device", nil, func(b *Bundle) { b.Frames = nil })
	changed("trace-foreign", "the trace of another passage", "trace", "hash", "device", nil, func(b *Bundle) {
		b.Trace = bytes.Clone(b.Trace)
		copy(b.Trace[44:], []byte{1, 2, 3, 4})
	})
	changed("trace-truncated", "the end of the trace is gone", "trace", "bytes", "device", nil, func(b *Bundle) { b.Trace = b.Trace[:200] })
	changed("trace-missing", "no trace", "trace", "not here", "device", nil, func(b *Bundle) { b.Trace = nil })

	again := func(name, why, words string, first, second int) {
		changed(name, why, "reuse", words, "device", func(r *Record) {
			r.Frames[second].SHA256, r.Frames[second].Length = r.Frames[first].SHA256, r.Frames[first].Length
		}, func(b *Bundle) { b.Frames[second] = b.Frames[first] })
	}
	again("frame-twice", "one picture for two", "Picture 2 is picture 1", 0, 1)
	again("frame-twice-apart", "the first picture for the last", "Picture 3 is picture 1", 0, 2)
	changed("frame-is-trace", "the raw data for a picture", "reuse", "raw data", "device", func(r *Record) {
		r.Frames[2].SHA256, r.Frames[2].Length = r.Trace.SHA256, r.Trace.Length
	}, func(b *Bundle) { b.Frames[2] = b.Trace })

	key := func(name, why, words, signer string, record func(*Record)) {
		changed(name, why, "device key", words, signer, record, func(b *Bundle) { b.DeviceCertificate = nil })
	}
	key("key-unknown", "a key that the register does not know", ErrUnknownSigner.Error(), "stranger", nil)
	key("key-of-another-device", "the key of another device", ErrForeignKey.Error(), "other device", nil)
	key("key-of-another-epoch", "a key of an epoch that is not the record's", ErrForeignKey.Error(), "device", func(r *Record) { r.Epoch = 9 })
	key("key-of-centre", "the centre must not seal records", ErrForeignKey.Error(), "centre", nil)
	key("key-expired", "a key whose time is over", ErrNotValid.Error(), "expired", func(r *Record) { r.Epoch = 2 })
	key("key-not-yet-valid", "a record from before the key was made", ErrNotValid.Error(), "device", func(r *Record) {
		r.UTC = r.UTC.AddDate(-1, 0, 0)
	})
	key("key-revoked", "a key that was revoked a month before", ErrRevoked.Error(), "revoked", func(r *Record) { r.Epoch = 3 })
	changed("key-revoked-later", "the key was revoked later, and nothing proves that the record is older", "device key", "no receipt",
		"revoked later", func(r *Record) { r.Epoch = 4 }, func(b *Bundle) { b.Receipt, b.Proof = nil, nil })
	changed("key-revoked-before-receipt", "the key was revoked before the centre had the record", "device key", "no receipt",
		"revoked later", func(r *Record) { r.Epoch = 4 }, func(b *Bundle) {
			s := must(Open(b.Record))(t)
			receipt, _ := receipted(t, s, testTime.AddDate(0, 2, 0), "centre")
			b.Receipt = receipt.Bytes
		})

	changed("payload-changed", "the limit was changed after sealing", "signature", ErrSignature.Error(), "device", nil, func(b *Bundle) {
		m := parseTree(t, b.Record[1:])
		p := parseTree(t, m.kids[2].data)
		p.at(14, 5).n = 3000
		m.kids[2].data = p.bytes()
		*b = Bundle{Record: append([]byte{0xd2}, m.bytes()...), Frames: b.Frames, Trace: b.Trace}
	})
	changed("signature-changed", "one bit of the signature", "signature", ErrSignature.Error(), "device", nil, func(b *Bundle) {
		b.Record = bytes.Clone(b.Record)
		b.Record[len(b.Record)-1] ^= 1
	})
	changed("signature-zero", "r and s are zero", "signature", ErrSignature.Error(), "device", nil, func(b *Bundle) {
		b.Record = append(bytes.Clone(b.Record[:len(b.Record)-64]), make([]byte, 64)...)
	})
	changed("signature-r-too-large", "r is not below the order of the group", "signature", ErrSignature.Error(), "device", nil, func(b *Bundle) {
		b.Record = bytes.Clone(b.Record)
		copy(b.Record[len(b.Record)-64:], bytes.Repeat([]byte{0xff}, 32))
	})
	changed("kid-of-another-key", "sealed by a stranger under the device's key id", "signature", ErrSignature.Error(), "device", nil, func(b *Bundle) {
		b.Record = forgeKid(t, b.Record, testSigner(t, "stranger"))
	})

	figures := func(name, why, words string, change func(*Measurement)) {
		changed(name, why, "measurement", words, "device", func(r *Record) { change(r.Measurement) }, nil)
	}
	figures("indicated-rounded-up", "63.05 km/h shown as 64", "truncated", func(m *Measurement) { m.Indicated, m.Assessed = 6400, 5900 })
	figures("indicated-not-truncated", "the fraction is kept", "truncated", func(m *Measurement) { m.Indicated, m.Assessed = 6305, 5805 })
	figures("assessed-wrong", "the reduction is not taken off", "less", func(m *Measurement) { m.Assessed = 6300 })
	figures("at-the-limit", "an assessed speed equal to the limit is no violation", "no violation", func(m *Measurement) { m.Limit = 5800 })
	figures("below-the-limit", "an assessed speed below the limit", "no violation", func(m *Measurement) { m.Limit = 7000 })
	figures("second-speed-disagrees", "the second sensor says something else", "second speed", func(m *Measurement) {
		m.Second = &Second{Method: MethodDisplacement, Speed: 6506, Tolerance: 200}
	})
	contacts := func(name, why, words string, change func(*Measurement, *Contacts)) {
		figures(name, why, words, func(m *Measurement) {
			m.Second = confirmed(m)
			change(m, m.Second.Contacts)
		})
	}
	contacts("contacts-another-speed", "an edge a microsecond later than sealed gives 63.99 km/h", "what the contacts saw gives", func(_ *Measurement, c *Contacts) { c.Marks[0][1] += 1000 })
	contacts("contacts-speed-rounded-up", "the speed is rounded up", "what the contacts saw gives", func(m *Measurement, c *Contacts) {
		m.Second.Speed, c.Marks[0][1] = 6401, c.Marks[0][1]-1000
	})
	contacts("contacts-moved", "a contact lies elsewhere", "what the contacts saw gives", func(_ *Measurement, c *Contacts) { c.Positions[1]++ })
	contacts("contacts-other-way", "the vehicle over the contacts recedes", "approaching", func(m *Measurement, _ *Contacts) { m.Direction = sensor.Receding })
	contacts("contacts-two-ways", "one axle goes the other way", "one way", func(_ *Measurement, c *Contacts) {
		c.Marks[0][1], c.Marks[1][1] = c.Marks[1][1], c.Marks[0][1]
	})
	contacts("contacts-no-time", "an axle is at two contacts at once", "one way", func(_ *Measurement, c *Contacts) { c.Marks[0][1] = c.Marks[1][1] })
	changed("contacts-middle-late", "the middle contact last", "measurement", "one way", "device", func(r *Record) { three(r, 300_000_000) }, nil)
	changed("contacts-middle-at-once", "the middle contact at the same instant as the last", "measurement", "one way", "device", func(r *Record) { three(r, 225_000_000) }, nil)
	contacts("contacts-without-direction", "the vehicle has no direction, what crossed has", "approaching", func(m *Measurement, _ *Contacts) { m.Direction = sensor.DirectionUnknown })
	contacts("contacts-too-long", "an axle takes more than a minute", "more than 60 s", func(_ *Measurement, c *Contacts) { c.Marks[0][1] = c.Marks[1][1] + 60_000_000_001 })
	contacts("contacts-for-ever", "times whose sum no register holds", "more than 60 s", func(_ *Measurement, c *Contacts) {
		for i := range 14 {
			c.Marks[0], c.Marks[1] = append(c.Marks[0], math.MaxInt64-sensor.Mono(i)), append(c.Marks[1], 0)
		}
	})
	times := func(name, why, words string, change func(*Record)) {
		changed(name, why, "times", words, "device", change, nil)
	}
	times("calibration-expired", "measured after the calibration's last day", "in force until", func(r *Record) {
		r.Calibration.NotAfter = r.UTC.AddDate(0, 0, -1)
	})
	times("contacts-of-another-time", "the contacts saw it 11 s after the track", "from the track", func(r *Record) {
		m := r.Measurement
		m.Second = confirmed(m)
		for _, at := range m.Second.Contacts.Marks {
			for i := range at {
				at[i] = at[i].Add(m.End.Sub(m.Start) + 11*time.Second)
			}
		}
	})
	times("contacts-too-early", "the contacts saw it more than 10 s before the track", "from the track", func(r *Record) {
		m := r.Measurement
		m.Second = confirmed(m)
		for _, at := range m.Second.Contacts.Marks {
			for i := range at {
				at[i] -= 11_200_000_001
			}
		}
	})
	times("track-backwards", "the track ends before it begins", "track ends", func(r *Record) { r.Measurement.Start = r.Measurement.End + 1 })
	times("trace-backwards", "the trace ends before it begins", "raw data ends", func(r *Record) { r.Trace.Last = r.Trace.First - 1 })
	times("trace-of-another-time", "the trace is an hour older", "another time", func(r *Record) {
		r.Trace.First -= 3600e9
		r.Trace.Last -= 3600e9
	})
	times("photo-elsewhere", "the photo position a minute later", "photo position", func(r *Record) { r.Measurement.Photo += 60e9 })
	times("frame-elsewhere", "a picture from an hour before", "picture 1", func(r *Record) { r.Frames[0].Mono -= 3600e9 })
	times("frames-at-once", "two pictures of the same instant", "picture 2", func(r *Record) { r.Frames[1].Mono = r.Frames[0].Mono })
	times("clock-read-elsewhere", "UTC was taken ten minutes later", "clocks", func(r *Record) { r.Mono += 600e9 })

	changed("calibration-changed", "another calibration statement", "calibration", "hash", "device", nil, func(b *Bundle) {
		b.Calibration = []byte("calibration A-117, version 4\n")
	})
	changed("configuration-changed", "another configuration", "configuration", "hash", "device", nil, func(b *Bundle) {
		b.Configuration = []byte("limit = \"30km/h\"\n")
	})
	changed("certificate-changed", "another certificate", "device certificate", "hash", "device", nil, func(b *Bundle) {
		b.DeviceCertificate = append(bytes.Clone(b.DeviceCertificate), 0)
	})
	changed("certificate-not-in-register", "the record names another certificate than the register", "device certificate", "register", "device",
		func(r *Record) { r.Key.Certificate = sumOf([]byte("foreign")) }, func(b *Bundle) { b.DeviceCertificate = []byte("foreign") })
	foreign := *heartbeat
	foreign.Calibration = []byte(testCalibration)
	add("heartbeat-with-calibration", "a statement that the record does not name", "calibration", "names none", zipOf(t, &foreign))
	foreign = *heartbeat
	foreign.Frames = testFrames(t)
	add("heartbeat-with-frames", "pictures that the record does not name", "frames", "names 0", zipOf(t, &foreign))
	foreign = *heartbeat
	foreign.Trace = testTrace(10)
	add("heartbeat-with-trace", "a trace that the record does not name", "trace", "names none", zipOf(t, &foreign))

	all = append(all, doubtVectors(t)...)
	all = append(all, receiptVectors(t)...)
	all = append(all, zipVectors(t)...)
	byOfficer := bundleOf(t, violation(t), "officer")
	all = append(all, bundleVector{name: "sealed-by-officer", why: "an officer's key, which seals no records", trust: "trust-officer.pem",
		fails: "device key", words: ErrForeignKey.Error(), data: zipOf(t, byOfficer)})
	byOfficer = bundleOf(t, violation(t), "device")
	receipt, proof := receipted(t, must(Seal(violation(t), testSigner(t, "device")))(t), testTime.Add(time.Hour), "officer")
	byOfficer.Receipt, byOfficer.Proof = receipt.Bytes, must(proof.Marshal())(t)
	all = append(all, bundleVector{name: "receipt-of-officer", why: "an officer's key, which receipts no records", trust: "trust-officer.pem",
		fails: "receipt", words: ErrForeignKey.Error(), data: zipOf(t, byOfficer)})
	for _, v := range []bundleVector{
		{trust: "trust-crlf.pem", why: "a trust file with the line ends of another system"},
		{trust: "trust-older.pem", fails: "device key", words: ErrUnknownSigner.Error(), why: "an older register, before the device was enrolled"},
		{trust: "trust-of-another-root.pem", fails: "device key", words: ErrUnknownSigner.Error(), why: "the trust file of another authority"},
		{trust: "trust-mismatched-root.pem", fails: "trust", words: ErrWrongKey.Error(), why: "a register that another root signed"},
		{trust: "trust-signed-by-device.pem", fails: "trust", words: ErrForeignKey.Error(), why: "a register that a device signed"},
		{trust: "trust-changed.pem", fails: "trust", words: ErrSignature.Error(), why: "a register that was changed"},
		{trust: "trust-unsorted.pem", fails: "trust", words: ErrKeyOrder.Error(), why: "a second spelling of a register"},
		{trust: "trust-text-before.pem", fails: "trust", words: "more than", why: "something else in the file"},
		{trust: "trust-two-roots.pem", fails: "trust", words: "no block", why: "two root keys"},
		{trust: "trust-without-register.pem", fails: "trust", words: "no block", why: "a root without its register"},
		{trust: "trust-root-as-device.pem", fails: "trust", words: ErrForeignKey.Error(), why: "a register that names the root's key as a device's"},
		{trust: "trust-root-as-centre.pem", fails: "trust", words: ErrForeignKey.Error(), why: "a register that names the root's key as the centre's"},
		{trust: "trust-centre-as-device.pem", fails: "trust", words: ErrDuplicateKey.Error(), why: "a register that names the centre's key as a device's"},
		{trust: "trust-officer.pem", why: "a register that names officers beside the centre"},
		{trust: "trust-officer-epoch.pem", fails: "trust", words: ErrRange.Error(), why: "an officer with an epoch, which only a device has"},
		{trust: "trust-officer-first.pem", fails: "trust", words: ErrKeyOrder.Error(), why: "officers before centres, a second spelling"},
		{trust: "trust-unknown-role.pem", fails: "trust", words: ErrRange.Error(), why: "a role that profile 1 does not have"},
		{trust: "trust-empty.pem", fails: "trust", words: "does not begin", why: "an empty trust file"},
	} {
		v.name, v.data = strings.TrimSuffix(v.trust, ".pem"), all[0].data
		all = append(all, v)
	}
	return all
}

// receiptVectors returns bundles whose receipt or log proof is wrong.
func receiptVectors(t testing.TB) []bundleVector {
	var all []bundleVector
	signed := must(Seal(violation(t), testSigner(t, "device")))(t)
	add := func(name, why, fails, words, signer string, change func(*Receipt, *Proof)) {
		b := bundleOf(t, violation(t), "device")
		good, proof := receipted(t, signed, testTime.Add(time.Hour), "centre")
		r := *good.Receipt
		r.Entries = slices.Clone(r.Entries)
		change(&r, proof)
		b.Receipt = must(SealReceipt(&r, testSigner(t, signer)))(t).Bytes
		b.Proof = must(proof.Marshal())(t)
		all = append(all, bundleVector{name: name, why: why, fails: fails, words: words, data: zipOf(t, b)})
	}
	add("receipt-of-another-record", "the receipt names another id at this place", "receipt", "does not name", "centre",
		func(r *Receipt, p *Proof) { r.Entries[1].ID[0] ^= 1 })
	add("receipt-of-another-number", "the receipt does not hold this place", "receipt", "does not name", "centre",
		func(r *Receipt, p *Proof) { r.Entries = r.Entries[:1] })
	add("receipt-of-another-device", "the receipt of another device", "receipt", "does not name", "centre",
		func(r *Receipt, p *Proof) { r.Device = otherDevice })
	add("receipt-by-device", "a device must not write receipts", "receipt", ErrForeignKey.Error(), "device", func(r *Receipt, p *Proof) {})
	add("receipt-by-stranger", "a receipt by an unknown key", "receipt", ErrUnknownSigner.Error(), "stranger", func(r *Receipt, p *Proof) {})
	add("receipt-before-record", "a receipt of the day before its record", "receipt", "older than the record", "centre",
		func(r *Receipt, p *Proof) { r.UTC = testTime.AddDate(0, 0, -1) })
	add("receipt-of-a-year-before", "a record that is dated a year ahead of its receipt", "receipt", "older than the record", "centre",
		func(r *Receipt, p *Proof) { r.UTC = time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC) })
	add("receipt-too-late", "a receipt dated after its key's time", "receipt", ErrNotValid.Error(), "centre",
		func(r *Receipt, p *Proof) { r.UTC = r.UTC.AddDate(10, 0, 0) })
	add("log-wrong-hash", "a proof with one wrong hash", "log", "does not hold", "centre", func(r *Receipt, p *Proof) { p.Hashes[1][5] ^= 1 })
	add("log-hashes-swapped", "two hashes exchanged", "log", "does not hold", "centre", func(r *Receipt, p *Proof) {
		p.Hashes[0], p.Hashes[1] = p.Hashes[1], p.Hashes[0]
	})
	add("log-too-short", "a proof that ends early", "log", "does not hold", "centre", func(r *Receipt, p *Proof) { p.Hashes = p.Hashes[:1] })
	add("log-too-long", "a proof with one hash too many", "log", "does not hold", "centre", func(r *Receipt, p *Proof) {
		p.Hashes = append(p.Hashes, p.Hashes[0])
	})
	add("log-another-place", "a proof for another leaf", "log", "another place", "centre", func(r *Receipt, p *Proof) { p.Index-- })
	add("log-another-size", "a proof for a larger log", "log", "another place", "centre", func(r *Receipt, p *Proof) { p.Size++ })
	add("log-wrong-root", "the receipt names another root", "log", "does not hold", "centre", func(r *Receipt, p *Proof) { r.LogRoot[0] ^= 1 })

	raw := func(name, why, fails, words string, change func(*Bundle)) {
		b := bundleOf(t, violation(t), "device")
		change(b)
		all = append(all, bundleVector{name: name, why: why, fails: fails, words: words, data: zipOf(t, b)})
	}
	spoilReceipt := func(spoil func(*node)) func(*Bundle) {
		return func(b *Bundle) {
			payload := parseTree(t, must(OpenReceipt(b.Receipt))(t).message.Payload)
			spoil(payload)
			b.Receipt = must(SealMessage(ContentTypeReceipt, payload.bytes(), testSigner(t, "centre")))(t)
		}
	}
	raw("receipt-changed", "the receipt's log size was changed", "receipt", "changed", func(b *Bundle) {
		m := parseTree(t, b.Receipt[1:])
		p := parseTree(t, m.kids[2].data)
		p.at(4).n++
		m.kids[2].data = p.bytes()
		b.Receipt = append([]byte{0xd2}, m.bytes()...)
	})
	raw("receipt-is-record", "the record in place of the receipt", "receipt", ErrHeader.Error(), func(b *Bundle) { b.Receipt = b.Record })
	raw("receipt-not-minimal", "a second spelling of the log size", "receipt", ErrNotMinimal.Error(), spoilReceipt(func(r *node) { r.at(4).raw = wide(0, 7, 1) }))
	raw("receipt-unordered", "entries out of order", "receipt", ErrRange.Error(), spoilReceipt(func(r *node) {
		e := r.at(3)
		e.kids[0], e.kids[1] = e.kids[1], e.kids[0]
	}))
	raw("receipt-twice", "the same entry twice", "receipt", ErrRange.Error(), spoilReceipt(func(r *node) { r.at(3).kids[0] = r.at(3).kids[1] }))
	raw("receipt-empty", "a receipt for nothing", "receipt", ErrRange.Error(), spoilReceipt(func(r *node) { r.at(3).kids = nil }))
	raw("receipt-index-beyond", "an entry beyond the end of the log", "receipt", ErrRange.Error(), spoilReceipt(func(r *node) { r.at(3, 1, 3).n = 7 }))
	raw("receipt-entry-long", "an entry of five items", "receipt", ErrRange.Error(), spoilReceipt(func(r *node) {
		e := r.at(3, 0)
		e.kids = append(e.kids, number(0))
	}))
	raw("receipt-unknown-key", "a key that receipts do not have", "receipt", ErrUnknownKey.Error(), spoilReceipt(func(r *node) { r.add(7, number(0)) }))
	raw("log-not-minimal", "a second spelling of the proof", "log", ErrNotMinimal.Error(), func(b *Bundle) {
		p := parseTree(t, b.Proof)
		p.at(3).raw = wide(0, 7, 2)
		b.Proof = p.bytes()
	})
	raw("log-trailing", "a byte after the proof", "log", ErrTrailing.Error(), func(b *Bundle) { b.Proof = append(b.Proof, 0) })
	raw("log-index-beyond", "a leaf beyond the end of the log", "log", ErrRange.Error(), func(b *Bundle) {
		p := parseTree(t, b.Proof)
		p.at(2).n = 7
		b.Proof = p.bytes()
	})
	return all
}

// zipVectors returns bundles whose zip is not written as it must be.
func zipVectors(t testing.TB) []bundleVector {
	var all []bundleVector
	files := filesOf(t, bundleOf(t, violation(t), "device"))
	add := func(name, why, words string, data []byte) {
		all = append(all, bundleVector{name: "zip-" + name, why: why, fails: "bundle", words: words, data: data})
	}
	with := func(change func(files []file) []file) []byte {
		var b bytes.Buffer
		if err := writeZip(&b, change(slices.Clone(files))); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	good := func(name, why string, data []byte) {
		all = append(all, bundleVector{name: "zip-" + name, why: why, data: data})
	}
	whole := with(func(f []file) []file { return f })
	edit := func(at int, change ...byte) []byte {
		b := bytes.Clone(whole)
		copy(b[at:], change)
		return b
	}
	central := bytes.LastIndex(whole, []byte("PK\x01\x02\x14\x00"))
	end := len(whole) - endSize
	add("deflated", "a file marked as compressed in one place", "different things", edit(8, 8))
	add("encrypted", "a file marked as encrypted in one place", "different things", edit(6, 1))
	good("dated", "a file with a date of its own", edit(12, 0x41))
	add("zip64", "sizes that stand elsewhere", "different things", edit(18, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff))
	add("size-claimed", "a record of a gigabyte", "different things", edit(18, 0, 0, 0, 0x40, 0, 0, 0, 0x40))
	add("checksum", "a wrong checksum in both places", "damaged", func() []byte {
		b := edit(14, 1, 2, 3, 4)
		first := bytes.Index(b, []byte("PK\x01\x02"))
		copy(b[first+16:], []byte{1, 2, 3, 4})
		return b
	}())
	add("directory-differs", "the directory names another file than the data", "different things", edit(central+centralSize, 'x'))
	add("directory-offset", "the directory points elsewhere", "not where", edit(central+42, 1))
	add("directory-cut", "the directory is gone", ErrTruncated.Error(), whole[:bytes.Index(whole, []byte("PK\x01\x02"))])
	good("comment", "a comment at the end", append(edit(end+20, 5), "hello"...))
	add("trailing", "something after the end", "follows", append(bytes.Clone(whole), 0))
	all = append(all, bundleVector{name: "zip-prefixed", why: "something before the first file", fails: "format", words: ErrHeader.Error(),
		data: append([]byte("#!/bin/sh\n"), whole...)})
	add("truncated", "half of the file", "", whole[:len(whole)/2])
	add("empty", "a zip without files", "missing", with(func([]file) []file { return nil }))
	add("no-record", "a bundle without its record", "missing", with(func(f []file) []file { return f[1:] }))
	add("twice", "the record twice", "twice", with(func(f []file) []file { return append(f[:1:1], f...) }))
	add("two-roles", "the first picture under two names", "twice", with(func(f []file) []file {
		return slices.Insert(f, 2, file{"frames/1-photo.jpg", f[1].data})
	}))
	good("order", "the record behind the pictures", with(func(f []file) []file { f[0], f[1] = f[1], f[0]; return f }))
	good("in-a-folder", "packed by a desktop: one folder, and what it leaves behind", with(func(f []file) []file {
		for i := range f {
			f[i].name = "case 42/" + f[i].name
		}
		return append(f, file{"__MACOSX/case 42/._record.cose", []byte("x")}, file{"case 42/Thumbs.db", []byte("x")},
			file{"case 42/.DS_Store", []byte("x")}, file{"case 42/desktop.ini", []byte("x")}, file{"case 42/\u202egpj.exe", []byte("x")})
	}))
	add("two-folders", "two bundles in one archive", "2 folders", with(func(f []file) []file {
		return []file{{"a/record.cose", f[0].data}, {"b/record.cose", f[0].data}}
	}))
	add("overlap", "two names for the same bytes", "overlap", func() []byte {
		b := with(func(f []file) []file {
			return append(f, file{"notes.txt", []byte("x")}, file{"notes.txt", []byte("x")})
		})
		last := bytes.LastIndex(b, []byte("PK\x01\x02"))
		copy(b[last+42:last+46], b[bytes.LastIndex(b[:last], []byte("PK\x01\x02"))+42:])
		return b
	}())
	good("foreign-name", "a file that no bundle has", with(func(f []file) []file { return append(f, file{"readme.txt", []byte("hi")}) }))
	good("path-outside", "a name that leads out of the folder", with(func(f []file) []file {
		return append(f, file{"../../etc/passwd", []byte("hi")})
	}))
	add("name-case", "a name in capitals", "missing", with(func(f []file) []file { f[0].name = "RECORD.COSE"; return f }))
	add("empty-file", "a picture of no bytes", ErrTooLarge.Error(), with(func(f []file) []file { f[1].data = nil; return f }))
	good("frame-six", "a sixth picture", with(func(f []file) []file {
		return slices.Insert(f, 4, file{"frames/6-after.jpg", f[1].data})
	}))
	add("frame-role", "a picture under another role than the record gives it", "names it", with(func(f []file) []file { f[1].name = "frames/1-photo.jpg"; return f }))
	add("trace-name", "a trace under another format than the record gives it", "names it", with(func(f []file) []file {
		for i := range f {
			f[i].name = strings.Replace(f[i].name, "trace.wav", "trace.csv", 1)
		}
		return f
	}))
	add("large-page", "a page of more than a mebibyte", "different things", func() []byte {
		b := with(func(f []file) []file { return append(f, file{namePage, []byte("x")}) })
		at := bytes.Index(b, []byte(namePage)) - localSize
		binary.LittleEndian.PutUint32(b[at+18:], 1<<20+1)
		binary.LittleEndian.PutUint32(b[at+22:], 1<<20+1)
		return b
	}())
	all = append(all, bundleVector{name: "zip-other-page", why: "a bundle of another release, with another page",
		data: with(func(f []file) []file { return append(f, file{namePage, []byte("<p>another page</p>")}) })})
	return all
}

// filesOf returns the files of a bundle without the page, so that vectors do not
// change with it. Unlike WriteBundle it takes what the record does not name.
func filesOf(t testing.TB, b *Bundle) []file {
	files := []file{{nameRecord, b.Record}}
	format := "audio/wav"
	if s, err := Open(b.Record); err == nil && s.Record.Trace != nil {
		format = s.Record.Trace.Format
		for i, data := range b.Frames {
			role := "after"
			if i < len(s.Record.Frames) {
				role = s.Record.Frames[i].Role
			}
			files = append(files, file{frameName(i+1, role), data})
		}
	} else {
		for i, data := range b.Frames {
			files = append(files, file{frameName(i+1, "photo"), data})
		}
	}
	files = append(files, file{traceName(format), b.Trace}, file{nameCertificate, b.DeviceCertificate},
		file{nameCalibration, b.Calibration}, file{nameConfiguration, b.Configuration}, file{nameReceipt, b.Receipt}, file{nameProof, b.Proof})
	return slices.DeleteFunc(files, func(f file) bool { return f.data == nil })
}

func zipOf(t testing.TB, b *Bundle) []byte {
	var out bytes.Buffer
	if err := writeZip(&out, filesOf(t, b)); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}
