package config

import (
	"strings"
	"testing"
)

func TestSeals(t *testing.T) {
	good := `
[seals]
door = "GPIO5"
tilt = "gpiochip0-6"
temperature = "bme280@0x76"
coldest = "-20.5degC"
supply = "ina219@0x41"
least = "11500mV"
`
	c, err := Parse([]byte(minimal+good), nil)
	if err != nil {
		t.Fatal(err)
	}
	if s := c.Seals; s.Temperature != (I2CPart{"bme280", 0x76}) || s.Coldest != -20500 || s.Least != 11500 || s.Open != "high" || s.Supply.Address != 0x41 {
		t.Errorf("read as %+v", s)
	}
	for _, c := range []struct{ old, new, want string }{
		{`"GPIO5"`, `"GPIO5 GPIO6"`, "seals.door"},
		{`"gpiochip0-6"`, `"GPIO5"`, "seals.tilt"},
		{"bme280@0x76", "lm75@0x76", "seals.temperature"},
		{"bme280@0x76", "bme280@76", "such as tmp102@0x48"},
		{"bme280@0x76", "bme280@0x7", "such as tmp102@0x48"},
		{"bme280@0x76", "bme280@0x07", "such as tmp102@0x48"},
		{"bme280@0x76", "bme280@0x7A", "such as tmp102@0x48"},
		{"ina219@0x41", "ina219@0x50", "seals.supply"},
		{"-20.5degC", "-20.5", "seals.coldest"},
		{"-20.5degC", "69.5degC", "seals.hottest"},
		{"11500mV", "15V", "seals.most"},
		{"door", "window", "seals.window"},
	} {
		_, err := Parse([]byte(minimal+strings.Replace(good, c.old, c.new, 1)), nil)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.new, err, c.want)
		}
	}
}
