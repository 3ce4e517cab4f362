package device

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"ciglio/agent"
	"ciglio/capture/evidence"
	"ciglio/cross/board"
	"ciglio/cross/board/boardtest"
	"ciglio/cross/board/guest"
	"ciglio/cross/simulate"
	"ciglio/cross/simulate/emulator"
	"ciglio/portal"
	"ciglio/sensor"
)

// A rig is a board with the device on it, and a centre beside it.
type rig struct {
	t       *testing.T
	board   *board.Board
	centre  *portal.Portal
	trust   *evidence.Trust
	radar   *emulator.OPS243
	lines   *lines
	service *board.Process
}

const (
	deviceID = "00112233445566778899aabbccddeeff"
	outbox   = "/data/outbox"
	// lines of the contacts, the nearest first.
	nearLine, farLine = 0, 1
	// positions of the contacts, metres from the radar. They are farther apart than
	// on a road, and the two speeds may differ by more: on a machine that does much
	// else the test sets the lines to some ten milliseconds only.
	near, far = 10, 30
	// loop is the length of each contact in metres. Cables would be closed for 6 ms
	// by a wheel, which an emulated board may sleep over.
	loop = 2

	// passing is when a vehicle is beside the radar, from the begin of its playing on.
	passing = 4 * time.Second

	// judged is how long after its passage a vehicle is recorded at the latest:
	// the device waits 6 s for a second speed.
	judged = 10 * time.Second
	// patience for whatever must come: the board may share its processors.
	patience = 4 * time.Minute
)

// configuration of the device. The certificate goes to the folder that is shared
// with the host, and the trust file comes from there, as by a technician's hand.
func configuration(broker string, camera source) string {
	_, port, _ := strings.Cut(broker, ":")
	return fmt.Sprintf(`[device]
id = %q
dir = "/data"
key = "/data/evidence.key"
certificate = "/host/device.crt"
calibration = "/etc/ciglio/calibration.toml"
[site]
id = "BOARD-1"
road = "SP 14"
position = "12.4km"
latitude = "44.6949deg"
longitude = "11.2426deg"
heading = "90deg"
limit = "70km/h"
%s[uplink]
broker = "tcp://%s:%s"
trust = "/host/trust.pem"
`, deviceID, parts(camera, "150km/h"), guest.HostAddress, port)
}

// parts are the sections of what hangs on a device, and of its store. The faster a
// vehicle may be, the more pictures a second the camera must give.
func parts(camera source, maximum string) string {
	return fmt.Sprintf(`[sensor]
driver = "ops243"
port = "/dev/ttyS0"
baud = 115200
model = "OPS243-A"
serial = "S1"
lanes = "1.5m..4.5m"
maximum = %q
[second]
method = "contacts"
pins = "gpiochip0-%d gpiochip0-%d"
kind = "presence"
positions = "%dm %dm"
percent = 20
jitter = "25ms"
[camera]
driver = "v4l2"
path = "/dev/video0"
%s
[outbox]
quota = "128MiB"
reserve = "8MiB"
`, maximum, nearLine, farLine, near, far, camera.keys)
}

// A source is what a camera of the board is: the kernel's modules for it, and
// the keys of its configuration.
type source struct {
	modules []string
	keys    string
}

// vivid draws raw pictures. It stamps them for the end of the frame, nine tenths of the
// interval after its start.
func vivid() source {
	return source{[]string{"vivid n_devs=1 node_types=0x1 num_inputs=1 input_types=0x0"}, `format = "yuyv"
size = "320x180"
interval = "100ms"
latency = "90ms"
model = "vivid"
slot = "64KiB"`}
}

// newRig starts centre and board, and provisions the device.
func newRig(t *testing.T, arch string, camera source) *rig {
	t.Helper()
	r := &rig{t: t, radar: &emulator.OPS243{Serial: "S1"}}
	dir := t.TempDir()
	centreDir := filepath.Join(dir, "centre")
	_, err := portal.Init(centreDir)
	r.must(err)
	r.centre, err = portal.New(t.Context(), portal.Options{Dir: centreDir, Listen: "127.0.0.1:0", MQTT: "127.0.0.1:0"})
	r.must(err)
	r.run(r.centre.Run)
	t.Cleanup(func() { r.centre.Close() })

	core, err := agent.CoreID()
	r.must(err)
	r.powerOn(arch, camera, map[string]string{
		"/etc/ciglio/ciglio.toml":      configuration(r.centre.MQTTAddr(), camera),
		"/etc/ciglio/calibration.toml": boardtest.Calibration(time.Now(), core),
	})

	// As docs/operation.md says: the first start makes key and certificate, and
	// ends for want of the trust file.
	first, err := r.board.Run(t.Context(), "ciglio", "run")
	r.must(err)
	if first.Code != 1 || !bytes.Contains(first.Stderr, []byte("/host/trust.pem: no such file")) {
		t.Fatalf("the first start ended with %d: %s", first.Code, first.Stderr)
	}
	text, err := os.ReadFile(filepath.Join(r.board.Share, "device.crt"))
	r.must(err)
	block, _ := pem.Decode(text)
	certificate, err := x509.ParseCertificate(block.Bytes)
	r.must(err)
	id, err := evidence.ParseDeviceID(deviceID)
	r.must(err)
	_, err = portal.Enrol(centreDir, id, 1, certificate)
	r.must(err)
	trust, err := os.ReadFile(portal.TrustFile(centreDir))
	r.must(err)
	r.trust, err = evidence.ParseTrust(trust)
	r.must(err)
	r.must(os.WriteFile(filepath.Join(r.board.Share, "trust.pem"), trust, 0o644))
	return r
}

