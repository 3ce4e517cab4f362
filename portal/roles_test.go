package portal_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"ciglio/capture/evidence"
	"ciglio/portal"
	"ciglio/portal/blob"
	"ciglio/portal/blob/blobtest"
	"ciglio/portal/database"
	"ciglio/portal/database/databasetest"
	"ciglio/portal/log"
	"ciglio/portal/portaltest"
	"ciglio/portal/record"
	"ciglio/uplink"
	"ciglio/uplink/mqtt"
	"ciglio/uplink/wire"
)

// What one process has to itself is refused to several, in words that say what to do.
func TestRolesGoWithWhereThingsAre(t *testing.T) {
	dir := newCentre(t)
	s3 := &blob.S3Options{Endpoint: "http://127.0.0.1:1", Bucket: "b"}
	for _, row := range []struct {
		name string
		o    portal.Options
		want error
		says string
	}{
		{"two roles on SQLite", portal.Options{Roles: []string{"intake", "log"}}, portal.ErrOneProcess, "[database] url"},
		{"two roles on a folder", portal.Options{Roles: []string{"intake", "log"}, Database: "postgres://x/y"}, portal.ErrOneProcess, "[blobs] endpoint"},
		{"a role that there is not", portal.Options{Roles: []string{"citizens"}, Database: "postgres://x/y", S3: s3}, portal.ErrRole, "intake, log, officers"},
		{"a role twice", portal.Options{Roles: []string{"log", "log"}, Database: "postgres://x/y", S3: s3}, nil, "twice"},
		{"two shards of the embedded broker", portal.Options{Shards: []string{"a", "b"}}, nil, "[mqtt] broker"},
		{"a shard that no topic can name", portal.Options{Shards: []string{"a/b"}}, nil, "shard"},
	} {
		row.o.Dir = dir
		p, err := portal.New(t.Context(), row.o)
		if p != nil || err == nil || row.want != nil && !errors.Is(err, row.want) || !strings.Contains(err.Error(), row.says) {
			t.Errorf("%s: %v", row.name, err)
		}
	}
}

// asProgram has the program of this test be ciglio-portal instead: see TestMain.
const asProgram = "CIGLIO_TEST_AS_PORTAL"

// A program is a process of the centre, which a test kills and starts again.
type program struct {
	t      *testing.T
	name   string
	args   []string
	env    []string
	stderr bytes.Buffer
	cmd    *exec.Cmd
	ended  chan struct{}
}

func (p *program) start() {
	p.t.Helper()
	p.cmd = exec.Command(os.Args[0], p.args...)
	p.cmd.Env = append(os.Environ(), append(p.env, asProgram+"=1")...)
	p.cmd.Stderr = &p.stderr
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	ended := make(chan struct{})
	p.ended = ended
	go func(c *exec.Cmd) {
		c.Wait()
		close(ended)
	}(p.cmd)
}

func (p *program) end(how os.Signal) {
	p.cmd.Process.Signal(how)
	<-p.ended
}

func port(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// plainMosquitto starts one that asks nobody, on the loopback.
func plainMosquitto(t *testing.T) (address string) {
	t.Helper()
	const path = "/usr/sbin/mosquitto"
	if _, err := os.Stat(path); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	address = port(t)
	config := filepath.Join(t.TempDir(), "mosquitto.conf")
	text := "listener " + address[strings.LastIndex(address, ":")+1:] + " 127.0.0.1\nallow_anonymous true\nmax_queued_messages 0\n"
	if os.Getuid() == 0 {
		text += "user root\n"
	}
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, "-c", config)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if c, err := net.Dial("tcp", address); err == nil {
			c.Close()
			return address
		}
		if time.Now().After(end) {
			t.Fatal("mosquitto does not run")
		}
	}
}

// retry is how long a device of this test waits for a receipt before it sends again.
const retry = 2 * time.Second

// slack is for a machine with much else to do: a process starts, a disk syncs.
const slack = 20 * time.Second

// A roadside device seals a record, sends it until it is receipted, and seals the next.
type roadsideDevice struct {
	*portaltest.Device
	shard   string
	sealed  []*evidence.Sealed
	longest time.Duration // from the first sending to the receipt
}

