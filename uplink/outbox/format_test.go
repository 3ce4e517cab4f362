package outbox

import (
	"encoding/hex"
	"strings"
	"testing"
	"time"

	"ciglio/capture/evidence"
)

// The bytes are those of the package comment, spelled out: a store must stay
// readable by later versions.
func TestFormatStaysAsItIs(t *testing.T) {
	id, link, blob := evidence.Hash{0: 0x1D, 31: 1}, evidence.Hash{0: 0x2D, 31: 2}, evidence.Hash{0: 0x3D, 31: 3}
	zeros := strings.Repeat("00", 30)
	for _, row := range []struct {
		name string
		got  []byte
		want string
	}{
		{"entry", (&entry{
			kind: evidence.KindViolation, id: id, link: link, time: time.UnixMicro(0x0102030405),
			blobs: []blobRef{{blob, 400_000}}, sealed: []byte{0xD2, 0x84},
		}).encode(), "01" + "01" + "0001" + "00000002" + "1d" + zeros + "01" + "2d" + zeros + "02" + "0000000102030405" +
			"3d" + zeros + "03" + "00061a80" + "d284" + "a5f8d2a4"},
		{"about", (&about{
			device: evidence.DeviceID{15: 9}, number: 7, epoch: 2, first: 258, prev: link, created: time.UnixMicro(5),
		}).encode(), "01" + "00000000000000" + strings.Repeat("00", 15) + "09" + "0000000000000007" + "0000000000000002" +
			"0000000000000102" + "2d" + zeros + "02" + "0000000000000005" + "d3997930"},
		{"chunk key", chunkKey(3, 258), "00030102"},
		{"place key", placeKey(at(2, 258)), "0000000000000002" + "0000000000000102"},
		{"mark", []byte(mark{7, 2, 258}.String()), hex.EncodeToString([]byte("ciglio outbox 1 segment 7 epoch 2 next 258 crc 9131dc18\n"))},
	} {
		if got := hex.EncodeToString(row.got); got != row.want {
			t.Errorf("%s is\n%s, want\n%s", row.name, got, row.want)
		}
	}
}
