package evidence

import (
	"bytes"
	"crypto/elliptic"
	"crypto/sha256"
	"math/big"
	"strings"
	"testing"
)

// spoiled is one way in which a sealed record is not what the format demands.
// The seal is good in each: only the form is wrong.
type spoiled struct {
	name  string
	why   string
	err   error
	kind  Kind // 0 is a violation
	spoil func(*node)
}

// spoiledPayloads spoil the payload.
func spoiledPayloads() []spoiled {
	return []spoiled{
		{"integer-not-minimal", "kind 1 written in two bytes", ErrNotMinimal, 0, func(r *node) { r.at(2).raw = wide(0, 1, 1) }},
		{"integer-not-minimal-8", "seq written in nine bytes", ErrNotMinimal, 0, func(r *node) { r.at(5).raw = wide(0, 42, 8) }},
		{"length-not-minimal", "the length of dev written in two bytes", ErrNotMinimal, 0, func(r *node) {
			r.at(3).raw = append(wide(majorBytes, 16, 1), r.at(3).data...)
		}},
		{"text-length-not-minimal", "the length of a text written in three bytes", ErrNotMinimal, 0, func(r *node) {
			r.at(13, 2).raw = append(wide(majorText, 5, 2), r.at(13, 2).data...)
		}},
		{"key-not-minimal", "key 1 written in two bytes", ErrNotMinimal, 0, func(r *node) { r.kids[0].raw = wide(0, 1, 1) }},
		{"map-head-not-minimal", "the number of keys written in two bytes", ErrNotMinimal, 0, func(r *node) {
			r.raw = append(wide(majorMap, 20, 1), r.bytes()[1:]...)
		}},
		{"array-head-not-minimal", "the number of frames written in five bytes", ErrNotMinimal, 0, func(r *node) {
			r.at(15).raw = append(wide(majorArray, 3, 4), r.at(15).bytes()[1:]...)
		}},
		{"duplicate-key", "key 5 stands twice with the same value", ErrDuplicateKey, 0, func(r *node) {
			r.kids = append(r.kids[:10:10], append([]*node{number(5), number(42)}, r.kids[10:]...)...)
		}},
		{"duplicate-last-key", "the last key stands twice", ErrDuplicateKey, 0, func(r *node) { r.add(20, r.at(20)) }},
		{"duplicate-key-nested", "the limit stands twice, with two values", ErrDuplicateKey, 0, func(r *node) {
			m := r.at(14)
			m.kids = append(m.kids[:10:10], append([]*node{number(5), number(9000)}, m.kids[10:]...)...)
		}},
		{"keys-out-of-order", "keys 4 and 5 are exchanged", ErrMissingKey, 0, func(r *node) {
			r.kids[6], r.kids[7], r.kids[8], r.kids[9] = r.kids[8], r.kids[9], r.kids[6], r.kids[7]
		}},
		{"keys-out-of-order-at-end", "key 1 follows key 20 once more", ErrKeyOrder, 0, func(r *node) { r.add(1, number(1)) }},
		{"unknown-key", "key 22", ErrUnknownKey, 0, func(r *node) { r.add(22, number(0)) }},
		{"unknown-key-zero", "key 0", ErrUnknownKey, 0, func(r *node) {
			r.kids = append([]*node{number(0), number(0)}, r.kids...)
		}},
		{"unknown-key-nested", "key 17 in the measurement", ErrUnknownKey, 0, func(r *node) { r.at(14).add(17, number(0)) }},
		{"unknown-key-in-frame", "key 9 in a frame", ErrUnknownKey, 0, func(r *node) { r.at(15, 1).add(9, number(0)) }},
		{"unknown-key-in-body", "key 2 in the body of a shutdown", ErrUnknownKey, KindShutdown, func(r *node) { r.at(21).add(2, number(0)) }},
		{"unknown-key-negative", "key -1", ErrType, 0, func(r *node) { r.kids = append(r.kids, number(-1), number(0)) }},
		{"unknown-key-text", "a key of type text", ErrType, 0, func(r *node) { r.kids = append(r.kids, text("alg"), number(0)) }},
		{"unknown-key-huge", "key 2^63", ErrUnknownKey, 0, func(r *node) { r.kids = append(r.kids, &node{n: beyond}, number(0)) }},
		{"missing-key", "no configuration (18)", ErrMissingKey, 0, func(r *node) { r.remove(18) }},
		{"missing-first-key", "no version (1)", ErrMissingKey, 0, func(r *node) { r.remove(1) }},
		{"missing-last-key", "no key information (20)", ErrMissingKey, 0, func(r *node) { r.remove(20) }},
		{"missing-key-nested", "a measurement without uncertainty", ErrMissingKey, 0, func(r *node) { r.at(14).remove(9) }},
		{"missing-key-in-body", "a heartbeat without the count of discards", ErrMissingKey, KindHeartbeat, func(r *node) { r.at(21).remove(4) }},
		{"null", "ack is null instead of 32 zero bytes", ErrForbidden, 0, func(r *node) { r.at(7).raw = []byte{0xf6} }},
		{"null-optional", "the second speed is null instead of absent", ErrForbidden, 0, func(r *node) { r.at(14).add(16, raw(0xf6)) }},
		{"undefined", "the serial is undefined", ErrForbidden, 0, func(r *node) { r.at(16, 5).raw = []byte{0xf7} }},
		{"truth-value", "synchronised is true instead of 1", ErrForbidden, 0, func(r *node) { r.at(11, 2).raw = []byte{0xf5} }},
		{"float", "the speed is the float 6304.0", ErrForbidden, 0, func(r *node) { r.at(14, 1).raw = []byte{0xf9, 0x6e, 0x28} }},
		{"tag", "utc carries tag 1", ErrForbidden, 0, func(r *node) { r.at(10).raw = append([]byte{0xc1}, r.at(10).bytes()...) }},
		{"tagged-payload", "the payload carries tag 55799 (CBOR)", ErrForbidden, 0, func(r *node) { r.raw = append([]byte{0xd9, 0xd9, 0xf7}, r.bytes()...) }},
		{"bignum", "seq as a bignum", ErrForbidden, 0, func(r *node) { r.at(5).raw = []byte{0xc2, 0x41, 42} }},
		{"indefinite-map", "the record does not say how many keys it has", ErrIndefinite, 0, func(r *node) { r.raw = r.indefinite() }},
		{"indefinite-array", "the frames do not say how many they are", ErrIndefinite, 0, func(r *node) { r.at(15).raw = r.at(15).indefinite() }},
		{"indefinite-text", "the road in one piece of unknown length", ErrIndefinite, 0, func(r *node) {
			r.at(13, 2).raw = append(append([]byte{0x7f}, r.at(13, 2).bytes()...), 0xff)
		}},
		{"reserved-head", "additional information 28, which no version of CBOR has", ErrType, 0, func(r *node) { r.at(5).raw = []byte{0x1c} }},
		{"text-not-utf8", "the road holds the byte 0xff", ErrText, 0, func(r *node) { r.at(13, 2).data = []byte("SP \xff4") }},
		{"text-overlong-utf8", "a slash in two bytes, which UTF-8 forbids", ErrText, 0, func(r *node) { r.at(13, 2).data = []byte("SP\xc0\xaf4") }},
		{"text-surrogate", "half of a surrogate pair", ErrText, 0, func(r *node) { r.at(13, 2).data = []byte("\xed\xa0\x80") }},
		{"text-control", "an escape sequence that paints a terminal green", ErrText, 0, func(r *node) { r.at(13, 2).data = []byte("\x1b[32mSP14") }},
		{"text-control-c1", "a control character beyond ASCII", ErrText, 0, func(r *node) { r.at(13, 2).data = []byte("SP\u009b4") }},
		{"text-newline", "a road of two lines", ErrText, 0, func(r *node) { r.at(13, 2).data = []byte("SP\n14") }},
		{"text-bidirectional", "a road that reads backwards: SP 41", ErrText, 0, func(r *node) { r.at(13, 2).data = []byte("SP \u202e14\u202c") }},
		{"text-isolate", "a road in an isolate of the other direction", ErrText, 0, func(r *node) { r.at(13, 2).data = []byte("\u2067SP 14\u2069") }},
		{"text-zero-width", "a road with a space that is not seen", ErrText, 0, func(r *node) { r.at(13, 2).data = []byte("SP\u200b14") }},
		{"text-line-separator", "a road of two lines, without a control", ErrText, 0, func(r *node) { r.at(13, 2).data = []byte("SP\u202814") }},
		{"text-byte-order-mark", "a mark that is no character", ErrText, 0, func(r *node) { r.at(13, 2).data = []byte("\ufeffSP14") }},
		{"text-tags", "letters of the plane that nobody sees", ErrText, 0, func(r *node) { r.at(13, 2).data = []byte("SP14\U000e0041\U000e0042") }},
		{"text-filler", "a letter that is a blank", ErrText, 0, func(r *node) { r.at(13, 2).data = []byte("SP\u316414") }},
		{"text-hidden-in-body", "why a record is a test, with words that turn around", ErrText, KindTest, func(r *node) { r.at(21, 1).data = []byte("no \u202etest") }},
		{"text-too-long", "a road of 257 bytes", ErrRange, 0, func(r *node) { r.at(13, 2).data = []byte(strings.Repeat("a", 257)) }},
		{"text-empty", "a road of no bytes", ErrRange, 0, func(r *node) { r.at(13, 2).data = nil }},
		{"text-as-bytes", "the road as a byte string", ErrType, 0, func(r *node) { r.at(13, 2).major = majorBytes }},
		{"bytes-as-text", "dev as text", ErrType, 0, func(r *node) { r.at(3).raw = append([]byte{0x70}, "0123456789abcdef"...) }},
		{"hash-too-short", "prev of 31 bytes", ErrRange, 0, func(r *node) { r.at(6).data = r.at(6).data[:31] }},
		{"hash-too-long", "prev of 33 bytes", ErrRange, 0, func(r *node) { r.at(6).data = append(bytes.Clone(r.at(6).data), 0) }},
		{"device-too-short", "dev of 15 bytes", ErrRange, 0, func(r *node) { r.at(3).data = r.at(3).data[:15] }},
		{"length-beyond-end", "a text that claims 2^40 bytes", ErrRange, 0, func(r *node) { r.at(13, 2).raw = wide(majorText, 1<<40, 8) }},
		{"array-claims-billions", "frames that claim 2^31 items", ErrRange, 0, func(r *node) { r.at(15).raw = wide(majorArray, 1<<31, 4) }},
		{"map-claims-billions", "a record that claims 2^62 keys", ErrTruncated, 0, func(r *node) {
			r.raw = append(wide(majorMap, 1<<62, 8), r.bytes()[1:]...)
		}},
		{"negative", "a negative seq", ErrRange, 0, func(r *node) { r.at(5).raw = number(-1).bytes() }},
		{"beyond-63-bits", "an epoch of 2^63", ErrRange, 0, func(r *node) { r.at(4).n = beyond }},
		{"below-63-bits", "a clock offset of -2^63-1", ErrRange, 0, func(r *node) { *r.at(11, 3) = node{major: majorNegative, n: beyond} }},
		{"version", "version 2", ErrRange, 0, func(r *node) { r.at(1).n = 2 }},
		{"kind-unknown", "kind 13", ErrRange, 0, func(r *node) { r.at(2).n = 13 }},
		{"seq-zero", "seq counts from 1", ErrRange, 0, func(r *node) { r.at(5).n = 0 }},
		{"epoch-zero", "epoch counts from 1", ErrRange, 0, func(r *node) { r.at(4).n = 0 }},
		{"prev-zero", "record 42 without a link to record 41", ErrRange, 0, func(r *node) { r.at(6).data = make([]byte, 32) }},
		{"prev-of-first", "the first record of an epoch with a link", ErrRange, 0, func(r *node) { r.at(5).n = 1 }},
		{"counter-without-class", "a counter's value without its class", ErrRange, 0, func(r *node) { r.at(12, 0).n = 0 }},
		{"counter-of-three", "three items where two belong", ErrRange, 0, func(r *node) { r.at(12).kids = append(r.at(12).kids, number(0)) }},
		{"latitude", "91 degrees north", ErrRange, 0, func(r *node) { r.at(13, 4).n = 910_000_000 }},
		{"heading", "360 degrees, which is 0", ErrRange, 0, func(r *node) { r.at(13, 6).n = 360 }},
		{"speed-too-large", "1000 km/h", ErrRange, 0, func(r *node) { r.at(14, 1).n = 100_000 }},
		{"flags-reserved", "a flag that profile 1 does not have", ErrRange, 0, func(r *node) { r.at(14, 12).n = 1 }},
		{"direction", "direction 3", ErrRange, 0, func(r *node) { r.at(14, 7).n = 3 }},
		{"contacts-missing", "a speed of contacts that does not say what they saw", ErrMissingKey, 0, func(r *node) {
			r.at(14).add(16, table(number(1), number(6400), number(200)))
		}},
		{"contacts-of-pictures", "a speed by pictures says what contacts saw", ErrRange, 0, spoilSecond(func(s *node) { s.at(1).n = 2 })},
		{"contacts-one", "one contact", ErrRange, 0, spoilSecond(func(s *node) { s.at(4, 1).kids, s.at(4, 2).kids = s.at(4, 1).kids[:1], s.at(4, 2).kids[:1] })},
		{"contacts-four", "four contacts", ErrRange, 0, spoilSecond(func(s *node) {
			p, m := s.at(4, 1), s.at(4, 2)
			p.kids, m.kids = append(p.kids, number(15_000), number(16_000)), append(m.kids, m.kids[0], m.kids[0])
		})},
		{"contacts-without-marks", "two contacts, marks of one", ErrRange, 0, spoilSecond(func(s *node) { s.at(4, 1).kids = append(s.at(4, 1).kids, number(15_000)) })},
		{"contacts-marks-differ", "an axle that only one contact felt", ErrRange, 0, spoilSecond(func(s *node) {
			s.at(4, 2, 0).kids = append(s.at(4, 2, 0).kids, number(30_002_000_000_000))
		})},
		{"contacts-one-mark", "one mark is no vehicle", ErrRange, 0, spoilSecond(func(s *node) {
			for i := range uint64(2) {
				s.at(4, 2, i).kids = s.at(4, 2, i).kids[:1]
			}
		})},
		{"contacts-farthest-first", "the farthest contact first", ErrRange, 0, spoilSecond(func(s *node) { s.at(4, 1, 0).n = 15_000 })},
		{"contacts-at-one-place", "two contacts at one place", ErrRange, 0, spoilSecond(func(s *node) { s.at(4, 1, 0).n = 14_000 })},
		{"contacts-too-far", "a contact a kilometre and a millimetre away", ErrRange, 0, spoilSecond(func(s *node) { s.at(4, 1, 1).n = 1_000_001 })},
		{"contacts-before-the-clock", "a negative instant", ErrRange, 0, spoilSecond(func(s *node) { *s.at(4, 2, 0, 0) = *number(-1) })},
		{"contacts-unknown-key", "key 3 of the contacts", ErrUnknownKey, 0, spoilSecond(func(s *node) { s.at(4).add(3, number(0)) })},
		{"frames-too-many", "six frames", ErrRange, 0, func(r *node) {
			f := r.at(15)
			f.kids = append(f.kids, f.kids[2], f.kids[2], f.kids[2])
		}},
		{"frames-too-few", "one frame", ErrRange, 0, func(r *node) { r.at(15).kids = r.at(15).kids[1:2] }},
		{"frames-none", "an empty array of frames", ErrRange, 0, func(r *node) { r.at(15).kids = nil }},
		{"frames-two-photos", "two frames with role photo", ErrRange, 0, func(r *node) { r.at(15, 0, 1).data = []byte("photo") }},
		{"frames-order", "a frame before the photo stands behind it", ErrRange, 0, func(r *node) { r.at(15, 2, 1).data = []byte("before") }},
		{"frame-role-of-two", "one role that is two with a blank between", ErrRange, 0, func(r *node) { r.at(15, 0, 1).data = []byte("before photo"); r.at(15, 1, 1).data = []byte("after") }},
		{"frame-role-blank", "a role of a blank", ErrRange, 0, func(r *node) { r.at(15, 0, 1).data = []byte(" ") }},
		{"frame-role-blank-behind", "a role with a blank behind it", ErrRange, 0, func(r *node) { r.at(15, 1, 1).data = []byte("photo ") }},
		{"frame-role-case", "a role in capitals", ErrRange, 0, func(r *node) { r.at(15, 1, 1).data = []byte("PHOTO") }},
		{"frame-role-path", "a role that leads out of the folder", ErrRange, 0, func(r *node) { r.at(15, 0, 1).data = []byte("../../before") }},
		{"frame-role", "a role that does not exist", ErrRange, 0, func(r *node) { r.at(15, 0, 1).data = []byte("first") }},
		{"frame-media", "a picture that is no JPEG", ErrRange, 0, func(r *node) { r.at(15, 0, 2).data = []byte("image/gif") }},
		{"frame-cut-nothing", "a picture behind which nothing was cut, and which says so", ErrRange, 0, func(r *node) { r.at(15, 0).add(8, number(0)) }},
		{"frame-strobe-never", "a strobe that came back at no instant, and which says so", ErrRange, 0, func(r *node) { r.at(15, 1).add(10, number(0)) }},
		{"frame-strobe-beyond", "a strobe that came back at 2^63", ErrRange, 0, func(r *node) { r.at(15, 1).add(10, &node{n: beyond}) }},
		{"frame-strobe-text", "a strobe's return in words", ErrType, 0, func(r *node) { r.at(15, 1).add(10, text("now")) }},
		{"frame-media-source", "a picture of a layout that profile 1 does not have", ErrRange, 0, func(r *node) { r.at(15, 0, 2).data = []byte("image/jpeg;source=rgb3") }},
		{"frame-media-source-empty", "a picture whose layout is not said", ErrRange, 0, func(r *node) { r.at(15, 0, 2).data = []byte("image/jpeg;source=") }},
		{"frame-media-space", "a second spelling of a media type", ErrRange, 0, func(r *node) { r.at(15, 0, 2).data = []byte("image/jpeg; source=yuyv") }},
		{"frame-media-case", "a media type in capitals", ErrRange, 0, func(r *node) { r.at(15, 0, 2).data = []byte("image/jpeg;source=YUYV") }},
		{"frame-media-newline", "a media type with a line end", ErrText, 0, func(r *node) { r.at(15, 0, 2).data = []byte("image/jpeg\n") }},
		{"frame-too-long", "a frame of more than 16 MiB", ErrRange, 0, func(r *node) { r.at(15, 0, 4).n = MaxFrame + 1 }},
		{"key-class", "a key in a place that does not exist", ErrRange, 0, func(r *node) { r.at(20, 2).data = []byte("cloud") }},
		{"violation-without-trace", "a violation without its trace", ErrMissingKey, 0, func(r *node) { r.remove(16) }},
		{"violation-without-site", "a violation without its place", ErrMissingKey, 0, func(r *node) { r.remove(13) }},
		{"violation-without-calibration", "a violation without calibration", ErrMissingKey, 0, func(r *node) { r.remove(17) }},
		{"violation-without-configuration-id", "a violation whose configuration has no name", ErrRange, 0, func(r *node) { r.at(18, 1).data = nil }},
		{"heartbeat-as-violation", "a heartbeat that claims kind 1", ErrUnknownKey, KindHeartbeat, func(r *node) { r.at(2).n = 1 }},
		{"violation-as-heartbeat", "a violation that claims kind 2", ErrKind, 0, func(r *node) {
			r.at(2).n = 2
			r.add(21, parseHeartbeatBody())
		}},
		{"violation-with-body", "a violation with a body", ErrUnknownKey, KindTest, func(r *node) { r.at(2).n = 1 }},
		{"test-without-why", "a test that does not say why it is one", ErrMissingKey, KindTest, func(r *node) { r.remove(21) }},
		{"body-flag", "a self-test with result 2", ErrRange, KindSelfTest, func(r *node) { r.at(21, 1).n = 2 }},
		{"body-type", "a boot whose reason is a number", ErrType, KindBoot, func(r *node) { *r.at(21, 1) = *number(1) }},
		{"body-hash", "a key change to a key id of 31 bytes", ErrRange, KindKeyChange, func(r *node) { r.at(21, 1).data = r.at(21, 1).data[:31] }},
		{"act-of-heartbeat", "a heartbeat that tells of an act", ErrUnknownKey, KindHeartbeat, func(r *node) { r.at(21).add(9, parseAct()) }},
		{"act-code-case", "an act in capitals", ErrRange, KindOperator, spoilAct(func(a *node) { a.at(3).data = []byte("Pause") })},
		{"act-code-empty", "an act without a code", ErrRange, KindSelfTest, spoilAct(func(a *node) { a.at(3).data = nil })},
		{"act-role-blank", "a role of two words", ErrRange, KindOperator, spoilAct(func(a *node) { a.at(2).data = []byte("chief officer") })},
		{"act-outcome-newline", "an outcome with a line end", ErrText, KindOperator, spoilAct(func(a *node) { a.at(9).data = []byte("done\n") })},
		{"act-actor-missing", "an act of nobody", ErrMissingKey, KindShutdown, spoilAct(func(a *node) { a.remove(1) })},
		{"act-old-empty", "an old value of no letters instead of none", ErrRange, KindOperator, spoilAct(func(a *node) { a.at(5).data = nil })},
		{"act-signer-alone", "a signed order without its number", ErrRange, KindOperator, spoilAct(func(a *node) { a.remove(11) })},
		{"act-number-alone", "the number of an order that nobody signed", ErrRange, KindOperator, spoilAct(func(a *node) { a.remove(10) })},
		{"act-number-zero", "order number 0", ErrRange, KindOperator, spoilAct(func(a *node) { a.at(11).n = 0 })},
		{"act-answer-alone", "an answer that does not say what it is", ErrRange, KindOperator, spoilAct(func(a *node) { a.remove(13) })},
		{"act-answer-too-long", "an answer of 12289 bytes", ErrRange, KindOperator, spoilAct(func(a *node) { a.at(12).data = make([]byte, MaxAnswer+1) })},
		{"act-hash-short", "an old hash of 31 bytes", ErrRange, KindConfiguration, spoilAct(func(a *node) { a.at(7).data = a.at(7).data[1:] })},
		{"act-unknown-key", "key 14 in an act", ErrUnknownKey, KindCalibration, spoilAct(func(a *node) { a.add(14, number(0)) })},
		{"act-not-a-map", "an act in words", ErrType, KindOperator, func(r *node) { r.at(21).add(9, text("paused")) }},
		{"payload-trailing", "a byte after the payload's map", ErrTrailing, 0, func(r *node) { r.raw = append(r.bytes(), 0) }},
		{"payload-truncated", "the payload lacks its last byte", ErrTruncated, 0, func(r *node) { r.raw = r.bytes()[:len(r.bytes())-1] }},
		{"payload-empty", "an empty payload", ErrTruncated, 0, func(r *node) { r.raw = []byte{} }},
		{"payload-array", "the payload is an array", ErrType, 0, func(r *node) { r.raw = []byte{0x80} }},
		{"nested-deeply", "arrays within arrays, 4000 deep", ErrType, 0, func(r *node) { r.at(5).raw = bytes.Repeat([]byte{0x81}, 4000) }},
	}
}

