// Package databasetest runs tests on both engines: SQLite in a folder of the
// test, and a PostgreSQL that it starts on a socket of its own.
//
// A package that uses it has
//
//	func TestMain(m *testing.M) { databasetest.Main(m) }
//
// so that the server ends with its tests. Where PostgreSQL is not installed its
// tests are skipped, but on the build machine (CI=true) they fail.
package databasetest

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver of database/sql that open names

	"ciglio/portal/database"
)

// An Engine is one of the two.
type Engine string

// The engines.
const (
	SQLite     Engine = "sqlite"
	PostgreSQL Engine = "postgresql"
)

// Each runs a test on each engine.
func Each(t *testing.T, test func(*testing.T, Engine)) {
	for _, e := range []Engine{SQLite, PostgreSQL} {
		t.Run(string(e), func(t *testing.T) {
			if e == PostgreSQL {
				Need(t)
			}
			test(t, e)
		})
	}
}

// Address is that of a new, empty database of the engine.
func (e Engine) Address(t testing.TB) string {
	t.Helper()
	if e == SQLite {
		return filepath.Join(t.TempDir(), "portal.db")
	}
	return Create(t, "test"+strings.ToLower(rand.Text()))
}

// Open opens a database until the test ends.
func Open(t testing.TB, address string, o database.Options) *database.DB {
	t.Helper()
	db, err := database.Open(t.Context(), address, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

// The server of this process.
var shared struct {
	mu     sync.Mutex
	server *server
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
	if shared.server != nil {
		shared.server.stop()
		shared.server = nil
	}
}

// Need skips the test where there is no PostgreSQL.
func Need(t testing.TB) {
	t.Helper()
	if _, err := programs(); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
}

// programs is the folder of the server's programs, the newest.
func programs() (string, error) {
	if path, err := exec.LookPath("initdb"); err == nil {
		return filepath.Dir(path), nil
	}
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if len(found) == 0 {
		return "", errors.New("PostgreSQL is not installed (Debian: postgresql)")
	}
	slices.SortFunc(found, func(a, b string) int { return len(a) - len(b) })
	return filepath.Dir(found[len(found)-1]), nil
}

// Create makes an empty database, which the test drops at its end, and returns
// its address.
func Create(t testing.TB, name string) string {
	t.Helper()
	s := running(t)
	s.execute(t, `CREATE DATABASE `+name)
	t.Cleanup(func() { s.execute(t, `DROP DATABASE IF EXISTS `+name+` WITH (FORCE)`) })
	return s.address(name)
}

// Execute runs a statement on the database at an address, behind the back of
// whoever has it open.
func Execute(t testing.TB, address, text string, args ...any) {
	t.Helper()
	driver, where := "sqlite", address+"?_pragma=busy_timeout(10000)" // whoever has it open writes as well
	if database.IsURL(address) {
		driver, where = "pgx", address
	}
	db, err := sql.Open(driver, where)
	if err == nil {
		_, err = db.Exec(text, args...)
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

// Restart ends the server at once, as a crash does, and starts it again.
func Restart(t testing.TB) {
	t.Helper()
	s := running(t)
	s.signal(syscall.SIGQUIT)
	<-s.ended
	if err := s.start(); err != nil {
		t.Fatal(err)
	}
}

func running(t testing.TB) *server {
	t.Helper()
	Need(t)
	shared.mu.Lock()
	defer shared.mu.Unlock()
	if shared.server == nil {
		s, err := newServer()
		if err != nil {
			t.Fatal(err)
		}
		shared.server = s
	}
	return shared.server
}

// A server is a PostgreSQL that listens on a socket in its folder alone. It does
// not sync: no test takes the power from it.
type server struct {
	bin, folder string
	owner       *syscall.Credential // nil: the one of this process
	ended       chan struct{}
	process     *os.Process
}

func newServer() (_ *server, err error) {
	s := &server{}
	if s.bin, err = programs(); err != nil {
		return nil, err
	}
	// The path of a socket is short.
	if s.folder, err = os.MkdirTemp("/tmp", "ciglio-pg"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			os.RemoveAll(s.folder)
		}
	}()
	if os.Getuid() == 0 { // as whom it does not run
		if err := s.disown(); err != nil {
			return nil, err
		}
	}
	initdb := exec.Command(filepath.Join(s.bin, "initdb"), "-D", s.data(), "-U", "ciglio", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync", "--no-instructions")
	initdb.Dir = s.folder
	initdb.SysProcAttr = &syscall.SysProcAttr{Credential: s.owner}
	if out, err := initdb.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("initdb: %w\n%s", err, out)
	}
	return s, s.start()
}

func (s *server) disown() error {
	u, err := user.Lookup("postgres")
	if err != nil {
		if u, err = user.Lookup("nobody"); err != nil {
			return err
		}
	}
	uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
	gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
	s.owner = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	return errors.Join(err1, err2, os.Chown(s.folder, int(uid), int(gid)))
}

func (s *server) data() string { return filepath.Join(s.folder, "data") }

func (s *server) address(name string) string {
	return "postgres://ciglio@/" + name + "?host=" + url.QueryEscape(s.folder)
}

func (s *server) start() error {
	log, err := os.OpenFile(filepath.Join(s.folder, "log"), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	command := exec.Command(filepath.Join(s.bin, "postgres"), "-D", s.data(), "-k", s.folder, "-c", "listen_addresses=",
		"-c", "fsync=off", "-c", "max_connections=200", "-c", "shared_buffers=32MB")
	command.Dir, command.Stdout, command.Stderr = s.folder, log, log
	// It does not outlive a test that is killed.
	command.SysProcAttr = &syscall.SysProcAttr{Credential: s.owner, Pdeathsig: syscall.SIGQUIT}
	started := make(chan error)
	s.ended = make(chan struct{})
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
		return err
	}
	s.process = command.Process
	for end := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		db, err := sql.Open("pgx", s.address("postgres"))
		if err == nil {
			err = errors.Join(db.PingContext(context.Background()), db.Close())
		}
		if err == nil {
			return nil
		}
		ended := false
		select {
		case <-s.ended:
			ended = true
		default:
		}
		if ended || time.Now().After(end) {
			text, _ := os.ReadFile(filepath.Join(s.folder, "log"))
			s.signal(syscall.SIGQUIT)
			return fmt.Errorf("PostgreSQL does not start: %w\n%s", err, text)
		}
	}
}

func (s *server) signal(sig syscall.Signal) { s.process.Signal(sig) }

func (s *server) stop() {
	s.signal(syscall.SIGQUIT) // nothing of it is kept
	<-s.ended
	os.RemoveAll(s.folder)
}

func (s *server) execute(t testing.TB, text string) {
	t.Helper()
	db, err := sql.Open("pgx", s.address("postgres"))
	if err == nil {
		_, err = db.ExecContext(context.Background(), text)
	}
	if err != nil {
		t.Fatal(err)
	}
	db.Close()
}
