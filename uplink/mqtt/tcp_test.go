package mqtt

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/eclipse/paho.mqtt.golang/packets"
	"github.com/mochi-mqtt/server/v2/listeners"

	"ciglio/uplink"
)

// overMochi starts a broker of this process on a free loopback port.
func overMochi(t testing.TB) string {
	t.Helper()
	server := newMochi(t)
	l := listeners.NewTCP(listeners.Config{ID: "tcp", Address: "127.0.0.1:0"})
	if err := server.AddListener(l); err != nil {
		t.Fatal(err)
	}
	if err := server.Serve(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	return "tcp://" + l.Address()
}

// overMosquitto starts Mosquitto on a free loopback port, with the settings that
// docs/mqtt.md recommends. Where it is not installed the test is skipped, but on
// the build machine it fails.
func overMosquitto(t testing.TB) string {
	t.Helper()
	path, err := exec.LookPath("mosquitto")
	if err != nil {
		path = "/usr/sbin/mosquitto"
		if _, err := os.Stat(path); err != nil {
			if os.Getenv("CI") == "true" {
				t.Fatal("mosquitto is not installed")
			}
			t.Skip("mosquitto is not installed")
		}
	}
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := free.Addr().(*net.TCPAddr)
	free.Close()
	page, err := os.ReadFile("../../docs/mqtt.md")
	if err != nil {
		t.Fatal(err)
	}
	const listener = "listener 1883 127.0.0.1\n"
	_, settings, ok := strings.Cut(string(page), "```\n"+listener)
	settings, _, closed := strings.Cut(settings, "```")
	if !ok || !closed {
		t.Fatal("docs/mqtt.md has no settings of Mosquitto")
	}
	config := filepath.Join(t.TempDir(), "mosquitto.conf")
	text := fmt.Sprintf("listener %d 127.0.0.1\n%s", address.Port, settings)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, "-v", "-c", config)
	log, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		cmd.Wait()
	})
	var said []string
	for lines := bufio.NewScanner(log); lines.Scan(); {
		said = append(said, lines.Text())
		if strings.HasSuffix(lines.Text(), " running") {
			go io.Copy(io.Discard, log) // or it would wait for us
			return "tcp://" + address.String()
		}
	}
	t.Fatalf("mosquitto does not run:\n%s", strings.Join(said, "\n"))
	return ""
}

// eachBroker runs a test against both brokers we know to be in use.
func eachBroker(t *testing.T, test func(t *testing.T, broker string)) {
	t.Run("mochi", func(t *testing.T) { test(t, overMochi(t)) })
	t.Run("mosquitto", func(t *testing.T) { test(t, overMosquitto(t)) })
}

// TestBrokersCarryEverything sends largest messages both ways, an empty one and
// a retained one, with will, over TCP.
func TestBrokersCarryEverything(t *testing.T) {
	eachBroker(t, func(t *testing.T, broker string) {
		d := newDialer(t, Options{Broker: broker})
		received := make(chan uplink.Message, 500)
		centre := dial(t, d, uplink.SessionOptions{ClientID: "centre", Subscribe: []string{"v1/+/+/record", "v1/+/+/blob", "v1/+/+/state"},
			Handle: func(m uplink.Message) { received <- m }})
		device := dial(t, d, uplink.SessionOptions{ClientID: "device",
			Will: &uplink.Message{Topic: "v1/a/b/state", Payload: []byte("lost"), Retained: true}})
		const n = 200
		var acks []<-chan error
		for i := range n {
			payload := bytes.Repeat([]byte{byte(i)}, 61440)
			if i == 0 {
				payload = nil
			}
			acks = append(acks, device.Publish(uplink.Message{Topic: "v1/a/b/blob", Payload: payload}))
		}
		acks = append(acks, device.Publish(uplink.Message{Topic: "v1/a/b/state", Payload: []byte("online"), Retained: true}))
		for i, ack := range acks {
			if err := within(t, ack, "acknowledgement"); err != nil {
				t.Fatalf("message %d: %v", i, err)
			}
		}
		for i := range n {
			m := within(t, received, "message")
			if i == 0 && len(m.Payload) != 0 || i > 0 && (len(m.Payload) != 61440 || m.Payload[61439] != byte(i)) {
				t.Fatalf("message %d: %d bytes", i, len(m.Payload))
			}
		}
		if m := within(t, received, "state"); string(m.Payload) != "online" {
			t.Errorf("state %q", m.Payload)
		}
		// A device that the broker loses leaves its will behind.
		device.(*session).conn.Conn.Close()
		if m := within(t, received, "will"); string(m.Payload) != "lost" {
			t.Errorf("will %q", m.Payload)
		}
		device.Close()
		centre.Close()
		late := make(chan uplink.Message, 1)
		visitor := dial(t, d, uplink.SessionOptions{ClientID: "visitor", Subscribe: []string{"v1/#"}, Handle: func(m uplink.Message) { late <- m }})
		if m := within(t, late, "retained message"); !m.Retained || string(m.Payload) != "lost" {
			t.Errorf("retained %q, %v", m.Payload, m.Retained)
		}
		visitor.Close()
	})
}

