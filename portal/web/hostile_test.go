package web_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"ciglio/capture/evidence"
	"ciglio/portal/intake"
	"ciglio/portal/portaltest"
	"ciglio/portal/record"
	"ciglio/portal/web"
)

// served runs the pages of a site on a port.
func (s *site) served(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.open(web.Options{Stats: func() intake.Stats { return intake.Stats{Connected: true} }})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- s.handler.Run(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		<-ended
	})
	return l.Addr().String()
}

// request opens a connection with a small window and asks for a path.
func request(t *testing.T, address, path string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.(*net.TCPConn).SetReadBuffer(4096)
	fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: %s\r\n\r\n", path, address)
	return c
}

// Ten readers take a large bundle slowly: memory does not grow with it, others
// are served meanwhile, and what they get in the end is the bundle.
func TestH04_SlowReadersOfALargeBundle(t *testing.T) {
	const readers, each = 10, 12 << 20
	d := portaltest.NewDevice(t, "one")
	var frames [][]byte
	for i := range 5 {
		frames = append(frames, bytes.Repeat(portaltest.Bytes(uint64(50+i), 1<<20), each>>20))
	}
	v := d.Violation(t, frames, trace, nil)
	s := receive(t, portaltest.NewCentre(t, d), send(d, v, append(slices.Clone(frames), trace)...)...)
	sums := map[string][32]byte{}
	whole := s.get("/records/" + v.ID.String() + "/bundle.zip")
	if whole.Code != 200 || whole.Body.Len() < 5*each {
		t.Fatalf("bundle: %d, %d bytes", whole.Code, whole.Body.Len())
	}
	sums["bundle"] = sha256.Sum256(whole.Body.Bytes())
	length := whole.Body.Len()
	frames, whole = nil, nil
	address := s.served(t)
	var before, during runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	var slow []net.Conn
	for range readers {
		slow = append(slow, request(t, address, "/records/"+v.ID.String()+"/bundle.zip"))
	}
	for _, c := range slow { // each has begun
		if _, err := io.ReadFull(c, make([]byte, 1000)); err != nil {
			t.Fatal(err)
		}
	}
	client := &http.Client{}
	for _, path := range []string{"/", "/records/" + v.ID.String() + "/record.cose", "/healthz"} {
		r, err := client.Get("http://" + address + path)
		if err != nil {
			t.Fatalf("%s beside slow readers: %v", path, err)
		}
		r.Body.Close()
	}
	runtime.GC()
	runtime.ReadMemStats(&during)
	if grown := int64(during.HeapAlloc) - int64(before.HeapAlloc); grown > 16<<20 {
		t.Errorf("%d MB more are in use while %d read a bundle of %d MB", grown>>20, readers, length>>20)
	}
	// Another, who reads at once, is served whole.
	r, err := client.Get("http://" + address + "/records/" + v.ID.String() + "/bundle.zip")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	sum := sha256.New()
	if n, err := io.Copy(sum, r.Body); err != nil || int(n) != length || [32]byte(sum.Sum(nil)) != sums["bundle"] {
		t.Errorf("%d of %d bytes, %v", n, length, err)
	}
}

// A heldReader is an answer that nobody reads: the first Write waits for release.
type heldReader struct {
	*httptest.ResponseRecorder
	began   chan struct{} // closed when the first Write has come
	release chan struct{}
	once    sync.Once
}

func (h *heldReader) Write(b []byte) (int, error) {
	h.once.Do(func() { close(h.began) })
	<-h.release
	return h.ResponseRecorder.Write(b)
}

