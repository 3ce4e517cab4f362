package roadside

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"ciglio/agent/config"
	"ciglio/capture/evidence"
	"ciglio/cross/board"
	"ciglio/cross/board/boardtest"
	"ciglio/cross/board/guest"
	"ciglio/cross/simulate"
	"ciglio/cross/simulate/emulator"
	"ciglio/cross/simulate/simcam"
	"ciglio/portal"
	"ciglio/sensor"
	"ciglio/uplink"
)

// TestServicePowerCuts is TestPowerCuts with the program that is delivered, ciglio
// run, with its drivers: a radar on the serial port and a network camera. It has
// far less traffic. What it had told is what the centre had of it.
func TestServicePowerCuts(t *testing.T) {
	runs, cuts := 1, 5
	arch := "arm-7"
	if boardtest.Need(t, boardtest.All) == boardtest.Soak {
		runs, cuts = 10, 10
	}
	p := newPlug(t, arch)
	camera := serveCamera(t)
	change := func(o *board.Options) {
		program, err := board.Build(t.Context(), arch, "ciglio/agent/cmd/ciglio")
		if err != nil {
			t.Fatal(err)
		}
		o.Files["/bin/ciglio"] = program
		o.Texts = map[string]string{"/etc/ciglio/ciglio.toml": p.configuration(camera)}
		o.Synchronised = true
	}
	var last *history
	for run := range runs {
		s := p.boot(fmt.Sprint(run), change)
		if last != nil {
			p.audit(s, last, cuts)
		}
		last = p.serve(s)
	}
	s := p.boot("end", change)
	p.audit(s, last, cuts)
	p.auditLiar(s, last)
	told, vehicles := len(p.told.Accepted), p.centre.Stats().Measured.Verified
	p.finish(s)
	p.auditCentre()
	if p.audits != runs*cuts || vehicles < uint64(runs) {
		t.Errorf("%d cuts and %d vehicles, want %d and one in each run", p.audits, vehicles, runs*cuts)
	}
	t.Logf("%d cuts of ciglio run, %d of them real; %d records told, %d of vehicles; %d found in the stores of all cuts, %d of them settled; longest mount %v, longest start and stop %v",
		p.audits, runs, told, vehicles, p.records, p.settled, p.mounting.Round(time.Millisecond), p.starting.Round(time.Millisecond))
}

// configuration returns that of ciglio run.
func (p *plug) configuration(camera string) string {
	p.Helper()
	c := settings(killedDevice, "/flash/device")
	c.Device.Certificate = "/flash/device/device.crt"
	c.Device.Calibration = "/flash/device/calibration.toml"
	c.Sensor.Driver, c.Sensor.Port, c.Sensor.Model = "isys4001", "/dev/ttyS0", "iSYS-4001"
	c.Sensor.Lanes = config.Lanes{{Left: 1500, Right: 4500}}
	c.Camera.URL, c.Camera.Model = camera, "played"
	c.Outbox.Reserve = 4 << 20
	c.Uplink.Broker, c.Uplink.Trust = "tcp://"+p.broker, portal.TrustFile("/flash/portal")
	text, err := c.AppendText(nil)
	if err != nil {
		p.Fatal(err)
	}
	return string(text)
}

// serveCamera serves the picture of a steadyCamera, as network cameras do, and
// returns the address for the board.
func serveCamera(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	pictures := simcam.Noise(17, 480, 360)
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "multipart/x-mixed-replace; boundary=frame")
		every := time.NewTicker(80 * time.Millisecond)
		defer every.Stop()
		for n := 0; ; n++ {
			picture := pictures[n%len(pictures)]
			_, err := fmt.Fprintf(w, "--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n%s\r\n", len(picture), picture)
			if err == nil {
				err = http.NewResponseController(w).Flush()
			}
			if err != nil {
				return
			}
			select {
			case <-r.Context().Done():
				return
			case <-every.C:
			}
		}
	})}
	var running sync.WaitGroup
	running.Go(func() { server.Serve(l) })
	t.Cleanup(func() { server.Close(); running.Wait() })
	_, port, _ := strings.Cut(l.Addr().String(), ":")
	return "http://" + guest.HostAddress + ":" + port + "/"
}

// serve lets ciglio run work, with one vehicle after the other, and pulls the plug
// at a random moment.
func (p *plug) serve(r *session) *history {
	p.Helper()
	ctx, cancel := context.WithTimeout(p.Context(), 3*time.Minute)
	defer cancel()
	hearing := p.listen(r)
	defer hearing()
	radar := new(emulator.ISYS4001)
	var serving sync.WaitGroup
	defer serving.Wait()
	defer cancel()
	serving.Go(func() { radar.Serve(ctx, r.Radar()) }) // it ends with ctx
	p.service(r)
	if _, err := r.Wait(ctx, "gate open"); err != nil {
		p.Fatal(err)
	}
	// A vehicle takes five seconds: three of them, and of the fourth any part.
	p.play(ctx, radar, 15*time.Second+time.Duration(p.random.Int64N(int64(5*time.Second))))
	p.pull(r)
	hearing()
	p.read(r)
	return &r.history
}