// powerOn starts a board with the programs, these texts, an empty disk at /data, and
// the radar on its line.
func (r *rig) powerOn(arch string, camera source, texts map[string]string) {
	t := r.t
	t.Helper()
	program, err := board.Build(t.Context(), arch, "ciglio/agent/cmd/ciglio")
	r.must(err)
	tests, err := board.BuildTest(t.Context(), arch, "ciglio/cross/board/onboard")
	r.must(err)
	disk := filepath.Join(t.TempDir(), "disk.img")
	r.must(board.Format(t.Context(), disk, "ext4", 256<<20))
	// A socket's name may have 107 bytes, fewer than the test's folder may need.
	sockets, err := os.MkdirTemp("", "ciglio-")
	r.must(err)
	t.Cleanup(func() { os.RemoveAll(sockets) })
	r.board = boardtest.Start(t, board.Options{
		Arch:         arch,
		Files:        map[string]string{"/bin/ciglio": program, "/bin/onboard": tests},
		Texts:        texts,
		Disks:        []board.Disk{{Image: disk, Mount: "/data"}},
		Modules:      camera.modules,
		Synchronised: true,
		QEMUArgs:     linesArgs(sockets),
	})
	r.lines = newLines(t, sockets)
	r.run(func(ctx context.Context) error { return r.radar.Serve(ctx, r.board.Radar()) })
}

func (r *rig) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

// run runs a part until the end of the test.
func (r *rig) run(part func(context.Context) error) {
	ctx, stop := context.WithCancel(context.WithoutCancel(r.t.Context()))
	var running sync.WaitGroup
	running.Go(func() { part(ctx) }) // it ends with an error when the board does
	r.t.Cleanup(func() { stop(); running.Wait() })
}

// start starts the service and waits until it measures. It returns how long that
// took.
func (r *rig) start() time.Duration {
	r.t.Helper()
	began := time.Now()
	var err error
	r.service, err = r.board.Go(guest.Command{Args: []string{"ciglio", "run"}, Env: []string{boardtest.MemoryLimit(r.t)}})
	r.must(err)
	r.wait("gate open")
	return time.Since(began)
}

// stop ends the service in good order.
func (r *rig) stop() board.Result {
	r.t.Helper()
	r.must(r.service.Signal(15))
	ctx, cancel := context.WithTimeout(r.t.Context(), patience)
	defer cancel()
	result, err := r.service.Wait(ctx)
	r.must(err)
	if result.Code != 0 || !bytes.Contains(result.Stderr, []byte("device stopped")) {
		r.t.Errorf("the service ended with %d", result.Code)
	}
	return result
}

// wait waits for a line of the board's console.
func (r *rig) wait(text string) string {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), patience)
	defer cancel()
	line, err := r.board.Wait(ctx, text)
	r.must(err)
	return line
}

// onboard runs a test of package onboard on the board and returns what it says.
func (r *rig) onboard(test string, args ...string) string {
	r.t.Helper()
	return boardtest.Run(r.t, r.board, append([]string{"onboard", "-test.run=^" + test + "$"}, args...)...)
}

// set writes a value into a file of the board's /sys, or the name of the one file
// there that a pattern finds. It returns what it wrote.
func (r *rig) set(file, value string) string {
	r.t.Helper()
	how := "-value=" + value
	if strings.HasPrefix(value, "/sys/") {
		how = "-named=" + value
	}
	said := r.onboard("TestSet", "-set="+file, how)
	_, said, _ = strings.Cut(said, "set: ")
	name, _, _ := strings.Cut(said, "\n")
	return name
}