// drive sends until done is closed, and then until its last record is receipted.
func (d *roadsideDevice) drive(ctx context.Context, t *testing.T, c *mqtt.Dialer, done <-chan struct{}, counted *atomic.Int64) error {
	receipts := make(chan *evidence.Receipt, 1000)
	session, err := c.Dial(ctx, uplink.SessionOptions{
		ClientID: d.ID.String(), Subscribe: []string{wire.Topic(d.shard, d.ID, wire.WhatReceipt)},
		Handle: func(m uplink.Message) {
			if r, err := evidence.OpenReceipt(m.Payload); err == nil {
				receipts <- r.Receipt
			}
		},
	})
	if err != nil {
		return err
	}
	defer session.Close()
	for n := 0; ; n++ {
		select {
		case <-done:
			return nil
		default:
		}
		var s *evidence.Sealed
		var messages []uplink.Message
		say := func(what wire.What, payload []byte) {
			messages = append(messages, uplink.Message{Topic: wire.Topic(d.shard, d.ID, what), Payload: payload})
		}
		if n%5 == 4 {
			blobs := [][]byte{portaltest.Bytes(rand.Uint64(), 20_000), portaltest.Bytes(rand.Uint64(), 20_000), portaltest.Bytes(rand.Uint64(), 3000)}
			s = d.Violation(t, blobs[:2], blobs[2], nil)
			say(wire.WhatRecord, s.Bytes)
			for _, b := range blobs {
				for _, m := range d.Chunks(b) {
					say(wire.WhatBlob, m.Payload)
				}
			}
		} else {
			s = d.Heartbeat(t)
			say(wire.WhatRecord, s.Bytes)
		}
		began := time.Now()
		for receipted := false; !receipted; {
			for _, m := range messages {
				if err := <-session.Publish(m); err != nil {
					return err
				}
			}
			late := time.After(retry)
			for waiting := true; waiting && !receipted; {
				select {
				case r := <-receipts:
					e, ok := r.Entry(s.Record.Epoch, s.Record.Seq)
					receipted = ok && e.ID == s.ID
				case <-late:
					waiting = false
				case <-ctx.Done():
					return fmt.Errorf("device %v: number %d was never receipted", d.ID, s.Record.Seq)
				}
			}
		}
		d.sealed = append(d.sealed, s)
		d.longest = max(d.longest, time.Since(began))
		counted.Add(1)
	}
}

// Two intakes of two shards and one that waits, two that may number and two with pages,
// all processes of their own, on PostgreSQL, an S3 store and Mosquitto: each is killed
// under load, in an order that the seed tells. Nothing that was receipted is missing,
// nothing is numbered twice, every chain is whole, and no device waits for longer than it
// takes another process to take over, and itself to send again.
func TestProcessesAreKilledUnderLoad(t *testing.T) {
	if testing.Short() {
		t.Skip("kills processes for half a minute")
	}
	databasetest.Need(t)
	blobtest.Need(t)
	const takeover = 2 * time.Second
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	order := rand.New(rand.NewPCG(seed, 0))
	mosquitto := plainMosquitto(t)
	dir, address, bucket := newCentre(t), databasetest.PostgreSQL.Address(t), blobtest.Bucket(t)
	var devices []*roadsideDevice
	for i := range 6 {
		d := &roadsideDevice{Device: portaltest.NewDevice(t, fmt.Sprint("road", i)), shard: string("ab"[i%2])}
		if _, err := portal.Enrol(dir, d.ID, 1, d.Certificate); err != nil {
			t.Fatal(err)
		}
		devices = append(devices, d)
	}
	var programs []*program
	var pages []string
	for _, row := range []struct{ name, roles, shards string }{
		{"intake a", "intake", "a"}, {"intake b", "intake", "b"}, {"spare", "intake", "a,b"},
		{"log 1", "log", ""}, {"log 2", "log", ""}, {"pages 1", "officers", ""}, {"pages 2", "officers", ""},
	} {
		config := filepath.Join(t.TempDir(), "centre.toml")
		listen := port(t)
		if row.roles == "officers" {
			pages = append(pages, listen)
		}
		text := fmt.Sprintf("[centre]\ndir = %q\n[pages]\nlisten = %q\n[roles]\nrun = [%q]\nshards = [\"%s\"]\ntakeover = %q\n[mqtt]\nbroker = \"tcp://%s\"\n[database]\nurl = %q\n[blobs]\nendpoint = %q\nbucket = %q\n",
			dir, listen, row.roles, strings.ReplaceAll(max(row.shards, "0"), ",", `", "`), takeover.String(), mosquitto, address, bucket.Endpoint, bucket.Bucket)
		if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		p := &program{t: t, name: row.name, args: []string{"serve", "--config", config}, env: []string{"AWS_ACCESS_KEY_ID=" + bucket.Key, "AWS_SECRET_ACCESS_KEY=" + bucket.Secret}}
		if p.name != "spare" { // which would have what is another's
			p.start()
		}
		t.Cleanup(func() {
			p.end(syscall.SIGTERM)
			if t.Failed() {
				t.Logf("%s:\n%s", p.name, p.stderr.String())
			}
		})
		programs = append(programs, p)
	}
	dialer, err := mqtt.New(mqtt.Options{Broker: "tcp://" + mosquitto})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	done := make(chan struct{})
	var counted atomic.Int64
	var driving sync.WaitGroup
	for _, d := range devices {
		driving.Go(func() {
			if err := d.drive(ctx, t, dialer, done, &counted); err != nil {
				t.Error(err)
			}
		})
	}
	flow := func(n int64) { // until so many more are receipted
		for want := counted.Load() + n; counted.Load() < want && ctx.Err() == nil; time.Sleep(5 * time.Millisecond) {
		}
	}
	flow(12) // all works
	programs[2].start()
	for _, i := range order.Perm(len(programs)) {
		p := programs[i]
		p.end(syscall.SIGKILL)
		flow(6 + order.Int64N(6)) // by others
		p.start()
		flow(6 + order.Int64N(6))
	}
	close(done)
	driving.Wait()
	var longest time.Duration
	for _, d := range devices {
		longest = max(longest, d.longest)
	}
	t.Logf("%d records, the longest wait %v", counted.Load(), longest)
	// Twice: who takes over may itself be the next that is killed.
	if limit := 2*takeover + 2*retry + slack; longest > limit {
		t.Errorf("a device waited for %v, want at most %v", longest, limit)
	}
	for _, page := range pages {
		health(ctx, t, page)
	}
	whole(t, address, bucket, devices)
}

