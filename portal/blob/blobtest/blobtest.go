// Package blobtest has the suite that every [blob.Store] passes, and starts an S3
// store: versitygw, which make builds once into the user's cache.
//
// A package that uses it has
//
//	func TestMain(m *testing.M) { blobtest.Main(m) }
//
// so that the server ends with its tests. Where it is not built its tests are
// skipped, but on the build machine (CI=true) they fail.
package blobtest

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"ciglio/capture/evidence"
	"ciglio/portal/blob"
)

// version is that of the Makefile.
const version = "v1.8.0"

const key, secret = "ciglio", "not a secret"

var shared struct {
	mu     sync.Mutex
	server *server
}

type server struct {
	folder, address string
	process         *os.Process
	ended           chan struct{}
}

// Main runs the tests and ends the server.
func Main(m *testing.M) {
	code := m.Run()
	Stop()
	os.Exit(code)
}

// Stop ends the server, where one has been started.
func Stop() {
	shared.mu.Lock()
	defer shared.mu.Unlock()
	if s := shared.server; s != nil {
		s.process.Kill() // nothing of it is kept
		<-s.ended
		os.RemoveAll(s.folder)
		shared.server = nil
	}
}

func program() string {
	cache, err := os.UserCacheDir()
	if err != nil {
		return ""
	}
	return filepath.Join(cache, "ciglio", "versitygw-"+version, "versitygw")
}

