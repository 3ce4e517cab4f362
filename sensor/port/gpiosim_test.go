//go:build linux

package port

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"periph.io/x/conn/v3/gpio"

	"ciglio/sensor/clock"
)

// TestKernel runs a pin on a chip that the kernel simulates: modprobe gpio-sim,
// with configfs mounted, as root.
func TestKernel(t *testing.T) {
	const config = "/sys/kernel/config/gpio-sim"
	if _, err := os.Stat(config); err != nil {
		t.Skip("no gpio-sim in this kernel (modprobe gpio-sim, configfs): pins are tested against a fake of go-gpiocdev only")
	}
	dir := filepath.Join(config, "ciglio-test")
	write := func(path, text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(dir+"/bank", 0o755); err != nil {
		t.Skipf("gpio-sim: %v", err)
	}
	t.Cleanup(func() {
		os.WriteFile(dir+"/live", []byte("0"), 0o644)
		os.Remove(dir + "/bank")
		os.Remove(dir)
	})
	write(dir+"/bank/num_lines", "4")
	write(dir+"/live", "1")
	name := func(path string) string {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(string(b))
	}
	chip := name(dir + "/bank/chip_name")
	level := filepath.Join("/sys/devices/platform", name(dir+"/dev_name"), chip, "sim_gpio2/pull")

	p := NewPin(chip, 2)
	if err := p.In(gpio.PullNoChange, gpio.BothEdges); err != nil {
		t.Fatal(err)
	}
	defer p.Halt()
	if err := NewPin(chip, 2).In(gpio.PullNoChange, gpio.BothEdges); err == nil {
		t.Error("a line that is held was given again")
	}
	if d, err := Describe(chip, []int{1, 2}); err != nil || d.Lines != 4 || d.Infos[0].Used || !d.Infos[1].Used || d.Infos[1].Consumer != Consumer {
		t.Errorf("described as %+v, %v", d, err)
	}
	if _, err := Describe(chip, []int{4}); !errors.Is(err, ErrNoLine) {
		t.Errorf("a line beyond the last: %v", err)
	}
	var now clock.System
	before := now.Now()
	write(level, "pull-up")
	write(level, "pull-down")
	rise, err := p.Next(t.Context())
	if err != nil || !rise.Rising || rise.Lost != 0 || rise.At < before || rise.At > now.Now() {
		t.Errorf("rising edge %+v, %v", rise, err)
	}
	fall, err := p.Next(t.Context())
	if err != nil || fall.Rising || fall.Lost != 0 || fall.At < rise.At {
		t.Errorf("falling edge %+v, %v", fall, err)
	}
	if p.WaitForEdge(time.Millisecond) {
		t.Error("a third edge")
	}
}