// listen hears of each record that the centre has, until stop is called.
func (p *plug) listen(r *session) (stop func()) {
	p.Helper()
	link := regexp.MustCompile(`/records/([0-9a-f]{64})`)
	known := maps.Clone(r.told.Accepted)
	hear := func() {
		page, err := p.get("/devices/" + killedDevice.String() + "?show=all")
		if err != nil {
			return // it does not know the device before its first record
		}
		for _, m := range link.FindAllSubmatch(page, -1) {
			id := string(m[1])
			if _, old := known[id]; old {
				continue
			}
			b, err := p.get("/records/" + id + "/record.cose")
			if err != nil {
				p.Error(err)
				return
			}
			sealed, err := evidence.Open(b)
			if err != nil {
				p.Error(err)
				return
			}
			info, err := os.Stat(p.file("log-" + r.name))
			if err != nil {
				p.Error(err)
				return
			}
			known[id] = uplink.Key{Epoch: sealed.Record.Epoch, Seq: sealed.Record.Seq}
			r.heard = append(r.heard, overheard{info.Size(), "sent " + placed(sealed)})
		}
	}
	done := make(chan struct{})
	var listening sync.WaitGroup
	listening.Go(func() {
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				hear()
			}
		}
	})
	return sync.OnceFunc(func() {
		close(done)
		listening.Wait()
		// What was under way when the power went may still arrive.
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for quiet, messages := 0, uint64(0); quiet < 10; quiet++ {
			<-tick.C
			if n := p.centre.Stats().Messages; n != messages {
				quiet, messages = 0, n
			}
		}
		hear()
	})
}

// get fetches a page of the centre.
func (p *plug) get(path string) ([]byte, error) {
	request, err := http.NewRequestWithContext(p.Context(), http.MethodGet, "http://"+p.centre.Addr()+path, nil)
	if err != nil {
		return nil, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: answer %d", path, response.StatusCode)
	}
	return body, err
}

// service starts ciglio run.
func (p *plug) service(r *session) *board.Process {
	p.Helper()
	service, err := r.Go(guest.Command{Args: []string{"ciglio", "run"}})
	if err != nil {
		p.Fatal(err)
	}
	return service
}

// play has one vehicle after the other pass the radar, for so long.
func (p *plug) play(ctx context.Context, radar *emulator.ISYS4001, long time.Duration) {
	p.Helper()
	ctx, cancel := context.WithTimeout(ctx, long)
	defer cancel()
	for ctx.Err() == nil {
		road, err := simulate.NewRoad(simulate.Scenario{
			Seed: 1, Duration: 5 * time.Second, Radar: simulate.Radar{Lanes: []float64{3}, Beamwidth: 30, Height: 0.01},
			Vehicles: []simulate.Vehicle{{Speed: 9250, Direction: sensor.Approaching, Lane: 1, Passing: 4 * time.Second}},
		})
		if err != nil {
			p.Fatal(err)
		}
		cycles := road.Cycles(simulate.CycleOptions{Every: 75 * time.Millisecond, Numbered: true})
		began := time.Now()
		for c, err := cycles.Next(ctx); err == nil; c, err = cycles.Next(ctx) {
			select {
			case <-ctx.Done():
			case <-time.After(time.Until(began.Add(time.Duration(c.At)))): // a road has its own pace
			}
			if len(c.Readings) > 0 {
				radar.Report(c)
			}
		}
	}
}

// finish lets ciglio run send what it has, and switches the board off.
func (p *plug) finish(r *session) {
	p.Helper()
	ctx, cancel := context.WithTimeout(p.Context(), 2*time.Minute)
	defer cancel()
	service := p.service(r)
	for {
		result, err := r.Run(ctx, "ciglio", "outbox", "stats", "--json", "--dir", "/flash/device/outbox")
		if err != nil {
			p.Fatal(err)
		}
		var stats struct{ Records, Unsettled int }
		if result.Code == 0 && json.Unmarshal(result.Stdout, &stats) == nil && stats.Records >= len(p.told.Accepted) && stats.Unsettled == 0 {
			break
		}
	}
	if err := service.Signal(syscall.SIGTERM); err != nil {
		p.Fatal(err)
	}
	if result, err := service.Wait(ctx); err != nil || result.Code != 0 {
		p.Errorf("ciglio run ended with code %d: %v", result.Code, err)
	}
	if err := r.Shutdown(ctx); err != nil {
		p.Error(err)
	}
}
