// Package wire is what a device and the centre agree on when they talk over
// MQTT 3.1.1: topics, the chunk message, the signed command and the JSON of
// state, health and profile. docs/mqtt.md tells the same to whoever writes
// another subscriber or another device, docs/asyncapi.yaml to their tools.
//
// Every message has QoS 1 and a topic
//
//	ciglio/v1/<shard>/<device>/<what>
//
// where device is the device id in 32 lower-case hexadecimal digits and what is
// one of
//
//	record   device → centre  a sealed record (package capture/evidence)
//	blob     device → centre  a [Chunk] of a frame or trace
//	state    device → centre  JSON [State], retained, and the last will
//	health   device → centre  JSON [Health]
//	profile  device → centre  JSON [Profile], retained
//	receipt  centre → device  a signed receipt (package capture/evidence)
//	command  centre → device  a signed [Have]
//
// A chunk message is a header of 56 bytes, then data:
//
//	offset length
//	     0      1  version, 1
//	     1      3  zero
//	     4     32  SHA-256 of the whole blob
//	    36      8  length of the whole blob, big-endian
//	    44      8  offset of the data in the blob, big-endian
//	    52      4  CRC-32C (Castagnoli) of the data, big-endian
//	    56         data, 1 to 61,384 bytes
//
// Every chunk but the last of a blob has 61,384 bytes of data and every offset
// is a multiple of that, so a chunk message has at most 61,440 bytes and a blob
// can be cut in one way only. The message of the blob "abc":
//
//	01 000000
//	ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad
//	0000000000000003
//	0000000000000000
//	364b3fb7
//	616263
//
// Decoders take any bytes: they return an error, or a value that encodes to the
// same bytes, and never allocate by a length they have not checked. The JSON
// decoders alone ignore what they do not know, so that either end may be newer.
//
// Everything here is a plain value or a pure function and may be used by any
// number of goroutines.
package wire
