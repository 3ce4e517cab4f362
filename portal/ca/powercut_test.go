package ca

import (
	"bytes"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"ciglio/internal/mtls"
	"ciglio/portal/keys"
)

// A change is a file that came into its place, whole, or went.
type change struct {
	path string // in the folder
	gone bool
}

// changes tells what an act changes in a folder, in order, as the kernel saw it:
// names that durable gives to files that are being written are none of it.
func changes(t *testing.T, dir string, act func()) (all []change) {
	t.Helper()
	fd, err := syscall.InotifyInit1(syscall.IN_NONBLOCK | syscall.IN_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(fd)
	folders := make(map[int32]string)
	for _, folder := range []string{".", codesName, issuedName + "/" + device.String(), issuedName + "/server"} {
		if err := os.MkdirAll(filepath.Join(dir, folder), 0o700); err != nil {
			t.Fatal(err)
		}
		wd, err := syscall.InotifyAddWatch(fd, filepath.Join(dir, folder), syscall.IN_MOVED_TO|syscall.IN_DELETE|syscall.IN_CLOSE_WRITE)
		if err != nil {
			t.Fatal(err)
		}
		folders[int32(wd)] = folder
	}
	act()
	buffer := make([]byte, 64<<10)
	for {
		n, err := syscall.Read(fd, buffer)
		if errors.Is(err, syscall.EAGAIN) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		for b := buffer[:n]; len(b) > 0; {
			folder, mask, length := folders[int32(binary.NativeEndian.Uint32(b))], binary.NativeEndian.Uint32(b[4:]), binary.NativeEndian.Uint32(b[12:])
			name := string(bytes.TrimRight(b[16:16+length], "\x00"))
			b = b[16+length:]
			switch {
			case strings.HasPrefix(name, ".new-"), name == lockName, name == "":
			case mask&syscall.IN_CLOSE_WRITE != 0:
				t.Errorf("%s is written in its place", name)
			default:
				all = append(all, change{filepath.Join(folder, name), mask&syscall.IN_DELETE != 0})
			}
		}
	}
}

// files are those of a folder with what is in them.
func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := make(map[string]string)
	if err := fs.WalkDir(os.DirFS(dir), ".", func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || path == lockName {
			return err
		}
		b, err := os.ReadFile(filepath.Join(dir, path))
		all[path] = string(b)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return all
}

// TestPowerCutAtEachWrite does each act, and again from each state in which a power
// cut may have left the folder: behind each file that came into its place or went.
// In each state an authority is there that goes on, who is revoked stays so, and who
// is not is believed, as long as no act was to end that.
func TestPowerCutAtEachWrite(t *testing.T) {
	const names = "127.0.0.1"
	key := newKey(t)
	for _, row := range []struct {
		name    string
		fresh   bool // begins without an authority
		rotated bool // begins with one that another follows
		writes  int
		act     func(*CA, time.Time) error
		done    func(*testing.T, *CA, *x509.Certificate, time.Time) // what holds once the act is through, for a certificate of before
	}{
		{"create", true, false, 3, func(c *CA, at time.Time) error {
			_, err := Create(c.dir, at)
			return err
		}, nil},
		{"renew lists and server", false, false, 4, func(c *CA, at time.Time) error { return c.Renew([]string{names}, at) },
			func(t *testing.T, c *CA, _ *x509.Certificate, _ time.Time) {
				if _, err := keys.Load(c.path(ServerKeyName)); err != nil {
					t.Error(err)
				}
			}},
		{"issue", false, false, 1, func(c *CA, at time.Time) error {
			_, err := c.Device(device, &key.PublicKey, at)
			return err
		}, nil},
		{"revoke", false, false, 2, func(c *CA, at time.Time) error {
			_, err := c.Revoke(device, at)
			return err
		}, func(t *testing.T, c *CA, before *x509.Certificate, at time.Time) {
			if r := mtls.Explain(believed(t, c).Verify([]*x509.Certificate{before}, at)); r == nil || r.Cause != mtls.Revoked {
				t.Errorf("the revoked one: %v", r)
			}
			if _, err := os.Lstat(c.codePath(device)); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("its code: %v", err)
			}
		}},
		{"rotate", false, false, 3, (*CA).Rotate, func(t *testing.T, c *CA, _ *x509.Certificate, _ time.Time) {
			if all, err := c.Authorities(); err != nil || len(all) < 2 {
				t.Errorf("%d authorities, %v", len(all), err)
			}
		}},
		{"retire", false, true, 3, (*CA).Retire, func(t *testing.T, c *CA, before *x509.Certificate, at time.Time) {
			if err := believed(t, c).Verify([]*x509.Certificate{before}, at); err == nil {
				t.Error("of an authority that is retired, and believed")
			}
			if all, err := filepath.Glob(c.path("*-" + authorityKeyName)); err != nil || len(all) != 1 {
				t.Errorf("keys of authorities: %v, %v", all, err)
			}
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			c := &CA{filepath.Join(t.TempDir(), "ca")}
			at := now.Add(2 * listRenewal)
			var kept, gone *x509.Certificate
			if !row.fresh {
				var err error
				if c, err = Create(c.dir, now); err != nil {
					t.Fatal(err)
				}
				gone = issue(t, c, other, now)
				if _, err := c.Revoke(other, now); err != nil {
					t.Fatal(err)
				}
				kept = issue(t, c, device, now)
				if _, err := c.NewCode(device, now); err != nil {
					t.Fatal(err)
				}
				if row.rotated {
					if err := c.Rotate(now); err != nil {
						t.Fatal(err)
					}
				}
			}
			var before map[string]string
			all := changes(t, c.dir, func() {
				before = files(t, c.dir)
				if err := row.act(c, at); err != nil {
					t.Fatal(err)
				}
			})
			if len(all) != row.writes {
				t.Fatalf("%d changes, want %d: %v", len(all), row.writes, all)
			}
			after := files(t, c.dir)
			for n := range len(all) + 1 {
				state := maps.Clone(before)
				for _, f := range all[:n] {
					if state[f.path] = after[f.path]; f.gone {
						delete(state, f.path)
					}
				}
				t.Run(fmt.Sprintf("behind %d", n), func(t *testing.T) {
					c := &CA{filepath.Join(t.TempDir(), "ca")}
					for _, path := range slices.Sorted(maps.Keys(state)) {
						if err := os.MkdirAll(filepath.Dir(c.path(path)), 0o700); err != nil {
							t.Fatal(err)
						}
						if err := os.WriteFile(c.path(path), []byte(state[path]), 0o600); err != nil {
							t.Fatal(err)
						}
					}
					if !row.fresh { // as it stands, nobody is believed who was revoked
						if r := mtls.Explain(believed(t, c).Verify([]*x509.Certificate{gone}, at)); r == nil || r.Cause == mtls.Broken {
							t.Errorf("revoked before: %v", r)
						}
						if err := believed(t, c).Verify([]*x509.Certificate{kept}, at); err != nil && row.name != "revoke" && row.name != "retire" {
							t.Errorf("in force: %v", err)
						}
						if err := c.Renew([]string{names}, at); err != nil { // as a portal does at its start
							t.Errorf("renew: %v", err)
						}
						if err := believed(t, c).Verify([]*x509.Certificate{gone}, at); err == nil {
							t.Error("renewed: who was revoked is believed")
						}
					}
					if err := row.act(c, at); err != nil && !(row.fresh && n == len(all) && errors.Is(err, fs.ErrExist)) {
						t.Fatalf("once more: %v", err)
					}
					if row.done != nil {
						row.done(t, c, kept, at)
					}
					if err := believed(t, c).Verify([]*x509.Certificate{issue(t, c, device, at)}, at); err != nil {
						t.Errorf("issued afterwards: %v", err)
					}
				})
			}
		})
	}
}
