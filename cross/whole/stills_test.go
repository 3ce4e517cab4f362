package whole

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"mime/multipart"
	"net"
	"net/http"
	"net/textproto"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"ciglio/capture/evidence"
	"ciglio/cross/budget"
	"ciglio/cross/simulate"
	"ciglio/cross/simulate/live"
	"ciglio/cross/simulate/simcam"
	"ciglio/portal"
	"ciglio/sensor"
)

// still returns the nth still of a camera: a picture with its number in a comment, so
// that no two are the same bytes.
func still(pictures [][]byte, n uint32) []byte {
	p := pictures[n%uint32(len(pictures))]
	return slices.Concat(p[:2], []byte{0xFF, 0xFE, 0, 6}, binary.BigEndian.AppendUint32(nil, n), p[2:])
}

// isStill reports whether it is one of the camera's, byte for byte.
func isStill(pictures [][]byte, b []byte) bool {
	return len(b) > 10 && bytes.Equal(b, still(pictures, binary.BigEndian.Uint32(b[6:])))
}

// stillCamera serves stills as MJPEG over HTTP, one in each interval.
func stillCamera(t *testing.T, pictures [][]byte, interval time.Duration) (url string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		parts := multipart.NewWriter(w)
		w.Header().Set("Content-Type", "multipart/x-mixed-replace; boundary="+parts.Boundary())
		w.Header().Set("Ciglio-Simulated", "true")
		tick := time.NewTicker(interval)
		defer tick.Stop()
		for n := uint32(0); ; n++ {
			picture := still(pictures, n)
			part, err := parts.CreatePart(textproto.MIMEHeader{"Content-Type": {"image/jpeg"}, "Content-Length": {strconv.Itoa(len(picture))}})
			if err == nil {
				_, err = part.Write(picture)
			}
			if err != nil {
				return
			}
			w.(http.Flusher).Flush()
			select {
			case <-tick.C:
			case <-r.Context().Done():
				return
			}
		}
	})}
	go server.Serve(l)
	t.Cleanup(func() { server.Close() })
	return "http://" + l.Addr().String() + "/"
}

// TestStillsOf20Megapixels has a network camera that gives stills of 20 megapixels, as
// many as a slow road wants. The originals go through ring, store and wire to the centre, whose
// bundle and the device's own hold byte for byte what the camera gave; and the program
// takes no more memory than its budget.
func TestStillsOf20Megapixels(t *testing.T) {
	if testing.Short() {
		t.Skip("short: encodes stills of 20 megapixels, builds a program and waits for vehicles")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute)
	defer cancel()
	u := newUnit(ctx, t)
	const width, height, slots = 5472, 3648, 20
	const interval = 290 * time.Millisecond // the ring holds 5.8 s
	pictures := simcam.Noise(4, width, height)

	centre := u.dir + "/centre"
	_, err := portal.Init(centre)
	u.must(err)
	office, err := portal.New(ctx, portal.Options{Dir: centre, Listen: "127.0.0.1:0", MQTT: "127.0.0.1:0"})
	u.must(err)
	t.Cleanup(func() { office.Close() })
	u.beside(office.Run)

	traffic := simulate.Traffic(1, 30*sensor.KmH, time.Hour)
	traffic.Vehicles = nil
	for at := 10 * time.Second; at < time.Hour; at += 10 * time.Second {
		traffic.Vehicles = append(traffic.Vehicles, simulate.Vehicle{Speed: 45 * sensor.KmH, Direction: sensor.Approaching, Lane: 1, Passing: at})
	}
	road, err := simulate.NewRoad(traffic)
	u.must(err)
	side, err := live.Open(road, u.dir+"/radar", "127.0.0.1:0")
	u.must(err)
	u.configure("30km/h", "50km/h", fmt.Sprintf(`url = %q
model = "20 megapixels"
latency = "40ms"
slot = "12MiB"
slots = %d
`, stillCamera(t, pictures, interval), slots), fmt.Sprintf("broker = \"tcp://%s\"\n", office.MQTTAddr()))
	u.enter(centre)
	u.beside(side.Run)
	// As docs/operation.md says: room for the ring beyond the usual one of 24 MiB.
	service := u.start(fmt.Sprintf("GOMEMLIMIT=%dMiB", 80-24+slots*12))
	var vehicles []kept
	u.until("two vehicles, receipted", func() bool { vehicles = u.vehicles(); return len(vehicles) >= 2 })

	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", service.Process.Pid))
	u.must(err)
	_, most, _ := strings.Cut(string(status), "VmHWM:")
	kB, err := strconv.ParseInt(strings.Fields(most)[0], 10, 64)
	u.must(err)
	limits, err := budget.Load()
	u.must(err)
	if err := limits.Check("memory.stills", kB<<10); err != nil {
		t.Error(err)
	}
	t.Logf("resident at most %s; stills of %.1f MB", limits.Say("memory.stills", kB<<10), float64(len(pictures[0]))/1e6)

	for _, v := range vehicles[:2] {
		answer, err := http.Get("http://" + office.Addr() + "/records/" + v.ID + "/bundle.zip")
		u.must(err)
		data, err := io.ReadAll(answer.Body)
		u.must(err)
		answer.Body.Close()
		file := filepath.Join(u.dir, fmt.Sprintf("centre-%d.zip", v.Seq))
		u.must(os.WriteFile(file, data, 0o600))
		u.run("outbox", "export", "--dir", "outbox", "--out", "records", fmt.Sprint(v.Seq))
		for _, from := range []string{file, filepath.Join(u.dir, "records", fmt.Sprintf("1-%d.zip", v.Seq))} {
			u.run("verify", "--trust", "trust.pem", from)
			data, err := os.ReadFile(from)
			u.must(err)
			b, err := evidence.ReadBundle(bytes.NewReader(data), int64(len(data)))
			u.must(err)
			if len(b.Frames) < evidence.MinFrames {
				t.Errorf("%s: %d pictures", from, len(b.Frames))
			}
			for i, frame := range b.Frames {
				if !isStill(pictures, frame) {
					t.Errorf("%s: frame %d of %d bytes is not one that the camera gave", from, i+1, len(frame))
				}
			}
		}
	}
}
