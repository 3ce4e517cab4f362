//go:build linux

package onboard_test

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"periph.io/x/conn/v3/physic"
	"periph.io/x/conn/v3/uart"

	"ciglio/cross/board/guest"
	"ciglio/cross/board/onboard"
	"ciglio/sensor/clock"
	"ciglio/sensor/port"
)

var (
	count   = flag.Int("count-edges", 1, "TestEdges: pulses to wait for")
	address = flag.String("address", "", "TestDial: where to connect")
	file    = flag.String("file", "", "TestPut, TestGet: the file")
	text    = flag.String("text", "", "TestPut: what to write")
	process = flag.String("process", "", "TestUsage: its name")
	code    = flag.String("code", "", "TestPhone: of the console; empty: nobody looks")
	lasts   = flag.Duration("lasts", 30*time.Second, "TestPhone: for how long")
)

// needBoard skips the test where it is not wanted.
func needBoard(t *testing.T) {
	if _, err := os.Stat(guest.PlanFile); err != nil || os.Getenv("CIGLIO_BOARD") != "" {
		t.Skip("runs on an emulated board only: the tests of cross/board carry it there")
	}
}

// TestEcho answers each line of the radar's serial port in capitals, until one
// that says "end".
func TestEcho(t *testing.T) {
	needBoard(t)
	p, err := port.Open("/dev/ttyS0")
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	c, err := p.Connect(115200*physic.Hertz, uart.One, uart.NoParity, uart.NoFlow, 8)
	if err != nil {
		t.Fatal(err)
	}
	line := c.(io.ReadWriter)
	fmt.Println("echo: listening")
	for s := bufio.NewScanner(line); s.Scan(); {
		if _, err := fmt.Fprintln(line, strings.ToUpper(s.Text())); err != nil {
			t.Fatal(err)
		}
		if s.Text() == "end" {
			return
		}
	}
	t.Error("the port ended")
}

// TestDial sends numbered lines and waits for each to come back, for as long as
// it takes, until "end" comes instead.
func TestDial(t *testing.T) {
	needBoard(t)
	c, err := net.Dial("tcp", *address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	r := bufio.NewReader(c)
	for i := 0; ; i++ {
		fmt.Fprintf(c, "%d\n", i)
		back, err := r.ReadString('\n')
		if back == "end\n" {
			return
		}
		if err != nil || back != fmt.Sprintf("%d\n", i) {
			t.Fatalf("%d came back as %q, %v", i, back, err)
		}
		fmt.Print("dial: ", back)
	}
}

// TestPut writes a file and flushes it.
func TestPut(t *testing.T) {
	needBoard(t)
	f, err := os.Create(*file)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(*text); err != nil {
		t.Fatal(err)
	}
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
	folder, err := os.Open(filepath.Dir(*file))
	if err != nil {
		t.Fatal(err)
	}
	if err := folder.Sync(); err != nil {
		t.Fatal(err)
	}
	fmt.Println("put: flushed")
}

// TestGet prints a file.
func TestGet(t *testing.T) {
	needBoard(t)
	b, err := os.ReadFile(*file)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Printf("get: %s\n", b)
}

// probe has the kernel write each edge event down as it queues it, before any
// program has seen it: the fields of struct gpio_v2_line_event.
const (
	probe   = "p:ciglio_edge linereq_put_event at=+0($arg2):u64 id=+8($arg2):u32 offset=+12($arg2):u32 line=+20($arg2):u32\n"
	tracing = "/sys/kernel/tracing/"
)

func trace(t *testing.T, name, value string) {
	t.Helper()
	if err := os.WriteFile(tracing+name, []byte(value), 0o644); err != nil {
		t.Fatal(err)
	}
}

// startProbe has the kernel begin to write.
func startProbe(t *testing.T) {
	t.Helper()
	trace(t, "kprobe_events", probe)
	trace(t, "events/kprobes/ciglio_edge/enable", "1")
	trace(t, "trace", "")
}

// endProbe returns what the kernel has written, a line an edge.
func endProbe(t *testing.T) (edges []string) {
	t.Helper()
	trace(t, "events/kprobes/ciglio_edge/enable", "0")
	text, err := os.ReadFile(tracing + "trace")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if _, event, ok := strings.Cut(line, "ciglio_edge: "); ok {
			_, fields, _ := strings.Cut(event, ") ")
			edges = append(edges, strings.TrimSpace(fields))
		}
	}
	trace(t, "kprobe_events", "")
	return edges
}

// TestStartProbe has the kernel write down every edge from now on.
func TestStartProbe(t *testing.T) {
	needBoard(t)
	startProbe(t)
}