// attach gives the board's virtual USB hub the device at that port of the host.
func (r *rig) attach(port int) {
	r.t.Helper()
	r.onboard("TestAttach", fmt.Sprintf("-address=%s:%d", guest.HostAddress, port))
}

// pass lets a vehicle pass, by radar and contacts, in real time: the board's clock
// is the host's.
func (r *rig) pass(speed sensor.Speed) {
	r.t.Helper()
	road, err := simulate.NewRoad(simulate.Scenario{
		Seed: 1, Duration: 5 * time.Second, Radar: simulate.Radar{Lanes: []float64{3}, Beamwidth: 30, Height: 0.01},
		Vehicles: []simulate.Vehicle{{Speed: speed, Direction: sensor.Approaching, Lane: 1, Passing: passing}},
	})
	r.must(err)
	touches, err := road.Edges(simulate.Contacts{Lane: 1, At: []float64{near, far}, Length: loop})
	r.must(err)
	cycles := road.Cycles(simulate.CycleOptions{Every: 60 * time.Millisecond, Numbered: true})
	began := time.Now()
	var playing sync.WaitGroup
	defer playing.Wait()
	playing.Go(func() {
		for _, e := range touches {
			time.Sleep(time.Until(began.Add(e.At)))
			if err := r.lines.set([]int{nearLine, farLine}[e.Contact], e.On); err != nil {
				r.t.Error(err)
				return
			}
		}
	})
	for {
		c, err := cycles.Next(r.t.Context())
		if err == io.EOF {
			return
		}
		r.must(err)
		time.Sleep(time.Until(began.Add(time.Duration(c.At))))
		if len(c.Readings) > 0 {
			r.radar.Report(c)
		}
	}
}

// violation lets vehicles pass until one more is recorded, and returns the store.
// A board that shares its processors now and then reads an edge or a report so
// late that the device discards the vehicle, as it must; it is not to discard all.
func (r *rig) violation() []entry {
	r.t.Helper()
	const vehicles = 12
	before := len(tests(r.records()))
	for range vehicles {
		said := len(r.service.Stderr())
		r.pass(speeding)
		for end := time.Now().Add(judged); time.Now().Before(end); {
			if all := r.records(); len(tests(all)) > before {
				return all
			}
			if now := r.service.Stderr()[said:]; bytes.Contains(now, []byte("violation without")) || bytes.Contains(now, []byte("second speed disagrees")) {
				break
			}
		}
		r.t.Logf("a vehicle was discarded: %s", r.service.Stderr()[said:])
	}
	r.t.Fatalf("%d vehicles passed, none was recorded", vehicles)
	return nil
}

// An entry is a line of ciglio outbox list.
type entry struct {
	Seq   uint64    `json:"seq"`
	Time  time.Time `json:"time"`
	Kind  string    `json:"kind"`
	State string    `json:"state"`
	ID    string    `json:"id"`
}

// records returns what is in the device's store.
func (r *rig) records() []entry {
	r.t.Helper()
	var all []entry
	d := json.NewDecoder(strings.NewReader(boardtest.Run(r.t, r.board, "ciglio", "outbox", "list", "--json", "--dir", outbox)))
	for {
		var e entry
		err := d.Decode(&e)
		if err == io.EOF {
			return all
		}
		r.must(err)
		all = append(all, e)
	}
}

// tests returns those of vehicles.
func tests(all []entry) (vehicles []entry) {
	for _, e := range all {
		if e.Kind == "test" {
			vehicles = append(vehicles, e)
		}
	}
	return vehicles
}

// until asks the store until good is satisfied.
func (r *rig) until(what string, good func([]entry) bool) []entry {
	r.t.Helper()
	for end := time.Now().Add(patience); ; {
		all := r.records()
		if good(all) {
			return all
		}
		if time.Now().After(end) {
			r.t.Fatalf("%s: not after %v: %+v", what, patience, all)
		}
		select {
		case <-r.t.Context().Done():
			r.t.Fatal("the test ended")
		case <-time.After(time.Second): // then ask again
		}
	}
}

func settled(e entry) bool   { return e.State == "settled" }
func unsettled(e entry) bool { return !settled(e) }

// get fetches a page of the centre.
func (r *rig) get(path string) (body []byte, media string) {
	r.t.Helper()
	request, err := http.NewRequestWithContext(r.t.Context(), http.MethodGet, "http://"+r.centre.Addr()+path, nil)
	r.must(err)
	response, err := http.DefaultClient.Do(request)
	r.must(err)
	defer response.Body.Close()
	body, err = io.ReadAll(response.Body)
	r.must(err)
	if response.StatusCode != http.StatusOK {
		r.t.Fatalf("%s: answer %d", path, response.StatusCode)
	}
	return body, response.Header.Get("Content-Type")
}
