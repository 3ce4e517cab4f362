package agent

import (
	"bytes"
	"crypto/x509"
	"errors"
	"log/slog"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"ciglio/agent/config"
	"ciglio/capture/evidence"
	"ciglio/capture/httpcam"
	"ciglio/capture/key"
	"ciglio/capture/v4l2"
	"ciglio/sensor/clock"
)

func TestIdentityIsMadeOnce(t *testing.T) {
	c := config.Default()
	dir := t.TempDir()
	c.Device.Key, c.Device.Certificate = dir+"/new/evidence.key", dir+"/device.crt"
	log := slog.New(slog.DiscardHandler)
	first, certificate, err := identity(t.Context(), c, evidence.DeviceID{1}, log)
	if err != nil {
		t.Fatal(err)
	}
	// A clock that is two hours ahead now must not make today's records invalid.
	if x, err := x509.ParseCertificate(certificate); err != nil || time.Since(x.NotBefore) < 23*time.Hour {
		t.Errorf("certificate in force from %v, %v", x.NotBefore, err)
	}
	again, same, err := identity(t.Context(), c, evidence.DeviceID{1}, log)
	if err != nil || again.Evidence().KeyID() != first.Evidence().KeyID() || !bytes.Equal(again.TLS().SPKI(), first.TLS().SPKI()) || !bytes.Equal(same, certificate) {
		t.Errorf("the second start has key %v, %v; want %v", again, err, first)
	}
	if left, err := os.ReadDir(dir + "/new"); err != nil || len(left) != 2 {
		t.Errorf("in the folder of the keys: %v, %v", left, err)
	}
	for _, name := range []string{"evidence.key", "uplink.key"} {
		lost := dir + "/new/" + name
		if err := os.Rename(lost, lost+".lost"); err != nil {
			t.Fatal(err)
		}
		_, _, err := identity(t.Context(), c, evidence.DeviceID{1}, log)
		switch name {
		case "evidence.key":
			if err == nil || !strings.Contains(err.Error(), "lost") {
				t.Errorf("an evidence key that is lost: %v", err)
			}
		default: // a TLS key vouches for nothing that was said before
			if err != nil {
				t.Errorf("a TLS key that is lost: %v", err)
			}
		}
		if err := os.Rename(lost+".lost", lost); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := key.CreateFile(dir + "/other.key"); err != nil {
		t.Fatal(err)
	}
	c.Device.Key = dir + "/other.key"
	if _, _, err := identity(t.Context(), c, evidence.DeviceID{1}, log); err == nil || !strings.Contains(err.Error(), "not of the key") {
		t.Errorf("a certificate of another key: %v", err)
	}
	c.Device.Certificate = dir + "/absent/device.crt"
	if _, _, err := identity(t.Context(), c, evidence.DeviceID{1}, log); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("a folder that is not there: %v", err)
	}
}

func TestCamerasAreThoseOfTheConfiguration(t *testing.T) {
	c := config.Default()
	c.Camera.URL = "http://camera/"
	camera, err := newCamera(c, new(clock.System), slog.New(slog.DiscardHandler))
	if _, ok := camera.(*httpcam.Camera); err != nil || !ok {
		t.Errorf("by default %T, %v", camera, err)
	}
	var formats []string
	for _, f := range v4l2.Formats() {
		formats = append(formats, string(f))
	}
	if !slices.Equal(formats, config.PictureFormats()) {
		t.Errorf("formats %v, the configuration has %v", formats, config.PictureFormats())
	}
	c.Camera.Driver = "v4l2"
	for _, format := range formats {
		c.Camera.Path, c.Camera.Format = "/dev/video0", format
		camera, err := newCamera(c, new(clock.System), slog.New(slog.DiscardHandler))
		if _, ok := camera.(*v4l2.Camera); err != nil || !ok {
			t.Errorf("v4l2 with %s: %T, %v", format, camera, err)
		}
	}
}