func parseHeartbeatBody() *node {
	return table(number(0), number(0), number(0), number(0))
}

// parseAct returns an act with every key.
func parseAct() *node {
	hash := func() *node { return bstr(make([]byte, 32)) }
	return table(text("centre"), text("centre"), text("pause"), text("enforcement"), text("on"), text("off"), hash(), hash(),
		text("done"), hash(), number(7), bstr([]byte("{}")), text("application/json"))
}

// spoilAct gives a record an act with every key, and spoils that.
func spoilAct(spoil func(act *node)) func(*node) {
	return func(r *node) {
		act := parseAct()
		r.at(21).add(9, act)
		spoil(act)
	}
}

// spoilSecond gives a record the second speed of confirmed, and spoils that.
func spoilSecond(spoil func(second *node)) func(*node) {
	return func(r *node) {
		second := table(number(1), number(6400), number(200), table(
			array(number(10_000), number(14_000)),
			array(
				array(number(30_001_425_000_000), number(30_001_575_000_000)),
				array(number(30_001_200_000_000), number(30_001_350_000_000)),
			)))
		r.at(14).add(16, second)
		spoil(second)
	}
}

// spoiledMessages spoil what is around the payload: the tree given is the array
// of four behind tag 18.
func spoiledMessages(t testing.TB) []spoiled {
	header := func(spoil func(h *node)) func(*node) {
		return func(m *node) {
			h, _ := parseNode(t, m.kids[0].data)
			spoil(h)
			m.kids[0].data = h.bytes()
		}
	}
	return []spoiled{
		{"alg-in-both-headers", "the algorithm stands in the unprotected header too", ErrHeader, 0, func(m *node) { m.kids[1].add(1, number(-7)) }},
		{"unprotected-entry", "something unsigned travels in the unprotected header", ErrHeader, 0, func(m *node) { m.kids[1].add(99, text("speed 20 km/h")) }},
		{"unprotected-kid", "a key id in the unprotected header", ErrHeader, 0, func(m *node) { m.kids[1].add(4, bstr(make([]byte, 32))) }},
		{"unprotected-indefinite", "an empty map of unknown length", ErrHeader, 0, func(m *node) { m.kids[1].raw = []byte{0xbf, 0xff} }},
		{"crit", "a critical header that nobody knows", ErrHeader, 0, header(func(h *node) {
			h.kids = append(h.kids[:2:2], append([]*node{number(2), array(number(77))}, h.kids[2:]...)...)
		})},
		{"alg-eddsa", "another algorithm", ErrHeader, 0, header(func(h *node) { *h.at(1) = *number(-8) })},
		{"alg-missing", "no algorithm", ErrHeader, 0, header(func(h *node) { h.remove(1) })},
		{"alg-not-minimal", "the algorithm written in two bytes", ErrHeader, 0, header(func(h *node) { h.at(1).raw = wide(majorNegative, 6, 1) })},
		{"content-type-missing", "no content type", ErrHeader, 0, header(func(h *node) { h.remove(3) })},
		{"content-type-receipt", "a record under the content type of a receipt", ErrHeader, 0, header(func(h *node) { *h.at(3) = *text(ContentTypeReceipt) })},
		{"kid-missing", "no key id", ErrHeader, 0, header(func(h *node) { h.remove(4) })},
		{"kid-short", "a key id of 8 bytes", ErrHeader, 0, header(func(h *node) { h.at(4).data = h.at(4).data[:8] })},
		{"header-extra", "one more protected entry", ErrHeader, 0, header(func(h *node) { h.add(5, bstr([]byte{1})) })},
		{"header-order", "algorithm behind content type", ErrHeader, 0, header(func(h *node) {
			h.kids[0], h.kids[1], h.kids[2], h.kids[3] = h.kids[2], h.kids[3], h.kids[0], h.kids[1]
		})},
		{"header-not-bytes", "the protected header as a map", ErrType, 0, func(m *node) { m.kids[0].raw = bytes.Clone(m.kids[0].data) }},
		{"payload-detached", "no payload, as RFC 9052 allows", ErrForbidden, 0, func(m *node) { m.kids[2].raw = []byte{0xf6} }},
		{"payload-length-not-minimal", "the length of the payload written in five bytes", ErrNotMinimal, 0, func(m *node) {
			m.kids[2].raw = append(wide(majorBytes, uint64(len(m.kids[2].data)), 4), m.kids[2].data...)
		}},
		{"array-of-five", "a fifth item behind the signature", ErrHeader, 0, func(m *node) { m.kids = append(m.kids, number(0)) }},
		{"array-indefinite", "the four items without their number", ErrHeader, 0, func(m *node) { m.raw = m.indefinite() }},
		{"signature-short", "a signature of 63 bytes", ErrRange, 0, func(m *node) { m.kids[3].data = m.kids[3].data[:63] }},
		{"signature-der", "a signature in ASN.1", ErrRange, 0, func(m *node) { m.kids[3].data = append([]byte{0x30, 0x44, 2, 0x20}, m.kids[3].data...) }},
		{"signature-high-s", "the other value of s that verifies as well", ErrHighS, 0, func(m *node) { m.kids[3].data = highS(m.kids[3].data) }},
		{"too-large", "more than 16 KiB", ErrTooLarge, 0, func(m *node) { m.kids[2].data = make([]byte, MaxRecord) }},
	}
}