// Readers are bounded, each address and all together, and told so. When one has
// ended the next is served.
func TestH04_TooManyReadersAreToldToWait(t *testing.T) {
	s, v := violation(t, nil)
	release := make(chan struct{})
	var reading sync.WaitGroup
	defer reading.Wait()
	letGo := sync.OnceFunc(func() { close(release) })
	defer letGo()
	// read has an address read a path, and reports whether the answer is a file
	// that is being sent, and how to have it end.
	read := func(address, path string) (sending bool, end func()) {
		h := &heldReader{ResponseRecorder: httptest.NewRecorder(), began: make(chan struct{}), release: make(chan struct{})}
		stop := sync.OnceFunc(func() { close(h.release) })
		ended := make(chan struct{})
		reading.Go(func() {
			defer close(ended)
			r := httptest.NewRequest("GET", "http://127.0.0.1:8080/records/"+v.ID.String()+path, nil)
			r.RemoteAddr = address
			r.Header.Set("Accept-Language", "en")
			s.handler.ServeHTTP(h, r)
		})
		reading.Go(func() {
			select {
			case <-release:
				stop()
			case <-ended:
			}
		})
		<-h.began
		if h.Code != http.StatusServiceUnavailable {
			return true, func() { stop(); <-ended }
		}
		stop()
		<-ended
		if h.Header().Get("Retry-After") == "" || !strings.Contains(h.Body.String(), "Others are being served") {
			t.Errorf("%d, %.200q, %v: the reader is not told to wait", h.Code, h.Body, h.Header())
		}
		return false, nil
	}
	served := func(host string, n int) (served int, ends []func()) {
		for i := range n {
			path := []string{"/frames/1", "/trace", "/bundle.zip"}[i%3]
			if sending, end := read(fmt.Sprintf("%s:%d", host, 1000+i), path); sending {
				served++
				ends = append(ends, end)
			}
		}
		return served, ends
	}
	n, ends := served("192.0.2.1", 60)
	if n != 32 {
		t.Errorf("%d of 60 readers of one address are served, want 32", n)
	}
	if n, _ := served("192.0.2.2", 20); n != 20 {
		t.Errorf("%d of 20 readers of a second address are served", n)
	}
	if n, _ := served("192.0.2.3", 20); n != 12 {
		t.Errorf("%d of 20 readers of a third address are served, want 12: 64 in all", n)
	}
	ends[0]()
	if n, _ := served("192.0.2.3", 2); n != 1 {
		t.Errorf("%d of 2 are served when one has ended, want 1", n)
	}
	letGo()
	reading.Wait()
	if w := s.get("/records/" + v.ID.String() + "/frames/1"); w.Code != 200 {
		t.Errorf("%d when all have ended", w.Code)
	}
}

// Connections that ask for nothing do not keep others out.
func TestH04_SilentConnectionsMakeRoom(t *testing.T) {
	s, _ := violation(t, nil)
	address := s.served(t)
	for range 1100 {
		c, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		fmt.Fprint(c, "GET / HT")
	}
	client := &http.Client{}
	r, err := client.Get("http://" + address + "/")
	if err != nil {
		t.Fatal(err)
	}
	r.Body.Close()
}

// Nor do those that keep the server at work with requests whose body never comes.
func TestH04_BusyConnectionsMakeRoom(t *testing.T) {
	s, _ := violation(t, nil)
	address := s.served(t)
	for range 1100 {
		c, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		fmt.Fprintf(c, "POST / HTTP/1.1\r\nHost: %s\r\nContent-Length: 200000\r\n\r\n", address)
	}
	r, err := (&http.Client{}).Get("http://" + address + "/")
	if err != nil {
		t.Fatal(err)
	}
	r.Body.Close()
}

// A record that waits names pictures that another was sent with: they are not
// shown as its own, and not put into its bundle.
func TestH05_PagesShowOnlyWhatWasSentForTheRecord(t *testing.T) {
	one, two := portaltest.NewDevice(t, "one"), portaltest.NewDevice(t, "two")
	pictures := pictures(t)
	first, second := one.Violation(t, pictures, trace, nil), two.Violation(t, pictures, trace, nil)
	c := portaltest.NewCentre(t, one, two)
	receive(t, c, send(two, second)...).store.Close() // it waits when the first is sent
	s := receive(t, c, send(one, first, append(pictures, trace)...)...)
	path := "/records/" + second.ID.String()
	if w := s.get(path + "/frames/1"); w.Code != 404 {
		t.Errorf("frame of another record: %d", w.Code)
	}
	if w := s.get(path + "/trace"); w.Code != 404 {
		t.Errorf("trace of another record: %d", w.Code)
	}
	w := s.get(path + "/bundle.zip")
	b, err := evidence.ReadBundle(bytes.NewReader(w.Body.Bytes()), int64(w.Body.Len()))
	if err != nil {
		t.Fatal(err)
	}
	if b.Trace != nil || slices.ContainsFunc(b.Frames, func(f []byte) bool { return f != nil }) {
		t.Error("the bundle has what was sent for another record")
	}
	if body := s.get(path).Body.String(); !strings.Contains(body, "has not come yet") {
		t.Error("the page does not say that the frames have not come")
	}
	if w := s.get("/records/" + first.ID.String() + "/frames/1"); w.Code != 200 {
		t.Errorf("frame of the record it was sent for: %d", w.Code)
	}
}