// TestEndProbe prints them.
func TestEndProbe(t *testing.T) {
	needBoard(t)
	for _, edge := range endProbe(t) {
		fmt.Println("edge:", edge)
	}
}

// TestEdges reads the pulses of the trigger contact as the device does.
func TestEdges(t *testing.T) {
	needBoard(t)
	startProbe(t)
	pin, err := port.OpenContact("gpiochip0-3", "")
	if err != nil {
		t.Fatal(err)
	}
	defer pin.Halt()
	var out onboard.Edges
	var now clock.System
	fmt.Println("edges: watching")
	for pulses := 0; pulses < *count; {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		e, err := pin.Next(ctx)
		woken := now.Now()
		cancel()
		if err != nil {
			t.Fatal(err)
		}
		out.Seen = append(out.Seen, onboard.EdgeSeen{At: int64(e.At), Woken: int64(woken), Rising: e.Rising, Lost: e.Lost})
		if !e.Rising {
			pulses++
			fmt.Println("edges: pulse", pulses)
		}
	}
	out.Kernel = endProbe(t)
	text, err := json.Marshal(out)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(guest.Share, "edges.json"), text, 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestBusy uses all processors until it is ended.
func TestBusy(t *testing.T) {
	needBoard(t)
	fmt.Println("busy: working")
	for range 3 {
		go func() {
			for x := uint32(1); x != 0; {
				x = x*1664525 + 1013904223 | 1
			}
		}()
	}
	select {}
}

// TestPhone is a technician's phone at the live page of the console at address: it
// asks for what the page's script asks for, as often, and says what it got.
func TestPhone(t *testing.T) {
	needBoard(t)
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	phone := &http.Client{Jar: jar, Timeout: 20 * time.Second}
	got := map[string]int{}
	ask := func(method, path string, form url.Values, renewed bool) {
		r, err := http.NewRequestWithContext(t.Context(), method, "http://"+*address+path, strings.NewReader(form.Encode()))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Sec-Fetch-Site", "same-origin")
		if form != nil {
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
		if renewed {
			r.Header.Set("Ciglio-Renew", "1")
		}
		answer, err := phone.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		if _, err := io.Copy(io.Discard, answer.Body); err != nil {
			t.Fatal(err)
		}
		got[fmt.Sprintf("%s %d", path, answer.StatusCode)]++
	}
	if *code != "" {
		ask("POST", "/login", url.Values{"code": {*code}}, false)
		ask("POST", "/service/begin", url.Values{"back": {"/live"}}, false)
	}
	begin := time.Now()
	for second := 1; time.Since(begin) < *lasts; second++ {
		if *code != "" {
			ask("GET", "/picture.jpg", nil, false)
			if second%3 == 0 {
				ask("GET", "/live", nil, true)
				ask("GET", "/signal.svg", nil, false)
			}
		}
		time.Sleep(time.Until(begin.Add(time.Duration(second) * time.Second)))
	}
	if *code != "" {
		ask("POST", "/service/end", url.Values{}, false)
	}
	fmt.Printf("phone: %d %d %d %d\n", time.Since(begin), got["/picture.jpg 200"], got["/live 200"], got["/signal.svg 200"])
	t.Logf("%v", got)
}

// TestUsage prints what the kernel says of a program: resident memory, the most
// of it so far, both in bytes, and processor time in nanoseconds.
func TestUsage(t *testing.T) {
	needBoard(t)
	names, err := filepath.Glob("/proc/[0-9]*/comm")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if comm, _ := os.ReadFile(name); strings.TrimSpace(string(comm)) != *process {
			continue
		}
		status, err := os.ReadFile(filepath.Dir(name) + "/status")
		if err != nil {
			t.Fatal(err)
		}
		var now, most int64
		for line := range strings.Lines(string(status)) {
			fmt.Sscanf(line, "VmRSS: %d", &now)
			fmt.Sscanf(line, "VmHWM: %d", &most)
		}
		stat, err := os.ReadFile(filepath.Dir(name) + "/stat")
		if err != nil {
			t.Fatal(err)
		}
		_, rest, _ := strings.Cut(string(stat), ") ")
		fields := strings.Fields(rest) // from the third on, as proc(5) counts
		var user, system int64
		fmt.Sscan(fields[14-3], &user)
		fmt.Sscan(fields[15-3], &system)
		const tick = int64(time.Second / 100)
		fmt.Printf("usage: %d %d %d\n", now<<10, most<<10, (user+system)*tick)
		return
	}
	t.Errorf("no program %q runs", *process)
}