// sealedPayload seals any payload, however wrong.
func sealedPayload(t testing.TB, payload []byte) []byte {
	return must(sealMessage(ContentTypeRecord, payload, testSigner(t, "device")))(t)
}

// spoilPayload returns a record with a good seal over a spoiled payload.
func spoilPayload(t testing.TB, v spoiled) []byte {
	root := parseTree(t, must(ofKind(t, max(v.kind, 1)).Marshal())(t))
	v.spoil(root)
	return sealedPayload(t, root.bytes())
}

// spoilMessage returns a spoiled message around a good payload. Where the
// protected header was changed, the signature covers it.
func spoilMessage(t testing.TB, v spoiled) []byte {
	signer := testSigner(t, "device")
	good := must(Seal(ofKind(t, KindViolation), signer))(t).Bytes
	m := parseTree(t, good[1:])
	header := bytes.Clone(m.kids[0].data)
	v.spoil(m)
	if m.kids[0].raw == nil && !bytes.Equal(header, m.kids[0].data) {
		sig := must(signer.Sign(ToBeSigned{"test", sha256.Sum256(toBeSigned(m.kids[0].data, m.kids[2].data))}))(t)
		m.kids[3].data = sig[:]
	}
	return append([]byte{0xd2}, m.bytes()...)
}

// highS returns the other signature that verifies as well.
func highS(sig []byte) []byte {
	other := bytes.Clone(sig)
	s := new(big.Int).Sub(elliptic.P256().Params().N, new(big.Int).SetBytes(sig[32:]))
	s.FillBytes(other[32:])
	return other
}

// forgeKid seals the record's payload with another key under the same key id.
func forgeKid(t testing.TB, record []byte, s Signer) []byte {
	m := parseTree(t, record[1:])
	sig := must(s.Sign(ToBeSigned{"test", sha256.Sum256(toBeSigned(m.kids[0].data, m.kids[2].data))}))(t)
	m.kids[3].data = sig[:]
	return append([]byte{0xd2}, m.bytes()...)
}
