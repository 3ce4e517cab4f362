package budget_test

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"flag"
	"fmt"
	"mime/multipart"
	"net"
	"net/http"
	"net/textproto"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"ciglio/agent"
	"ciglio/capture/evidence"
	"ciglio/capture/key"
	"ciglio/cross/board"
	"ciglio/cross/board/boardtest"
	"ciglio/cross/board/guest"
	"ciglio/cross/simulate/emulator"
	"ciglio/cross/simulate/simcam"
	"ciglio/portal"
	"ciglio/sensor"
)

var update = flag.Bool("update", false, "write the figures measured into docs/board.md")

const deviceID = "00112233445566778899aabbccddeeff"

// configuration of a device with the default ring: 96 pictures of at most 256 KiB.
func configuration(broker, camera string) string {
	return fmt.Sprintf(`[device]
id = %q
dir = "/data"
key = "/host/evidence.key"
certificate = "/host/device.crt"
calibration = "/host/calibration.toml"
[site]
id = "BOARD-1"
road = "SP 14"
latitude = "44.6949deg"
longitude = "11.2426deg"
limit = "70km/h"
[sensor]
driver = "isys4001"
port = "/dev/ttyS0"
model = "iSYS-4001"
serial = "S1"
lanes = "1.5m..4.5m"
[camera]
url = "http://%s/"
[console]
listen = "127.0.0.1:8421"
[outbox]
quota = "500MiB"
reserve = "16MiB"
[uplink]
broker = "tcp://%s"
trust = "/host/trust.pem"
tls_key = "/data/uplink.key"
`, deviceID, onBoard(camera), onBoard(broker))
}

// onBoard returns an address on the host as the board reaches it.
func onBoard(address string) string {
	_, number, _ := net.SplitHostPort(address)
	return net.JoinHostPort(guest.HostAddress, number)
}

// newBoard is a 32-bit board with a device that is provisioned and enrolled, a
// radar, a camera and a centre. It tells when the camera has given more pictures
// than the ring holds.
func newBoard(t *testing.T, programs map[string]string, qemu ...string) (b *board.Board, traffic func(sensor.Cycle), full <-chan struct{}) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	dir, share := t.TempDir(), t.TempDir()
	centreDir := filepath.Join(dir, "centre")
	_, err := portal.Init(centreDir)
	must(err)
	centre, err := portal.New(t.Context(), portal.Options{Dir: centreDir, Listen: "127.0.0.1:0", MQTT: "127.0.0.1:0"})
	must(err)
	t.Cleanup(func() { centre.Close() })
	background(t, centre.Run)

	id, err := evidence.ParseDeviceID(deviceID)
	must(err)
	signer, err := key.CreateFile(filepath.Join(share, "evidence.key"))
	must(err)
	der, err := key.Certificate(signer, id, time.Now().Add(-time.Hour), 1, nil, nil)
	must(err)
	certificate, err := x509.ParseCertificate(der)
	must(err)
	_, err = portal.Enrol(centreDir, id, 1, certificate)
	must(err)
	core, err := agent.CoreID()
	must(err)
	trust, err := os.ReadFile(portal.TrustFile(centreDir))
	must(err)
	camera, full := startCamera(t)
	for name, content := range map[string][]byte{
		"device.crt":       pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		"trust.pem":        trust,
		"calibration.toml": []byte(boardtest.Calibration(time.Now(), core)),
		"ciglio.toml":      []byte(configuration(centre.MQTTAddr(), camera)),
	} {
		must(os.WriteFile(filepath.Join(share, name), content, 0o600))
	}
	disk := filepath.Join(dir, "flash")
	must(board.Format(t.Context(), disk, "ext4", 1<<30))
	b = boardtest.Start(t, board.Options{
		Arch: "arm-7", Files: programs, Share: share, Synchronised: true,
		Disks: []board.Disk{{Image: disk, Mount: "/data"}}, QEMUArgs: qemu,
	})
	radar := new(emulator.ISYS4001)
	background(t, func(ctx context.Context) error { return radar.Serve(ctx, b.Radar()) })
	return b, radar.Report, full
}