// The device's page tells what is refused, held back, missing and back in time.
func TestH06_DevicePageTellsDisputes(t *testing.T) {
	d := portaltest.NewDevice(t, "one")
	early := d.Seal(t, func(r *evidence.Record) { r.UTC = r.UTC.Add(-time.Hour) })
	back := d.Seal(t, func(r *evidence.Record) { r.UTC = r.UTC.Add(-24 * time.Hour) })
	ahead := d.Seal(t, func(r *evidence.Record) { r.UTC = r.UTC.AddDate(1, 0, 0) })
	d.Heartbeat(t) // never comes
	last := d.Heartbeat(t)
	s := receive(t, portaltest.NewCentre(t, d), slices.Concat(send(d, early), send(d, back), send(d, ahead), send(d, last))...)
	page := s.get("/devices/" + d.ID.String()).Body.String()
	for _, want := range []string{
		"This device needs a person", "no record of a clock step says why: 1", "cannot have been sealed, refused: 1",
		"epoch 1, numbers 3 to 4", "dated later than it came",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the device's page lacks %q", want)
		}
	}
	if page := s.get("/records/" + back.ID.String()).Body.String(); !strings.Contains(page, "BACK IN TIME") {
		t.Error("the record's page does not say that it goes back in time")
	}
	if overview := s.get("/").Body.String(); !strings.Contains(overview, "back in time") || !strings.Contains(overview, "2 missing") {
		t.Error("the overview does not tell it")
	}
	health := s.get("/healthz").Body.String()
	for _, want := range []string{"messages_refused 1\n", "answers_waiting 0\n"} {
		if !strings.Contains(health, want) {
			t.Errorf("healthz lacks %q:\n%s", want, health)
		}
	}
	totals, err := s.store.Totals(t.Context())
	if err != nil || totals != (record.Totals{Missing: 2, Quarantined: 1, Unsent: totals.Unsent}) {
		t.Errorf("totals = %+v, %v", totals, err)
	}
}

// Nothing that a browser gets is kept there, and no file here is open to others.
func TestH12_NothingIsLeftForOthers(t *testing.T) {
	portaltest.OnOneDisk(t, "servers keep their own files")
	s, v := violation(t, nil)
	page := "/records/" + v.ID.String()
	for _, path := range []string{"/", page, page + "/frames/1", page + "/trace", page + "/bundle.zip", page + "/record.cose",
		"/devices/" + v.Record.Device.String(), "/healthz", "/nowhere"} {
		if got := s.get(path).Header().Get("Cache-Control"); got != "no-store" {
			t.Errorf("%s: Cache-Control %q, want no-store", path, got)
		}
	}
	s.store.Close()
	check := func(dir string) {
		t.Helper()
		err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			info, err := e.Info()
			if err == nil && info.Mode().Perm()&0o077 != 0 && path != dir {
				t.Errorf("%s is open to others: %v", path, info.Mode())
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
	check(s.centre.Dir)
	if err := os.Chmod(filepath.Join(s.centre.Dir, "portal.db"), 0o644); err != nil { // of an earlier version
		t.Fatal(err)
	}
	again, err := portaltest.TryStore(t, s.centre.Dir)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	check(s.centre.Dir)
	to := filepath.Join(t.TempDir(), "open")
	if err := os.Mkdir(to, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := s.backup(to); err != nil {
		t.Fatal(err)
	}
	check(to)
	if open, err := record.OpenToOthers(to); err != nil || len(open) != 1 || !strings.Contains(open[0], to+" (0755)") {
		t.Errorf("open to others: %v, %v, want the folder itself", open, err)
	}
}