// health waits until a process with pages says that all is well and nothing waits.
func health(ctx context.Context, t *testing.T, address string) {
	t.Helper()
	for said := ""; ; time.Sleep(50 * time.Millisecond) {
		if r, err := http.Get("http://" + address + "/healthz"); err == nil {
			text, _ := io.ReadAll(r.Body)
			r.Body.Close()
			said = string(text)
		}
		if strings.HasPrefix(said, "ok\n") && strings.Contains(said, "\nrecords_unnumbered 0\n") && strings.Contains(said, "\nreceipts_waiting 0\n") {
			return
		}
		if ctx.Err() != nil {
			t.Fatalf("pages at %s say %q", address, said)
		}
	}
}

// whole checks the store against what the devices have sealed.
func whole(t *testing.T, address string, bucket blob.S3Options, devices []*roadsideDevice) {
	t.Helper()
	blobs, err := blob.OpenS3(t.Context(), bucket)
	if err != nil {
		t.Fatal(err)
	}
	s, err := record.Open(t.Context(), databasetest.Open(t, address, database.Options{}), blobs)
	if err != nil {
		t.Fatal(err)
	}
	size, err := s.Settled(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	sealed := 0
	numbers := map[uint64]bool{}
	for _, d := range devices {
		sealed += len(d.sealed)
		for _, want := range d.sealed {
			r, err := s.Record(t.Context(), want.ID)
			if err != nil || r.State != record.Complete || numbers[r.LogIndex] || !bytes.Equal(r.Bytes, want.Bytes) {
				t.Errorf("receipted, and in the store: %+v, %v", r, err)
				continue
			}
			numbers[r.LogIndex] = true
			for _, f := range want.Record.Frames {
				if _, err := s.Blob(t.Context(), f.SHA256); err != nil {
					t.Error(err)
				}
			}
		}
		if row, err := s.Device(t.Context(), d.ID); err != nil || row.Missing != 0 || row.Gaps != 0 || row.Alarm() || row.Records != uint64(len(d.sealed)) {
			t.Errorf("device %v: %+v, %v", d.ID, row, err)
		}
	}
	if size != uint64(sealed) || len(numbers) != sealed {
		t.Errorf("the log has %d entries, of %d records", size, sealed)
	}
	entries, err := s.LogEntries(t.Context(), 0, size)
	if err != nil {
		t.Fatal(err)
	}
	tree, err := log.Load(0, s.Hashes(t.Context()))
	if err != nil {
		t.Fatal(err)
	}
	batch := tree.Begin()
	for _, id := range entries {
		batch.Append(id)
	}
	stored, err := log.Load(size, s.Hashes(t.Context()))
	if err != nil || stored.Root() != batch.Tree().Root() {
		t.Errorf("the log's tree is not that of its entries: %v", err)
	}
}