// drive has one vehicle after the other come past the radar, within the limit.
func drive(t *testing.T, report func(sensor.Cycle)) {
	background(t, func(ctx context.Context) error {
		const every, step = 75 * time.Millisecond, 1250 // of the radar's lists; millimetres at 60 km/h
		for tick := time.NewTicker(every); ; {
			for at := int32(80_000); at > -20_000; at -= step {
				select {
				case <-ctx.Done():
					tick.Stop()
					return nil
				case <-tick.C:
				}
				var c sensor.Cycle
				if at > 5_000 {
					c.Readings = []sensor.Reading{{Target: 1, Speed: 60 * sensor.KmH, Direction: sensor.Approaching, Range: at, Level: 500, Flags: sensor.FlagRange | sensor.FlagAngle}}
				}
				report(c)
			}
		}
	})
}

// background runs a part until the test's end.
func background(t *testing.T, part func(context.Context) error) {
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	var running sync.WaitGroup
	running.Go(func() { part(ctx) })
	t.Cleanup(func() { stop(); running.Wait() })
}

// startCamera serves ten pictures a second at address.
func startCamera(t *testing.T) (address string, full <-chan struct{}) {
	t.Helper()
	const ring = 96 // pictures
	given := make(chan struct{})
	pictures := simcam.Noise(17, 480, 360)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		parts := multipart.NewWriter(w)
		w.Header().Set("Content-Type", "multipart/x-mixed-replace; boundary="+parts.Boundary())
		n := 0
		for range time.Tick(100 * time.Millisecond) {
			if n++; n == 2*ring {
				close(given)
			}
			picture := pictures[n%len(pictures)]
			part, err := parts.CreatePart(textproto.MIMEHeader{
				"Content-Type": {"image/jpeg"}, "Content-Length": {strconv.Itoa(len(picture))},
			})
			if err != nil || r.Context().Err() != nil {
				return
			}
			part.Write(picture)
			w.(http.Flusher).Flush()
		}
	})}
	go server.Serve(l)
	t.Cleanup(func() { server.Close() })
	return l.Addr().String(), given
}

