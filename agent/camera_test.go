package agent

import (
	"log/slog"
	"slices"
	"testing"
	"testing/synctest"

	"ciglio/agent/config"
	"ciglio/capture/httpcam"
	"ciglio/capture/v4l2"
	"ciglio/sensor/clock"
)

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

// What was compressed here is sealed as such.
func TestRawPicturesAreSealedAsSuch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(r *rig) { r.camera.media = "image/jpeg;source=yuyv" })
		r.start(t)
		o := r.pass(speeding())
		if o.Record == nil {
			t.Fatalf("not recorded: %v", o.Reasons)
		}
		for _, f := range o.Record.Record.Frames {
			if f.Source() != "yuyv" {
				t.Errorf("frame %d is of type %q", f.Number, f.MediaType)
			}
		}
		if err := r.stop(); err != nil {
			t.Error(err)
		}
	})
}