// TestSameClientIDTakesOver is what happens when a device comes back before the
// broker has noticed that it was gone.
func TestSameClientIDTakesOver(t *testing.T) {
	eachBroker(t, func(t *testing.T, broker string) {
		d := newDialer(t, Options{Broker: broker})
		first := dial(t, d, uplink.SessionOptions{ClientID: "device"})
		second := dial(t, d, uplink.SessionOptions{ClientID: "device"})
		within(t, first.Done(), "end of the first session")
		if first.Err() == nil {
			t.Error("the first session does not say why it ended")
		}
		if err := within(t, second.Publish(uplink.Message{Topic: "t"}), "acknowledgement"); err != nil {
			t.Error(err)
		}
		first.Close()
		second.Close()
	})
}

func TestNobodyListens(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	d := newDialer(t, Options{Broker: "tcp://" + l.Addr().String()})
	if s, err := d.Dial(t.Context(), uplink.SessionOptions{ClientID: "id"}); err == nil {
		s.Close()
		t.Error("dialled a port on which nobody listens")
	}
}

func TestUserTimeoutIsSet(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	d := newDialer(t, Options{Broker: "tcp://" + l.Addr().String()})
	c, err := d.open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	raw, err := c.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	ms, known, err := readUserTimeout(raw)
	if err != nil {
		t.Fatal(err)
	}
	if known && ms != 30000 {
		t.Errorf("TCP_USER_TIMEOUT is %d ms, want 30000", ms)
	}
}

// BenchmarkPublish has the device's window of 20 messages. The limit is the
// same bytes and answers of the same size, packet by packet, over bare TCP.
func BenchmarkPublish(b *testing.B) {
	for _, size := range []int{4 << 10, 61440} {
		b.Run(fmt.Sprintf("limit/%d", size), func(b *testing.B) { benchmarkTCP(b, size) })
		b.Run(fmt.Sprintf("mochi/%d", size), func(b *testing.B) { benchmarkPublish(b, overMochi(b), size) })
		b.Run(fmt.Sprintf("mosquitto/%d", size), func(b *testing.B) { benchmarkPublish(b, overMosquitto(b), size) })
	}
}

const window = 20

func benchmarkPublish(b *testing.B, broker string, size int) {
	s := dial(b, newDialer(b, Options{Broker: broker}), uplink.SessionOptions{ClientID: "bench"})
	defer s.Close()
	payload := make([]byte, size)
	acks := make(chan (<-chan error), window)
	done := make(chan error)
	go func() {
		var err error
		for ack := range acks {
			if e := <-ack; e != nil {
				err = e
			}
		}
		done <- err
	}()
	b.SetBytes(int64(size))
	b.ReportAllocs()
	for b.Loop() {
		acks <- s.Publish(uplink.Message{Topic: "v1/a/00112233445566778899aabbccddeeff/blob", Payload: payload})
	}
	close(acks)
	if err := <-done; err != nil {
		b.Fatal(err)
	}
}

func benchmarkTCP(b *testing.B, size int) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		buf := make([]byte, size)
		for {
			if _, err := io.ReadFull(c, buf); err != nil {
				return
			}
			if _, err := c.Write([]byte{packets.Puback << 4, 2, 0, 1}); err != nil {
				return
			}
		}
	}()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	slots := make(chan bool, window)
	go func() {
		ack := make([]byte, 4)
		for {
			if _, err := io.ReadFull(c, ack); err != nil {
				return
			}
			<-slots
		}
	}()
	buf := make([]byte, size)
	b.SetBytes(int64(size))
	for b.Loop() {
		slots <- true
		if _, err := c.Write(buf); err != nil {
			b.Fatal(err)
		}
	}
}