// Need skips the test where there is no S3 store.
func Need(t testing.TB) {
	t.Helper()
	if _, err := os.Stat(program()); err != nil {
		err = fmt.Errorf("versitygw is not built (make s3): %w", err)
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
}

// Bucket makes an empty bucket and says where it is.
func Bucket(t testing.TB) blob.S3Options {
	t.Helper()
	Need(t)
	s := running(t)
	o := blob.S3Options{Endpoint: "http://" + s.address, Bucket: "test" + strings.ToLower(rand.Text()), Key: key, Secret: secret, Temp: t.TempDir()}
	if err := Client(t, o).MakeBucket(t.Context(), o.Bucket, minio.MakeBucketOptions{}); err != nil {
		t.Fatal(err)
	}
	return o
}

// Client reaches a bucket behind the back of who keeps blobs in it.
func Client(t testing.TB, o blob.S3Options) *minio.Client {
	t.Helper()
	client, err := minio.New(strings.TrimPrefix(o.Endpoint, "http://"), &minio.Options{
		Creds: credentials.NewStaticV4(o.Key, o.Secret, ""), Region: "us-east-1", BucketLookup: minio.BucketLookupPath,
	})
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func running(t testing.TB) *server {
	t.Helper()
	shared.mu.Lock()
	defer shared.mu.Unlock()
	if shared.server == nil {
		s, err := start()
		if err != nil {
			t.Fatal(err)
		}
		shared.server = s
	}
	return shared.server
}

// start starts the server on a port that is free.
func start() (*server, error) {
	folder, err := os.MkdirTemp("", "ciglio-s3")
	if err != nil {
		return nil, err
	}
	for _, name := range []string{"data", "meta"} {
		if err := os.Mkdir(filepath.Join(folder, name), 0o700); err != nil {
			return nil, err
		}
	}
	for range 3 { // another may take the port meanwhile
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		address := l.Addr().String()
		l.Close()
		s := &server{folder: folder, address: address, ended: make(chan struct{})}
		var out bytes.Buffer
		command := exec.Command(program(), "--quiet", "--port", address, "--access", key, "--secret", secret,
			"posix", "--sidecar", filepath.Join(folder, "meta"), filepath.Join(folder, "data"))
		command.Env = []string{"HOME=" + folder}
		command.Dir, command.Stdout, command.Stderr = folder, &out, &out
		command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // it does not outlive a test that is killed
		started := make(chan error)
		go func() {
			runtime.LockOSThread() // whose end would count as the death of the parent
			err := command.Start()
			started <- err
			if err == nil {
				command.Wait()
			}
			close(s.ended)
		}()
		if err := <-started; err != nil {
			return nil, err
		}
		s.process = command.Process
		if s.answers() {
			return s, nil
		}
		s.process.Kill()
		<-s.ended
		err = fmt.Errorf("versitygw does not start: %s", out.String())
		if !strings.Contains(out.String(), "in use") {
			return nil, errors.Join(err, os.RemoveAll(folder))
		}
	}
	return nil, errors.Join(errors.New("versitygw finds no port"), os.RemoveAll(folder))
}

// answers waits until the server does.
func (s *server) answers() bool {
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		select {
		case <-s.ended:
			return false
		default:
		}
		if c, err := net.Dial("tcp", s.address); err == nil {
			c.Close()
			return true
		}
	}
	return false
}

// Test runs the suite. Overwrite puts other bytes under the name of a blob, behind
// the store's back, and Remove removes it.
func Test(t *testing.T, s blob.Store, overwrite func(*testing.T, evidence.Hash, []byte), remove func(*testing.T, evidence.Hash)) {
	ctx := context.Background()
	seed := byte(0)
	fresh := func(n int) (evidence.Hash, []byte) {
		seed++
		data := bytes.Repeat([]byte{seed, seed + 100, 7}, n/3+1)[:n]
		return sha256.Sum256(data), data
	}
	file := func(t *testing.T, data []byte) string {
		t.Helper()
		f, err := os.CreateTemp(t.TempDir(), "")
		if err == nil {
			_, err = f.Write(data)
			err = errors.Join(err, f.Close())
		}
		if err != nil {
			t.Fatal(err)
		}
		return f.Name()
	}
	gone := func(t *testing.T, path string) {
		t.Helper()
		if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the file is left: %v", err)
		}
	}
	reads := func(t *testing.T, hash evidence.Hash, data []byte) {
		t.Helper()
		if n, err := s.Stat(ctx, hash); err != nil || n != uint64(len(data)) {
			t.Errorf("length %d, %v, want %d", n, err, len(data))
		}
		if got, err := s.Get(ctx, hash, uint64(len(data))); err != nil || !bytes.Equal(got, data) {
			t.Errorf("got %d bytes, %v", len(got), err)
		}
		m, err := s.Map(ctx, hash, uint64(len(data)))
		if err != nil || !bytes.Equal(m.Data, data) {
			t.Fatalf("mapped: %v", err)
		}
		if err := m.Close(); err != nil {
			t.Error(err)
		}
		if ok, err := s.Confirm(ctx, hash, uint64(len(data))); err != nil || !ok {
			t.Errorf("confirmed: %v, %v", ok, err)
		}
	}
	t.Run("put and read", func(t *testing.T) {
		for _, n := range []int{0, 1, 100, 65_536, 3_000_000} {
			hash, data := fresh(n)
			if err := s.Put(ctx, hash, data); err != nil {
				t.Fatalf("%d bytes: %v", n, err)
			}
			reads(t, hash, data)
			if err := s.Put(ctx, hash, data); err != nil {
				t.Errorf("%d bytes again: %v", n, err)
			}
			reads(t, hash, data)
		}
	})
	t.Run("a file is taken over", func(t *testing.T) {
		hash, data := fresh(200_000)
		for range 2 {
			path := file(t, append(bytes.Clone(data), "and what belongs to the caller"...))
			if err := s.PutFile(ctx, path, hash, uint64(len(data))); err != nil {
				t.Fatal(err)
			}
			gone(t, path)
			reads(t, hash, data)
		}
	})
	t.Run("other bytes are not stored", func(t *testing.T) {
		hash, data := fresh(1000)
		if err := s.Put(ctx, hash, data[:999]); !errors.Is(err, blob.ErrDamaged) {
			t.Errorf("%v, want ErrDamaged", err)
		}
		path := file(t, data[:999])
		if err := s.PutFile(ctx, path, hash, 1000); !errors.Is(err, blob.ErrDamaged) {
			t.Errorf("%v, want ErrDamaged", err)
		}
		gone(t, path)
		if _, err := s.Stat(ctx, hash); !errors.Is(err, blob.ErrAbsent) {
			t.Errorf("%v, want ErrAbsent", err)
		}
	})
	t.Run("absent", func(t *testing.T) {
		hash, data := fresh(1000)
		if _, err := s.Stat(ctx, hash); !errors.Is(err, blob.ErrAbsent) {
			t.Errorf("stat: %v", err)
		}
		if _, err := s.Range(ctx, hash, 0, 1); !errors.Is(err, blob.ErrAbsent) {
			t.Errorf("range: %v", err)
		}
		if ok, err := s.Confirm(ctx, hash, 1000); ok || err != nil {
			t.Errorf("confirm: %v, %v", ok, err)
		}
		// Whoever asks for these knows that it was there.
		if _, err := s.Get(ctx, hash, 1000); !errors.Is(err, blob.ErrDamaged) {
			t.Errorf("get: %v", err)
		}
		if _, err := s.Map(ctx, hash, 1000); !errors.Is(err, blob.ErrDamaged) {
			t.Errorf("map: %v", err)
		}
		if err := s.Put(ctx, hash, data); err != nil {
			t.Fatal(err)
		}
		remove(t, hash)
		if _, err := s.Get(ctx, hash, 1000); !errors.Is(err, blob.ErrDamaged) {
			t.Errorf("get of one that is lost: %v", err)
		}
	})
	t.Run("ranges", func(t *testing.T) {
		hash, data := fresh(1000)
		if err := s.Put(ctx, hash, data); err != nil {
			t.Fatal(err)
		}
		for _, r := range [][2]uint64{{0, 1000}, {0, 1}, {999, 1000}, {10, 20}, {5, 5}} {
			if got, err := s.Range(ctx, hash, r[0], r[1]); err != nil || !bytes.Equal(got, data[r[0]:r[1]]) {
				t.Errorf("%v: %d bytes, %v", r, len(got), err)
			}
		}
		for _, r := range [][2]uint64{{990, 1001}, {2000, 2001}} {
			if _, err := s.Range(ctx, hash, r[0], r[1]); !errors.Is(err, blob.ErrDamaged) {
				t.Errorf("%v: %v, want ErrDamaged", r, err)
			}
		}
	})
	t.Run("damage is noticed, and mended by who has the bytes", func(t *testing.T) {
		for _, bad := range []func([]byte) []byte{
			func(b []byte) []byte { b[500] ^= 1; return b },
			func(b []byte) []byte { return b[:999] },
			func([]byte) []byte { return nil },
		} {
			hash, data := fresh(1000)
			if err := s.Put(ctx, hash, data); err != nil {
				t.Fatal(err)
			}
			overwrite(t, hash, bad(bytes.Clone(data)))
			if _, err := s.Get(ctx, hash, 1000); !errors.Is(err, blob.ErrDamaged) {
				t.Errorf("get: %v", err)
			}
			if _, err := s.Map(ctx, hash, 1000); !errors.Is(err, blob.ErrDamaged) {
				t.Errorf("map: %v", err)
			}
			if ok, err := s.Confirm(ctx, hash, 1000); ok || err != nil {
				t.Errorf("confirm: %v, %v", ok, err)
			}
			path := file(t, data)
			if err := s.PutFile(ctx, path, hash, 1000); err != nil {
				t.Fatal(err)
			}
			reads(t, hash, data)
		}
	})
	t.Run("all are listed in order", func(t *testing.T) {
		want := map[evidence.Hash]int{}
		for n := range 20 {
			hash, data := fresh(n + 1)
			if err := s.Put(ctx, hash, data); err != nil {
				t.Fatal(err)
			}
			want[hash] = n + 1
		}
		var last evidence.Hash
		err := s.Each(ctx, func(hash evidence.Hash, length uint64) error {
			if bytes.Compare(last[:], hash[:]) >= 0 {
				t.Errorf("%v is listed behind %v", hash, last)
			}
			last = hash
			if n, wanted := want[hash]; wanted && uint64(n) != length {
				t.Errorf("%v: %d bytes, want %d", hash, length, n)
			}
			delete(want, hash)
			return nil
		})
		if err != nil || len(want) > 0 {
			t.Errorf("%v, not listed: %v", err, want)
		}
		stop := errors.New("enough")
		if err := s.Each(ctx, func(evidence.Hash, uint64) error { return stop }); !errors.Is(err, stop) {
			t.Errorf("%v, want what yield has said", err)
		}
	})
	t.Run("many at once", func(t *testing.T) {
		hash, data := fresh(50_000)
		var all sync.WaitGroup
		for range 8 {
			path := file(t, data)
			all.Go(func() {
				if err := s.PutFile(ctx, path, hash, uint64(len(data))); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		reads(t, hash, data)
	})
	t.Run("who gives up is not told that it is absent", func(t *testing.T) {
		if _, folder := s.(blob.Folder); folder {
			t.Skip("a folder answers at once")
		}
		hash, data := fresh(1000)
		if err := s.Put(ctx, hash, data); err != nil {
			t.Fatal(err)
		}
		ended, cancel := context.WithCancel(ctx)
		cancel()
		if _, err := s.Stat(ended, hash); err == nil || errors.Is(err, blob.ErrAbsent) {
			t.Errorf("stat: %v", err)
		}
		if _, err := s.Get(ended, hash, 1000); err == nil || errors.Is(err, blob.ErrDamaged) {
			t.Errorf("get: %v", err)
		}
		if ok, err := s.Confirm(ended, hash, 1000); ok || err == nil {
			t.Errorf("confirm: %v, %v", ok, err)
		}
	})
}