func program(t *testing.T, pkg string) string {
	t.Helper()
	file, err := board.Build(t.Context(), "arm-7", pkg)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

func testProgram(t *testing.T, pkg string) string {
	t.Helper()
	file, err := board.BuildTest(t.Context(), "arm-7", pkg)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// wait waits for a line of the board while the process runs.
func wait(t *testing.T, b *board.Board, p *board.Process, text string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	go func() {
		select {
		case <-p.Done():
			cancel()
		case <-ctx.Done():
		}
	}()
	line, err := b.Wait(ctx, text)
	if err != nil {
		t.Fatal(err)
	}
	return line
}

// usage returns what the kernel of the board says of a program: resident memory
// in bytes, now and at most, and its processor time.
func usage(t *testing.T, b *board.Board, name string) (now, most int64, processor time.Duration) {
	t.Helper()
	out := boardtest.Run(t, b, "onboard", "-test.run=^TestUsage$", "-process="+name)
	line, _, _ := strings.Cut(out, "\n")
	if _, err := fmt.Sscanf(line, "usage: %d %d %d", &now, &most, &processor); err != nil {
		t.Fatalf("%q: %v", out, err)
	}
	return now, most, processor
}

// device starts ciglio run as it is delivered, with the real drivers of an
// iSYS-4001 and a network camera, and returns when it measures.
func device(t *testing.T, b *board.Board) *board.Process {
	t.Helper()
	p, err := b.Go(guest.Command{Args: []string{"ciglio", "run", "--config", "/host/ciglio.toml"}, Env: []string{boardtest.MemoryLimit(t)}})
	if err != nil {
		t.Fatal(err)
	}
	wait(t, b, p, "gate open")
	return p
}

func devicePrograms(t *testing.T) map[string]string {
	t.Helper()
	return map[string]string{"/bin/ciglio": program(t, "ciglio/agent/cmd/ciglio"), "/bin/onboard": testProgram(t, "ciglio/cross/board/onboard")}
}

// TestColdStart counts the program's own work until it measures. The clock of
// this board goes by instructions, one a nanosecond, about what a Cortex-A53 of
// 1 GHz does: so the figure does not depend on what else the host does.
func TestColdStart(t *testing.T) {
	boardtest.Need(t, boardtest.Short)
	b, _, _ := newBoard(t, devicePrograms(t), "-icount", "shift=0")
	device(t, b)
	_, _, processor := usage(t, b, "ciglio")
	hold(t, "start", "own time of the program from its start until it measures, arm-7", int64(processor))
}

func TestIdleDevice(t *testing.T) {
	boardtest.Need(t, boardtest.Short)
	b, _, full := newBoard(t, devicePrograms(t))
	p := device(t, b)
	select {
	case <-full: // from now on the memory stays what it is
	case <-p.Done():
		t.Fatal("the program ended")
	case <-time.After(3 * time.Minute):
		t.Fatal("the camera is not read")
	}
	now, most, _ := usage(t, b, "ciglio")
	hold(t, "memory.idle", "resident memory while nothing passes, arm-7", now, fmt.Sprintf("at most %.1f MB, of it a ring of 96 pictures of 81 kB", float64(most)/1e6))
}

// TestConsoleOnTheBoard measures what one phone at the live page takes of the device
// while vehicles pass: of the processor by a clock that goes by instructions, and of the
// memory at most. The same device without a phone is measured before it.
func TestConsoleOnTheBoard(t *testing.T) {
	boardtest.Need(t, boardtest.All)
	b, traffic, _ := newBoard(t, devicePrograms(t), "-icount", "shift=0")
	device(t, b)
	drive(t, traffic)
	said, _, _ := strings.Cut(boardtest.Run(t, b, "ciglio", "console", "code", "--config", "/host/ciglio.toml"), "\n")
	part := func(code string) (took time.Duration, most int64, pictures, pages, drawings int) {
		_, _, before := usage(t, b, "ciglio")
		out := boardtest.Run(t, b, "onboard", "-test.run=^TestPhone$", "-address=127.0.0.1:8421", "-code="+code, "-lasts=9s")
		_, most, after := usage(t, b, "ciglio")
		var lasted time.Duration
		line, _, _ := strings.Cut(out[max(strings.Index(out, "phone: "), 0):], "\n")
		if _, err := fmt.Sscanf(line, "phone: %d %d %d %d", &lasted, &pictures, &pages, &drawings); err != nil {
			t.Fatalf("%q: %v", out, err)
		}
		return time.Duration(float64(after-before) * time.Minute.Seconds() / lasted.Seconds()), most, pictures, pages, drawings
	}
	without, _, _, _, _ := part("")
	with, most, pictures, pages, drawings := part(strings.ReplaceAll(said, " ", ""))
	if pictures < 6 || pages < 2 || drawings < 1 {
		t.Errorf("the phone got %d pictures, %d pages, %d drawings in 9 s", pictures, pages, drawings)
	}
	hold(t, "console.time", "processor time in a minute of one phone at the live page, arm-7", int64(with-without),
		fmt.Sprintf("the device itself %v; %d pictures, %d pages and %d drawings of the signal in 9 s", without.Round(10*time.Millisecond), pictures, pages, drawings))
	hold(t, "memory.console", "resident memory with one phone at the live page, at most, arm-7", most)
}

// TestBusyDevice measures the device at ten violations a second.
func TestBusyDevice(t *testing.T) {
	boardtest.Need(t, boardtest.All)
	b, _, _ := newBoard(t, map[string]string{"/bin/busy": testProgram(t, "ciglio/cross/budget/busy")}, "-icount", "shift=0")
	p, err := b.Go(guest.Command{Args: []string{"busy", "-test.run=^TestDevice$", "-records=150"}, Env: []string{boardtest.MemoryLimit(t)}})
	if err != nil {
		t.Fatal(err)
	}
	var rate float64
	if _, err := fmt.Sscanf(wait(t, b, p, "records a second"), "busy: busy: %f", &rate); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	r, err := p.Wait(ctx)
	if err != nil || r.Code != 0 {
		t.Fatalf("%v %d\n%s%s", err, r.Code, r.Stdout, r.Stderr)
	}
	t.Logf("%s", r.Stdout)
	const wanted = 9.5 // of the ten a second that pass, some of which find no picture
	if rate < wanted {
		t.Errorf("%.2f records a second, want %v", rate, wanted)
	}
	hold(t, "memory.busy", "resident memory under violations, at most, arm-7", r.RSS, fmt.Sprintf("%.1f records a second, of three pictures of 81 kB and a trace of 120 kB", rate))
}
